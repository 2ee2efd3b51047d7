//! Requesting credits: pins what is bought and for how much.
//!
//! Whoever has to agree to it by the policy of the organization is asked in the same transaction.
//!
//! The organization is locked first, then the quote when one is bought, then the pool's head. [`request_in`] does it
//! inside a transaction that has locked the organization, and what comes between the two, before.

use std::sync::Arc;

use bursar_domain::approval::RoundCause;
use bursar_domain::id::{ApprovalId, CreditRequestId, PoolId, PurchaseId};
use bursar_domain::ledger::Refusal;
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::organization::OrganizationState;
use bursar_domain::purchase::ApprovalBasis;
use bursar_domain::{Currency, Money};
use bursar_entity::{organization, pool, pool_head, purchase};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect};
use serde_json::json;

use super::approval::{begins, open, wanted_for};
use super::timed::{PURCHASE_DUE, be_due};
use crate::approvals::Tried;
use crate::audit::{self, Change};
use crate::auth::{Actor, Authorized};
use crate::catalog::{self, Buying, Offer};
use crate::clock::Clock;
use crate::context::Context;
use crate::db::{self, Fault, Tenant, Txn, fault};
use crate::error::{Conflict, Error, Result};
use crate::idempotency::Idempotency;
use crate::{approvals, global_id, text};

/// What is to be bought.
#[derive(Clone, Debug)]
pub struct PurchaseRequest {
    /// A package, so many credits, or what the vendor has quoted.
    pub buying: Buying,
    /// In which currency; none: the organization's.
    pub currency: Option<Currency>,
    /// What the buyer expects it to cost; none: whatever it does.
    pub expected_total: Option<Money>,
    /// Why it is wanted.
    pub note: Option<String>,
    /// The buyer's own number of the order, for an invoice.
    pub purchase_order: Option<String>,
    /// The client's idempotency key.
    pub key: String,
    /// Whether everything is to be rolled back at the end.
    pub dry_run: bool,
}

/// A requested purchase.
#[derive(Clone, Debug)]
pub struct Requested {
    /// The purchase.
    pub purchase: purchase::Model,
    /// What people are asked about it; none: it was approved automatically, or had been requested before.
    pub request: Option<ApprovalId>,
    /// Whether it had been requested before, under the same key.
    pub replayed: bool,
    /// With all that people are asked about it, when it was only tried.
    pub tried: Option<Arc<Tried>>,
}

/// Requests credits for a pool. Those whom the organization's policy names have to agree; when it names nobody, the purchase
/// is approved automatically, and recorded so.
///
/// # Errors
/// What is wrong with the request, by its field; [`Conflict::PriceNotAvailable`], [`Conflict::QuoteRequired`] and
/// [`Conflict::QuoteExpired`] when there is no price; [`Conflict::QuoteInvalid`] when the quote token is none of the
/// organization's; [`Conflict::TotalChanged`] when it does not cost what is expected; [`Error::IdempotencyConflict`]; what
/// the database answers.
pub async fn request(
    context: &Context,
    pool: &Authorized<pool::Model>,
    request: PurchaseRequest,
) -> Result<Requested> {
    let PurchaseRequest { buying, currency, expected_total: expected, note, purchase_order, key, dry_run } =
        request;
    let note = text::optional_note("note", note.as_deref())?;
    let purchase_order = text::optional_name("purchaseOrder", purchase_order.as_deref())?;
    let form = form(pool.id, &buying, (currency, expected), (note.as_deref(), purchase_order.as_deref()));
    let idempotency = Idempotency::new("requestPurchase", &key, &form);
    let (tenant, clock) = (pool.tenant(), context.clock.clone());
    let field = buying.field();
    let wanted = Wanted {
        pool: pool.id,
        buying,
        field,
        currency,
        note,
        purchase_order,
        credit_request: None,
        by_itself: false,
        idempotency,
    };
    let actor = pool.actor().clone();
    let work = db::work(move |txn| {
        let (clock, actor, wanted) = (clock.clone(), actor.clone(), wanted.clone());
        Box::pin(async move {
            let mut requested = request_in(txn, (tenant, &actor), &clock, wanted).await?;
            as_expected(&requested, expected)?;
            if dry_run && !requested.replayed {
                requested.tried = approvals::tried(txn, tenant, requested.purchase.id).await?;
            }
            Ok(requested)
        })
    });
    if dry_run {
        return context.db.rehearse(tenant, work).await;
    }
    let requested = match context.db.write(tenant, work.clone()).await {
        // The same key at the same time: the other one's purchase can be seen now.
        Err(Error::Database(error)) if matches!(fault(&error), Fault::Unique(_)) => {
            context.db.write(tenant, work).await
        }
        outcome => outcome,
    }?;
    approvals::announce(context, tenant, requested.request.as_slice());
    Ok(requested)
}

/// Refuses what does not cost what the buyer expects. What was requested before has cost that then, and may cost less now.
fn as_expected(requested: &Requested, expected: Option<Money>) -> Result<()> {
    let purchase = &requested.purchase;
    let total = Money { minor: purchase.total, currency: purchase.currency };
    match expected {
        Some(expected) if expected != total && !requested.replayed => {
            let reason = format!("It costs {total}, and {expected} was expected.");
            Err(Error::conflict(Conflict::TotalChanged { expected, total }, "expectedTotal", reason))
        }
        _ => Ok(()),
    }
}

/// What was asked for, in canonical form.
fn form(
    pool: PoolId,
    buying: &Buying,
    (currency, expected): (Option<Currency>, Option<Money>),
    (note, purchase_order): (Option<&str>, Option<&str>),
) -> Canonical {
    let mut form = Canonical::of("purchase");
    form.id(pool);
    match buying {
        Buying::Package(code) => _ = form.text(code),
        Buying::Credits(credits) => _ = form.text("credits").number(credits.get()),
        Buying::Quote(quote) => _ = form.text("quote").id(*quote),
        Buying::Quoted { token, .. } => _ = form.text("token").text(token),
    }
    form.option(note, |form, note| _ = form.text(note));
    // Left out it has left no trace in requests of earlier versions, which may be repeated.
    if let Some(currency) = currency {
        form.text(currency.code());
    }
    if let Some(expected) = expected {
        form.text("expected total").number(expected.minor).text(expected.currency.code());
    }
    if let Some(order) = purchase_order {
        form.text("order").text(order);
    }
    form
}

/// What is to be bought, checked as far as that goes without looking anything up.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// For which pool.
    pub pool: PoolId,
    /// What.
    pub buying: Buying,
    /// The field of the input that says so.
    pub field: &'static str,
    /// In which currency; none: the organization's.
    pub currency: Option<Currency>,
    /// Why it is wanted.
    pub note: Option<String>,
    /// The buyer's own number of the order.
    pub purchase_order: Option<String>,
    /// The credit request that it answers.
    pub credit_request: Option<CreditRequestId>,
    /// Whether the pool buys by itself.
    pub by_itself: bool,
    /// Its key, and what came with it.
    pub idempotency: Idempotency,
}

/// Requests credits inside a transaction.
pub(super) async fn request_in(
    txn: &Txn,
    (tenant, actor): (Tenant, &Actor),
    clock: &Clock,
    wanted: Wanted,
) -> Result<Requested> {
    let known = purchase::Column::IdempotencyKey.eq(wanted.idempotency.key);
    if let Some(purchase) = tenant.find::<purchase::Entity>().filter(known).one(txn).await? {
        if purchase.request_hash != wanted.idempotency.request {
            return Err(Error::IdempotencyConflict);
        }
        return Ok(Requested { purchase, request: None, replayed: true, tried: None });
    }
    // A key asks in the name of whoever has made it.
    let Some(requested_by) = actor.answerable() else {
        return Err(Error::Forbidden);
    };
    let organization = tenant.find::<organization::Entity>().lock_exclusive().one(txn).await?;
    let organization = organization.ok_or(Error::not_found("organization"))?;
    actor.require_standing(txn, &organization).await?;
    if organization.state == OrganizationState::Suspended {
        return Err(Error::Refused(Refusal::OrganizationSuspended));
    }
    let now = clock.now();
    let (pool, buying) = (wanted.pool, &wanted.buying);
    let offer = catalog::offer(txn, tenant, &organization, pool, buying, wanted.currency, now).await;
    let offer = offer.map_err(|error| named(error, wanted.field))?;
    not_archived(txn, tenant, pool).await?;
    let fixed = catalog::fix_currency(txn, tenant, clock, actor, &organization, offer.currency).await?;
    let asked = wanted_for(txn, (tenant, &organization), requested_by, (pool, &offer), (None, now)).await?;
    let (state, approval_basis) = begins(asked.as_ref())?;
    let purchase = purchase::Model {
        organization_id: tenant.id(),
        id: clock.new_id::<PurchaseId>(),
        pool_id: pool,
        package_version_id: offer.package.version.id,
        requested_by,
        state,
        approval_basis,
        credits: offer.credits,
        total: offer.total,
        currency: offer.currency,
        lifetime_days: offer.lifetime_days,
        valid_until: asked
            .as_ref()
            .map_or(offer.valid_until, |asked| asked.price_until(offer.valid_until, now)),
        note: wanted.note,
        idempotency_key: wanted.idempotency.key,
        request_hash: wanted.idempotency.request,
        created_at: now,
        completed_at: None,
        credit_request_id: wanted.credit_request,
        unit_price: offer.unit_price,
        price_basis: offer.basis,
        quote_id: offer.quote,
        invoiced: false,
        returned: 0,
        purchase_order: wanted.purchase_order,
    };
    purchase::Entity::insert(purchase.clone().into_active_model()).exec_without_returning(txn).await?;
    if let Some(quote) = offer.quote {
        catalog::mark_quote_used(txn, tenant, quote).await?;
    }
    be_due(txn, tenant, PURCHASE_DUE, purchase.id, purchase.valid_until).await?;
    let opened = match asked {
        Some(asked) => {
            let round = (&purchase, requested_by, RoundCause::Requested);
            Some(open(txn, tenant, clock, asked, round, wanted.by_itself).await?)
        }
        None => None,
    };
    if let Some(fixed) = fixed {
        audit::record(txn, tenant, clock, actor, fixed).await?;
    }
    let change = Change::created("requestPurchase", purchase.id, facts(&purchase, &offer));
    audit::record(txn, tenant, clock, actor, change).await?;
    let request = opened.as_ref().map(|opened| opened.request.id);
    approvals::record(txn, tenant, clock, actor, opened.map(|opened| opened.changes).unwrap_or_default())
        .await?;
    Ok(Requested { purchase, request, replayed: false, tried: None })
}

/// What the audit log says of a request.
fn facts(purchase: &purchase::Model, offer: &Offer) -> serde_json::Value {
    let package = offer.is_package().then_some(offer.package.row.code.as_str());
    json!({
        "pool": global_id::encode(purchase.pool_id),
        "package": package,
        "credits": purchase.credits.get(),
        "totalMinor": purchase.total,
        "currency": purchase.currency.code(),
        "unitPriceMillionths": purchase.unit_price.get(),
        "priceBasis": purchase.price_basis.as_str(),
        "quote": purchase.quote_id.map(global_id::encode),
        "state": purchase.state.as_str(),
        "approval": purchase.approval_basis.as_ref().map(ApprovalBasis::as_str),
        "purchaseOrder": purchase.purchase_order,
        "creditRequest": purchase.credit_request_id.map(global_id::encode),
    })
}

/// An error about what is bought, with the name of the field that says so in the input at hand.
pub(super) fn named(error: Error, name: &'static str) -> Error {
    fn is_own(field: &str) -> bool {
        matches!(field, "package" | "credits" | "quoteId" | "quoteToken")
    }
    match error {
        Error::Invalid { field, reason } if is_own(&field) => Error::Invalid { field: name.into(), reason },
        Error::NotFound { what, field } if field.as_deref().is_none_or(is_own) => {
            Error::NotFound { what, field: Some(name.into()) }
        }
        Error::Conflict { kind, field, reason } if field.is_none_or(is_own) => {
            Error::Conflict { kind, field: Some(name), reason }
        }
        other => other,
    }
}

/// A pool that is being archived waits for this, or this finds it archived.
pub(super) async fn not_archived(txn: &Txn, tenant: Tenant, pool: PoolId) -> Result<()> {
    let head = tenant.find::<pool_head::Entity>().filter(pool_head::Column::PoolId.eq(pool));
    head.lock_exclusive().one(txn).await?;
    let row = tenant.find::<pool::Entity>().filter(pool::Column::Id.eq(pool)).one(txn).await?;
    match row {
        Some(row) if row.archived_at.is_none() => Ok(()),
        Some(_) => Err(Error::conflict(Conflict::State, "poolId", "The pool has been archived.")),
        None => Err(Error::not_found("pool").at("poolId")),
    }
}
