//! What was paid for while it could not come in: the pool was frozen, or the organization suspended.
//!
//! Whoever settles a payment and whoever lifts what stands in its way hold the pool's head, each from a statement of
//! its own on: what the other one has done is seen then. So one of them issues the lot, and only one. Two things may
//! stand in the way at once; then it comes in with the second one that is lifted.

use std::collections::{BTreeMap, BTreeSet};

use bursar_domain::id::{PaymentId, PoolId, PurchaseId};
use bursar_domain::ledger::Refusal;
use bursar_domain::purchase::{PaymentProvider, PaymentState, PurchaseState};
use bursar_entity::{lot, payment, pool_head, purchase};
use sea_orm::{ColumnTrait, Condition, QueryFilter, QueryOrder, QuerySelect};

use super::book::issue;
use crate::auth::Actor;
use crate::changes::{Change, Subject};
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};
use crate::ledger::Ledger;

/// Whether an error says that credits cannot come in for now. That goes for a pool that was archived since, too: nobody
/// opens it again, but what has become of the money is true all the same, and who compares the books is told of the rest.
pub(super) fn is_for_later(error: &Error) -> bool {
    use Refusal::{OrganizationSuspended, PoolArchived, PoolFrozen};
    matches!(error, Error::Refused(PoolFrozen | OrganizationSuspended | PoolArchived))
}

/// Locks the head of a pool, for who wants to know what may be done in it.
pub(super) async fn lock_head(txn: &Txn, tenant: Tenant, pool: PoolId) -> Result<()> {
    let head = tenant.find::<pool_head::Entity>().filter(pool_head::Column::PoolId.eq(pool));
    head.lock_exclusive().one(txn).await?;
    Ok(())
}

/// Locks the heads of all pools of an organization, in order, and answers them.
pub(super) async fn lock_heads(txn: &Txn, tenant: Tenant) -> Result<Vec<pool_head::Model>> {
    let heads = tenant.find::<pool_head::Entity>().order_by_asc(pool_head::Column::PoolId);
    Ok(heads.lock_exclusive().all(txn).await?)
}

/// Issues the lots of purchases that are paid, or bought on invoice, and have none, as far as nothing stands in the way; in all pools, or in
/// one. The heads of the pools are locked. Answers what is to be announced.
pub(super) async fn issue_waiting(
    txn: &Txn,
    ledger: &Ledger,
    (tenant, actor): (Tenant, &Actor),
    pool: Option<PoolId>,
) -> Result<Vec<Change>> {
    let mut committed = Vec::new();
    for (purchase, payment) in unissued(txn, tenant, pool).await? {
        match issue(txn, ledger, tenant, (&purchase, payment), actor).await {
            // The refusal has left no trace.
            Err(error) if is_for_later(&error) => continue,
            issued => committed.extend(issued?),
        }
        let subject = Subject::Purchase(purchase.id);
        committed.push(Change { organization: tenant.id(), subject });
    }
    Ok(committed)
}

/// The purchases whose credits should be in and that have no lot, the oldest first, each with the payment that they came
/// in by: the one that completed it, or the one that is to come for its invoice.
async fn unissued(
    txn: &Txn,
    tenant: Tenant,
    pool: Option<PoolId>,
) -> Result<Vec<(purchase::Model, PaymentId)>> {
    let (mut issued, mut bought) = (tenant.find::<lot::Entity>(), tenant.find::<purchase::Entity>());
    if let Some(pool) = pool {
        issued = issued.filter(lot::Column::PoolId.eq(pool));
        bought = bought.filter(purchase::Column::PoolId.eq(pool));
    }
    let issued = issued
        .select_only()
        .column(lot::Column::PurchaseId)
        .filter(lot::Column::PurchaseId.is_not_null())
        .into_tuple::<PurchaseId>();
    let issued: BTreeSet<PurchaseId> = issued.all(txn).await?.into_iter().collect();
    let state = purchase::Column::State;
    let invoiced = Condition::all()
        .add(state.eq(PurchaseState::AwaitingPayment))
        .add(purchase::Column::Invoiced.eq(true));
    let bought = bought
        .filter(Condition::any().add(state.eq(PurchaseState::Completed)).add(invoiced))
        .order_by_asc(purchase::Column::Id);
    let waiting = bought.all(txn).await?.into_iter().filter(|row| !issued.contains(&row.id));
    let waiting: Vec<purchase::Model> = waiting.collect();
    let payments = tenant
        .lookup::<payment::Entity, _>(txn, payment::Column::PurchaseId, waiting.iter().map(|row| row.id))
        .await?;
    let counts = |row: &payment::Model| match row.state {
        PaymentState::Paid => true,
        PaymentState::Open => row.provider == PaymentProvider::Invoice,
        PaymentState::Pending | PaymentState::Parked | PaymentState::Failed | PaymentState::Cancelled => {
            false
        }
    };
    let payments = payments.into_iter().filter(counts);
    let payments: BTreeMap<PurchaseId, PaymentId> = payments.map(|row| (row.purchase_id, row.id)).collect();
    let with_payment = |row: purchase::Model| {
        let payment = payments.get(&row.id).copied();
        let payment = payment.ok_or_else(|| Error::internal("a purchase that nobody has paid"))?;
        Ok((row, payment))
    };
    waiting.into_iter().map(with_payment).collect()
}
