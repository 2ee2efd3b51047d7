//! People and what they are in organizations.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use bursar_domain::id::{MembershipId, OrganizationId, UserId};
use bursar_domain::organization::Role as DomainRole;
use bursar_domain::permission::Action;
use bursar_entity::{api_key, department, department_member, membership, pool, pool_administrator, user};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};

use super::api_key::ApiKey;
use super::department::Department;
use super::errors::{ApiError, UserError, user_error};
use super::lengths::ACTIVE_KEYS;
use super::loaders::{Key, MemberOf};
use super::node::decode;
use super::organization::{self, Organization};
use super::pool::Pool;
use super::scalars::DateTime;
use super::{Request, request, signed_in};
use crate::auth::{Authorized, Caller, SeenPeople};
use crate::db::scope::find_people;
use crate::db::{Scope, Tenant};
use crate::error::Error;
use crate::global_id;
use crate::organizations::{self, NewMember};

/// What a person is in an organization.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "DomainRole")]
pub enum Role {
    /// Everything, including who else is an owner.
    Owner,
    /// Everything but owners and the organization's own settings.
    Admin,
    /// Reads everything, changes nothing.
    Auditor,
    /// Sees and uses what departments and grants give.
    Member,
}

/// A person.
pub struct User(pub user::Model);

impl User {
    /// The person with a global id: the caller, or somebody in an organization whose members the caller
    /// may see.
    pub async fn find(request: &Request, id: &str) -> Result<User, Error> {
        let (caller, id) = (request.caller()?, decode(id, "user")?);
        if let Some(person) = caller.person().filter(|person| person.id == id) {
            return Ok(User(person.clone()));
        }
        let mut scopes: Vec<Scope> = caller
            .organizations()
            .filter(|organization| caller.may_in_organization(*organization, Action::ReadMembers))
            // The caller may see the members of this organization.
            .map(|organization| Scope::Tenant(Tenant::vouched(organization)))
            .collect();
        // What is the vendor's may do the same in all organizations.
        let vendor = Tenant::vendor().id();
        if caller.is_vendors() && caller.may_in_organization(vendor, Action::ReadMembers) {
            scopes = vec![Scope::Operator];
        }
        for scope in scopes {
            let snapshot = request.snapshots.open(scope.clone()).await?;
            if let Scope::Tenant(tenant) = scope {
                let member = tenant.find::<membership::Entity>().filter(membership::Column::UserId.eq(id));
                if member.one(&*snapshot).await?.is_none() {
                    continue;
                }
            }
            if let Some(row) = find_people().filter(user::Column::Id.eq(id)).one(&*snapshot).await? {
                return Ok(User(row));
            }
        }
        Err(Error::not_found("user"))
    }
}

/// A person whom a row of an organization names, as long as they belong to it: who has left is nobody
/// there any more, and the vendor's staff is seen by the vendor's staff only. Keys see nobody, unless they may
/// see who belongs to the organization.
pub async fn person(
    request: &Request,
    organization: OrganizationId,
    user: UserId,
) -> Result<Option<User>, ApiError> {
    match request.caller()?.sees_people(organization) {
        SeenPeople::Nobody => return Ok(None),
        SeenPeople::Members => {
            let member = request.rows.load_one(Key(organization, MemberOf(user))).await?;
            if member.is_none() {
                return Ok(None);
            }
        }
        // Those who belong to no organization, too: the rows of one name the vendor's staff.
        SeenPeople::Everybody => {
            return Ok(request.rows.load_one(Key(Tenant::vendor().id(), user)).await?.map(User));
        }
    }
    Ok(request.rows.load_one(Key(organization, user)).await?.map(User))
}

/// The member whom a row of an organization names, as [`person`] is.
pub async fn member(
    request: &Request,
    organization: OrganizationId,
    user: UserId,
) -> Result<Option<Member>, ApiError> {
    if request.caller()?.sees_people(organization) == SeenPeople::Nobody {
        return Ok(None);
    }
    Ok(request.rows.load_one(Key(organization, MemberOf(user))).await?.map(Member))
}

/// A person.
#[Object]
impl User {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode(self.0.id))
    }

    /// The person's address.
    async fn email(&self) -> &str {
        &self.0.email
    }

    /// What to call the person.
    async fn name(&self) -> &str {
        &self.0.name
    }
}

/// A person's place in an organization.
pub struct Member(pub membership::Model);

impl Member {
    /// The membership with a global id: the caller's own, or one of an organization whose members the
    /// caller may see.
    pub async fn find(request: &Request, id: &str) -> Result<Member, Error> {
        let (caller, id) = (request.caller()?, decode::<MembershipId>(id, "member")?);
        let condition = membership::Column::Id.eq(id);
        let organization = |row: &membership::Model| row.organization_id;
        let found =
            caller.row::<membership::Entity>(&request.snapshots, condition, organization, "member").await;
        let (organization, row) = found?;
        let own = caller.is_person(row.user_id);
        if own || caller.may_in_organization(organization, Action::ReadMembers) {
            return Ok(Member(row));
        }
        Err(Error::not_found("member"))
    }

    /// Where a person has places is for the person, and for those who see all members (and with them all
    /// departments and pools).
    fn require(&self, request: &Request) -> Result<(), Error> {
        let caller = request.caller()?;
        let allowed = caller.is_person(self.0.user_id)
            || caller.may_in_organization(self.0.organization_id, Action::ReadMembers);
        if allowed { Ok(()) } else { Err(Error::Forbidden) }
    }

    fn tenant(&self) -> Tenant {
        // Only memberships that the caller may see become objects.
        Tenant::vouched(self.0.organization_id)
    }
}

/// A person's place in an organization.
#[Object]
impl Member {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode(self.0.id))
    }

    /// The person.
    async fn user(&self, ctx: &Context<'_>) -> Option<Result<User, ApiError>> {
        let load = Box::pin(async {
            let key = Key(self.0.organization_id, self.0.user_id);
            Ok(request(ctx)?.rows.load_one(key).await?.map(User))
        });
        load.await.transpose()
    }

    /// The organization.
    async fn organization(&self, ctx: &Context<'_>) -> Option<Result<Organization, ApiError>> {
        let find = Box::pin(async {
            let id = global_id::encode(self.0.organization_id);
            super::node::found(Organization::find(request(ctx)?, &id).await)
        });
        find.await.transpose()
    }

    /// What the person is there.
    async fn role(&self) -> Role {
        self.0.role.into()
    }

    /// Since when.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// The departments that the person is in, and whether as manager. For the person, and for those who
    /// see all members.
    async fn departments(&self, ctx: &Context<'_>) -> Option<Result<Vec<DepartmentPlace>, ApiError>> {
        let list = Box::pin(async {
            let request = signed_in(ctx)?;
            self.require(request)?;
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let places = self
                .tenant()
                .find::<department_member::Entity>()
                .filter(department_member::Column::UserId.eq(self.0.user_id))
                .order_by_asc(department_member::Column::DepartmentId);
            let places = places.all(&*snapshot).await.map_err(Error::from)?;
            let ids = places.iter().map(|place| place.department_id);
            let rows = self.tenant().find::<department::Entity>().filter(department::Column::Id.is_in(ids));
            let rows = rows.all(&*snapshot).await.map_err(Error::from)?;
            let row = |id| rows.iter().find(|row| row.id == id).cloned();
            let place = |place: &department_member::Model| {
                let department = Department(row(place.department_id)?);
                Some(DepartmentPlace { department, manager: place.manager })
            };
            Ok(places.iter().filter_map(place).collect())
        });
        Some(list.await)
    }

    /// The pools that the person administers. For the person, and for those who see all members.
    async fn administered_pools(&self, ctx: &Context<'_>) -> Option<Result<Vec<Pool>, ApiError>> {
        let list = Box::pin(async {
            let request = signed_in(ctx)?;
            self.require(request)?;
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let grants = self
                .tenant()
                .find::<pool_administrator::Entity>()
                .filter(pool_administrator::Column::UserId.eq(self.0.user_id));
            let grants = grants.all(&*snapshot).await.map_err(Error::from)?;
            let ids = grants.iter().map(|grant| grant.pool_id);
            let rows = self.tenant().find::<pool::Entity>().filter(pool::Column::Id.is_in(ids));
            let rows = rows.order_by_asc(pool::Column::Id).all(&*snapshot).await.map_err(Error::from)?;
            Ok(rows.into_iter().map(Pool).collect())
        });
        Some(list.await)
    }
}

/// A person's place in a department.
#[derive(SimpleObject)]
pub struct DepartmentPlace {
    /// The department.
    department: Department,
    /// Whether the person manages it.
    manager: bool,
}

/// A person to be added.
#[derive(InputObject)]
pub struct AddMemberInput {
    /// The organization.
    organization_id: ID,
    /// The person's address.
    email: String,
    /// What to call the person, when Bursar does not know them yet. Left out: the address.
    name: Option<String>,
    /// What the person is to be.
    role: Role,
}

/// A new role for a member.
#[derive(InputObject)]
pub struct UpdateMemberRoleInput {
    /// Which member.
    member_id: ID,
    /// What the person is to be.
    role: Role,
}

/// A member to be removed.
#[derive(InputObject)]
pub struct RemoveMemberInput {
    /// Which member.
    member_id: ID,
}

/// A member who was added.
#[derive(SimpleObject)]
pub struct AddMemberPayload {
    /// The member.
    member: Option<Member>,
    /// Why nobody was added. Empty when somebody was.
    user_errors: Vec<UserError>,
}

/// A member whose role was changed.
#[derive(SimpleObject)]
pub struct UpdateMemberRolePayload {
    /// The member.
    member: Option<Member>,
    /// The keys of the organization that the member has made and that still work, at most 100 of them. They belong to
    /// the organization and go on with what they may do, whatever the member is: revoke those that are not to. Empty
    /// for those who may not see keys.
    active_api_keys: Vec<ApiKey>,
    /// Why the role was not changed. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A member who was removed.
#[derive(SimpleObject)]
pub struct RemoveMemberPayload {
    /// The id of the membership that is gone.
    removed_member_id: Option<ID>,
    /// The keys of the organization that the member has made and that still work, at most 100 of them. They belong to
    /// the organization and go on without the member: revoke those that are not to. Empty for those who may not see
    /// keys.
    active_api_keys: Vec<ApiKey>,
    /// Why nobody was removed. Empty when somebody was.
    user_errors: Vec<UserError>,
}

/// The part of the root that changes who belongs to organizations.
#[derive(Default)]
pub struct MemberMutation;

#[Object]
impl MemberMutation {
    /// Adds a person to an organization, without asking them: the vendor's staff alone may. Everybody else invites, and people
    /// become members when they accept.
    async fn add_member(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who, and as what.")] input: AddMemberInput,
    ) -> Option<Result<AddMemberPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let organization = organization::authorized(request, &input.organization_id, Action::AddMembers);
            let organization = organization.await.map_err(|error| error.at("organizationId"))?;
            let new = NewMember { email: input.email, name: input.name, role: input.role.into() };
            request.snapshots.close().await;
            organizations::add_member(&request.services.context, &request.caller()?, &organization, new).await
        });
        Some(match outcome.await {
            Ok(value) => Ok(AddMemberPayload { member: Some(Member(value)), user_errors: Vec::new() }),
            Err(error) => {
                user_error(error).map(|error| AddMemberPayload { member: None, user_errors: vec![error] })
            }
        })
    }

    /// Changes a member's role. Nobody raises their own, and the last owner stays one. Keys that the member has made
    /// stay as they are.
    async fn update_member_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who, and as what.")] input: UpdateMemberRoleInput,
    ) -> Option<Result<UpdateMemberRolePayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let (organization, id) = organization_of_member(request, &input.member_id).await?;
            let (context, caller, role) = (&request.services.context, request.caller()?, input.role.into());
            request.snapshots.close().await;
            let changed =
                organizations::update_member_role(context, &caller, &organization, id, role).await?;
            Ok::<_, Error>((Member(changed.member), seen_keys(&caller, organization.id, changed.active_keys)))
        });
        Some(match outcome.await {
            Ok((member, active_api_keys)) => {
                Ok(UpdateMemberRolePayload { member: Some(member), active_api_keys, user_errors: Vec::new() })
            }
            Err(error) => user_error(error).map(|error| UpdateMemberRolePayload {
                member: None,
                active_api_keys: Vec::new(),
                user_errors: vec![error],
            }),
        })
    }

    /// Removes a member, and with the membership all grants on pools and departments. Keys that the member has made
    /// stay as they are.
    async fn remove_member(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who.")] input: RemoveMemberInput,
    ) -> Option<Result<RemoveMemberPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let (organization, id) = organization_of_member(request, &input.member_id).await?;
            let (context, caller) = (&request.services.context, request.caller()?);
            request.snapshots.close().await;
            let removed = organizations::remove_member(context, &caller, &organization, id).await?;
            let id = ID(global_id::encode(removed.member.id));
            Ok::<_, Error>((id, seen_keys(&caller, organization.id, removed.active_keys)))
        });
        Some(match outcome.await {
            Ok((id, active_api_keys)) => Ok(RemoveMemberPayload {
                removed_member_id: Some(id),
                active_api_keys,
                user_errors: Vec::new(),
            }),
            Err(error) => user_error(error).map(|error| RemoveMemberPayload {
                removed_member_id: None,
                active_api_keys: Vec::new(),
                user_errors: vec![error],
            }),
        })
    }
}

/// The keys of an organization that a caller is told of: none, when the caller may not see any.
fn seen_keys(caller: &Caller, organization: OrganizationId, keys: Vec<api_key::Model>) -> Vec<ApiKey> {
    if !caller.may_in_organization(organization, Action::ReadApiKeys) {
        return Vec::new();
    }
    keys.into_iter().take(usize::try_from(ACTIVE_KEYS).unwrap_or(usize::MAX)).map(ApiKey).collect()
}

/// The organization of a member whom the caller may manage.
async fn organization_of_member(
    request: &Request,
    id: &str,
) -> Result<(Authorized<bursar_entity::organization::Model>, MembershipId), Error> {
    let at = |error: Error| error.at("memberId");
    let member = Member::find(request, id).await.map_err(at)?;
    let organization: OrganizationId = member.0.organization_id;
    let caller = request.caller()?;
    let found = caller.organization(&request.snapshots, organization, Action::ManageMembers).await;
    Ok((found.map_err(at)?, member.0.id))
}
