//! What row-level security costs a request that reads a page of history.
//!
//! PostgreSQL with 50 tenants: one has a pool with as many transfers as TRANSFERS says, each of the others a twentieth
//! of that, all written by the ledger itself. The database is copied on the same server, and in the copy row-level
//! security is switched off; each of the two has a Bursar of its own. The owner of the large pool asks both for the
//! newest 20 transfers and charges, one request after the other, in turns; who is first changes with each round. The
//! figures are medians of the times of all requests, and what server and database use of the CPU. TRANSFERS, ROUNDS and
//! REQUESTS in the environment change how much there is and how long is measured.

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
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::fill::fill;
use support::load::{Client, summary};
use support::process::{Cpu, Server};
use support::setting::Setting;
use support::{Measured, at_most, median, number};

/// How many tenants there are.
const TENANTS: usize = 50;
/// How many rows a page has.
const ROWS: usize = 20;
/// How many times as long as without row-level security a request may take.
const AIM: f64 = 1.2;

/// What is asked for: its name and the query. Each row says its version.
const PAGES: [(&str, &str); 2] = [
    (
        "20 transfers",
        "query($pool: ID!) { pool(id: $pool) { transfers(first: 20) { nodes {
            id version credits kind effectiveAt debitBalanceAfter } pageInfo { hasNextPage } } } }",
    ),
    (
        "20 charges",
        "query($pool: ID!) { pool(id: $pool) { charges(first: 20) { nodes {
            id version credits lines { service quantity } createdAt } pageInfo { hasNextPage } } } }",
    ),
];

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if runtime.block_on(measure()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A database with its server, and what was measured there, a list for each of the pages.
struct Arm {
    name: &'static str,
    server: Server,
    database: Option<u32>,
    token: String,
    times: [Vec<Duration>; PAGES.len()],
    turns: [Vec<Measured>; PAGES.len()],
}

impl Arm {
    async fn new(name: &'static str, setting: &Setting, database: Option<u32>, token: &str) -> Arm {
        let server = Server::start(setting).await;
        let (times, turns) = (Default::default(), Default::default());
        Arm { name, server, database, token: token.to_owned(), times, turns }
    }

    /// Asks for each page some times, one request after the other; `counted` says whether it is part of the figures.
    async fn turn(&mut self, variables: &Value, requests: usize, counted: bool) {
        for (page, (_, query)) in PAGES.iter().enumerate() {
            // The server may have closed a connection that said nothing during the other's turn.
            let mut client = Client::open(&self.server.address, &self.token).await;
            let answer = client.query(query, variables, r#""hasNextPage":true"#).await;
            let rows = String::from_utf8_lossy(&answer).matches(r#""version""#).count();
            assert_eq!(rows, ROWS, "the answer is no page");
            let mut times = Vec::with_capacity(requests);
            let asking = async {
                let began = Instant::now();
                for _ in 0..requests {
                    let began = Instant::now();
                    client.query(query, variables, r#""version""#).await;
                    times.push(began.elapsed());
                }
                summary(times.clone(), began.elapsed())
            };
            let cpu = Cpu { server: self.server.id(), database: self.database };
            let measured = cpu.around(asking).await;
            if counted {
                self.times[page].extend(times);
                self.turns[page].push(measured);
            }
        }
    }

    /// The median of the times of all requests for a page, in milliseconds.
    fn time(&self, page: usize) -> f64 {
        median(self.times[page].iter().map(|time| time.as_secs_f64() * 1_000.0).collect())
    }

    /// What a request for a page uses of the CPU, in microseconds: the mean, since a turn is a few ticks of its clock.
    fn cpu(&self, page: usize, of: fn(&Measured) -> f64) -> f64 {
        self.turns[page].iter().map(of).sum::<f64>() / self.turns[page].len() as f64
    }

    fn show(&self, page: usize) {
        println!(
            "{}, {}: median {:.2} ms, CPU-us a request: server {:.0}, database {:.0} (no aim)",
            PAGES[page].0,
            self.name,
            self.time(page),
            self.cpu(page, |turn| turn.server),
            self.cpu(page, |turn| turn.database),
        );
    }
}

async fn measure() -> bool {
    let (rounds, requests) = (number("ROUNDS", 20).max(1), number("REQUESTS", 200).max(1));
    let transfers = number("TRANSFERS", 100_000).max(1_000);
    let setting = Setting::postgres(1, TENANTS - 1).await;
    let hot = setting.of_kind("hot")[0];
    let others = setting.of_kind("organizations").iter().map(|pool| (*pool, transfers / 20));
    let pools: Vec<_> = [(hot, transfers)].into_iter().chain(others).collect();
    let began = Instant::now();
    fill(&setting, &pools).await;
    println!("{TENANTS} tenants filled in {:.0} s (no aim)", began.elapsed().as_secs_f64());
    // An owner: the vendor's staff, who see all tenants, are looked for in another way.
    let app = setting.app().await;
    let token = app.token("owner@hot.test").await.unwrap();
    app.close().await.unwrap();
    let open = setting.without_row_level_security().await;
    let database = setting.database_process();
    let mut arms = [
        Arm::new("with row-level security", &setting, database, &token).await,
        Arm::new("without", &open, database, &token).await,
    ];
    let variables = json!({ "pool": setting.hot()[0].pool });
    // The first round is for everybody to have been there once.
    for round in 0..=rounds {
        for turn in 0..arms.len() {
            let arm = (turn + round) % arms.len();
            arms[arm].turn(&variables, requests, round > 0).await;
        }
    }
    let [with, without] = &arms;
    let mut met = true;
    for (page, (name, _)) in PAGES.iter().enumerate() {
        with.show(page);
        without.show(page);
        let both = |turn: &Measured| turn.server + turn.database;
        let ratio = with.cpu(page, both) / without.cpu(page, both);
        println!("{name}, CPU with row-level security / without: {ratio:.2} (no aim)");
        let figure = format!("{name}, time with row-level security / without");
        met &= at_most(&figure, with.time(page) / without.time(page), AIM);
    }
    for arm in arms {
        arm.server.stop().await;
    }
    met
}
