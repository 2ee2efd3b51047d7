//! The protocol `graphql-transport-ws`, apart from the socket that carries it.

use std::time::Duration;

use async_graphql::Data;
use async_graphql::http::{ClientMessage, WebSocket as Protocol, WebSocketProtocols, WsMessage};
use async_graphql::runtime::TokioTimer;
use futures_util::{Stream, StreamExt};

use super::{Server, Session};
use crate::error::Error;

/// How long a client may be silent: it has to say who it is, and later to answer pings, within this.
const SILENCE: Duration = Duration::from_secs(40);

/// What goes to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A message of the protocol.
    Text(String),
    /// The end, with a code of the protocol and a reason.
    Close(u16, String),
}

impl Server {
    /// Answers the messages of one client.
    pub fn converse<B: AsRef<[u8]>>(
        &self,
        messages: impl Stream<Item = B> + Send + 'static,
        origin: String,
    ) -> impl Stream<Item = Frame> + Send {
        let messages = messages.map(|message| ClientMessage::from_bytes(message.as_ref()));
        let server = self.clone();
        let begin = move |payload: serde_json::Value| async move {
            let bearer = payload.get("authorization").and_then(serde_json::Value::as_str);
            let bearer = bearer.and_then(|value| value.split_once(' '));
            let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
            let session = Session::new(bearer.map(|(_, token)| token.trim().to_owned()), Some(origin));
            server.begin(session).await
        };
        Protocol::from_message_stream(self.clone(), Box::pin(messages), WebSocketProtocols::GraphQLWS)
            .on_connection_init(begin)
            .keepalive_timeout(TokioTimer::default(), SILENCE)
            .map(|message| match message {
                WsMessage::Text(text) => Frame::Text(text),
                WsMessage::Close(code, reason) => Frame::Close(close_code(code, &reason), reason),
            })
    }

    /// Who cannot prove who it is, is told so at once.
    async fn begin(&self, session: Session) -> async_graphql::Result<Data> {
        match self.authenticate(&session).await {
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
    }
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
