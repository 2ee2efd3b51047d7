//! Prices: which version of a service or package holds at an instant, and what credits cost.
//!
//! # What so many credits cost
//! Packages, volume tiers and contract prices are all prices per credit from so many credits on. Of those that reach a
//! quantity the lowest counts: so the price per credit never rises with the quantity. A total is the price per credit
//! times the credits, rounded half to even to the minor unit; a package costs what it says.
//!
//! A total is at least one minor unit, however little a credit costs: nothing is for nothing, and no payment can be lower.
//! It never makes a credit dearer for whoever buys more: all quantities that would round to nothing cost the same.
//!
//! # For how long
//! Credits last as long as the price that counts says. Whoever asks for a package gets the package's terms on top: the
//! lowest price for so many credits counts for it too, and its credits last as long as the package says, or longer when
//! that price gives longer ([`PackageTerms`]). The price itself depends on nothing but the quantity.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::{Credits, Timestamp};

/// How many parts of a minor unit a price per credit is told in.
pub const PARTS: i64 = 1_000_000;
/// The most credits of one purchase.
pub const MAX_PURCHASE: Credits = match Credits::new(1_000_000_000) {
    Some(credits) => credits,
    None => Credits::ZERO,
};
/// The highest total of one purchase, in minor units: sums of thousands stay in range.
pub const MAX_TOTAL: i64 = 1_000_000_000_000_000;

/// The largest quantity of one line of a charge.
pub const MAX_QUANTITY: i64 = 1_000_000;
/// The most lines that one charge may have.
pub const MAX_LINES: usize = 100;

/// Of the versions of many things, for each thing the one that holds at `at`: the one that began last,
/// among those that have begun. `thing` says what a version is of, `begins` from when it holds.
pub fn versions_at<K: Ord, V>(
    versions: impl IntoIterator<Item = V>,
    thing: impl Fn(&V) -> K,
    begins: impl Fn(&V) -> Timestamp,
    at: Timestamp,
) -> BTreeMap<K, V> {
    let mut current: BTreeMap<K, V> = BTreeMap::new();
    for version in versions.into_iter().filter(|version| begins(version) <= at) {
        let key = thing(&version);
        if current.get(&key).is_none_or(|known| begins(known) < begins(&version)) {
            current.insert(key, version);
        }
    }
    current
}

/// What a quantity costs at a price per unit; `None` when the quantity is not in
/// `1..=`[`MAX_QUANTITY`] or the product is above [`Credits::MAX`].
pub fn line_credits(each: Credits, quantity: i64) -> Option<Credits> {
    if !(1..=MAX_QUANTITY).contains(&quantity) {
        return None;
    }
    each.checked_mul(quantity)
}

/// What a credit costs, in millionths of a minor unit. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitPrice(i64);

integer_column!(UnitPrice, "unit price", UnitPrice::new, UnitPrice::get);

impl UnitPrice {
    /// So many millionths of a minor unit; `None` when that is not above zero, or too much for any total.
    pub const fn new(millionths: i64) -> Option<UnitPrice> {
        if millionths < 1 || millionths > MAX_TOTAL { None } else { Some(UnitPrice(millionths)) }
    }

    /// The price per credit of so many credits for a total, rounded half to even.
    pub fn of(total: i64, credits: Credits) -> Option<UnitPrice> {
        let product = i128::from(total).checked_mul(i128::from(PARTS))?;
        UnitPrice::new(half_even(product, i128::from(credits.get()))?)
    }

    /// Millionths of a minor unit.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// What so many credits cost, rounded half to even. At least one minor unit: what would round to nothing costs that, since
    /// nothing is for nothing and no payment can be lower. `None` above [`MAX_TOTAL`].
    pub fn total(self, credits: Credits) -> Option<i64> {
        let product = i128::from(self.0) * i128::from(credits.get());
        let total = half_even(product, i128::from(PARTS))?.max(1);
        (total <= MAX_TOTAL).then_some(total)
    }
}

/// A quotient rounded half to even; `None` when it is out of range. The divisor is above zero.
fn half_even(product: i128, divisor: i128) -> Option<i64> {
    if divisor <= 0 {
        return None;
    }
    let (quotient, remainder) = (product.div_euclid(divisor), product.rem_euclid(divisor));
    let rounded = match (remainder * 2).cmp(&divisor) {
        std::cmp::Ordering::Less => quotient,
        std::cmp::Ordering::Greater => quotient + 1,
        std::cmp::Ordering::Equal => quotient + (quotient & 1),
    };
    i64::try_from(rounded).ok()
}

string_enum! {
    /// Where a price comes from. Of equal prices the first counts.
    PriceBasis {
        /// The vendor's answer to a quote request.
        Quote = "QUOTE",
        /// Agreed on with the organization.
        Contract = "CONTRACT",
        /// A package, or its price per credit.
        Package = "PACKAGE",
        /// A volume tier.
        Volume = "VOLUME",
    }
}

string_enum! {
    /// Where a quote stands that the vendor was asked for.
    QuoteState {
        /// Nobody has answered yet.
        Requested = "REQUESTED",
        /// There is a price; it can be bought as long as that holds.
        Answered = "ANSWERED",
        /// The vendor does not sell so many.
        Declined = "DECLINED",
        /// It was bought.
        Used = "USED",
        /// The organization wants none any longer.
        Withdrawn = "WITHDRAWN",
        /// Nobody has answered in time, or the price holds no more.
        Expired = "EXPIRED",
    }
}

impl QuoteState {
    /// Whether the organization may withdraw it: nothing has become of it yet.
    pub const fn can_be_withdrawn(self) -> bool {
        matches!(self, QuoteState::Requested | QuoteState::Answered)
    }
}

/// A price that may count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where it comes from.
    pub basis: PriceBasis,
    /// From how many credits on.
    pub from: Credits,
    /// What a credit costs.
    pub unit: UnitPrice,
    /// What exactly `from` credits cost, when that is a price of its own: a package's.
    pub exact: Option<i64>,
    /// For how many days the credits can be used; none: for ever.
    pub lifetime_days: Option<i64>,
    /// What it is called: the package's code, say.
    pub label: String,
}

/// All prices of an organization in one currency at an instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceBook {
    /// Prices that may count.
    pub candidates: Vec<Candidate>,
    /// From how many credits on there is no price but one agreed on with the customer.
    pub custom_from: Option<Credits>,
}

/// What whoever asks for a package is sure of, whatever price counts for it: so many credits, for at least so long. A
/// cheaper tier or contract makes the price lower, never the lifetime shorter. What has these terms is the package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackageTerms {
    /// How many credits.
    pub credits: Credits,
    /// For how many days they can be used at least; none: for ever.
    pub lifetime_days: Option<i64>,
}

impl PackageTerms {
    /// Whether so many credits for so long are the package.
    pub fn are_met(self, credits: Credits, lifetime_days: Option<i64>) -> bool {
        credits == self.credits && longer(lifetime_days, self.lifetime_days) == lifetime_days
    }
}

/// The longer one of two lifetimes in days; none is for ever.
fn longer(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.zip(other).map(|(one, other)| one.max(other))
}

/// What so many credits cost, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Priced {
    /// How many credits.
    pub credits: Credits,
    /// The price that counts.
    pub chosen: Candidate,
    /// What they cost together, in minor units.
    pub total: i64,
    /// For how many days they can be used; none: for ever. That of the price that counts, but for a package.
    pub lifetime_days: Option<i64>,
    /// All prices that reach the quantity, the one that counts first.
    pub considered: Vec<Candidate>,
}

/// Why credits have no price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PriceRefusal {
    /// None, or more than [`MAX_PURCHASE`] (or [`MAX_TOTAL`]).
    OutOfRange,
    /// There is no price for so few, or none in the currency.
    NotAvailable,
    /// So many are sold at a price agreed on with the customer: the vendor has to be asked.
    QuoteRequired {
        /// From how many credits on.
        from: Credits,
    },
}

/// What an answer to a quote request must not exceed, so that the price of a credit does not rise with the quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuoteRefusal {
    /// The total is below one minor unit or above [`MAX_TOTAL`], or makes no price of a credit.
    OutOfRange,
    /// So many credits, or fewer, can be bought without a quote at a lower price of a credit.
    PriceRises {
        /// The most that they may cost together, in minor units.
        highest: i64,
    },
}

impl PriceBook {
    /// The lowest price of a credit that up to so many can be bought at without a quote.
    pub fn lowest_up_to(&self, credits: Credits) -> Option<&Candidate> {
        let contract = |one: &Candidate| one.basis == PriceBasis::Contract && one.from <= credits;
        let agreed = self.candidates.iter().any(contract);
        // Without a contract nothing counts that begins where the vendor has to be asked.
        let asked = |from: Credits| !agreed && self.custom_from.is_some_and(|custom| custom <= from);
        let sold = self.candidates.iter().filter(|one| one.from <= credits && !asked(one.from));
        sold.min_by_key(|one| (one.unit, one.basis, Reverse(one.from)))
    }

    /// What a credit costs when so many are quoted at a total, in minor units.
    ///
    /// # Errors
    /// When it would cost more than a credit costs whoever buys fewer.
    pub fn quoted(&self, credits: Credits, total: i64) -> Result<UnitPrice, QuoteRefusal> {
        let in_range = Some(total).filter(|total| (1..=MAX_TOTAL).contains(total));
        let unit =
            in_range.and_then(|total| UnitPrice::of(total, credits)).ok_or(QuoteRefusal::OutOfRange)?;
        let Some(lowest) = self.lowest_up_to(credits) else { return Ok(unit) };
        match lowest.unit.total(credits) {
            Some(highest) if total > highest => Err(QuoteRefusal::PriceRises { highest }),
            // A total that was rounded up makes no dearer credit.
            _ => Ok(unit.min(lowest.unit)),
        }
    }

    /// What so many credits cost.
    ///
    /// # Errors
    /// Why they have no price.
    pub fn price(&self, credits: Credits) -> Result<Priced, PriceRefusal> {
        if credits.is_zero() || credits > MAX_PURCHASE {
            return Err(PriceRefusal::OutOfRange);
        }
        let reaching = self.candidates.iter().filter(|candidate| candidate.from <= credits);
        let mut considered: Vec<Candidate> = reaching.cloned().collect();
        let agreed = considered.iter().any(|candidate| candidate.basis == PriceBasis::Contract);
        if let Some(from) = self.custom_from.filter(|from| *from <= credits && !agreed) {
            return Err(PriceRefusal::QuoteRequired { from });
        }
        considered.sort_by_key(|one| (one.unit, one.basis, Reverse(one.from)));
        let chosen = considered.first().cloned().ok_or(PriceRefusal::NotAvailable)?;
        let exact = chosen.exact.filter(|_| chosen.from == credits);
        let total = exact.or_else(|| chosen.unit.total(credits)).ok_or(PriceRefusal::OutOfRange)?;
        let lifetime_days = chosen.lifetime_days;
        Ok(Priced { credits, chosen, total, lifetime_days, considered })
    }

    /// What a package costs: as much as so many credits do, for at least as long as the package says.
    ///
    /// # Errors
    /// Those of [`PriceBook::price`].
    pub fn price_package(&self, terms: PackageTerms) -> Result<Priced, PriceRefusal> {
        let priced = self.price(terms.credits)?;
        Ok(Priced { lifetime_days: longer(priced.lifetime_days, terms.lifetime_days), ..priced })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_begun_version_holds() {
        // Thing, and from when.
        let versions = [("a", 10), ("a", 30), ("b", 25), ("a", 20)];
        let at = |t| {
            let begins = |version: &(&str, i64)| Timestamp::from_micros(version.1);
            let current = versions_at(versions, |version| version.0, begins, Timestamp::from_micros(t));
            current.into_values().map(|version| version.1).collect::<Vec<_>>()
        };
        assert!(at(9).is_empty());
        assert_eq!(at(10), [10]);
        assert_eq!(at(29), [20, 25]);
        assert_eq!(at(31), [30, 25]);
    }

    #[test]
    fn quantities_have_bounds() {
        let three = Credits::new(3).unwrap();
        assert_eq!(line_credits(three, 2), Credits::new(6));
        assert_eq!(line_credits(three, 0), None);
        assert_eq!(line_credits(three, -1), None);
        assert_eq!(line_credits(three, MAX_QUANTITY + 1), None);
        assert_eq!(line_credits(Credits::MAX, 2), None);
    }
}
