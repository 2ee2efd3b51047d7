//! The ways into the ledger: through the lanes, inside another room's transaction, and for a rehearsal.

use std::sync::Arc;

use super::books::Books;
use super::lanes::Lanes;
use super::load::Locking;
use super::process::{Bundle, Outcomes, Part, process};
use super::{Ledger, Receipt, Settings, Submission, Together};
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
        let bundle = Bundle { submissions: vec![submission], together: Together::Each };
        only(self.lanes.submit(tenant, bundle).await?)
    }

    /// Carries out several commands of one call in one commit, as [`Ledger::submit`] does with one. Answers
    /// what became of each, in order.
    ///
    /// # Errors
    /// Those of [`Ledger::submit`], for all of them.
    pub async fn submit_all(
        &self,
        tenant: Tenant,
        submissions: Vec<Submission>,
        together: Together,
    ) -> Result<Vec<Result<Receipt>>> {
        if submissions.is_empty() {
            return Ok(Vec::new());
        }
        self.lanes.submit(tenant, Bundle { submissions, together }).await
    }

    /// Says what [`Ledger::submit`] would answer now, and writes nothing. Waits for no lock.
    pub async fn rehearse(&self, tenant: Tenant, submission: Submission) -> Result<Receipt> {
        only(self.rehearse_all(tenant, vec![submission], Together::Each).await?)
    }

    /// Says what [`Ledger::submit_all`] would answer now, and writes nothing. Waits for no lock.
    pub async fn rehearse_all(
        &self,
        tenant: Tenant,
        submissions: Vec<Submission>,
        together: Together,
    ) -> Result<Vec<Result<Receipt>>> {
        let txn = self.context.db.read(tenant).await?;
        let bundle = Bundle { submissions, together };
        self.alone(&txn, tenant, bundle, Locking::None).await.map(|(outcomes, _)| outcomes)
    }

    /// Carries out one command inside the transaction of another room, which announces the second part of
    /// the answer once it has committed.
    pub async fn apply(
        &self,
        txn: &Txn,
        tenant: Tenant,
        submission: Submission,
    ) -> Result<(Receipt, Vec<Change>)> {
        let bundle = Bundle { submissions: vec![submission], together: Together::Each };
        let (outcomes, committed) = self.alone(txn, tenant, bundle, Locking::Exclusive).await?;
        Ok((only(outcomes)?, committed))
    }

    /// Takes no more commands, and waits until those that wait have been answered.
    pub async fn drain(&self) {
        self.lanes.drain().await;
    }

    /// A batch of one call, with nothing from memory but the prices.
    async fn alone(
        &self,
        txn: &Txn,
        tenant: Tenant,
        bundle: Bundle,
        locking: Locking,
    ) -> Result<(Outcomes, Vec<Change>)> {
        let part = Part { tenant, bundles: Arc::new(vec![bundle]), books: Books::default() };
        let (processed, _) = process(txn, vec![part], locking, self.lanes.prices()).await?;
        let processed = processed.into_iter().next();
        let outcomes = processed.and_then(|done| Some((done.outcomes.into_iter().next()?, done.committed)));
        outcomes.ok_or_else(unanswered)
    }
}

/// What became of the only command of a call.
fn only(outcomes: Outcomes) -> Result<Receipt> {
    outcomes.into_iter().next().ok_or_else(unanswered)?
}

fn unanswered() -> Error {
    Error::internal("a command was not answered")
}
