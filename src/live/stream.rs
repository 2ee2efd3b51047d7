//! The events of one watcher: a snapshot first, then everything that follows it, without a gap.

use std::time::Duration;

use bursar_domain::id::PoolId;
use bursar_entity::{account, transfer};
use tokio::sync::watch;

use super::Hub;
use crate::context::Context;
use crate::db::{Tenant, Txn};
use crate::error::Result;
use crate::ledger::{self, Balance};

/// The most transfers of one event. Who is further behind gets a fresh snapshot, marked as such.
pub const MAX_TRANSFERS: i64 = 1_000;

/// How often a watcher looks by itself.
const POLL: Duration = Duration::from_secs(2);

/// What an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The first event.
    Snapshot,
    /// What followed the previous event.
    Change,
    /// A fresh snapshot after a gap.
    Resync,
}

/// A state of a pool, all of it from one instant.
#[derive(Clone, Debug)]
pub struct PoolEvent {
    /// What it is.
    pub kind: EventKind,
    /// The balance of the whole pool.
    pub balance: Balance,
    /// The departments that have credits in the pool, with what they have.
    pub departments: Vec<(account::Model, Balance)>,
    /// What happened since the previous event.
    pub transfers: Vec<transfer::Model>,
}

/// A watcher of one pool.
pub struct PoolWatch {
    context: Context,
    tenant: Tenant,
    pool: PoolId,
    wake: watch::Receiver<i64>,
    /// The version that the client has; none before the first event.
    seen: Option<i64>,
    started: bool,
}

impl PoolWatch {
    /// Begins to watch, from after a version that the client has, or from now.
    pub fn begin(context: Context, hub: &Hub, tenant: Tenant, pool: PoolId, after: Option<i64>) -> PoolWatch {
        PoolWatch { context, tenant, pool, wake: hub.watch(pool), seen: after, started: false }
    }

    /// Waits until there may be something new: a commit here, or the time to look anyway.
    pub async fn changed(&mut self) {
        // The sender lives as long as this receiver does, so the only other outcome is the time-out.
        let _ = tokio::time::timeout(POLL, self.wake.changed()).await;
    }

    /// The next event, when there is something new.
    pub async fn poll(&mut self) -> Result<Option<PoolEvent>> {
        // Marked as seen before it is read: a commit that comes in between wakes again.
        self.wake.borrow_and_update();
        let snapshot = self.context.db.read(self.tenant).await?;
        let head = ledger::head(&snapshot, self.tenant, self.pool).await?;
        if self.started && self.seen == Some(head.version) {
            return Ok(None);
        }
        let event = self.event(&snapshot, head.version).await?;
        self.started = true;
        self.seen = Some(event.balance.version);
        Ok(Some(event))
    }

    async fn event(&self, snapshot: &Txn, version: i64) -> Result<PoolEvent> {
        let (tenant, pool, now) = (self.tenant, self.pool, self.context.clock.now());
        let balance = ledger::pool_balance(snapshot, tenant, pool, now).await?;
        let departments = ledger::department_balances(snapshot, tenant, pool, now).await?;
        let behind = self.seen.map(|seen| version - seen);
        let (kind, transfers) = match behind {
            Some(behind) if !(0..=MAX_TRANSFERS).contains(&behind) => (EventKind::Resync, Vec::new()),
            behind => {
                let kind = if self.started { EventKind::Change } else { EventKind::Snapshot };
                let transfers = match (self.seen, behind) {
                    (Some(seen), Some(1..)) => {
                        let limit = u64::try_from(MAX_TRANSFERS).unwrap_or(u64::MAX);
                        ledger::transfers_after(snapshot, tenant, pool, seen, limit).await?
                    }
                    _ => Vec::new(),
                };
                (kind, transfers)
            }
        };
        Ok(PoolEvent { kind, balance, departments, transfers })
    }
}
