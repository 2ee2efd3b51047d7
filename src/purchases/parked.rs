//! Money that arrived and could not be booked: it is written down under the vendor, told of aloud, and waits until
//! somebody of the vendor's staff has decided what becomes of it.

use bursar_domain::Currency;
use bursar_domain::id::{ParkedPaymentId, PaymentId, PurchaseId};
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::pricing::UnitPrice;
use bursar_domain::purchase::{
    ParkedReason, ParkedState, PaymentProvider, PaymentState, PurchaseEvent, apply,
};
use bursar_entity::{parked_payment, payment, purchase};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect, Set, Unchanged};
use serde_json::{Value, json};

use super::book::book_payment;
use super::checkout::close_sessions;
use super::settle::{Outcome, settle};
use super::{Selling, close_open_payments, lock, nothing_under_way, refused};
use crate::audit;
use crate::auth::Actor;
use crate::changes::Change;
use crate::context::Context;
use crate::db::{self, Fault, Tenant, Txn, fault};
use crate::error::{Conflict, Error, Result};
use crate::idempotency::Idempotency;
use crate::outbox::{self, Mail, ParkedFacts, Template, UserOrAddress};
use crate::payments::ProviderEvent;
use crate::{global_id, text};

/// The most characters that are kept of what a provider says.
const MOST_OF_WORDS: usize = 500;

/// How many days before money was parked something may have become of it.
const LOOKS_BACK_DAYS: i64 = 35;

/// Money to be parked.
#[derive(Clone, Debug)]
pub(super) struct Parking {
    /// The provider's own name of the payment (of a refund or a dispute: of that).
    pub reference: String,
    /// Why it cannot be booked.
    pub reason: ParkedReason,
    /// What was expected and what came, in words.
    pub detail: String,
    /// How much, in minor units as the provider counts them.
    pub amount: i64,
    /// The currency, as the provider names it.
    pub currency: String,
    /// The organization that it names.
    pub organization: Option<String>,
    /// The payment (or reversal) of ours that it names.
    pub ours: Option<String>,
}

/// A provider's words as they are kept: bounded, and without what no database or log takes.
fn kept(words: &str) -> String {
    words.chars().filter(|c| !c.is_control()).take(MOST_OF_WORDS).collect()
}

/// The money that is parked under a provider's own name of it.
pub(super) async fn find_parked(
    context: &Context,
    provider: PaymentProvider,
    reference: &str,
) -> Result<Option<parked_payment::Model>> {
    let snapshot = context.db.read(Tenant::vendor()).await?;
    known(&snapshot, provider, &kept(reference)).await
}

async fn known(
    txn: &Txn,
    provider: PaymentProvider,
    reference: &str,
) -> Result<Option<parked_payment::Model>> {
    let row = Tenant::vendor()
        .find::<parked_payment::Entity>()
        .filter(parked_payment::Column::Provider.eq(provider))
        .filter(parked_payment::Column::ProviderReference.eq(reference));
    Ok(row.one(txn).await?)
}

/// Parks money. It is parked once, however often it is told of.
///
/// # Errors
/// What the database answers.
pub(super) async fn park(
    selling: &Selling,
    provider: PaymentProvider,
    parking: Parking,
    origin: Option<String>,
) -> Result<Outcome> {
    let context = selling.context();
    let row = parked_payment::Model {
        organization_id: Tenant::vendor().id(),
        id: context.clock.new_id::<ParkedPaymentId>(),
        provider,
        provider_reference: kept(&parking.reference),
        reason: parking.reason,
        detail: kept(&parking.detail),
        amount: parking.amount,
        currency: kept(&parking.currency),
        claimed_organization: parking.organization.as_deref().map(kept),
        claimed_payment: parking.ours.as_deref().map(kept),
        state: ParkedState::Open,
        resolution: None,
        resolved_by: None,
        resolved_at: None,
        created_at: context.clock.now(),
    };
    let (own, actor) = (selling.clone(), Actor::system(origin));
    let work = db::work(move |txn| {
        let (own, actor, row) = (own.clone(), actor.clone(), row.clone());
        Box::pin(async move { park_in(txn, &own, &actor, row).await })
    });
    let (row, is_new) = match context.db.write(Tenant::vendor(), work.clone()).await {
        // Told of twice at the same time: the other one can be seen now.
        Err(Error::Database(error)) if matches!(fault(&error), Fault::Unique(_)) => {
            context.db.write(Tenant::vendor(), work).await
        }
        outcome => outcome,
    }?;
    let id = global_id::encode(row.id);
    if is_new {
        context.changes.announce_mail();
        metrics::counter!("bursar_parked_payments_total", "reason" => row.reason.as_str()).increment(1);
        tracing::error!(
            parked = %id, reference = %row.provider_reference, reason = %row.reason, detail = %row.detail,
            "money could not be booked: somebody has to decide about it"
        );
    }
    Ok(Outcome::Parked(row.id))
}

/// Answers the row, and whether it is a new one.
async fn park_in(
    txn: &Txn,
    selling: &Selling,
    actor: &Actor,
    row: parked_payment::Model,
) -> Result<(parked_payment::Model, bool)> {
    if let Some(known) = known(txn, row.provider, &row.provider_reference).await? {
        return Ok((known, false));
    }
    let (vendor, clock) = (Tenant::vendor(), &selling.context().clock);
    parked_payment::Entity::insert(row.clone().into_active_model()).exec_without_returning(txn).await?;
    if let Some(address) = &selling.settings.alerts {
        let facts = ParkedFacts {
            id: global_id::encode(row.id),
            provider: row.provider,
            reference: row.provider_reference.clone(),
            reason: row.reason,
            detail: row.detail.clone(),
            money: money(&row),
        };
        let mail = Mail {
            to: UserOrAddress::Address(address.clone()),
            template: Template::PaymentParked,
            facts: Value::from(facts),
            link: None,
        };
        outbox::append(txn, vendor, clock, mail).await?;
    }
    let facts = json!({
        "provider": row.provider.as_str(),
        "reference": row.provider_reference.as_str(),
        "reason": row.reason.as_str(),
        "amountMinor": row.amount,
        "currency": row.currency.as_str(),
    });
    let change = audit::Change::created("parkPayment", row.id, facts);
    audit::record(txn, vendor, clock, actor, change).await?;
    Ok((row, true))
}

/// An amount for people: in the currency when it is one that we know, else in its minor units.
fn money(row: &parked_payment::Model) -> String {
    match Currency::parse(&row.currency) {
        Some(currency) => {
            format!("{currency} {}", rust_decimal::Decimal::new(row.amount, currency.exponent()))
        }
        None => format!("{} minor units of {}", row.amount, row.currency),
    }
}

/// What is decided about parked money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParkedResolution {
    /// It pays a purchase.
    Apply {
        /// Which one.
        purchase: PurchaseId,
        /// Whose that is: whoever decides has been authorized for it.
        tenant: Tenant,
    },
    /// It is given back, or dealt with elsewhere.
    Dismiss,
}

/// A decision about parked money.
#[derive(Clone, Debug)]
pub struct ResolveParked {
    /// What is decided.
    pub resolution: ParkedResolution,
    /// Why.
    pub note: String,
    /// The client's idempotency key.
    pub key: String,
    /// Whether everything is to be rolled back at the end.
    pub dry_run: bool,
}

/// Parked money that was decided about.
#[derive(Clone, Debug)]
pub struct ParkedResolved {
    /// The money.
    pub parked: parked_payment::Model,
    /// The purchase that it pays.
    pub purchase: Option<purchase::Model>,
    /// Whether it had been decided so before.
    pub replayed: bool,
}

/// What one transaction has left: the answer, what is to be announced, and which checkouts were closed.
type Resolving = (ParkedResolved, Vec<Change>, Vec<String>);

/// Decides about parked money: it pays a purchase after all, or is dismissed. Decided the same way again, it answers
/// what was decided; in another way, it is refused.
///
/// # Errors
/// [`Conflict::State`] when it is decided otherwise, or the purchase cannot be paid; [`Error::Invalid`] when the money
/// does not fit the purchase; [`Error::IdempotencyConflict`]; what the database answers.
pub async fn resolve_parked(
    selling: &Selling,
    actor: &Actor,
    id: ParkedPaymentId,
    decision: ResolveParked,
) -> Result<ParkedResolved> {
    let ResolveParked { resolution, note, key, dry_run } = decision;
    let note = text::note("note", &note)?;
    let mut form = Canonical::of("parked payment");
    form.id(id).text(&note);
    if let ParkedResolution::Apply { purchase, .. } = resolution {
        form.id(purchase);
    }
    let idempotency = Idempotency::new("resolveParkedPayment", &key, &form);
    let context = selling.context();
    let (own, actor) = (selling.clone(), actor.clone());
    let work = db::work(move |txn| {
        let (own, actor, note) = (own.clone(), actor.clone(), note.clone());
        Box::pin(async move { resolve_in(txn, &own, &actor, id, (resolution, note, idempotency)).await })
    });
    if dry_run {
        return Ok(context.db.rehearse(Tenant::vendor(), work).await?.0);
    }
    let (resolved, changes, closed) = match context.db.write(Tenant::vendor(), work).await {
        Err(Error::Database(error)) if matches!(fault(&error), Fault::Unique(_)) => {
            let reason = "It has paid a purchase since it was parked.";
            return Err(Error::conflict(Conflict::State, "parkedPaymentId", reason));
        }
        outcome => outcome?,
    };
    context.changes.announce(&changes);
    if let ParkedResolution::Apply { tenant, .. } = resolution {
        close_sessions(selling, tenant, &closed).await;
        if let Err(error) = catch_up(selling, &resolved.parked).await {
            let parked = global_id::encode(resolved.parked.id);
            tracing::error!(%error, %parked, "what was told of parked money is to be found by a comparison of the books");
        }
    }
    Ok(resolved)
}

/// Books what has become of money at the provider while it was parked. Refunds and disputes that were told of then were
/// of nobody's payment, and are not told of again.
async fn catch_up(selling: &Selling, row: &parked_payment::Model) -> Result<()> {
    let (payment, kind) = (row.provider_reference.clone(), row.provider);
    let Some(provider) = selling.payments.of(kind) else { return Ok(()) };
    settle(selling, kind, ProviderEvent::Refunded { payment }, None).await?;
    let (since, mut after) = (row.created_at.plus_days(-LOOKS_BACK_DAYS), None::<String>);
    loop {
        let page = provider.disputes_since(since, after.as_deref()).await;
        let page = page.map_err(|_| Error::Unavailable("The payment provider cannot be reached."))?;
        for told in page.items.into_iter().filter(|told| told.payment == row.provider_reference) {
            settle(selling, kind, ProviderEvent::Dispute(told), None).await?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Decides inside a transaction. The money is locked first; the transaction turns to whose purchase it is, and back.
async fn resolve_in(
    txn: &Txn,
    selling: &Selling,
    actor: &Actor,
    id: ParkedPaymentId,
    (resolution, note, idempotency): (ParkedResolution, String, Idempotency),
) -> Result<Resolving> {
    let (vendor, clock) = (Tenant::vendor(), &selling.context().clock);
    let row = vendor.find::<parked_payment::Entity>().filter(parked_payment::Column::Id.eq(id));
    let row = row.lock_exclusive().one(txn).await?;
    let row = row.ok_or(Error::not_found("parked payment").at("parkedPaymentId"))?;
    if row.state != ParkedState::Open {
        return decided(txn, row, (resolution, &note)).await;
    }
    let (state, applied) = match resolution {
        ParkedResolution::Dismiss => (ParkedState::Dismissed, None),
        ParkedResolution::Apply { purchase, tenant } => {
            txn.turn_to(tenant).await?;
            let applied = apply_in(txn, selling, (tenant, actor), (&row, purchase), idempotency).await?;
            txn.turn_to(vendor).await?;
            (ParkedState::Applied, Some(applied))
        }
    };
    let after = parked_payment::Model {
        state,
        resolution: Some(note),
        resolved_by: actor.answerable(),
        resolved_at: Some(clock.now()),
        ..row.clone()
    };
    let written = parked_payment::ActiveModel {
        organization_id: Unchanged(after.organization_id),
        id: Unchanged(after.id),
        state: Set(after.state),
        resolution: Set(after.resolution.clone()),
        resolved_by: Set(after.resolved_by),
        resolved_at: Set(after.resolved_at),
        ..Default::default()
    };
    parked_payment::Entity::update(written).exec_without_returning(txn).await?;
    let (purchase, changes, closed) = match applied {
        Some((purchase, changes, closed)) => (Some(purchase), changes, closed),
        None => (None, Vec::new(), Vec::new()),
    };
    let was = json!({ "state": row.state.as_str() });
    let paid = purchase.as_ref().map(|row| global_id::encode(row.id));
    let is = json!({ "state": after.state.as_str(), "purchase": paid, "note": after.resolution.as_deref() });
    let change = audit::Change::updated("resolveParkedPayment", after.id, was, is);
    audit::record(txn, vendor, clock, actor, change).await?;
    Ok((ParkedResolved { parked: after, purchase, replayed: false }, changes, closed))
}

/// What was decided before, when it was the same.
async fn decided(
    txn: &Txn,
    row: parked_payment::Model,
    (resolution, note): (ParkedResolution, &str),
) -> Result<Resolving> {
    let purchase = match resolution {
        ParkedResolution::Dismiss => None,
        ParkedResolution::Apply { purchase, tenant } => {
            txn.turn_to(tenant).await?;
            let paid = tenant
                .find::<payment::Entity>()
                .filter(payment::Column::PurchaseId.eq(purchase))
                .filter(payment::Column::Provider.eq(row.provider))
                .filter(payment::Column::ProviderPayment.eq(row.provider_reference.as_str()));
            match paid.one(txn).await? {
                Some(_) => Some(lock(txn, tenant, purchase).await?),
                None => None,
            }
        }
    };
    let same = match resolution {
        ParkedResolution::Dismiss => row.state == ParkedState::Dismissed,
        ParkedResolution::Apply { .. } => row.state == ParkedState::Applied && purchase.is_some(),
    };
    if !same || row.resolution.as_deref() != Some(note) {
        let reason = format!("It has been decided about already: it is {}.", row.state);
        return Err(Error::conflict(Conflict::State, "parkedPaymentId", reason));
    }
    Ok((ParkedResolved { parked: row, purchase, replayed: true }, Vec::new(), Vec::new()))
}

/// Pays a purchase with parked money, in the purchase's organization. When it is less than agreed on, the vendor has
/// accepted it as the price.
async fn apply_in(
    txn: &Txn,
    selling: &Selling,
    (tenant, actor): (Tenant, &Actor),
    (row, purchase): (&parked_payment::Model, PurchaseId),
    idempotency: Idempotency,
) -> Result<(purchase::Model, Vec<Change>, Vec<String>)> {
    const FIELD: &str = "resolution.purchaseId";
    if row.reason == ParkedReason::ReversalMismatch {
        let reason = "It is money that was given back: it pays nothing.";
        return Err(Error::conflict(Conflict::State, "parkedPaymentId", reason));
    }
    let clock = &selling.context().clock;
    let before = lock(txn, tenant, purchase).await?;
    let known = payment::Column::IdempotencyKey.eq(idempotency.key);
    if tenant.find::<payment::Entity>().filter(known).one(txn).await?.is_some() {
        // Of another decision: this money is open.
        return Err(Error::IdempotencyConflict);
    }
    if before.invoiced {
        return Err(Error::conflict(
            Conflict::State,
            FIELD,
            "It is paid by its invoice: record the payment there.",
        ));
    }
    apply(before.state, before.invoiced, PurchaseEvent::Paid).map_err(|refusal| refused(refusal, FIELD))?;
    nothing_under_way(txn, tenant, purchase).await?;
    if row.currency != before.currency.code() {
        return Err(Error::invalid(FIELD, format!("is sold in {}", before.currency)));
    }
    if row.amount > before.total || row.amount < 1 {
        return Err(Error::invalid(FIELD, "costs less than was paid"));
    }
    let unit_price = UnitPrice::of(row.amount, before.credits).unwrap_or(before.unit_price);
    let unit_price = if row.amount == before.total { before.unit_price } else { unit_price };
    let accepted = purchase::Model { total: row.amount, unit_price, ..before };
    let closed = close_open_payments(txn, tenant, purchase).await?;
    let now = clock.now();
    let payment = payment::Model {
        organization_id: tenant.id(),
        id: clock.new_id::<PaymentId>(),
        purchase_id: purchase,
        provider: row.provider,
        provider_payment: None,
        state: PaymentState::Open,
        amount: row.amount,
        currency: accepted.currency,
        idempotency_key: idempotency.key,
        request_hash: idempotency.request,
        created_at: now,
        paid_at: None,
        provider_session: None,
        provider_url: None,
        payment_method_id: None,
        failure: None,
    };
    payment::Entity::insert(payment.clone().into_active_model()).exec_without_returning(txn).await?;
    let name = &row.provider_reference;
    let changes = book_payment(txn, selling, tenant, (accepted, payment), name, actor).await?;
    Ok((lock(txn, tenant, purchase).await?, changes, closed))
}
