//! A difference that was found without a lock is looked at again under the pool's lock, and when it is still
//! there the pool is frozen in the same transaction.

use std::sync::Arc;

use bursar_entity::{pool, pool_head};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect, Set, Unchanged};
use serde_json::json;

use super::super::digest;
use super::replay::Replay;
use super::{Finding, Place, Stop, walk};
use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::clock::Clock;
use crate::context::Context;
use crate::db::{self, Txn};
use crate::error::Result;

/// What has come of looking again.
pub(super) enum Again {
    /// Everything is right; this is the replay at the end of the books.
    Right(Arc<Replay>),
    /// It is still wrong, and the pool is closed to writing.
    Frozen(Box<Finding>),
}

/// Replays a pool from `start` to its end with the pool's head locked, and freezes the pool when a row is
/// wrong.
pub(super) async fn look_again(context: &Context, start: Arc<Replay>, thorough: bool) -> Result<Again> {
    let (place, clock) = (start.place, context.clock.clone());
    let work = db::work(move |txn| {
        let (start, clock) = (Arc::clone(&start), clock.clone());
        Box::pin(async move {
            let head =
                place.tenant.find::<pool_head::Entity>().filter(pool_head::Column::PoolId.eq(place.pool));
            // Only the lock is wanted: a head that cannot be read is for the replay to find.
            let locked = head.select_only().column(pool_head::Column::PoolId).lock_exclusive();
            locked.into_tuple::<bursar_domain::id::PoolId>().one(txn).await?;
            let mut replay = start;
            match walk::finish(txn, &mut replay, thorough).await {
                Ok(()) => Ok(Again::Right(replay)),
                Err(Stop::Failed(error)) => Err(error),
                Err(Stop::Wrong(finding)) => {
                    freeze(txn, place, &clock, &finding).await?;
                    Ok(Again::Frozen(finding))
                }
            }
        })
    });
    context.db.write(place.tenant, work).await
}

/// Closes a pool to writing because of a wrong row, unless it is closed.
async fn freeze(txn: &Txn, place: Place, clock: &Clock, finding: &Finding) -> Result<()> {
    let select = place.tenant.find::<pool::Entity>().filter(pool::Column::Id.eq(place.pool));
    let Some(row) = select.one(txn).await?.filter(|row| row.frozen_at.is_none()) else { return Ok(()) };
    let reason = format!("verification: {finding}");
    let frozen_at = Some(clock.now());
    let after = pool::Model { frozen_at, frozen_reason: Some(reason.clone()), ..row };
    // A pool's row that is wrong itself must not be sealed as it is.
    let seal = if finding.table == "pool" { after.seal.clone() } else { Some(digest::of_pool(&after)) };
    let row = pool::ActiveModel {
        organization_id: Unchanged(after.organization_id),
        id: Unchanged(after.id),
        frozen_at: Set(after.frozen_at),
        frozen_reason: Set(after.frozen_reason),
        seal: Set(seal),
        ..Default::default()
    };
    pool::Entity::update(row).exec_without_returning(txn).await?;
    let (was, is) = (json!({ "frozen": false }), json!({ "frozen": true, "reason": reason }));
    let change = Change::updated("freezePool", place.pool, was, is);
    audit::record(txn, place.tenant, clock, &Actor::system(None), change).await
}
