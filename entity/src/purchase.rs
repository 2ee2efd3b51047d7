//! Purchases of packages.

use bursar_domain::id::{
    CreditRequestId, OrganizationId, PackageVersionId, PoolId, PurchaseId, QuoteId, UserId,
};
use bursar_domain::ledger::{Key, RequestHash};
use bursar_domain::pricing::{PriceBasis, UnitPrice};
use bursar_domain::purchase::{ApprovalBasis, PurchaseState};
use bursar_domain::{Credits, Currency, Timestamp};
use sea_orm::entity::prelude::*;

/// One row of the table `purchase`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "purchase")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The purchase.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: PurchaseId,
    /// The pool that the credits are for.
    pub pool_id: PoolId,
    /// What is bought.
    pub package_version_id: PackageVersionId,
    /// Who asked for it.
    pub requested_by: UserId,
    /// Where it stands.
    pub state: PurchaseState,
    /// Why it counts as approved; none while it does not.
    pub approval_basis: Option<ApprovalBasis>,
    /// How many credits, pinned.
    pub credits: Credits,
    /// The price, pinned, in minor units.
    pub total: i64,
    /// The currency of the price.
    pub currency: Currency,
    /// For how many days the credits can be used once paid; none: for ever.
    pub lifetime_days: Option<i64>,
    /// Until when the price holds.
    pub valid_until: Timestamp,
    /// Why it is wanted, in the requester's words.
    pub note: Option<String>,
    /// The digest of its key.
    pub idempotency_key: Key,
    /// The digest of what was asked for.
    pub request_hash: RequestHash,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was paid and the credits came in.
    pub completed_at: Option<Timestamp>,
    /// The credit request that it answers.
    pub credit_request_id: Option<CreditRequestId>,
    /// What a credit costs, pinned.
    pub unit_price: UnitPrice,
    /// Where the price comes from. Unless credits and lifetime are those of `package_version_id`, that only says which of
    /// the packages is nearest.
    pub price_basis: PriceBasis,
    /// The vendor's answer that it is bought by.
    pub quote_id: Option<QuoteId>,
    /// Whether an invoice for it is out, so that its credits are in before it is paid.
    pub invoiced: bool,
    /// How much of its total was taken back, in minor units: returned of its payment, or credited of its invoice.
    pub returned: i64,
    /// The buyer's own number of the order, for the invoice that goes out when people have agreed; none: none was given.
    pub purchase_order: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
