//! What the operator does with balances: grants, corrections, later expiries, opening balances, and pools that are
//! closed for a time. Nobody else may (see `matrix`), and no two organizations are mixed up.

use bursar::clock::Clock;
use bursar::global_id;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::{
    allocated, at, balances_are_right, grant, hold, holder, pool, refusal, transfer, unallocated,
};
use crate::support::{Backend, Client, World, rows};

on_both_databases!(
    grants_come_in,
    corrections_name_what_was_wrong,
    a_lot_lives_longer,
    opening_balances_come_in_together,
    a_closed_pool_is_paid_for,
    organizations_are_not_mixed_up
);

fn refused(code: &str, field: &str) -> (String, String) {
    (code.to_owned(), field.to_owned())
}

async fn grants_come_in(backend: Backend) {
    let world = World::start(backend).await;
    let operator = world.client("operator@bursar.test").await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let (organization, db) = (global_id::decode(&demo.organization).unwrap(), &world.services().context.db);
    let before = rows::of(db, organization).await;
    let to_sales = json!({ "departmentId": demo.sales, "dryRun": true });
    let dry = grant(&operator, &demo.pool, 30, to_sales, "g").await;
    assert_eq!(dry["balance"], json!({ "posted": 130, "available": 130, "version": 2 }));
    assert_eq!(before, rows::of(db, organization).await, "a dry run wrote something");
    let to_sales = json!({ "departmentId": demo.sales });
    let given = grant(&operator, &demo.pool, 30, to_sales.clone(), "g").await;
    let lot = json!({ "id": given["lot"]["id"], "source": "GRANT", "class": "PROMOTIONAL", "priority": 50,
        "credits": 30, "cost": null, "expiresAt": null });
    assert_eq!(
        (&given["lot"], &given["balance"], &given["replayed"]),
        (&lot, &dry["balance"], &json!(false))
    );
    assert_eq!(
        given["transfers"],
        json!([{ "version": 2, "kind": "ISSUE", "credits": 30, "reason": "For a test" }])
    );
    assert_eq!(allocated(&owner, &demo.pool, &demo.sales).await, (30, 0, 30));
    let again = grant(&operator, &demo.pool, 30, to_sales.clone(), "g").await;
    assert_eq!((&again["replayed"], &again["lot"]["id"]), (&json!(true), &given["lot"]["id"]));
    let other = grant(&operator, &demo.pool, 31, to_sales.clone(), "g").await;
    assert_eq!(refusal(&other), refused("IDEMPOTENCY_CONFLICT", "idempotencyKey"));
    // Paid credits cost what they cost, and are used after given ones.
    let paid = json!({ "class": "PAID", "cost": { "amount": "12.50", "currency": "USD" }, "expiresAt": "2999-01-01T00:00:00Z" });
    let given = grant(&operator, &demo.pool, 10, paid, "p").await;
    let lot = &given["lot"];
    assert_eq!((&lot["class"], &lot["priority"]), (&json!("PAID"), &json!(100)));
    assert_eq!(lot["cost"], json!({ "amount": "12.50", "currency": "USD" }));
    assert_eq!(lot["expiresAt"], "2999-01-01T00:00:00.000000Z");
    let first = json!({ "priority": 0 });
    assert_eq!(grant(&operator, &demo.pool, 10, first, "f").await["lot"]["priority"], 0);
    for (more, code, field) in [
        (json!({ "reason": " " }), "INVALID", "reason"),
        (json!({ "credits": 0 }), "AMOUNT_OUT_OF_RANGE", "credits"),
        (json!({ "credits": 9_007_199_254_740_991_i64 }), "AMOUNT_OUT_OF_RANGE", "credits"),
        (json!({ "priority": -1 }), "INVALID", "priority"),
        (json!({ "priority": 32_768 }), "INVALID", "priority"),
        (json!({ "expiresAt": "2020-01-01T00:00:00Z" }), "INVALID", "expiresAt"),
        (json!({ "cost": { "amount": "1", "currency": "EUR" } }), "INVALID", "cost.currency"),
        (json!({ "cost": { "amount": "-1", "currency": "USD" } }), "INVALID", "cost.amount"),
        (json!({ "cost": { "amount": "0.001", "currency": "USD" } }), "INVALID", "cost.amount"),
        (json!({ "departmentId": "x" }), "NOT_FOUND", "departmentId"),
    ] {
        let payload = grant(&operator, &demo.pool, 1, more, "no").await;
        assert_eq!(refusal(&payload), refused(code, field), "{payload}");
    }
    assert_eq!(owner.balance(&demo.pool).await.0, 150);
    balances_are_right(&world).await;
}

async fn correct(operator: &Client, pool: &str, credits: i64, more: Value, key: &str) -> Value {
    let mut input =
        json!({ "poolId": pool, "credits": credits, "reason": "Booked twice", "idempotencyKey": key });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let fields =
        "lot { source class priority credits cost { amount } expiresAt } balance { available version }
        transfers { id kind credits reason metadata lot { id } debit { kind } credit { kind } } replayed";
    operator.try_mutate("correctBalance", "CorrectBalanceInput", input, fields).await
}

async fn corrections_name_what_was_wrong(backend: Backend) {
    let world = World::start(backend).await;
    let operator = world.client("operator@bursar.test").await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    owner.allocate(&demo.pool, &demo.sales, 40, "a").await;
    let given = grant(&operator, &demo.pool, 20, json!({ "departmentId": demo.sales }), "g").await;
    let gift = given["lot"]["id"].clone();
    let query = "query P($id: ID!) { pool(id: $id) { transfers { nodes { id version lot { id } } } } }";
    let list = owner.query(query, json!({ "id": demo.pool })).await["pool"]["transfers"]["nodes"].clone();
    let transfer_at = |version: i64| {
        let nodes = list.as_array().unwrap();
        nodes.iter().find(|node| node["version"] == version).unwrap().clone()
    };
    let (allocation, bought) = (transfer_at(2)["id"].clone(), transfer_at(2)["lot"]["id"].clone());
    // Too much: of the lot of what was wrong, and no more than that was.
    let wrong = json!({ "departmentId": demo.sales, "correctsTransferId": allocation });
    let taken = correct(&operator, &demo.pool, -15, wrong.clone(), "t").await;
    assert_eq!(
        (&taken["lot"], &taken["balance"]),
        (&Value::Null, &json!({ "available": 105, "version": 4 }))
    );
    let transfer = &taken["transfers"][0];
    assert_eq!(
        (&transfer["kind"], &transfer["credits"], &transfer["lot"]["id"]),
        (&json!("CORRECT"), &json!(15), &bought)
    );
    assert_eq!(
        (&transfer["debit"]["kind"], &transfer["credit"]["kind"]),
        (&json!("ALLOCATION"), &json!("REVOKED"))
    );
    assert_eq!(
        (&transfer["reason"], &transfer["metadata"]),
        (&json!("Booked twice"), &json!({ "corrects": allocation }))
    );
    assert_eq!(correct(&operator, &demo.pool, -15, wrong.clone(), "t").await["replayed"], true);
    assert_eq!(allocated(&owner, &demo.pool, &demo.sales).await, (45, 0, 45));
    // Missing: a lot like the one of what was wrong, without a cost and without an end.
    let put = correct(&operator, &demo.pool, 5, json!({ "correctsTransferId": allocation }), "m").await;
    let lot = json!({ "source": "CORRECTION", "class": "PAID", "priority": 100, "credits": 5, "cost": null, "expiresAt": null });
    assert_eq!((&put["lot"], &put["transfers"][0]["debit"]["kind"]), (&lot, &json!("ISSUED")));
    let put = correct(&operator, &demo.pool, 1, json!({}), "n").await;
    assert_eq!((&put["lot"]["class"], &put["lot"]["priority"]), (&json!("PROMOTIONAL"), &json!(50)));
    assert_eq!(put["transfers"][0]["metadata"], Value::Null);
    // What is held is left alone.
    hold(&owner, &demo.pool, Some(&demo.sales), 20, 3_600).await;
    let second = pool(&owner, &demo.organization, "Second").await;
    let elsewhere = global_id::encode_transfer(global_id::decode(&second).unwrap(), 1);
    for (credits, more, code, field) in [
        (0, json!({}), "INVALID", "credits"),
        (i64::MIN, json!({}), "INVALID", "credits"),
        (-41, wrong, "INVALID", "credits"),
        (
            -1,
            json!({ "departmentId": demo.sales, "lotId": gift, "correctsTransferId": allocation }),
            "INVALID",
            "lotId",
        ),
        (1, json!({ "lotId": gift }), "INVALID", "lotId"),
        (-1, json!({ "lotId": gift }), "NOT_FOUND", "lotId"),
        (-1, json!({ "departmentId": demo.sales, "lotId": gift }), "INSUFFICIENT_CREDITS", "departmentId"),
        (-26, json!({ "departmentId": demo.sales }), "INSUFFICIENT_CREDITS", "departmentId"),
        (-1, json!({ "departmentId": demo.marketing }), "INSUFFICIENT_CREDITS", "departmentId"),
        (-1, json!({ "correctsTransferId": elsewhere }), "NOT_FOUND", "correctsTransferId"),
        (
            -1,
            json!({ "correctsTransferId": allocation.as_str().unwrap().replace("_2", "_99") }),
            "NOT_FOUND",
            "correctsTransferId",
        ),
        (-1, json!({ "reason": "" }), "INVALID", "reason"),
    ] {
        let payload = correct(&operator, &demo.pool, credits, more, "no").await;
        assert_eq!(refusal(&payload), refused(code, field), "{payload}");
    }
    let all = correct(&operator, &demo.pool, -25, json!({ "departmentId": demo.sales }), "all").await;
    assert_eq!(all["userErrors"], json!([]));
    assert_eq!(allocated(&owner, &demo.pool, &demo.sales).await, (20, 20, 0));
    balances_are_right(&world).await;
}

async fn extend(operator: &Client, lot: &Value, expires_at: Value, key: &str) -> Value {
    let input = json!({ "lotId": lot, "expiresAt": expires_at, "reason": "Goodwill", "idempotencyKey": key });
    let fields = "lots { id pool { id } credits cost { amount } source class priority expiresAt } transfers { kind credits version } replayed";
    operator.try_mutate("extendLot", "ExtendLotInput", input, fields).await
}

async fn a_lot_lives_longer(backend: Backend) {
    let start = at("2026-03-10T12:00:00Z");
    let clock = Clock::set(start);
    let world = World::start_at(backend, clock.clone()).await;
    let operator = world.client("operator@bursar.test").await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let second = pool(&owner, &demo.organization, "Second").await;
    let paid = json!({ "class": "PAID", "cost": { "amount": "60.00", "currency": "USD" },
        "expiresAt": "2026-03-20T00:00:00Z", "priority": 10 });
    let given = grant(&operator, &demo.pool, 60, paid, "g").await;
    let lot = given["lot"]["id"].clone();
    owner.allocate(&demo.pool, &demo.sales, 20, "a").await;
    let moved = transfer(&owner, holder(&demo.pool, None), holder(&second, Some(&demo.sales)), 15, "m").await;
    assert_eq!(moved["userErrors"], json!([]));
    hold(&owner, &demo.pool, Some(&demo.sales), 5, 3 * 86_400).await;

    for (expires_at, code, field) in [
        (json!("2026-03-19T00:00:00Z"), "INVALID", "expiresAt"),
        (json!("2026-03-20T00:00:00Z"), "INVALID", "expiresAt"),
    ] {
        assert_eq!(refusal(&extend(&operator, &lot, expires_at, "no").await), refused(code, field));
    }
    let input = json!({ "lotId": lot, "reason": "Goodwill", "idempotencyKey": "no" });
    let omitted = operator.try_mutate("extendLot", "ExtendLotInput", input, "").await;
    assert_eq!(refusal(&omitted), refused("INVALID", "expiresAt"));
    assert_eq!(
        refusal(&extend(&operator, &json!("lot_x"), Value::Null, "no").await),
        refused("NOT_FOUND", "lotId")
    );
    let starter = "query P($id: ID!) { pool(id: $id) { lots(last: 1) { nodes { id expiresAt } } } }";
    let starter = owner.query(starter, json!({ "id": demo.pool })).await["pool"]["lots"]["nodes"][0].clone();
    if starter["expiresAt"].is_null() {
        let never = extend(&operator, &starter["id"], json!("2999-01-01T00:00:00Z"), "no").await;
        assert_eq!(refusal(&never), refused("INVALID", "expiresAt"));
    }

    let later = json!("2026-06-01T00:00:00Z");
    let extended = extend(&operator, &lot, later.clone(), "e").await;
    assert_eq!(extended["userErrors"], json!([]));
    let lots = extended["lots"].as_array().unwrap().clone();
    // 25 unallocated and 15 of Sales go on here, 15 there; 5 are held and stay what they are.
    let shown: Vec<_> = lots
        .iter()
        .map(|lot| (lot["pool"]["id"].clone(), lot["credits"].clone(), lot["cost"]["amount"].clone()))
        .collect();
    let expected =
        [(json!(demo.pool), json!(40), json!("40.00")), (json!(second), json!(15), json!("15.00"))];
    assert_eq!(shown, expected);
    for lot in &lots {
        assert_eq!(
            (&lot["source"], &lot["class"], &lot["priority"]),
            (&json!("GRANT"), &json!("PAID"), &json!(10))
        );
        assert_eq!(lot["expiresAt"], "2026-06-01T00:00:00.000000Z");
    }
    balances_are_right(&world).await;
    assert_eq!((owner.balance(&demo.pool).await.0, owner.balance(&second).await.0), (140, 15));

    // It comes again when nothing of the lot is left in either pool, and answers as before.
    let lines = json!([{ "service": "FURNITURE_REMOVAL", "quantity": 15 }]);
    let input =
        json!({ "poolId": second, "departmentId": demo.sales, "lines": lines, "idempotencyKey": "c" });
    assert_eq!(owner.charge(input).await["userErrors"], json!([]));
    let again = extend(&operator, &lot, later, "e").await;
    assert_eq!(
        (&again["replayed"], &again["lots"], &again["transfers"]),
        (&json!(true), &extended["lots"], &extended["transfers"])
    );
    for (other, expires_at) in [(&lot, Value::Null), (&lots[0]["id"], json!("2026-06-01T00:00:00Z"))] {
        let payload = extend(&operator, other, expires_at, "e").await;
        assert_eq!(refusal(&payload), refused("IDEMPOTENCY_CONFLICT", "idempotencyKey"));
    }
    assert_eq!(refusal(&extend(&operator, &lot, Value::Null, "more").await), refused("NOT_FOUND", "lotId"));
    // What goes on is there when the old lot has lapsed; what was held lapses with it once it is let go.
    clock.turn(at("2026-03-20T00:00:00Z"));
    let owner = world.client("owner@demo.test").await;
    assert_eq!(owner.balance(&demo.pool).await.0, 140);
    // For ever, this time.
    let operator = world.client("operator@bursar.test").await;
    let for_ever = extend(&operator, &lots[0]["id"], Value::Null, "ever").await;
    assert_eq!(
        (&for_ever["lots"][0]["expiresAt"], &for_ever["lots"][0]["credits"]),
        (&Value::Null, &json!(40))
    );
    clock.turn(at("2026-07-01T00:00:00Z"));
    let owner = world.client("owner@demo.test").await;
    assert_eq!(owner.balance(&demo.pool).await.0, 140);
    balances_are_right(&world).await;
}

async fn import(operator: &Client, organization: &str, items: Value, key: &str, dry_run: bool) -> Value {
    let input = json!({ "organizationId": organization, "items": items, "reason": "Opening balances",
        "idempotencyKey": key, "dryRun": dry_run });
    let fields = "lots { credits class source cost { amount } pool { id } } transfers { version reason metadata } replayed";
    operator.try_mutate("importBalances", "ImportBalancesInput", input, fields).await
}

async fn opening_balances_come_in_together(backend: Backend) {
    let world = World::start(backend).await;
    let operator = world.client("operator@bursar.test").await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let second = pool(&owner, &demo.organization, "Second").await;
    let (organization, db) = (global_id::decode(&demo.organization).unwrap(), &world.services().context.db);
    let items = json!([
        { "poolId": demo.pool, "credits": 10, "cost": { "amount": "9.90", "currency": "USD" }, "reference": "old-1" },
        { "poolId": second, "departmentId": demo.sales, "credits": 20, "class": "PROMOTIONAL" },
        { "poolId": second, "credits": 30, "expiresAt": "2999-01-01T00:00:00Z", "reference": "old-3" },
    ]);
    let before = rows::of(db, organization).await;
    let with = |index: usize, field: &str, value: Value| {
        let mut items = items.clone();
        items[index][field] = value;
        items
    };
    let many: Vec<Value> = (0..501).map(|_| json!({ "poolId": second, "credits": 1 })).collect();
    for (items, code, field) in [
        (with(1, "poolId", json!("pool_00000000000000000000000000")), "NOT_FOUND", "items.1.poolId"),
        (
            with(1, "departmentId", json!("dept_00000000000000000000000000")),
            "NOT_FOUND",
            "items.1.departmentId",
        ),
        (with(2, "credits", json!(0)), "AMOUNT_OUT_OF_RANGE", "items.2.credits"),
        (with(0, "cost", json!({ "amount": "1", "currency": "EUR" })), "INVALID", "items.0.cost.currency"),
        (with(0, "cost", json!({ "amount": "1.001", "currency": "USD" })), "INVALID", "items.0.cost.amount"),
        (with(2, "reference", json!("")), "INVALID", "items.2.reference"),
        (with(2, "expiresAt", json!("2020-01-01T00:00:00Z")), "INVALID", "items.2.expiresAt"),
        (with(2, "priority", json!(-5)), "INVALID", "items.2.priority"),
        (json!([]), "INVALID", "items"),
        (json!(many), "INVALID", "items"),
    ] {
        let payload = import(&operator, &demo.organization, items, "i", false).await;
        assert_eq!(refusal(&payload), refused(code, field), "{payload}");
        assert_eq!(payload["userErrors"].as_array().unwrap().len(), 1);
    }
    let dry = import(&operator, &demo.organization, items.clone(), "i", true).await;
    assert_eq!(dry["userErrors"], json!([]));
    assert_eq!(before, rows::of(db, organization).await, "something came in");
    let made = import(&operator, &demo.organization, items.clone(), "i", false).await;
    assert_eq!((&made["lots"], &made["replayed"]), (&dry["lots"], &json!(false)));
    let lots: Vec<_> = made["lots"]
        .as_array()
        .unwrap()
        .iter()
        .map(|lot| (lot["credits"].clone(), lot["class"].clone()))
        .collect();
    assert_eq!(
        lots,
        [(json!(10), json!("PAID")), (json!(20), json!("PROMOTIONAL")), (json!(30), json!("PAID"))]
    );
    assert_eq!(
        (&made["lots"][0]["source"], &made["lots"][0]["cost"]["amount"]),
        (&json!("CORRECTION"), &json!("9.90"))
    );
    assert_eq!(made["transfers"][0]["metadata"], json!({ "reference": "old-1" }));
    assert_eq!((owner.balance(&demo.pool).await.0, owner.balance(&second).await.0), (110, 50));
    let again = import(&operator, &demo.organization, items.clone(), "i", false).await;
    assert_eq!((&again["replayed"], &again["lots"]), (&json!(true), &made["lots"]));
    let other = import(&operator, &demo.organization, with(2, "credits", json!(31)), "i", false).await;
    assert_eq!(refusal(&other), refused("IDEMPOTENCY_CONFLICT", "idempotencyKey"));
    let all = import(&operator, &demo.organization, json!(many[..500]), "many", false).await;
    assert_eq!(all["lots"].as_array().unwrap().len(), 500);
    assert_eq!(owner.balance(&second).await.0, 550);
    balances_are_right(&world).await;
}

async fn a_closed_pool_is_paid_for(backend: Backend) {
    let world = World::start(backend).await;
    let operator = world.client("operator@bursar.test").await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let (purchase, url) = owner.checkout(&demo.pool, "k").await;
    let input = json!({ "poolId": demo.pool, "reason": "Looking into it" });
    let fields = "pool { frozen frozenAt frozenReason }";
    let closed = operator.mutate("freezePool", "FreezePoolInput", input, fields).await["pool"].clone();
    assert_eq!((&closed["frozen"], &closed["frozenReason"]), (&json!(true), &json!("Looking into it")));
    // Closing it again changes nothing, not even why.
    let input = json!({ "poolId": demo.pool, "reason": "Something else" });
    assert_eq!(operator.mutate("freezePool", "FreezePoolInput", input, fields).await["pool"], closed);
    let query = "query P($id: ID!) { pool(id: $id) { frozen frozenReason balance { available } } }";
    let member = world.client("member@demo.test").await;
    owner.query(query, json!({ "id": demo.pool })).await;
    let lines = json!([{ "service": "FURNITURE_REMOVAL" }]);
    let input = json!({ "poolId": demo.pool, "lines": lines, "idempotencyKey": "c" });
    assert_eq!(refusal(&owner.charge(input).await), refused("POOL_FROZEN", "poolId"));
    let payload = grant(&operator, &demo.pool, 1, json!({}), "g").await;
    assert_eq!(refusal(&payload), refused("POOL_FROZEN", "poolId"));
    let input = json!({ "poolId": demo.pool, "departmentId": demo.sales, "overflow": "UNALLOCATED" });
    let payload = owner.try_mutate("setAllocationRefill", "SetAllocationRefillInput", input, "").await;
    assert_eq!(refusal(&payload), refused("POOL_FROZEN", "poolId"));
    let input = json!({ "poolId": demo.pool });
    let payload = owner.try_mutate("archivePool", "ArchivePoolInput", input, "").await;
    assert_eq!(refusal(&payload), refused("POOL_FROZEN", "poolId"));
    assert_eq!(
        member.raw(query, json!({ "id": demo.pool })).await["data"]["pool"],
        Value::Null,
        "of no department there"
    );

    // The money is taken, and the page says what comes of it.
    let (status, page) = owner.submit(&format!("{url}/pay")).await;
    assert!(
        status == 200 && page.contains("Paid. Thank you.") && page.contains("as soon as it is opened"),
        "{page}"
    );
    let (_, page) = owner.open(&url).await;
    assert!(page.contains("This order is paid.") && page.contains("as soon as it is opened"), "{page}");
    let state = "query P($id: ID!) { node(id: $id) { ... on Purchase { state lot { credits } payments { state } } } }";
    let seen = owner.query(state, json!({ "id": purchase })).await["node"].clone();
    assert_eq!(seen, json!({ "state": "COMPLETED", "lot": null, "payments": [{ "state": "PAID" }] }));
    assert_eq!(owner.balance(&demo.pool).await, (100, 1));

    let input = json!({ "poolId": demo.pool, "reason": "All is well" });
    let opened =
        operator.mutate("unfreezePool", "UnfreezePoolInput", input.clone(), fields).await["pool"].clone();
    assert_eq!(opened, json!({ "frozen": false, "frozenAt": null, "frozenReason": null }));
    let seen = owner.query(state, json!({ "id": purchase })).await["node"].clone();
    assert_eq!(seen["lot"], json!({ "credits": 100 }));
    operator.mutate("unfreezePool", "UnfreezePoolInput", input, fields).await;
    let (_, page) = owner.submit(&format!("{url}/pay")).await;
    assert!(page.contains("This order is paid.") && !page.contains("as soon as"), "{page}");
    assert_eq!(owner.balance(&demo.pool).await, (200, 2));
    assert_eq!(unallocated(&owner, &demo.pool).await, 200);
    let query = r#"{ organization(by: { slug: "demo" }) { auditEvents(first: 2, filter: { source: EVENT }) { nodes { action before after } } } }"#;
    let events = owner.query(query, json!({})).await["organization"]["auditEvents"]["nodes"].clone();
    assert_eq!((&events[0]["action"], &events[1]["action"]), (&json!("unfreezePool"), &json!("payPurchase")));
    assert_eq!(events[0]["before"], json!({ "frozen": true, "reason": "Looking into it" }));
    assert_eq!(events[0]["after"], json!({ "frozen": false, "reason": "All is well" }));
    balances_are_right(&world).await;
}

/// The operator sees all organizations; what one call names belongs to one.
async fn organizations_are_not_mixed_up(backend: Backend) {
    let world = World::start(backend).await;
    let operator = world.client("operator@bursar.test").await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let rival = world.found("rival").await;
    let query = r#"{ organization(by: { slug: "rival" }) { id } }"#;
    let id = rival.query(query, json!({})).await["organization"]["id"].as_str().unwrap().to_owned();
    let theirs = pool(&rival, &id, "Theirs").await;
    let gift = grant(&operator, &theirs, 5, json!({}), "g").await["lot"]["id"].clone();
    let first = global_id::encode_transfer(global_id::decode(&theirs).unwrap(), 1);
    let mixed = grant(&operator, &theirs, 1, json!({ "departmentId": demo.sales }), "no").await;
    assert_eq!(refusal(&mixed), refused("NOT_FOUND", "departmentId"));
    for more in [json!({ "lotId": gift }), json!({ "correctsTransferId": first })] {
        let field = more.as_object().unwrap().keys().next().unwrap().clone();
        let mixed = correct(&operator, &demo.pool, -1, more, "no").await;
        assert_eq!(refusal(&mixed), refused("NOT_FOUND", &field));
    }
    let items = json!([{ "poolId": demo.pool, "credits": 1 }, { "poolId": theirs, "credits": 1 }]);
    let mixed = import(&operator, &demo.organization, items, "no", false).await;
    assert_eq!(refusal(&mixed), refused("NOT_FOUND", "items.1.poolId"));
    // The same key in both is two keys.
    assert_eq!(grant(&operator, &demo.pool, 5, json!({}), "g").await["replayed"], false);
    assert_eq!((owner.balance(&demo.pool).await.0, rival.balance(&theirs).await.0), (105, 5));
}
