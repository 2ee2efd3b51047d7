//! What is watched on this node. One hub for each process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::feed::{Feed, Watch};
use super::{Bus, Of, Topic, bus, poll};
use crate::changes::{Change, Subject};
use crate::context::Context;
use crate::db::Tenant;
use crate::error::Result;

/// The feeds of this node, and the bus that connects it with others. Cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    feeds: Mutex<HashMap<Topic, Arc<Feed>>>,
    bus: Bus,
    end: CancellationToken,
}

impl Hub {
    /// Nobody watches.
    pub fn new(bus: Bus) -> Hub {
        Hub(Arc::new(Inner { feeds: Mutex::default(), bus, end: CancellationToken::new() }))
    }

    /// Begins to look at what is watched from time to time, and to listen to other nodes.
    pub async fn start(&self, context: &Context) -> Result<()> {
        tokio::spawn(poll::run(self.clone(), context.clone()));
        bus::start(self, context).await
    }

    /// Ends all feeds, and tells nobody any more.
    pub fn end(&self) {
        self.0.end.cancel();
        self.feeds().clear();
    }

    /// Waits for the end.
    pub(super) async fn ended(&self) {
        self.0.end.cancelled().await;
    }

    /// Waits for some time; answers whether the end has come.
    pub(super) async fn ends_within(&self, time: Duration) -> bool {
        if time.is_zero() {
            return self.0.end.is_cancelled();
        }
        tokio::time::timeout(time, self.ended()).await.is_ok()
    }

    pub(super) fn bus(&self) -> &Bus {
        &self.0.bus
    }

    /// Something was committed by this process. Does not block.
    pub fn committed(&self, changes: &[Change]) {
        self.hinted(changes);
        self.0.bus.publish(changes);
    }

    /// Something has been committed somewhere.
    pub(super) fn hinted(&self, changes: &[Change]) {
        let feeds = self.feeds();
        if feeds.is_empty() {
            return;
        }
        for Change { organization, subject } in changes {
            // Feeds are looked up, not read: nothing is shown here.
            let tenant = Tenant::vouched(*organization);
            match subject {
                Subject::Pool(pool, version) => {
                    if let Some(feed) = feeds.get(&Topic { tenant, of: Of::Pool(*pool) }) {
                        feed.hint(*version);
                    }
                    if let Some(feed) = feeds.get(&Topic { tenant, of: Of::Pools }) {
                        feed.touch();
                    }
                }
                Subject::Purchase(purchase) => {
                    if let Some(feed) = feeds.get(&Topic { tenant, of: Of::Purchase(*purchase) }) {
                        feed.touch();
                    }
                }
                Subject::Approval(_) => {
                    if let Some(feed) = feeds.get(&Topic { tenant, of: Of::Approvals }) {
                        feed.touch();
                    }
                }
            }
        }
    }

    /// Something may have happened before anybody here listened.
    pub(super) fn touch(&self, topic: Topic) {
        if let Some(feed) = self.feeds().get(&topic) {
            feed.touch();
        }
    }

    /// Hints may have been lost: everything that is watched is looked at.
    pub(super) fn touch_all(&self) {
        self.feeds().values().for_each(|feed| feed.touch());
    }

    /// The feeds that are watched.
    pub(super) fn watched(&self) -> Vec<Arc<Feed>> {
        self.feeds().values().cloned().collect()
    }

    /// How many subscriptions there are on this node.
    pub fn audience(&self) -> usize {
        self.feeds().values().map(|feed| feed.audience()).sum()
    }

    /// Watches a topic.
    pub fn watch(&self, context: &Context, topic: Topic) -> Watch {
        let mut feeds = self.feeds();
        if let Some(feed) = feeds.get(&topic) {
            return feed.watch();
        }
        let feed = Feed::new(topic);
        let watch = feed.watch();
        feeds.insert(topic, Arc::clone(&feed));
        self.0.bus.serve(topic);
        tokio::spawn(feed.run(self.clone(), context.clone()));
        watch
    }

    /// Forgets a feed when nobody watches it; answers whether it did.
    pub(super) fn forget(&self, feed: &Arc<Feed>) -> bool {
        let mut feeds = self.feeds();
        if feed.is_watched() {
            return false;
        }
        feeds.remove(&feed.topic());
        self.0.bus.leave(feed.topic());
        true
    }

    fn feeds(&self) -> MutexGuard<'_, HashMap<Topic, Arc<Feed>>> {
        self.0.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
