//! Movements of credits: the ledger itself. Append-only.

use bursar_domain::id::{AccountId, LotId, OrganizationId, PoolId};
use bursar_domain::ledger::{AccountKind, CauseKind, TransferKind};
use bursar_domain::{Credits, Timestamp};
use sea_orm::entity::prelude::*;

/// One row of the table `transfer`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "transfer")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The pool.
    #[sea_orm(primary_key, auto_increment = false)]
    pub pool_id: PoolId,
    /// The pool's version that it made: 1, 2, 3, ... without a gap.
    #[sea_orm(primary_key, auto_increment = false)]
    pub version: i64,
    /// Why credits moved.
    pub kind: TransferKind,
    /// The kind of account that it takes from.
    pub debit_kind: AccountKind,
    /// The kind of account that it gives to.
    pub credit_kind: AccountKind,
    /// The account that it takes from, when that is a holder.
    pub debit_id: Option<AccountId>,
    /// The account that it gives to, when that is a holder.
    pub credit_id: Option<AccountId>,
    /// The lot.
    pub lot_id: LotId,
    /// How many credits.
    pub credits: Credits,
    /// What they cost, in minor units.
    pub cost: i64,
    /// The debited account's balance after it.
    pub debit_after: i64,
    /// The credited account's balance after it.
    pub credit_after: i64,
    /// What is held after it in the holder that it debits, or credits when it debits a contra.
    pub held_after: i64,
    /// What all holders of the pool have after it.
    pub pool_posted_after: i64,
    /// How much of that is held.
    pub pool_held_after: i64,
    /// What the pool owes after it.
    pub debt_after: i64,
    /// What kind of row caused it.
    pub cause_kind: CauseKind,
    /// Which one.
    pub cause_id: Option<Uuid>,
    /// When it was booked.
    pub created_at: Timestamp,
    /// When it took effect; none when it was booked at once.
    pub effective_at: Option<Timestamp>,
    /// Its link of the pool's hash chain.
    pub hash: Vec<u8>,
    /// The pool of the transfer that is the other half of the movement.
    pub counterpart_pool_id: Option<PoolId>,
    /// The version of that transfer.
    pub counterpart_version: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
