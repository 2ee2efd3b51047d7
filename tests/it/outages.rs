//! When something breaks in the middle: clients that go away, commits that are cut off, a database that is
//! stopped and started again. What was acknowledged stays, nothing happens twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bursar::clock::Clock;
use bursar::db::{Options, Protections};
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};

use crate::support::client::Demo;
use crate::support::laws::books_are_right;
use crate::support::postgres::{Instance, server};
use crate::support::{Backend, Client, Cut, DEADLINE, Proxy, TestDatabase, World, run};

/// How many requests are dropped unless the environment says otherwise, and how many of them two at a time, with nobody
/// after them for a while.
const DROPPED: u64 = 2_000;
const LONELY: u64 = 80;
/// In how many parts, where there is to be damage.
const PARTS: u64 = 8;

/// A document that answers one charge, whatever the outcome.
const CHARGE: &str = "mutation C($input: ChargeCreditsInput!) { chargeCredits(input: $input) {
    charge { id } replayed userErrors { code message } } }";

fn input(demo: &Demo, key: &str) -> Value {
    json!({ "input": { "poolId": demo.pool, "lines": [{ "service": "FURNITURE_REMOVAL" }], "idempotencyKey": key } })
}

/// A server whose way to PostgreSQL is a proxy.
async fn through_proxy(delay: Duration, options: Options) -> (World, Proxy) {
    let mut database = TestDatabase::migrated(Backend::Postgres).await;
    let proxy = Proxy::start(&server().host, delay).await;
    for url in [Some(&mut database.addresses.application), database.addresses.migration.as_mut()] {
        let url = url.unwrap();
        *url = url.replace(&server().host, &proxy.host);
    }
    // What others do in passing would tidy up what is left behind.
    (World::start_untimed_on(database, Clock::system(), options).await, proxy)
}

/// How many connections stand in a transaction without doing anything.
async fn left_in_transaction(world: &World) -> i64 {
    let sql = "SELECT count(*) AS n FROM pg_stat_activity
               WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    world.number(sql).await
}

/// What a storm of clients that go away has left behind.
#[derive(Debug, PartialEq)]
struct Damage {
    /// Acknowledged writes that are not there.
    lost: usize,
    /// Connections still in a transaction a second after the last request.
    left: i64,
}

/// A part of a hundred that looks random and is the same each time.
fn moment(number: u64) -> u32 {
    u32::try_from((number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % 101).unwrap()
}

/// How many of some ids are of charges.
fn of_charges(ids: &[String]) -> usize {
    ids.iter().filter(|id| id.starts_with("charge_")).count()
}

/// Whether enough of both was acknowledged to tell whether anything is lost.
fn enough(ids: &[String]) -> bool {
    let charges = of_charges(ids);
    charges > 20 && ids.len() - charges > 20
}

async fn storm(protections: Protections) -> Damage {
    let options = Options { connections: 2, protections, ..Options::default() };
    let (world, _proxy) = through_proxy(Duration::from_millis(1), options).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    world.grant(&demo.organization, &demo.pool, 10_000).await;
    let department = "mutation D($input: CreateDepartmentInput!) { createDepartment(input: $input) {
        department { code } userErrors { code } } }";
    // Clients go away within the time that most answers take, however fast the machine is; then all moments of a
    // request are met.
    let began = Instant::now();
    for turn in 0..4 {
        let each = (0..4).map(|number| {
            let (client, code) = (owner.clone(), format!("T{turn}{number}"));
            let input = json!({ "organizationId": demo.organization, "code": code, "name": code });
            async move { client.raw(department, json!({ "input": input })).await }
        });
        futures_util::future::join_all(each).await;
    }
    let patience = Duration::from_millis(100).max(began.elapsed() / 2);
    let request = |number: u64| {
        let (client, demo) = (owner.clone(), demo.clone());
        async move {
            let wait = patience * moment(number) / 100;
            let answer = async {
                match number % 8 {
                    0..=3 => client.raw(CHARGE, input(&demo, &format!("key-{number}"))).await,
                    4 | 5 => {
                        let code = format!("D{number}");
                        let input =
                            json!({ "organizationId": demo.organization, "code": code, "name": code });
                        client.raw(department, json!({ "input": input })).await
                    }
                    _ => {
                        client
                            .raw(
                                "query P($id: ID!) { pool(id: $id) { balance { available } } }",
                                json!({ "id": demo.pool }),
                            )
                            .await
                    }
                }
            };
            let answer = tokio::time::timeout(wait, answer).await.ok()?;
            let charge = &answer["data"]["chargeCredits"]["charge"]["id"];
            let code = &answer["data"]["createDepartment"]["department"]["code"];
            [charge, code].into_iter().find_map(Value::as_str).map(str::to_owned)
        }
    };
    let dropped = std::env::var("DROPPED").map_or(DROPPED, |number| number.parse().unwrap());
    // Whoever expects damage looks for it from time to time, and goes on no longer than until there is some.
    let parts = if protections.own_task && protections.probe { 1 } else { PARTS };
    let (many, pairs) = (dropped.saturating_sub(LONELY), LONELY / 2);
    let (mut left, mut acknowledged) = (0, Vec::<String>::new());
    for part in 0..parts {
        if left > 0 && enough(&acknowledged) {
            break;
        }
        let numbers = many * part / parts..many * (part + 1) / parts;
        let answers = stream::iter(numbers).map(request).buffer_unordered(4).filter_map(std::future::ready);
        acknowledged.extend(answers.collect::<Vec<_>>().await);
        // What is under way ends; then a second of silence.
        let began = Instant::now();
        while world.services().context.db.writing() > 0 {
            assert!(began.elapsed() < DEADLINE, "writes do not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        left = left_in_transaction(&world).await;
        // Whoever comes next may tidy up what is left behind. After these nobody comes for a second.
        for pair in pairs * part / parts..pairs * (part + 1) / parts {
            if left > 0 {
                break;
            }
            let read = |number: u64| {
                let (client, pool) = (owner.clone(), demo.pool.clone());
                let read = async move { client.balance(&pool).await };
                tokio::time::timeout(patience * moment(number) / 333, read)
            };
            let _ = tokio::join!(read(2 * pair), read(2 * pair + 1));
            let began = Instant::now();
            loop {
                left = left_in_transaction(&world).await;
                if left == 0 || began.elapsed() > Duration::from_secs(1) {
                    break;
                }
            }
        }
    }
    let mut lost = 0;
    let charges = of_charges(&acknowledged);
    for id in &acknowledged {
        let sql = match bursar::global_id::decode::<bursar_domain::id::ChargeId>(id) {
            Some(charge) => {
                let id = uuid::Uuid::from_u128(bursar_domain::id::Id::as_u128(charge));
                format!("SELECT count(*) AS n FROM charge WHERE id = '{id}'")
            }
            None => format!("SELECT count(*) AS n FROM department WHERE code = '{id}'"),
        };
        lost += usize::from(world.number(&sql).await != 1);
    }
    let others = acknowledged.len() - charges;
    assert!(enough(&acknowledged), "acknowledged: {charges} charges, {others} departments");
    Damage { lost, left }
}

#[test]
fn clients_that_go_away_leave_nothing_behind() {
    run(async {
        assert_eq!(storm(Protections::default()).await, Damage { lost: 0, left: 0 });
    });
}

/// The same storm without what protects from it: the test above does notice.
#[test]
fn without_protection_they_do() {
    run(async {
        let damage = storm(Protections { own_task: false, probe: false }).await;
        assert!(damage.lost > 0 || damage.left > 0, "{damage:?}");
    });
}

/// Nobody knows whether a commit that is cut off has happened. The key tells: the charge is there once, and
/// who asked for it learns of it as if nothing had been.
#[test]
fn a_commit_that_is_cut_off_is_looked_up() {
    run(async {
        let (world, proxy) = through_proxy(Duration::ZERO, Options::default()).await;
        let owner = world.client("owner@demo.test").await;
        let demo = owner.demo().await;
        let mut available = owner.balance(&demo.pool).await.0;
        for (number, cut) in [Cut::AfterCommit, Cut::BeforeCommit, Cut::AfterCommit].into_iter().enumerate() {
            let cuts = proxy.cuts();
            proxy.cut_next(cut);
            let input = input(&demo, &format!("key-{number}"));
            let answer = owner.raw(CHARGE, input.clone()).await;
            assert_eq!(proxy.cuts(), cuts + 1, "{cut:?}");
            let first = &answer["data"]["chargeCredits"];
            assert_eq!(first["userErrors"], json!([]), "{cut:?}: {answer}");
            assert_eq!(first["replayed"], json!(false), "it is the first: {cut:?}");
            available -= 1;
            assert_eq!(owner.balance(&demo.pool).await.0, available, "{cut:?}");
            let again = owner.raw(CHARGE, input).await["data"]["chargeCredits"].clone();
            assert_eq!((&again["charge"], &again["replayed"]), (&first["charge"], &json!(true)));
        }
        // A write that is no command says that it does not know.
        proxy.cut_next(Cut::AfterCommit);
        let input = json!({ "input": { "organizationId": demo.organization, "code": "CUT", "name": "Cut" } });
        let document = "mutation D($input: CreateDepartmentInput!) { createDepartment(input: $input) { department { code } userErrors { code } } }";
        let cuts = proxy.cuts();
        let answer = owner.raw(document, input).await;
        assert_eq!(proxy.cuts(), cuts + 1);
        assert_eq!(answer["errors"][0]["extensions"]["code"], "UNKNOWN_OUTCOME", "{answer}");
        assert_eq!(world.number("SELECT count(*) AS n FROM department WHERE code = 'CUT'").await, 1);
        books_are_right(&world).await;
    });
}

/// Stopped and started again under load, first in good order and then like a crash: clients that retry with
/// their keys all end well.
#[test]
fn the_database_is_stopped_and_started_again() {
    run(async {
        let mut instance = Instance::start(&["fsync=off", "log_min_messages=fatal"]);
        let database = TestDatabase::on(&instance).await;
        let world = World::start_on(database, Clock::system(), Options::default(), None).await;
        let owner = world.client("owner@demo.test").await;
        let demo = owner.demo().await;
        let funds = world.grant(&demo.organization, &demo.pool, 1_000_000).await;
        let stop = Arc::new(AtomicBool::new(false));
        let (accepted, failed) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let client = |number: usize| {
            let (client, demo) = (owner.another(), demo.clone());
            let (stop, accepted, failed) = (stop.clone(), accepted.clone(), failed.clone());
            tokio::spawn(async move {
                let mut charges = BTreeMap::new();
                for turn in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let key = format!("key-{number}-{turn}");
                    loop {
                        let answer = client.raw(CHARGE, input(&demo, &key)).await;
                        if let Some(id) = answer["data"]["chargeCredits"]["charge"]["id"].as_str() {
                            accepted.fetch_add(1, Ordering::SeqCst);
                            charges.insert(key, id.to_owned());
                            break;
                        }
                        let code = answer["errors"][0]["extensions"]["code"].as_str();
                        assert!(matches!(code, Some("UNAVAILABLE" | "UNKNOWN_OUTCOME")), "{answer}");
                        failed.fetch_add(1, Ordering::SeqCst);
                    }
                }
                charges
            })
        };
        let clients: Vec<_> = (0..16).map(client).collect();
        for signal in ["INT", "QUIT"] {
            reaches(&accepted, 200).await;
            instance.stop(signal);
            // Long enough for everything that is under way to have met it.
            tokio::time::sleep(Duration::from_millis(500)).await;
            let before = accepted.load(Ordering::SeqCst);
            instance.run();
            answers(&world.database.superuser).await;
            let back = Instant::now();
            reaches(&accepted, 1).await;
            assert!(back.elapsed() < Duration::from_secs(5), "back after {:?}", back.elapsed());
            assert!(accepted.load(Ordering::SeqCst) > before);
        }
        stop.store(true, Ordering::SeqCst);
        let mut charges = BTreeMap::new();
        for client in clients {
            charges.extend(client.await.unwrap());
        }
        let count = world.number("SELECT count(*) AS n FROM charge").await;
        assert_eq!(count, charges.len() as i64, "each charge once, none but those that were asked for");
        assert_eq!(owner.balance(&demo.pool).await.0, funds - count);
        let ids: std::collections::BTreeSet<&String> = charges.values().collect();
        assert_eq!(ids.len(), charges.len());
        for (key, id) in charges.iter().step_by(charges.len() / 50 + 1) {
            let again = owner.raw(CHARGE, input(&demo, key)).await;
            assert_eq!(again["data"]["chargeCredits"]["charge"]["id"], json!(id));
        }
        books_are_right(&world).await;
    });
}

/// Waits until so many more have been counted.
pub async fn reaches(counter: &AtomicU32, more: u32) {
    let (goal, began) = (counter.load(Ordering::SeqCst) + more, Instant::now());
    while counter.load(Ordering::SeqCst) < goal {
        assert!(began.elapsed() < DEADLINE, "nothing goes on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until a database answers.
pub async fn answers(url: &str) {
    let began = Instant::now();
    loop {
        if let Ok(connection) = sea_orm::Database::connect(url).await {
            let asked = sea_orm::ConnectionTrait::execute_unprepared(&connection, "SELECT 1").await;
            let _ = connection.close().await;
            if asked.is_ok() {
                return;
            }
        }
        assert!(began.elapsed() < DEADLINE, "the database does not come back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Told to stop, a server takes no more and answers all that it has taken.
#[test]
fn what_waits_is_answered_before_the_end() {
    run(async {
        let (world, _proxy) = through_proxy(Duration::from_millis(5), Options::default()).await;
        let owner = world.client("owner@demo.test").await;
        let demo = owner.demo().await;
        let document = |key: usize| input(&demo, &format!("key-{key}"));
        let clients: Vec<(Client, Value)> = (0..50).map(|key| (owner.another(), document(key))).collect();
        let charges: Vec<_> = clients
            .into_iter()
            .map(|(client, input)| tokio::spawn(async move { client.raw(CHARGE, input).await }))
            .collect();
        let began = Instant::now();
        while world.number("SELECT count(*) AS n FROM charge").await == 0 {
            assert!(began.elapsed() < DEADLINE);
        }
        world.services().ledger.drain().await;
        let late = owner.raw(CHARGE, document(99)).await;
        assert_eq!(late["errors"][0]["extensions"]["code"], "UNAVAILABLE", "{late}");
        let mut accepted = 0;
        for charge in charges {
            let answer = charge.await.unwrap();
            match answer["errors"][0]["extensions"]["code"].as_str() {
                None => accepted += 1,
                Some(code) => assert_eq!(code, "UNAVAILABLE"),
            }
        }
        assert_eq!(world.number("SELECT count(*) AS n FROM charge").await, accepted);
        assert!(accepted > 0);
    });
}

/// Writers and readers for ten seconds on one SQLite file: nobody is told that it is busy.
#[test]
fn sqlite_is_never_busy() {
    run(async {
        let world = World::start(Backend::Sqlite).await;
        let owner = world.client("owner@demo.test").await;
        let demo = owner.demo().await;
        world.grant(&demo.organization, &demo.pool, 1_000_000).await;
        let until = Instant::now() + Duration::from_secs(10);
        let mut tasks = Vec::new();
        for number in 0..32 {
            let (client, demo) = (owner.another(), demo.clone());
            tasks.push(tokio::spawn(async move {
                let mut done = 0;
                while Instant::now() < until {
                    let key = format!("{number}-{done}");
                    // Through the lanes, and beside them.
                    let errors = if number % 4 == 0 {
                        let input = json!({ "organizationId": demo.organization, "code": format!("D{number}X{done}"), "name": "D" });
                        client.try_mutate("createDepartment", "CreateDepartmentInput", input, "department { id }").await["userErrors"].clone()
                    } else {
                        client.charge(input(&demo, &key)["input"].clone()).await["userErrors"].clone()
                    };
                    assert_eq!(errors, json!([]));
                    done += 1;
                }
                done
            }));
        }
        for _ in 0..16 {
            let (client, demo) = (owner.another(), demo.clone());
            tasks.push(tokio::spawn(async move {
                let mut done = 0;
                while Instant::now() < until {
                    client.balance(&demo.pool).await;
                    done += 1;
                }
                done
            }));
        }
        for task in tasks {
            assert!(task.await.unwrap() > 0, "everybody has come to something");
        }
        books_are_right(&world).await;
    });
}
