//! What has changed, for whoever watches: told after the commit, by the room that has committed.
//!
//! A change is a hint. It may get lost, come twice or come late; whoever acts on one reads the database.

use std::sync::Arc;

use bursar_domain::id::{OrganizationId, PoolId, PurchaseId};

/// Something that has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Change {
    /// The organization that it belongs to.
    pub organization: OrganizationId,
    /// What it is.
    pub subject: Subject,
}

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A pool, which has moved to a version.
    Pool(PoolId, i64),
    /// A purchase.
    Purchase(PurchaseId),
}

/// Called after each commit.
type Listener = dyn Fn(&[Change]) + Send + Sync;

/// Whoever wants to know of changes. Cheap to clone.
#[derive(Clone)]
pub struct Changes(Arc<Listener>);

impl Changes {
    /// A listener, which is called after each commit and must not block.
    pub fn to(listener: impl Fn(&[Change]) + Send + Sync + 'static) -> Changes {
        Changes(Arc::new(listener))
    }

    /// Tells of what has been committed.
    pub fn announce(&self, changes: &[Change]) {
        if !changes.is_empty() {
            (self.0)(changes);
        }
    }

    /// Tells of a purchase.
    pub fn announce_purchase(&self, organization: OrganizationId, purchase: PurchaseId) {
        self.announce(&[Change { organization, subject: Subject::Purchase(purchase) }]);
    }
}
