//! The payment of ours that parked money names. Its buyer has paid: until the vendor has decided about the money, the payment
//! is parked too, and its purchase can neither be paid again nor come to its end.

use bursar_domain::id::{ParkedPaymentId, PaymentId, PurchaseId};
use bursar_domain::purchase::{
    NOT_AS_AGREED, ParkedState, PaymentProvider, PaymentState, PurchaseEvent, apply,
};
use bursar_entity::{parked_payment, payment, purchase};
use sea_orm::{ColumnTrait, QueryFilter};
use serde_json::json;

use super::agreed::is_superseded;
use super::awaited::await_in;
use super::book::is_paid_otherwise;
use super::checkout::lock_checkout;
use super::pay_again::checkout_failed;
use super::timed::{PURCHASE_DUE, be_due, is_done};
use super::{lock, write_payment, write_purchase};
use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::clock::Clock;
use crate::context::Context;
use crate::db::scope::find_across;
use crate::db::{Scope, Tenant, Txn};
use crate::error::{Error, Result};
use crate::global_id;

/// The payment of ours that money of a provider names, and whose it is.
pub(super) async fn find_claimed(
    context: &Context,
    provider: PaymentProvider,
    name: Option<&str>,
) -> Result<Option<(Tenant, PaymentId)>> {
    let Some(id) = name.and_then(global_id::decode::<PaymentId>) else { return Ok(None) };
    let snapshot = context.db.read(Scope::Operator).await?;
    let row = find_across::<payment::Entity>()
        .filter(payment::Column::Provider.eq(provider))
        .filter(payment::Column::Id.eq(id))
        .one(&snapshot)
        .await?;
    // The provider has taken money for this payment, whomever it says that it is of.
    Ok(row.map(|row| (Tenant::vouched(row.organization_id), row.id)))
}

/// The payment of ours that parked money names, and whose it is.
pub(super) async fn claimed_by(
    context: &Context,
    id: ParkedPaymentId,
) -> Result<Option<(Tenant, PaymentId)>> {
    let vendor = Tenant::vendor();
    let snapshot = context.db.read(vendor).await?;
    let row = vendor.find::<parked_payment::Entity>().filter(parked_payment::Column::Id.eq(id));
    let row = row.one(&snapshot).await?;
    drop(snapshot);
    match row {
        Some(row) => find_claimed(context, row.provider, row.claimed_payment.as_deref()).await,
        None => Ok(None),
    }
}

/// A purchase that waits for the decision about parked money.
#[derive(Debug)]
pub(super) struct Held {
    /// Whose it is.
    pub tenant: Tenant,
    /// The purchase.
    pub purchase: PurchaseId,
    /// The other checkouts of it, which were closed.
    pub closed: Vec<String>,
}

/// Has a payment wait for the decision about the money that names it, unless it is paid by other money or waits already.
/// The transaction is the vendor's, and turns to whose the payment is, and back.
pub(super) async fn hold_up_in(
    txn: &Txn,
    actor: &Actor,
    clock: &Clock,
    (tenant, id): (Tenant, PaymentId),
) -> Result<Option<Held>> {
    txn.turn_to(tenant).await?;
    let (row, payment) = lock_checkout(txn, tenant, id).await?;
    let held = match payment.state {
        PaymentState::Paid | PaymentState::Parked => None,
        PaymentState::Open | PaymentState::Pending | PaymentState::Failed | PaymentState::Cancelled => {
            let purchase = row.id;
            let becomes = (PaymentState::Parked, "parkPayment");
            let closed = await_in(txn, (tenant, actor), clock, (row, payment), becomes).await?;
            Some(Held { tenant, purchase, closed })
        }
    };
    txn.turn_to(Tenant::vendor()).await?;
    Ok(held)
}

/// A purchase that waits no more, and what is still to be recorded of that.
pub(super) struct Freed {
    /// Whose it is.
    pub tenant: Tenant,
    /// The purchase.
    pub purchase: PurchaseId,
    change: Change,
}

/// Lets the payment go that waited for the decision about parked money, which is locked, unless it waits for other money
/// too. Its purchase can be paid by another checkout then, and expires when its time is over; when it is the one that the
/// money `pays`, that is booked next. Whatever the money pays gets the provider's name of it. The transaction is the vendor's,
/// and turns to whose the payment is, and back.
pub(super) async fn let_go_in(
    txn: &Txn,
    clock: &Clock,
    row: &parked_payment::Model,
    (tenant, id): (Tenant, PaymentId),
    pays: Option<(Tenant, PurchaseId)>,
) -> Result<Option<Freed>> {
    let vendor = Tenant::vendor();
    txn.turn_to(tenant).await?;
    lock_both(txn, tenant, id, pays).await?;
    let (purchase, payment) = lock_checkout(txn, tenant, id).await?;
    let payment = match pays {
        Some(_) => give_name_up(txn, row, payment).await?,
        None => payment,
    };
    // With the purchase locked: of two that decide at the same time, the second one sees what the first has decided.
    txn.turn_to(vendor).await?;
    if payment.state != PaymentState::Parked || waits_for_more(txn, row).await? {
        return Ok(None);
    }
    txn.turn_to(tenant).await?;
    let freed = free_in(txn, clock, tenant, (purchase, payment), pays).await?;
    txn.turn_to(vendor).await?;
    Ok(Some(freed))
}

/// Takes the provider's name of parked money from the payment that it was charged for in vain: it becomes the name of the
/// payment that the money makes, and no two payments have one name. The purchase is locked.
async fn give_name_up(
    txn: &Txn,
    row: &parked_payment::Model,
    payment: payment::Model,
) -> Result<payment::Model> {
    let is_named = payment.provider_payment.as_deref() == Some(row.provider_reference.as_str());
    if !is_named || payment.state == PaymentState::Paid {
        return Ok(payment);
    }
    let nameless = payment::Model { provider_payment: None, ..payment };
    write_payment(txn, &nameless).await?;
    Ok(nameless)
}

/// Locks the purchase of a payment and the one that is paid, when both are of the same organization, in one order.
async fn lock_both(
    txn: &Txn,
    tenant: Tenant,
    id: PaymentId,
    pays: Option<(Tenant, PurchaseId)>,
) -> Result<()> {
    let payment = tenant.find::<payment::Entity>().filter(payment::Column::Id.eq(id)).one(txn).await?;
    let payment = payment.ok_or_else(|| Error::internal("a payment that is gone"))?;
    let paid = pays.filter(|(whose, _)| whose.id() == tenant.id()).map(|(_, purchase)| purchase);
    let mut both: Vec<PurchaseId> = paid.into_iter().chain([payment.purchase_id]).collect();
    both.sort();
    for purchase in both {
        lock(txn, tenant, purchase).await?;
    }
    Ok(())
}

/// Whether the payment that parked money names is named by other money too about which nobody has decided.
async fn waits_for_more(txn: &Txn, row: &parked_payment::Model) -> Result<bool> {
    let Some(name) = row.claimed_payment.as_deref() else { return Ok(false) };
    let others = Tenant::vendor()
        .find::<parked_payment::Entity>()
        .filter(parked_payment::Column::Provider.eq(row.provider))
        .filter(parked_payment::Column::ClaimedPayment.eq(name))
        .filter(parked_payment::Column::State.eq(ParkedState::Open))
        .filter(parked_payment::Column::Id.ne(row.id));
    Ok(others.one(txn).await?.is_some())
}

/// Writes that a payment has come to nothing, and that its purchase may go on. The purchase is locked.
async fn free_in(
    txn: &Txn,
    clock: &Clock,
    tenant: Tenant,
    (purchase, payment): (purchase::Model, payment::Model),
    pays: Option<(Tenant, PurchaseId)>,
) -> Result<Freed> {
    let (id, name) = (purchase.id, global_id::encode(payment.id));
    let was = json!({ "state": purchase.state.as_str(), "payment": payment.state.as_str() });
    let cancelled = PaymentState::Cancelled;
    let failure = match is_superseded(&payment) {
        true => payment.failure.clone(),
        false => Some(NOT_AS_AGREED.to_owned()),
    };
    write_payment(txn, &payment::Model { state: cancelled, failure, ..payment }).await?;
    let is_paid_next = pays.is_some_and(|(_, paid)| paid == id);
    let state = match apply(purchase.state, purchase.invoiced, PurchaseEvent::CheckoutCancelled) {
        Ok(moved) if !is_paid_next && !is_paid_otherwise(txn, tenant, id).await? => moved.to,
        // It is paid otherwise, or has come to its end.
        Ok(_) | Err(_) => purchase.state,
    };
    let is = json!({ "state": state.as_str(), "payment": cancelled.as_str(), "closedPayments": [name] });
    if state != purchase.state {
        // It may have waited longer than its price was valid. Whoever looks at it just now gives nothing back.
        is_done(txn, tenant, PURCHASE_DUE, id).await?;
        be_due(txn, tenant, PURCHASE_DUE, id, purchase.valid_until.max(clock.now())).await?;
        write_purchase(txn, &purchase::Model { state, ..purchase }).await?;
        checkout_failed(txn, tenant, clock, id).await?;
    }
    Ok(Freed { tenant, purchase: id, change: Change::updated("cancelCheckout", id, was, is) })
}

/// Records what was let go, once all rows are locked. The transaction is the vendor's, and is so again afterwards.
pub(super) async fn record_let_go(txn: &Txn, clock: &Clock, actor: &Actor, freed: Freed) -> Result<()> {
    txn.turn_to(freed.tenant).await?;
    audit::record(txn, freed.tenant, clock, actor, freed.change).await?;
    txn.turn_to(Tenant::vendor()).await?;
    Ok(())
}
