//! Purchases whose price is no longer valid: nobody has paid them in time, and they come to their end.
//!
//! That nobody has is not known from messages alone, which may come days late or never: the provider is asked first.

use bursar_domain::Timestamp;
use bursar_domain::approval::RequestState;
use bursar_domain::id::{ApprovalId, PaymentId, PurchaseId};
use bursar_domain::purchase::{PaymentState, PurchaseEvent, apply};
use bursar_entity::{payment, purchase};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::json;

use super::agreed::is_superseded;
use super::checkout::lock_checkout;
use super::closing::{close_checkouts, close_sessions, is_elsewhere};
use super::settle::{book_failure, settle, unreachable};
use super::top_up::{Ended, ended_in};
use super::{Selling, give_quote_back, has_parked, is_under_way, write_purchase};
use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::clock::Clock;
use crate::db::{self, Tenant, Txn};
use crate::error::Result;
use crate::organizations::lock_organization;
use crate::payments::{PaidState, Provider, ProviderError, ProviderEvent, ProviderPayment};
use crate::{approvals, catalog};

/// In how many seconds a purchase is looked at again whose payment is under way or parked.
const AGAIN_SECONDS: i64 = 3_600;
/// Why a payment has failed that its provider does not know.
const UNKNOWN_THERE: &str = "unknown_to_the_provider";

/// What has become of a purchase that was looked at.
enum Looked {
    /// Nothing is to be done, now or ever.
    Nothing,
    /// Nothing is to be done before then.
    Again(Timestamp),
    /// It has expired; these checkouts of it were open, and this request was made about it.
    Expired(Vec<String>, Option<ApprovalId>),
}

/// Lets a purchase expire when its time has come. Answers when it has to be looked at again.
///
/// # Errors
/// [`Error::Unavailable`](crate::error::Error::Unavailable) when the provider has to be asked and cannot be: it does not
/// expire before it is known whether it was paid; what the database answers.
pub async fn expire(selling: &Selling, tenant: Tenant, id: PurchaseId) -> Result<Option<Timestamp>> {
    hear_of_checkouts(selling, tenant, id).await?;
    let context = selling.context();
    let clock = context.clock.clone();
    let work = db::work(move |txn| {
        let clock = clock.clone();
        Box::pin(async move { look(txn, tenant, &clock, id).await })
    });
    match context.db.write(tenant, work).await? {
        Looked::Nothing => Ok(None),
        Looked::Again(at) => Ok(Some(at)),
        Looked::Expired(closed, request) => {
            approvals::announce(context, tenant, request.as_slice());
            context.changes.announce_purchase(tenant.id(), id);
            close_sessions(selling, tenant, &closed).await;
            Ok(None)
        }
    }
}

/// Asks what has become of the checkouts of a purchase whose price is no longer valid, also of those that were given up, and
/// does what the provider answers, as if a message of it had come. Of one that is not due it asks nothing.
///
/// # Errors
/// [`Error::Unavailable`](crate::error::Error::Unavailable) when the provider cannot be asked; what the database answers.
pub(super) async fn hear_of_checkouts(selling: &Selling, tenant: Tenant, id: PurchaseId) -> Result<()> {
    let context = selling.context();
    let snapshot = context.db.read(tenant).await?;
    let row = tenant.find::<purchase::Entity>().filter(purchase::Column::Id.eq(id)).one(&snapshot).await?;
    let now = context.clock.now();
    let is_due = |row: &purchase::Model| {
        row.valid_until <= now && apply(row.state, row.invoiced, PurchaseEvent::Expired).is_ok()
    };
    if !row.as_ref().is_some_and(is_due) {
        return Ok(());
    }
    let unpaid = [PaymentState::Open, PaymentState::Pending, PaymentState::Failed, PaymentState::Cancelled];
    let payments = tenant
        .find::<payment::Entity>()
        .filter(payment::Column::PurchaseId.eq(id))
        .filter(payment::Column::State.is_in(unpaid))
        .order_by_asc(payment::Column::Id);
    let payments = payments.all(&snapshot).await?;
    // Nobody is asked while a snapshot is open.
    drop(snapshot);
    // What is paid of something that is not bought any more does not count, whenever that is told.
    for row in payments.iter().filter(|row| is_elsewhere(row) && !is_superseded(row)) {
        // One without a name was never shown to anybody.
        let Some(session) = row.provider_session.as_deref() else { continue };
        let Some(provider) = selling.payments.of(row.provider) else { continue };
        match ask(provider, session).await {
            Ok(told) => _ = settle(selling, row.provider, ProviderEvent::Payment(told), None).await?,
            Err(ProviderError::NotFound) if row.state == PaymentState::Pending => {
                lost(selling, tenant, row.id).await?;
            }
            Err(ProviderError::NotFound) => {}
            Err(error) => return Err(unreachable(&error.to_string())),
        }
    }
    Ok(())
}

/// The provider knows nothing of a payment that is under way here: no money is on its way. Should some come, it is looked at
/// then.
async fn lost(selling: &Selling, tenant: Tenant, id: PaymentId) -> Result<()> {
    let own = selling.clone();
    let work = db::work(move |txn| {
        let own = own.clone();
        Box::pin(async move {
            let (purchase, payment) = lock_checkout(txn, tenant, id).await?;
            if payment.state == PaymentState::Pending {
                let actor = Actor::system(None);
                book_failure(txn, &own, tenant, (purchase, payment), UNKNOWN_THERE, &actor).await?;
            }
            Ok(())
        })
    });
    selling.context().db.write(tenant, work).await.map(drop)
}

/// How a checkout stands that nobody can pay any more: one that is open is closed before that is told.
async fn ask(provider: &dyn Provider, session: &str) -> Result<ProviderPayment, ProviderError> {
    let told = provider.find_checkout(session).await?;
    if told.state != PaidState::Unpaid {
        return Ok(told);
    }
    provider.close_checkout(session).await?;
    provider.find_checkout(session).await
}

async fn look(txn: &Txn, tenant: Tenant, clock: &Clock, id: PurchaseId) -> Result<Looked> {
    let find = || tenant.find::<purchase::Entity>().filter(purchase::Column::Id.eq(id));
    if find().one(txn).await?.is_none() {
        return Ok(Looked::Nothing);
    }
    lock_organization(txn, tenant).await?;
    // Its quote is locked before it. With the organization locked that stays the same.
    let Some(row) = find().one(txn).await? else { return Ok(Looked::Nothing) };
    catalog::lock_quote(txn, tenant, row.quote_id).await?;
    let Some(before) = find().lock_exclusive().one(txn).await? else { return Ok(Looked::Nothing) };
    // What was paid, bought on invoice or given up has no price that could run out.
    let Ok(expired) = apply(before.state, before.invoiced, PurchaseEvent::Expired) else {
        return Ok(Looked::Nothing);
    };
    let now = clock.now();
    if now < before.valid_until {
        return Ok(Looked::Again(before.valid_until));
    }
    // Who has paid is not told that it has run out before it is known what becomes of the money.
    if is_under_way(txn, tenant, id).await? || has_parked(txn, tenant, id).await? {
        return Ok(Looked::Again(now.plus_seconds(AGAIN_SECONDS)));
    }
    let state = expired.to;
    let ended = approvals::withdraw(txn, tenant, clock, id, RequestState::Expired).await?;
    let request = approvals::find_of_purchase(txn, tenant, id).await?.map(|row| row.id);
    let closed = close_checkouts(txn, tenant, clock, id, expired.effect).await?;
    let after = purchase::Model { state, ..before.clone() };
    write_purchase(txn, &after).await?;
    ended_in(txn, tenant, clock, id, Ended::Closed).await?;
    let was = json!({ "state": before.state.as_str() });
    let mut is = json!({ "state": state.as_str(), "closedPayments": closed });
    give_quote_back(txn, tenant, &after, &mut is).await?;
    let change = Change::updated("expirePurchase", id, was, is);
    for change in ended.into_iter().chain([change]) {
        audit::record(txn, tenant, clock, &Actor::system(None), change).await?;
    }
    Ok(Looked::Expired(closed, request))
}
