//! What audit events know of people, apart from them, so that it can be emptied.

use bursar_domain::Timestamp;
use bursar_domain::id::{AuditEventId, OrganizationId, UserId};
use sea_orm::entity::prelude::*;

/// One row of the table `personal_value`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "personal_value")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The event.
    #[sea_orm(primary_key, auto_increment = false)]
    pub event_id: AuditEventId,
    /// What it is: `email`, `address`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// Whose it is; none when it is of nobody whom Bursar knows.
    pub user_id: Option<UserId>,
    /// What was hashed with it, so that nobody finds it by trying; none once it has been emptied.
    pub salt: Option<Vec<u8>>,
    /// The value; none once it has been emptied.
    pub value: Option<String>,
    /// When it was emptied.
    pub erased_at: Option<Timestamp>,
}

impl ActiveModelBehavior for ActiveModel {}
