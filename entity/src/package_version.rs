//! What a package holds, from an instant on. Append-only.

use bursar_domain::id::{PackageId, PackageVersionId};
use bursar_domain::{Credits, Timestamp};
use sea_orm::entity::prelude::*;

/// One row of the table `package_version`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "package_version")]
pub struct Model {
    /// The version.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: PackageVersionId,
    /// The package.
    pub package_id: PackageId,
    /// How many credits; the least, when the price is custom.
    pub credits: Credits,
    /// Whether it is sold at a price agreed with each customer.
    pub custom_price: bool,
    /// For how many days its credits can be used; none: for ever.
    pub lifetime_days: Option<i64>,
    /// From when it holds.
    pub effective_from: Timestamp,
    /// When it was added.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
