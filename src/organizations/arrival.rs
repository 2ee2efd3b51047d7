//! Whom an organization's identity provider means: a member who has come before, one who comes by the provider for the
//! first time, or somebody who becomes a member by that.
//!
//! # Flow
//! Mostly nothing has to be written: one snapshot says that the person is known by the provider's subject, is a member,
//! and has the role that the groups give. Otherwise one transaction makes it so. A person is recognised by the subject
//! once there is one; the first time by the address, which must be proven and in one of the organization's domains.
//!
//! # Who is not let in
//! Whoever was a member, by whatever way, and is none any more was removed, and stays out until somebody brings them
//! back: a provider's word does not undo a removal. Nobody of the vendor's staff becomes a member. And whoever has
//! the address of a member whom the provider calls by another subject: addresses are given to others and can be changed,
//! subjects cannot. A member whose subject has really become another one is removed and brought back.
//!
//! # Roles
//! When groups count and are told, they decide: the newest token's, upwards and downwards. Owners are left alone, and
//! none are made. In an organization that is suspended they say nothing: its people come in to read, as what they are.
//!
//! Locks: the organization, as for every change of its people; the audit log last.

use std::net::IpAddr;

use bursar_domain::id::{MembershipId, UserId};
use bursar_domain::organization::{OrganizationState, Role};
use bursar_domain::sign_on;
use bursar_entity::{identity_provider, identity_provider_domain, membership, user, user_identity};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, Set, Unchanged};
use serde_json::json;

use super::members::take_back;
use super::single_sign_on::decode_group_roles;
use super::{departures, lock_organization, person, still_known};
use crate::approvals::{self, Touched};
use crate::audit::{self, Change};
use crate::auth::{Actor, Vouched};
use crate::clock::Clock;
use crate::context::Context;
use crate::db::scope::find_people;
use crate::db::{self, Scope, Tenant, Txn};
use crate::error::{Error, Result};
use crate::{global_id, text};

const NO_MEMBER: Error =
    Error::Unauthenticated("You are not a member of the organization. Ask to be invited.");
const NO_ADDRESS: Error =
    Error::Unauthenticated("The identity provider does not say that your address is proven to be yours.");
const OTHER_DOMAIN: Error = Error::Unauthenticated("Your address is in none of the organization's domains.");
const SOMEBODY_ELSE: Error = Error::Unauthenticated(
    "The identity provider uses your address for somebody else. Ask to be removed and invited again.",
);
const NOT_BELIEVED: Error = Error::Unauthenticated("The token is not valid.");

/// Finds out whom a provider means, and makes them a member when that is how the organization wants it.
///
/// # Errors
/// [`Error::Unauthenticated`], with the reason, when they are not let in; [`Error::Stale`] when what is set of the
/// provider has changed since it was asked.
pub async fn arrive(
    context: &Context,
    vouched: &Vouched,
    origin: Option<String>,
    address: IpAddr,
) -> Result<UserId> {
    if let Some(user) = settled(context, vouched).await? {
        return Ok(user);
    }
    let (tenant, clock, vouched) = (vouched.tenant, context.clock.clone(), vouched.clone());
    let scope = match &vouched.email {
        Some(email) => Scope::TenantAndEmail(tenant, email.clone()),
        None => Scope::Tenant(tenant),
    };
    let work = db::work(move |txn| {
        let (clock, vouched, origin) = (clock.clone(), vouched.clone(), origin.clone());
        Box::pin(async move {
            let organization = lock_organization(txn, tenant).await?;
            let vouched = match organization.state {
                OrganizationState::Active => vouched,
                OrganizationState::Suspended => Vouched { groups: None, ..vouched },
            };
            let provider = provider(txn, &vouched).await?;
            let (user, changes) = match identity(txn, &vouched).await? {
                Some(known) => again(txn, &clock, &provider, &vouched, known).await?,
                None => first(txn, &clock, &provider, &vouched).await?,
            };
            let touched = match changes.iter().any(of_people) {
                true => approvals::people_changed(txn, tenant, &clock).await?,
                false => Touched::default(),
            };
            let actor = Actor::user(user, origin).at_address(Some(address));
            for change in changes {
                audit::record(txn, tenant, &clock, &actor, change).await?;
            }
            Ok((user, touched.record(txn, tenant, &clock, &actor).await?))
        })
    });
    let (user, requests) = context.db.write(scope, work).await?;
    approvals::announce(context, tenant, &requests);
    Ok(user)
}

/// Whether a change may be one of those who may decide.
fn of_people(change: &Change) -> bool {
    matches!(change.action, "updateMemberRole" | "addMember")
}

/// Whom the provider means, when nothing has to be written.
async fn settled(context: &Context, vouched: &Vouched) -> Result<Option<UserId>> {
    let snapshot = context.db.read(vouched.tenant).await?;
    let provider = provider(&snapshot, vouched).await?;
    let Some(known) = identity(&snapshot, vouched).await? else { return Ok(None) };
    let member = member(&snapshot, vouched.tenant, known.user_id).await?.ok_or(NO_MEMBER)?;
    let newer = vouched.issued_at > known.groups_as_of;
    let role = wanted(&provider, vouched)?.filter(|_| newer && member.role != Role::Owner);
    Ok(role.is_none_or(|role| role == member.role).then_some(known.user_id))
}

/// The provider, as it was asked.
async fn provider(txn: &Txn, vouched: &Vouched) -> Result<identity_provider::Model> {
    let row = vouched.tenant.find::<identity_provider::Entity>().one(txn).await?;
    let row = row.filter(|row| row.enabled).ok_or(NOT_BELIEVED)?;
    if row.revision == vouched.revision { Ok(row) } else { Err(Error::Stale) }
}

async fn identity(txn: &Txn, vouched: &Vouched) -> Result<Option<user_identity::Model>> {
    let row = vouched
        .tenant
        .find::<user_identity::Entity>()
        .filter(user_identity::Column::Issuer.eq(vouched.issuer.as_str()))
        .filter(user_identity::Column::Subject.eq(vouched.subject.as_str()));
    Ok(row.one(txn).await?)
}

async fn member(txn: &Txn, tenant: Tenant, user: UserId) -> Result<Option<membership::Model>> {
    let row = tenant.find::<membership::Entity>().filter(membership::Column::UserId.eq(user));
    Ok(row.one(txn).await?)
}

/// The role that the groups give, when they count and are told.
fn wanted(provider: &identity_provider::Model, vouched: &Vouched) -> Result<Option<Role>> {
    let Some(groups) = &vouched.groups else { return Ok(None) };
    let roles = decode_group_roles(&provider.group_roles)?;
    let groups = groups.iter().map(String::as_str);
    Ok(Some(sign_on::role_of(provider.default_role, &roles, groups)))
}

/// Somebody who has come before: the groups may say something else than they did.
async fn again(
    txn: &Txn,
    clock: &Clock,
    provider: &identity_provider::Model,
    vouched: &Vouched,
    known: user_identity::Model,
) -> Result<(UserId, Vec<Change>)> {
    let (tenant, user) = (vouched.tenant, known.user_id);
    let member = member(txn, tenant, user).await?.ok_or(NO_MEMBER)?;
    let mut changes = Vec::new();
    if vouched.issued_at > known.groups_as_of
        && let Some(role) = wanted(provider, vouched)?
    {
        let row = user_identity::ActiveModel {
            organization_id: Unchanged(known.organization_id),
            issuer: Unchanged(known.issuer),
            subject: Unchanged(known.subject),
            groups_as_of: Set(vouched.issued_at),
            ..Default::default()
        };
        user_identity::Entity::update(row).exec_without_returning(txn).await?;
        changes.extend(follow(txn, clock, tenant, &member, role).await?);
    }
    Ok((user, changes))
}

/// Gives a member the role that the groups give, and takes back what the member has asked for and may not ask for any
/// more. Owners keep theirs. Answers what is to be recorded of that.
async fn follow(
    txn: &Txn,
    clock: &Clock,
    tenant: Tenant,
    member: &membership::Model,
    role: Role,
) -> Result<Vec<Change>> {
    if member.role == Role::Owner || member.role == role {
        return Ok(Vec::new());
    }
    let row = membership::ActiveModel {
        organization_id: Unchanged(tenant.id()),
        id: Unchanged(member.id),
        role: Set(role),
        ..Default::default()
    };
    membership::Entity::update(row).exec_without_returning(txn).await?;
    let facts = |role: Role| json!({ "role": role.as_str(), "by": "groups" });
    let mut changes = vec![Change::updated("updateMemberRole", member.id, facts(member.role), facts(role))];
    changes.extend(take_back(txn, tenant, clock.now(), member.user_id, role).await?);
    Ok(changes)
}

/// Somebody who comes by the provider for the first time.
async fn first(
    txn: &Txn,
    clock: &Clock,
    provider: &identity_provider::Model,
    vouched: &Vouched,
) -> Result<(UserId, Vec<Change>)> {
    let tenant = vouched.tenant;
    let email = vouched.email.as_deref().ok_or(NO_ADDRESS)?;
    let domain = sign_on::domain_of(email).unwrap_or_default();
    let own = tenant
        .find::<identity_provider_domain::Entity>()
        .filter(identity_provider_domain::Column::Domain.eq(domain));
    own.one(txn).await?.ok_or(OTHER_DOMAIN)?;
    let known = find_people().filter(user::Column::Email.eq(email)).one(txn).await?;
    let place = match &known {
        Some(person) => member(txn, tenant, person.id).await?,
        None => None,
    };
    let role = wanted(provider, vouched)?;
    let mut changes = Vec::new();
    let user = match (known, place) {
        (Some(person), Some(member)) => {
            if is_known_otherwise(txn, vouched, &member).await? {
                return Err(SOMEBODY_ELSE);
            }
            if let Some(role) = role {
                changes.extend(follow(txn, clock, tenant, &member, role).await?);
            }
            person.id
        }
        (known, _) => {
            if !provider.joins || is_barred(txn, tenant, known.as_ref()).await? {
                return Err(NO_MEMBER);
            }
            // A name that cannot be one is none.
            let name = vouched.name.as_deref().and_then(|name| text::name_in_mail("name", name).ok());
            let user = person(txn, clock, email, name.as_deref()).await?;
            changes.push(join(txn, tenant, clock, user, role.unwrap_or(provider.default_role)).await?);
            user
        }
    };
    let row = user_identity::Model {
        organization_id: tenant.id(),
        issuer: vouched.issuer.clone(),
        subject: vouched.subject.clone(),
        user_id: user,
        created_at: clock.now(),
        groups_as_of: vouched.issued_at,
    };
    user_identity::Entity::insert(row.into_active_model()).exec_without_returning(txn).await?;
    let facts = json!({ "issuer": vouched.issuer });
    // A subject may be anything that the provider calls a person by.
    let change = Change::created("linkIdentity", user, facts);
    changes.push(change.about(Some(user), "subject", vouched.subject.clone()).about(
        Some(user),
        "email",
        email,
    ));
    Ok((user, changes))
}

/// Whether a member has come by the provider before, by another subject, since they are a member.
async fn is_known_otherwise(txn: &Txn, vouched: &Vouched, member: &membership::Model) -> Result<bool> {
    let known = vouched
        .tenant
        .find::<user_identity::Entity>()
        .filter(user_identity::Column::Issuer.eq(vouched.issuer.as_str()))
        .filter(user_identity::Column::UserId.eq(member.user_id))
        .filter(user_identity::Column::CreatedAt.gte(member.created_at));
    Ok(known.one(txn).await?.is_some())
}

/// Whether somebody who is no member must not become one by signing in: the vendor's staff, and who was removed.
async fn is_barred(txn: &Txn, tenant: Tenant, known: Option<&user::Model>) -> Result<bool> {
    let Some(person) = known else { return Ok(false) };
    Ok(person.operator || departures::has_left(txn, tenant, person.id).await?)
}

/// Makes a person a member, and answers what is to be recorded of that.
async fn join(txn: &Txn, tenant: Tenant, clock: &Clock, user: UserId, role: Role) -> Result<Change> {
    let row = membership::Model {
        organization_id: tenant.id(),
        id: clock.new_id::<MembershipId>(),
        user_id: user,
        role,
        created_at: clock.now(),
    };
    let id = row.id;
    membership::Entity::insert(row.into_active_model()).exec_without_returning(txn).await?;
    still_known(txn, user).await?;
    let facts = json!({ "user": global_id::encode(user), "role": role.as_str(), "by": "single sign-on" });
    Ok(Change::created("addMember", id, facts))
}
