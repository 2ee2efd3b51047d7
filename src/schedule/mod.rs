//! Timed work: what time alone brings, done by Bursar itself.
//!
//! The table `timed_task` says what is to be done and when; it is written in the transactions that find out
//! (the ledger's, mostly, and those of purchases), so no work is forgotten. Every second a node looks whether something is due. It leases
//! what it takes (see `lease`), does it, and gives the lease back. A node that dies in the middle leaves a lease
//! that runs out, and another one does the work again; so everything that is done here has no effect the second
//! time (see `tasks`).
//!
//! Pools that buy by themselves do not wait for their turn: what a node commits lets it look at once (see `trigger`).
//!
//! Several nodes need not agree on the time: whoever is ahead does the work early, once.

mod lease;
mod meters;
mod tasks;
mod trigger;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::lease::{Leased, claim, give_back};
use self::meters::Meters;
use self::tasks::{Next, carry_out};
pub use self::trigger::TopUpTrigger;
use crate::error::{Error, Result};
use crate::purchases::Selling;

/// How often a node looks for what is due.
const INTERVAL: Duration = Duration::from_secs(1);
/// How many tasks a node takes at once.
const AT_ONCE: usize = 32;
/// How many of them it does at the same time.
const WORKERS: usize = 4;

/// Does timed work on this node. Cheap to clone.
#[derive(Clone)]
pub struct Scheduler(Arc<Inner>);

struct Inner {
    selling: Selling,
    trigger: TopUpTrigger,
    meters: Meters,
    end: CancellationToken,
    running: TaskTracker,
}

impl Scheduler {
    /// One that does nothing yet.
    pub fn new(selling: Selling, trigger: TopUpTrigger) -> Scheduler {
        let (end, running) = (CancellationToken::new(), TaskTracker::new());
        Scheduler(Arc::new(Inner { selling, trigger, meters: Meters::new(), end, running }))
    }

    /// Begins to look for what is due, and to do it, and at pools that buy by themselves.
    pub fn start(&self) {
        let own = self.clone();
        self.0.running.spawn(async move { own.work().await });
        let (trigger, selling, running) =
            (self.0.trigger.clone(), self.0.selling.clone(), self.0.running.clone());
        self.0.running.spawn(trigger.run(selling, self.0.end.clone(), running));
    }

    /// Takes no more work, and waits until what is under way is done.
    pub async fn stop(&self) {
        self.0.end.cancel();
        self.0.running.close();
        self.0.running.wait().await;
    }

    async fn work(&self) {
        while !self.0.end.is_cancelled() {
            let full = match self.round().await {
                Ok(taken) => taken == AT_ONCE,
                Err(error) => {
                    // The next look finds all of it again.
                    tracing::warn!(%error, "timed work cannot be looked for");
                    false
                }
            };
            if !full {
                // Whether the end has come or the time has passed, the loop finds out.
                let _ = tokio::time::timeout(INTERVAL, self.0.end.cancelled()).await;
            }
        }
    }

    /// Takes some of what is due and does it. Answers how many tasks it has taken.
    async fn round(&self) -> Result<usize> {
        let tasks = claim(self.0.selling.context(), AT_ONCE).await?;
        self.0.meters.late(self.0.selling.context().clock.now(), &tasks);
        let taken = tasks.len();
        futures_util::stream::iter(tasks).for_each_concurrent(WORKERS, |task| self.one(task)).await;
        Ok(taken)
    }

    /// Does one task and gives its lease back.
    async fn one(&self, task: Leased) {
        let context = self.0.selling.context();
        if context.clock.now() >= task.until {
            // Somebody else may have taken it already.
            return;
        }
        if self.0.end.is_cancelled() {
            // Another node does it.
            return self.give_back(&task, Ok(Next::AsWritten)).await;
        }
        // In a task of its own: should it panic, the others go on.
        let (selling, work) = (self.0.selling.clone(), task.clone());
        let done = tokio::spawn(async move { carry_out(&selling, &work).await }).await;
        let done = done.unwrap_or_else(|error| Err(Error::internal(format!("timed work broke: {error}"))));
        if let Err(error) = &done {
            tracing::warn!(%error, kind = %task.kind, attempts = task.attempts, "timed work failed");
        }
        self.0.meters.done(&task, &done);
        self.give_back(&task, done).await;
    }

    async fn give_back(&self, task: &Leased, done: Result<Next>) {
        if let Err(error) = give_back(self.0.selling.context(), task, done).await {
            // It runs out by itself, and then the work is done again, which changes nothing.
            tracing::warn!(%error, kind = %task.kind, "a lease cannot be given back");
        }
    }
}

/// Does all that is due now. Answers how many tasks that were. For tests and tools; a server has a [`Scheduler`].
pub async fn run_once(selling: &Selling) -> Result<usize> {
    let (scheduler, mut all) = (Scheduler::new(selling.clone(), TopUpTrigger::default()), 0);
    loop {
        match scheduler.round().await? {
            0 => return Ok(all),
            taken => all += taken,
        }
    }
}
