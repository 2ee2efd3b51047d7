//! How nodes on one database tell each other of changes.
//!
//! Only hints travel: which pool has reached which version, which purchase or request for approval has changed. They may be lost,
//! doubled and late; the poll finds what was missed. Sending never delays a commit: changes are put down in a
//! map, the newest version of each pool only, and a relay sends what has gathered, at most every 10 ms. While
//! the bus is down they gather there, up to a bound, after which they are thrown away.

mod message;
mod nats;
mod notify;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bursar_domain::id::{Id, OrganizationId};
use tokio::sync::{Notify, mpsc};

use super::{Hub, Topic};
use crate::changes::{Change, Subject};
use crate::context::Context;
use crate::error::Result;

/// The shortest time between two messages of a relay.
const INTERVAL: Duration = Duration::from_millis(10);
/// How many things may have changed and not been told.
const GATHERED: usize = 100_000;
/// How long a relay or a listener waits after a failure.
const RETRY: Duration = Duration::from_millis(500);

/// The way to the other nodes. Cheap to clone.
#[derive(Clone)]
pub enum Bus {
    /// There are no others.
    Process,
    /// PostgreSQL's NOTIFY.
    Postgres(Arc<Gathered>),
    /// A NATS server, at an address.
    Nats {
        /// Where the server is.
        url: String,
        /// What has not been sent yet.
        gathered: Arc<Gathered>,
        /// What this node begins or ceases to serve.
        served: mpsc::UnboundedSender<(Topic, bool)>,
        /// The other end, until the bus is started.
        serving: Arc<Mutex<Option<Serving>>>,
    },
}

/// Topics that this node begins (`true`) or ceases to serve.
type Serving = mpsc::UnboundedReceiver<(Topic, bool)>;

/// Changes that have not been sent yet.
#[derive(Default)]
pub struct Gathered {
    changes: Mutex<HashMap<(OrganizationId, u128), Subject>>,
    some: Notify,
}

impl Gathered {
    fn put(&self, changes: &[Change]) {
        let mut gathered = self.lock();
        if gathered.len() + changes.len() > GATHERED {
            gathered.clear();
        }
        for Change { organization, subject } in changes {
            let id = match subject {
                Subject::Pool(pool, _) => pool.as_u128(),
                Subject::Purchase(purchase) => purchase.as_u128(),
                Subject::Approval(request) => request.as_u128(),
            };
            gathered
                .entry((*organization, id))
                .and_modify(|known| newer(known, *subject))
                .or_insert(*subject);
        }
        drop(gathered);
        self.some.notify_one();
    }

    /// Waits until there is something, and takes it.
    async fn take(&self) -> Vec<Change> {
        loop {
            let taken = std::mem::take(&mut *self.lock());
            if !taken.is_empty() {
                let change = |((organization, _), subject)| Change { organization, subject };
                return taken.into_iter().map(change).collect();
            }
            self.some.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(OrganizationId, u128), Subject>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn newer(known: &mut Subject, subject: Subject) {
    match (known, subject) {
        (Subject::Pool(_, known), Subject::Pool(_, version)) => *known = version.max(*known),
        (known, subject) => *known = subject,
    }
}

impl Bus {
    /// PostgreSQL's NOTIFY, on the database of the context.
    pub fn postgres() -> Bus {
        Bus::Postgres(Arc::default())
    }

    /// A NATS server.
    pub fn nats(url: String) -> Bus {
        let (served, serving) = mpsc::unbounded_channel();
        Bus::Nats { url, gathered: Arc::default(), served, serving: Arc::new(Mutex::new(Some(serving))) }
    }

    /// Puts changes down to be sent. Does not block.
    pub(super) fn publish(&self, changes: &[Change]) {
        match self {
            Bus::Process => {}
            Bus::Postgres(gathered) | Bus::Nats { gathered, .. } => gathered.put(changes),
        }
    }

    /// This node begins to serve watchers of a topic.
    pub(super) fn serve(&self, topic: Topic) {
        if let Bus::Nats { served, .. } = self {
            // When the listener has ended, so has the hub.
            let _ = served.send((topic, true));
        }
    }

    /// Nobody here watches a topic any more.
    pub(super) fn leave(&self, topic: Topic) {
        if let Bus::Nats { served, .. } = self {
            let _ = served.send((topic, false)); // as above
        }
    }
}

/// Starts the tasks of the hub's bus.
pub(super) async fn start(hub: &Hub, context: &Context) -> Result<()> {
    match hub.bus() {
        Bus::Process => Ok(()),
        Bus::Postgres(gathered) => {
            notify::start(hub, context, gathered);
            Ok(())
        }
        Bus::Nats { url, gathered, serving, .. } => {
            let serving = serving.lock().unwrap_or_else(PoisonError::into_inner).take();
            match serving {
                Some(serving) => nats::start(hub, url, gathered, serving).await,
                None => Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar_domain::id::{PoolId, PurchaseId};

    #[tokio::test]
    async fn only_the_newest_version_of_a_pool_is_sent() {
        let gathered = Gathered::default();
        let organization = OrganizationId::from_u128(1);
        let pool = |version| Change { organization, subject: Subject::Pool(PoolId::from_u128(2), version) };
        let purchase = Change { organization, subject: Subject::Purchase(PurchaseId::from_u128(3)) };
        gathered.put(&[pool(1), pool(3)]);
        gathered.put(&[pool(2), purchase, purchase]);
        let mut taken = gathered.take().await;
        taken.sort_by_key(|change| matches!(change.subject, Subject::Purchase(_)));
        assert_eq!(taken, [pool(3), purchase]);
        assert!(tokio::time::timeout(Duration::from_millis(10), gathered.take()).await.is_err());
    }
}
