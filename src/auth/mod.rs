//! Who calls, and what they may do.
//!
//! A bearer token becomes a [`Caller`] (a person with memberships and grants). Looking a thing up *is*
//! authorizing it: [`Caller::organization`], [`Caller::pool`] and [`Caller::department`] answer an
//! [`Authorized`] only when the permission table allows the action, and "not found" when the caller
//! may not even know of the thing. Rooms take [`Authorized`] values, so they cannot be called without.

mod authorize;
mod caller;
mod keys;
mod token;

pub use authorize::{Authorized, PoolDirectory};
pub use caller::{Caller, Member};
pub use keys::{Keys, load_or_create_secret};
pub use token::{Claims, TOKEN_LIFETIME_SECONDS, issue, verify};

use bursar_domain::actor::ActorKind;
use bursar_domain::id::{Id, UserId};
use uuid::Uuid;

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
