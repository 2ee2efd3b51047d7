//! Organizations: the tenants.

use bursar_domain::id::OrganizationId;
use bursar_domain::organization::{OrganizationState, PaymentTerms};
use bursar_domain::{Currency, Timestamp};
use sea_orm::entity::prelude::*;

/// One row of the table `organization`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "organization")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: OrganizationId,
    /// Its short name in addresses; unique.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// IANA zone in which its months and quarters begin.
    pub time_zone: String,
    /// What it pays in; fixed by its first quote.
    pub currency: Option<Currency>,
    /// Whether it may act.
    pub state: OrganizationState,
    /// How it pays.
    pub payment_terms: PaymentTerms,
    /// What it may owe on invoice, in minor units of its currency; none: no limit.
    pub credit_limit: Option<i64>,
    /// When it was founded.
    pub created_at: Timestamp,
    /// Rises with its state, its people, their grants and its departments. The database raises it.
    pub revision: i64,
    /// The organization whose test keys act in this one; none: it is a real one.
    pub sandbox_of: Option<OrganizationId>,
}

impl ActiveModelBehavior for ActiveModel {}
