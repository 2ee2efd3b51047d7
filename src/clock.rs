//! The clock and the identifiers that come from it. Both are handed in, so that tests can turn them.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use bursar_domain::Timestamp;
use bursar_domain::id::Id;
use uuid::{ContextV7, Uuid};

/// Tells the time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Set(Arc<Hand>),
}

/// What a set clock shows, and the order of what was made by it.
#[derive(Debug)]
struct Hand {
    micros: AtomicI64,
    order: Mutex<ContextV7>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Clock {
        Clock(Source::System)
    }

    /// A clock that stands at `start` until it is turned.
    pub fn set(start: Timestamp) -> Clock {
        let hand = Hand { micros: AtomicI64::new(start.micros()), order: Mutex::new(ContextV7::new()) };
        Clock(Source::Set(Arc::new(hand)))
    }

    /// Turns a set clock; the machine's clock cannot be turned, and is not.
    pub fn turn(&self, to: Timestamp) {
        if let Source::Set(hand) = &self.0 {
            hand.micros.store(to.micros(), Ordering::SeqCst);
        }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => {
                // Before 1970 the clock is broken; the epoch is as good as any answer then.
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
            }
            Source::Set(hand) => Timestamp::from_micros(hand.micros.load(Ordering::SeqCst)),
        }
    }

    /// A new identifier: a UUID of version 7, so that identifiers of a clock sort by creation. Each clock has an order
    /// of its own: one that is ahead makes no identifiers of others late.
    pub fn new_id<I: Id>(&self) -> I {
        static MACHINE: Mutex<ContextV7> = Mutex::new(ContextV7::new());
        let order = match &self.0 {
            Source::System => &MACHINE,
            Source::Set(hand) => &hand.order,
        };
        let micros = u64::try_from(self.now().micros()).unwrap_or(0);
        let nanos = u32::try_from(micros % 1_000_000).unwrap_or(0) * 1_000;
        let stamp = uuid::Timestamp::from_unix(order, micros / 1_000_000, nanos);
        I::from_u128(Uuid::new_v7(stamp).as_u128())
    }
}
