//! Servers that are killed, again and again, in the middle of everything, and a database that is killed too.
//! Clients try again with their keys until they are answered. In the end what they were told is there, once.
//!
//! `KILLS`, `CLIENTS` and `SEED` in the environment make a longer proof of it, or another one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bursar::clock::Clock;
use bursar::db::Options;
use bursar::global_id;
use bursar_domain::ledger::HoldState;
use bursar_entity::{charge, hold};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::outages::{answers, reaches};
use crate::support::postgres::Instance;
use crate::support::process::verify;
use crate::support::{Backend, Chance, Process, TestDatabase, World, laws, number, run_within};

/// How long it may take from the start of a server until it is ready: five seconds, or more for a build that is
/// not optimized and starts beside other tests.
const READY: Duration = Duration::from_secs(if cfg!(debug_assertions) { 15 } else { 5 });
/// How long a client tries again.
const PATIENCE: Duration = Duration::from_secs(90);

/// One person is all clients: what it may ask for is not what this is about.
const SETTINGS: &[(&str, &str)] =
    &[("BURSAR_COST_MAXIMUM", "4294967295"), ("BURSAR_COST_RESTORE", "4294967295")];

/// Mutations: name, type of the input, and what they make.
const CHARGE: [&str; 3] = ["chargeCredits", "ChargeCreditsInput", "charge"];
const HOLD: [&str; 3] = ["holdCredits", "HoldCreditsInput", "hold"];
const CAPTURE: [&str; 3] = ["captureHold", "CaptureHoldInput", "charge"];
const VOID: [&str; 3] = ["voidHold", "VoidHoldInput", "hold"];

/// What has happened so far.
#[derive(Default)]
struct Counts {
    answered: AtomicU32,
    again: AtomicU32,
}

/// A client that does not give up.
#[derive(Clone)]
struct Customer {
    http: reqwest::Client,
    token: String,
    /// Where the server is; empty while nobody knows.
    server: watch::Receiver<String>,
    pool: String,
    counts: Arc<Counts>,
}

/// What a client was told: the charges with their credits, and the holds with what has become of them.
#[derive(Default)]
struct Told {
    charges: BTreeMap<String, i64>,
    holds: BTreeMap<String, HoldState>,
}

impl Customer {
    async fn send(&self, base: &str, body: &Value) -> Option<Value> {
        if base.is_empty() {
            return None;
        }
        let request = self.http.post(format!("{base}/graphql")).bearer_auth(&self.token).json(body);
        request.send().await.ok()?.json().await.ok()
    }

    /// Sends a mutation until it is answered, wherever the server is by then; the id of what it made.
    async fn ask(&self, [name, kind, made]: [&str; 3], input: Value) -> String {
        let query = format!(
            "mutation M($input: {kind}!) {{ {name}(input: $input) {{ {made} {{ id }} userErrors {{ code message }} }} }}"
        );
        let body = json!({ "query": query, "variables": { "input": input } });
        let began = Instant::now();
        loop {
            let base = self.server.borrow().clone();
            let answer = self.send(&base, &body).await.unwrap_or_default();
            if let Some(id) = answer["data"][name][made]["id"].as_str() {
                self.counts.answered.fetch_add(1, Ordering::SeqCst);
                return id.to_owned();
            }
            let code = answer["errors"][0]["extensions"]["code"].as_str();
            // Each of them says to send the same again.
            let again = ["UNAVAILABLE", "UNKNOWN_OUTCOME", "OVERLOADED", "TIMEOUT"];
            let passes = code.is_some_and(|code| again.contains(&code));
            assert!(answer.is_null() || passes, "{body}: {answer}");
            assert!(began.elapsed() < PATIENCE, "never answered: {body}");
            self.counts.again.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Charges, and holds and then captures or voids, until it is told to stop; nothing is left open.
    async fn spend(self, number: u64, stop: watch::Receiver<bool>) -> Told {
        let mut told = Told::default();
        for turn in 0_u64.. {
            if *stop.borrow() {
                break;
            }
            let key = format!("{number}-{turn}");
            let lines = |quantity: i64| json!([{ "service": "FURNITURE_REMOVAL", "quantity": quantity }]);
            if !number.is_multiple_of(4) {
                let input = json!({ "poolId": self.pool, "lines": lines(1), "idempotencyKey": key });
                assert_eq!(told.charges.insert(self.ask(CHARGE, input).await, 1), None);
                continue;
            }
            let input = json!({ "poolId": self.pool, "lines": lines(3), "idempotencyKey": key });
            let hold = self.ask(HOLD, input).await;
            let state = if turn % 2 == 0 {
                let input =
                    json!({ "holdId": hold, "lines": lines(2), "final": true, "idempotencyKey": key });
                assert_eq!(told.charges.insert(self.ask(CAPTURE, input).await, 2), None);
                HoldState::Captured
            } else {
                let input = json!({ "holdId": hold, "idempotencyKey": key });
                assert_eq!(self.ask(VOID, input).await, hold);
                HoldState::Voided
            };
            assert_eq!(told.holds.insert(hold, state), None);
        }
        told
    }
}

/// A server that is killed and started again.
struct Victim<'d> {
    database: &'d TestDatabase,
    process: Option<Process>,
    address: watch::Sender<String>,
    /// The longest that it has taken to be ready.
    slowest: Duration,
}

impl Victim<'_> {
    async fn start(&mut self) {
        let began = Instant::now();
        let process = Process::start_with(self.database, SETTINGS).await;
        while !process.is_ready().await {
            assert!(began.elapsed() < READY, "not ready");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.slowest = self.slowest.max(began.elapsed());
        assert!(self.slowest < READY, "ready after {:?}", self.slowest);
        self.address.send_replace(process.base.clone());
        self.process = Some(process);
    }

    async fn kill(&mut self) {
        self.process.take().unwrap().kill().await;
        // Its port may be somebody else's by now.
        self.address.send_replace(String::new());
    }
}

/// Kills the database, at once and all of it (`QUIT`) or its first process alone (`KILL`), and starts it again;
/// how long the server takes then until it answers.
async fn kill_database(instance: &mut Instance, signal: &str, counts: &Counts, superuser: &str) -> Duration {
    match signal {
        "KILL" => instance.kill(),
        signal => instance.stop(signal),
    }
    instance.run();
    answers(superuser).await;
    let back = Instant::now();
    reaches(&counts.answered, 1).await;
    assert!(back.elapsed() < READY, "back after {:?}", back.elapsed());
    back.elapsed()
}

async fn survive(database: TestDatabase, instance: Option<&mut Instance>) {
    let (seed, kills, clients) = (Chance::seed(), number("KILLS", 3), number("CLIENTS", 32));
    let name = format!("{:?}", database.backend);
    println!("{name}: seed {seed}");
    let mut chance = Chance::new(seed);
    let mut world = World::start_on(database, Clock::system(), Options::default(), None).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let funds = world.grant(&demo.organization, &demo.pool, 100_000_000).await;
    // From here on the database is the victim's alone.
    world.stop().await;
    let (address, server) = watch::channel(String::new());
    let mut victim = Victim { database: &world.database, process: None, address, slowest: Duration::ZERO };
    victim.start().await;
    let (stop, stopped) = watch::channel(false);
    let counts = Arc::new(Counts::default());
    let customers: Vec<_> = (0..clients)
        .map(|number| {
            let (token, pool) = (owner.token().to_owned(), demo.pool.clone());
            let http = owner.another().http().clone();
            let customer = Customer { http, token, server: server.clone(), pool, counts: counts.clone() };
            tokio::spawn(customer.spend(number, stopped.clone()))
        })
        .collect();
    for _ in 0..kills {
        reaches(&counts.answered, 1).await;
        tokio::time::sleep(Duration::from_millis(chance.below(700))).await;
        victim.kill().await;
        victim.start().await;
    }
    if let Some(instance) = instance {
        for signal in ["QUIT", "KILL"] {
            reaches(&counts.answered, clients as u32).await;
            let back = kill_database(instance, signal, &counts, &world.database.superuser).await;
            println!(
                "{name}: ms until it answers after {signal}: {} (aim: at most {})",
                back.as_millis(),
                READY.as_millis()
            );
        }
    }
    reaches(&counts.answered, clients as u32).await;
    stop.send_replace(true);
    let mut told = Told::default();
    let (mut charges, mut holds) = (0, 0);
    for customer in customers {
        let of_one = customer.await.unwrap();
        (charges, holds) = (charges + of_one.charges.len(), holds + of_one.holds.len());
        told.charges.extend(of_one.charges);
        told.holds.extend(of_one.holds);
    }
    assert_eq!((told.charges.len(), told.holds.len()), (charges, holds), "no id was told to two");
    // Once more, so that what is looked at is what a crash leaves.
    victim.kill().await;
    println!(
        "{name}: kills {kills}, clients {clients}, answered {}, tried again {}",
        counts.answered.load(Ordering::SeqCst),
        counts.again.load(Ordering::SeqCst)
    );
    println!(
        "{name}: ms until it is ready, at most {} (aim: at most {})",
        victim.slowest.as_millis(),
        READY.as_millis()
    );
    nothing_is_lost_or_doubled(&world, &told, funds).await;
}

async fn nothing_is_lost_or_doubled(world: &World, told: &Told, funds: i64) {
    let database = &world.database;
    let name = format!("{:?}", database.backend);
    let rows = database.rows::<charge::Entity>().await;
    let rows: BTreeMap<String, i64> =
        rows.into_iter().map(|row| (global_id::encode(row.id), row.credits.get())).collect();
    let lost = told.charges.iter().filter(|(id, credits)| rows.get(*id) != Some(credits)).count();
    let known: BTreeSet<&String> = told.charges.keys().collect();
    let doubled = rows.keys().filter(|id| !known.contains(id)).count();
    println!("{name}: charges lost {lost}, doubled {doubled} of {} (aim: 0 and 0)", told.charges.len());
    assert_eq!((lost, doubled), (0, 0));
    let rows = database.rows::<hold::Entity>().await;
    let rows: BTreeMap<String, HoldState> =
        rows.into_iter().map(|row| (global_id::encode(row.id), row.state)).collect();
    assert!(rows == told.holds, "holds are not what clients were told");
    let used: i64 = told.charges.values().sum();
    assert_eq!(database.number("SELECT CAST(sum(posted) AS bigint) AS n FROM account").await, funds - used);
    assert_eq!(database.number("SELECT CAST(sum(held) AS bigint) AS n FROM account").await, 0);
    let broken = laws::broken(database).await;
    println!("{name}: laws broken {} (aim: 0)", broken.len());
    assert_eq!(broken, Vec::<String>::new());
    let (clean, said) = verify(database).await;
    println!("{name}: bursar verify: {} (aim: clean)", if clean { "clean" } else { "not clean" });
    assert!(clean, "{said}");
}

/// Two minutes, and ten seconds for each kill.
fn limit() -> Duration {
    Duration::from_secs(120 + 10 * number("KILLS", 3))
}

#[test]
fn what_sqlite_acknowledged_survives() {
    run_within(limit(), async { survive(TestDatabase::migrated(Backend::Sqlite).await, None).await });
}

#[test]
fn what_postgres_acknowledged_survives() {
    run_within(limit(), async {
        let mut instance = Instance::start(&["log_min_messages=fatal"]);
        let database = TestDatabase::on(&instance).await;
        survive(database, Some(&mut instance)).await;
    });
}
