//! Sessions that have streams on this node: a stream ends with its session.
//!
//! Whoever ends a session here says so, and its streams end at once. What others have ended is found by a look at all
//! sessions with streams every two seconds: one statement for many of them, and none when there are no streams.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bursar_domain::id::SessionId;
use sea_orm::QueryFilter;
use tokio_util::sync::CancellationToken;

use super::sessions::live_at;
use crate::context::Context;
use crate::db::scope::find_sessions;
use crate::db::{Scope, padded};
use crate::error::Result;

/// How often.
const INTERVAL: Duration = Duration::from_secs(2);
/// How many sessions one statement asks for.
const AT_ONCE: usize = 500;

/// The sessions with streams on this node. Cheap to clone.
#[derive(Clone, Default)]
pub struct HeldSessions(Arc<Inner>);

#[derive(Default)]
struct Inner {
    held: Mutex<HashMap<SessionId, Holding>>,
    stop: CancellationToken,
}

/// A session with streams.
struct Holding {
    streams: usize,
    end: CancellationToken,
}

/// What a stream has of its session. Whoever drops it is no longer told.
pub struct Held {
    sessions: HeldSessions,
    id: SessionId,
    end: CancellationToken,
}

impl Held {
    /// Waits until the session has ended.
    pub async fn ended(&self) {
        self.end.cancelled().await;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.sessions.lock();
        if let Some(holding) = held.get_mut(&self.id) {
            holding.streams = holding.streams.saturating_sub(1);
            if holding.streams == 0 {
                held.remove(&self.id);
            }
        }
    }
}

impl HeldSessions {
    /// One more stream of a session.
    pub fn hold(&self, id: SessionId) -> Held {
        let mut held = self.lock();
        let holding = held.entry(id).or_insert_with(|| Holding { streams: 0, end: CancellationToken::new() });
        holding.streams += 1;
        Held { sessions: self.clone(), id, end: holding.end.clone() }
    }

    /// Some sessions have ended.
    pub fn end(&self, ids: impl IntoIterator<Item = SessionId>) {
        let held = self.lock();
        for id in ids {
            if let Some(holding) = held.get(&id) {
                holding.end.cancel();
            }
        }
    }

    /// Begins to look which sessions have ended.
    pub fn start(&self, context: &Context) {
        tokio::spawn(watch(self.clone(), context.clone()));
    }

    /// Looks no more.
    pub fn stop(&self) {
        self.0.stop.cancel();
    }

    fn ids(&self) -> Vec<SessionId> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Holding>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn watch(sessions: HeldSessions, context: Context) {
    while tokio::time::timeout(INTERVAL, sessions.0.stop.cancelled()).await.is_err() {
        for some in sessions.ids().chunks(AT_ONCE) {
            match gone(&context, some).await {
                Ok(gone) => sessions.end(gone),
                // The next look finds the same.
                Err(error) => tracing::warn!(%error, "sessions with streams cannot be looked at"),
            }
        }
    }
}

/// Which of some sessions are not good any more.
async fn gone(context: &Context, ids: &[SessionId]) -> Result<Vec<SessionId>> {
    // Of many people at once, and nobody is shown anything of them.
    let snapshot = context.db.read(Scope::Operator).await?;
    let live =
        find_sessions(padded(ids.to_vec())).filter(live_at(context.clock.now())).all(&snapshot).await?;
    let live: HashSet<SessionId> = live.into_iter().map(|row| row.id).collect();
    Ok(ids.iter().copied().filter(|id| !live.contains(id)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar_domain::id::Id;

    #[tokio::test]
    async fn all_streams_of_a_session_are_told_and_no_others() {
        let (sessions, id) = (HeldSessions::default(), SessionId::from_u128(1));
        let (one, two) = (sessions.hold(id), sessions.hold(id));
        let other = sessions.hold(SessionId::from_u128(2));
        drop(two);
        assert_eq!(sessions.ids().len(), 2);
        sessions.end([id, SessionId::from_u128(3)]);
        one.ended().await;
        let late = sessions.hold(id);
        late.ended().await;
        assert!(tokio::time::timeout(Duration::from_millis(20), other.ended()).await.is_err());
        drop((one, late, other));
        assert!(sessions.ids().is_empty());
    }
}
