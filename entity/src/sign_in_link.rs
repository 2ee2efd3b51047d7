//! Links to sign in with, which were sent by mail. Belongs to no tenant.

use bursar_domain::Timestamp;
use bursar_domain::id::{SignInLinkId, UserId};
use sea_orm::entity::prelude::*;

/// One row of the table `sign_in_link`. What proves a link is stored nowhere, nor is its code.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sign_in_link")]
pub struct Model {
    /// Whom it signs in.
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: UserId,
    /// The link.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: SignInLinkId,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// From when on it is no longer good.
    pub expires_at: Timestamp,
    /// When it, or another link of the same person, was used.
    pub used_at: Option<Timestamp>,
    /// How often a wrong code was entered.
    pub wrong_codes: i64,
}

impl ActiveModelBehavior for ActiveModel {}
