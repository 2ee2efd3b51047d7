//! The money of an organization's credits: what was paid for them, and where it has gone.

use std::collections::BTreeMap;

use bursar_domain::id::PurchaseId;
use bursar_domain::ledger::{AccountKind, TransferKind};
use bursar_domain::reconcile::Money;
use bursar_domain::reversal::ReversalKind;
use bursar_entity::{lot_position, pool_head, purchase, reversal, transfer};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, QueryFilter, QuerySelect};

use super::is_returned;
use crate::db::{Tenant, Txn};
use crate::error::Result;

/// Adds up the money of an organization, all pools together. It goes through all transfers.
///
/// # Errors
/// What the database answers.
pub async fn reconciliation(txn: &Txn, tenant: Tenant) -> Result<Money> {
    let mut money = Money {
        paid: 0,
        consumed: 0,
        expired: 0,
        deferred: 0,
        refunded: 0,
        debt: 0,
        adjustments: 0,
        corrected: 0,
    };
    for (kind, debit, credit, cost) in moved(txn, tenant).await? {
        if debit == AccountKind::Issued {
            money.paid += cost;
        }
        if kind == TransferKind::Correct && credit == AccountKind::Revoked {
            money.corrected += cost;
        }
        money.consumed += change(AccountKind::Consumed, debit, credit, cost);
        money.expired += change(AccountKind::Expired, debit, credit, cost);
    }
    let positions = tenant.find::<lot_position::Entity>().select_only();
    let cost = positions.column_as(sum("cost"), "cost").into_tuple::<i64>().one(txn).await?;
    money.deferred = cost.unwrap_or(0);
    let heads = tenant.find::<pool_head::Entity>().select_only();
    let heads = heads.column_as(sum("receivable"), "receivable").column_as(sum("adjusted"), "adjusted");
    let (receivable, adjusted) = heads.into_tuple::<(i64, i64)>().one(txn).await?.unwrap_or((0, 0));
    (money.debt, money.adjustments) = (receivable, adjusted);
    let (refunded, for_nothing) = returned(txn, tenant).await?;
    money.refunded = refunded;
    money.adjustments -= for_nothing;
    Ok(money)
}

/// A sum as both databases can answer it.
fn sum(column: &'static str) -> Expr {
    Expr::cust(format!("CAST(coalesce(sum({column}), 0) AS bigint)"))
}

/// What came to a contra account, less what went from it.
fn change(account: AccountKind, debit: AccountKind, credit: AccountKind, cost: i64) -> i64 {
    i64::from(credit == account) * cost - i64::from(debit == account) * cost
}

/// The cost of all transfers that move credits, by kind and by the kinds of their accounts.
async fn moved(txn: &Txn, tenant: Tenant) -> Result<Vec<(TransferKind, AccountKind, AccountKind, i64)>> {
    let pending = [TransferKind::Hold, TransferKind::Release];
    let moved = tenant
        .find::<transfer::Entity>()
        .select_only()
        .column(transfer::Column::Kind)
        .column(transfer::Column::DebitKind)
        .column(transfer::Column::CreditKind)
        .column_as(sum("cost"), "cost")
        .filter(transfer::Column::Kind.is_not_in(pending))
        .group_by(transfer::Column::Kind)
        .group_by(transfer::Column::DebitKind)
        .group_by(transfer::Column::CreditKind)
        .into_tuple::<(TransferKind, AccountKind, AccountKind, i64)>();
    Ok(moved.all(txn).await?)
}

/// How much money went back in reversals that are booked, and how much of that when no credits were left to take back
/// for it. Of a purchase never more than was paid.
async fn returned(txn: &Txn, tenant: Tenant) -> Result<(i64, i64)> {
    let booked = tenant.find::<reversal::Entity>().filter(reversal::Column::BookedAt.is_not_null());
    let mut booked: Vec<reversal::Model> = booked.all(txn).await?.into_iter().filter(is_returned).collect();
    // As they were booked.
    booked.sort_by_key(|row| (row.booked_at, row.kind == ReversalKind::Refund, row.id));
    let purchases = booked.iter().map(|row| row.purchase_id);
    let purchases = tenant.lookup::<purchase::Entity, _>(txn, purchase::Column::Id, purchases).await?;
    let mut left: BTreeMap<PurchaseId, i64> = purchases.iter().map(|row| (row.id, row.total)).collect();
    let (mut refunded, mut for_nothing) = (0, 0);
    for row in booked {
        let Some(left) = left.get_mut(&row.purchase_id) else { continue };
        let part = row.amount.min(*left);
        *left -= part;
        refunded += part;
        if row.credits.is_zero() {
            for_nothing += part;
        }
    }
    Ok((refunded, for_nothing))
}
