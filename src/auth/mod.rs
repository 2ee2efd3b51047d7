//! Who calls, and what they may do.
//!
//! A bearer token becomes a [`Caller`] (a person with memberships and grants). Looking a thing up *is*
//! authorizing it: [`Caller::organization`], [`Caller::pool`] and [`Caller::department`] answer an
//! [`Authorized`] only when the permission table allows the action, and "not found" when the caller
//! may not even know of the thing. Rooms take [`Authorized`] values, so they cannot be called without.

mod authorize;
mod caller;
mod deliveries;
mod directory;
mod keys;
mod token;
mod uses;

pub use authorize::Authorized;
pub use caller::{Caller, Callers, Identity, Member};
pub use directory::{PoolDirectory, UsePlace};
pub use keys::{Keys, load_or_create_secret};
pub use token::{Claims, TOKEN_LIFETIME_SECONDS, issue, verify};

use bursar_domain::actor::ActorKind;
use bursar_domain::id::{Id, UserId};
use uuid::Uuid;

/// When a permission was read, as the revisions of what it was read from. A change of people or grants
/// raises them; the ledger compares them in the transaction that the permission is used in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Standing {
    /// The revision of the organization; none: the permission does not come from it.
    pub organization: Option<i64>,
    /// The revision of the vendor's staff; none: the permission does not come from belonging to it.
    pub staff: Option<i64>,
}

impl Standing {
    /// Whether the permission still stands at the revisions `now`.
    pub fn holds(&self, now: Standing) -> bool {
        let same = |was: Option<i64>, is: Option<i64>| was.is_none() || was == is;
        same(self.organization, now.organization) && same(self.staff, now.staff)
    }
}

/// Who did something, and with which request: part of every ledger row and audit event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// What kind of caller.
    pub kind: ActorKind,
    /// Which one; none for Bursar itself.
    pub id: Option<Uuid>,
    /// The id of the request.
    pub origin: Option<String>,
}

impl Actor {
    /// A person.
    pub fn user(user: UserId, origin: Option<String>) -> Actor {
        Actor { kind: ActorKind::User, id: Some(Uuid::from_u128(user.as_u128())), origin }
    }

    /// Bursar itself.
    pub fn system(origin: Option<String>) -> Actor {
        Actor { kind: ActorKind::System, id: None, origin }
    }

    /// The person, when it is one.
    pub fn user_id(&self) -> Option<UserId> {
        self.id.filter(|_| self.kind == ActorKind::User).map(|id| UserId::from_u128(id.as_u128()))
    }
}
