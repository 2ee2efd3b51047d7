//! Closing a pool to writing, and opening it again.
//!
//! Both hold the pool's head, so that what is being booked is done before or refused after. Opening a pool has
//! a second part, which purchases know of: see `purchases::unfreeze`.

use bursar_domain::ledger::Refusal;
use bursar_entity::pool;
use serde_json::json;

use super::lock;
use super::settings::write;
use crate::audit::{self, Change};
use crate::auth::Authorized;
use crate::context::Context;
use crate::db::{self, Txn};
use crate::error::{Error, Result};
use crate::organizations::lock_for;
use crate::text;

/// Closes a pool to writing. One that is closed already stays as it is, with the reason that it was given.
pub async fn freeze(context: &Context, pool: &Authorized<pool::Model>, reason: &str) -> Result<pool::Model> {
    let reason = text::optional_note("reason", Some(reason))?;
    let (tenant, actor, clock, id) = (pool.tenant(), pool.actor().clone(), context.clock.clone(), pool.id);
    let work = db::work(move |txn| {
        let (actor, clock, reason) = (actor.clone(), clock.clone(), reason.clone());
        Box::pin(async move {
            lock_for(txn, tenant, &actor).await?;
            let (before, _) = lock(txn, tenant, id).await?;
            if before.archived_at.is_some() {
                return Err(Error::Refused(Refusal::PoolArchived));
            }
            if before.frozen_at.is_some() {
                return Ok(before);
            }
            let frozen_at = Some(clock.now());
            let after = pool::Model { frozen_at, frozen_reason: reason, ..before.clone() };
            let after = write(txn, after).await?;
            let change = Change::updated("freezePool", id, facts(&before), facts(&after));
            audit::record(txn, tenant, &clock, &actor, change).await?;
            Ok(after)
        })
    });
    context.db.write(tenant, work).await
}

/// Opens a pool inside the transaction of another room, and holds on to its head. Answers, when it was closed, what
/// is to be recorded of that once everything else has been locked. The reason is one that has been checked.
pub async fn thaw(
    txn: &Txn,
    pool: &Authorized<pool::Model>,
    reason: Option<&str>,
) -> Result<(pool::Model, Option<Change>)> {
    let (tenant, id) = (pool.tenant(), pool.id);
    let (before, _) = lock(txn, tenant, id).await?;
    if before.frozen_at.is_none() {
        return Ok((before, None));
    }
    let after = pool::Model { frozen_at: None, frozen_reason: None, ..before.clone() };
    let after = write(txn, after).await?;
    let is = json!({ "frozen": false, "reason": reason });
    Ok((after, Some(Change::updated("unfreezePool", id, facts(&before), is))))
}

fn facts(row: &pool::Model) -> serde_json::Value {
    json!({ "frozen": row.frozen_at.is_some(), "reason": row.frozen_reason })
}
