//! Asking a provider to give money back, until it answers.
//!
//! A refund is committed before its provider is asked. With it goes timed work, so that the money goes back even when
//! nobody is left to ask, or the provider does not answer: it is asked again, later and later. The reversal is the key of
//! the order, so the provider carries it out once, however often and by whomever it is asked.

use bursar_domain::Money;
use bursar_domain::id::ReversalId;
use bursar_domain::purchase::PaymentProvider;
use bursar_domain::reversal::{ReversalKind, ReversalState};
use bursar_entity::{payment, reversal};
use sea_orm::{ColumnTrait, QueryFilter};

use super::Selling;
use super::refund::told;
use super::reversals::{Told, hear};
use crate::auth::Actor;
use crate::db::Tenant;
use crate::error::{Conflict, Error, Result};
use crate::global_id;
use crate::payments::{Page, Provider, ProviderError, ProviderRefund, RefundOrder, Sandbox};

/// In how many seconds timed work asks for a refund that is written: by then whoever has written it has asked.
pub(super) const ASK_AGAIN_SECONDS: i64 = 60;

/// Whether the provider still has to be asked for a refund: it has not said anything of it yet.
pub(super) fn is_to_be_asked(row: &reversal::Model) -> bool {
    row.state == ReversalState::Pending && row.provider_reference.is_none()
}

/// Asks for a refund that was written and that no provider has said anything of. What is done already, changes nothing.
///
/// # Errors
/// [`Error::Unavailable`] when the provider cannot be reached, [`Conflict::State`] when it is not set up any more: it has to
/// be asked again.
pub async fn refund_due(selling: &Selling, tenant: Tenant, id: ReversalId) -> Result<()> {
    let snapshot = selling.context().db.read(tenant).await?;
    let row = tenant.find::<reversal::Entity>().filter(reversal::Column::Id.eq(id)).one(&snapshot).await?;
    let Some(row) = row.filter(is_to_be_asked) else { return Ok(()) };
    let of = payment::Column::Id.eq(row.payment_id);
    let payment = tenant.find::<payment::Entity>().filter(of).one(&snapshot).await?;
    drop(snapshot);
    let payment = payment.ok_or_else(|| Error::internal("a reversal of no payment"))?;
    let refused = order(selling, (tenant, &payment), (&row, true), (Actor::system(None), false)).await?;
    if let Some(code) = refused {
        tracing::warn!(%code, reversal = %global_id::encode(id), "a refund was refused");
    }
    Ok(())
}

/// Asks the provider for a refund and writes what it answers. Answers what it refused with, if it did. `again`: it may have
/// been asked before. `says_so`: whoever has asked for the refund is told of a refusal, so that it uses up no key.
pub(super) async fn order(
    selling: &Selling,
    (tenant, payment): (Tenant, &payment::Model),
    (reversal, again): (&reversal::Model, bool),
    (actor, says_so): (Actor, bool),
) -> Result<Option<String>> {
    let (refund, refusal) = match ask(selling, payment, reversal, again).await? {
        Ok(refund) => (told(&refund), None),
        Err(code) => {
            // It has no name at the provider.
            let ours = global_id::encode(reversal.id);
            let failed = Told {
                kind: ReversalKind::Refund,
                reference: format!("refused {ours}"),
                state: ReversalState::Failed,
                amount: reversal.amount,
                currency: reversal.currency.code().to_owned(),
                ours: Some(ours),
                frees_key: says_so,
            };
            (failed, Some(code))
        }
    };
    hear(selling, (tenant, payment.id), refund, actor).await?;
    Ok(refusal)
}

/// Who gives money back that a provider has taken.
///
/// # Errors
/// [`Conflict::State`] when that is not set up any more.
pub(super) fn giver(selling: &Selling, kind: PaymentProvider) -> Result<&dyn Provider> {
    match kind {
        // It moves no money, whoever takes that of others.
        PaymentProvider::Sandbox => Ok(&Sandbox),
        kind => selling.payments.of(kind).ok_or_else(|| {
            let reason = "The payment was taken by a provider that is not set up any more.";
            Error::conflict(Conflict::State, "purchaseId", reason)
        }),
    }
}

/// Asks the provider for a refund. Inside: what it refused with. `again`: it may have been asked before. Providers forget
/// keys after a day, so what came of that is looked for first: else the money could go back a second time.
async fn ask(
    selling: &Selling,
    payment: &payment::Model,
    reversal: &reversal::Model,
    again: bool,
) -> Result<std::result::Result<ProviderRefund, String>> {
    let provider = giver(selling, payment.provider)?;
    let named = payment.provider_payment.clone();
    let order = RefundOrder {
        reversal: global_id::encode(reversal.id),
        payment: named.ok_or_else(|| Error::internal("a payment without its provider's name"))?,
        amount: Money { minor: reversal.amount, currency: reversal.currency },
    };
    let unreachable = |reason: String| {
        tracing::warn!(%reason, "a refund was not answered");
        Error::Unavailable("The payment provider cannot be reached.")
    };
    let nothing = Page { items: Vec::new(), odd: Vec::new(), next: None };
    let made = if again { provider.refunds_of(&order.payment).await } else { Ok(nothing) };
    let made = match made {
        // It was made, and nobody knows where it stands: it must not be made once more.
        Ok(made) if made.odd.iter().any(|odd| odd.ours.as_ref() == Some(&order.reversal)) => {
            return Err(unreachable("the refund stands as none is known to".to_owned()));
        }
        Ok(made) => made.items.into_iter().find(|refund| refund.ours.as_ref() == Some(&order.reversal)),
        Err(ProviderError::Unreachable(reason)) => return Err(unreachable(reason)),
        // What it says to the refund itself says more.
        Err(_) => None,
    };
    if let Some(refund) = made {
        return Ok(Ok(refund));
    }
    match provider.refund(&order).await {
        Ok(refund) => Ok(Ok(refund)),
        Err(ProviderError::Unreachable(reason)) => Err(unreachable(reason)),
        Err(ProviderError::Refused { code } | ProviderError::Declined { code, .. }) => Ok(Err(code)),
        Err(ProviderError::NotFound) => Ok(Err("there is no such payment".to_owned())),
    }
}
