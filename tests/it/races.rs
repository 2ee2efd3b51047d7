//! Many at the same thing at once: holds that are captured, voided and expire at the same moment, each with
//! the same key twice; and credits that cross each other on their way.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bursar::config::Rate;
use bursar::global_id;
use bursar_domain::ledger::HoldState;
use bursar_entity::hold;
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::laws::books_are_right;
use crate::support::{Backend, Chance, Client, DEADLINE, Process, World};

on_both_databases!(every_hold_ends_once, credits_cross_each_other);

const HOLDS: usize = 500;
const CLIENTS: usize = 64;
/// How many units of one credit each hold is for.
const UNITS: i64 = 4;
const WORKERS: usize = 32;
const CROSSING: Duration = Duration::from_secs(5);

/// A server that lets one person ask for as much as there is to ask.
async fn generous(backend: Backend) -> World {
    World::start_as(backend, |config| config.cost = Rate { maximum: u32::MAX, restore: u32::MAX }).await
}

/// Mutations: name, type of the input, and what they make.
const HOLD: [&str; 3] = ["holdCredits", "HoldCreditsInput", "hold"];
const CAPTURE: [&str; 3] = ["captureHold", "CaptureHoldInput", "charge"];
const VOID: [&str; 3] = ["voidHold", "VoidHoldInput", "hold"];

/// Sends a mutation twice at the same moment with the same key: both get the same answer, and one of them is
/// told that it repeats. The id of what it made; none when it was refused.
async fn twice(client: &Client, [name, kind, made]: [&str; 3], input: Value) -> Option<String> {
    let query = format!(
        "mutation M($input: {kind}!) {{ {name}(input: $input) {{ {made} {{ id }} replayed userErrors {{ code }} }} }}"
    );
    let send = || client.send(&query, json!({ "input": input }));
    let answers = tokio::join!(send(), send());
    let [one, two] = [answers.0, answers.1].map(|(status, body)| {
        assert!(status == 200 && body.get("errors").is_none(), "{name}: {status} {body}");
        body["data"][name].clone()
    });
    assert_eq!(one["userErrors"], two["userErrors"], "{name}");
    assert_eq!(one[made], two[made], "{name}");
    let id = one[made]["id"].as_str()?.to_owned();
    assert_ne!(one["replayed"], two["replayed"], "{name}: one of them was the first");
    Some(id)
}

/// What has become of a hold, as clients were told.
struct Fate {
    hold: String,
    captured: i64,
    state: HoldState,
}

/// The life of one hold.
struct Life<'c> {
    client: &'c Client,
    number: usize,
    hold: String,
}

impl Life<'_> {
    /// Whether a capture was accepted: of some units, or of all that are left.
    async fn capture(&self, key: &str, units: Option<i64>, last: bool) -> bool {
        let key = format!("{}-{key}", self.number);
        let mut input = json!({ "holdId": self.hold, "final": last, "idempotencyKey": key });
        if let Some(units) = units {
            input["lines"] = json!([{ "service": "FURNITURE_REMOVAL", "quantity": units }]);
        }
        twice(self.client, CAPTURE, input).await.is_some()
    }

    async fn void(&self, key: &str) -> bool {
        let key = format!("{}-{key}", self.number);
        let input = json!({ "holdId": self.hold, "idempotencyKey": key });
        twice(self.client, VOID, input).await.is_some()
    }

    /// All of it is captured and voided at the same moment: one of the two.
    async fn captured_or_voided(&self) -> (i64, HoldState) {
        match tokio::join!(self.capture("all", None, true), self.void("void")) {
            (true, false) => (UNITS, HoldState::Captured),
            (false, true) => (0, HoldState::Voided),
            both => panic!("captured and voided: {both:?}"),
        }
    }

    /// Captured in parts, two of them at a time; the last unit once.
    async fn captured_in_parts(&self) -> (i64, HoldState) {
        let parts = tokio::join!(self.capture("one", Some(1), false), self.capture("two", Some(2), false));
        assert_eq!(parts, (true, true));
        let last = tokio::join!(self.capture("rest", None, true), self.capture("last", Some(1), false));
        assert!(last.0 != last.1, "the last unit: {last:?}");
        (UNITS, HoldState::Captured)
    }

    /// Voided under two keys.
    async fn voided(&self) -> (i64, HoldState) {
        let ends = tokio::join!(self.void("one"), self.void("other"));
        assert!(ends.0 != ends.1, "voided: {ends:?}");
        (0, HoldState::Voided)
    }

    /// A part is captured, and the rest voided, at about the moment when it expires.
    async fn at_the_last_moment(&self, wait: Duration) -> (i64, HoldState) {
        tokio::time::sleep(wait).await;
        match tokio::join!(self.capture("part", Some(2), true), self.void("void")) {
            (true, false) => (2, HoldState::Captured),
            (false, true) => (0, HoldState::Voided),
            (false, false) => (0, HoldState::Expired),
            both => panic!("captured and voided: {both:?}"),
        }
    }

    /// A part is captured, and the rest is left.
    async fn left(&self) -> (i64, HoldState) {
        let captured = self.capture("part", Some(1), false).await;
        (i64::from(captured), HoldState::Expired)
    }
}

/// Makes a hold and lets it live.
async fn live(client: &Client, pool: &str, number: usize) -> Fate {
    let seconds = if number % 5 >= 3 { 1 } else { 3_600 };
    let input = json!({ "poolId": pool, "lines": [{ "service": "FURNITURE_REMOVAL", "quantity": UNITS }],
        "ttlSeconds": seconds, "reference": format!("job {number}"), "idempotencyKey": format!("hold-{number}") });
    let hold = twice(client, HOLD, input).await.expect("there are credits for every hold");
    let life = Life { client, number, hold };
    let (captured, state) = match number % 5 {
        0 => life.captured_or_voided().await,
        1 => life.captured_in_parts().await,
        2 => life.voided().await,
        3 => {
            let wait = 850 + Chance::new(number as u64).below(200);
            life.at_the_last_moment(Duration::from_millis(wait)).await
        }
        _ => life.left().await,
    };
    Fate { hold: life.hold, captured, state }
}

async fn every_hold_ends_once(backend: Backend) {
    let world = generous(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let funds = world.grant(&demo.organization, &demo.pool, 1_000_000).await;
    let clients: Vec<Client> = (0..CLIENTS).map(|_| owner.another()).collect();
    let fates: Vec<Fate> = stream::iter(0..HOLDS)
        .map(|number| live(&clients[number % CLIENTS], &demo.pool, number))
        .buffer_unordered(CLIENTS)
        .collect()
        .await;
    // What has expired is booked by a timer, or with whatever comes next.
    let (mut charged, began) = (0, Instant::now());
    while world.number("SELECT count(*) AS n FROM hold WHERE state = 'OPEN'").await > 0 {
        assert!(began.elapsed() < DEADLINE, "expired holds are not let go");
        let key = format!("next-{charged}");
        let lines = json!([{ "service": "FURNITURE_REMOVAL" }]);
        let answer =
            owner.charge(json!({ "poolId": demo.pool, "lines": lines, "idempotencyKey": key })).await;
        assert_eq!(answer["userErrors"], json!([]));
        charged += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let rows = world.database.rows::<hold::Entity>().await;
    assert_eq!(rows.len(), HOLDS);
    let rows: BTreeMap<String, hold::Model> =
        rows.into_iter().map(|row| (global_id::encode(row.id), row)).collect();
    let mut ends: BTreeMap<HoldState, usize> = BTreeMap::new();
    for fate in &fates {
        let row = &rows[&fate.hold];
        assert_eq!((row.state, row.captured.get()), (fate.state, fate.captured), "{row:?}");
        *ends.entry(fate.state).or_default() += 1;
    }
    println!("{backend:?}: {ends:?}");
    assert_eq!(ends.len(), 3, "each kind of end was met: {ends:?}");
    let captured: i64 = fates.iter().map(|fate| fate.captured).sum();
    assert_eq!(owner.balance(&demo.pool).await.0, funds - captured - charged);
    assert_eq!(world.number("SELECT count(*) AS n FROM pool_head WHERE held <> 0").await, 0);
    books_are_right(&world).await;
}

/// Where credits are: a pool, and a department or none.
type Place = (String, Option<String>);

fn place((pool, department): &Place) -> Value {
    match department {
        Some(department) => json!({ "poolId": pool, "departmentId": department }),
        None => json!({ "poolId": pool }),
    }
}

/// Moves credits for a while; how often that went well.
async fn carry(client: Client, number: usize, from: Place, to: Place) -> usize {
    let query = "mutation M($input: TransferCreditsInput!) { transferCredits(input: $input) { userErrors { code } } }";
    let (mut chance, mut moved) = (Chance::new(number as u64), 0);
    let began = Instant::now();
    for turn in 0_u64.. {
        if began.elapsed() > CROSSING {
            break;
        }
        let input = json!({ "from": place(&from), "to": place(&to), "credits": 1 + chance.below(5),
            "idempotencyKey": format!("{number}-{turn}") });
        let (status, body) = client.send(query, json!({ "input": input })).await;
        assert!(status == 200 && body.get("errors").is_none(), "{status} {body}");
        let errors = &body["data"]["transferCredits"]["userErrors"];
        match errors[0]["code"].as_str() {
            None => moved += 1,
            Some(code) => assert_eq!(code, "INSUFFICIENT_CREDITS", "{body}"),
        }
    }
    moved
}

async fn credits_cross_each_other(backend: Backend) {
    let world = generous(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let input = json!({ "organizationId": demo.organization, "name": "Second" });
    let second = owner.mutate("createPool", "CreatePoolInput", input, "pool { id }").await;
    let second = second["pool"]["id"].as_str().unwrap().to_owned();
    for pool in [&demo.pool, &second] {
        world.grant(&demo.organization, pool, 5_000).await;
        for department in [&demo.sales, &demo.marketing] {
            owner.allocate(pool, department, 1_000, &format!("{pool}-{department}")).await;
        }
    }
    let mut servers = vec![owner.clone()];
    // Whoever has the rows in memory is not alone with them.
    let settings = [("BURSAR_COST_MAXIMUM", "4294967295"), ("BURSAR_COST_RESTORE", "4294967295")];
    let other = match backend {
        Backend::Postgres => Some(Process::start_with(&world.database, &settings).await),
        Backend::Sqlite => None,
    };
    if let Some(other) = &other {
        servers.push(other.client(&world, "owner@demo.test").await);
    }
    let total = "SELECT CAST(sum(posted) AS bigint) AS n FROM pool_head";
    let before = world.number(total).await;
    let (sales, marketing) = (Some(demo.sales.clone()), Some(demo.marketing.clone()));
    let (one, two) = (demo.pool.clone(), second);
    let ways: [(Place, Place); 5] = [
        ((one.clone(), None), (one.clone(), sales.clone())),
        ((one.clone(), sales.clone()), (one.clone(), marketing.clone())),
        ((one.clone(), None), (two.clone(), None)),
        ((one.clone(), sales.clone()), (two.clone(), marketing)),
        ((two.clone(), sales), (one, None)),
    ];
    let workers = (0..WORKERS).map(|number| {
        let (from, to) = ways[number / 2 % ways.len()].clone();
        let (from, to) = if number % 2 == 0 { (from, to) } else { (to, from) };
        let client = servers[number / 4 % servers.len()].another();
        tokio::spawn(carry(client, number, from, to))
    });
    let moved: Vec<usize> = join_all(workers).await.into_iter().map(Result::unwrap).collect();
    println!("{backend:?}: moves {}", moved.iter().sum::<usize>());
    assert!(moved.iter().all(|moved| *moved > 0), "everybody has come to something: {moved:?}");
    assert_eq!(world.number(total).await, before);
    assert_eq!(world.number("SELECT CAST(sum(clearing) AS bigint) AS n FROM pool_head").await, 0);
    books_are_right(&world).await;
}
