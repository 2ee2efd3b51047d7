//! What selling leaves for later, as timed work: purchases that run out, invoices that become overdue, pools that buy by
//! themselves. What is to be done then is in the rooms' own files; who does it, and when, is in `schedule`.

use bursar_domain::Timestamp;
use bursar_domain::id::Id;
use sea_orm::{ConnectionTrait, Statement, Value};
use uuid::Uuid;

use crate::db::{Tenant, Txn};
use crate::error::Result;

/// The price of a purchase is no longer valid. The subject is the purchase.
pub const PURCHASE_DUE: &str = "PURCHASE_DUE";
/// An invoice has to be paid. The subject is the invoice.
pub const INVOICE_DUE: &str = "INVOICE_DUE";
/// A pool that buys by itself is looked at. The subject is the pool.
pub const TOP_UP: &str = "TOP_UP";

/// Lets something be done at an instant; what is to be done earlier already stays so.
pub(super) async fn be_due(
    txn: &Txn,
    tenant: Tenant,
    kind: &str,
    subject: impl Id,
    at: Timestamp,
) -> Result<()> {
    let sql = "INSERT INTO timed_task (organization_id, kind, subject_id, due_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (organization_id, kind, subject_id) DO UPDATE SET due_at = excluded.due_at
        WHERE excluded.due_at < timed_task.due_at";
    let subject = Uuid::from_u128(subject.as_u128());
    let values: [Value; 4] = [tenant.id().into(), kind.to_owned().into(), subject.into(), at.into()];
    txn.execute_raw(Statement::from_sql_and_values(txn.get_database_backend(), sql, values)).await?;
    Ok(())
}
