//! What an organization owes on its invoices.

use bursar_domain::Timestamp;
use bursar_domain::invoice::InvoiceState;
use bursar_entity::invoice;
use sea_orm::{ColumnTrait, QueryFilter};

use crate::db::{Tenant, Txn};
use crate::error::Result;

/// What an organization owes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owed {
    /// How much, in minor units of its currency.
    pub minor: i64,
    /// Whether the day of an invoice is over by which it was to be paid.
    pub overdue: bool,
}

/// Sums up the invoices of an organization that are not paid. Whoever has locked the organization knows that none comes
/// in between.
pub async fn owed(txn: &Txn, tenant: Tenant, now: Timestamp) -> Result<Owed> {
    let open = [InvoiceState::Open, InvoiceState::PartlyPaid, InvoiceState::Overdue];
    let open = tenant.find::<invoice::Entity>().filter(invoice::Column::State.is_in(open));
    let open = open.all(txn).await?;
    let due = |row: &invoice::Model| row.total.saturating_sub(row.credited).saturating_sub(row.paid).max(0);
    Ok(Owed {
        minor: open.iter().fold(0, |sum: i64, row| sum.saturating_add(due(row))),
        // The day may be over before anybody has looked.
        overdue: open.iter().any(|row| row.due_at <= now && due(row) > 0),
    })
}
