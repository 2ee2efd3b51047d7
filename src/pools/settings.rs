//! Creating, changing and archiving pools.

use bursar_domain::id::{Id, ServiceId};
use bursar_domain::ledger::Refusal;
use bursar_domain::purchase::PurchaseState;
use bursar_entity::{organization, pool, purchase, service};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, Set, Unchanged};
use serde_json::json;
use uuid::Uuid;

use super::lock;
use crate::audit::{self, Change};
use crate::auth::{Actor, Authorized};
use crate::clock::Clock;
use crate::context::Context;
use crate::db::{self, Fault, Tenant, Txn, fault};
use crate::error::{Conflict, Error, Result};
use crate::organizations::lock_for;
use crate::{ledger, text};

/// What a new pool is to be.
#[derive(Clone, Debug)]
pub struct NewPool {
    /// Its name, unique in the organization.
    pub name: String,
    /// The codes of the services that it pays for; none: all.
    pub allowed_services: Option<Vec<String>>,
}

/// What to change; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct PoolPatch {
    /// A new name.
    pub name: Option<String>,
    /// The codes of the services that it pays for; `Some(None)`: all.
    pub allowed_services: Option<Option<Vec<String>>>,
}

/// Creates a pool without credits.
pub async fn create(
    context: &Context,
    organization: &Authorized<organization::Model>,
    new: NewPool,
) -> Result<pool::Model> {
    let name = text::name("name", &new.name)?;
    let new = NewPool { name, ..new };
    let (tenant, actor, clock) = (organization.tenant(), organization.actor().clone(), context.clock.clone());
    let work = db::work(move |txn| {
        let (actor, clock, new) = (actor.clone(), clock.clone(), new.clone());
        Box::pin(async move {
            lock_for(txn, tenant, &actor).await?;
            create_in(txn, (tenant, &actor), &clock, new).await
        })
    });
    taken(context.db.write(tenant, work).await)
}

/// Creates a pool without credits inside another room's transaction. Its name has been checked.
pub async fn create_in(
    txn: &Txn,
    (tenant, actor): (Tenant, &Actor),
    clock: &Clock,
    new: NewPool,
) -> Result<pool::Model> {
    let (id, account, now) = (clock.new_id(), clock.new_id(), clock.now());
    let row = pool::Model {
        organization_id: tenant.id(),
        id,
        name: new.name,
        allowed_services: encode_services(txn, new.allowed_services).await?,
        frozen_at: None,
        frozen_reason: None,
        archived_at: None,
        created_at: now,
        seal: None,
    };
    let row = sealed(row);
    pool::Entity::insert(row.clone().into_active_model()).exec_without_returning(txn).await?;
    ledger::open_pool(txn, tenant, id, account, now).await?;
    audit::record(txn, tenant, clock, actor, Change::created("createPool", id, facts(&row))).await?;
    Ok(row)
}

/// Changes a pool.
pub async fn update(
    context: &Context,
    pool: &Authorized<pool::Model>,
    patch: PoolPatch,
) -> Result<pool::Model> {
    let name = patch.name.as_deref().map(|name| text::name("name", name)).transpose()?;
    let (tenant, actor, clock, id) = (pool.tenant(), pool.actor().clone(), context.clock.clone(), pool.id);
    let work = db::work(move |txn| {
        let (actor, clock, name) = (actor.clone(), clock.clone(), name.clone());
        let services = patch.allowed_services.clone();
        Box::pin(async move {
            lock_for(txn, tenant, &actor).await?;
            let (before, _) = lock(txn, tenant, id).await?;
            let allowed_services = match services {
                Some(services) => encode_services(txn, services).await?,
                None => before.allowed_services.clone(),
            };
            let name = name.unwrap_or_else(|| before.name.clone());
            let after = pool::Model { name, allowed_services, ..before.clone() };
            if after == before {
                return Ok(before);
            }
            let after = write(txn, after).await?;
            let change = Change::updated("updatePool", id, facts(&before), facts(&after));
            audit::record(txn, tenant, &clock, &actor, change).await?;
            Ok(after)
        })
    });
    taken(context.db.write(tenant, work).await)
}

/// Archives a pool, unless it is frozen or still has credits, holds, debt or a purchase under way.
pub async fn archive(context: &Context, pool: &Authorized<pool::Model>) -> Result<pool::Model> {
    let (tenant, actor, clock, id) = (pool.tenant(), pool.actor().clone(), context.clock.clone(), pool.id);
    let work = db::work(move |txn| {
        let (actor, clock) = (actor.clone(), clock.clone());
        Box::pin(async move {
            lock_for(txn, tenant, &actor).await?;
            let (before, head) = lock(txn, tenant, id).await?;
            if before.archived_at.is_some() {
                return Ok(before);
            }
            if before.frozen_at.is_some() {
                // A payment may have arrived whose credits come when it is opened.
                return Err(Error::Refused(Refusal::PoolFrozen));
            }
            if head.posted > 0 || head.held > 0 || head.debt < 0 {
                let reason = "The pool still has credits, holds or debt.";
                return Err(Error::conflict(Conflict::NotEmpty, "poolId", reason));
            }
            let under_way = PurchaseState::ALL.iter().copied().filter(|state| !state.is_final());
            let purchases = tenant
                .find::<purchase::Entity>()
                .filter(purchase::Column::PoolId.eq(id))
                .filter(purchase::Column::State.is_in(under_way));
            if purchases.count(txn).await? > 0 {
                let reason = "A purchase for the pool is under way; cancel it first.";
                return Err(Error::conflict(Conflict::NotEmpty, "poolId", reason));
            }
            let archived_at = Some(clock.now());
            let after = pool::Model { archived_at, ..before };
            let after = write(txn, after).await?;
            let (was, is) = (json!({ "archived": false }), json!({ "archived": true }));
            audit::record(txn, tenant, &clock, &actor, Change::updated("archivePool", id, was, is)).await?;
            Ok(after)
        })
    });
    context.db.write(tenant, work).await
}

/// Writes what can change of a pool's row, sealed, and answers it. The pool's head is locked.
pub(super) async fn write(txn: &Txn, row: pool::Model) -> Result<pool::Model> {
    let written = sealed(row);
    let row = written.clone();
    let row = pool::ActiveModel {
        organization_id: Unchanged(row.organization_id),
        id: Unchanged(row.id),
        name: Set(row.name),
        allowed_services: Set(row.allowed_services),
        frozen_at: Set(row.frozen_at),
        frozen_reason: Set(row.frozen_reason),
        archived_at: Set(row.archived_at),
        seal: Set(row.seal),
        ..Default::default()
    };
    pool::Entity::update(row).exec_without_returning(txn).await?;
    Ok(written)
}

/// The row with the seal that belongs to it.
fn sealed(row: pool::Model) -> pool::Model {
    let seal = Some(ledger::of_pool(&row));
    pool::Model { seal, ..row }
}

/// Service codes as the list of ids that the row keeps.
async fn encode_services(txn: &Txn, codes: Option<Vec<String>>) -> Result<Option<String>> {
    let Some(codes) = codes else { return Ok(None) };
    let known = service::Entity::find().all(txn).await?;
    let mut ids: Vec<Uuid> = Vec::with_capacity(codes.len());
    for (index, code) in codes.iter().enumerate() {
        let service = known.iter().find(|service| service.code == *code);
        let id: ServiceId =
            service.ok_or_else(|| Error::not_found("service").at(format!("allowedServices.{index}")))?.id;
        ids.push(Uuid::from_u128(id.as_u128()));
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(Some(json!(ids).to_string()))
}

fn facts(row: &pool::Model) -> serde_json::Value {
    json!({ "name": row.name, "allowedServices": row.allowed_services })
}

fn taken<T>(outcome: Result<T>) -> Result<T> {
    match outcome {
        Err(Error::Database(error)) if matches!(fault(&error), Fault::Unique(_)) => {
            Err(Error::conflict(Conflict::Taken, "name", "Another pool of the organization has this name."))
        }
        outcome => outcome,
    }
}
