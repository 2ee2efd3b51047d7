//! What the vendor has answered quote requests with before the answers that count. Rows are never changed.

use bursar_domain::Timestamp;
use bursar_domain::id::{OrganizationId, QuoteId};
use bursar_domain::ledger::{Key, RequestHash};
use bursar_domain::pricing::{QuoteState, UnitPrice};
use sea_orm::entity::prelude::*;

/// One row of the table `quote_answer`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "quote_answer")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The quote.
    #[sea_orm(primary_key, auto_increment = false)]
    pub quote_id: QuoteId,
    /// Which answer to it: 1, 2, 3, ...
    #[sea_orm(primary_key, auto_increment = false)]
    pub number: i64,
    /// What the answer was: a price, or no.
    pub state: QuoteState,
    /// What a credit would have cost.
    pub unit_price: Option<UnitPrice>,
    /// What they would have cost together, in minor units.
    pub total: Option<i64>,
    /// For how many days the credits could have been used; none: for ever, or there was no price.
    pub lifetime_days: Option<i64>,
    /// Until when the price would have held.
    pub valid_until: Option<Timestamp>,
    /// What the vendor said with it.
    pub answer: Option<String>,
    /// When it was answered.
    pub answered_at: Timestamp,
    /// The digest of the answer's key.
    pub answer_key: Key,
    /// The digest of what was answered.
    pub answer_hash: RequestHash,
}

impl ActiveModelBehavior for ActiveModel {}
