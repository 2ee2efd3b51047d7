//! Invitations: who was asked by e-mail to join an organization.

use bursar_domain::Timestamp;
use bursar_domain::id::{InvitationId, OrganizationId, UserId};
use bursar_domain::organization::Role;
use sea_orm::entity::prelude::*;

/// One row of the table `invitation`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "invitation")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The invitation.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: InvitationId,
    /// Who is asked: an address, trimmed and in lower case.
    pub email: String,
    /// What the person is to be.
    pub role: Role,
    /// Who has asked, or has sent it again last.
    pub invited_by: UserId,
    /// How often it was sent. Only the link of the last mail is good.
    pub round: i64,
    /// When it was first sent.
    pub created_at: Timestamp,
    /// From when on it can no longer be accepted.
    pub expires_at: Timestamp,
    /// When it was accepted.
    pub accepted_at: Option<Timestamp>,
    /// By whom.
    pub accepted_by: Option<UserId>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
}

impl ActiveModelBehavior for ActiveModel {}
