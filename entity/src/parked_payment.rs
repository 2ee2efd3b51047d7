//! Money that arrived and could not be booked: unknown, other than agreed on, or paid twice. Of the vendor alone.

use bursar_domain::Timestamp;
use bursar_domain::id::{OrganizationId, ParkedPaymentId, UserId};
use bursar_domain::ledger::{Key, RequestHash};
use bursar_domain::purchase::{ParkedReason, ParkedState, PaymentProvider};
use sea_orm::entity::prelude::*;

/// One row of the table `parked_payment`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "parked_payment")]
pub struct Model {
    /// The nil id: such money is nobody's until somebody has decided.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The money.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ParkedPaymentId,
    /// Who has taken it.
    pub provider: PaymentProvider,
    /// The provider's own name of the payment (of a refund or a dispute: of that). Comes once.
    pub provider_reference: String,
    /// Why it could not be booked.
    pub reason: ParkedReason,
    /// What was expected and what came, in words.
    pub detail: String,
    /// How much, in minor units of the currency as the provider counts them.
    pub amount: i64,
    /// The currency, as the provider names it.
    pub currency: String,
    /// The organization that it names.
    pub claimed_organization: Option<String>,
    /// The payment of ours that it names, or that the provider's name of it is known by.
    pub claimed_payment: Option<String>,
    /// What has become of it.
    pub state: ParkedState,
    /// What was decided, in words.
    pub resolution: Option<String>,
    /// Who decided.
    pub resolved_by: Option<UserId>,
    /// When.
    pub resolved_at: Option<Timestamp>,
    /// When it came.
    pub created_at: Timestamp,
    /// The digest of the decision's key; none of what was decided before keys were kept.
    pub idempotency_key: Option<Key>,
    /// The digest of what was decided.
    pub request_hash: Option<RequestHash>,
}

impl ActiveModelBehavior for ActiveModel {}
