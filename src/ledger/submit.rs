//! The three phases in one transaction, and the answers after the commit.

use std::collections::HashMap;

use bursar_domain::ledger::{Command, CommandId, Decision, Refusal, book_lapses, decide};
use bursar_entity::{lot, transfer};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};

use super::load::{Loaded, Locking, load};
use super::write::Rows;
use super::{Committed, Ledger, Receipt, ReceiptRow, Submission};
use crate::db::{self, Fault, Tenant, Txn, fault};
use crate::error::{Error, Result};

/// What became of one command of a batch.
pub type Outcome = Result<Receipt, Refusal>;

/// How often a batch is tried whose key or reference another writer has just used.
const ATTEMPTS: usize = 4;

impl Ledger {
    /// Carries out a batch of commands of one organization and answers after the commit, in order. A
    /// refusal of one does not harm the others. With `rehearsal` everything is rolled back at the end.
    pub async fn submit(
        &self,
        tenant: Tenant,
        batch: Vec<Submission>,
        rehearsal: bool,
    ) -> Result<Vec<Outcome>> {
        let mut attempt = 1;
        loop {
            let result = self.try_submit(tenant, batch.clone(), rehearsal).await;
            match result {
                // Somebody used a key or a reference between our look and our write, on another pool of
                // the organization. Now it can be seen.
                Err(Error::Database(error))
                    if attempt < ATTEMPTS && matches!(fault(&error), Fault::Unique(_)) =>
                {
                    attempt += 1;
                }
                result => {
                    let (outcomes, committed) = result?;
                    if !rehearsal {
                        self.announce(&committed);
                    }
                    return Ok(outcomes);
                }
            }
        }
    }

    /// Carries out one command.
    pub async fn submit_one(
        &self,
        tenant: Tenant,
        submission: Submission,
        rehearsal: bool,
    ) -> Result<Receipt> {
        let outcome = self.submit(tenant, vec![submission], rehearsal).await?.into_iter().next();
        let outcome = outcome.ok_or_else(|| Error::internal("a command was not answered"))?;
        outcome.map_err(Error::from)
    }

    async fn try_submit(
        &self,
        tenant: Tenant,
        batch: Vec<Submission>,
        rehearsal: bool,
    ) -> Result<(Vec<Outcome>, Vec<Committed>)> {
        let work = db::work(move |txn| {
            let batch = batch.clone();
            Box::pin(async move { process(txn, tenant, &batch).await })
        });
        let db = &self.context.db;
        if rehearsal { db.rehearse(tenant, work).await } else { db.write(tenant, work).await }
    }

    /// Carries out one command inside the transaction of another room, which calls
    /// [`Ledger::announce`] with the second part of the answer once it has committed.
    pub async fn apply(
        &self,
        txn: &Txn,
        tenant: Tenant,
        submission: Submission,
    ) -> Result<(Receipt, Vec<Committed>)> {
        let (outcomes, committed) = process(txn, tenant, &[submission]).await?;
        let outcome = outcomes.into_iter().next();
        let outcome = outcome.ok_or_else(|| Error::internal("a command was not answered"))?;
        Ok((outcome?, committed))
    }
}

/// Load, decide, write.
async fn process(txn: &Txn, tenant: Tenant, batch: &[Submission]) -> Result<(Vec<Outcome>, Vec<Committed>)> {
    let commands: Vec<&Command> = batch.iter().map(|submission| &submission.command).collect();
    let mut loaded = load(txn, tenant, &commands, Locking::Exclusive).await?;
    let mut rows = Rows::default();
    for command in &commands {
        let lapses = book_lapses(&mut loaded.state, command.pool, command.now);
        rows.lapses(tenant, lapses, &mut loaded.links);
    }
    let mut outcomes: Vec<Outcome> = Vec::with_capacity(batch.len());
    let mut done: HashMap<CommandId, Receipt> = HashMap::new();
    for submission in batch {
        let outcome = match decide(&mut loaded.state, &submission.command) {
            Err(refusal) => Err(refusal),
            Ok(Decision::Applied(applied)) => {
                let receipt = rows.applied(tenant, submission, *applied, &mut loaded.links)?;
                done.insert(submission.command.id, receipt.clone());
                Ok(receipt)
            }
            Ok(Decision::Replayed(id)) => Ok(match done.get(&id) {
                Some(receipt) => Receipt { replayed: true, ..receipt.clone() },
                None => replay(txn, tenant, &loaded, &submission.command).await?,
            }),
        };
        outcomes.push(outcome);
    }
    rows.write(txn, tenant, &loaded.state, &loaded.links).await?;
    let changed = loaded.state.pools.values().filter(|pool| pool.changed);
    let committed = changed.map(|pool| Committed { pool: pool.id, version: pool.head.version }).collect();
    Ok((outcomes, committed))
}

/// The receipt of a command that was carried out in an earlier batch, as it was then.
async fn replay(txn: &Txn, tenant: Tenant, loaded: &Loaded, command: &Command) -> Result<Receipt> {
    let (row, pool, version, slices, lot) = match command.id {
        CommandId::Charge(_) => {
            let row = loaded.charges.get(&command.key).cloned();
            let row = row.ok_or_else(|| Error::internal("a replayed charge is missing"))?;
            let (pool, version, slices) = (row.pool_id, row.version, row.slices);
            (ReceiptRow::Charge(row), pool, version, slices, None)
        }
        CommandId::Entry(_) => {
            let row = loaded.entries.get(&command.key).cloned();
            let row = row.ok_or_else(|| Error::internal("a replayed entry is missing"))?;
            let (pool, version, slices, lot) = (row.pool_id, row.version, row.slices, row.lot_id);
            (ReceiptRow::Entry(row), pool, version, slices, lot)
        }
    };
    let transfers = tenant
        .find::<transfer::Entity>()
        .filter(transfer::Column::PoolId.eq(pool))
        .filter(transfer::Column::Version.gt(version - slices))
        .filter(transfer::Column::Version.lte(version))
        .order_by_asc(transfer::Column::Version)
        .all(txn)
        .await?;
    let lot = match lot {
        Some(id) => tenant.find::<lot::Entity>().filter(lot::Column::Id.eq(id)).one(txn).await?,
        None => None,
    };
    Ok(Receipt { row, transfers, lot, replayed: true })
}
