//! Random sequences of all commands on the pure machine against an independent, simple model, the laws that
//! must hold after every step, and the edges that chance would seldom meet.
//!
//! `steps` says what may happen, `run` makes commands of it, `tenant` carries them out on machine and model
//! and compares the two, `rows` stands for the database between batches, `laws` holds the laws.

#![allow(missing_docs, clippy::panic, clippy::print_stdout, clippy::unwrap_used)]

mod cap_edges;
mod debt_edges;
mod desk;
mod dispute_edges;
mod edges;
mod journal;
mod laws;
mod model;
mod rows;
mod run;
mod steps;
mod tenant;
mod world;

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};

use steps::Step;

/// How many sequences are run when `PROPTEST_CASES` does not say otherwise, and how many commands they make.
const CASES: u32 = 900;
const COMMANDS: usize = 100_000;
/// The longest sequence.
const STEPS: usize = 300;
/// How many threads share the sequences.
const WORKERS: u32 = 2;

#[test]
fn the_machine_keeps_its_laws() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    let counted = AtomicUsize::new(0);
    let (share, commands) = (cases.div_ceil(WORKERS), &counted);
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(move || sequences(share, commands))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    for outcome in outcomes {
        outcome.unwrap();
    }
    let commands = counted.into_inner();
    // The lengths of a few sequences may be short by chance.
    let aim = if cases < CASES { 0 } else { COMMANDS * cases as usize / CASES as usize };
    println!("commands without a breach: {commands} (aim: at least {aim})");
    assert!(commands >= aim);
}

/// Runs sequences until one breaks a law, and then finds a short one that does.
fn sequences(cases: u32, commands: &AtomicUsize) -> Result<(), TestError<Vec<Step>>> {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let steps = prop::collection::vec(steps::step(), 1..=STEPS);
    TestRunner::new(config).run(&steps, |steps| {
        commands.fetch_add(run::run(&steps), Ordering::Relaxed);
        Ok(())
    })
}
