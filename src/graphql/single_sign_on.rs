//! Single sign-on: which identity provider an organization takes the word of.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use bursar_domain::organization::Role as DomainRole;
use bursar_domain::permission::Action;
use bursar_domain::sign_on::SigningAlgorithm as Algorithm;
use bursar_entity::organization;

use super::errors::{ApiError, UserError, user_error};
use super::member::Role;
use super::organization::authorized;
use super::scalars::DateTime;
use super::{Request, request, signed_in};
use crate::auth::{Authorized, Caller};
use crate::db::Tenant;
use crate::error::Error;
use crate::organizations::{self, NewSignOn, SignOn, decode_group_roles, sign_on_callback};

/// How an identity provider signs its tokens.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Algorithm")]
pub enum SigningAlgorithm {
    /// RSA (PKCS #1) with SHA-256.
    #[graphql(name = "RS256")]
    Rs256,
    /// RSA (PKCS #1) with SHA-384.
    #[graphql(name = "RS384")]
    Rs384,
    /// RSA (PKCS #1) with SHA-512.
    #[graphql(name = "RS512")]
    Rs512,
    /// RSA (PSS) with SHA-256.
    #[graphql(name = "PS256")]
    Ps256,
    /// RSA (PSS) with SHA-384.
    #[graphql(name = "PS384")]
    Ps384,
    /// RSA (PSS) with SHA-512.
    #[graphql(name = "PS512")]
    Ps512,
    /// ECDSA on P-256.
    #[graphql(name = "ES256")]
    Es256,
    /// ECDSA on P-384.
    #[graphql(name = "ES384")]
    Es384,
    /// Ed25519.
    #[graphql(name = "EDDSA")]
    EdDsa,
}

/// What the people of a group are.
#[derive(SimpleObject)]
pub struct GroupRole {
    /// The group, as the provider names it.
    group: String,
    /// What they are.
    role: Role,
}

/// What the people of a group are to be.
#[derive(InputObject)]
pub struct GroupRoleInput {
    /// The group, as the provider names it.
    group: String,
    /// What they are to be. No group makes owners.
    role: Role,
}

/// The identity provider that an organization takes the word of.
pub struct SingleSignOn {
    set: SignOn,
    slug: String,
}

/// The identity provider that an organization takes the word of (OpenID Connect). Its word counts in this organization
/// and nowhere else.
#[Object]
impl SingleSignOn {
    /// The address under which the provider describes itself.
    async fn issuer(&self) -> &str {
        &self.set.provider.issuer
    }

    /// Bursar's name at the provider.
    async fn client_id(&self) -> &str {
        &self.set.provider.client_id
    }

    /// Whether Bursar proves itself to the provider with a secret. The secret itself is never shown.
    async fn has_client_secret(&self) -> bool {
        self.set.provider.client_secret.is_some()
    }

    /// Whom the provider's tokens have to be for (`aud`) to be taken as bearer tokens of the API.
    async fn audience(&self) -> &str {
        &self.set.provider.audience
    }

    /// How the provider signs. A token with another signature is not the provider's.
    async fn algorithm(&self) -> SigningAlgorithm {
        self.set.provider.algorithm.into()
    }

    /// The domains of whose addresses the provider is believed.
    async fn domains(&self) -> Vec<String> {
        self.set.domains.clone()
    }

    /// Whether somebody whom the provider vouches for becomes a member by signing in.
    async fn joins_just_in_time(&self) -> bool {
        self.set.provider.joins
    }

    /// What such a person is, when no group says otherwise.
    async fn default_role(&self) -> Role {
        self.set.provider.default_role.into()
    }

    /// The claim that names a person's groups. Null: groups do not count.
    async fn group_claim(&self) -> Option<&str> {
        self.set.provider.group_claim.as_deref()
    }

    /// What the people of groups are. Of several groups the highest role counts.
    async fn group_roles(&self) -> Result<Vec<GroupRole>, ApiError> {
        let roles = decode_group_roles(&self.set.provider.group_roles)?;
        Ok(roles.into_iter().map(|(group, role)| GroupRole { group, role: role.into() }).collect())
    }

    /// Whether an address in one of the domains counts as proven when the provider does not say whether it is (it sends no
    /// `email_verified`). One of which it says that it is not never counts.
    async fn trusts_missing_email_verified(&self) -> bool {
        self.set.provider.trusts_missing_email_verified
    }

    /// Whether the provider is believed.
    async fn enabled(&self) -> bool {
        self.set.provider.enabled
    }

    /// Where the organization's people sign in.
    async fn sign_in_url(&self, ctx: &Context<'_>) -> Result<String, ApiError> {
        Ok(request(ctx)?.services.config.link(&format!("/sso/{}", self.slug)))
    }

    /// Where the provider has to send people back to: to be registered there.
    async fn redirect_url(&self, ctx: &Context<'_>) -> Result<String, ApiError> {
        Ok(request(ctx)?.services.config.link(&sign_on_callback(&self.slug)))
    }

    /// When this was changed last.
    async fn updated_at(&self) -> DateTime {
        DateTime(self.set.provider.updated_at)
    }
}

/// What is to be set of an organization's identity provider, instead of what was set before.
#[derive(InputObject)]
pub struct ConfigureSingleSignOnInput {
    /// The organization.
    organization_id: ID,
    /// The address under which the provider describes itself (at `/.well-known/openid-configuration`).
    issuer: String,
    /// Bursar's name at the provider.
    client_id: String,
    /// What Bursar proves itself with. Left out: what was given for the same issuer and client before; when there is
    /// nothing of that, Bursar proves nothing (PKCE protects the sign-in all the same).
    client_secret: Option<String>,
    /// Whom the provider's tokens have to be for (`aud`) to be taken as bearer tokens of the API.
    audience: String,
    /// How the provider signs. Left out: RS256.
    algorithm: Option<SigningAlgorithm>,
    /// The domains of whose addresses the provider is believed. One that is new here has to be that of your own
    /// address. There may be none when the provider is not believed.
    domains: Vec<String>,
    /// Whether somebody whom the provider vouches for becomes a member by signing in.
    #[graphql(default = false)]
    joins_just_in_time: bool,
    /// What such a person is, when no group says otherwise. Left out: a member. Never an owner.
    default_role: Option<Role>,
    /// The claim that names a person's groups. Left out: groups do not count, and roles are given in Bursar alone.
    group_claim: Option<String>,
    /// What the people of groups are. When groups count, they decide with each sign-in; owners keep their role.
    group_roles: Option<Vec<GroupRoleInput>>,
    /// Whether an address in one of the domains counts as proven when the provider does not say whether it is (it sends no
    /// `email_verified`, like Microsoft Entra ID). Only for a provider whose people cannot choose their addresses
    /// themselves. One of which it says that it is not never counts.
    #[graphql(default = false)]
    trusts_missing_email_verified: bool,
    /// Whether the provider is believed.
    #[graphql(default = true)]
    enabled: bool,
}

/// What was set.
#[derive(SimpleObject)]
pub struct ConfigureSingleSignOnPayload {
    /// What is set now.
    single_sign_on: Option<SingleSignOn>,
    /// Why nothing was set. Empty when it was.
    user_errors: Vec<UserError>,
}

/// The part of the root that sets identity providers.
#[derive(Default)]
pub struct SingleSignOnMutation;

#[Object]
impl SingleSignOnMutation {
    /// Sets which identity provider an organization takes the word of. For owners, and the vendor's staff, who have signed
    /// in by mail: what is believed of a provider is not changed on its own word.
    async fn configure_single_sign_on(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which provider, and what it is believed.")] input: ConfigureSingleSignOnInput,
    ) -> Option<Result<ConfigureSingleSignOnPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let organization = authorized(request, &input.organization_id, Action::ManageSingleSignOn).await;
            let organization = organization.map_err(|error| error.at("organizationId"))?;
            let (caller, slug) = (request.caller()?, organization.slug.clone());
            request.snapshots.close().await;
            let set = configure(request, &caller, &organization, input).await?;
            Ok::<_, Error>(SingleSignOn { set, slug })
        });
        Some(match outcome.await {
            Ok(value) => {
                Ok(ConfigureSingleSignOnPayload { single_sign_on: Some(value), user_errors: Vec::new() })
            }
            Err(error) => user_error(error)
                .map(|error| ConfigureSingleSignOnPayload { single_sign_on: None, user_errors: vec![error] }),
        })
    }
}

async fn configure(
    request: &Request,
    caller: &Caller,
    organization: &Authorized<organization::Model>,
    input: ConfigureSingleSignOnInput,
) -> Result<SignOn, Error> {
    let services = &request.services;
    let roles = input.group_roles.unwrap_or_default();
    let new = NewSignOn {
        issuer: input.issuer,
        client_id: input.client_id,
        client_secret: input.client_secret,
        audience: input.audience,
        algorithm: input.algorithm.map_or(Algorithm::Rs256, Into::into),
        domains: input.domains,
        joins: input.joins_just_in_time,
        default_role: input.default_role.map_or(DomainRole::Member, Into::into),
        group_claim: input.group_claim,
        group_roles: roles.into_iter().map(|entry| (entry.group, entry.role.into())).collect(),
        trusts_missing_email_verified: input.trusts_missing_email_verified,
        enabled: input.enabled,
    };
    let (context, keys, issuers) = (&services.context, &services.keys, &services.issuers);
    organizations::configure_single_sign_on(context, keys, issuers, caller, organization, new).await
}

/// What is set of an organization's identity provider, for those who may see it.
pub async fn of_organization(
    ctx: &Context<'_>,
    organization: &organization::Model,
) -> Result<Option<SingleSignOn>, ApiError> {
    let request = signed_in(ctx)?;
    if !request.caller()?.may_in_organization(organization.id, Action::ReadSingleSignOn) {
        return Err(Error::Forbidden.into());
    }
    // Only organizations that the caller may see become objects.
    let tenant = Tenant::vouched(organization.id);
    let snapshot = request.snapshots.open(tenant).await?;
    let set = organizations::sign_on_of(&snapshot, tenant).await?;
    Ok(set.map(|set| SingleSignOn { set, slug: organization.slug.clone() }))
}
