//! Invoices: purchases whose credits came at once, and whose money comes later.

use bursar_domain::id::{DocumentId, InvoiceId, OrganizationId, PaymentId, PurchaseId};
use bursar_domain::invoice::InvoiceState;
use bursar_domain::{Currency, Timestamp};
use sea_orm::entity::prelude::*;

/// One row of the table `invoice`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "invoice")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The invoice.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: InvoiceId,
    /// The purchase.
    pub purchase_id: PurchaseId,
    /// The payment that it asks for.
    pub payment_id: PaymentId,
    /// The document.
    pub document_id: DocumentId,
    /// The buyer's own number of the order.
    pub purchase_order: String,
    /// Where it stands.
    pub state: InvoiceState,
    /// What is to be paid, in minor units.
    pub total: i64,
    /// How much of it credit notes have taken back, before it was paid or after.
    pub credited: i64,
    /// How much of it has been paid.
    pub paid: i64,
    /// In which currency.
    pub currency: Currency,
    /// Until when it is to be paid.
    pub due_at: Timestamp,
    /// When it was issued.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
