//! Asking for a link to sign in with.
//!
//! Who asks is answered before it is looked whether there is a person with the address: what is done until then is
//! the same for every address, the counts among it. When the server goes down in between there is no mail; whoever
//! waits for it asks again.

use bursar_domain::organization::normal_email;
use bursar_entity::{sign_in_link, user};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};
use serde_json::{Value, json};

use super::{Client, SignInLink, log};
use crate::audit::Change;
use crate::auth::{Attempt, Attempts};
use crate::context::Context;
use crate::db::scope::find_people;
use crate::db::{self, Scope, Tenant};
use crate::error::{Error, Result};
use crate::outbox::{self, Mail, SignInFacts, Template, UserOrAddress};

/// For how long a link is good, in seconds: as long as mail takes, and no longer than it lies about.
pub const LINK_SECONDS: i64 = 15 * 60;

/// Sends a link to the person with an address, if there is one; nobody is told whether there is.
///
/// # Errors
/// The text is no address; [`Error::Throttled`] when the address, whoever's it is, or the client has asked too often.
pub async fn request(context: &Context, attempts: &Attempts, client: &Client, email: &str) -> Result<()> {
    let email = normal_email(email).ok_or_else(|| Error::invalid("email", "is not an e-mail address"))?;
    let subject = client.subject();
    let tries =
        [(Attempt::SignInLinksOfClient, subject.as_str()), (Attempt::SignInLinksToAddress, email.as_str())];
    attempts.count_all(&tries).await?;
    let (context, client) = (context.clone(), client.clone());
    tokio::spawn(async move {
        // No address: logs name nobody.
        if let Err(error) = send(&context, &client, email).await {
            tracing::error!(%error, origin = ?client.origin, "a link to sign in with could not be sent");
        }
    });
    Ok(())
}

async fn send(context: &Context, client: &Client, email: String) -> Result<()> {
    let person = {
        let snapshot = context.db.read(Scope::Email(email.clone())).await?;
        find_people().filter(user::Column::Email.eq(email.as_str())).one(&snapshot).await?
    };
    let Some(user) = person.map(|person| person.id) else { return Ok(()) };
    let (clock, client) = (context.clock.clone(), client.clone());
    let work = db::work(move |txn| {
        let (clock, client, email) = (clock.clone(), client.clone(), email.clone());
        Box::pin(async move {
            let now = clock.now();
            // What is over long since is of no use to anybody.
            sign_in_link::Entity::delete_many()
                .filter(sign_in_link::Column::UserId.eq(user))
                .filter(sign_in_link::Column::ExpiresAt.lte(now.plus_days(-1)))
                .exec(txn)
                .await?;
            let row = sign_in_link::Model {
                user_id: user,
                id: clock.new_id(),
                created_at: now,
                expires_at: now.plus_seconds(LINK_SECONDS),
                used_at: None,
            };
            sign_in_link::Entity::insert(row.clone().into_active_model()).exec_without_returning(txn).await?;
            let mail = Mail {
                to: UserOrAddress::Address(email),
                template: Template::SignInLink,
                facts: Value::from(SignInFacts { expires_at: row.expires_at }),
                link: Some(SignInLink::unproven(&row)),
            };
            // It is about no organization.
            let vendor = Tenant::vendor();
            txn.turn_to(vendor).await?;
            outbox::append(txn, vendor, &clock, mail).await?;
            let change = Change::created("requestSignInLink", user, json!({ "link": "sent" }));
            let change = client.about(user, change);
            log::record(txn, &clock, &client.nobody(), (user, None), change).await
        })
    });
    context.db.write(Scope::SignIn(user), work).await?;
    context.changes.announce_mail();
    Ok(())
}
