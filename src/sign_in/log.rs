//! Recording what is about a person, and not about one organization: in the log of each organization that the person
//! belongs to, whose auditors have to see who comes in and by what.

use std::collections::BTreeSet;

use bursar_domain::id::{OrganizationId, UserId};
use bursar_entity::{membership, user};
use sea_orm::{ColumnTrait, QueryFilter};

use super::Client;
use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::clock::Clock;
use crate::db::scope::{find_own, find_people};
use crate::db::{Tenant, Txn};
use crate::error::Result;

impl Client {
    /// Bursar, on behalf of somebody who has not proven who they are. Where that came from is kept as the person's:
    /// see [`Client::about`].
    pub(super) fn nobody(&self) -> Actor {
        Actor::system(self.origin.clone())
    }

    /// A person who has just proven who they are.
    pub(super) fn person(&self, user: UserId) -> Actor {
        Actor::user(user, self.origin.clone()).at_address(Some(self.address))
    }

    /// The change, with where it came from as a value about the person.
    pub(super) fn about(&self, user: UserId, change: Change) -> Change {
        change.about(Some(user), "address", self.address.to_string())
    }
}

/// Writes a change to the logs of all organizations that a person belongs to, one after another by their ids; to
/// the vendor's for its staff and for who belongs to none. What is about one organization only is in that one's. The scope is `SignIn` of the person. The last thing that
/// the transaction locks.
///
/// # Errors
/// What the database answers.
pub(super) async fn record(
    txn: &Txn,
    clock: &Clock,
    actor: &Actor,
    (user, within): (UserId, Option<Tenant>),
    change: Change,
) -> Result<()> {
    if let Some(tenant) = within {
        txn.turn_to(tenant).await?;
        return audit::record(txn, tenant, clock, actor, change).await;
    }
    let places = find_own::<membership::Entity>(user).all(txn).await?;
    let person = find_people().filter(user::Column::Id.eq(user)).one(txn).await?;
    let mut logs: BTreeSet<OrganizationId> = places.into_iter().map(|place| place.organization_id).collect();
    if logs.is_empty() || person.is_some_and(|person| person.operator) {
        logs.insert(Tenant::vendor().id());
    }
    for organization in logs {
        // The person belongs to it.
        let tenant = Tenant::vouched(organization);
        txn.turn_to(tenant).await?;
        audit::record(txn, tenant, clock, actor, change.clone()).await?;
    }
    Ok(())
}
