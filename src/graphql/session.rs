//! Sessions of people who have signed in, as their owner sees them.

use async_graphql::{ID, Object};
use bursar_entity::session;

use super::scalars::DateTime;
use crate::auth::Caller;
use crate::global_id;

/// The most sessions of one list.
pub const LONGEST: u64 = 100;

/// A session of the caller's own.
pub struct OpenedSession {
    row: session::Model,
    /// Whether the caller calls by it.
    current: bool,
}

impl OpenedSession {
    /// A session of the person who calls.
    pub fn new(row: session::Model, caller: &Caller) -> OpenedSession {
        let current = caller.session == Some(row.id);
        OpenedSession { row, current }
    }

    /// A session of somebody who has just proven to have it.
    pub fn current(row: session::Model) -> OpenedSession {
        OpenedSession { row, current: true }
    }
}

/// What a person who has signed in has until they sign out. Only the person sees it.
#[Object(name = "Session")]
impl OpenedSession {
    /// The id, by which it can be ended.
    async fn id(&self) -> ID {
        ID(global_id::encode(self.row.id))
    }

    /// Whether the token that calls belongs to it.
    #[graphql(name = "current")]
    async fn is_current(&self) -> bool {
        self.current
    }

    /// When it was opened.
    async fn created_at(&self) -> DateTime {
        DateTime(self.row.created_at)
    }

    /// When it was opened or refreshed last.
    async fn last_used_at(&self) -> DateTime {
        DateTime(self.row.last_used_at)
    }

    /// From when on it cannot be refreshed any more.
    async fn expires_at(&self) -> DateTime {
        DateTime(self.row.expires_at)
    }

    /// When it was ended. Null: it has not been.
    async fn revoked_at(&self) -> Option<DateTime> {
        self.row.revoked_at.map(DateTime)
    }
}
