//! Charges that were left at a payment provider that is not set up any more. Whether the money was taken only that provider
//! knows, and nobody can ask it.
//!
//! So the charge is parked under our own name of it, which tells the vendor's staff; the purchase can be paid in another
//! way, or withdrawn; and the pool buys nothing more before somebody has set it again. Nothing is lost by that: what the
//! provider tells of the charge once it is set up again is booked like any payment that was thought to have failed, or
//! parked when the purchase was paid meanwhile. When the staff knows that the money was taken, it books what is parked for
//! the purchase; then the provider's own name is written down as soon as it is told.

use bursar_domain::id::{PaymentId, PoolId, PurchaseId};
use bursar_domain::purchase::{ParkedReason, PaymentState};
use bursar_entity::payment;
use sea_orm::{ColumnTrait, QueryFilter};
use serde_json::json;

use super::charge::paused;
use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::db::{self, Tenant, Txn};
use crate::error::{Error, Result};
use crate::global_id;
use crate::purchases::checkout::lock_checkout;
use crate::purchases::parked::{Parking, park};
use crate::purchases::settle::book_failure;
use crate::purchases::top_up_settings::{lock_top_up, write_top_up};
use crate::purchases::{Selling, write_payment};

/// Why a charge counts as failed.
pub(super) const PROVIDER_GONE: &str = "provider_gone";
/// The same for people.
const WHY: &str = "The payment provider of the last charge is no longer set up; the vendor has to find out whether it \
                   was paid.";

/// Ends a charge whose provider nobody can ask. Done again, it goes on where it was cut off.
///
/// # Errors
/// What the database answers.
pub(super) async fn set_aside(
    selling: &Selling,
    tenant: Tenant,
    pool: PoolId,
    charge: &payment::Model,
) -> Result<()> {
    // First of all somebody is told.
    let name = global_id::encode(charge.id);
    let detail = format!(
        "A charge of {} {} was left at a payment provider that is no longer set up. Whether it was taken only that \
         provider knows.",
        charge.amount, charge.currency
    );
    let parking = Parking {
        reference: name.clone(),
        reason: ParkedReason::ProviderGone,
        detail,
        amount: charge.amount,
        currency: charge.currency.code().to_owned(),
        organization: Some(global_id::encode(charge.organization_id)),
        ours: Some(name),
    };
    park(selling, charge.provider, parking, None).await?;
    let (own, id) = (selling.clone(), charge.id);
    let work = db::work(move |txn| {
        let own = own.clone();
        Box::pin(async move { set_aside_in(txn, &own, tenant, (pool, id)).await })
    });
    let context = selling.context();
    let purchase = context.db.write(tenant, work).await?;
    context.changes.announce_purchase(tenant.id(), purchase);
    Ok(())
}

async fn set_aside_in(
    txn: &Txn,
    selling: &Selling,
    tenant: Tenant,
    (pool, id): (PoolId, PaymentId),
) -> Result<PurchaseId> {
    let (purchase, payment) = lock_checkout(txn, tenant, id).await?;
    let purchase_id = purchase.id;
    if !matches!(payment.state, PaymentState::Open | PaymentState::Pending) {
        // The provider has told of it after all.
        return Ok(purchase_id);
    }
    let row = lock_top_up(txn, tenant, pool).await?;
    if let Some(row) = row.filter(|row| row.purchase_id == Some(purchase_id)) {
        write_top_up(txn, &paused(row, WHY, selling.context().clock.now())).await?;
    }
    book_failure(txn, selling, tenant, (purchase, payment), PROVIDER_GONE, &Actor::system(None)).await?;
    Ok(purchase_id)
}

/// Refuses a purchase that a charge with a name of ours was not for: another one would be paid with money that may still
/// be told of.
///
/// # Errors
/// [`Error::Invalid`] at `field`; what the database answers.
pub(in crate::purchases) async fn require_charged(
    txn: &Txn,
    tenant: Tenant,
    (purchase, charge): (PurchaseId, &str),
    field: &'static str,
) -> Result<()> {
    let charged = match global_id::decode::<PaymentId>(charge) {
        Some(id) => {
            let row = tenant.find::<payment::Entity>().filter(payment::Column::Id.eq(id));
            row.one(txn).await?.is_some_and(|row| row.purchase_id == purchase)
        }
        None => false,
    };
    if charged { Ok(()) } else { Err(Error::invalid(field, "is not the purchase that was charged")) }
}

/// The provider tells that it has taken a charge that was booked by our own name of it: from now on it is known by the
/// provider's, as refunds and disputes name it. Answers whether there is such a one. The purchase is locked.
pub(in crate::purchases) async fn name_charge(
    txn: &Txn,
    selling: &Selling,
    (tenant, actor): (Tenant, &Actor),
    charge: &payment::Model,
    name: &str,
) -> Result<bool> {
    let known = global_id::encode(charge.id);
    let booked = tenant
        .find::<payment::Entity>()
        .filter(payment::Column::PurchaseId.eq(charge.purchase_id))
        .filter(payment::Column::State.eq(PaymentState::Paid))
        .filter(payment::Column::Provider.eq(charge.provider))
        .filter(payment::Column::ProviderPayment.eq(known.as_str()));
    let Some(booked) = booked.one(txn).await? else { return Ok(false) };
    let (was, is) = (json!({ "providerPayment": known }), json!({ "providerPayment": name }));
    let change = Change::updated("namePayment", charge.purchase_id, was, is);
    write_payment(txn, &payment::Model { provider_payment: Some(name.to_owned()), ..booked }).await?;
    audit::record(txn, tenant, &selling.context().clock, actor, change).await?;
    Ok(true)
}
