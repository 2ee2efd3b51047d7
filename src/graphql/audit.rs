//! The audit log, and who did things.

use async_graphql::{Context, Enum, ID, Object};
use bursar_domain::actor::ActorKind as Kind;
use bursar_domain::id::{AuditEventId, Id, OrganizationId, UserId};
use bursar_domain::permission::Action;
use bursar_entity::audit_event;
use sea_orm::ColumnTrait;
use uuid::Uuid;

use super::errors::ApiError;
use super::member::User;
use super::node::decode;
use super::scalars::{DateTime, Json};
use super::{Request, signed_in};
use crate::error::Error;
use crate::global_id;

/// What kind of caller did something.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Kind")]
pub enum ActorKind {
    /// A person.
    User,
    /// Bursar itself: a timer, a payment that arrived, the set-up of demonstration data.
    System,
}

/// Who did something.
pub struct Actor {
    organization: OrganizationId,
    kind: Kind,
    id: Option<Uuid>,
}

impl Actor {
    /// Who did something in an organization.
    pub fn new(organization: OrganizationId, kind: Kind, id: Option<Uuid>) -> Actor {
        Actor { organization, kind, id }
    }
}

/// Who did something.
#[Object]
impl Actor {
    /// What kind of caller.
    async fn kind(&self) -> ActorKind {
        self.kind.into()
    }

    /// The person, as long as they belong to the organization.
    async fn user(&self, ctx: &Context<'_>) -> Option<Result<User, ApiError>> {
        let load = Box::pin(async {
            let Some(id) = self.id.filter(|_| self.kind == Kind::User) else { return Ok(None) };
            super::member::person(signed_in(ctx)?, self.organization, UserId::from_u128(id.as_u128())).await
        });
        load.await.transpose()
    }
}

/// An entry of the audit log.
pub struct AuditEvent(pub audit_event::Model);

impl AuditEvent {
    /// The entry with a global id, when the caller may read the log.
    pub async fn find(request: &Request, id: &str) -> Result<AuditEvent, Error> {
        let (caller, id) = (request.caller()?, decode::<AuditEventId>(id, "audit event")?);
        let condition = audit_event::Column::Id.eq(id);
        let organization = |row: &audit_event::Model| row.organization_id;
        let found = caller
            .row::<audit_event::Entity>(&request.snapshots, condition, organization, "audit event")
            .await?;
        let (organization, row) = found;
        let seen = caller.may_in_organization(organization, Action::ReadAudit);
        if seen { Ok(AuditEvent(row)) } else { Err(Error::not_found("audit event")) }
    }
}

/// An entry of the audit log: one change.
#[Object]
impl AuditEvent {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode(self.0.id))
    }

    /// What was done: the name of the mutation or event.
    async fn action(&self) -> &str {
        &self.0.action
    }

    /// The global id of what it was done to.
    async fn subject_id(&self) -> ID {
        ID(self.0.subject.clone())
    }

    /// Who did it.
    async fn actor(&self) -> Actor {
        Actor::new(self.0.organization_id, self.0.actor_kind, self.0.actor_id)
    }

    /// The id of the request that it came with.
    async fn request_id(&self) -> Option<&str> {
        self.0.origin.as_deref()
    }

    /// The fields as they were. Null: there was nothing.
    async fn before(&self) -> Result<Option<Json>, ApiError> {
        json(self.0.before.as_deref())
    }

    /// The fields as they became. Null: nothing was left.
    async fn after(&self) -> Result<Option<Json>, ApiError> {
        json(self.0.after.as_deref())
    }

    /// When.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }
}

fn json(text: Option<&str>) -> Result<Option<Json>, ApiError> {
    let parsed = text.map(|text| serde_json::from_str(text).map(Json)).transpose();
    parsed.map_err(|error| Error::internal(format!("an audit event: {error}")).into())
}
