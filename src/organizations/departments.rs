//! Departments and who is in them.

use bursar_domain::id::{DepartmentId, MembershipId};
use bursar_domain::ledger::HoldState;
use bursar_domain::organization::valid_code;
use bursar_entity::{account, department, department_member, hold, organization};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QuerySelect, Set, Unchanged,
};
use serde_json::json;

use super::{lock_for, lock_member};
use crate::approvals;
use crate::audit::{self, Change};
use crate::auth::Authorized;
use crate::context::Context;
use crate::db::{self, Fault, Tenant, Txn, fault};
use crate::error::{Conflict, Error, Result};
use crate::{global_id, text};

/// What a new department is to be.
#[derive(Clone, Debug)]
pub struct NewDepartment {
    /// Its short name, unique in the organization.
    pub code: String,
    /// Its name.
    pub name: String,
    /// Where its costs are booked.
    pub cost_center: Option<String>,
}

/// What to change; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct DepartmentPatch {
    /// A new short name.
    pub code: Option<String>,
    /// A new name.
    pub name: Option<String>,
    /// A new cost centre, or none at all.
    pub cost_center: Option<Option<String>>,
}

/// Creates a department.
pub async fn create_department(
    context: &Context,
    organization: &Authorized<organization::Model>,
    new: NewDepartment,
) -> Result<department::Model> {
    let row = department::Model {
        organization_id: organization.id,
        id: context.clock.new_id(),
        code: code(&new.code)?,
        name: text::name("name", &new.name)?,
        cost_center: text::optional_name("costCenter", new.cost_center.as_deref())?,
        archived_at: None,
        created_at: context.clock.now(),
    };
    let (tenant, actor, clock) = (organization.tenant(), organization.actor().clone(), context.clock.clone());
    let work = db::work(move |txn| {
        let (row, actor, clock) = (row.clone(), actor.clone(), clock.clone());
        Box::pin(async move {
            lock_for(txn, tenant, &actor).await?;
            department::Entity::insert(row.clone().into_active_model()).exec_without_returning(txn).await?;
            let change = Change::created("createDepartment", row.id, facts(&row));
            audit::record(txn, tenant, &clock, &actor, change).await?;
            Ok(row)
        })
    });
    taken(context.db.write(tenant, work).await)
}

/// Changes a department.
pub async fn update_department(
    context: &Context,
    department: &Authorized<department::Model>,
    patch: DepartmentPatch,
) -> Result<department::Model> {
    let code = patch.code.as_deref().map(code).transpose()?;
    let name = patch.name.as_deref().map(|name| text::name("name", name)).transpose()?;
    let cost_center = match patch.cost_center {
        Some(given) => Some(text::optional_name("costCenter", given.as_deref())?),
        None => None,
    };
    let (tenant, actor, clock) = (department.tenant(), department.actor().clone(), context.clock.clone());
    let id = department.id;
    let work = db::work(move |txn| {
        let (code, name, cost_center) = (code.clone(), name.clone(), cost_center.clone());
        let (actor, clock) = (actor.clone(), clock.clone());
        Box::pin(async move {
            lock_for(txn, tenant, &actor).await?;
            let before = lock(txn, tenant, id).await?;
            let after = department::Model {
                code: code.unwrap_or_else(|| before.code.clone()),
                name: name.unwrap_or_else(|| before.name.clone()),
                cost_center: cost_center.unwrap_or_else(|| before.cost_center.clone()),
                ..before.clone()
            };
            if after == before {
                return Ok(before);
            }
            let row = department::ActiveModel {
                organization_id: Unchanged(tenant.id()),
                id: Unchanged(id),
                code: Set(after.code.clone()),
                name: Set(after.name.clone()),
                cost_center: Set(after.cost_center.clone()),
                ..Default::default()
            };
            department::Entity::update(row).exec_without_returning(txn).await?;
            let change = Change::updated("updateDepartment", id, facts(&before), facts(&after));
            audit::record(txn, tenant, &clock, &actor, change).await?;
            Ok(after)
        })
    });
    taken(context.db.write(tenant, work).await)
}

/// Archives a department, unless it still has credits or holds.
pub async fn archive_department(
    context: &Context,
    department: &Authorized<department::Model>,
) -> Result<department::Model> {
    let (tenant, actor, clock) = (department.tenant(), department.actor().clone(), context.clock.clone());
    let id = department.id;
    let work = db::work(move |txn| {
        let (actor, clock) = (actor.clone(), clock.clone());
        Box::pin(async move {
            lock_for(txn, tenant, &actor).await?;
            // Whoever gives credits to the department holds a lock that this one waits for.
            let before = lock(txn, tenant, id).await?;
            if before.archived_at.is_some() {
                return Ok(before);
            }
            let accounts = tenant.find::<account::Entity>().filter(account::Column::DepartmentId.eq(id));
            if accounts.filter(account::Column::Posted.gt(0)).count(txn).await? > 0 {
                let reason = "The department still has credits; reclaim them first.";
                return Err(Error::conflict(Conflict::NotEmpty, "departmentId", reason));
            }
            let holds = tenant
                .find::<hold::Entity>()
                .filter(hold::Column::DepartmentId.eq(id))
                .filter(hold::Column::State.eq(HoldState::Open));
            if holds.count(txn).await? > 0 {
                let reason = "The department still has credits held; wait until they are charged or let go.";
                return Err(Error::conflict(Conflict::NotEmpty, "departmentId", reason));
            }
            let after = department::Model { archived_at: Some(clock.now()), ..before.clone() };
            let row = department::ActiveModel {
                organization_id: Unchanged(tenant.id()),
                id: Unchanged(id),
                archived_at: Set(after.archived_at),
                ..Default::default()
            };
            department::Entity::update(row).exec_without_returning(txn).await?;
            let change = Change::updated(
                "archiveDepartment",
                id,
                json!({ "archived": false }),
                json!({ "archived": true }),
            );
            audit::record(txn, tenant, &clock, &actor, change).await?;
            Ok(after)
        })
    });
    context.db.write(tenant, work).await
}

/// Puts a member of the organization into a department, or changes whether they manage it. Nobody puts themselves there
/// or makes themselves its manager: the grant would outlast the role that it was given by.
///
/// # Errors
/// [`Error::Forbidden`] for oneself; not found, when there is no such member.
pub async fn add_department_member(
    context: &Context,
    department: &Authorized<department::Model>,
    member: MembershipId,
    manager: bool,
) -> Result<()> {
    let (tenant, actor, clock) = (department.tenant(), department.actor().clone(), context.clock.clone());
    let id = department.id;
    let work = db::work(move |txn| {
        let (actor, clock) = (actor.clone(), clock.clone());
        Box::pin(async move {
            lock_for(txn, tenant, &actor).await?;
            lock(txn, tenant, id).await?;
            let user = lock_member(txn, tenant, member).await?.user_id;
            let place = tenant
                .find::<department_member::Entity>()
                .filter(department_member::Column::DepartmentId.eq(id))
                .filter(department_member::Column::UserId.eq(user));
            let before = place.one(txn).await?;
            if before.as_ref().is_some_and(|before| before.manager == manager) {
                return Ok(Vec::new());
            }
            let raises = before.is_none() || manager;
            if raises && actor.user_id() == Some(user) {
                return Err(Error::Forbidden);
            }
            let facts = |manager| json!({ "member": global_id::encode(member), "manager": manager });
            let change = match &before {
                Some(before) => {
                    Change::updated("addDepartmentMember", id, facts(before.manager), facts(manager))
                }
                None => Change::created("addDepartmentMember", id, facts(manager)),
            };
            let row = department_member::Model {
                organization_id: tenant.id(),
                department_id: id,
                user_id: user,
                manager,
                created_at: clock.now(),
            };
            use department_member::Column;
            let key = [Column::OrganizationId, Column::DepartmentId, Column::UserId];
            let conflict = OnConflict::columns(key).update_column(Column::Manager).to_owned();
            department_member::Entity::insert(row.into_active_model())
                .on_conflict(conflict)
                .exec_without_returning(txn)
                .await?;
            let touched = approvals::people_changed(txn, tenant, &clock).await?;
            audit::record(txn, tenant, &clock, &actor, change).await?;
            touched.record(txn, tenant, &clock, &actor).await
        })
    });
    let requests = context.db.write(tenant, work).await?;
    approvals::announce(context, tenant, &requests);
    Ok(())
}

/// Takes a member out of a department.
pub async fn remove_department_member(
    context: &Context,
    department: &Authorized<department::Model>,
    member: MembershipId,
) -> Result<()> {
    let (tenant, actor, clock) = (department.tenant(), department.actor().clone(), context.clock.clone());
    let id = department.id;
    let work = db::work(move |txn| {
        let (actor, clock) = (actor.clone(), clock.clone());
        Box::pin(async move {
            lock_for(txn, tenant, &actor).await?;
            lock(txn, tenant, id).await?;
            let user = lock_member(txn, tenant, member).await?.user_id;
            let gone = department_member::Entity::delete_many()
                .filter(department_member::Column::OrganizationId.eq(tenant.id()))
                .filter(department_member::Column::DepartmentId.eq(id))
                .filter(department_member::Column::UserId.eq(user))
                .exec(txn)
                .await?;
            if gone.rows_affected == 0 {
                return Err(Error::not_found("member").at("memberId"));
            }
            let touched = approvals::people_changed(txn, tenant, &clock).await?;
            let facts = json!({ "member": global_id::encode(member) });
            audit::record(txn, tenant, &clock, &actor, Change::removed("removeDepartmentMember", id, facts))
                .await?;
            touched.record(txn, tenant, &clock, &actor).await
        })
    });
    let requests = context.db.write(tenant, work).await?;
    approvals::announce(context, tenant, &requests);
    Ok(())
}

async fn lock(txn: &Txn, tenant: Tenant, id: DepartmentId) -> Result<department::Model> {
    let select = tenant.find::<department::Entity>().filter(department::Column::Id.eq(id));
    let row = select.lock_exclusive().one(txn).await?;
    row.ok_or(Error::not_found("department").at("departmentId"))
}

fn code(code: &str) -> Result<String> {
    if !valid_code(code) {
        let reason = "must have 1 to 64 upper-case letters, digits or underscores and begin with a letter";
        return Err(Error::invalid("code", reason));
    }
    Ok(code.to_owned())
}

fn facts(row: &department::Model) -> serde_json::Value {
    json!({ "code": row.code, "name": row.name, "costCenter": row.cost_center })
}

fn taken<T>(outcome: Result<T>) -> Result<T> {
    match outcome {
        Err(Error::Database(error)) if matches!(fault(&error), Fault::Unique(_)) => {
            Err(Error::conflict(Conflict::Taken, "code", "Another department has this code."))
        }
        outcome => outcome,
    }
}
