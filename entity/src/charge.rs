//! Charges. Each row is its own audit record and its own event. Append-only.

use bursar_domain::actor::ActorKind;
use bursar_domain::id::{AccountId, ChargeId, DepartmentId, HoldId, OrganizationId, PoolId, UserId};
use bursar_domain::ledger::{Key, RequestHash};
use bursar_domain::{Credits, Timestamp};
use sea_orm::entity::prelude::*;

/// One row of the table `charge`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "charge")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The charge.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ChargeId,
    /// The pool.
    pub pool_id: PoolId,
    /// The account that paid.
    pub account_id: AccountId,
    /// The department that the account belongs to.
    pub department_id: Option<DepartmentId>,
    /// On whose behalf.
    pub on_behalf_of: Option<UserId>,
    /// What kind of caller made it.
    pub actor_kind: ActorKind,
    /// Which one.
    pub actor_id: Option<Uuid>,
    /// The request that it came with.
    pub origin: Option<String>,
    /// Its lines, as JSON.
    pub lines: String,
    /// What it cost.
    pub credits: Credits,
    /// The job's id at the caller's, unique in the organization.
    pub reference: Option<String>,
    /// The property or listing.
    pub subject: Option<String>,
    /// What the caller attached, as JSON.
    pub metadata: Option<String>,
    /// The digest of its key.
    pub idempotency_key: Key,
    /// The digest of what was asked for.
    pub request_hash: RequestHash,
    /// The version of its last slice.
    pub version: i64,
    /// How many transfers it made.
    pub slices: i64,
    /// When it was booked.
    pub created_at: Timestamp,
    /// The hold that it captures.
    pub hold_id: Option<HoldId>,
    /// A digest of the row; none for rows from before there were seals.
    pub seal: Option<Vec<u8>>,
}

impl ActiveModelBehavior for ActiveModel {}
