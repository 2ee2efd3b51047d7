//! API keys: from the text that is borne to what it may do, and how new ones are made.
//!
//! The text itself is never kept: its SHA-256 is, which says nothing of 256 random bits. A text that is no key by
//! its shape or checksum is refused without asking the database.

use std::collections::BTreeSet;

use bursar_domain::Timestamp;
use bursar_domain::api_key::{self as format, KeyMode};
use bursar_domain::id::{ApiKeyId, DepartmentId, Id, OrganizationId, PoolId, UserId};
use bursar_domain::permission::{Action, Grant, covers};
use bursar_domain::scope::{Place, Reach, Scopes};
use bursar_entity::api_key;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::db::scope::find_api_key;
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};

/// What whoever bears no good key is told, whatever is wrong with it.
fn invalid() -> Error {
    Error::Unauthenticated("The key is not valid.")
}

/// The SHA-256 of a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct KeyHash(pub(super) [u8; 32]);

impl std::fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyHash")
    }
}

impl KeyHash {
    fn of(key: &str) -> KeyHash {
        KeyHash(Sha256::digest(key.as_bytes()).into())
    }

    /// The digest of what is borne, when it is a key by its shape; `None`: it is something else.
    pub(super) fn of_bearer(bearer: &str) -> Result<Option<KeyHash>> {
        if !bearer.starts_with(format::PREFIX) {
            return Ok(None);
        }
        match format::recognise(bearer) {
            Some(_) => Ok(Some(KeyHash::of(bearer))),
            None => Err(invalid()),
        }
    }
}

/// A key, with what decides about its permissions.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyIdentity {
    /// The key.
    pub id: ApiKeyId,
    /// Whose row it is: the organization's that it belongs to, or the vendor's.
    pub home: Tenant,
    /// The organization that it acts in: for a test key the sandbox. None: a key of the vendor's, which acts in
    /// whatever organization the things that it names belong to.
    pub acts_in: Option<OrganizationId>,
    /// Who has made it.
    pub created_by: UserId,
    /// What it may do.
    pub scopes: Scopes,
    /// Where.
    pub reach: Reach,
    /// From when on it is no longer good; none: it does not expire.
    pub expires_at: Option<Timestamp>,
    /// The revision of the organization that it acts in.
    pub(super) revision: i64,
    pub(super) hash: KeyHash,
}

/// A key that was good once: what is recorded of it when it is borne. Whoever bears it is told no more than
/// [`RefusedKey::error`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedKey {
    /// The key.
    pub id: ApiKeyId,
    /// Whose row it is.
    pub home: Tenant,
    /// Whether it has been revoked; otherwise it has expired.
    pub revoked: bool,
}

impl RefusedKey {
    /// What whoever bears it is told. One that has been revoked is told the same as one that never was.
    pub(super) fn error(&self) -> Error {
        if self.revoked { invalid() } else { expired() }
    }
}

fn expired() -> Error {
    Error::Unauthenticated("The key has expired.")
}

impl KeyIdentity {
    /// The key with a digest, when it is good at an instant; otherwise what is to be recorded.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when there never was such a key; what the database answers.
    pub(super) async fn find(
        snapshot: &Txn,
        hash: KeyHash,
        now: Timestamp,
    ) -> Result<Result<KeyIdentity, RefusedKey>> {
        let row = find_api_key(&hash.0).one(snapshot).await?.ok_or_else(invalid)?;
        let revoked = row.revoked_at.is_some();
        let key = KeyIdentity::of(row, hash)?;
        let good = !revoked && key.require_good(now).is_ok();
        Ok(if good { Ok(key) } else { Err(RefusedKey { revoked, ..key.refused() }) })
    }

    /// What is recorded when it is borne after it has expired.
    pub(super) fn refused(&self) -> RefusedKey {
        RefusedKey { id: self.id, home: self.home, revoked: false }
    }

    /// What a row says of a key.
    pub(super) fn of(row: api_key::Model, hash: KeyHash) -> Result<KeyIdentity> {
        // The row itself says whose it is.
        let home = Tenant::vouched(row.organization_id);
        let acts_in = match row.mode {
            _ if home.is_vendor() => None,
            KeyMode::Live => Some(home.id()),
            KeyMode::Test => Some(sandbox_id(home.id())),
        };
        let pools = decode_ids::<PoolId>(row.pools.as_deref())?.map(BTreeSet::from_iter);
        let departments = decode_ids::<DepartmentId>(row.departments.as_deref())?.map(BTreeSet::from_iter);
        let reach = Reach { pools, departments };
        Ok(KeyIdentity {
            id: row.id,
            home,
            acts_in,
            created_by: row.created_by,
            scopes: row.scopes,
            reach,
            expires_at: row.expires_at,
            revision: 0,
            hash,
        })
    }

    /// Refuses the key from the instant on that it expires at.
    pub(super) fn require_good(&self, now: Timestamp) -> Result<()> {
        match self.expires_at {
            Some(at) if at <= now => Err(expired()),
            _ => Ok(()),
        }
    }

    /// From when on it is no longer good: long after everything, when it does not expire.
    pub(super) fn good_until(&self) -> Timestamp {
        self.expires_at.unwrap_or(Timestamp::from_micros(i64::MAX))
    }

    /// Whether a scope of it gives an action. A key of the vendor's does no more than the vendor's staff.
    pub(super) fn gives(&self, action: Action) -> bool {
        self.scopes.permit(action) && (self.acts_in.is_some() || covers(Grant::Operator, action))
    }

    /// Whether it may do something somewhere in an organization.
    pub(super) fn may(&self, organization: OrganizationId, place: Place, action: Action) -> bool {
        let acts = self.acts_in.is_none_or(|own| own == organization);
        acts && self.gives(action) && self.reach.allows(place, action)
    }
}

/// A key that is being made: the text is shown once, the rest is kept.
pub struct NewKey {
    /// The whole key.
    pub secret: SecretString,
    /// Its SHA-256.
    pub hash: Vec<u8>,
    /// Its last characters.
    pub hint: String,
}

impl NewKey {
    /// A key of fresh random bytes.
    pub fn generate(mode: KeyMode) -> Result<NewKey> {
        let mut random = [0u8; format::RANDOM_BYTES];
        getrandom::fill(&mut random).map_err(|error| Error::internal(format!("no randomness: {error}")))?;
        let secret = SecretString::from(format::format(mode, random));
        let hash = KeyHash::of(secret.expose_secret()).0.to_vec();
        let hint = format::hint(secret.expose_secret()).to_owned();
        Ok(NewKey { secret, hash, hint })
    }
}

/// The sandbox of an organization: always the same one, whether it has been made yet or not.
pub fn sandbox_id(organization: OrganizationId) -> OrganizationId {
    let digest = Sha256::new()
        .chain_update(b"bursar sandbox v1")
        .chain_update(organization.as_u128().to_be_bytes())
        .finalize();
    let digest: [u8; 32] = digest.into();
    let mut bytes = [0u8; 16];
    bytes.iter_mut().zip(digest).for_each(|(byte, part)| *byte = part);
    // Version 8: its bits are of our own making, and no id of a clock's is ever the same.
    OrganizationId::from_u128(uuid::Builder::from_custom_bytes(bytes).into_uuid().as_u128())
}

/// The ids of a list in a row; none: there is no list.
pub fn decode_ids<I: Id>(json: Option<&str>) -> Result<Option<Vec<I>>> {
    let Some(json) = json else { return Ok(None) };
    let ids: Vec<Uuid> = serde_json::from_str(json)
        .map_err(|error| Error::internal(format!("what a key is restricted to cannot be read: {error}")))?;
    Ok(Some(ids.into_iter().map(|id| I::from_u128(id.as_u128())).collect()))
}

/// A list of ids for a row.
pub fn encode_ids<I: Id>(ids: &[I]) -> String {
    let ids: Vec<String> = ids.iter().map(|id| Uuid::from_u128(id.as_u128()).to_string()).collect();
    serde_json::json!(ids).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_random_and_known_by_their_digest() {
        let (one, other) =
            (NewKey::generate(KeyMode::Live).unwrap(), NewKey::generate(KeyMode::Live).unwrap());
        assert_ne!(one.hash, other.hash);
        let text = one.secret.expose_secret();
        assert!(text.starts_with("bursar_live_") && text.ends_with(&one.hint));
        assert_eq!(KeyHash::of_bearer(text).unwrap().unwrap().0.to_vec(), one.hash);
        assert!(KeyHash::of_bearer("eyJhbGciOiJIUzI1NiJ9.e30.x").unwrap().is_none());
        assert!(KeyHash::of_bearer(&text[..text.len() - 1]).is_err());
    }

    #[test]
    fn an_organization_has_one_sandbox() {
        let organization = |n| OrganizationId::from_u128(n);
        assert_eq!(sandbox_id(organization(1)), sandbox_id(organization(1)));
        assert_ne!(sandbox_id(organization(1)), sandbox_id(organization(2)));
        assert_eq!(Uuid::from_u128(sandbox_id(organization(1)).as_u128()).get_version_num(), 8);
    }

    #[test]
    fn lists_of_ids_come_back() {
        let list = [PoolId::from_u128(1), PoolId::from_u128(2)];
        assert_eq!(decode_ids::<PoolId>(Some(&encode_ids(&list))).unwrap(), Some(list.to_vec()));
        assert_eq!(decode_ids::<PoolId>(None).unwrap(), None);
        assert!(decode_ids::<PoolId>(Some("[1]")).is_err());
    }
}
