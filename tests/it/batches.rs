//! Many charges in one call: all or none, or each on its own; keys, bounds, permissions.

use bursar::global_id;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::uses::of;
use crate::support::{Backend, Client, World, rows};

on_both_databases!(
    all_or_none,
    each_on_its_own,
    keys_are_those_of_charges,
    one_key_twice_in_a_batch,
    bounds_of_a_batch,
    rehearsing_a_batch,
    each_item_is_authorized
);

const RESULTS: &str = "results { charge { id credits version reference } balance { available version } accountBalance { available }
    replayed userErrors { code field ... on BatchAbortedError { item } } }";

async fn batch(client: &Client, mode: &str, items: Vec<Value>) -> Value {
    let input = json!({ "mode": mode, "items": items });
    client.try_mutate("chargeCreditsBatch", "ChargeCreditsBatchInput", input, RESULTS).await
}

/// The code of what became of each item, `none` for those that were made.
fn codes(payload: &Value) -> Vec<&str> {
    let results = payload["results"].as_array().unwrap();
    results.iter().map(|result| result["userErrors"][0]["code"].as_str().unwrap_or("none")).collect()
}

async fn all_or_none(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let organization = global_id::decode(&demo.organization).unwrap();
    let db = &world.services().context.db;
    owner.allocate(&demo.pool, &demo.sales, 10, "a").await;
    let before = rows::of(db, organization).await;
    let mut from_sales = of(&demo.pool, "b", 11);
    from_sales["departmentId"] = json!(demo.sales);
    let items = |second: &Value| vec![of(&demo.pool, "a", 5), second.clone(), of(&demo.pool, "c", 7)];
    let refused = batch(&owner, "ATOMIC", items(&from_sales)).await;
    assert_eq!(codes(&refused), ["BATCH_ABORTED", "INSUFFICIENT_CREDITS", "BATCH_ABORTED"]);
    let (first, second) = (&refused["results"][0]["userErrors"][0], &refused["results"][1]["userErrors"][0]);
    assert_eq!((&first["item"], &first["field"]), (&json!(1), &json!(["items", "0"])));
    assert_eq!(second["field"], json!(["items", "1", "departmentId"]));
    // The call as a whole says what was refused, and not what only followed from it.
    let all = refused["userErrors"].as_array().unwrap();
    assert_eq!((all.len(), &all[0]["code"]), (1, &json!("INSUFFICIENT_CREDITS")));
    assert_eq!((&all[0]["available"], &all[0]["shortBy"]), (&json!(10), &json!(1)));
    assert!(refused["results"].as_array().unwrap().iter().all(|result| result["charge"].is_null()));
    assert_eq!(before, rows::of(db, organization).await, "an atomic batch left a part of it");
    // What does not even get to the ledger takes the others with it too.
    let mut nowhere = of(&demo.pool, "b", 1);
    nowhere["subject"] = json!("a\u{0}b");
    let refused = batch(&owner, "ATOMIC", items(&nowhere)).await;
    assert_eq!(codes(&refused), ["BATCH_ABORTED", "INVALID", "BATCH_ABORTED"]);
    assert_eq!(refused["userErrors"][0]["field"], json!(["items", "1", "subject"]));
    assert_eq!(before, rows::of(db, organization).await);
    // No key has been used up.
    from_sales["lines"][0]["quantity"] = json!(10);
    let made = batch(&owner, "ATOMIC", items(&from_sales)).await;
    assert_eq!(made["userErrors"], json!([]));
    let results = made["results"].as_array().unwrap();
    let of_each = |field: &str| results.iter().map(|result| result[field].clone()).collect::<Vec<_>>();
    let versions: Vec<_> = of_each("charge").iter().map(|charge| charge["version"].clone()).collect();
    assert_eq!(versions, [json!(3), json!(4), json!(5)], "in the order of the items");
    let balances: Vec<_> = of_each("balance").iter().map(|balance| balance["available"].clone()).collect();
    assert_eq!(balances, [json!(95), json!(85), json!(78)], "each as of its own place");
    assert_eq!(results[1]["accountBalance"]["available"], 0);
    assert_eq!(owner.balance(&demo.pool).await, (78, 5));
}

async fn each_on_its_own(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let unknown = json!({ "poolId": demo.pool, "idempotencyKey": "u",
        "lines": [{ "service": "FURNITURE_REMOVAL" }, { "service": "NO_SUCH" }] });
    let mut taken = of(&demo.pool, "t1", 1);
    taken["reference"] = json!("job");
    let mut again = of(&demo.pool, "t2", 1);
    again["reference"] = json!("job");
    let mut elsewhere = of("pool_00000000000000000000000000", "e", 1);
    elsewhere["reference"] = json!("elsewhere");
    let items = vec![
        of(&demo.pool, "a", 60),
        unknown,
        of(&demo.pool, "b", 60),
        taken,
        again,
        elsewhere,
        of(&demo.pool, "c", 39),
    ];
    let made = batch(&owner, "EACH", items).await;
    assert_eq!(
        codes(&made),
        ["none", "SERVICE_UNKNOWN", "INSUFFICIENT_CREDITS", "none", "REFERENCE_TAKEN", "NOT_FOUND", "none"]
    );
    let fields: Vec<String> = made["userErrors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| {
            error["field"]
                .as_array()
                .unwrap()
                .iter()
                .map(|part| part.as_str().unwrap())
                .collect::<Vec<_>>()
                .join(".")
        })
        .collect();
    assert_eq!(fields, ["items.1.lines.1.service", "items.2.poolId", "items.4.reference", "items.5.poolId"]);
    assert_eq!(made["userErrors"][2]["chargeId"], made["results"][3]["charge"]["id"]);
    assert_eq!(owner.balance(&demo.pool).await, (0, 4));
}

async fn keys_are_those_of_charges(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let alone = owner.charge(of(&demo.pool, "alone", 2)).await;
    let items = vec![of(&demo.pool, "one", 3), of(&demo.pool, "alone", 2), of(&demo.pool, "two", 4)];
    let made = batch(&owner, "ATOMIC", items.clone()).await;
    assert_eq!(made["userErrors"], json!([]));
    let replayed: Vec<_> =
        made["results"].as_array().unwrap().iter().map(|result| result["replayed"] == true).collect();
    assert_eq!(replayed, [false, true, false]);
    assert_eq!(made["results"][1]["charge"]["id"], alone["charge"]["id"]);
    for mode in ["ATOMIC", "EACH"] {
        let again = batch(&owner, mode, items.clone()).await;
        for (first, second) in
            made["results"].as_array().unwrap().iter().zip(again["results"].as_array().unwrap())
        {
            assert_eq!(second["replayed"], true, "{mode}");
            assert_eq!(
                (&first["charge"], &first["balance"]),
                (&second["charge"], &second["balance"]),
                "{mode}"
            );
        }
    }
    let single = owner.charge(of(&demo.pool, "two", 4)).await;
    assert_eq!(
        (&single["replayed"], &single["charge"]["id"]),
        (&json!(true), &made["results"][2]["charge"]["id"])
    );
    let other = batch(&owner, "EACH", vec![of(&demo.pool, "two", 5), of(&demo.pool, "three", 1)]).await;
    assert_eq!(codes(&other), ["IDEMPOTENCY_CONFLICT", "none"]);
    assert_eq!(other["userErrors"][0]["field"], json!(["items", "0", "idempotencyKey"]));
    assert_eq!(owner.balance(&demo.pool).await, (90, 5));
}

async fn one_key_twice_in_a_batch(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    for (mode, key) in [("ATOMIC", "x"), ("EACH", "y")] {
        let made = batch(&owner, mode, vec![of(&demo.pool, key, 2), of(&demo.pool, key, 2)]).await;
        assert_eq!(codes(&made), ["none", "none"], "{made}");
        assert_eq!(
            (&made["results"][0]["replayed"], &made["results"][1]["replayed"]),
            (&json!(false), &json!(true))
        );
        assert_eq!(made["results"][0]["charge"]["id"], made["results"][1]["charge"]["id"]);
    }
    assert_eq!(owner.balance(&demo.pool).await, (96, 3));
    let two = |key: &str| vec![of(&demo.pool, key, 2), of(&demo.pool, key, 3)];
    assert_eq!(codes(&batch(&owner, "ATOMIC", two("z")).await), ["BATCH_ABORTED", "IDEMPOTENCY_CONFLICT"]);
    assert_eq!(owner.balance(&demo.pool).await, (96, 3));
    assert_eq!(codes(&batch(&owner, "EACH", two("z")).await), ["none", "IDEMPOTENCY_CONFLICT"]);
    assert_eq!(owner.balance(&demo.pool).await, (94, 4));
}

async fn bounds_of_a_batch(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    world.grant(&demo.organization, &demo.pool, 1_000).await;
    let many = |count: usize| (0..count).map(|n| of(&demo.pool, &format!("n{n}"), 1)).collect::<Vec<_>>();
    for (mode, items) in
        [("ATOMIC", many(501)), ("EACH", many(501)), ("ATOMIC", Vec::new()), ("EACH", Vec::new())]
    {
        let refused = batch(&owner, mode, items).await;
        let error = &refused["userErrors"][0];
        assert_eq!((&error["code"], &error["field"]), (&json!("INVALID"), &json!(["items"])), "{refused}");
        assert_eq!(refused["results"], json!([]));
    }
    // Pools of two organizations, both of which the operator may charge.
    let rival = world.found("rival").await;
    let query = r#"{ organization(by: { slug: "rival" }) { id } }"#;
    let id = rival.query(query, json!({})).await["organization"]["id"].clone();
    let input = json!({ "organizationId": id, "name": "Pool" });
    let pool =
        rival.mutate("createPool", "CreatePoolInput", input, "pool { id }").await["pool"]["id"].clone();
    let operator = world.client("operator@bursar.test").await;
    let before = owner.balance(&demo.pool).await;
    for mode in ["ATOMIC", "EACH"] {
        let items = vec![of(&demo.pool, "a", 1), of(pool.as_str().unwrap(), "b", 1)];
        let refused = batch(&operator, mode, items).await;
        let error = &refused["userErrors"][0];
        assert_eq!((&error["code"], &error["field"]), (&json!("INVALID"), &json!(["items", "1", "poolId"])));
        assert_eq!(refused["results"], json!([]));
    }
    assert_eq!(owner.balance(&demo.pool).await, before);
    let made = batch(&owner, "ATOMIC", many(500)).await;
    assert_eq!((made["userErrors"].clone(), made["results"].as_array().unwrap().len()), (json!([]), 500));
    assert_eq!(owner.balance(&demo.pool).await, (before.0 - 500, before.1 + 500));
    for (input, named) in [
        (json!({ "mode": "SOME", "items": [of(&demo.pool, "k", 1)] }), "mode"),
        (json!({ "items": [of(&demo.pool, "k", 1)] }), "mode"),
        (
            json!({ "mode": "EACH", "items": [{ "poolId": demo.pool, "idempotencyKey": "k" }] }),
            "items.0.lines",
        ),
        (json!({ "mode": "EACH", "items": [of(&demo.pool, "", 1)] }), "items.0.idempotencyKey"),
    ] {
        let query = "mutation M($i: ChargeCreditsBatchInput!) { chargeCreditsBatch(input: $i) { userErrors { code } } }";
        let body = owner.raw(query, json!({ "i": input })).await;
        let error = &body["errors"][0]["extensions"];
        assert_eq!(error["code"], "BAD_USER_INPUT", "{body}");
        let field: Vec<_> =
            error["field"].as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
        assert_eq!(field.join("."), named, "{body}");
    }
}

async fn rehearsing_a_batch(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let organization = global_id::decode(&demo.organization).unwrap();
    let db = &world.services().context.db;
    let fields = "results { charge { credits version } balance { available version } accountBalance { available } replayed
        userErrors { code field } }";
    for (mode, key, last) in [("ATOMIC", "a", 30), ("EACH", "e", 60)] {
        let items: Vec<Value> = [10, 20, last]
            .iter()
            .enumerate()
            .map(|(n, credits)| of(&demo.pool, &format!("{key}{n}"), *credits))
            .collect();
        let run = async |dry_run: bool| {
            let input = json!({ "mode": mode, "items": items, "dryRun": dry_run });
            owner.try_mutate("chargeCreditsBatch", "ChargeCreditsBatchInput", input, fields).await
        };
        let before = rows::of(db, organization).await;
        let dry = run(true).await;
        assert_eq!(before, rows::of(db, organization).await, "a dry run wrote something");
        assert_eq!(dry, run(false).await);
        assert_ne!(before, rows::of(db, organization).await);
    }
    assert_eq!(owner.balance(&demo.pool).await, (10, 6), "the last one of the second was more than was left");
}

async fn each_item_is_authorized(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    owner.allocate(&demo.pool, &demo.sales, 10, "s").await;
    owner.allocate(&demo.pool, &demo.marketing, 10, "m").await;
    let member = world.client("member@demo.test").await;
    let items = |key: &str| {
        let whose = [Some(&demo.sales), Some(&demo.marketing), None, Some(&demo.sales)];
        let item = |(n, department): (usize, &Option<&String>)| {
            let mut input = of(&demo.pool, &format!("{key}{n}"), 1);
            input["departmentId"] = json!(department);
            input
        };
        whose.iter().enumerate().map(item).collect::<Vec<_>>()
    };
    let atomic = batch(&member, "ATOMIC", items("a")).await;
    assert_eq!(codes(&atomic), ["BATCH_ABORTED", "NOT_FOUND", "FORBIDDEN", "BATCH_ABORTED"]);
    assert_eq!(atomic["userErrors"][0]["field"], json!(["items", "1", "departmentId"]));
    assert_eq!(owner.balance(&demo.pool).await, (100, 3));
    let each = batch(&member, "EACH", items("e")).await;
    assert_eq!(codes(&each), ["none", "NOT_FOUND", "FORBIDDEN", "none"]);
    assert_eq!(owner.balance(&demo.pool).await, (98, 5));
}
