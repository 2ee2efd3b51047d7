//! The ways into the ledger: through the lanes, inside another room's transaction, and for a rehearsal.

use std::sync::Arc;

use super::books::Books;
use super::lanes::Lanes;
use super::load::Locking;
use super::process::{Processed, process};
use super::{CommitListener, Committed, Ledger, Receipt, Settings, Submission};
use crate::context::Context;
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};

impl Ledger {
    /// A ledger on a database.
    pub fn new(context: Context, listener: CommitListener, settings: Settings) -> Ledger {
        let lanes = Lanes::new(context.db.clone(), Arc::clone(&listener), settings);
        Ledger { context, listener, lanes }
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
        only(process(&txn, tenant, &[submission], Locking::None, self.books()).await?)
            .map(|(receipt, _)| receipt)
    }

    /// Carries out one command inside the transaction of another room, which calls
    /// [`Ledger::announce`] with the second part of the answer once it has committed.
    pub async fn apply(
        &self,
        txn: &Txn,
        tenant: Tenant,
        submission: Submission,
    ) -> Result<(Receipt, Vec<Committed>)> {
        only(process(txn, tenant, &[submission], Locking::Exclusive, self.books()).await?)
    }

    /// Tells the listener what a transaction that used [`Ledger::apply`] has committed.
    pub fn announce(&self, committed: &[Committed]) {
        if !committed.is_empty() {
            (self.listener)(committed);
        }
    }

    /// Takes no more commands, and waits until those that wait have been answered.
    pub async fn drain(&self) {
        self.lanes.drain().await;
    }

    /// Nothing kept but the prices: for those who are not lanes.
    fn books(&self) -> (Books, &super::books::Prices) {
        (Books::default(), self.lanes.prices())
    }
}

/// The outcome of a batch of one.
fn only(processed: Processed) -> Result<(Receipt, Vec<Committed>)> {
    let outcome = processed.outcomes.into_iter().next();
    let outcome = outcome.ok_or_else(|| Error::internal("a command was not answered"))?;
    Ok((outcome?, processed.committed))
}
