//! Refunds: never more than was charged, newest slices first, by whom and how far, into lots that are gone.

use bursar::global_id;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::uses::{capture, hold, issue, of, standing};
use crate::support::{Backend, Client, World, rows};

on_both_databases!(
    a_charge_is_given_back_in_parts,
    the_newest_slices_come_back_first,
    refunds_never_exceed_their_charge,
    guarantees_cover_so_much,
    lots_that_have_lapsed,
    a_rehearsal_leaves_nothing
);

const REFUND: &str = "refund { id credits cost { amount currency } providerFault guaranteed reason version
      actor { kind } charge { id refunded refundable }
      slices { credits cost { amount } to version lot { id } replacement { credits class replaces { id } expiresAt } } }
    balance { posted available version } accountBalance { posted available } replayed";

async fn refund(client: &Client, input: Value) -> Value {
    client.try_mutate("refundCharge", "RefundChargeInput", input, REFUND).await
}

async fn a_charge_is_given_back_in_parts(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let operator = world.client("operator@bursar.test").await;
    let demo = owner.demo().await;
    owner.allocate(&demo.pool, &demo.sales, 40, "a").await;
    let lines = json!([{ "service": "ADVANCED_STAGING", "quantity": 2 }, { "service": "FURNITURE_REMOVAL" }]);
    let input =
        json!({ "poolId": demo.pool, "departmentId": demo.sales, "lines": lines, "idempotencyKey": "k" });
    let charge = owner.charge(input).await["charge"]["id"].clone();
    let some =
        json!({ "chargeId": charge, "credits": 3, "reason": "One room was blurred", "idempotencyKey": "r1" });
    let first = refund(&operator, some.clone()).await;
    assert_eq!(first["userErrors"], json!([]));
    let back = &first["refund"];
    assert_eq!(
        (&back["credits"], &back["cost"], &back["reason"], &back["providerFault"], &back["guaranteed"]),
        (
            &json!(3),
            &json!({ "amount": "5.97", "currency": "USD" }),
            &json!("One room was blurred"),
            &json!(false),
            &json!(false)
        )
    );
    assert_eq!(back["charge"], json!({ "id": charge, "refunded": 3, "refundable": 4 }));
    assert_eq!(back["actor"]["kind"], "USER");
    assert_eq!((&back["slices"][0]["credits"], &back["slices"][0]["to"]), (&json!(3), &json!("ALLOCATION")));
    assert_eq!(first["balance"], json!({ "posted": 96, "available": 96, "version": 4 }));
    assert_eq!(first["accountBalance"], json!({ "posted": 36, "available": 36 }));
    let again = refund(&operator, some).await;
    assert_eq!((&again["replayed"], &again["refund"]["id"]), (&json!(true), &back["id"]));
    assert_eq!(again["balance"], first["balance"]);
    let refused = |code: &str, field: &str, outcome: &Value| {
        let error = &outcome["userErrors"][0];
        assert_eq!((&error["code"], &error["field"]), (&json!(code), &json!([field])), "{outcome}");
        error.clone()
    };
    let much = json!({ "chargeId": charge, "credits": 5, "idempotencyKey": "r2" });
    let error = refused("REFUND_EXCEEDS_CHARGE", "credits", &refund(&operator, much).await);
    assert_eq!(error["refundable"], 4);
    let none = json!({ "chargeId": charge, "credits": 0, "idempotencyKey": "r2" });
    refused("AMOUNT_OUT_OF_RANGE", "credits", &refund(&operator, none).await);
    for bad in ["charge_00000000000000000000000000", "nonsense", demo.pool.as_str()] {
        let input = json!({ "chargeId": bad, "idempotencyKey": "r2" });
        refused("NOT_FOUND", "chargeId", &refund(&operator, input).await);
    }
    let other = json!({ "chargeId": charge, "credits": 2, "idempotencyKey": "r1" });
    refused("IDEMPOTENCY_CONFLICT", "idempotencyKey", &refund(&operator, other).await);
    // Without an amount it is all that is left, and the money adds up: 5.97 and 7.96 are 13.93.
    let rest = refund(&operator, json!({ "chargeId": charge, "idempotencyKey": "r2" })).await;
    assert_eq!((&rest["refund"]["credits"], &rest["refund"]["cost"]["amount"]), (&json!(4), &json!("7.96")));
    assert_eq!(rest["balance"]["posted"], 100);
    let done = refund(&operator, json!({ "chargeId": charge, "idempotencyKey": "r3" })).await;
    assert_eq!(done["userErrors"][0]["refundable"], 0);
    // It is a thing of its own, and the charge shows it.
    let query = "query N($ids: [ID!]!) { nodes(ids: $ids) { id __typename ... on Refund { credits }
        ... on Charge { refunded refundable refunds { id credits } } } }";
    let member = world.client("member@demo.test").await;
    let ids = json!([charge, first["refund"]["id"], rest["refund"]["id"]]);
    for client in [&owner, &member] {
        let nodes = client.query(query, json!({ "ids": ids })).await["nodes"].clone();
        let refunds = json!([{ "id": ids[1], "credits": 3 }, { "id": ids[2], "credits": 4 }]);
        assert_eq!(
            nodes[0],
            json!({ "id": charge, "__typename": "Charge", "refunded": 7, "refundable": 0, "refunds": refunds })
        );
        assert_eq!(nodes[2], json!({ "id": ids[2], "__typename": "Refund", "credits": 4 }));
    }
    // What captures a hold is a charge like any other.
    let held = hold(&owner, of(&demo.pool, "h", 5)).await["hold"]["id"].clone();
    let captured = capture(&owner, json!({ "holdId": held, "idempotencyKey": "c" })).await;
    let input = json!({ "chargeId": captured["charge"]["id"], "idempotencyKey": "r4" });
    let back = refund(&operator, input).await;
    assert_eq!((&back["refund"]["credits"], &back["balance"]["posted"]), (&json!(5), &json!(100)));
    assert_eq!(back["refund"]["slices"][0]["to"], "UNALLOCATED");
}

async fn the_newest_slices_come_back_first(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let operator = world.client("operator@bursar.test").await;
    let demo = owner.demo().await;
    let (_, url) = owner.checkout(&demo.pool, "second lot").await;
    owner.submit(&format!("{url}/pay")).await;
    let charged = owner.charge(of(&demo.pool, "k", 120)).await;
    let slices = charged["charge"]["slices"].clone();
    assert_eq!((&slices[0]["credits"], &slices[1]["credits"]), (&json!(100), &json!(20)));
    let input = |credits: i64, key: &str| json!({ "chargeId": charged["charge"]["id"], "credits": credits, "idempotencyKey": key });
    let parts = |refunded: &Value| {
        let slices = refunded["refund"]["slices"].as_array().unwrap();
        slices.iter().map(|slice| (slice["lot"]["id"].clone(), slice["credits"].clone())).collect::<Vec<_>>()
    };
    let (older, younger) = (slices[0]["lot"]["id"].clone(), slices[1]["lot"]["id"].clone());
    assert_eq!(parts(&refund(&operator, input(15, "r1")).await), [(younger.clone(), json!(15))]);
    let both = [(younger, json!(5)), (older.clone(), json!(30))];
    assert_eq!(parts(&refund(&operator, input(35, "r2")).await), both);
    assert_eq!(parts(&refund(&operator, input(70, "r3")).await), [(older.clone(), json!(70))]);
    assert_eq!(owner.balance(&demo.pool).await.0, 200);
    let query = "query L($id: ID!) { node(id: $id) { ... on Lot { remaining uses(first: 3) { totalCount nodes { kind credits } } } } }";
    let lot = owner.query(query, json!({ "id": older })).await["node"].clone();
    let row = |kind: &str, credits: i64| json!({ "kind": kind, "credits": credits });
    let newest = json!([row("REFUND", 70), row("REFUND", 30), row("CHARGE", 100)]);
    assert_eq!(lot, json!({ "remaining": 100, "uses": { "totalCount": 4, "nodes": newest } }));
}

async fn refunds_never_exceed_their_charge(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let operator = world.client("operator@bursar.test").await;
    let demo = owner.demo().await;
    let charge = owner.charge(of(&demo.pool, "k", 10)).await["charge"]["id"].clone();
    let at_once = (0..12).map(|n| {
        let input = json!({ "chargeId": charge, "credits": 3, "idempotencyKey": format!("r{n}") });
        refund(&operator, input)
    });
    let at_once = join_all(at_once).await;
    let count = |code: &str| {
        at_once.iter().filter(|o| o["userErrors"][0]["code"].as_str().unwrap_or("none") == code).count()
    };
    assert_eq!((count("none"), count("REFUND_EXCEEDS_CHARGE")), (3, 9));
    assert_eq!(owner.balance(&demo.pool).await.0, 99);
    let whole =
        (0..4).map(|n| refund(&operator, json!({ "chargeId": charge, "idempotencyKey": format!("w{n}") })));
    let whole = join_all(whole).await;
    assert_eq!(whole.iter().filter(|outcome| outcome["userErrors"] == json!([])).count(), 1);
    assert_eq!(owner.balance(&demo.pool).await.0, 100);
}

async fn guarantees_cover_so_much(backend: Backend) {
    let (start, clock) = standing();
    let world = World::start_at(backend, clock.clone()).await;
    world.sql("UPDATE service SET guarantee_days = NULL, guarantee_quota = NULL").await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    owner.allocate(&demo.pool, &demo.sales, 40, "a").await;
    let mut charges = Vec::new();
    for n in 0..4 {
        let mut input = of(&demo.pool, &format!("c{n}"), 2);
        input["departmentId"] = json!(demo.sales);
        charges.push(owner.charge(input).await["charge"]["id"].clone());
    }
    let unallocated = owner.charge(of(&demo.pool, "u", 2)).await["charge"]["id"].clone();
    let input = |charge: &Value, guaranteed: bool, fault: bool| json!({ "chargeId": charge, "guaranteed": guaranteed, "providerFault": fault, "idempotencyKey": format!("{charge} {guaranteed} {fault}") });
    // Nobody but the operator without a guarantee, or says who is at fault.
    for (caller, plain, guaranteed) in [
        ("owner@demo.test", "FORBIDDEN", "GUARANTEE_DOES_NOT_COVER"),
        ("admin@demo.test", "FORBIDDEN", "GUARANTEE_DOES_NOT_COVER"),
        ("manager@demo.test", "FORBIDDEN", "GUARANTEE_DOES_NOT_COVER"),
        ("member@demo.test", "FORBIDDEN", "FORBIDDEN"),
        ("auditor@demo.test", "FORBIDDEN", "FORBIDDEN"),
        ("operator@bursar.test", "none", "GUARANTEE_DOES_NOT_COVER"),
    ] {
        let client = world.client(caller).await;
        for (guarantee, fault, wanted) in [
            (false, false, plain),
            (false, true, plain),
            (true, true, if plain == "none" { guaranteed } else { plain }),
            (true, false, guaranteed),
        ] {
            let mut input = input(&charges[0], guarantee, fault);
            input["dryRun"] = json!(true);
            let outcome = refund(&client, input).await;
            let code = outcome["userErrors"][0]["code"].as_str().unwrap_or("none");
            assert_eq!(code, wanted, "{caller} {guarantee} {fault}: {outcome}");
            if wanted == "GUARANTEE_DOES_NOT_COVER" {
                assert_eq!(outcome["userErrors"][0]["reason"], "NOT_OFFERED");
            }
        }
    }
    // A manager has no more to say about the charges of others than anybody else in the department.
    let manager = world.client("manager@demo.test").await;
    assert_eq!(
        refund(&manager, input(&unallocated, true, false)).await["userErrors"][0]["code"],
        "NOT_FOUND"
    );
    world
        .sql("UPDATE service SET guarantee_days = 3, guarantee_quota = 2 WHERE code = 'FURNITURE_REMOVAL'")
        .await;
    for charge in &charges[..2] {
        let back = refund(&manager, input(charge, true, false)).await;
        assert_eq!(back["userErrors"], json!([]));
        assert_eq!((&back["refund"]["guaranteed"], &back["refund"]["credits"]), (&json!(true), &json!(2)));
    }
    let third = refund(&manager, input(&charges[2], true, false)).await;
    assert_eq!(
        (
            &third["userErrors"][0]["code"],
            &third["userErrors"][0]["reason"],
            &third["userErrors"][0]["field"]
        ),
        (&json!("GUARANTEE_DOES_NOT_COVER"), &json!("QUOTA_REACHED"), &json!(["guaranteed"]))
    );
    // Beyond it the operator decides.
    let operator = world.client("operator@bursar.test").await;
    assert_eq!(refund(&operator, input(&charges[2], false, false)).await["userErrors"], json!([]));
    world.sql("UPDATE service SET guarantee_quota = NULL WHERE code = 'FURNITURE_REMOVAL'").await;
    clock.turn(start.plus_days(3));
    let manager = world.client("manager@demo.test").await;
    let mut on_time = input(&charges[3], true, false);
    on_time["dryRun"] = json!(true);
    assert_eq!(refund(&manager, on_time).await["userErrors"], json!([]));
    clock.turn(start.plus_days(3).plus_seconds(1));
    let late = refund(&manager, input(&charges[3], true, false)).await;
    assert_eq!(late["userErrors"][0]["reason"], "TOO_LATE");
}

async fn lots_that_have_lapsed(backend: Backend) {
    let (start, clock) = standing();
    let world = World::start_at(backend, clock.clone()).await;
    let owner = world.client("owner@demo.test").await;
    let operator = world.client("operator@bursar.test").await;
    let demo = owner.demo().await;
    issue(&world, &demo, 5, Some(start.plus_seconds(60))).await;
    let charged = owner.charge(of(&demo.pool, "k", 5)).await;
    let lot = charged["charge"]["slices"][0]["lot"]["id"].clone();
    clock.turn(start.plus_seconds(60));
    let input = |credits: i64, fault: bool, key: &str| json!({ "chargeId": charged["charge"]["id"], "credits": credits, "providerFault": fault, "idempotencyKey": key });
    let lost = refund(&operator, input(2, false, "r1")).await;
    let slice = &lost["refund"]["slices"][0];
    assert_eq!((&slice["to"], &slice["replacement"]), (&json!("EXPIRED"), &Value::Null), "{lost}");
    assert_eq!(lost["balance"]["posted"], 100);
    let replaced = refund(&operator, input(3, true, "r2")).await;
    let slice = &replaced["refund"]["slices"][0];
    assert_eq!((&slice["to"], &slice["lot"]["id"]), (&json!("UNALLOCATED"), &lot), "{replaced}");
    assert_eq!(
        (&slice["replacement"]["credits"], &slice["replacement"]["replaces"]["id"]),
        (&json!(3), &lot)
    );
    assert_eq!(slice["replacement"]["class"], "PROMOTIONAL");
    assert_eq!(replaced["refund"]["charge"]["refundable"], 0);
    assert_eq!(replaced["balance"]["posted"], 103);
    // Both halves of the way from one lot to the other name each other.
    let query = format!(
        "{{ pool(id: \"{}\") {{ transfers(first: 2) {{ nodes {{ kind version counterpart {{ version }} }} }} }} }}",
        demo.pool
    );
    let halves = owner.query(&query, json!({})).await["pool"]["transfers"]["nodes"].clone();
    assert_eq!(halves[0]["counterpart"]["version"], halves[1]["version"]);
    assert_eq!(halves[1]["counterpart"]["version"], halves[0]["version"]);
    clock.turn(start.plus_seconds(60).plus_days(30));
    let owner = world.client("owner@demo.test").await;
    assert_eq!(owner.balance(&demo.pool).await.0, 100, "a replacement lives for 30 days");
}

async fn a_rehearsal_leaves_nothing(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let operator = world.client("operator@bursar.test").await;
    let demo = owner.demo().await;
    let organization = global_id::decode(&demo.organization).unwrap();
    let db = &world.services().context.db;
    world
        .sql("UPDATE service SET guarantee_days = 3, guarantee_quota = 2 WHERE code = 'FURNITURE_REMOVAL'")
        .await;
    let charge = owner.charge(of(&demo.pool, "k", 10)).await["charge"]["id"].clone();
    for (client, guaranteed, key) in [(&operator, false, "r1"), (&owner, true, "r2")] {
        let mut input = json!({ "chargeId": charge, "credits": 4, "guaranteed": guaranteed, "dryRun": true, "idempotencyKey": key });
        let before = rows::of(db, organization).await;
        let mut dry = refund(client, input.clone()).await;
        assert_eq!(dry["userErrors"], json!([]));
        assert_eq!(before, rows::of(db, organization).await, "a dry run wrote something");
        let query = "query N($id: ID!) { node(id: $id) { id } }";
        let node = owner.query(query, json!({ "id": dry["refund"]["id"] })).await;
        assert_eq!(node["node"], Value::Null);
        input["dryRun"] = json!(false);
        let real = refund(client, input).await;
        dry["refund"]["id"] = real["refund"]["id"].clone();
        assert_eq!(dry, real);
        assert_eq!(real["replayed"], false);
    }
}
