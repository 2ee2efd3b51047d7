//! Who administers which pool.

use bursar_domain::Timestamp;
use bursar_domain::id::{OrganizationId, PoolId, UserId};
use sea_orm::entity::prelude::*;

/// One row of the table `pool_administrator`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "pool_administrator")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The pool.
    #[sea_orm(primary_key, auto_increment = false)]
    pub pool_id: PoolId,
    /// The person.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: UserId,
    /// Since when.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
