//! Recording who was not let in: by a key or a session that was good once, or because of too many tries. Whoever bears
//! it is answered before any of this, and in no other words than somebody who bears nothing that was ever good.
//!
//! Each is recorded once in ten minutes, on all nodes together, however often it comes: somebody who goes on trying
//! fills no log, and costs the database nothing. When the server goes down in between there is no record.

use bursar_domain::id::{SessionId, UserId};
use bursar_entity::session;
use sea_orm::{ColumnTrait, QueryFilter};
use serde_json::json;

use super::sessions::within;
use super::{Client, known, log};
use crate::audit::{self, Change};
use crate::auth::{Attempt, Attempts, Refused, RefusedKey, sessions};
use crate::db::scope::find_own;
use crate::db::{self, Scope, Tenant};
use crate::error::{Error, Result};
use crate::global_id;

/// Has it recorded that something was borne that was good once. Nobody waits for that.
pub fn note_refusal(attempts: &Attempts, client: &Client, refused: Refused) {
    let (attempts, client) = (attempts.clone(), client.clone());
    aside(async move {
        match refused {
            Refused::Key(key) => of_key(&attempts, &client, key).await,
            Refused::Session { user, session } => of_session(&attempts, &client, (user, session)).await,
        }
    });
}

/// Has it recorded, when it is so, that a client has tried something too often: to prove who somebody is, or to guess a
/// link. Nobody waits for that.
pub(super) fn note_throttled(
    attempts: &Attempts,
    client: &Client,
    action: &'static str,
    outcome: &Result<()>,
) {
    if !matches!(outcome, Err(Error::Throttled { .. })) {
        return;
    }
    let (attempts, client) = (attempts.clone(), client.clone());
    aside(async move {
        let subject = format!("{action} {}", client.subject());
        if !attempts.first(Attempt::RefusalsOfClient, &subject).await? {
            return Ok(());
        }
        // Whom it was about nobody knows.
        let vendor = Tenant::vendor();
        let change = Change::created(action, vendor.id(), json!({ "reason": "too many tries" }));
        let actor = client.nobody().at_address(Some(client.address));
        audit::note(attempts.context(), vendor, &actor, change).await
    });
}

fn aside(work: impl Future<Output = Result<()>> + Send + 'static) {
    tokio::spawn(async move {
        if let Err(error) = work.await {
            tracing::warn!(%error, "that somebody was refused could not be recorded");
        }
    });
}

/// A key that has been revoked or has expired: in the log of whom it belongs to. Who bears it is not known, so it is no
/// act of the key, and where it came from is nobody's.
async fn of_key(attempts: &Attempts, client: &Client, key: RefusedKey) -> Result<()> {
    if !attempts.first(Attempt::RefusalsOfKey, &global_id::encode(key.id)).await? {
        return Ok(());
    }
    let reason = if key.revoked { "revoked" } else { "expired" };
    let change = Change::created("refuseApiKey", key.id, json!({ "reason": reason }));
    let actor = client.nobody().at_address(Some(client.address));
    audit::note(attempts.context(), key.home, &actor, change).await
}

/// A token of a session, in the logs that its person's signing in is in. One that has not ended was refused for another
/// reason, which is not the session's.
async fn of_session(attempts: &Attempts, client: &Client, (user, id): (UserId, SessionId)) -> Result<()> {
    if !attempts.first(Attempt::RefusalsOfSession, &global_id::encode(id)).await? {
        return Ok(());
    }
    let context = attempts.context();
    let (clock, client) = (context.clock.clone(), client.clone());
    let work = db::work(move |txn| {
        let (clock, client) = (clock.clone(), client.clone());
        Box::pin(async move {
            if known(txn, user).await?.is_none() {
                return Ok(());
            }
            let row = find_own::<session::Entity>(user).filter(session::Column::Id.eq(id)).one(txn).await?;
            let Some(row) = row else { return Ok(()) };
            let Some(reason) = sessions::over(txn, &row, clock.now()).await? else { return Ok(()) };
            let change =
                client.about(user, Change::created("refuseSession", id, json!({ "reason": reason })));
            log::record(txn, &clock, &client.nobody(), (user, within(&row)), change).await
        })
    });
    context.db.write(Scope::SignIn(user), work).await
}
