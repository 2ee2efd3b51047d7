//! People, in whatever organizations. Belongs to no tenant.

use bursar_domain::Timestamp;
use bursar_domain::id::UserId;
use sea_orm::entity::prelude::*;

/// One row of the table `user`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "user")]
pub struct Model {
    /// The person.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: UserId,
    /// The address, trimmed and in lower case; unique.
    pub email: String,
    /// What to call the person.
    pub name: String,
    /// Whether the person belongs to the vendor's staff.
    pub operator: bool,
    /// When the person was added.
    pub created_at: Timestamp,
    /// Since when nobody knows any more who it was; none: it is somebody.
    pub erased_at: Option<Timestamp>,
}

impl ActiveModelBehavior for ActiveModel {}
