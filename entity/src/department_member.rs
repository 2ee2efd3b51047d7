//! Who belongs to which department, and who manages it.

use bursar_domain::Timestamp;
use bursar_domain::id::{DepartmentId, OrganizationId, UserId};
use sea_orm::entity::prelude::*;

/// One row of the table `department_member`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "department_member")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The department.
    #[sea_orm(primary_key, auto_increment = false)]
    pub department_id: DepartmentId,
    /// The person.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: UserId,
    /// Whether the person manages the department.
    pub manager: bool,
    /// Since when.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
