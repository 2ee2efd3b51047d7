//! What was agreed on of a payment, beside what a provider says of it.

use bursar_domain::pricing::UnitPrice;
use bursar_domain::purchase::ParkedReason;
use bursar_entity::{payment, purchase};

use crate::db::{Tenant, Txn};
use crate::error::Result;
use crate::payments::ProviderPayment;
use crate::{approvals, global_id};

/// Our own word for why a checkout is closed: what is bought was changed.
pub(super) const SUPERSEDED: &str = "purchase_changed";

/// Whether a checkout is of what was to be bought before the purchase was changed.
pub(super) fn is_superseded(payment: &payment::Model) -> bool {
    payment.failure.as_deref() == Some(SUPERSEDED)
}

/// The purchase at what was paid for it. A checkout that was opened before the price fell is closed at the provider, but
/// may be paid all the same.
pub(super) fn at_what_was_paid(purchase: purchase::Model, total: i64) -> purchase::Model {
    if total == purchase.total {
        return purchase;
    }
    let unit_price = UnitPrice::of(total, purchase.credits).unwrap_or(purchase.unit_price);
    purchase::Model { total, unit_price, ..purchase }
}

/// What a provider says of a payment that differs from what was agreed on.
pub(super) fn mismatch(
    purchase: &purchase::Model,
    payment: &payment::Model,
    told: &ProviderPayment,
) -> Option<(ParkedReason, String)> {
    let differs =
        |what: &str, expected: &str, came: &str| format!("{what}: {expected} was expected, {came} came.");
    let organization = global_id::encode(payment.organization_id);
    let named = told.organization.as_deref();
    // Whatever names a payment of ours names its organization: we have put both there.
    if named.is_some_and(|named| named != organization) || told.ours.is_some() && named.is_none() {
        let detail = differs("organization", &organization, named.unwrap_or("none"));
        return Some((ParkedReason::OrganizationMismatch, detail));
    }
    if told.currency != payment.currency.code() {
        let detail = differs("currency", payment.currency.code(), &told.currency);
        return Some((ParkedReason::CurrencyMismatch, detail));
    }
    if told.amount != payment.amount {
        let detail = differs("amount", &payment.amount.to_string(), &told.amount.to_string());
        return Some((ParkedReason::AmountMismatch, detail));
    }
    if let Some(named) = told.purchase.as_deref().filter(|named| *named != global_id::encode(purchase.id)) {
        let detail = differs("purchase", &global_id::encode(purchase.id), named);
        return Some((ParkedReason::Unknown, detail));
    }
    match (&payment.provider_session, &told.session) {
        (Some(known), Some(named)) if known != named => {
            Some((ParkedReason::Unknown, differs("checkout", known, named)))
        }
        _ => None,
    }
}

/// Why money that has arrived is not what was agreed on: it was paid at a checkout that is older than a change of the
/// purchase, or for more than people have agreed to. The purchase is locked.
pub(super) async fn not_agreed(
    txn: &Txn,
    tenant: Tenant,
    (purchase, payment): (&purchase::Model, &payment::Model),
) -> Result<Option<(ParkedReason, String)>> {
    if is_superseded(payment) {
        let detail = "The purchase was changed after this checkout had been opened.".to_owned();
        return Ok(Some((ParkedReason::PurchaseClosed, detail)));
    }
    // A price only ever falls while a purchase stays as it is.
    if payment.amount < purchase.total {
        let detail = format!("amount: {} was expected, {} came.", purchase.total, payment.amount);
        return Ok(Some((ParkedReason::AmountMismatch, detail)));
    }
    let Some(agreed) = approvals::agreed_to(txn, tenant, purchase).await? else { return Ok(None) };
    if payment.amount > agreed.total {
        let detail = format!("amount: {} was agreed to, {} came.", agreed.total, payment.amount);
        return Ok(Some((ParkedReason::AmountMismatch, detail)));
    }
    let other = (ParkedReason::PurchaseClosed, "The purchase is not what was agreed to.".to_owned());
    Ok((!agreed.is_it).then_some(other))
}
