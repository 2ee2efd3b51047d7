//! The way to the database: the only room that begins a transaction.
//!
//! - [`Database::write`] runs work that changes rows: in a task of its own, which no client's
//!   disconnect can cancel; in one transaction; again when the database asks for it. There are no
//!   writes outside of it, and none that commit on their own.
//! - [`Database::read`] opens a snapshot: all that is read from it belongs to one instant.
//! - Both take a [`Scope`]: whose rows the transaction sees. On PostgreSQL it becomes settings of the
//!   transaction that row-level security reads; without a setting there are no rows.
//!
//! # Order of locks
//! Rows are locked in one order, so that two writers never wait for each other in a circle:
//! organization, purchase, approval request, payment, credit request, pool head (by id), department (by id), membership, everything
//! else, and last the ends of audit logs (by organization). What a pool head guards (accounts, positions,
//! transfers, charges of the pool, and whether the pool may be written at all) needs no locks of its own.
//!
//! # SQLite
//! One writer connection, whose transactions begin IMMEDIATE, and a pool of readers beside it (WAL).
//! Nobody waits for one connection while holding another.

mod bulk;
mod connect;
mod due;
mod fault;
mod lookup;
pub mod migrate;
mod notify;
pub mod page;
mod read;
mod sandbox;
pub mod scope;
mod transaction;
mod unfiltered;
mod write;

use std::sync::Arc;

use sea_orm::{DatabaseBackend, DatabaseConnection};
use tokio_util::task::TaskTracker;

pub use bulk::{Rows, padded};
pub use connect::{Options, Protections};
pub use due::{be_due, is_done, is_due, wake};
pub use fault::{Fault, fault};
pub use lookup::Index;
pub use notify::{Listener, Notifier};
pub use read::{Snapshot, Snapshots};
pub use sandbox::priced_as;
pub use scope::{Scope, Tenant, TenantEntity};
pub use transaction::Txn;
pub use unfiltered::Filter;
#[cfg(debug_assertions)]
pub use unfiltered::LeftOut;
pub use write::{Attempt, WorkFuture, pause, work, work_once};

/// An open database. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    writer: DatabaseConnection,
    reader: DatabaseConnection,
    writes: TaskTracker,
    protections: Protections,
    filter: Filter,
    /// Where it is, for connections outside of the pools.
    url: Arc<str>,
}

impl Database {
    /// Which of the two databases it is.
    pub fn backend(&self) -> DatabaseBackend {
        self.writer.get_database_backend()
    }

    /// Whether it answers.
    pub async fn ping(&self) -> crate::error::Result<()> {
        self.writer.ping().await?;
        self.reader.ping().await?;
        Ok(())
    }

    /// How many writes are under way, without the tries of those who have tasks of their own.
    pub fn writing(&self) -> usize {
        self.writes.len()
    }

    /// Waits until all writes that have begun have ended, then closes all connections. Whoever tries
    /// transactions in tasks of their own has to be done before.
    pub async fn close(&self) -> crate::error::Result<()> {
        self.writes.close();
        self.writes.wait().await;
        self.reader.clone().close().await?;
        self.writer.clone().close().await?;
        Ok(())
    }
}
