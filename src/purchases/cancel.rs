//! Withdrawing a purchase before it is paid.

use bursar_domain::purchase::{PurchaseEvent, PurchaseState, apply};
use bursar_entity::purchase;
use serde_json::json;

use super::checkout::close_sessions;
use super::top_up::{Ended, ended_in};
use super::{Selling, close_open_payments, lock, nothing_under_way, refused, write_purchase};
use crate::audit::{self, Change};
use crate::auth::Authorized;
use crate::db;
use crate::error::Result;

/// Withdraws a purchase; its open checkout is closed. One that is withdrawn already stays so.
///
/// # Errors
/// [`Conflict::State`](crate::error::Conflict::State) when it cannot be withdrawn any more, or its payment is under way;
/// what the database answers.
pub async fn cancel(selling: &Selling, purchase: &Authorized<purchase::Model>) -> Result<purchase::Model> {
    let context = selling.context();
    let (tenant, actor, clock) = (purchase.tenant(), purchase.actor().clone(), context.clock.clone());
    let id = purchase.id;
    let work = db::work(move |txn| {
        let (actor, clock) = (actor.clone(), clock.clone());
        Box::pin(async move {
            let before = lock(txn, tenant, id).await?;
            if before.state == PurchaseState::Cancelled {
                return Ok((before, Vec::new()));
            }
            let withdrawn = apply(before.state, before.invoiced, PurchaseEvent::Cancelled);
            let state = withdrawn.map_err(|refusal| refused(refusal, "purchaseId"))?.to;
            nothing_under_way(txn, tenant, id).await?;
            let closed = close_open_payments(txn, tenant, id).await?;
            let after = purchase::Model { state, ..before.clone() };
            write_purchase(txn, &after).await?;
            ended_in(txn, tenant, &clock, id, Ended::Closed).await?;
            let was = json!({ "state": before.state.as_str() });
            let is = json!({ "state": state.as_str(), "closedPayments": closed });
            audit::record(txn, tenant, &clock, &actor, Change::updated("cancelPurchase", id, was, is))
                .await?;
            Ok((after, closed))
        })
    });
    let (after, closed) = context.db.write(tenant, work).await?;
    context.changes.announce_purchase(tenant.id(), id);
    close_sessions(selling, tenant, &closed).await;
    Ok(after)
}
