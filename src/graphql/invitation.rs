//! Invitations: who was asked by e-mail to join an organization.

use async_graphql::{Context, Enum, ID, InputObject, Object};
use bursar_domain::Timestamp;
use bursar_domain::id::InvitationId;
use bursar_domain::invitation::{InvitationState as State, state};
use bursar_domain::permission::Action;
use bursar_entity::invitation;
use sea_orm::{ColumnTrait, Condition, Order, QueryFilter};

use super::connection::{NodeConnection, PageArgs, connection};
use super::errors::ApiError;
use super::member::{Role, User, person};
use super::node::{decode, found};
use super::organization::Organization;
use super::scalars::DateTime;
use super::{Request, request, signed_in};
use crate::db::Tenant;
use crate::error::Error;
use crate::global_id;

/// What has become of an invitation.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "State")]
pub enum InvitationState {
    /// It can be accepted.
    Pending,
    /// It was accepted.
    Accepted,
    /// It was taken back.
    Revoked,
    /// Its time is over. Sent again, it can be accepted again.
    Expired,
}

/// Which invitations are wanted.
#[derive(InputObject)]
pub struct InvitationFilter {
    /// Only those in this state.
    state: Option<InvitationState>,
}

/// An invitation to join an organization.
pub struct Invitation(pub invitation::Model);

impl Invitation {
    /// The invitation with a global id, when the caller may see who belongs to its organization.
    pub async fn find(request: &Request, id: &str) -> Result<Invitation, Error> {
        let (caller, id) = (request.caller()?, decode::<InvitationId>(id, "invitation")?);
        let condition = invitation::Column::Id.eq(id);
        let organization = |row: &invitation::Model| row.organization_id;
        let found = caller
            .row::<invitation::Entity>(&request.snapshots, condition, organization, "invitation")
            .await?;
        let (organization, row) = found;
        let seen = caller.may_in_organization(organization, Action::ReadMembers);
        if seen { Ok(Invitation(row)) } else { Err(Error::not_found("invitation")) }
    }
}

/// Somebody was asked by e-mail to join an organization.
#[Object]
impl Invitation {
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

    /// The address that was asked.
    async fn email(&self) -> &str {
        &self.0.email
    }

    /// What the person is to be.
    async fn role(&self) -> Role {
        self.0.role.into()
    }

    /// What has become of it.
    async fn state(&self, ctx: &Context<'_>) -> Result<InvitationState, ApiError> {
        let (row, now) = (&self.0, request(ctx)?.now());
        Ok(state(row.accepted_at.is_some(), row.revoked_at.is_some(), row.expires_at, now).into())
    }

    /// Who has asked, or has sent it again last, as long as they belong to the organization.
    async fn invited_by(&self, ctx: &Context<'_>) -> Option<Result<User, ApiError>> {
        let load =
            Box::pin(async { person(signed_in(ctx)?, self.0.organization_id, self.0.invited_by).await });
        load.await.transpose()
    }

    /// How often it was sent. Only the link in the last mail is good.
    async fn round(&self) -> i64 {
        self.0.round
    }

    /// When it was first sent.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// From when on it can no longer be accepted.
    async fn expires_at(&self) -> DateTime {
        DateTime(self.0.expires_at)
    }

    /// When it was accepted.
    async fn accepted_at(&self) -> Option<DateTime> {
        self.0.accepted_at.map(DateTime)
    }

    /// Who has accepted it, as long as they belong to the organization.
    async fn accepted_by(&self, ctx: &Context<'_>) -> Option<Result<User, ApiError>> {
        let load = Box::pin(async {
            let Some(user) = self.0.accepted_by else { return Ok(None) };
            person(signed_in(ctx)?, self.0.organization_id, user).await
        });
        load.await.transpose()
    }

    /// When it was taken back.
    async fn revoked_at(&self) -> Option<DateTime> {
        self.0.revoked_at.map(DateTime)
    }
}

/// The invitations of an organization, newest first, for those who see its members.
pub async fn of_organization(
    ctx: &Context<'_>,
    tenant: Tenant,
    filter: Option<InvitationFilter>,
    args: PageArgs,
) -> Result<NodeConnection<Invitation>, ApiError> {
    let request = signed_in(ctx)?;
    if !request.caller()?.may_in_organization(tenant.id(), Action::ReadMembers) {
        return Err(Error::Forbidden.into());
    }
    let mut select = tenant.find::<invitation::Entity>();
    if let Some(state) = filter.and_then(|filter| filter.state) {
        select = select.filter(in_state(state.into(), request.now()));
    }
    let snapshot = request.snapshots.open(tenant).await?;
    let order = (invitation::Column::Id, Order::Desc);
    connection(ctx, &snapshot, select, order, args, |row| row.id, Invitation).await
}

/// What holds for the rows of a state at `now`.
fn in_state(state: State, now: Timestamp) -> Condition {
    use invitation::Column;
    let open = || Condition::all().add(Column::AcceptedAt.is_null()).add(Column::RevokedAt.is_null());
    match state {
        State::Accepted => Condition::all().add(Column::AcceptedAt.is_not_null()),
        State::Revoked => Condition::all().add(Column::RevokedAt.is_not_null()),
        State::Pending => open().add(Column::ExpiresAt.gt(now)),
        State::Expired => open().add(Column::ExpiresAt.lte(now)),
    }
}
