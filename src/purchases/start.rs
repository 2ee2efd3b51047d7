//! Starting a checkout: the payment is a row first, then the provider opens the page for it, then its answer is
//! written. Whoever repeats the call with the same key goes the same way again, and gets the same page.

use bursar_domain::id::PaymentId;
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::pricing::PriceBasis;
use bursar_domain::purchase::{
    PaymentProvider, PaymentState, PurchaseEvent, PurchaseRefusal, PurchaseState, apply,
};
use bursar_entity::{organization, payment, purchase};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};
use serde_json::{Value, json};

use super::checkout::{is_package, lock_checkout, order, page, title};
use super::closing::{be_closed, close_checkouts, close_session, close_sessions};
use super::settle::book_failure;
use super::{Selling, lock, nothing_parked, nothing_pending, refused, write_payment, write_purchase};
use crate::audit::{self, Change};
use crate::auth::{Actor, Authorized};
use crate::catalog::{self, Buying, Package};
use crate::clock::Clock;
use crate::db::{self, Fault, Tenant, Txn, fault};
use crate::error::{Conflict, Error, Result};
use crate::global_id;
use crate::idempotency::Idempotency;
use crate::payments::{OpenedCheckout, Order, Provider, ProviderError, REUSED};

/// What is needed to start a checkout.
#[derive(Clone, Debug)]
pub struct StartCheckout {
    /// The client's idempotency key.
    pub key: String,
    /// Whether everything is to be rolled back at the end.
    pub dry_run: bool,
}

/// A started checkout.
#[derive(Clone, Debug)]
pub struct Started {
    /// The purchase.
    pub purchase: purchase::Model,
    /// The attempt at paying it.
    pub payment: payment::Model,
    /// Where it can be paid; none in a rehearsal, and when the provider never opened it.
    pub url: Option<String>,
    /// Whether it had been started before, under the same key.
    pub replayed: bool,
}

/// What the first transaction has left.
#[derive(Clone)]
struct Begun {
    purchase: purchase::Model,
    payment: payment::Model,
    /// The payments that were closed for it.
    closed: Vec<String>,
    replayed: bool,
}

/// Starts a checkout of a purchase. An earlier one that is still open is closed: there is one at a time.
///
/// # Errors
/// [`Conflict::Purchase`] when it cannot be paid; [`Conflict::State`] when the provider refuses; [`Conflict::QuoteExpired`];
/// [`Error::IdempotencyConflict`]; [`Error::Unavailable`] when the provider cannot be reached: the same key goes on
/// then; what the database answers.
pub async fn start_checkout(
    selling: &Selling,
    purchase: &Authorized<purchase::Model>,
    request: StartCheckout,
) -> Result<Started> {
    let mut form = Canonical::of("checkout");
    form.id(purchase.id);
    let idempotency = Idempotency::new("startCheckout", &request.key, &form);
    let context = selling.context();
    let (tenant, actor) = (purchase.tenant(), purchase.actor().clone());
    let (purchase, own) = (purchase.clone(), selling.clone());
    let work = db::work(move |txn| {
        let (purchase, own) = (purchase.clone(), own.clone());
        Box::pin(async move { begin(txn, &own, &purchase, idempotency).await })
    });
    if request.dry_run {
        let Begun { purchase, payment, replayed, .. } = context.db.rehearse(tenant, work).await?;
        return Ok(Started { purchase, payment, url: None, replayed });
    }
    let begun = match context.db.write(tenant, work.clone()).await {
        // The same key at the same time, on another purchase: what it stands for can be seen now.
        Err(Error::Database(error)) if matches!(fault(&error), Fault::Unique(_)) => {
            context.db.write(tenant, work).await
        }
        outcome => outcome,
    }?;
    context.changes.announce_purchase(tenant.id(), begun.purchase.id);
    close_sessions(selling, tenant, &begun.closed).await;
    open_page(selling, (tenant, &actor), begun).await
}

/// Has the provider open the page, unless it has, and keeps what it answers.
async fn open_page(selling: &Selling, (tenant, actor): (Tenant, &Actor), begun: Begun) -> Result<Started> {
    let Begun { purchase, payment, replayed, .. } = begun;
    if payment.provider == PaymentProvider::Sandbox {
        // Our own page: it needs no opening, and its address, which is its proof, is kept nowhere.
        let url = Some(page(selling, &payment));
        return Ok(Started { purchase, payment, url, replayed });
    }
    let provider = selling.payments.of(payment.provider);
    let (None, PaymentState::Open, Some(provider)) = (&payment.provider_url, payment.state, provider) else {
        let url = payment.provider_url.clone();
        return Ok(Started { purchase, payment, url, replayed });
    };
    let asked = ask_for(selling, tenant, &purchase, &payment).await?;
    match open_at(provider, &asked).await {
        Ok(opened) => {
            let payment = keep_session(selling, tenant, payment.id, opened).await?;
            if matches!(payment.state, PaymentState::Cancelled | PaymentState::Failed) {
                // It was closed meanwhile, and now its name is known.
                close_sessions(selling, tenant, std::slice::from_ref(&asked.payment)).await;
            }
            let url = payment.provider_url.clone();
            Ok(Started { purchase, payment, url, replayed })
        }
        Err(ProviderError::Unreachable(reason)) => {
            tracing::warn!(%reason, payment = %asked.payment, "a checkout could not be opened");
            Err(Error::Unavailable("The payment provider cannot be reached."))
        }
        Err(error) => {
            tracing::error!(%error, payment = %asked.payment, "a checkout was refused");
            let code = match error {
                ProviderError::Refused { code } | ProviderError::Declined { code, .. } => code,
                ProviderError::NotFound | ProviderError::Unreachable(_) => "not_found".to_owned(),
            };
            fail(selling, (tenant, actor), payment.id, &code).await?;
            let reason =
                format!("The payment provider has refused the checkout ({code}). Start another one.");
            Err(Error::conflict(Conflict::State, "purchaseId", reason))
        }
    }
}

/// What the provider is asked for.
pub(super) async fn ask_for(
    selling: &Selling,
    tenant: Tenant,
    purchase: &purchase::Model,
    payment: &payment::Model,
) -> Result<Order> {
    let snapshot = selling.context().db.read(tenant).await?;
    let organization = tenant.find::<organization::Entity>().one(&snapshot).await?;
    let organization = organization.ok_or(Error::not_found("organization"))?;
    let package = package_of(&snapshot, purchase).await?;
    Ok(order(selling, &organization, purchase, payment, &title(purchase, &package)))
}

/// Has a provider open a checkout, or tell of the one that it has opened for the same payment before.
pub(super) async fn open_at(
    provider: &dyn Provider,
    asked: &Order,
) -> std::result::Result<OpenedCheckout, ProviderError> {
    match provider.open_checkout(asked).await {
        // It was asked in other words before, by other settings, and may have opened something that nobody knows.
        Err(ProviderError::Refused { code }) if code == REUSED => provider.reopen_checkout(asked).await,
        opened => opened,
    }
}

/// The package of a purchase.
async fn package_of(txn: &Txn, purchase: &purchase::Model) -> Result<Package> {
    let package = catalog::package_of_version(txn, purchase.package_version_id).await?;
    package.ok_or_else(|| Error::internal("a purchase without its package"))
}

/// Writes what the provider has opened, unless something else that it has opened for the payment was written before: then
/// that is to be paid, and this is closed. What was closed meanwhile is to be closed by whoever calls; for one that has
/// failed meanwhile, timed work does so, too.
pub(super) async fn keep_session(
    selling: &Selling,
    tenant: Tenant,
    id: PaymentId,
    opened: OpenedCheckout,
) -> Result<payment::Model> {
    let (session, clock) = (opened.session.clone(), selling.context().clock.clone());
    let work = db::work(move |txn| {
        let (opened, clock) = (opened.clone(), clock.clone());
        Box::pin(async move {
            let (_, payment) = lock_checkout(txn, tenant, id).await?;
            let is_it = payment.provider_session.is_none() || payment.provider_session == opened.session;
            let url = Some(opened.url).filter(|_| is_it);
            let kept = payment::Model {
                provider_session: payment.provider_session.clone().or(opened.session),
                provider_url: payment.provider_url.clone().or(url),
                ..payment
            };
            write_payment(txn, &kept).await?;
            if kept.state == PaymentState::Failed {
                be_closed(txn, tenant, &clock, &kept).await?;
            }
            Ok(kept)
        })
    });
    let payment = selling.context().db.write(tenant, work).await?;
    if let Some(session) = session.filter(|session| payment.provider_session.as_ref() != Some(session)) {
        close_session(selling, &payment, &session).await;
    }
    Ok(payment)
}

/// Books that the provider will not take the payment.
async fn fail(selling: &Selling, (tenant, actor): (Tenant, &Actor), id: PaymentId, code: &str) -> Result<()> {
    let (own, actor, code) = (selling.clone(), actor.clone(), code.to_owned());
    let work = db::work(move |txn| {
        let (own, actor, code) = (own.clone(), actor.clone(), code.clone());
        Box::pin(async move {
            let (purchase, payment) = lock_checkout(txn, tenant, id).await?;
            let purchase_id = purchase.id;
            if payment.state == PaymentState::Open {
                book_failure(txn, &own, tenant, (purchase, payment), &code, &actor).await?;
            }
            Ok(purchase_id)
        })
    });
    let context = selling.context();
    let purchase = context.db.write(tenant, work).await?;
    context.changes.announce_purchase(tenant.id(), purchase);
    Ok(())
}

async fn begin(
    txn: &Txn,
    selling: &Selling,
    purchase: &Authorized<purchase::Model>,
    idempotency: Idempotency,
) -> Result<Begun> {
    let (tenant, clock) = (purchase.tenant(), &selling.context().clock);
    let before = lock(txn, tenant, purchase.id).await?;
    let known = payment::Column::IdempotencyKey.eq(idempotency.key);
    if let Some(payment) = tenant.find::<payment::Entity>().filter(known).one(txn).await? {
        if payment.request_hash != idempotency.request {
            return Err(Error::IdempotencyConflict);
        }
        return Ok(Begun { purchase: before, payment, closed: Vec::new(), replayed: true });
    }
    let now = clock.now();
    let started = apply(before.state, before.invoiced, PurchaseEvent::CheckoutStarted);
    // Else somebody whose money has come would be asked to pay once more, for this purchase or for another one.
    if !matches!(started, Err(PurchaseRefusal::AlreadyPaid { .. })) {
        nothing_parked(txn, tenant, &before).await?;
    }
    let is_waiting = !before.state.is_final() && !before.invoiced;
    if before.state == PurchaseState::Expired || is_waiting && before.valid_until <= now {
        let reason = "The price is no longer valid; request the purchase again.";
        return Err(Error::conflict(Conflict::QuoteExpired, "purchaseId", reason));
    }
    let started = started.map_err(|refusal| refused(refusal, "purchaseId"))?;
    nothing_pending(txn, tenant, &before).await?;
    let organization = tenant.find::<organization::Entity>().one(txn).await?;
    let organization = organization.ok_or(Error::not_found("organization"))?;
    let priced = repriced(txn, (tenant, &organization), clock, &before).await?;
    let after = purchase::Model { state: started.to, ..priced };
    let package = package_of(txn, &after).await?;
    let closed = close_checkouts(txn, tenant, clock, before.id, started.effect).await?;
    let payment = payment::Model {
        organization_id: tenant.id(),
        id: clock.new_id::<PaymentId>(),
        purchase_id: before.id,
        provider: selling.taker(&organization),
        provider_payment: None,
        state: PaymentState::Open,
        amount: after.total,
        currency: after.currency,
        idempotency_key: idempotency.key,
        request_hash: idempotency.request,
        created_at: now,
        paid_at: None,
        provider_session: None,
        provider_url: None,
        payment_method_id: None,
        failure: None,
        title: Some(title(&after, &package)),
    };
    payment::Entity::insert(payment.clone().into_active_model()).exec_without_returning(txn).await?;
    write_purchase(txn, &after).await?;
    let (was, is) = told(&before, &after, (&payment, &closed));
    let change = Change::updated("startCheckout", before.id, was, is);
    audit::record(txn, tenant, clock, purchase.actor(), change).await?;
    Ok(Begun { purchase: after, payment, closed, replayed: false })
}

/// The purchase at the price of this moment, when that is lower than the one that is pinned; else as it is. Nothing else
/// of it may change by that: the same credits, for as long. What the vendor has quoted costs what was quoted.
pub(super) async fn repriced(
    txn: &Txn,
    (tenant, organization): (Tenant, &organization::Model),
    clock: &Clock,
    purchase: &purchase::Model,
) -> Result<purchase::Model> {
    if purchase.price_basis == PriceBasis::Quote {
        return Ok(purchase.clone());
    }
    let package = catalog::package_of_version(txn, purchase.package_version_id).await?;
    let package = package.filter(|package| is_package(purchase, package));
    // A package stays that package, with its terms.
    let buying =
        package.map_or(Buying::Credits(purchase.credits), |package| Buying::Package(package.row.code));
    let currency = Some(purchase.currency);
    let offer =
        catalog::offer(txn, tenant, organization, purchase.pool_id, &buying, currency, clock.now()).await;
    let offer = match offer {
        Ok(offer) => offer,
        // There is no price any more: the pinned one holds.
        Err(Error::Conflict { .. } | Error::Invalid { .. } | Error::NotFound { .. }) => {
            return Ok(purchase.clone());
        }
        Err(error) => return Err(error),
    };
    let alike = offer.credits == purchase.credits
        && offer.currency == purchase.currency
        && offer.lifetime_days == purchase.lifetime_days;
    if !alike || offer.total >= purchase.total {
        return Ok(purchase.clone());
    }
    Ok(purchase::Model {
        package_version_id: offer.package.version.id,
        total: offer.total,
        unit_price: offer.unit_price,
        price_basis: offer.basis,
        ..purchase.clone()
    })
}

/// What the audit log says of it; of the price only when that has changed.
fn told(
    before: &purchase::Model,
    after: &purchase::Model,
    (payment, closed): (&payment::Model, &[String]),
) -> (Value, Value) {
    let was = json!({ "state": before.state.as_str() });
    let opened = global_id::encode(payment.id);
    let is = json!({ "state": after.state.as_str(), "openedPayment": opened, "closedPayments": closed });
    told_price(before, after, (was, is))
}

/// Adds the price to what the audit log says, when it has changed.
pub(super) fn told_price(
    before: &purchase::Model,
    after: &purchase::Model,
    (mut was, mut is): (Value, Value),
) -> (Value, Value) {
    if before.total != after.total {
        for (facts, row) in [(&mut was, before), (&mut is, after)] {
            facts["totalMinor"] = row.total.into();
            facts["priceBasis"] = row.price_basis.as_str().into();
        }
    }
    (was, is)
}
