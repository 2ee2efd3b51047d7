//! Live balances: what is watched on this node, and how its watchers learn of changes.
//!
//! # Flow
//! Each thing that is watched here has one [`Feed`]: a task that reads it when a hint says that it has
//! changed, and keeps the newest [`State`] for everybody who watches. Hints come from the commits of this
//! process, from other nodes over the [`bus`], and from a poll of all watched things every two seconds, which
//! finds what hints have missed. A hint says where to look and nothing else; the state is what the database
//! says.
//!
//! A state is of one snapshot: balances, version and the revisions that permissions depend on belong together.
//! Whoever shows it to somebody compares these revisions with those at which that person's permissions were
//! read, so nothing is shown to somebody who has lost the right to see it.

pub mod bus;
mod feed;
mod history;
mod hub;
mod poll;
mod state;

pub use bus::Bus;
pub use feed::{Feed, Watch};
pub use history::{MAX_TRANSFERS, Transfers};
pub use hub::Hub;
pub use state::{ApprovalState, ApprovalsState, Body, OrganizationState, PoolState, State};

use bursar_domain::id::{PoolId, PurchaseId};

use crate::db::Tenant;

/// Something that can be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Topic {
    /// The organization that it belongs to.
    pub tenant: Tenant,
    /// What it is.
    pub of: Of,
}

/// What can be watched of an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Of {
    /// A pool with its departments.
    Pool(PoolId),
    /// All of its pools.
    Pools,
    /// A purchase.
    Purchase(PurchaseId),
    /// Its requests for approval.
    Approvals,
}

/// What an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The first event.
    Snapshot,
    /// What followed the previous event.
    Change,
    /// A fresh snapshot after a gap.
    Resync,
}
