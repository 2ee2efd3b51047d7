//! Spending caps: how much may be used of a pool in a period.

use bursar_domain::id::{CapId, DepartmentId, OrganizationId, PoolId, ServiceId, UserId};
use bursar_domain::period::PeriodKind;
use bursar_domain::{Credits, Timestamp};
use sea_orm::entity::prelude::*;

/// One row of the table `spending_cap`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "spending_cap")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The cap.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: CapId,
    /// The pool.
    pub pool_id: PoolId,
    /// The department whose use it limits.
    pub department_id: Option<DepartmentId>,
    /// The person whose use it limits.
    pub user_id: Option<UserId>,
    /// The service whose use it limits.
    pub service_id: Option<ServiceId>,
    /// How much may be used in a period.
    pub credits: Credits,
    /// The kind of its periods; none: one that never ends.
    pub period: Option<PeriodKind>,
    /// Since when it limits nothing.
    pub removed_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
