//! Allocations that are refilled: once in each period, whatever nodes, restarts and clocks do; what is held stays,
//! what is bought is never lost; and how allocations overflow.

use bursar::app::App;
use bursar::clock::Clock;
use bursar::purchases::Selling;
use bursar::schedule;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::{
    allocated, at, balances_are_right, grant, hold, node, pool, refusal, unallocated,
};
use crate::support::{Backend, Client, World, run};

on_both_databases!(
    rollover_and_shortfall,
    periods_begin_in_the_zone_of_the_organization,
    settings_stay_or_go,
    what_cannot_be_refilled_is_put_off,
    an_allocation_overflows
);

/// How many refills have been booked.
async fn refills(world: &World) -> i64 {
    world.number("SELECT count(*) AS n FROM journal_entry WHERE kind = 11").await
}

async fn set(client: &Client, pool: &str, department: &str, more: Value) -> Value {
    let mut input = json!({ "poolId": pool, "departmentId": department });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let fields = "allocation { id overflow refill { credits period rolloverMax nextAt lastShortfall } balance { available } }";
    client.try_mutate("setAllocationRefill", "SetAllocationRefillInput", input, fields).await
}

async fn refilled(client: &Client, pool: &str, department: &str, refill: Value) -> Value {
    let made = set(client, pool, department, json!({ "refill": refill })).await;
    assert_eq!(made["userErrors"], json!([]), "{made}");
    made["allocation"].clone()
}

/// How an allocation is refilled.
async fn shown(client: &Client, pool: &str) -> Value {
    let query = "query P($id: ID!) { pool(id: $id) { allocations { nodes { refill { credits nextAt lastShortfall } } } } }";
    client.query(query, json!({ "id": pool })).await["pool"]["allocations"]["nodes"][0]["refill"].clone()
}

/// A server that does no timed work by itself, what it sells by, its clock, and the owner at that time.
async fn start(backend: Backend, now: &str) -> (World, Selling, Clock) {
    let clock = Clock::set(at(now));
    let world = World::start_untimed(backend, clock.clone()).await;
    let selling = world.services().selling.clone();
    // That the demonstration's own purchases run out is not what these tests are about.
    world.sql("DELETE FROM timed_task WHERE kind = 'PURCHASE_DUE'").await;
    (world, selling, clock)
}

async fn rollover_and_shortfall(backend: Backend) {
    let (world, selling, clock) = start(backend, "2026-03-10T12:00:00Z").await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    owner.allocate(&demo.pool, &demo.sales, 30, "a").await;
    let refill = json!({ "credits": 40, "period": "MONTH", "rolloverMax": 10 });
    let made = refilled(&owner, &demo.pool, &demo.sales, refill).await;
    // Midnight in New York. What the period has begun with stays until then.
    let expected = json!({ "credits": 40, "period": "MONTH", "rolloverMax": 10, "nextAt": "2026-04-01T04:00:00.000000Z", "lastShortfall": null });
    assert_eq!((&made["refill"], &made["balance"]["available"]), (&expected, &json!(30)));
    assert_eq!(schedule::run_once(&selling).await.unwrap(), 0);
    clock.turn(at("2026-04-01T03:59:59.999999Z"));
    assert_eq!(schedule::run_once(&selling).await.unwrap(), 0);
    clock.turn(at("2026-04-01T04:00:00Z"));
    assert_eq!(schedule::run_once(&selling).await.unwrap(), 1);
    assert_eq!(schedule::run_once(&selling).await.unwrap(), 0);
    // Of 30 what exceeds 10 went back, then 30 came.
    let owner = world.client("owner@demo.test").await;
    assert_eq!(allocated(&owner, &demo.pool, &demo.sales).await, (40, 0, 40));
    assert_eq!(owner.balance(&demo.pool).await.0, 100, "nothing was lost, nothing was made");
    let query = "query P($id: ID!) { pool(id: $id) { transfers { nodes { kind credits actor { kind } debit { kind } } } } }";
    let list = owner.query(query, json!({ "id": demo.pool })).await["pool"]["transfers"]["nodes"].clone();
    let newest =
        |n: usize| (list[n]["kind"].clone(), list[n]["credits"].clone(), list[n]["debit"]["kind"].clone());
    assert_eq!(newest(1), (json!("REFILL"), json!(20), json!("ALLOCATION")));
    assert_eq!(newest(0), (json!("REFILL"), json!(30), json!("UNALLOCATED")));
    assert_eq!(list[0]["actor"]["kind"], "SYSTEM");
    let expected = json!({ "credits": 40, "nextAt": "2026-05-01T04:00:00.000000Z", "lastShortfall": 0 });
    assert_eq!(shown(&owner, &demo.pool).await, expected);

    // What is held is neither taken back nor counted. What unallocated lacks is told, and not made up later.
    hold(&owner, &demo.pool, Some(&demo.sales), 35, 72 * 3_600).await;
    refilled(&owner, &demo.pool, &demo.sales, json!({ "credits": 90, "period": "MONTH", "rolloverMax": 0 }))
        .await;
    clock.turn(at("2026-05-01T04:00:00Z"));
    // The hold has expired by then: its 35 are free again, all 40 go back, 90 come.
    schedule::run_once(&selling).await.unwrap();
    let owner = world.client("owner@demo.test").await;
    assert_eq!(allocated(&owner, &demo.pool, &demo.sales).await, (90, 0, 90));
    hold(&owner, &demo.pool, Some(&demo.sales), 25, 72 * 3_600).await;
    clock.turn(at("2026-05-31T12:00:00Z"));
    let owner = world.client("owner@demo.test").await;
    hold(&owner, &demo.pool, Some(&demo.sales), 25, 72 * 3_600).await;
    clock.turn(at("2026-06-01T04:00:00Z"));
    schedule::run_once(&selling).await.unwrap();
    // 25 are held; of 65 free ones none stays, and 75 are there to come.
    let owner = world.client("owner@demo.test").await;
    assert_eq!(allocated(&owner, &demo.pool, &demo.sales).await, (100, 25, 75));
    let expected = json!({ "credits": 90, "nextAt": "2026-07-01T04:00:00.000000Z", "lastShortfall": 15 });
    assert_eq!(shown(&owner, &demo.pool).await, expected);
    let operator = world.client("operator@bursar.test").await;
    grant(&operator, &demo.pool, 50, json!({}), "later").await;
    assert_eq!(schedule::run_once(&selling).await.unwrap(), 0, "a shortfall is not made up later");
    assert_eq!(unallocated(&owner, &demo.pool).await, 50);
    assert_eq!(refills(&world).await, 3);
    balances_are_right(&world).await;
}

/// Two nodes of which one is a day ahead, and restarts in between: each month is refilled for once.
#[test]
fn each_period_once_whatever_nodes_do() {
    run(async {
        let (world, here, clock) = start(Backend::Postgres, "2026-01-20T12:00:00Z").await;
        let owner = world.client("owner@demo.test").await;
        let demo = owner.demo().await;
        let operator = world.client("operator@bursar.test").await;
        grant(&operator, &demo.pool, 900, json!({}), "g").await;
        let ahead = Clock::set(at("2026-01-21T12:00:00Z"));
        let mut other = node(&world, ahead.clone()).await;
        for department in [&demo.sales, &demo.marketing] {
            let refill = json!({ "credits": 10, "period": "MONTH", "rolloverMax": 0 });
            refilled(&owner, &demo.pool, department, refill).await;
        }
        let mut booked = 0;
        for (month, end) in [
            ("2026-01-31T12:00:00Z", "2026-02-01T12:00:00Z"),
            ("2026-02-28T12:00:00Z", "2026-03-01T12:00:00Z"),
            ("2026-03-31T12:00:00Z", "2026-04-01T12:00:00Z"),
        ] {
            // By the clock that is ahead the month has ended; by the other one a day later.
            for now in [month, end] {
                clock.turn(at(now));
                ahead.turn(at(now).plus_days(1));
                let there = other.services().selling.clone();
                for _ in 0..2 {
                    let (one, two) = tokio::join!(schedule::run_once(&here), schedule::run_once(&there));
                    booked += one.unwrap() + two.unwrap();
                }
                other.close().await.unwrap();
                other = node(&world, ahead.clone()).await;
            }
        }
        assert_eq!(booked, 6, "two departments, three months");
        assert_eq!(refills(&world).await, 6);
        let owner = world.client("owner@demo.test").await;
        for department in [&demo.sales, &demo.marketing] {
            assert_eq!(allocated(&owner, &demo.pool, department).await, (10, 0, 10));
        }
        assert_eq!(owner.balance(&demo.pool).await.0, 1_000);
        // A long sleep is one refill, not one for each month that went by.
        for clock in [&clock, &ahead] {
            clock.turn(at("2026-09-10T00:00:00Z"));
        }
        let there: &App = &other;
        let (one, two) =
            tokio::join!(schedule::run_once(&here), schedule::run_once(&there.services().selling));
        assert_eq!(one.unwrap() + two.unwrap(), 2);
        assert_eq!(refills(&world).await, 8);
        balances_are_right(&world).await;
        other.close().await.unwrap();
    });
}

async fn periods_begin_in_the_zone_of_the_organization(backend: Backend) {
    let (world, selling, clock) = start(backend, "2026-03-10T12:00:00Z").await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let zone = |client: Client, zone: &'static str| {
        let input = json!({ "organizationId": demo.organization, "timeZone": zone });
        async move {
            client.mutate("updateOrganization", "UpdateOrganizationInput", input, "organization { id }").await
        }
    };
    zone(owner.clone(), "Asia/Kathmandu").await;
    for (period, ends) in [
        ("YEAR", "2026-12-31T18:15:00.000000Z"),
        ("QUARTER", "2026-03-31T18:15:00.000000Z"),
        ("MONTH", "2026-03-31T18:15:00.000000Z"),
    ] {
        let refill = json!({ "credits": 10, "period": period, "rolloverMax": 0 });
        let made = refilled(&owner, &demo.pool, &demo.sales, refill).await;
        assert_eq!(made["refill"]["nextAt"], ends);
    }
    for (now, done) in [("2026-03-31T18:14:59.999999Z", 0), ("2026-03-31T18:15:00Z", 1)] {
        clock.turn(at(now));
        assert_eq!(schedule::run_once(&selling).await.unwrap(), done, "{now}");
    }
    // A change counts from the next period on, and neither skips a month nor repeats one.
    let owner = world.client("owner@demo.test").await;
    zone(owner.clone(), "Pacific/Kiritimati").await;
    for (now, refilled) in [
        ("2026-04-30T18:14:59Z", 1),
        ("2026-04-30T18:15:00Z", 2),
        ("2026-05-31T09:59:59Z", 2),
        ("2026-05-31T10:00:00Z", 3),
    ] {
        clock.turn(at(now));
        schedule::run_once(&selling).await.unwrap();
        assert_eq!(refills(&world).await, refilled, "{now}");
    }
    let owner = world.client("owner@demo.test").await;
    zone(owner, "America/New_York").await;
    // June there ends at 10:00 of 30 June; in New York it goes on until 04:00 of the next day.
    for (now, refilled) in
        [("2026-06-30T10:00:00Z", 3), ("2026-07-01T03:59:59Z", 3), ("2026-07-01T04:00:00Z", 4)]
    {
        clock.turn(at(now));
        schedule::run_once(&selling).await.unwrap();
        assert_eq!(refills(&world).await, refilled, "{now}");
    }
    balances_are_right(&world).await;
}

async fn settings_stay_or_go(backend: Backend) {
    let (world, selling, clock) = start(backend, "2026-03-10T12:00:00Z").await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    // A department without credits gets an account, which others know of at once.
    let nothing = set(&owner, &demo.pool, &demo.sales, json!({})).await;
    assert_eq!(refusal(&nothing), ("INVALID".to_owned(), "overflow".to_owned()), "{nothing}");
    let deny = json!({ "overflow": "DENY" });
    let made = set(&owner, &demo.pool, &demo.sales, deny).await["allocation"].clone();
    assert_eq!(
        (&made["overflow"], &made["refill"], &made["balance"]["available"]),
        (&json!("DENY"), &Value::Null, &json!(0))
    );
    let given = owner.allocate(&demo.pool, &demo.sales, 10, "a").await;
    assert_eq!(given["allocation"]["id"], made["id"]);
    let refill = json!({ "credits": 20, "period": "QUARTER" });
    let made = refilled(&owner, &demo.pool, &demo.sales, refill).await;
    assert_eq!(
        (&made["refill"]["rolloverMax"], &made["refill"]["nextAt"]),
        (&Value::Null, &json!("2026-04-01T04:00:00.000000Z"))
    );
    let made = set(&owner, &demo.pool, &demo.sales, json!({ "overflow": "UNALLOCATED" })).await["allocation"]
        .clone();
    assert_eq!((&made["overflow"], &made["refill"]["credits"]), (&json!("UNALLOCATED"), &json!(20)));
    // A refill that is about to come is not lost by a change of how much it brings.
    clock.turn(at("2026-04-01T04:00:00Z"));
    let owner = world.client("owner@demo.test").await;
    let made = refilled(&owner, &demo.pool, &demo.sales, json!({ "credits": 25, "period": "QUARTER" })).await;
    assert_eq!(made["refill"]["nextAt"], "2026-04-01T04:00:00.000000Z");
    assert_eq!(schedule::run_once(&selling).await.unwrap(), 1);
    assert_eq!(allocated(&owner, &demo.pool, &demo.sales).await, (25, 0, 25));
    let made = set(&owner, &demo.pool, &demo.sales, json!({ "refill": null })).await["allocation"].clone();
    assert_eq!((&made["overflow"], &made["refill"]), (&json!("UNALLOCATED"), &Value::Null));
    clock.turn(at("2027-01-01T12:00:00Z"));
    assert_eq!(schedule::run_once(&selling).await.unwrap(), 0);
    let owner = world.client("owner@demo.test").await;
    let query = r#"{ organization(by: { slug: "demo" }) { auditEvents(first: 1, filter: { source: EVENT }) { nodes { action before after } } } }"#;
    let event = owner.query(query, json!({})).await["organization"]["auditEvents"]["nodes"][0].clone();
    assert_eq!(event["action"], "setAllocationRefill");
    assert_eq!(event["before"]["refill"], json!({ "credits": 25, "period": "QUARTER", "rolloverMax": null }));
    assert_eq!(event["after"]["refill"], Value::Null);
    for (department, code, field) in
        [("dept_00000000000000000000000000", "NOT_FOUND", "departmentId"), ("x", "NOT_FOUND", "departmentId")]
    {
        let payload = set(&owner, &demo.pool, department, json!({ "overflow": "DENY" })).await;
        assert_eq!(refusal(&payload), (code.to_owned(), field.to_owned()));
    }
    let input = json!({ "departmentId": demo.marketing });
    owner.mutate("archiveDepartment", "ArchiveDepartmentInput", input, "department { id }").await;
    let payload = set(&owner, &demo.pool, &demo.marketing, json!({ "overflow": "DENY" })).await;
    assert_eq!(refusal(&payload).0, "DEPARTMENT_ARCHIVED");
    balances_are_right(&world).await;
}

async fn what_cannot_be_refilled_is_put_off(backend: Backend) {
    let (world, selling, clock) = start(backend, "2026-03-10T12:00:00Z").await;
    let owner = world.client("owner@demo.test").await;
    let operator = world.client("operator@bursar.test").await;
    let demo = owner.demo().await;
    refilled(&owner, &demo.pool, &demo.sales, json!({ "credits": 10, "period": "MONTH" })).await;
    let input = json!({ "poolId": demo.pool, "reason": "Looking into it" });
    operator.mutate("freezePool", "FreezePoolInput", input, "pool { id }").await;
    clock.turn(at("2026-04-01T04:00:00Z"));
    assert_eq!(schedule::run_once(&selling).await.unwrap(), 1);
    assert_eq!(schedule::run_once(&selling).await.unwrap(), 0, "it is put off");
    let failed = "SELECT count(*) AS n FROM timed_task WHERE attempts > 0 OR last_error IS NOT NULL";
    assert_eq!((refills(&world).await, world.number(failed).await), (0, 0), "that is no failure");
    let operator = world.client("operator@bursar.test").await;
    let input = json!({ "poolId": demo.pool, "reason": "All is well" });
    operator.mutate("unfreezePool", "UnfreezePoolInput", input, "pool { id }").await;
    clock.turn(at("2026-04-01T05:00:00Z"));
    assert_eq!(schedule::run_once(&selling).await.unwrap(), 1);
    let owner = world.client("owner@demo.test").await;
    assert_eq!(allocated(&owner, &demo.pool, &demo.sales).await, (10, 0, 10));
    let second = pool(&owner, &demo.organization, "Second").await;
    refilled(&owner, &second, &demo.sales, json!({ "credits": 10, "period": "MONTH" })).await;
    clock.turn(at("2026-05-01T04:00:00Z"));
    schedule::run_once(&selling).await.unwrap();
    let owner = world.client("owner@demo.test").await;
    assert_eq!(shown(&owner, &second).await["lastShortfall"], 10, "an empty pool gives nothing");
    balances_are_right(&world).await;
}

async fn an_allocation_overflows(backend: Backend) {
    let (world, _, _) = start(backend, "2026-03-10T12:00:00Z").await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    owner.allocate(&demo.pool, &demo.sales, 5, "a").await;
    let charge = |key: &'static str, credits: i64| {
        let lines = json!([{ "service": "FURNITURE_REMOVAL", "quantity": credits }]);
        let input =
            json!({ "poolId": demo.pool, "departmentId": demo.sales, "lines": lines, "idempotencyKey": key });
        let owner = owner.clone();
        async move { owner.charge(input).await }
    };
    assert_eq!(refusal(&charge("k", 8).await).0, "INSUFFICIENT_CREDITS");
    set(&owner, &demo.pool, &demo.sales, json!({ "overflow": "UNALLOCATED" })).await;
    assert_eq!(charge("k", 8).await["userErrors"], json!([]));
    assert_eq!(
        (allocated(&owner, &demo.pool, &demo.sales).await.0, unallocated(&owner, &demo.pool).await),
        (0, 92)
    );
    set(&owner, &demo.pool, &demo.sales, json!({ "overflow": "DENY" })).await;
    assert_eq!(refusal(&charge("l", 1).await).0, "INSUFFICIENT_CREDITS");
    balances_are_right(&world).await;
}
