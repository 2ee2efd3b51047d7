//! Changing a purchase before it is paid: whoever has to agree is asked anew, whatever was changed. And the same at the
//! price of today, when the one that people had agreed to is no longer valid.
//!
//! Checkouts of what was to be bought before are closed. Money that arrives by one of them all the same is parked: it was
//! paid for something else.

use bursar_domain::Timestamp;
use bursar_domain::approval::{RequestState, RoundCause};
use bursar_domain::id::{ApprovalId, PurchaseId, UserId};
use bursar_domain::ledger::Refusal;
use bursar_domain::organization::OrganizationState;
use bursar_domain::pricing::PriceBasis;
use bursar_domain::purchase::{PaymentState, PurchaseState, resubmit};
use bursar_entity::{auto_top_up, organization, payment, purchase};
use sea_orm::{ColumnTrait, QueryFilter};
use serde_json::{Value, json};

use super::agreed::SUPERSEDED;
use super::approval::{begins, open, wanted_for};
use super::closing::{close_checkouts, close_sessions};
use super::pay_again::checkout_failed;
use super::reprice::as_bought;
use super::request::{named, not_archived};
use super::timed::{PURCHASE_DUE, be_due, is_done};
use super::top_up::{Ended, ended_in};
use super::{Selling, lock, nothing_under_way, refused, write_payment, write_purchase};
use crate::audit::Change;
use crate::auth::{Actor, Authorized};
use crate::catalog::{self, Buying, Offer};
use crate::clock::Clock;
use crate::db::{self, Tenant, Txn};
use crate::error::{Conflict, Error, Result};
use crate::organizations::lock_organization;
use crate::{approvals, global_id, text};

/// What is to be changed of a purchase. What is left out stays.
#[derive(Clone, Debug, Default)]
pub struct PurchaseUpdate {
    /// The newest round of approval, as it was seen; none: nobody was asked yet.
    pub round: Option<i64>,
    /// What is bought.
    pub buying: Option<Buying>,
    /// Why it is wanted.
    pub note: Option<Option<String>>,
    /// The buyer's own number of the order.
    pub purchase_order: Option<Option<String>>,
}

/// A purchase that has begun again.
#[derive(Clone, Debug)]
pub(super) struct Resubmitted {
    /// The purchase.
    pub purchase: purchase::Model,
    /// The request about it, when there is one.
    pub request: Option<ApprovalId>,
    /// The checkouts that were open.
    pub closed: Vec<String>,
}

impl Resubmitted {
    /// Whether somebody has to agree to it as it is now.
    pub fn asks(&self) -> bool {
        self.purchase.state == PurchaseState::PendingApproval
    }
}

/// Changes a purchase that is not paid. Whatever is changed, whoever has to agree is asked anew.
///
/// # Errors
/// What is wrong with a field; [`Conflict::State`] when it can no longer be changed, its payment is under way, somebody has
/// said no, or `round` is not the newest; when there is no price; what the database answers.
pub async fn update(
    selling: &Selling,
    purchase: &Authorized<purchase::Model>,
    update: PurchaseUpdate,
) -> Result<purchase::Model> {
    let update = PurchaseUpdate {
        note: checked("note", update.note, text::optional_note)?,
        purchase_order: checked("purchaseOrder", update.purchase_order, text::optional_name)?,
        ..update
    };
    let context = selling.context();
    let (tenant, actor, id) = (purchase.tenant(), purchase.actor().clone(), purchase.id);
    let clock = context.clock.clone();
    let work = db::work(move |txn| {
        let (actor, clock, update) = (actor.clone(), clock.clone(), update.clone());
        Box::pin(async move { update_in(txn, (tenant, &actor), &clock, id, update).await })
    });
    let Resubmitted { purchase, request, closed } = context.db.write(tenant, work).await?;
    context.changes.announce_purchase(tenant.id(), id);
    approvals::announce(context, tenant, request.as_slice());
    close_sessions(selling, tenant, &closed).await;
    Ok(purchase)
}

/// A text that may be left out, changed or taken away, as it has to be.
fn checked(
    field: &'static str,
    value: Option<Option<String>>,
    of: impl Fn(&'static str, Option<&str>) -> Result<Option<String>>,
) -> Result<Option<Option<String>>> {
    value.map(|value| of(field, value.as_deref())).transpose()
}

async fn update_in(
    txn: &Txn,
    (tenant, actor): (Tenant, &Actor),
    clock: &Clock,
    id: PurchaseId,
    update: PurchaseUpdate,
) -> Result<Resubmitted> {
    // A key asks in the name of whoever has made it.
    let requester = actor.answerable().ok_or(Error::Forbidden)?;
    let organization = lock_organization(txn, tenant).await?;
    actor.require_standing(txn, &organization).await?;
    if organization.state == OrganizationState::Suspended {
        return Err(Error::Refused(Refusal::OrganizationSuspended));
    }
    let row = tenant.find::<purchase::Entity>().filter(purchase::Column::Id.eq(id)).one(txn).await?;
    let row = row.ok_or(Error::not_found("purchase").at("purchaseId"))?;
    catalog::lock_quote(txn, tenant, row.quote_id).await?;
    if let Some(Buying::Quote(quote)) = &update.buying {
        let locked = catalog::lock_quote(txn, tenant, Some(*quote)).await;
        locked.map_err(|error| named(error, "quoteId"))?;
    }
    let before = lock(txn, tenant, id).await?;
    newest_round(txn, tenant, id, update.round).await?;
    let note = update.note.unwrap_or_else(|| before.note.clone());
    let purchase_order = update.purchase_order.unwrap_or_else(|| before.purchase_order.clone());
    if update.buying.is_none() && note == before.note && purchase_order == before.purchase_order {
        // What can no longer begin again can no longer be changed either.
        resubmit(before.state, before.invoiced).map_err(|refusal| refused(refusal, "purchaseId"))?;
        return Ok(Resubmitted { purchase: before, request: None, closed: Vec::new() });
    }
    let buying = match update.buying {
        Some(buying) => Some(buying),
        None if before.price_basis == PriceBasis::Quote => None,
        None => {
            let (now, currency) = (clock.now(), Some(before.currency));
            let buying = as_bought(txn, &before, now).await?;
            let offer =
                catalog::preview(txn, tenant, &organization, before.pool_id, &buying, currency, now).await;
            match offer {
                // There is no price of today: the pinned one holds as long as it is valid, as at a checkout.
                Err(Error::Conflict {
                    kind: Conflict::QuoteRequired | Conflict::PriceNotAvailable, ..
                }) if before.state != PurchaseState::Expired && before.valid_until > now => None,
                _ => Some(buying),
            }
        }
    };
    let again = Again { buying, note, purchase_order, requester, cause: RoundCause::Edited };
    begin_again(txn, (tenant, actor), clock, (&organization, &before), again).await
}

/// Refuses a change by somebody who has not seen the newest round. The organization is locked.
async fn newest_round(txn: &Txn, tenant: Tenant, purchase: PurchaseId, seen: Option<i64>) -> Result<()> {
    let request = approvals::find_of_purchase(txn, tenant, purchase).await?;
    if request.map(|request| request.round) == seen {
        return Ok(());
    }
    Err(Error::conflict(Conflict::State, "round", "It has changed since; read it again."))
}

/// What has become of a purchase whose price was no longer valid.
#[derive(Clone, Debug)]
pub(super) enum Reopened {
    /// It has begun again, at the price of today.
    Again(Resubmitted),
    /// The vendor had quoted it, and so many have no price of today: the vendor is asked for another one. The purchase is as
    /// it was.
    Requoted(purchase::Model),
}

/// Asks those anew who have to agree to a purchase whose price is no longer valid, at the price of today: by the policy of
/// today that may be nobody. Or asks the vendor for a price, when the vendor had quoted the former and there is none of today.
/// None: nobody had agreed to it. Organization, quote and purchase are locked; nothing more may be locked afterwards.
///
/// # Errors
/// When there is no price any more; what the database answers.
pub(super) async fn reopen(
    txn: &Txn,
    (tenant, actor): (Tenant, &Actor),
    selling: &Selling,
    (organization, before): (&organization::Model, &purchase::Model),
) -> Result<Option<Reopened>> {
    if !approvals::was_agreed(txn, tenant, before.id).await? {
        return Ok(None);
    }
    let clock = &selling.context().clock;
    let buying = as_bought(txn, before, clock.now()).await?;
    if before.price_basis == PriceBasis::Quote {
        let (pool, currency) = (before.pool_id, Some(before.currency));
        let offer = catalog::preview(txn, tenant, organization, pool, &buying, currency, clock.now()).await;
        if let Err(Error::Conflict { kind: Conflict::QuoteRequired | Conflict::PriceNotAvailable, .. }) =
            offer
        {
            resubmit(before.state, before.invoiced).map_err(|refusal| refused(refusal, "purchaseId"))?;
            nothing_under_way(txn, tenant, before).await?;
            let alerts = selling.settings.alerts.as_deref();
            catalog::request_quote_again(txn, (tenant, actor), clock, alerts, before).await?;
            return Ok(Some(Reopened::Requoted(before.clone())));
        }
    }
    let again = Again {
        buying: Some(buying),
        note: before.note.clone(),
        purchase_order: before.purchase_order.clone(),
        requester: before.requested_by,
        cause: RoundCause::PriceExpired,
    };
    let again = begin_again(txn, (tenant, actor), clock, (organization, before), again).await?;
    Ok(Some(Reopened::Again(again)))
}

/// What a purchase begins again with.
struct Again {
    /// What is bought at the price of today; none: the same as the vendor has quoted, as long as that is valid.
    buying: Option<Buying>,
    note: Option<String>,
    purchase_order: Option<String>,
    requester: UserId,
    cause: RoundCause,
}

/// Lets a purchase begin again, at the price of today. Organization, quotes and purchase are locked.
async fn begin_again(
    txn: &Txn,
    (tenant, actor): (Tenant, &Actor),
    clock: &Clock,
    (organization, before): (&organization::Model, &purchase::Model),
    again: Again,
) -> Result<Resubmitted> {
    let moved = resubmit(before.state, before.invoiced).map_err(|refusal| refused(refusal, "purchaseId"))?;
    nothing_under_way(txn, tenant, before).await?;
    let (now, id, pool) = (clock.now(), before.id, before.pool_id);
    let Again { buying, note, purchase_order, requester, cause } = again;
    let offer = match &buying {
        Some(buying) => {
            // Whoever only wants to pay has not said what is bought.
            let field = if cause == RoundCause::PriceExpired { "purchaseId" } else { buying.field() };
            let currency = Some(before.currency);
            let offer = catalog::offer(txn, tenant, organization, pool, buying, currency, now).await;
            offer.map_err(|error| named(error, field))?
        }
        None => as_quoted(txn, before, now).await?,
    };
    let asked = wanted_for(txn, (tenant, organization), requester, (pool, &offer), (Some(id), now)).await?;
    let (state, approval_basis) = begins(asked.as_ref())?;
    let valid_until = match (&buying, &asked) {
        (Some(_), Some(asked)) => asked.price_until(offer.valid_until, now),
        // Nobody gets what was quoted for longer by changing something else.
        (None, _) | (_, None) => offer.valid_until,
    };
    let after = purchase::Model {
        state,
        approval_basis,
        package_version_id: offer.package.version.id,
        credits: offer.credits,
        total: offer.total,
        unit_price: offer.unit_price,
        price_basis: offer.basis,
        currency: offer.currency,
        lifetime_days: offer.lifetime_days,
        quote_id: offer.quote,
        valid_until,
        note,
        purchase_order,
        ..before.clone()
    };
    exchange_quotes(txn, tenant, before, &offer).await?;
    write_purchase(txn, &after).await?;
    // Whoever has changed it, or has begun to pay it, has taken it over: what a pool buys by itself is as it was set.
    let is_taken_over = cause == RoundCause::Edited || before.state != PurchaseState::Approved;
    let (request, mut changes) = match asked {
        Some(asked) => {
            let by_itself = !is_taken_over && is_bought_by_itself(txn, tenant, id).await?;
            let opened = open(txn, tenant, clock, asked, (&after, requester, cause), by_itself).await?;
            (Some(opened.request.id), opened.changes)
        }
        // As it is now it needs nobody's consent.
        None => {
            let ended = approvals::withdraw(txn, tenant, clock, id, RequestState::Withdrawn).await?;
            let request = approvals::find_of_purchase(txn, tenant, id).await?.map(|row| row.id);
            (request, ended.into_iter().collect())
        }
    };
    let closed = close_checkouts(txn, tenant, clock, id, moved.effect).await?;
    if !closed.is_empty() && after.state == PurchaseState::Approved {
        checkout_failed(txn, tenant, clock, id).await?;
    }
    supersede(txn, tenant, id).await?;
    if is_taken_over {
        ended_in(txn, tenant, clock, id, Ended::Closed).await?;
    }
    not_archived(txn, tenant, pool).await?;
    // Whoever is at its end just now gives nothing back: what they hold is of the time before.
    is_done(txn, tenant, PURCHASE_DUE, id).await?;
    be_due(txn, tenant, PURCHASE_DUE, id, after.valid_until).await?;
    let mut is = facts(&after);
    is["closedPayments"] = closed.as_slice().into();
    is["cause"] = cause.as_str().into();
    let change = Change::updated("updatePurchase", id, facts(before), is);
    let said = after.note.as_deref().filter(|_| after.note != before.note);
    let change = match said {
        Some(note) => change.about(Some(requester), approvals::NOTE, note),
        None => change,
    };
    changes.insert(0, change);
    approvals::record(txn, tenant, clock, actor, changes).await?;
    Ok(Resubmitted { purchase: after, request, closed })
}

/// Whether it is a pool that buys it, by itself.
async fn is_bought_by_itself(txn: &Txn, tenant: Tenant, purchase: PurchaseId) -> Result<bool> {
    let own = tenant.find::<auto_top_up::Entity>().filter(auto_top_up::Column::PurchaseId.eq(purchase));
    Ok(own.one(txn).await?.is_some())
}

/// What the vendor has quoted for a purchase, once more: as long as that is valid it is the purchase's own.
async fn as_quoted(txn: &Txn, before: &purchase::Model, now: Timestamp) -> Result<Offer> {
    if before.state == PurchaseState::Expired || before.valid_until <= now {
        let reason =
            "must be given, or else credits, quoteId or quoteToken: what was quoted is no longer valid";
        return Err(Error::invalid("package", reason));
    }
    let package = catalog::package_of_version(txn, before.package_version_id).await?;
    Ok(Offer {
        package: package.ok_or_else(|| Error::internal("a purchase without its package"))?,
        credits: before.credits,
        unit_price: before.unit_price,
        total: before.total,
        currency: before.currency,
        lifetime_days: before.lifetime_days,
        basis: before.price_basis,
        quote: before.quote_id,
        considered: Vec::new(),
        valid_until: before.valid_until,
    })
}

/// Gives back what was quoted before, and marks what is bought now.
async fn exchange_quotes(txn: &Txn, tenant: Tenant, before: &purchase::Model, offer: &Offer) -> Result<()> {
    // That of a purchase that has expired was given back then, and may be another one's since.
    let held = before.quote_id.filter(|_| before.state != PurchaseState::Expired);
    if let Some(quote) = held.filter(|quote| offer.quote != Some(*quote)) {
        catalog::release_quote(txn, tenant, quote).await?;
    }
    if let Some(quote) = offer.quote {
        catalog::mark_quote_used(txn, tenant, quote).await?;
    }
    Ok(())
}

/// Marks the checkouts of what was to be bought before, which are closed. The purchase is locked.
async fn supersede(txn: &Txn, tenant: Tenant, purchase: PurchaseId) -> Result<()> {
    let rows = tenant
        .find::<payment::Entity>()
        .filter(payment::Column::PurchaseId.eq(purchase))
        .filter(payment::Column::State.is_in([PaymentState::Failed, PaymentState::Cancelled]));
    for row in rows.all(txn).await? {
        let failure = Some(SUPERSEDED.to_owned());
        write_payment(txn, &payment::Model { failure, ..row }).await?;
    }
    Ok(())
}

/// What the log says of a purchase that begins again. The note is a value that can be emptied.
fn facts(row: &purchase::Model) -> Value {
    json!({
        "state": row.state.as_str(),
        "credits": row.credits.get(),
        "totalMinor": row.total,
        "currency": row.currency.code(),
        "priceBasis": row.price_basis.as_str(),
        "quote": row.quote_id.map(global_id::encode),
        "purchaseOrder": row.purchase_order,
    })
}
