//! Decisions about requests.

use bursar_domain::Timestamp;
use bursar_domain::approval::{Choice, DecisionException, DecisionWay};
use bursar_domain::id::{ApprovalId, ApprovalLinkId, DecisionId, OrganizationId, UserId};
use bursar_domain::ledger::{Key, RequestHash};
use sea_orm::entity::prelude::*;

/// One row of the table `approval_decision`. Never changed.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "approval_decision")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The decision.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: DecisionId,
    /// About which request.
    pub request_id: ApprovalId,
    /// In which round.
    pub round: i64,
    /// In which stage, from 0.
    pub stage: i64,
    /// What.
    pub choice: Choice,
    /// Who has decided.
    pub decided_by: UserId,
    /// In whose name.
    pub seat: UserId,
    /// By which exception it counts.
    pub exception: Option<DecisionException>,
    /// How it came in.
    pub way: DecisionWay,
    /// By which link.
    pub link_id: Option<ApprovalLinkId>,
    /// The salted digest of why; the words are in `approval_reason`. None: nobody has said why.
    pub reason_hash: Option<Vec<u8>>,
    /// The digest of its key.
    pub idempotency_key: Key,
    /// The digest of what was said, without the reason.
    pub request_hash: RequestHash,
    /// When.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
