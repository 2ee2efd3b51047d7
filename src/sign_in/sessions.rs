//! What a person does with sessions: going on with one, ending it, ending others.

use bursar_domain::id::{SessionId, UserId};
use bursar_entity::session;
use sea_orm::{ColumnTrait, QueryFilter};
use serde_json::json;

use super::{Client, log};
use crate::audit::Change;
use crate::auth::{Attempts, Caller, HeldSessions, Keys, RefreshToken, SignedIn, sessions};
use crate::context::Context;
use crate::db::scope::find_own;
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
        sessions::Refreshed::Ended => {}
    }
    client.count_failure(attempts).await?;
    let reason = "The session has ended. Sign in again.";
    Err(Error::conflict(Conflict::State, "refreshToken", reason))
}

/// Ends the session that the caller's token belongs to, or all of the caller's; answers those that have ended by it.
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
/// Not found, when it is nobody's or somebody else's.
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
    let row = find_own::<session::Entity>(user).filter(session::Column::Id.eq(id)).one(&snapshot).await?;
    row.ok_or(Error::not_found("session").at("sessionId"))
}

async fn end(
    context: &Context,
    held: &HeldSessions,
    caller: &Caller,
    only: Option<SessionId>,
    action: &'static str,
) -> Result<Vec<session::Model>> {
    let only_in = caller.within();
    // For whom only an organization's provider vouches ends nothing but the session that it has opened.
    if only_in.is_some() && (only.is_none() || only != caller.session) {
        return Err(Error::Forbidden);
    }
    let (user, actor, clock) = (person(caller)?, caller.actor(), context.clock.clone());
    let work = db::work(move |txn| {
        let (actor, clock) = (actor.clone(), clock.clone());
        Box::pin(async move {
            let ended = sessions::end(txn, user, only, clock.now()).await?;
            if !ended.is_empty() {
                let ids: Vec<String> = ended.iter().map(|row| global_id::encode(row.id)).collect();
                let facts = json!({ "sessions": ids });
                let change = match ended.as_slice() {
                    [row] => Change::removed(action, row.id, facts),
                    _ => Change::removed(action, user, facts),
                };
                log::record(txn, &clock, &actor, (user, only_in), change).await?;
            }
            Ok(ended)
        })
    });
    let ended = context.db.write(Scope::SignIn(user), work).await?;
    held.end(ended.iter().map(|row| row.id));
    Ok(ended)
}

/// The only organization that a session is good in.
fn within(session: &session::Model) -> Option<Tenant> {
    // The session itself is bound to it.
    session.organization_id.map(Tenant::vouched)
}

fn person(caller: &Caller) -> Result<UserId> {
    caller.person().map(|person| person.id).ok_or(Error::Forbidden)
}
