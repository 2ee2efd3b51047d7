//! Ways of paying that somebody has agreed to have used without being there.

use bursar_domain::id::{OrganizationId, PackageId, PaymentMethodId, PoolId, UserId};
use bursar_domain::purchase::PaymentProvider;
use bursar_domain::{Credits, Timestamp};
use sea_orm::entity::prelude::*;

/// One row of the table `payment_method`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment_method")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The way of paying.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: PaymentMethodId,
    /// The pool whose automatic top-up it is for.
    pub pool_id: PoolId,
    /// Who keeps it.
    pub provider: PaymentProvider,
    /// The provider's own name of the customer; none until the provider has told.
    pub customer: Option<String>,
    /// The provider's own name of the way of paying; none until the provider has told.
    pub method: Option<String>,
    /// The provider's own name of the session in which it is given.
    pub session: Option<String>,
    /// What people know it by: the brand and the last four digits.
    pub label: Option<String>,
    /// What was agreed to, word for word.
    pub consent: String,
    /// Who was asked to agree.
    pub consented_by: UserId,
    /// When that was agreed to; none: not yet.
    pub consented_at: Option<Timestamp>,
    /// Since when it is not used any more.
    pub removed_at: Option<Timestamp>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// How often somebody has given a wrong code for it.
    pub wrong_codes: i64,
    /// At how many available credits it may be charged, and below. None: nothing was agreed to in numbers.
    pub threshold: Option<Credits>,
    /// For which package it may be charged.
    pub package_id: Option<PackageId>,
    /// The most that it may be charged in a month, in minor units; none: no limit.
    pub monthly_maximum: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
