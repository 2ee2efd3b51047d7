//! What a person does with sessions: going on with one, ending it, ending others.

use bursar_domain::id::{SessionId, UserId};
use bursar_entity::session;
use sea_orm::{ColumnTrait, QueryFilter};
use serde_json::json;

use super::{Client, known, log, note_refusal};
use crate::audit::Change;
use crate::auth::{Attempts, Caller, HeldSessions, Keys, RefreshToken, Refused, SignedIn, sessions};
use crate::context::Context;
use crate::db::{self, Scope, Tenant};
use crate::error::{Conflict, Error, Result};
use crate::global_id;

/// Goes on with a session: another token, and another refresh token. A refresh token that was used before ends the
/// session. What is not good is counted.
///
/// # Errors
/// Not found, when Bursar has not made the token; a conflict, when the session has ended; [`Error::Throttled`] when
/// too many of the client's were not good.
pub async fn refresh(
    context: &Context,
    attempts: &Attempts,
    (keys, held): (&Keys, &HeldSessions),
    client: &Client,
    text: &str,
) -> Result<SignedIn> {
    let token = match RefreshToken::read(keys, text) {
        Ok(token) => token,
        Err(error) => {
            client.count_failure(attempts).await?;
            return Err(error);
        }
    };
    let user = token.user();
    let (clock, of, by) = (context.clock.clone(), keys.clone(), client.clone());
    let work = db::work(move |txn| {
        let (clock, keys, client) = (clock.clone(), of.clone(), by.clone());
        Box::pin(async move {
            if known(txn, user).await?.is_none() {
                return Ok(sessions::Refreshed::Ended);
            }
            let refreshed = sessions::refresh(txn, &keys, clock.now(), &token).await?;
            let generation = |number: i64| json!({ "generation": number });
            match &refreshed {
                sessions::Refreshed::Renewed(SignedIn { session, .. }) => {
                    let (before, after) = (session.generation.saturating_sub(1), session.generation);
                    let (before, after) = (generation(before), generation(after));
                    let change = Change::updated("refreshSession", session.id, before, after);
                    let within = within(session);
                    log::record(txn, &clock, &client.person(user), (user, within), change).await?;
                }
                // Who it was is not certain: the person, or whoever has the token from them.
                sessions::Refreshed::Reused(session) => {
                    let change =
                        Change::removed("reuseRefreshToken", session.id, generation(session.generation));
                    let change = client.about(user, change);
                    let within = within(session);
                    log::record(txn, &clock, &client.nobody(), (user, within), change).await?;
                }
                sessions::Refreshed::Repeated(_) | sessions::Refreshed::Ended => {}
            }
            Ok(refreshed)
        })
    });
    match context.db.write(Scope::SignIn(user), work).await? {
        sessions::Refreshed::Renewed(signed_in) | sessions::Refreshed::Repeated(signed_in) => {
            return Ok(signed_in);
        }
        sessions::Refreshed::Reused(session) => held.end([session.id]),
        sessions::Refreshed::Ended => {
            let session = token.session();
            note_refusal(attempts, client, Refused::Session { user, session });
        }
    }
    client.count_failure(attempts).await?;
    let reason = "The session has ended. Sign in again.";
    Err(Error::conflict(Conflict::State, "refreshToken", reason))
}

/// Ends the session that the caller's token belongs to, or all of the caller's; answers those that have ended by it. For
/// whom only an organization's provider vouches, all are those that are good in that organization.
///
/// # Errors
/// A conflict, when the token belongs to no session and not all are meant; keys have none, and may not.
pub async fn sign_out(
    context: &Context,
    held: &HeldSessions,
    caller: &Caller,
    everywhere: bool,
) -> Result<Vec<session::Model>> {
    let only = match (everywhere, caller.session) {
        (true, _) => None,
        (false, Some(session)) => Some(session),
        (false, None) if caller.person().is_none() => return Err(Error::Forbidden),
        (false, None) => {
            let reason = "This token belongs to no session. It is good until it expires.";
            return Err(Error::conflict(Conflict::State, None, reason));
        }
    };
    end(context, held, caller, only, "signOut").await
}

/// Ends one of the caller's sessions. One that has ended stays so.
///
/// # Errors
/// Not found, when it is nobody's or somebody else's, or is not good in the one organization whose provider vouches for the
/// caller.
pub async fn revoke(
    context: &Context,
    held: &HeldSessions,
    caller: &Caller,
    id: SessionId,
) -> Result<session::Model> {
    if let Some(row) = end(context, held, caller, Some(id), "revokeSession").await?.pop() {
        return Ok(row);
    }
    let user = person(caller)?;
    let snapshot = context.db.read(Scope::Person(user)).await?;
    let row = sessions::known_to(user, caller.within()).filter(session::Column::Id.eq(id));
    row.one(&snapshot).await?.ok_or(Error::not_found("session").at("sessionId"))
}

async fn end(
    context: &Context,
    held: &HeldSessions,
    caller: &Caller,
    only: Option<SessionId>,
    action: &'static str,
) -> Result<Vec<session::Model>> {
    let (user, within) = (person(caller)?, caller.within());
    let (actor, clock) = (caller.actor(), context.clock.clone());
    let work = db::work(move |txn| {
        let (actor, clock) = (actor.clone(), clock.clone());
        Box::pin(async move {
            let ended = sessions::end(txn, (user, within), only, clock.now()).await?;
            if !ended.is_empty() {
                let ids: Vec<String> = ended.iter().map(|row| global_id::encode(row.id)).collect();
                let facts = json!({ "sessions": ids });
                let change = match ended.as_slice() {
                    [row] => Change::removed(action, row.id, facts),
                    _ => Change::removed(action, user, facts),
                };
                log::record(txn, &clock, &actor, (user, within), change).await?;
            }
            Ok(ended)
        })
    });
    let ended = context.db.write(Scope::SignIn(user), work).await?;
    held.end(ended.iter().map(|row| row.id));
    Ok(ended)
}

/// The only organization that a session is good in.
pub(super) fn within(session: &session::Model) -> Option<Tenant> {
    // The session itself is bound to it.
    session.organization_id.map(Tenant::vouched)
}

fn person(caller: &Caller) -> Result<UserId> {
    caller.person().map(|person| person.id).ok_or(Error::Forbidden)
}
