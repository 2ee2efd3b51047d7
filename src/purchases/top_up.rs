//! Pools that buy by themselves: once what is available has fallen to the threshold, a package is requested and the stored
//! way of paying is charged without anybody being there.
//!
//! One purchase is under way at a time, whatever nodes and restarts do: it stands in the row of the top-up, which is locked
//! when it begins. It is written before the provider is asked, with a payment whose id is the provider's key; whoever
//! finds it so asks again with that key, and is told the same. A decline ends the purchase, and the next try waits. When
//! the bank wants the owner of the card to be there, the purchase stays, to be paid at a checkout.
//!
//! # Order of locks
//! The organization when a purchase begins; purchase and payment when one ends; then the row of the top-up.

mod charge;
mod halted;
mod left_behind;

use bursar_domain::Timestamp;
use bursar_domain::id::{ApprovalId, PaymentId, PoolId, PurchaseId};
use bursar_domain::ledger::Refusal;
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::period::{Period, PeriodKind};
use bursar_domain::purchase::{PaymentState, PurchaseEvent, PurchaseState, apply};
use bursar_domain::top_up::{TopUp, TopUpDecision, TopUpState, at_rest, decide, declined, highest_threshold};
use bursar_entity::{auto_top_up, organization, payment, payment_method, pool, purchase};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect};
use serde_json::json;

use self::charge::pursue;
pub(super) use self::halted::halt_in;
pub(super) use self::left_behind::{name_charge, require_charged};
use super::checkout::title;
use super::closing::close_checkouts;
use super::payment_methods::{find_method, is_usable};
use super::reprice::{repriced, told_price};
use super::request::{Wanted, request_in};
use super::top_up_settings::{find_top_up, lock_top_up, write_top_up, written};
use super::{Selling, refused, write_purchase};
use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::catalog::{self, Buying};
use crate::clock::Clock;
use crate::context::Context;
use crate::db::{self, Tenant, Txn};
use crate::error::{Error, Result};
use crate::idempotency::Idempotency;
use crate::organizations::lock_organization;
use crate::{approvals, global_id, ledger, periods};

/// After how many seconds a pool is looked at again.
const SOON_SECONDS: i64 = 15;
/// The same, when people have to change something first.
const LATER_SECONDS: i64 = 3_600;
/// The word of providers for a bank that wants the owner of the card to be there.
const AUTHENTICATION: &str = "authentication_required";

/// How the purchase of a top-up has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is paid.
    Paid,
    /// The way of paying was declined.
    Declined {
        /// The provider's word for the reason.
        code: String,
        /// Whether the bank wants the owner to be there.
        authentication: bool,
    },
    /// Somebody has withdrawn it, or its price is no longer valid.
    Closed,
    /// Somebody who was asked has said no.
    Rejected,
}

/// The purchase of a top-up has ended, as far as it is one: what follows for the pool's next one. The purchase is locked.
pub(super) async fn ended_in(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    purchase: PurchaseId,
    ended: Ended,
) -> Result<()> {
    let own = tenant.find::<auto_top_up::Entity>().filter(auto_top_up::Column::PurchaseId.eq(purchase));
    let Some(row) = own.lock_exclusive().one(txn).await? else { return Ok(()) };
    let rest = at_rest(row.enabled, is_consented(txn, tenant, &row).await?);
    let now = clock.now();
    let idle = auto_top_up::Model { purchase_id: None, updated_at: now, ..row.clone() };
    let after = match ended {
        Ended::Paid => {
            let last_error = halted::after_paid(&row);
            auto_top_up::Model { state: rest, declines: 0, retry_at: None, last_error, ..idle }
        }
        // Whoever pays it by hand may try several times.
        Ended::Declined { .. } if row.state == TopUpState::AuthenticationRequired => return Ok(()),
        Ended::Declined { code, authentication } if authentication || code == AUTHENTICATION => {
            let state = TopUpState::AuthenticationRequired;
            auto_top_up::Model { state, retry_at: None, last_error: Some(code), updated_at: now, ..row }
        }
        Ended::Declined { code, .. } => {
            let declines = row.declines.saturating_add(1);
            waiting(auto_top_up::Model { declines, last_error: Some(code), ..idle }, rest, now)
        }
        // The same would be asked again and again.
        Ended::Rejected => {
            let last_error = Some("Somebody who was asked has said no.".to_owned());
            auto_top_up::Model { state: TopUpState::Paused, retry_at: None, last_error, ..idle }
        }
        // Whoever has withdrawn it does not want the same again at once.
        Ended::Closed => waiting(idle, rest, now),
    };
    write_top_up(txn, &after).await
}

/// The row with the wait that its declines lead to, unless something else stands in the way.
fn waiting(row: auto_top_up::Model, rest: TopUpState, now: Timestamp) -> auto_top_up::Model {
    if rest != TopUpState::Ready {
        return auto_top_up::Model { state: rest, retry_at: None, ..row };
    }
    let (state, seconds) = declined(row.declines);
    let retry_at = (state == TopUpState::BackingOff).then(|| now.plus_seconds(seconds));
    auto_top_up::Model { state, retry_at, ..row }
}

/// Whether there is a way of paying that may be charged.
async fn is_consented(txn: &Txn, tenant: Tenant, row: &auto_top_up::Model) -> Result<bool> {
    let Some(id) = row.payment_method_id else { return Ok(false) };
    Ok(find_method(txn, tenant, id).await?.is_some_and(|method| is_usable(&method)))
}

/// Looks whether a pool has to buy, and buys; or brings what is under way to its end. Answers when to look again.
///
/// # Errors
/// [`Error::Unavailable`] when the provider cannot be reached; what the database answers. Done again, it goes on.
pub async fn top_up(selling: &Selling, tenant: Tenant, pool: PoolId) -> Result<Timestamp> {
    let context = selling.context();
    let now = context.clock.now();
    let (soon, later) = (now.plus_seconds(SOON_SECONDS), now.plus_seconds(LATER_SECONDS));
    let snapshot = context.db.read(tenant).await?;
    let Some(row) = find_top_up(&snapshot, tenant, pool).await? else { return Ok(later) };
    match row.state {
        TopUpState::Charging | TopUpState::AuthenticationRequired => {
            drop(snapshot);
            pursue(selling, tenant, pool).await?;
            return Ok(soon);
        }
        _ if !row.enabled => return Ok(later),
        TopUpState::BackingOff if row.retry_at.is_some_and(|at| at > now) => {
            return Ok(row.retry_at.map_or(soon, |at| at.min(later)));
        }
        // Whoever agrees, or switches it on again, lets it be looked at.
        TopUpState::AwaitingConsent | TopUpState::Paused => return Ok(soon),
        TopUpState::Ready | TopUpState::BackingOff => {}
    }
    let row_of_pool = tenant.find::<pool::Entity>().filter(pool::Column::Id.eq(pool)).one(&snapshot).await?;
    match row_of_pool {
        Some(pool) if pool.archived_at.is_some() => return Ok(later),
        // What it would buy could not come in.
        Some(pool) if pool.frozen_at.is_some() => return Ok(soon),
        Some(_) => {}
        None => return Ok(later),
    }
    let balance = ledger::pool_balance(&snapshot, tenant, pool, now).await?;
    drop(snapshot);
    if balance.available() > row.threshold {
        return Ok(soon);
    }
    let own = selling.clone();
    let work = db::work(move |txn| {
        let selling = own.clone();
        Box::pin(async move { begin(txn, &selling, tenant, pool).await })
    });
    match context.db.write(tenant, work).await {
        Ok(Begun::Purchase(purchase, request)) => {
            context.changes.announce_purchase(tenant.id(), purchase);
            // Whoever has to agree sees that it waits, and has mail.
            approvals::announce(context, tenant, request.as_slice());
            pursue(selling, tenant, pool).await?;
            Ok(soon)
        }
        Ok(Begun::Nothing(at)) => Ok(at.unwrap_or(soon).min(later)),
        Err(error) if waits_for_people(&error) => {
            tracing::warn!(%error, "a pool cannot buy by itself");
            // That an organization is suspended is said where it stands.
            if !matches!(error, Error::Refused(_)) {
                say(selling, tenant, pool, error.to_string()).await?;
            }
            Ok(later)
        }
        Err(error) => Err(error),
    }
}

/// Whether a pool has to buy, as far as its own rows say: it is ready to, and has fallen to the threshold. Changes nothing.
///
/// # Errors
/// What the database answers.
pub async fn has_fallen(context: &Context, tenant: Tenant, pool: PoolId) -> Result<bool> {
    let now = context.clock.now();
    let snapshot = context.db.read(tenant).await?;
    let Some(row) = find_top_up(&snapshot, tenant, pool).await? else { return Ok(false) };
    let is_ready = row.enabled && matches!(row.state, TopUpState::Ready | TopUpState::BackingOff);
    if !is_ready || row.retry_at.is_some_and(|at| at > now) {
        return Ok(false);
    }
    let open = tenant
        .find::<pool::Entity>()
        .filter(pool::Column::Id.eq(pool))
        .filter(pool::Column::ArchivedAt.is_null())
        .filter(pool::Column::FrozenAt.is_null());
    if open.one(&snapshot).await?.is_none() {
        return Ok(false);
    }
    Ok(ledger::pool_balance(&snapshot, tenant, pool, now).await?.available() <= row.threshold)
}

/// Whether people have to change something first, a price or a state.
fn waits_for_people(error: &Error) -> bool {
    matches!(
        error,
        Error::Conflict { .. }
            | Error::Forbidden
            | Error::Invalid { .. }
            | Error::NotFound { .. }
            | Error::Refused(Refusal::OrganizationSuspended)
    )
}

/// Writes why nothing is bought.
async fn say(selling: &Selling, tenant: Tenant, pool: PoolId, why: String) -> Result<()> {
    let work = db::work(move |txn| {
        let why = why.clone();
        Box::pin(async move {
            match lock_top_up(txn, tenant, pool).await? {
                Some(row) if row.last_error.as_ref() != Some(&why) => {
                    write_top_up(txn, &auto_top_up::Model { last_error: Some(why), ..row }).await
                }
                _ => Ok(()),
            }
        })
    });
    selling.context().db.write(tenant, work).await
}

/// What has come of looking whether a pool has to buy.
#[derive(Clone, Copy, Debug)]
enum Begun {
    /// This is bought; people are asked about it by this request, if anybody has to agree.
    Purchase(PurchaseId, Option<ApprovalId>),
    /// Nothing; look again then.
    Nothing(Option<Timestamp>),
}

/// Decides whether a pool buys, and requests the package; all that is decided by is locked.
async fn begin(txn: &Txn, selling: &Selling, tenant: Tenant, pool: PoolId) -> Result<Begun> {
    let clock = &selling.context().clock;
    let now = clock.now();
    let organization = lock_organization(txn, tenant).await?;
    let Some(row) = lock_top_up(txn, tenant, pool).await? else { return Ok(Begun::Nothing(None)) };
    if !row.enabled || !matches!(row.state, TopUpState::Ready | TopUpState::BackingOff) {
        return Ok(Begun::Nothing(None));
    }
    let method = match row.payment_method_id {
        Some(id) => find_method(txn, tenant, id).await?,
        None => None,
    };
    let method = method.filter(|method| is_usable(method) && method.provider == selling.taker(&organization));
    let Some(method) = method else {
        // The vendor has changed to another provider, say, which knows nothing of it.
        let last_error = Some("There is no way of paying that can be charged.".to_owned());
        let state = TopUpState::AwaitingConsent;
        write_top_up(txn, &auto_top_up::Model { state, last_error, retry_at: None, ..row }).await?;
        return Ok(Begun::Nothing(None));
    };
    let packages = catalog::packages(txn, now).await?;
    let package = packages.into_iter().find(|known| known.row.id == row.package_id);
    let buying = Buying::Package(package.ok_or(Error::not_found("package"))?.row.code);
    let offer = catalog::offer(txn, tenant, &organization, pool, &buying, None, now).await?;
    if highest_threshold(offer.credits).is_some_and(|most| row.threshold > most) {
        // The package has become so small that it would be bought again and again.
        let why = format!("The package adds {}, far less than the threshold.", offer.credits);
        return held_back(txn, row, why, now.plus_seconds(LATER_SECONDS)).await;
    }
    let month = month(&organization, now)?;
    let facts = TopUp {
        state: row.state,
        threshold: row.threshold,
        available: ledger::pool_balance(txn, tenant, pool, now).await?.available(),
        total: offer.total,
        monthly_maximum: row.monthly_maximum,
        spent: spent_in(txn, tenant, &row, month).await?,
        retry_at: row.retry_at,
    };
    match decide(&facts, now) {
        TopUpDecision::Wait => return Ok(Begun::Nothing(None)),
        TopUpDecision::OverMaximum => {
            let why = "The maximum of this month would be exceeded.".to_owned();
            return held_back(txn, row, why, month.end).await;
        }
        // The price has risen since the maximum was set. It may fall again.
        TopUpDecision::OutOfReach => {
            let price = written(offer.total, offer.currency);
            let why = format!("The package costs {price}, which is more than the maximum of a month.");
            return held_back(txn, row, why, now.plus_seconds(LATER_SECONDS)).await;
        }
        TopUpDecision::Buy => {}
    }
    let revision = row.revision.saturating_add(1);
    let mut form = Canonical::of("top-up");
    form.id(pool).number(revision);
    let key = format!("{} {revision}", global_id::encode(pool));
    let wanted = Wanted {
        pool,
        buying,
        field: "package",
        currency: None,
        note: Some("Automatic top-up".to_owned()),
        purchase_order: None,
        credit_request: None,
        by_itself: true,
        idempotency: Idempotency::new("autoTopUp", &key, &form),
    };
    let actor = Actor::user(row.set_by, None);
    let requested = request_in(txn, (tenant, &actor), clock, wanted).await?;
    let (purchase, request) = (requested.purchase, requested.request);
    if purchase.total != offer.total {
        // The price has changed in between; the maximum was compared with another one.
        return Err(Error::Stale);
    }
    let id = purchase.id;
    let after = auto_top_up::Model {
        state: TopUpState::Charging,
        purchase_id: Some(id),
        retry_at: None,
        last_error: None,
        revision,
        updated_at: now,
        ..row
    };
    write_top_up(txn, &after).await?;
    if purchase.state == PurchaseState::Approved {
        open_payment(txn, selling, tenant, (&organization, purchase, &method)).await?;
    }
    Ok(Begun::Purchase(id, request))
}

/// Nothing is bought before an instant: the row says why, and until when.
async fn held_back(txn: &Txn, row: auto_top_up::Model, why: String, until: Timestamp) -> Result<Begun> {
    let after = auto_top_up::Model {
        state: TopUpState::Ready,
        last_error: Some(why),
        retry_at: Some(until),
        ..row.clone()
    };
    if after != row {
        write_top_up(txn, &after).await?;
    }
    Ok(Begun::Nothing(Some(until)))
}

/// Writes the payment by which a purchase that is approved is charged. Its id is the provider's key. As at a checkout,
/// what is charged is what people have agreed to, or costs less by now. Organization and purchase are locked.
async fn open_payment(
    txn: &Txn,
    selling: &Selling,
    tenant: Tenant,
    (organization, before, method): (&organization::Model, purchase::Model, &payment_method::Model),
) -> Result<()> {
    let clock = &selling.context().clock;
    let started = apply(before.state, before.invoiced, PurchaseEvent::CheckoutStarted);
    let started = started.map_err(|refusal| refused(refusal, None))?;
    approvals::require_agreed(txn, tenant, &before).await?;
    let priced = repriced(txn, (tenant, organization), clock, &before).await?;
    let purchase = purchase::Model { state: started.to, ..priced };
    let closed = close_checkouts(txn, tenant, clock, purchase.id, started.effect).await?;
    let mut form = Canonical::of("charge of a top-up");
    form.id(purchase.id).id(method.id);
    // One charge for each purchase: the purchase is the key.
    let idempotency = Idempotency::new("chargeTopUp", &global_id::encode(purchase.id), &form);
    let package = catalog::package_of_version(txn, purchase.package_version_id).await?;
    let package = package.ok_or_else(|| Error::internal("a purchase without its package"))?;
    let payment = payment::Model {
        organization_id: tenant.id(),
        id: clock.new_id::<PaymentId>(),
        purchase_id: purchase.id,
        provider: method.provider,
        provider_payment: None,
        state: PaymentState::Open,
        amount: purchase.total,
        currency: purchase.currency,
        idempotency_key: idempotency.key,
        request_hash: idempotency.request,
        created_at: clock.now(),
        paid_at: None,
        provider_session: None,
        provider_url: None,
        payment_method_id: Some(method.id),
        failure: None,
        title: Some(title(&purchase, &package)),
    };
    payment::Entity::insert(payment.clone().into_active_model()).exec_without_returning(txn).await?;
    let was = json!({ "state": before.state.as_str() });
    let is = json!({
        "state": purchase.state.as_str(),
        "openedPayment": global_id::encode(payment.id),
        "closedPayments": closed,
        "paymentMethod": global_id::encode(method.id),
    });
    let (was, is) = told_price(&before, &purchase, (was, is));
    let change = Change::updated("chargeTopUp", purchase.id, was, is);
    write_purchase(txn, &purchase).await?;
    let change = change.on_behalf_of(Some(method.consented_by));
    audit::record(txn, tenant, clock, &Actor::system(None), change).await
}

/// The month of an organization that contains an instant.
fn month(organization: &organization::Model, at: Timestamp) -> Result<Period> {
    let month = periods::calendar(&organization.time_zone, at)?.period(PeriodKind::Month, at);
    month.ok_or_else(|| Error::internal("a calendar does not cover the time it is for"))
}

/// What a pool has spent by buying by itself, in the organization's month that contains an instant, in minor units.
pub async fn spent_by_top_up(
    txn: &Txn,
    tenant: Tenant,
    organization: &organization::Model,
    row: &auto_top_up::Model,
    at: Timestamp,
) -> Result<i64> {
    spent_in(txn, tenant, row, month(organization, at)?).await
}

/// What a pool has spent by buying by itself in a period, what is under way among it; also what waits to be paid by hand,
/// since it may be paid at any moment: otherwise the maximum could be exceeded by that.
async fn spent_in(txn: &Txn, tenant: Tenant, row: &auto_top_up::Model, period: Period) -> Result<i64> {
    use PurchaseState::{Cancelled, Expired, PaymentFailed, Rejected};
    let charged = tenant
        .find::<payment::Entity>()
        .filter(payment::Column::PaymentMethodId.is_not_null())
        .filter(payment::Column::CreatedAt.gte(period.start))
        .filter(payment::Column::CreatedAt.lt(period.end))
        .select_only()
        .column(payment::Column::PurchaseId);
    let charged = charged.into_tuple::<PurchaseId>().all(txn).await?;
    let purchases = tenant.lookup::<purchase::Entity, _>(txn, purchase::Column::Id, charged).await?;
    let ended = [Cancelled, Expired, PaymentFailed, Rejected];
    let is_counted = |purchase: &purchase::Model| {
        let under_way = row.purchase_id == Some(purchase.id);
        purchase.pool_id == row.pool_id && (under_way || !ended.contains(&purchase.state))
    };
    let counted = purchases.into_iter().filter(is_counted);
    Ok(counted.fold(0, |sum: i64, purchase| sum.saturating_add(purchase.total)))
}
