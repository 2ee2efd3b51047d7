//! Accounts that hold credits: one for what no department has, and one for each allocation.

use bursar_domain::id::{AccountId, DepartmentId, OrganizationId, PoolId};
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
}

impl ActiveModelBehavior for ActiveModel {}
