//! The feed of one topic: a task that reads it after hints, and the newest state for all who watch it here.
//!
//! Several commits may come before it reads again; then one state covers them, and the history has the
//! transfers of all. The more watch, the longer it waits between two states, so that telling them never takes
//! all of a processor.

use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::history::{History, MAX_TRANSFERS, Transfers};
use super::state::{self, State};
use super::{Hub, Of, Topic};
use crate::context::Context;
use crate::error::Result;
use crate::ledger;

/// How long a feed lives on after the last watcher has gone: most come back soon.
const LINGER: Duration = Duration::from_secs(5);
/// How long it waits after a read that has failed.
const RETRY: Duration = Duration::from_millis(500);
/// The shortest time between two states.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
/// What one more watcher adds to the time between two states.
const PAUSE: Duration = Duration::from_micros(10);
/// The longest time between two states while there are changes.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// The feed of one topic.
pub struct Feed {
    topic: Topic,
    /// The newest version that a hint has named.
    hinted: AtomicI64,
    wake: Notify,
    state: watch::Sender<Option<Arc<State>>>,
    history: Mutex<History>,
    /// How many subscribers are told of each state.
    audience: AtomicUsize,
    /// One reads at a time, so that states come in their order.
    reading: tokio::sync::Mutex<()>,
    /// How many reads have begun.
    reads: AtomicU64,
}

/// Somebody who watches a feed, which lives as long as somebody does.
pub struct Watch {
    feed: Arc<Feed>,
    state: watch::Receiver<Option<Arc<State>>>,
}

impl Feed {
    pub(super) fn new(topic: Topic) -> Arc<Feed> {
        Arc::new(Feed {
            topic,
            hinted: AtomicI64::new(0),
            wake: Notify::new(),
            state: watch::Sender::new(None),
            history: Mutex::default(),
            audience: AtomicUsize::new(0),
            reading: tokio::sync::Mutex::default(),
            reads: AtomicU64::new(0),
        })
    }

    /// What it is about.
    pub fn topic(&self) -> Topic {
        self.topic
    }

    pub(super) fn watch(self: &Arc<Self>) -> Watch {
        Watch { feed: Arc::clone(self), state: self.state.subscribe() }
    }

    pub(super) fn is_watched(&self) -> bool {
        self.state.receiver_count() > 0
    }

    /// A hint that the topic is at a version.
    pub(super) fn hint(&self, version: i64) {
        if self.hinted.fetch_max(version, Ordering::AcqRel) < version {
            self.wake.notify_one();
        }
    }

    /// A hint that something may have changed.
    pub(super) fn touch(&self) {
        self.wake.notify_one();
    }

    /// The newest state, once there is one.
    pub fn newest(&self) -> Option<Arc<State>> {
        self.state.borrow().clone()
    }

    /// How many subscribers there are.
    pub fn audience(&self) -> usize {
        self.audience.load(Ordering::Relaxed)
    }

    /// Counts subscribers in or out.
    pub fn count(&self, change: isize) {
        let add = |audience: usize| Some(audience.saturating_add_signed(change));
        // Cannot fail: there is always a next number.
        let _ = self.audience.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// The transfers of the versions in `(after, until]`, when they are known here and not too many.
    pub fn transfers(&self, after: i64, until: i64) -> Option<Transfers> {
        self.history().between(after, until)
    }

    /// Reads transfers from after a version on, so that [`Feed::transfers`] knows them.
    pub async fn recall(&self, context: &Context, after: i64) -> Result<()> {
        let (Of::Pool(pool), Some(newest)) = (self.topic.of, self.newest()) else { return Ok(()) };
        let missing = |history: &History| history.oldest().unwrap_or(newest.version + 1) - 1 - after;
        let count = missing(&self.history());
        if !(1..=MAX_TRANSFERS).contains(&count) || newest.version - after > MAX_TRANSFERS {
            return Ok(());
        }
        let (tenant, limit) = (self.topic.tenant, u64::try_from(count).unwrap_or_default());
        let snapshot = context.db.read(tenant).await?;
        let rows = ledger::transfers_after(&snapshot, tenant, pool, after, limit).await?;
        self.history().prepend(rows, newest.version);
        Ok(())
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads on until nobody watches any more, or the hub ends.
    pub(super) async fn run(self: Arc<Self>, hub: Hub, context: Context) {
        loop {
            let reading = self.reading.lock().await;
            let pause = match self.read(&context, reading).await {
                Ok(()) => {
                    let audience = u32::try_from(self.audience()).unwrap_or(u32::MAX);
                    PAUSE.saturating_mul(audience).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
                }
                Err(error) => {
                    tracing::warn!(%error, "a watched thing cannot be read");
                    // It is read again whether or not there is another hint.
                    self.touch();
                    RETRY
                }
            };
            if hub.ends_within(pause).await {
                return;
            }
            loop {
                let woken = tokio::time::timeout(LINGER, self.wake.notified());
                tokio::select! {
                    () = hub.ended() => return,
                    woken = woken => match woken {
                        Ok(()) => break,
                        Err(_) if hub.forget(&self) => return,
                        Err(_) => {}
                    }
                }
            }
        }
    }

    /// Reads, unless somebody else has begun to since this was asked for: what has been committed before is
    /// in the newest state afterwards.
    pub async fn refresh(&self, context: &Context) -> Result<()> {
        let asked = self.reads.load(Ordering::Acquire);
        let reading = self.reading.lock().await;
        if self.reads.load(Ordering::Acquire) > asked {
            return Ok(());
        }
        self.read(context, reading).await
    }

    async fn read(&self, context: &Context, _reading: tokio::sync::MutexGuard<'_, ()>) -> Result<()> {
        self.reads.fetch_add(1, Ordering::AcqRel);
        let before = self.newest();
        let seen = before.as_ref().map(|state| state.version);
        let (state, transfers) = state::read(context, self.topic, seen).await?;
        if before.as_ref().is_some_and(|before| !state.differs_from(before)) {
            return Ok(());
        }
        // First the transfers, then the state that they lead to: who sees the state finds them.
        self.history().push(transfers);
        self.state.send_replace(Some(Arc::new(state)));
        Ok(())
    }
}

impl Watch {
    /// The feed.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// Waits for the next state.
    pub async fn changed(&mut self) -> Option<Arc<State>> {
        // The sender lives as long as the feed, which is held here.
        self.state.changed().await.ok()?;
        self.state.borrow_and_update().clone()
    }

    /// The newest state, or the first one when there is none yet.
    pub async fn current(&mut self) -> Option<Arc<State>> {
        let state = self.state.wait_for(Option::is_some).await.ok()?;
        state.clone()
    }
}
