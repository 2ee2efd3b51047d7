//! Raises of spending caps: for a time more may be used, and the row keeps who has allowed it.
//!
//! The cap's pool is locked first, as for every change of a cap. [`raise_in`] does it inside another room's
//! transaction.

use bursar_domain::id::{CapId, PoolId, RaiseId};
use bursar_domain::{Credits, Timestamp};
use bursar_entity::{spending_cap, spending_cap_raise};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};
use serde_json::json;

use super::caps::{find, not_on_oneself, not_removed};
use super::{active, lock};
use crate::audit::{self, Change};
use crate::auth::{Actor, Authorized};
use crate::clock::Clock;
use crate::context::Context;
use crate::db::{self, Tenant, Txn};
use crate::error::{Conflict, Error, Result};
use crate::organizations::lock_for;
use crate::{global_id, text};

/// For how many days at most a cap is raised.
const MAX_DAYS: i64 = 366;
/// The most raises of a cap that hold at the same time.
const MAX_RAISES: usize = 100;

/// A raise that is asked for.
#[derive(Clone, Debug)]
pub struct NewRaise {
    /// By how much.
    pub credits: Credits,
    /// Until when.
    pub until: Timestamp,
    /// Why.
    pub reason: Option<String>,
}

/// The fields of the input that say which cap is raised, by how much and until when.
#[derive(Clone, Copy, Debug)]
pub struct RaiseFields {
    /// Which cap.
    pub cap: &'static str,
    /// By how much.
    pub credits: &'static str,
    /// Until when.
    pub until: &'static str,
}

/// The fields of an input that is about nothing else.
const PLAIN: RaiseFields = RaiseFields { cap: "capId", credits: "credits", until: "until" };

/// Raises a cap for a time.
pub async fn raise_cap(
    context: &Context,
    cap: &Authorized<spending_cap::Model>,
    new: NewRaise,
) -> Result<(spending_cap::Model, spending_cap_raise::Model)> {
    let reason = text::optional_note("reason", new.reason.as_deref())?;
    let new = NewRaise { reason, ..new };
    let (tenant, actor, clock) = (cap.tenant(), cap.actor().clone(), context.clock.clone());
    let cap = (cap.pool_id, cap.id);
    let work = db::work(move |txn| {
        let (actor, clock, new) = (actor.clone(), clock.clone(), new.clone());
        Box::pin(async move {
            lock_for(txn, tenant, &actor).await?;
            raise_in(txn, (tenant, &actor), &clock, cap, (&new, PLAIN)).await
        })
    });
    context.db.write(tenant, work).await
}

/// Raises a cap of a pool inside a transaction. The reason has been checked.
pub async fn raise_in(
    txn: &Txn,
    (tenant, actor): (Tenant, &Actor),
    clock: &Clock,
    (pool, cap): (PoolId, CapId),
    (new, fields): (&NewRaise, RaiseFields),
) -> Result<(spending_cap::Model, spending_cap_raise::Model)> {
    lock(txn, tenant, pool).await?;
    active(txn, tenant).await?;
    let row = find(txn, tenant, (pool, cap)).await.map_err(|error| error.at(fields.cap))?;
    not_on_oneself(actor, &row)?;
    not_removed(&row)?;
    let now = clock.now();
    if new.credits.is_zero() {
        return Err(Error::invalid(fields.credits, "must be at least 1"));
    }
    if new.until <= now {
        return Err(Error::invalid(fields.until, "must lie in the future"));
    }
    if new.until > now.plus_days(MAX_DAYS) {
        return Err(Error::invalid(fields.until, format!("must be within {MAX_DAYS} days")));
    }
    let holding = tenant
        .find::<spending_cap_raise::Entity>()
        .filter(spending_cap_raise::Column::CapId.eq(cap))
        .filter(spending_cap_raise::Column::Until.gt(now));
    let holding = holding.all(txn).await?;
    // The same raise by the same person is no second one: a request that comes again changes nothing.
    let equal = |row: &&spending_cap_raise::Model| {
        (row.credits, row.until, &row.reason) == (new.credits, new.until, &new.reason)
            && (row.actor_kind, row.actor_id) == (actor.kind, actor.id)
    };
    if let Some(known) = holding.iter().find(equal) {
        return Ok((row, known.clone()));
    }
    if holding.len() >= MAX_RAISES {
        let reason = format!("A cap has at most {MAX_RAISES} raises at the same time.");
        return Err(Error::conflict(Conflict::State, fields.cap, reason));
    }
    let raise = spending_cap_raise::Model {
        organization_id: tenant.id(),
        id: clock.new_id::<RaiseId>(),
        pool_id: pool,
        cap_id: cap,
        credits: new.credits,
        until: new.until,
        actor_kind: actor.kind,
        actor_id: actor.id,
        reason: new.reason.clone(),
        created_at: now,
    };
    spending_cap_raise::Entity::insert(raise.clone().into_active_model()).exec_without_returning(txn).await?;
    let facts = json!({
        "cap": global_id::encode(cap),
        "credits": raise.credits.get(),
        "untilMicros": raise.until.micros(),
    });
    let change = Change::created("raiseSpendingCap", raise.id, facts);
    audit::record(txn, tenant, clock, actor, change).await?;
    Ok((row, raise))
}
