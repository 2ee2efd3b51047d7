//! What the ledger tells about itself: names, units and meanings of its metrics.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::process::Phases;

/// The ledger's metrics. All times are in seconds.
#[derive(Clone)]
pub(super) struct Meters {
    commands: Histogram,
    organizations: Histogram,
    depth: Gauge,
    wait: Histogram,
    load: Histogram,
    decide: Histogram,
    write: Histogram,
    retries: Counter,
    splits: Counter,
    unknown: Counter,
    overloaded: Counter,
    accepted: Counter,
    refused: Counter,
    failed: Counter,
}

impl Meters {
    /// Registers the metrics.
    pub fn new() -> Meters {
        let phase = |name: &'static str| histogram!("bursar_ledger_phase_seconds", "phase" => name);
        let outcome = |name: &'static str| counter!("bursar_ledger_commands_total", "outcome" => name);
        Meters {
            commands: histogram!("bursar_ledger_batch_commands"),
            organizations: histogram!("bursar_ledger_batch_organizations"),
            depth: gauge!("bursar_ledger_queue_depth"),
            wait: histogram!("bursar_ledger_wait_seconds"),
            load: phase("load"),
            decide: phase("decide"),
            write: phase("write"),
            retries: counter!("bursar_ledger_retries_total"),
            splits: counter!("bursar_ledger_splits_total"),
            unknown: counter!("bursar_ledger_unknown_commits_total"),
            overloaded: counter!("bursar_ledger_overloaded_total"),
            accepted: outcome("accepted"),
            refused: outcome("refused"),
            failed: outcome("failed"),
        }
    }

    /// How many commands wait now.
    pub fn depth(&self, commands: usize) {
        self.depth.set(u32::try_from(commands).unwrap_or(u32::MAX));
    }

    /// A transaction has taken commands off the queues.
    pub fn batch(&self, organizations: usize, commands: usize) {
        self.organizations.record(u32::try_from(organizations).unwrap_or(u32::MAX));
        self.commands.record(u32::try_from(commands).unwrap_or(u32::MAX));
    }

    /// A command has waited.
    pub fn waited(&self, time: Duration) {
        self.wait.record(time);
    }

    /// A transaction has been through its phases.
    pub fn phases(&self, phases: Phases) {
        self.load.record(phases.load);
        self.decide.record(phases.decide);
        self.write.record(phases.write);
    }

    /// A transaction is run again.
    pub fn retried(&self) {
        self.retries.increment(1);
    }

    /// A batch is split in halves.
    pub fn split(&self) {
        self.splits.increment(1);
    }

    /// A commit was cut off.
    pub fn unknown(&self) {
        self.unknown.increment(1);
    }

    /// A command was turned away.
    pub fn overloaded(&self) {
        self.overloaded.increment(1);
    }

    /// A command was answered.
    pub fn answered<T>(&self, answer: &crate::error::Result<T>) {
        match answer {
            Ok(_) => self.accepted.increment(1),
            Err(crate::error::Error::Refused(_)) => self.refused.increment(1),
            Err(_) => self.failed.increment(1),
        }
    }
}
