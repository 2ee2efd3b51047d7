//! What each account has of each lot.

use bursar_domain::Credits;
use bursar_domain::id::{AccountId, LotId, OrganizationId, PoolId};
use sea_orm::entity::prelude::*;

/// One row of the table `lot_position`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "lot_position")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The pool.
    #[sea_orm(primary_key, auto_increment = false)]
    pub pool_id: PoolId,
    /// The account.
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    /// The lot.
    #[sea_orm(primary_key, auto_increment = false)]
    pub lot_id: LotId,
    /// How many credits.
    pub credits: Credits,
    /// How many of them are held.
    pub held: Credits,
    /// What they cost together, in minor units.
    pub cost: i64,
    /// Whether there are credits.
    pub open: bool,
    /// How many of the held credits are to be taken back, because their payment was reversed.
    pub revoking: Credits,
    /// How many of the held credits are held for a dispute, and by no hold.
    pub disputed: Credits,
    /// How many of those that holds hold are held for a dispute from when they are let go.
    pub contested: Credits,
}

impl ActiveModelBehavior for ActiveModel {}
