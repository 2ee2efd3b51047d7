//! Charges per second through the whole server, against one transaction a charge on the same database.
//!
//! A PostgreSQL server of the bench's own, with its default settings, and SQLite files; the release build
//! of Bursar as a process of its own; clients over HTTP. Everything that is compared runs in turns, several
//! rounds; the figures are medians. SECONDS and ROUNDS in the environment change how long. An argument
//! (`postgres`, `sqlite`, `fairness`, `everything`) chooses a part, ONLY in the environment one thing of it.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::float_arithmetic,
    missing_docs
)]

mod everything;
mod floor;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use support::load::{Target, charge_for, charge_serially};
use support::process::{self, Cpu, Server};
use support::setting::Setting;
use support::{Measured, at_least, at_most, number};

/// Turns of one thing.
#[derive(Default)]
struct Turns(Vec<Measured>);

impl Turns {
    fn median(&self, of: impl Fn(&Measured) -> f64) -> f64 {
        let mut values: Vec<f64> = self.0.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }

    fn rate(&self) -> f64 {
        self.median(|turn| turn.rate)
    }

    fn show(&self, name: &str) {
        println!(
            "{name}: {:.0} charges/s, p50 {:.1} ms, p99 {:.1} ms, CPU-us a charge: server {:.0}, database {:.0} (no aim)",
            self.rate(),
            self.median(|turn| turn.p50),
            self.median(|turn| turn.p99),
            self.median(|turn| turn.server),
            self.median(|turn| turn.database),
        );
    }
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let within = runtime.block_on(measure());
    if within { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn measure() -> bool {
    let (seconds, rounds) = (number("SECONDS", 5), number("ROUNDS", 3));
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let want = |part: &str| wanted.as_deref().is_none_or(|wanted| wanted == part);
    println!("syncs of the disk: {:.0} a second (no aim)", process::sync_rate());
    let mut met = true;
    if want("postgres") {
        met &= on_postgres(seconds, rounds).await;
    }
    if want("sqlite") {
        met &= on_sqlite(seconds, rounds).await;
    }
    if want("fairness") {
        met &= fairness(seconds).await;
    }
    if want("everything") {
        met &= everything::measure(seconds, rounds).await;
    }
    met
}

/// One hot pool, a thousand pools, a thousand organizations.
async fn on_postgres(seconds: usize, rounds: usize) -> bool {
    let setting = Setting::postgres(1_000, 1_000).await;
    let server = Server::start(&setting).await;
    let (hot, pools, organizations) = (setting.hot(), setting.pools(), setting.organizations());
    let floor = floor::Postgres::prepare(&setting).await;
    let mut floors: [Turns; 3] = Default::default();
    let mut spreads: [Turns; 3] = Default::default();
    let mut tenants: [Turns; 3] = Default::default();
    let (mut hot_64, mut hot_256, mut wide, mut many) =
        (Turns::default(), Turns::default(), Turns::default(), Turns::default());
    // Everybody has been there once: what the first round would find out is known.
    for targets in [&hot, &pools, &organizations] {
        charge_for(&server, targets, 64, 3).await;
    }
    // For a look at one thing alone, with a profiler say.
    if let Ok(only) = std::env::var("ONLY") {
        let targets = match only.as_str() {
            "hot" => &hot,
            "pools" => &pools,
            _ => &organizations,
        };
        let cpu = Cpu { server: server.id(), database: setting.database_process() };
        let mut turns = Turns::default();
        turns.0.push(cpu.around(charge_for(&server, targets, 256, seconds)).await);
        turns.show(&only);
        return true;
    }
    for _ in 0..rounds {
        for (turns, clients) in floors.iter_mut().zip([1, 8, 64]) {
            turns.0.push(floor.run("hot", clients, seconds));
        }
        let cpu = || Cpu { server: server.id(), database: setting.database_process() };
        hot_64.0.push(cpu().around(charge_for(&server, &hot, 64, seconds)).await);
        hot_256.0.push(cpu().around(charge_for(&server, &hot, 256, seconds)).await);
        for (turns, clients) in spreads.iter_mut().zip([1, 8, 64]) {
            turns.0.push(floor.run("pools", clients, seconds));
        }
        wide.0.push(cpu().around(charge_for(&server, &pools, 256, seconds)).await);
        for (turns, clients) in tenants.iter_mut().zip([1, 8, 64]) {
            turns.0.push(floor.run("organizations", clients, seconds));
        }
        many.0.push(cpu().around(charge_for(&server, &organizations, 256, seconds)).await);
    }
    for (name, turns) in [("one pool", &floors), ("1,000 pools", &spreads), ("1,000 organizations", &tenants)]
    {
        for (turns, clients) in turns.iter().zip([1, 8, 64]) {
            turns.show(&format!("pgbench, one transaction a charge, {name}, {clients} clients"));
        }
    }
    hot_64.show("Bursar on PostgreSQL, one pool, 64 clients");
    hot_256.show("Bursar on PostgreSQL, one pool, 256 clients");
    wide.show("Bursar on PostgreSQL, 1,000 pools, 256 clients");
    many.show("Bursar on PostgreSQL, 1,000 organizations, 256 clients");
    let best = |turns: &[Turns; 3]| turns.iter().map(Turns::rate).fold(0.0, f64::max);
    let p99 = |turns: &Turns| turns.median(|turn| turn.p99);
    let mut met =
        at_least("one pool, Bursar / pgbench", hot_256.rate() / best(&floors), 10.0, "; stretch 18");
    met &= at_most("CPU-us of server a charge, one pool", hot_256.median(|turn| turn.server), 160.0);
    met &= at_most("one pool, p99 in ms of Bursar at 256 clients", p99(&hot_256), p99(&floors[2]));
    met &= at_least("1,000 pools, Bursar / pgbench", wide.rate() / best(&spreads), 1.3, "; stretch 3");
    met &= at_least("1,000 organizations, Bursar / pgbench", many.rate() / best(&tenants), 1.0, "");
    server.stop().await;
    met
}

/// One pool on the embedded database.
async fn on_sqlite(seconds: usize, rounds: usize) -> bool {
    let setting = Setting::sqlite().await;
    let server = Server::start(&setting).await;
    let hot = setting.hot();
    let mut floor = floor::Sqlite::prepare(&setting).await;
    let (mut floors, mut turns) = (Turns::default(), Turns::default());
    charge_for(&server, &hot, 64, 2).await;
    for _ in 0..rounds {
        floors.0.push(floor.run(seconds).await);
        let cpu = Cpu { server: server.id(), database: None };
        turns.0.push(cpu.around(charge_for(&server, &hot, 256, seconds)).await);
    }
    floors.show("SQLite, one transaction a charge");
    turns.show("Bursar on SQLite, one pool, 256 clients");
    server.stop().await;
    at_least("SQLite, Bursar / one transaction a charge", turns.rate() / floors.rate(), 5.0, "; stretch 10")
}

/// What a busy tenant does to one who charges one at a time.
async fn fairness(seconds: usize) -> bool {
    let setting = Setting::postgres(1, 2).await;
    let server = Server::start(&setting).await;
    let tenants = setting.organizations();
    let (busy, quiet): (&[Target], &[Target]) = (&tenants[..1], &tenants[1..2]);
    charge_for(&server, &tenants, 16, 2).await;
    let alone = charge_serially(&server, &quiet[0], seconds).await;
    let (crowd, beside) =
        tokio::join!(charge_for(&server, busy, 200, seconds), charge_serially(&server, &quiet[0], seconds));
    println!(
        "a quiet tenant alone: p99 {:.1} ms; beside one with 200 clients at {:.0} charges/s: p99 {:.1} ms (no aim)",
        alone.p99, crowd.rate, beside.p99
    );
    server.stop().await;
    let aim = (3.0 * alone.p99).max(50.0);
    at_most("p99 in ms of a quiet tenant beside a busy one", beside.p99, aim)
}
