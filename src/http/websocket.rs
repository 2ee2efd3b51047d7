//! Subscriptions over WebSocket, by the protocol `graphql-transport-ws`.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::Data;
use async_graphql::http::{ClientMessage, WebSocket as Protocol, WebSocketProtocols, WsMessage};
use async_graphql::runtime::TokioTimer;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt, StreamExt, future};

use super::State;
use super::request_id::RequestId;
use crate::error::Error;
use crate::graphql::Session;

/// The name of the protocol.
const PROTOCOL: &str = "graphql-transport-ws";
/// The largest message of a client, in bytes.
const MESSAGE_BYTES: usize = 256 * 1024;
/// How long a client may take to say who it is, and to answer a ping.
const SILENCE: Duration = Duration::from_secs(40);
/// How often the server asks whether the client is there.
const PING: Duration = Duration::from_secs(15);
/// How long one message may take to be taken by the client.
const SEND: Duration = Duration::from_secs(15);

/// Turns a request into a WebSocket.
pub async fn upgrade(
    Shared(state): Shared<Arc<State>>,
    Extension(RequestId(origin)): Extension<RequestId>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if !same_origin(&headers, &state) {
        return (StatusCode::FORBIDDEN, "The page that asks is not of this server.").into_response();
    }
    let upgrade = upgrade
        .read_buffer_size(2 * 1024)
        .max_message_size(MESSAGE_BYTES)
        .max_frame_size(MESSAGE_BYTES)
        .protocols([PROTOCOL]);
    if upgrade.selected_protocol().is_none() {
        return (StatusCode::BAD_REQUEST, "The protocol must be graphql-transport-ws.").into_response();
    }
    upgrade.on_upgrade(move |socket| async move {
        let sockets = state.sockets.clone();
        sockets.track_future(serve(socket, state, origin)).await;
    })
}

/// Browsers say which page asks; it must be one of this server's. Other clients say nothing.
fn same_origin(headers: &HeaderMap, state: &State) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Some(origin) = origin.to_str().ok().and_then(|origin| url::Url::parse(origin).ok()) else {
        return false;
    };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let of_host = host.and_then(|host| url::Url::parse(&format!("{}://{host}", origin.scheme())).ok());
    let public = &state.server.services().config.public_url;
    origin.origin() == public.origin() || of_host.is_some_and(|host| host.origin() == origin.origin())
}

async fn serve(socket: WebSocket, state: Arc<State>, origin: String) {
    let (mut sink, stream) = socket.split();
    let messages = stream.take_while(|message| future::ready(message.is_ok())).filter_map(|message| {
        future::ready(match message {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                Some(ClientMessage::from_bytes(message.into_data()))
            }
            _ => None,
        })
    });
    let server = state.server.clone();
    let begin = move |payload: serde_json::Value| async move {
        let bearer = payload.get("authorization").and_then(serde_json::Value::as_str);
        let bearer =
            bearer.and_then(|value| value.strip_prefix("Bearer ")).map(|token| token.trim().to_owned());
        let session = Session { bearer, origin: Some(origin) };
        // Who cannot prove who it is, is told so at once.
        match server.authenticate(&session).await {
            Ok(Some(_)) => {
                let mut data = Data::default();
                data.insert(session);
                Ok(data)
            }
            Ok(None) => {
                Err(async_graphql::Error::new("Forbidden: connection_init must bring a bearer token."))
            }
            Err(Error::Unauthenticated(reason)) => {
                Err(async_graphql::Error::new(format!("Forbidden: {reason}")))
            }
            Err(error) => {
                tracing::error!(%error, "a caller could not be authenticated");
                Err(async_graphql::Error::new("Internal server error"))
            }
        }
    };
    let mut answers = std::pin::pin!(
        Protocol::from_message_stream(state.server.clone(), messages, WebSocketProtocols::GraphQLWS)
            .on_connection_init(begin)
            .keepalive_timeout(TokioTimer::default(), SILENCE)
    );
    let mut ping = tokio::time::interval(PING);
    ping.reset();
    loop {
        let message = tokio::select! {
            biased;
            () = state.stop.cancelled() => close(1001, "The server is going away."),
            answer = answers.next() => match answer {
                Some(WsMessage::Text(text)) => Message::Text(text.into()),
                Some(WsMessage::Close(code, reason)) => close(close_code(code, &reason), &reason),
                None => break,
            },
            _ = ping.tick() => Message::Text(r#"{"type":"ping"}"#.into()),
        };
        let last = matches!(message, Message::Close(_));
        let sent = tokio::time::timeout(SEND, sink.send(message)).await;
        if last || !matches!(sent, Ok(Ok(()))) {
            break;
        }
    }
}

fn close(code: u16, reason: &str) -> Message {
    // A close frame's reason has at most 123 bytes (RFC 6455, section 5.5).
    let end = (0..=reason.len().min(123)).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
    Message::Close(Some(CloseFrame { code, reason: reason[..end].into() }))
}

/// The codes of the protocol, for those of the library.
fn close_code(code: u16, reason: &str) -> u16 {
    match code {
        1002 if reason.starts_with("Forbidden") => 4403,
        1002 => 4400,
        1011 => 4401,
        3008 => 4408,
        code => code,
    }
}
