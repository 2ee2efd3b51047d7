//! Buying credits: a package is requested, a checkout is started, its page is paid, the credits are in.
//!
//! A purchase moves by the state machine in `bursar_domain::purchase`. Each step locks the purchase,
//! then its payments, then the pool's head, in that order, so that two tabs, two clicks and a reload
//! come one after another and the second finds what the first did.

mod answer;
mod cancel;
mod checkout;
mod request;
mod resume;
mod settle;
mod unfreeze;
mod waiting;

pub use answer::{Answer, Given, Resolution, Resolved, resolve_credit_request};
pub use cancel::cancel;
pub use checkout::{
    Checkout, CheckoutLink, StartCheckout, Started, cancel_checkout, find_checkout, start_checkout,
};
pub use request::{PurchaseRequest, Requested, request};
pub use resume::resume;
pub use settle::{Settled, pay_sandbox};
pub use unfreeze::unfreeze;

use bursar_domain::id::PurchaseId;
use bursar_domain::purchase::PaymentState;
use bursar_entity::{payment, purchase};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect, Set, Unchanged};

use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};
use crate::global_id;

/// Locks a purchase.
async fn lock(txn: &Txn, tenant: Tenant, id: PurchaseId) -> Result<purchase::Model> {
    let select = tenant.find::<purchase::Entity>().filter(purchase::Column::Id.eq(id));
    select.lock_exclusive().one(txn).await?.ok_or(Error::not_found("purchase").at("purchaseId"))
}

/// Writes what can change of a purchase.
async fn write_purchase(txn: &Txn, row: &purchase::Model) -> Result<()> {
    let row = purchase::ActiveModel {
        organization_id: Unchanged(row.organization_id),
        id: Unchanged(row.id),
        state: Set(row.state),
        completed_at: Set(row.completed_at),
        ..Default::default()
    };
    purchase::Entity::update(row).exec_without_returning(txn).await?;
    Ok(())
}

/// Writes what can change of a payment.
async fn write_payment(txn: &Txn, row: &payment::Model) -> Result<()> {
    let row = payment::ActiveModel {
        organization_id: Unchanged(row.organization_id),
        id: Unchanged(row.id),
        state: Set(row.state),
        provider_payment: Set(row.provider_payment.clone()),
        paid_at: Set(row.paid_at),
        ..Default::default()
    };
    payment::Entity::update(row).exec_without_returning(txn).await?;
    Ok(())
}

/// Closes all checkouts of a purchase that are still open, and answers which. The purchase is locked.
async fn close_open_payments(txn: &Txn, tenant: Tenant, purchase: PurchaseId) -> Result<Vec<String>> {
    let open = tenant
        .find::<payment::Entity>()
        .filter(payment::Column::PurchaseId.eq(purchase))
        .filter(payment::Column::State.eq(PaymentState::Open));
    let mut closed = Vec::new();
    for row in open.all(txn).await? {
        closed.push(global_id::encode(row.id));
        write_payment(txn, &payment::Model { state: PaymentState::Cancelled, ..row }).await?;
    }
    Ok(closed)
}
