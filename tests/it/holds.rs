//! Holds: captured in parts, let go; never spent by others; seen by those who may.

use bursar::global_id;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::uses::{VOID, capture, hold, newest, of, void};
use crate::support::{Backend, World, rows};

on_both_databases!(
    a_hold_is_captured_in_parts,
    wrong_captures_change_nothing,
    what_is_held_is_not_spent,
    what_is_let_go_comes_back,
    holds_are_seen_by_those_who_may
);

async fn a_hold_is_captured_in_parts(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let manager = world.client("manager@demo.test").await;
    let demo = owner.demo().await;
    owner.allocate(&demo.pool, &demo.sales, 40, "a").await;
    let lines = json!([{ "service": "ADVANCED_STAGING", "quantity": 3 }, { "service": "FURNITURE_REMOVAL", "quantity": 2 }]);
    let input = json!({ "poolId": demo.pool, "departmentId": demo.sales, "lines": lines, "reference": "job-1",
        "subject": "12 Elm Street", "idempotencyKey": "h" });
    let made = hold(&owner, input.clone()).await;
    assert_eq!(made["userErrors"], json!([]));
    let id = made["hold"]["id"].clone();
    assert_eq!(
        made["hold"]["lines"],
        json!([
            { "service": "ADVANCED_STAGING", "quantity": 3, "creditsEach": 3, "credits": 9, "capturedQuantity": 0 },
            { "service": "FURNITURE_REMOVAL", "quantity": 2, "creditsEach": 1, "credits": 2, "capturedQuantity": 0 },
        ])
    );
    let amounts = |hold: &Value| (hold["state"].clone(), hold["captured"].clone(), hold["remaining"].clone());
    assert_eq!(amounts(&made["hold"]), (json!("OPEN"), json!(0), json!(11)));
    assert_eq!(made["balance"], json!({ "posted": 100, "held": 11, "available": 89, "version": 3 }));
    assert_eq!(made["accountBalance"], json!({ "posted": 40, "held": 11, "available": 29 }));
    let again = hold(&owner, input).await;
    assert_eq!((&again["replayed"], &again["hold"]["id"]), (&json!(true), &id));
    assert_eq!(again["balance"], made["balance"]);
    // A part, at the prices of the hold.
    let some = json!([{ "service": "FURNITURE_REMOVAL" }, { "service": "ADVANCED_STAGING" }]);
    let first = capture(&owner, json!({ "holdId": id, "lines": some, "idempotencyKey": "c1" })).await;
    assert_eq!(first["userErrors"], json!([]));
    assert_eq!(first["charge"]["credits"], 4);
    assert_eq!(
        (&first["charge"]["reference"], &first["charge"]["subject"], &first["charge"]["hold"]["id"]),
        (&json!("job-1"), &json!("12 Elm Street"), &id)
    );
    assert_eq!(amounts(&first["hold"]), (json!("OPEN"), json!(4), json!(7)));
    assert_eq!(first["hold"]["lines"], json!([{ "capturedQuantity": 1 }, { "capturedQuantity": 1 }]));
    assert_eq!(first["balance"], json!({ "posted": 96, "held": 7, "available": 89, "version": 4 }));
    assert_eq!(first["accountBalance"], json!({ "posted": 36, "held": 7, "available": 29 }));
    // The last one, by somebody else: what is left is free again.
    let some = json!([{ "service": "ADVANCED_STAGING", "quantity": 1 }]);
    let input =
        json!({ "holdId": id, "lines": some, "final": true, "subject": "Back yard", "idempotencyKey": "c2" });
    let last = capture(&manager, input.clone()).await;
    assert_eq!(last["userErrors"], json!([]));
    assert_eq!((&last["charge"]["credits"], &last["charge"]["subject"]), (&json!(3), &json!("Back yard")));
    assert_eq!(last["charge"]["slices"], json!([{ "credits": 3 }]), "what it lets go is no slice of it");
    assert_eq!(amounts(&last["hold"]), (json!("CAPTURED"), json!(7), json!(0)));
    assert!(last["hold"]["closedAt"].is_string());
    assert_eq!(last["balance"], json!({ "posted": 93, "held": 0, "available": 93, "version": 6 }));
    assert_eq!(last["accountBalance"], json!({ "posted": 33, "held": 0, "available": 33 }));
    let again = capture(&manager, input).await;
    assert_eq!((&again["replayed"], &again["charge"]), (&json!(true), &last["charge"]));
    assert_eq!(again["balance"], last["balance"]);
    let closed = capture(&owner, json!({ "holdId": id, "idempotencyKey": "c3" })).await;
    assert_eq!(
        (
            &closed["userErrors"][0]["code"],
            &closed["userErrors"][0]["state"],
            &closed["userErrors"][0]["field"]
        ),
        (&json!("HOLD_CLOSED"), &json!("CAPTURED"), &json!(["holdId"]))
    );
    // All of it is in the books, and says who did it.
    let fields =
        "version kind credits heldAfter reference hold { id } charge { credits } actor { user { email } }";
    let booked = newest(&owner, &demo.pool, 4, fields).await;
    let row = |version: i64, kind: &str, credits: i64, held: i64, charge: Value, who: &str| {
        json!({ "version": version, "kind": kind, "credits": credits, "heldAfter": held, "reference": "job-1",
            "hold": { "id": id }, "charge": charge, "actor": { "user": { "email": format!("{who}@demo.test") } } })
    };
    assert_eq!(
        booked,
        [
            row(6, "RELEASE", 4, 0, Value::Null, "manager"),
            row(5, "CAPTURE", 3, 4, json!({ "credits": 3 }), "manager"),
            row(4, "CAPTURE", 4, 7, json!({ "credits": 4 }), "owner"),
            row(3, "HOLD", 11, 11, Value::Null, "owner"),
        ]
    );
    let query = "query N($id: ID!) { node(id: $id) { ... on Hold { actor { user { email } } department { code } pool { name }
        charges { totalCount nodes { reference credits } } } } }";
    let shown = owner.query(query, json!({ "id": id })).await["node"].clone();
    let charges = json!([{ "reference": "job-1", "credits": 4 }, { "reference": "job-1", "credits": 3 }]);
    assert_eq!(shown["charges"], json!({ "totalCount": 2, "nodes": charges }));
    assert_eq!((&shown["department"]["code"], &shown["pool"]["name"]), (&json!("SALES"), &json!("Main")));
}

async fn wrong_captures_change_nothing(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let organization = global_id::decode(&demo.organization).unwrap();
    let db = &world.services().context.db;
    let made = hold(&owner, of(&demo.pool, "h", 5)).await;
    let id = made["hold"]["id"].clone();
    let before = rows::of(db, organization).await;
    let line = |service: &str, quantity: i64| json!([{ "service": service, "quantity": quantity }]);
    for (lines, code, field) in [
        (line("STYLE_CHANGE", 1), "CAPTURE_EXCEEDS_HOLD", "lines.0.quantity"),
        (line("NO_SUCH", 1), "CAPTURE_EXCEEDS_HOLD", "lines.0.quantity"),
        (line("FURNITURE_REMOVAL", 0), "QUANTITY_OUT_OF_RANGE", "lines.0.quantity"),
        (line("FURNITURE_REMOVAL", -1), "QUANTITY_OUT_OF_RANGE", "lines.0.quantity"),
        (line("FURNITURE_REMOVAL", 6), "CAPTURE_EXCEEDS_HOLD", "lines.0.quantity"),
        (json!([]), "INVALID", "lines"),
    ] {
        let refused = capture(&owner, json!({ "holdId": id, "lines": lines, "idempotencyKey": "x" })).await;
        let error = &refused["userErrors"][0];
        let path: Vec<&str> =
            error["field"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect();
        assert_eq!(
            (error["code"].as_str().unwrap(), path.join(".").as_str()),
            (code, field),
            "{lines}: {refused}"
        );
        assert_eq!((&refused["charge"], &refused["hold"]), (&Value::Null, &Value::Null));
    }
    let lines = json!([{ "service": "FURNITURE_REMOVAL", "quantity": 4 }, { "service": "FURNITURE_REMOVAL", "quantity": 3 }]);
    let refused = capture(&owner, json!({ "holdId": id, "lines": lines, "idempotencyKey": "x" })).await;
    let error = &refused["userErrors"][0];
    assert_eq!(
        (&error["service"], &error["line"], &error["held"]),
        (&json!("FURNITURE_REMOVAL"), &json!(1), &json!(1)),
        "{refused}"
    );
    for bad in [json!("hold_00000000000000000000000000"), json!("nonsense"), json!(demo.pool)] {
        for outcome in [
            capture(&owner, json!({ "holdId": bad, "idempotencyKey": "x" })).await,
            void(&owner, &bad, "x").await,
        ] {
            let error = &outcome["userErrors"][0];
            assert_eq!((&error["code"], &error["field"]), (&json!("NOT_FOUND"), &json!(["holdId"])), "{bad}");
        }
    }
    for seconds in [0, -1, 259_201, i32::MAX] {
        let mut input = of(&demo.pool, "x", 1);
        input["ttlSeconds"] = json!(seconds);
        let error = hold(&owner, input).await["userErrors"][0].clone();
        assert_eq!(
            (&error["code"], &error["field"]),
            (&json!("INVALID"), &json!(["ttlSeconds"])),
            "{seconds}"
        );
    }
    assert_eq!(before, rows::of(db, organization).await, "a refusal wrote something");
    // None of them has used the key up; without lines it is all that is left, and that ends it.
    let all = capture(&owner, json!({ "holdId": id, "idempotencyKey": "x" })).await;
    assert_eq!((&all["charge"]["credits"], &all["hold"]["state"]), (&json!(5), &json!("CAPTURED")));
    let other = json!({ "holdId": id, "final": true, "idempotencyKey": "x" });
    assert_eq!(capture(&owner, other).await["userErrors"][0]["code"], "IDEMPOTENCY_CONFLICT");
}

async fn what_is_held_is_not_spent(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let made = hold(&owner, of(&demo.pool, "h", 95)).await;
    assert_eq!(made["balance"]["available"], 5);
    let input =
        json!({ "poolId": demo.pool, "departmentId": demo.sales, "credits": 6, "idempotencyKey": "a" });
    let refused = [
        owner.charge(of(&demo.pool, "c", 6)).await,
        hold(&owner, of(&demo.pool, "h2", 6)).await,
        owner.try_mutate("allocateCredits", "AllocateCreditsInput", input, "").await,
    ];
    for outcome in refused {
        let error = &outcome["userErrors"][0];
        assert_eq!(
            (&error["code"], &error["available"], &error["shortBy"]),
            (&json!("INSUFFICIENT_CREDITS"), &json!(5), &json!(1)),
            "{outcome}"
        );
    }
    // Holds and charges at once never take more than there is.
    let mut attempts = Vec::new();
    for n in 0..8 {
        let (owner, input) = (owner.clone(), of(&demo.pool, &format!("n{n}"), 1));
        attempts.push(tokio::spawn(async move {
            match n % 2 {
                0 => hold(&owner, input).await,
                _ => owner.charge(input).await,
            }
        }));
    }
    let mut accepted = 0;
    for attempt in attempts {
        accepted += usize::from(attempt.await.unwrap()["userErrors"] == json!([]));
    }
    assert_eq!(accepted, 5);
    assert_eq!(owner.balance(&demo.pool).await.0, 0);
}

async fn what_is_let_go_comes_back(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    owner.allocate(&demo.pool, &demo.marketing, 10, "a").await;
    let mut input = of(&demo.pool, "h", 8);
    (input["departmentId"], input["reference"]) = (json!(demo.marketing), json!("job-2"));
    let id = hold(&owner, input).await["hold"]["id"].clone();
    // The job failed.
    let gone = void(&owner, &id, "v").await;
    assert_eq!(gone["hold"], json!({ "state": "VOIDED", "captured": 0, "remaining": 0 }));
    assert_eq!(gone["balance"], json!({ "posted": 100, "held": 0, "available": 100, "version": 4 }));
    let again = void(&owner, &id, "v").await;
    assert_eq!((&again["replayed"], &again["balance"]), (&json!(true), &gone["balance"]));
    for outcome in
        [void(&owner, &id, "v2").await, capture(&owner, json!({ "holdId": id, "idempotencyKey": "c" })).await]
    {
        let error = &outcome["userErrors"][0];
        assert_eq!((&error["code"], &error["state"]), (&json!("HOLD_CLOSED"), &json!("VOIDED")), "{outcome}");
    }
    let booked = newest(&owner, &demo.pool, 1, "kind credits hold { id } actor { user { email } }").await;
    let who = json!({ "user": { "email": "owner@demo.test" } });
    assert_eq!(booked, [json!({ "kind": "RELEASE", "credits": 8, "hold": { "id": id }, "actor": who })]);
    let mut all = of(&demo.pool, "all", 10);
    all["departmentId"] = json!(demo.marketing);
    assert_eq!(owner.charge(all).await["userErrors"], json!([]), "all of it is there again");
    // Its reference stays taken for ever, and whose it is is told to those who may see the hold.
    let mut other = of(&demo.pool, "o", 1);
    other["reference"] = json!("job-2");
    let error = owner.charge(other.clone()).await["userErrors"][0].clone();
    assert_eq!(
        (&error["code"], &error["holdId"], &error["chargeId"]),
        (&json!("REFERENCE_TAKEN"), &id, &Value::Null)
    );
    owner.allocate(&demo.pool, &demo.sales, 10, "s").await;
    other["departmentId"] = json!(demo.sales);
    let error = world.client("member@demo.test").await.charge(other).await["userErrors"][0].clone();
    assert_eq!((&error["code"], &error["holdId"]), (&json!("REFERENCE_TAKEN"), &Value::Null));
}

async fn holds_are_seen_by_those_who_may(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    owner.allocate(&demo.pool, &demo.sales, 20, "s").await;
    owner.allocate(&demo.pool, &demo.marketing, 20, "m").await;
    let mut ids = Vec::new();
    for (department, key) in [(Some(&demo.sales), "hs"), (Some(&demo.marketing), "hm"), (None, "hu")] {
        let mut input = of(&demo.pool, key, 3);
        input["departmentId"] = json!(department);
        ids.push(hold(&owner, input).await["hold"]["id"].clone());
    }
    let query = format!(
        "{{ organization(by: {{ slug: \"demo\" }}) {{ holds {{ totalCount }} }} pool(id: \"{}\") {{ holds {{ totalCount }} }} }}",
        demo.pool
    );
    for (caller, count, marketing, unallocated) in [
        ("owner@demo.test", 3, "none", "none"),
        ("admin@demo.test", 3, "none", "none"),
        ("operator@bursar.test", 3, "none", "none"),
        ("auditor@demo.test", 3, "FORBIDDEN", "FORBIDDEN"),
        ("manager@demo.test", 1, "NOT_FOUND", "NOT_FOUND"),
        ("member@demo.test", 1, "NOT_FOUND", "NOT_FOUND"),
    ] {
        let client = world.client(caller).await;
        let data = client.query(&query, json!({})).await;
        let counts = (&data["organization"]["holds"]["totalCount"], &data["pool"]["holds"]["totalCount"]);
        assert_eq!(counts, (&json!(count), &json!(count)), "{caller}");
        for (id, wanted) in [(&ids[1], marketing), (&ids[2], unallocated)] {
            let input = json!({ "holdId": id, "dryRun": true, "idempotencyKey": caller });
            let outcomes = [
                capture(&client, input.clone()).await,
                client.try_mutate("voidHold", "VoidHoldInput", input, VOID).await,
            ];
            for outcome in outcomes {
                let code = outcome["userErrors"][0]["code"].as_str().unwrap_or("none");
                assert_eq!(code, wanted, "{caller}: {outcome}");
            }
            let node = client.query("query N($id: ID!) { node(id: $id) { id } }", json!({ "id": id })).await;
            assert_eq!(node["node"].is_null(), wanted == "NOT_FOUND", "{caller}");
        }
    }
    // Whoever is in the department does with its holds as with its credits.
    let member = world.client("member@demo.test").await;
    let mut own = of(&demo.pool, "own", 2);
    own["departmentId"] = json!(demo.sales);
    let own = hold(&member, own).await["hold"]["id"].clone();
    assert_eq!(void(&member, &own, "v").await["userErrors"], json!([]));
    let part =
        json!({ "holdId": ids[0], "lines": [{ "service": "FURNITURE_REMOVAL" }], "idempotencyKey": "c" });
    assert_eq!(capture(&member, part).await["userErrors"], json!([]));
    for (department, code) in [(Some(&demo.marketing), "NOT_FOUND"), (None, "FORBIDDEN")] {
        let mut input = of(&demo.pool, "x", 1);
        input["departmentId"] = json!(department);
        assert_eq!(hold(&member, input).await["userErrors"][0]["code"], code);
    }
}
