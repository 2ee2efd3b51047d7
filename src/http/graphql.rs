//! The GraphQL endpoint: POST with JSON, one operation a request.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State as Shared};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use futures_util::StreamExt;

use super::request_id::RequestId;
use super::{BODY_BYTES, State};
use crate::graphql::{Answered, Outcome, Posted, Session};

/// How much of a body that is too large is taken before the connection is closed on it.
const DRAINED_BYTES: usize = 16 * BODY_BYTES;

/// The media type of GraphQL over HTTP.
const GRAPHQL_JSON: &str = "application/graphql-response+json";
/// The older one.
const JSON: &str = "application/json";

/// Executes one operation.
pub async fn post(
    Shared(state): Shared<Arc<State>>,
    Extension(RequestId(origin)): Extension<RequestId>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let typed = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let typed = typed.contains(GRAPHQL_JSON);
    if !is_json(&headers) {
        let message = "The body must be application/json.";
        return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "BAD_USER_INPUT", message);
    }
    let body = match read(body).await {
        Ok(body) => body,
        Err(Unreadable::TooLarge) => {
            let message = format!("The body has at most {BODY_BYTES} bytes.");
            return refused(StatusCode::PAYLOAD_TOO_LARGE, "BAD_USER_INPUT", &message);
        }
        Err(Unreadable::CutOff) => {
            return refused(StatusCode::BAD_REQUEST, "BAD_USER_INPUT", "The body was cut off.");
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
    // Boxed: each layer around this moves its future.
    respond(Box::pin(state.server.answer(posted, session)).await, typed)
}

/// Why a body cannot be read.
enum Unreadable {
    /// It is longer than a body may be.
    TooLarge,
    /// It ended too early.
    CutOff,
}

/// Reads a body. What is too much is taken, within a bound, and thrown away: a client that is still sending
/// when the answer comes and the connection closes would not see why.
async fn read(body: Body) -> Result<Vec<u8>, Unreadable> {
    let (mut chunks, mut bytes, mut total) = (body.into_data_stream(), Vec::new(), 0usize);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Unreadable::CutOff)?;
        total = total.saturating_add(chunk.len());
        if total > DRAINED_BYTES {
            return Err(Unreadable::TooLarge);
        }
        if total <= BODY_BYTES {
            bytes.extend_from_slice(&chunk);
        }
    }
    if total > BODY_BYTES { Err(Unreadable::TooLarge) } else { Ok(bytes) }
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
