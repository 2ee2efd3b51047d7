//! The explorer: a page to try the API with, embedded in the binary, without anything from elsewhere.

use askama::Template;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use super::page;

/// Scripts and requests of this server only.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; connect-src 'self'; \
                      form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

const SCRIPT: &str = include_str!("../../assets/explorer.js");

/// The page.
#[derive(Template)]
#[template(path = "explorer.html")]
struct Explorer;

/// The way to the explorer.
pub async fn home() -> Redirect {
    Redirect::temporary("/graphql")
}

/// The explorer, for browsers. Queries by GET are not taken.
pub async fn explorer(headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if !accept.contains("text/html") {
        let mut response = StatusCode::METHOD_NOT_ALLOWED.into_response();
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    page::secured(page::render(StatusCode::OK, &Explorer), POLICY)
}

/// What the explorer is made of.
pub async fn asset(Path(name): Path<String>) -> Response {
    if name != "explorer.js" {
        return page::not_found().await;
    }
    let mut response = SCRIPT.into_response();
    let kind = HeaderValue::from_static("text/javascript; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    page::secured(response, POLICY)
}
