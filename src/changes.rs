//! What has changed, for whoever watches: told after the commit, by the room that has committed.
//!
//! A change is a hint. It may get lost, come twice or come late; whoever acts on one reads the database. So is the
//! word that there is something in the outbox.

use std::sync::Arc;

use bursar_domain::id::{ApprovalId, OrganizationId, PoolId, PurchaseId};
use tokio::sync::Notify;

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
    /// A request for approval.
    Approval(ApprovalId),
}

/// Called after each commit.
type Listener = dyn Fn(&[Change]) + Send + Sync;

/// Whoever wants to know of changes. Cheap to clone.
#[derive(Clone)]
pub struct Changes {
    listener: Arc<Listener>,
    mail: Arc<Notify>,
}

impl Changes {
    /// A listener, which is called after each commit and must not block.
    pub fn to(listener: impl Fn(&[Change]) + Send + Sync + 'static) -> Changes {
        Changes { listener: Arc::new(listener), mail: Arc::new(Notify::new()) }
    }

    /// Tells of what has been committed.
    pub fn announce(&self, changes: &[Change]) {
        if !changes.is_empty() {
            (self.listener)(changes);
        }
    }

    /// Tells that something has been put into the outbox.
    pub fn announce_mail(&self) {
        self.mail.notify_one();
    }

    /// Waits until something has been put into the outbox. One at a time hears of it.
    pub async fn mail_announced(&self) {
        self.mail.notified().await;
    }

    /// Tells of a purchase.
    pub fn announce_purchase(&self, organization: OrganizationId, purchase: PurchaseId) {
        self.announce(&[Change { organization, subject: Subject::Purchase(purchase) }]);
    }
}
