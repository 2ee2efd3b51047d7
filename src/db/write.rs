//! Writing: one transaction, in a task of its own, run again when it lost against another.

use std::pin::Pin;
use std::time::{Duration, Instant};

use sea_orm::{DatabaseConnection, DbErr};

use super::transaction::{Access, Txn};
use super::{Database, Fault, Filter, Scope, fault};
use crate::error::{Error, Result};

/// How often a transaction is tried that loses against others.
const ATTEMPTS: u32 = 8;
/// For how long a transaction is tried whose connections are broken: when the database has been started
/// again, all that the pool holds are.
const PATIENCE: Duration = Duration::from_secs(10);

/// How one try of a transaction has ended.
#[derive(Debug)]
pub enum Attempt<T> {
    /// It was committed.
    Committed(T),
    /// Nothing of it is left.
    Undone(Error),
    /// Its commit was cut off: it may or may not have happened.
    Unknown(DbErr),
}

/// The future of a transaction's work.
pub type WorkFuture<'t, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 't>>;

/// Makes a closure the work of a transaction: the compiler learns here that its future may borrow the
/// transaction.
pub fn work<T, W>(work: W) -> W
where
    W: for<'t> Fn(&'t Txn) -> WorkFuture<'t, T> + Send + Sync + 'static,
{
    work
}

/// Makes a closure the work of one try, as [`work`] does for work that may run several times.
pub fn work_once<T, W>(work: W) -> W
where
    W: for<'t> FnOnce(&'t Txn) -> WorkFuture<'t, T> + Send,
{
    work
}

impl Database {
    /// Runs `work` in one transaction and commits it; an error rolls everything back.
    ///
    /// The work may run several times (serialization failures, deadlocks, a connection that broke
    /// before the commit), so it must do nothing but read and write rows through the transaction.
    /// When the commit itself is cut off the answer is [`Error::UnknownOutcome`].
    pub async fn write<T, W>(&self, scope: impl Into<Scope>, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: for<'t> Fn(&'t Txn) -> WorkFuture<'t, T> + Send + Sync + 'static,
    {
        self.run(scope.into(), work, true).await
    }

    /// Runs `work` as [`Database::write`] does, and rolls everything back: a rehearsal.
    pub async fn rehearse<T, W>(&self, scope: impl Into<Scope>, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: for<'t> Fn(&'t Txn) -> WorkFuture<'t, T> + Send + Sync + 'static,
    {
        self.run(scope.into(), work, false).await
    }

    /// Tries one transaction once. Whoever calls this is a task that no client's disconnect can cancel,
    /// and decides whether to try again.
    pub async fn attempt<T, W>(&self, scope: impl Into<Scope>, work: W) -> Attempt<T>
    where
        W: for<'t> FnOnce(&'t Txn) -> WorkFuture<'t, T> + Send,
    {
        match attempt_once((&self.writer, &self.filter), &scope.into(), work, true).await {
            Ok(value) => Attempt::Committed(value),
            Err(Error::UnknownOutcome(error)) => Attempt::Unknown(error),
            Err(error) => Attempt::Undone(error),
        }
    }

    async fn run<T, W>(&self, scope: Scope, work: W, commit: bool) -> Result<T>
    where
        T: Send + 'static,
        W: for<'t> Fn(&'t Txn) -> WorkFuture<'t, T> + Send + Sync + 'static,
    {
        let (database, span) = ((self.writer.clone(), self.filter.clone()), tracing::Span::current());
        let tried = tracing::Instrument::instrument(again(database, scope, work, commit), span);
        if !self.protections.own_task {
            return tried.await;
        }
        let task = self.writes.spawn(tried);
        task.await.map_err(|error| Error::internal(format!("a write did not end: {error}")))?
    }
}

/// Tries a transaction until it ends in another way than by losing against others or by a broken
/// connection, within bounds.
async fn again<T, W>(
    (writer, filter): (DatabaseConnection, Filter),
    scope: Scope,
    work: W,
    commit: bool,
) -> Result<T>
where
    W: for<'t> Fn(&'t Txn) -> WorkFuture<'t, T> + Send + Sync + 'static,
{
    let (mut attempt, began) = (1, Instant::now());
    loop {
        let error = match Box::pin(attempt_once((&writer, &filter), &scope, &work, commit)).await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let again = match &error {
            Error::Database(error) => match fault(error) {
                Fault::Contention => attempt < ATTEMPTS,
                Fault::Lost => began.elapsed() < PATIENCE,
                Fault::Unique(_) | Fault::Unavailable | Fault::Other => false,
            },
            _ => false,
        };
        if !again {
            return Err(error);
        }
        tracing::debug!(attempt, %error, "running the transaction again");
        tokio::time::sleep(pause(attempt)).await;
        attempt += 1;
    }
}

async fn attempt_once<T, W>(
    (writer, filter): (&DatabaseConnection, &Filter),
    scope: &Scope,
    work: W,
    commit: bool,
) -> Result<T>
where
    W: for<'t> FnOnce(&'t Txn) -> WorkFuture<'t, T>,
{
    let transaction = Txn::begin(writer, Access::Write, scope, filter).await?;
    match work(&transaction).await {
        Ok(value) if commit => match committed(transaction).await {
            Ok(()) => Ok(value),
            // The database answered, and the answer was no: nothing has happened.
            Err(error) if fault(&error) != Fault::Lost => Err(error.into()),
            Err(error) => Err(Error::UnknownOutcome(error)),
        },
        outcome => {
            // What the rollback says does not matter: a connection that cannot roll back is closed.
            let _ = transaction.rollback().await;
            outcome
        }
    }
}

/// Commits, and says how long that took.
async fn committed(transaction: Txn) -> Result<(), DbErr> {
    let began = Instant::now();
    let commit = tracing::Instrument::instrument(transaction.commit(), tracing::info_span!("commit"));
    let outcome = commit.await;
    metrics::histogram!("bursar_commit_seconds").record(began.elapsed());
    outcome
}

/// 2, 4, 8 ... 128 milliseconds, with a random part so that two losers do not meet again.
pub fn pause(attempt: u32) -> Duration {
    let mut random = [0u8; 1];
    // Without randomness the pause is only less well spread.
    let _ = getrandom::fill(&mut random);
    let base = 1u64 << attempt.min(7);
    Duration::from_micros(base * 1_000 + base * 4 * u64::from(random[0]))
}
