//! Redeeming a link: it is good once, and opens a session.

use bursar_domain::Timestamp;
use bursar_domain::id::UserId;
use bursar_entity::{sign_in_link, user};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};
use serde_json::{Value, json};

use super::{Client, SignInLink, log};
use crate::audit::Change;
use crate::auth::{Attempts, Keys, SignedIn, sessions};
use crate::clock::Clock;
use crate::context::Context;
use crate::db::scope::{find_own, find_people};
use crate::db::{self, Scope, Tenant, Txn};
use crate::error::{Conflict, Error, Result};
use crate::global_id;

/// A link, as its page shows it.
#[derive(Clone, Debug)]
pub struct FoundLink {
    /// What has become of it.
    pub state: LinkState,
    /// The address of the person whom it signs in.
    pub email: String,
    /// From when on it is no longer good.
    pub expires_at: Timestamp,
}

/// What has become of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// It can be redeemed.
    Open,
    /// It, or another one that was asked for at the same time, has been redeemed.
    Used,
    /// Its time is over.
    Expired,
}

impl LinkState {
    fn of(row: &sign_in_link::Model, now: Timestamp) -> LinkState {
        match row.used_at {
            Some(_) => LinkState::Used,
            None if row.expires_at <= now => LinkState::Expired,
            None => LinkState::Open,
        }
    }
}

/// Looks a link up. Changes nothing.
///
/// # Errors
/// Not found, when it is so old that it is forgotten.
pub async fn find(context: &Context, link: &SignInLink) -> Result<FoundLink> {
    let missing = || Error::not_found("link").at("token");
    let snapshot = context.db.read(Scope::SignIn(link.user())).await?;
    let row = find_own::<sign_in_link::Entity>(link.user()).filter(sign_in_link::Column::Id.eq(link.id()));
    let row = row.one(&snapshot).await?.ok_or_else(missing)?;
    let person = find_people().filter(user::Column::Id.eq(link.user())).one(&snapshot).await?;
    let email = person.ok_or_else(missing)?.email;
    Ok(FoundLink { state: LinkState::of(&row, context.clock.now()), email, expires_at: row.expires_at })
}

/// Signs in whoever has a link, by the last part of its address. What is not good is counted, and recorded when it
/// was once.
///
/// # Errors
/// Not found, when Bursar has not made it; a conflict, when it has been used or has expired; [`Error::Throttled`]
/// when too many of the client's were not good.
pub async fn redeem(
    context: &Context,
    attempts: &Attempts,
    keys: &Keys,
    client: &Client,
    text: &str,
) -> Result<SignedIn> {
    let link = match SignInLink::read(keys, text) {
        Ok(link) => link,
        Err(error) => {
            client.count_failure(attempts).await?;
            return Err(error);
        }
    };
    match open(context, keys, client, &link).await {
        Err(error @ (Error::NotFound { .. } | Error::Conflict { .. })) => {
            client.count_failure(attempts).await?;
            refused(context, client, &link).await?;
            Err(error)
        }
        outcome => outcome,
    }
}

async fn open(context: &Context, keys: &Keys, client: &Client, link: &SignInLink) -> Result<SignedIn> {
    let (clock, keys, client) = (context.clock.clone(), keys.clone(), client.clone());
    let (user, id) = (link.user(), link.id());
    let work = db::work(move |txn| {
        let (clock, keys, client) = (clock.clone(), keys.clone(), client.clone());
        Box::pin(async move {
            let row = find_own::<sign_in_link::Entity>(user).filter(sign_in_link::Column::Id.eq(id));
            let row = row.lock_exclusive().one(txn).await?;
            let row = row.ok_or(Error::not_found("link").at("token"))?;
            let now = clock.now();
            let not_now = |reason: &'static str| Err(Error::conflict(Conflict::State, "token", reason));
            match LinkState::of(&row, now) {
                LinkState::Open => {}
                LinkState::Used => return not_now("This link was used before. Ask for another one."),
                LinkState::Expired => return not_now("This link has expired. Ask for another one."),
            }
            // The person's other links are not needed any more, whoever has asked for them.
            sign_in_link::Entity::update_many()
                .col_expr(sign_in_link::Column::UsedAt, Expr::value(now))
                .filter(sign_in_link::Column::UserId.eq(user))
                .filter(sign_in_link::Column::UsedAt.is_null())
                .exec(txn)
                .await?;
            let facts = json!({ "link": global_id::encode(id) });
            enter(txn, &keys, &clock, &client, user, None, ("redeemSignInLink", facts)).await
        })
    });
    context.db.write(Scope::SignIn(user), work).await
}

/// Opens a session of a person who has proven who they are, everywhere or within one organization only, and records by
/// what, under the name of an action and with some facts. For a transaction in the scope `SignIn` of the person. The last thing that it locks.
///
/// # Errors
/// What the database answers.
pub async fn enter(
    txn: &Txn,
    keys: &Keys,
    clock: &Clock,
    client: &Client,
    user: UserId,
    within: Option<Tenant>,
    (action, facts): (&'static str, Value),
) -> Result<SignedIn> {
    let signed_in = sessions::open(txn, keys, clock, user, within).await?;
    let change = Change::created(action, signed_in.session.id, facts);
    log::record(txn, clock, &client.person(user), (user, within), change).await?;
    Ok(signed_in)
}

/// Records that a link was shown that was good once.
async fn refused(context: &Context, client: &Client, link: &SignInLink) -> Result<()> {
    let (clock, client, user) = (context.clock.clone(), client.clone(), link.user());
    let facts = json!({ "link": global_id::encode(link.id()) });
    let work = db::work(move |txn| {
        let (clock, client, facts) = (clock.clone(), client.clone(), facts.clone());
        Box::pin(async move {
            let change = client.about(user, Change::created("refuseSignInLink", user, facts));
            log::record(txn, &clock, &client.nobody(), (user, None), change).await
        })
    });
    context.db.write(Scope::SignIn(user), work).await
}
