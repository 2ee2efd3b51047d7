//! Redeeming a link: it is good once, with the code that the mail shows, and opens a session.

use bursar_domain::Timestamp;
use bursar_domain::id::UserId;
use bursar_entity::{sign_in_link, user};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect, Set, Unchanged};
use serde_json::{Value, json};

use super::{Client, SignInLink, known, log};
use crate::audit::Change;
use crate::auth::{Attempts, Keys, SignedIn, Through, sessions};
use crate::clock::Clock;
use crate::context::Context;
use crate::db::scope::{find_own, find_people};
use crate::db::{self, Scope, Txn};
use crate::error::{Conflict, Error, Result};
use crate::global_id;

/// How many wrong codes may be entered for one link: with the last of them it is over. Of ten thousand codes five are
/// no way in, and people who mistype get along.
const WRONG_CODES: i64 = 5;
/// How many digits a code has.
const DIGITS: usize = 4;

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
    /// Too many wrong codes were entered.
    TriedTooOften,
    /// Its time is over.
    Expired,
}

impl LinkState {
    fn of(row: &sign_in_link::Model, now: Timestamp) -> LinkState {
        match row.used_at {
            Some(_) => LinkState::Used,
            None if row.wrong_codes >= WRONG_CODES => LinkState::TriedTooOften,
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

/// How trying a code has ended.
enum Tried {
    /// It was the right one.
    Opened(SignedIn),
    /// It was not. So many more can be tried.
    Wrong { left: i64 },
}

/// Signs in whoever has a link, by the last part of its address, and the code of its mail. What is not good is counted,
/// and recorded when the link was good once. What is no code at all is no try: whoever presses the button without one
/// takes none from the person.
///
/// # Errors
/// Not found, when Bursar has not made it; a conflict, when it has been used or has expired, or when a wrong code was
/// entered for the last time; [`Error::Invalid`] at `code`, when it is another one; [`Error::Throttled`] when too many
/// of the client's were not good.
pub async fn redeem(
    context: &Context,
    attempts: &Attempts,
    keys: &Keys,
    client: &Client,
    text: &str,
    code: &str,
) -> Result<SignedIn> {
    let link = match SignInLink::read(keys, text) {
        Ok(link) => link,
        Err(error) => {
            client.count_failure(attempts).await?;
            return Err(error);
        }
    };
    let code = typed_code(code)
        .ok_or_else(|| Error::invalid("code", "must be the four digits that the mail shows"))?;
    match open(context, keys, client, &link, code).await {
        Ok(Tried::Opened(signed_in)) => Ok(signed_in),
        Ok(Tried::Wrong { left }) => {
            client.count_failure(attempts).await?;
            Err(wrong(left))
        }
        Err(error @ (Error::NotFound { .. } | Error::Conflict { .. })) => {
            client.count_failure(attempts).await?;
            refused(context, client, &link).await?;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// A code as somebody has typed it. None: it is no code.
pub fn typed_code(text: &str) -> Option<String> {
    // Spaces come with what is copied.
    let digits: String = text.chars().filter(|c| !c.is_whitespace()).take(DIGITS + 1).collect();
    Some(digits).filter(|digits| digits.len() == DIGITS && digits.chars().all(|c| c.is_ascii_digit()))
}

/// What is said of a wrong code, when so many more can be tried.
fn wrong(left: i64) -> Error {
    if left <= 0 {
        return Error::conflict(Conflict::State, "token", TRIED_TOO_OFTEN);
    }
    Error::invalid("code", format!("is not the one that the mail shows (tries left: {left})"))
}

const TRIED_TOO_OFTEN: &str = "A wrong code was entered too often. Ask for another link.";

async fn open(
    context: &Context,
    keys: &Keys,
    client: &Client,
    link: &SignInLink,
    code: String,
) -> Result<Tried> {
    let (clock, keys, client) = (context.clock.clone(), keys.clone(), client.clone());
    let (user, id, link) = (link.user(), link.id(), link.clone());
    let work = db::work(move |txn| {
        let (clock, keys, client) = (clock.clone(), keys.clone(), client.clone());
        let (link, code) = (link.clone(), code.clone());
        Box::pin(async move {
            known(txn, user).await?.ok_or(Error::not_found("link").at("token"))?;
            let row = find_own::<sign_in_link::Entity>(user).filter(sign_in_link::Column::Id.eq(id));
            let row = row.lock_exclusive().one(txn).await?;
            let row = row.ok_or(Error::not_found("link").at("token"))?;
            let now = clock.now();
            let not_now = |reason: &'static str| Err(Error::conflict(Conflict::State, "token", reason));
            match LinkState::of(&row, now) {
                LinkState::Open => {}
                LinkState::Used => return not_now("This link was used before. Ask for another one."),
                LinkState::TriedTooOften => return not_now(TRIED_TOO_OFTEN),
                LinkState::Expired => return not_now("This link has expired. Ask for another one."),
            }
            if !keys.is_link_code(link.about(), &code) {
                let wrong_codes = row.wrong_codes + 1;
                let row = sign_in_link::ActiveModel {
                    user_id: Unchanged(user),
                    id: Unchanged(id),
                    wrong_codes: Set(wrong_codes),
                    ..Default::default()
                };
                sign_in_link::Entity::update(row).exec_without_returning(txn).await?;
                let facts = json!({ "link": global_id::encode(id), "wrongCodes": wrong_codes });
                record_refusal(txn, &clock, &client, user, facts).await?;
                return Ok(Tried::Wrong { left: WRONG_CODES - wrong_codes });
            }
            // The person's other links are not needed any more, whoever has asked for them.
            sign_in_link::Entity::update_many()
                .col_expr(sign_in_link::Column::UsedAt, Expr::value(now))
                .filter(sign_in_link::Column::UserId.eq(user))
                .filter(sign_in_link::Column::UsedAt.is_null())
                .exec(txn)
                .await?;
            let facts = json!({ "link": global_id::encode(id) });
            let entered = enter(txn, &keys, &clock, &client, user, None, ("redeemSignInLink", facts)).await?;
            Ok(Tried::Opened(entered))
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
    through: Option<Through>,
    (action, facts): (&'static str, Value),
) -> Result<SignedIn> {
    let signed_in = sessions::open(txn, keys, clock, user, through).await?;
    let change = Change::created(action, signed_in.session.id, facts);
    let within = through.map(|through| through.tenant);
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
            if known(txn, user).await?.is_none() {
                return Ok(());
            }
            record_refusal(txn, &clock, &client, user, facts).await
        })
    });
    context.db.write(Scope::SignIn(user), work).await
}

/// Records that nobody was signed in by a link. The last thing that the transaction locks.
async fn record_refusal(txn: &Txn, clock: &Clock, client: &Client, user: UserId, facts: Value) -> Result<()> {
    let change = client.about(user, Change::created("refuseSignInLink", user, facts));
    log::record(txn, clock, &client.nobody(), (user, None), change).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_as_people_type_them() {
        for good in ["0420", " 0420", "04 20\n", "\t0420 "] {
            assert_eq!(typed_code(good).as_deref(), Some("0420"), "{good:?}");
        }
        for bad in ["", "    ", "042", "04200", "O420", "+420", "٠٤٢٠", "éé"] {
            assert_eq!(typed_code(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_last_wrong_code_ends_the_link() {
        assert!(matches!(wrong(1), Error::Invalid { .. }));
        assert!(matches!(wrong(0), Error::Conflict { kind: Conflict::State, field: Some("token"), .. }));
    }
}
