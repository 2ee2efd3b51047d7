//! Refunds of charges, whichever pool the credits were bought for.
//!
//! What comes back of a purchase that was returned reduces its debt before anything is free again. The machine does that
//! where charge and debt are of one pool. Where the credits were bought for another pool, that one owes: as much of its debt
//! as comes back is made the debt of the charge's pool first, by the command that otherwise brings debts home, and the refund
//! settles it there. Both are done in one transaction with the heads of both pools locked, so no reversal comes in between.
//!
//! The pools of purchase are looked for before that: what a charge has used never changes, nor what it was bought for.

use std::collections::{BTreeMap, BTreeSet};

use bursar_domain::Credits;
use bursar_domain::id::{ChargeId, EntryId, LotId, PoolId};
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::ledger::{
    AccountKind, AssignDebt, Command, CommandId, Instruction, RefundCharge, Refusal, State, TransferKind,
};
use bursar_domain::reversal::{Coming, settled_at_home};
use bursar_entity::{journal_entry, lot, pool_head, transfer};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder, QuerySelect};

use super::load_pools::lots_by_id;
use super::load_refunds::{families, load_charges, load_refunds};
use super::{Ledger, Receipt, Submission};
use crate::auth::Standing;
use crate::changes::Change;
use crate::db::{self, Fault, Tenant, Txn, fault, padded};
use crate::error::{Error, Result};
use crate::global_id;
use crate::idempotency::Idempotency;

/// A debt that a refund settles elsewhere than it is owed.
struct Brought {
    home: PoolId,
    lot: LotId,
    credits: Credits,
}

impl Ledger {
    /// Carries out a refund of a charge, as [`Ledger::submit`] does with other commands; with `dry_run` it is only rehearsed.
    ///
    /// # Errors
    /// Those of [`Ledger::submit`]; [`Refusal::Target`] when the pool that owes what is refunded is frozen.
    pub async fn give_back(&self, tenant: Tenant, submission: Submission, dry_run: bool) -> Result<Receipt> {
        let charge = refund_of(&submission)?.charge;
        let mut pools = self.homes(tenant, charge, submission.command.pool).await?;
        if pools.is_empty() {
            return match dry_run {
                true => self.rehearse(tenant, submission).await,
                false => self.submit(tenant, submission).await,
            };
        }
        pools.insert(submission.command.pool);
        let own = self.clone();
        let work = db::work(move |txn| {
            let (own, submission, pools) = (own.clone(), submission.clone(), pools.clone());
            Box::pin(async move { own.give_back_in(txn, tenant, submission, pools).await })
        });
        let db = &self.context.db;
        if dry_run {
            return Ok(db.rehearse(tenant, work).await?.0);
        }
        let (receipt, committed) = match db.write(tenant, work.clone()).await {
            // The same key at the same time, on another charge: what it stands for can be seen now.
            Err(Error::Database(error)) if matches!(fault(&error), Fault::Unique(_)) => {
                db.write(tenant, work).await
            }
            outcome => outcome,
        }?;
        self.context.changes.announce(&committed);
        Ok(receipt)
    }

    /// The other pools that credits of a charge were bought for.
    async fn homes(&self, tenant: Tenant, charge: ChargeId, pool: PoolId) -> Result<BTreeSet<PoolId>> {
        let snapshot = self.context.db.read(tenant).await?;
        let mut state = State::default();
        load_charges(&snapshot, tenant, BTreeSet::from([charge]), &mut state).await?;
        let slices = state.charges.values().flat_map(|charge| &charge.slices);
        let lots: BTreeSet<LotId> = slices.map(|slice| slice.lot).collect();
        if lots.is_empty() {
            return Ok(BTreeSet::new());
        }
        let rows: Vec<lot::Model> = lots_by_id(&snapshot, tenant, lots).await?.into_values().collect();
        let origins = families(&snapshot, tenant, &rows).await?;
        let origins = lots_by_id(&snapshot, tenant, origins.into_values().collect()).await?;
        let bought = origins.into_values().filter(|row| row.purchase_id.is_some());
        Ok(bought.map(|row| row.pool_id).filter(|home| *home != pool).collect())
    }

    /// The same inside the transaction: debts first, then the refund. Answers also what is to be announced.
    async fn give_back_in(
        &self,
        txn: &Txn,
        tenant: Tenant,
        submission: Submission,
        pools: BTreeSet<PoolId>,
    ) -> Result<(Receipt, Vec<Change>)> {
        let heads = pool_head::Column::PoolId.is_in(padded(pools.into_iter().collect()));
        let heads = tenant.find::<pool_head::Entity>().filter(heads).order_by_asc(pool_head::Column::PoolId);
        let heads = heads.lock_exclusive().all(txn).await?;
        let debts = heads.iter().map(|head| (head.pool_id, Credits::new(-head.debt).unwrap_or_default()));
        let debts: BTreeMap<PoolId, Credits> = debts.collect();
        let used = journal_entry::Column::IdempotencyKey.eq(submission.command.key);
        let used = tenant.find::<journal_entry::Entity>().filter(used).one(txn).await?;
        let mut committed = Vec::new();
        // What was refunded under the key has been settled.
        if used.is_none() {
            for brought in brought(txn, tenant, &submission, &debts).await? {
                let assign = self.assign(&submission, &brought)?;
                let (_, changes) = self.apply(txn, tenant, assign).await.map_err(seen_from_there)?;
                committed.extend(changes);
            }
        }
        let (receipt, changes) = self.apply(txn, tenant, submission).await?;
        committed.extend(changes);
        Ok((receipt, committed))
    }

    /// The command that makes a debt that of the pool whose charge is refunded.
    fn assign(&self, refund: &Submission, brought: &Brought) -> Result<Submission> {
        let CommandId::Entry(entry) = refund.command.id else {
            return Err(Error::internal("a refund with the id of another command"));
        };
        let mut form = Canonical::of("debt that a refund settles");
        form.id(brought.lot).number(brought.credits.get());
        // There is one for each purchase that a refund brings something back of.
        let key = format!("{} {}", global_id::encode(entry), global_id::encode(brought.lot));
        let idempotency = Idempotency::new("assignDebtToRefund", &key, &form);
        let (lot, to_pool, credits) = (brought.lot, refund.command.pool, brought.credits);
        let command = Command {
            id: CommandId::Entry(self.context.clock.new_id::<EntryId>()),
            pool: brought.home,
            key: idempotency.key,
            request: idempotency.request,
            now: refund.command.now,
            instruction: Instruction::Assign(AssignDebt { lot, to_pool, credits }),
        };
        Ok(Submission {
            command,
            actor: refund.actor.clone(),
            standing: Standing::default(),
            subject: None,
            metadata: None,
            reason: refund.reason.clone(),
        })
    }
}

fn refund_of(submission: &Submission) -> Result<&RefundCharge> {
    match &submission.command.instruction {
        Instruction::Refund(refund) => Ok(refund),
        _ => Err(Error::internal("another command than a refund")),
    }
}

/// The debts that a refund settles for other pools. All heads are locked.
async fn brought(
    txn: &Txn,
    tenant: Tenant,
    submission: &Submission,
    debts: &BTreeMap<PoolId, Credits>,
) -> Result<Vec<Brought>> {
    let (command, refund) = (&submission.command, refund_of(submission)?);
    let mut state = State::default();
    load_refunds(txn, (tenant, &[command]), command.now, &mut state).await?;
    let Some(charged) = state.charges.get(&refund.charge) else { return Ok(Vec::new()) };
    let left = charged.credits.saturating_sub(charged.refunded);
    let mut sums: BTreeMap<LotId, Credits> = BTreeMap::new();
    for slice in charged.coming_back(refund.credits.unwrap_or(left).min(left)) {
        let Some(terms) = state.lots.get(&slice.lot).filter(|terms| terms.reversed) else { continue };
        let sum = sums.entry(terms.origin).or_default();
        *sum = sum.saturating_add(slice.credits);
    }
    let all = sums.values().fold(Credits::ZERO, |all, credits| all.saturating_add(*credits));
    // What its own pool owes comes first.
    let free = all.saturating_sub(debts.get(&command.pool).copied().unwrap_or_default());
    let rows = lots_by_id(txn, tenant, sums.keys().copied().collect()).await?;
    let (mut lots, mut coming) = (Vec::new(), Vec::new());
    for (lot, credits) in sums {
        let row = rows.get(&lot).filter(|row| row.purchase_id.is_some() && row.pool_id != command.pool);
        let Some(row) = row else { continue };
        let home = row.pool_id;
        if debts.get(&home).copied().is_none_or(Credits::is_zero) {
            continue;
        }
        let owed = owed(txn, tenant, row).await?;
        lots.push(lot);
        coming.push(Coming { home, credits, owed });
    }
    let settled = settled_at_home(&coming, debts, free);
    let brought = lots.into_iter().zip(coming).zip(settled);
    let brought = brought.map(|((lot, coming), credits)| Brought { home: coming.home, lot, credits });
    Ok(brought.filter(|brought| !brought.credits.is_zero()).collect())
}

/// How many credits of a purchase were ever owed, less those that have come back for them. (What later purchases have
/// settled counts as owed: then there is no debt any more.)
async fn owed(txn: &Txn, tenant: Tenant, origin: &lot::Model) -> Result<Credits> {
    let family = families(txn, tenant, std::slice::from_ref(origin)).await?;
    let of_debt = [TransferKind::Owe, TransferKind::Refund, TransferKind::Restore];
    let rows = tenant
        .find::<transfer::Entity>()
        .filter(transfer::Column::LotId.is_in(padded(family.into_keys().collect())))
        .filter(transfer::Column::Kind.is_in(of_debt));
    let rows = rows.all(txn).await?;
    let owed = rows.iter().filter(|row| row.kind == TransferKind::Owe);
    let owed = owed.fold(Credits::ZERO, |sum, row| sum.saturating_add(row.credits));
    let back = rows.iter().filter(|row| row.credit_kind == AccountKind::Debt);
    Ok(back.fold(owed, |owed, row| owed.saturating_sub(row.credits)))
}

/// A refusal to bring a debt, as the refund says it: what is here for the one is there for the other.
fn seen_from_there(error: Error) -> Error {
    match error {
        Error::Refused(Refusal::Target(here)) => Error::Refused(*here),
        Error::Refused(there) => Error::Refused(Refusal::Target(Box::new(there))),
        other => other,
    }
}
