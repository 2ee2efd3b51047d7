//! The sandbox checkout page: plain HTML, works without scripts. Opening it changes nothing; paying and
//! cancelling are POSTs from its two forms.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State as Shared};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use bursar_domain::organization::OrganizationState;
use bursar_domain::purchase::{PaymentState, PurchaseState};
use bursar_domain::{Money, Timestamp};
use rust_decimal::Decimal;

use super::State;
use super::page;
use super::request_id::RequestId;
use crate::error::{Conflict, Error};
use crate::purchases::{self, Checkout, CheckoutLink};

/// The page.
#[derive(Template)]
#[template(path = "checkout.html")]
struct CheckoutPage {
    path: String,
    organization: String,
    pool: String,
    package: String,
    credits: String,
    total: String,
    valid_until: String,
    reference: String,
    status: Status,
    /// Whether it is paid and the credits wait for the pool to be opened, or for the organization to act again.
    waiting: bool,
    /// Whether they wait for the organization.
    suspended: bool,
}

/// What the page says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    /// It can be paid.
    Payable,
    /// It has just been paid.
    Paid,
    /// It had been paid before.
    AlreadyPaid,
    /// It has been given up, or replaced by another.
    Closed,
    /// Its price is no longer valid.
    Expired,
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
    let (services, link) = (state.server.services(), link(parts));
    let now = services.context.clock.now();
    match purchases::find_checkout(&services.context, &services.keys, &link).await {
        Ok(checkout) => {
            let status = status(&checkout, now);
            show_page(&link, &checkout, status)
        }
        Err(error) => failed(&error),
    }
}

/// Leads back to the page from where its forms lead to, which a browser has in its history.
pub async fn back(uri: Uri) -> Response {
    page::elsewhere(uri.path().rsplit_once('/').map_or("/", |(page, _)| page))
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
    let (services, link) = (state.server.services(), link(parts));
    match purchases::pay_sandbox(&services.ledger, &services.keys, &link, Some(origin)).await {
        Ok(settled) => {
            let status = if settled.already { Status::AlreadyPaid } else { Status::Paid };
            show_page(&link, &settled.checkout, status)
        }
        // The page itself says best why it cannot be paid.
        Err(Error::Conflict { kind: Conflict::State | Conflict::QuoteExpired, .. }) => {
            let mut response =
                show(Shared(state), Ok(Path((link.organization, link.payment, link.token)))).await;
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
    let (services, link) = (state.server.services(), link(parts));
    let now = services.context.clock.now();
    match purchases::cancel_checkout(&services.context, &services.keys, &link, Some(origin)).await {
        Ok(checkout) => {
            let status = status(&checkout, now);
            show_page(&link, &checkout, status)
        }
        Err(error) => failed(&error),
    }
}

fn status(checkout: &Checkout, now: Timestamp) -> Status {
    match checkout.payment.state {
        PaymentState::Paid => Status::AlreadyPaid,
        PaymentState::Cancelled => Status::Closed,
        PaymentState::Open if checkout.is_payable(now) => Status::Payable,
        PaymentState::Open if checkout.purchase.state == PurchaseState::AwaitingPayment => Status::Expired,
        PaymentState::Open => Status::Closed,
    }
}

fn show_page(link: &CheckoutLink, checkout: &Checkout, status: Status) -> Response {
    let page = CheckoutPage {
        path: link.path(),
        organization: checkout.organization.name.clone(),
        pool: checkout.pool.name.clone(),
        package: checkout.package.row.name.clone(),
        credits: checkout.purchase.credits.to_string(),
        total: money(Money { minor: checkout.purchase.total, currency: checkout.purchase.currency }),
        valid_until: page::date(checkout.purchase.valid_until),
        reference: link.payment.clone(),
        status,
        waiting: !checkout.credited,
        suspended: checkout.organization.state == OrganizationState::Suspended,
    };
    page::render(StatusCode::OK, &page)
}

fn money(money: Money) -> String {
    format!("{} {}", money.currency, Decimal::new(money.minor, money.currency.exponent()))
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
