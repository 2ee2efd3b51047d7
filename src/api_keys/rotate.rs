//! Rotating a key: another one takes its place, and both are good for a while, so that whoever uses the old one can
//! change over.

use bursar_domain::Timestamp;
use bursar_entity::api_key;
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, Set, Unchanged};

use super::{Issued, facts, has_room, lock, lock_key, may_give};
use crate::audit::{self, Change};
use crate::auth::{Authorized, Caller, NewKey};
use crate::context::Context;
use crate::db::{self, Fault, fault};
use crate::error::{Conflict, Error, Result};

/// For how long the old key stays good, unless it is said, in seconds.
pub const USUAL_OVERLAP: i64 = 24 * 3600;
/// For how long it may stay good at most, in seconds.
pub const MAX_OVERLAP: i64 = 7 * 24 * 3600;

/// How a key is to be rotated.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// For how many seconds the old key stays good.
    pub overlap: i64,
    /// From when on the new key is no longer good; none: as long after its making as it was with the old one.
    pub expires_at: Option<Timestamp>,
}

/// Makes a key that may do the same as another one, which stays good for the overlap, or until it expires if that
/// is sooner.
///
/// # Errors
/// [`Conflict::State`] for a key that is no longer good or has been rotated; [`Error::Forbidden`] when it may do
/// what the caller may not.
pub async fn rotate(
    context: &Context,
    caller: &Caller,
    key: &Authorized<api_key::Model>,
    rotation: Rotation,
) -> Result<Issued> {
    if !(0..=MAX_OVERLAP).contains(&rotation.overlap) {
        return Err(Error::invalid("overlapSeconds", format!("must be from 0 to {MAX_OVERLAP}")));
    }
    if rotation.expires_at.is_some_and(|at| at <= context.clock.now()) {
        return Err(Error::invalid("expiresAt", "must be in the future"));
    }
    may_give(caller, key.organization_id, &key.scopes)?;
    let created_by = caller.person().map(|person| person.id).ok_or(Error::Forbidden)?;
    let NewKey { secret, hash, hint } = NewKey::generate(key.mode)?;
    let (tenant, actor, clock) = (key.tenant(), key.actor().clone(), context.clock.clone());
    let (id, new_id, caller) = (key.id, clock.new_id(), caller.clone());
    let work = db::work(move |txn| {
        let (actor, clock, caller) = (actor.clone(), clock.clone(), caller.clone());
        let (hash, hint) = (hash.clone(), hint.clone());
        Box::pin(async move {
            let caller = lock(txn, tenant, caller, true).await?;
            let (old, now) = (lock_key(txn, tenant, id).await?, clock.now());
            may_give(&caller, tenant.id(), &old.scopes)?;
            if old.revoked_at.is_some() || old.expires_at.is_some_and(|at| at <= now) {
                return Err(Error::conflict(Conflict::State, "keyId", "The key is no longer good."));
            }
            let rotated = tenant.find::<api_key::Entity>().filter(api_key::Column::Replaces.eq(id));
            if rotated.count(txn).await? > 0 {
                return Err(rotated_already());
            }
            has_room(txn, tenant, now).await?;
            let lifetime = old.expires_at.map(|at| at.micros().saturating_sub(old.created_at.micros()));
            let same = lifetime.map(|span| Timestamp::from_micros(now.micros().saturating_add(span)));
            let new = api_key::Model {
                id: new_id,
                hash,
                hint,
                created_by,
                created_at: now,
                expires_at: rotation.expires_at.or(same),
                last_used_at: None,
                replaces: Some(id),
                ..old.clone()
            };
            let end = now.plus_seconds(rotation.overlap);
            let end = old.expires_at.map_or(end, |at| at.min(end));
            let ended = api_key::ActiveModel {
                organization_id: Unchanged(tenant.id()),
                id: Unchanged(id),
                expires_at: Set(Some(end)),
                ..Default::default()
            };
            api_key::Entity::update(ended).exec_without_returning(txn).await?;
            api_key::Entity::insert(new.clone().into_active_model()).exec_without_returning(txn).await?;
            let after = api_key::Model { expires_at: Some(end), ..old.clone() };
            let change = Change::updated("rotateApiKey", id, facts(&old)?, facts(&after)?);
            audit::record(txn, tenant, &clock, &actor, change).await?;
            let change = Change::created("rotateApiKey", new.id, facts(&new)?);
            audit::record(txn, tenant, &clock, &actor, change).await?;
            Ok(new)
        })
    });
    match context.db.write(tenant, work).await {
        // A key of the vendor's, by two at once.
        Err(Error::Database(error)) if matches!(fault(&error), Fault::Unique(_)) => Err(rotated_already()),
        outcome => outcome.map(|row| Issued { row, secret }),
    }
}

fn rotated_already() -> Error {
    Error::conflict(Conflict::State, "keyId", "The key has been rotated already.")
}
