//! Stages that owners may decide in.

use bursar_domain::Timestamp;
use bursar_domain::approval::EscalationReason;
use bursar_domain::id::{ApprovalId, OrganizationId};
use sea_orm::entity::prelude::*;

/// One row of the table `approval_escalation`. Never changed.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "approval_escalation")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// Of which request.
    #[sea_orm(primary_key, auto_increment = false)]
    pub request_id: ApprovalId,
    /// In which round.
    #[sea_orm(primary_key, auto_increment = false)]
    pub round: i64,
    /// 1, 2, 3, ... in the round.
    #[sea_orm(primary_key, auto_increment = false)]
    pub number: i64,
    /// Of which stage, from 0.
    pub stage: i64,
    /// Why.
    pub reason: EscalationReason,
    /// The owners who may decide, as JSON.
    pub owners: String,
    /// Whether the only owner may decide about what they have asked for themselves.
    pub sole_owner: bool,
    /// When.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
