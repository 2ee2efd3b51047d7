//! Revisions of what all organizations share. One row; the database raises them.

use sea_orm::entity::prelude::*;

/// The row of the table `shared_revision`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "shared_revision")]
pub struct Model {
    /// Always 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i16,
    /// Rises with the catalog's services and their prices.
    pub catalog: i64,
    /// Rises when somebody joins or leaves the vendor's staff.
    pub staff: i64,
}

impl ActiveModelBehavior for ActiveModel {}
