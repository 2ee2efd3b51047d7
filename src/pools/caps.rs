//! Spending caps: how much a department, a member or a service may use of a pool in a period.
//!
//! Each change locks the pool's head, and with it all that the ledger's decisions read of the pool; rows of
//! caps and raises raise the pool's revision themselves, so that the next command goes by them. A cap that is
//! made in the middle of a period counts what has been used in it so far. Nobody sets a cap on themselves.

use bursar_domain::id::{CapId, DepartmentId, MembershipId, PoolId, ServiceId, UserId};
use bursar_domain::ledger::Refusal;
use bursar_domain::period::{Period, PeriodKind};
use bursar_domain::{Credits, Timestamp};
use bursar_entity::{department, membership, organization, pool, service, spending_cap};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, Set, Unchanged};
use serde_json::{Value, json};

use super::{active, lock};
use crate::audit::{self, Change};
use crate::auth::{Actor, Authorized};
use crate::context::Context;
use crate::db::{self, Tenant, Txn};
use crate::error::{Conflict, Error, Result};
use crate::organizations::lock_for;
use crate::{global_id, ledger, periods};

/// The most caps of a pool: every charge looks at all of them.
const MAX_CAPS: usize = 500;

/// Whose use a new cap is to limit.
#[derive(Clone, Debug)]
pub enum NewCapScope {
    /// A department's.
    Department(DepartmentId),
    /// A member's.
    Member(MembershipId),
    /// That of the service with a code, by whomever.
    Service(String),
}

/// What a new cap is to be.
#[derive(Clone, Debug)]
pub struct NewCap {
    /// Whose use it limits.
    pub scope: NewCapScope,
    /// How much may be used in a period.
    pub credits: Credits,
    /// The kind of its periods; none: one that never ends.
    pub period: Option<PeriodKind>,
}

/// Makes a cap. What has been used in the current period so far counts.
pub async fn create_cap(
    context: &Context,
    pool: &Authorized<pool::Model>,
    new: NewCap,
) -> Result<spending_cap::Model> {
    let (tenant, actor, clock, pool) = (pool.tenant(), pool.actor().clone(), context.clock.clone(), pool.id);
    let id: CapId = clock.new_id();
    // Nearly all of what counts is counted before anybody has to wait.
    let before = {
        let snapshot = context.db.read(tenant).await?;
        let limited = limited(&snapshot, tenant, &new.scope).await?;
        let row = row((tenant, pool, id), limited, &new, clock.now());
        let period = period_at(&snapshot, tenant, new.period, row.created_at).await?;
        ledger::count_cap(&snapshot, &row, period).await?
    };
    let work = db::work(move |txn| {
        let (actor, clock, new) = (actor.clone(), clock.clone(), new.clone());
        Box::pin(async move {
            lock_for(txn, tenant, &actor).await?;
            let (settings, head) = lock(txn, tenant, pool).await?;
            active(txn, tenant).await?;
            if settings.archived_at.is_some() {
                return Err(Error::Refused(Refusal::PoolArchived));
            }
            // In a pool time never runs back.
            let now = clock.now().max(head.clock);
            let limited = limited(txn, tenant, &new.scope).await?;
            let row = row((tenant, pool, id), limited, &new, now);
            not_on_oneself(&actor, &row)?;
            not_taken(txn, tenant, &row).await?;
            spending_cap::Entity::insert(row.clone().into_active_model()).exec_without_returning(txn).await?;
            let period = period_at(txn, tenant, row.period, now).await?;
            ledger::open_cap(txn, &row, period, Some(before)).await?;
            let change = Change::created("createSpendingCap", id, facts(&row));
            audit::record(txn, tenant, &clock, &actor, change).await?;
            Ok(row)
        })
    });
    context.db.write(tenant, work).await
}

/// The row of a cap to come.
fn row(
    (tenant, pool_id, id): (Tenant, PoolId, CapId),
    (department_id, user_id, service_id): Limited,
    new: &NewCap,
    created_at: Timestamp,
) -> spending_cap::Model {
    spending_cap::Model {
        organization_id: tenant.id(),
        id,
        pool_id,
        department_id,
        user_id,
        service_id,
        credits: new.credits,
        period: new.period,
        removed_at: None,
        created_at,
    }
}

/// Changes how much may be used. What has been used stays used.
pub async fn update_cap(
    context: &Context,
    cap: &Authorized<spending_cap::Model>,
    credits: Credits,
) -> Result<spending_cap::Model> {
    let (tenant, actor, clock) = (cap.tenant(), cap.actor().clone(), context.clock.clone());
    let (id, pool) = (cap.id, cap.pool_id);
    let work = db::work(move |txn| {
        let (actor, clock) = (actor.clone(), clock.clone());
        Box::pin(async move {
            lock_for(txn, tenant, &actor).await?;
            lock(txn, tenant, pool).await?;
            active(txn, tenant).await?;
            let before = find(txn, tenant, (pool, id)).await.map_err(|error| error.at("capId"))?;
            not_on_oneself(&actor, &before)?;
            not_removed(&before)?;
            if before.credits == credits {
                return Ok(before);
            }
            let after = spending_cap::Model { credits, ..before.clone() };
            write(txn, &after).await?;
            let change = Change::updated("updateSpendingCap", id, facts(&before), facts(&after));
            audit::record(txn, tenant, &clock, &actor, change).await?;
            Ok(after)
        })
    });
    context.db.write(tenant, work).await
}

/// Removes a cap: from now on it limits nothing. One that is removed already stays so.
pub async fn remove_cap(
    context: &Context,
    cap: &Authorized<spending_cap::Model>,
) -> Result<spending_cap::Model> {
    let (tenant, actor, clock) = (cap.tenant(), cap.actor().clone(), context.clock.clone());
    let (id, pool) = (cap.id, cap.pool_id);
    let work = db::work(move |txn| {
        let (actor, clock) = (actor.clone(), clock.clone());
        Box::pin(async move {
            lock_for(txn, tenant, &actor).await?;
            lock(txn, tenant, pool).await?;
            active(txn, tenant).await?;
            let before = find(txn, tenant, (pool, id)).await.map_err(|error| error.at("capId"))?;
            not_on_oneself(&actor, &before)?;
            if before.removed_at.is_some() {
                return Ok(before);
            }
            let after = spending_cap::Model { removed_at: Some(clock.now()), ..before.clone() };
            write(txn, &after).await?;
            let change = Change::removed("removeSpendingCap", id, facts(&before));
            audit::record(txn, tenant, &clock, &actor, change).await?;
            Ok(after)
        })
    });
    context.db.write(tenant, work).await
}

/// A cap of a pool whose head is locked.
pub(super) async fn find(
    txn: &Txn,
    tenant: Tenant,
    (pool, cap): (PoolId, CapId),
) -> Result<spending_cap::Model> {
    let select = tenant
        .find::<spending_cap::Entity>()
        .filter(spending_cap::Column::Id.eq(cap))
        .filter(spending_cap::Column::PoolId.eq(pool));
    select.one(txn).await?.ok_or(Error::not_found("cap"))
}

/// Nobody makes, changes, raises or removes a cap on themselves.
pub(super) fn not_on_oneself(actor: &Actor, row: &spending_cap::Model) -> Result<()> {
    let own = row.user_id.is_some() && row.user_id == actor.user_id();
    if own { Err(Error::Forbidden) } else { Ok(()) }
}

pub(super) fn not_removed(row: &spending_cap::Model) -> Result<()> {
    match row.removed_at {
        Some(_) => Err(Error::conflict(Conflict::State, "capId", "The cap has been removed.")),
        None => Ok(()),
    }
}

/// What a cap's row says of whose use it limits: exactly one of them.
type Limited = (Option<DepartmentId>, Option<UserId>, Option<ServiceId>);

/// Finds whose use a new cap is to limit.
async fn limited(txn: &Txn, tenant: Tenant, scope: &NewCapScope) -> Result<Limited> {
    match scope {
        NewCapScope::Department(id) => {
            let row = tenant.find::<department::Entity>().filter(department::Column::Id.eq(*id));
            let row = row.one(txn).await?.ok_or(Error::not_found("department").at("scope.departmentId"))?;
            if row.archived_at.is_some() {
                let reason = "The department has been archived.";
                return Err(Error::conflict(Conflict::State, "scope.departmentId", reason));
            }
            Ok((Some(row.id), None, None))
        }
        NewCapScope::Member(id) => {
            let row = tenant.find::<membership::Entity>().filter(membership::Column::Id.eq(*id));
            let row = row.one(txn).await?.ok_or(Error::not_found("member").at("scope.memberId"))?;
            Ok((None, Some(row.user_id), None))
        }
        NewCapScope::Service(code) => {
            let row =
                service::Entity::find().filter(service::Column::Code.eq(code.as_str())).one(txn).await?;
            let row = row.ok_or(Error::not_found("service").at("scope.service"))?;
            Ok((None, None, Some(row.id)))
        }
    }
}

/// A pool has one cap for the same use and kind of period, and not too many altogether.
async fn not_taken(txn: &Txn, tenant: Tenant, new: &spending_cap::Model) -> Result<()> {
    let live = tenant
        .find::<spending_cap::Entity>()
        .filter(spending_cap::Column::PoolId.eq(new.pool_id))
        .filter(spending_cap::Column::RemovedAt.is_null());
    let live = live.all(txn).await?;
    let of = |row: &spending_cap::Model| (row.department_id, row.user_id, row.service_id, row.period);
    if live.iter().any(|known| of(known) == of(new)) {
        let reason = "The pool has a cap for this already, with the same period.";
        return Err(Error::conflict(Conflict::Taken, "scope", reason));
    }
    if live.len() >= MAX_CAPS {
        let reason = format!("A pool has at most {MAX_CAPS} caps.");
        return Err(Error::conflict(Conflict::State, "poolId", reason));
    }
    Ok(())
}

/// The period that a cap begins in.
async fn period_at(txn: &Txn, tenant: Tenant, kind: Option<PeriodKind>, at: Timestamp) -> Result<Period> {
    let Some(kind) = kind else { return Ok(Period::EVER) };
    let organization = tenant.find::<organization::Entity>().one(txn).await?;
    let organization = organization.ok_or(Error::not_found("organization"))?;
    let period = periods::calendar(&organization.time_zone, at)?.period(kind, at);
    period.ok_or_else(|| Error::internal("no calendar covers the present"))
}

async fn write(txn: &Txn, row: &spending_cap::Model) -> Result<()> {
    let row = spending_cap::ActiveModel {
        organization_id: Unchanged(row.organization_id),
        id: Unchanged(row.id),
        credits: Set(row.credits),
        removed_at: Set(row.removed_at),
        ..Default::default()
    };
    spending_cap::Entity::update(row).exec_without_returning(txn).await?;
    Ok(())
}

fn facts(row: &spending_cap::Model) -> Value {
    json!({
        "pool": global_id::encode(row.pool_id),
        "department": row.department_id.map(global_id::encode),
        "user": row.user_id.map(global_id::encode),
        "service": row.service_id.map(global_id::encode),
        "credits": row.credits.get(),
        "period": row.period.map(|kind| kind.as_str()),
    })
}
