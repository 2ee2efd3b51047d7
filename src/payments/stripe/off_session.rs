//! Charges without anybody there, by a way of paying that was kept.

use super::amount::to_stripe;
use super::client::{Client, Form, declined};
use super::objects::{Intent, Named, Reason};
use super::session::{names, not_chargeable};
use crate::payments::{OffSession, PaidState, ProviderError, ProviderPayment};

/// Charges. A decline is an answer like another: the same key has the same answer, so each try needs a payment of its own.
pub(super) async fn charge(client: &Client, charge: &OffSession) -> Result<ProviderPayment, ProviderError> {
    let order = &charge.order;
    let amount = to_stripe(order.price).ok_or_else(not_chargeable)?;
    let mut form: Form<'_> = vec![
        ("amount", amount.to_string()),
        ("currency", order.price.currency.code().to_lowercase()),
        ("customer", charge.customer.customer.clone()),
        ("payment_method", charge.customer.method.clone()),
        ("payment_method_types[0]", "card".to_owned()),
        ("off_session", "true".to_owned()),
        ("confirm", "true".to_owned()),
        ("description", order.description.clone()),
        // By which a failed try of it is known to be the end of it.
        ("metadata[bursar_off_session]", "true".to_owned()),
    ];
    form.extend(names(
        order,
        ["metadata[bursar_organization]", "metadata[bursar_purchase]", "metadata[bursar_payment]"],
    ));
    let intent: Intent = client.post(&["payment_intents"], Some(&order.payment), &form).await?;
    let reason = match intent.status.as_str() {
        "requires_action" => "authentication_required",
        "requires_payment_method" | "canceled" => "card_declined",
        _ => return taken(intent),
    };
    let (code, payment_intent) = (Some(reason.to_owned()), Some(Named::Id(intent.id)));
    let reason = Reason { code, payment_intent, ..Reason::default() };
    Err(declined(reason))
}

/// A payment that was taken, or is under way.
fn taken(intent: Intent) -> Result<ProviderPayment, ProviderError> {
    let payment = ProviderPayment::from(intent);
    match payment.state {
        PaidState::Paid | PaidState::Pending => Ok(payment),
        // Nothing is known of it yet: asked again with the same key, it tells.
        _ => Err(ProviderError::Unreachable("the charge stands as none is known to".to_owned())),
    }
}
