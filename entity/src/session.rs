//! Sessions of people who have signed in. Belongs to no tenant.

use bursar_domain::Timestamp;
use bursar_domain::id::{OrganizationId, SessionId, UserId};
use sea_orm::entity::prelude::*;

/// One row of the table `session`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "session")]
pub struct Model {
    /// Whose it is.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: UserId,
    /// The session.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: SessionId,
    /// Which of its refresh tokens is the good one: 1, 2, 3, ...
    pub generation: i64,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it was opened, or refreshed last.
    pub last_used_at: Timestamp,
    /// From when on it is no longer good.
    pub expires_at: Timestamp,
    /// When somebody ended it.
    pub revoked_at: Option<Timestamp>,
    /// The only organization that it is good in: its provider has said who this is. None: all of the person's.
    pub organization_id: Option<OrganizationId>,
    /// The revision of what was set of that provider then: the session is good as long as it is the same.
    pub provider_revision: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
