//! Tokens of organizations' own identity providers (OpenID Connect).
//!
//! # What a provider is believed
//! That somebody is whom it calls by a subject, and has an address in one of the organization's domains. It counts in
//! that organization and nowhere else ([`super::Through`]): a provider that lies, or that somebody has set up to lie,
//! gains nothing that the organization's owners do not have anyway.
//!
//! # The way of a token
//! Its issuer is looked up among the providers of all organizations (`claims` peeks, nothing is believed yet), which
//! gives the one algorithm that counts; the key is one of the issuer's own (`source`, `key_set`); then everything is
//! checked (`claims`). Whom the provider means is found out, or made a member, by `organizations::arrive`; what this
//! node has found out is remembered for a while (`super::visitors`).

mod claims;
mod code_flow;
mod fetch;
mod key_set;
mod reach;
mod source;

pub use code_flow::{Brought, Flow, Way, about_secret};
pub use reach::{ADDRESS_BYTES, Reach};
pub use source::APART_SECONDS;

use std::sync::Arc;

use bursar_domain::Timestamp;
use bursar_domain::id::OrganizationId;
use bursar_domain::sign_on;
use bursar_entity::{identity_provider, user_identity};
use quick_cache::sync::Cache;
use sea_orm::{ColumnTrait, QueryFilter, QuerySelect};

use crate::config::Environment;
use crate::context::Context;
use crate::db::scope::{find_across, find_domain};
use crate::db::{Scope, Tenant, padded};
use crate::error::Result;
use crate::text;
use claims::{Checked, Flaw, Person, Purpose, Unchecked, invalid};
use fetch::Fetcher;
use source::{Known, Source};

/// How many issuers are kept. There is one for each organization at most.
const SOURCES: usize = 10_000;
/// For how many issuers' names it is remembered who has set them up, or that nobody has.
const NAMES: usize = 10_000;
/// How long that is remembered, in seconds. What has changed meanwhile is noticed before it is used.
const REMEMBERED_SECONDS: i64 = 5;

/// Whom a provider vouches for.
#[derive(Clone, Debug)]
pub struct Vouched {
    /// The organization whose provider it is.
    pub tenant: Tenant,
    /// The provider.
    pub issuer: String,
    /// The revision of what is set of the provider.
    pub revision: i64,
    /// The provider's name for the person.
    pub subject: String,
    /// The person's address, as far as it counts as proven.
    pub email: Option<String>,
    /// What the provider calls the person.
    pub name: Option<String>,
    /// The person's groups, as far as they count and are told.
    pub groups: Option<Vec<String>>,
    /// When this was said.
    pub issued_at: Timestamp,
    /// Until when it counts.
    pub expires_at: Timestamp,
}

impl Vouched {
    fn new(provider: &identity_provider::Model, checked: &Checked) -> Vouched {
        let person = &checked.person;
        Vouched {
            // The provider is this organization's, and has signed.
            tenant: Tenant::vouched(provider.organization_id),
            issuer: provider.issuer.clone(),
            revision: provider.revision,
            subject: person.sub.clone(),
            email: person.proven_email(),
            name: person.name.clone(),
            groups: groups(provider, person),
            issued_at: checked.issued_at,
            expires_at: checked.expires_at,
        }
    }
}

/// The address that a provider has told without saying anywhere whether it is the person's, when that is enough for the
/// organization. Like any other it counts in the organization's own domains only.
fn unstated_email<'p>(
    provider: &identity_provider::Model,
    told: impl IntoIterator<Item = &'p Person>,
) -> Option<String> {
    if !provider.trusts_missing_email_verified {
        return None;
    }
    let mut email = None;
    for person in told {
        if person.says_whose_address_it_is() {
            return None;
        }
        email = email.or_else(|| person.stated_email());
    }
    email
}

fn groups(provider: &identity_provider::Model, person: &Person) -> Option<Vec<String>> {
    provider.group_claim.as_deref().and_then(|claim| person.groups(claim))
}

/// The providers of a name, and when they were looked up.
type Named = (Timestamp, Arc<Vec<identity_provider::Model>>);

/// The issuers of organizations' tokens. Cheap to clone.
#[derive(Clone)]
pub struct Issuers(Arc<Inner>);

struct Inner {
    fetcher: Arc<Fetcher>,
    sources: Cache<String, Arc<Source>>,
    named: Cache<String, Named>,
}

impl Issuers {
    /// Issuers as a server in some environment may call them.
    ///
    /// # Errors
    /// When there can be no HTTP client: the system's certificates cannot be read, say.
    pub fn new(environment: Environment) -> Result<Issuers> {
        let fetcher = Arc::new(Fetcher::new(Reach::of(environment))?);
        let (sources, named) = (Cache::new(SOURCES), Cache::new(NAMES));
        Ok(Issuers(Arc::new(Inner { fetcher, sources, named })))
    }

    /// Which addresses may be issuers'.
    pub fn reach(&self) -> Reach {
        self.0.fetcher.reach
    }

    /// Forgets who has set an issuer up: that has changed.
    pub fn forget(&self, issuer: &str) {
        self.0.named.remove(issuer);
    }

    /// Whether a token is longer than any that is looked at.
    pub fn is_too_long(token: &str) -> bool {
        token.len() > claims::TOKEN_BYTES
    }

    /// Whether a text is a token that names an issuer by an address. Nothing of it is checked.
    pub fn is_foreign(token: &str) -> bool {
        Unchecked::read(token).is_some()
    }

    /// Checks a token that is borne to use the API.
    ///
    /// # Errors
    /// [`crate::error::Error::Unauthenticated`] when it is not good, [`crate::error::Error::Unavailable`] when the
    /// provider's keys cannot be had.
    pub async fn verify(&self, context: &Context, token: &str) -> Result<Vouched> {
        let unchecked = Unchecked::read(token).ok_or_else(invalid)?;
        let providers = self.providers(context, &unchecked.issuer).await?;
        let usable = |provider: &&identity_provider::Model| {
            let purpose = Purpose::Api { audience: &provider.audience };
            unchecked.is_for(&provider.audience)
                && claims::is_usable(&unchecked.header, key_set::algorithm(provider.algorithm), purpose)
        };
        let candidates: Vec<_> = providers.iter().filter(usable).collect();
        let provider = match candidates.as_slice() {
            [] => return Err(invalid()),
            [provider] => *provider,
            // Organizations that share an issuer and an audience are told apart by the domains of addresses, and where those
            // say nothing by who has come before. Anybody can name another's issuer and audience: they are public.
            several => {
                let named = organization_named(context, &unchecked).await?;
                let among = |organization: OrganizationId| {
                    several.iter().copied().find(|provider| provider.organization_id == organization)
                };
                match named.and_then(among) {
                    Some(provider) => provider,
                    None => {
                        let known = Box::pin(organization_that_knows(context, several, &unchecked)).await?;
                        known.and_then(among).ok_or_else(invalid)?
                    }
                }
            }
        };
        let purpose = Purpose::Api { audience: &provider.audience };
        let checked = self.checked(context, provider, token, &unchecked, purpose).await?;
        let vouched = Vouched::new(provider, &checked);
        let email = vouched.email.clone().or_else(|| unstated_email(provider, [&checked.person]));
        Ok(Vouched { email, ..vouched })
    }

    /// Checks a token of a provider's, by a key of the provider's.
    async fn checked(
        &self,
        context: &Context,
        provider: &identity_provider::Model,
        token: &str,
        unchecked: &Unchecked,
        purpose: Purpose<'_>,
    ) -> Result<Checked> {
        let (source, clock) = (self.source(&provider.issuer), &context.clock);
        let algorithm = key_set::algorithm(provider.algorithm);
        let name = unchecked.header.kid.as_deref();
        let check = |known: &Known| {
            let mut outcome = Err(Flaw::Signature);
            for key in known.keys.fitting(name, algorithm) {
                outcome = claims::check(token, key, algorithm, &provider.issuer, purpose, clock.now());
                if !matches!(outcome, Err(Flaw::Signature)) {
                    break;
                }
            }
            outcome
        };
        let known = source.known(clock).await?;
        let mut outcome = check(&known);
        if matches!(outcome, Err(Flaw::Signature)) {
            // The provider may have a new key: under a new name, under the same one, or under none.
            let newer = source.newer(clock, &known).await.ok_or_else(invalid)?;
            outcome = check(&newer);
        }
        outcome.map_err(Flaw::into_error)
    }

    fn source(&self, issuer: &str) -> Arc<Source> {
        let new = || {
            let source = Source::new(issuer.to_owned(), Arc::clone(&self.0.fetcher));
            Ok::<_, std::convert::Infallible>(Arc::new(source))
        };
        match self.0.sources.get_or_insert_with(issuer, new) {
            Ok(source) => source,
            Err(never) => match never {},
        }
    }

    /// The providers of a name that are believed, of whatever organizations.
    async fn providers(&self, context: &Context, issuer: &str) -> Result<Arc<Vec<identity_provider::Model>>> {
        let now = context.clock.now();
        let fresh = |at: Timestamp| at <= now && now < at.plus_seconds(REMEMBERED_SECONDS);
        if let Some((at, providers)) = self.0.named.get(issuer)
            && fresh(at)
        {
            return Ok(providers);
        }
        let snapshot = context.db.read(Scope::Issuer(issuer.to_owned())).await?;
        let rows = find_across::<identity_provider::Entity>()
            .filter(identity_provider::Column::Issuer.eq(issuer))
            .filter(identity_provider::Column::Enabled.eq(true));
        let rows = Arc::new(rows.all(&snapshot).await?);
        self.0.named.insert(issuer.to_owned(), (now, Arc::clone(&rows)));
        Ok(rows)
    }
}

/// The organization whose domain the address in a token has. Nothing of the token is believed yet.
async fn organization_named(context: &Context, unchecked: &Unchecked) -> Result<Option<OrganizationId>> {
    let Some(email) = unchecked.email.as_deref().and_then(text::address) else { return Ok(None) };
    match sign_on::domain_of(&email) {
        Some(domain) => organization_of_domain(context, domain).await,
        None => Ok(None),
    }
}

/// The one organization of some where whom a token calls by its subject has come before; none: there is no such one, or
/// there are several. Nothing of the token is believed yet.
async fn organization_that_knows(
    context: &Context,
    among: &[&identity_provider::Model],
    unchecked: &Unchecked,
) -> Result<Option<OrganizationId>> {
    let Some(subject) = unchecked.subject.as_deref() else { return Ok(None) };
    let among = padded(among.iter().map(|provider| provider.organization_id).collect());
    // Of several organizations at once, and nobody is shown anything of them.
    let snapshot = context.db.read(Scope::Operator).await?;
    let known = find_across::<user_identity::Entity>()
        .filter(user_identity::Column::OrganizationId.is_in(among))
        .filter(user_identity::Column::Issuer.eq(unchecked.issuer.as_str()))
        .filter(user_identity::Column::Subject.eq(subject))
        .limit(2);
    let known = known.all(&snapshot).await?;
    Ok(match known.as_slice() {
        [one] => Some(one.organization_id),
        _ => None,
    })
}

/// The organization that a domain is mapped to.
pub async fn organization_of_domain(context: &Context, domain: &str) -> Result<Option<OrganizationId>> {
    let Ok(domain) = sign_on::domain(domain) else { return Ok(None) };
    let snapshot = context.db.read(Scope::Domain(domain.clone())).await?;
    Ok(find_domain(&domain).one(&snapshot).await?.map(|row| row.organization_id))
}
