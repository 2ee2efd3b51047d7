//! Opening a frozen pool: what was paid for meanwhile comes in, and what time has brought is booked.

use std::collections::BTreeSet;

use bursar_domain::id::{PaymentId, PoolId, PurchaseId};
use bursar_domain::purchase::{PaymentState, PurchaseState};
use bursar_entity::{lot, payment, pool, purchase};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};

use super::settle::issue;
use crate::auth::Authorized;
use crate::changes::{Change, Subject};
use crate::db::{self, Tenant, Txn};
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::{pools, text};

/// Opens a pool again and, in the same transaction, issues the lots of purchases that were paid while it was
/// frozen. One that is open stays as it is.
pub async fn unfreeze(ledger: &Ledger, pool: &Authorized<pool::Model>, reason: &str) -> Result<pool::Model> {
    let reason = text::optional_note("reason", Some(reason))?;
    let (tenant, books, pool) = (pool.tenant(), ledger.clone(), pool.clone());
    let work = db::work(move |txn| {
        let (books, pool, reason) = (books.clone(), pool.clone(), reason.clone());
        Box::pin(async move {
            let clock = &books.context().clock;
            let (row, was_frozen) = pools::thaw(txn, clock, &pool, reason.as_deref()).await?;
            let mut committed = Vec::new();
            if was_frozen {
                for (purchase, payment) in unissued(txn, tenant, row.id).await? {
                    let about = (&purchase, payment);
                    committed.extend(issue(txn, &books, tenant, about, pool.actor()).await?);
                    let subject = Subject::Purchase(purchase.id);
                    committed.push(Change { organization: tenant.id(), subject });
                }
                let due = pools::book_due(clock, row.id)?;
                let (_, changes) = books.apply(txn, tenant, due).await?;
                committed.extend(changes);
            }
            Ok((row, committed))
        })
    });
    let (row, committed) = ledger.context().db.write(tenant, work).await?;
    ledger.context().changes.announce(&committed);
    Ok(row)
}

/// The completed purchases of a pool that have no lot, the oldest first, each with the payment that completed
/// it. The pool's head is locked: whoever completes one now waits for it.
async fn unissued(txn: &Txn, tenant: Tenant, pool: PoolId) -> Result<Vec<(purchase::Model, PaymentId)>> {
    let issued = tenant
        .find::<lot::Entity>()
        .filter(lot::Column::PoolId.eq(pool))
        .filter(lot::Column::PurchaseId.is_not_null());
    let issued: BTreeSet<PurchaseId> =
        issued.all(txn).await?.into_iter().filter_map(|lot| lot.purchase_id).collect();
    let completed = tenant
        .find::<purchase::Entity>()
        .filter(purchase::Column::PoolId.eq(pool))
        .filter(purchase::Column::State.eq(PurchaseState::Completed))
        .order_by_asc(purchase::Column::Id);
    let mut waiting = Vec::new();
    for row in completed.all(txn).await?.into_iter().filter(|row| !issued.contains(&row.id)) {
        let paid = tenant
            .find::<payment::Entity>()
            .filter(payment::Column::PurchaseId.eq(row.id))
            .filter(payment::Column::State.eq(PaymentState::Paid));
        let paid = paid.one(txn).await?.ok_or_else(|| Error::internal("a purchase that nobody has paid"))?;
        waiting.push((row, paid.id));
    }
    Ok(waiting)
}
