//! Payments that were returned, in whole or in part, or are disputed.

use bursar_domain::id::{OrganizationId, PaymentId, PurchaseId, ReversalId};
use bursar_domain::ledger::{Key, RequestHash};
use bursar_domain::reversal::{ReversalKind, ReversalState};
use bursar_domain::{Credits, Currency, Timestamp};
use sea_orm::entity::prelude::*;

/// One row of the table `reversal`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "reversal")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The reversal.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ReversalId,
    /// The purchase.
    pub purchase_id: PurchaseId,
    /// The payment.
    pub payment_id: PaymentId,
    /// Why it is reversed.
    pub kind: ReversalKind,
    /// Where it stands.
    pub state: ReversalState,
    /// The provider's own name of the refund or dispute. Comes once.
    pub provider_reference: Option<String>,
    /// How much, in minor units.
    pub amount: i64,
    /// In which currency.
    pub currency: Currency,
    /// How many credits it takes back.
    pub credits: Credits,
    /// How many of them the open dispute found and holds; of a refund, how many holds kept when it was booked.
    pub held_credits: Credits,
    /// When what the dispute holds was booked; none: it was not, or is to be.
    pub held_at: Option<Timestamp>,
    /// When its end was booked in the ledger; none: it is to be, once nothing stands in the way.
    pub booked_at: Option<Timestamp>,
    /// How many of its credits have been taken back or are owed. Fewer than all of them while the rest waits.
    pub taken_credits: Credits,
    /// The part of the money that has been booked, in minor units.
    pub taken_value: i64,
    /// How much of that no credits went with, because all of the purchase's had been taken back: parts are rounded up.
    pub for_nothing: i64,
    /// Why, in words.
    pub reason: Option<String>,
    /// The digest of its key; none: the provider has told of it, or has refused it.
    pub idempotency_key: Option<Key>,
    /// The digest of what was asked for.
    pub request_hash: Option<RequestHash>,
    /// When it was asked for, or told of.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
