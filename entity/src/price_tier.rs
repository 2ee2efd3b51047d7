//! What a credit costs from so many credits on, in one version of the volume tiers. Append-only.

use bursar_domain::Credits;
use bursar_domain::id::PriceListId;
use bursar_domain::pricing::UnitPrice;
use sea_orm::entity::prelude::*;

/// One row of the table `price_tier`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "price_tier")]
pub struct Model {
    /// The version.
    #[sea_orm(primary_key, auto_increment = false)]
    pub price_list_id: PriceListId,
    /// From how many credits on.
    #[sea_orm(primary_key, auto_increment = false)]
    pub from_credits: Credits,
    /// What a credit costs.
    pub unit_price: UnitPrice,
    /// For how many days the credits can be used; none: for ever.
    pub lifetime_days: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
