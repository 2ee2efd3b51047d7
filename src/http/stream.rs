//! Streams as server-sent events, by the protocol of graphql-sse in its mode of distinct connections: one
//! operation a request, its results as events, the end as an event of its own. The rules are those of sockets:
//! who calls, how many at once, when a token or a right ends, and that a client that takes nothing loses
//! nothing but the events between.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Extension, State as Shared};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;

use super::State;
use super::graphql::{posted, refused, respond, session, throttled, unauthenticated};
use super::negotiate::{Kind, negotiate};
use super::request_id::RequestId;
use super::websocket::is_known_origin;
use crate::error::Error;
use crate::graphql::{BadParameters, Output, Parameters, Place, Session, Streams, Way};

/// How often a stream without events says that it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(12);

/// Streams an operation that comes in the body.
pub async fn post(
    Shared(state): Shared<Arc<State>>,
    Extension(RequestId(origin)): Extension<RequestId>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if negotiate(&headers, &[Kind::Events]).is_none() {
        return not_acceptable();
    }
    let parameters = match posted(&headers, body).await {
        Ok(parameters) => parameters,
        Err(refused) => return *refused,
    };
    match session(&headers, origin, peer.ip()) {
        Ok(session) => open(&state, &headers, parameters, session, Way::Stream).await,
        Err(message) => unauthenticated(message),
    }
}

/// Streams an operation that comes in the URL: anything but a mutation.
pub async fn get(
    Shared(state): Shared<Arc<State>>,
    Extension(RequestId(origin)): Extension<RequestId>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    if negotiate(&headers, &[Kind::Events]).is_none() {
        return not_acceptable();
    }
    let parameters = Parameters::from_url(uri.query().unwrap_or_default());
    match session(&headers, origin, peer.ip()) {
        Ok(session) => open(&state, &headers, parameters, session, Way::GetStream).await,
        Err(message) => unauthenticated(message),
    }
}

fn not_acceptable() -> Response {
    refused(StatusCode::NOT_ACCEPTABLE, "BAD_USER_INPUT", "Answers are text/event-stream.")
}

async fn open(
    state: &Arc<State>,
    headers: &HeaderMap,
    parameters: Result<Parameters, BadParameters>,
    session: Session,
    way: Way,
) -> Response {
    if !is_known_origin(headers, state) {
        let message = "Pages of that origin may not use this server.";
        return refused(StatusCode::FORBIDDEN, "FORBIDDEN", message);
    }
    let server = &state.server;
    let caller = match server.welcome(&session).await {
        Ok(Some(caller)) => caller,
        Ok(None) => {
            let message = "A stream needs a bearer token.";
            return unauthenticated(message);
        }
        Err(Error::Unauthenticated(reason)) => {
            return unauthenticated(reason);
        }
        Err(Error::Throttled { seconds }) => return throttled(seconds),
        Err(error) => {
            tracing::error!(%error, "a caller could not be authenticated");
            let message = "Something went wrong on our side.";
            return refused(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_SERVER_ERROR", message);
        }
    };
    // What is no request at all has a status that says so; everything after is told by events.
    if let Err(answered) = server.preview(&parameters, &session, way) {
        return respond(answered, Kind::Plain);
    }
    let Some(place) = server.place(caller.id()) else {
        let message = "One person has too many streams open.";
        return refused(StatusCode::TOO_MANY_REQUESTS, "THROTTLED", message);
    };
    let mut streams = Streams::new(server.clone(), session, &caller);
    // It is the first of its client: nothing stands in its way.
    let _ = streams.begin("", parameters);
    let stream = Stream { state: Arc::clone(state), streams, expires_at: caller.expires_at, _place: place };
    let body = stream::unfold(Some(stream), |stream| async move {
        let mut stream = stream?;
        let (text, last) = stream.next().await;
        let text: Result<Bytes, Infallible> = Ok(text.into());
        Some((text, (!last).then_some(stream)))
    });
    let mut response = Body::from_stream(body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, Kind::Events.header());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Proxies that gather answers before they pass them on would hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// One operation on its way to a client.
struct Stream {
    state: Arc<State>,
    streams: Streams,
    expires_at: bursar_domain::Timestamp,
    _place: Place,
}

impl Stream {
    /// The next text to send, and whether it is the last.
    async fn next(&mut self) -> (String, bool) {
        let now = self.state.server.services().context.clock.now();
        let left = self.expires_at.micros().saturating_sub(now.micros());
        let Some(left) = u64::try_from(left).ok().filter(|left| *left > 0) else {
            return (failed("UNAUTHENTICATED", "The token has expired."), true);
        };
        let wait = KEEP_ALIVE.min(Duration::from_micros(left));
        tokio::select! {
            () = self.state.stop.cancelled() => {
                // Without a last event: the client comes back, to another server.
                (": the server is going away\n\n".to_owned(), true)
            }
            output = tokio::time::timeout(wait, self.streams.next()) => match output {
                Ok(Output::Next(_, payload)) => (event("next", &payload), false),
                Ok(Output::Last(_, body)) => (event("next", &body) + COMPLETE, true),
                Ok(Output::Failed(_, errors)) => (event("next", &errors_of(&errors)) + COMPLETE, true),
                Ok(Output::ProvenUntil(at)) => {
                    self.expires_at = at;
                    (":\n\n".to_owned(), false)
                }
                Ok(Output::Unproven(reason)) => (failed("UNAUTHENTICATED", reason), true),
                Err(_) => (":\n\n".to_owned(), false),
            },
        }
    }
}

/// The last event.
const COMPLETE: &str = "event: complete\ndata: \n\n";

/// An event. JSON has no line breaks, which would end its data.
fn event(kind: &str, data: &str) -> String {
    format!("event: {kind}\ndata: {data}\n\n")
}

/// A result that is nothing but errors, which are a JSON list.
fn errors_of(errors: &str) -> String {
    format!(r#"{{"errors":{errors}}}"#)
}

fn failed(code: &str, message: &str) -> String {
    let errors = serde_json::json!([{ "message": message, "extensions": { "code": code } }]);
    event("next", &errors_of(&errors.to_string())) + COMPLETE
}
