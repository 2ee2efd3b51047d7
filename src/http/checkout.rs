//! The checkout page: plain HTML, works without scripts. In the sandbox it takes the payment itself; otherwise it shows what is
//! bought, leads on to the payment provider's page, and says afterwards what has become of it. Opening it changes nothing;
//! paying and cancelling are POSTs from its two forms.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State as Shared};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use bursar_domain::invoice::DocumentKind;
use bursar_domain::organization::OrganizationState;
use bursar_domain::purchase::{NOT_AS_AGREED, PaymentProvider, PaymentState, PurchaseState};
use bursar_domain::{Currency, Timestamp};
use bursar_entity::document;
use rust_decimal::Decimal;

use super::State;
use super::page;
use super::request_id::RequestId;
use crate::billing::{self, DocumentLink};
use crate::db::Tenant;
use crate::error::{Conflict, Error};
use crate::purchases::{self, Checkout, CheckoutLink, Selling};

/// How often, in seconds, a page looks again that waits for the provider's word. Mostly it is there within one.
const LOOK_AGAIN: &str = "2";

/// The page.
#[derive(Template)]
#[template(path = "checkout.html")]
struct CheckoutPage {
    path: String,
    organization: String,
    pool: String,
    /// What is bought, in words.
    title: String,
    credits: String,
    total: String,
    /// What was given back of it; none: nothing.
    returned: Option<String>,
    valid_until: String,
    reference: String,
    status: Status,
    /// Whether no real money moves.
    sandbox: bool,
    /// Where it is paid, when not here.
    elsewhere: Option<String>,
    /// Why it has failed.
    failure: Option<&'static str>,
    /// Where its receipt is.
    receipt: Option<String>,
    /// The credit notes of what was given back.
    credit_notes: Vec<Note>,
    /// What has become of credits that settled what the pool owed; none: there was nothing to settle.
    settled: Option<String>,
    /// Whether it is paid and the credits wait for the pool to be opened, or for the organization to act again.
    waiting: bool,
    /// Whether they wait for the organization.
    suspended: bool,
}

/// A credit note.
struct Note {
    number: String,
    path: String,
}

/// What the page says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// It can be paid here.
    Payable,
    /// It can be paid at the provider's page.
    PayableElsewhere,
    /// The buyer comes from the provider's page, and the provider has not told of it yet.
    Confirming,
    /// It has been paid by a way that takes days.
    Pending,
    /// The same, and nobody waits for the money: it was cancelled or has expired, or is paid in another way.
    Unwanted,
    /// Money has come that is not as agreed on, or comes too late: the vendor decides about it.
    Parked,
    /// The vendor has decided about it.
    DealtWith,
    /// It has just been paid.
    Paid,
    /// It had been paid before.
    AlreadyPaid,
    /// It was paid, and all of it was given back.
    Returned,
    /// The provider says that it has failed.
    Failed,
    /// An invoice is out for it.
    Invoiced,
    /// It has been given up, or replaced by another.
    Closed,
    /// Its price is no longer valid.
    Expired,
    /// It was begun with a provider that takes the money no more, or could not be reached then.
    Unavailable,
}

/// The three parts of a checkout's address.
type Parts = Result<Path<(String, String, String)>, PathRejection>;

fn link(parts: Parts) -> CheckoutLink {
    // What is not even text is the address of nothing, like any other that Bursar did not make.
    let (organization, payment, token) = parts.map(|Path(parts)| parts).unwrap_or_default();
    CheckoutLink { organization, payment, token }
}

/// Shows the page.
pub async fn show(Shared(state): Shared<Arc<State>>, parts: Parts) -> Response {
    let (selling, link) = (&state.server.services().selling, link(parts));
    match find(selling, &link).await {
        Ok((checkout, status)) => show_page(selling, &link, &checkout, status).await,
        Err(error) => failed(&error),
    }
}

/// Leads back to the page from where its forms lead to, which a browser has in its history, and from the provider's page,
/// when the buyer gave up there.
pub async fn back(uri: Uri) -> Response {
    page::elsewhere(uri.path().rsplit_once('/').map_or("/", |(page, _)| page))
}

/// Where the provider's page leads to once the buyer has paid. The provider tells of the payment on another way, which may
/// take a moment longer: until then this page says so and looks again, rather than to ask for the money a second time.
pub async fn done(Shared(state): Shared<Arc<State>>, uri: Uri, parts: Parts) -> Response {
    let (selling, link) = (&state.server.services().selling, link(parts));
    match find(selling, &link).await {
        Ok((checkout, Status::PayableElsewhere)) => {
            let mut response = show_page(selling, &link, &checkout, Status::Confirming).await;
            response.headers_mut().insert(header::REFRESH, HeaderValue::from_static(LOOK_AGAIN));
            response
        }
        Ok(_) => back(uri).await,
        Err(error) => failed(&error),
    }
}

/// Pays.
pub async fn pay(
    Shared(state): Shared<Arc<State>>,
    Extension(RequestId(origin)): Extension<RequestId>,
    headers: HeaderMap,
    parts: Parts,
) -> Response {
    if page::is_foreign(&headers) {
        return page::foreign();
    }
    let (selling, link) = (&state.server.services().selling, link(parts));
    match purchases::pay_sandbox(selling, &link, Some(origin)).await {
        Ok(settled) => {
            let now = selling.context().clock.now();
            let taker = selling.taker(&settled.checkout.organization);
            let status = match status(&settled.checkout, taker, now) {
                Status::AlreadyPaid if !settled.already => Status::Paid,
                status => status,
            };
            show_page(selling, &link, &settled.checkout, status).await
        }
        // The page itself says best why it cannot be paid.
        Err(Error::Conflict {
            kind: Conflict::State | Conflict::Purchase(_) | Conflict::QuoteExpired,
            ..
        }) => {
            let parts = (link.organization, link.payment, link.token);
            let mut response = show(Shared(Arc::clone(&state)), Ok(Path(parts))).await;
            *response.status_mut() = StatusCode::CONFLICT;
            response
        }
        Err(error) => failed(&error),
    }
}

/// Gives up.
pub async fn cancel(
    Shared(state): Shared<Arc<State>>,
    Extension(RequestId(origin)): Extension<RequestId>,
    headers: HeaderMap,
    parts: Parts,
) -> Response {
    if page::is_foreign(&headers) {
        return page::foreign();
    }
    let (selling, link) = (&state.server.services().selling, link(parts));
    match purchases::cancel_checkout(selling, &link, Some(origin)).await {
        Ok(checkout) => {
            let taker = selling.taker(&checkout.organization);
            let status = status(&checkout, taker, selling.context().clock.now());
            show_page(selling, &link, &checkout, status).await
        }
        Err(error) => failed(&error),
    }
}

/// A checkout, and what its page says of it.
async fn find(selling: &Selling, link: &CheckoutLink) -> Result<(Checkout, Status), Error> {
    let now = selling.context().clock.now();
    let checkout = purchases::find_checkout(selling.context(), &selling.keys, link).await?;
    let status = status(&checkout, selling.taker(&checkout.organization), now);
    Ok((checkout, status))
}

/// What the page says, when `taker` takes the money of new checkouts.
fn status(checkout: &Checkout, taker: PaymentProvider, now: Timestamp) -> Status {
    let (payment, purchase) = (&checkout.payment, &checkout.purchase);
    match payment.state {
        PaymentState::Paid if purchase.state == PurchaseState::Refunded => Status::Returned,
        PaymentState::Paid => Status::AlreadyPaid,
        PaymentState::Pending if purchase.state.is_final() || purchase.invoiced => Status::Unwanted,
        PaymentState::Pending => Status::Pending,
        PaymentState::Parked => Status::Parked,
        PaymentState::Failed => Status::Failed,
        PaymentState::Cancelled if payment.failure.as_deref() == Some(NOT_AS_AGREED) => Status::DealtWith,
        PaymentState::Open if checkout.is_payable(now) && !purchase.invoiced => payable(checkout, taker),
        PaymentState::Open | PaymentState::Cancelled => match purchase.state {
            PurchaseState::AwaitingPayment if purchase.invoiced => Status::Invoiced,
            // Those that ran out are closed a little later; nobody has given them up.
            PurchaseState::Expired => Status::Expired,
            PurchaseState::AwaitingPayment if payment.state == PaymentState::Open => Status::Expired,
            _ => Status::Closed,
        },
    }
}

/// Where a checkout can be paid that is open.
fn payable(checkout: &Checkout, taker: PaymentProvider) -> Status {
    match (checkout.payment.provider, &checkout.payment.provider_url) {
        (provider, _) if provider != taker => Status::Unavailable,
        (PaymentProvider::Sandbox, _) => Status::Payable,
        (PaymentProvider::Stripe | PaymentProvider::Invoice, Some(_)) => Status::PayableElsewhere,
        // The provider could not be reached when it was begun. Whoever begins it again with the same key gets there.
        (PaymentProvider::Stripe | PaymentProvider::Invoice, None) => Status::Unavailable,
    }
}

async fn show_page(selling: &Selling, link: &CheckoutLink, checkout: &Checkout, status: Status) -> Response {
    let documents = match status {
        Status::Paid | Status::AlreadyPaid | Status::Returned => documents(selling, checkout).await,
        _ => Ok((None, Vec::new())),
    };
    // That it is paid has to be said all the same.
    let (receipt, credit_notes) = documents.unwrap_or_else(|error| {
        tracing::error!(%error, "the documents of a purchase could not be found");
        (None, Vec::new())
    });
    let (payment, purchase) = (&checkout.payment, &checkout.purchase);
    let page = CheckoutPage {
        path: link.path(),
        organization: checkout.organization.name.clone(),
        pool: checkout.pool.name.clone(),
        title: checkout.title.clone(),
        credits: purchase.credits.to_string(),
        total: money(purchase.total, purchase.currency),
        returned: (purchase.returned > 0).then(|| money(purchase.returned, purchase.currency)),
        valid_until: page::date(purchase.valid_until),
        reference: link.payment.clone(),
        status,
        sandbox: payment.provider == PaymentProvider::Sandbox,
        elsewhere: payment.provider_url.clone(),
        failure: payment.failure.as_deref().map(in_words),
        receipt,
        credit_notes,
        settled: settled(checkout),
        waiting: checkout.settled.is_none(),
        suspended: checkout.organization.state == OrganizationState::Suspended,
    };
    page::render(StatusCode::OK, &page)
}

/// Where the receipt of what was paid is, and the credit notes of what was given back. Whoever has the address of a checkout
/// has paid it, or was to.
async fn documents(selling: &Selling, checkout: &Checkout) -> Result<(Option<String>, Vec<Note>), Error> {
    let purchase = &checkout.purchase;
    // The checkout was found by an address that Bursar made for this organization.
    let tenant = Tenant::vouched(purchase.organization_id);
    let snapshot = selling.context().db.read(tenant).await?;
    let receipt = billing::document_of(&snapshot, tenant, purchase.id, DocumentKind::Receipt).await?;
    let notes = billing::credit_notes(&snapshot, tenant, purchase.id).await?;
    let path = |document: &document::Model| DocumentLink::new(&selling.keys, document).path();
    let note = |row: document::Model| Note { path: path(&row), number: row.written_number };
    Ok((receipt.as_ref().map(path), notes.into_iter().map(note).collect()))
}

/// Why a payment has failed, for people; `code` is the provider's word.
fn in_words(code: &str) -> &'static str {
    match code {
        "card_declined" | "generic_decline" | "do_not_honor" => "The card was declined.",
        "insufficient_funds" => "There was not enough money for it.",
        "expired_card" => "The card has expired.",
        "authentication_required" => "The bank wants the owner of the card to confirm the payment.",
        "async_payment_failed" => "The bank did not carry out the payment.",
        _ => "The payment provider did not accept it.",
    }
}

/// What is to be said of credits that settled what the pool owed: they cannot be used.
fn settled(checkout: &Checkout) -> Option<String> {
    let (all, settled) = (checkout.purchase.credits, checkout.settled.filter(|some| !some.is_zero())?);
    let left = all.saturating_sub(settled);
    Some(match left.is_zero() {
        true => format!("All of the {all} credits settled what the pool owed. None of them can be used."),
        false => format!("{settled} of the {all} credits settled what the pool owed. {left} can be used."),
    })
}

fn money(minor: i64, currency: Currency) -> String {
    format!("{currency} {}", Decimal::new(minor, currency.exponent()))
}

fn failed(error: &Error) -> Response {
    match error {
        Error::NotFound { .. } => page::message(
            StatusCode::NOT_FOUND,
            "No such checkout",
            "This address belongs to no checkout. Nothing was paid. Please start the payment again from your account.",
        ),
        Error::Refused(refusal) => {
            tracing::warn!(?refusal, "a payment was refused");
            page::message(
                StatusCode::CONFLICT,
                "Not possible now",
                "The credits cannot be added to the pool at the moment. Nothing was paid.",
            )
        }
        Error::UnknownOutcome(_) => page::message(
            StatusCode::SERVICE_UNAVAILABLE,
            "Not certain",
            "The connection to our records broke just now. Open this page again to see whether the payment counts; it can never count twice.",
        ),
        Error::Unavailable(_) | Error::Overloaded => page::message(
            StatusCode::SERVICE_UNAVAILABLE,
            "Not possible now",
            "Too much is under way at the moment. Nothing was paid. Please try again shortly.",
        ),
        error => {
            tracing::error!(%error, "a checkout failed");
            page::message(
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something went wrong",
                "The fault is on our side. Nothing was paid. Please try again.",
            )
        }
    }
}
