//! Work that time brings, and who is doing it.

use bursar_domain::Timestamp;
use bursar_domain::id::OrganizationId;
use sea_orm::entity::prelude::*;

/// One row of the table `timed_task`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "timed_task")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// What is to be done.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: String,
    /// What it is about.
    #[sea_orm(primary_key, auto_increment = false)]
    pub subject_id: Uuid,
    /// When it is to be done.
    pub due_at: Timestamp,
    /// Until when somebody is doing it.
    pub leased_until: Option<Timestamp>,
    /// The name of that doing.
    pub lease: Option<Uuid>,
    /// How often it has failed since it last went well.
    pub attempts: i64,
    /// How it failed last.
    pub last_error: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
