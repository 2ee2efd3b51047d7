//! Requests per CPU-second of the server through our endpoint, against the library's stock handler on the same
//! schema.
//!
//! Both are processes of their own on the same PostgreSQL server, and run in turns; the figures are medians.
//! SECONDS and ROUNDS in the environment change how long. Documents are warm: what our endpoint keeps of them it
//! has kept.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::float_arithmetic,
    missing_docs
)]

mod stock;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use support::load::{charge_for, send_for};
use support::process::{Cpu, Server};
use support::setting::Setting;
use support::{Measured, at_least, median, number};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How many clients ask for nothing, and how many charge: as many as the bench of charges has.
const CLIENTS: usize = 64;
const CHARGERS: usize = 256;

/// Nothing at all.
const BARE: &str = r#"{"query":"{ __typename }"}"#;
/// A document as clients send them, of which nothing is executed.
const SKIPPED: &str = r#"{"query":"query PoolPage($id: ID!, $first: Int = 20, $skip: Boolean! = true) { __typename pool(id: $id) @skip(if: $skip) { id name archivedAt frozenAt balance { ...Amounts } unallocated { ...Amounts } allocations(first: 100) { nodes { id department { id code name } balance { ...Amounts } } } transfers(first: $first) { edges { cursor node { ...Line } } pageInfo { endCursor hasNextPage } } } } fragment Amounts on Balance { asOf available held posted debt version } fragment Line on Transfer { id version kind credits createdAt reason poolBalanceAfter debit { kind allocation { id } } credit { kind allocation { id } } }","variables":{"id":"pool_01h455vb4pex5vsknk084sn02q"}}"#;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("stock") {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(stock::serve());
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if runtime.block_on(measure()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn measure() -> bool {
    let (seconds, rounds) = (number("SECONDS", 4), number("ROUNDS", 5));
    let setting = Setting::postgres(1, 0).await;
    let (ours, stock) = (Server::start(&setting).await, Server::stock(&setting).await);
    let load = (CLIENTS, seconds);
    let mut turns: [[Vec<Measured>; 2]; 3] = Default::default();
    for round in 0..=rounds {
        for (at, server) in [&ours, &stock].into_iter().enumerate() {
            let cpu = || Cpu { server: server.id(), database: setting.database_process() };
            let measured = [
                cpu().around(send_for(server, "", BARE, "Query", load)).await,
                cpu().around(send_for(server, "", SKIPPED, "Query", load)).await,
                cpu().around(charge_for(server, &setting.hot(), CHARGERS, seconds)).await,
            ];
            // The first round warms up.
            if round > 0 {
                measured.into_iter().zip(&mut turns).for_each(|(turn, all)| all[at].push(turn));
            }
        }
    }
    let mut met = true;
    let names = ["no-op, { __typename }", "no-op, a client's document, skipped", "charge"];
    for ((name, turns), aim) in names.into_iter().zip(&turns).zip([2.0, 2.0, 1.5]) {
        let of = |at: usize, figure: fn(&Measured) -> f64| median(turns[at].iter().map(figure).collect());
        for (at, whose) in ["ours", "stock"].into_iter().enumerate() {
            println!(
                "{name}, {whose}: {:.0} requests/s, CPU-us of server {:.1}, p99 {:.1} ms (no aim)",
                of(at, |turn| turn.rate),
                of(at, |turn| turn.server),
                of(at, |turn| turn.p99),
            );
        }
        let ratio = of(1, |turn| turn.server) / of(0, |turn| turn.server);
        met &= at_least(&format!("{name}: requests per CPU-second, ours / stock"), ratio, aim, "");
    }
    ours.stop().await;
    stock.stop().await;
    met
}
