//! Who belongs to an organization, and as what.

use bursar_domain::Timestamp;
use bursar_domain::id::{MembershipId, OrganizationId, UserId};
use bursar_domain::organization::Role;
use bursar_domain::permission::{Action, Grant, permits};
use bursar_entity::{
    api_key, department_member, invitation, membership, organization, pool_administrator, user,
};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, Set, Unchanged,
};
use serde_json::json;

use super::{as_of_now, departures, invitations, lock_organization, person, still_known};
use crate::approvals::{self, people_changed};
use crate::audit::{self, Change};
use crate::auth::{Authorized, Caller};
use crate::context::Context;
use crate::db::scope::find_people;
use crate::db::{self, Fault, Scope, Tenant, Txn, fault};
use crate::error::{Conflict, Error, Result};
use crate::{global_id, text};

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

/// A member whose role has changed, or who is none any more.
#[derive(Clone, Debug)]
pub struct ChangedMember {
    /// The place as it is, or as it was last.
    pub member: membership::Model,
    /// The keys of the organization that this person has made and that still work, oldest first. They are the
    /// organization's, so they stay; whoever removes or lowers somebody decides what becomes of them.
    pub active_keys: Vec<api_key::Model>,
}

/// Adds a person to an organization, without asking them: who may do that has been asked before (`Action::AddMembers`). To
/// add an owner takes the right to make owners.
pub async fn add_member(
    context: &Context,
    caller: &Caller,
    organization: &Authorized<organization::Model>,
    new: NewMember,
) -> Result<membership::Model> {
    may_give(caller, organization.id, new.role)?;
    let (address, caller) = (text::email("email", &new.email)?, caller.clone());
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
            still_known(txn, user).await?;
            departures::undo(txn, tenant, user).await?;
            // A new owner may decide where nobody else can.
            let touched = people_changed(txn, tenant, &clock).await?;
            let facts = json!({ "user": global_id::encode(user), "role": new.role.as_str() });
            let change = Change::created("addMember", row.id, facts).about(Some(user), "email", address);
            audit::record(txn, tenant, &clock, &actor, change).await?;
            Ok((row, touched.record(txn, tenant, &clock, &actor).await?))
        })
    });
    match context.db.write(scope, work).await {
        Err(Error::Database(error)) if matches!(fault(&error), Fault::Unique(_)) => {
            Err(Error::conflict(Conflict::Taken, "email", "This person is a member already."))
        }
        outcome => {
            let (row, requests) = outcome?;
            approvals::announce(context, tenant, &requests);
            Ok(row)
        }
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
) -> Result<ChangedMember> {
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
            let active_keys = active_keys(txn, tenant, clock.now(), before.user_id).await?;
            if before.role == role {
                return Ok((ChangedMember { member: before, active_keys }, Vec::new()));
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
            let taken_back = take_back(txn, tenant, clock.now(), before.user_id, role).await?;
            let touched = people_changed(txn, tenant, &clock).await?;
            let facts = |role: Role| json!({ "role": role.as_str() });
            let change = Change::updated("updateMemberRole", id, facts(before.role), facts(role));
            let change = change.taking_access(role > before.role);
            for change in std::iter::once(change).chain(taken_back) {
                audit::record(txn, tenant, &clock, &actor, change).await?;
            }
            let requests = touched.record(txn, tenant, &clock, &actor).await?;
            Ok((ChangedMember { member: membership::Model { role, ..before }, active_keys }, requests))
        })
    });
    let (changed, requests) = context.db.write(tenant, work).await?;
    approvals::announce(context, tenant, &requests);
    Ok(changed)
}

/// Removes a member, and with the membership all grants on pools and departments. Invitations that the member has
/// sent, or that would bring the member back, are taken back. Keys that the member has made stay.
pub async fn remove_member(
    context: &Context,
    caller: &Caller,
    organization: &Authorized<organization::Model>,
    id: MembershipId,
) -> Result<ChangedMember> {
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
            let (change, active_keys) = end(txn, tenant, clock.now(), &row).await?;
            let touched = people_changed(txn, tenant, &clock).await?;
            for change in std::iter::once(change).chain(taken_back) {
                audit::record(txn, tenant, &clock, &actor, change).await?;
            }
            let requests = touched.record(txn, tenant, &clock, &actor).await?;
            Ok((ChangedMember { member: row, active_keys }, requests))
        })
    });
    let (changed, requests) = context.db.write(tenant, work).await?;
    approvals::announce(context, tenant, &requests);
    Ok(changed)
}

/// Ends a membership, and with it all grants on pools and departments. That the person was a member is remembered: no
/// identity provider brings them back. Answers what is to be recorded of that, and the keys that the person has made and
/// that still work. The membership is locked, and the organization before it.
///
/// # Errors
/// [`Conflict::LastOwner`] when nobody else is an owner.
pub(super) async fn end(
    txn: &Txn,
    tenant: Tenant,
    now: Timestamp,
    row: &membership::Model,
) -> Result<(Change, Vec<api_key::Model>)> {
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
    let keys = active_keys(txn, tenant, now, row.user_id).await?;
    let facts = json!({
        "user": global_id::encode(row.user_id),
        "role": row.role.as_str(),
        "activeApiKeys": keys.iter().map(|key| global_id::encode(key.id)).collect::<Vec<_>>(),
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
    departures::remember(txn, tenant, row.user_id, now).await?;
    Ok((Change::removed("removeMember", row.id, facts), keys))
}

/// The keys of an organization that a person has made and that still work, oldest first. Keys are made and revoked with
/// the organization's row locked, as it is here.
async fn active_keys(
    txn: &Txn,
    tenant: Tenant,
    now: Timestamp,
    person: UserId,
) -> Result<Vec<api_key::Model>> {
    use api_key::Column;
    let good = Condition::any().add(Column::ExpiresAt.is_null()).add(Column::ExpiresAt.gt(now));
    let keys = tenant
        .find::<api_key::Entity>()
        .filter(Column::CreatedBy.eq(person))
        .filter(Column::RevokedAt.is_null())
        .filter(good)
        .order_by_asc(Column::Id);
    Ok(keys.all(txn).await?)
}

/// Takes the open invitations back that a member has sent and may not send any more with a role. Answers what is to be
/// recorded of that. The organization's row is locked.
pub(super) async fn take_back(
    txn: &Txn,
    tenant: Tenant,
    now: Timestamp,
    member: UserId,
    role: Role,
) -> Result<Vec<Change>> {
    let lost = Role::ALL.iter().copied().filter(|given| !permits(Grant::of(role), giving(*given)));
    let which = Condition::all()
        .add(invitation::Column::InvitedBy.eq(member))
        .add(invitation::Column::Role.is_in(lost));
    invitations::revoke_open(txn, tenant, now, which).await
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
