//! Organizations, the people in them, and their departments.
//!
//! Each change locks the row that it hangs on (the organization for memberships, the department for
//! its members), checks what must hold with that lock, writes, and records itself in the audit log, all
//! in one transaction.

mod acceptance;
mod arrival;
mod brand;
mod create;
mod departments;
mod departures;
mod export_link;
mod invitation_link;
mod invitations;
mod members;
mod people;
mod single_sign_on;
mod suspend;
mod tables;
mod update;

pub use acceptance::{Accepted, Invited, accept_by_mailbox, accept_invitation, find_invitation};
pub use arrival::arrive;
pub use brand::{logo_of, set_logo};
pub use create::{NewOrganization, create};
pub use departments::{
    DepartmentPatch, NewDepartment, add_department_member, archive_department, create_department,
    remove_department_member, update_department,
};
pub use export_link::{EXPORT_LINK_SECONDS, ExportLink, export};
pub use invitation_link::InvitationLink;
pub use invitations::{NewInvitation, invite, resend_invitation, revoke_invitation};
pub use members::{ChangedMember, NewMember, add_member, remove_member, update_member_role};
pub use people::{Forgotten, Person, forget};
pub use single_sign_on::{
    NewSignOn, SignOn, configure_single_sign_on, decode_group_roles, provider_by_slug, provider_of,
    sign_on_callback, sign_on_of, signs_in,
};
pub use suspend::{resume_in, sandbox_of, suspend};
pub use tables::{Part, TABLES, WITHHELD, Walk, versions};
pub use update::{OrganizationPatch, update};

use bursar_domain::id::{MembershipId, UserId};
use bursar_entity::{membership, organization, user};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect};

use crate::auth::{Actor, Caller};
use crate::clock::Clock;
use crate::db::scope::find_people;
use crate::db::{Tenant, Txn};
use crate::error::{Conflict, Error, Result};
use crate::text;

/// Locks the organization's row: changes of its people, grants and settings come one after another.
pub async fn lock_organization(txn: &Txn, tenant: Tenant) -> Result<organization::Model> {
    let row = tenant.find::<organization::Entity>().lock_exclusive().one(txn).await?;
    row.ok_or(Error::not_found("organization"))
}

/// Locks the organization's row for a change by somebody who was allowed to make it: whoever may do other things by now
/// than when that was looked up is looked up again. What a change locks first.
///
/// # Errors
/// [`Error::Stale`]; what the database answers.
pub async fn lock_for(txn: &Txn, tenant: Tenant, actor: &Actor) -> Result<organization::Model> {
    let row = lock_organization(txn, tenant).await?;
    actor.require_standing(txn, &row).await?;
    Ok(row)
}

/// Locks a membership against being removed, for those who hang a grant on it.
pub async fn lock_member(txn: &Txn, tenant: Tenant, member: MembershipId) -> Result<membership::Model> {
    let row = tenant.find::<membership::Entity>().filter(membership::Column::Id.eq(member));
    row.lock_shared().one(txn).await?.ok_or(Error::not_found("member").at("memberId"))
}

/// The caller with the role that they have under the organization's lock: it may have been another one
/// when the request came in. A key has none.
///
/// # Errors
/// [`Error::Unauthenticated`] for whom a provider has let in that is set otherwise since; what the database answers.
pub async fn as_of_now(txn: &Txn, tenant: Tenant, caller: Caller) -> Result<Caller> {
    caller.require_let_in(txn, tenant).await?;
    let Some(person) = caller.person().map(|person| person.id) else { return Ok(caller) };
    let own = tenant.find::<membership::Entity>().filter(membership::Column::UserId.eq(person));
    let role = own.one(txn).await?.map(|row| row.role);
    Ok(caller.with_role(tenant.id(), role))
}

/// The person with an address, added when there is none. A name is needed only then.
async fn person(txn: &Txn, clock: &Clock, email: &str, name: Option<&str>) -> Result<UserId> {
    let known = || find_people().filter(user::Column::Email.eq(email)).one(txn);
    if let Some(row) = known().await? {
        return Ok(row.id);
    }
    let name = match name {
        Some(name) => text::name_in_mail("name", name)?,
        None => email.to_owned(),
    };
    let row = user::Model {
        id: clock.new_id(),
        email: email.to_owned(),
        name,
        operator: false,
        created_at: clock.now(),
        erased_at: None,
    };
    // Somebody may add the same person at the same time; then theirs counts.
    user::Entity::insert(row.into_active_model())
        .on_conflict_do_nothing_on([user::Column::Email])
        .exec_without_returning(txn)
        .await?;
    known().await?.map(|row| row.id).ok_or_else(|| Error::internal("a person who was added is not there"))
}

/// Refuses whoever has been forgotten since they were looked up by their address. After the membership has been
/// written: that waits for whoever forgets the person just now, and makes them wait.
async fn still_known(txn: &Txn, id: UserId) -> Result<()> {
    let row = find_people().filter(user::Column::Id.eq(id)).one(txn).await?;
    if row.is_some_and(|row| row.erased_at.is_none()) {
        return Ok(());
    }
    let reason = "This person has been forgotten just now. Try again.";
    Err(Error::conflict(Conflict::State, None, reason))
}

/// A time zone that the IANA database knows.
fn time_zone(value: &str) -> Result<String> {
    let zone: chrono_tz::Tz =
        value.parse().map_err(|_| Error::invalid("timeZone", "is not an IANA time zone"))?;
    Ok(zone.name().to_owned())
}
