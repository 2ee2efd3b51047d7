//! What was agreed on of a payment, beside what a provider says of it.

use bursar_domain::pricing::UnitPrice;
use bursar_domain::purchase::ParkedReason;
use bursar_entity::{payment, purchase};

use crate::global_id;
use crate::payments::ProviderPayment;

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
