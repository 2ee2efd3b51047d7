//! What a credit costs an organization from so many credits on, as agreed on. Never changed but by its end.

use bursar_domain::id::{ContractPriceId, OrganizationId};
use bursar_domain::pricing::UnitPrice;
use bursar_domain::{Credits, Currency, Timestamp};
use sea_orm::entity::prelude::*;

/// One row of the table `contract_price`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "contract_price")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The price.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ContractPriceId,
    /// From how many credits on.
    pub from_credits: Credits,
    /// What a credit costs.
    pub unit_price: UnitPrice,
    /// The currency of the price.
    pub currency: Currency,
    /// For how many days the credits can be used; none: for ever.
    pub lifetime_days: Option<i64>,
    /// From when it holds.
    pub effective_from: Timestamp,
    /// From when it holds no more; none: it goes on.
    pub ends_at: Option<Timestamp>,
    /// Why, in the words of whoever agreed to it.
    pub reason: Option<String>,
    /// When it was added.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
