//! Bringing a purchase that a pool has begun by itself to its end: the provider is asked, outside of any transaction, and
//! its answer is booked. Whoever does it again asks with the same key, and finds what was booked.

use bursar_domain::Timestamp;
use bursar_domain::id::{PaymentId, PoolId, PurchaseId};
use bursar_domain::purchase::{Effect, PaymentProvider, PaymentState, PurchaseEvent, PurchaseState, apply};
use bursar_domain::top_up::TopUpState;
use bursar_entity::{auto_top_up, organization, payment, payment_method, purchase};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};
use serde_json::json;

use super::left_behind::{PROVIDER_GONE, set_aside};
use super::{AUTHENTICATION, Ended, ended_in, open_payment, say, spent_by_top_up, waits_for_people};
use crate::approvals;
use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::catalog::{self, Package};
use crate::db::{self, Tenant, Txn};
use crate::error::{Conflict, Error, Result};
use crate::global_id;
use crate::organizations::lock_organization;
use crate::payments::{
    Customer, OffSession, PaidState, Provider, ProviderError, ProviderEvent, ProviderPayment, REUSED,
};
use crate::purchases::agreed::is_superseded;
use crate::purchases::checkout::{lock_checkout, order, title};
use crate::purchases::closing::{close_checkouts, close_sessions};
use crate::purchases::payment_methods::{find_method, is_usable};
use crate::purchases::settle::{Outcome, settle};
use crate::purchases::top_up_settings::{find_top_up, lock_top_up, write_top_up};
use crate::purchases::update::{Reopened, Resubmitted, reopen};
use crate::purchases::{Selling, lock, write_payment, write_purchase};

/// For how many seconds a provider surely remembers a key. A charge that is older is looked for instead.
const REMEMBERED_SECONDS: i64 = 20 * 3_600;
/// The word for a way of paying that must not be charged any more.
const WITHDRAWN: &str = "consent_withdrawn";

/// What is under way.
struct UnderWay {
    row: auto_top_up::Model,
    purchase: purchase::Model,
    package: Package,
    organization: organization::Model,
    /// The charge, and what it charges.
    charge: Option<(payment::Model, payment_method::Model)>,
}

/// How a charge was declined.
#[derive(Clone, Debug)]
struct Decline {
    code: String,
    authentication: bool,
    /// The provider's own name of what was tried.
    payment: Option<String>,
}

impl Decline {
    fn of(code: impl Into<String>) -> Decline {
        let code: String = code.into();
        Decline { authentication: code == AUTHENTICATION, code, payment: None }
    }
}

/// Brings what is under way in a pool as far as it goes now.
///
/// # Errors
/// [`Error::Unavailable`] when the provider cannot be reached; what the database answers.
pub(super) async fn pursue(selling: &Selling, tenant: Tenant, pool: PoolId) -> Result<()> {
    let snapshot = selling.context().db.read(tenant).await?;
    let found = under_way(&snapshot, tenant, pool).await?;
    drop(snapshot);
    let Some(found) = found else { return Ok(()) };
    let (id, asks) = (found.purchase.id, found.row.state == TopUpState::AuthenticationRequired);
    match (found.purchase.state, &found.charge) {
        (PurchaseState::Completed | PurchaseState::Refunded, _) => {
            end(selling, tenant, id, Ended::Paid).await
        }
        (PurchaseState::Rejected, _) => end(selling, tenant, id, Ended::Rejected).await,
        (PurchaseState::Cancelled | PurchaseState::Expired, _) => {
            end(selling, tenant, id, Ended::Closed).await
        }
        // Somebody has to pay, or to say yes.
        (_, _) if asks => Ok(()),
        (PurchaseState::PendingApproval, _) => Ok(()),
        (PurchaseState::Approved, None) => {
            open(selling, tenant, pool).await?;
            let snapshot = selling.context().db.read(tenant).await?;
            let found = under_way(&snapshot, tenant, pool).await?;
            drop(snapshot);
            match found.as_ref().and_then(|found| Some((found, found.charge.as_ref()?))) {
                Some((found, charge)) => ask(selling, tenant, found, charge).await,
                None => Ok(()),
            }
        }
        (PurchaseState::AwaitingPayment, Some(charge)) if charge.0.state == PaymentState::Open => {
            ask(selling, tenant, &found, charge).await
        }
        // Its bank takes days, and who would tell what came of it is not set up any more.
        (PurchaseState::AwaitingPayment, Some((payment, _)))
            if payment.state == PaymentState::Pending
                && selling.charger(&found.organization, payment.provider).is_none() =>
        {
            set_aside(selling, tenant, pool, payment).await
        }
        // The provider has told so before it has answered.
        (PurchaseState::PaymentFailed, Some((payment, _))) if payment.state == PaymentState::Failed => {
            let code = payment.failure.clone().unwrap_or_else(|| "declined".to_owned());
            decline(selling, tenant, payment.id, Decline::of(code)).await
        }
        // Somebody pays it by hand.
        (PurchaseState::AwaitingPayment | PurchaseState::PaymentFailed, _) => Ok(()),
        // Somebody was about to, and has given that up: the purchase is theirs.
        (PurchaseState::Approved, Some(_)) => end(selling, tenant, id, Ended::Closed).await,
    }
}

/// What is under way in a pool.
async fn under_way(txn: &Txn, tenant: Tenant, pool: PoolId) -> Result<Option<UnderWay>> {
    let Some(row) = find_top_up(txn, tenant, pool).await? else { return Ok(None) };
    let Some(id) = row.purchase_id else { return Ok(None) };
    let purchase = tenant.find::<purchase::Entity>().filter(purchase::Column::Id.eq(id)).one(txn).await?;
    let purchase = purchase.ok_or_else(|| Error::internal("a top-up without its purchase"))?;
    let package = catalog::package_of_version(txn, purchase.package_version_id).await?;
    let package = package.ok_or_else(|| Error::internal("a purchase without its package"))?;
    let organization = tenant.find::<organization::Entity>().one(txn).await?;
    let organization = organization.ok_or(Error::not_found("organization"))?;
    let payment = tenant
        .find::<payment::Entity>()
        .filter(payment::Column::PurchaseId.eq(id))
        .filter(payment::Column::PaymentMethodId.is_not_null())
        .order_by_desc(payment::Column::Id);
    let payment = payment.one(txn).await?;
    let method = match payment.as_ref().and_then(|payment| payment.payment_method_id) {
        Some(method) => find_method(txn, tenant, method).await?,
        None => None,
    };
    Ok(Some(UnderWay { row, purchase, package, organization, charge: payment.zip(method) }))
}

/// Writes the payment of a purchase that was approved after it was requested; or lets those be asked anew who had agreed,
/// when its price has run out.
async fn open(selling: &Selling, tenant: Tenant, pool: PoolId) -> Result<()> {
    let own = selling.clone();
    let work = db::work(move |txn| {
        let selling = own.clone();
        Box::pin(async move { open_in(txn, &selling, tenant, pool).await })
    });
    let context = selling.context();
    match context.db.write(tenant, work).await {
        Ok(None) => Ok(()),
        Ok(Some(again)) => {
            context.changes.announce_purchase(tenant.id(), again.purchase.id);
            approvals::announce(context, tenant, again.request.as_slice());
            close_sessions(selling, tenant, &again.closed).await;
            Ok(())
        }
        // As at a checkout. It stays until somebody has changed that, or it runs out.
        Err(error) if waits_for_people(&error) => {
            tracing::warn!(%error, "what a pool has requested cannot be charged");
            say(selling, tenant, pool, error.to_string()).await
        }
        Err(error) => Err(error),
    }
}

/// Answers the purchase when it has begun again.
async fn open_in(txn: &Txn, selling: &Selling, tenant: Tenant, pool: PoolId) -> Result<Option<Resubmitted>> {
    let clock = &selling.context().clock;
    let organization = lock_organization(txn, tenant).await?;
    let Some(row) = find_top_up(txn, tenant, pool).await? else { return Ok(None) };
    let (Some(id), Some(method)) = (row.purchase_id, row.payment_method_id) else { return Ok(None) };
    let purchase = lock(txn, tenant, id).await?;
    let known = tenant.find::<payment::Entity>().filter(payment::Column::PurchaseId.eq(id));
    let known = known.all(txn).await?;
    // Checkouts of an earlier round pay for nothing any more.
    if purchase.state != PurchaseState::Approved || known.iter().any(|payment| !is_superseded(payment)) {
        return Ok(None);
    }
    if !row.enabled {
        // Switched off meanwhile: whoever wants it all the same pays it by hand.
        ended_in(txn, tenant, clock, id, Ended::Closed).await?;
        return Ok(None);
    }
    let now = clock.now();
    if purchase.valid_until <= now {
        let actor = Actor::system(None);
        return match reopen(txn, (tenant, &actor), selling, (&organization, &purchase)).await? {
            Some(Reopened::Again(again)) => Ok(Some(again)),
            Some(Reopened::Requoted(_)) => Ok(None),
            None => {
                let reason = "The price is no longer valid; another purchase is requested.";
                Err(Error::conflict(Conflict::QuoteExpired, "purchaseId", reason))
            }
        };
    }
    let method = find_method(txn, tenant, method).await?;
    let taker = selling.taker(&organization);
    let method = method.filter(|method| is_usable(method) && method.provider == taker);
    let Some(method) = method else {
        ended_in(txn, tenant, clock, id, Ended::Closed).await?;
        return Ok(None);
    };
    // Deciding has taken its time: it may be another month, and another price.
    let spent = spent_by_top_up(txn, tenant, &organization, &row, now).await?;
    let after = spent.saturating_add(purchase.total);
    if row.monthly_maximum.is_some_and(|most| after > most) {
        let reason = "The maximum of this month would be exceeded.";
        return Err(Error::conflict(Conflict::State, "purchaseId", reason));
    }
    open_payment(txn, selling, tenant, (&organization, purchase, &method)).await?;
    Ok(None)
}

/// Asks the provider to charge, and books its answer.
async fn ask(
    selling: &Selling,
    tenant: Tenant,
    found: &UnderWay,
    (payment, method): &(payment::Model, payment_method::Model),
) -> Result<()> {
    let Some(provider) = selling.charger(&found.organization, payment.provider) else {
        // Of earlier settings. In the sandbox no money was taken.
        return match payment.provider {
            PaymentProvider::Sandbox => {
                decline(selling, tenant, payment.id, Decline::of(PROVIDER_GONE)).await
            }
            PaymentProvider::Stripe | PaymentProvider::Invoice => {
                set_aside(selling, tenant, found.row.pool_id, payment).await
            }
        };
    };
    let (purchase, organization) = (&found.purchase, &found.organization);
    let customer = match (&method.customer, &method.method) {
        (Some(customer), Some(name)) if is_usable(method) => {
            Some(Customer { customer: customer.clone(), method: name.clone() })
        }
        _ => None,
    };
    let now = selling.context().clock.now();
    let fresh = payment.created_at.plus_seconds(REMEMBERED_SECONDS) > now;
    let answer = match customer.filter(|_| fresh) {
        Some(customer) => {
            let title = title(purchase, &found.package);
            let order = order(selling, organization, purchase, payment, &title);
            provider.charge_off_session(&OffSession { order, customer }).await
        }
        // It must not be charged again; it may have been charged before.
        None => match look_for(provider, payment).await? {
            Some(told) => Ok(told),
            None => {
                let code = if is_usable(method) { "no_answer" } else { WITHDRAWN };
                return decline(selling, tenant, payment.id, Decline::of(code)).await;
            }
        },
    };
    let told = match answer {
        Ok(told) => told,
        Err(ProviderError::Declined { code, authentication, payment: tried }) => {
            let declined = Decline { code, authentication, payment: tried };
            return decline(selling, tenant, payment.id, declined).await;
        }
        // What the order says has changed since it was asked first: what came of that is looked for.
        Err(ProviderError::Refused { code }) if code == REUSED => match look_for(provider, payment).await? {
            Some(told) => told,
            None => return Err(unreachable(&ProviderError::Refused { code })),
        },
        Err(ProviderError::Refused { code }) => {
            return decline(selling, tenant, payment.id, Decline::of(code)).await;
        }
        Err(ProviderError::NotFound) => {
            return decline(selling, tenant, payment.id, Decline::of("not_found")).await;
        }
        Err(error @ ProviderError::Unreachable(_)) => return Err(unreachable(&error)),
    };
    match &told.state {
        PaidState::Paid | PaidState::Pending => {
            let event = ProviderEvent::Payment(told);
            match settle(selling, payment.provider, event, None).await? {
                Outcome::Parked(_) => pause(selling, tenant, found.row.pool_id, purchase.id).await,
                // Of what is booked the row has been told in the same transaction.
                _ => Ok(()),
            }
        }
        PaidState::Failed(code) => decline(selling, tenant, payment.id, Decline::of(code.clone())).await,
        PaidState::Expired => decline(selling, tenant, payment.id, Decline::of("expired")).await,
        // Nobody is there to do what the bank wants.
        PaidState::Unpaid => decline(selling, tenant, payment.id, Decline::of(AUTHENTICATION)).await,
    }
}

/// What a provider knows of a payment of ours whose key it may have forgotten.
async fn look_for(provider: &dyn Provider, payment: &payment::Model) -> Result<Option<ProviderPayment>> {
    // Clocks differ.
    let since = payment.created_at.plus_seconds(-3_600);
    let (ours, mut after): (String, Option<String>) = (global_id::encode(payment.id), None);
    loop {
        let page = provider.payments_since(since, after.as_deref()).await;
        let page = page.map_err(|error| unreachable(&error))?;
        if page.odd.iter().any(|odd| odd.ours.as_deref() == Some(ours.as_str())) {
            // It was made, and nobody knows where it stands: it is neither booked nor given up.
            let reason = "the charge stands as none is known to".to_owned();
            return Err(unreachable(&ProviderError::Unreachable(reason)));
        }
        let found = page.items.into_iter().find(|told| told.ours.as_deref() == Some(ours.as_str()));
        match (found, page.next) {
            (Some(found), _) => return Ok(Some(found)),
            (None, Some(next)) => after = Some(next),
            (None, None) => return Ok(None),
        }
    }
}

fn unreachable(error: &ProviderError) -> Error {
    tracing::warn!(%error, "a stored way of paying could not be charged");
    Error::Unavailable("The payment provider cannot be reached.")
}

/// Books that a charge was declined. The purchase is over, unless the bank wants somebody to be there: then it can be paid
/// at a checkout.
async fn decline(selling: &Selling, tenant: Tenant, id: PaymentId, declined: Decline) -> Result<()> {
    let clock = selling.context().clock.clone();
    let work = db::work(move |txn| {
        let (clock, declined) = (clock.clone(), declined.clone());
        Box::pin(async move {
            // Whoever writes to people about a request has it locked.
            lock_organization(txn, tenant).await?;
            let (purchase, payment) = lock_checkout(txn, tenant, id).await?;
            let purchase_id = purchase.id;
            match payment.state {
                PaymentState::Open | PaymentState::Failed => {}
                // The money has come after all, as agreed on or not, or somebody has taken the purchase over.
                PaymentState::Paid
                | PaymentState::Pending
                | PaymentState::Parked
                | PaymentState::Cancelled => {
                    return Ok(purchase_id);
                }
            }
            let was_failed = payment.state == PaymentState::Failed;
            let Decline { code, authentication, payment: tried } = declined;
            write_payment(
                txn,
                &payment::Model {
                    state: PaymentState::Failed,
                    provider_payment: payment.provider_payment.clone().or(tried),
                    failure: Some(code.clone()),
                    ..payment
                },
            )
            .await?;
            let event = if authentication { PurchaseEvent::PaymentFailed } else { PurchaseEvent::Cancelled };
            // One that has come to its end stays as it is, and so does one that somebody pays by hand since the provider
            // has told of the failure.
            let by_hand = was_failed && purchase.state != PurchaseState::PaymentFailed;
            let (state, effect) = match apply(purchase.state, purchase.invoiced, event) {
                Ok(next) if !by_hand => (next.to, next.effect),
                Ok(_) | Err(_) => (purchase.state, Effect::None),
            };
            close_checkouts(txn, tenant, &clock, purchase_id, effect).await?;
            let (was, is) = (
                json!({ "state": purchase.state.as_str() }),
                json!({ "state": state.as_str(), "failedPayment": global_id::encode(id), "reason": code }),
            );
            let is_over = state == PurchaseState::Cancelled && purchase.state != state;
            write_purchase(txn, &purchase::Model { state, ..purchase }).await?;
            if is_over {
                approvals::tell_declined(txn, tenant, &clock, purchase_id).await?;
            }
            ended_in(txn, tenant, &clock, purchase_id, Ended::Declined { code, authentication }).await?;
            let change = Change::updated("failPayment", purchase_id, was, is);
            audit::record(txn, tenant, &clock, &Actor::system(None), change).await?;
            Ok(purchase_id)
        })
    });
    let context = selling.context();
    let purchase = context.db.write(tenant, work).await?;
    context.changes.announce_purchase(tenant.id(), purchase);
    context.changes.announce_mail();
    Ok(())
}

/// Tells the row of a purchase that has ended elsewhere.
async fn end(selling: &Selling, tenant: Tenant, purchase: PurchaseId, ended: Ended) -> Result<()> {
    let clock = selling.context().clock.clone();
    let work = db::work(move |txn| {
        let (clock, ended) = (clock.clone(), ended.clone());
        Box::pin(async move {
            lock(txn, tenant, purchase).await?;
            ended_in(txn, tenant, &clock, purchase, ended).await
        })
    });
    selling.context().db.write(tenant, work).await
}

/// Money was taken and could not be booked: nothing more is bought before somebody has looked.
async fn pause(selling: &Selling, tenant: Tenant, pool: PoolId, purchase: PurchaseId) -> Result<()> {
    let clock = selling.context().clock.clone();
    let work = db::work(move |txn| {
        let now: Timestamp = clock.now();
        Box::pin(async move {
            let row = lock_top_up(txn, tenant, pool).await?;
            let Some(row) = row.filter(|row| row.purchase_id == Some(purchase)) else { return Ok(()) };
            let why = "A payment could not be booked; the vendor has to look at it.";
            write_top_up(txn, &paused(row, why, now)).await
        })
    });
    selling.context().db.write(tenant, work).await
}

/// The row of a top-up that buys nothing more before somebody has set it again, and why.
pub(super) fn paused(row: auto_top_up::Model, why: &str, now: Timestamp) -> auto_top_up::Model {
    auto_top_up::Model {
        state: TopUpState::Paused,
        purchase_id: None,
        retry_at: None,
        last_error: Some(why.to_owned()),
        updated_at: now,
        ..row
    }
}
