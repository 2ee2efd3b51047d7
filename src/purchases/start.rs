//! Starting a checkout: the payment is a row first, then the provider opens the page for it, then its answer is
//! written. Whoever repeats the call with the same key goes the same way again, and gets the same page.

use std::sync::Arc;

use bursar_domain::id::{ApprovalId, PaymentId, PurchaseId};
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::purchase::{
    PaymentProvider, PaymentState, PurchaseEvent, PurchaseRefusal, PurchaseState, apply,
};
use bursar_entity::{organization, payment, purchase};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};
use serde_json::{Value, json};

use super::checkout::{lock_checkout, order, page, title};
use super::closing::{be_closed, close_checkouts, close_session, close_sessions};
use super::expire::hear_of_checkouts;
use super::rehearsed::{Rehearsed, rehearsed_and_asked};
use super::reprice::{repriced, told_price};
use super::settle::book_failure;
use super::update::{Reopened, Resubmitted, reopen};
use super::{
    Selling, lock_with_quote, nothing_parked, nothing_pending, refused, write_payment, write_purchase,
};
use crate::approvals;
use crate::audit::{self, Change};
use crate::auth::{Actor, Authorized};
use crate::catalog::{self, Package};
use crate::db::{self, Fault, Tenant, Txn, fault};
use crate::error::{Conflict, Error, Result};
use crate::global_id;
use crate::idempotency::Idempotency;
use crate::organizations::lock_organization;
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
    /// The attempt at paying it; none when those who have agreed are asked anew.
    pub payment: Option<payment::Model>,
    /// Where it can be paid; none in a rehearsal, and when the provider never opened it, or it is not open any more.
    pub url: Option<String>,
    /// Whether the price was no longer valid that people had agreed to, so that they are asked anew at the price of today.
    pub reopened: bool,
    /// Whether the price was no longer valid that the vendor had quoted, and there is none of today, so that the vendor is asked
    /// for another one.
    pub requoted: bool,
    /// Whether it had been started before, under the same key.
    pub replayed: bool,
    /// What a rehearsal has left of the purchase.
    pub rehearsed: Option<Arc<Rehearsed>>,
}

/// What the first transaction has left.
enum Begun {
    /// A payment.
    Payment {
        purchase: purchase::Model,
        payment: Box<payment::Model>,
        /// The payments that were closed for it.
        closed: Vec<String>,
        /// The request for approval that it has made needless.
        needless: Option<ApprovalId>,
        replayed: bool,
    },
    /// Another round of approval.
    Reopened(Resubmitted),
    /// Another request for a price.
    Requoted(purchase::Model),
}

impl Started {
    fn reopened(purchase: purchase::Model) -> Started {
        Started { reopened: true, ..Started::without_payment(purchase) }
    }

    fn requoted(purchase: purchase::Model) -> Started {
        Started { requoted: true, ..Started::without_payment(purchase) }
    }

    fn without_payment(purchase: purchase::Model) -> Started {
        let (reopened, requoted, replayed) = (false, false, false);
        Started { purchase, payment: None, url: None, reopened, requoted, replayed, rehearsed: None }
    }

    fn of(
        purchase: purchase::Model,
        payment: payment::Model,
        url: Option<String>,
        replayed: bool,
    ) -> Started {
        Started { payment: Some(payment), url, replayed, ..Started::without_payment(purchase) }
    }
}

/// The name by which keys of clients are told from others.
pub(super) const MUTATION: &str = "startCheckout";

/// Starts a checkout of a purchase. An earlier one that is still open is closed: there is one at a time.
///
/// # Errors
/// [`Conflict::Purchase`] when it cannot be paid; [`Conflict::State`] when the provider refuses; [`Conflict::QuoteExpired`];
/// [`Error::IdempotencyConflict`]; [`Error::UnderWay`] when the provider cannot be reached: the same key goes on
/// then; [`Error::Unavailable`] when the price has run out and the provider cannot tell whether it was paid in time; what the
/// database answers.
pub async fn start_checkout(
    selling: &Selling,
    purchase: &Authorized<purchase::Model>,
    request: StartCheckout,
) -> Result<Started> {
    let (tenant, actor) = (purchase.tenant(), purchase.actor());
    start_checkout_as(selling, (tenant, actor), purchase.id, (MUTATION, request)).await
}

/// The same for whoever may start one without having been asked: Bursar itself, when people have agreed.
pub(super) async fn start_checkout_as(
    selling: &Selling,
    (tenant, actor): (Tenant, &Actor),
    id: PurchaseId,
    (mutation, request): (&'static str, StartCheckout),
) -> Result<Started> {
    let idempotency = idempotency(mutation, &request.key, id);
    let context = selling.context();
    let (own, author, dry_run) = (selling.clone(), actor.clone(), request.dry_run);
    let work = db::work(move |txn| {
        let (own, actor) = (own.clone(), author.clone());
        Box::pin(async move {
            let begun = begin(txn, &own, (tenant, &actor), id, idempotency).await?;
            let left = if dry_run { Some(rehearsed_and_asked(txn, tenant, id).await?) } else { None };
            Ok((begun, left))
        })
    });
    if dry_run {
        let (begun, rehearsed) = context.db.rehearse(tenant, work).await?;
        let started = match begun {
            Begun::Payment { purchase, payment, replayed, .. } => {
                Started::of(purchase, *payment, None, replayed)
            }
            Begun::Reopened(again) => Started::reopened(again.purchase),
            Begun::Requoted(purchase) => Started::requoted(purchase),
        };
        return Ok(Started { rehearsed, ..started });
    }
    // Else what was paid in time, and was not told yet, would be asked for once more. What has begun goes on, whoever can be
    // asked.
    if !is_begun(selling, tenant, idempotency).await? {
        Box::pin(hear_of_checkouts(selling, tenant, id)).await?;
    }
    let (begun, _) = match context.db.write(tenant, work.clone()).await {
        // The same key at the same time, on another purchase: what it stands for can be seen now.
        Err(Error::Database(error)) if matches!(fault(&error), Fault::Unique(_)) => {
            context.db.write(tenant, work).await
        }
        outcome => outcome,
    }?;
    context.changes.announce_purchase(tenant.id(), id);
    match begun {
        Begun::Payment { purchase, payment, closed, needless, replayed } => {
            approvals::announce(context, tenant, needless.as_slice());
            close_sessions(selling, tenant, &closed).await;
            open_page(selling, (tenant, actor), (purchase, *payment), replayed).await
        }
        Begun::Reopened(again) => {
            approvals::announce(context, tenant, again.request.as_slice());
            close_sessions(selling, tenant, &again.closed).await;
            Ok(Started::reopened(again.purchase))
        }
        Begun::Requoted(purchase) => {
            // The vendor has mail.
            context.changes.announce_mail();
            Ok(Started::requoted(purchase))
        }
    }
}

/// Whether a key has begun a payment.
async fn is_begun(selling: &Selling, tenant: Tenant, idempotency: Idempotency) -> Result<bool> {
    let snapshot = selling.context().db.read(tenant).await?;
    let known = payment::Column::IdempotencyKey.eq(idempotency.key);
    Ok(tenant.find::<payment::Entity>().filter(known).one(&snapshot).await?.is_some())
}

/// The key of a checkout of a purchase, and what it stands for.
pub(super) fn idempotency(mutation: &str, key: &str, id: PurchaseId) -> Idempotency {
    let mut form = Canonical::of("checkout");
    form.id(id);
    Idempotency::new(mutation, key, &form)
}

/// Has the provider open the page, unless it has, and keeps what it answers.
async fn open_page(
    selling: &Selling,
    (tenant, actor): (Tenant, &Actor),
    (purchase, payment): (purchase::Model, payment::Model),
    replayed: bool,
) -> Result<Started> {
    if payment.provider == PaymentProvider::Sandbox {
        // Our own page: it needs no opening, and its address, which is its proof, is kept nowhere.
        let url = Some(page(selling, &payment));
        return Ok(Started::of(purchase, payment, url, replayed));
    }
    let provider = selling.payments.of(payment.provider);
    let (None, PaymentState::Open, Some(provider)) = (&payment.provider_url, payment.state, provider) else {
        let url = open_address(&payment);
        return Ok(Started::of(purchase, payment, url, replayed));
    };
    let asked = ask_for(selling, tenant, &purchase, &payment).await?;
    match open_at(provider, &asked).await {
        Ok(opened) => {
            let (purchase, payment) = keep_session(selling, tenant, payment.id, opened).await?;
            if matches!(payment.state, PaymentState::Cancelled | PaymentState::Failed) {
                // It was closed meanwhile, and now its name is known.
                close_sessions(selling, tenant, std::slice::from_ref(&asked.payment)).await;
            }
            let url = open_address(&payment);
            Ok(Started::of(purchase, payment, url, replayed))
        }
        Err(ProviderError::Unreachable(reason)) => {
            tracing::warn!(%reason, payment = %asked.payment, "a checkout could not be opened");
            Err(Error::UnderWay("The payment provider cannot be reached."))
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

/// Where a payment can be paid at its provider's. The page of one that is not open any more leads nowhere.
fn open_address(payment: &payment::Model) -> Option<String> {
    payment.provider_url.clone().filter(|_| payment.state == PaymentState::Open)
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
/// failed meanwhile, timed work does so, too. Answers purchase and payment as they are by then.
pub(super) async fn keep_session(
    selling: &Selling,
    tenant: Tenant,
    id: PaymentId,
    opened: OpenedCheckout,
) -> Result<(purchase::Model, payment::Model)> {
    let (session, clock) = (opened.session.clone(), selling.context().clock.clone());
    let work = db::work(move |txn| {
        let (opened, clock) = (opened.clone(), clock.clone());
        Box::pin(async move {
            let (purchase, payment) = lock_checkout(txn, tenant, id).await?;
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
            Ok((purchase, kept))
        })
    });
    let (purchase, payment) = selling.context().db.write(tenant, work).await?;
    if let Some(session) = session.filter(|session| payment.provider_session.as_ref() != Some(session)) {
        close_session(selling, &payment, &session).await;
    }
    Ok((purchase, payment))
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
    (tenant, actor): (Tenant, &Actor),
    id: PurchaseId,
    idempotency: Idempotency,
) -> Result<Begun> {
    let clock = &selling.context().clock;
    let organization = lock_organization(txn, tenant).await?;
    actor.require_standing(txn, &organization).await?;
    let before = lock_with_quote(txn, tenant, id).await?;
    let known = payment::Column::IdempotencyKey.eq(idempotency.key);
    if let Some(payment) = tenant.find::<payment::Entity>().filter(known).one(txn).await? {
        if payment.request_hash != idempotency.request {
            return Err(Error::IdempotencyConflict);
        }
        let (payment, closed) = (Box::new(payment), Vec::new());
        return Ok(Begun::Payment { purchase: before, payment, closed, needless: None, replayed: true });
    }
    let now = clock.now();
    let started = apply(before.state, before.invoiced, PurchaseEvent::CheckoutStarted);
    // Else somebody whose money has come would be asked to pay once more, for this purchase or for another one.
    if !matches!(started, Err(PurchaseRefusal::AlreadyPaid { .. })) {
        nothing_parked(txn, tenant, &before).await?;
    }
    let is_waiting = !before.state.is_final() && !before.invoiced;
    let (mut before, mut started, mut replaced, mut needless) = (before, started, Vec::new(), None);
    if before.state == PurchaseState::Expired || is_waiting && before.valid_until <= now {
        let again = reopen(txn, (tenant, actor), selling, (&organization, &before)).await?;
        match again {
            Some(Reopened::Again(again)) if again.asks() => return Ok(Begun::Reopened(again)),
            // Nobody has to agree to it any more: whoever pays sees what it costs today.
            Some(Reopened::Again(again)) => {
                started =
                    apply(again.purchase.state, again.purchase.invoiced, PurchaseEvent::CheckoutStarted);
                (before, replaced, needless) = (again.purchase, again.closed, again.request);
            }
            Some(Reopened::Requoted(purchase)) => return Ok(Begun::Requoted(purchase)),
            None => {
                let reason = "The price is no longer valid; request the purchase again.";
                return Err(Error::conflict(Conflict::QuoteExpired, "purchaseId", reason));
            }
        }
    }
    let started = started.map_err(|refusal| refused(refusal, "purchaseId"))?;
    approvals::require_agreed(txn, tenant, &before).await?;
    nothing_pending(txn, tenant, &before).await?;
    let priced = repriced(txn, (tenant, &organization), clock, &before).await?;
    let after = purchase::Model { state: started.to, ..priced };
    let package = package_of(txn, &after).await?;
    let mut closed = close_checkouts(txn, tenant, clock, before.id, started.effect).await?;
    closed.extend(replaced);
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
    audit::record(txn, tenant, clock, actor, change).await?;
    Ok(Begun::Payment { purchase: after, payment: Box::new(payment), closed, needless, replayed: false })
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
