//! The GraphQL endpoint: POST with JSON, one operation a request.

use std::sync::Arc;

use async_graphql::{Executor, Request as Operation, Response as Answer};
use axum::body::Bytes;
use axum::extract::{Extension, State as Shared};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::State;
use super::request_id::RequestId;
use crate::graphql::Session;

/// The media type of GraphQL over HTTP.
const GRAPHQL_JSON: &str = "application/graphql-response+json";
/// The older one.
const JSON: &str = "application/json";

/// The body of a request. Members that are not known are not an error.
#[derive(Deserialize)]
struct Body {
    query: String,
    #[serde(rename = "operationName")]
    operation_name: Option<String>,
    variables: Option<serde_json::Map<String, serde_json::Value>>,
}

/// Executes one operation.
pub async fn post(
    Shared(state): Shared<Arc<State>>,
    Extension(RequestId(origin)): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let typed = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let typed = typed.contains(GRAPHQL_JSON);
    if !is_json(&headers) {
        let message = "The body must be application/json.";
        return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "BAD_USER_INPUT", message);
    }
    let body: Body = match serde_json::from_slice(&body) {
        Ok(body) => body,
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
    let variables = serde_json::Value::Object(body.variables.unwrap_or_default());
    let mut operation = Operation::new(body.query)
        .variables(async_graphql::Variables::from_json(variables))
        .data(Session { bearer, origin: Some(origin) });
    if let Some(name) = body.operation_name {
        operation = operation.operation_name(name);
    }
    answer(&state.server.execute(operation).await, typed)
}

/// The token of the Authorization header.
pub fn bearer(headers: &HeaderMap) -> Result<Option<String>, &'static str> {
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
fn answer(answer: &Answer, typed: bool) -> Response {
    let code = |code: &str| {
        let has = |error: &async_graphql::ServerError| {
            error.extensions.as_ref().and_then(|e| e.get("code")).is_some_and(|value| *value == code.into())
        };
        answer.data == async_graphql::Value::Null
            && answer.errors.iter().any(|error| error.path.is_empty() && has(error))
    };
    let request_error =
        code("GRAPHQL_PARSE_FAILED") || code("GRAPHQL_VALIDATION_FAILED") || code("BAD_USER_INPUT");
    let unauthenticated = code("UNAUTHENTICATED");
    let mut body = serde_json::to_value(answer).unwrap_or_default();
    if let Some(body) = body.as_object_mut()
        && (request_error || unauthenticated)
    {
        // Nothing was executed, so there is no data, not even null.
        body.remove("data");
    }
    let status = if unauthenticated {
        StatusCode::UNAUTHORIZED
    } else if request_error && typed {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    let kind = if typed {
        "application/graphql-response+json; charset=utf-8"
    } else {
        "application/json; charset=utf-8"
    };
    let mut response = (status, body.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if unauthenticated {
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
