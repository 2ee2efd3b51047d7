//! The ways into the ledger: through the lanes, inside another room's transaction, and for a rehearsal.

use std::sync::Arc;

use super::books::Books;
use super::lanes::Lanes;
use super::load::Locking;
use super::process::{Part, process};
use super::{Ledger, Receipt, Settings, Submission};
use crate::changes::Change;
use crate::context::Context;
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};

impl Ledger {
    /// A ledger on a database.
    pub fn new(context: Context, settings: Settings) -> Ledger {
        let lanes = Lanes::new(context.db.clone(), context.changes.clone(), settings);
        Ledger { context, lanes }
    }

    /// The database and the clock that it works with.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Carries out a command together with others that wait, and answers after the commit. When the caller
    /// goes away it is carried out all the same.
    ///
    /// # Errors
    /// [`Error::Refused`] by the ledger's rules; [`Error::Stale`] when the caller's permission was read
    /// before a change of people or grants; [`Error::Overloaded`] at once when too many commands wait;
    /// [`Error::UnknownOutcome`] when the commit was cut off and could not be looked up either.
    pub async fn submit(&self, tenant: Tenant, submission: Submission) -> Result<Receipt> {
        self.lanes.submit(tenant, submission).await
    }

    /// Says what [`Ledger::submit`] would answer now, and writes nothing. Waits for no lock.
    pub async fn rehearse(&self, tenant: Tenant, submission: Submission) -> Result<Receipt> {
        let txn = self.context.db.read(tenant).await?;
        self.alone(&txn, tenant, submission, Locking::None).await.map(|(receipt, _)| receipt)
    }

    /// Carries out one command inside the transaction of another room, which announces the second part of
    /// the answer once it has committed.
    pub async fn apply(
        &self,
        txn: &Txn,
        tenant: Tenant,
        submission: Submission,
    ) -> Result<(Receipt, Vec<Change>)> {
        self.alone(txn, tenant, submission, Locking::Exclusive).await
    }

    /// Takes no more commands, and waits until those that wait have been answered.
    pub async fn drain(&self) {
        self.lanes.drain().await;
    }

    /// A batch of one, with nothing from memory but the prices.
    async fn alone(
        &self,
        txn: &Txn,
        tenant: Tenant,
        submission: Submission,
        locking: Locking,
    ) -> Result<(Receipt, Vec<Change>)> {
        let part = Part { tenant, submissions: Arc::new(vec![submission]), books: Books::default() };
        let (processed, _) = process(txn, vec![part], locking, self.lanes.prices()).await?;
        let processed = processed.into_iter().next();
        let outcome = processed.and_then(|done| Some((done.outcomes.into_iter().next()?, done.committed)));
        let (outcome, committed) = outcome.ok_or_else(|| Error::internal("a command was not answered"))?;
        Ok((outcome?, committed))
    }
}
