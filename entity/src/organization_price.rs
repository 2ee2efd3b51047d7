//! What a service costs an organization, from an instant on. Append-only.

use bursar_domain::id::{OrganizationId, ServiceId, ServiceVersionId};
use bursar_domain::{Credits, Timestamp};
use sea_orm::entity::prelude::*;

/// One row of the table `organization_price`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "organization_price")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The version: of the same kind as those of the catalog, which lines of charges name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ServiceVersionId,
    /// The service.
    pub service_id: ServiceId,
    /// Credits per unit; none: what the catalog says.
    pub credits: Option<Credits>,
    /// From when it holds.
    pub effective_from: Timestamp,
    /// When it was added.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
