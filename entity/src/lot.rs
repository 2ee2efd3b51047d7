//! Credits that came in together. Append-only.

use bursar_domain::id::{EntryId, LotId, OrganizationId, PoolId, PurchaseId};
use bursar_domain::ledger::{LotClass, LotSource};
use bursar_domain::{Credits, Currency, Timestamp};
use sea_orm::entity::prelude::*;

/// One row of the table `lot`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "lot")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The lot.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: LotId,
    /// The pool that it came into.
    pub pool_id: PoolId,
    /// Where it came from.
    pub source: LotSource,
    /// Whether it was paid for.
    pub class: LotClass,
    /// Lower numbers are used first.
    pub priority: i16,
    /// How many credits it had.
    pub credits: Credits,
    /// What it cost as a whole, in minor units of its currency.
    pub cost: i64,
    /// The currency of its cost; none when it cost nothing.
    pub currency: Option<Currency>,
    /// From when it cannot be used; none: never.
    pub expires_at: Option<Timestamp>,
    /// The purchase that it came with.
    pub purchase_id: Option<PurchaseId>,
    /// The journal entry that brought it.
    pub entry_id: EntryId,
    /// When it came in.
    pub created_at: Timestamp,
    /// The lot whose credits go on in it.
    pub replaces: Option<LotId>,
    /// A digest of the row; none for rows from before there were seals.
    pub seal: Option<Vec<u8>>,
}

impl ActiveModelBehavior for ActiveModel {}
