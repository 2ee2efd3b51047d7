//! The main job, end to end: buy, allocate, charge, watch.

use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::{Backend, World};

on_both_databases!(buy_allocate_charge_watch);

const WATCH: &str =
    "subscription W($pool: ID!, $after: Version) { poolBalance(poolId: $pool, after: $after) {
    kind version balance { available version }
    departments { department { code } balance { available } }
    transfers { version kind credits debitBalanceAfter creditBalanceAfter } } }";

async fn buy_allocate_charge_watch(backend: Backend) {
    let mut world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let input = json!({ "organizationId": demo.organization, "name": "Tour" });
    let made = owner.mutate("createPool", "CreatePoolInput", input, "pool { id }").await;
    let pool = made["pool"]["id"].as_str().unwrap().to_owned();

    let mut watcher = owner.socket().await;
    watcher.subscribe("1", WATCH, json!({ "pool": pool })).await;
    let first = watcher.next("poolBalance").await;
    assert_eq!((&first["kind"], &first["version"]), (&json!("SNAPSHOT"), &json!(0)));

    // Starter, paid at the checkout page.
    let (purchase, url) = owner.checkout(&pool, "tour").await;
    let (status, page) = owner.open(&url).await;
    assert_eq!(status, 200);
    for said in ["Starter", "USD 199.00", "Demo Realty", "100 credits", "Pay USD 199.00"] {
        assert!(page.contains(said), "the page does not say {said}: {page}");
    }
    assert_eq!(owner.balance(&pool).await, (0, 0), "opening the page changes nothing");
    let (status, page) = owner.submit(&format!("{url}/pay")).await;
    assert!(status == 200 && page.contains("Paid. Thank you."), "{page}");
    assert_eq!(owner.balance(&pool).await, (100, 1));
    let state = owner.query(
        "query P($id: ID!) { node(id: $id) { ... on Purchase { state completedAt } } }",
        json!({ "id": purchase }),
    );
    let state = state.await;
    assert_eq!(state["node"]["state"], "COMPLETED");

    // 40 for Sales.
    let allocated = owner.allocate(&pool, &demo.sales, 40, "tour").await;
    assert_eq!(allocated["allocation"]["balance"]["available"], 40);
    assert_eq!(allocated["balance"], json!({ "available": 100, "version": 2 }));

    // Each of the five services, from Sales.
    let services = [
        ("BASIC_ROOM_STAGING", 2),
        ("ADVANCED_STAGING", 3),
        ("STYLE_CHANGE", 2),
        ("FURNITURE_REMOVAL", 1),
        ("OUTDOOR_STAGING", 3),
    ];
    let (mut left, mut version) = (40, 2);
    for (service, credits) in services {
        let charged = owner.charge(job(&pool, &demo.sales, service, 1, service)).await;
        (left, version) = (left - credits, version + 1);
        assert_eq!(charged["userErrors"], json!([]));
        assert_eq!(charged["charge"]["credits"], credits);
        assert_eq!(charged["charge"]["version"], version);
        assert_eq!(charged["accountBalance"]["available"], left);
        assert_eq!(
            charged["balance"],
            json!({ "posted": 60 + left, "held": 0, "available": 60 + left, "version": version })
        );
        assert_eq!(charged["replayed"], false);
    }
    assert_eq!((left, version), (29, 7));
    let query = "query P($id: ID!) { pool(id: $id) { balance { available } unallocated { available }
                 allocations { nodes { department { code } balance { available } } } } }";
    let balances = owner.query(query, json!({ "id": pool })).await;
    let expected = json!({ "balance": { "available": 89 }, "unallocated": { "available": 60 },
        "allocations": { "nodes": [{ "department": { "code": "SALES" }, "balance": { "available": 29 } }] } });
    assert_eq!(balances["pool"], expected);

    // Ten times advanced staging is 30: one more than Sales has.
    let refused = owner.charge(job(&pool, &demo.sales, "ADVANCED_STAGING", 10, "too much")).await;
    assert_eq!(refused["charge"], Value::Null);
    let error = &refused["userErrors"][0];
    assert_eq!(error["__typename"], "InsufficientCreditsError");
    assert_eq!(
        (&error["scope"], &error["available"], &error["shortBy"]),
        (&json!("DEPARTMENT"), &json!(29), &json!(1))
    );
    assert_eq!(owner.balance(&pool).await, (89, 7));
    // The refusal has not used the key up: with what fits, it is accepted.
    let fits = owner.charge(job(&pool, &demo.sales, "FURNITURE_REMOVAL", 1, "too much")).await;
    assert_eq!(fits["charge"]["version"], 8);

    // The same key again, and with other input.
    let again = owner.charge(job(&pool, &demo.sales, "STYLE_CHANGE", 1, "STYLE_CHANGE")).await;
    assert_eq!(again["replayed"], true);
    assert_eq!(again["charge"]["version"], 5);
    assert_eq!(again["balance"]["available"], 93, "as of the first commit");
    assert_eq!(again["accountBalance"]["available"], 33, "as of the first commit");
    let other = owner.charge(job(&pool, &demo.sales, "STYLE_CHANGE", 2, "STYLE_CHANGE")).await;
    assert_eq!(other["userErrors"][0]["__typename"], "IdempotencyConflictError");
    assert_eq!(other["userErrors"][0]["field"], json!(["idempotencyKey"]));

    // The watcher has seen every version once, and ends where the database is.
    let mut seen = Vec::new();
    let mut last = first;
    while last["version"] != 8 {
        last = watcher.next("poolBalance").await;
        assert_eq!(last["kind"], "CHANGE");
        assert_eq!(last["version"], last["balance"]["version"]);
        seen.extend(last["transfers"].as_array().unwrap().iter().map(|t| t["version"].as_i64().unwrap()));
    }
    assert_eq!(seen, (1..=8).collect::<Vec<_>>());
    assert_eq!((last["balance"]["available"].as_i64().unwrap(), 8), owner.balance(&pool).await);
    assert_eq!(
        last["departments"],
        json!([{ "department": { "code": "SALES" }, "balance": { "available": 28 } }])
    );

    // Who joins with a version gets exactly what followed it.
    for after in 0..=8 {
        let mut late = owner.socket().await;
        late.subscribe("2", WATCH, json!({ "pool": pool, "after": after })).await;
        let event = late.next("poolBalance").await;
        assert_eq!((&event["kind"], &event["version"]), (&json!("SNAPSHOT"), &json!(8)));
        let versions: Vec<_> =
            event["transfers"].as_array().unwrap().iter().map(|t| t["version"].as_i64().unwrap()).collect();
        assert_eq!(versions, (after + 1..=8).collect::<Vec<_>>());
    }
    world.stop().await;
}

fn job(pool: &str, department: &str, service: &str, quantity: i64, key: &str) -> Value {
    json!({ "poolId": pool, "departmentId": department, "lines": [{ "service": service, "quantity": quantity }],
            "idempotencyKey": key })
}
