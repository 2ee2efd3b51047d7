//! Several nodes on one PostgreSQL database: watchers on each, charges through all, a bus that goes away and comes
//! back, a node that crashes. Every watcher of a node that is left sees every version once and in order, and ends
//! at the database's balance.
//!
//! `SUBSCRIBERS` (on each node), `RATE` (charges a second) and `SECONDS_OF_PHASE` in the environment make a
//! longer proof of it, which also prints how late the watchers were.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, Database};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::support::{Backend, Client, Nats, Process, Socket, World, run};

const WATCH: &str = "subscription W($id: ID!) { poolBalance(poolId: $id, after: 1) {
    kind version balance { available } transfers { version } } }";

/// How late an event may be while the bus is up, for 99 of 100.
const LATE: Duration = Duration::from_millis(250);
/// How old what a watcher has may be while the bus is down.
const STALE: Duration = Duration::from_secs(15);

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What makes the bus go away and come back.
enum Bus {
    /// PostgreSQL's: the sessions that listen and notify are ended for as long as it is down.
    Postgres { superuser: String },
    /// A NATS server.
    Nats(Nats),
}

impl Bus {
    fn settings(&self) -> Vec<(&'static str, String)> {
        match self {
            Bus::Postgres { .. } => vec![("BURSAR_BUS", "postgres".to_owned())],
            Bus::Nats(nats) => vec![("BURSAR_BUS", "nats".to_owned()), ("BURSAR_NATS_URL", nats.url())],
        }
    }

    /// Takes the bus away for some time, and gives it back.
    async fn fail(&mut self, time: Duration) {
        match self {
            Bus::Postgres { superuser } => {
                let admin = Database::connect(superuser.as_str()).await.unwrap();
                let until = Instant::now() + time;
                while Instant::now() < until {
                    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                               WHERE datname = current_database()
                               AND (query ILIKE 'listen%' OR query ILIKE '%pg_notify%') AND pid <> pg_backend_pid()";
                    admin.execute_unprepared(end).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                admin.close().await.unwrap();
            }
            Bus::Nats(nats) => {
                nats.kill();
                tokio::time::sleep(time).await;
                nats.run();
            }
        }
    }
}

/// The versions that have been acknowledged, each with when.
type Told = Arc<Mutex<Vec<(i64, Instant)>>>;

/// Charges through all nodes in turn until it is told to stop; a node that is gone is left out.
fn charge(
    clients: Vec<Client>,
    pool: String,
    rate: u64,
    told: Told,
    stop: watch::Receiver<bool>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut interval = tokio::time::interval(Duration::from_micros(1_000_000 / rate));
        let mut under_way = Vec::new();
        for n in 0.. {
            interval.tick().await;
            if *stop.borrow() {
                break;
            }
            let (clients, pool, told) = (clients.clone(), pool.clone(), told.clone());
            under_way.push(tokio::spawn(async move {
                for attempt in 0..200 {
                    let client = &clients[(n + attempt) % clients.len()];
                    let query = "mutation C($i: ChargeCreditsInput!) { chargeCredits(input: $i) { charge { version } userErrors { code } } }";
                    let input = json!({ "poolId": pool, "lines": [{ "service": "FURNITURE_REMOVAL" }], "idempotencyKey": format!("n{n}") });
                    let body = json!({ "query": query, "variables": { "i": input } });
                    let sent = client.http().post(client.url("/graphql")).bearer_auth(client.token()).json(&body);
                    let Ok(response) = sent.send().await else {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        continue;
                    };
                    let Ok(answer) = response.json::<serde_json::Value>().await else { continue };
                    let version = answer["data"]["chargeCredits"]["charge"]["version"].as_i64();
                    let version = version.unwrap_or_else(|| panic!("{answer}"));
                    told.lock().unwrap().push((version, Instant::now()));
                    return;
                }
                panic!("a charge was never answered");
            }));
        }
        for charge in under_way {
            charge.await.unwrap();
        }
    })
}

/// What a watcher saw: when it had which version, and its last balance.
#[derive(Default)]
struct Seen {
    versions: Vec<(i64, Instant)>,
    balance: i64,
}

/// Watches until a version that is told at the end; checks that nothing is missing, doubled or out of order.
async fn follow(mut socket: Socket, pool: String, until: watch::Receiver<i64>) -> Result<Seen, String> {
    socket.subscribe("1", WATCH, json!({ "id": pool })).await;
    let (mut seen, mut last) = (Seen::default(), 1);
    loop {
        if *until.borrow() > 0 && last >= *until.borrow() {
            return Ok(seen);
        }
        let message = match socket.message().await {
            Ok(message) => message,
            // Its node has crashed.
            Err((code, reason)) => return Err(format!("{code} {reason}")),
        };
        let event = &message["payload"]["data"]["poolBalance"];
        assert!(event["kind"] == "CHANGE" || event["kind"] == "SNAPSHOT", "{message}");
        for transfer in event["transfers"].as_array().unwrap() {
            assert_eq!(transfer["version"], json!(last + 1), "{message}");
            last += 1;
        }
        assert_eq!(event["version"], json!(last), "{message}");
        seen.versions.push((last, Instant::now()));
        seen.balance = event["balance"]["available"].as_i64().unwrap();
    }
}

async fn survive(mut bus: Bus, nodes: usize, world: World) {
    let (subscribers, rate) = (number("SUBSCRIBERS", 10), number("RATE", 50));
    let phase = Duration::from_secs(number("SECONDS_OF_PHASE", 3));
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    world.grant(&demo.organization, &demo.pool, 1_000_000).await;
    let settings = bus.settings();
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut processes = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..nodes {
        let process = Process::start_with(&world.database, &settings).await;
        clients.push(process.client(&world, "owner@demo.test").await);
        processes.push(process);
    }
    let (finish, finished) = watch::channel(0);
    let mut watchers = Vec::new();
    for client in &clients {
        for _ in 0..subscribers {
            let socket = client.socket().await;
            watchers.push(tokio::spawn(follow(socket, demo.pool.clone(), finished.clone())));
        }
    }
    let told: Told = Arc::default();
    let (stop, stopped) = watch::channel(false);
    let charging = charge(clients.clone(), demo.pool.clone(), rate, told.clone(), stopped);
    let began = Instant::now();
    tokio::time::sleep(phase).await;
    let down = Instant::now();
    bus.fail(phase).await;
    let up = Instant::now();
    // What is told again is told soon, but not at once: those who lost the bus try again from time to time.
    tokio::time::sleep(phase.max(Duration::from_secs(3))).await;
    let crash = Instant::now();
    processes.pop().unwrap().kill().await;
    tokio::time::sleep(phase).await;
    stop.send(true).unwrap();
    charging.await.unwrap();
    let told = std::mem::take(&mut *told.lock().unwrap());
    let (_, version) = owner.balance(&demo.pool).await;
    assert_eq!(told.len() as i64, version - 2, "each charge is one version");
    // One more, which everybody waits for.
    finish.send(version + 1).unwrap();
    let input = json!({ "poolId": demo.pool, "lines": [{ "service": "FURNITURE_REMOVAL" }], "idempotencyKey": "last" });
    owner.charge(input).await;
    let (balance, version) = owner.balance(&demo.pool).await;
    let (mut late, mut stale) = (Vec::new(), Duration::ZERO);
    for (n, watcher) in watchers.into_iter().enumerate() {
        let outcome =
            tokio::time::timeout(Duration::from_secs(30), watcher).await.expect("a watcher hangs").unwrap();
        if n as u64 / subscribers == nodes as u64 - 1 {
            assert!(outcome.is_err(), "the node was not killed");
            continue;
        }
        let seen = outcome.unwrap_or_else(|error| panic!("watcher {n} was let go: {error}"));
        assert_eq!(seen.balance, balance);
        assert_eq!(seen.versions.last().unwrap().0, version);
        let mut events = seen.versions.iter().peekable();
        let mut told = told.clone();
        told.sort_by_key(|(version, _)| *version);
        for (version, at) in told {
            while events.next_if(|(seen, _)| *seen < version).is_some() {}
            let after = events.peek().unwrap().1.saturating_duration_since(at);
            let settled = up + Duration::from_secs(2);
            match at {
                at if at < down.checked_sub(Duration::from_millis(300)).unwrap() => late.push(after),
                at if at > settled && at < crash => late.push(after),
                _ => stale = stale.max(after),
            }
        }
    }
    late.sort_unstable();
    let p99 = late[(late.len() - 1) * 99 / 100];
    println!(
        "{nodes} nodes: p99 from commit to receipt with the bus {} ms (aim: at most {})",
        p99.as_millis(),
        LATE.as_millis()
    );
    println!(
        "{nodes} nodes: oldest without it {} ms (aim: at most {})",
        stale.as_millis(),
        STALE.as_millis()
    );
    println!(
        "{nodes} nodes: charges {} in {:?}, watchers {}",
        version - 3,
        began.elapsed(),
        subscribers * nodes as u64
    );
    assert!(stale < STALE, "{stale:?}");
    // A build that is not optimized, beside other tests, is slower.
    let bound = if cfg!(debug_assertions) { LATE * 8 } else { LATE };
    assert!(p99 < bound, "{p99:?}");
}

#[test]
fn two_nodes_with_notify() {
    run(async {
        let world = World::start(Backend::Postgres).await;
        let superuser = world.database.superuser.clone();
        survive(Bus::Postgres { superuser }, 2, world).await;
    });
}

#[test]
fn three_nodes_with_notify() {
    run(async {
        let world = World::start(Backend::Postgres).await;
        let superuser = world.database.superuser.clone();
        survive(Bus::Postgres { superuser }, 3, world).await;
    });
}

#[test]
fn two_nodes_with_nats() {
    run(async { survive(Bus::Nats(Nats::start()), 2, World::start(Backend::Postgres).await).await });
}

#[test]
fn three_nodes_with_nats() {
    run(async { survive(Bus::Nats(Nats::start()), 3, World::start(Backend::Postgres).await).await });
}

/// A client that has read a version on one node goes on from there on another, which has not heard of it.
#[test]
fn a_client_may_be_ahead_of_its_node() {
    run(async {
        let world = World::start(Backend::Postgres).await;
        let owner = world.client("owner@demo.test").await;
        let demo = owner.demo().await;
        let deaf = [("BURSAR_BUS", "process")];
        let process = Process::start_with(&world.database, &deaf).await;
        let other = process.client(&world, "owner@demo.test").await;
        let mut watcher = other.socket().await;
        watcher.subscribe("1", WATCH, json!({ "id": demo.pool })).await;
        watcher.next("poolBalance").await;
        let resume = "subscription W($id: ID!, $v: Version) { poolBalance(poolId: $id, after: $v) {
            kind version balance { available } transfers { version } } }";
        for n in 2..30 {
            let lines = json!([{ "service": "FURNITURE_REMOVAL" }]);
            owner
                .charge(json!({ "poolId": demo.pool, "lines": lines, "idempotencyKey": n.to_string() }))
                .await;
            let mut socket = other.socket().await;
            socket.subscribe("1", resume, json!({ "id": demo.pool, "v": n })).await;
            let event = socket.next("poolBalance").await;
            assert_eq!(
                (&event["kind"], &event["version"], &event["transfers"]),
                (&json!("SNAPSHOT"), &json!(n), &json!([]))
            );
        }
    });
}

/// A node that starts while the bus is away works all the same, and is told once it is back.
#[test]
fn a_node_starts_without_its_bus() {
    run(async {
        let world = World::start(Backend::Postgres).await;
        let owner = world.client("owner@demo.test").await;
        let demo = owner.demo().await;
        let mut nats = Nats::start();
        let url = nats.url();
        nats.kill();
        let settings = [("BURSAR_BUS", "nats"), ("BURSAR_NATS_URL", url.as_str())];
        let (one, two) = (
            Process::start_with(&world.database, &settings).await,
            Process::start_with(&world.database, &settings).await,
        );
        let (one, two) =
            (one.client(&world, "owner@demo.test").await, two.client(&world, "owner@demo.test").await);
        let mut socket = two.socket().await;
        socket.subscribe("1", WATCH, json!({ "id": demo.pool })).await;
        socket.next("poolBalance").await;
        let spend = async |key: String| {
            let lines = json!([{ "service": "FURNITURE_REMOVAL" }]);
            one.charge(json!({ "poolId": demo.pool, "lines": lines, "idempotencyKey": key })).await;
            Instant::now()
        };
        let at = spend("without".to_owned()).await;
        assert_eq!(socket.next("poolBalance").await["version"], 2);
        assert!(at.elapsed() < Duration::from_secs(5));
        nats.run();
        // Once both have found it, what one commits the other hears of well before it would have looked.
        let mut version = 2;
        let heard = async {
            loop {
                let at = spend(format!("with-{version}")).await;
                version += 1;
                assert_eq!(socket.next("poolBalance").await["version"], json!(version));
                if at.elapsed() < Duration::from_millis(200) {
                    break;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), heard).await.unwrap();
    });
}
