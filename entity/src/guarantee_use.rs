//! How many refunds the guarantees of services have covered, by month.

use bursar_domain::Timestamp;
use bursar_domain::id::{OrganizationId, ServiceId};
use sea_orm::entity::prelude::*;

/// One row of the table `guarantee_use`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "guarantee_use")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The service.
    #[sea_orm(primary_key, auto_increment = false)]
    pub service_id: ServiceId,
    /// The first instant of the month.
    #[sea_orm(primary_key, auto_increment = false)]
    pub month_start: Timestamp,
    /// How many refunds.
    pub used: i64,
}

impl ActiveModelBehavior for ActiveModel {}
