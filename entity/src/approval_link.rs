//! Links to the page of a request, which were sent by mail.

use bursar_domain::Timestamp;
use bursar_domain::approval::LinkKind;
use bursar_domain::id::{ApprovalId, ApprovalLinkId, OrganizationId, UserId};
use sea_orm::entity::prelude::*;

/// One row of the table `approval_link`. What proves a link is stored nowhere, nor is its code.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "approval_link")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The link, which is what makes its proof another one than that of any other link.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ApprovalLinkId,
    /// What it leads to.
    pub kind: LinkKind,
    /// Of which request.
    pub request_id: ApprovalId,
    /// In which round.
    pub round: i64,
    /// Whose it is.
    pub user_id: UserId,
    /// From when on it is no longer good.
    pub expires_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
    /// When it was replaced, or what it leads to came to an end.
    pub withdrawn_at: Option<Timestamp>,
    /// How often a wrong code was entered.
    pub wrong_codes: i64,
    /// When it was made.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
