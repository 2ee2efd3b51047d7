//! Why a purchase is wanted, and why people have decided as they have, in their own words. Kept apart from the rounds and
//! decisions, which cannot be changed, so that it can be emptied.

use bursar_domain::Timestamp;
use bursar_domain::id::{ApprovalId, OrganizationId, UserId};
use sea_orm::entity::prelude::*;

/// One row of the table `approval_reason`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "approval_reason")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The request.
    #[sea_orm(primary_key, auto_increment = false)]
    pub request_id: ApprovalId,
    /// The round.
    #[sea_orm(primary_key, auto_increment = false)]
    pub round: i64,
    /// What it is the reason of: `ROUND`, `DECISION`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// Whose words they are.
    #[sea_orm(primary_key, auto_increment = false)]
    pub written_by: UserId,
    /// Whom they are about beside; none: nobody else.
    pub about: Option<UserId>,
    /// What was hashed with it, so that nobody finds it by trying; none once it has been emptied.
    pub salt: Option<Vec<u8>>,
    /// The words; none once they have been emptied.
    pub value: Option<String>,
    /// When they were emptied.
    pub erased_at: Option<Timestamp>,
}

impl ActiveModelBehavior for ActiveModel {}
