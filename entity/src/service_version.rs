//! What a service costs, from an instant on. Append-only.

use bursar_domain::id::{ServiceId, ServiceVersionId};
use bursar_domain::{Credits, Timestamp};
use sea_orm::entity::prelude::*;

/// One row of the table `service_version`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "service_version")]
pub struct Model {
    /// The version.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ServiceVersionId,
    /// The service.
    pub service_id: ServiceId,
    /// Credits per unit.
    pub credits: Credits,
    /// From when it holds.
    pub effective_from: Timestamp,
    /// When it was added.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
