//! Settling: what providers tell of payments, refunds and disputes, and what that means for purchases. In whatever order
//! and however often it is told, a payment becomes credits once: here a payment is looked at with its purchase locked,
//! and whoever comes second finds it paid.
//!
//! Money that cannot be booked is parked (see `parked`), never dropped. A refund or dispute names a payment by the
//! provider's own name only: one that is not known yet is asked for and settled first.

use bursar_domain::id::{ParkedPaymentId, PaymentId};
use bursar_domain::purchase::{
    ParkedReason, PaymentProvider, PaymentState, PurchaseEvent, PurchaseRefusal, apply,
};
use bursar_entity::{payment, purchase};
use sea_orm::{ColumnTrait, QueryFilter};

use super::agreed::{at_what_was_paid, mismatch, not_agreed};
use super::awaited::await_in;
pub(super) use super::book::{Came, book_failure, book_payment};
use super::checkout::{give_up_in, lock_checkout};
use super::closing::close_sessions;
use super::foreign::{by_its_bill, by_its_checkout, park_odd, unpark};
use super::parked::{Parking, find_parked, park};
use super::payment_methods::method_told;
use super::top_up::name_charge;
use super::{Selling, dispute_told, refund_told};
use crate::auth::Actor;
use crate::changes::{Change, Subject};
use crate::context::Context;
use crate::db::scope::find_across;
use crate::db::{self, Fault, Scope, Tenant, Txn, fault};
use crate::error::{Error, Result};
use crate::global_id;
use crate::payments::{PaidState, ProviderError, ProviderEvent, ProviderPayment};

/// What has become of what a provider told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A payment has become credits, or a reversal has taken them away.
    Booked,
    /// It was known.
    Already,
    /// It is written down, and has moved no credits.
    Recorded,
    /// It is money that could not be booked: somebody has to decide.
    Parked(ParkedPaymentId),
    /// It does not matter to us.
    Ignored,
}

/// Does what a provider's message means. When this answers, everything is committed.
///
/// # Errors
/// What the database answers, and [`Error::Unavailable`] when the provider has to be asked and cannot be: told again,
/// it goes on.
pub async fn settle(
    selling: &Selling,
    provider: PaymentProvider,
    event: ProviderEvent,
    origin: Option<String>,
) -> Result<Outcome> {
    match event {
        ProviderEvent::Payment(told) => payment_told(selling, provider, told, origin).await,
        ProviderEvent::Foreign { told, invoice } => {
            let told = by_its_bill(selling, provider, told, invoice).await?;
            payment_told(selling, provider, told, origin).await
        }
        ProviderEvent::Refund(told) => {
            let found = known(selling, provider, &told.payment, origin.clone()).await?;
            match found {
                Some((tenant, payment)) => refund_told(selling, tenant, payment, &told, origin).await,
                None => {
                    let (amount, currency) = (told.amount, told.currency);
                    let (of, ours) = (told.payment, told.ours);
                    nobodys(selling, provider, (told.refund, of), (amount, currency, ours), origin).await
                }
            }
        }
        ProviderEvent::Refunded { payment } => refunded(selling, provider, &payment, origin).await,
        ProviderEvent::Dispute(told) => {
            let found = known(selling, provider, &told.payment, origin.clone()).await?;
            match found {
                Some((tenant, payment)) => dispute_told(selling, tenant, payment, &told, origin).await,
                None => {
                    let (amount, currency) = (told.amount, told.currency);
                    nobodys(selling, provider, (told.dispute, told.payment), (amount, currency, None), origin)
                        .await
                }
            }
        }
        ProviderEvent::SetUp { session, organization, ours, intent } => {
            method_told(selling, provider, session, organization, ours, intent, origin).await
        }
        ProviderEvent::NotUnderstood(odd) => park_odd(selling, provider, odd, origin).await,
        ProviderEvent::Other => Ok(Outcome::Ignored),
    }
}

/// The payment of ours that was paid by a provider's payment.
pub(super) async fn find_by_provider(
    context: &Context,
    provider: PaymentProvider,
    provider_payment: &str,
) -> Result<Option<(Tenant, PaymentId)>> {
    let snapshot = context.db.read(Scope::Operator).await?;
    let row = find_across::<payment::Entity>()
        .filter(payment::Column::Provider.eq(provider))
        .filter(payment::Column::ProviderPayment.eq(provider_payment))
        .filter(payment::Column::State.eq(PaymentState::Paid))
        .one(&snapshot)
        .await?;
    // The provider has taken the money for this organization: it is in its row.
    Ok(row.map(|row| (Tenant::vouched(row.organization_id), row.id)))
}

/// The payment that a provider tells of: by our own name of it, or else by the provider's.
async fn find_told(
    context: &Context,
    provider: PaymentProvider,
    told: &ProviderPayment,
) -> Result<Option<payment::Model>> {
    let condition = match (&told.ours, &told.payment) {
        (Some(ours), _) => match global_id::decode::<PaymentId>(ours) {
            Some(id) => payment::Column::Id.eq(id),
            None => return Ok(None),
        },
        (None, Some(name)) => payment::Column::ProviderPayment.eq(name.as_str()),
        (None, None) => return Ok(None),
    };
    let snapshot = context.db.read(Scope::Operator).await?;
    let rows = find_across::<payment::Entity>().filter(payment::Column::Provider.eq(provider));
    Ok(rows.filter(condition).one(&snapshot).await?)
}

/// What is to be done once a transaction has looked.
enum Next {
    /// Nothing more but to announce it, and to close checkouts that nobody should pay any more.
    Done(Outcome, Vec<Change>, Vec<String>),
    /// It cannot be booked.
    Park(ParkedReason, String),
}

impl Next {
    fn done(outcome: Outcome) -> Next {
        Next::Done(outcome, Vec::new(), Vec::new())
    }
}

async fn payment_told(
    selling: &Selling,
    provider: PaymentProvider,
    told: ProviderPayment,
    origin: Option<String>,
) -> Result<Outcome> {
    if told.state == PaidState::Unpaid {
        return Ok(Outcome::Ignored);
    }
    let context = selling.context();
    let (told, row) = match find_told(context, provider, &told).await? {
        Some(row) => (told, Some(row)),
        None => {
            let told = by_its_checkout(selling, provider, told).await?;
            let row = find_told(context, provider, &told).await?;
            (told, row)
        }
    };
    let Some(row) = row else {
        let detail = match &told.ours {
            Some(_) => "There is no such payment of ours.",
            None => "It names no payment of ours.",
        };
        return cannot_book(selling, provider, told, (ParkedReason::Unknown, detail.to_owned()), origin)
            .await;
    };
    // The provider tells of a payment of this organization; what it says of it is compared below.
    let (tenant, id) = (Tenant::vouched(row.organization_id), row.id);
    let (own, said, actor) = (selling.clone(), told.clone(), Actor::system(origin.clone()));
    let work = db::work(move |txn| {
        let (own, said, actor) = (own.clone(), said.clone(), actor.clone());
        Box::pin(async move { told_in(txn, &own, (tenant, &actor), id, &said).await })
    });
    let next = match context.db.write(tenant, work.clone()).await {
        // Something else was there already. What another one has written at the same time can be seen now; if it was not
        // that, this is a fault of ours, and the provider tells again.
        Err(error) if is_not_unique(&error) && !is_bound(&error) => context.db.write(tenant, work).await,
        next => next,
    };
    let next = match next {
        Err(error) if is_bound(&error) => Next::Park(
            ParkedReason::Unknown,
            "The provider has given its name to another payment.".to_owned(),
        ),
        next => next?,
    };
    match next {
        Next::Done(outcome, changes, closed) => {
            context.changes.announce(&changes);
            close_sessions(selling, tenant, &closed).await;
            if told.state == PaidState::Paid {
                unpark(selling, provider, &told, origin).await?;
            }
            Ok(outcome)
        }
        Next::Park(reason, detail) => {
            // One that names itself by the provider's name only is known by that.
            let ours = told.ours.clone().or_else(|| Some(global_id::encode(id)));
            let told = ProviderPayment { ours, ..told };
            cannot_book(selling, provider, told, (reason, detail), origin).await
        }
    }
}

/// Whether a row was refused because something of it has to be unique and is not.
pub(super) fn is_not_unique(error: &Error) -> bool {
    matches!(error, Error::Database(error) if matches!(fault(error), Fault::Unique(_)))
}

/// Whether it was refused because another payment of ours, of whatever purchase and organization, has the provider's name
/// already: no two can.
pub(super) fn is_bound(error: &Error) -> bool {
    let Error::Database(error) = error else { return false };
    let Fault::Unique(what) = fault(error) else { return false };
    // PostgreSQL names the index, SQLite its columns.
    ["payment_provider", "payment_once"].contains(&what.as_str())
        || what.ends_with("payment.provider_payment")
}

/// Does what is told of a payment, with its purchase locked.
async fn told_in(
    txn: &Txn,
    selling: &Selling,
    (tenant, actor): (Tenant, &Actor),
    id: PaymentId,
    told: &ProviderPayment,
) -> Result<Next> {
    let clock = &selling.context().clock;
    let (purchase, payment) = lock_checkout(txn, tenant, id).await?;
    if payment.state == PaymentState::Paid {
        let same = told.payment.is_none() || told.payment == payment.provider_payment;
        return Ok(match told.state {
            PaidState::Paid if !same => {
                let by = payment.provider_payment.unwrap_or_default();
                Next::Park(ParkedReason::PaidTwice, format!("It was paid before, by {by}."))
            }
            _ => Next::done(Outcome::Already),
        });
    }
    if let Some((reason, detail)) = mismatch(&purchase, &payment, told) {
        return Ok(Next::Park(reason, detail));
    }
    let payment = payment::Model {
        // The answer in which the provider said so may have got lost.
        provider_session: payment.provider_session.clone().or_else(|| told.session.clone()),
        ..payment
    };
    let change = Change { organization: tenant.id(), subject: Subject::Purchase(purchase.id) };
    match &told.state {
        PaidState::Paid => paid_in(txn, selling, (tenant, actor), (purchase, payment), told).await,
        // That it is under way is old news of one that is, or that has failed since.
        PaidState::Pending
            if matches!(
                payment.state,
                PaymentState::Pending | PaymentState::Parked | PaymentState::Failed
            ) =>
        {
            Ok(Next::done(Outcome::Already))
        }
        PaidState::Pending => {
            let becomes = (PaymentState::Pending, "awaitPayment");
            let closed = await_in(txn, (tenant, actor), clock, (purchase, payment), becomes).await?;
            Ok(Next::Done(Outcome::Recorded, vec![change], closed))
        }
        // Also of one whose money has come, other than agreed on: the vendor decides about that.
        PaidState::Failed(_) if matches!(payment.state, PaymentState::Failed | PaymentState::Parked) => {
            Ok(Next::done(Outcome::Already))
        }
        PaidState::Failed(reason) => {
            book_failure(txn, selling, tenant, (purchase, payment), reason, actor).await?;
            Ok(Next::Done(Outcome::Recorded, vec![change], Vec::new()))
        }
        PaidState::Expired if payment.state == PaymentState::Open => {
            give_up_in(txn, (tenant, actor), clock, (purchase, payment)).await?;
            Ok(Next::Done(Outcome::Recorded, vec![change], Vec::new()))
        }
        PaidState::Expired => Ok(Next::done(Outcome::Already)),
        PaidState::Unpaid => Ok(Next::done(Outcome::Ignored)),
    }
}

/// Books that a payment was paid, also one that was given up or had failed before: the money is the truth.
async fn paid_in(
    txn: &Txn,
    selling: &Selling,
    (tenant, actor): (Tenant, &Actor),
    (purchase, payment): (purchase::Model, payment::Model),
    told: &ProviderPayment,
) -> Result<Next> {
    match apply(purchase.state, purchase.invoiced, PurchaseEvent::Paid) {
        Err(PurchaseRefusal::AlreadyPaid { .. }) => {
            if name_charge(txn, selling, (tenant, actor), &payment, told.reference()).await? {
                return Ok(Next::done(Outcome::Recorded));
            }
            let detail = "The purchase was paid before, by another payment.".to_owned();
            return Ok(Next::Park(ParkedReason::PaidTwice, detail));
        }
        Err(refusal) => return Ok(Next::Park(ParkedReason::PurchaseClosed, refusal.to_string())),
        Ok(_) if purchase.invoiced => {
            let detail = "The purchase is paid by its invoice.".to_owned();
            return Ok(Next::Park(ParkedReason::PurchaseClosed, detail));
        }
        Ok(_) => {}
    }
    if let Some((reason, detail)) = not_agreed(txn, tenant, (&purchase, &payment)).await? {
        return Ok(Next::Park(reason, detail));
    }
    let name = told.reference().to_owned();
    let purchase = at_what_was_paid(purchase, payment.amount);
    let booked = book_payment(txn, selling, tenant, (purchase, payment), Came::Taken(&name), actor).await?;
    Ok(Next::Done(Outcome::Booked, booked.changes, booked.closed))
}

/// Parks money that cannot be booked, unless it was booked already. What is no money yet only leaves a line in the log.
async fn cannot_book(
    selling: &Selling,
    provider: PaymentProvider,
    told: ProviderPayment,
    (reason, detail): (ParkedReason, String),
    origin: Option<String>,
) -> Result<Outcome> {
    let reference = told.reference().to_owned();
    if told.state != PaidState::Paid {
        tracing::warn!(%reference, %reason, "a provider told of a payment that is not as agreed on");
        return Ok(Outcome::Ignored);
    }
    // It may have been applied to another purchase by somebody who has decided about it.
    if find_by_provider(selling.context(), provider, &reference).await?.is_some() {
        return Ok(Outcome::Already);
    }
    let ProviderPayment { amount, currency, organization, ours, .. } = told;
    let parking = Parking { reference, reason, detail, amount, currency, organization, ours };
    park(selling, provider, parking, origin).await
}

/// The payment of ours that a refund or dispute is of. One that we do not know as paid is asked for, and settled.
async fn known(
    selling: &Selling,
    provider: PaymentProvider,
    payment: &str,
    origin: Option<String>,
) -> Result<Option<(Tenant, PaymentId)>> {
    let context = selling.context();
    if let Some(found) = find_by_provider(context, provider, payment).await? {
        return Ok(Some(found));
    }
    let Some(asked) = selling.payments.of(provider) else { return Ok(None) };
    match asked.find_payment(payment).await {
        Ok(told) => _ = payment_told(selling, provider, told, origin).await?,
        Err(ProviderError::Unreachable(reason)) => return Err(unreachable(&reason)),
        Err(error) => {
            tracing::warn!(%error, %payment, "the provider does not tell of a payment that it told of");
            return Ok(None);
        }
    }
    find_by_provider(context, provider, payment).await
}

/// Asks for the refunds of a payment of which something was returned, and books each.
async fn refunded(
    selling: &Selling,
    provider: PaymentProvider,
    payment: &str,
    origin: Option<String>,
) -> Result<Outcome> {
    let found = known(selling, provider, payment, origin.clone()).await?;
    let Some(asked) = selling.payments.of(provider) else { return Ok(Outcome::Ignored) };
    let refunds = match asked.refunds_of(payment).await {
        Ok(refunds) => refunds,
        Err(ProviderError::Unreachable(reason)) => return Err(unreachable(&reason)),
        Err(error) => {
            tracing::warn!(%error, %payment, "the provider does not tell of refunds that it told of");
            return Ok(Outcome::Ignored);
        }
    };
    let mut last = Outcome::Already;
    for odd in refunds.odd {
        last = park_odd(selling, provider, odd, origin.clone()).await?;
    }
    for told in refunds.items {
        let outcome = match found {
            Some((tenant, id)) => refund_told(selling, tenant, id, &told, origin.clone()).await?,
            None => {
                let names = (told.refund, told.payment);
                let money = (told.amount, told.currency, told.ours);
                nobodys(selling, provider, names, money, origin.clone()).await?
            }
        };
        if outcome != Outcome::Already {
            last = outcome;
        }
    }
    Ok(last)
}

/// A refund or dispute of a payment that is not booked. When that is parked, this is how it is given back: whoever
/// decides about it sees so at the provider. Else it is parked itself.
async fn nobodys(
    selling: &Selling,
    provider: PaymentProvider,
    (reference, of): (String, String),
    (amount, currency, ours): (i64, String, Option<String>),
    origin: Option<String>,
) -> Result<Outcome> {
    if let Some(row) = find_parked(selling.context(), provider, &of).await? {
        return Ok(Outcome::Parked(row.id));
    }
    let reason = ParkedReason::ReversalMismatch;
    let detail = format!("It returns the payment {of}, which is none of ours.");
    let parking = Parking { reference, reason, detail, amount, currency, organization: None, ours };
    park(selling, provider, parking, origin).await
}

/// A provider that cannot be asked.
pub(super) fn unreachable(reason: &str) -> Error {
    tracing::warn!(%reason, "the payment provider cannot be asked");
    Error::Unavailable("The payment provider cannot be reached.")
}
