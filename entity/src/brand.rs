//! What mails and pages show of an organization beside its name.

use bursar_domain::Timestamp;
use bursar_domain::id::OrganizationId;
use sea_orm::entity::prelude::*;

/// One row of the table `brand`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "brand")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// A PNG image of 64 KiB at most.
    pub logo: Vec<u8>,
    /// When it was set.
    pub updated_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
