//! Random policies, people and events on the pure machine of approvals, against an independent judge.
//!
//! `steps` says what may happen, `facts` who is what and when, `office` carries steps out with the machine as the server
//! does, `judge` says by itself who could decide in whose name and what had to come of it.

#![allow(missing_docs, clippy::panic, clippy::print_stdout, clippy::unwrap_used)]

mod facts;
mod judge;
mod office;
mod steps;

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use office::Office;

/// How many sequences are run when `PROPTEST_CASES` does not say otherwise.
const CASES: u32 = 150;

#[test]
fn nothing_is_approved_but_by_those_who_have_to_agree() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let counts: [AtomicUsize; 5] = Default::default();
    let outcome = TestRunner::new(config).run(&steps::case(), |case| {
        let mut office = Office::new(&case);
        for step in &case.steps {
            office.take(step);
        }
        let came = [office.approved, office.rejected, office.handed, office.barred, office.used];
        for (count, more) in counts.iter().zip(came) {
            count.fetch_add(more, Ordering::Relaxed);
        }
        Ok(())
    });
    outcome.unwrap();
    let counts = counts.map(AtomicUsize::into_inner);
    println!("approved, rejected, handed to an owner, joined for the barred, used: {counts:?}");
    // Sequences in which nothing comes to an end would prove nothing.
    assert!(cases < CASES || counts.iter().all(|count| *count > 0), "{counts:?}");
}
