//! Money that arrived and could not be booked: it is written down under the vendor, told of aloud, and waits until
//! somebody of the vendor's staff has decided what becomes of it (see `resolve_parked`). The payment that it names waits too
//! (see `claimed`).

use bursar_domain::Currency;
use bursar_domain::id::{ParkedPaymentId, PaymentId};
use bursar_domain::purchase::{ParkedReason, ParkedState, PaymentProvider};
use bursar_entity::parked_payment;
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};
use serde_json::{Value, json};

use super::Selling;
use super::claimed::{Held, find_claimed, hold_up_in};
use super::closing::close_sessions;
use super::settle::Outcome;
use crate::auth::Actor;
use crate::context::Context;
use crate::db::{self, Fault, Tenant, Txn, fault};
use crate::error::{Error, Result};
use crate::outbox::{self, ParkedFacts, Template};
use crate::{audit, global_id};

/// The most characters that are kept of a name that a provider tells.
const MOST_OF_WORDS: usize = 500;
/// The most characters that are kept of what is said about parked money.
const MOST_OF_DETAIL: usize = 2_000;

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
    bounded(words, MOST_OF_WORDS)
}

fn bounded(words: &str, most: usize) -> String {
    words.chars().filter(|c| !c.is_control()).take(most).collect()
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
        detail: bounded(&parking.detail, MOST_OF_DETAIL),
        amount: parking.amount,
        currency: kept(&parking.currency),
        claimed_organization: parking.organization.as_deref().map(kept),
        claimed_payment: parking.ours.as_deref().map(kept),
        state: ParkedState::Open,
        resolution: None,
        resolved_by: None,
        resolved_at: None,
        created_at: context.clock.now(),
        idempotency_key: None,
        request_hash: None,
    };
    let claimed = match has_come(row.reason) {
        true => find_claimed(context, provider, row.claimed_payment.as_deref()).await?,
        false => None,
    };
    let (own, actor) = (selling.clone(), Actor::system(origin));
    let work = db::work(move |txn| {
        let (own, actor, row) = (own.clone(), actor.clone(), row.clone());
        Box::pin(async move { park_in(txn, &own, &actor, (row, claimed)).await })
    });
    let (row, is_new, held) = match context.db.write(Tenant::vendor(), work.clone()).await {
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
    if let Some(Held { tenant, purchase, closed }) = held {
        context.changes.announce_purchase(tenant.id(), purchase);
        close_sessions(selling, tenant, &closed).await;
    }
    Ok(Outcome::Parked(row.id))
}

/// Whether it is money that surely has come: else nothing waits for the decision about it.
fn has_come(reason: ParkedReason) -> bool {
    match reason {
        ParkedReason::ProviderGone | ParkedReason::ReversalMismatch | ParkedReason::NotUnderstood => false,
        ParkedReason::Unknown
        | ParkedReason::AmountMismatch
        | ParkedReason::CurrencyMismatch
        | ParkedReason::OrganizationMismatch
        | ParkedReason::PaidTwice
        | ParkedReason::PurchaseClosed => true,
    }
}

/// Answers the row, whether it is a new one, and what waits for the decision about it.
async fn park_in(
    txn: &Txn,
    selling: &Selling,
    actor: &Actor,
    (row, claimed): (parked_payment::Model, Option<(Tenant, PaymentId)>),
) -> Result<(parked_payment::Model, bool, Option<Held>)> {
    if let Some(known) = known(txn, row.provider, &row.provider_reference).await? {
        return Ok((known, false, None));
    }
    let (vendor, clock) = (Tenant::vendor(), &selling.context().clock);
    parked_payment::Entity::insert(row.clone().into_active_model()).exec_without_returning(txn).await?;
    let held = match claimed {
        Some(claimed) => hold_up_in(txn, actor, clock, claimed).await?,
        None => None,
    };
    let facts = ParkedFacts {
        id: global_id::encode(row.id),
        provider: row.provider,
        reference: row.provider_reference.clone(),
        reason: row.reason,
        detail: row.detail.clone(),
        money: money(&row),
    };
    let alerts = selling.settings.alerts.as_deref();
    outbox::append_to_vendor(txn, clock, alerts, Template::PaymentParked, &Value::from(facts)).await?;
    let facts = json!({
        "provider": row.provider.as_str(),
        "reference": row.provider_reference.as_str(),
        "reason": row.reason.as_str(),
        "amountMinor": row.amount,
        "currency": row.currency.as_str(),
    });
    let change = audit::Change::created("parkPayment", row.id, facts);
    audit::record(txn, vendor, clock, actor, change).await?;
    Ok((row, true, held))
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
