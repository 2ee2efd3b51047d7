//! Who calls, and what they may do.
//!
//! A bearer token or an API key becomes a [`Caller`]: a person with memberships and grants, or a key with scopes
//! and what they reach. Looking a thing up *is* authorizing it: [`Caller::organization`], [`Caller::pool`] and
//! [`Caller::department`] answer an [`Authorized`] only when the permission table allows the action, and "not
//! found" when the caller may not even know of the thing. Rooms take [`Authorized`] values, so they cannot be
//! called without.
//!
//! A token may also be one of an organization's own provider (see [`issuers`]): then it counts in that organization
//! only ([`Through`]). A token of Bursar's may belong to a session (see [`sessions`]): then it is good as long as the
//! session is.

mod approvals;
mod attempts;
mod authorize;
mod caller;
mod deliveries;
mod directory;
mod held_sessions;
mod identity;
pub mod issuers;
mod key;
mod keys;
mod last_use;
mod nonces;
mod refresh_token;
mod rights;
mod sealing;
mod seen;
pub mod sessions;
mod token;
mod uses;
mod visitors;

pub use attempts::{Attempt, Attempts, client};
pub use authorize::{Authorized, OfPool};
pub use caller::{Caller, Callers, Proven, Refused};
pub use directory::{PoolDirectory, UsePlace};
pub use held_sessions::{Held, HeldSessions};
pub use identity::{Identity, Member, Principal, PrincipalId, Through};
pub use issuers::{Issuers, Vouched};
pub use key::{KeyIdentity, NewKey, RefusedKey, decode_ids, encode_ids, sandbox_id};
pub use keys::{Keys, load_or_create_secret};
pub use refresh_token::RefreshToken;
pub use rights::SeenPeople;
pub use seen::SeenUses;
pub use sessions::{SignedIn, person_of_session};
pub use token::{Claims, TOKEN_LIFETIME_SECONDS, issue, verify};

use std::net::IpAddr;

use bursar_domain::actor::ActorKind;
use bursar_domain::id::{ApiKeyId, Id, UserId};
use uuid::Uuid;

/// When a permission was read, as the revisions of what it was read from. A change of people, grants or keys
/// raises them; the ledger compares them in the transaction that the permission is used in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Standing {
    /// The revision of the organization; none: the permission does not come from it.
    pub organization: Option<i64>,
    /// The revision of the vendor's staff and keys; none: the permission does not come from belonging to it.
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
    /// Whoever has made the key that acts.
    made_by: Option<UserId>,
    /// Where the request came from, as far as that is known. About a person: kept where it can be erased.
    pub address: Option<IpAddr>,
}

impl Actor {
    /// A person.
    pub fn user(user: UserId, origin: Option<String>) -> Actor {
        let id = Some(Uuid::from_u128(user.as_u128()));
        Actor { kind: ActorKind::User, id, origin, address: None, made_by: None }
    }

    /// A key, which a person has made.
    pub fn key(key: ApiKeyId, made_by: UserId, origin: Option<String>) -> Actor {
        let id = Some(Uuid::from_u128(key.as_u128()));
        Actor { kind: ActorKind::ApiKey, id, origin, address: None, made_by: Some(made_by) }
    }

    /// Bursar itself.
    pub fn system(origin: Option<String>) -> Actor {
        Actor { kind: ActorKind::System, id: None, origin, address: None, made_by: None }
    }

    /// The same actor, coming from an address.
    pub fn at_address(self, address: Option<IpAddr>) -> Actor {
        Actor { address, ..self }
    }

    /// The person, when it is one.
    pub fn user_id(&self) -> Option<UserId> {
        self.id.filter(|_| self.kind == ActorKind::User).map(|id| UserId::from_u128(id.as_u128()))
    }

    /// The person who answers for it: whoever acts, or has made the key that does.
    pub fn answerable(&self) -> Option<UserId> {
        self.user_id().or(self.made_by)
    }
}
