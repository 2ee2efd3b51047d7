//! The clock and the identifiers that come from it. Both are handed in, so that tests can turn them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
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
    Set(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Clock {
        Clock(Source::System)
    }

    /// A clock that stands at `start` until it is turned.
    pub fn set(start: Timestamp) -> Clock {
        Clock(Source::Set(Arc::new(AtomicI64::new(start.micros()))))
    }

    /// Turns a set clock; the machine's clock cannot be turned, and is not.
    pub fn turn(&self, to: Timestamp) {
        if let Source::Set(micros) = &self.0 {
            micros.store(to.micros(), Ordering::SeqCst);
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
            Source::Set(micros) => Timestamp::from_micros(micros.load(Ordering::SeqCst)),
        }
    }

    /// A new identifier: a UUID of version 7, so that identifiers sort by creation.
    pub fn new_id<I: Id>(&self) -> I {
        static CONTEXT: std::sync::Mutex<ContextV7> = std::sync::Mutex::new(ContextV7::new());
        let micros = u64::try_from(self.now().micros()).unwrap_or(0);
        let nanos = u32::try_from(micros % 1_000_000).unwrap_or(0) * 1_000;
        let stamp = uuid::Timestamp::from_unix(&CONTEXT, micros / 1_000_000, nanos);
        I::from_u128(Uuid::new_v7(stamp).as_u128())
    }
}
