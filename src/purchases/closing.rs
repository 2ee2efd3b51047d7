//! Closing checkouts: in our own rows with what ends or replaces them, and then at their providers, so that nobody pays there
//! for nothing. That is tried at once, and again by timed work until the provider says that the checkout can no longer be
//! paid. One that is paid all the same is told of, and then counts or is parked.

use bursar_domain::Timestamp;
use bursar_domain::id::{PaymentId, PurchaseId};
use bursar_domain::purchase::{Effect, PaymentProvider, PaymentState};
use bursar_entity::{payment, purchase};
use sea_orm::{ColumnTrait, QueryFilter};

use super::start::{ask_for, keep_session, open_at};
use super::timed::{CLOSE_CHECKOUT, be_due, is_done};
use super::{Selling, write_payment};
use crate::clock::Clock;
use crate::db::{self, Tenant, Txn};
use crate::error::{Error, Result};
use crate::global_id;
use crate::payments::{Provider, ProviderError};

/// In how many seconds a checkout is closed that could not be closed at once.
const SOON_SECONDS: i64 = 60;
/// In how many seconds it is tried again when the provider cannot be asked, by the settings of now.
const AGAIN_SECONDS: i64 = 3_600;
/// For how many seconds a checkout can be open at a provider, and is opened but once by its key. What is older has run out.
const OPEN_AT_MOST_SECONDS: i64 = 24 * 3_600;

/// Closes all checkouts of a purchase that are still open when what has become of it asks for that, and answers which; they
/// are to be closed at their providers after the commit, by [`close_sessions`] or else by timed work. The purchase is locked.
pub(super) async fn close_checkouts(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    purchase: PurchaseId,
    effect: Effect,
) -> Result<Vec<String>> {
    if !effect.closes_checkouts() {
        return Ok(Vec::new());
    }
    let open = tenant
        .find::<payment::Entity>()
        .filter(payment::Column::PurchaseId.eq(purchase))
        .filter(payment::Column::State.eq(PaymentState::Open));
    let mut closed = Vec::new();
    for row in open.all(txn).await? {
        closed.push(global_id::encode(row.id));
        be_closed(txn, tenant, clock, &row).await?;
        write_payment(txn, &payment::Model { state: PaymentState::Cancelled, ..row }).await?;
    }
    Ok(closed)
}

/// Has a checkout closed at its provider by timed work, should nobody have done it before.
pub(super) async fn be_closed(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    payment: &payment::Model,
) -> Result<()> {
    if !is_elsewhere(payment) {
        return Ok(());
    }
    be_due(txn, tenant, CLOSE_CHECKOUT, payment.id, clock.now().plus_seconds(SOON_SECONDS)).await
}

/// Whether it is paid at a page of a provider.
pub(super) fn is_elsewhere(payment: &payment::Model) -> bool {
    match payment.provider {
        PaymentProvider::Stripe => payment.payment_method_id.is_none(),
        PaymentProvider::Sandbox | PaymentProvider::Invoice => false,
    }
}

/// Closes checkouts at the providers where they were opened, as far as that goes at once. What fails is done by timed work.
pub(super) async fn close_sessions(selling: &Selling, tenant: Tenant, payments: &[String]) {
    if let Err(error) = close_known_sessions(selling, tenant, payments).await {
        tracing::warn!(%error, "checkouts that are closed cannot be looked up, or crossed off");
    }
}

async fn close_known_sessions(selling: &Selling, tenant: Tenant, payments: &[String]) -> Result<()> {
    let ids: Vec<PaymentId> = payments.iter().filter_map(|id| global_id::decode(id)).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let context = selling.context();
    let snapshot = context.db.read(tenant).await?;
    let rows = tenant.find::<payment::Entity>().filter(payment::Column::Id.is_in(ids)).all(&snapshot).await?;
    drop(snapshot);
    let mut closed = Vec::new();
    for row in rows.iter().filter(|row| is_elsewhere(row)) {
        let Some(session) = row.provider_session.as_deref() else { continue };
        if close_session(selling, row, session).await {
            closed.push(row.id);
        }
    }
    if closed.is_empty() {
        return Ok(());
    }
    let work = db::work(move |txn| {
        let closed = closed.clone();
        Box::pin(async move {
            for id in closed {
                is_done(txn, tenant, CLOSE_CHECKOUT, id).await?;
            }
            Ok::<_, Error>(())
        })
    });
    context.db.write(tenant, work).await
}

/// Closes a checkout of a payment at its provider, if that goes at once; whether it is closed.
pub(super) async fn close_session(selling: &Selling, payment: &payment::Model, session: &str) -> bool {
    let Some(provider) = selling.payments.of(payment.provider) else { return false };
    match close_at(provider, session).await {
        Ok(()) => true,
        Err(error) => {
            let payment = global_id::encode(payment.id);
            tracing::warn!(%error, %payment, "a checkout cannot be closed at the provider now");
            false
        }
    }
}

/// Closes a checkout. One that the provider does not know is not open.
async fn close_at(provider: &dyn Provider, session: &str) -> Result<(), ProviderError> {
    match provider.close_checkout(session).await {
        Err(ProviderError::NotFound) => Ok(()),
        closed => closed,
    }
}

/// Closes the checkout of a payment at its provider, which was closed here before. Answers when to look again; none: the
/// provider says that it can no longer be paid, or there is nothing to be closed.
///
/// # Errors
/// [`Error::Unavailable`] when the provider cannot be reached or does not close it: it has to be tried again, later and
/// later; what the database answers.
pub async fn close_checkout(selling: &Selling, tenant: Tenant, id: PaymentId) -> Result<Option<Timestamp>> {
    let context = selling.context();
    let snapshot = context.db.read(tenant).await?;
    let row = tenant.find::<payment::Entity>().filter(payment::Column::Id.eq(id)).one(&snapshot).await?;
    // Paid meanwhile, or on its way: there is nothing to be closed any more.
    let is_closed = |row: &payment::Model| {
        matches!(row.state, PaymentState::Cancelled | PaymentState::Failed) && is_elsewhere(row)
    };
    let closed = row.filter(is_closed);
    let Some(payment) = closed else { return Ok(None) };
    let purchase = tenant.find::<purchase::Entity>().filter(purchase::Column::Id.eq(payment.purchase_id));
    let purchase =
        purchase.one(&snapshot).await?.ok_or_else(|| Error::internal("a payment of no purchase"))?;
    drop(snapshot);
    let now = context.clock.now();
    let has_run_out = payment.created_at.plus_seconds(OPEN_AT_MOST_SECONDS) <= now;
    let Some(provider) = selling.payments.of(payment.provider) else {
        return Ok((!has_run_out).then(|| now.plus_seconds(AGAIN_SECONDS)));
    };
    let session = match payment.provider_session.clone() {
        Some(session) => session,
        None if has_run_out => return Ok(None),
        None => match reopened(selling, tenant, provider, (&purchase, &payment)).await? {
            Some(session) => session,
            None => return Ok(None),
        },
    };
    match close_at(provider, &session).await {
        Ok(()) => Ok(None),
        Err(error) => Err(unavailable(&error, &payment)),
    }
}

/// The name of a checkout that may have been opened and whose answer was lost: asked for the same again, the provider tells
/// it, or opens it now, which does no harm. None when it opens none by that key any more.
async fn reopened(
    selling: &Selling,
    tenant: Tenant,
    provider: &dyn Provider,
    (purchase, payment): (&purchase::Model, &payment::Model),
) -> Result<Option<String>> {
    let asked = ask_for(selling, tenant, purchase, payment).await?;
    match open_at(provider, &asked).await {
        Ok(opened) => {
            let (_, payment) = keep_session(selling, tenant, payment.id, opened).await?;
            Ok(payment.provider_session)
        }
        Err(error @ ProviderError::Unreachable(_)) => Err(unavailable(&error, payment)),
        Err(error) => {
            tracing::warn!(%error, payment = %asked.payment, "a checkout that is closed is not to be found at the provider");
            Ok(None)
        }
    }
}

fn unavailable(error: &ProviderError, payment: &payment::Model) -> Error {
    let payment = global_id::encode(payment.id);
    tracing::warn!(%error, %payment, "a checkout is not closed at the provider");
    Error::Unavailable("The payment provider does not close a checkout.")
}
