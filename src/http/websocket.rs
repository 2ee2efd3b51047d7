//! Subscriptions over WebSocket, by the protocol `graphql-transport-ws`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt, StreamExt, future};

use super::State;
use super::request_id::RequestId;
use crate::graphql::Frame;

/// The name of the protocol.
const PROTOCOL: &str = "graphql-transport-ws";
/// The largest message of a client, in bytes.
const MESSAGE_BYTES: usize = 256 * 1024;
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
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => Some(message.into_data()),
            _ => None,
        })
    });
    let mut frames = std::pin::pin!(state.server.converse(messages, origin));
    let mut ping = tokio::time::interval(PING);
    ping.reset();
    loop {
        let frame = tokio::select! {
            biased;
            () = state.stop.cancelled() => Some(Frame::Close(1001, "The server is going away.".to_owned())),
            frame = frames.next() => frame,
            _ = ping.tick() => Some(Frame::Text(r#"{"type":"ping"}"#.to_owned())),
        };
        let (message, last) = match frame {
            Some(Frame::Text(text)) => (Message::Text(text.into()), false),
            Some(Frame::Close(code, reason)) => (close(code, &reason), true),
            None => break,
        };
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
