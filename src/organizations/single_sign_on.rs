//! Which identity provider an organization takes the word of, and about whom.
//!
//! Owners say so, and only those who have shown Bursar itself who they are: who is an owner by a provider's word
//! changes nothing about that word. A domain is named by somebody who has an address there, and is one
//! organization's; so no organization can claim the people of another. Who comes first has it, so the vendor's staff may
//! take it away again from whoever has no right to it: a provider that is not believed needs no domains. No provider
//! makes owners.
//!
//! The client's secret is kept sealed and shown to nobody again. It stays with the provider it was given for: with
//! another issuer or client it has to be given anew.
//!
//! Locks: the organization, as for every change of its settings.

use std::collections::BTreeSet;

use bursar_domain::organization::{Role, valid_slug};
use bursar_domain::permission::Action;
use bursar_domain::sign_on::{self, BadDomain, SigningAlgorithm};
use bursar_entity::{identity_provider, identity_provider_domain, organization};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, Set, Unchanged};
use serde_json::{Value, json};

use super::{as_of_now, lock_organization};
use crate::audit::{self, Change};
use crate::auth::issuers::about_secret;
use crate::auth::{Authorized, Caller, Issuers, Keys};
use crate::clock::Clock;
use crate::context::Context;
use crate::db::scope::find_slug;
use crate::db::{self, Fault, Scope, Tenant, Txn, fault};
use crate::error::{Conflict, Error, Result};
use crate::{global_id, text};

/// The longest client secret, in bytes.
const SECRET_BYTES: usize = 1_024;
/// The most domains of an organization.
const DOMAINS: usize = 50;
/// The most groups that have a role.
const GROUPS: usize = 100;

/// What is to be set of an organization's identity provider. It has no `Debug`: it has the secret.
#[derive(Clone)]
pub struct NewSignOn {
    /// The address under which the provider describes itself.
    pub issuer: String,
    /// Bursar's name at the provider.
    pub client_id: String,
    /// What Bursar proves itself with; none: the one that was given for the same issuer and client before, if any.
    pub client_secret: Option<String>,
    /// Whom tokens for the API are for.
    pub audience: String,
    /// How its tokens are signed.
    pub algorithm: SigningAlgorithm,
    /// The domains of whose addresses it is believed.
    pub domains: Vec<String>,
    /// Whether somebody whom it vouches for becomes a member by signing in.
    pub joins: bool,
    /// What such a person is, when no group says otherwise.
    pub default_role: Role,
    /// The claim that names a person's groups.
    pub group_claim: Option<String>,
    /// What the people of a group are.
    pub group_roles: Vec<(String, Role)>,
    /// Whether an address counts as proven when the provider does not say whether it is.
    pub trusts_missing_email_verified: bool,
    /// Whether it is believed.
    pub enabled: bool,
}

/// What is set of an organization's identity provider.
#[derive(Clone, Debug)]
pub struct SignOn {
    /// The provider.
    pub provider: identity_provider::Model,
    /// The domains of whose addresses it is believed, in order.
    pub domains: Vec<String>,
}

/// Sets an organization's identity provider, instead of the one that was set before.
///
/// # Errors
/// Forbidden to whoever is neither an owner nor the vendor's staff by Bursar's own knowledge; taken, when a domain is
/// another organization's.
pub async fn configure_single_sign_on(
    context: &Context,
    keys: &Keys,
    issuers: &Issuers,
    caller: &Caller,
    organization: &Authorized<organization::Model>,
    new: NewSignOn,
) -> Result<SignOn> {
    let own_domain = may_configure(caller)?;
    let new = checked(issuers, new)?;
    let sealed = match &new.client_secret {
        Some(secret) => Some(keys.seal(&about_secret(organization.id), secret)?),
        None => None,
    };
    let (tenant, actor, clock) = (organization.tenant(), organization.actor().clone(), context.clock.clone());
    let (caller, wanted) = (caller.clone(), new.clone());
    let work = db::work(move |txn| {
        let (actor, clock, caller, new) = (actor.clone(), clock.clone(), caller.clone(), wanted.clone());
        let (own_domain, sealed) = (own_domain.clone(), sealed.clone());
        Box::pin(async move {
            lock_organization(txn, tenant).await?;
            let caller = as_of_now(txn, tenant, caller).await?;
            if !caller.may_in_organization(tenant.id(), Action::ManageSingleSignOn) {
                return Err(Error::Forbidden);
            }
            let before = sign_on_of(txn, tenant).await?;
            let row = row(tenant, &clock, before.as_ref(), &new, sealed);
            match &before {
                None => {
                    let insert = identity_provider::Entity::insert(row.clone().into_active_model());
                    insert.exec_without_returning(txn).await?;
                }
                Some(_) => {
                    identity_provider::Entity::update(changed(row.clone()))
                        .exec_without_returning(txn)
                        .await?;
                }
            }
            let known: BTreeSet<&String> = before.iter().flat_map(|before| &before.domains).collect();
            for domain in &new.domains {
                if known.contains(domain) {
                    continue;
                }
                if *domain != own_domain {
                    let reason = format!("names {domain}, where you have no address yourself");
                    return Err(Error::invalid("domains", reason));
                }
                let added_by = caller.person().map(|person| person.id).ok_or(Error::Forbidden)?;
                let (organization_id, domain) = (tenant.id(), domain.clone());
                let created_at = clock.now();
                let row = identity_provider_domain::Model { organization_id, domain, added_by, created_at };
                let insert = identity_provider_domain::Entity::insert(row.into_active_model());
                insert.exec_without_returning(txn).await?;
            }
            identity_provider_domain::Entity::delete_many()
                .filter(identity_provider_domain::Column::OrganizationId.eq(tenant.id()))
                .filter(identity_provider_domain::Column::Domain.is_not_in(new.domains.clone()))
                .exec(txn)
                .await?;
            let after = SignOn { provider: row, domains: new.domains.clone() };
            let secret = new.client_secret.is_some();
            let change = match &before {
                None => Change::created("configureSingleSignOn", tenant.id(), facts(&after, secret)),
                Some(before) => Change::updated(
                    "configureSingleSignOn",
                    tenant.id(),
                    facts(before, false),
                    facts(&after, secret),
                ),
            };
            audit::record(txn, tenant, &clock, &actor, change).await?;
            Ok((before.map(|before| before.provider.issuer), after))
        })
    });
    match context.db.write(tenant, work).await {
        Ok((before, after)) => {
            before.iter().chain([&after.provider.issuer]).for_each(|issuer| issuers.forget(issuer));
            Ok(after)
        }
        // The organization's row is locked, so it can be nothing but a domain.
        Err(Error::Database(error)) if matches!(fault(&error), Fault::Unique(_)) => {
            let reason = "One of the domains belongs to another organization.";
            Err(Error::conflict(Conflict::Taken, "domains", reason))
        }
        Err(error) => Err(error),
    }
}

/// What is set of an organization's identity provider, whether it is believed or not.
///
/// # Errors
/// What the database answers.
pub async fn sign_on_of(txn: &Txn, tenant: Tenant) -> Result<Option<SignOn>> {
    let Some(provider) = tenant.find::<identity_provider::Entity>().one(txn).await? else { return Ok(None) };
    let domains = tenant
        .find::<identity_provider_domain::Entity>()
        .order_by_asc(identity_provider_domain::Column::Domain);
    let domains = domains.all(txn).await?.into_iter().map(|row| row.domain).collect();
    Ok(Some(SignOn { provider, domains }))
}

/// The organization with a short name, and its identity provider that is believed. Both are public: a page has them.
///
/// # Errors
/// Not found, whether there is no such organization or it has no provider.
pub async fn provider_by_slug(
    context: &Context,
    slug: &str,
) -> Result<(organization::Model, identity_provider::Model)> {
    let missing = || Error::not_found("organization");
    if !valid_slug(slug) {
        return Err(missing());
    }
    let snapshot = context.db.read(Scope::Slug(slug.to_owned())).await?;
    let found = find_slug(slug).one(&snapshot).await?.ok_or_else(missing)?;
    drop(snapshot);
    // What is public of the organization that the page's address names.
    provider_of(context, Tenant::vouched(found.id)).await
}

/// The path that the provider of the organization with a short name leads back to: one for each organization, so that
/// no answer of one's provider is taken for another's.
pub fn sign_on_callback(slug: &str) -> String {
    format!("/sso/{slug}/callback")
}

/// An organization, and its identity provider that is believed.
///
/// # Errors
/// Not found, when it has none.
pub async fn provider_of(
    context: &Context,
    tenant: Tenant,
) -> Result<(organization::Model, identity_provider::Model)> {
    let missing = || Error::not_found("organization");
    let snapshot = context.db.read(tenant).await?;
    let organization = tenant.find::<organization::Entity>().one(&snapshot).await?.ok_or_else(missing)?;
    let provider = tenant.find::<identity_provider::Entity>().one(&snapshot).await?;
    let provider = provider.filter(|provider| provider.enabled).ok_or_else(missing)?;
    Ok((organization, provider))
}

/// Whether an organization's own provider signs people with an address in to it.
///
/// # Errors
/// What the database answers.
pub async fn signs_in(txn: &Txn, tenant: Tenant, address: &str) -> Result<bool> {
    let Ok(domain) = sign_on::domain(sign_on::domain_of(address).unwrap_or_default()) else {
        return Ok(false);
    };
    let provider = tenant.find::<identity_provider::Entity>().one(txn).await?;
    if provider.is_none_or(|provider| !provider.enabled) {
        return Ok(false);
    }
    let own = tenant
        .find::<identity_provider_domain::Entity>()
        .filter(identity_provider_domain::Column::Domain.eq(domain));
    Ok(own.one(txn).await?.is_some())
}

/// What the people of groups are, from a row.
///
/// # Errors
/// [`Error::Internal`] when the row cannot be read.
pub fn decode_group_roles(json: &str) -> Result<Vec<(String, Role)>> {
    let unreadable = || Error::internal("the roles of groups cannot be read");
    let pairs: Vec<(String, String)> = serde_json::from_str(json).map_err(|_| unreadable())?;
    let pair = |(group, role): (String, String)| Some((group, Role::parse(&role)?));
    pairs.into_iter().map(pair).collect::<Option<_>>().ok_or_else(unreadable)
}

/// The domain of the caller's own address, when the caller is a person who has shown Bursar itself who they are.
fn may_configure(caller: &Caller) -> Result<String> {
    let person = caller.person().filter(|_| caller.within().is_none()).ok_or(Error::Forbidden)?;
    Ok(sign_on::domain_of(&person.email).unwrap_or_default().to_owned())
}

fn checked(issuers: &Issuers, new: NewSignOn) -> Result<NewSignOn> {
    let address = issuers.reach().address(&new.issuer).map_err(|why| Error::invalid("issuer", why))?;
    if address.query().is_some() {
        return Err(Error::invalid("issuer", "must be a plain URL"));
    }
    let secret_fits =
        |secret: &String| (1..=SECRET_BYTES).contains(&secret.len()) && !secret.chars().any(char::is_control);
    if !new.client_secret.as_ref().is_none_or(secret_fits) {
        return Err(Error::invalid("clientSecret", "must have 1 to 1024 printable characters"));
    }
    let mut domains = BTreeSet::new();
    for domain in &new.domains {
        let reason = |bad| match bad {
            BadDomain::Malformed => "names what is no domain",
            BadDomain::Public => "names a domain in which everybody can have an address",
        };
        domains.insert(sign_on::domain(domain).map_err(|bad| Error::invalid("domains", reason(bad)))?);
    }
    if domains.len() > DOMAINS || (new.enabled && domains.is_empty()) {
        let reason = format!("must name 1 to {DOMAINS} domains; none only when the provider is not believed");
        return Err(Error::invalid("domains", reason));
    }
    if !sign_on::can_be_given(new.default_role) {
        return Err(Error::invalid("defaultRole", "must not be owner: owners are made by owners"));
    }
    let mut group_roles = Vec::with_capacity(new.group_roles.len().min(GROUPS));
    for (group, role) in &new.group_roles {
        let group = text::name("groupRoles", group)?;
        if !sign_on::can_be_given(*role) {
            return Err(Error::invalid("groupRoles", "must not make owners: owners are made by owners"));
        }
        if group_roles.iter().any(|(known, _)| *known == group) {
            return Err(Error::invalid("groupRoles", "names a group twice"));
        }
        group_roles.push((group, *role));
    }
    if group_roles.len() > GROUPS {
        return Err(Error::invalid("groupRoles", format!("has at most {GROUPS} groups")));
    }
    let group_claim = text::optional_name("groupClaim", new.group_claim.as_deref())?;
    if group_claim.is_none() && !group_roles.is_empty() {
        return Err(Error::invalid("groupClaim", "is needed when groups have roles"));
    }
    Ok(NewSignOn {
        client_id: text::name("clientId", &new.client_id)?,
        audience: text::name("audience", &new.audience)?,
        domains: domains.into_iter().collect(),
        group_claim,
        group_roles,
        ..new
    })
}

/// The row as it is to be.
fn row(
    tenant: Tenant,
    clock: &Clock,
    before: Option<&SignOn>,
    new: &NewSignOn,
    sealed: Option<Vec<u8>>,
) -> identity_provider::Model {
    let before = before.map(|before| &before.provider);
    let same = before.filter(|before| before.issuer == new.issuer && before.client_id == new.client_id);
    let pairs: Vec<(&str, &str)> =
        new.group_roles.iter().map(|(group, role)| (group.as_str(), role.as_str())).collect();
    let now = clock.now();
    identity_provider::Model {
        organization_id: tenant.id(),
        issuer: new.issuer.clone(),
        client_id: new.client_id.clone(),
        client_secret: sealed.or_else(|| same.and_then(|before| before.client_secret.clone())),
        audience: new.audience.clone(),
        algorithm: new.algorithm,
        joins: new.joins,
        default_role: new.default_role,
        group_claim: new.group_claim.clone(),
        group_roles: json!(pairs).to_string(),
        trusts_missing_email_verified: new.trusts_missing_email_verified,
        enabled: new.enabled,
        revision: match before {
            None => 1,
            Some(before) if is_believed_alike(before, new) => before.revision,
            Some(before) => before.revision.saturating_add(1),
        },
        created_at: before.map_or(now, |before| before.created_at),
        updated_at: now,
    }
}

/// Whether what was believed of a provider's tokens still is.
fn is_believed_alike(before: &identity_provider::Model, new: &NewSignOn) -> bool {
    before.issuer == new.issuer
        && before.client_id == new.client_id
        && before.audience == new.audience
        && before.algorithm == new.algorithm
        && before.trusts_missing_email_verified == new.trusts_missing_email_verified
        && before.enabled == new.enabled
}

fn changed(row: identity_provider::Model) -> identity_provider::ActiveModel {
    identity_provider::ActiveModel {
        organization_id: Unchanged(row.organization_id),
        issuer: Set(row.issuer),
        client_id: Set(row.client_id),
        client_secret: Set(row.client_secret),
        audience: Set(row.audience),
        algorithm: Set(row.algorithm),
        joins: Set(row.joins),
        default_role: Set(row.default_role),
        group_claim: Set(row.group_claim),
        group_roles: Set(row.group_roles),
        trusts_missing_email_verified: Set(row.trusts_missing_email_verified),
        enabled: Set(row.enabled),
        revision: Set(row.revision),
        created_at: Unchanged(row.created_at),
        updated_at: Set(row.updated_at),
    }
}

/// What the log says: everything but the secret, of which it says that there is one, and whether it was given now.
fn facts(sign_on: &SignOn, secret_given: bool) -> Value {
    let provider = &sign_on.provider;
    json!({
        "organization": global_id::encode(provider.organization_id),
        "issuer": provider.issuer,
        "clientId": provider.client_id,
        "hasClientSecret": provider.client_secret.is_some(),
        "clientSecretGiven": secret_given,
        "audience": provider.audience,
        "algorithm": provider.algorithm.as_str(),
        "domains": sign_on.domains,
        "joinsJustInTime": provider.joins,
        "defaultRole": provider.default_role.as_str(),
        "groupClaim": provider.group_claim,
        "groupRoles": provider.group_roles,
        "trustsMissingEmailVerified": provider.trusts_missing_email_verified,
        "enabled": provider.enabled,
        "revision": provider.revision,
    })
}
