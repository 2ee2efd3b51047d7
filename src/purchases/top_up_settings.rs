//! How a pool buys by itself, as people set it: at which threshold, which package, how much in a month at most, and by
//! which way of paying.
//!
//! A way of paying is charged only after somebody has agreed to the words that are kept with it, which name threshold,
//! package, price and the most in a month. What was agreed to covers the same package at no higher threshold and no more in
//! a month, at whatever price holds; for anything wider, or by another provider, it is asked for anew. Until then nothing
//! is bought.
//!
//! # Order of locks
//! The organization, then the row of the top-up, so that two who set it come one after another.

use bursar_domain::id::PoolId;
use bursar_domain::ledger::Refusal;
use bursar_domain::organization::OrganizationState;
use bursar_domain::top_up::{MOST_PACKAGES, Terms, at_rest, highest_threshold, reaches};
use bursar_domain::{Credits, Currency, Money, Timestamp};
use bursar_entity::{auto_top_up, organization, payment_method, pool};
use rust_decimal::Decimal;
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect, Set, Unchanged};
use serde_json::{Value, json};

use super::Selling;
use super::consent_code::{WRONG_CODES, ask};
use super::payment_methods::{ConsentLink, find_method, is_usable, remove};
use super::timed::{TOP_UP, be_due};
use crate::audit::{self, Change};
use crate::auth::{Actor, Authorized};
use crate::catalog::{self, Buying, Offer};
use crate::db::{self, Tenant, Txn};
use crate::error::{Conflict, Error, Result};
use crate::global_id;
use crate::organizations::lock_organization;

/// How a pool is to buy by itself.
#[derive(Clone, Debug)]
pub struct AutoTopUp {
    /// Whether it is switched on.
    pub enabled: bool,
    /// It buys at so many available credits, and below.
    pub threshold: Credits,
    /// The code of the package that it buys.
    pub package: String,
    /// The most that it spends in a month; none: no limit.
    pub monthly_maximum: Option<Money>,
    /// Whether everything is to be rolled back at the end.
    pub dry_run: bool,
}

/// How a pool buys by itself now.
#[derive(Clone, Debug)]
pub struct TopUpSet {
    /// The settings, and where it stands.
    pub row: auto_top_up::Model,
    /// How it pays, or is to pay; none: it was never switched on.
    pub method: Option<payment_method::Model>,
    /// Where somebody has to agree to the way of paying; none: nobody has to.
    pub setup_url: Option<String>,
}

/// Sets how a pool buys by itself. What is under way goes on.
///
/// # Errors
/// [`Error::Invalid`] at a field (a maximum that is less than the package costs, or a threshold far above what it adds,
/// among them), [`Error::NotFound`] at `package`, [`Error::Conflict`] when the pool is archived or the package has no
/// price; what the database answers.
pub async fn set_auto_top_up(
    selling: &Selling,
    pool: &Authorized<pool::Model>,
    settings: AutoTopUp,
) -> Result<TopUpSet> {
    let (tenant, actor, id) = (pool.tenant(), pool.actor().clone(), pool.id);
    let (own, dry_run) = (selling.clone(), settings.dry_run);
    let work = db::work(move |txn| {
        let (selling, actor, settings) = (own.clone(), actor.clone(), settings.clone());
        Box::pin(async move { set_in(txn, &selling, (tenant, &actor), id, settings).await })
    });
    let db = &selling.context().db;
    let (row, method) =
        if dry_run { db.rehearse(tenant, work).await? } else { db.write(tenant, work).await? };
    let asked = method.as_ref().filter(|method| row.enabled && !dry_run && method.consented_at.is_none());
    if asked.is_some() {
        selling.context().changes.announce_mail();
    }
    let setup_url = asked.map(|method| selling.link(&ConsentLink::new(&selling.keys, method).path()));
    Ok(TopUpSet { row, method, setup_url })
}

async fn set_in(
    txn: &Txn,
    selling: &Selling,
    (tenant, actor): (Tenant, &Actor),
    id: PoolId,
    settings: AutoTopUp,
) -> Result<(auto_top_up::Model, Option<payment_method::Model>)> {
    let clock = &selling.context().clock;
    let now = clock.now();
    // A key asks in the name of whoever has made it.
    let Some(by) = actor.answerable() else { return Err(Error::Forbidden) };
    let organization = lock_organization(txn, tenant).await?;
    actor.require_standing(txn, &organization).await?;
    if organization.state == OrganizationState::Suspended {
        return Err(Error::Refused(Refusal::OrganizationSuspended));
    }
    let row = tenant.find::<pool::Entity>().filter(pool::Column::Id.eq(id)).one(txn).await?;
    let pool = row.ok_or(Error::not_found("pool").at("poolId"))?;
    if pool.archived_at.is_some() {
        return Err(Error::conflict(Conflict::State, "poolId", "The pool has been archived."));
    }
    let before = lock_top_up(txn, tenant, id).await?;
    let packages = catalog::packages(txn, now).await?;
    let package = packages.into_iter().find(|known| known.row.code == settings.package);
    let package = package.ok_or(Error::not_found("package").at("package"))?;
    // Whether it has a price at all is told now, and not when the credits have run out.
    let offer = match settings.enabled {
        true => {
            let buying = Buying::Package(settings.package.clone());
            Some(catalog::offer(txn, tenant, &organization, id, &buying, None, now).await?)
        }
        false => None,
    };
    let currency = catalog::currency(&organization, None)?;
    let maximum = match settings.monthly_maximum {
        Some(money) if money.currency != currency => {
            let reason = format!("must be {currency}, in which the organization buys");
            return Err(Error::invalid("monthlyMaximum.currency", reason));
        }
        maximum => maximum.map(|money| money.minor),
    };
    if let (Some(offer), Some(most)) = (&offer, maximum)
        && most > 0
        && !reaches(most, offer.total)
    {
        let price = written(offer.total, offer.currency);
        let reason = format!(
            "must be at least {price}, what the package {} costs, or 0 for nothing at all",
            settings.package
        );
        return Err(Error::invalid("monthlyMaximum.amount", reason));
    }
    // A maximum is an amount of a currency, which must not become another one afterwards.
    let fixed = match maximum {
        Some(_) => catalog::fix_currency(txn, tenant, clock, actor, &organization, currency).await?,
        None => None,
    };
    if let Some(offer) = &offer
        && let Some(most) = highest_threshold(offer.credits)
        && settings.threshold > most
    {
        let code = &settings.package;
        let reason = format!("must be at most {most}, {MOST_PACKAGES} times what the package {code} adds");
        return Err(Error::invalid("threshold", reason));
    }
    let known = match before.as_ref().and_then(|row| row.payment_method_id) {
        Some(known) => find_method(txn, tenant, known).await?.filter(|method| method.removed_at.is_none()),
        None => None,
    };
    let terms = Terms { threshold: settings.threshold, package: package.row.id, monthly_maximum: maximum };
    let seller = &selling.settings.seller.name;
    let consent = offer
        .as_ref()
        .map(|offer| words(seller, &organization, &pool, (package.row.name.as_str(), offer, &terms)));
    let covered = known.as_ref().is_some_and(|known| match known.consented_at {
        Some(_) => agreed(known).is_some_and(|agreed| agreed.cover(&terms)),
        // Asked of somebody else, or answered with too many wrong codes, it is asked for anew.
        None => {
            let asked = agreed(known) == Some(terms)
                && consent.as_ref().is_none_or(|consent| *consent == known.consent);
            asked && known.consented_by == by && known.wrong_codes < WRONG_CODES
        }
    });
    let current = known.as_ref().is_some_and(|known| known.provider == selling.taker(&organization));
    let method = match consent {
        None => match known {
            // What takes more was not agreed to, and is not to be switched on later as if it were.
            Some(known) if !covered => {
                remove(txn, &known, now).await?;
                None
            }
            known => known,
        },
        Some(_) if covered && current => known,
        Some(consent) => {
            if let Some(known) = known.filter(|known| known.consented_at.is_none()) {
                remove(txn, &known, now).await?;
            }
            let asked = payment_method::Model {
                organization_id: tenant.id(),
                id: clock.new_id(),
                pool_id: id,
                provider: selling.taker(&organization),
                customer: None,
                method: None,
                session: None,
                label: None,
                consent,
                consented_by: by,
                consented_at: None,
                removed_at: None,
                created_at: now,
                wrong_codes: 0,
                threshold: Some(terms.threshold),
                package_id: Some(terms.package),
                monthly_maximum: terms.monthly_maximum,
            };
            payment_method::Entity::insert(asked.clone().into_active_model())
                .exec_without_returning(txn)
                .await?;
            Some(asked)
        }
    };
    if let Some(asked) = method.as_ref().filter(|method| settings.enabled && method.consented_at.is_none()) {
        ask(txn, tenant, clock, (&organization, &pool, asked)).await?;
    }
    let rest = at_rest(settings.enabled, method.as_ref().is_some_and(is_usable));
    let after = auto_top_up::Model {
        organization_id: tenant.id(),
        pool_id: id,
        enabled: settings.enabled,
        threshold: settings.threshold,
        package_id: package.row.id,
        monthly_maximum: maximum,
        payment_method_id: method.as_ref().map(|method| method.id),
        set_by: by,
        state: rest,
        purchase_id: None,
        declines: 0,
        retry_at: None,
        last_error: None,
        revision: before.as_ref().map_or(0, |row| row.revision),
        updated_at: now,
    };
    let after = match before.as_ref().filter(|row| row.purchase_id.is_some()) {
        // What is under way comes to its end first.
        Some(under_way) => auto_top_up::Model {
            state: under_way.state,
            purchase_id: under_way.purchase_id,
            declines: under_way.declines,
            last_error: under_way.last_error.clone(),
            ..after
        },
        None => after,
    };
    match &before {
        Some(_) => write_top_up(txn, &after).await?,
        None => {
            let row = after.clone().into_active_model();
            auto_top_up::Entity::insert(row).exec_without_returning(txn).await?;
        }
    }
    be_due(txn, tenant, TOP_UP, id, now).await?;
    if let Some(fixed) = fixed {
        audit::record(txn, tenant, clock, actor, fixed).await?;
    }
    let (was, is) = (before.as_ref().map(facts), facts(&after));
    let change = match was {
        Some(was) => Change::updated("setAutoTopUp", id, was, is),
        None => Change::created("setAutoTopUp", id, is),
    };
    audit::record(txn, tenant, clock, actor, change).await?;
    Ok((after, method))
}

/// What the log says of it.
fn facts(row: &auto_top_up::Model) -> Value {
    json!({
        "enabled": row.enabled,
        "threshold": row.threshold.get(),
        "package": global_id::encode(row.package_id),
        "monthlyMaximumMinor": row.monthly_maximum,
        "paymentMethod": row.payment_method_id.map(global_id::encode),
        "state": row.state.as_str(),
    })
}

/// An amount for people.
pub(super) fn written(minor: i64, currency: Currency) -> String {
    format!("{currency} {}", Decimal::new(minor, currency.exponent()))
}

/// What was agreed to with a way of paying, or is asked for.
fn agreed(method: &payment_method::Model) -> Option<Terms> {
    let (threshold, package) = method.threshold.zip(method.package_id)?;
    Some(Terms { threshold, package, monthly_maximum: method.monthly_maximum })
}

/// What somebody agrees to, word for word.
fn words(
    seller: &str,
    organization: &organization::Model,
    pool: &pool::Model,
    (package, offer, terms): (&str, &Offer, &Terms),
) -> String {
    let limit = match terms.monthly_maximum {
        Some(minor) => format!("and at most {} in a calendar month", written(minor, offer.currency)),
        None => "without a limit by the month".to_owned(),
    };
    format!(
        "{seller} may charge this way of paying without anybody being there, for credits of the pool {} of {}: each time \
         when the pool has {} credits available or fewer, for the package {package} of {} credits, which costs {} now, at \
         the price that holds then, {limit}. This holds while the automatic top-up is switched on, and until this \
         agreement is withdrawn.",
        pool.name,
        organization.name,
        terms.threshold,
        offer.credits,
        written(offer.total, offer.currency)
    )
}

/// How a pool buys by itself; none: it was never set.
pub async fn find_top_up(txn: &Txn, tenant: Tenant, pool: PoolId) -> Result<Option<auto_top_up::Model>> {
    let row = tenant.find::<auto_top_up::Entity>().filter(auto_top_up::Column::PoolId.eq(pool));
    Ok(row.one(txn).await?)
}

/// The same, locked.
pub(super) async fn lock_top_up(
    txn: &Txn,
    tenant: Tenant,
    pool: PoolId,
) -> Result<Option<auto_top_up::Model>> {
    let row = tenant.find::<auto_top_up::Entity>().filter(auto_top_up::Column::PoolId.eq(pool));
    Ok(row.lock_exclusive().one(txn).await?)
}

/// Writes what can change of it. The row is locked.
pub(super) async fn write_top_up(txn: &Txn, row: &auto_top_up::Model) -> Result<()> {
    let row = auto_top_up::ActiveModel {
        organization_id: Unchanged(row.organization_id),
        pool_id: Unchanged(row.pool_id),
        enabled: Set(row.enabled),
        threshold: Set(row.threshold),
        package_id: Set(row.package_id),
        monthly_maximum: Set(row.monthly_maximum),
        payment_method_id: Set(row.payment_method_id),
        set_by: Set(row.set_by),
        state: Set(row.state),
        purchase_id: Set(row.purchase_id),
        declines: Set(row.declines),
        retry_at: Set(row.retry_at),
        last_error: Set(row.last_error.clone()),
        revision: Set(row.revision),
        updated_at: Set(row.updated_at),
    };
    auto_top_up::Entity::update(row).exec_without_returning(txn).await?;
    Ok(())
}

/// The way of paying has been agreed to, or is not to be used any more: what follows for a row that is locked.
pub(super) fn with_consent(row: auto_top_up::Model, consented: bool, now: Timestamp) -> auto_top_up::Model {
    if row.purchase_id.is_some() {
        // It comes to its end first.
        return auto_top_up::Model { updated_at: now, ..row };
    }
    auto_top_up::Model {
        state: at_rest(row.enabled, consented),
        declines: 0,
        retry_at: None,
        last_error: None,
        updated_at: now,
        ..row
    }
}
