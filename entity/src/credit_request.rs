//! Credit requests: somebody asks a pool's administrators for credits.

use bursar_domain::id::{
    CreditRequestId, DepartmentId, EntryId, OrganizationId, PoolId, PurchaseId, RaiseId, UserId,
};
use bursar_domain::ledger::{Key, RequestHash};
use bursar_domain::request::CreditRequestState;
use bursar_domain::{Credits, Timestamp};
use sea_orm::entity::prelude::*;

/// One row of the table `credit_request`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "credit_request")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The request.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: CreditRequestId,
    /// The pool that is asked.
    pub pool_id: PoolId,
    /// The department that the credits are for.
    pub department_id: DepartmentId,
    /// Who asks.
    pub requested_by: UserId,
    /// For how many.
    pub credits: Credits,
    /// Why.
    pub reason: Option<String>,
    /// What has become of it.
    pub state: CreditRequestState,
    /// Who answered.
    pub resolved_by: Option<UserId>,
    /// When.
    pub resolved_at: Option<Timestamp>,
    /// In which words.
    pub note: Option<String>,
    /// The allocation that was the answer.
    pub entry_id: Option<EntryId>,
    /// The raise that was the answer.
    pub raise_id: Option<RaiseId>,
    /// The purchase that was the answer.
    pub purchase_id: Option<PurchaseId>,
    /// The digest of the answer's key.
    pub idempotency_key: Option<Key>,
    /// The digest of what the answer said.
    pub request_hash: Option<RequestHash>,
    /// When it was asked.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
