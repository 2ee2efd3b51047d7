//! Payments of invoices, as the vendor has recorded them. Append-only.

use bursar_domain::Timestamp;
use bursar_domain::id::{InvoiceId, InvoicePaymentId, OrganizationId, UserId};
use bursar_domain::invoice::InvoiceState;
use bursar_domain::ledger::{Key, RequestHash};
use bursar_domain::purchase::PurchaseState;
use sea_orm::entity::prelude::*;

/// One row of the table `invoice_payment`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "invoice_payment")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The payment.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: InvoicePaymentId,
    /// The invoice.
    pub invoice_id: InvoiceId,
    /// How much, in minor units.
    pub amount: i64,
    /// When the money arrived.
    pub received_at: Timestamp,
    /// The bank's own name of it.
    pub reference: Option<String>,
    /// Who recorded it.
    pub recorded_by: Option<UserId>,
    /// The digest of its key.
    pub idempotency_key: Key,
    /// The digest of what was recorded.
    pub request_hash: RequestHash,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// Where the invoice stood after it; none of what was recorded before this was kept.
    pub state_after: Option<InvoiceState>,
    /// How much of the invoice had been paid then.
    pub paid_after: Option<i64>,
    /// How much of it credit notes had taken back then.
    pub credited_after: Option<i64>,
    /// Where the purchase stood then.
    pub purchase_state_after: Option<PurchaseState>,
}

impl ActiveModelBehavior for ActiveModel {}
