//! PostgreSQL's NOTIFY as bus: one channel, which every node sends to and listens to.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::{Gathered, INTERVAL, RETRY, message};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::live::Hub;

/// The channel.
const CHANNEL: &str = "bursar_changes";
/// How often a node says that it is there when there is nothing else to say.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long a node hears nothing, not even itself, before it connects again.
const SILENCE: Duration = Duration::from_secs(30);
/// How long one message may take to be sent.
const SEND: Duration = Duration::from_secs(5);
/// How many changes one message carries: a payload has less than 8,000 bytes.
const AT_ONCE: usize = 90;

/// Starts the relay and the listener.
pub fn start(hub: &Hub, context: &Context, gathered: &Arc<Gathered>) {
    // A node knows its own messages and leaves them out.
    let node = Uuid::now_v7().simple().to_string();
    tokio::spawn(relay(hub.clone(), context.clone(), Arc::clone(gathered), node.clone()));
    tokio::spawn(listen(hub.clone(), context.clone(), node));
}

/// Sends what has gathered, on a connection of its own.
async fn relay(hub: Hub, context: Context, gathered: Arc<Gathered>, node: String) {
    let mut notifier = None;
    loop {
        let changes = tokio::select! {
            () = hub.ended() => return,
            changes = gathered.take() => changes,
            () = tokio::time::sleep(HEARTBEAT) => Vec::new(),
        };
        let words: Vec<String> = changes.iter().map(message::word).collect();
        // At least one message, which may be empty.
        for words in words.chunks(AT_ONCE).chain(words.is_empty().then_some(&[][..])) {
            let payload = format!("{node} {}", words.join(" "));
            let outcome = async {
                let notifier = match &mut notifier {
                    Some(notifier) => notifier,
                    none => none.insert(context.db.notifier().await?),
                };
                notifier.notify(CHANNEL, &payload).await
            };
            if let Err(error) = in_time(SEND, outcome).await {
                tracing::warn!(%error, "other nodes cannot be told of changes");
                notifier = None;
                if hub.ends_within(RETRY).await {
                    return;
                }
                // The rest of it is a hint as well: the others find out by themselves.
                break;
            }
        }
        if hub.ends_within(INTERVAL).await {
            return;
        }
    }
}

/// Listens to the others. After each connection everything is looked at, because nobody has listened before.
async fn listen(hub: Hub, context: Context, node: String) {
    loop {
        let outcome = async {
            let mut listener = in_time(SILENCE, context.db.listener(CHANNEL)).await?;
            tracing::debug!("listening to other nodes");
            hub.touch_all();
            loop {
                let payload = in_time(SILENCE, listener.next()).await?;
                let mut words = payload.split(' ');
                if words.next() != Some(node.as_str()) {
                    let changes: Vec<_> = words.filter_map(message::read).collect();
                    hub.hinted(&changes);
                }
            }
        };
        let outcome: Result<std::convert::Infallible> = tokio::select! {
            () = hub.ended() => return,
            outcome = outcome => outcome,
        };
        let Err(error) = outcome;
        tracing::warn!(%error, "other nodes cannot be heard; what is watched is polled");
        if hub.ends_within(RETRY).await {
            return;
        }
    }
}

/// What takes too long has failed.
async fn in_time<T>(time: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    let late = || Error::internal("the database does not answer in time");
    tokio::time::timeout(time, work).await.unwrap_or_else(|_| Err(late()))
}
