//! Packages of credits for sale.

use bursar_domain::Timestamp;
use bursar_domain::id::PackageId;
use sea_orm::entity::prelude::*;

/// One row of the table `package`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "package")]
pub struct Model {
    /// The package.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: PackageId,
    /// Its code; unique.
    pub code: String,
    /// Its name.
    pub name: String,
    /// When it was added.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
