//! NATS as bus: a subject for each pool and purchase, below its organization's; a node listens only to those
//! that somebody watches there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event};
use bursar_domain::id::Id;
use futures_util::StreamExt;
use percent_encoding::percent_decode_str;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::{Gathered, INTERVAL, Serving, message};
use crate::changes::{Change, Subject};
use crate::error::{Error, Result};
use crate::live::{Hub, Of, Topic};

/// What all subjects begin with.
const PREFIX: &str = "bursar";
/// The longest wait before another try to connect.
const RECONNECT: Duration = Duration::from_secs(2);
/// How long the client may take to accept what is sent. Longer, and it is thrown away.
const SEND: Duration = Duration::from_secs(1);

/// Starts the relay and the listener. The server may be away; it is tried again until it is there.
pub async fn start(hub: &Hub, url: &str, gathered: &Arc<Gathered>, serving: Serving) -> Result<()> {
    let connected = hub.clone();
    let (address, name, password) = apart(url)?;
    let options = match password {
        Some(password) => ConnectOptions::with_user_and_password(name, password),
        None if name.is_empty() => ConnectOptions::new(),
        None => ConnectOptions::with_token(name),
    };
    let options = options
        .name("bursar")
        // A node knows of its own changes.
        .no_echo()
        .retry_on_initial_connect()
        .reconnect_delay_callback(|attempts| {
            let doubled = Duration::from_millis(50).saturating_mul(1 << attempts.min(6));
            doubled.min(RECONNECT)
        })
        .event_callback(move |event| {
            let hub = connected.clone();
            async move {
                match event {
                    // Nobody has listened before.
                    Event::Connected => hub.touch_all(),
                    event => tracing::warn!(%event, "NATS"),
                }
            }
        });
    let client = options.connect(address.as_str()).await;
    let client = client.map_err(|error| Error::invalid("BURSAR_NATS_URL", error.kind().to_string()))?;
    tokio::spawn(relay(hub.clone(), client.clone(), Arc::clone(gathered)));
    tokio::spawn(listen(hub.clone(), client, serving));
    Ok(())
}

/// An address without what proves who we are there, and that: a name (or a token) and a password. The library takes no
/// notice of it where it stands, and logs addresses.
fn apart(url: &str) -> Result<(Url, String, Option<String>)> {
    let wrong = || Error::invalid("BURSAR_NATS_URL", "is not the address of a NATS server");
    let named = if url.contains("://") { url.to_owned() } else { format!("nats://{url}") };
    let mut address = Url::parse(&named).map_err(|_| wrong())?;
    let decoded = |text: &str| {
        let decoded = percent_decode_str(text).decode_utf8().map_err(|_| wrong())?;
        Ok::<String, Error>(decoded.into_owned())
    };
    let (name, password) = (decoded(address.username())?, address.password().map(decoded).transpose()?);
    if address.set_username("").is_err() || address.set_password(None).is_err() {
        return Err(wrong());
    }
    Ok((address, name, password))
}

fn subject_of(change: &Change) -> String {
    let id = match change.subject {
        Subject::Pool(pool, _) => pool.as_u128(),
        Subject::Purchase(purchase) => purchase.as_u128(),
        Subject::Approval(request) => request.as_u128(),
    };
    format!("{PREFIX}.{:032x}.{id:032x}", change.organization.as_u128())
}

/// The subjects that a topic's hints come by.
fn subjects_of(topic: Topic) -> String {
    let organization = topic.tenant.id().as_u128();
    match topic.of {
        Of::Pool(pool) => format!("{PREFIX}.{organization:032x}.{:032x}", pool.as_u128()),
        Of::Purchase(purchase) => format!("{PREFIX}.{organization:032x}.{:032x}", purchase.as_u128()),
        Of::Pools | Of::Approvals => format!("{PREFIX}.{organization:032x}.*"),
    }
}

/// Sends what has gathered.
async fn relay(hub: Hub, client: Client, gathered: Arc<Gathered>) {
    loop {
        let changes = tokio::select! {
            () = hub.ended() => return,
            changes = gathered.take() => changes,
        };
        let send = async {
            for change in &changes {
                client.publish(subject_of(change), message::word(change).into()).await?;
            }
            Ok::<_, async_nats::PublishError>(())
        };
        // While the server is away the client keeps some messages and then waits.
        match tokio::time::timeout(SEND, send).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "other nodes cannot be told of changes"),
            Err(_) => tracing::warn!("other nodes cannot be told of changes: NATS takes no messages"),
        }
        if hub.ends_within(INTERVAL).await {
            return;
        }
    }
}

/// Listens to the subjects of what is watched here.
async fn listen(hub: Hub, client: Client, mut serving: Serving) {
    let mut listeners: HashMap<Topic, AbortOnDropHandle<()>> = HashMap::new();
    loop {
        let served = tokio::select! {
            () = hub.ended() => return,
            served = serving.recv() => served,
        };
        match served {
            None => return,
            Some((topic, false)) => drop(listeners.remove(&topic)),
            Some((topic, true)) => {
                let (hub, client) = (hub.clone(), client.clone());
                let hear = async move {
                    let mut messages = match client.subscribe(subjects_of(topic)).await {
                        Ok(messages) => messages,
                        Err(error) => return tracing::warn!(%error, "a subject cannot be listened to"),
                    };
                    // What happened before the subscription was there.
                    hub.touch(topic);
                    while let Some(received) = messages.next().await {
                        let change = std::str::from_utf8(&received.payload).ok().and_then(message::read);
                        if let Some(change) = change {
                            hub.hinted(&[change]);
                        }
                    }
                };
                listeners.insert(topic, AbortOnDropHandle::new(tokio::spawn(hear)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_passed_on_without_credentials() {
        for (url, address, name, password) in [
            ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222", "", None),
            ("bus.test", "nats://bus.test", "", None),
            ("tls://node:p%40ss@bus.test:1", "tls://bus.test:1", "node", Some("p@ss")),
            ("nats://token@bus.test", "nats://bus.test", "token", None),
        ] {
            let (found, of, by) = apart(url).unwrap();
            assert_eq!((found.as_str(), of.as_str(), by.as_deref()), (address, name, password), "{url}");
        }
        for bad in ["nats://node:swordfish@", "nats://node:swordfish@[", "nats://%ff:swordfish@bus.test"] {
            assert!(!apart(bad).unwrap_err().to_string().contains("swordfish"), "{bad}");
        }
    }
}
