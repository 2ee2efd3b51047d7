//! Sessions: what a person who has signed in has, until they sign out.
//!
//! A session gives tokens of a quarter of an hour, each with the session's id in it, and a refresh token with which
//! the client gets the next ones. Each time the refresh token is another one, of the next generation; one of an
//! earlier generation that comes again means that two have the session, one of whom has stolen it: it is ended.
//! Only a client whose answer was lost may come again at once, and gets what it was sent before.
//!
//! Whether a session is good is asked of its row with every request (see `caller`), so that who signs out is out
//! at once, on every node; streams are told within seconds (see `held_sessions`). One that an organization's provider
//! has opened is good as long as what is set of that provider is as it was then.
//!
//! These functions work in the transaction of whoever calls them, with the scope `SignIn` of the person: recording
//! what happens is the caller's. They lock rows of the person's sessions, by their ids, and nothing else.

use bursar_domain::Timestamp;
use bursar_domain::id::{SessionId, UserId};
use bursar_entity::{identity_provider, session};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, Select, Set,
    Unchanged,
};
use secrecy::SecretString;

use super::{Keys, RefreshToken, Through, token};
use crate::clock::Clock;
use crate::context::Context;
use crate::db::scope::find_own;
use crate::db::{Scope, Tenant, Txn};
use crate::error::{Error, Result};

/// For how long a token of a session is good, in seconds: a stolen one is soon worth nothing.
pub const TOKEN_SECONDS: i64 = 15 * 60;
/// For how many days a session can be refreshed: once a month everybody shows again that the mailbox is theirs.
pub const SESSION_DAYS: i64 = 30;
/// For how long a session can be refreshed that an organization's provider has opened, in seconds: whoever has left the
/// company is asked again by the next working day, and its provider says no.
pub const PROVIDER_SECONDS: i64 = 12 * 3_600;
/// For how long after a refresh the token before is answered as the new one would have been, in seconds: the answer
/// may have got lost, or two windows of one client may have asked at once.
pub const GRACE_SECONDS: i64 = 10;

/// What somebody who has signed in gets. The tokens are shown once, and kept nowhere.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The session.
    pub session: session::Model,
    /// The token that requests bear.
    pub token: SecretString,
    /// From when on the token is no longer good.
    pub token_expires_at: Timestamp,
    /// What the next token is asked for with.
    pub refresh_token: SecretString,
}

impl SignedIn {
    /// The tokens of a session's present generation.
    fn of(keys: &Keys, session: session::Model, now: Timestamp) -> Result<SignedIn> {
        let until = now.plus_seconds(TOKEN_SECONDS).min(session.expires_at);
        let of = (session.id, session.organization_id);
        let token = token::issue_for(keys, session.user_id, of, now, until)?;
        let refresh_token = RefreshToken::text(keys, session.user_id, session.id, session.generation);
        Ok(SignedIn { session, token: SecretString::from(token), token_expires_at: until, refresh_token })
    }
}

/// What has come of a refresh token.
#[derive(Debug)]
pub enum Refreshed {
    /// The session has gone on to the next generation.
    Renewed(SignedIn),
    /// The same as just before.
    Repeated(SignedIn),
    /// It had been used before: the session has been ended.
    Reused(session::Model),
    /// The session had ended, or there is none.
    Ended,
}

/// What whoever bears a token of a session is told that has ended, or never was.
pub fn ended() -> Error {
    Error::Unauthenticated("The session has ended.")
}

/// Opens a session of a person who has proven who they are: everywhere, or only within one organization, whose
/// provider, as it is set, has said so. Sessions of theirs whose time is over are forgotten.
///
/// # Errors
/// What the database answers.
pub async fn open(
    txn: &Txn,
    keys: &Keys,
    clock: &Clock,
    user: UserId,
    through: Option<Through>,
) -> Result<SignedIn> {
    let now = clock.now();
    session::Entity::delete_many()
        .filter(session::Column::UserId.eq(user))
        .filter(session::Column::ExpiresAt.lte(now))
        .exec(txn)
        .await?;
    let row = session::Model {
        user_id: user,
        id: clock.new_id(),
        generation: 1,
        created_at: now,
        last_used_at: now,
        expires_at: match through {
            None => now.plus_days(SESSION_DAYS),
            Some(_) => now.plus_seconds(PROVIDER_SECONDS),
        },
        revoked_at: None,
        organization_id: through.map(|through| through.tenant.id()),
        provider_revision: through.map(|through| through.revision),
    };
    session::Entity::insert(row.clone().into_active_model()).exec_without_returning(txn).await?;
    SignedIn::of(keys, row, now)
}

/// Goes on with a session by one of its refresh tokens. One that was used before ends it.
///
/// # Errors
/// What the database answers.
pub async fn refresh(txn: &Txn, keys: &Keys, now: Timestamp, token: &RefreshToken) -> Result<Refreshed> {
    let row = find_own::<session::Entity>(token.user()).filter(session::Column::Id.eq(token.session()));
    let Some(row) = row.lock_exclusive().one(txn).await? else { return Ok(Refreshed::Ended) };
    if over(txn, &row, now).await?.is_some() || token.generation() > row.generation {
        return Ok(Refreshed::Ended);
    }
    let same =
        session::ActiveModel { user_id: Unchanged(row.user_id), id: Unchanged(row.id), ..Default::default() };
    if token.generation() == row.generation {
        let row = session::Model { generation: row.generation.saturating_add(1), last_used_at: now, ..row };
        let next = session::ActiveModel { generation: Set(row.generation), last_used_at: Set(now), ..same };
        session::Entity::update(next).exec_without_returning(txn).await?;
        return Ok(Refreshed::Renewed(SignedIn::of(keys, row, now)?));
    }
    let just_now = now < row.last_used_at.plus_seconds(GRACE_SECONDS);
    if token.generation().saturating_add(1) == row.generation && just_now {
        return Ok(Refreshed::Repeated(SignedIn::of(keys, row, now)?));
    }
    let row = session::Model { revoked_at: Some(now), ..row };
    let end = session::ActiveModel { revoked_at: Set(row.revoked_at), ..same };
    session::Entity::update(end).exec_without_returning(txn).await?;
    Ok(Refreshed::Reused(row))
}

/// The sessions of a person that the person may know of: all of them. For whom only an organization's provider
/// vouches, those alone that are good within that organization.
pub fn known_to(user: UserId, within: Option<Tenant>) -> Select<session::Entity> {
    let own = find_own::<session::Entity>(user);
    match within {
        Some(tenant) => own.filter(session::Column::OrganizationId.eq(tenant.id())),
        None => own,
    }
}

/// Ends one session of those that a person may know of (see [`known_to`]), or all of them; answers those that have
/// ended by it, oldest first.
///
/// # Errors
/// What the database answers.
pub async fn end(
    txn: &Txn,
    (user, within): (UserId, Option<Tenant>),
    only: Option<SessionId>,
    now: Timestamp,
) -> Result<Vec<session::Model>> {
    let live = live_at(now).add_option(only.map(|id| session::Column::Id.eq(id)));
    let rows = known_to(user, within).filter(live).order_by_asc(session::Column::Id);
    let rows = rows.lock_exclusive().all(txn).await?;
    if rows.is_empty() {
        return Ok(rows);
    }
    session::Entity::update_many()
        .col_expr(session::Column::RevokedAt, Expr::value(now))
        .filter(session::Column::UserId.eq(user))
        .filter(session::Column::Id.is_in(rows.iter().map(|row| row.id)))
        .exec(txn)
        .await?;
    Ok(rows.into_iter().map(|row| session::Model { revoked_at: Some(now), ..row }).collect())
}

/// A person's session, unless it has been ended or its time is over at an instant. The scope shows the person's
/// sessions. Whether what is set of a provider that has opened it is as it was then is the caller's to compare.
///
/// # Errors
/// [`Error::Unauthenticated`], and what the database answers.
pub async fn require_live(
    snapshot: &Txn,
    user: UserId,
    id: SessionId,
    now: Timestamp,
) -> Result<session::Model> {
    let row = find_own::<session::Entity>(user).filter(session::Column::Id.eq(id)).one(snapshot).await?;
    row.filter(|row| is_live(row, now)).ok_or_else(ended)
}

/// The same, in a snapshot of its own.
pub(super) async fn require_live_now(
    context: &Context,
    user: UserId,
    id: SessionId,
) -> Result<session::Model> {
    let snapshot = context.db.read(Scope::Person(user)).await?;
    require_live(&snapshot, user, id, context.clock.now()).await
}

/// A session of a person, when it is good now.
///
/// # Errors
/// What the database answers.
pub async fn person_of_session(
    context: &Context,
    user: UserId,
    id: SessionId,
) -> Result<Option<session::Model>> {
    let snapshot = context.db.read(Scope::Person(user)).await?;
    let row = find_own::<session::Entity>(user).filter(session::Column::Id.eq(id)).one(&snapshot).await?;
    let Some(row) = row else { return Ok(None) };
    let why = over(&snapshot, &row, context.clock.now()).await?;
    Ok(why.is_none().then_some(row))
}

/// Why a session is not good at an instant, in a word for the log; none: it is. A transaction that has asked about one
/// that a provider has opened sees the rows of that provider's organization too from then on.
///
/// # Errors
/// What the database answers.
pub async fn over(txn: &Txn, row: &session::Model, now: Timestamp) -> Result<Option<&'static str>> {
    if row.revoked_at.is_some() {
        return Ok(Some("ended"));
    }
    if !is_live(row, now) {
        return Ok(Some("expired"));
    }
    let Some(organization) = row.organization_id else { return Ok(None) };
    // The one organization that the session itself is bound to.
    let tenant = Tenant::vouched(organization);
    txn.turn_to(tenant).await?;
    let provider = tenant.find::<identity_provider::Entity>().one(txn).await?;
    let revision = provider.filter(|provider| provider.enabled).map(|provider| provider.revision);
    let same = revision.is_some() && revision == row.provider_revision;
    Ok((!same).then_some("provider changed"))
}

/// Whether a session has neither been ended nor come to its end at an instant.
fn is_live(row: &session::Model, now: Timestamp) -> bool {
    row.revoked_at.is_none() && row.expires_at > now
}

/// The same as a condition on rows.
pub fn live_at(now: Timestamp) -> Condition {
    Condition::all().add(session::Column::RevokedAt.is_null()).add(session::Column::ExpiresAt.gt(now))
}
