//! What all pages have in common: security headers, how templates become answers, and whose forms are taken.

use std::any::Any;

use askama::Template;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use bursar_domain::Timestamp;
use chrono::{DateTime, Utc};

/// Nothing but the page itself: no scripts, no frames, no third parties; its style is in its head.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; \
                           frame-ancestors 'none'";

/// A page that says one thing.
#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    title: &'a str,
    text: &'a str,
}

/// Renders a template with the headers of a page.
pub fn render(status: StatusCode, template: &impl Template) -> Response {
    render_under(status, template, PAGE_POLICY)
}

/// Renders a template with the headers of a page, under a policy of its own.
pub fn render_under(status: StatusCode, template: &impl Template, policy: &'static str) -> Response {
    match template.render() {
        Ok(html) => secured((status, Html(html)).into_response(), policy),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A page that says one thing.
pub fn message(status: StatusCode, title: &str, text: &str) -> Response {
    render(status, &Message { title, text })
}

/// Puts the headers of a page on an answer.
pub fn secured(mut response: Response, policy: &'static str) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// An instant, for people.
pub fn date(at: Timestamp) -> String {
    let at = DateTime::<Utc>::from_timestamp_micros(at.micros()).unwrap_or_default();
    at.format("%-d %B %Y, %H:%M UTC").to_string()
}

/// Whether a browser says that the form was on another site's page.
pub fn is_foreign(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    let origin = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok());
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let elsewhere = |origin: &str| {
        // A page without a referrer may send the origin "null"; the fetch metadata tells then.
        origin != "null" && origin.split_once("://").map(|(_, rest)| rest) != Some(host)
    };
    match site {
        Some(site) => !matches!(site, "same-origin" | "none"),
        None => origin.is_some_and(elsewhere),
    }
}

/// The answer to a form of another site's page.
pub fn foreign() -> Response {
    message(StatusCode::FORBIDDEN, "Not from here", "This form was sent from another site. Nothing was done.")
}

/// No such page.
pub async fn not_found() -> Response {
    message(StatusCode::NOT_FOUND, "Not found", "There is no page at this address.")
}

/// The answer of a request whose handler has panicked. The panic is in the log.
pub fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let what = panic.downcast_ref::<String>().map(String::as_str);
    let what = what.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
    tracing::error!(panic = what, "a handler panicked");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
