//! Writing: one transaction, in a task of its own, run again when it lost against another.

use std::pin::Pin;
use std::time::Duration;

use super::transaction::{Access, Txn};
use super::{Database, Fault, Scope, fault};
use crate::error::{Error, Result};

/// How often a transaction is tried.
const ATTEMPTS: u32 = 8;

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

    async fn run<T, W>(&self, scope: Scope, work: W, commit: bool) -> Result<T>
    where
        T: Send + 'static,
        W: for<'t> Fn(&'t Txn) -> WorkFuture<'t, T> + Send + Sync + 'static,
    {
        let writer = self.writer.clone();
        let span = tracing::Span::current();
        let task = self.writes.spawn(tracing::Instrument::instrument(
            async move {
                let mut attempt = 1;
                loop {
                    let error = match Box::pin(attempt_once(&writer, &scope, &work, commit)).await {
                        Ok(value) => return Ok(value),
                        Err(error) => error,
                    };
                    let again = matches!(&error, Error::Database(e)
                        if matches!(fault(e), Fault::Contention | Fault::Lost));
                    if !again || attempt == ATTEMPTS {
                        return Err(error);
                    }
                    tracing::debug!(attempt, %error, "running the transaction again");
                    tokio::time::sleep(pause(attempt)).await;
                    attempt += 1;
                }
            },
            span,
        ));
        task.await.map_err(|error| Error::internal(format!("a write did not end: {error}")))?
    }
}

async fn attempt_once<T, W>(
    writer: &sea_orm::DatabaseConnection,
    scope: &Scope,
    work: &W,
    commit: bool,
) -> Result<T>
where
    W: for<'t> Fn(&'t Txn) -> WorkFuture<'t, T>,
{
    let transaction = Txn::begin(writer, Access::Write, scope).await?;
    match work(&transaction).await {
        Ok(value) if commit => match transaction.commit().await {
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

/// 2, 4, 8 ... milliseconds, with a random part so that two losers do not meet again.
fn pause(attempt: u32) -> Duration {
    let mut random = [0u8; 1];
    // Without randomness the pause is only less well spread.
    let _ = getrandom::fill(&mut random);
    let base = 1u64 << attempt.min(7);
    Duration::from_micros(base * 1_000 + base * 4 * u64::from(random[0]))
}
