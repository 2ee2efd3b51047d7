//! Lets a pool that buys by itself do so at once: a commit of this node has changed it, and it has fallen to its threshold.
//!
//! Timed work looks at such pools every few seconds, on whichever node; that is the net. Each node knows which pools these
//! are, and is told of its own commits after them. What a commit pays for that is one look into a set that is mostly empty;
//! what the pool has left is read by a task of its own, and nothing is sent or written before it has to buy.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bursar_domain::id::{Id, OrganizationId, PoolId};
use bursar_entity::timed_task;
use futures_util::StreamExt;
use sea_orm::{ConnectionTrait, FromQueryResult, Statement, Value};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::changes::{Change, Subject};
use crate::context::Context;
use crate::db::{Scope, Tenant};
use crate::error::Result;
use crate::purchases::{self, Selling, TOP_UP};

/// How often it is found out which pools buy by themselves.
const ARMING: Duration = Duration::from_secs(2);
/// How long changes are gathered before the pools are looked at: a busy pool is read so often at most.
const PAUSE: Duration = Duration::from_millis(100);
/// How many pools are read at the same time.
const READERS: usize = 4;
/// Timed work that is due within so many seconds watches its pool; what is due later waits for time or people.
const SOON_SECONDS: i64 = 60;

/// Which pools of which organizations.
type Pools = HashSet<(OrganizationId, PoolId)>;

/// Looks at pools that buy by themselves as soon as they have changed. Cheap to clone.
#[derive(Clone, Default)]
pub struct TopUpTrigger(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// The pools that buy by themselves.
    armed: RwLock<Pools>,
    /// Those of them that have changed since they were looked at.
    changed: Mutex<Pools>,
    /// Those that are buying just now.
    buying: Mutex<Pools>,
    wake: Notify,
}

impl TopUpTrigger {
    /// Something was committed by this process. Does not block.
    pub fn committed(&self, changes: &[Change]) {
        let armed = self.0.armed.read().unwrap_or_else(PoisonError::into_inner);
        if armed.is_empty() {
            return;
        }
        for Change { organization, subject } in changes {
            if let Subject::Pool(pool, _) = subject
                && armed.contains(&(*organization, *pool))
            {
                self.touch((*organization, *pool));
            }
        }
    }

    /// A pool is to be looked at.
    fn touch(&self, pool: (OrganizationId, PoolId)) {
        held(&self.0.changed).insert(pool);
        self.0.wake.notify_one();
    }

    /// Looks at what has changed until the end comes. What it begins is among `running`.
    pub(super) async fn run(self, selling: Selling, end: CancellationToken, running: TaskTracker) {
        while !end.is_cancelled() {
            if let Err(error) = self.arm(selling.context()).await {
                // Until it can be found out, what was known holds, and timed work goes on.
                tracing::warn!(%error, "the pools that buy by themselves cannot be found");
            }
            let until = Instant::now() + ARMING;
            while Instant::now() < until {
                tokio::select! {
                    () = end.cancelled() => return,
                    woken = timeout_at(until, self.0.wake.notified()) => if woken.is_err() { break },
                }
                self.look(&selling, &running).await;
                if timeout(PAUSE, end.cancelled()).await.is_ok() {
                    return;
                }
            }
        }
    }

    /// Finds out which pools buy by themselves. What is new among them may have changed before anybody here knew.
    async fn arm(&self, context: &Context) -> Result<()> {
        let snapshot = context.db.read(Scope::Scheduler).await?;
        let sql =
            "SELECT organization_id, kind, subject_id, due_at, leased_until, lease, attempts, last_error
            FROM timed_task WHERE due_at <= $1 AND kind = $2";
        let soon = context.clock.now().plus_seconds(SOON_SECONDS);
        let values: [Value; 2] = [soon.into(), TOP_UP.into()];
        let statement = Statement::from_sql_and_values(snapshot.get_database_backend(), sql, values);
        let mut found = Pools::new();
        for row in snapshot.query_all_raw(statement).await? {
            let row = timed_task::Model::from_query_result(&row, "")?;
            found.insert((row.organization_id, PoolId::from_u128(row.subject_id.as_u128())));
        }
        drop(snapshot);
        let new = {
            let mut armed = self.0.armed.write().unwrap_or_else(PoisonError::into_inner);
            let new: Vec<_> = found.difference(&armed).copied().collect();
            *armed = found;
            new
        };
        new.into_iter().for_each(|pool| self.touch(pool));
        Ok(())
    }

    /// Looks at the pools that have changed, and lets those buy that have to.
    async fn look(&self, selling: &Selling, running: &TaskTracker) {
        let changed = std::mem::take(&mut *held(&self.0.changed));
        futures_util::stream::iter(changed)
            .for_each_concurrent(READERS, |pool| self.one(selling, running, pool))
            .await;
    }

    async fn one(&self, selling: &Selling, running: &TaskTracker, pool: (OrganizationId, PoolId)) {
        // No caller is involved: Bursar does for each organization what its own rows say.
        let tenant = Tenant::vouched(pool.0);
        if held(&self.0.buying).contains(&pool) {
            // It is looked at again when that has come to its end.
            return;
        }
        match purchases::has_fallen(selling.context(), tenant, pool.1).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(%error, "a pool that buys by itself cannot be read");
                return;
            }
        }
        held(&self.0.buying).insert(pool);
        let (buying, selling) = (Buying { trigger: self.clone(), pool }, selling.clone());
        running.spawn(async move {
            let soon = selling.context().clock.now().plus_seconds(SOON_SECONDS);
            match purchases::top_up(&selling, tenant, pool.1).await {
                Ok(again) if again <= soon => {}
                // People or time have to change something first: timed work finds out when.
                Ok(_) => buying.disarm(),
                Err(error) => {
                    tracing::warn!(%error, "a pool could not buy by itself");
                    buying.disarm();
                }
            }
        });
    }

    /// Does not look at a pool at each change, until it is found again.
    fn disarm(&self, pool: (OrganizationId, PoolId)) {
        self.0.armed.write().unwrap_or_else(PoisonError::into_inner).remove(&pool);
    }
}

/// A pool that is buying: unless it was disarmed it is looked at again at the end, since it may have changed meanwhile.
struct Buying {
    trigger: TopUpTrigger,
    pool: (OrganizationId, PoolId),
}

impl Buying {
    /// It is not looked at again at once, nor at each change.
    fn disarm(&self) {
        self.trigger.disarm(self.pool);
    }
}

impl Drop for Buying {
    fn drop(&mut self) {
        held(&self.trigger.0.buying).remove(&self.pool);
        let armed = self.trigger.0.armed.read().unwrap_or_else(PoisonError::into_inner);
        if armed.contains(&self.pool) {
            self.trigger.touch(self.pool);
        }
    }
}

fn held(pools: &Mutex<Pools>) -> MutexGuard<'_, Pools> {
    pools.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pools_that_buy_by_themselves_are_looked_at() {
        let trigger = TopUpTrigger::default();
        let organization = OrganizationId::from_u128(1);
        let change = |pool| Change { organization, subject: Subject::Pool(PoolId::from_u128(pool), 7) };
        trigger.committed(&[change(1), change(2)]);
        assert!(held(&trigger.0.changed).is_empty(), "none does");
        trigger.0.armed.write().unwrap().insert((organization, PoolId::from_u128(2)));
        trigger.committed(&[change(1), change(2), change(2)]);
        let changed: Vec<_> = held(&trigger.0.changed).iter().copied().collect();
        assert_eq!(changed, [(organization, PoolId::from_u128(2))]);
        trigger.disarm((organization, PoolId::from_u128(2)));
        held(&trigger.0.changed).clear();
        trigger.committed(&[change(2)]);
        assert!(held(&trigger.0.changed).is_empty());
    }
}
