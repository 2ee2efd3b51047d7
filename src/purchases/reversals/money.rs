//! The money of an organization's credits: what was paid for them, and where it has gone.

use bursar_domain::ledger::{AccountKind, TransferKind};
use bursar_domain::reconcile::Money;
use bursar_entity::{lot_position, pool_head, reversal, transfer};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, QueryFilter, QuerySelect};

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

/// How much money went back for what has been booked of reversals, and how much of that when no credits were left to take
/// back for it.
async fn returned(txn: &Txn, tenant: Tenant) -> Result<(i64, i64)> {
    let booked = tenant.find::<reversal::Entity>().filter(reversal::Column::TakenValue.gt(0_i64));
    let booked = booked.all(txn).await?;
    let for_nothing = booked.iter().map(|row| row.for_nothing).sum::<i64>();
    Ok((booked.iter().map(|row| row.taken_value).sum::<i64>(), for_nothing))
}
