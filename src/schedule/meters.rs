//! What timed work tells about itself.

use std::time::Duration;

use bursar_domain::Timestamp;
use metrics::{Gauge, counter, gauge};

use super::lease::Leased;
use super::tasks::Next;
use crate::error::Result;

/// The metrics of timed work.
#[derive(Clone)]
pub(super) struct Meters {
    lag: Gauge,
}

impl Meters {
    /// Registers the metrics.
    pub fn new() -> Meters {
        Meters { lag: gauge!("bursar_timed_tasks_lag_seconds") }
    }

    /// Tasks have been taken: how late the one is that has been due for longest.
    pub fn late(&self, now: Timestamp, tasks: &[Leased]) {
        // What a migration has put there is due since ever, and not late.
        let since = tasks.iter().map(|task| task.due_at).filter(|due| *due > Timestamp::EPOCH).min();
        let micros = since.map_or(0, |since| now.micros().saturating_sub(since.micros()));
        self.lag.set(Duration::from_micros(u64::try_from(micros).unwrap_or(0)));
    }

    /// A task has been done, put off until it can be done, or has failed.
    pub fn done(&self, task: &Leased, done: &Result<Next>) {
        let outcome = match done {
            Ok(_) => "done",
            Err(_) => "failed",
        };
        counter!("bursar_timed_tasks_total", "kind" => task.kind.clone(), "outcome" => outcome).increment(1);
    }
}
