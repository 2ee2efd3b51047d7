//! Requests for people's consent to a purchase, and where each stands.

use bursar_domain::Timestamp;
use bursar_domain::approval::RequestState;
use bursar_domain::id::{ApprovalId, OrganizationId, PoolId, PurchaseId, UserId};
use sea_orm::entity::prelude::*;

/// One row of the table `approval_request`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "approval_request")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The request.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ApprovalId,
    /// What for. A purchase has one, however often it is changed.
    pub purchase_id: PurchaseId,
    /// For which pool.
    pub pool_id: PoolId,
    /// Who asks.
    pub requested_by: UserId,
    /// Where it stands.
    pub state: RequestState,
    /// The newest round.
    pub round: i64,
    /// Which stage's turn it is in that round, from 0.
    pub stage: i64,
    /// Since when.
    pub stage_since: Timestamp,
    /// How often whoever has not decided was reminded in this stage.
    pub reminders: i64,
    /// When it came to its end; none while it is pending.
    pub ended_at: Option<Timestamp>,
    /// When the credits came in that were agreed to.
    pub used_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
