//! Why a charge costs what it costs and takes what it takes: before it is made, and afterwards.

use bursar::global_id;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::uses::{issue, of, standing};
use crate::support::{Backend, World, rows};

on_both_databases!(a_charge_to_come_is_explained, a_charge_that_was_made_is_explained);

const PARTS: &str = "credits accepted lines { service quantity creditsEach credits priceVersion { creditsPerUnit effectiveFrom } }
    slices { credits reason lot { id } allocation { department { code } } }
    limits { capId scope headroom } userErrors { code field }";

async fn a_charge_to_come_is_explained(backend: Backend) {
    let (start, clock) = standing();
    let world = World::start_at(backend, clock).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let organization = global_id::decode(&demo.organization).unwrap();
    let db = &world.services().context.db;
    issue(&world, &demo, 4, Some(start.plus_days(9))).await;
    issue(&world, &demo, 3, Some(start.plus_days(5))).await;
    let query = format!("query E($i: QuoteChargeInput!) {{ explainCharge(input: $i) {{ {PARTS} }} }}");
    let explain =
        async |input: Value| owner.query(&query, json!({ "i": input })).await["explainCharge"].clone();
    let before = rows::of(db, organization).await;
    let lines = json!([{ "service": "ADVANCED_STAGING", "quantity": 2 }, { "service": "FURNITURE_REMOVAL" }, { "service": "STYLE_CHANGE" }]);
    let explained = explain(json!({ "poolId": demo.pool, "lines": lines })).await;
    assert_eq!((&explained["credits"], &explained["accepted"]), (&json!(9), &json!(true)));
    let price = |each: i64| json!({ "creditsPerUnit": each, "effectiveFrom": "2025-01-01T00:00:00.000000Z" });
    assert_eq!(
        explained["lines"][0],
        json!({ "service": "ADVANCED_STAGING", "quantity": 2, "creditsEach": 3, "credits": 6, "priceVersion": price(3) })
    );
    let slices = explained["slices"].as_array().unwrap();
    let reasons: Vec<_> =
        slices.iter().map(|slice| (&slice["credits"], slice["reason"].as_str().unwrap())).collect();
    assert_eq!(
        reasons,
        [
            (&json!(3), "It expires before what comes next."),
            (&json!(4), "It has a lower priority number than what comes next."),
            (&json!(2), "Nothing comes after it there."),
        ]
    );
    assert!(slices.iter().all(|slice| slice["allocation"].is_null() && slice["lot"]["id"].is_string()));
    assert_eq!((&explained["limits"], &explained["userErrors"]), (&json!([]), &json!([])));
    // What would be refused, and why.
    let refused = explain(json!({ "poolId": demo.pool, "departmentId": demo.sales, "lines": lines })).await;
    assert_eq!(
        (&refused["accepted"], &refused["credits"], &refused["slices"]),
        (&json!(false), &json!(9), &json!([]))
    );
    assert_eq!(refused["userErrors"], json!([{ "code": "INSUFFICIENT_CREDITS", "field": ["departmentId"] }]));
    let unknown = explain(json!({ "poolId": demo.pool, "lines": [{ "service": "NO_SUCH" }] })).await;
    assert_eq!((&unknown["credits"], &unknown["lines"]), (&Value::Null, &json!([])));
    assert_eq!(
        unknown["userErrors"],
        json!([{ "code": "SERVICE_UNKNOWN", "field": ["lines", "0", "service"] }])
    );
    let nobody =
        json!({ "poolId": demo.pool, "onBehalfOfId": "member_00000000000000000000000000", "lines": lines });
    assert_eq!(
        explain(nobody).await["userErrors"],
        json!([{ "code": "NOT_FOUND", "field": ["onBehalfOfId"] }])
    );
    assert_eq!(before, rows::of(db, organization).await, "an explanation wrote something");
    // What was explained is what is then done.
    let charged = owner.charge(json!({ "poolId": demo.pool, "lines": lines, "idempotencyKey": "k" })).await;
    let taken = charged["charge"]["slices"].as_array().unwrap();
    let parts = |slices: &[Value]| {
        slices.iter().map(|slice| (slice["lot"]["id"].clone(), slice["credits"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(parts(taken), parts(slices));
}

async fn a_charge_that_was_made_is_explained(backend: Backend) {
    let (start, clock) = standing();
    let world = World::start_at(backend, clock).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    issue(&world, &demo, 4, Some(start.plus_days(9))).await;
    owner.allocate(&demo.pool, &demo.sales, 20, "a").await;
    let mut input = of(&demo.pool, "k", 6);
    input["departmentId"] = json!(demo.sales);
    let charge = owner.charge(input).await["charge"]["id"].clone();
    let query =
        format!("query N($id: ID!) {{ node(id: $id) {{ ... on Charge {{ explanation {{ {PARTS} }} }} }} }}");
    for (caller, sees) in [("owner@demo.test", true), ("member@demo.test", false)] {
        let client = world.client(caller).await;
        let explained = client.query(&query, json!({ "id": charge })).await["node"]["explanation"].clone();
        assert_eq!((&explained["credits"], &explained["accepted"]), (&json!(6), &json!(true)), "{caller}");
        assert_eq!((&explained["limits"], &explained["userErrors"]), (&Value::Null, &json!([])));
        assert_eq!(explained["lines"][0]["priceVersion"]["creditsPerUnit"], 1);
        let slices = explained["slices"].as_array().unwrap();
        let reasons: Vec<_> =
            slices.iter().map(|slice| (&slice["credits"], slice["reason"].as_str().unwrap())).collect();
        assert_eq!(
            reasons,
            [
                (&json!(4), "It has a lower priority number than what comes next."),
                (&json!(2), "It came next in the order of use, and had enough."),
            ]
        );
        assert!(slices.iter().all(|slice| slice["lot"]["id"].is_string() == sees), "{caller}");
        assert!(slices.iter().all(|slice| slice["allocation"]["department"]["code"] == "SALES"), "{caller}");
    }
}
