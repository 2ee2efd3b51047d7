//! Whom an organization's identity provider means by a subject.

use bursar_domain::Timestamp;
use bursar_domain::id::{OrganizationId, UserId};
use sea_orm::entity::prelude::*;

/// One row of the table `user_identity`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "user_identity")]
pub struct Model {
    /// The organization whose provider it is: another organization's may mean somebody else.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The provider.
    #[sea_orm(primary_key, auto_increment = false)]
    pub issuer: String,
    /// The provider's name for the person, which never changes.
    #[sea_orm(primary_key, auto_increment = false)]
    pub subject: String,
    /// The person.
    pub user_id: UserId,
    /// When the person came first.
    pub created_at: Timestamp,
    /// When the newest token was made whose groups have counted.
    pub groups_as_of: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
