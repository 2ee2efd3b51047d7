//! The domains of whose addresses an organization's identity provider is believed. A domain is one organization's.

use bursar_domain::Timestamp;
use bursar_domain::id::{OrganizationId, UserId};
use sea_orm::entity::prelude::*;

/// One row of the table `identity_provider_domain`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "identity_provider_domain")]
pub struct Model {
    /// The organization.
    pub organization_id: OrganizationId,
    /// The domain, in lower case; unique across organizations.
    #[sea_orm(primary_key, auto_increment = false)]
    pub domain: String,
    /// Who has named it, with an address there.
    pub added_by: UserId,
    /// When.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
