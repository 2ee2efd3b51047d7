//! Payments whose buyers have paid and whose money does not count yet. The purchase waits for it, as long as the state
//! machine lets it: one that has come to its end does not, and its payment says only what is true of the money.

use bursar_domain::purchase::{Effect, PaymentState, PurchaseEvent, apply};
use bursar_entity::{payment, purchase};
use serde_json::json;

use super::closing::close_checkouts;
use super::{write_payment, write_purchase};
use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::clock::Clock;
use crate::db::{Tenant, Txn};
use crate::error::Result;
use crate::global_id;

/// Writes that a payment does not count yet: the state that it is in, by a change of that name. The purchase is locked.
/// Answers the other checkouts, which were closed.
pub(super) async fn await_in(
    txn: &Txn,
    (tenant, actor): (Tenant, &Actor),
    clock: &Clock,
    (purchase, payment): (purchase::Model, payment::Model),
    (becomes, action): (PaymentState, &'static str),
) -> Result<Vec<String>> {
    let name = global_id::encode(payment.id);
    let (state, effect) = match apply(purchase.state, purchase.invoiced, PurchaseEvent::PaymentUnderWay) {
        Ok(moved) => (moved.to, moved.effect),
        Err(refusal) => {
            tracing::warn!(payment = %name, %refusal, "a buyer has paid for a purchase that does not wait for it");
            (purchase.state, Effect::None)
        }
    };
    let was = json!({ "state": purchase.state.as_str(), "payment": payment.state.as_str() });
    // Before the others are closed: it is not among them any more.
    write_payment(txn, &payment::Model { state: becomes, ..payment }).await?;
    let closed = close_checkouts(txn, tenant, clock, purchase.id, effect).await?;
    let is = json!({
        "state": state.as_str(),
        "payment": becomes.as_str(),
        "pendingPayment": name,
        "closedPayments": closed,
    });
    let change = Change::updated(action, purchase.id, was, is);
    if state != purchase.state {
        write_purchase(txn, &purchase::Model { state, ..purchase }).await?;
    }
    audit::record(txn, tenant, clock, actor, change).await?;
    Ok(closed)
}
