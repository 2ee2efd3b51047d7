//! What has been used and what is held of spending caps, by period.

use bursar_domain::id::{CapId, OrganizationId, PoolId};
use bursar_domain::{Credits, Timestamp};
use sea_orm::entity::prelude::*;

/// One row of the table `spending_cap_period`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "spending_cap_period")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The pool.
    #[sea_orm(primary_key, auto_increment = false)]
    pub pool_id: PoolId,
    /// The cap.
    #[sea_orm(primary_key, auto_increment = false)]
    pub cap_id: CapId,
    /// The first instant of the period.
    #[sea_orm(primary_key, auto_increment = false)]
    pub period_start: Timestamp,
    /// The first instant after it.
    pub period_end: Timestamp,
    /// What has been used.
    pub used: Credits,
    /// What is held.
    pub held: Credits,
}

impl ActiveModelBehavior for ActiveModel {}
