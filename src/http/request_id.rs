//! Every request has an id of ours: in its log lines, in its answer, in the rows that it writes.
//!
//! An id that the client sends is not taken over; it could be anything, and it could be somebody
//! else's.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Request, Response};
use tower_http::trace::{MakeSpan, OnResponse};
use tracing::Span;
use uuid::Uuid;

/// The header that brings the id to the client.
pub static HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

impl RequestId {
    /// A new one.
    pub fn new() -> RequestId {
        RequestId(Uuid::now_v7().to_string())
    }

    /// As the value of a header.
    pub fn header(&self) -> HeaderValue {
        // A UUID is printable.
        HeaderValue::from_str(&self.0).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

/// Logs requests and their answers.
#[derive(Clone, Copy)]
pub struct Log;

/// The span of a request. Paths of checkouts, invitations and links to sign in with hold a secret and are cut off
/// before it.
impl<B> MakeSpan<B> for Log {
    fn make_span(&mut self, request: &Request<B>) -> Span {
        let id = request.extensions().get::<RequestId>().map_or("", |id| id.0.as_str());
        let path = match request.uri().path() {
            path if path.starts_with("/checkout/") => "/checkout/...",
            path if path.starts_with("/invitation/") => "/invitation/...",
            path if path.starts_with("/sign-in/") => "/sign-in/...",
            path => path,
        };
        tracing::info_span!("request", request_id = id, method = %request.method(), path)
    }
}

/// The log line of an answer.
impl<B> OnResponse<B> for Log {
    fn on_response(self, response: &Response<B>, took: Duration, _: &Span) {
        let (status, micros) = (response.status().as_u16(), took.as_micros());
        if response.status().is_server_error() {
            tracing::error!(status, micros, "answered");
        } else {
            tracing::debug!(status, micros, "answered");
        }
    }
}
