//! Quotes: an organization asks the vendor for a price, and the vendor answers it.
//!
//! A quote is locked after the organization and before purchases. It is asked for once, answered once, and bought once.

use bursar_domain::id::{PoolId, QuoteId, UserId};
use bursar_domain::ledger::Refusal;
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::organization::OrganizationState;
use bursar_domain::pricing::{MAX_PURCHASE, MAX_TOTAL, QuoteState, UnitPrice};
use bursar_domain::{Credits, Currency, Money, Timestamp};
use bursar_entity::{organization, pool, quote};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect, Set, Unchanged};
use serde_json::{Value, json};

use super::{currency, fix_currency, lifetime, once};
use crate::audit::{self, Change};
use crate::auth::{Actor, Authorized};
use crate::clock::Clock;
use crate::context::Context;
use crate::db::{self, Tenant, Txn};
use crate::error::{Conflict, Error, Result};
use crate::idempotency::Idempotency;
use crate::{global_id, text};

/// For how many days an answer holds when it does not say.
const USUAL_DAYS: i64 = 30;
/// For how many days an answer may hold.
const MAX_DAYS: i64 = 366;

/// What a price is asked for.
#[derive(Clone, Debug)]
pub struct NewQuote {
    /// How many credits.
    pub credits: Credits,
    /// In which currency; none: the organization's.
    pub currency: Option<Currency>,
    /// Why it is wanted.
    pub note: Option<String>,
    /// The client's idempotency key.
    pub key: String,
    /// Whether everything is to be rolled back at the end.
    pub dry_run: bool,
}

/// A quote that was asked for, or answered.
#[derive(Clone, Debug)]
pub struct Quoted {
    /// The quote.
    pub quote: quote::Model,
    /// Whether that had been done before, under the same key.
    pub replayed: bool,
}

/// What the vendor sells for.
#[derive(Clone, Copy, Debug)]
pub struct QuotePrice {
    /// All of the credits together.
    pub total: Money,
    /// For how many days the credits can be used; none: for ever.
    pub lifetime_days: Option<i64>,
    /// Until when the price holds; none: for 30 days.
    pub valid_until: Option<Timestamp>,
}

/// What the vendor says to a quote request.
#[derive(Clone, Copy, Debug)]
pub enum QuoteDecision {
    /// A price.
    Price(QuotePrice),
    /// No.
    Decline,
}

/// The vendor's answer.
#[derive(Clone, Debug)]
pub struct QuoteAnswer {
    /// What it is.
    pub decision: QuoteDecision,
    /// What whoever asked is told with it.
    pub note: Option<String>,
    /// The client's idempotency key.
    pub key: String,
    /// Whether everything is to be rolled back at the end.
    pub dry_run: bool,
}

/// Asks the vendor for a price of credits for a pool. That fixes the organization's currency.
pub async fn request_quote(
    context: &Context,
    pool: &Authorized<pool::Model>,
    new: NewQuote,
) -> Result<Quoted> {
    let note = text::optional_note("note", new.note.as_deref())?;
    if new.credits.is_zero() || new.credits > MAX_PURCHASE {
        return Err(Error::invalid("credits", format!("must be from 1 to {MAX_PURCHASE}")));
    }
    let mut form = Canonical::of("quote");
    form.id(pool.id).number(new.credits.get());
    form.option(new.currency, |form, currency| _ = form.text(currency.code()));
    form.option(note.as_deref(), |form, note| _ = form.text(note));
    let idempotency = Idempotency::new("requestQuote", &new.key, &form);
    let (tenant, dry_run) = (pool.tenant(), new.dry_run);
    let wanted = Wanted { pool: pool.id, credits: new.credits, currency: new.currency, note, idempotency };
    let (actor, clock) = (pool.actor().clone(), context.clock.clone());
    let work = db::work(move |txn| {
        let (wanted, actor, clock) = (wanted.clone(), actor.clone(), clock.clone());
        Box::pin(async move { request_in(txn, (tenant, &actor), &clock, wanted).await })
    });
    once(context, tenant, dry_run, work).await
}

/// What a price is asked for, checked as far as that goes without looking anything up.
#[derive(Clone, Debug)]
struct Wanted {
    pool: PoolId,
    credits: Credits,
    currency: Option<Currency>,
    note: Option<String>,
    idempotency: Idempotency,
}

async fn request_in(
    txn: &Txn,
    (tenant, actor): (Tenant, &Actor),
    clock: &Clock,
    wanted: Wanted,
) -> Result<Quoted> {
    let known = quote::Column::IdempotencyKey.eq(wanted.idempotency.key);
    if let Some(quote) = tenant.find::<quote::Entity>().filter(known).one(txn).await? {
        if quote.request_hash != wanted.idempotency.request {
            return Err(Error::IdempotencyConflict);
        }
        return Ok(Quoted { quote, replayed: true });
    }
    // A key asks in the name of whoever has made it.
    let requested_by: UserId = actor.answerable().ok_or(Error::Forbidden)?;
    let organization = tenant.find::<organization::Entity>().lock_exclusive().one(txn).await?;
    let organization = organization.ok_or(Error::not_found("organization"))?;
    if organization.state == OrganizationState::Suspended {
        return Err(Error::Refused(Refusal::OrganizationSuspended));
    }
    let row = tenant.find::<pool::Entity>().filter(pool::Column::Id.eq(wanted.pool)).one(txn).await?;
    if row.ok_or(Error::not_found("pool").at("poolId"))?.archived_at.is_some() {
        return Err(Error::conflict(Conflict::State, "poolId", "The pool has been archived."));
    }
    let currency = currency(&organization, wanted.currency)?;
    let fixed = fix_currency(txn, tenant, clock, actor, &organization, currency).await?;
    let quote = quote::Model {
        organization_id: tenant.id(),
        id: clock.new_id::<QuoteId>(),
        pool_id: wanted.pool,
        requested_by,
        state: QuoteState::Requested,
        credits: wanted.credits,
        currency,
        unit_price: None,
        total: None,
        lifetime_days: None,
        valid_until: None,
        note: wanted.note,
        answer: None,
        answered_at: None,
        idempotency_key: wanted.idempotency.key,
        request_hash: wanted.idempotency.request,
        answer_key: None,
        answer_hash: None,
        created_at: clock.now(),
    };
    quote::Entity::insert(quote.clone().into_active_model()).exec_without_returning(txn).await?;
    if let Some(change) = fixed {
        audit::record(txn, tenant, clock, actor, change).await?;
    }
    let change = Change::created("requestQuote", quote.id, facts(&quote));
    audit::record(txn, tenant, clock, actor, change).await?;
    Ok(Quoted { quote, replayed: false })
}

/// Answers a quote request, once.
pub async fn answer_quote(
    context: &Context,
    quote: &Authorized<quote::Model>,
    answer: QuoteAnswer,
) -> Result<Quoted> {
    let note = text::optional_note("note", answer.note.as_deref())?;
    let mut form = Canonical::of("quote answer");
    form.id(quote.id);
    let price = match answer.decision {
        QuoteDecision::Price(price) => Some(price),
        QuoteDecision::Decline => None,
    };
    form.option(price, |form, price| {
        form.number(price.total.minor).text(price.total.currency.code());
        form.option(price.lifetime_days, |form, days| _ = form.number(days));
        form.option(price.valid_until, |form, until| _ = form.number(until.micros()));
    });
    form.option(note.as_deref(), |form, note| _ = form.text(note));
    let idempotency = Idempotency::new("answerQuote", &answer.key, &form);
    let (tenant, id, dry_run) = (quote.tenant(), quote.id, answer.dry_run);
    let (actor, clock) = (quote.actor().clone(), context.clock.clone());
    let work = db::work(move |txn| {
        let (given, actor, clock) = ((id, price, note.clone()), actor.clone(), clock.clone());
        Box::pin(async move { answer_in(txn, (tenant, &actor), &clock, given, idempotency).await })
    });
    once(context, tenant, dry_run, work).await
}

async fn answer_in(
    txn: &Txn,
    (tenant, actor): (Tenant, &Actor),
    clock: &Clock,
    (id, price, note): (QuoteId, Option<QuotePrice>, Option<String>),
    idempotency: Idempotency,
) -> Result<Quoted> {
    let before = lock(txn, tenant, id).await?;
    let known = quote::Column::AnswerKey.eq(idempotency.key);
    if let Some(quote) = tenant.find::<quote::Entity>().filter(known).one(txn).await? {
        if quote.answer_hash != Some(idempotency.request) {
            return Err(Error::IdempotencyConflict);
        }
        return Ok(Quoted { quote, replayed: true });
    }
    if before.state != QuoteState::Requested {
        let reason = "The quote request has been answered already.";
        return Err(Error::conflict(Conflict::State, "quoteId", reason));
    }
    let now = clock.now();
    let answered = quote::Model {
        state: QuoteState::Declined,
        answer: note,
        answered_at: Some(now),
        answer_key: Some(idempotency.key),
        answer_hash: Some(idempotency.request),
        ..before.clone()
    };
    let after = match price {
        Some(price) => priced(answered, price, now)?,
        None => answered,
    };
    let row = quote::ActiveModel {
        organization_id: Unchanged(after.organization_id),
        id: Unchanged(after.id),
        state: Set(after.state),
        unit_price: Set(after.unit_price),
        total: Set(after.total),
        lifetime_days: Set(after.lifetime_days),
        valid_until: Set(after.valid_until),
        answer: Set(after.answer.clone()),
        answered_at: Set(after.answered_at),
        answer_key: Set(after.answer_key),
        answer_hash: Set(after.answer_hash),
        ..Default::default()
    };
    quote::Entity::update(row).exec_without_returning(txn).await?;
    let change = Change::updated("answerQuote", id, facts(&before), facts(&after));
    audit::record(txn, tenant, clock, actor, change).await?;
    Ok(Quoted { quote: after, replayed: false })
}

/// The quote with a price.
fn priced(quote: quote::Model, price: QuotePrice, now: Timestamp) -> Result<quote::Model> {
    let invalid = |field: &str, reason: String| Error::invalid(format!("answer.price.{field}"), reason);
    if price.total.currency != quote.currency {
        return Err(invalid("total.currency", format!("must be {}", quote.currency)));
    }
    let total = Some(price.total.minor).filter(|total| (1..=MAX_TOTAL).contains(total));
    let unit_price = total.and_then(|total| UnitPrice::of(total, quote.credits));
    let Some(unit_price) = unit_price else {
        return Err(invalid("total.amount", "is out of range for so many credits".to_owned()));
    };
    let lifetime_days = lifetime("answer.price.lifetimeDays".to_owned(), price.lifetime_days)?;
    let valid_until = price.valid_until.unwrap_or(now.plus_days(USUAL_DAYS));
    if valid_until <= now || valid_until > now.plus_days(MAX_DAYS) {
        let reason = format!("must be in the future, and within {MAX_DAYS} days");
        return Err(invalid("validUntil", reason));
    }
    Ok(quote::Model {
        state: QuoteState::Answered,
        unit_price: Some(unit_price),
        total,
        lifetime_days,
        valid_until: Some(valid_until),
        ..quote
    })
}

fn facts(quote: &quote::Model) -> Value {
    json!({
        "pool": global_id::encode(quote.pool_id),
        "credits": quote.credits.get(),
        "currency": quote.currency.code(),
        "state": quote.state.as_str(),
        "totalMinor": quote.total,
        "lifetimeDays": quote.lifetime_days,
        "validUntil": quote.valid_until.map(Timestamp::micros),
    })
}

/// Locks a quote.
pub(super) async fn lock(txn: &Txn, tenant: Tenant, id: QuoteId) -> Result<quote::Model> {
    let select = tenant.find::<quote::Entity>().filter(quote::Column::Id.eq(id));
    select.lock_exclusive().one(txn).await?.ok_or(Error::not_found("quote").at("quoteId"))
}

/// A quote of a pool. To whoever buys for another one it is not there.
pub(super) async fn find(txn: &Txn, tenant: Tenant, pool: PoolId, id: QuoteId) -> Result<quote::Model> {
    let select = tenant.find::<quote::Entity>().filter(quote::Column::Id.eq(id));
    let row = select.filter(quote::Column::PoolId.eq(pool)).one(txn).await?;
    row.ok_or(Error::not_found("quote").at("quoteId"))
}

/// Marks a quote as bought, which is locked: nobody buys it again.
pub async fn mark_quote_used(txn: &Txn, tenant: Tenant, id: QuoteId) -> Result<()> {
    let row = quote::ActiveModel {
        organization_id: Unchanged(tenant.id()),
        id: Unchanged(id),
        state: Set(QuoteState::Used),
        ..Default::default()
    };
    quote::Entity::update(row).exec_without_returning(txn).await?;
    Ok(())
}
