//! Where payment providers tell of payments. What they tell is proven by a signature over the bytes as they came, and is
//! answered with success once it is in the books, never before: what is not, they tell again.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State as Shared};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bursar_domain::purchase::PaymentProvider;

use super::State;
use super::body::{self, Unreadable};
use super::page;
use super::request_id::RequestId;
use crate::error::Error;
use crate::purchases;

/// The header with the signature.
static SIGNATURE: HeaderName = HeaderName::from_static("stripe-signature");
/// The longest message, in bytes.
const MESSAGE_BYTES: usize = 256 * 1024;

/// Takes a message of Stripe.
pub async fn stripe(
    Shared(state): Shared<Arc<State>>,
    Extension(RequestId(origin)): Extension<RequestId>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let services = state.server.services();
    let selling = &services.selling;
    let Some(provider) = selling.payments.of(PaymentProvider::Stripe) else {
        return page::not_found().await;
    };
    let body = match body::read(&headers, body).await {
        Ok(body) if body.len() <= MESSAGE_BYTES => body,
        Ok(_) | Err(Unreadable::TooLarge) => {
            return answer(StatusCode::PAYLOAD_TOO_LARGE, "The message is too long.");
        }
        Err(Unreadable::TooSlow) => {
            return answer(StatusCode::REQUEST_TIMEOUT, "The message took too long to come.");
        }
        Err(Unreadable::CutOff) => return answer(StatusCode::BAD_REQUEST, "The message ended too early."),
    };
    let signature = headers.get(&SIGNATURE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let event = match provider.verify_event(signature, &body, services.context.clock.now()) {
        Ok(event) => event,
        Err(error) => {
            // Neither the signature nor the message is repeated.
            tracing::warn!(%error, "a message about payments is refused");
            return answer(StatusCode::BAD_REQUEST, "The message is refused.");
        }
    };
    match purchases::settle(selling, PaymentProvider::Stripe, event, Some(origin)).await {
        Ok(_) => StatusCode::OK.into_response(),
        Err(error) => {
            tracing::error!(%error, "a message about payments could not be taken; it will come again");
            answer(failed(&error), "The message could not be taken. Send it again.")
        }
    }
}

/// How it is said that a message was not taken: for now, or by a fault of ours.
fn failed(error: &Error) -> StatusCode {
    match error {
        Error::Unavailable(_)
        | Error::UnknownOutcome(_)
        | Error::Overloaded
        | Error::Throttled { .. }
        | Error::Stale => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn answer(status: StatusCode, text: &'static str) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], text).into_response()
}
