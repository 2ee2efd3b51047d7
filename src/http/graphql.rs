//! The GraphQL endpoint, by the specification of GraphQL over HTTP: POST with JSON; GET for queries; one
//! operation a request.
//!
//! Nothing that changes anything can be sent by a page of another site without the browser asking first: a body
//! must say that it is JSON, and what comes by GET is a query. Nor is there a cookie that would prove who calls.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Extension, State as Shared};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::State;
use super::body::{self, BODY_BYTES, Unreadable};
use super::explorer;
use super::negotiate::{Kind, is_json, negotiate};
use super::request_id::RequestId;
use crate::error::Error;
use crate::graphql::{Answered, BadParameters, Outcome, Parameters, Session, Way};

/// The types of answers, the one for whoever takes anything first.
const KINDS: &[Kind] = &[Kind::Plain, Kind::Typed];

/// Executes a query or a mutation.
pub async fn post(
    Shared(state): Shared<Arc<State>>,
    Extension(RequestId(origin)): Extension<RequestId>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(kind) = negotiate(&headers, KINDS) else { return not_acceptable() };
    let parameters = match posted(&headers, body).await {
        Ok(parameters) => parameters,
        Err(refused) => return *refused,
    };
    let session = match session(&headers, origin, peer.ip()) {
        Ok(session) => session,
        Err(message) => return unauthenticated(message),
    };
    // Boxed: each layer around this moves its future.
    respond(Box::pin(state.server.answer(parameters, &session, Way::Post)).await, kind)
}

/// Executes a query that comes in the URL; without one, browsers get the explorer.
pub async fn get(
    Shared(state): Shared<Arc<State>>,
    Extension(RequestId(origin)): Extension<RequestId>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let kind = match negotiate(&headers, &[Kind::Plain, Kind::Typed, Kind::Page]) {
        Some(Kind::Page) => return explorer::page(&state),
        Some(kind) => kind,
        None => return not_acceptable(),
    };
    let parameters = match Parameters::from_url(uri.query().unwrap_or_default()) {
        Ok(parameters) if !parameters.names_document() => {
            Err(BadParameters("The URL must have a query, or the id of a document.".to_owned()))
        }
        parameters => parameters,
    };
    let session = match session(&headers, origin, peer.ip()) {
        Ok(session) => session,
        Err(message) => return unauthenticated(message),
    };
    respond(Box::pin(state.server.answer(parameters, &session, Way::Get)).await, kind)
}

/// The parameters in the body of a request, or why there are none.
pub async fn posted(
    headers: &HeaderMap,
    body: Body,
) -> Result<Result<Parameters, BadParameters>, Box<Response>> {
    let refused = |status, code, message: &str| Box::new(refused(status, code, message));
    if !is_json(headers) {
        let message = "The body must be application/json, in UTF-8.";
        return Err(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "BAD_USER_INPUT", message));
    }
    match body::read(headers, body).await {
        Ok(body) => Ok(Parameters::from_json(&body)),
        Err(Unreadable::TooLarge) => {
            let message = format!("The body has at most {BODY_BYTES} bytes.");
            Err(refused(StatusCode::PAYLOAD_TOO_LARGE, "BAD_USER_INPUT", &message))
        }
        Err(Unreadable::TooSlow) => {
            Err(refused(StatusCode::REQUEST_TIMEOUT, "BAD_USER_INPUT", "The body takes too long to come."))
        }
        Err(Unreadable::CutOff) => {
            Err(refused(StatusCode::BAD_REQUEST, "BAD_USER_INPUT", "The body was cut off."))
        }
    }
}

/// Who sends a request, by its headers.
pub fn session(headers: &HeaderMap, origin: String, address: IpAddr) -> Result<Session, &'static str> {
    bearer(headers).map(|bearer| Session { bearer, origin: Some(origin), address })
}

/// The token of the Authorization header.
fn bearer(headers: &HeaderMap) -> Result<Option<String>, &'static str> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let value = value.to_str().unwrap_or_default();
    let (scheme, token) = value.split_once(' ').unwrap_or_default();
    if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() {
        return Ok(Some(token.trim().to_owned()));
    }
    Err("The Authorization header must be: Bearer, a space, and the token.")
}

/// An answer. The typed media type has a status that tells how far the operation came; with the older one that
/// is 200 for every request that is well-formed.
pub fn respond(answered: Answered, kind: Kind) -> Response {
    let outcome = answered.outcome;
    let typed = kind == Kind::Typed;
    let status = match outcome {
        Outcome::Unauthenticated => StatusCode::UNAUTHORIZED,
        Outcome::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        Outcome::Malformed => StatusCode::BAD_REQUEST,
        Outcome::NotThisWay => StatusCode::METHOD_NOT_ALLOWED,
        Outcome::Throttled(_) if typed => StatusCode::TOO_MANY_REQUESTS,
        Outcome::Refused if typed => StatusCode::BAD_REQUEST,
        Outcome::Refused | Outcome::Throttled(_) | Outcome::Executed => StatusCode::OK,
    };
    let mut response = (status, answered.body()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind.header());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    match outcome {
        Outcome::Unauthenticated => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Outcome::NotThisWay => _ = headers.insert(header::ALLOW, HeaderValue::from_static("POST")),
        Outcome::Throttled(wait) => _ = headers.insert(header::RETRY_AFTER, seconds(wait)),
        _ => {}
    }
    response
}

/// Whole seconds, rounded up.
fn seconds(wait: Duration) -> HeaderValue {
    HeaderValue::from(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

/// None of the types that the client takes can be had.
pub fn not_acceptable() -> Response {
    let message = "Answers are application/json or application/graphql-response+json.";
    refused(StatusCode::NOT_ACCEPTABLE, "BAD_USER_INPUT", message)
}

/// Who calls is not told as it should be.
pub fn unauthenticated(message: &str) -> Response {
    refused(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", message)
}

/// It was tried too often: in so many seconds it can be tried again.
pub fn throttled(seconds: u64) -> Response {
    let message = Error::Throttled { seconds }.to_string();
    let mut response = refused(StatusCode::TOO_MANY_REQUESTS, "THROTTLED", &message);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// A request that is not one of GraphQL.
pub fn refused(status: StatusCode, code: &str, message: &str) -> Response {
    let body = serde_json::json!({ "errors": [{ "message": message, "extensions": { "code": code } }] });
    let mut response = (status, body.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, Kind::Plain.header());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
