//! The numbered documents of purchases: an invoice for what is bought on invoice, a receipt for all money that comes in, a
//! credit note for what goes back, a receipt that corrects it when that does not arrive.

use bursar_domain::invoice::DocumentKind;
use bursar_domain::{Credits, Timestamp};
use bursar_entity::{document, invoice, payment, purchase, reversal};
use sea_orm::{ColumnTrait, QueryFilter};

use super::{Selling, title};
use crate::billing::{Correction, Instalment, Issue, credit_note_of, document_of, issue_document};
use crate::catalog;
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};

/// Issues the invoice for a purchase. `order` is the buyer's own number of it. Its day is that of `now`, from which `due_at` is
/// counted: midnight may come in between.
pub(super) async fn issue_invoice(
    txn: &Txn,
    selling: &Selling,
    tenant: Tenant,
    purchase: &purchase::Model,
    (order, now, due_at): (&str, Timestamp, Timestamp),
) -> Result<document::Model> {
    let title = in_words(txn, purchase).await?;
    let plain = plain(DocumentKind::Invoice, (purchase, &title), purchase.total, now);
    let issue = Issue { purchase_order: Some(order), due_at: Some(due_at), ..plain };
    issue_document(txn, (tenant, &selling.settings.seller), &selling.context().clock, issue).await
}

/// Issues the receipt of a payment that a provider has taken.
pub(super) async fn issue_receipt(
    txn: &Txn,
    selling: &Selling,
    tenant: Tenant,
    (purchase, payment): (&purchase::Model, &payment::Model),
) -> Result<document::Model> {
    let title = in_words(txn, purchase).await?;
    let now = selling.context().clock.now();
    let issue = plain(DocumentKind::Receipt, (purchase, &title), payment.amount, now);
    issue_document(txn, (tenant, &selling.settings.seller), &selling.context().clock, issue).await
}

/// Issues the receipt of money that came for an invoice.
pub(super) async fn issue_invoice_receipt(
    txn: &Txn,
    selling: &Selling,
    tenant: Tenant,
    purchase: &purchase::Model,
    (amount, instalment): (i64, Instalment<'_>),
) -> Result<document::Model> {
    let title = in_words(txn, purchase).await?;
    let now = selling.context().clock.now();
    let plain = plain(DocumentKind::Receipt, (purchase, &title), amount, now);
    let order = Some(instalment.invoice.purchase_order.as_str());
    let issue = Issue { pays: Some(instalment), purchase_order: order, ..plain };
    issue_document(txn, (tenant, &selling.settings.seller), &selling.context().clock, issue).await
}

/// Issues the credit note of a reversal, over so much money and so many credits.
pub(super) async fn issue_credit_note(
    txn: &Txn,
    selling: &Selling,
    tenant: Tenant,
    (purchase, reversal): (&purchase::Model, &reversal::Model),
    (amount, credits): (i64, Credits),
) -> Result<document::Model> {
    let title = in_words(txn, purchase).await?;
    let invoice = tenant.find::<invoice::Entity>().filter(invoice::Column::PurchaseId.eq(purchase.id));
    let invoice = invoice.one(txn).await?;
    let corrected = if invoice.is_some() { DocumentKind::Invoice } else { DocumentKind::Receipt };
    let corrected = document_of(txn, tenant, purchase.id, corrected).await?;
    let order = invoice.as_ref().map(|row| row.purchase_order.as_str());
    let correction = Correction { document: corrected.as_ref(), reversal, credits };
    let now = selling.context().clock.now();
    let plain = plain(DocumentKind::CreditNote, (purchase, &title), amount, now);
    let issue = Issue { corrects: Some(correction), purchase_order: order, ..plain };
    issue_document(txn, (tenant, &selling.settings.seller), &selling.context().clock, issue).await
}

/// Issues the receipt that corrects the credit note of a refund that has failed: so much money is the vendor's after all.
pub(super) async fn issue_correcting_receipt(
    txn: &Txn,
    selling: &Selling,
    tenant: Tenant,
    (purchase, reversal): (&purchase::Model, &reversal::Model),
    amount: i64,
) -> Result<document::Model> {
    let title = in_words(txn, purchase).await?;
    let corrected = credit_note_of(txn, tenant, reversal).await?;
    let correction = Correction { document: corrected.as_ref(), reversal, credits: reversal.credits };
    let now = selling.context().clock.now();
    let plain = plain(DocumentKind::Receipt, (purchase, &title), amount, now);
    let issue = Issue { corrects: Some(correction), ..plain };
    issue_document(txn, (tenant, &selling.settings.seller), &selling.context().clock, issue).await
}

/// A document that says of a purchase what all of its documents say.
fn plain<'a>(
    kind: DocumentKind,
    (purchase, title): (&'a purchase::Model, &'a str),
    total: i64,
    at: Timestamp,
) -> Issue<'a> {
    let (corrects, pays, purchase_order, due_at) = (None, None, None, None);
    Issue { kind, purchase, title, total, corrects, pays, purchase_order, at, due_at }
}

/// What was bought, in words.
async fn in_words(txn: &Txn, purchase: &purchase::Model) -> Result<String> {
    let package = catalog::package_of_version(txn, purchase.package_version_id).await?;
    let package = package.ok_or_else(|| Error::internal("a purchase without its package"))?;
    Ok(title(purchase, &package))
}
