//! What all pages have in common: security headers, how templates become answers, whose forms are taken, and what is said
//! when something fails.

use std::any::Any;

use askama::Template;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use bursar_domain::Timestamp;
use chrono::{DateTime, Utc};

use crate::error::Error;

/// Nothing but the page itself: no scripts, no frames, no third parties; its style is in its head.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; \
                           frame-ancestors 'none'";
/// Nothing but a redirect.
pub const REDIRECT_POLICY: &str = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'";

/// Where a page leads on: the address, and what is there.
pub type Way = (&'static str, &'static str);

/// A page that says one thing.
#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    title: &'a str,
    text: &'a str,
    /// Where to go on, when that is not plain.
    way: Option<Way>,
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
    render(status, &Message { title, text, way: None })
}

/// A page that says one thing, and leads on.
pub fn message_with_way(status: StatusCode, title: &str, text: &str, way: Way) -> Response {
    render(status, &Message { title, text, way: Some(way) })
}

/// The way to another page of this server, by its path.
pub fn elsewhere(path: &str) -> Response {
    match HeaderValue::from_str(path) {
        Ok(path) => {
            secured((StatusCode::SEE_OTHER, [(header::LOCATION, path)]).into_response(), REDIRECT_POLICY)
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// What the pages of one kind say when something fails, in their own words.
pub struct Failure {
    /// Title and text where there is nothing at an address.
    pub absent: (&'static str, &'static str),
    /// What has been tried too often.
    pub tried: &'static str,
    /// What to do when it is not certain whether it was done.
    pub uncertain: &'static str,
    /// Where to begin again; none: these pages do not know.
    pub again: Option<Way>,
    /// What the log says when the fault is ours.
    pub fault: &'static str,
}

/// Says what went wrong, as far as it is anybody's business.
pub fn failed(error: &Error, failure: &Failure) -> Response {
    let way = failure.again;
    match error {
        Error::NotFound { .. } => {
            let (title, text) = failure.absent;
            render(StatusCode::NOT_FOUND, &Message { title, text, way })
        }
        Error::Throttled { seconds } => {
            let text = format!("{} Please try again later.", failure.tried);
            let mut response = message(StatusCode::TOO_MANY_REQUESTS, "Too many tries", &text);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
            response
        }
        Error::UnknownOutcome(_) => {
            let text = format!("The connection to our records broke just now. {}", failure.uncertain);
            render(StatusCode::SERVICE_UNAVAILABLE, &Message { title: "Not certain", text: &text, way })
        }
        error => {
            tracing::error!(%error, "{}", failure.fault);
            message(
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something went wrong",
                "The fault is on our side. Nothing was changed. Please try again.",
            )
        }
    }
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

/// There is something, but it is not opened like this. Which methods it takes is in the header `Allow`.
pub async fn not_allowed() -> Response {
    let text = "This address cannot be opened like this: it is where a form or a program sends something to. Nothing was \
                done.";
    message(StatusCode::METHOD_NOT_ALLOWED, "Not this way", text)
}

/// The answer of a request whose handler has panicked. The panic is in the log.
pub fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let what = panic.downcast_ref::<String>().map(String::as_str);
    let what = what.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
    tracing::error!(panic = what, "a handler panicked");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
