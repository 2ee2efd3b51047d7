//! What was paid of invoices, as the vendor's staff records it.

use bursar_domain::id::InvoicePaymentId;
use bursar_domain::invoice::{InvoiceState, state};
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::{Money, Timestamp};
use bursar_entity::{document, invoice, invoice_payment, payment, purchase};
use rust_decimal::Decimal;
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};
use serde_json::json;

use super::book::book_payment;
use super::invoice::{lock_invoice, write_invoice};
use super::{Selling, lock};
use crate::audit;
use crate::auth::{Actor, Authorized};
use crate::changes::{Change, Subject};
use crate::db::{self, Fault, Tenant, Txn, fault};
use crate::error::{Error, Result};
use crate::idempotency::Idempotency;
use crate::text;

/// What was paid of an invoice.
#[derive(Clone, Debug)]
pub struct InvoicePaid {
    /// How much.
    pub amount: Money,
    /// When the money arrived; none: now.
    pub received_at: Option<Timestamp>,
    /// The bank's own name of it.
    pub reference: Option<String>,
    /// The client's idempotency key.
    pub key: String,
    /// Whether everything is to be rolled back at the end.
    pub dry_run: bool,
}

/// A payment of an invoice that was recorded.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The invoice.
    pub invoice: invoice::Model,
    /// The purchase.
    pub purchase: purchase::Model,
    /// Whether it had been recorded before, under the same key.
    pub replayed: bool,
}

/// Records that money for an invoice has arrived: all that is due, or a part of it. With the rest the purchase is
/// complete.
///
/// # Errors
/// It is more than is due, or in another currency; what the database answers.
pub async fn record_invoice_payment(
    selling: &Selling,
    invoice: &Authorized<invoice::Model>,
    paid: InvoicePaid,
) -> Result<Recorded> {
    let paid =
        InvoicePaid { reference: text::optional_reference("reference", paid.reference.as_deref())?, ..paid };
    let mut form = Canonical::of("invoicePayment");
    form.id(invoice.id).number(paid.amount.minor).text(paid.amount.currency.code());
    form.option(paid.received_at, |form, at| _ = form.number(at.micros()));
    form.option(paid.reference.as_deref(), |form, reference| _ = form.text(reference));
    let idempotency = Idempotency::new("recordInvoicePayment", &paid.key, &form);
    let (tenant, dry_run) = (invoice.tenant(), paid.dry_run);
    let (shop, invoice) = (selling.clone(), invoice.clone());
    let work = db::work(move |txn| {
        let (selling, invoice, paid) = (shop.clone(), invoice.clone(), paid.clone());
        Box::pin(async move { record(txn, &selling, &invoice, (&paid, idempotency)).await })
    });
    let context = selling.context();
    if dry_run {
        return Ok(context.db.rehearse(tenant, work).await?.0);
    }
    let (recorded, committed) = match context.db.write(tenant, work.clone()).await {
        // The same key at the same time: what it stands for can be seen now.
        Err(Error::Database(error)) if matches!(fault(&error), Fault::Unique(_)) => {
            context.db.write(tenant, work).await
        }
        outcome => outcome,
    }?;
    context.changes.announce(&committed);
    Ok(recorded)
}

async fn record(
    txn: &Txn,
    selling: &Selling,
    invoice: &Authorized<invoice::Model>,
    (paid, idempotency): (&InvoicePaid, Idempotency),
) -> Result<(Recorded, Vec<Change>)> {
    let (tenant, actor, clock) = (invoice.tenant(), invoice.actor(), &selling.context().clock);
    let purchase = lock(txn, tenant, invoice.purchase_id).await?;
    let before = lock_invoice(txn, tenant, purchase.id).await?;
    let before = before.ok_or(Error::not_found("invoice").at("invoiceId"))?;
    let known = invoice_payment::Column::IdempotencyKey.eq(idempotency.key);
    if let Some(known) = tenant.find::<invoice_payment::Entity>().filter(known).one(txn).await? {
        if known.request_hash != idempotency.request {
            return Err(Error::IdempotencyConflict);
        }
        return Ok((Recorded { invoice: before, purchase, replayed: true }, Vec::new()));
    }
    let now = clock.now();
    check(&before, paid, now)?;
    let row = invoice_payment::Model {
        organization_id: tenant.id(),
        id: clock.new_id::<InvoicePaymentId>(),
        invoice_id: before.id,
        amount: paid.amount.minor,
        received_at: paid.received_at.unwrap_or(now),
        reference: paid.reference.clone(),
        recorded_by: actor.answerable(),
        idempotency_key: idempotency.key,
        request_hash: idempotency.request,
        created_at: now,
    };
    invoice_payment::Entity::insert(row.into_active_model()).exec_without_returning(txn).await?;
    let sum = before.paid.saturating_add(paid.amount.minor);
    let state = state(before.total, before.credited, sum, before.due_at <= now);
    let after = invoice::Model { paid: sum, state, ..before.clone() };
    write_invoice(txn, &after).await?;
    let mut committed = Vec::new();
    let mut bought = purchase;
    if state == InvoiceState::Paid {
        committed = complete(txn, selling, (tenant, actor), (bought.clone(), &after)).await?;
        bought = lock(txn, tenant, bought.id).await?;
    }
    // The head of the log is locked already when the purchase has been completed.
    let facts = |row: &invoice::Model| {
        let (state, currency) = (row.state.as_str(), row.currency.code());
        json!({ "state": state, "paidMinor": row.paid, "currency": currency })
    };
    let change = audit::Change::updated("recordInvoicePayment", after.id, facts(&before), facts(&after));
    audit::record(txn, tenant, clock, actor, change).await?;
    committed.push(Change { organization: tenant.id(), subject: Subject::Purchase(bought.id) });
    Ok((Recorded { invoice: after, purchase: bought, replayed: false }, committed))
}

/// Books the payment that an invoice asked for.
async fn complete(
    txn: &Txn,
    selling: &Selling,
    (tenant, actor): (Tenant, &Actor),
    (purchase, invoice): (purchase::Model, &invoice::Model),
) -> Result<Vec<Change>> {
    let missing = || Error::internal("an invoice without its payment or document");
    let payment = tenant.find::<payment::Entity>().filter(payment::Column::Id.eq(invoice.payment_id));
    let payment = payment.one(txn).await?.ok_or_else(missing)?;
    let document = tenant.find::<document::Entity>().filter(document::Column::Id.eq(invoice.document_id));
    let document = document.one(txn).await?.ok_or_else(missing)?;
    book_payment(txn, selling, tenant, (purchase, payment), &document.written_number, actor).await
}

/// Refuses what cannot have been paid of an invoice.
fn check(invoice: &invoice::Model, paid: &InvoicePaid, now: Timestamp) -> Result<()> {
    let Money { minor, currency } = paid.amount;
    if currency != invoice.currency {
        return Err(Error::invalid("amount.currency", format!("must be {}", invoice.currency)));
    }
    if minor <= 0 {
        return Err(Error::invalid("amount.amount", "must be above zero"));
    }
    let due = invoice.total.saturating_sub(invoice.credited).saturating_sub(invoice.paid).max(0);
    if minor > due {
        let due = Decimal::new(due, currency.exponent());
        return Err(Error::invalid(
            "amount.amount",
            format!("must be at most what is due: {currency} {due}"),
        ));
    }
    if paid.received_at.is_some_and(|at| at > now) {
        return Err(Error::invalid("receivedAt", "must not be in the future"));
    }
    Ok(())
}
