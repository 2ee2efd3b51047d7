//! Standing in for somebody when purchases are decided about.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use bursar_domain::Timestamp;
use bursar_domain::id::{DelegationId, MembershipId, OrganizationId};
use bursar_domain::permission::Action;
use bursar_entity::approval_delegation;
use sea_orm::{ColumnTrait, Condition, QueryFilter, QueryOrder, QuerySelect};

use super::errors::{ApiError, UserError, user_error};
use super::member::{User, person};
use super::node::decode;
use super::scalars::DateTime;
use super::{Request, signed_in};
use crate::approvals::{self, NewDelegation};
use crate::db::Tenant;
use crate::error::Error;
use crate::global_id;

/// The most that are listed of an organization: those that end last.
pub const MOST: u64 = 100;

/// That a person decides in another's name for some time.
pub struct ApprovalDelegation {
    row: approval_delegation::Model,
    active: bool,
}

impl ApprovalDelegation {
    /// One that the caller may see, as of an instant.
    pub fn at(row: approval_delegation::Model, now: Timestamp) -> ApprovalDelegation {
        let active = row.revoked_at.is_none() && row.starts_at <= now && now < row.ends_at;
        ApprovalDelegation { row, active }
    }

    /// Those of an organization that the caller sees: their own, whether they stand in or are stood in for; and all of them for
    /// whoever sees all of what people are asked there. Those that end last first, those that are over among them.
    pub async fn of_organization(
        request: &Request,
        organization: OrganizationId,
    ) -> Result<Vec<ApprovalDelegation>, Error> {
        let caller = request.caller()?;
        let tenant = Tenant::vouched(organization); // the caller sees it
        let mut rows = tenant.find::<approval_delegation::Entity>();
        if !caller.may_in_organization(organization, Action::ReadApprovals) {
            let Some(person) = caller.person() else { return Ok(Vec::new()) };
            let own = Condition::any()
                .add(approval_delegation::Column::Delegator.eq(person.id))
                .add(approval_delegation::Column::Delegate.eq(person.id));
            rows = rows.filter(own);
        }
        let snapshot = request.snapshots.open(tenant).await?;
        let rows = rows
            .order_by_desc(approval_delegation::Column::EndsAt)
            .order_by_desc(approval_delegation::Column::Id)
            .limit(MOST)
            .all(&*snapshot)
            .await?;
        let now = request.now();
        Ok(rows.into_iter().map(|row| ApprovalDelegation::at(row, now)).collect())
    }
}

/// That a person decides in another's name for some time. The other one may go on deciding; between them they have one
/// decision.
#[Object]
impl ApprovalDelegation {
    /// The global id.
    async fn id(&self) -> ID {
        ID(global_id::encode(self.row.id))
    }

    /// In whose name, as long as they belong to the organization.
    async fn delegator(&self, ctx: &Context<'_>) -> Option<Result<User, ApiError>> {
        let load =
            Box::pin(async { person(signed_in(ctx)?, self.row.organization_id, self.row.delegator).await });
        load.await.transpose()
    }

    /// Who decides, as long as they belong to the organization.
    async fn delegate(&self, ctx: &Context<'_>) -> Option<Result<User, ApiError>> {
        let load =
            Box::pin(async { person(signed_in(ctx)?, self.row.organization_id, self.row.delegate).await });
        load.await.transpose()
    }

    /// From when on.
    async fn from(&self) -> DateTime {
        DateTime(self.row.starts_at)
    }

    /// Until before when.
    async fn until(&self) -> DateTime {
        DateTime(self.row.ends_at)
    }

    /// Why.
    async fn reason(&self) -> Option<&str> {
        self.row.reason.as_deref()
    }

    /// When it was ended early. It is when one of the two leaves the organization, or becomes an auditor.
    async fn revoked_at(&self) -> Option<DateTime> {
        self.row.revoked_at.map(DateTime)
    }

    /// Whether it counts now.
    async fn active(&self) -> bool {
        self.active
    }
}

/// Somebody who is to decide in the caller's name for some time.
#[derive(InputObject)]
pub struct DelegateApprovalsInput {
    /// In which organization.
    organization_id: ID,
    /// Who: a membership.
    delegate_id: ID,
    /// From when on: not in the past. Left out: from now on.
    from: Option<DateTime>,
    /// Until before when: within 366 days of the beginning.
    until: DateTime,
    /// Why.
    reason: Option<String>,
}

/// A delegation to be ended early.
#[derive(InputObject)]
pub struct RevokeDelegationInput {
    /// Which one.
    delegation_id: ID,
}

/// A delegation that was made.
#[derive(SimpleObject)]
pub struct DelegateApprovalsPayload {
    /// The delegation.
    delegation: Option<ApprovalDelegation>,
    /// Why it was not made. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A delegation that was ended.
#[derive(SimpleObject)]
pub struct RevokeDelegationPayload {
    /// The delegation.
    delegation: Option<ApprovalDelegation>,
    /// Why it was not ended. Empty when it was.
    user_errors: Vec<UserError>,
}

/// The part of the root that lets people decide in others' names.
#[derive(Default)]
pub struct ApprovalDelegationMutation;

#[Object]
impl ApprovalDelegationMutation {
    /// Lets another member decide in the caller's name for some time, about whatever the caller may decide about. Whoever stands
    /// in may have somebody stand in too, up to three in a row. Nobody stands in for themselves, by however many others; and
    /// whoever stands in for the person who asks for a purchase cannot decide about it.
    async fn delegate_approvals(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who, and when.")] input: DelegateApprovalsInput,
    ) -> Option<Result<DelegateApprovalsPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let row = delegate(request, &input).await?;
                Ok::<_, Error>(ApprovalDelegation::at(row, request.now()))
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(made) => Ok(DelegateApprovalsPayload { delegation: Some(made), user_errors: Vec::new() }),
            Err(error) => user_error(error)
                .map(|error| DelegateApprovalsPayload { delegation: None, user_errors: vec![error] }),
        })
    }

    /// Ends early that somebody decides in another's name. Both of them may, and whoever may say which purchases need whose
    /// consent. What was decided stands.
    async fn revoke_delegation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: RevokeDelegationInput,
    ) -> Option<Result<RevokeDelegationPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let row = revoke(request, &input.delegation_id).await?;
                Ok::<_, Error>(ApprovalDelegation::at(row, request.now()))
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(ended) => Ok(RevokeDelegationPayload { delegation: Some(ended), user_errors: Vec::new() }),
            Err(error) => user_error(error)
                .map(|error| RevokeDelegationPayload { delegation: None, user_errors: vec![error] }),
        })
    }
}

async fn delegate(
    request: &Request,
    input: &DelegateApprovalsInput,
) -> Result<approval_delegation::Model, Error> {
    let caller = request.caller()?;
    let id: Result<OrganizationId, Error> = decode(&input.organization_id, "organization");
    let id = id.map_err(|error| error.at("organizationId"))?;
    let organization = caller.organization(&request.snapshots, id, Action::ReadOrganization).await;
    let organization = organization.map_err(|error| error.at("organizationId"))?;
    request.snapshots.close().await;
    let by = caller.person().ok_or(Error::Forbidden)?.id;
    let place: Result<MembershipId, Error> = decode(&input.delegate_id, "member");
    let wanted = NewDelegation {
        delegate: place.map_err(|error| error.at("delegateId"))?,
        from: input.from.as_ref().map(|from| from.0),
        until: input.until.0,
        reason: input.reason.clone(),
    };
    approvals::delegate(&request.services.context, &organization, by, wanted).await
}

async fn revoke(request: &Request, id: &str) -> Result<approval_delegation::Model, Error> {
    let caller = request.caller()?;
    let find = async {
        let id: DelegationId = decode(id, "delegation")?;
        let condition = approval_delegation::Column::Id.eq(id);
        let of = |row: &approval_delegation::Model| row.organization_id;
        caller.row::<approval_delegation::Entity>(&request.snapshots, condition, of, "delegation").await
    };
    let found: Result<_, Error> = find.await;
    let (organization, row) = found.map_err(|error| error.at("delegationId"))?;
    request.snapshots.close().await;
    let own = caller.is_person(row.delegator) || caller.is_person(row.delegate);
    if !own && !caller.may_in_organization(organization, Action::ReadApprovals) {
        return Err(Error::not_found("delegation").at("delegationId"));
    }
    let manages = caller.may_in_organization(organization, Action::ManageApprovalPolicy);
    let by = caller.person().filter(|_| own || manages).ok_or(Error::Forbidden)?.id;
    let tenant = Tenant::vouched(organization); // the caller's own row, or one that they manage
    approvals::revoke(&request.services.context, manages, by, tenant, row.id, &caller.actor()).await
}
