//! Identity providers: who vouches for an organization's people, one for each organization.

use bursar_domain::Timestamp;
use bursar_domain::id::OrganizationId;
use bursar_domain::organization::Role;
use bursar_domain::sign_on::SigningAlgorithm;
use sea_orm::entity::prelude::*;

/// One row of the table `identity_provider`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "identity_provider")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The provider's name: the address under which it describes itself.
    pub issuer: String,
    /// Bursar's name at the provider.
    pub client_id: String,
    /// What Bursar proves itself with, sealed; none: the provider asks for no proof.
    pub client_secret: Option<Vec<u8>>,
    /// Whom tokens for the API are for.
    pub audience: String,
    /// How its tokens are signed.
    pub algorithm: SigningAlgorithm,
    /// Whether somebody whom it vouches for becomes a member by signing in.
    pub joins: bool,
    /// What such a person is, when no group says otherwise.
    pub default_role: Role,
    /// The claim that names a person's groups; none: groups do not count.
    pub group_claim: Option<String>,
    /// What the people of a group are, as a JSON list of pairs of group and role.
    pub group_roles: String,
    /// Whether an address counts as proven when the provider does not say whether it is.
    pub trusts_missing_email_verified: bool,
    /// Whether it is believed.
    pub enabled: bool,
    /// Rises with issuer, client, audience, algorithm, which addresses count, and whether it is believed: what was
    /// found out from tokens before does not hold any more.
    pub revision: i64,
    /// When it was set up.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
