//! Who stands in for whom when purchases are decided about.

use bursar_domain::Timestamp;
use bursar_domain::id::{DelegationId, OrganizationId, UserId};
use sea_orm::entity::prelude::*;

/// One row of the table `approval_delegation`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "approval_delegation")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: DelegationId,
    /// For whom.
    pub delegator: UserId,
    /// Who.
    pub delegate: UserId,
    /// From this instant on.
    pub starts_at: Timestamp,
    /// Until before this one.
    pub ends_at: Timestamp,
    /// Why.
    pub reason: Option<String>,
    /// When it was ended early.
    pub revoked_at: Option<Timestamp>,
    /// Who has ended it; none: that somebody has left.
    pub revoked_by: Option<UserId>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
