//! Who belongs to an organization, and as what.

use bursar_domain::id::{MembershipId, OrganizationId};
use bursar_domain::organization::Role;
use bursar_domain::permission::{Action, Grant, permits};
use bursar_entity::{department_member, invitation, membership, organization, pool_administrator, user};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QuerySelect, Set,
    Unchanged,
};
use serde_json::json;

use super::{as_of_now, email, invitations, lock_organization, person};
use crate::audit::{self, Change};
use crate::auth::{Authorized, Caller};
use crate::context::Context;
use crate::db::scope::find_people;
use crate::db::{self, Fault, Scope, Tenant, Txn, fault};
use crate::error::{Conflict, Error, Result};
use crate::global_id;

/// A person to be added.
#[derive(Clone, Debug)]
pub struct NewMember {
    /// The person's address.
    pub email: String,
    /// What to call the person, when Bursar does not know them yet.
    pub name: Option<String>,
    /// What the person is to be.
    pub role: Role,
}

/// Adds a person to an organization. To add an owner takes the right to make owners.
pub async fn add_member(
    context: &Context,
    caller: &Caller,
    organization: &Authorized<organization::Model>,
    new: NewMember,
) -> Result<membership::Model> {
    may_give(caller, organization.id, new.role)?;
    let (address, caller) = (email("email", &new.email)?, caller.clone());
    let (tenant, actor, clock) = (organization.tenant(), organization.actor().clone(), context.clock.clone());
    let scope = Scope::TenantAndEmail(tenant, address.clone());
    let work = db::work(move |txn| {
        let (actor, clock, new, address) = (actor.clone(), clock.clone(), new.clone(), address.clone());
        let caller = caller.clone();
        Box::pin(async move {
            lock_organization(txn, tenant).await?;
            let caller = as_of_now(txn, tenant, caller).await?;
            may_give(&caller, tenant.id(), new.role)?;
            let user = person(txn, &clock, &address, new.name.as_deref()).await?;
            if caller.is_person(user) {
                // Nobody gives themselves a role: the vendor's staff is in no organization of its customers.
                return Err(Error::Forbidden);
            }
            let row = membership::Model {
                organization_id: tenant.id(),
                id: clock.new_id::<MembershipId>(),
                user_id: user,
                role: new.role,
                created_at: clock.now(),
            };
            membership::Entity::insert(row.clone().into_active_model()).exec_without_returning(txn).await?;
            let facts = json!({ "user": global_id::encode(user), "role": new.role.as_str() });
            let change = Change::created("addMember", row.id, facts).about(Some(user), "email", address);
            audit::record(txn, tenant, &clock, &actor, change).await?;
            Ok(row)
        })
    });
    match context.db.write(scope, work).await {
        Err(Error::Database(error)) if matches!(fault(&error), Fault::Unique(_)) => {
            Err(Error::conflict(Conflict::Taken, "email", "This person is a member already."))
        }
        outcome => outcome,
    }
}

/// Changes a member's role. Nobody raises their own, and the last owner stays one. Invitations that the member has
/// sent and may not send any more are taken back.
pub async fn update_member_role(
    context: &Context,
    caller: &Caller,
    organization: &Authorized<organization::Model>,
    id: MembershipId,
    role: Role,
) -> Result<membership::Model> {
    may_give(caller, organization.id, role)?;
    let (tenant, actor, clock) = (organization.tenant(), organization.actor().clone(), context.clock.clone());
    let caller = caller.clone();
    let work = db::work(move |txn| {
        let (actor, clock, caller) = (actor.clone(), clock.clone(), caller.clone());
        Box::pin(async move {
            lock_organization(txn, tenant).await?;
            let caller = as_of_now(txn, tenant, caller).await?;
            let before = member(txn, tenant, id).await?;
            may_give(&caller, tenant.id(), before.role)?;
            may_give(&caller, tenant.id(), role)?;
            // Roles are declared from the highest down.
            if caller.is_person(before.user_id) && role < before.role {
                return Err(Error::Forbidden);
            }
            if before.role == role {
                return Ok(before);
            }
            if before.role == Role::Owner {
                keep_an_owner(txn, tenant).await?;
            }
            let row = membership::ActiveModel {
                organization_id: Unchanged(tenant.id()),
                id: Unchanged(id),
                role: Set(role),
                ..Default::default()
            };
            membership::Entity::update(row).exec_without_returning(txn).await?;
            let lost = Role::ALL.iter().copied().filter(|given| !permits(Grant::of(role), giving(*given)));
            let which = Condition::all()
                .add(invitation::Column::InvitedBy.eq(before.user_id))
                .add(invitation::Column::Role.is_in(lost));
            let taken_back = invitations::revoke_open(txn, tenant, clock.now(), which).await?;
            let facts = |role: Role| json!({ "role": role.as_str() });
            let change = Change::updated("updateMemberRole", id, facts(before.role), facts(role));
            for change in std::iter::once(change).chain(taken_back) {
                audit::record(txn, tenant, &clock, &actor, change).await?;
            }
            Ok(membership::Model { role, ..before })
        })
    });
    context.db.write(tenant, work).await
}

/// Removes a member, and with the membership all grants on pools and departments. Invitations that the member has
/// sent, or that would bring the member back, are taken back.
pub async fn remove_member(
    context: &Context,
    caller: &Caller,
    organization: &Authorized<organization::Model>,
    id: MembershipId,
) -> Result<membership::Model> {
    let (tenant, actor, clock) = (organization.tenant(), organization.actor().clone(), context.clock.clone());
    let caller = caller.clone();
    let work = db::work(move |txn| {
        let (actor, clock, caller) = (actor.clone(), clock.clone(), caller.clone());
        Box::pin(async move {
            lock_organization(txn, tenant).await?;
            let caller = as_of_now(txn, tenant, caller).await?;
            let row = member(txn, tenant, id).await?;
            may_give(&caller, tenant.id(), row.role)?;
            // As long as there is the membership the person can be seen.
            let person = find_people().filter(user::Column::Id.eq(row.user_id)).one(txn).await?;
            let address = person.map(|person| person.email);
            let to_them = address.map(|address| invitation::Column::Email.eq(address));
            let by_them = invitation::Column::InvitedBy.eq(row.user_id);
            let which = Condition::any().add(by_them).add_option(to_them);
            let taken_back = invitations::revoke_open(txn, tenant, clock.now(), which).await?;
            let change = end(txn, tenant, &row).await?;
            for change in std::iter::once(change).chain(taken_back) {
                audit::record(txn, tenant, &clock, &actor, change).await?;
            }
            Ok(row)
        })
    });
    context.db.write(tenant, work).await
}

/// Ends a membership, and with it all grants on pools and departments. Answers what is to be recorded of that. The
/// membership is locked, and the organization before it.
///
/// # Errors
/// [`Conflict::LastOwner`] when nobody else is an owner.
pub(super) async fn end(txn: &Txn, tenant: Tenant, row: &membership::Model) -> Result<Change> {
    if row.role == Role::Owner {
        keep_an_owner(txn, tenant).await?;
    }
    let organization = tenant.id();
    let departments =
        tenant.find::<department_member::Entity>().filter(department_member::Column::UserId.eq(row.user_id));
    let departments = departments.all(txn).await?.into_iter().map(|place| place.department_id);
    let pools = tenant
        .find::<pool_administrator::Entity>()
        .filter(pool_administrator::Column::UserId.eq(row.user_id));
    let pools = pools.all(txn).await?.into_iter().map(|grant| grant.pool_id);
    let facts = json!({
        "user": global_id::encode(row.user_id),
        "role": row.role.as_str(),
        "departments": departments.map(global_id::encode).collect::<Vec<_>>(),
        "administeredPools": pools.map(global_id::encode).collect::<Vec<_>>(),
    });
    department_member::Entity::delete_many()
        .filter(department_member::Column::OrganizationId.eq(organization))
        .filter(department_member::Column::UserId.eq(row.user_id))
        .exec(txn)
        .await?;
    pool_administrator::Entity::delete_many()
        .filter(pool_administrator::Column::OrganizationId.eq(organization))
        .filter(pool_administrator::Column::UserId.eq(row.user_id))
        .exec(txn)
        .await?;
    membership::Entity::delete_by_id((organization, row.id)).exec(txn).await?;
    Ok(Change::removed("removeMember", row.id, facts))
}

/// Whether the caller may make (or unmake) somebody what the role says.
pub(super) fn may_give(caller: &Caller, organization: OrganizationId, role: Role) -> Result<()> {
    if caller.may_in_organization(organization, giving(role)) { Ok(()) } else { Err(Error::Forbidden) }
}

/// The action that makes somebody what the role says.
const fn giving(role: Role) -> Action {
    match role {
        Role::Owner => Action::ManageOwners,
        Role::Admin | Role::Auditor | Role::Member => Action::ManageMembers,
    }
}

/// Locks a membership: whoever hangs a grant on it waits, or finds it gone.
async fn member(txn: &Txn, tenant: Tenant, id: MembershipId) -> Result<membership::Model> {
    let row = tenant.find::<membership::Entity>().filter(membership::Column::Id.eq(id));
    row.lock_exclusive().one(txn).await?.ok_or(Error::not_found("member").at("memberId"))
}

/// Refuses to take away the only owner. The organization's row is locked.
async fn keep_an_owner(txn: &Txn, tenant: Tenant) -> Result<()> {
    let owners = tenant.find::<membership::Entity>().filter(membership::Column::Role.eq(Role::Owner));
    if owners.count(txn).await? > 1 {
        return Ok(());
    }
    Err(Error::conflict(Conflict::LastOwner, "memberId", "An organization always keeps at least one owner."))
}
