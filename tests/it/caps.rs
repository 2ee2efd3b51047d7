//! Spending caps: at their limits and beyond, under concurrency, in the middle of a period and at its end,
//! raised for a time, removed; and who may set them on whom.

use bursar::clock::Clock;
use bursar::global_id;
use bursar_domain::Timestamp;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::caps::{CAP, cap, create, member, show};
use crate::support::client::Demo;
use crate::support::laws::books_are_right;
use crate::support::{Backend, Client, World, rows};

on_both_databases!(
    limits_admit_what_is_equal_to_them,
    concurrent_use_never_passes_a_cap,
    a_new_cap_counts_what_was_before,
    a_cap_that_comes_in_the_middle_of_it_misses_nothing,
    a_raise_holds_until_it_ends,
    periods_end_in_the_zone_of_the_organization,
    a_removed_cap_limits_nothing,
    nobody_caps_themselves,
    what_is_wrong_is_refused
);

/// What a use of so many credits is refused with, or "none". `way` is how they are used.
async fn spend(
    client: &Client,
    way: &str,
    pool: &str,
    department: &str,
    more: Value,
    credits: i64,
) -> String {
    let lines = json!([{ "service": "FURNITURE_REMOVAL", "quantity": credits }]);
    let key = uuid::Uuid::now_v7().to_string();
    let mut input =
        json!({ "poolId": pool, "departmentId": department, "lines": lines, "idempotencyKey": key });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let payload = match way {
        "charge" => client.try_mutate("chargeCredits", "ChargeCreditsInput", input, "").await,
        _ => {
            input["ttlSeconds"] = json!(3_600);
            client.try_mutate("holdCredits", "HoldCreditsInput", input, "").await
        }
    };
    payload["userErrors"][0]["code"].as_str().unwrap_or("none").to_owned()
}

/// A pool with so many credits in Sales.
async fn pool(world: &World, owner: &Client, demo: &Demo, credits: i64) -> String {
    let name = uuid::Uuid::now_v7().to_string();
    let input = json!({ "organizationId": demo.organization, "name": name });
    let made = owner.mutate("createPool", "CreatePoolInput", input, "pool { id }").await;
    let pool = made["pool"]["id"].as_str().unwrap().to_owned();
    world.grant(&demo.organization, &pool, credits).await;
    owner.allocate(&pool, &demo.sales, credits, &name).await;
    pool
}

/// Every scope, kind of period and way of using credits: one less than the limit, the limit, one more.
async fn limits_admit_what_is_equal_to_them(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let milo = member(&owner, "member@demo.test").await;
    let scopes = [
        (json!({ "departmentId": demo.sales }), json!({})),
        (json!({ "memberId": milo }), json!({ "onBehalfOfId": milo })),
        (json!({ "service": "FURNITURE_REMOVAL" }), json!({})),
    ];
    for (scope, more) in &scopes {
        for period in [None, Some("MONTH"), Some("QUARTER"), Some("YEAR")] {
            for way in ["charge", "hold"] {
                let pool = pool(&world, &owner, &demo, 100).await;
                let id = cap(&owner, &pool, scope.clone(), 10, period).await;
                let case = format!("{scope} {period:?} {way}");
                for (credits, refused) in [(11, true), (9, false), (2, true), (1, false), (1, true)] {
                    let expected = if refused { "CAP_EXCEEDED" } else { "none" };
                    let code = spend(&owner, way, &pool, &demo.sales, more.clone(), credits).await;
                    assert_eq!(code, expected, "{case}: {credits}");
                }
                let seen = show(&owner, &id).await;
                let (used, held) = if way == "charge" { (10, 0) } else { (0, 10) };
                let counts = (&seen["used"], &seen["held"], &seen["headroom"]);
                assert_eq!(counts, (&json!(used), &json!(held), &json!(0)), "{case}: {seen}");
                assert_eq!(seen["periodEnd"].is_null(), period.is_none(), "{case}: {seen}");
            }
        }
    }
    // None allowed, and what a cap does not look at.
    let pool = pool(&world, &owner, &demo, 100).await;
    cap(&owner, &pool, json!({ "departmentId": demo.marketing }), 0, None).await;
    cap(&owner, &pool, json!({ "service": "OUTDOOR_STAGING" }), 0, None).await;
    let id = cap(&owner, &pool, json!({ "memberId": milo }), 0, None).await;
    let milo = world.client("member@demo.test").await;
    assert_eq!(spend(&owner, "charge", &pool, &demo.sales, json!({}), 5).await, "none");
    assert_eq!(spend(&milo, "charge", &pool, &demo.sales, json!({}), 1).await, "CAP_EXCEEDED");
    assert_eq!(show(&owner, &id).await["used"], 0);
}

async fn concurrent_use_never_passes_a_cap(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let pool = pool(&world, &owner, &demo, 500).await;
    let department = cap(&owner, &pool, json!({ "departmentId": demo.sales }), 40, Some("MONTH")).await;
    let service = cap(&owner, &pool, json!({ "service": "FURNITURE_REMOVAL" }), 45, Some("YEAR")).await;
    let tries = (0..64).map(|number| {
        let (client, way) = (owner.another(), if number % 2 == 0 { "charge" } else { "hold" });
        let (pool, sales) = (pool.clone(), demo.sales.clone());
        async move { spend(&client, way, &pool, &sales, json!({}), 1).await }
    });
    let codes = join_all(tries).await;
    let count = |code: &str| codes.iter().filter(|known| *known == code).count();
    assert_eq!((count("none"), count("CAP_EXCEEDED")), (40, 24), "{codes:?}");
    for (id, headroom) in [(&department, 0), (&service, 5)] {
        let seen = show(&owner, id).await;
        let taken = seen["used"].as_i64().unwrap() + seen["held"].as_i64().unwrap();
        assert_eq!((taken, &seen["headroom"]), (40, &json!(headroom)), "{seen}");
    }
    assert_eq!(owner.balance(&pool).await.0, 460);
}

async fn a_new_cap_counts_what_was_before(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let milo = member(&owner, "member@demo.test").await;
    let pool = pool(&world, &owner, &demo, 100).await;
    let for_milo = json!({ "onBehalfOfId": milo });
    assert_eq!(spend(&owner, "charge", &pool, &demo.sales, for_milo.clone(), 4).await, "none");
    assert_eq!(spend(&owner, "hold", &pool, &demo.sales, for_milo.clone(), 2).await, "none");
    assert_eq!(spend(&owner, "charge", &pool, &demo.sales, json!({}), 1).await, "none");
    for (scope, used, held) in [
        (json!({ "departmentId": demo.sales }), 5, 2),
        (json!({ "memberId": milo }), 4, 2),
        (json!({ "service": "FURNITURE_REMOVAL" }), 5, 2),
        (json!({ "service": "STYLE_CHANGE" }), 0, 0),
    ] {
        for period in [None, Some("MONTH"), Some("YEAR")] {
            let made = create(&owner, &pool, scope.clone(), 10, period).await["cap"].clone();
            let counts = (&made["used"], &made["held"], &made["headroom"]);
            let expected = (&json!(used), &json!(held), &json!(10 - used - held));
            assert_eq!(counts, expected, "{scope} {period:?}: {made}");
        }
    }
    // Sales has 3 left, Milo 4.
    assert_eq!(spend(&owner, "charge", &pool, &demo.sales, for_milo.clone(), 4).await, "CAP_EXCEEDED");
    assert_eq!(spend(&owner, "charge", &pool, &demo.sales, for_milo, 3).await, "none");
}

/// Caps are made while others charge, hold and refund: what is counted before the lock and what comes after it
/// are together everything, once.
async fn a_cap_that_comes_in_the_middle_of_it_misses_nothing(backend: Backend) {
    let world = World::start(backend).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    world.grant(&demo.organization, &demo.pool, 2_000).await;
    owner.allocate(&demo.pool, &demo.sales, 2_000, "a").await;
    let use_up = async |worker: usize| {
        for turn in 0..12 {
            let key = format!("{worker}-{turn}");
            let lines =
                json!([{ "service": "STYLE_CHANGE" }, { "service": "FURNITURE_REMOVAL", "quantity": 2 }]);
            let input = json!({ "poolId": demo.pool, "departmentId": demo.sales, "lines": lines, "idempotencyKey": key });
            if turn % 4 == 3 {
                owner.mutate("holdCredits", "HoldCreditsInput", input, "hold { id }").await;
                continue;
            }
            let charge = owner.charge(input).await["charge"]["id"].clone();
            let input = json!({ "chargeId": charge, "credits": 1 + turn % 3, "idempotencyKey": key });
            operator.mutate("refundCharge", "RefundChargeInput", input, "refund { id }").await;
        }
    };
    let make_caps = async {
        for period in [None, Some("MONTH"), Some("QUARTER"), Some("YEAR")] {
            cap(&owner, &demo.pool, json!({ "departmentId": demo.sales }), 1_000_000, period).await;
            cap(&owner, &demo.pool, json!({ "service": "STYLE_CHANGE" }), 1_000_000, period).await;
        }
    };
    tokio::join!(join_all((0..8).map(use_up)), make_caps);
    books_are_right(&world).await;
    let used = "SELECT CAST(sum(used) AS bigint) AS n FROM spending_cap_period";
    assert!(world.number(used).await > 0);
}

fn at(text: &str) -> Timestamp {
    Timestamp::from_micros(chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros())
}

async fn a_raise_holds_until_it_ends(backend: Backend) {
    let clock = Clock::set(at("2026-05-10T12:00:00Z"));
    let world = World::start_at(backend, clock.clone()).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let pool = pool(&world, &owner, &demo, 100).await;
    let id = cap(&owner, &pool, json!({ "departmentId": demo.sales }), 5, Some("MONTH")).await;
    assert_eq!(spend(&owner, "charge", &pool, &demo.sales, json!({}), 5).await, "none");
    assert_eq!(spend(&owner, "charge", &pool, &demo.sales, json!({}), 1).await, "CAP_EXCEEDED");
    let lines = json!([{ "service": "FURNITURE_REMOVAL" }]);
    let charge =
        json!({ "poolId": pool, "departmentId": demo.sales, "lines": lines, "idempotencyKey": "over" });
    let refused = owner.try_mutate("chargeCredits", "ChargeCreditsInput", charge, "charge { id }").await;
    let error = &refused["userErrors"][0];
    assert_eq!((&error["capId"], &error["cap"]["id"]), (&json!(id), &json!(id)), "{refused}");
    let until = "2026-05-12T00:00:00.000000Z";
    let input = json!({ "capId": id, "credits": 3, "until": until, "reason": "Open house" });
    let fields =
        "cap { id raised headroom } raise { credits until reason cap { id } actor { user { email } } }";
    let raised = owner.mutate("raiseSpendingCap", "RaiseSpendingCapInput", input, fields).await;
    assert_eq!(raised["cap"], json!({ "id": id, "raised": 3, "headroom": 3 }));
    let by = json!({ "user": { "email": "owner@demo.test" } });
    let expected =
        json!({ "credits": 3, "until": until, "reason": "Open house", "cap": { "id": id }, "actor": by });
    assert_eq!(raised["raise"], expected);
    assert_eq!(spend(&owner, "charge", &pool, &demo.sales, json!({}), 4).await, "CAP_EXCEEDED");
    assert_eq!(spend(&owner, "charge", &pool, &demo.sales, json!({}), 1).await, "none");
    clock.turn(Timestamp::from_micros(at(until).micros() - 1));
    let owner = world.client("owner@demo.test").await;
    assert_eq!(spend(&owner, "charge", &pool, &demo.sales, json!({}), 1).await, "none");
    assert_eq!(show(&owner, &id).await["headroom"], 1);
    clock.turn(at(until));
    assert_eq!(spend(&owner, "charge", &pool, &demo.sales, json!({}), 1).await, "CAP_EXCEEDED");
    let seen = show(&owner, &id).await;
    assert_eq!((&seen["raised"], &seen["headroom"], &seen["used"]), (&json!(0), &json!(0), &json!(7)));
    assert_eq!(seen["raises"][0]["until"], until, "a raise that has ended is still shown: {seen}");
    // Nor has it anything to do with the next period.
    clock.turn(at("2026-06-02T12:00:00Z"));
    let owner = world.client("owner@demo.test").await;
    assert_eq!(show(&owner, &id).await["headroom"], 5);
}

/// The demonstration's organization is in New York: its March ends four hours after that of UTC.
async fn periods_end_in_the_zone_of_the_organization(backend: Backend) {
    let clock = Clock::set(at("2026-03-31T12:00:00Z"));
    let world = World::start_at(backend, clock.clone()).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let pool = pool(&world, &owner, &demo, 100).await;
    // The clocks go forward in March, and what is a quarter ends with it.
    for (period, begins) in
        [("MONTH", "2026-03-01T05:00:00.000000Z"), ("QUARTER", "2026-01-01T05:00:00.000000Z")]
    {
        let scope = json!({ "service": "FURNITURE_REMOVAL" });
        let made = create(&owner, &pool, scope, 5, Some(period)).await["cap"].clone();
        let ends = "2026-04-01T04:00:00.000000Z";
        assert_eq!((&made["periodStart"], &made["periodEnd"]), (&json!(begins), &json!(ends)), "{made}");
    }
    let year = cap(&owner, &pool, json!({ "departmentId": demo.sales }), 7, Some("YEAR")).await;
    assert_eq!(spend(&owner, "charge", &pool, &demo.sales, json!({}), 5).await, "none");
    for (time, expected) in [
        ("2026-04-01T00:00:00Z", "CAP_EXCEEDED"),
        ("2026-04-01T03:59:59.999999Z", "CAP_EXCEEDED"),
        ("2026-04-01T04:00:00Z", "none"),
    ] {
        clock.turn(at(time));
        let owner = world.client("owner@demo.test").await;
        assert_eq!(spend(&owner, "charge", &pool, &demo.sales, json!({}), 1).await, expected, "{time}");
    }
    let owner = world.client("owner@demo.test").await;
    let seen = show(&owner, &year).await;
    assert_eq!((&seen["used"], &seen["headroom"]), (&json!(6), &json!(1)));
    assert_eq!(spend(&owner, "charge", &pool, &demo.sales, json!({}), 2).await, "CAP_EXCEEDED");
    clock.turn(at("2027-01-01T05:00:00Z"));
    let owner = world.client("owner@demo.test").await;
    assert_eq!(spend(&owner, "charge", &pool, &demo.sales, json!({}), 5).await, "none");
}

async fn a_removed_cap_limits_nothing(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let pool = pool(&world, &owner, &demo, 100).await;
    let sales = json!({ "departmentId": demo.sales });
    let id = cap(&owner, &pool, sales.clone(), 5, None).await;
    assert_eq!(spend(&owner, "charge", &pool, &demo.sales, json!({}), 5).await, "none");
    assert_eq!(create(&owner, &pool, sales.clone(), 9, None).await["userErrors"][0]["code"], "TAKEN");
    // A lower limit than what has been used is none the less one.
    for (credits, headroom) in [(3, 0), (8, 3)] {
        let input = json!({ "capId": id, "credits": credits });
        let fields = "cap { credits used headroom }";
        let changed = owner.mutate("updateSpendingCap", "UpdateSpendingCapInput", input, fields).await;
        assert_eq!(changed["cap"], json!({ "credits": credits, "used": 5, "headroom": headroom }));
    }
    assert_eq!(spend(&owner, "charge", &pool, &demo.sales, json!({}), 4).await, "CAP_EXCEEDED");
    for _ in 0..2 {
        let input = json!({ "capId": id });
        let gone = owner.mutate("removeSpendingCap", "RemoveSpendingCapInput", input, CAP).await;
        assert!(gone["cap"]["removedAt"].is_string() && gone["cap"]["headroom"].is_null(), "{gone}");
    }
    assert_eq!(spend(&owner, "charge", &pool, &demo.sales, json!({}), 4).await, "none");
    for (name, kind, input) in [
        ("updateSpendingCap", "UpdateSpendingCapInput", json!({ "capId": id, "credits": 1 })),
        (
            "raiseSpendingCap",
            "RaiseSpendingCapInput",
            json!({ "capId": id, "credits": 1, "until": "2999-01-01T00:00:00Z" }),
        ),
    ] {
        assert_eq!(owner.try_mutate(name, kind, input, "").await["userErrors"][0]["code"], "INVALID_STATE");
    }
    let query = "query C($id: ID!) { pool(id: $id) { caps { totalCount } all: caps(includeRemoved: true) { totalCount } } }";
    let again = cap(&owner, &pool, sales, 9, None).await;
    let lists = owner.query(query, json!({ "id": pool })).await["pool"].clone();
    assert_eq!(lists, json!({ "caps": { "totalCount": 1 }, "all": { "totalCount": 2 } }));
    assert_eq!(show(&owner, &again).await["used"], 9);
    assert_eq!(spend(&owner, "charge", &pool, &demo.sales, json!({}), 1).await, "CAP_EXCEEDED");
    let query = r#"{ organization(by: { slug: "demo" }) { auditEvents(first: 4, filter: { source: EVENT }) { nodes { action } } } }"#;
    let events = owner.query(query, json!({})).await["organization"]["auditEvents"]["nodes"].clone();
    let actions: Vec<_> = events.as_array().unwrap().iter().map(|event| event["action"].clone()).collect();
    let expected = ["createSpendingCap", "removeSpendingCap", "updateSpendingCap", "updateSpendingCap"];
    assert_eq!(actions, expected);
}

async fn nobody_caps_themselves(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let admin = world.client("admin@demo.test").await;
    let demo = owner.demo().await;
    let (organization, db) = (global_id::decode(&demo.organization).unwrap(), &world.services().context.db);
    let milo = world.client("member@demo.test").await;
    let milos = member(&owner, "member@demo.test").await;
    let input = json!({ "poolId": demo.pool, "memberId": milos });
    owner.mutate("addPoolAdministrator", "AddPoolAdministratorInput", input, "pool { id }").await;
    let people = [(&owner, "owner@demo.test"), (&admin, "admin@demo.test"), (&milo, "member@demo.test")];
    for (number, (person, email)) in people.iter().enumerate() {
        let scope = json!({ "memberId": member(&owner, email).await });
        let other = people[(number + 1) % 3].0;
        let id = cap(other, &demo.pool, scope.clone(), 5, Some("MONTH")).await;
        let before = rows::of(db, organization).await;
        let until = (chrono::Utc::now() + chrono::Duration::days(3)).to_rfc3339();
        for (name, kind, input) in [
            (
                "createSpendingCap",
                "CreateSpendingCapInput",
                json!({ "poolId": demo.pool, "scope": scope, "credits": 9 }),
            ),
            ("updateSpendingCap", "UpdateSpendingCapInput", json!({ "capId": id, "credits": 9 })),
            ("removeSpendingCap", "RemoveSpendingCapInput", json!({ "capId": id })),
            (
                "raiseSpendingCap",
                "RaiseSpendingCapInput",
                json!({ "capId": id, "credits": 9, "until": until }),
            ),
        ] {
            let refused = person.try_mutate(name, kind, input.clone(), "").await;
            assert_eq!(refused["userErrors"][0]["code"], "FORBIDDEN", "{email} {name}: {refused}");
        }
        assert_eq!(before, rows::of(db, organization).await, "{email} changed something");
        // It is there to be seen, and others may.
        assert_eq!(show(person, &id).await["headroom"], 5);
        let input = json!({ "capId": id, "credits": 2, "until": until });
        other.mutate("raiseSpendingCap", "RaiseSpendingCapInput", input, "cap { id }").await;
        assert_eq!(show(person, &id).await["headroom"], 7);
    }
    // Of the caps of a pool a person sees those on the own departments, and on oneself.
    cap(&owner, &demo.pool, json!({ "departmentId": demo.sales }), 5, None).await;
    let hidden = cap(&owner, &demo.pool, json!({ "departmentId": demo.marketing }), 5, None).await;
    let service = cap(&owner, &demo.pool, json!({ "service": "STYLE_CHANGE" }), 5, None).await;
    owner.allocate(&demo.pool, &demo.sales, 10, "sales").await;
    let mona = world.client("manager@demo.test").await;
    let query = "query C($id: ID!) { pool(id: $id) { caps { nodes { scope department { code } } } } }";
    let seen = mona.query(query, json!({ "id": demo.pool })).await["pool"]["caps"]["nodes"].clone();
    assert_eq!(seen, json!([{ "scope": "DEPARTMENT", "department": { "code": "SALES" } }]));
    for id in [hidden, service] {
        assert_eq!(show(&mona, &id).await, Value::Null);
        let input = json!({ "capId": id });
        let refused = mona.try_mutate("removeSpendingCap", "RemoveSpendingCapInput", input, "").await;
        assert_eq!(refused["userErrors"][0]["code"], "NOT_FOUND");
    }
}

async fn what_is_wrong_is_refused(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let rival = world.found("rival").await;
    let query = r#"{ organization(by: { slug: "rival" }) { id members { nodes { id } } } }"#;
    let theirs = rival.query(query, json!({})).await["organization"].clone();
    let input = json!({ "organizationId": theirs["id"], "code": "D", "name": "D" });
    let department =
        rival.mutate("createDepartment", "CreateDepartmentInput", input, "department { id }").await;
    let id = cap(&owner, &demo.pool, json!({ "departmentId": demo.sales }), 5, None).await;
    let (organization, db) = (global_id::decode(&demo.organization).unwrap(), &world.services().context.db);
    let before = rows::of(db, organization).await;
    for (scope, field) in [
        (json!({ "departmentId": department["department"]["id"] }), "departmentId"),
        (json!({ "departmentId": "nonsense" }), "departmentId"),
        (json!({ "memberId": theirs["members"]["nodes"][0]["id"] }), "memberId"),
        (json!({ "memberId": demo.sales }), "memberId"),
        (json!({ "service": "NO_SUCH" }), "service"),
    ] {
        let refused = create(&owner, &demo.pool, scope, 5, None).await["userErrors"][0].clone();
        assert_eq!(refused["code"], "NOT_FOUND", "{refused}");
        assert_eq!(refused["field"], json!(["scope", field]), "{refused}");
    }
    let soon = chrono::Utc::now();
    for (credits, until, field) in [
        (0, soon + chrono::Duration::days(1), "credits"),
        (1, soon - chrono::Duration::seconds(1), "until"),
        (1, soon + chrono::Duration::days(367), "until"),
    ] {
        let input = json!({ "capId": id, "credits": credits, "until": until.to_rfc3339() });
        let refused = owner.try_mutate("raiseSpendingCap", "RaiseSpendingCapInput", input, "").await;
        let error = &refused["userErrors"][0];
        assert_eq!((&error["code"], &error["field"]), (&json!("INVALID"), &json!([field])), "{refused}");
    }
    // None and two are as wrong as a shape can be.
    for scope in [json!({}), json!({ "departmentId": demo.sales, "service": "STYLE_CHANGE" })] {
        let input = json!({ "poolId": demo.pool, "scope": scope, "credits": 1 });
        let query = "mutation M($i: CreateSpendingCapInput!) { createSpendingCap(input: $i) { cap { id } } }";
        let body = owner.raw(query, json!({ "i": input })).await;
        assert_eq!(body["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{body}");
    }
    assert_eq!(before, rows::of(db, organization).await, "something was written");
}
