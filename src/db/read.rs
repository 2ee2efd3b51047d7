//! Reading: snapshots, and how the fields of one request share them.

use std::ops::Deref;
use std::sync::Arc;

use sea_orm::{DatabaseConnection, DbErr};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::transaction::{Access, Txn};
use super::{Database, Fault, Filter, Scope, fault};
use crate::error::{Error, Result};

/// How many broken connections a reader puts up with.
const BROKEN: u32 = 100;

impl Database {
    /// Opens a snapshot: everything read from it belongs to one instant.
    pub async fn read(&self, scope: impl Into<Scope>) -> Result<Txn> {
        let begun = begin(self.reader.clone(), self.filter.clone(), scope.into());
        if !self.protections.own_task {
            return Ok(begun.await?);
        }
        // In a task of its own: a BEGIN must not be cut off when the client goes.
        let begun: Result<Txn, DbErr> = tokio::spawn(begun)
            .await
            .map_err(|error| Error::internal(format!("a snapshot did not open: {error}")))?;
        Ok(begun?)
    }
}

/// Begins, on another connection when one turns out to be broken: when the database has been started
/// again, all that the pool holds are.
async fn begin(reader: DatabaseConnection, filter: Filter, scope: Scope) -> Result<Txn, DbErr> {
    let mut attempt = 1;
    loop {
        match Txn::begin(&reader, Access::Snapshot, &scope, &filter).await {
            Err(error) if attempt <= BROKEN && fault(&error) == Fault::Lost => {
                // Each of these was one of those that the pool still held.
                tokio::task::yield_now().await;
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

/// The snapshot of one request, opened when a field first asks and shared behind a queue by all fields
/// that ask for the same scope, so that a balance and its version come from one instant.
///
/// There is at most one at a time: a field that asks for another scope closes it and opens that, so a
/// request never waits for a connection while it holds one.
#[derive(Clone)]
pub struct Snapshots {
    db: Database,
    slot: Arc<Mutex<Option<(Scope, Txn)>>>,
}

/// The turn of one field with the request's snapshot.
pub struct Snapshot(OwnedMutexGuard<Option<(Scope, Txn)>>);

impl Snapshots {
    /// No snapshot yet.
    pub fn new(db: Database) -> Snapshots {
        Snapshots { db, slot: Arc::new(Mutex::new(None)) }
    }

    /// Waits for the snapshot of a scope.
    pub async fn open(&self, scope: impl Into<Scope>) -> Result<Snapshot> {
        let scope = scope.into();
        let mut slot = self.slot.clone().lock_owned().await;
        if slot.as_ref().is_none_or(|(held, _)| *held != scope) {
            *slot = None;
            let transaction = self.db.read(scope.clone()).await?;
            *slot = Some((scope, transaction));
        }
        Ok(Snapshot(slot))
    }

    /// Closes the snapshot: what is read next is read as of then. Before and after each write, and
    /// between the events of a subscription.
    pub async fn close(&self) {
        *self.slot.lock().await = None;
    }
}

impl Deref for Snapshot {
    type Target = Txn;

    fn deref(&self) -> &Txn {
        match self.0.as_ref() {
            Some((_, transaction)) => transaction,
            // `open` has filled the slot, and nobody empties it while this guard holds it.
            None => unreachable!("a snapshot's slot is filled while it is held"),
        }
    }
}
