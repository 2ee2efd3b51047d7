//! Forgetting a person, step by step (see the room for what becomes of what).

use std::collections::HashSet;

use bursar_domain::id::{ApprovalId, UserId};
use bursar_entity::{membership, sign_in_link, user};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect, Set, Unchanged};
use serde_json::json;

use super::traces::{no_sole_owner, places};
use crate::audit::{self, Change};
use crate::auth::{Actor, Authorized, sessions};
use crate::clock::Clock;
use crate::context::Context;
use crate::db::scope::{find_own, find_people};
use crate::db::{self, Scope, Tenant, Txn};
use crate::error::{Conflict, Error, Result};
use crate::organizations::{Forgotten, Person};
use crate::outbox::{self, Named};
use crate::{api_keys, approvals, organizations, purchases};

/// What is left of everybody's name.
pub const NAME: &str = "Erased person";
/// How often it is begun anew because the person has been taken in again somewhere.
const ROUNDS: u32 = 3;

/// Forgets a person, wherever they are named, and answers what is left of them. Somebody who has been forgotten stays
/// so.
///
/// # Errors
/// [`Error::NotFound`] at `userId`; [`Conflict::LastOwner`] for the only owner of an organization, and
/// [`Conflict::State`] for the caller, both before anything is done; and that one when somebody keeps taking the person
/// in again.
pub async fn erase(context: &Context, vendor: &Authorized<()>, id: UserId) -> Result<user::Model> {
    if vendor.actor().user_id() == Some(id) {
        let reason = "Nobody has themselves forgotten: a colleague has to do it.";
        return Err(Error::conflict(Conflict::State, "userId", reason));
    }
    for _ in 0..ROUNDS {
        let snapshot = context.db.read(Scope::Operator).await?;
        let row = find_people().filter(user::Column::Id.eq(id)).one(&snapshot).await?;
        let row = row.ok_or(Error::not_found("user").at("userId"))?;
        if row.erased_at.is_some() {
            return Ok(row);
        }
        let person = Person { id, email: row.email.clone() };
        no_sole_owner(&snapshot, &person).await?;
        let places = places(&snapshot, &person).await?;
        drop(snapshot);
        for tenant in places.into_iter().filter(|tenant| !tenant.is_vendor()) {
            in_organization(context, tenant, vendor.actor(), &row).await?;
        }
        if let Some(erased) = the_person(context, vendor.actor(), &row).await? {
            return Ok(erased);
        }
    }
    let reason = "Somebody takes the person in again all the time; see to that first.";
    Err(Error::conflict(Conflict::State, "userId", reason))
}

/// Forgets a person in an organization.
async fn in_organization(context: &Context, tenant: Tenant, actor: &Actor, row: &user::Model) -> Result<()> {
    let (clock, actor, row) = (context.clock.clone(), actor.clone(), row.clone());
    let work = db::work(move |txn| {
        let (clock, actor, row) = (clock.clone(), actor.clone(), row.clone());
        Box::pin(async move {
            let person = Person { id: row.id, email: row.email.clone() };
            // Purchases are locked after the organization and before what people are asked about them.
            organizations::lock_organization(txn, tenant).await?;
            purchases::forget_notes(txn, tenant, row.id).await?;
            let forgotten = organizations::forget(txn, tenant, &clock, &person).await?;
            record(txn, tenant, (&clock, &actor), &row, forgotten).await
        })
    });
    let requests = context.db.write(tenant, work).await?;
    approvals::announce(context, tenant, &requests);
    Ok(())
}

/// Forgets who the person was, and what the vendor's own rows say of them. None: the person belongs to an organization,
/// and nothing has been done.
async fn the_person(context: &Context, actor: &Actor, row: &user::Model) -> Result<Option<user::Model>> {
    let (clock, actor, row) = (context.clock.clone(), actor.clone(), row.clone());
    let (vendor, id) = (Tenant::vendor(), row.id);
    let work = db::work(move |txn| {
        let (clock, actor, row) = (clock.clone(), actor.clone(), row.clone());
        Box::pin(async move {
            // Whoever makes the person a member waits for this, or is waited for.
            let locked = find_people().filter(user::Column::Id.eq(id)).lock_exclusive().one(txn).await?;
            let locked = locked.ok_or(Error::not_found("user").at("userId"))?;
            if locked.erased_at.is_some() {
                return Ok(Some(locked));
            }
            if locked.email != row.email || find_own::<membership::Entity>(id).one(txn).await?.is_some() {
                return Ok(None);
            }
            let email = Person { id, email: row.email.clone() }.pseudonym();
            let erased = user::Model {
                email,
                name: NAME.to_owned(),
                operator: false,
                erased_at: Some(clock.now()),
                ..locked
            };
            let written = user::ActiveModel {
                id: Unchanged(id),
                email: Set(erased.email.clone()),
                name: Set(erased.name.clone()),
                operator: Set(erased.operator),
                erased_at: Set(erased.erased_at),
                ..Default::default()
            };
            user::Entity::update(written).exec_without_returning(txn).await?;
            // Whoever signs in looks at the person first, and finds nobody from here on (see `sign_in`).
            sign_in_link::Entity::delete_many().filter(sign_in_link::Column::UserId.eq(id)).exec(txn).await?;
            sessions::end(txn, (id, None), None, clock.now()).await?;
            record(txn, vendor, (&clock, &actor), &row, Forgotten::default()).await?;
            Ok(Some(erased))
        })
    });
    context.db.write(Scope::TenantAndPerson(vendor, id), work).await
}

/// Forgets what an organization, or the vendor, knows of a person beside people and invitations, and records all of
/// it. Answers the requests for approval that are to be announced.
async fn record(
    txn: &Txn,
    tenant: Tenant,
    (clock, actor): (&Clock, &Actor),
    row: &user::Model,
    forgotten: Forgotten,
) -> Result<Vec<ApprovalId>> {
    let (now, id) = (clock.now(), row.id);
    let Forgotten { mut changes, touched, invitations, links } = forgotten;
    let revoked = api_keys::revoke_made_by(txn, tenant, now, id).await?;
    let named = named(row, links);
    let deliveries = outbox::forget(txn, tenant, &named).await?;
    let values = audit::erase(txn, tenant, id, now).await?;
    let facts = json!({
        "keys": revoked.len(),
        "invitations": invitations,
        "deliveries": deliveries,
        "personalValues": values,
    });
    changes.extend(revoked);
    changes.push(Change::created("erasePerson", id, facts));
    for change in changes {
        audit::record(txn, tenant, clock, actor, change).await?;
    }
    touched.record(txn, tenant, clock, actor).await
}

fn named(row: &user::Model, links: HashSet<String>) -> Named {
    let pseudonym = Person { id: row.id, email: row.email.clone() }.pseudonym();
    Named {
        id: crate::global_id::encode(row.id),
        email: row.email.clone(),
        pseudonym,
        name: row.name.clone(),
        links,
    }
}
