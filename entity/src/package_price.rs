//! What a version of a package costs, in each currency that it is sold in. Append-only.

use bursar_domain::Currency;
use bursar_domain::id::PackageVersionId;
use sea_orm::entity::prelude::*;

/// One row of the table `package_price`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "package_price")]
pub struct Model {
    /// The version.
    #[sea_orm(primary_key, auto_increment = false)]
    pub package_version_id: PackageVersionId,
    /// The currency.
    #[sea_orm(primary_key, auto_increment = false)]
    pub currency: Currency,
    /// The price, in minor units.
    pub amount: i64,
}

impl ActiveModelBehavior for ActiveModel {}
