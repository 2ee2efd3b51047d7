//! Quotes: an organization asks the vendor for a price, and the vendor answers it.
//!
//! A quote is locked after the organization and before purchases. It is asked for once, answered as often as the vendor
//! likes until it is bought (see `quote_answers`), and bought by one purchase at a time: one that ends without having been
//! paid gives it back. A payment that has failed ends nothing, since the purchase can be paid by another one; it keeps its
//! quote until it is withdrawn or expires. Unbought it runs out, and it can be withdrawn (see `quote_life`).

use bursar_domain::id::{PoolId, QuoteId, UserId};
use bursar_domain::ledger::Refusal;
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::organization::OrganizationState;
use bursar_domain::pricing::{MAX_PURCHASE, QuoteState};
use bursar_domain::{Credits, Currency, Timestamp};
use bursar_entity::{organization, pool, purchase, quote};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect, Set, Unchanged};
use serde_json::{Value, json};

use super::quote_life::QUOTE_DUE;
use super::quote_mail::tell_vendor;
use super::{currency, fix_currency, once};
use crate::audit::{self, Change};
use crate::auth::{Actor, Authorized};
use crate::clock::Clock;
use crate::context::Context;
use crate::db::{self, Tenant, Txn, be_due, is_done};
use crate::error::{Conflict, Error, Result};
use crate::idempotency::Idempotency;
use crate::{global_id, text};

/// For how many days a request waits for an answer.
const WAITS_DAYS: i64 = 30;

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

/// Asks the vendor for a price of credits for a pool. That fixes the organization's currency. The vendor is told by mail, at
/// the address for alerts when there is one.
pub async fn request_quote(
    context: &Context,
    alerts: Option<&str>,
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
    let (credits, currency) = (new.credits, new.currency);
    let wanted = Wanted { pool: pool.id, credits, currency, note, requested_by: None, idempotency };
    let (actor, clock, alerts) = (pool.actor().clone(), context.clock.clone(), alerts.map(str::to_owned));
    let work = db::work(move |txn| {
        let (wanted, actor, clock, alerts) = (wanted.clone(), actor.clone(), clock.clone(), alerts.clone());
        Box::pin(async move { request_in(txn, (tenant, &actor), &clock, alerts.as_deref(), wanted).await })
    });
    let quoted = once(context, tenant, dry_run, work).await?;
    told(context, dry_run, &quoted);
    Ok(quoted)
}

/// Lets the mails of what was asked or answered leave at once.
pub(super) fn told(context: &Context, dry_run: bool, quoted: &Quoted) {
    if !dry_run && !quoted.replayed {
        context.changes.announce_mail();
    }
}

/// What a price is asked for, checked as far as that goes without looking anything up.
#[derive(Clone, Debug)]
struct Wanted {
    pool: PoolId,
    credits: Credits,
    currency: Option<Currency>,
    note: Option<String>,
    /// In whose name; none: in that of whoever acts.
    requested_by: Option<UserId>,
    idempotency: Idempotency,
}

/// Asks the vendor for another price of what a purchase is for whose quote holds no more, in the name of whoever has
/// requested it: once, however often that is found out. The organization is locked; nothing more may be locked afterwards.
///
/// # Errors
/// [`Error::Refused`] while the organization is suspended; [`Conflict::State`] when the pool has been archived; what the
/// database answers.
pub async fn request_quote_again(
    txn: &Txn,
    (tenant, actor): (Tenant, &Actor),
    clock: &Clock,
    alerts: Option<&str>,
    purchase: &purchase::Model,
) -> Result<quote::Model> {
    let mut form = Canonical::of("quote again");
    form.id(purchase.id).option(purchase.quote_id, |form, quote| _ = form.id(quote));
    let former = purchase.quote_id.map(global_id::encode).unwrap_or_default();
    let key = format!("{} {former}", global_id::encode(purchase.id));
    let wanted = Wanted {
        pool: purchase.pool_id,
        credits: purchase.credits,
        currency: Some(purchase.currency),
        note: purchase.note.clone(),
        requested_by: Some(purchase.requested_by),
        idempotency: Idempotency::new("requestQuoteAgain", &key, &form),
    };
    Ok(request_in(txn, (tenant, actor), clock, alerts, wanted).await?.quote)
}

async fn request_in(
    txn: &Txn,
    (tenant, actor): (Tenant, &Actor),
    clock: &Clock,
    alerts: Option<&str>,
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
    let requested_by = wanted.requested_by.or(actor.answerable()).ok_or(Error::Forbidden)?;
    let organization = tenant.find::<organization::Entity>().lock_exclusive().one(txn).await?;
    let organization = organization.ok_or(Error::not_found("organization"))?;
    actor.require_standing(txn, &organization).await?;
    if organization.state == OrganizationState::Suspended {
        return Err(Error::Refused(Refusal::OrganizationSuspended));
    }
    let row = tenant.find::<pool::Entity>().filter(pool::Column::Id.eq(wanted.pool)).one(txn).await?;
    let pool = row.ok_or(Error::not_found("pool").at("poolId"))?;
    if pool.archived_at.is_some() {
        return Err(Error::conflict(Conflict::State, "poolId", "The pool has been archived."));
    }
    let currency = currency(&organization, wanted.currency)?;
    let now = clock.now();
    let expires_at = now.plus_days(WAITS_DAYS);
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
        created_at: now,
        expires_at: Some(expires_at),
    };
    quote::Entity::insert(quote.clone().into_active_model()).exec_without_returning(txn).await?;
    be_due(txn, tenant, QUOTE_DUE, quote.id, expires_at).await?;
    // In a sandbox nothing is real, and nobody of the vendor's staff is asked for anything.
    if organization.sandbox_of.is_none() {
        tell_vendor(txn, tenant, clock, alerts, (&organization, &pool, &quote)).await?;
    }
    if let Some(change) = fixed {
        audit::record(txn, tenant, clock, actor, change).await?;
    }
    let change = Change::created("requestQuote", quote.id, facts(&quote));
    audit::record(txn, tenant, clock, actor, change).await?;
    Ok(Quoted { quote, replayed: false })
}

pub(super) fn facts(quote: &quote::Model) -> Value {
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

/// Locks the quote that a purchase was made by, when there is one. Whoever may end the purchase does so before the purchase
/// itself is locked.
///
/// # Errors
/// There is no such quote; what the database answers.
pub async fn lock_quote(txn: &Txn, tenant: Tenant, id: Option<QuoteId>) -> Result<()> {
    if let Some(id) = id {
        lock(txn, tenant, id).await?;
    }
    Ok(())
}

/// Gives back the quote of a purchase that has ended without having been paid: as long as its price holds, it can be
/// bought again, and runs out after that. The quote is locked.
///
/// # Errors
/// There is no such quote; what the database answers.
pub async fn release_quote(txn: &Txn, tenant: Tenant, id: QuoteId) -> Result<()> {
    let quote = lock(txn, tenant, id).await?;
    write_state(txn, tenant, id, QuoteState::Answered).await?;
    let Some(until) = quote.valid_until else { return Ok(()) };
    // Whoever looks at it just now may still find it bought, and would let nobody look at it again.
    is_done(txn, tenant, QUOTE_DUE, id).await?;
    be_due(txn, tenant, QUOTE_DUE, id, until).await
}

/// Marks a quote as bought, which is locked: nobody buys it again while its purchase may still be paid.
pub async fn mark_quote_used(txn: &Txn, tenant: Tenant, id: QuoteId) -> Result<()> {
    write_state(txn, tenant, id, QuoteState::Used).await
}

async fn write_state(txn: &Txn, tenant: Tenant, id: QuoteId, state: QuoteState) -> Result<()> {
    let row = quote::ActiveModel {
        organization_id: Unchanged(tenant.id()),
        id: Unchanged(id),
        state: Set(state),
        ..Default::default()
    };
    quote::Entity::update(row).exec_without_returning(txn).await?;
    Ok(())
}
