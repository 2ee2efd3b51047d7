//! Tokens of organizations' providers that this node has checked lately, and whom they mean.
//!
//! A token is known by its SHA-256. What is known of it is what does not change with it: the person, the
//! organization, its end. It is checked again, with the provider's keys as they are then, every five minutes; and
//! whether the provider's settings are as they were is compared each time the person is read (see
//! [`super::Through`]).

use bursar_domain::Timestamp;
use bursar_domain::id::UserId;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

use super::issuers::Vouched;
use crate::db::Tenant;

/// How many tokens are known.
const CAPACITY: usize = 50_000;
/// How long a token is not checked again, in seconds.
const CHECKED_SECONDS: i64 = 300;

/// The SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenHash([u8; 32]);

impl TokenHash {
    pub(super) fn of(token: &str) -> TokenHash {
        TokenHash(Sha256::digest(token.as_bytes()).into())
    }
}

/// Whom a token means.
#[derive(Clone, Copy)]
pub(super) struct Visit {
    pub(super) tenant: Tenant,
    pub(super) user: UserId,
    /// The revision of the provider's settings that it was checked at.
    pub(super) revision: i64,
    pub(super) expires_at: Timestamp,
    checked_at: Timestamp,
}

/// The tokens that are known.
pub(super) struct Visitors(Cache<TokenHash, Visit>);

impl Default for Visitors {
    fn default() -> Visitors {
        Visitors(Cache::new(CAPACITY))
    }
}

impl Visitors {
    /// Whom a token means that was checked lately and is still good.
    pub(super) fn known(&self, token: TokenHash, now: Timestamp) -> Option<Visit> {
        let visit = self.0.get(&token)?;
        let lately = visit.checked_at <= now && now < visit.checked_at.plus_seconds(CHECKED_SECONDS);
        (lately && now < visit.expires_at).then_some(visit)
    }

    /// Remembers whom a token means.
    pub(super) fn keep(&self, token: TokenHash, vouched: &Vouched, user: UserId, now: Timestamp) {
        let Vouched { tenant, revision, expires_at, .. } = *vouched;
        self.0.insert(token, Visit { tenant, user, revision, expires_at, checked_at: now });
    }

    /// Has a token checked again.
    pub(super) fn forget(&self, token: TokenHash) {
        self.0.remove(&token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar_domain::id::{Id, OrganizationId};

    #[test]
    fn what_is_known_of_a_token_lasts_minutes() {
        let at = |seconds| Timestamp::EPOCH.plus_seconds(seconds);
        let vouched = |expires_at| Vouched {
            tenant: Tenant::vouched(OrganizationId::from_u128(1)),
            issuer: "https://login.example".to_owned(),
            revision: 3,
            subject: "s".to_owned(),
            email: None,
            name: None,
            groups: None,
            issued_at: at(0),
            expires_at,
        };
        let (visitors, token, user) = (Visitors::default(), TokenHash::of("a"), UserId::from_u128(2));
        visitors.keep(token, &vouched(at(10_000)), user, at(1_000));
        assert!(visitors.known(token, at(1_299)).is_some_and(|visit| visit.user == user));
        assert!(visitors.known(token, at(1_300)).is_none());
        assert!(visitors.known(token, at(999)).is_none());
        assert!(visitors.known(TokenHash::of("b"), at(1_000)).is_none());
        visitors.keep(token, &vouched(at(1_010)), user, at(1_000));
        assert!(visitors.known(token, at(1_009)).is_some() && visitors.known(token, at(1_010)).is_none());
        visitors.keep(token, &vouched(at(10_000)), user, at(1_000));
        visitors.forget(token);
        assert!(visitors.known(token, at(1_000)).is_none());
    }
}
