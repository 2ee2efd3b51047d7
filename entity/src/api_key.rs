//! Keys of the API: of organizations, and of the vendor. What is kept of a key is its digest.

use bursar_domain::Timestamp;
use bursar_domain::api_key::KeyMode;
use bursar_domain::id::{ApiKeyId, OrganizationId, UserId};
use bursar_domain::scope::Scopes;
use sea_orm::entity::prelude::*;

/// One row of the table `api_key`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "api_key")]
pub struct Model {
    /// The organization; 128 zeros: the vendor.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ApiKeyId,
    /// What it is called.
    pub name: String,
    /// SHA-256 of the whole key.
    pub hash: Vec<u8>,
    /// The last characters of the key, to tell it from others.
    pub hint: String,
    /// Whose credits it works with.
    pub mode: KeyMode,
    /// What it may do.
    pub scopes: Scopes,
    /// The pools that it is restricted to, as a JSON list of UUIDs; none: all.
    pub pools: Option<String>,
    /// The departments that it is restricted to, as a JSON list of UUIDs; none: all.
    pub departments: Option<String>,
    /// Who has made it, and answers for what it does.
    pub created_by: UserId,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is no longer good; none: it does not expire.
    pub expires_at: Option<Timestamp>,
    /// When it was used last, to the minute; none: it has not been.
    pub last_used_at: Option<Timestamp>,
    /// Since when it has been revoked.
    pub revoked_at: Option<Timestamp>,
    /// The key that it takes the place of.
    pub replaces: Option<ApiKeyId>,
}

impl ActiveModelBehavior for ActiveModel {}
