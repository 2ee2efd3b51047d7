//! How holds end: at their time, after the lot that they are of, and in rehearsals not at all.

use bursar::global_id;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::uses::{CAPTURE, HOLD, VOID, capture, hold, issue, newest, of, standing, void};
use crate::support::{Backend, World, rows};

on_both_databases!(a_hold_runs_out_of_time, a_hold_outlives_its_lot, rehearsals_leave_nothing);

async fn a_hold_runs_out_of_time(backend: Backend) {
    let (start, clock) = standing();
    let world = World::start_at(backend, clock.clone()).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let mut input = of(&demo.pool, "h", 90);
    input["ttlSeconds"] = json!(3_600);
    let made = hold(&owner, input).await;
    let id = made["hold"]["id"].clone();
    clock.turn(start.plus_seconds(3_599));
    let lines = json!([{ "service": "FURNITURE_REMOVAL", "quantity": 10 }]);
    let part = capture(&owner, json!({ "holdId": id, "lines": lines, "idempotencyKey": "c" })).await;
    assert_eq!((&part["hold"]["state"], &part["hold"]["remaining"]), (&json!("OPEN"), &json!(80)));
    // At its very instant, whether or not that has been booked.
    clock.turn(start.plus_seconds(3_600));
    let query =
        "query N($id: ID!) { node(id: $id) { ... on Hold { state remaining captured expiresAt closedAt } } }";
    let shown = owner.query(query, json!({ "id": id })).await["node"].clone();
    assert_eq!(
        (&shown["state"], &shown["remaining"], &shown["captured"]),
        (&json!("EXPIRED"), &json!(0), &json!(10))
    );
    assert_eq!(shown["closedAt"], made["hold"]["expiresAt"]);
    for (state, count) in [("OPEN", 0), ("EXPIRED", 1), ("CAPTURED", 0), ("VOIDED", 0)] {
        let query = format!(
            "{{ pool(id: \"{}\") {{ holds(filter: {{ state: {state} }}) {{ totalCount }} }} }}",
            demo.pool
        );
        assert_eq!(owner.query(&query, json!({})).await["pool"]["holds"]["totalCount"], count, "{state}");
    }
    for outcome in
        [capture(&owner, json!({ "holdId": id, "idempotencyKey": "c2" })).await, void(&owner, &id, "v").await]
    {
        let error = &outcome["userErrors"][0];
        assert_eq!(
            (&error["code"], &error["state"]),
            (&json!("HOLD_CLOSED"), &json!("EXPIRED")),
            "{outcome}"
        );
    }
    // What it held can be spent.
    assert_eq!(owner.charge(of(&demo.pool, "all", 90)).await["userErrors"], json!([]));
    let booked =
        newest(&owner, &demo.pool, 2, "kind credits effectiveAt hold { state } actor { kind }").await;
    assert_eq!(
        booked[1],
        json!({ "kind": "RELEASE", "credits": 80, "effectiveAt": made["hold"]["expiresAt"],
            "hold": { "state": "EXPIRED" }, "actor": null })
    );
    assert_eq!(booked[0]["kind"], "CHARGE");
    assert_eq!(owner.balance(&demo.pool).await.0, 0);
}

async fn a_hold_outlives_its_lot(backend: Backend) {
    let (start, clock) = standing();
    let world = World::start_at(backend, clock.clone()).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    issue(&world, &demo, 10, Some(start.plus_seconds(3_600))).await;
    let mut input = of(&demo.pool, "h", 10);
    input["ttlSeconds"] = json!(7_200);
    let id = hold(&owner, input).await["hold"]["id"].clone();
    clock.turn(start.plus_seconds(5_400));
    let lines = json!([{ "service": "FURNITURE_REMOVAL", "quantity": 4 }]);
    let last =
        capture(&owner, json!({ "holdId": id, "lines": lines, "final": true, "idempotencyKey": "c" })).await;
    assert_eq!(last["userErrors"], json!([]), "it was held in time");
    // What goes back to a lot that has lapsed is booked as expired in the same commit.
    assert_eq!((&last["balance"]["posted"], &last["balance"]["held"]), (&json!(100), &json!(0)));
    let booked = newest(&owner, &demo.pool, 3, "kind credits credit { kind } actor { user { email } }").await;
    let row = |kind: &str, credits: i64, to: &str| json!({ "kind": kind, "credits": credits, "credit": { "kind": to }, "actor": { "user": { "email": "owner@demo.test" } } });
    assert_eq!(
        booked,
        [row("LAPSE", 6, "EXPIRED"), row("RELEASE", 6, "CONSUMED"), row("CAPTURE", 4, "CONSUMED")]
    );
}

async fn rehearsals_leave_nothing(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let organization = global_id::decode(&demo.organization).unwrap();
    let db = &world.services().context.db;
    // What is not the same in an answer that is made twice.
    let same = |mut answer: Value| {
        for (part, field) in [
            ("hold", "id"),
            ("hold", "expiresAt"),
            ("hold", "closedAt"),
            ("charge", "id"),
            ("charge", "hold"),
        ] {
            if let Some(fields) = answer[part].as_object_mut() {
                fields.remove(field);
            }
        }
        answer
    };
    let twice = async |mutation: &str, input_type: &str, mut input: Value, fields: &str| {
        input["dryRun"] = json!(true);
        let before = rows::of(db, organization).await;
        let dry = owner.mutate(mutation, input_type, input.clone(), fields).await;
        assert_eq!(before, rows::of(db, organization).await, "{mutation}: a dry run wrote something");
        let id = dry["charge"]["id"].as_str().or(dry["hold"]["id"].as_str()).map(str::to_owned);
        if let Some(id) = id {
            let node = owner.query("query N($id: ID!) { node(id: $id) { id } }", json!({ "id": id })).await;
            assert_eq!(node["node"], Value::Null, "{mutation}");
        }
        input["dryRun"] = json!(false);
        let real = owner.mutate(mutation, input_type, input, fields).await;
        assert_eq!(real["replayed"], false);
        assert_eq!(same(dry), same(real.clone()), "{mutation}");
        real
    };
    let lines = json!([{ "service": "ADVANCED_STAGING", "quantity": 2 }, { "service": "FURNITURE_REMOVAL", "quantity": 3 }]);
    let made = |key: &str| json!({ "poolId": demo.pool, "lines": lines, "idempotencyKey": key });
    let id = twice("holdCredits", "HoldCreditsInput", made("h"), HOLD).await["hold"]["id"].clone();
    let some = json!([{ "service": "FURNITURE_REMOVAL", "quantity": 2 }]);
    let part = json!({ "holdId": id, "lines": some, "idempotencyKey": "c" });
    twice("captureHold", "CaptureHoldInput", part, CAPTURE).await;
    let last = json!({ "holdId": id, "lines": [{ "service": "ADVANCED_STAGING" }], "final": true, "idempotencyKey": "c2" });
    let last = twice("captureHold", "CaptureHoldInput", last, CAPTURE).await;
    assert_eq!(last["hold"]["lines"], json!([{ "capturedQuantity": 1 }, { "capturedQuantity": 2 }]));
    let id = hold(&owner, made("h2")).await["hold"]["id"].clone();
    let rest = json!({ "holdId": id, "idempotencyKey": "c3" });
    twice("captureHold", "CaptureHoldInput", rest, CAPTURE).await;
    let id = hold(&owner, made("h3")).await["hold"]["id"].clone();
    let input = json!({ "holdId": id, "reason": "The photos are gone", "idempotencyKey": "v" });
    twice("voidHold", "VoidHoldInput", input, VOID).await;
}
