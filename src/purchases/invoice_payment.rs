//! What was paid of invoices, as the vendor's staff records it.

use std::sync::Arc;

use bursar_domain::id::{InvoiceId, InvoicePaymentId};
use bursar_domain::invoice::{InvoiceState, state};
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::purchase::{PurchaseEvent, PurchaseState, apply};
use bursar_domain::{Money, Timestamp};
use bursar_entity::{document, invoice, invoice_payment, organization, payment, purchase};
use rust_decimal::Decimal;
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder};
use serde_json::json;

use super::book::{Came, book_payment};
use super::documents::issue_invoice_receipt;
use super::invoice::{lock_invoice, write_invoice};
use super::rehearsed::{Rehearsed, rehearsed};
use super::{Selling, lock, refused};
use crate::audit;
use crate::auth::Authorized;
use crate::billing::{Instalment, outstanding, overdue_from};
use crate::changes::{Change, Subject};
use crate::db::{self, Fault, Tenant, Txn, fault};
use crate::error::{Error, Result};
use crate::idempotency::Idempotency;
use crate::organizations::lock_for;
use crate::{periods, text};

/// Where money belongs that is not due.
const ELSEWHERE: &str = "belongs to another invoice, or goes back to the buyer";

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
    /// What was paid of it by then, this payment last.
    pub payments: Vec<invoice_payment::Model>,
    /// The purchase.
    pub purchase: purchase::Model,
    /// Whether it had been recorded before, under the same key.
    pub replayed: bool,
    /// What a rehearsal has left of the purchase.
    pub rehearsed: Option<Arc<Rehearsed>>,
}

/// Records that money for an invoice has arrived, all that is due or a part of it, and issues its receipt. With the rest the
/// purchase is complete.
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
        Box::pin(async move {
            let (mut recorded, committed) = record(txn, &selling, &invoice, (&paid, idempotency)).await?;
            if dry_run && !recorded.replayed {
                recorded.rehearsed = Some(rehearsed(txn, tenant, recorded.purchase.id).await?);
            }
            Ok((recorded, committed))
        })
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
    lock_for(txn, tenant, actor).await?;
    let purchase = lock(txn, tenant, invoice.purchase_id).await?;
    let before = lock_invoice(txn, tenant, purchase.id).await?;
    let before = before.ok_or(Error::not_found("invoice").at("invoiceId"))?;
    let known = invoice_payment::Column::IdempotencyKey.eq(idempotency.key);
    if let Some(known) = tenant.find::<invoice_payment::Entity>().filter(known).one(txn).await? {
        if known.request_hash != idempotency.request {
            return Err(Error::IdempotencyConflict);
        }
        let payments = payments_of_invoice(txn, tenant, before.id).await?;
        return Ok((as_recorded(&known, before, payments, purchase), Vec::new()));
    }
    let now = clock.now();
    let received_at = paid.received_at.unwrap_or(now);
    check(&before, paid)?;
    if let Some(at) = paid.received_at {
        let organization = tenant.find::<organization::Entity>().one(txn).await?;
        let organization = organization.ok_or(Error::not_found("organization"))?;
        let issued = periods::day(&organization.time_zone, before.created_at)?.start;
        check_received(at, issued, now)?;
    }
    let sum = before.paid.saturating_add(paid.amount.minor);
    let state = state(before.total, before.credited, sum, overdue_from(&before) <= now);
    let after = invoice::Model { paid: sum, state, ..before.clone() };
    let purchase_state = match state {
        InvoiceState::Paid => {
            let paid = apply(purchase.state, purchase.invoiced, PurchaseEvent::Paid);
            paid.map_err(|refusal| refused(refusal, "invoiceId"))?.to
        }
        _ => purchase.state,
    };
    let mut payments = payments_of_invoice(txn, tenant, before.id).await?;
    let row = invoice_payment::Model {
        organization_id: tenant.id(),
        id: clock.new_id::<InvoicePaymentId>(),
        invoice_id: before.id,
        amount: paid.amount.minor,
        received_at,
        reference: paid.reference.clone(),
        recorded_by: actor.answerable(),
        idempotency_key: idempotency.key,
        request_hash: idempotency.request,
        created_at: now,
        state_after: Some(after.state),
        paid_after: Some(after.paid),
        credited_after: Some(after.credited),
        purchase_state_after: Some(purchase_state),
    };
    invoice_payment::Entity::insert(row.clone().into_active_model()).exec_without_returning(txn).await?;
    payments.push(row);
    write_invoice(txn, &after).await?;
    let missing = || Error::internal("an invoice without its payment or document");
    let document = tenant.find::<document::Entity>().filter(document::Column::Id.eq(after.document_id));
    let document = document.one(txn).await?.ok_or_else(missing)?;
    let received = (paid.amount.minor, Instalment { invoice: &after, document: &document, received_at });
    let mut bought = purchase;
    let mut committed = match state {
        // With the rest everything is booked, the receipt among it.
        InvoiceState::Paid => {
            let payment = tenant.find::<payment::Entity>().filter(payment::Column::Id.eq(after.payment_id));
            let payment = payment.one(txn).await?.ok_or_else(missing)?;
            let (rows, came) = ((bought.clone(), payment), Came::ForInvoice(received.0, received.1));
            // There are no checkouts beside an invoice.
            let booked = book_payment(txn, selling, tenant, rows, came, actor).await?;
            bought = lock(txn, tenant, bought.id).await?;
            booked.changes
        }
        _ => {
            issue_invoice_receipt(txn, selling, tenant, &bought, received).await?;
            Vec::new()
        }
    };
    // The head of the log is locked already when the purchase has been completed.
    let facts = |row: &invoice::Model| {
        let (state, currency) = (row.state.as_str(), row.currency.code());
        json!({ "state": state, "paidMinor": row.paid, "currency": currency })
    };
    let change = audit::Change::updated("recordInvoicePayment", after.id, facts(&before), facts(&after));
    audit::record(txn, tenant, clock, actor, change).await?;
    committed.push(Change { organization: tenant.id(), subject: Subject::Purchase(bought.id) });
    let recorded = Recorded { invoice: after, payments, purchase: bought, replayed: false, rehearsed: None };
    Ok((recorded, committed))
}

/// What was paid of an invoice, oldest first.
pub async fn payments_of_invoice(
    txn: &Txn,
    tenant: Tenant,
    invoice: InvoiceId,
) -> Result<Vec<invoice_payment::Model>> {
    let rows =
        tenant.find::<invoice_payment::Entity>().filter(invoice_payment::Column::InvoiceId.eq(invoice));
    Ok(rows.order_by_asc(invoice_payment::Column::Id).all(txn).await?)
}

/// What was answered when a payment was recorded. Of one from before that was kept: what is there now.
fn as_recorded(
    known: &invoice_payment::Model,
    invoice: invoice::Model,
    payments: Vec<invoice_payment::Model>,
    purchase: purchase::Model,
) -> Recorded {
    let of_invoice = (known.state_after, known.paid_after, known.credited_after);
    let ((Some(state), Some(paid), Some(credited)), Some(bought)) = (of_invoice, known.purchase_state_after)
    else {
        return Recorded { invoice, payments, purchase, replayed: true, rehearsed: None };
    };
    let completed_at = purchase.completed_at.filter(|_| bought == PurchaseState::Completed);
    Recorded {
        invoice: invoice::Model { state, paid, credited, ..invoice },
        // Each comes to a higher sum than the one before it.
        payments: payments.into_iter().filter(|row| row.paid_after.is_none_or(|sum| sum <= paid)).collect(),
        // What an invoice does not ask for any more is all that can have been returned while it asks for something.
        purchase: purchase::Model { state: bought, completed_at, returned: credited, ..purchase },
        replayed: true,
        rehearsed: None,
    }
}

/// Refuses what cannot have been paid of an invoice.
fn check(invoice: &invoice::Model, paid: &InvoicePaid) -> Result<()> {
    let Money { minor, currency } = paid.amount;
    if currency != invoice.currency {
        return Err(Error::invalid("amount.currency", format!("must be {}", invoice.currency)));
    }
    if minor <= 0 {
        return Err(Error::invalid("amount.amount", "must be above zero"));
    }
    let due = outstanding(invoice);
    if minor > due {
        // The books hold no more. Whoever has the money on a bank statement is told where it belongs.
        let reason = if due > 0 {
            let due = Decimal::new(due, currency.exponent());
            format!("must not be more than is due, {currency} {due}: record that; the rest {ELSEWHERE}")
        } else {
            format!("must not be recorded: nothing is due any more; it {ELSEWHERE}")
        };
        return Err(Error::invalid("amount.amount", reason));
    }
    Ok(())
}

/// Refuses an instant at which nothing of an invoice can have been paid: one that has not come yet, or of before the day
/// that it was issued on, `issued`. Banks often say the day only, so all of that day is good.
fn check_received(at: Timestamp, issued: Timestamp, now: Timestamp) -> Result<()> {
    if at > now {
        return Err(Error::invalid("receivedAt", "must not be in the future"));
    }
    if at < issued {
        let reason = "must not be before the day on which the invoice was issued";
        return Err(Error::invalid("receivedAt", reason));
    }
    Ok(())
}
