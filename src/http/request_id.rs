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

/// The paths that are logged as they are.
const WHOLE: &[&str] = &[
    "/",
    "/graphql",
    "/graphql/stream",
    "/graphql/ws",
    "/export/audit",
    "/export/organization",
    "/health/live",
    "/health/ready",
    "/mailbox",
    "/metrics",
    "/payments/stripe",
    "/sign-in",
    "/sso",
];
/// How paths begin of which only that is logged.
const BEGINNINGS: &[(&str, &str)] = &[
    ("/approval/", "/approval/..."),
    ("/assets/", "/assets/..."),
    ("/checkout/", "/checkout/..."),
    ("/document/", "/document/..."),
    ("/consent/", "/consent/..."),
    ("/export/organization/", "/export/organization/..."),
    ("/invitation/", "/invitation/..."),
    ("/mailbox/", "/mailbox/..."),
    ("/sign-in/", "/sign-in/..."),
    ("/sso/", "/sso/..."),
];

/// What of a path is logged. Those of approvals, checkouts, documents, invitations and links to sign in with hold a secret. So may any
/// that leads nowhere: a link that was mistyped, or was broken on its way, is as good as it was once it is put right.
fn logged(path: &str) -> &'static str {
    if let Some(known) = WHOLE.iter().find(|known| **known == path) {
        return known;
    }
    let cut = BEGINNINGS.iter().find(|(beginning, _)| path.starts_with(beginning));
    cut.map_or("...", |(_, shown)| *shown)
}

/// The span of a request.
impl<B> MakeSpan<B> for Log {
    fn make_span(&mut self, request: &Request<B>) -> Span {
        let id = request.extensions().get::<RequestId>().map_or("", |id| id.0.as_str());
        let path = logged(request.uri().path());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_no_secret_of_a_path_is_logged() {
        for (path, expected) in [
            ("/", "/"),
            ("/graphql", "/graphql"),
            ("/export/organization/swordfish", "/export/organization/..."),
            ("/sso/demo/callback", "/sso/..."),
            ("/sso/demo", "/sso/..."),
            ("/sign-in", "/sign-in"),
            ("/sign-in/swordfish", "/sign-in/..."),
            ("/invitation/swordfish", "/invitation/..."),
            ("/approval/d.a.b.1.c.d.swordfish", "/approval/..."),
            ("/checkout/a/b/swordfish/pay", "/checkout/..."),
            ("/document/a/b/swordfish/pdf", "/document/..."),
            ("/consent/a/b/swordfish", "/consent/..."),
            ("//sign-in/swordfish", "..."),
            ("/Sign-In/swordfish", "..."),
            ("/sign%2Din/swordfish", "..."),
            ("/swordfish", "..."),
            ("*", "..."),
            ("", "..."),
        ] {
            assert_eq!(logged(path), expected, "{path}");
        }
    }
}
