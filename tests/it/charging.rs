//! Charging under repetition and concurrency, dry runs, quotes, and what a charge shows.

use bursar::global_id;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::{Backend, World, rows};

on_both_databases!(
    one_key_has_one_effect,
    funds_are_never_exceeded,
    a_dry_run_leaves_nothing,
    what_a_charge_shows,
    reclaim_and_lots,
    nobody_spends_in_the_name_of_a_colleague,
);

fn charge(pool: &str, key: &str, quantity: i64) -> Value {
    json!({ "poolId": pool, "lines": [{ "service": "FURNITURE_REMOVAL", "quantity": quantity }], "idempotencyKey": key })
}

async fn one_key_has_one_effect(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let input = json!({ "organizationId": demo.organization, "name": "Second" });
    let second =
        owner.mutate("createPool", "CreatePoolInput", input, "pool { id }").await["pool"]["id"].clone();
    let second = second.as_str().unwrap();
    let answers = join_all((0..40).map(|_| owner.charge(charge(&demo.pool, "same", 2)))).await;
    let first = answers.iter().filter(|answer| answer["replayed"] == false).count();
    assert_eq!(first, 1);
    for answer in &answers {
        assert_eq!(answer["userErrors"], json!([]));
        assert_eq!(answer["charge"], answers[0]["charge"]);
        assert_eq!(answer["balance"], answers[0]["balance"]);
        assert_eq!(answer["accountBalance"], answers[0]["accountBalance"]);
    }
    assert_eq!(owner.balance(&demo.pool).await, (98, 2));
    // The key belongs to the organization: on another pool it is a conflict, not a second charge.
    let elsewhere = owner.charge(charge(second, "same", 2)).await;
    assert_eq!(elsewhere["userErrors"][0]["code"], "IDEMPOTENCY_CONFLICT");
    // And to the mutation: another one may use the same.
    owner.allocate(&demo.pool, &demo.sales, 5, "same").await;
    let again = owner.allocate(&demo.pool, &demo.sales, 5, "same").await;
    assert_eq!((&again["replayed"], &again["allocation"]["balance"]["available"]), (&json!(true), &json!(5)));
    // The same new key at once on two pools: one wins, the other is told.
    let (_, url) = owner.checkout(second, "fund").await;
    owner.submit(&format!("{url}/pay")).await;
    for round in 0..5 {
        let key = format!("race-{round}");
        let (one, two) =
            tokio::join!(owner.charge(charge(&demo.pool, &key, 1)), owner.charge(charge(second, &key, 1)));
        let codes: Vec<_> = [&one, &two]
            .iter()
            .map(|answer| answer["userErrors"][0]["code"].as_str().unwrap_or("none"))
            .map(str::to_owned)
            .collect();
        assert!(
            codes.contains(&"none".to_owned()) && codes.contains(&"IDEMPOTENCY_CONFLICT".to_owned()),
            "{codes:?}"
        );
    }
}

async fn funds_are_never_exceeded(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    owner.allocate(&demo.pool, &demo.sales, 30, "a").await;
    // 50 charges of 1 from Sales, which has 30, and 90 from unallocated, which has 70.
    let from = |department: Option<&str>, n: i64| {
        let mut input = charge(&demo.pool, &format!("{department:?}-{n}"), 1);
        input["departmentId"] = json!(department);
        let owner = owner.clone();
        async move { owner.charge(input).await["userErrors"][0]["code"].as_str().unwrap_or("none").to_owned() }
    };
    let (sales, rest) = tokio::join!(
        join_all((0..50).map(|n| from(Some(&demo.sales), n))),
        join_all((0..90).map(|n| from(None, n)))
    );
    let count = |codes: &[String], code: &str| codes.iter().filter(|known| *known == code).count();
    assert_eq!((count(&sales, "none"), count(&sales, "INSUFFICIENT_CREDITS")), (30, 20));
    assert_eq!((count(&rest, "none"), count(&rest, "INSUFFICIENT_CREDITS")), (70, 20));
    assert_eq!(owner.balance(&demo.pool).await, (0, 102));
    let query = format!(
        "{{ pool(id: \"{}\") {{ transfers(first: 100) {{ nodes {{ version credits poolBalanceAfter hash }} pageInfo {{ endCursor hasNextPage }} }} }} }}",
        demo.pool
    );
    let page = owner.query(&query, json!({})).await["pool"]["transfers"].clone();
    let versions: Vec<_> =
        page["nodes"].as_array().unwrap().iter().map(|t| t["version"].as_i64().unwrap()).collect();
    assert_eq!(versions, (3..=102).rev().collect::<Vec<_>>());
    assert_eq!(page["nodes"][0]["poolBalanceAfter"], 0);
    let cursor = page["pageInfo"]["endCursor"].as_str().unwrap();
    let rest = query.replace("first: 100", &format!("first: 100, after: \"{cursor}\""));
    let rest = owner.query(&rest, json!({})).await["pool"]["transfers"].clone();
    assert_eq!(rest["nodes"].as_array().unwrap().len(), 2);
    assert_eq!(rest["pageInfo"]["hasNextPage"], false);
}

async fn a_dry_run_leaves_nothing(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let organization = global_id::decode(&demo.organization).unwrap();
    let db = &world.services().context.db;
    let before = rows::of(db, organization).await;
    let mut input = charge(&demo.pool, "dry", 3);
    input["dryRun"] = json!(true);
    let dry = owner.charge(input.clone()).await;
    assert_eq!(dry["userErrors"], json!([]));
    assert_eq!(
        (&dry["charge"]["credits"], &dry["balance"]["available"], &dry["charge"]["version"]),
        (&json!(3), &json!(97), &json!(2))
    );
    assert_eq!(dry["charge"]["slices"][0]["credits"], 3);
    let id = dry["charge"]["id"].clone();
    assert_eq!(
        owner.query("query N($id: ID!) { node(id: $id) { id } }", json!({ "id": id })).await["node"],
        Value::Null
    );
    let input = json!({ "poolId": demo.pool, "departmentId": demo.sales, "credits": 7, "idempotencyKey": "dry", "dryRun": true });
    let fields =
        "allocation { department { code } pool { id } } balance { version } transfers { version credits }";
    let moved = owner.mutate("allocateCredits", "AllocateCreditsInput", input, fields).await;
    assert_eq!((&moved["transfers"][0]["credits"], &moved["balance"]["version"]), (&json!(7), &json!(2)));
    assert_eq!(moved["allocation"]["department"]["code"], "SALES");
    let input = json!({ "poolId": demo.pool, "package": "STARTER", "idempotencyKey": "dry", "dryRun": true });
    let bought = owner
        .mutate("requestPurchase", "RequestPurchaseInput", input, "purchase { state total { amount } }")
        .await;
    assert_eq!(bought["purchase"], json!({ "state": "APPROVED", "total": { "amount": "199.00" } }));
    assert_eq!(before, rows::of(db, organization).await, "a dry run wrote something");
    // The key is not taken, and the real run does what the dry run said.
    let mut input = charge(&demo.pool, "dry", 3);
    input["reference"] = json!("job");
    let real = owner.charge(input).await;
    assert_eq!((&real["replayed"], &real["balance"]), (&json!(false), &dry["balance"]));
}

async fn what_a_charge_shows(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    owner.allocate(&demo.pool, &demo.sales, 40, "a").await;
    let query = r#"{ organization(by: { slug: "demo" }) { members { nodes { id user { email } } } } }"#;
    let members = owner.query(query, json!({})).await;
    let nodes = members["organization"]["members"]["nodes"].as_array().unwrap();
    let member = nodes.iter().find(|node| node["user"]["email"] == "member@demo.test").unwrap()["id"].clone();
    let quote = "query Q($i: QuoteChargeInput!) { quoteCharge(input: $i) { pool { id } credits affordable available lines { service quantity creditsEach credits } userErrors { code } } }";
    let lines = json!([{ "service": "ADVANCED_STAGING", "quantity": 2 }, { "service": "FURNITURE_REMOVAL" }]);
    let quoted = owner
        .query(quote, json!({ "i": { "poolId": demo.pool, "departmentId": demo.sales, "lines": lines } }))
        .await;
    let expected_lines = json!([
        { "service": "ADVANCED_STAGING", "quantity": 2, "creditsEach": 3, "credits": 6 },
        { "service": "FURNITURE_REMOVAL", "quantity": 1, "creditsEach": 1, "credits": 1 },
    ]);
    assert_eq!(
        quoted["quoteCharge"],
        json!({ "pool": { "id": demo.pool }, "credits": 7, "affordable": true, "available": 40, "lines": expected_lines, "userErrors": [] })
    );
    let too_much = json!([{ "service": "ADVANCED_STAGING", "quantity": 14 }]);
    let quoted = owner
        .query(quote, json!({ "i": { "poolId": demo.pool, "departmentId": demo.sales, "lines": too_much } }))
        .await;
    assert_eq!(
        (&quoted["quoteCharge"]["affordable"], &quoted["quoteCharge"]["credits"]),
        (&json!(false), &json!(42))
    );
    assert_eq!(quoted["quoteCharge"]["userErrors"][0]["code"], "INSUFFICIENT_CREDITS");

    let input = json!({ "poolId": demo.pool, "departmentId": demo.sales, "onBehalfOfId": member, "lines": lines, "idempotencyKey": "k",
        "reference": "job-7", "subject": "12 Elm Street", "metadata": { "style": "scandinavian", "rooms": [1, 2], "nested": { "a": null } } });
    let manager = world.client("manager@demo.test").await;
    let charged = manager.charge(input).await;
    assert_eq!(charged["userErrors"], json!([]));
    let query = "query C($id: ID!) { node(id: $id) { ... on Charge { reference subject metadata credits
        actor { kind user { email } } onBehalfOf { user { email } } department { code } pool { name }
        lines { service quantity creditsEach credits } slices { credits cost { amount currency } lot { source class cost { amount } } } } } }";
    let shown = owner.query(query, json!({ "id": charged["charge"]["id"] })).await["node"].clone();
    assert_eq!(
        shown["metadata"],
        json!({ "style": "scandinavian", "rooms": [1, 2], "nested": { "a": null } })
    );
    assert_eq!(shown["actor"], json!({ "kind": "USER", "user": { "email": "manager@demo.test" } }));
    assert_eq!(shown["onBehalfOf"]["user"]["email"], "member@demo.test");
    assert_eq!((&shown["reference"], &shown["subject"]), (&json!("job-7"), &json!("12 Elm Street")));
    assert_eq!(shown["lines"], expected_lines);
    assert_eq!(
        shown["slices"],
        json!([{ "credits": 7, "cost": { "amount": "13.93", "currency": "USD" }, "lot": { "source": "PURCHASE", "class": "PAID", "cost": { "amount": "199.00" } } }])
    );
    // A pool that pays for some services only.
    let input = json!({ "poolId": demo.pool, "allowedServices": ["STYLE_CHANGE"] });
    owner.mutate("updatePool", "UpdatePoolInput", input, "pool { allowedServices { code } }").await;
    let refused = owner.charge(json!({ "poolId": demo.pool, "lines": lines, "idempotencyKey": "k2" })).await;
    assert_eq!(refused["userErrors"][0]["code"], "SERVICE_NOT_ALLOWED");
    assert_eq!(refused["userErrors"][0]["field"], json!(["lines", "0", "service"]));
    let input = json!({ "poolId": demo.pool, "allowedServices": null });
    let updated =
        owner.mutate("updatePool", "UpdatePoolInput", input, "pool { name allowedServices { code } }").await;
    assert_eq!(updated["pool"], json!({ "name": "Main", "allowedServices": null }));
    assert_eq!(
        owner.charge(json!({ "poolId": demo.pool, "lines": lines, "idempotencyKey": "k2" })).await["userErrors"],
        json!([])
    );
}

async fn reclaim_and_lots(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let (_, url) = owner.checkout(&demo.pool, "second lot").await;
    owner.submit(&format!("{url}/pay")).await;
    owner.allocate(&demo.pool, &demo.sales, 150, "a").await;
    // 100 of the older lot and 50 of the younger; a charge takes the older first.
    let lines = json!([{ "service": "FURNITURE_REMOVAL", "quantity": 120 }]);
    let input =
        json!({ "poolId": demo.pool, "departmentId": demo.sales, "lines": lines, "idempotencyKey": "k" });
    let charged = owner.charge(input).await;
    let slices = charged["charge"]["slices"].as_array().unwrap();
    let taken: Vec<_> = slices
        .iter()
        .map(|slice| (slice["credits"].as_i64().unwrap(), slice["cost"]["amount"].as_str().unwrap()))
        .collect();
    assert_eq!(taken, [(100, "199.00"), (20, "39.80")]);
    assert_ne!(slices[0]["lot"]["id"], slices[1]["lot"]["id"]);
    assert_eq!(charged["charge"]["version"], 6, "two lots, two transfers to Sales, two slices");
    let input =
        json!({ "poolId": demo.pool, "departmentId": demo.sales, "credits": 31, "idempotencyKey": "r" });
    let short = owner.try_mutate("reclaimCredits", "ReclaimCreditsInput", input, "").await;
    assert_eq!(
        (&short["userErrors"][0]["available"], &short["userErrors"][0]["shortBy"]),
        (&json!(30), &json!(1))
    );
    let input = json!({ "poolId": demo.pool, "departmentId": demo.sales, "credits": 30, "idempotencyKey": "r", "reason": "Season is over" });
    let fields = "allocation { balance { available } } balance { available } transfers { kind reason cost { amount } }";
    let back = owner.mutate("reclaimCredits", "ReclaimCreditsInput", input, fields).await;
    assert_eq!(back["allocation"]["balance"]["available"], 0);
    assert_eq!(
        back["transfers"],
        json!([{ "kind": "RECLAIM", "reason": "Season is over", "cost": { "amount": "59.70" } }])
    );
    let query = format!(
        "{{ pool(id: \"{}\") {{ unallocated {{ available }} lots {{ nodes {{ remaining purchase {{ state }} }} }} }} }}",
        demo.pool
    );
    let pool = owner.query(&query, json!({})).await["pool"].clone();
    assert_eq!(pool["unallocated"]["available"], 80);
    let lots = json!([{ "remaining": 80, "purchase": { "state": "COMPLETED" } }, { "remaining": 0, "purchase": { "state": "COMPLETED" } }]);
    assert_eq!(pool["lots"]["nodes"], lots);
    // Now the department can be archived, and then neither gets nor spends anything.
    let input = json!({ "departmentId": demo.sales });
    owner.mutate("archiveDepartment", "ArchiveDepartmentInput", input, "department { archivedAt }").await;
    let input =
        json!({ "poolId": demo.pool, "departmentId": demo.sales, "credits": 1, "idempotencyKey": "x" });
    let refused = owner.try_mutate("allocateCredits", "AllocateCreditsInput", input, "").await;
    assert_eq!(refused["userErrors"][0]["code"], "DEPARTMENT_ARCHIVED");
}

/// What is charged on somebody's behalf counts as theirs: a cap on a member cannot be passed by naming another.
async fn nobody_spends_in_the_name_of_a_colleague(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    owner.allocate(&demo.pool, &demo.sales, 40, "a").await;
    let id = async |email: &str| {
        let client = world.client(email).await;
        let mine = client.query("{ viewer { memberships { id } } }", json!({})).await;
        mine["viewer"]["memberships"][0]["id"].as_str().unwrap().to_owned()
    };
    let (milo, mona) = (id("member@demo.test").await, id("manager@demo.test").await);
    let aubrey = id("auditor@demo.test").await;
    let input = json!({ "poolId": demo.pool, "scope": { "memberId": milo }, "credits": 0 });
    owner.mutate("createSpendingCap", "CreateSpendingCapInput", input, "cap { id }").await;
    for (caller, on_behalf_of, expected) in [
        ("member@demo.test", None, "CAP_EXCEEDED"),
        ("member@demo.test", Some(&milo), "CAP_EXCEEDED"),
        ("member@demo.test", Some(&mona), "FORBIDDEN"),
        ("member@demo.test", Some(&aubrey), "FORBIDDEN"),
        ("manager@demo.test", Some(&milo), "CAP_EXCEEDED"),
        ("manager@demo.test", Some(&mona), "none"),
        // Not in the department that the manager manages, who does not see who else there is.
        ("manager@demo.test", Some(&aubrey), "NOT_FOUND"),
        ("admin@demo.test", Some(&aubrey), "none"),
        ("operator@bursar.test", Some(&milo), "CAP_EXCEEDED"),
    ] {
        let client = world.client(caller).await;
        let mut input = charge(&demo.pool, &format!("{caller} {on_behalf_of:?}"), 1);
        (input["departmentId"], input["onBehalfOfId"]) = (json!(demo.sales), json!(on_behalf_of));
        let outcome = client.charge(input).await;
        let code = outcome["userErrors"][0]["code"].as_str().unwrap_or("none");
        assert_eq!(code, expected, "{caller} on behalf of {on_behalf_of:?}: {outcome}");
    }
}
