//! The end of each organization's chain of audit events: locked, after everything else, by whoever writes one.

use bursar_domain::id::OrganizationId;
use sea_orm::entity::prelude::*;

/// One row of the table `audit_head`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_head")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The position of its last event; 0 before the first.
    pub position: i64,
    /// So many events, the first ones, are from before there was a chain.
    pub unchained: i64,
    /// The last link.
    pub link: Vec<u8>,
}

impl ActiveModelBehavior for ActiveModel {}
