//! Withdrawing a purchase before it is paid.

use bursar_domain::approval::RequestState;
use bursar_domain::purchase::{PurchaseEvent, PurchaseState, apply};
use bursar_entity::purchase;
use serde_json::json;

use super::closing::{close_checkouts, close_sessions};
use super::top_up::{Ended, ended_in};
use super::{Selling, give_quote_back, lock_with_quote, nothing_under_way, refused, write_purchase};
use crate::audit::{self, Change};
use crate::auth::Authorized;
use crate::error::Result;
use crate::organizations::lock_for;
use crate::{approvals, db};

/// Withdraws a purchase; its open checkout is closed, and what was quoted can be bought again. One that is withdrawn
/// already stays so.
///
/// # Errors
/// [`Conflict::Purchase`](crate::error::Conflict::Purchase) when it cannot be withdrawn any more, or its payment is under
/// way; what the database answers.
pub async fn cancel(selling: &Selling, purchase: &Authorized<purchase::Model>) -> Result<purchase::Model> {
    let context = selling.context();
    let (tenant, actor, clock) = (purchase.tenant(), purchase.actor().clone(), context.clock.clone());
    let id = purchase.id;
    let work = db::work(move |txn| {
        let (actor, clock) = (actor.clone(), clock.clone());
        Box::pin(async move {
            lock_for(txn, tenant, &actor).await?;
            let before = lock_with_quote(txn, tenant, id).await?;
            if before.state == PurchaseState::Cancelled {
                return Ok((before, Vec::new(), None));
            }
            let withdrawn = apply(before.state, before.invoiced, PurchaseEvent::Cancelled);
            let withdrawn = withdrawn.map_err(|refusal| refused(refusal, "purchaseId"))?;
            nothing_under_way(txn, tenant, &before).await?;
            let ended = approvals::withdraw(txn, tenant, &clock, id, RequestState::Withdrawn).await?;
            let request = approvals::find_of_purchase(txn, tenant, id).await?.map(|row| row.id);
            let closed = close_checkouts(txn, tenant, &clock, id, withdrawn.effect).await?;
            let state = withdrawn.to;
            let after = purchase::Model { state, ..before.clone() };
            write_purchase(txn, &after).await?;
            ended_in(txn, tenant, &clock, id, Ended::Closed).await?;
            let was = json!({ "state": before.state.as_str() });
            let mut is = json!({ "state": state.as_str(), "closedPayments": closed });
            give_quote_back(txn, tenant, &after, &mut is).await?;
            let change = Change::updated("cancelPurchase", id, was, is);
            for change in ended.into_iter().chain([change]) {
                audit::record(txn, tenant, &clock, &actor, change).await?;
            }
            Ok((after, closed, request))
        })
    });
    let (after, closed, request) = context.db.write(tenant, work).await?;
    approvals::announce(context, tenant, request.as_slice());
    context.changes.announce_purchase(tenant.id(), id);
    close_sessions(selling, tenant, &closed).await;
    Ok(after)
}
