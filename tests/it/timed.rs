//! Timed work: what is due counts from its instant on whether or not it has been booked, is booked within seconds,
//! once, whatever happens to those who do it; and what fails is tried again, later and later.

use std::time::{Duration, Instant};

use bursar::clock::Clock;
use bursar::purchases::Selling;
use bursar::schedule;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::{allocated, at, balances_are_right, grant, hold, node, pool, unallocated};
use crate::support::{Backend, Client, DEADLINE, World, run};

on_both_databases!(
    holds_end_by_the_clock,
    lapses_are_booked_within_seconds,
    a_lease_of_the_dead_runs_out,
    what_fails_is_tried_again,
    a_closed_pool_waits,
    the_past_is_told_as_it_was,
    what_another_node_has_found_due_stays_due,
);

const MARCH: &str = "2026-03-10T12:00:00Z";

/// A server that does no timed work by itself, what it sells by, and its clock.
async fn start(backend: Backend) -> (World, Selling, Clock) {
    let clock = Clock::set(at(MARCH));
    let world = World::start_untimed(backend, clock.clone()).await;
    let selling = world.services().selling.clone();
    // That the demonstration's own purchases run out is not what these tests are about.
    world.sql("DELETE FROM timed_task WHERE kind = 'PURCHASE_DUE'").await;
    (world, selling, clock)
}

/// The kinds of a pool's transfers, newest first.
async fn kinds(client: &Client, pool: &str) -> Vec<(String, i64)> {
    let query = "query P($id: ID!) { pool(id: $id) { transfers(first: 100) { nodes { kind credits } } } }";
    let data = client.query(query, json!({ "id": pool })).await;
    let nodes = data["pool"]["transfers"]["nodes"].as_array().unwrap();
    nodes
        .iter()
        .map(|node| (node["kind"].as_str().unwrap().to_owned(), node["credits"].as_i64().unwrap()))
        .collect()
}

async fn holds_end_by_the_clock(backend: Backend) {
    let (world, selling, clock) = start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    owner.allocate(&demo.pool, &demo.sales, 30, "a").await;
    let id = hold(&owner, &demo.pool, Some(&demo.sales), 12, 3_600).await;
    hold(&owner, &demo.pool, None, 7, 7_200).await;
    assert_eq!(allocated(&owner, &demo.pool, &demo.sales).await, (30, 12, 18));
    let state = "query H($id: ID!) { node(id: $id) { ... on Hold { state } } }";
    clock.turn(at(MARCH).plus_seconds(3_599));
    assert_eq!(schedule::run_once(&selling).await.unwrap(), 0);
    assert_eq!(owner.balance(&demo.pool).await, (81, 4));
    // From its instant on it holds nothing, though nothing has been booked.
    clock.turn(at(MARCH).plus_seconds(3_600));
    assert_eq!(allocated(&owner, &demo.pool, &demo.sales).await, (30, 0, 30));
    assert_eq!(owner.balance(&demo.pool).await, (93, 4));
    assert_eq!(schedule::run_once(&selling).await.unwrap(), 1);
    assert_eq!(owner.balance(&demo.pool).await, (93, 5));
    assert_eq!(kinds(&owner, &demo.pool).await[0], ("RELEASE".to_owned(), 12));
    assert_eq!(owner.query(state, json!({ "id": id })).await["node"]["state"], "EXPIRED");
    // Nothing more is due before the other one is.
    assert_eq!(schedule::run_once(&selling).await.unwrap(), 0);
    clock.turn(at(MARCH).plus_seconds(7_200));
    assert_eq!(schedule::run_once(&selling).await.unwrap(), 1);
    assert_eq!(owner.balance(&demo.pool).await, (100, 6));
    clock.turn(at(MARCH).plus_days(365));
    assert_eq!(schedule::run_once(&selling).await.unwrap(), 0, "nothing is expected any more");
    balances_are_right(&world).await;
}

/// A server as it is used: credits lapse at their instant, and the books say so seconds later.
async fn lapses_are_booked_within_seconds(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let operator = world.client("operator@bursar.test").await;
    let demo = owner.demo().await;
    let mut socket = owner.socket().await;
    let watch = "subscription W($id: ID!) { poolBalance(poolId: $id, after: 1) { version balance { available } transfers { kind credits effectiveAt createdAt } } }";
    let expires = chrono::Utc::now() + chrono::Duration::milliseconds(2_500);
    let expires_at = expires.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let more = json!({ "expiresAt": expires_at, "departmentId": demo.sales });
    assert_eq!(grant(&operator, &demo.pool, 20, more, "g").await["userErrors"], json!([]));
    socket.subscribe("1", watch, json!({ "id": demo.pool })).await;
    let (began, mut lapse) = (Instant::now(), Value::Null);
    while lapse.is_null() {
        assert!(began.elapsed() < DEADLINE, "the lapse is not booked");
        let event = socket.next("poolBalance").await;
        let transfers = event["transfers"].as_array().unwrap().clone();
        lapse = transfers.into_iter().find(|transfer| transfer["kind"] == "LAPSE").unwrap_or_default();
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?} is not within seconds", began.elapsed());
    assert_eq!((&lapse["credits"], &lapse["effectiveAt"]), (&json!(20), &json!(expires_at)));
    assert_eq!(allocated(&owner, &demo.pool, &demo.sales).await, (0, 0, 0));
    assert_eq!(unallocated(&owner, &demo.pool).await, 100);
    let metrics = owner.http().get(owner.url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("bursar_timed_tasks_total{kind=\"BOOK_DUE\",outcome=\"done\"}"), "{metrics}");
    assert!(metrics.contains("bursar_timed_tasks_lag_seconds"), "{metrics}");
    balances_are_right(&world).await;
}

/// Pools in which credits lapse ten days after [`MARCH`].
async fn lapsing(world: &World, pools: usize) -> Vec<String> {
    let owner = world.client("owner@demo.test").await;
    let operator = world.client("operator@bursar.test").await;
    let demo = owner.demo().await;
    let mut made = Vec::new();
    for number in 0..pools {
        let pool = pool(&owner, &demo.organization, &format!("Pool {number}")).await;
        let more = json!({ "expiresAt": "2026-03-20T12:00:00Z" });
        assert_eq!(grant(&operator, &pool, 5, more, &pool).await["userErrors"], json!([]));
        made.push(pool);
    }
    made
}

async fn a_lease_of_the_dead_runs_out(backend: Backend) {
    let (world, selling, clock) = start(backend).await;
    let pools = lapsing(&world, 1).await;
    clock.turn(at("2026-03-20T12:00:00Z"));
    // Somebody has taken it a second ago, and is never heard of again.
    let name = match backend {
        Backend::Sqlite => "randomblob(16)",
        Backend::Postgres => "gen_random_uuid()",
    };
    let until = at("2026-03-20T12:00:59Z").micros();
    let taken =
        format!("UPDATE timed_task SET lease = {name}, leased_until = {until} WHERE due_at < {until}");
    assert_eq!(world.sql(&taken).await, 1);
    assert_eq!(schedule::run_once(&selling).await.unwrap(), 0);
    let owner = world.client("owner@demo.test").await;
    assert_eq!(owner.balance(&pools[0]).await, (0, 1), "they have lapsed, booked or not");
    clock.turn(at("2026-03-20T12:00:58.999999Z"));
    assert_eq!(schedule::run_once(&selling).await.unwrap(), 0);
    clock.turn(at("2026-03-20T12:00:59Z"));
    assert_eq!(schedule::run_once(&selling).await.unwrap(), 1);
    assert_eq!(owner.balance(&pools[0]).await, (0, 2));
    assert_eq!(kinds(&owner, &pools[0]).await[0], ("LAPSE".to_owned(), 5));
    let left = "SELECT count(*) AS n FROM timed_task WHERE lease IS NOT NULL OR leased_until IS NOT NULL";
    assert_eq!(world.number(left).await, 0, "leases are given back");
    balances_are_right(&world).await;
}

/// One who was slow, and finds its work done by another, changes nothing by it.
#[test]
fn each_task_is_done_once() {
    run(async {
        let (world, selling, clock) = start(Backend::Postgres).await;
        let pools = lapsing(&world, 40).await;
        let others = [node(&world, clock.clone()).await, node(&world, clock.clone()).await];
        clock.turn(at("2026-03-20T12:00:00Z"));
        let (one, two, three) = tokio::join!(
            schedule::run_once(&selling),
            schedule::run_once(&others[0].services().selling),
            schedule::run_once(&others[1].services().selling),
        );
        assert_eq!(one.unwrap() + two.unwrap() + three.unwrap(), 40);
        let lapses = "SELECT count(*) AS n FROM transfer WHERE kind = 5";
        assert_eq!(world.number(lapses).await, 40);
        // Leases that are taken away in the middle: everything is done again, and nothing happens.
        world.sql("UPDATE timed_task SET due_at = 0").await;
        let greedy = async {
            for _ in 0..50 {
                world.sql("UPDATE timed_task SET leased_until = 0").await;
            }
        };
        let ((), one, two) = tokio::join!(
            greedy,
            schedule::run_once(&selling),
            schedule::run_once(&others[0].services().selling),
        );
        assert!(one.unwrap() + two.unwrap() >= 40);
        assert_eq!(world.number(lapses).await, 40);
        let owner = world.client("owner@demo.test").await;
        for pool in &pools {
            assert_eq!(owner.balance(pool).await, (0, 2));
        }
        balances_are_right(&world).await;
        for other in others {
            other.close().await.unwrap();
        }
    });
}

async fn what_fails_is_tried_again(backend: Backend) {
    let (world, selling, clock) = start(backend).await;
    let pools = lapsing(&world, 2).await;
    clock.turn(at("2026-03-20T12:00:00Z"));
    // Lapses cannot be written; everything else goes on.
    match backend {
        Backend::Sqlite => {
            world.sql("CREATE TRIGGER poison BEFORE INSERT ON transfer WHEN NEW.kind = 5 BEGIN SELECT RAISE(ABORT, 'poisoned'); END").await
        }
        Backend::Postgres => {
            world.sql("CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'poisoned'; END $$; CREATE TRIGGER poison BEFORE INSERT ON transfer FOR EACH ROW WHEN (NEW.kind = 5) EXECUTE FUNCTION poison()").await
        }
    };
    let failed = |attempts: i64| {
        format!(
            "SELECT count(*) AS n FROM timed_task WHERE attempts = {attempts} AND last_error IS NOT NULL AND lease IS NULL"
        )
    };
    assert_eq!(schedule::run_once(&selling).await.unwrap(), 2);
    assert_eq!(world.number(&failed(1)).await, 2);
    assert_eq!(schedule::run_once(&selling).await.unwrap(), 0, "it waits a second");
    clock.turn(at("2026-03-20T12:00:01Z"));
    assert_eq!(schedule::run_once(&selling).await.unwrap(), 2);
    assert_eq!(world.number(&failed(2)).await, 2);
    clock.turn(at("2026-03-20T12:00:02Z"));
    assert_eq!(schedule::run_once(&selling).await.unwrap(), 0, "and then two");
    match backend {
        Backend::Sqlite => world.sql("DROP TRIGGER poison").await,
        Backend::Postgres => world.sql("DROP TRIGGER poison ON transfer").await,
    };
    clock.turn(at("2026-03-20T12:00:03Z"));
    assert_eq!(schedule::run_once(&selling).await.unwrap(), 2);
    let owner = world.client("owner@demo.test").await;
    for pool in &pools {
        assert_eq!(kinds(&owner, pool).await[0], ("LAPSE".to_owned(), 5));
    }
    let marks = "SELECT count(*) AS n FROM timed_task WHERE attempts > 0 OR last_error IS NOT NULL";
    assert_eq!(world.number(marks).await, 0, "a success clears what was before");
    balances_are_right(&world).await;
}

async fn a_closed_pool_waits(backend: Backend) {
    let (world, selling, clock) = start(backend).await;
    let pools = lapsing(&world, 1).await;
    let operator = world.client("operator@bursar.test").await;
    let input = json!({ "poolId": pools[0], "reason": "Looking into it" });
    operator.mutate("freezePool", "FreezePoolInput", input.clone(), "pool { id }").await;
    clock.turn(at("2026-03-20T12:00:00Z"));
    assert_eq!(schedule::run_once(&selling).await.unwrap(), 1);
    assert_eq!(schedule::run_once(&selling).await.unwrap(), 0);
    let marks = "SELECT count(*) AS n FROM timed_task WHERE attempts > 0 OR last_error IS NOT NULL";
    assert_eq!(world.number(marks).await, 0, "that is no failure");
    let owner = world.client("owner@demo.test").await;
    assert_eq!(owner.balance(&pools[0]).await, (0, 1));
    // Opening it books what is due, without waiting for anybody.
    let operator = world.client("operator@bursar.test").await;
    operator.mutate("unfreezePool", "UnfreezePoolInput", input, "pool { id }").await;
    assert_eq!(owner.balance(&pools[0]).await, (0, 2));
    assert_eq!(kinds(&owner, &pools[0]).await[0], ("LAPSE".to_owned(), 5));
    clock.turn(at("2026-03-21T12:00:00Z"));
    assert_eq!(schedule::run_once(&selling).await.unwrap(), 0, "nothing is left to be done");
    balances_are_right(&world).await;
}

/// What was booked late counts from when it took effect, also for who asks for the past.
async fn the_past_is_told_as_it_was(backend: Backend) {
    let (world, selling, clock) = start(backend).await;
    let pools = lapsing(&world, 1).await;
    clock.turn(at("2026-03-22T12:00:00Z"));
    let owner = world.client("owner@demo.test").await;
    let query = "query P($id: ID!, $time: DateTime!) { pool(id: $id) { balanceAt(time: $time) { posted available version asOf } } }";
    let told = |time: &'static str| {
        let (owner, id) = (owner.clone(), pools[0].clone());
        async move {
            let data = owner.query(query, json!({ "id": id, "time": time })).await;
            let balance = data["pool"]["balanceAt"].clone();
            (balance["available"].as_i64().unwrap(), balance["version"].as_i64().unwrap())
        }
    };
    for booked in [false, true] {
        if booked {
            assert_eq!(schedule::run_once(&selling).await.unwrap(), 1);
        }
        for (time, expected) in [
            ("2020-01-01T00:00:00Z", (0, 0)),
            ("2026-03-10T11:59:59.999999Z", (0, 0)),
            ("2026-03-10T12:00:00Z", (5, 1)),
            ("2026-03-20T11:59:59.999999Z", (5, 1)),
            ("2026-03-20T12:00:00Z", (0, 1)),
            ("2026-03-21T12:00:00Z", (0, 1)),
        ] {
            assert_eq!(told(time).await, expected, "{time}, booked: {booked}");
        }
    }
    assert_eq!(told("2026-03-22T12:00:00Z").await, (0, 2));
    let later = json!({ "id": pools[0], "time": "2026-03-22T12:00:00.000001Z" });
    let body = owner.raw(query, later).await;
    assert_eq!(body["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{body}");
    assert_eq!(body["data"]["pool"], json!({ "balanceAt": null }));
    // What was about to expire then, though it is gone now.
    let expiring = query.replace("asOf", "near: expiring(within: 5) far: expiring(within: 10)");
    for (time, near, far) in [
        ("2026-03-10T11:00:00Z", 0, 0),
        ("2026-03-10T12:00:00Z", 0, 5),
        ("2026-03-15T12:00:00Z", 5, 5),
        ("2026-03-20T12:00:00Z", 0, 0),
    ] {
        let data = owner.query(&expiring, json!({ "id": pools[0], "time": time })).await;
        let balance = &data["pool"]["balanceAt"];
        assert_eq!((&balance["near"], &balance["far"]), (&json!(near), &json!(far)), "{time}");
    }
}

/// One node lets a hold go by the clock and remembers when something was due; another finds out that nothing is
/// any more. What the first does next must not bring the old time back, or nothing would be booked in time again.
async fn what_another_node_has_found_due_stays_due(backend: Backend) {
    let (world, _, clock) = start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let charge = |key: &str| json!({ "poolId": demo.pool, "lines": [{ "service": "FURNITURE_REMOVAL" }], "idempotencyKey": key });
    hold(&owner, &demo.pool, None, 5, 60).await;
    clock.turn(at(MARCH).plus_seconds(61));
    owner.charge(charge("lets it go")).await;
    // SQLite has one process; there the other node is another ledger in it.
    let other = node(&world, clock.clone()).await;
    schedule::run_once(&other.services().selling).await.unwrap();
    owner.charge(charge("goes on")).await;
    hold(&owner, &demo.pool, None, 5, 60).await;
    let due = at(MARCH).plus_seconds(61 + 60).micros();
    assert_eq!(world.number("SELECT max(due_at) AS n FROM pool_head").await, due);
    let task = "SELECT max(due_at) AS n FROM timed_task WHERE kind = 'BOOK_DUE'";
    assert_eq!(world.number(task).await, due);
    clock.turn(at(MARCH).plus_seconds(200));
    assert_eq!(schedule::run_once(&other.services().selling).await.unwrap(), 1);
    assert_eq!(world.number("SELECT count(*) AS n FROM hold WHERE state = 'EXPIRED'").await, 2);
    other.close().await.unwrap();
    balances_are_right(&world).await;
}
