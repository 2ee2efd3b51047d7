//! Who administers a pool.

use bursar_domain::id::MembershipId;
use bursar_entity::{pool, pool_administrator};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};
use serde_json::json;

use super::lock;
use crate::approvals;
use crate::audit::{self, Change};
use crate::auth::Authorized;
use crate::context::Context;
use crate::db;
use crate::error::{Error, Result};
use crate::global_id;
use crate::organizations::{lock_for, lock_member};

/// Names a member of the organization administrator of a pool. Naming one again changes nothing. Nobody names
/// themselves: the grant would outlast the role that it was given by.
///
/// # Errors
/// [`Error::Forbidden`] for oneself; not found, when there is no such member.
pub async fn add_administrator(
    context: &Context,
    pool: &Authorized<pool::Model>,
    member: MembershipId,
) -> Result<()> {
    let (tenant, actor, clock, id) = (pool.tenant(), pool.actor().clone(), context.clock.clone(), pool.id);
    let work = db::work(move |txn| {
        let (actor, clock) = (actor.clone(), clock.clone());
        Box::pin(async move {
            lock_for(txn, tenant, &actor).await?;
            lock(txn, tenant, id).await?;
            let user_id = lock_member(txn, tenant, member).await?.user_id;
            let named = tenant
                .find::<pool_administrator::Entity>()
                .filter(pool_administrator::Column::PoolId.eq(id))
                .filter(pool_administrator::Column::UserId.eq(user_id));
            if named.one(txn).await?.is_some() {
                return Ok(Vec::new());
            }
            if actor.user_id() == Some(user_id) {
                return Err(Error::Forbidden);
            }
            let (organization_id, created_at) = (tenant.id(), clock.now());
            let row = pool_administrator::Model { organization_id, pool_id: id, user_id, created_at };
            pool_administrator::Entity::insert(row.into_active_model()).exec_without_returning(txn).await?;
            let touched = approvals::people_changed(txn, tenant, &clock).await?;
            let facts = json!({ "member": global_id::encode(member) });
            audit::record(txn, tenant, &clock, &actor, Change::created("addPoolAdministrator", id, facts))
                .await?;
            touched.record(txn, tenant, &clock, &actor).await
        })
    });
    let requests = context.db.write(tenant, work).await?;
    approvals::announce(context, tenant, &requests);
    Ok(())
}

/// Dismisses an administrator of a pool.
pub async fn remove_administrator(
    context: &Context,
    pool: &Authorized<pool::Model>,
    member: MembershipId,
) -> Result<()> {
    let (tenant, actor, clock, id) = (pool.tenant(), pool.actor().clone(), context.clock.clone(), pool.id);
    let work = db::work(move |txn| {
        let (actor, clock) = (actor.clone(), clock.clone());
        Box::pin(async move {
            lock_for(txn, tenant, &actor).await?;
            lock(txn, tenant, id).await?;
            let user = lock_member(txn, tenant, member).await?.user_id;
            let gone = pool_administrator::Entity::delete_by_id((tenant.id(), id, user)).exec(txn).await?;
            if gone.rows_affected == 0 {
                return Err(Error::not_found("administrator").at("memberId"));
            }
            let touched = approvals::people_changed(txn, tenant, &clock).await?;
            let facts = json!({ "member": global_id::encode(member) });
            audit::record(txn, tenant, &clock, &actor, Change::removed("removePoolAdministrator", id, facts))
                .await?;
            touched.record(txn, tenant, &clock, &actor).await
        })
    });
    let requests = context.db.write(tenant, work).await?;
    approvals::announce(context, tenant, &requests);
    Ok(())
}
