//! Writing events: the selection of a subscription, executed by the schema for each thing that happens.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_graphql::{Request as Operation, Response};
use bursar_domain::id::ApprovalId;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;

use super::answer::add_codes;
use super::refusal;

use super::sight::Sight;
use super::{ApiSchema, Request};
use crate::db::Snapshots;
use crate::error::Error;
use crate::live::{EventKind, State, Transfers};

/// How long one event may take to be written.
const DEADLINE: Duration = Duration::from_secs(30);

/// Something that is told to subscribers.
pub struct Happening {
    /// What kind of event it is.
    pub kind: EventKind,
    /// The state after it.
    pub state: Arc<State>,
    /// What has led to it.
    pub transfers: Transfers,
    /// What of it is shown.
    pub sight: Sight,
    /// Which request for approval it is about; none: it is about all of the state.
    pub about: Option<ApprovalId>,
}

/// Where a subscription's field takes its events from.
pub struct Events(Mutex<Option<mpsc::Receiver<Happening>>>);

impl Events {
    /// No events, and none to come.
    pub fn ended() -> Events {
        Events(Mutex::new(Some(mpsc::channel(1).1)))
    }

    /// Takes the receiver: a subscription has one root field, which asks once.
    pub fn take(&self) -> Result<mpsc::Receiver<Happening>, Error> {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.ok_or_else(|| Error::internal("a subscription without events"))
    }
}

/// Writes the events of one view.
pub struct Renderer {
    happenings: mpsc::Sender<Happening>,
    responses: BoxStream<'static, Response>,
    snapshots: Snapshots,
}

impl Renderer {
    /// A renderer for an operation that has been found valid.
    pub(super) fn new(schema: &ApiSchema, operation: Operation, request: Request) -> Renderer {
        let (happenings, receiver) = mpsc::channel(1);
        let snapshots = request.snapshots.clone();
        let events = Events(Mutex::new(Some(receiver)));
        let responses = schema.execute_stream(operation.data(request).data(events));
        Renderer { happenings, responses, snapshots }
    }

    /// Writes one event.
    pub async fn write(&mut self, happening: Happening) -> Arc<str> {
        let written = async {
            // There is room: each event is taken before the next one is put in.
            let _ = self.happenings.try_send(happening);
            self.responses.next().await
        };
        let response = tokio::time::timeout(DEADLINE, written).await;
        // The event is complete: no connection waits for the next one.
        self.snapshots.close().await;
        let mut response = match response {
            Ok(Some(response)) => response,
            Ok(None) | Err(_) => {
                tracing::error!("an event could not be written");
                let failed =
                    refusal::Refusal::new("INTERNAL_SERVER_ERROR", "The event could not be written.");
                Response::from_errors(vec![failed.into_error()])
            }
        };
        add_codes(&mut response, None);
        refusal::write(&response, None).into()
    }
}
