//! Paying at the sandbox's page, where no money moves.

use bursar_domain::purchase::{PaymentProvider, PaymentState, PurchaseState};
use bursar_entity::{organization, payment, purchase};

use super::Selling;
use super::agreed::not_agreed;
use super::book::{Booked, Came, book_payment};
use super::checkout::{Checkout, CheckoutLink, lock_checkout, read};
use super::closing::close_sessions;
use crate::auth::Actor;
use crate::db;
use crate::error::{Conflict, Error, Result};
use crate::global_id;

/// A settled checkout.
#[derive(Clone, Debug)]
pub struct Settled {
    /// What its page shows now.
    pub checkout: Checkout,
    /// Whether it had been paid before.
    pub already: bool,
}

/// Pays at the sandbox checkout. Paying again, from another tab or by a reload, finds it paid.
///
/// # Errors
/// Not found when there is no such checkout; [`Conflict::State`] when it is closed, or paid elsewhere;
/// [`Conflict::QuoteExpired`]; what the ledger refuses; what the database answers.
pub async fn pay_sandbox(selling: &Selling, link: &CheckoutLink, origin: Option<String>) -> Result<Settled> {
    let (tenant, id) = link.resolve(&selling.keys)?;
    let own = selling.clone();
    let work = db::work(move |txn| {
        let (own, actor) = (own.clone(), Actor::system(origin.clone()));
        Box::pin(async move {
            let (purchase, payment) = lock_checkout(txn, tenant, id).await?;
            if payment.state == PaymentState::Paid {
                let checkout = read(txn, tenant, id).await?;
                let nothing = Booked { changes: Vec::new(), closed: Vec::new() };
                return Ok((Settled { checkout, already: true }, nothing));
            }
            let organization = tenant.find::<organization::Entity>().one(txn).await?;
            let organization = organization.ok_or(Error::not_found("checkout"))?;
            payable(&own, &organization, &purchase, &payment)?;
            if not_agreed(txn, tenant, (&purchase, &payment)).await?.is_some() {
                let reason = "What is bought is not what was agreed to.";
                return Err(Error::conflict(Conflict::State, None, reason));
            }
            let name = global_id::encode(payment.id);
            let booked =
                book_payment(txn, &own, tenant, (purchase, payment), Came::Taken(&name), &actor).await?;
            let checkout = read(txn, tenant, id).await?;
            Ok((Settled { checkout, already: false }, booked))
        })
    });
    let (settled, booked) = selling.context().db.write(tenant, work).await?;
    selling.context().changes.announce(&booked.changes);
    close_sessions(selling, tenant, &booked.closed).await;
    Ok(settled)
}

/// The sandbox takes no money that has not been agreed on: a checkout that is closed, or whose price is no longer valid,
/// is refused before it is paid. And where real money is taken, it takes none: its credits would be for nothing.
fn payable(
    selling: &Selling,
    organization: &organization::Model,
    purchase: &purchase::Model,
    payment: &payment::Model,
) -> Result<()> {
    let sandbox = PaymentProvider::Sandbox;
    if payment.provider != sandbox || selling.taker(organization) != sandbox {
        return Err(Error::conflict(Conflict::State, None, "This checkout is paid elsewhere."));
    }
    let expired = || Error::conflict(Conflict::QuoteExpired, None, "The price is no longer valid.");
    if purchase.state == PurchaseState::Expired {
        return Err(expired());
    }
    if payment.state != PaymentState::Open || purchase.state != PurchaseState::AwaitingPayment {
        return Err(Error::conflict(Conflict::State, None, "This checkout is closed."));
    }
    if purchase.valid_until <= selling.context().clock.now() {
        return Err(expired());
    }
    Ok(())
}
