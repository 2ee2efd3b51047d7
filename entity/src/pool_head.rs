//! The end of each pool's books: written by every commit, and locked first by every writer.

use bursar_domain::Timestamp;
use bursar_domain::id::{OrganizationId, PoolId};
use sea_orm::entity::prelude::*;

/// One row of the table `pool_head`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "pool_head")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The pool.
    #[sea_orm(primary_key, auto_increment = false)]
    pub pool_id: PoolId,
    /// The version of its last transfer; 0 before the first.
    pub version: i64,
    /// When its last transfer was created.
    pub clock: Timestamp,
    /// What all its holders have together.
    pub posted: i64,
    /// How much of that is held.
    pub held: i64,
    /// Contra: minus all that was ever issued.
    pub issued: i64,
    /// Contra: used by charges.
    pub consumed: i64,
    /// Contra: lapsed.
    pub expired: i64,
    /// Contra: taken back.
    pub revoked: i64,
    /// Contra: minus what it owes.
    pub debt: i64,
    /// Contra: on the way between pools.
    pub clearing: i64,
    /// The last link of its hash chain.
    pub hash: Vec<u8>,
    /// Nothing is due in the pool before this: no open hold expires, no credits lapse. None: never.
    pub due_at: Option<Timestamp>,
    /// Rises with the pool's settings. The database raises it.
    pub revision: i64,
    /// Money that went back to the buyer and for which credits are still to come back, in minor units.
    pub receivable: i64,
    /// By how much more the credits had cost that came back than the money that went back for them.
    pub adjusted: i64,
    /// How many held credits of all positions are to be taken back.
    pub revoking: i64,
}

impl ActiveModelBehavior for ActiveModel {}
