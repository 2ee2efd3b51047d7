//! Paying what was agreed to, by whoever was sent there by mail: at the checkout that is open, else at another one. The link
//! leads to the same one for as long as that is open, and to no other afterwards; but for one that was opened before the price
//! fell, which is replaced: it costs what a checkout does that is started now. When its checkout has come to nothing, another
//! link goes out by mail (see `pay_again`).
//!
//! The digits of the mail come first: nothing is looked for, and nothing begun, for whoever does not know them.

use bursar_domain::approval::LinkOver;
use bursar_domain::id::PurchaseId;
use bursar_domain::purchase::{PaymentProvider, PaymentState, PurchaseState};
use bursar_entity::{organization, payment, purchase};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};

use super::reprice::repriced;
use super::start::start_checkout_as;
use super::{CheckoutLink, Selling, StartCheckout};
use crate::approvals::{self, ApprovalLink, Entered, Standing};
use crate::audit;
use crate::auth::Actor;
use crate::db::{self, Tenant};
use crate::error::{Conflict, Error, Result};
use crate::global_id;
use crate::organizations::lock_organization;

/// Where somebody who wants to pay is led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToPay {
    /// To the page of a checkout.
    Checkout(CheckoutLink),
    /// Nowhere: the price was no longer valid, and those who had agreed are asked again.
    AskedAgain,
    /// Nowhere: these are not the digits of the mail.
    WrongCode {
        /// How often others can be tried.
        left: i64,
    },
    /// Nowhere: nothing can be paid by the link.
    Refused(Standing),
}

/// Finds the checkout that a link leads to, or starts one, for whoever knows the digits of its mail.
///
/// # Errors
/// [`Error::Conflict`] when it cannot be paid, or the provider refuses; [`Error::UnderWay`] when the provider cannot be
/// reached; not found, when there is no such purchase; what the database answers.
pub async fn pay_approved(
    selling: &Selling,
    actor: &Actor,
    link: &ApprovalLink,
    code: &str,
) -> Result<ToPay> {
    let tenant = link.tenant();
    let (id, used) = match enter(selling, actor, link, code).await? {
        Entered::Right { purchase, used } => (purchase, used),
        Entered::Wrong { left } => return Ok(ToPay::WrongCode { left }),
        Entered::Refused(standing) => return Ok(ToPay::Refused(standing)),
    };
    let (open, before) = open_checkout(selling, tenant, id).await?;
    match open {
        Some(Open::At(payment)) => return lead(selling, link, &payment).await,
        Some(Open::TooDear) => {}
        None if used => return Ok(ToPay::Refused(Standing::Over(LinkOver::Used))),
        None => {}
    }
    // However often a button is pressed at one time, one checkout is started: all count the same.
    let key = format!("{} {before}", global_id::encode(id));
    let request = StartCheckout { key, dry_run: false };
    let started = start_checkout_as(selling, (tenant, actor), id, ("payApproved", request)).await?;
    if started.requoted {
        use_up(selling, link).await?;
        let reason = "The price was no longer valid; the vendor is asked for another one.";
        return Err(Error::conflict(Conflict::QuoteExpired, None, reason));
    }
    match &started.payment {
        Some(payment) => lead(selling, link, payment).await,
        None => Ok(ToPay::AskedAgain),
    }
}

/// Takes the digits. That the link has ended by wrong ones is recorded.
async fn enter(selling: &Selling, actor: &Actor, link: &ApprovalLink, code: &str) -> Result<Entered> {
    let tenant = link.tenant();
    let (own, given) = (selling.clone(), (actor.clone(), link.clone(), code.to_owned()));
    let work = db::work(move |txn| {
        let (own, (actor, link, code)) = (own.clone(), given.clone());
        Box::pin(async move {
            let clock = &own.context().clock;
            lock_organization(txn, tenant).await?;
            let entered =
                approvals::enter_to_pay(txn, &own.keys, (&link, code.as_str()), clock.now()).await?;
            if entered == (Entered::Wrong { left: 0 }) {
                let of = (link.request(), link.round());
                let ended = approvals::link_ended(&actor, of, (link.id(), link.user()));
                let nobody = Actor::system(actor.origin.clone());
                audit::record(txn, tenant, clock, &nobody, ended).await?;
            }
            Ok(entered)
        })
    });
    selling.context().db.write(tenant, work).await
}

/// A checkout that is open.
enum Open {
    /// It costs what another one would.
    At(Box<payment::Model>),
    /// The price has fallen since.
    TooDear,
}

/// The checkout of a purchase that is open, and how often it was tried to pay for it.
async fn open_checkout(selling: &Selling, tenant: Tenant, id: PurchaseId) -> Result<(Option<Open>, usize)> {
    let context = selling.context();
    let snapshot = context.db.read(tenant).await?;
    let purchase =
        tenant.find::<purchase::Entity>().filter(purchase::Column::Id.eq(id)).one(&snapshot).await?;
    let purchase = purchase.ok_or(Error::not_found("purchase"))?;
    let organization = tenant.find::<organization::Entity>().one(&snapshot).await?;
    let organization = organization.ok_or(Error::not_found("organization"))?;
    let taker = selling.taker(&organization);
    let payments = tenant
        .find::<payment::Entity>()
        .filter(payment::Column::PurchaseId.eq(id))
        .order_by_desc(payment::Column::Id)
        .all(&snapshot)
        .await?;
    let is_payable =
        purchase.state == PurchaseState::AwaitingPayment && purchase.valid_until > context.clock.now();
    let number = payments.len();
    let open = payments.into_iter().find(|payment| is_open_page(payment, taker)).filter(|_| is_payable);
    let Some(payment) = open else { return Ok((None, number)) };
    let now = repriced(&snapshot, (tenant, &organization), &context.clock, &purchase).await?;
    let open = if payment.amount <= now.total { Open::At(Box::new(payment)) } else { Open::TooDear };
    Ok((Some(open), number))
}

/// Leads to the page of a payment, and remembers that the link has.
async fn lead(selling: &Selling, link: &ApprovalLink, payment: &payment::Model) -> Result<ToPay> {
    use_up(selling, link).await?;
    Ok(ToPay::Checkout(CheckoutLink::new(&selling.keys, payment)))
}

/// Remembers that a link was used.
async fn use_up(selling: &Selling, link: &ApprovalLink) -> Result<()> {
    let (tenant, id, clock) = (link.tenant(), link.id(), selling.context().clock.clone());
    let work = db::work(move |txn| {
        let now = clock.now();
        Box::pin(async move { approvals::pay_link_used(txn, tenant, id, now).await })
    });
    selling.context().db.write(tenant, work).await
}

/// Whether the page of a payment leads to where `taker`, who takes the money now, takes it.
fn is_open_page(payment: &payment::Model, taker: PaymentProvider) -> bool {
    payment.state == PaymentState::Open
        && payment.provider == taker
        && payment.payment_method_id.is_none()
        && (taker == PaymentProvider::Sandbox || payment.provider_url.is_some())
}
