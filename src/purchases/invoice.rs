//! Buying on invoice: the credits come in at once, within the limit of the organization, and the money comes later.
//!
//! The organization is locked first: what it owes cannot change before the commit but to less.

use std::sync::Arc;

use bursar_domain::id::{InvoiceId, PaymentId, PurchaseId};
use bursar_domain::invoice::{CreditRefusal, InvoiceState, admit, state};
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::organization::PaymentTerms;
use bursar_domain::purchase::{PaymentProvider, PaymentState, PurchaseEvent, PurchaseState, apply};
use bursar_domain::{Currency, Money, Timestamp};
use bursar_entity::{invoice, payment, purchase};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect, Set, Unchanged};
use serde_json::json;

use super::book::issue_as_asked;
use super::closing::{close_checkouts, close_sessions};
use super::documents::issue_invoice;
use super::expire::hear_of_checkouts;
use super::rehearsed::{Rehearsed, rehearsed_and_asked};
use super::reprice::{repriced, told_price};
use super::start::MUTATION;
use super::timed::{INVOICE_DUE, be_due};
use super::update::{Reopened, Resubmitted, reopen};
use super::waiting::is_for_later;
use super::{Selling, lock, lock_with_quote, nothing_under_way, refused, write_payment, write_purchase};
use crate::audit;
use crate::auth::{Actor, Authorized};
use crate::billing;
use crate::changes::{Change, Subject};
use crate::clock::Clock;
use crate::db::{self, Fault, Tenant, Txn, fault};
use crate::error::{Conflict, Error, Result};
use crate::idempotency::Idempotency;
use crate::organizations::lock_organization;
use crate::{approvals, global_id, text};

/// The field of the input that asks for an invoice.
const FIELD: &str = "invoice";

/// What is needed to buy on invoice.
#[derive(Clone, Debug)]
pub struct StartInvoice {
    /// The buyer's own number of the order.
    pub purchase_order: String,
    /// The client's idempotency key.
    pub key: String,
    /// Whether everything is to be rolled back at the end.
    pub dry_run: bool,
}

/// A purchase that an invoice is out for.
#[derive(Clone, Debug)]
pub struct Invoiced {
    /// The purchase.
    pub purchase: purchase::Model,
    /// The payment and the invoice that asks for it; none when those who have agreed are asked anew.
    pub issued: Option<(payment::Model, invoice::Model)>,
    /// Whether the price was no longer valid that people had agreed to. Who has to agree at the price of today is asked; the
    /// purchase is approved when that is nobody, and nothing is owed before somebody has seen the price.
    pub reopened: bool,
    /// Whether the price was no longer valid that the vendor had quoted, and there is none of today, so that the vendor is asked
    /// for another one.
    pub requoted: bool,
    /// Whether it had been issued before, under the same key.
    pub replayed: bool,
    /// What a rehearsal has left of the purchase.
    pub rehearsed: Option<Arc<Rehearsed>>,
}

impl Invoiced {
    /// A purchase for which none is out, or not yet.
    fn without_invoice(purchase: purchase::Model) -> Invoiced {
        let (reopened, requoted, replayed) = (false, false, false);
        Invoiced { purchase, issued: None, reopened, requoted, replayed, rehearsed: None }
    }
}

/// Issues an invoice for a purchase, and its credits. Checkouts that are open are closed. When the price has fallen since it
/// was requested, it costs what it costs now.
///
/// # Errors
/// The organization pays first, has an invoice that is overdue, or would owe too much; the purchase is not to be paid.
pub async fn start_invoice(
    selling: &Selling,
    purchase: &Authorized<purchase::Model>,
    request: StartInvoice,
) -> Result<Invoiced> {
    let (tenant, actor) = (purchase.tenant(), purchase.actor());
    // The key is that of a checkout: one that has started one starts no invoice.
    start_invoice_as(selling, (tenant, actor), purchase.id, (MUTATION, request)).await
}

/// The same for whoever may issue one without having been asked: Bursar itself, when people have agreed.
pub(super) async fn start_invoice_as(
    selling: &Selling,
    (tenant, actor): (Tenant, &Actor),
    id: PurchaseId,
    (mutation, request): (&'static str, StartInvoice),
) -> Result<Invoiced> {
    let order = text::name("invoice.purchaseOrder", &request.purchase_order)?;
    let mut form = Canonical::of("invoice");
    form.id(id).text(&order);
    let idempotency = Idempotency::new(mutation, &request.key, &form);
    let (shop, actor, dry_run) = (selling.clone(), actor.clone(), request.dry_run);
    let work = db::work(move |txn| {
        let (selling, actor, order) = (shop.clone(), actor.clone(), order.clone());
        Box::pin(async move {
            let mut started = start(txn, &selling, (tenant, &actor), id, (&order, idempotency)).await?;
            if dry_run {
                started.0.rehearsed = Some(rehearsed_and_asked(txn, tenant, id).await?);
            }
            Ok(started)
        })
    });
    let context = selling.context();
    if dry_run {
        return Ok(context.db.rehearse(tenant, work).await?.0);
    }
    // What was paid in time, and was not told yet, is not bought once more on invoice.
    Box::pin(hear_of_checkouts(selling, tenant, id)).await?;
    let (invoiced, committed, closed) = match context.db.write(tenant, work.clone()).await {
        // The same key at the same time, on another purchase: what it stands for can be seen now.
        Err(Error::Database(error)) if matches!(fault(&error), Fault::Unique(_)) => {
            context.db.write(tenant, work).await
        }
        outcome => outcome,
    }?;
    context.changes.announce(&committed);
    if invoiced.reopened || invoiced.requoted {
        // Whoever has to agree anew has mail, or the vendor.
        context.changes.announce_mail();
    }
    // Else it could still be paid there, for what the invoice asks for.
    close_sessions(selling, tenant, &closed).await;
    Ok(invoiced)
}

async fn start(
    txn: &Txn,
    selling: &Selling,
    (tenant, actor): (Tenant, &Actor),
    id: PurchaseId,
    (order, idempotency): (&str, Idempotency),
) -> Result<(Invoiced, Vec<Change>, Vec<String>)> {
    let clock = &selling.context().clock;
    let organization = lock_organization(txn, tenant).await?;
    actor.require_standing(txn, &organization).await?;
    let before = lock_with_quote(txn, tenant, id).await?;
    if let Some(known) = replay(txn, tenant, &before, idempotency).await? {
        return Ok((known, Vec::new(), Vec::new()));
    }
    if organization.payment_terms == PaymentTerms::Prepaid {
        return Err(refused_credit(CreditRefusal::Prepaid, before.currency));
    }
    let now = clock.now();
    let is_waiting = !before.state.is_final() && !before.invoiced && before.valid_until <= now;
    if (before.state == PurchaseState::Expired || is_waiting)
        && let Some(again) = reopen(txn, (tenant, actor), selling, (&organization, &before)).await?
    {
        return Ok(reopened(tenant, again));
    }
    let invoiced = apply(before.state, before.invoiced, PurchaseEvent::Invoiced);
    let invoiced = invoiced.map_err(|refusal| refused(refusal, "purchaseId"))?;
    let state = invoiced.to;
    let agreed = approvals::require_agreed(txn, tenant, &before).await?;
    if agreed.is_some() && before.purchase_order.as_deref().is_some_and(|known| known != order) {
        let reason =
            "must be the number that people have agreed to: change the purchase, so that they are asked anew";
        return Err(Error::invalid("invoice.purchaseOrder", reason));
    }
    nothing_under_way(txn, tenant, &before).await?;
    if before.valid_until <= now {
        let reason = "The price is no longer valid; request the purchase again.";
        return Err(Error::conflict(Conflict::QuoteExpired, "purchaseId", reason));
    }
    let owed = billing::owed(txn, tenant, now).await?;
    // As at a checkout: only a lower price goes on, and it is that which is owed.
    let priced = repriced(txn, (tenant, &organization), clock, &before).await?;
    admit(owed.minor, priced.total, organization.credit_limit, owed.overdue)
        .map_err(|refusal| refused_credit(refusal, before.currency))?;
    let closed = close_checkouts(txn, tenant, clock, before.id, invoiced.effect).await?;
    let payment = payment::Model {
        organization_id: tenant.id(),
        id: clock.new_id::<PaymentId>(),
        purchase_id: before.id,
        provider: PaymentProvider::Invoice,
        provider_payment: None,
        state: PaymentState::Open,
        amount: priced.total,
        currency: priced.currency,
        idempotency_key: idempotency.key,
        request_hash: idempotency.request,
        created_at: now,
        paid_at: None,
        provider_session: None,
        provider_url: None,
        payment_method_id: None,
        failure: None,
        title: None,
    };
    payment::Entity::insert(payment.clone().into_active_model()).exec_without_returning(txn).await?;
    let after = purchase::Model { state, invoiced: true, ..priced };
    write_purchase(txn, &after).await?;
    let used = approvals::mark_used(txn, tenant, after.id, now).await?;
    let issued = issue_as_asked(txn, selling, tenant, (&after, payment.id, invoiced.effect), actor);
    let mut committed = issued.await?;
    let due_at = billing::due_at(txn, tenant, &organization, now).await?;
    let invoice = write_up(txn, selling, tenant, (&after, payment.id), (order, now, due_at)).await?;
    if used.is_some()
        && let Some(request) = approvals::find_of_purchase(txn, tenant, after.id).await?
    {
        let total = Money { minor: invoice.total, currency: invoice.currency };
        let told = approvals::Told::Invoiced { total, due_at: invoice.due_at };
        approvals::tell(txn, tenant, clock, &request, told).await?;
    }
    be_due(txn, tenant, INVOICE_DUE, invoice.id, billing::overdue_from(&invoice)).await?;
    let was = json!({ "state": before.state.as_str() });
    let mut is = json!({
        "state": state.as_str(),
        "invoice": global_id::encode(invoice.id),
        "openedPayment": global_id::encode(payment.id),
        "closedPayments": closed,
        "totalMinor": invoice.total,
        "currency": invoice.currency.code(),
    });
    if let Some(round) = used {
        is["approvalRound"] = round.into();
    }
    let (was, is) = told_price(&before, &after, (was, is));
    let change = audit::Change::updated("startCheckout", before.id, was, is);
    audit::record(txn, tenant, clock, actor, change).await?;
    committed.push(Change { organization: tenant.id(), subject: Subject::Purchase(after.id) });
    let issued = Some((payment, invoice));
    let invoiced = Invoiced { issued, ..Invoiced::without_invoice(after) };
    Ok((invoiced, committed, closed))
}

/// What has become of a purchase whose price was no longer valid.
fn reopened(tenant: Tenant, again: Reopened) -> (Invoiced, Vec<Change>, Vec<String>) {
    let Resubmitted { purchase, request, closed } = match again {
        Reopened::Again(again) => again,
        Reopened::Requoted(purchase) => {
            let invoiced = Invoiced { requoted: true, ..Invoiced::without_invoice(purchase) };
            return (invoiced, Vec::new(), Vec::new());
        }
    };
    let of = |subject| Change { organization: tenant.id(), subject };
    let mut committed = vec![of(Subject::Purchase(purchase.id))];
    committed.extend(request.map(|id| of(Subject::Approval(id))));
    (Invoiced { reopened: true, ..Invoiced::without_invoice(purchase) }, committed, closed)
}

/// What a key stands for that was used before.
async fn replay(
    txn: &Txn,
    tenant: Tenant,
    purchase: &purchase::Model,
    idempotency: Idempotency,
) -> Result<Option<Invoiced>> {
    let known = payment::Column::IdempotencyKey.eq(idempotency.key);
    let Some(payment) = tenant.find::<payment::Entity>().filter(known).one(txn).await? else {
        return Ok(None);
    };
    if payment.request_hash != idempotency.request {
        return Err(Error::IdempotencyConflict);
    }
    let invoice = tenant.find::<invoice::Entity>().filter(invoice::Column::PaymentId.eq(payment.id));
    let invoice = invoice.one(txn).await?;
    let invoice = invoice.ok_or_else(|| Error::internal("a payment without its invoice"))?;
    let issued = Some((payment, invoice));
    let purchase = purchase.clone();
    Ok(Some(Invoiced { issued, replayed: true, ..Invoiced::without_invoice(purchase) }))
}

/// Writes the invoice and its document.
async fn write_up(
    txn: &Txn,
    selling: &Selling,
    tenant: Tenant,
    (purchase, payment): (&purchase::Model, PaymentId),
    (order, now, due_at): (&str, Timestamp, Timestamp),
) -> Result<invoice::Model> {
    let document = issue_invoice(txn, selling, tenant, purchase, (order, now, due_at)).await?;
    let row = invoice::Model {
        organization_id: tenant.id(),
        id: selling.context().clock.new_id::<InvoiceId>(),
        purchase_id: purchase.id,
        payment_id: payment,
        document_id: document.id,
        purchase_order: order.to_owned(),
        state: InvoiceState::Open,
        total: purchase.total,
        credited: 0,
        paid: 0,
        currency: purchase.currency,
        due_at,
        created_at: document.created_at,
    };
    invoice::Entity::insert(row.clone().into_active_model()).exec_without_returning(txn).await?;
    Ok(row)
}

/// Why something cannot be bought on invoice, as an error.
fn refused_credit(refusal: CreditRefusal, currency: Currency) -> Error {
    match refusal {
        CreditRefusal::Prepaid => {
            let reason = "The organization pays before it gets credits: nothing can be bought on invoice.";
            Error::conflict(Conflict::Prepaid, FIELD, reason)
        }
        CreditRefusal::Overdue => {
            let reason = "An invoice is overdue: nothing more can be bought on invoice before it is paid.";
            Error::conflict(Conflict::InvoiceOverdue, FIELD, reason)
        }
        CreditRefusal::OverLimit { available } => {
            let kind = Conflict::CreditLimit { available: Money { minor: available, currency } };
            Error::conflict(kind, FIELD, "The organization would owe more than its credit limit.")
        }
    }
}

/// Locks the invoice of a purchase, when there is one. The purchase is locked.
pub(super) async fn lock_invoice(
    txn: &Txn,
    tenant: Tenant,
    purchase: PurchaseId,
) -> Result<Option<invoice::Model>> {
    let invoice = tenant.find::<invoice::Entity>().filter(invoice::Column::PurchaseId.eq(purchase));
    Ok(invoice.lock_exclusive().one(txn).await?)
}

/// Writes what can change of an invoice.
pub(super) async fn write_invoice(txn: &Txn, row: &invoice::Model) -> Result<()> {
    let row = invoice::ActiveModel {
        organization_id: Unchanged(row.organization_id),
        id: Unchanged(row.id),
        state: Set(row.state),
        credited: Set(row.credited),
        paid: Set(row.paid),
        ..Default::default()
    };
    invoice::Entity::update(row).exec_without_returning(txn).await?;
    Ok(())
}

/// So much of the invoice of a purchase is credited. When nothing is left to be paid, its payment ends: with the money
/// that came before it is paid, without any it is cancelled. When that money is all that the purchase costs now, the
/// purchase is paid as well. What is credited after that changes the invoice alone. The purchase is locked, and what else is
/// written of it has been written before.
pub(super) async fn invoice_credited_in(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    purchase: PurchaseId,
    amount: i64,
) -> Result<()> {
    let Some(row) = lock_invoice(txn, tenant, purchase).await? else { return Ok(()) };
    let now = clock.now();
    let credited = row.credited.saturating_add(amount).min(row.total);
    let state = state(row.total, credited, row.paid, billing::overdue_from(&row) <= now);
    let after = invoice::Model { credited, state, ..row };
    write_invoice(txn, &after).await?;
    let payment = tenant.find::<payment::Entity>().filter(payment::Column::Id.eq(after.payment_id));
    let payment = payment.one(txn).await?.ok_or_else(|| Error::internal("an invoice without its payment"))?;
    if payment.state == PaymentState::Paid {
        return Ok(());
    }
    match state {
        InvoiceState::Open | InvoiceState::PartlyPaid | InvoiceState::Overdue => Ok(()),
        InvoiceState::Credited if after.paid == 0 => {
            write_payment(txn, &payment::Model { state: PaymentState::Cancelled, ..payment }).await
        }
        InvoiceState::Credited | InvoiceState::Paid => {
            let (state, paid_at) = (PaymentState::Paid, Some(now));
            write_payment(txn, &payment::Model { state, paid_at, ..payment }).await?;
            let bought = lock(txn, tenant, purchase).await?;
            // One that was returned as a whole stays so.
            let Ok(paid) = apply(bought.state, bought.invoiced, PurchaseEvent::Paid) else { return Ok(()) };
            write_purchase(txn, &purchase::Model { state: paid.to, completed_at: Some(now), ..bought }).await
        }
    }
}

/// Says that the day of an invoice is over by which it was to be paid. Answers when to look again, when it is not yet.
///
/// # Errors
/// What the database answers.
pub async fn invoice_due(selling: &Selling, tenant: Tenant, id: InvoiceId) -> Result<Option<Timestamp>> {
    let clock = selling.context().clock.clone();
    let work = db::work(move |txn| {
        let clock = clock.clone();
        Box::pin(async move {
            let row = tenant.find::<invoice::Entity>().filter(invoice::Column::Id.eq(id));
            let Some(before) = row.lock_exclusive().one(txn).await? else { return Ok((None, None)) };
            let open = matches!(before.state, InvoiceState::Open | InvoiceState::PartlyPaid);
            if !open {
                return Ok((None, None));
            }
            let overdue_from = billing::overdue_from(&before);
            if overdue_from > clock.now() {
                return Ok((Some(overdue_from), None));
            }
            let after = invoice::Model { state: InvoiceState::Overdue, ..before.clone() };
            write_invoice(txn, &after).await?;
            let was = json!({ "state": before.state.as_str() });
            let is = json!({ "state": after.state.as_str() });
            let change = audit::Change::updated("overdueInvoice", id, was, is);
            audit::record(txn, tenant, &clock, &Actor::system(None), change).await?;
            Ok((None, Some(after)))
        })
    });
    let context = selling.context();
    match context.db.write(tenant, work).await {
        Ok((again, overdue)) => {
            if let Some(row) = overdue {
                let (organization, invoice) = (global_id::encode(tenant.id()), global_id::encode(row.id));
                tracing::warn!(%organization, %invoice, "an invoice is overdue");
                context.changes.announce_purchase(tenant.id(), row.purchase_id);
            }
            Ok(again)
        }
        // The organization may only read at the moment. What is bought on invoice looks at the day itself.
        Err(error) if is_for_later(&error) => Ok(Some(context.clock.now().plus_days(1))),
        Err(error) => Err(error),
    }
}
