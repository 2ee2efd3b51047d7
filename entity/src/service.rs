//! Services that cost credits.

use bursar_domain::Timestamp;
use bursar_domain::id::ServiceId;
use sea_orm::entity::prelude::*;

/// One row of the table `service`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "service")]
pub struct Model {
    /// The service.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ServiceId,
    /// Its code; unique.
    pub code: String,
    /// Its name.
    pub name: String,
    /// When it was added.
    pub created_at: Timestamp,
    /// For how many days after a charge customers may refund it by themselves; none: there is no guarantee.
    pub guarantee_days: Option<i64>,
    /// How many such refunds an organization has in a month; none: any number.
    pub guarantee_quota: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
