//! Finding, founding and changing organizations.

use async_graphql::{Context, ID, InputObject, Object, OneofObject, SimpleObject};
use bursar_domain::organization::OrganizationState as State;
use bursar_domain::permission::Action;
use bursar_entity::organization;
use sea_orm::{ColumnTrait, Order, QueryFilter};

use super::connection::{NodeConnection, PageArgs, connection};
use super::errors::{ApiError, UserError, user_error};
use super::node::found;
use super::organization::{Organization, OrganizationState, authorized};
use super::scalars::{CurrencyCode, TimeZone};
use super::signed_in;
use crate::db::scope::find_across;
use crate::organizations::{self, NewOrganization, OrganizationPatch};

/// The part of the root that finds organizations.
#[derive(Default)]
pub struct OrganizationQuery;

/// Names an organization, in one of the ways.
#[derive(OneofObject)]
pub enum OrganizationSelector {
    /// By its global id.
    Id(ID),
    /// By its short name.
    Slug(String),
}

/// Which organizations are listed. What is left out does not matter.
#[derive(InputObject)]
pub struct OrganizationFilter {
    /// Sandboxes alone, or organizations that are none. Left out: both; but to the vendor, who sees everybody's,
    /// sandboxes are shown only when they are asked for.
    sandbox: Option<bool>,
    /// Those in this state.
    state: Option<OrganizationState>,
}

#[Object]
impl OrganizationQuery {
    /// An organization. Null when there is none, or none that the caller may see.
    async fn organization(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] by: OrganizationSelector,
    ) -> Option<Result<Organization, ApiError>> {
        let find = Box::pin(async {
            let request = signed_in(ctx)?;
            let caller = request.caller()?;
            found(match by {
                OrganizationSelector::Id(id) => Organization::find(request, &id).await,
                OrganizationSelector::Slug(slug) => caller
                    .organization_by_slug(&request.snapshots, &slug, Action::ReadOrganization)
                    .await
                    .map(|found| Organization(found.into_value())),
            })
        });
        find.await.transpose()
    }

    /// The organizations that the caller may see, oldest first.
    async fn organizations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones. Left out: all, but to the vendor no sandboxes.")] filter: Option<
            OrganizationFilter,
        >,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<Organization>, ApiError>> {
        let list = Box::pin(async {
            let request = signed_in(ctx)?;
            let caller = request.caller()?;
            let mut select = find_across::<organization::Entity>();
            if !caller.is_vendors() {
                select = select.filter(organization::Column::Id.is_in(caller.organizations()));
            }
            let (sandbox, state) = filter.map_or((None, None), |filter| (filter.sandbox, filter.state));
            match sandbox.or(caller.is_vendors().then_some(false)) {
                Some(true) => select = select.filter(organization::Column::SandboxOf.is_not_null()),
                Some(false) => select = select.filter(organization::Column::SandboxOf.is_null()),
                None => {}
            }
            if let Some(state) = state {
                select = select.filter(organization::Column::State.eq(State::from(state)));
            }
            let snapshot = request.snapshots.open(caller.scope()).await?;
            let order = (organization::Column::Id, Order::Asc);
            connection(
                ctx,
                &snapshot,
                select,
                order,
                PageArgs { first, after, last, before },
                |row| row.id,
                Organization,
            )
            .await
        });
        Some(list.await)
    }
}

/// What a new organization is to be.
#[derive(InputObject)]
pub struct CreateOrganizationInput {
    /// Its short name in addresses: 1 to 63 lower-case letters, digits and inner hyphens.
    slug: String,
    /// Its name.
    name: String,
    /// The zone in which its months and quarters begin.
    time_zone: TimeZone,
    /// What it pays in. Left out: what its first quote is in.
    currency: Option<CurrencyCode>,
    /// The address of its first owner.
    owner_email: String,
    /// What to call the owner, when Bursar does not know the person yet.
    owner_name: Option<String>,
}

/// What to change of an organization. What is left out stays.
#[derive(InputObject)]
pub struct UpdateOrganizationInput {
    /// Which organization.
    organization_id: ID,
    /// A new name.
    name: Option<String>,
    /// A new time zone, which counts from the next period on.
    time_zone: Option<TimeZone>,
}

/// An organization that was founded.
#[derive(SimpleObject)]
pub struct CreateOrganizationPayload {
    /// The organization.
    organization: Option<Organization>,
    /// Why it was not founded. Empty when it was.
    user_errors: Vec<UserError>,
}

/// An organization that was changed.
#[derive(SimpleObject)]
pub struct UpdateOrganizationPayload {
    /// The organization.
    organization: Option<Organization>,
    /// Why it was not changed. Empty when it was.
    user_errors: Vec<UserError>,
}

/// The part of the root that changes organizations.
#[derive(Default)]
pub struct OrganizationMutation;

#[Object]
impl OrganizationMutation {
    /// Founds an organization. For the vendor's staff.
    async fn create_organization(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What it is to be.")] input: CreateOrganizationInput,
    ) -> Option<Result<CreateOrganizationPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let caller = request.caller()?;
            caller.may_create_organizations()?;
            let new = NewOrganization {
                slug: input.slug,
                name: input.name,
                time_zone: input.time_zone.0,
                currency: input.currency.map(|currency| currency.0),
                owner_email: input.owner_email,
                owner_name: input.owner_name,
            };
            organizations::create(&request.services.context, &caller.actor(), new).await
        });
        Some(match outcome.await {
            Ok(value) => Ok(CreateOrganizationPayload {
                organization: Some(Organization(value)),
                user_errors: Vec::new(),
            }),
            Err(error) => user_error(error)
                .map(|error| CreateOrganizationPayload { organization: None, user_errors: vec![error] }),
        })
    }

    /// Changes an organization.
    async fn update_organization(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateOrganizationInput,
    ) -> Option<Result<UpdateOrganizationPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let organization =
                    authorized(request, &input.organization_id, Action::UpdateOrganization).await;
                let organization = organization.map_err(|error| error.at("organizationId"))?;
                let patch = OrganizationPatch {
                    name: input.name.clone(),
                    time_zone: input.time_zone.as_ref().map(|zone| zone.0.clone()),
                };
                request.snapshots.close().await;
                organizations::update(&request.services.context, &organization, patch).await
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(value) => Ok(UpdateOrganizationPayload {
                organization: Some(Organization(value)),
                user_errors: Vec::new(),
            }),
            Err(error) => user_error(error)
                .map(|error| UpdateOrganizationPayload { organization: None, user_errors: vec![error] }),
        })
    }
}
