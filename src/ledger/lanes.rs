//! Lanes: tasks that carry out what waits, one transaction after another, and answer after the commit.
//!
//! A lane is started when there is work and none is free, and ends when nothing waits. No client can
//! cancel it. What it takes becomes one transaction, over one organization or several:
//! - lost against another writer, or on a broken connection: run again;
//! - its commit cut off: nobody knows, so it is run again too, and the idempotency keys tell which commands
//!   had been carried out;
//! - failed otherwise: split in halves, until the guilty command is alone and gets the error.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sea_orm::DbErr;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::Settings;
use super::books::{Prices, Shelf};
use super::load::Locking;
use super::meters::Meters;
use super::process::{Bundle, Outcomes, Part, Phases, Processed, process};
use super::queues::{Queues, Waiting};
use crate::changes::Changes;
use crate::db::{self, Attempt, Database, Fault, Scope, Tenant, fault};
use crate::error::{Error, Result};

/// How often a batch is run again that loses against others.
const ATTEMPTS: u32 = 8;
/// For how long a batch is run again while the database cannot be reached. Shorter than clients wait.
const PATIENCE: Duration = Duration::from_secs(15);

/// The lanes, their queues, and what is kept in memory for them.
pub(super) struct Lanes {
    db: Database,
    changes: Changes,
    queues: Mutex<Queues>,
    shelf: Shelf,
    prices: Prices,
    meters: Meters,
    running: TaskTracker,
}

/// Calls of one organization that go through one transaction.
struct Batch {
    tenant: Tenant,
    bundles: Arc<Vec<Bundle>>,
    answers: Vec<oneshot::Sender<Outcomes>>,
}

impl Batch {
    /// How many commands they have.
    fn commands(&self) -> usize {
        self.bundles.iter().map(|bundle| bundle.submissions.len()).sum()
    }
}

/// Batches that go through one transaction, and whether a commit of theirs has been cut off.
struct Work {
    batches: Vec<Batch>,
    unknown: Option<DbErr>,
    began: Instant,
}

impl Lanes {
    /// Lanes without work.
    pub fn new(db: Database, changes: Changes, settings: Settings) -> Arc<Lanes> {
        let (queues, running) = (Mutex::new(Queues::new(settings)), TaskTracker::new());
        let (shelf, prices, meters) = (Shelf::new(), Prices::default(), Meters::new());
        Arc::new(Lanes { db, changes, queues, shelf, prices, meters, running })
    }

    /// The prices that batches use, for those who only look.
    pub fn prices(&self) -> &Prices {
        &self.prices
    }

    /// Carries out the commands of a call with those that wait beside it, and answers after the commit. When
    /// the caller goes away they are carried out all the same.
    pub async fn submit(self: &Arc<Self>, tenant: Tenant, bundle: Bundle) -> Result<Outcomes> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { bundle, answer, since: Instant::now() };
        {
            let mut queues = self.queues();
            let start = queues.push(tenant, waiting).inspect_err(|error| {
                if matches!(error, Error::Overloaded) {
                    self.meters.overloaded();
                }
            })?;
            self.meters.depth(queues.depth());
            // Under the lock: whoever drains after it sees the lane.
            if start {
                self.start();
            }
        }
        answered.await.map_err(|_| Error::internal("a lane ended without an answer"))
    }

    /// Takes no more commands, and waits until those that wait have been answered.
    pub async fn drain(&self) {
        self.queues().close();
        self.running.close();
        self.running.wait().await;
    }

    /// The queues. A panic elsewhere leaves them usable: they change in single steps.
    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a lane, which the queues count as begun already.
    fn start(self: &Arc<Self>) {
        let lane = Lane(Arc::clone(self));
        self.running.spawn(async move { while lane.0.turn().await {} });
    }

    /// Carries out what is next. Answers whether there was something.
    async fn turn(self: &Arc<Self>) -> bool {
        let (taken, another) = {
            let mut queues = self.queues();
            let taken = queues.take();
            self.meters.depth(queues.depth());
            // Somebody may have come while all lanes were counted as busy.
            let another = queues.start();
            (taken, another)
        };
        if another {
            self.start();
        }
        if taken.is_empty() {
            return false;
        }
        let tenants: Vec<Tenant> = taken.iter().map(|(tenant, _)| *tenant).collect();
        let _turn = Turn { lanes: self, tenants };
        let (now, mut waited) = (Instant::now(), Duration::ZERO);
        let batch = |(tenant, waiting): (Tenant, Vec<Waiting>)| {
            let mut bundles = Vec::with_capacity(waiting.len());
            let mut answers = Vec::with_capacity(waiting.len());
            for Waiting { bundle, answer, since } in waiting {
                let time = now.saturating_duration_since(since);
                waited = waited.max(time);
                self.meters.waited(time);
                bundles.push(bundle);
                answers.push(answer);
            }
            Batch { tenant, bundles: Arc::new(bundles), answers }
        };
        let batches: Vec<Batch> = taken.into_iter().map(batch).collect();
        let commands: usize = batches.iter().map(Batch::commands).sum();
        self.meters.batch(batches.len(), commands);
        let waited_micros = waited.as_micros();
        let span = tracing::info_span!("batch", organizations = batches.len(), commands, waited_micros);
        let mut left = vec![Work { batches, unknown: None, began: now }];
        async {
            while let Some(work) = left.pop() {
                left.extend(self.settle(work).await);
            }
        }
        .instrument(span)
        .await;
        true
    }

    /// Runs a transaction until it is known what became of it, and answers. What has to be tried in parts
    /// comes back, the last part first.
    async fn settle(&self, work: Work) -> Vec<Work> {
        let Work { batches, mut unknown, began } = work;
        let mut attempt = 1;
        let error = loop {
            let error = match self.attempt(&batches).await {
                Attempt::Committed((processed, phases)) => {
                    self.meters.phases(phases);
                    tracing::debug!(?phases, attempt, "a batch was committed");
                    self.answer(batches, processed);
                    return Vec::new();
                }
                Attempt::Undone(error) => error,
                Attempt::Unknown(error) => {
                    self.meters.unknown();
                    tracing::warn!(%error, attempt, "a commit was cut off: the keys will tell");
                    unknown = Some(error.clone());
                    Error::UnknownOutcome(error)
                }
            };
            let again = match &error {
                Error::UnknownOutcome(_) => began.elapsed() < PATIENCE,
                Error::Database(error) => match fault(error) {
                    Fault::Lost | Fault::Unavailable => began.elapsed() < PATIENCE,
                    // Somebody used a key or a reference between our look and our write. Now it can be
                    // seen.
                    Fault::Contention | Fault::Unique(_) => attempt < ATTEMPTS && began.elapsed() < PATIENCE,
                    Fault::Other => false,
                },
                _ => false,
            };
            if !again {
                break error;
            }
            self.meters.retried();
            tracing::debug!(attempt, %error, "running the batch again");
            tokio::time::sleep(db::pause(attempt)).await;
            attempt += 1;
        };
        // Parts of it would find the database as far away as the whole did.
        let away = match &error {
            Error::UnknownOutcome(_) => true,
            Error::Database(error) => match fault(error) {
                Fault::Lost | Fault::Unavailable => true,
                // Somebody holds on to a row of this organization.
                Fault::Contention => batches.len() == 1,
                Fault::Unique(_) | Fault::Other => false,
            },
            _ => false,
        };
        // The commands of one call stay together.
        let calls: usize = batches.iter().map(|batch| batch.answers.len()).sum();
        if calls > 1 && !away {
            self.meters.split();
            tracing::warn!(%error, calls, "a batch failed and is split");
            let (first, second) = halves(batches);
            let work = |batches| Work { batches, unknown: unknown.clone(), began };
            return vec![work(second), work(first)];
        }
        for batch in batches {
            for (answer, bundle) in batch.answers.into_iter().zip(batch.bundles.iter()) {
                let each = bundle.submissions.iter().map(|_| Err(told(&error, unknown.as_ref())));
                self.send(answer, each.collect());
            }
        }
        Vec::new()
    }

    /// Tries the transaction once.
    async fn attempt(&self, batches: &[Batch]) -> Attempt<(Vec<Processed>, Phases)> {
        let part = |batch: &Batch| Part {
            tenant: batch.tenant,
            bundles: Arc::clone(&batch.bundles),
            books: self.shelf.take(batch.tenant.id()),
        };
        let (parts, prices) = (batches.iter().map(part).collect(), self.prices.clone());
        let tenants = batches.iter().map(|batch| batch.tenant).collect();
        let work = db::work_once(move |txn| {
            Box::pin(async move { process(txn, parts, Locking::Exclusive, &prices).await })
        });
        self.db.attempt(Scope::of_batch(tenants), work).await
    }

    /// Keeps what the next batch needs, wakes whoever watches, and answers.
    fn answer(&self, batches: Vec<Batch>, processed: Vec<Processed>) {
        let mut answers = Vec::new();
        for (batch, done) in batches.into_iter().zip(processed) {
            self.shelf.put(batch.tenant.id(), done.books);
            if !done.committed.is_empty() {
                self.changes.announce(&done.committed);
            }
            answers.extend(batch.answers.into_iter().zip(done.outcomes));
        }
        for (answer, outcomes) in answers {
            self.send(answer, outcomes);
        }
    }

    fn send(&self, answer: oneshot::Sender<Outcomes>, outcomes: Outcomes) {
        for outcome in &outcomes {
            self.meters.answered(outcome);
        }
        // Whoever asked may have gone; what was done stays done.
        let _ = answer.send(outcomes);
    }
}

/// What each caller is told of an error.
fn told(error: &Error, unknown: Option<&DbErr>) -> Error {
    if let Some(unknown) = unknown {
        return Error::UnknownOutcome(unknown.clone());
    }
    match error {
        Error::Database(error) => Error::Database(error.clone()),
        Error::Internal(message) => Error::Internal(message.clone()),
        other => Error::internal(other.to_string()),
    }
}

/// Batches in two halves, by calls; a batch in the middle is cut.
fn halves(batches: Vec<Batch>) -> (Vec<Batch>, Vec<Batch>) {
    let calls: usize = batches.iter().map(|batch| batch.answers.len()).sum();
    let (mut first, mut second, mut room) = (Vec::new(), Vec::new(), calls / 2);
    for mut batch in batches {
        let fits = batch.answers.len().min(room);
        room -= fits;
        if fits == batch.answers.len() {
            first.push(batch);
        } else if fits == 0 {
            second.push(batch);
        } else {
            let answers = batch.answers.split_off(fits);
            let bundles = Arc::new(batch.bundles[fits..].to_vec());
            batch.bundles = Arc::new(batch.bundles[..fits].to_vec());
            second.push(Batch { tenant: batch.tenant, bundles, answers });
            first.push(batch);
        }
    }
    (first, second)
}

/// The turn of some organizations. However it ends, others of theirs that wait come next.
struct Turn<'l> {
    lanes: &'l Lanes,
    tenants: Vec<Tenant>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.lanes.queues().done(&self.tenants);
    }
}

/// A lane at work. However it ends, another can be started.
struct Lane(Arc<Lanes>);

impl Drop for Lane {
    fn drop(&mut self) {
        let start = {
            let mut queues = self.0.queues();
            queues.rest();
            queues.start()
        };
        if start {
            self.0.start();
        }
    }
}
