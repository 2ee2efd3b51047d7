//! Credit requests: somebody of a department asks a pool's administrators for credits, and may take that back
//! as long as nobody has answered. Answering is in the room of purchases, because an answer can be one.
//!
//! A request's row is locked after the organization and its purchases, and before the pool's head.

use bursar_domain::Credits;
use bursar_domain::id::{CreditRequestId, DepartmentId};
use bursar_domain::ledger::Refusal;
use bursar_domain::permission::Action;
use bursar_domain::request::CreditRequestState;
use bursar_entity::{credit_request, department, pool};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect, Set, Unchanged};
use serde_json::json;

use super::active;
use crate::audit::{self, Change};
use crate::auth::{Authorized, Caller};
use crate::context::Context;
use crate::db::{self, Tenant, Txn};
use crate::error::{Conflict, Error, Result};
use crate::organizations::lock_for;
use crate::{global_id, text};

/// What somebody asks for.
#[derive(Clone, Debug)]
pub struct NewCreditRequest {
    /// The department that the credits are for.
    pub department: DepartmentId,
    /// How many.
    pub credits: Credits,
    /// Why.
    pub reason: Option<String>,
}

/// Asks a pool, which the caller sees, for credits for a department.
pub async fn request_credits(
    context: &Context,
    caller: &Caller,
    pool: &Authorized<pool::Model>,
    new: NewCreditRequest,
) -> Result<credit_request::Model> {
    may_ask(caller, pool, new.department)?;
    let reason = text::optional_note("reason", new.reason.as_deref())?;
    if new.credits.is_zero() {
        return Err(Error::invalid("credits", "must be at least 1"));
    }
    let (tenant, actor, clock) = (pool.tenant(), pool.actor().clone(), context.clock.clone());
    let row = credit_request::Model {
        organization_id: tenant.id(),
        id: clock.new_id::<CreditRequestId>(),
        pool_id: pool.id,
        department_id: new.department,
        requested_by: actor.user_id().ok_or(Error::Forbidden)?,
        credits: new.credits,
        reason,
        state: CreditRequestState::Open,
        resolved_by: None,
        resolved_at: None,
        note: None,
        entry_id: None,
        raise_id: None,
        purchase_id: None,
        idempotency_key: None,
        request_hash: None,
        created_at: clock.now(),
    };
    let work = db::work(move |txn| {
        let (row, actor, clock) = (row.clone(), actor.clone(), clock.clone());
        Box::pin(async move {
            lock_for(txn, tenant, &actor).await?;
            active(txn, tenant).await?;
            both_in_use(txn, tenant, &row).await?;
            // The same open request by the same person is no second one: one that comes again changes nothing.
            let known = tenant
                .find::<credit_request::Entity>()
                .filter(credit_request::Column::PoolId.eq(row.pool_id))
                .filter(credit_request::Column::DepartmentId.eq(row.department_id))
                .filter(credit_request::Column::RequestedBy.eq(row.requested_by))
                .filter(credit_request::Column::State.eq(CreditRequestState::Open));
            let equal =
                |known: &credit_request::Model| (known.credits, &known.reason) == (row.credits, &row.reason);
            if let Some(known) = known.all(txn).await?.into_iter().find(equal) {
                return Ok(known);
            }
            credit_request::Entity::insert(row.clone().into_active_model())
                .exec_without_returning(txn)
                .await?;
            let facts = json!({
                "pool": global_id::encode(row.pool_id),
                "department": global_id::encode(row.department_id),
                "credits": row.credits.get(),
            });
            let change = Change::created("requestCredits", row.id, facts);
            audit::record(txn, tenant, &clock, &actor, change).await?;
            Ok(row)
        })
    });
    context.db.write(tenant, work).await
}

/// Takes a request back, as whoever asked. One that is taken back already stays so.
pub async fn withdraw_credit_request(
    context: &Context,
    request: &Authorized<credit_request::Model>,
) -> Result<credit_request::Model> {
    let (tenant, actor, clock) = (request.tenant(), request.actor().clone(), context.clock.clone());
    let id = request.id;
    let work = db::work(move |txn| {
        let (actor, clock) = (actor.clone(), clock.clone());
        Box::pin(async move {
            lock_for(txn, tenant, &actor).await?;
            let before = lock_credit_request(txn, tenant, id).await?;
            if actor.user_id() != Some(before.requested_by) {
                return Err(Error::Forbidden);
            }
            if before.state == CreditRequestState::Withdrawn {
                return Ok(before);
            }
            still_open(&before)?;
            let (state, resolved_at) = (CreditRequestState::Withdrawn, Some(clock.now()));
            let after = credit_request::Model { state, resolved_at, ..before.clone() };
            write_credit_request(txn, &after).await?;
            let (was, is) =
                (json!({ "state": before.state.as_str() }), json!({ "state": after.state.as_str() }));
            let change = Change::updated("withdrawCreditRequest", id, was, is);
            audit::record(txn, tenant, &clock, &actor, change).await?;
            Ok(after)
        })
    });
    context.db.write(tenant, work).await
}

/// Locks a request.
pub async fn lock_credit_request(
    txn: &Txn,
    tenant: Tenant,
    id: CreditRequestId,
) -> Result<credit_request::Model> {
    let select = tenant.find::<credit_request::Entity>().filter(credit_request::Column::Id.eq(id));
    select.lock_exclusive().one(txn).await?.ok_or(Error::not_found("credit request").at("requestId"))
}

/// A request that has been answered, or taken back, is not answered again.
pub fn still_open(request: &credit_request::Model) -> Result<()> {
    let reason = match request.state {
        CreditRequestState::Open => return Ok(()),
        CreditRequestState::Withdrawn => "The request has been taken back.",
        _ => "The request has been answered already.",
    };
    Err(Error::conflict(Conflict::State, "requestId", reason))
}

/// Writes what can change of a request, which is locked.
pub async fn write_credit_request(txn: &Txn, row: &credit_request::Model) -> Result<()> {
    let row = credit_request::ActiveModel {
        organization_id: Unchanged(row.organization_id),
        id: Unchanged(row.id),
        state: Set(row.state),
        resolved_by: Set(row.resolved_by),
        resolved_at: Set(row.resolved_at),
        note: Set(row.note.clone()),
        entry_id: Set(row.entry_id),
        raise_id: Set(row.raise_id),
        purchase_id: Set(row.purchase_id),
        idempotency_key: Set(row.idempotency_key),
        request_hash: Set(row.request_hash),
        ..Default::default()
    };
    credit_request::Entity::update(row).exec_without_returning(txn).await?;
    Ok(())
}

/// Whoever belongs to the department may ask for it, and whoever administers the pool for any.
fn may_ask(caller: &Caller, pool: &Authorized<pool::Model>, department: DepartmentId) -> Result<()> {
    let organization = pool.tenant().id();
    let by_pool = caller.may_in_pool(organization, pool.id, std::iter::empty(), Action::RequestCredits);
    if by_pool || caller.may_in_department(organization, department, Action::RequestCredits) {
        return Ok(());
    }
    // To those who cannot see the department it is not there, like one that does not exist.
    let seen = caller.may_in_department(organization, department, Action::ReadDepartment);
    Err(if seen { Error::Forbidden } else { Error::not_found("department").at("departmentId") })
}

/// Neither the pool nor the department has been archived.
async fn both_in_use(txn: &Txn, tenant: Tenant, row: &credit_request::Model) -> Result<()> {
    let pool = tenant.find::<pool::Entity>().filter(pool::Column::Id.eq(row.pool_id));
    let pool = pool.one(txn).await?.ok_or(Error::not_found("pool").at("poolId"))?;
    if pool.archived_at.is_some() {
        return Err(Error::Refused(Refusal::PoolArchived));
    }
    let department = tenant.find::<department::Entity>().filter(department::Column::Id.eq(row.department_id));
    let department = department.one(txn).await?.ok_or(Error::not_found("department").at("departmentId"))?;
    if department.archived_at.is_some() {
        return Err(Error::Refused(Refusal::DepartmentArchived));
    }
    Ok(())
}
