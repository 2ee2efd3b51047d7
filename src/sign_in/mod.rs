//! Signing in by a link that is sent by mail, and what a person does with sessions afterwards.
//!
//! # Flow
//! Somebody asks for a link to an address ([`LinkRequests`]): the question is counted and answered, and only some time
//! afterwards it is looked whether there is such a person; so neither the answer nor its time says anything about that. A person gets a mail
//! whose link is good once and for a quarter of an hour. Opening it shows a page and changes nothing; its form, or
//! the API, redeems it ([`redeem`]) with the code that the mail shows and the link does not carry: that opens a
//! session, and makes the person's other links worth nothing. A wrong code does not use the link up; five do. The
//! session gives tokens ([`refresh`]) until somebody ends it ([`sign_out`], [`revoke`]), its time is over, or a token
//! of it was stolen.
//!
//! Or an organization's own identity provider vouches for somebody ([`enter_by_provider`]): the session is good in that
//! organization only, and nothing of it is recorded elsewhere.
//!
//! # What is recorded
//! All of this is in the audit logs of the organizations that the person belongs to, in the same transaction; of the
//! vendor's staff, and of people who belong to none, in the vendor's. Who was not let in is recorded aside (`refusals`),
//! once in a while.
//!
//! # Order of locks
//! The person, shared; a link of the person, then sessions of the person (by id), then the ends of the audit logs (by
//! organization). With the person locked nobody forgets them meanwhile, and of who was forgotten nothing is written.
//! Nobody locks any of them and then something of an organization's.

mod link;
mod log;
mod redeem;
mod refusals;
mod request;
mod sessions;
mod single_sign_on;

pub use link::SignInLink;
pub use redeem::{FoundLink, LinkState, enter, find, redeem, typed_code};
pub use refusals::note_refusal;
pub use request::{LINK_SECONDS, LinkRequests};
pub use sessions::{refresh, revoke, sign_out};
pub use single_sign_on::{enter_by_provider, refuse_by_provider};

use std::net::IpAddr;

use bursar_domain::id::UserId;
use bursar_entity::user;
use sea_orm::{ColumnTrait, QueryFilter, QuerySelect};

use crate::auth::{self, Attempt, Attempts};
use crate::db::Txn;
use crate::db::scope::find_people;
use crate::error::Result;

/// What the log calls it that a client has tried too often to prove who somebody is.
const THROTTLE_SIGN_IN: &str = "throttleSignIn";

/// Whoever sends a request, before it is known who that is.
#[derive(Clone, Debug)]
pub struct Client {
    /// Where it comes from.
    pub address: IpAddr,
    /// The id of the request.
    pub origin: Option<String>,
}

impl Client {
    /// As it is counted.
    fn subject(&self) -> String {
        auth::client(self.address)
    }

    /// Counts a proof of who somebody is that is not good.
    ///
    /// # Errors
    /// [`crate::error::Error::Throttled`] when there have been too many.
    pub async fn count_failure(&self, attempts: &Attempts) -> Result<()> {
        let counted = attempts.count(Attempt::SignInFailuresOfClient, &self.subject()).await;
        refusals::note_throttled(attempts, self, THROTTLE_SIGN_IN, &counted);
        counted
    }

    /// Counts a link that Bursar has not made.
    ///
    /// # Errors
    /// [`crate::error::Error::Throttled`] when there have been too many.
    pub async fn count_link(&self, attempts: &Attempts) -> Result<()> {
        let counted = attempts.count(Attempt::LinksOfClient, &self.subject()).await;
        refusals::note_throttled(attempts, self, "throttleLinks", &counted);
        counted
    }
}

/// The person who signs in, locked against being forgotten meanwhile. None: there is nobody any more. The scope is
/// `SignIn` of the person; nothing else is locked yet.
async fn known(txn: &Txn, user: UserId) -> Result<Option<user::Model>> {
    let row = find_people().filter(user::Column::Id.eq(user)).lock_shared().one(txn).await?;
    Ok(row.filter(|row| row.erased_at.is_none()))
}
