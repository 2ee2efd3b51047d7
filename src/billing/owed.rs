//! What an organization owes on its invoices, and until when.
//!
//! An invoice is to be paid by the end of a day in the organization's time zone: of that on which it is issued, or of one so
//! many days later by the calendar. Zone and days are those of when it was issued, as its document says them. It is in time
//! up to and at `due_at`, the last instant of that day, and overdue from the next one on.

use bursar_domain::Timestamp;
use bursar_domain::invoice::{self as rules, InvoiceState};
use bursar_entity::{invoice, organization};
use sea_orm::{ColumnTrait, QueryFilter};

use super::profile::{DUE_DAYS, find};
use crate::db::{Tenant, Txn};
use crate::error::Result;
use crate::periods;

/// What an organization owes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owed {
    /// How much, in minor units of its currency.
    pub minor: i64,
    /// Whether the day of an invoice is over by which it was to be paid.
    pub overdue: bool,
}

/// Until when an invoice of this moment is to be paid.
///
/// # Errors
/// What the database answers.
pub async fn due_at(
    txn: &Txn,
    tenant: Tenant,
    organization: &organization::Model,
    now: Timestamp,
) -> Result<Timestamp> {
    let days = find(txn, tenant).await?.map_or(DUE_DAYS, |row| row.due_days);
    let last = periods::day_after(&organization.time_zone, now, days)?;
    Ok(Timestamp::from_micros(last.end.micros().saturating_sub(1)))
}

/// From when on an invoice is overdue.
pub fn overdue_from(invoice: &invoice::Model) -> Timestamp {
    Timestamp::from_micros(invoice.due_at.micros().saturating_add(1))
}

/// How much of an invoice is still to be paid, in minor units.
pub fn outstanding(invoice: &invoice::Model) -> i64 {
    rules::outstanding(invoice.total, invoice.credited, invoice.paid)
}

/// How much of what was paid of an invoice is the buyer's again, in minor units.
pub fn returned(invoice: &invoice::Model) -> i64 {
    rules::returned(invoice.total, invoice.credited, invoice.paid)
}

/// Sums up the invoices of an organization that are not paid. Whoever has locked the organization knows that none comes
/// in between.
pub async fn owed(txn: &Txn, tenant: Tenant, now: Timestamp) -> Result<Owed> {
    let open = [InvoiceState::Open, InvoiceState::PartlyPaid, InvoiceState::Overdue];
    let open = tenant.find::<invoice::Entity>().filter(invoice::Column::State.is_in(open));
    let open = open.all(txn).await?;
    Ok(Owed {
        minor: open.iter().fold(0, |sum: i64, row| sum.saturating_add(outstanding(row))),
        // The day may be over before anybody has looked.
        overdue: open.iter().any(|row| overdue_from(row) <= now && outstanding(row) > 0),
    })
}
