//! Holds: credits kept for charges to come. What was agreed on never changes; what has become of it does.

use bursar_domain::actor::ActorKind;
use bursar_domain::id::{AccountId, DepartmentId, HoldId, OrganizationId, PoolId, UserId};
use bursar_domain::ledger::{HoldState, Key, RequestHash};
use bursar_domain::{Credits, Timestamp};
use sea_orm::entity::prelude::*;

/// One row of the table `hold`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "hold")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The hold.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: HoldId,
    /// The pool.
    pub pool_id: PoolId,
    /// The account that it is about.
    pub account_id: AccountId,
    /// The department that the account belongs to.
    pub department_id: Option<DepartmentId>,
    /// On whose behalf.
    pub on_behalf_of: Option<UserId>,
    /// Whose spending it counts as.
    pub spender: Option<UserId>,
    /// What kind of caller made it.
    pub actor_kind: ActorKind,
    /// Which one.
    pub actor_id: Option<Uuid>,
    /// The request that it came with.
    pub origin: Option<String>,
    /// What may be charged at most, as JSON.
    pub lines: String,
    /// How many credits were held.
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
    /// From when it holds no more.
    pub expires_at: Timestamp,
    /// A digest of what never changes.
    pub seal: Option<Vec<u8>>,
    /// What has become of it.
    pub state: HoldState,
    /// What has been charged.
    pub captured: Credits,
    /// How many units of each line have been charged, as JSON.
    pub captured_units: String,
    /// What is still held, of which account and lot, as JSON.
    pub held_slices: String,
    /// When it came to its end.
    pub closed_at: Option<Timestamp>,
}

impl ActiveModelBehavior for ActiveModel {}
