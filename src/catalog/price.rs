//! What so many credits cost an organization, and why: all prices that may count, and an offer that says which does.

use bursar_domain::id::{PoolId, QuoteId};
use bursar_domain::pricing::{
    Candidate, MAX_PURCHASE, PriceBasis, PriceBook, PriceRefusal, QuoteState, UnitPrice,
};
use bursar_domain::{Credits, Currency, Timestamp};
use bursar_entity::{organization, quote};
use sea_orm::{EntityTrait, Set, Unchanged};
use serde_json::json;

use super::token::of_token;
use super::{Package, Pinned, contracts, packages, quotes, tiers};
use crate::audit::Change;
use crate::auth::{Actor, Keys};
use crate::clock::Clock;
use crate::db::{Tenant, Txn};
use crate::error::{Conflict, Error, Result};

/// For how many days a price holds: as long as an approval may take (7 days), and 72 hours more.
pub const VALID_DAYS: i64 = 10;

/// What is to be bought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Buying {
    /// A package, by its code.
    Package(String),
    /// So many credits.
    Credits(Credits),
    /// What the vendor has answered a quote request with.
    Quote(QuoteId),
    /// What was told to cost so much, at that price.
    Quoted {
        /// The token, as it was told.
        token: String,
        /// What it says; none: it was not written here.
        pinned: Option<Box<Pinned>>,
    },
}

impl Buying {
    /// What a quote token says. Whether it is good is found out by whoever prices it.
    pub fn quoted(keys: &Keys, token: String) -> Buying {
        Buying::Quoted { pinned: Pinned::read(keys, &token).map(Box::new), token }
    }

    /// The field of an input that says it.
    pub const fn field(&self) -> &'static str {
        match self {
            Buying::Package(_) => "package",
            Buying::Credits(_) => "credits",
            Buying::Quote(_) => "quoteId",
            Buying::Quoted { .. } => "quoteToken",
        }
    }
}

/// What something costs, priced at an instant.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The package that is bought, or the nearest one.
    pub package: Package,
    /// How many credits.
    pub credits: Credits,
    /// What a credit costs.
    pub unit_price: UnitPrice,
    /// What they cost together, in minor units.
    pub total: i64,
    /// The currency.
    pub currency: Currency,
    /// For how many days the credits can be used once paid; none: for ever.
    pub lifetime_days: Option<i64>,
    /// Where the price comes from.
    pub basis: PriceBasis,
    /// The vendor's answer that it is.
    pub quote: Option<QuoteId>,
    /// All prices that reach the quantity, the one that counts first.
    pub considered: Vec<Candidate>,
    /// Until when a purchase has the price.
    pub valid_until: Timestamp,
}

impl Offer {
    /// Whether it is a whole package, at whatever price.
    pub fn is_package(&self) -> bool {
        self.package.is_bought(self.basis, self.credits, self.lifetime_days)
    }

    /// Why this price counts, as a sentence.
    pub fn explanation(&self) -> String {
        let Some(chosen) = self.considered.first() else { return String::new() };
        let (from, label) = (chosen.from, &chosen.label);
        let what = match self.basis {
            PriceBasis::Quote => {
                return "The vendor has answered a quote request with this price.".to_owned();
            }
            PriceBasis::Contract => format!("The contract's price from {from} credits on"),
            PriceBasis::Package if chosen.exact.is_some() && from == self.credits => {
                format!("The price of the package {label}")
            }
            PriceBasis::Package => format!("The price per credit of the package {label}"),
            PriceBasis::Volume => format!("The volume price from {from} credits on"),
        };
        let why = match self.considered.len() {
            1 => format!("{what} is the only one for so many."),
            prices => format!("{what} is the lowest of {prices} for so many."),
        };
        if self.lifetime_days == chosen.lifetime_days {
            return why;
        }
        format!(
            "{why} The credits can be used for as long as those of the package {}.",
            self.package.row.code
        )
    }
}

/// What is bought, priced now. A quote is locked: whoever buys it is the only one.
///
/// # Errors
/// What is not there; why there is no price, named by [`Buying::field`]; a currency that is not the organization's.
pub async fn offer(
    txn: &Txn,
    tenant: Tenant,
    organization: &organization::Model,
    pool: PoolId,
    buying: &Buying,
    wanted: Option<Currency>,
    now: Timestamp,
) -> Result<Offer> {
    if let Buying::Quote(id) = buying {
        quotes::lock(txn, tenant, *id).await?;
    }
    preview(txn, tenant, organization, pool, buying, wanted, now).await
}

/// The same for whoever only asks: nothing is locked.
///
/// # Errors
/// Those of [`offer`].
pub async fn preview(
    txn: &Txn,
    tenant: Tenant,
    organization: &organization::Model,
    pool: PoolId,
    buying: &Buying,
    wanted: Option<Currency>,
    now: Timestamp,
) -> Result<Offer> {
    let packages = packages(txn, now).await?;
    let currency = currency(organization, wanted)?;
    let field = buying.field();
    let (credits, asked) = match buying {
        Buying::Quote(id) => {
            let row = quotes::find(txn, tenant, pool, *id).await?;
            return of_quote(&row, &packages, wanted, now);
        }
        Buying::Quoted { pinned, .. } => {
            return of_token(txn, tenant, organization, pinned.as_deref(), (wanted, now)).await;
        }
        Buying::Package(code) => {
            let package = packages.iter().find(|package| package.row.code == *code);
            let package = package.ok_or_else(|| Error::not_found("package").at(field))?;
            if !package.version.custom_price && package.price(currency).is_none() {
                let reason = format!("{} has no price in {currency}.", package.row.name);
                return Err(Error::conflict(Conflict::PriceNotAvailable, field, reason));
            }
            (package.version.credits, Some(package))
        }
        Buying::Credits(credits) => (*credits, None),
    };
    let book = book(txn, tenant, &packages, (currency, now)).await?;
    let priced = match asked {
        Some(package) => book.price_package(package.terms()),
        None => book.price(credits),
    };
    let priced = priced.map_err(|refusal| refused(refusal, field, currency))?;
    let chosen = &priced.chosen;
    let named = packages
        .iter()
        .find(|package| chosen.basis == PriceBasis::Package && package.row.code == chosen.label);
    let package = asked.or(named).or_else(|| nearest(&packages, credits));
    Ok(Offer {
        package: package.cloned().ok_or_else(|| no_package(field))?,
        credits,
        unit_price: chosen.unit,
        total: priced.total,
        currency,
        lifetime_days: priced.lifetime_days,
        basis: chosen.basis,
        quote: None,
        considered: priced.considered,
        valid_until: now.plus_days(VALID_DAYS),
    })
}

/// What the vendor has answered, as long as it holds and nobody has bought it.
fn of_quote(
    row: &quote::Model,
    packages: &[Package],
    wanted: Option<Currency>,
    now: Timestamp,
) -> Result<Offer> {
    if wanted.is_some_and(|wanted| wanted != row.currency) {
        return Err(Error::invalid("currency", format!("is {} in the quote", row.currency)));
    }
    let expired = || Error::conflict(Conflict::QuoteExpired, "quoteId", "The quote is no longer valid.");
    let reason = match row.state {
        QuoteState::Answered => None,
        QuoteState::Expired => return Err(expired()),
        QuoteState::Withdrawn => Some("The quote has been withdrawn."),
        QuoteState::Requested => Some("The quote request has not been answered yet."),
        QuoteState::Declined => Some("The quote request was declined."),
        QuoteState::Used => Some("The quote has been bought already."),
    };
    if let Some(reason) = reason {
        return Err(Error::conflict(Conflict::State, "quoteId", reason));
    }
    let (Some(unit_price), Some(total), Some(until)) = (row.unit_price, row.total, row.valid_until) else {
        return Err(Error::internal("a quote was answered without a price"));
    };
    if until <= now {
        return Err(expired());
    }
    let candidate = Candidate {
        basis: PriceBasis::Quote,
        from: row.credits,
        unit: unit_price,
        exact: Some(total),
        lifetime_days: row.lifetime_days,
        label: "Quote".to_owned(),
    };
    Ok(Offer {
        package: nearest(packages, row.credits).cloned().ok_or_else(|| no_package("quoteId"))?,
        credits: row.credits,
        unit_price,
        total,
        currency: row.currency,
        lifetime_days: row.lifetime_days,
        basis: PriceBasis::Quote,
        quote: Some(row.id),
        considered: vec![candidate],
        valid_until: until.max(now.plus_days(VALID_DAYS)),
    })
}

/// Of the packages with at most so many credits the largest, or else the smallest.
fn nearest(packages: &[Package], credits: Credits) -> Option<&Package> {
    let within = packages.iter().filter(|package| package.version.credits <= credits);
    let largest = within.max_by_key(|package| package.version.credits);
    largest.or_else(|| packages.iter().min_by_key(|package| package.version.credits))
}

fn no_package(field: &'static str) -> Error {
    Error::conflict(Conflict::PriceNotAvailable, field, "Nothing is for sale.")
}

/// Why there is no price, as an error of the field that asked for one.
fn refused(refusal: PriceRefusal, field: &'static str, currency: Currency) -> Error {
    match refusal {
        PriceRefusal::OutOfRange => {
            let reason = format!("must be from 1 to {MAX_PURCHASE}, at a total that can be paid");
            Error::invalid(field, reason)
        }
        PriceRefusal::NotAvailable => {
            let reason = format!("There is no price in {currency} for so few credits.");
            Error::conflict(Conflict::PriceNotAvailable, field, reason)
        }
        PriceRefusal::QuoteRequired { from } => {
            let reason =
                format!("From {from} credits on the price is agreed on with each customer. Ask for a quote.");
            Error::conflict(Conflict::QuoteRequired, field, reason)
        }
    }
}

/// The currency that an organization pays in: the one that is fixed, or the one that is wanted, or the dollar.
///
/// # Errors
/// At `currency` when another one is wanted than is fixed.
pub fn currency(organization: &organization::Model, wanted: Option<Currency>) -> Result<Currency> {
    match (organization.currency, wanted) {
        (Some(fixed), Some(wanted)) if fixed != wanted => {
            Err(Error::invalid("currency", format!("is fixed at {fixed} since the first quote")))
        }
        (Some(currency), _) | (None, Some(currency)) => Ok(currency),
        (None, None) => Ok(Currency::USD),
    }
}

/// Fixes the currency of an organization, which is locked, unless that has been done. What is answered has to be
/// recorded in the same transaction, once nothing more is to be locked.
pub async fn fix_currency(
    txn: &Txn,
    tenant: Tenant,
    _clock: &Clock,
    _actor: &Actor,
    organization: &organization::Model,
    currency: Currency,
) -> Result<Option<Change>> {
    if organization.currency.is_some() {
        return Ok(None);
    }
    let row = organization::ActiveModel {
        id: Unchanged(tenant.id()),
        currency: Set(Some(currency)),
        ..Default::default()
    };
    organization::Entity::update(row).exec_without_returning(txn).await?;
    let (was, is) = (json!({ "currency": null }), json!({ "currency": currency.code() }));
    Ok(Some(Change::updated("fixCurrency", tenant.id(), was, is)))
}

/// All prices of an organization in a currency at an instant.
pub async fn price_book(txn: &Txn, tenant: Tenant, currency: Currency, at: Timestamp) -> Result<PriceBook> {
    let packages = packages(txn, at).await?;
    book(txn, tenant, &packages, (currency, at)).await
}

async fn book(
    txn: &Txn,
    tenant: Tenant,
    packages: &[Package],
    (currency, at): (Currency, Timestamp),
) -> Result<PriceBook> {
    let custom = packages.iter().filter(|package| package.version.custom_price);
    let custom_from = custom.map(|package| package.version.credits).min();
    let of_package = |package: &Package| {
        let (from, total) = (package.version.credits, package.price(currency)?);
        Some(Candidate {
            basis: PriceBasis::Package,
            from,
            unit: UnitPrice::of(total, from)?,
            exact: Some(total),
            lifetime_days: package.version.lifetime_days,
            label: package.row.code.clone(),
        })
    };
    let priced = packages.iter().filter(|package| !package.version.custom_price);
    let mut candidates: Vec<Candidate> = priced.filter_map(of_package).collect();
    let volume = tiers::tiers(txn, currency, at).await?.into_iter().map(|tier| Candidate {
        basis: PriceBasis::Volume,
        from: tier.from_credits,
        unit: tier.unit_price,
        exact: None,
        lifetime_days: tier.lifetime_days,
        label: format!("Volume price from {} credits", tier.from_credits),
    });
    candidates.extend(volume);
    let agreed = contracts::holding(txn, tenant, currency, at).await?.into_iter().map(|row| Candidate {
        basis: PriceBasis::Contract,
        from: row.from_credits,
        unit: row.unit_price,
        exact: None,
        lifetime_days: row.lifetime_days,
        label: format!("Contract price from {} credits", row.from_credits),
    });
    candidates.extend(agreed);
    Ok(PriceBook { candidates, custom_from })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar_domain::id::{Id, OrganizationId};
    use bursar_domain::organization::{OrganizationState, PaymentTerms};

    #[test]
    fn a_currency_is_fixed_once() {
        let organization = |currency| organization::Model {
            id: OrganizationId::from_u128(1),
            slug: String::new(),
            name: String::new(),
            time_zone: "UTC".to_owned(),
            currency,
            state: OrganizationState::Active,
            payment_terms: PaymentTerms::Prepaid,
            credit_limit: None,
            created_at: Timestamp::EPOCH,
            revision: 1,
            sandbox_of: None,
        };
        let euro = Currency::parse("EUR");
        let is = |fixed, wanted| currency(&organization(fixed), wanted).ok();
        assert_eq!(is(None, None), Some(Currency::USD));
        assert_eq!(is(None, euro), euro);
        assert_eq!(is(euro, None), euro);
        assert_eq!(is(euro, euro), euro);
        assert_eq!(is(euro, Some(Currency::USD)), None);
    }
}
