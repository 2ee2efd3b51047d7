//! How pools buy by themselves, and where that stands.

use bursar_domain::id::{OrganizationId, PackageId, PaymentMethodId, PoolId, PurchaseId, UserId};
use bursar_domain::top_up::TopUpState;
use bursar_domain::{Credits, Timestamp};
use sea_orm::entity::prelude::*;

/// One row of the table `auto_top_up`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "auto_top_up")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The pool.
    #[sea_orm(primary_key, auto_increment = false)]
    pub pool_id: PoolId,
    /// Whether it is switched on.
    pub enabled: bool,
    /// It buys at so many available credits, and below.
    pub threshold: Credits,
    /// What it buys.
    pub package_id: PackageId,
    /// The most that it spends in a month, in minor units; none: no limit.
    pub monthly_maximum: Option<i64>,
    /// How it pays.
    pub payment_method_id: Option<PaymentMethodId>,
    /// Who has set it, and asks for its purchases.
    pub set_by: UserId,
    /// Where it stands.
    pub state: TopUpState,
    /// The purchase that is under way, or waits for somebody to pay it.
    pub purchase_id: Option<PurchaseId>,
    /// How often it was declined since it last went well.
    pub declines: i64,
    /// Not before this is it tried again.
    pub retry_at: Option<Timestamp>,
    /// Why it was declined last.
    pub last_error: Option<String>,
    /// Counts its purchases: part of the key of the next one.
    pub revision: i64,
    /// When it was set last.
    pub updated_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
