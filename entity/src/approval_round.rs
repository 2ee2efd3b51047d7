//! Rounds of requests: what exactly is asked for, and who may decide, as it was when the round was opened.

use bursar_domain::approval::RoundCause;
use bursar_domain::id::{ApprovalId, OrganizationId, PackageVersionId, PolicyId, PoolId, UserId};
use bursar_domain::{Credits, Currency, Timestamp};
use sea_orm::entity::prelude::*;

/// One row of the table `approval_round`. Never changed.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "approval_round")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The request.
    #[sea_orm(primary_key, auto_increment = false)]
    pub request_id: ApprovalId,
    /// 1, 2, 3, ...
    #[sea_orm(primary_key, auto_increment = false)]
    pub round: i64,
    /// What it was opened by.
    pub cause: RoundCause,
    /// The version of the policy.
    pub policy_id: PolicyId,
    /// Which of its rules has fitted, from 0.
    pub rule: i64,
    /// What that is called.
    pub rule_name: String,
    /// Its stages with those who may decide, as JSON.
    pub stages: String,
    /// For which pool.
    pub pool_id: PoolId,
    /// What of.
    pub package_version_id: PackageVersionId,
    /// How many credits.
    pub credits: Credits,
    /// The total, in minor units.
    pub total: i64,
    /// Its currency.
    pub currency: Currency,
    /// For how many days the credits can be used; none: for ever.
    pub lifetime_days: Option<i64>,
    /// Who asks.
    pub requester: UserId,
    /// Who was the organization's only owner then; none: there were several.
    pub only_owner: Option<UserId>,
    /// Whether the pool buys by itself, as whoever asks has set it.
    pub by_itself: bool,
    /// Until when the price holds.
    pub valid_until: Timestamp,
    /// SHA-256 of all of that.
    pub content_hash: Vec<u8>,
    /// What is bought, in the vendor's words.
    pub title: String,
    /// The salted digest of why it is wanted; the words are in `approval_reason`. None: nobody has said why.
    pub reason_hash: Option<Vec<u8>>,
    /// When it is over.
    pub expires_at: Timestamp,
    /// When it was opened.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
