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
mod standing;
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
use std::sync::Arc;

use bursar_domain::actor::ActorKind;
use bursar_domain::id::{ApiKeyId, Id, UserId};
use uuid::Uuid;

/// When a permission was read, as the revisions of what it was read from. A change of people, grants or keys
/// raises them; they are compared in the transaction that the permission is used in, by the ledger and by
/// [`Actor::require_standing`].
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
    /// Whoever has made the key that acts, or has decided what Bursar does by itself.
    made_by: Option<UserId>,
    /// Where the request came from, as far as that is known. About a person: kept where it can be erased.
    pub address: Option<IpAddr>,
    read_from: ReadFrom,
}

/// What somebody's permissions were looked up from; none: they were not. It is no part of who somebody is.
#[derive(Clone)]
struct ReadFrom(Option<Arc<Identity>>);

impl PartialEq for ReadFrom {
    fn eq(&self, _: &ReadFrom) -> bool {
        true
    }
}

impl Eq for ReadFrom {}

impl std::fmt::Debug for ReadFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReadFrom")
    }
}

impl Actor {
    /// A person.
    pub fn user(user: UserId, origin: Option<String>) -> Actor {
        let id = Some(Uuid::from_u128(user.as_u128()));
        Actor { kind: ActorKind::User, id, origin, made_by: None, address: None, read_from: ReadFrom(None) }
    }

    /// A key, which a person has made.
    pub fn key(key: ApiKeyId, made_by: UserId, origin: Option<String>) -> Actor {
        let id = Some(Uuid::from_u128(key.as_u128()));
        let (made_by, read_from) = (Some(made_by), ReadFrom(None));
        Actor { kind: ActorKind::ApiKey, id, origin, made_by, address: None, read_from }
    }

    /// Bursar itself.
    pub fn system(origin: Option<String>) -> Actor {
        let (id, made_by, read_from) = (None, None, ReadFrom(None));
        Actor { kind: ActorKind::System, id, origin, made_by, address: None, read_from }
    }

    /// Bursar itself, which does what follows from what a person has decided.
    pub fn system_for(user: UserId) -> Actor {
        Actor { made_by: Some(user), ..Actor::system(None) }
    }

    /// On whose behalf Bursar itself acts.
    pub fn behind(&self) -> Option<UserId> {
        self.made_by.filter(|_| self.kind == ActorKind::System)
    }

    /// The same actor, coming from an address.
    pub fn at_address(self, address: Option<IpAddr>) -> Actor {
        Actor { address, ..self }
    }

    /// The same actor, with what their permissions were looked up from: compared in the transaction that they are used
    /// in (see [`Actor::require_standing`]).
    fn read_from(self, identity: Arc<Identity>) -> Actor {
        Actor { read_from: ReadFrom(Some(identity)), ..self }
    }

    /// The person, when it is one.
    pub fn user_id(&self) -> Option<UserId> {
        self.id.filter(|_| self.kind == ActorKind::User).map(|id| UserId::from_u128(id.as_u128()))
    }

    /// The person who answers for it: whoever acts, has made the key that does, or has decided what Bursar does by itself.
    pub fn answerable(&self) -> Option<UserId> {
        self.user_id().or(self.made_by)
    }
}
