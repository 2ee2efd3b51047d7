//! References of charges and holds: each is used once, for ever. Append-only.

use bursar_domain::id::{ChargeId, HoldId, OrganizationId};
use sea_orm::entity::prelude::*;

/// One row of the table `claimed_reference`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "claimed_reference")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The reference.
    #[sea_orm(primary_key, auto_increment = false)]
    pub reference: String,
    /// The charge that has it.
    pub charge_id: Option<ChargeId>,
    /// The hold that has it.
    pub hold_id: Option<HoldId>,
}

impl ActiveModelBehavior for ActiveModel {}
