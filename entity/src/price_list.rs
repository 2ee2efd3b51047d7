//! Versions of the volume tiers in each currency, from an instant on. Append-only.

use bursar_domain::id::PriceListId;
use bursar_domain::{Currency, Timestamp};
use sea_orm::entity::prelude::*;

/// One row of the table `price_list`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "price_list")]
pub struct Model {
    /// The version.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: PriceListId,
    /// The currency.
    pub currency: Currency,
    /// From when it holds.
    pub effective_from: Timestamp,
    /// When it was added.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
