//! Every request has an id of ours: in its log lines, in its answer, in the rows that it writes.
//!
//! An id that the client sends is not taken over; it could be anything, and it could be somebody
//! else's.

use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Span;
use uuid::Uuid;

/// The header that brings the id to the client.
pub static HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// Gives a request its id.
pub async fn assign(mut request: Request, next: Next) -> Response {
    let id = Uuid::now_v7().to_string();
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HEADER.clone(), value);
    }
    response
}

/// The span of a request. Paths of checkout pages hold a secret and are cut off before it.
pub fn span(request: &Request) -> Span {
    let id = request.extensions().get::<RequestId>().map_or("", |id| id.0.as_str());
    let path = match request.uri().path() {
        path if path.starts_with("/checkout/") => "/checkout/...",
        path => path,
    };
    tracing::info_span!("request", request_id = id, method = %request.method(), path)
}

/// The log line of an answer.
pub fn answered(response: &Response, took: Duration, _: &Span) {
    let (status, micros) = (response.status().as_u16(), took.as_micros());
    if response.status().is_server_error() {
        tracing::error!(status, micros, "answered");
    } else {
        tracing::debug!(status, micros, "answered");
    }
}
