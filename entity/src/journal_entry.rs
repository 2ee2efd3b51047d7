//! Accepted ledger commands other than charges. Append-only.

use bursar_domain::actor::ActorKind;
use bursar_domain::id::{
    AccountId, ChargeId, DepartmentId, EntryId, HoldId, LotId, OrganizationId, PoolId, PurchaseId,
};
use bursar_domain::ledger::{Key, RequestHash, TransferKind};
use bursar_domain::{Credits, Timestamp};
use sea_orm::entity::prelude::*;

/// One row of the table `journal_entry`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "journal_entry")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The entry.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: EntryId,
    /// The pool.
    pub pool_id: PoolId,
    /// What it did.
    pub kind: TransferKind,
    /// The account that it is about.
    pub account_id: AccountId,
    /// The lot that came in with it.
    pub lot_id: Option<LotId>,
    /// The purchase behind it.
    pub purchase_id: Option<PurchaseId>,
    /// What kind of caller made it.
    pub actor_kind: ActorKind,
    /// Which one.
    pub actor_id: Option<Uuid>,
    /// The request that it came with.
    pub origin: Option<String>,
    /// How many credits moved.
    pub credits: Credits,
    /// Why, in the caller's words.
    pub reason: Option<String>,
    /// The caller's own name for it.
    pub reference: Option<String>,
    /// What the caller attached, as JSON.
    pub metadata: Option<String>,
    /// The digest of its key.
    pub idempotency_key: Key,
    /// The digest of what was asked for.
    pub request_hash: RequestHash,
    /// The version of its last transfer.
    pub version: i64,
    /// How many transfers it made.
    pub slices: i64,
    /// When it was booked.
    pub created_at: Timestamp,
    /// The department that the account belongs to.
    pub department_id: Option<DepartmentId>,
    /// The other pool that credits went to.
    pub to_pool_id: Option<PoolId>,
    /// The account that they went to.
    pub to_account_id: Option<AccountId>,
    /// The department that it belongs to.
    pub to_department_id: Option<DepartmentId>,
    /// The charge that it refunds.
    pub charge_id: Option<ChargeId>,
    /// Whether the provider was at fault.
    pub provider_fault: Option<bool>,
    /// Whether a guarantee covered it.
    pub guaranteed: Option<bool>,
    /// The hold that it lets go.
    pub hold_id: Option<HoldId>,
    /// What the credits cost, in minor units.
    pub cost: i64,
    /// A digest of the row; none for rows from before there were seals.
    pub seal: Option<Vec<u8>>,
}

impl ActiveModelBehavior for ActiveModel {}
