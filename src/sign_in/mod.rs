//! Signing in by a link that is sent by mail, and what a person does with sessions afterwards.
//!
//! # Flow
//! Somebody asks for a link to an address ([`request`]): the question is counted and answered, and only afterwards it
//! is looked whether there is such a person; so the answer and its time say nothing about that. A person gets a mail
//! whose link is good once and for a quarter of an hour. Opening it shows a page and changes nothing; its form, or
//! the API, redeems it ([`redeem`]): that opens a session, and makes the person's other links worth nothing. The
//! session gives tokens ([`refresh`]) until somebody ends it ([`sign_out`], [`revoke`]), its time is over, or a token
//! of it was stolen.
//!
//! Or an organization's own identity provider vouches for somebody ([`enter_by_provider`]): the session is good in that
//! organization only, and nothing of it is recorded elsewhere.
//!
//! # What is recorded
//! All of this is in the audit logs of the organizations that the person belongs to, in the same transaction; of the
//! vendor's staff, and of people who belong to none, in the vendor's.
//!
//! # Order of locks
//! A link of the person, then sessions of the person (by id), then the ends of the audit logs (by organization).
//! Nobody locks any of them and then something of an organization's.

mod link;
mod log;
mod redeem;
mod request;
mod sessions;
mod single_sign_on;

pub use link::SignInLink;
pub use redeem::{FoundLink, LinkState, enter, find, redeem};
pub use request::{LINK_SECONDS, request};
pub use sessions::{refresh, revoke, sign_out};
pub use single_sign_on::enter_by_provider;

use std::net::IpAddr;

use crate::auth::{self, Attempt, Attempts};
use crate::error::Result;

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
        attempts.count(Attempt::SignInFailuresOfClient, &self.subject()).await
    }
}
