//! Attempts at paying a purchase.

use bursar_domain::id::{OrganizationId, PaymentId, PaymentMethodId, PurchaseId};
use bursar_domain::ledger::{Key, RequestHash};
use bursar_domain::purchase::{PaymentProvider, PaymentState};
use bursar_domain::{Currency, Timestamp};
use sea_orm::entity::prelude::*;

/// One row of the table `payment`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The payment.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: PaymentId,
    /// The purchase.
    pub purchase_id: PurchaseId,
    /// Who takes the money.
    pub provider: PaymentProvider,
    /// The provider's own name of the payment.
    pub provider_payment: Option<String>,
    /// Where it stands.
    pub state: PaymentState,
    /// How much, in minor units.
    pub amount: i64,
    /// In which currency.
    pub currency: Currency,
    /// The digest of its key.
    pub idempotency_key: Key,
    /// The digest of what was asked for.
    pub request_hash: RequestHash,
    /// When it was started.
    pub created_at: Timestamp,
    /// When the money arrived.
    pub paid_at: Option<Timestamp>,
    /// The provider's own name of the checkout.
    pub provider_session: Option<String>,
    /// Where the provider's checkout can be paid.
    pub provider_url: Option<String>,
    /// The way of paying that is charged without anybody there.
    pub payment_method_id: Option<PaymentMethodId>,
    /// Why the provider says that it has failed; or that its money was not as agreed on.
    pub failure: Option<String>,
    /// What is bought, in words, as the provider is asked for it. None: it is not asked, or was before words were kept.
    pub title: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
