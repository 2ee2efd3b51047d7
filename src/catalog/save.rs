//! New versions of services and packages, and new services and packages. What has been a version stays one: purchases and
//! charges name it.

use bursar_domain::id::{PackageId, PackageVersionId, ServiceId, ServiceVersionId};
use bursar_domain::pricing::{MAX_PURCHASE, MAX_TOTAL, UnitPrice, versions_at};
use bursar_domain::{Credits, Money, Timestamp};
use bursar_entity::{package, package_price, package_version, service, service_version};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect, Set, Unchanged};
use serde_json::{Value, json};

use super::{Package, Service, begins, begins_already, code, lifetime, once};
use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::clock::Clock;
use crate::context::Context;
use crate::db::{self, Tenant, Txn};
use crate::error::{Error, Result};
use crate::text;

/// The longest guarantee, in days.
const MAX_GUARANTEE: i64 = 3_650;
/// The most refunds of a month that a guarantee covers.
const MAX_QUOTA: i64 = 1_000_000;

/// A service as it is to be. What is `None` stays.
#[derive(Clone, Debug)]
pub struct SaveService {
    /// Its code.
    pub code: String,
    /// Its name.
    pub name: Option<String>,
    /// Credits per unit.
    pub credits: Option<Credits>,
    /// From when on that is so; none: at once.
    pub effective_from: Option<Timestamp>,
    /// For how many days after a charge customers may refund it by themselves, or no guarantee at all.
    pub guarantee_days: Option<Option<i64>>,
    /// How many such refunds an organization has in a month, or any number.
    pub guarantee_quota: Option<Option<i64>>,
}

/// A package as it is to be.
#[derive(Clone, Debug)]
pub struct SavePackage {
    /// Its code.
    pub code: String,
    /// Its name; none: it stays.
    pub name: Option<String>,
    /// How many credits; the least, when the price is custom.
    pub credits: Credits,
    /// What it costs, once in each currency that it is sold in.
    pub prices: Vec<Money>,
    /// Whether it is sold at a price agreed on with each customer.
    pub custom_price: bool,
    /// For how many days its credits can be used; none: for ever.
    pub lifetime_days: Option<i64>,
    /// From when on that is so; none: at once.
    pub effective_from: Option<Timestamp>,
}

/// Saves a service, with a new version of its price when that changes.
pub async fn save_service(context: &Context, actor: &Actor, save: SaveService) -> Result<Service> {
    let bounded = |field: &'static str, value: Option<Option<i64>>, most: i64| match value.flatten() {
        Some(value) if !(0..=most).contains(&value) => {
            Err(Error::invalid(field, format!("must be from 0 to {most}")))
        }
        _ => Ok(value),
    };
    let save = SaveService {
        code: code(save.code)?,
        name: text::optional_name("name", save.name.as_deref())?,
        guarantee_days: bounded("guaranteeDays", save.guarantee_days, MAX_GUARANTEE)?,
        guarantee_quota: bounded("guaranteeQuota", save.guarantee_quota, MAX_QUOTA)?,
        ..save
    };
    if save.credits.is_some_and(Credits::is_zero) {
        return Err(Error::invalid("credits", "must be at least 1"));
    }
    if save.credits.is_none() && save.effective_from.is_some() {
        return Err(Error::invalid("effectiveFrom", "is of a price: credits have to be said with it"));
    }
    let (actor, clock) = (actor.clone(), context.clock.clone());
    let work = db::work(move |txn| {
        let (save, actor, clock) = (save.clone(), actor.clone(), clock.clone());
        Box::pin(async move { service_in(txn, &actor, &clock, save).await })
    });
    once(context, Tenant::vendor(), false, work).await
}

async fn service_in(txn: &Txn, actor: &Actor, clock: &Clock, save: SaveService) -> Result<Service> {
    let now = clock.now();
    let from = begins(save.effective_from, now)?;
    let known = service::Entity::find().filter(service::Column::Code.eq(save.code.as_str()));
    let known = known.lock_exclusive().one(txn).await?;
    let row = match &known {
        Some(row) => service::Model {
            name: save.name.unwrap_or_else(|| row.name.clone()),
            guarantee_days: save.guarantee_days.unwrap_or(row.guarantee_days),
            guarantee_quota: save.guarantee_quota.unwrap_or(row.guarantee_quota),
            ..row.clone()
        },
        None => service::Model {
            id: clock.new_id::<ServiceId>(),
            code: save.code,
            name: save.name.ok_or_else(|| needed("name"))?,
            created_at: now,
            guarantee_days: save.guarantee_days.flatten(),
            guarantee_quota: save.guarantee_quota.flatten(),
        },
    };
    let versions = service_version::Entity::find().filter(service_version::Column::ServiceId.eq(row.id));
    let versions = versions.all(txn).await?;
    let begun = |version: &service_version::Model| version.effective_from;
    let mut holding = versions_at(versions.iter().cloned(), |version| version.service_id, begun, from);
    let before = holding.remove(&row.id);
    let mut made = None;
    if let Some(credits) = save.credits
        && before.as_ref().is_none_or(|before| before.credits != credits)
    {
        if versions.iter().any(|version| version.effective_from == from) {
            return Err(begins_already());
        }
        made = Some(service_version::Model {
            id: clock.new_id::<ServiceVersionId>(),
            service_id: row.id,
            credits,
            effective_from: from,
            created_at: now,
        });
    }
    let holds = made.clone().or_else(|| before.clone()).or_else(|| versions.first().cloned());
    let version = holds.ok_or_else(|| needed("credits"))?;
    if known.as_ref() == Some(&row) && made.is_none() {
        return Ok(Service { row, version, own: None });
    }
    match &known {
        None => {
            service::Entity::insert(row.clone().into_active_model()).exec_without_returning(txn).await?;
        }
        Some(known) if *known == row => {}
        Some(_) => {
            let changed = service::ActiveModel {
                id: Unchanged(row.id),
                name: Set(row.name.clone()),
                guarantee_days: Set(row.guarantee_days),
                guarantee_quota: Set(row.guarantee_quota),
                ..Default::default()
            };
            service::Entity::update(changed).exec_without_returning(txn).await?;
        }
    }
    if let Some(made) = made {
        service_version::Entity::insert(made.into_active_model()).exec_without_returning(txn).await?;
    }
    let is = service_facts(&row, Some(&version));
    let change = match &known {
        Some(known) => Change::updated("saveService", row.id, service_facts(known, before.as_ref()), is),
        None => Change::created("saveService", row.id, is),
    };
    audit::record(txn, Tenant::vendor(), clock, actor, change).await?;
    Ok(Service { row, version, own: None })
}

fn service_facts(row: &service::Model, version: Option<&service_version::Model>) -> Value {
    json!({
        "code": row.code,
        "name": row.name,
        "credits": version.map(|version| version.credits.get()),
        "effectiveFrom": version.map(|version| version.effective_from.micros()),
        "guaranteeDays": row.guarantee_days,
        "guaranteeQuota": row.guarantee_quota,
    })
}

fn needed(field: &'static str) -> Error {
    Error::invalid(field, "is needed for a new one")
}

/// Saves a package, with a new version when anything but its name changes.
pub async fn save_package(context: &Context, actor: &Actor, save: SavePackage) -> Result<Package> {
    let save = SavePackage {
        code: code(save.code)?,
        name: text::optional_name("name", save.name.as_deref())?,
        lifetime_days: lifetime("lifetimeDays".to_owned(), save.lifetime_days)?,
        ..save
    };
    if save.credits.is_zero() || save.credits > MAX_PURCHASE {
        return Err(Error::invalid("credits", format!("must be from 1 to {MAX_PURCHASE}")));
    }
    check_prices(&save)?;
    let (actor, clock) = (actor.clone(), context.clock.clone());
    let work = db::work(move |txn| {
        let (save, actor, clock) = (save.clone(), actor.clone(), clock.clone());
        Box::pin(async move { package_in(txn, &actor, &clock, save).await })
    });
    once(context, Tenant::vendor(), false, work).await
}

/// A package has a price in each currency that it is sold in, once, or it is sold at a custom price.
fn check_prices(save: &SavePackage) -> Result<()> {
    if save.custom_price != save.prices.is_empty() {
        let reason = match save.custom_price {
            true => "must be empty when the price is agreed on with each customer",
            false => "must not be empty, unless the price is agreed on with each customer",
        };
        return Err(Error::invalid("prices", reason));
    }
    for (index, price) in save.prices.iter().enumerate() {
        if save.prices.iter().take(index).any(|other| other.currency == price.currency) {
            let reason = format!("{} has been named before", price.currency);
            return Err(Error::invalid(format!("prices.{index}.currency"), reason));
        }
        let in_range = (1..=MAX_TOTAL).contains(&price.minor);
        if !in_range || UnitPrice::of(price.minor, save.credits).is_none() {
            let reason = "is out of range for so many credits";
            return Err(Error::invalid(format!("prices.{index}.amount"), reason));
        }
    }
    Ok(())
}

async fn package_in(txn: &Txn, actor: &Actor, clock: &Clock, save: SavePackage) -> Result<Package> {
    let now = clock.now();
    let from = begins(save.effective_from, now)?;
    let known = package::Entity::find().filter(package::Column::Code.eq(save.code.as_str()));
    let known = known.lock_exclusive().one(txn).await?;
    let row = match &known {
        Some(row) => package::Model { name: save.name.unwrap_or_else(|| row.name.clone()), ..row.clone() },
        None => package::Model {
            id: clock.new_id::<PackageId>(),
            code: save.code,
            name: save.name.ok_or_else(|| needed("name"))?,
            created_at: now,
        },
    };
    let before = package_at(txn, &row, from).await?;
    let version = package_version::Model {
        id: clock.new_id::<PackageVersionId>(),
        package_id: row.id,
        credits: save.credits,
        custom_price: save.custom_price,
        lifetime_days: save.lifetime_days,
        effective_from: from,
        created_at: now,
    };
    let price = |price: &Money| package_price::Model {
        package_version_id: version.id,
        currency: price.currency,
        amount: price.minor,
    };
    let prices: Vec<package_price::Model> = save.prices.iter().map(price).collect();
    let after = Package { row: row.clone(), version, prices };
    // A name is the same in all versions.
    let same = before.as_ref().filter(|before| content(before) == content(&after));
    if let Some(same) = same
        && known.as_ref() == Some(&row)
    {
        return Ok(same.clone());
    }
    match &known {
        None => {
            package::Entity::insert(row.clone().into_active_model()).exec_without_returning(txn).await?;
        }
        Some(known) if *known == row => {}
        Some(_) => {
            let changed = package::ActiveModel {
                id: Unchanged(row.id),
                name: Set(row.name.clone()),
                ..Default::default()
            };
            package::Entity::update(changed).exec_without_returning(txn).await?;
        }
    }
    let saved = match same {
        Some(same) => same.clone(),
        None => {
            if before.as_ref().is_some_and(|before| before.version.effective_from == from) {
                return Err(begins_already());
            }
            insert_version(txn, &after).await?;
            after
        }
    };
    let is = package_facts(&saved);
    let was = match (&known, &before) {
        (Some(known), Some(before)) => Some(package_facts(&Package { row: known.clone(), ..before.clone() })),
        (Some(known), None) => Some(json!({ "code": known.code, "name": known.name })),
        (None, _) => None,
    };
    let change = match was {
        Some(was) => Change::updated("savePackage", row.id, was, is),
        None => Change::created("savePackage", row.id, is),
    };
    audit::record(txn, Tenant::vendor(), clock, actor, change).await?;
    Ok(saved)
}

/// A package with the version that holds at an instant, if one does.
async fn package_at(txn: &Txn, row: &package::Model, at: Timestamp) -> Result<Option<Package>> {
    let versions = package_version::Entity::find().filter(package_version::Column::PackageId.eq(row.id));
    let versions = versions.all(txn).await?;
    let mut holding =
        versions_at(versions, |version| version.package_id, |version| version.effective_from, at);
    let Some(version) = holding.remove(&row.id) else { return Ok(None) };
    let prices = package_price::Entity::find().filter(package_price::Column::PackageVersionId.eq(version.id));
    let prices = prices.all(txn).await?;
    Ok(Some(Package { row: row.clone(), version, prices }))
}

async fn insert_version(txn: &Txn, package: &Package) -> Result<()> {
    let version = package.version.clone().into_active_model();
    package_version::Entity::insert(version).exec_without_returning(txn).await?;
    for price in &package.prices {
        package_price::Entity::insert(price.clone().into_active_model()).exec_without_returning(txn).await?;
    }
    Ok(())
}

/// What a version says, beside when it holds.
fn content(package: &Package) -> (Credits, bool, Option<i64>, Vec<(&str, i64)>) {
    let version = &package.version;
    let mut prices: Vec<(&str, i64)> =
        package.prices.iter().map(|price| (price.currency.code(), price.amount)).collect();
    prices.sort_unstable();
    (version.credits, version.custom_price, version.lifetime_days, prices)
}

fn package_facts(package: &Package) -> Value {
    let (credits, custom, lifetime, prices) = content(package);
    let price = |(currency, amount): &(&str, i64)| json!({ "currency": currency, "minor": amount });
    json!({
        "code": package.row.code,
        "name": package.row.name,
        "credits": credits.get(),
        "customPrice": custom,
        "lifetimeDays": lifetime,
        "prices": prices.iter().map(price).collect::<Vec<Value>>(),
        "effectiveFrom": package.version.effective_from.micros(),
    })
}
