//! The operations of one client that has a stream: what it has begun, and what is to be sent to it.

use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use bursar_domain::Timestamp;
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use super::inbox::{Inbox, Item, Slot};
use super::live::Opened;
use super::parameters::{BadParameters, Parameters};
use super::refusal::Refusal;
use super::server::{Session, Way};
use super::views::{Seat, Since};
use super::{Outcome, Server};
use crate::auth::{Caller, Held};

/// The most operations that one client may have under way.
pub const OPERATIONS: usize = 64;

/// The operations of one client.
pub struct Streams {
    server: Server,
    session: Arc<Session>,
    inbox: Arc<Inbox>,
    running: Vec<Running>,
    next: Slot,
    /// Until when the proof of who the client is is good, as it has been told.
    proven_until: Timestamp,
    /// What ends with the session that the proof belongs to.
    held: Option<Held>,
}

struct Running {
    id: Box<str>,
    slot: Slot,
    work: Work,
    /// A subscription that could be opened, to open it again.
    opened: Option<Opened>,
    /// The version that the client was sent last.
    sent: Option<i64>,
    /// What the view has said before its seat has come here.
    early: Early,
}

/// What a view may say before its member has its seat.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Early {
    Nothing,
    Lagged,
    Revised,
}

impl Running {
    fn new(id: &str, slot: Slot, task: JoinHandle<()>) -> Running {
        let work = Work::Task { _task: AbortOnDropHandle::new(task) };
        Running { id: id.into(), slot, work, opened: None, sent: None, early: Early::Nothing }
    }
}

enum Work {
    /// A query, a mutation, or the opening of a subscription. Dropping ends what can be cut off.
    Task { _task: AbortOnDropHandle<()> },
    /// A subscription in its place.
    Seated(Seat),
}

/// What is to be sent.
pub enum Output {
    /// A result; more may follow.
    Next(Box<str>, Arc<str>),
    /// The only result; nothing follows.
    Last(Box<str>, String),
    /// The operation has ended with errors, a JSON list.
    Failed(Box<str>, String),
    /// Nothing: the proof of who the client is is good until another instant than before.
    ProvenUntil(Timestamp),
    /// Nothing any more: the proof of who the client is is no longer good. Why.
    Unproven(&'static str),
}

/// Why an operation does not begin.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// Another one under way has its id.
    Duplicate,
    /// There are far too many.
    TooMany,
}

impl Streams {
    /// Nothing yet, of a client who has proven who it is.
    pub fn new(server: Server, session: Session, caller: &Caller) -> Streams {
        let (session, inbox) = (Arc::new(session), Arc::default());
        let held = caller.session.map(|id| server.services().sessions.hold(id));
        let proven_until = caller.expires_at;
        Streams { server, session, inbox, running: Vec::new(), next: 0, proven_until, held }
    }

    /// Begins an operation.
    pub fn begin(&mut self, id: &str, parameters: Result<Parameters, BadParameters>) -> Result<(), Refused> {
        if self.running.iter().any(|running| *running.id == *id) {
            return Err(Refused::Duplicate);
        }
        if self.running.len() >= 2 * OPERATIONS {
            return Err(Refused::TooMany);
        }
        self.next = self.next.wrapping_add(1);
        let (slot, inbox) = (self.next, Arc::clone(&self.inbox));
        if self.running.len() >= OPERATIONS {
            let message = format!("A client has at most {OPERATIONS} operations under way.");
            let refusal = Refusal::too_many(message).into_json();
            self.running.push(Running::new(id, slot, tokio::spawn(async {})));
            self.inbox.put(Item::Failed(slot, refusal));
            return Ok(());
        }
        let (server, session) = (self.server.clone(), Arc::clone(&self.session));
        let task = tokio::spawn(async move { server.run(parameters, &session, inbox, slot).await });
        self.running.push(Running::new(id, slot, task));
        Ok(())
    }

    /// Ends an operation; one that is not there has ended already.
    pub fn end(&mut self, id: &str) {
        self.running.retain(|running| *running.id != *id);
    }

    /// Waits for what is to be sent next. May be dropped and called again: nothing gets lost.
    pub async fn next(&mut self) -> Output {
        loop {
            while let Some(item) = self.inbox.take() {
                if let Some(output) = self.process(item) {
                    return output;
                }
            }
            let Some(held) = &self.held else {
                self.inbox.wait().await;
                continue;
            };
            tokio::select! {
                () = held.ended() => return Output::Unproven("The session has ended."),
                () = self.inbox.wait() => {}
            }
        }
    }

    fn process(&mut self, item: Item) -> Option<Output> {
        // What belongs to an operation that the client has ended is dropped, a seat included.
        let index = self.running.iter().position(|running| running.slot == item.slot())?;
        let running = &mut self.running[index];
        match item {
            Item::Opened(_, opened) => running.opened = Some(opened),
            Item::Seated(_, seat, until) => {
                match std::mem::replace(&mut running.early, Early::Nothing) {
                    Early::Nothing => running.work = Work::Seated(seat),
                    Early::Lagged => {
                        seat.refresh();
                        running.work = Work::Seated(seat);
                    }
                    Early::Revised => self.reopen(index),
                }
                if std::mem::replace(&mut self.proven_until, until) != until {
                    return Some(Output::ProvenUntil(until));
                }
            }
            Item::Unproven(_, reason) => return Some(Output::Unproven(reason)),
            Item::Event(_, event) => {
                running.sent = Some(event.version);
                return Some(Output::Next(running.id.clone(), event.payload));
            }
            Item::Lagged(_) => match &running.work {
                Work::Seated(seat) => seat.refresh(),
                Work::Task { .. } => running.early = Early::Lagged,
            },
            Item::Revised(_) => match &running.work {
                Work::Seated(_) => self.reopen(index),
                Work::Task { .. } => running.early = Early::Revised,
            },
            Item::Failed(_, errors) => {
                return Some(Output::Failed(self.running.swap_remove(index).id, errors));
            }
            Item::Answered(_, body) => {
                return Some(Output::Last(self.running.swap_remove(index).id, body));
            }
        }
        None
    }
}

impl Streams {
    /// Opens a subscription again, from where the client is.
    fn reopen(&mut self, index: usize) {
        let running = &mut self.running[index];
        // Whoever has a seat, or is on the way to one, has been opened.
        let Some(opened) = running.opened.clone() else { return };
        let (server, inbox, slot) = (self.server.clone(), Arc::clone(&self.inbox), running.slot);
        let since = running.sent.map(Since::Sent);
        let task = tokio::spawn(async move { server.open(opened, inbox, slot, since).await });
        running.work = Work::Task { _task: AbortOnDropHandle::new(task) };
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        // Seats that are on their way come to nothing.
        self.inbox.close();
    }
}

impl Server {
    /// Carries an operation out, or opens it; what comes of it goes to the inbox.
    async fn run(
        &self,
        parameters: Result<Parameters, BadParameters>,
        session: &Session,
        inbox: Arc<Inbox>,
        slot: Slot,
    ) {
        let reading = match self.reading(parameters, session) {
            Ok(reading) => reading,
            Err(refusal) => return inbox.put(Item::Failed(slot, refusal.into_json())),
        };
        if reading.facts.kind == OperationType::Subscription {
            return match self.plan(reading, session).await {
                Ok(opened) => {
                    inbox.put(Item::Opened(slot, opened.clone()));
                    self.open(opened, inbox, slot, None).await;
                }
                Err(errors) => inbox.put(Item::Failed(slot, errors)),
            };
        }
        let answered = self.perform(reading, session, Way::Stream).await;
        inbox.put(match answered.outcome {
            Outcome::Executed => Item::Answered(slot, answered.body()),
            _ => Item::Failed(slot, answered.errors()),
        });
    }
}
