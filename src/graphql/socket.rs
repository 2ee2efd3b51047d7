//! The protocol `graphql-transport-ws`, apart from the socket that carries it.
//!
//! One client, one conversation: [`Conversation::hear`] takes what the client says, [`Conversation::next`] waits
//! for what to say to it. Both keep time: who does not say who it is, does not answer pings, or whose token
//! ends, is told to go.

use std::time::{Duration, Instant};

use bursar_domain::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::Server;
use super::parameters::Parameters;
use super::places::Place;
use super::server::Session;
use super::streams::{Output, Refused, Streams};
use crate::error::Error;

/// How long a client may take to say who it is.
const INIT: Duration = Duration::from_secs(10);
/// How long a client may be silent before it is asked whether it is there, and then before it is gone.
const SILENCE: Duration = Duration::from_secs(7);

/// The code after which clients come back later.
const TRY_AGAIN: u16 = 1013;

/// What goes to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A message of the protocol.
    Text(String),
    /// The end, with a code of the protocol and a reason.
    Close(u16, String),
}

/// A conversation with one client.
pub struct Conversation {
    server: Server,
    session: Session,
    /// Since when there is a connection.
    since: Instant,
    /// When the client was last heard, and whether it has been asked since.
    heard: Instant,
    asked: bool,
    begun: Option<Box<Begun>>,
}

/// A conversation with a client who has said who it is.
struct Begun {
    streams: Streams,
    expires_at: Timestamp,
    /// What follows the last frame at once.
    following: Option<Frame>,
    _place: Place,
}

/// What a client says.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Message {
    ConnectionInit { payload: Option<Value> },
    Ping { payload: Option<Value> },
    Pong {},
    Subscribe { id: String, payload: Value },
    Complete { id: String },
}

fn close(code: u16, reason: impl Into<String>) -> Frame {
    Frame::Close(code, reason.into())
}

fn forbidden(reason: &str) -> Frame {
    close(4403, format!("Forbidden: {reason}"))
}

impl Conversation {
    /// A conversation that nobody has begun yet.
    pub fn new(server: Server, session: Session) -> Conversation {
        let now = Instant::now();
        Conversation { server, session, since: now, heard: now, asked: false, begun: None }
    }

    /// Takes a message of the client. Answers what to say at once.
    pub async fn hear(&mut self, text: &[u8]) -> Option<Frame> {
        (self.heard, self.asked) = (Instant::now(), false);
        let Ok(message) = serde_json::from_slice(text) else {
            return Some(close(4400, "The message is none of graphql-transport-ws."));
        };
        match (message, self.begun.as_deref_mut()) {
            (Message::ConnectionInit { .. }, Some(_)) => {
                Some(close(4429, "Too many initialisation requests"))
            }
            // Boxed: it takes more room than all that comes after it, and only once.
            (Message::ConnectionInit { payload }, None) => Some(Box::pin(self.begin(payload)).await),
            (Message::Ping { payload: Some(payload) }, _) => {
                Some(Frame::Text(format!(r#"{{"type":"pong","payload":{payload}}}"#)))
            }
            (Message::Ping { payload: None }, _) => Some(Frame::Text(r#"{"type":"pong"}"#.to_owned())),
            (Message::Pong {}, _) => None,
            (Message::Subscribe { .. }, None) => Some(close(4401, "Unauthorized")),
            (Message::Subscribe { id, .. }, _) if id.is_empty() || id.len() > 128 => {
                Some(close(4400, "An id has 1 to 128 bytes."))
            }
            (Message::Subscribe { id, payload }, Some(begun)) => {
                match begun.streams.begin(&id, Parameters::from_value(payload)) {
                    Ok(()) => None,
                    Err(Refused::Duplicate) => {
                        Some(close(4409, format!("Subscriber for {id} already exists")))
                    }
                    Err(Refused::TooMany) => Some(close(1008, "Far too many operations at once")),
                }
            }
            (Message::Complete { id }, begun) => {
                if let Some(begun) = begun {
                    begun.streams.end(&id);
                }
                None
            }
        }
    }

    /// Who cannot prove who it is, is told so at once.
    async fn begin(&mut self, payload: Option<Value>) -> Frame {
        let bearer = payload.as_ref().and_then(|payload| payload.get("authorization")?.as_str());
        let bearer = bearer.and_then(|value| value.split_once(' '));
        let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        self.session.bearer = bearer.map(|(_, token)| token.trim().to_owned());
        match self.server.welcome(&self.session).await {
            Ok(Some(caller)) => {
                let Some(place) = self.server.place(caller.id()) else {
                    return close(TRY_AGAIN, "Too many sockets of one caller");
                };
                let session = Session { bearer: self.session.bearer.take(), ..self.session.clone() };
                let expires_at = caller.expires_at;
                let streams = Streams::new(self.server.clone(), session, &caller);
                self.begun = Some(Box::new(Begun { streams, expires_at, following: None, _place: place }));
                Frame::Text(r#"{"type":"connection_ack"}"#.to_owned())
            }
            Ok(None) => forbidden("connection_init must bring a bearer token."),
            Err(Error::Unauthenticated(reason)) => forbidden(reason),
            Err(error @ Error::Throttled { .. }) => close(TRY_AGAIN, error.to_string()),
            Err(error) => {
                tracing::error!(%error, "a caller could not be authenticated");
                close(TRY_AGAIN, "Internal server error")
            }
        }
    }

    /// Waits for what to say next. May be dropped and called again: nothing gets lost.
    pub async fn next(&mut self) -> Frame {
        loop {
            let now = self.server.services().context.clock.now();
            let silent = self.heard.elapsed();
            let Some(begun) = self.begun.as_deref_mut() else {
                // Nothing but the client can begin.
                tokio::time::sleep(INIT.saturating_sub(self.since.elapsed())).await;
                return close(4408, "Connection initialisation timeout");
            };
            if let Some(frame) = begun.following.take() {
                return frame;
            }
            let left = begun.expires_at.micros().saturating_sub(now.micros());
            let Some(left) = u64::try_from(left).ok().filter(|left| *left > 0) else {
                return forbidden("The token has expired.");
            };
            let patience = if self.asked { SILENCE * 2 } else { SILENCE };
            let Some(wait) = patience.checked_sub(silent).filter(|wait| !wait.is_zero()) else {
                if self.asked {
                    return close(1001, "No answer to a ping");
                }
                self.asked = true;
                return Frame::Text(r#"{"type":"ping"}"#.to_owned());
            };
            let wait = wait.min(Duration::from_micros(left));
            return match tokio::time::timeout(wait, begun.streams.next()).await {
                Ok(Output::Next(id, payload)) => Frame::Text(message("next", &id, &payload)),
                Ok(Output::Last(id, payload)) => {
                    begun.following = Some(Frame::Text(complete(&id)));
                    Frame::Text(message("next", &id, &payload))
                }
                Ok(Output::Failed(id, errors)) => Frame::Text(message("error", &id, &errors)),
                Ok(Output::ProvenUntil(at)) => {
                    begun.expires_at = at;
                    continue;
                }
                Ok(Output::Unproven(reason)) => forbidden(reason),
                Err(_) => continue,
            };
        }
    }
}

/// The last message of an operation.
fn complete(id: &str) -> String {
    format!(r#"{{"id":{},"type":"complete"}}"#, quoted(id))
}

/// A text in JSON, which can say every text.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// A message of the protocol.
fn message(kind: &str, id: &str, payload: &str) -> String {
    let id = quoted(id);
    let mut text = String::with_capacity(payload.len() + id.len() + 40);
    for part in [r#"{"id":"#, &id, r#","type":""#, kind, r#"","payload":"#, payload, "}"] {
        text.push_str(part);
    }
    text
}
