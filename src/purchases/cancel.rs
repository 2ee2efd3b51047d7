//! Withdrawing a purchase before it is paid.

use bursar_domain::purchase::{PurchaseEvent, PurchaseState};
use bursar_entity::purchase;
use serde_json::json;

use super::{close_open_payments, lock, write_purchase};
use crate::audit::{self, Change};
use crate::auth::Authorized;
use crate::context::Context;
use crate::db;
use crate::error::{Conflict, Error, Result};

/// Withdraws a purchase; its open checkout is closed. One that is withdrawn already stays so.
pub async fn cancel(context: &Context, purchase: &Authorized<purchase::Model>) -> Result<purchase::Model> {
    let (tenant, actor, clock) = (purchase.tenant(), purchase.actor().clone(), context.clock.clone());
    let id = purchase.id;
    let work = db::work(move |txn| {
        let (actor, clock) = (actor.clone(), clock.clone());
        Box::pin(async move {
            let before = lock(txn, tenant, id).await?;
            if before.state == PurchaseState::Cancelled {
                return Ok(before);
            }
            let state = before.state.after(PurchaseEvent::Cancelled).ok_or_else(|| {
                let reason = format!("A purchase that is {} cannot be cancelled.", before.state);
                Error::conflict(Conflict::State, "purchaseId", reason)
            })?;
            let closed = close_open_payments(txn, tenant, id).await?;
            let after = purchase::Model { state, ..before.clone() };
            write_purchase(txn, &after).await?;
            let was = json!({ "state": before.state.as_str() });
            let is = json!({ "state": state.as_str(), "closedPayments": closed });
            audit::record(txn, tenant, &clock, &actor, Change::updated("cancelPurchase", id, was, is))
                .await?;
            Ok(after)
        })
    });
    let after = context.db.write(tenant, work).await?;
    context.changes.announce_purchase(tenant.id(), id);
    Ok(after)
}
