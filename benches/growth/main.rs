//! What a charge, balances and a page of history take as a pool grows: with 10,000, 1,000,000 and 10,000,000
//! transfers.
//!
//! Each size is a database of its own with a server of its own, and all are measured in turns, one request after
//! the other from one client, so that what disturbs one disturbs the others. The pools are filled through the
//! ledger itself, within this process: every row is one that Bursar wrote, the hash chain is whole, and the
//! charges are spread from the day that the catalog's prices hold from until today. That takes about a minute for
//! a million. LEVELS in the environment chooses other sizes than 10000,1000000,10000000 (the first is what the
//! others are compared with), ENGINE=sqlite the embedded database, ROUNDS and REQUESTS how long is measured.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::float_arithmetic,
    missing_docs
)]

#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::time::Instant;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use support::fill::fill;
use support::load::Client;
use support::process::Server;
use support::setting::Setting;
use support::{at_most, median, number};

/// How many times as long as with the fewest transfers anything may take.
const AIM: f64 = 1.5;

/// What is measured: its name, the query, and a part of the answer that says that it is one.
const QUERIES: [(&str, &str, &str); 5] = [
    ("balance", "query($pool: ID!) { pool(id: $pool) { balance { available version } } }", "available"),
    (
        "balanceAt, half of history ago",
        "query($pool: ID!, $time: DateTime!) { pool(id: $pool) { balanceAt(time: $time) { posted version } } }",
        "posted",
    ),
    (
        "history, the newest 50",
        "query($pool: ID!) { pool(id: $pool) { transfers(first: 50) { nodes { version credits kind } } } }",
        "credits",
    ),
    (
        "history, the oldest 50",
        "query($pool: ID!) { pool(id: $pool) { transfers(last: 50) { nodes { version credits kind } } } }",
        "credits",
    ),
    (
        "history, 50 in the middle",
        "query($pool: ID!, $after: String!) { pool(id: $pool) {
            transfers(first: 50, after: $after) { nodes { version credits kind } } } }",
        "credits",
    ),
];

/// The place of a charge among the names of what is measured: the first.
const CHARGE: &str = "a charge";

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if runtime.block_on(measure()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A pool of a size, with a server.
struct Level {
    transfers: usize,
    server: Server,
    client: Client,
    pool: String,
    variables: Vec<Value>,
    charges: usize,
    /// Milliseconds of each request, a list for each thing that is measured.
    times: Vec<Vec<f64>>,
    // The database goes when this does.
    _setting: Setting,
}

impl Level {
    async fn new(transfers: usize, sqlite: bool) -> Level {
        let setting = if sqlite { Setting::sqlite().await } else { Setting::postgres(1, 0).await };
        let began = Instant::now();
        let middle = fill(&setting, &[(setting.of_kind("hot")[0], transfers)]).await;
        let took = began.elapsed().as_secs_f64();
        println!(
            "{} transfers: filled in {took:.0} s, {:.0} a second (no aim)",
            thousands(transfers),
            transfers as f64 / took
        );
        let server = Server::start(&setting).await;
        let client = Client::open(&server.address, &server.token).await;
        let pool = setting.hot()[0].pool.clone();
        let time = DateTime::<Utc>::from_timestamp_micros(middle).unwrap();
        let time = time.to_rfc3339_opts(SecondsFormat::Micros, true);
        // Cursors are opaque; but to get into the middle page by page would take a while.
        let after = data_encoding::BASE64URL_NOPAD.encode(format!("c1:{}", transfers / 2).as_bytes());
        let variables = QUERIES.map(|(_, query, _)| {
            let mut variables = json!({ "pool": pool });
            for (name, value) in [("time", &time), ("after", &after)] {
                if query.contains(&format!("${name}")) {
                    variables[name] = json!(value);
                }
            }
            variables
        });
        let times = vec![Vec::new(); QUERIES.len() + 1];
        let variables = variables.to_vec();
        Level { transfers, server, client, pool, variables, charges: 0, times, _setting: setting }
    }

    /// Does everything some times, one after the other; `counted` says whether it is part of the figures.
    async fn turn(&mut self, requests: usize, counted: bool) {
        // The server has closed a connection that said nothing while the others were filled, or had their turns.
        self.client = Client::open(&self.server.address, &self.server.token).await;
        for thing in 0..=QUERIES.len() {
            for _ in 0..requests {
                let began = Instant::now();
                self.request(thing).await;
                if counted {
                    self.times[thing].push(began.elapsed().as_secs_f64() * 1_000.0);
                }
            }
        }
    }

    async fn request(&mut self, thing: usize) {
        let Some(query) = thing.checked_sub(1) else {
            self.charges += 1;
            self.client.charge(&self.pool, &format!("measured-{}", self.charges)).await;
            return;
        };
        let (_, document, expected) = QUERIES[query];
        self.client.query(document, &self.variables[query], expected).await;
    }
}

async fn measure() -> bool {
    let (rounds, requests) = (number("ROUNDS", 5), number("REQUESTS", 100));
    let sqlite = std::env::var("ENGINE").is_ok_and(|engine| engine == "sqlite");
    let levels = std::env::var("LEVELS").unwrap_or_else(|_| "10000,1000000,10000000".to_owned());
    let levels = levels.split(',').map(|level| level.trim().parse().expect("LEVELS is a list of numbers"));
    let levels: Vec<usize> = levels.collect();
    let mut pools = Vec::new();
    for transfers in levels {
        pools.push(Level::new(transfers, sqlite).await);
    }
    for round in 0..=rounds {
        for pool in &mut pools {
            pool.turn(if round == 0 { 10 } else { requests }, round > 0).await;
        }
    }
    let names: Vec<&str> = [CHARGE].into_iter().chain(QUERIES.map(|(name, ..)| name)).collect();
    let medians: Vec<Vec<f64>> =
        pools.iter().map(|pool| pool.times.iter().cloned().map(median).collect()).collect();
    let sizes: String = pools.iter().map(|pool| format!("{:>14}", thousands(pool.transfers))).collect();
    println!("{:<32}{sizes}", "median in ms, transfers:");
    for (thing, name) in names.iter().enumerate() {
        let row: String = medians.iter().map(|of| format!("{:>14.2}", of[thing])).collect();
        println!("{name:<32}{row}");
    }
    let mut met = true;
    for (pool, of) in pools.iter().zip(&medians).skip(1) {
        for (thing, name) in names.iter().enumerate() {
            let figure = format!(
                "{name}, {} / {} transfers",
                thousands(pool.transfers),
                thousands(pools[0].transfers)
            );
            met &= at_most(&figure, of[thing] / medians[0][thing], AIM);
        }
    }
    for pool in pools {
        pool.server.stop().await;
    }
    met
}

/// A number as people write it.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let parts: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|part| str::from_utf8(part).unwrap()).collect();
    parts.join(",")
}
