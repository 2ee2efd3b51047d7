//! What a rehearsal leaves of a purchase: rows that only its own transaction sees. They are read there, so that what a dry
//! run answers of a purchase fits together.

use std::sync::Arc;

use bursar_domain::id::PurchaseId;
use bursar_entity::{document, invoice, invoice_payment, payment, reversal};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};

use super::invoice_payment::payments_of_invoice;
use super::reversals::of_purchase;
use crate::approvals::{self, Tried};
use crate::db::{Tenant, Txn};
use crate::error::Result;

/// What belongs to a purchase by the end of a rehearsal.
#[derive(Clone, Debug)]
pub struct Rehearsed {
    /// The attempts at paying it, newest first.
    pub payments: Vec<payment::Model>,
    /// The invoice, with what was paid of it, oldest first.
    pub invoice: Option<(invoice::Model, Vec<invoice_payment::Model>)>,
    /// What was returned of its payment, or is disputed, newest first.
    pub reversals: Vec<reversal::Model>,
    /// Its documents, newest first.
    pub documents: Vec<document::Model>,
    /// What people are asked about it, where a rehearsal may have changed that.
    pub tried: Option<Arc<Tried>>,
}

/// Reads it, at the end of a transaction that is rolled back.
pub(super) async fn rehearsed(txn: &Txn, tenant: Tenant, purchase: PurchaseId) -> Result<Arc<Rehearsed>> {
    Ok(Arc::new(read(txn, tenant, purchase).await?))
}

/// The same with what people are asked about it, for somebody who may see that.
pub(super) async fn rehearsed_and_asked(
    txn: &Txn,
    tenant: Tenant,
    purchase: PurchaseId,
) -> Result<Arc<Rehearsed>> {
    let tried = approvals::tried(txn, tenant, purchase).await?;
    Ok(Arc::new(Rehearsed { tried, ..read(txn, tenant, purchase).await? }))
}

async fn read(txn: &Txn, tenant: Tenant, purchase: PurchaseId) -> Result<Rehearsed> {
    let payments = tenant
        .find::<payment::Entity>()
        .filter(payment::Column::PurchaseId.eq(purchase))
        .order_by_desc(payment::Column::Id);
    let documents = tenant
        .find::<document::Entity>()
        .filter(document::Column::PurchaseId.eq(purchase))
        .order_by_desc(document::Column::Id);
    let invoice = tenant.find::<invoice::Entity>().filter(invoice::Column::PurchaseId.eq(purchase));
    let invoice = match invoice.one(txn).await? {
        Some(row) => {
            let paid = payments_of_invoice(txn, tenant, row.id).await?;
            Some((row, paid))
        }
        None => None,
    };
    let mut reversals = of_purchase(txn, tenant, purchase).await?;
    reversals.reverse();
    Ok(Rehearsed {
        payments: payments.all(txn).await?,
        invoice,
        reversals,
        documents: documents.all(txn).await?,
        tried: None,
    })
}
