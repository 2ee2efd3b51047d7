//! Revoking a key: from the commit on it is no longer good, on every node.

use bursar_domain::Timestamp;
use bursar_domain::id::UserId;
use bursar_domain::permission::Action;
use bursar_entity::api_key;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect, Set, Unchanged};
use serde_json::json;

use super::{lock, lock_key};
use crate::audit::{self, Change};
use crate::auth::{Authorized, Caller};
use crate::context::Context;
use crate::db::{self, Tenant, Txn};
use crate::error::{Error, Result};

/// Revokes a key, in organizations that may only read too. One that has been revoked stays so.
///
/// # Errors
/// [`Error::Forbidden`] when the caller has lost the right meanwhile.
pub async fn revoke(
    context: &Context,
    caller: &Caller,
    key: &Authorized<api_key::Model>,
) -> Result<api_key::Model> {
    let (tenant, actor, clock) = (key.tenant(), key.actor().clone(), context.clock.clone());
    let (id, caller) = (key.id, caller.clone());
    let work = db::work(move |txn| {
        let (actor, clock, caller) = (actor.clone(), clock.clone(), caller.clone());
        Box::pin(async move {
            let caller = lock(txn, tenant, caller, false).await?;
            if !caller.may_in_organization(tenant.id(), Action::ManageApiKeys) {
                return Err(Error::Forbidden);
            }
            let before = lock_key(txn, tenant, id).await?;
            if before.revoked_at.is_some() {
                return Ok(before);
            }
            let (after, change) = end(txn, before, clock.now()).await?;
            audit::record(txn, tenant, &clock, &actor, change).await?;
            Ok(after)
        })
    });
    context.db.write(tenant, work).await
}

/// Revokes all keys of an organization, or of the vendor, that a person has made: nobody would answer for them any
/// more. Answers what is to be recorded of that. The organization is locked.
///
/// # Errors
/// What the database answers.
pub async fn revoke_made_by(
    txn: &Txn,
    tenant: Tenant,
    now: Timestamp,
    person: UserId,
) -> Result<Vec<Change>> {
    let keys = tenant
        .find::<api_key::Entity>()
        .filter(api_key::Column::CreatedBy.eq(person))
        .filter(api_key::Column::RevokedAt.is_null())
        .lock_exclusive();
    let mut changes = Vec::new();
    for row in keys.all(txn).await? {
        changes.push(end(txn, row, now).await?.1);
    }
    Ok(changes)
}

/// Revokes a key that is locked, and answers what is to be recorded of that.
async fn end(txn: &Txn, before: api_key::Model, now: Timestamp) -> Result<(api_key::Model, Change)> {
    let after = api_key::Model { revoked_at: Some(now), ..before };
    let row = api_key::ActiveModel {
        organization_id: Unchanged(after.organization_id),
        id: Unchanged(after.id),
        revoked_at: Set(after.revoked_at),
        ..Default::default()
    };
    api_key::Entity::update(row).exec_without_returning(txn).await?;
    let facts = |revoked: bool| json!({ "revoked": revoked });
    let change = Change::updated("revokeApiKey", after.id, facts(false), facts(true));
    Ok((after, change))
}
