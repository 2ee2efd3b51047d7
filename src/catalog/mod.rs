//! The catalog: services and packages with the versions that hold now.

use std::collections::HashMap;

use bursar_domain::id::{PackageVersionId, ServiceVersionId};
use bursar_domain::pricing::versions_at;
use bursar_domain::{Currency, Timestamp};
use bursar_entity::{package, package_price, package_version, service, service_version};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use crate::db::{Txn, padded};
use crate::error::Result;

/// A service with the version of its price that holds.
#[derive(Clone, Debug)]
pub struct Service {
    /// The service.
    pub row: service::Model,
    /// The version.
    pub version: service_version::Model,
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
}

/// All services, as they are at an instant, in order of their ids.
pub async fn services(txn: &Txn, at: Timestamp) -> Result<Vec<Service>> {
    let versions = service_version::Entity::find().all(txn).await?;
    let mut versions =
        versions_at(versions, |version| version.service_id, |version| version.effective_from, at);
    let rows = service::Entity::find().order_by_asc(service::Column::Id).all(txn).await?;
    let current = |row: service::Model| {
        let version = versions.remove(&row.id)?;
        Some(Service { row, version })
    };
    Ok(rows.into_iter().filter_map(current).collect())
}

/// Versions of services' prices by their ids.
pub async fn price_versions(txn: &Txn, ids: Vec<ServiceVersionId>) -> Result<Vec<service_version::Model>> {
    let versions = service_version::Entity::find().filter(service_version::Column::Id.is_in(padded(ids)));
    Ok(versions.all(txn).await?)
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
