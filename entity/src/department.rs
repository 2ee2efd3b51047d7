//! Departments of an organization.

use bursar_domain::Timestamp;
use bursar_domain::id::{DepartmentId, OrganizationId};
use sea_orm::entity::prelude::*;

/// One row of the table `department`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "department")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The department.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: DepartmentId,
    /// Its short name, unique in the organization.
    pub code: String,
    /// Its name.
    pub name: String,
    /// Where its costs are booked, in the organization's own terms.
    pub cost_center: Option<String>,
    /// Since when it is no longer used.
    pub archived_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
