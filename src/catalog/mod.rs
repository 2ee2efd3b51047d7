//! The catalog: services and packages with the versions that hold now, and what credits cost.
//!
//! What is shipped or saved for everybody is audited as the vendor's own; what is agreed on with an organization, in that
//! organization's log.
//!
//! - `save`, `tiers`: new versions of services, packages and volume tiers;
//! - `organization_prices`, `contracts`: what only one organization pays;
//! - `price`: what so many credits cost, and why;
//! - `token`: a price that was told, to buy at;
//! - `quotes`, `quote_answers`, `quote_life`, `quote_mail`: prices that the vendor is asked for.

mod contracts;
mod organization_prices;
mod price;
mod quote_answers;
mod quote_life;
mod quote_mail;
mod quotes;
mod save;
mod tiers;
mod token;

pub use contracts::{ContractTerms, set_contract_price};
pub use organization_prices::{OrganizationPrice, set_organization_price};
pub use price::{Buying, Offer, VALID_DAYS, currency, fix_currency, offer, preview, price_book};
pub use quote_answers::{QuoteAnswer, QuoteDecision, QuotePrice, answer_quote};
pub use quote_life::{QUOTE_DUE, quote_due, withdraw_quote};
pub use quotes::{
    NewQuote, Quoted, lock_quote, mark_quote_used, release_quote, request_quote, request_quote_again,
};
pub use save::{SavePackage, SaveService, save_package, save_service};
pub use tiers::{SaveTiers, Tier, Tiers, save_tiers, tiers};
pub use token::Pinned;

use std::collections::{BTreeMap, HashMap};

use bursar_domain::id::{PackageVersionId, ServiceVersionId};
use bursar_domain::organization::valid_code;
use bursar_domain::pricing::{PackageTerms, PriceBasis, versions_at};
use bursar_domain::{Credits, Currency, Timestamp};
use bursar_entity::{
    organization, organization_price, package, package_price, package_version, service, service_version,
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use crate::context::Context;
use crate::db::{self, Fault, Tenant, Txn, WorkFuture, fault, padded};
use crate::error::{Conflict, Error, Result};

/// The longest lifetime of credits, in days.
const MAX_LIFETIME: i64 = 36_500;

/// A service with the version of its price that holds.
#[derive(Clone, Debug)]
pub struct Service {
    /// The service.
    pub row: service::Model,
    /// The version that holds for everybody.
    pub version: service_version::Model,
    /// The organization's own price that is laid over it.
    pub own: Option<organization_price::Model>,
}

impl Service {
    /// Credits per unit.
    pub fn credits(&self) -> Credits {
        self.own.as_ref().and_then(|own| own.credits).unwrap_or(self.version.credits)
    }

    /// From when that price holds.
    pub fn effective_from(&self) -> Timestamp {
        self.own.as_ref().map_or(self.version.effective_from, |own| own.effective_from)
    }
}

/// A package with the version that holds.
#[derive(Clone, Debug)]
pub struct Package {
    /// The package.
    pub row: package::Model,
    /// The version.
    pub version: package_version::Model,
    /// Its prices, by currency.
    pub prices: Vec<package_price::Model>,
}

impl Package {
    /// The price in a currency, in minor units. Custom prices are not in the catalog.
    pub fn price(&self, currency: Currency) -> Option<i64> {
        self.prices.iter().find(|price| price.currency == currency).map(|price| price.amount)
    }

    /// What whoever asks for it is sure of, whatever price counts.
    pub fn terms(&self) -> PackageTerms {
        let (credits, lifetime_days) = (self.version.credits, self.version.lifetime_days);
        PackageTerms { credits, lifetime_days }
    }

    /// Whether it is this package that is bought: its credits, for at least as long, at whatever price but one that the
    /// vendor was asked for.
    pub fn is_bought(&self, basis: PriceBasis, credits: Credits, lifetime_days: Option<i64>) -> bool {
        basis != PriceBasis::Quote && self.terms().are_met(credits, lifetime_days)
    }
}

/// A version of a service's price, the catalog's or an organization's own.
#[derive(Clone, Debug)]
pub struct PriceVersion {
    /// Its id, which lines of charges name.
    pub id: ServiceVersionId,
    /// Credits per unit.
    pub credits: Credits,
    /// From when it holds.
    pub effective_from: Timestamp,
    /// When it was added.
    pub created_at: Timestamp,
    /// Whether it is the organization's own.
    pub own: bool,
}

/// All services, as they are at an instant, in order of their ids; with a tenant, at what it pays.
pub async fn services(txn: &Txn, tenant: Option<Tenant>, at: Timestamp) -> Result<Vec<Service>> {
    let versions = service_version::Entity::find().all(txn).await?;
    let mut versions =
        versions_at(versions, |version| version.service_id, |version| version.effective_from, at);
    let mut own = match tenant {
        Some(tenant) => organization_prices::own_prices(txn, tenant, at).await?,
        None => BTreeMap::new(),
    };
    let rows = service::Entity::find().order_by_asc(service::Column::Id).all(txn).await?;
    let current = |row: service::Model| {
        let version = versions.remove(&row.id)?;
        let own = own.remove(&row.id);
        Some(Service { row, version, own })
    };
    Ok(rows.into_iter().filter_map(current).collect())
}

/// Versions of services' prices by their ids, the tenant's own among them.
pub async fn price_versions(
    txn: &Txn,
    tenant: Tenant,
    ids: Vec<ServiceVersionId>,
) -> Result<Vec<PriceVersion>> {
    let select = service_version::Entity::find();
    let shared = select.filter(service_version::Column::Id.is_in(padded(ids.clone()))).all(txn).await?;
    let shared = shared.into_iter().map(|row| PriceVersion {
        id: row.id,
        credits: row.credits,
        effective_from: row.effective_from,
        created_at: row.created_at,
        own: false,
    });
    let mut versions: Vec<PriceVersion> = shared.collect();
    let missing = ids.into_iter().filter(|id| !versions.iter().any(|version| version.id == *id));
    let missing: Vec<ServiceVersionId> = missing.collect();
    if missing.is_empty() {
        return Ok(versions);
    }
    let select = db::priced_as(txn, tenant).await?.find::<organization_price::Entity>();
    let own = select.filter(organization_price::Column::Id.is_in(padded(missing))).all(txn).await?;
    versions.extend(own.into_iter().filter_map(|row| {
        Some(PriceVersion {
            id: row.id,
            credits: row.credits?,
            effective_from: row.effective_from,
            created_at: row.created_at,
            own: true,
        })
    }));
    Ok(versions)
}

/// All packages, as they are at an instant, in order of their ids.
pub async fn packages(txn: &Txn, at: Timestamp) -> Result<Vec<Package>> {
    let versions = package_version::Entity::find().all(txn).await?;
    let mut versions =
        versions_at(versions, |version| version.package_id, |version| version.effective_from, at);
    let mut prices: HashMap<PackageVersionId, Vec<package_price::Model>> = HashMap::new();
    for price in package_price::Entity::find().all(txn).await? {
        prices.entry(price.package_version_id).or_default().push(price);
    }
    let rows = package::Entity::find().order_by_asc(package::Column::Id).all(txn).await?;
    let current = |row: package::Model| {
        let version = versions.remove(&row.id)?;
        let prices = prices.remove(&version.id).unwrap_or_default();
        Some(Package { row, version, prices })
    };
    Ok(rows.into_iter().filter_map(current).collect())
}

/// The package that a version belongs to, with that version.
pub async fn package_of_version(txn: &Txn, id: PackageVersionId) -> Result<Option<Package>> {
    let Some(version) = package_version::Entity::find_by_id(id).one(txn).await? else { return Ok(None) };
    let prices =
        package_price::Entity::find().filter(package_price::Column::PackageVersionId.eq(id)).all(txn).await?;
    let row = package::Entity::find_by_id(version.package_id).one(txn).await?;
    Ok(row.map(|row| Package { row, version, prices }))
}

/// From when something holds that is saved: from now on, or from an instant that has not passed.
fn begins(given: Option<Timestamp>, now: Timestamp) -> Result<Timestamp> {
    match given {
        Some(at) if at < now => Err(Error::invalid("effectiveFrom", "must not have passed")),
        given => Ok(given.unwrap_or(now)),
    }
}

/// Refuses to agree on prices with a sandbox, which has its organization's.
fn has_own(organization: &organization::Model) -> Result<()> {
    match organization.sandbox_of {
        None => Ok(()),
        Some(_) => {
            let reason = "A sandbox has the prices of its organization.";
            Err(Error::conflict(Conflict::State, "organizationId", reason))
        }
    }
}

/// What is said when another version begins at the same instant: versions are never changed.
fn begins_already() -> Error {
    Error::invalid("effectiveFrom", "is when another version begins already")
}

/// The code of a service or package.
fn code(code: String) -> Result<String> {
    if valid_code(&code) {
        return Ok(code);
    }
    let reason = "must be 1 to 64 capital letters, digits and underscores, beginning with a letter";
    Err(Error::invalid("code", reason))
}

/// For how many days credits can be used.
fn lifetime(field: String, days: Option<i64>) -> Result<Option<i64>> {
    match days {
        Some(days) if !(1..=MAX_LIFETIME).contains(&days) => {
            Err(Error::invalid(field, format!("must be from 1 to {MAX_LIFETIME}")))
        }
        days => Ok(days),
    }
}

/// Carries out work that makes something unique. When the same comes at the same time, it is carried out again: what the
/// other one has written can be seen then.
async fn once<T, W>(context: &Context, tenant: Tenant, dry_run: bool, work: W) -> Result<T>
where
    T: Send + 'static,
    W: for<'t> Fn(&'t Txn) -> WorkFuture<'t, T> + Clone + Send + Sync + 'static,
{
    if dry_run {
        return context.db.rehearse(tenant, work).await;
    }
    match context.db.write(tenant, work.clone()).await {
        Err(Error::Database(error)) if matches!(fault(&error), Fault::Unique(_)) => {
            context.db.write(tenant, work).await
        }
        outcome => outcome,
    }
}
