//! Accounts that hold credits: one for what no department has, and one for each allocation.

use bursar_domain::id::{AccountId, DepartmentId, OrganizationId, PoolId};
use bursar_domain::ledger::Overflow;
use bursar_domain::period::PeriodKind;
use bursar_domain::{Credits, Timestamp};
use sea_orm::entity::prelude::*;

/// One row of the table `account`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "account")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The pool.
    #[sea_orm(primary_key, auto_increment = false)]
    pub pool_id: PoolId,
    /// The account.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: AccountId,
    /// The department; none for the credits that no department has.
    pub department_id: Option<DepartmentId>,
    /// What it has.
    pub posted: Credits,
    /// How much of that is held.
    pub held: Credits,
    /// When it was opened.
    pub created_at: Timestamp,
    /// What happens when it has not enough.
    pub overflow: Overflow,
    /// To how much it is topped up when a period begins; none: it is not refilled.
    pub refill_amount: Option<Credits>,
    /// How much of what is left stays.
    pub refill_rollover: Option<Credits>,
    /// The kind of its periods.
    pub refill_period: Option<PeriodKind>,
    /// The first instant of the period that it has been refilled for.
    pub refill_start: Option<Timestamp>,
    /// The first instant after that period.
    pub refill_end: Option<Timestamp>,
    /// How much unallocated lacked then.
    pub refill_shortfall: Option<Credits>,
    /// A digest of what never changes in the row; none for rows from before there were seals.
    pub seal: Option<Vec<u8>>,
    /// A digest of how it overflows and is refilled; none for rows from before there were seals.
    pub terms_seal: Option<Vec<u8>>,
}

impl ActiveModelBehavior for ActiveModel {}
