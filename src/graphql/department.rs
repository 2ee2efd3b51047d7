//! Departments.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use bursar_domain::permission::Action;
use bursar_entity::{account, department, department_member, membership};
use sea_orm::{ColumnTrait, Order, QueryFilter};

use super::allocation::Allocation;
use super::connection::{NodeConnection, PageArgs, connection, in_memory};
use super::errors::{ApiError, UserError, user_error};
use super::member::Member;
use super::node::{decode, found};
use super::organization::{self, Organization};
use super::scalars::DateTime;
use super::{Request, request, signed_in};
use crate::auth::{Authorized, SeenPeople};
use crate::db::Tenant;
use crate::error::Error;
use crate::global_id;
use crate::organizations::{self, DepartmentPatch, NewDepartment};

/// A department.
pub struct Department(pub department::Model);

impl Department {
    /// The department with a global id, when the caller may see it.
    pub async fn find(request: &Request, id: &str) -> Result<Department, Error> {
        Ok(Department(authorized(request, id, Action::ReadDepartment).await?.into_value()))
    }

    fn tenant(&self) -> Tenant {
        // Only departments that the caller may see become objects.
        Tenant::vouched(self.0.organization_id)
    }
}

/// A department by its global id, for an action on it.
async fn authorized(
    request: &Request,
    id: &str,
    action: Action,
) -> Result<Authorized<department::Model>, Error> {
    let id = decode(id, "department")?;
    request.caller()?.department(&request.snapshots, id, action).await
}

/// A department of an organization.
#[Object]
impl Department {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode(self.0.id))
    }

    /// The organization.
    async fn organization(&self, ctx: &Context<'_>) -> Option<Result<Organization, ApiError>> {
        let find = Box::pin(async {
            let id = global_id::encode(self.0.organization_id);
            found(Organization::find(request(ctx)?, &id).await)
        });
        find.await.transpose()
    }

    /// Its short name, unique in the organization.
    async fn code(&self) -> &str {
        &self.0.code
    }

    /// Its name.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// Where its costs are booked, in the organization's own terms.
    async fn cost_center(&self) -> Option<&str> {
        self.0.cost_center.as_deref()
    }

    /// Since when it is no longer used.
    async fn archived_at(&self) -> Option<DateTime> {
        self.0.archived_at.map(DateTime)
    }

    /// When it was created.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// Who belongs to it.
    async fn members(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<DepartmentMember>, ApiError>> {
        let list = Box::pin(async {
            let request = signed_in(ctx)?;
            if request.caller()?.sees_people(self.0.organization_id) == SeenPeople::Nobody {
                return Err(Error::Forbidden.into());
            }
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let places = self
                .tenant()
                .find::<department_member::Entity>()
                .filter(department_member::Column::DepartmentId.eq(self.0.id));
            let places = places.all(&*snapshot).await.map_err(Error::from)?;
            let people = places.iter().map(|place| place.user_id);
            let rows =
                self.tenant().find::<membership::Entity>().filter(membership::Column::UserId.is_in(people));
            let mut rows = rows.all(&*snapshot).await.map_err(Error::from)?;
            rows.sort_by_key(|row| row.id);
            let manages = |row: &membership::Model| {
                places.iter().any(|place| place.user_id == row.user_id && place.manager)
            };
            let places = rows.into_iter().map(|row| (manages(&row), row)).collect();
            let node = |(manager, row)| DepartmentMember { member: Member(row), manager };
            in_memory(
                places,
                PageArgs { first, after, last, before },
                |(_, row)| global_id::encode(row.id),
                node,
            )
        });
        Some(list.await)
    }

    /// What it has in each pool, as far as the caller sees it.
    async fn allocations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<Allocation>, ApiError>> {
        let list = Box::pin(async {
            let request = signed_in(ctx)?;
            let caller = request.caller()?;
            let organization = self.0.organization_id;
            let mut select =
                self.tenant().find::<account::Entity>().filter(account::Column::DepartmentId.eq(self.0.id));
            let action = Action::ReadDepartmentCharges;
            if !caller.may_in_department(organization, self.0.id, action) {
                // Administrators of pools see departments, and what these have in their pools.
                let pools = caller.own_pools(organization, action);
                select = select.filter(account::Column::PoolId.is_in(pools));
            } else if let Some(pools) = caller.key().and_then(|key| key.reach.pools.as_ref()) {
                select = select.filter(account::Column::PoolId.is_in(pools.iter().copied()));
            }
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let order = (account::Column::Id, Order::Asc);
            connection(
                ctx,
                &snapshot,
                select,
                order,
                PageArgs { first, after, last, before },
                |row| row.id,
                Allocation,
            )
            .await
        });
        Some(list.await)
    }
}

/// A person's place in a department, seen from the department.
#[derive(SimpleObject)]
pub struct DepartmentMember {
    /// The member of the organization.
    member: Member,
    /// Whether the person manages the department.
    manager: bool,
}

/// What a new department is to be.
#[derive(InputObject)]
pub struct CreateDepartmentInput {
    /// The organization.
    organization_id: ID,
    /// Its short name, unique in the organization: upper-case letters, digits and underscores.
    code: String,
    /// Its name.
    name: String,
    /// Where its costs are booked, in the organization's own terms.
    cost_center: Option<String>,
}

/// What to change of a department. What is left out stays.
#[derive(InputObject)]
pub struct UpdateDepartmentInput {
    /// Which department.
    department_id: ID,
    /// A new short name.
    code: Option<String>,
    /// A new name.
    name: Option<String>,
    /// A new cost centre; null for none.
    cost_center: MaybeUndefined<String>,
}

/// A department to be archived.
#[derive(InputObject)]
pub struct ArchiveDepartmentInput {
    /// Which department.
    department_id: ID,
}

/// A member to be put into a department.
#[derive(InputObject)]
pub struct AddDepartmentMemberInput {
    /// Which department.
    department_id: ID,
    /// Which member of the organization.
    member_id: ID,
    /// Whether the person is to manage the department.
    #[graphql(default = false)]
    manager: bool,
}

/// A member to be taken out of a department.
#[derive(InputObject)]
pub struct RemoveDepartmentMemberInput {
    /// Which department.
    department_id: ID,
    /// Which member of the organization.
    member_id: ID,
}

/// A department that was created.
#[derive(SimpleObject)]
pub struct CreateDepartmentPayload {
    /// The department.
    department: Option<Department>,
    /// Why it was not created. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A department that was changed.
#[derive(SimpleObject)]
pub struct UpdateDepartmentPayload {
    /// The department.
    department: Option<Department>,
    /// Why it was not changed. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A department that was archived.
#[derive(SimpleObject)]
pub struct ArchiveDepartmentPayload {
    /// The department.
    department: Option<Department>,
    /// Why it was not archived. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A department that somebody was put into.
#[derive(SimpleObject)]
pub struct AddDepartmentMemberPayload {
    /// The department.
    department: Option<Department>,
    /// Why nobody was put in. Empty when somebody was.
    user_errors: Vec<UserError>,
}

/// A department that somebody was taken out of.
#[derive(SimpleObject)]
pub struct RemoveDepartmentMemberPayload {
    /// The department.
    department: Option<Department>,
    /// Why nobody was taken out. Empty when somebody was.
    user_errors: Vec<UserError>,
}

/// The part of the root that changes departments.
#[derive(Default)]
pub struct DepartmentMutation;

#[Object]
impl DepartmentMutation {
    /// Creates a department.
    async fn create_department(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What it is to be.")] input: CreateDepartmentInput,
    ) -> Option<Result<CreateDepartmentPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let action = Action::ManageDepartments;
                let organization = organization::authorized(request, &input.organization_id, action).await;
                let organization = organization.map_err(|error| error.at("organizationId"))?;
                let new = NewDepartment {
                    code: input.code.clone(),
                    name: input.name.clone(),
                    cost_center: input.cost_center.clone(),
                };
                request.snapshots.close().await;
                organizations::create_department(&request.services.context, &organization, new).await
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(value) => {
                Ok(CreateDepartmentPayload { department: Some(Department(value)), user_errors: Vec::new() })
            }
            Err(error) => user_error(error)
                .map(|error| CreateDepartmentPayload { department: None, user_errors: vec![error] }),
        })
    }

    /// Changes a department.
    async fn update_department(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateDepartmentInput,
    ) -> Option<Result<UpdateDepartmentPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let department = managed(request, &input.department_id, Action::ManageDepartments).await?;
                let cost_center = match &input.cost_center {
                    MaybeUndefined::Undefined => None,
                    MaybeUndefined::Null => Some(None),
                    MaybeUndefined::Value(value) => Some(Some(value.clone())),
                };
                let patch =
                    DepartmentPatch { code: input.code.clone(), name: input.name.clone(), cost_center };
                organizations::update_department(&request.services.context, &department, patch).await
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(value) => {
                Ok(UpdateDepartmentPayload { department: Some(Department(value)), user_errors: Vec::new() })
            }
            Err(error) => user_error(error)
                .map(|error| UpdateDepartmentPayload { department: None, user_errors: vec![error] }),
        })
    }

    /// Archives a department, unless it still has credits.
    async fn archive_department(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: ArchiveDepartmentInput,
    ) -> Option<Result<ArchiveDepartmentPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let department = managed(request, &input.department_id, Action::ManageDepartments).await?;
                organizations::archive_department(&request.services.context, &department).await
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(value) => {
                Ok(ArchiveDepartmentPayload { department: Some(Department(value)), user_errors: Vec::new() })
            }
            Err(error) => user_error(error)
                .map(|error| ArchiveDepartmentPayload { department: None, user_errors: vec![error] }),
        })
    }

    /// Puts a member of the organization into a department, or changes whether they manage it.
    async fn add_department_member(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who, and where.")] input: AddDepartmentMemberInput,
    ) -> Option<Result<AddDepartmentMemberPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let department =
                    managed(request, &input.department_id, Action::ManageDepartmentMembers).await?;
                let member =
                    decode(&input.member_id, "member").map_err(|error: Error| error.at("memberId"))?;
                let context = &request.services.context;
                let manager = input.manager;
                organizations::add_department_member(context, &department, member, manager).await?;
                Ok::<_, Error>(department.into_value())
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(value) => Ok(AddDepartmentMemberPayload {
                department: Some(Department(value)),
                user_errors: Vec::new(),
            }),
            Err(error) => user_error(error)
                .map(|error| AddDepartmentMemberPayload { department: None, user_errors: vec![error] }),
        })
    }

    /// Takes a member out of a department.
    async fn remove_department_member(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who, and where.")] input: RemoveDepartmentMemberInput,
    ) -> Option<Result<RemoveDepartmentMemberPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let department =
                    managed(request, &input.department_id, Action::ManageDepartmentMembers).await?;
                let member =
                    decode(&input.member_id, "member").map_err(|error: Error| error.at("memberId"))?;
                organizations::remove_department_member(&request.services.context, &department, member)
                    .await?;
                Ok::<_, Error>(department.into_value())
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(value) => Ok(RemoveDepartmentMemberPayload {
                department: Some(Department(value)),
                user_errors: Vec::new(),
            }),
            Err(error) => user_error(error)
                .map(|error| RemoveDepartmentMemberPayload { department: None, user_errors: vec![error] }),
        })
    }
}

/// A department for a change; the snapshot is closed, since what comes next is a write.
async fn managed(
    request: &Request,
    id: &str,
    action: Action,
) -> Result<Authorized<department::Model>, Error> {
    let department = authorized(request, id, action).await.map_err(|error| error.at("departmentId"))?;
    request.snapshots.close().await;
    Ok(department)
}
