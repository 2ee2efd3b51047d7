//! Mail as tests put it into the outbox, and look at it afterwards.

use bursar::db::{self, Tenant};
use bursar::error::Result;
use bursar::global_id;
use bursar::outbox::{self, InvitationFacts, Link, Mail, SignInFacts, Template, UserOrAddress};
use bursar_domain::Timestamp;
use bursar_domain::id::DeliveryId;
use bursar_domain::organization::Role;
use bursar_entity::delivery;
use serde_json::Value;

use super::World;

/// An invitation to somebody, by an organization with a name.
pub fn invitation(to: &str, organization: &str) -> Mail {
    let facts = InvitationFacts {
        organization: organization.to_owned(),
        inviter: "Olive Owner".to_owned(),
        role: Role::Admin,
        expires_at: Timestamp::from_micros(1_900_000_000_000_000),
    };
    let link = Link { about: format!("invitation of {to}"), path: format!("/invitation/1.{}", Link::PLACE) };
    Mail {
        to: UserOrAddress::Address(to.to_owned()),
        template: Template::Invitation,
        facts: Value::from(facts),
        link: Some(link),
    }
}

/// A link to sign in with, for somebody, until it expires.
pub fn sign_in_link(to: &str, expires_at: Timestamp) -> Mail {
    let link = Link { about: format!("sign-in of {to}"), path: format!("/sign-in/1.{}", Link::PLACE) };
    Mail {
        to: UserOrAddress::Address(to.to_owned()),
        template: Template::SignInLink,
        facts: Value::from(SignInFacts { expires_at }),
        link: Some(link),
    }
}

/// The scope of an organization with a global id.
pub fn tenant(organization: &str) -> Tenant {
    Tenant::vouched(global_id::decode(organization).unwrap())
}

/// Puts a mail into the outbox, in a transaction of its own.
pub async fn post(world: &World, tenant: Tenant, mail: Mail) -> Result<DeliveryId> {
    let context = &world.services().context;
    let clock = context.clock.clone();
    let work = db::work(move |txn| {
        let (clock, mail) = (clock.clone(), mail.clone());
        Box::pin(async move { outbox::append(txn, tenant, &clock, mail).await })
    });
    let id = context.db.write(tenant, work).await?;
    context.changes.announce_mail();
    Ok(id)
}

/// The row of a delivery.
pub async fn row(world: &World, id: DeliveryId) -> delivery::Model {
    let rows = world.database.rows::<delivery::Entity>().await;
    rows.into_iter().find(|row| row.id == id).unwrap()
}
