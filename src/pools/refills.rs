//! What people set of an allocation: whether it draws on the pool when it is used up, and how it is refilled.
//!
//! The pool's head is locked, since the ledger's decisions read all of this. The first period is the one that
//! has begun already: the first refill comes when it ends.

use bursar_domain::id::{AccountId, DepartmentId};
use bursar_domain::ledger::{Overflow, Refusal};
use bursar_domain::period::PeriodKind;
use bursar_domain::{Credits, Timestamp};
use bursar_entity::{account, department, organization, pool};
use sea_orm::{ColumnTrait, QueryFilter, QuerySelect};
use serde_json::json;

use super::{active, lock};
use crate::audit::{self, Change};
use crate::auth::Authorized;
use crate::context::Context;
use crate::db::{self, Tenant, Txn};
use crate::error::{Error, Result};
use crate::organizations::lock_for;
use crate::{ledger, periods};

/// How an allocation is to be refilled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewRefill {
    /// It is topped up to this.
    pub credits: Credits,
    /// When: at the beginning of each of these.
    pub period: PeriodKind,
    /// What is left beyond this goes back first; none: all of it stays.
    pub rollover: Option<Credits>,
}

/// What to change of an allocation; what is `None` stays.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllocationPatch {
    /// Whether it draws on the pool.
    pub overflow: Option<Overflow>,
    /// How it is refilled; `Some(None)`: not at all.
    pub refill: Option<Option<NewRefill>>,
}

/// Changes what people set of the allocation of a department, which need not have had credits yet.
pub async fn set_refill(
    context: &Context,
    pool: &Authorized<pool::Model>,
    department: DepartmentId,
    patch: AllocationPatch,
) -> Result<account::Model> {
    if patch.overflow.is_none() && patch.refill.is_none() {
        return Err(Error::invalid("overflow", "or refill must say what is to change"));
    }
    let (tenant, actor, clock, id) = (pool.tenant(), pool.actor().clone(), context.clock.clone(), pool.id);
    let account: AccountId = clock.new_id();
    let work = db::work(move |txn| {
        let (actor, clock) = (actor.clone(), clock.clone());
        Box::pin(async move {
            lock_for(txn, tenant, &actor).await?;
            let (row, head) = lock(txn, tenant, id).await?;
            active(txn, tenant).await?;
            writable(&row)?;
            receiver(txn, tenant, department).await?;
            let now = clock.now().max(head.clock);
            let known = tenant
                .find::<account::Entity>()
                .filter(account::Column::PoolId.eq(id))
                .filter(account::Column::DepartmentId.eq(department));
            let known = known.one(txn).await?;
            let is_new = known.is_none();
            let before = known.unwrap_or_else(|| empty(&row, account, department, now));
            let organization = tenant.find::<organization::Entity>().one(txn).await?;
            let organization = organization.ok_or_else(|| Error::internal("a pool of no organization"))?;
            let after = changed(&before, patch, &organization.time_zone, now)?;
            if after == before && !is_new {
                return Ok(before);
            }
            ledger::set_allocation(txn, &after).await?;
            if is_new {
                // A row that is new raises no revision; one that is written again does, and so whoever keeps
                // the pool in memory finds out that the department has an account.
                ledger::set_allocation(txn, &after).await?;
            }
            let change = match is_new {
                true => Change::created("setAllocationRefill", after.id, facts(&after)),
                false => Change::updated("setAllocationRefill", after.id, facts(&before), facts(&after)),
            };
            audit::record(txn, tenant, &clock, &actor, change).await?;
            Ok(after)
        })
    });
    context.db.write(tenant, work).await
}

fn writable(pool: &pool::Model) -> Result<()> {
    if pool.archived_at.is_some() {
        return Err(Error::Refused(Refusal::PoolArchived));
    }
    if pool.frozen_at.is_some() {
        return Err(Error::Refused(Refusal::PoolFrozen));
    }
    Ok(())
}

/// Locks the department against being archived.
async fn receiver(txn: &Txn, tenant: Tenant, id: DepartmentId) -> Result<()> {
    let row = tenant.find::<department::Entity>().filter(department::Column::Id.eq(id));
    let row = row.lock_shared().one(txn).await?;
    let row = row.ok_or_else(|| Error::not_found("department").at("departmentId"))?;
    match row.archived_at {
        None => Ok(()),
        Some(_) => Err(Error::Refused(Refusal::DepartmentArchived)),
    }
}

/// The account of a department that has had no credits in the pool yet.
fn empty(
    pool: &pool::Model,
    id: AccountId,
    department: DepartmentId,
    created_at: Timestamp,
) -> account::Model {
    account::Model {
        organization_id: pool.organization_id,
        pool_id: pool.id,
        id,
        department_id: Some(department),
        posted: Credits::ZERO,
        held: Credits::ZERO,
        created_at,
        overflow: Overflow::Deny,
        refill_amount: None,
        refill_rollover: None,
        refill_period: None,
        refill_start: None,
        refill_end: None,
        refill_shortfall: None,
        seal: None,
        terms_seal: None,
    }
}

fn changed(
    before: &account::Model,
    patch: AllocationPatch,
    time_zone: &str,
    now: Timestamp,
) -> Result<account::Model> {
    let overflow = patch.overflow.unwrap_or(before.overflow);
    let after = account::Model { overflow, ..before.clone() };
    let Some(refill) = patch.refill else { return Ok(after) };
    let none = account::Model {
        refill_amount: None,
        refill_rollover: None,
        refill_period: None,
        refill_start: None,
        refill_end: None,
        refill_shortfall: None,
        ..after.clone()
    };
    let Some(refill) = refill else { return Ok(none) };
    let set = account::Model {
        refill_amount: Some(refill.credits),
        // No bound at all is the largest there is: the columns are all null or none.
        refill_rollover: Some(refill.rollover.unwrap_or(Credits::MAX)),
        refill_period: Some(refill.period),
        ..after
    };
    if before.refill_period == Some(refill.period) {
        // The period goes on, or has ended and its refill is about to come; neither may be lost. A change of
        // the time zone counts from the next period on.
        return Ok(set);
    }
    let period = periods::calendar(time_zone, now)?.period(refill.period, now);
    let period = period.ok_or_else(|| Error::internal("a calendar does not cover the time it is for"))?;
    Ok(account::Model {
        refill_start: Some(period.start),
        refill_end: Some(period.end),
        refill_shortfall: None,
        ..set
    })
}

fn facts(row: &account::Model) -> serde_json::Value {
    let refill = row.refill_amount.zip(row.refill_rollover).zip(row.refill_period);
    let refill = refill.map(|((credits, rollover), period)| {
        json!({
            "credits": credits.get(),
            "period": period.as_str(),
            "rolloverMax": (rollover != Credits::MAX).then_some(rollover.get()),
        })
    });
    json!({ "overflow": row.overflow.as_str(), "refill": refill })
}
