//! Putting a mail into the outbox.

use bursar_domain::delivery::{DeliveryKind, DeliveryState};
use bursar_domain::id::{DeliveryId, UserId};
use bursar_entity::{delivery, user};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};
use serde_json::Value;

use super::{Facts, Template};
use crate::clock::Clock;
use crate::db::scope::find_people;
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};
use crate::text;

/// A mail that is to be sent.
#[derive(Clone, Debug)]
pub struct Mail {
    /// To whom.
    pub to: UserOrAddress,
    /// What it says.
    pub template: Template,
    /// What it says in particular (see [`Facts`]). Shown to nobody but the recipient.
    pub facts: Value,
    /// Where it leads.
    pub link: Option<Link>,
}

/// Whom a mail is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserOrAddress {
    /// A person, at the address that the person has now. The scope of the transaction must show the person.
    User(UserId),
    /// An address.
    Address(String),
}

/// Where a mail leads, without the proof that makes it good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// What it is about: the proof is made of this text (`Keys::link_token`).
    pub about: String,
    /// The path at this server, with [`Link::PLACE`] once where the proof goes: `/invitation/1.{token}`.
    pub path: String,
}

impl Link {
    /// What stands in a path for the proof.
    pub const PLACE: &'static str = "{token}";

    /// Whether the path leads to this server and nowhere else, and has one place for the proof.
    fn is_good(&self) -> bool {
        let path = &self.path;
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._~-{}".contains(c);
        path.starts_with('/')
            && !path.starts_with("//")
            && path.chars().all(plain)
            && path.matches(Link::PLACE).count() == 1
            && !self.about.is_empty()
    }
}

/// Puts a mail into the outbox, as a row of the transaction that causes it. What is wrong with it is an error here,
/// not a mail that cannot be sent later.
pub async fn append(txn: &Txn, tenant: Tenant, clock: &Clock, mail: Mail) -> Result<DeliveryId> {
    let recipient = match &mail.to {
        UserOrAddress::Address(address) => address.clone(),
        UserOrAddress::User(id) => {
            let row = find_people().filter(user::Column::Id.eq(*id)).one(txn).await?;
            row.ok_or(Error::not_found("user"))?.email
        }
    };
    let recipient = text::email("email", &recipient)?;
    Facts::read(mail.template, &mail.facts)
        .map_err(|error| Error::internal(format!("facts of a mail: {error}")))?;
    if mail.link.as_ref().is_some_and(|link| !link.is_good()) {
        return Err(Error::internal("the link of a mail leads nowhere"));
    }
    let (link_about, link_path) = mail.link.map(|link| (link.about, link.path)).unzip();
    let (id, now) = (clock.new_id::<DeliveryId>(), clock.now());
    let row = delivery::Model {
        organization_id: tenant.id(),
        id,
        kind: DeliveryKind::Mail,
        template: Some(mail.template),
        recipient,
        facts: mail.facts.to_string(),
        link_about,
        link_path,
        state: DeliveryState::Pending,
        attempts: 0,
        due_at: now,
        leased_until: None,
        lease: None,
        last_error: None,
        created_at: now,
        delivered_at: None,
    };
    delivery::Entity::insert(row.into_active_model()).exec_without_returning(txn).await?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_this_server_alone() {
        let good = |path: &str| Link { about: "a".to_owned(), path: path.to_owned() }.is_good();
        assert!(good("/invitation/org_1.2.{token}") && good("/sign-in/{token}"));
        for bad in [
            "",
            "/sign-in",
            "sign-in/{token}",
            "//evil.test/{token}",
            "https://evil.test/{token}",
            "/{token}/{token}",
            "/a b/{token}",
            "/a\r\n/{token}",
            "/a?b={token}",
            "/a#{token}",
            "/a@evil.test/{token}",
        ] {
            assert!(!good(bad), "{bad:?}");
        }
        assert!(!Link { about: String::new(), path: "/a/{token}".to_owned() }.is_good());
    }
}
