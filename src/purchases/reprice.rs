//! The price of a purchase at the moment when somebody begins to pay for it: it may have fallen since it was pinned.

use bursar_domain::Timestamp;
use bursar_domain::pricing::PriceBasis;
use bursar_entity::{organization, purchase};
use serde_json::Value;

use super::checkout::is_package;
use crate::catalog::{self, Buying, Package};
use crate::clock::Clock;
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};

/// The purchase at the price of this moment, when that is lower than the one that is pinned; else as it is. Nothing else
/// of it may change by that: the same credits, for as long. What the vendor has quoted costs what was quoted.
pub(super) async fn repriced(
    txn: &Txn,
    (tenant, organization): (Tenant, &organization::Model),
    clock: &Clock,
    purchase: &purchase::Model,
) -> Result<purchase::Model> {
    if purchase.price_basis == PriceBasis::Quote {
        return Ok(purchase.clone());
    }
    let now = clock.now();
    let (buying, currency) = (as_bought(txn, purchase, now).await?, Some(purchase.currency));
    let offer = catalog::offer(txn, tenant, organization, purchase.pool_id, &buying, currency, now).await;
    let offer = match offer {
        Ok(offer) => offer,
        // There is no price any more: the pinned one holds.
        Err(Error::Conflict { .. } | Error::Invalid { .. } | Error::NotFound { .. }) => {
            return Ok(purchase.clone());
        }
        Err(error) => return Err(error),
    };
    let alike = offer.credits == purchase.credits
        && offer.currency == purchase.currency
        && offer.lifetime_days == purchase.lifetime_days;
    if !alike || offer.total >= purchase.total {
        return Ok(purchase.clone());
    }
    Ok(purchase::Model {
        package_version_id: offer.package.version.id,
        total: offer.total,
        unit_price: offer.unit_price,
        price_basis: offer.basis,
        ..purchase.clone()
    })
}

/// What is asked for when the same is to be bought as before: as many credits. A package stays that package, with its terms,
/// as long as it has so many credits.
pub(super) async fn as_bought(txn: &Txn, purchase: &purchase::Model, now: Timestamp) -> Result<Buying> {
    let credits = Buying::Credits(purchase.credits);
    let bought = catalog::package_of_version(txn, purchase.package_version_id).await?;
    let Some(bought) = bought.filter(|package| is_package(purchase, package)) else { return Ok(credits) };
    // A version of today with other credits is something else.
    let is_same =
        |today: &Package| today.row.id == bought.row.id && today.version.credits == purchase.credits;
    let is_still_sold = catalog::packages(txn, now).await?.iter().any(is_same);
    Ok(if is_still_sold { Buying::Package(bought.row.code) } else { credits })
}

/// Adds the price to what the audit log says, when it has changed.
pub(super) fn told_price(
    before: &purchase::Model,
    after: &purchase::Model,
    (mut was, mut is): (Value, Value),
) -> (Value, Value) {
    if before.total != after.total {
        for (facts, row) in [(&mut was, before), (&mut is, after)] {
            facts["totalMinor"] = row.total.into();
            facts["priceBasis"] = row.price_basis.as_str().into();
        }
    }
    (was, is)
}
