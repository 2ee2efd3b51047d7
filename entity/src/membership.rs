//! Who belongs to which organization, with one role each.

use bursar_domain::Timestamp;
use bursar_domain::id::{MembershipId, OrganizationId, UserId};
use bursar_domain::organization::Role;
use sea_orm::entity::prelude::*;

/// One row of the table `membership`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "membership")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The membership.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: MembershipId,
    /// The person.
    pub user_id: UserId,
    /// What the person is there.
    pub role: Role,
    /// Since when.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
