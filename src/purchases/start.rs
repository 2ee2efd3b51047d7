//! Starting a checkout: the payment is a row first, then the provider opens the page for it, then its answer is
//! written. Whoever repeats the call with the same key goes the same way again, and gets the same page.

use bursar_domain::id::PaymentId;
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::pricing::PriceBasis;
use bursar_domain::purchase::{PaymentProvider, PaymentState, PurchaseEvent, PurchaseState, apply};
use bursar_entity::{organization, payment, purchase};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};
use serde_json::{Value, json};

use super::checkout::{close_session, close_sessions, lock_checkout, order, page, title};
use super::settle::book_failure;
use super::{Selling, close_open_payments, lock, nothing_under_way, refused, write_payment, write_purchase};
use crate::audit::{self, Change};
use crate::auth::{Actor, Authorized};
use crate::catalog::{self, Buying};
use crate::clock::Clock;
use crate::db::{self, Fault, Tenant, Txn, fault};
use crate::error::{Conflict, Error, Result};
use crate::global_id;
use crate::idempotency::Idempotency;
use crate::payments::{OpenedCheckout, Order, ProviderError};

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
/// [`Conflict::State`] when it cannot be paid or the provider refuses; [`Conflict::QuoteExpired`];
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
    match provider.open_checkout(&asked).await {
        Ok(opened) => {
            let url = Some(opened.url.clone());
            let payment = keep_session(selling, tenant, payment.id, opened).await?;
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
            let reason = format!("The payment provider refuses: {code}. Start another checkout.");
            Err(Error::conflict(Conflict::State, "purchaseId", reason))
        }
    }
}

/// What the provider is asked for.
async fn ask_for(
    selling: &Selling,
    tenant: Tenant,
    purchase: &purchase::Model,
    payment: &payment::Model,
) -> Result<Order> {
    let snapshot = selling.context().db.read(tenant).await?;
    let organization = tenant.find::<organization::Entity>().one(&snapshot).await?;
    let organization = organization.ok_or(Error::not_found("organization"))?;
    let package = catalog::package_of_version(&snapshot, purchase.package_version_id).await?;
    let package = package.ok_or_else(|| Error::internal("a purchase without its package"))?;
    Ok(order(selling, &organization, purchase, payment, &title(purchase, &package)))
}

/// Writes what the provider has opened. When the payment was closed meanwhile, so is what was opened.
async fn keep_session(
    selling: &Selling,
    tenant: Tenant,
    id: PaymentId,
    opened: OpenedCheckout,
) -> Result<payment::Model> {
    let work = db::work(move |txn| {
        let opened = opened.clone();
        Box::pin(async move {
            let (_, payment) = lock_checkout(txn, tenant, id).await?;
            let kept = payment::Model {
                provider_session: payment.provider_session.clone().or(opened.session),
                provider_url: payment.provider_url.clone().or(Some(opened.url)),
                ..payment
            };
            write_payment(txn, &kept).await?;
            Ok(kept)
        })
    });
    let payment = selling.context().db.write(tenant, work).await?;
    if payment.state == PaymentState::Cancelled {
        close_session(selling, &payment).await;
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
    let is_waiting = !before.state.is_final() && !before.invoiced;
    if before.state == PurchaseState::Expired || is_waiting && before.valid_until <= now {
        let reason = "The price was valid until then only; request the purchase again.";
        return Err(Error::conflict(Conflict::QuoteExpired, "purchaseId", reason));
    }
    let started = apply(before.state, before.invoiced, PurchaseEvent::CheckoutStarted);
    let state = started.map_err(|refusal| refused(refusal, "purchaseId"))?.to;
    nothing_under_way(txn, tenant, before.id).await?;
    let organization = tenant.find::<organization::Entity>().one(txn).await?;
    let organization = organization.ok_or(Error::not_found("organization"))?;
    let after = purchase::Model { state, ..repriced(txn, (tenant, &organization), clock, &before).await? };
    let closed = close_open_payments(txn, tenant, before.id).await?;
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
async fn repriced(
    txn: &Txn,
    (tenant, organization): (Tenant, &organization::Model),
    clock: &Clock,
    purchase: &purchase::Model,
) -> Result<purchase::Model> {
    if purchase.price_basis == PriceBasis::Quote {
        return Ok(purchase.clone());
    }
    let (buying, currency) = (Buying::Credits(purchase.credits), Some(purchase.currency));
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
    let mut was = json!({ "state": before.state.as_str() });
    let opened = global_id::encode(payment.id);
    let mut is = json!({ "state": after.state.as_str(), "openedPayment": opened, "closedPayments": closed });
    if before.total != after.total {
        for (facts, row) in [(&mut was, before), (&mut is, after)] {
            facts["totalMinor"] = row.total.into();
            facts["priceBasis"] = row.price_basis.as_str().into();
        }
    }
    (was, is)
}
