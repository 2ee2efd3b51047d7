//! A pool whose own purchase is given back or disputed buys nothing more: credits that are taken back would let it fall to
//! its threshold, and the same card would be charged again at once.
//!
//! The top-up is switched off, until somebody sets it again. What is under way comes to its end first, and leaves it off.

use bursar_domain::top_up::TopUpState;
use bursar_entity::{auto_top_up, payment, purchase};
use sea_orm::{ColumnTrait, QueryFilter};
use serde_json::json;

use crate::audit::Change;
use crate::clock::Clock;
use crate::db::{Tenant, Txn};
use crate::error::Result;
use crate::purchases::top_up_settings::{lock_top_up, write_top_up};

/// Why it is off, for people.
const GIVEN_BACK: &str =
    "A payment of this top-up was given back or was to be, or is disputed; set it again to let it go on.";

/// Switches a pool's top-up off when a purchase is one that a stored way of paying was charged for. The purchase is locked,
/// and no pool's head is. Answers what is to be written to the log after everything else.
pub(in crate::purchases) async fn halt_in(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    purchase: &purchase::Model,
) -> Result<Option<Change>> {
    let charged = tenant
        .find::<payment::Entity>()
        .filter(payment::Column::PurchaseId.eq(purchase.id))
        .filter(payment::Column::PaymentMethodId.is_not_null());
    if charged.one(txn).await?.is_none() {
        return Ok(None);
    }
    let row = lock_top_up(txn, tenant, purchase.pool_id).await?;
    let Some(row) = row.filter(|row| row.enabled) else { return Ok(None) };
    let state = if row.purchase_id.is_some() { row.state } else { TopUpState::Paused };
    let was = json!({ "enabled": true, "state": row.state.as_str() });
    let is = json!({ "enabled": false, "state": state.as_str() });
    let halted = auto_top_up::Model {
        enabled: false,
        state,
        retry_at: None,
        last_error: Some(GIVEN_BACK.to_owned()),
        updated_at: clock.now(),
        ..row
    };
    write_top_up(txn, &halted).await?;
    Ok(Some(Change::updated("switchOffTopUp", purchase.pool_id, was, is)))
}

/// What is said of a top-up whose purchase was paid: nothing, but why it was switched off meanwhile.
pub(super) fn after_paid(row: &auto_top_up::Model) -> Option<String> {
    row.last_error.clone().filter(|why| !row.enabled && why == GIVEN_BACK)
}
