//! What waits to be sent to one client.
//!
//! Whoever has something for the client puts it here and goes on: a client that takes nothing holds up nobody.
//! Of one subscription only a few events wait; when there are more they are thrown away, and the client gets a
//! fresh snapshot as soon as it takes something again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bursar_domain::Timestamp;
use tokio::sync::Notify;

use super::live::Opened;
use super::views::Seat;

/// How many events of one subscription may wait.
const WAITING: usize = 8;

/// The number of one operation of a client, as long as the client is there.
pub type Slot = u32;

/// Something for the client, or for whoever sends to it.
pub enum Item {
    /// The subscription can be opened, now and again.
    Opened(Slot, Opened),
    /// The subscription has its place in a view. With it: until when the proof of who the client is is good.
    Seated(Slot, Seat, Timestamp),
    /// An event.
    Event(Slot, Event),
    /// Events were thrown away.
    Lagged(Slot),
    /// People or grants have changed: it has to be found out whether the client may still see it.
    Revised(Slot),
    /// The proof of who the client is is no longer good: why.
    Unproven(Slot, &'static str),
    /// The operation ends with errors, as a JSON list.
    Failed(Slot, String),
    /// The only answer of a query or mutation.
    Answered(Slot, String),
}

impl Item {
    /// The operation that it belongs to.
    pub fn slot(&self) -> Slot {
        match self {
            Item::Opened(slot, _)
            | Item::Seated(slot, ..)
            | Item::Event(slot, _)
            | Item::Lagged(slot)
            | Item::Revised(slot)
            | Item::Unproven(slot, _)
            | Item::Failed(slot, _)
            | Item::Answered(slot, _) => *slot,
        }
    }
}

/// An event as it is sent, which many clients share.
#[derive(Clone)]
pub struct Event {
    /// The version that the client has when it has the event.
    pub version: i64,
    /// The result, as JSON.
    pub payload: Arc<str>,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It will be sent.
    Kept,
    /// Too many wait already; they and this one are thrown away.
    Lagging,
    /// The client has gone.
    Gone,
}

/// The inbox of one client.
#[derive(Default)]
pub struct Inbox {
    waiting: Mutex<Waiting>,
    some: Notify,
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Item>,
    closed: bool,
}

impl Inbox {
    /// Puts something in, unless the client has gone.
    pub fn put(&self, item: Item) {
        let mut waiting = self.lock();
        if waiting.closed {
            // Dropped when the lock is released: a seat takes locks of its own.
            drop(waiting);
            return drop(item);
        }
        waiting.items.push_back(item);
        drop(waiting);
        self.some.notify_one();
    }

    /// Puts events in that belong together, or says that there are too many: there is room for all of them as long as there
    /// is for one.
    pub fn put_events(&self, slot: Slot, events: &[Event]) -> Put {
        let mut waiting = self.lock();
        if waiting.closed {
            return Put::Gone;
        }
        let own = |item: &&Item| matches!(item, Item::Event(other, _) if *other == slot);
        if waiting.items.len() >= WAITING && waiting.items.iter().filter(own).count() >= WAITING {
            waiting.items.retain(|item| !own(&item));
            waiting.items.push_back(Item::Lagged(slot));
            drop(waiting);
            self.some.notify_one();
            return Put::Lagging;
        }
        waiting.items.extend(events.iter().map(|event| Item::Event(slot, event.clone())));
        drop(waiting);
        self.some.notify_one();
        Put::Kept
    }

    /// Takes the next item.
    pub fn take(&self) -> Option<Item> {
        let mut waiting = self.lock();
        let item = waiting.items.pop_front();
        if item.is_some() && waiting.items.is_empty() && waiting.items.capacity() > WAITING {
            waiting.items.shrink_to(0);
        }
        item
    }

    /// Waits until something may have been put in.
    pub async fn wait(&self) {
        self.some.notified().await;
    }

    /// Throws away what waits, and all that comes.
    pub fn close(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        let items = std::mem::take(&mut waiting.items);
        drop(waiting);
        drop(items);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_events_become_one_lag_and_others_stay() {
        let (inbox, event) = (Inbox::default(), Event { version: 1, payload: "{}".into() });
        inbox.put(Item::Answered(9, String::new()));
        for _ in 0..WAITING {
            assert_eq!(inbox.put_events(1, std::slice::from_ref(&event)), Put::Kept);
        }
        assert_eq!(inbox.put_events(2, std::slice::from_ref(&event)), Put::Kept);
        assert_eq!(inbox.put_events(1, std::slice::from_ref(&event)), Put::Lagging);
        let mut left = Vec::new();
        while let Some(item) = inbox.take() {
            left.push((item.slot(), matches!(item, Item::Lagged(_))));
        }
        assert_eq!(left, [(9, false), (2, false), (1, true)]);
        // Those that belong together come in together.
        let together = vec![event.clone(); 3 * WAITING];
        assert_eq!(inbox.put_events(1, &together), Put::Kept);
        assert_eq!(inbox.put_events(1, &together), Put::Lagging);
        assert!(matches!(inbox.take(), Some(Item::Lagged(1))));
        inbox.close();
        assert_eq!(inbox.put_events(1, &together), Put::Gone);
        inbox.put(Item::Revised(1));
        assert!(inbox.take().is_none());
    }
}
