//! The audit log: every change that is not a ledger row of its own. Append-only, and a chain.

use bursar_domain::Timestamp;
use bursar_domain::actor::ActorKind;
use bursar_domain::id::{AuditEventId, OrganizationId, UserId};
use sea_orm::entity::prelude::*;

/// One row of the table `audit_event`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_event")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The event.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: AuditEventId,
    /// What kind of caller did it.
    pub actor_kind: ActorKind,
    /// Which one.
    pub actor_id: Option<Uuid>,
    /// The request that it came with.
    pub origin: Option<String>,
    /// What was done, as the name of the mutation or event.
    pub action: String,
    /// What it was done to, as its global id.
    pub subject: String,
    /// What was there, as JSON.
    pub before: Option<String>,
    /// What is there, as JSON.
    pub after: Option<String>,
    /// When.
    pub created_at: Timestamp,
    /// Its place in the organization's chain: 1, 2, 3, ... without a gap.
    pub position: i64,
    /// On whose behalf.
    pub on_behalf_of: Option<UserId>,
    /// The salted digests of values about people, by name, as a JSON object.
    pub personal: Option<String>,
    /// Its link of the chain; none for events from before there was one.
    pub link: Option<Vec<u8>>,
}

impl ActiveModelBehavior for ActiveModel {}
