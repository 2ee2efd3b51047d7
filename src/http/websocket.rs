//! Streams over WebSocket, by the protocol `graphql-transport-ws`: what carries a [`Conversation`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, Extension, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::State;
use super::request_id::RequestId;
use crate::graphql::{Conversation, Frame, Session};

/// The name of the protocol.
const PROTOCOL: &str = "graphql-transport-ws";
/// The largest message of a client, in bytes: a document, its variables, and what is around them.
const MESSAGE_BYTES: usize = 256 * 1024;
/// What a connection reads at once, in bytes. A socket that is silent keeps this much.
const READ_BYTES: usize = 1024;
/// How long the end of a connection may take that both sides have agreed on.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long one message may take to be taken by the client.
const SEND: Duration = Duration::from_secs(10);

/// Turns a request into a WebSocket.
pub async fn upgrade(
    Shared(state): Shared<Arc<State>>,
    Extension(RequestId(origin)): Extension<RequestId>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if !is_known_origin(&headers, &state) {
        return (StatusCode::FORBIDDEN, "Pages of that origin may not use this server.").into_response();
    }
    let upgrade = upgrade
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_message_size(MESSAGE_BYTES)
        .max_frame_size(MESSAGE_BYTES)
        .protocols([PROTOCOL]);
    let known = upgrade.selected_protocol().is_some();
    upgrade.on_upgrade(move |socket| async move {
        if !known {
            return end(socket, 4406, "Subprotocol not acceptable").await;
        }
        let session = Session { bearer: None, origin: Some(origin), address: peer.ip() };
        let conversation = Conversation::new(state.server.clone(), session);
        let sockets = state.sockets.clone();
        sockets.track_future(Box::pin(serve(socket, conversation, state))).await;
    })
}

/// Whether the page that asks, when a browser says which, may use this server: its own pages and those of
/// the origins that the settings name.
pub fn is_known_origin(headers: &HeaderMap, state: &State) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Some(origin) = origin.to_str().ok().and_then(|origin| url::Url::parse(origin).ok()) else {
        return false;
    };
    let origin = origin.origin();
    if !origin.is_tuple() {
        return false;
    }
    let config = &state.server.services().config;
    let scheme = origin.ascii_serialization();
    let scheme = scheme.split(':').next().unwrap_or_default();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let of_host = host.and_then(|host| url::Url::parse(&format!("{scheme}://{host}")).ok());
    origin == config.public_url.origin()
        || config.allowed_origins.contains(&origin)
        || of_host.is_some_and(|host| host.origin() == origin)
}

/// How a conversation has ended.
enum Ending {
    /// The client is to be told a code and a reason.
    Tell(u16, String),
    /// The client has said good-bye.
    Agreed,
    /// There is nobody any more.
    Lost,
}

async fn serve(mut socket: WebSocket, conversation: Conversation, state: Arc<State>) {
    // What the conversation holds is free before the rest of the connection's end.
    match converse(&mut socket, conversation, &state).await {
        Ending::Tell(code, reason) => end(socket, code, &reason).await,
        Ending::Agreed => drain(socket).await,
        Ending::Lost => {}
    }
}

async fn converse(socket: &mut WebSocket, mut conversation: Conversation, state: &State) -> Ending {
    let tell = |code, reason: &str| Ending::Tell(code, reason.to_owned());
    loop {
        let frame = tokio::select! {
            () = state.stop.cancelled() => return tell(1001, "The server is going away."),
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => conversation.hear(text.as_bytes()).await,
                Some(Ok(Message::Binary(_))) => return tell(4400, "Messages are text."),
                // The library answers pings itself.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => None,
                // The library answers the client's close frame as it is read on.
                Some(Ok(Message::Close(_))) => return Ending::Agreed,
                None => return Ending::Lost,
                Some(Err(error)) => {
                    // Too large, most likely; or it is not there any more to hear it.
                    tracing::debug!(%error, "a socket cannot be read");
                    return tell(1009, "The message is too large, or none at all.");
                }
            },
            frame = conversation.next() => Some(frame),
        };
        match frame {
            None => {}
            Some(Frame::Text(text)) => match send(socket, Message::Text(text.into())).await {
                true => {}
                false => return Ending::Lost,
            },
            Some(Frame::Close(code, reason)) => return Ending::Tell(code, reason),
        }
    }
}

/// Sends a message, unless the client does not take it.
async fn send(socket: &mut WebSocket, message: Message) -> bool {
    matches!(tokio::time::timeout(SEND, socket.send(message)).await, Ok(Ok(())))
}

/// Says why, and closes.
async fn end(mut socket: WebSocket, code: u16, reason: &str) {
    // A close frame's reason has at most 123 bytes (RFC 6455, section 5.5).
    let end = (0..=reason.len().min(123)).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
    let frame = CloseFrame { code, reason: reason[..end].into() };
    if send(&mut socket, Message::Close(Some(frame))).await {
        // The client's own close frame ends it; what else it still sends is not heard.
        drain(socket).await;
    }
}

/// Reads until the connection has ended, or for a moment.
async fn drain(mut socket: WebSocket) {
    let ended = async { while let Some(Ok(_)) = socket.recv().await {} };
    let _ = tokio::time::timeout(GOODBYE, ended).await;
}
