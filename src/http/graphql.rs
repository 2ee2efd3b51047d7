//! The GraphQL endpoint: POST with JSON, one operation a request.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, State as Shared};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::State;
use super::request_id::RequestId;
use crate::graphql::{Answered, Outcome, Posted, Session};

/// The media type of GraphQL over HTTP.
const GRAPHQL_JSON: &str = "application/graphql-response+json";
/// The older one.
const JSON: &str = "application/json";

/// Executes one operation.
pub async fn post(
    Shared(state): Shared<Arc<State>>,
    Extension(RequestId(origin)): Extension<RequestId>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let typed = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let typed = typed.contains(GRAPHQL_JSON);
    if !is_json(&headers) {
        let message = "The body must be application/json.";
        return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "BAD_USER_INPUT", message);
    }
    let body = match body {
        Ok(body) => body,
        Err(rejection) => {
            return refused(
                rejection.status(),
                "BAD_USER_INPUT",
                "The body cannot be read, or is too large.",
            );
        }
    };
    let posted: Posted = match serde_json::from_slice(&body) {
        Ok(posted) => posted,
        Err(_) => {
            let message =
                "The body must be a JSON object with a query and, as wanted, operationName and variables.";
            return refused(StatusCode::BAD_REQUEST, "BAD_USER_INPUT", message);
        }
    };
    let bearer = match bearer(&headers) {
        Ok(bearer) => bearer,
        Err(message) => return refused(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", message),
    };
    let session = Session::new(bearer, Some(origin));
    respond(state.server.answer(posted, session).await, typed)
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

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(JSON))
}

/// An answer. Clients that know the newer media type get a status that tells, others 200.
fn respond(answered: Answered, typed: bool) -> Response {
    let status = match answered.outcome {
        Outcome::Unauthenticated => StatusCode::UNAUTHORIZED,
        Outcome::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        Outcome::Refused if typed => StatusCode::BAD_REQUEST,
        Outcome::Refused | Outcome::Executed => StatusCode::OK,
    };
    let kind = if typed {
        "application/graphql-response+json; charset=utf-8"
    } else {
        "application/json; charset=utf-8"
    };
    let mut response = (status, answered.body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if answered.outcome == Outcome::Unauthenticated {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn refused(status: StatusCode, code: &str, message: &str) -> Response {
    let body = serde_json::json!({ "errors": [{ "message": message, "extensions": { "code": code } }] });
    let mut response = (status, axum::Json(body)).into_response();
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
