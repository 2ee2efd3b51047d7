//! Answers of the vendor to quote requests: a price, or no. As long as nobody has bought the quote it can be answered anew;
//! what was answered before is kept, so that whoever repeats an answer is told what it was, and changes nothing.

use bursar_domain::id::QuoteId;
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::pricing::{PriceBook, QuoteRefusal, QuoteState};
use bursar_domain::{Money, Timestamp};
use bursar_entity::{quote, quote_answer};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, Set, Unchanged};

use super::quote_life::QUOTE_DUE;
use super::quote_mail::tell_requester;
use super::quotes::{Quoted, facts, lock, told};
use super::{lifetime, once, price_book};
use crate::audit::{self, Change};
use crate::auth::{Actor, Authorized};
use crate::clock::Clock;
use crate::context::Context;
use crate::db::{self, Tenant, Txn, be_due};
use crate::error::{Conflict, Error, Result};
use crate::idempotency::Idempotency;
use crate::organizations::lock_for;
use crate::text;

/// For how many days an answer holds when it does not say.
const USUAL_DAYS: i64 = 30;
/// For how many days an answer may hold.
const MAX_DAYS: i64 = 366;

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

/// Answers a quote request, or answers it anew as long as nobody has bought the quote. Whoever asked is told by mail.
///
/// # Errors
/// [`Conflict::State`] when it was bought or withdrawn; [`Conflict::PriceRises`] when a credit would cost more than it costs
/// whoever buys fewer; what is wrong with the answer, by its field; [`Error::IdempotencyConflict`]; what the database
/// answers.
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
    let quoted = once(context, tenant, dry_run, work).await?;
    told(context, dry_run, &quoted);
    Ok(quoted)
}

async fn answer_in(
    txn: &Txn,
    (tenant, actor): (Tenant, &Actor),
    clock: &Clock,
    (id, price, note): (QuoteId, Option<QuotePrice>, Option<String>),
    idempotency: Idempotency,
) -> Result<Quoted> {
    lock_for(txn, tenant, actor).await?;
    let before = lock(txn, tenant, id).await?;
    if let Some(quote) = repeated(txn, tenant, &before, idempotency).await? {
        return Ok(Quoted { quote, replayed: true });
    }
    let reason = match before.state {
        QuoteState::Used => Some("The quote has been bought already."),
        QuoteState::Withdrawn => Some("The quote has been withdrawn."),
        QuoteState::Requested | QuoteState::Answered | QuoteState::Declined | QuoteState::Expired => None,
    };
    if let Some(reason) = reason {
        return Err(Error::conflict(Conflict::State, "quoteId", reason));
    }
    let now = clock.now();
    keep(txn, tenant, &before).await?;
    let answered = quote::Model {
        state: QuoteState::Declined,
        unit_price: None,
        total: None,
        lifetime_days: None,
        valid_until: None,
        answer: note,
        answered_at: Some(now),
        answer_key: Some(idempotency.key),
        answer_hash: Some(idempotency.request),
        ..before.clone()
    };
    let after = match price {
        Some(price) => {
            let book = price_book(txn, tenant, before.currency, now).await?;
            priced(answered, price, &book, now)?
        }
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
    if let Some(until) = after.valid_until {
        be_due(txn, tenant, QUOTE_DUE, id, until).await?;
    }
    tell_requester(txn, tenant, clock, &after).await?;
    let change = Change::updated("answerQuote", id, facts(&before), facts(&after));
    audit::record(txn, tenant, clock, actor, change).await?;
    Ok(Quoted { quote: after, replayed: false })
}

/// The quote as it was answered under a key before; none: the key is new.
async fn repeated(
    txn: &Txn,
    tenant: Tenant,
    locked: &quote::Model,
    idempotency: Idempotency,
) -> Result<Option<quote::Model>> {
    let known = quote::Column::AnswerKey.eq(idempotency.key);
    if let Some(quote) = tenant.find::<quote::Entity>().filter(known).one(txn).await? {
        return match quote.answer_hash == Some(idempotency.request) {
            true => Ok(Some(quote)),
            false => Err(Error::IdempotencyConflict),
        };
    }
    let known = quote_answer::Column::AnswerKey.eq(idempotency.key);
    let Some(former) = tenant.find::<quote_answer::Entity>().filter(known).one(txn).await? else {
        return Ok(None);
    };
    // The quote is part of what is compared: it is the one that is locked.
    if former.answer_hash != idempotency.request {
        return Err(Error::IdempotencyConflict);
    }
    Ok(Some(quote::Model {
        state: former.state,
        unit_price: former.unit_price,
        total: former.total,
        lifetime_days: former.lifetime_days,
        valid_until: former.valid_until,
        answer: former.answer,
        answered_at: Some(former.answered_at),
        answer_key: Some(former.answer_key),
        answer_hash: Some(former.answer_hash),
        ..locked.clone()
    }))
}

/// Keeps the answer that a quote has, which is locked, before another one takes its place.
async fn keep(txn: &Txn, tenant: Tenant, quote: &quote::Model) -> Result<()> {
    let (Some(answered_at), Some(answer_key), Some(answer_hash)) =
        (quote.answered_at, quote.answer_key, quote.answer_hash)
    else {
        return Ok(());
    };
    let earlier = tenant.find::<quote_answer::Entity>().filter(quote_answer::Column::QuoteId.eq(quote.id));
    let earlier = earlier.all(txn).await?.len();
    let number = i64::try_from(earlier).map_err(|_| Error::internal("a quote has too many answers"))? + 1;
    let row = quote_answer::Model {
        organization_id: tenant.id(),
        quote_id: quote.id,
        number,
        // It may have run out since.
        state: if quote.total.is_some() { QuoteState::Answered } else { QuoteState::Declined },
        unit_price: quote.unit_price,
        total: quote.total,
        lifetime_days: quote.lifetime_days,
        valid_until: quote.valid_until,
        answer: quote.answer.clone(),
        answered_at,
        answer_key,
        answer_hash,
    };
    quote_answer::Entity::insert(row.into_active_model()).exec_without_returning(txn).await?;
    Ok(())
}

/// The quote with a price, which must not make a credit dearer than it is for whoever buys fewer from the price book.
fn priced(quote: quote::Model, price: QuotePrice, book: &PriceBook, now: Timestamp) -> Result<quote::Model> {
    const TOTAL: &str = "answer.price.total.amount";
    let invalid = |field: &str, reason: String| Error::invalid(format!("answer.price.{field}"), reason);
    if price.total.currency != quote.currency {
        return Err(invalid("total.currency", format!("must be {}", quote.currency)));
    }
    let unit_price = book.quoted(quote.credits, price.total.minor).map_err(|refusal| match refusal {
        QuoteRefusal::OutOfRange => Error::invalid(TOTAL, "is out of range for so many credits"),
        QuoteRefusal::PriceRises { highest } => {
            let highest = Money { minor: highest, currency: quote.currency };
            let reason = format!(
                "Whoever buys fewer credits pays less for each: {} credits may cost at most {highest}.",
                quote.credits
            );
            Error::conflict(Conflict::PriceRises { highest }, TOTAL, reason)
        }
    })?;
    let lifetime_days = lifetime("answer.price.lifetimeDays".to_owned(), price.lifetime_days)?;
    let valid_until = price.valid_until.unwrap_or(now.plus_days(USUAL_DAYS));
    if valid_until <= now || valid_until > now.plus_days(MAX_DAYS) {
        let reason = format!("must be in the future, and within {MAX_DAYS} days");
        return Err(invalid("validUntil", reason));
    }
    Ok(quote::Model {
        state: QuoteState::Answered,
        unit_price: Some(unit_price),
        total: Some(price.total.minor),
        lifetime_days,
        valid_until: Some(valid_until),
        ..quote
    })
}
