//! Purchases whose price is no longer valid: nobody has paid them in time, and they come to their end.

use bursar_domain::Timestamp;
use bursar_domain::approval::RequestState;
use bursar_domain::id::{ApprovalId, PurchaseId};
use bursar_domain::purchase::{PurchaseEvent, apply};
use bursar_entity::purchase;
use sea_orm::{ColumnTrait, QueryFilter, QuerySelect};
use serde_json::json;

use super::closing::{close_checkouts, close_sessions};
use super::top_up::{Ended, ended_in};
use super::{Selling, give_quote_back, has_parked, is_under_way, write_purchase};
use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::clock::Clock;
use crate::db::{self, Tenant, Txn};
use crate::error::Result;
use crate::organizations::lock_organization;
use crate::{approvals, catalog};

/// In how many seconds a purchase is looked at again whose payment is under way or parked.
const AGAIN_SECONDS: i64 = 3_600;

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
/// What the database answers.
pub async fn expire(selling: &Selling, tenant: Tenant, id: PurchaseId) -> Result<Option<Timestamp>> {
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
