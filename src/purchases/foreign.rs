//! Money that names nothing of ours, and messages that are not understood. One account at a provider may serve others
//! beside Bursar, so such money need not be a mistake, and it may be ours all the same: its checkout, or the bill that it
//! paid, is asked for before it is parked, so that one payment is parked once, under one name, and what is ours never for
//! long.

use bursar_domain::purchase::{ParkedReason, ParkedState, PaymentProvider};
use bursar_entity::parked_payment;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect, Set, Unchanged};
use serde_json::json;

use super::Selling;
use super::claimed::{claimed_by, let_go_in, record_let_go};
use super::parked::{Parking, find_parked, park};
use super::settle::{Outcome, unreachable};
use crate::audit;
use crate::auth::Actor;
use crate::db::{self, Tenant};
use crate::error::{Error, Result};
use crate::payments::{NotUnderstood, PaidState, ProviderError, ProviderPayment};

/// What is written about parked money whose checkout has told since whose it is.
const FOUND: &str = "Its checkout has told whose it is: it is booked.";

/// A payment that names nothing of ours, with the names of its checkout when that has some.
///
/// # Errors
/// [`Error::Unavailable`] when the provider cannot be asked: told again, it is asked again, and nothing is parked meanwhile.
pub(super) async fn by_its_checkout(
    selling: &Selling,
    provider: PaymentProvider,
    told: ProviderPayment,
) -> Result<ProviderPayment> {
    let nameless = told.ours.is_none() && told.session.is_none() && told.state == PaidState::Paid;
    let name = told.payment.clone().filter(|_| nameless);
    let (Some(name), Some(asked)) = (name, selling.payments.of(provider)) else { return Ok(told) };
    let checkout = asked.checkout_of(&name).await;
    match checkout {
        Ok(Some(checkout)) if checkout.ours.is_some() => {
            let ProviderPayment { payment, state, amount, currency, .. } = told;
            Ok(ProviderPayment { payment, state, amount, currency, ..checkout })
        }
        Ok(_) => Ok(told),
        Err(ProviderError::Unreachable(reason)) => Err(unreachable(&reason)),
        Err(error) => {
            tracing::warn!(%error, payment = %name, "the provider does not tell of a payment's checkout");
            Ok(told)
        }
    }
}

/// What a checkout of another kind tells, under the name of its payment: that is told of by itself, too, and must not be
/// parked twice.
///
/// # Errors
/// The same as [`by_its_checkout`].
pub(super) async fn by_its_bill(
    selling: &Selling,
    provider: PaymentProvider,
    told: ProviderPayment,
    invoice: Option<String>,
) -> Result<ProviderPayment> {
    let invoice = invoice.filter(|_| told.payment.is_none());
    let (Some(invoice), Some(asked)) = (invoice, selling.payments.of(provider)) else { return Ok(told) };
    let payer = asked.payer_of(&invoice).await;
    match payer {
        Ok(payment) => Ok(ProviderPayment { payment, ..told }),
        Err(ProviderError::Unreachable(reason)) => Err(unreachable(&reason)),
        Err(error) => {
            tracing::warn!(%error, %invoice, "the provider does not tell what has paid its bill");
            Ok(told)
        }
    }
}

/// Parks what is not understood: nothing can be booked for it, and nobody but a person can look it up.
///
/// # Errors
/// What the database answers.
pub(super) async fn park_odd(
    selling: &Selling,
    provider: PaymentProvider,
    odd: NotUnderstood,
    origin: Option<String>,
) -> Result<Outcome> {
    let NotUnderstood { reference, detail, amount, currency, organization, ours } = odd;
    let reason = ParkedReason::NotUnderstood;
    let parking = Parking { reference, reason, detail, amount, currency, organization, ours };
    park(selling, provider, parking, origin).await
}

/// Takes from the operator's desk what was parked because it named nothing of ours, and is booked by now: nobody has to
/// decide about it any more. What was decided stays.
///
/// # Errors
/// What the database answers: told again, it is done.
pub(super) async fn unpark(
    selling: &Selling,
    provider: PaymentProvider,
    told: &ProviderPayment,
    origin: Option<String>,
) -> Result<()> {
    let context = selling.context();
    let Some(name) = told.payment.as_deref() else { return Ok(()) };
    let waits =
        |row: &parked_payment::Model| row.state == ParkedState::Open && row.reason == ParkedReason::Unknown;
    let Some(row) = find_parked(context, provider, name).await?.filter(waits) else { return Ok(()) };
    // It may have been thought to be of another payment, which waits no more.
    let claimed = claimed_by(context, row.id).await?;
    let (id, clock, actor) = (row.id, context.clock.clone(), Actor::system(origin));
    let work = db::work(move |txn| {
        let (clock, actor) = (clock.clone(), actor.clone());
        Box::pin(async move {
            let vendor = Tenant::vendor();
            let row = vendor.find::<parked_payment::Entity>().filter(parked_payment::Column::Id.eq(id));
            let Some(row) = row.lock_exclusive().one(txn).await?.filter(waits) else { return Ok(None) };
            let freed = match claimed {
                Some(claimed) => let_go_in(txn, &clock, &row, claimed, None).await?,
                None => None,
            };
            let written = parked_payment::ActiveModel {
                organization_id: Unchanged(row.organization_id),
                id: Unchanged(row.id),
                state: Set(ParkedState::Applied),
                resolution: Set(Some(FOUND.to_owned())),
                resolved_at: Set(Some(clock.now())),
                ..Default::default()
            };
            parked_payment::Entity::update(written).exec_without_returning(txn).await?;
            let waited = freed.as_ref().map(|freed| (freed.tenant, freed.purchase));
            if let Some(freed) = freed {
                record_let_go(txn, &clock, &actor, freed).await?;
            }
            let was = json!({ "state": row.state.as_str() });
            let is = json!({ "state": ParkedState::Applied.as_str(), "note": FOUND });
            let change = audit::Change::updated("resolveParkedPayment", row.id, was, is);
            audit::record(txn, vendor, &clock, &actor, change).await?;
            Ok::<_, Error>(waited)
        })
    });
    if let Some((tenant, purchase)) = context.db.write(Tenant::vendor(), work).await? {
        context.changes.announce_purchase(tenant.id(), purchase);
    }
    Ok(())
}
