//! Wakes the watchers of this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bursar_domain::id::PoolId;
use tokio::sync::watch;

use crate::ledger::Committed;

/// One for each process: the pools that are being watched here, and the newest version known of each.
#[derive(Clone, Default)]
pub struct Hub(Arc<Mutex<HashMap<PoolId, watch::Sender<i64>>>>);

impl Hub {
    /// Nobody watches.
    pub fn new() -> Hub {
        Hub::default()
    }

    /// Wakes whoever watches the pools. Does not block, and forgets pools that nobody watches any more.
    pub fn committed(&self, committed: &[Committed]) {
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for Committed { pool, version } in committed {
            let Some(sender) = pools.get(pool) else { continue };
            if sender.receiver_count() == 0 {
                pools.remove(pool);
                continue;
            }
            sender.send_if_modified(|known| {
                let newer = *version > *known;
                *known = (*known).max(*version);
                newer
            });
        }
    }

    /// Watches a pool: the receiver changes with every commit from now on.
    pub fn watch(&self, pool: PoolId) -> watch::Receiver<i64> {
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pools.entry(pool).or_insert_with(|| watch::channel(0).0).subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar_domain::id::Id;

    #[test]
    fn watchers_see_the_newest_version_and_are_forgotten() {
        let (hub, pool) = (Hub::new(), PoolId::from_u128(1));
        let commit = |version| hub.committed(&[Committed { pool, version }]);
        commit(1);
        let mut watcher = hub.watch(pool);
        assert!(!watcher.has_changed().unwrap());
        commit(3);
        commit(2);
        assert!(watcher.has_changed().unwrap());
        assert_eq!(*watcher.borrow_and_update(), 3);
        drop(watcher);
        commit(4);
        assert!(hub.0.lock().unwrap().is_empty());
    }
}
