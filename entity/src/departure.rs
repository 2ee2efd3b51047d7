//! Who was a member of an organization and is none: no identity provider makes them one again.

use bursar_domain::Timestamp;
use bursar_domain::id::{OrganizationId, UserId};
use sea_orm::entity::prelude::*;

/// One row of the table `departure`. It goes when somebody of the organization brings the person back.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "departure")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The person.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: UserId,
    /// When the membership ended.
    pub left_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
