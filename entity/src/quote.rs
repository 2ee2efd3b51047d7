//! Prices that organizations have asked the vendor for, and what the vendor has answered.

use bursar_domain::id::{OrganizationId, PoolId, QuoteId, UserId};
use bursar_domain::ledger::{Key, RequestHash};
use bursar_domain::pricing::{QuoteState, UnitPrice};
use bursar_domain::{Credits, Currency, Timestamp};
use sea_orm::entity::prelude::*;

/// One row of the table `quote`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "quote")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The quote.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: QuoteId,
    /// The pool that the credits are for.
    pub pool_id: PoolId,
    /// Who asked for it.
    pub requested_by: UserId,
    /// Where it stands.
    pub state: QuoteState,
    /// How many credits.
    pub credits: Credits,
    /// In which currency.
    pub currency: Currency,
    /// What a credit costs; none while nobody has answered.
    pub unit_price: Option<UnitPrice>,
    /// What they cost together, in minor units.
    pub total: Option<i64>,
    /// For how many days the credits can be used; none: for ever.
    pub lifetime_days: Option<i64>,
    /// Until when the price holds.
    pub valid_until: Option<Timestamp>,
    /// Why it is wanted, in the words of whoever asked.
    pub note: Option<String>,
    /// What the vendor says with the answer.
    pub answer: Option<String>,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
    /// The digest of its key.
    pub idempotency_key: Key,
    /// The digest of what was asked for.
    pub request_hash: RequestHash,
    /// The digest of the answer's key.
    pub answer_key: Option<Key>,
    /// The digest of what was answered.
    pub answer_hash: Option<RequestHash>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Until when it waits for an answer; none: for ever.
    pub expires_at: Option<Timestamp>,
}

impl ActiveModelBehavior for ActiveModel {}
