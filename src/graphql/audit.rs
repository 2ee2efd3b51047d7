//! The audit log, and who did things.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use bursar_domain::actor::ActorKind as Kind;
use bursar_domain::id::{ApiKeyId, AuditEventId, Id, OrganizationId, UserId};
use bursar_domain::permission::Action;
use bursar_entity::{audit_event, charge, hold, journal_entry, transfer};
use sea_orm::ColumnTrait;
use uuid::Uuid;

use super::api_key::ApiKey;
use super::connection::{NodeConnection, PageArgs, fetched};
use super::errors::ApiError;
use super::loaders::{Key, PersonalOf};
use super::member::User;
use super::node::{decode, found};
use super::scalars::{DateTime, Json};
use super::{Request, request, signed_in};
use crate::audit::{self, Filter, Record, Source};
use crate::auth::{Caller, SeenPeople};
use crate::db::Tenant;
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
    /// A key of the API.
    ApiKey,
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

    /// The key. Null for those who may not see which keys there are.
    async fn api_key(&self, ctx: &Context<'_>) -> Option<Result<ApiKey, ApiError>> {
        let find = Box::pin(async {
            let Some(id) = self.id.filter(|_| self.kind == Kind::ApiKey) else { return Ok(None) };
            let id = global_id::encode(ApiKeyId::from_u128(id.as_u128()));
            found(ApiKey::find(signed_in(ctx)?, &id).await)
        });
        find.await.transpose()
    }
}

/// What kind of row an entry of the audit log comes from.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "Source")]
pub enum AuditSource {
    /// An event of the log itself.
    Event,
    /// A charge, a hold or another entry of the ledger, which is its own record.
    Ledger,
}

/// Which entries of the audit log are wanted. All that is given must fit.
#[derive(InputObject, Clone, Debug)]
pub struct AuditFilter {
    /// From this instant on.
    from: Option<DateTime>,
    /// Up to before this instant.
    to: Option<DateTime>,
    /// Done by this person.
    actor_id: Option<ID>,
    /// Done in this way: the name of a mutation or event.
    action: Option<String>,
    /// Done to this. A pool finds what was booked in it too, a charge its refunds, a hold its captures and its end.
    subject_id: Option<ID>,
    /// From rows of this kind.
    source: Option<AuditSource>,
}

impl AuditFilter {
    fn checked(self) -> Result<Filter, ApiError> {
        let actor = match &self.actor_id {
            None => None,
            Some(id) => {
                let wrong =
                    || ApiError::bad_input("filter.actorId: is not the id of a person or an API key.");
                Some(audit::actor_id(id).ok_or_else(wrong)?)
            }
        };
        let filter = Filter {
            from: self.from.map(|DateTime(at)| at),
            to: self.to.map(|DateTime(at)| at),
            actor,
            action: self.action,
            subject: self.subject_id.map(|id| id.0),
            source: self.source.map(Source::from),
        };
        match filter.check() {
            Ok(()) => Ok(filter),
            Err(Error::Invalid { field, reason }) => {
                Err(ApiError::bad_input(format!("filter.{field}: {reason}.")))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The log of an organization, newest first, for who may read it.
pub async fn of_organization(
    ctx: &Context<'_>,
    tenant: Tenant,
    filter: Option<AuditFilter>,
    args: PageArgs,
) -> Result<NodeConnection<AuditEvent>, ApiError> {
    let request = signed_in(ctx)?;
    if !request.caller()?.may_in_organization(tenant.id(), Action::ReadAudit) {
        return Err(Error::Forbidden.into());
    }
    let filter = filter.map(AuditFilter::checked).transpose()?.unwrap_or_default();
    let wanted = args.request::<AuditEventId>()?;
    let snapshot = request.snapshots.open(tenant).await?;
    let page = audit::page(&snapshot, tenant, &filter, true, wanted).await?;
    Ok(fetched(page, |record| record.id, AuditEvent))
}

/// An entry of the audit log.
pub struct AuditEvent(pub Record);

impl AuditEvent {
    /// The entry with a global id, when the caller may read the log.
    pub async fn find(request: &Request, id: &str) -> Result<AuditEvent, Error> {
        let (caller, id) = (request.caller()?, decode::<AuditEventId>(id, "audit event")?);
        let condition = audit_event::Column::Id.eq(id);
        let organization = |row: &audit_event::Model| row.organization_id;
        let looked = caller
            .row::<audit_event::Entity>(&request.snapshots, condition, organization, "audit event")
            .await;
        let record = match looked {
            Ok((_, row)) => Record::try_from(row)?,
            Err(Error::NotFound { .. }) => ledger_row(request, &caller, id).await?,
            Err(error) => return Err(error),
        };
        let seen = caller.may_in_organization(record.organization, Action::ReadAudit);
        if seen { Ok(AuditEvent(record)) } else { Err(Error::not_found("audit event")) }
    }
}

/// The row of the ledger that has this name in the log.
async fn ledger_row(request: &Request, caller: &Caller, id: AuditEventId) -> Result<Record, Error> {
    macro_rules! look {
        ($($table:ident),+) => {
            $(
                let condition = $table::Column::Id.eq(id);
                let organization = |row: &$table::Model| row.organization_id;
                let found = caller
                    .row::<$table::Entity>(&request.snapshots, condition, organization, "audit event")
                    .await;
                match found {
                    Ok((_, row)) => return Ok(Record::from(row)),
                    Err(Error::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            )+
        };
    }
    look!(charge, journal_entry, hold);
    let (snapshots, backend) = (&request.snapshots, request.services.context.db.backend());
    if let Some(condition) = audit::expired_hold(id, backend) {
        let organization = |row: &hold::Model| row.organization_id;
        let found = caller.row::<hold::Entity>(snapshots, condition, organization, "audit event").await;
        return found.map(|(_, row)| Record::expired(row));
    }
    if let Some(condition) = audit::lapse(id, backend) {
        let organization = |row: &transfer::Model| row.organization_id;
        let found = caller.row::<transfer::Entity>(snapshots, condition, organization, "audit event").await;
        return found.map(|(_, row)| Record::lapsed(row));
    }
    Err(Error::not_found("audit event"))
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

    /// What kind of row it comes from.
    async fn source(&self) -> AuditSource {
        self.0.source.into()
    }

    /// Its place in the chain of the organization's events. Null for rows of the ledger, which the chain of their
    /// pool covers.
    async fn position(&self) -> Option<i64> {
        self.0.position
    }

    /// Who did it.
    async fn actor(&self) -> Actor {
        Actor::new(self.0.organization, self.0.actor_kind, self.0.actor_id)
    }

    /// On whose behalf, as long as they belong to the organization.
    async fn on_behalf_of(&self, ctx: &Context<'_>) -> Option<Result<User, ApiError>> {
        let load = Box::pin(async {
            let Some(user) = self.0.on_behalf_of else { return Ok(None) };
            super::member::person(signed_in(ctx)?, self.0.organization, user).await
        });
        load.await.transpose()
    }

    /// The id of the request that it came with.
    async fn request_id(&self) -> Option<&str> {
        self.0.origin.as_deref()
    }

    /// The fields as they were. Null: there was nothing.
    async fn before(&self) -> Option<Json> {
        self.0.before.clone().map(Json)
    }

    /// The fields as they became. Null: nothing was left.
    async fn after(&self) -> Option<Json> {
        self.0.after.clone().map(Json)
    }

    /// Values about people that are kept with it, and can be erased without it. A key is told of none without
    /// `MEMBERS_READ`.
    async fn personal(&self, ctx: &Context<'_>) -> Option<Result<Vec<PersonalValue>, ApiError>> {
        let load = Box::pin(async {
            let request = request(ctx)?;
            let named = request.caller()?.sees_people(self.0.organization) != SeenPeople::Nobody;
            if !named || self.0.personal.is_empty() {
                return Ok(Vec::new());
            }
            let key = Key(self.0.organization, PersonalOf(self.0.id));
            let rows = request.rows.load_one(key).await?.unwrap_or_default();
            Ok(rows.into_iter().map(|row| PersonalValue { name: row.name, value: row.value }).collect())
        });
        Some(load.await)
    }

    /// When.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }
}

/// A value about a person that is kept with an entry of the audit log.
#[derive(SimpleObject)]
pub struct PersonalValue {
    /// What it is.
    name: String,
    /// The value. Null once it has been erased.
    value: Option<String>,
}
