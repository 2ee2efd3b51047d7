//! Everything that a document says, in the words and numbers in which it says them.

use bursar_domain::invoice::{DocumentKind, included_taxes};
use bursar_domain::pricing::UnitPrice;
use bursar_domain::{Currency, Timestamp};
use bursar_entity::document;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::profile::TaxLine;
use crate::error::{Error, Result};

/// Everything that a document says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// What it is: `Invoice`.
    pub title: String,
    /// Its number.
    pub number: String,
    /// The day on which it was issued, in UTC.
    pub issued: String,
    /// Who sells.
    pub seller: Party,
    /// Who buys.
    pub buyer: Party,
    /// What the buyer wants to see on each document.
    pub reference: Option<String>,
    /// The buyer's own number of the order.
    pub purchase_order: Option<String>,
    /// The number of the document that it takes back.
    pub corrects: Option<String>,
    /// The day until which it is to be paid, in UTC.
    pub due: Option<String>,
    /// What was sold, or is taken back.
    pub lines: Vec<Line>,
    /// What is left of the total without the taxes.
    pub net: String,
    /// The taxes that are in the total.
    pub taxes: Vec<Tax>,
    /// What it is over.
    pub total: String,
    /// The currency of all amounts.
    pub currency: String,
    /// What else is to be said.
    pub note: Option<String>,
}

/// Who sells or buys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Party {
    /// The name.
    pub name: String,
    /// The postal address, a line each, with the country.
    pub address: Vec<String>,
    /// The number that tax offices know it by.
    pub tax_id: Option<String>,
}

/// What was sold, or is taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// What it is.
    pub text: String,
    /// How many credits; none where a part of a payment is taken back.
    pub credits: Option<String>,
    /// What a credit costs.
    pub unit_price: Option<String>,
    /// What it comes to.
    pub amount: String,
}

/// A tax that is in the total.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tax {
    /// What it is called.
    pub label: String,
    /// Its rate, in percent.
    pub percent: String,
    /// How much of the total it is.
    pub amount: String,
}

impl Content {
    /// What a stored document says.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of(row: &document::Model) -> Result<Content> {
        serde_json::from_str(&row.content)
            .map_err(|error| Error::internal(format!("what a document says: {error}")))
    }

    /// The same, as it is stored.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn written(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::internal(format!("what a document says: {error}")))
    }
}

/// What a document of a kind is called.
pub(super) fn title(kind: DocumentKind) -> &'static str {
    match kind {
        DocumentKind::Receipt => "Receipt",
        DocumentKind::Invoice => "Invoice",
        DocumentKind::CreditNote => "Credit note",
    }
}

/// A party, whose address is given in lines.
pub(super) fn party(name: &str, address: &str, country: Option<&str>, tax_id: Option<&str>) -> Party {
    let lines = address.lines().map(str::trim).filter(|line| !line.is_empty()).chain(country);
    Party {
        name: name.to_owned(),
        address: lines.map(str::to_owned).collect(),
        tax_id: tax_id.map(str::to_owned),
    }
}

/// The net amount and the taxes of a total.
pub(super) fn taxes(total: i64, currency: Currency, lines: &[TaxLine]) -> (String, Vec<Tax>) {
    let rates: Vec<i64> = lines.iter().map(|line| line.hundredths).collect();
    let included = included_taxes(total, &rates);
    let net = total.saturating_sub(included.iter().sum());
    let taxes = lines.iter().zip(included).map(|(line, included)| Tax {
        label: line.label.clone(),
        percent: Decimal::new(line.hundredths, 2).normalize().to_string(),
        amount: amount(included, currency),
    });
    (amount(net, currency), taxes.collect())
}

/// An amount of minor units as people write it.
pub(super) fn amount(minor: i64, currency: Currency) -> String {
    Decimal::new(minor, currency.exponent()).to_string()
}

/// What a credit costs, with as many decimals as it takes and at least those of the currency.
pub(super) fn unit_price(price: UnitPrice, currency: Currency) -> String {
    let decimals = currency.exponent();
    let mut price = Decimal::new(price.get(), decimals + 6).normalize();
    if price.scale() < decimals {
        price.rescale(decimals);
    }
    price.to_string()
}

/// The day of an instant, in UTC.
pub(super) fn day(at: Timestamp) -> String {
    let at = DateTime::<Utc>::from_timestamp_micros(at.micros()).unwrap_or_default();
    at.format("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_with_the_decimals_of_their_currency() {
        let yen = Currency::parse("JPY").unwrap();
        assert_eq!((amount(19_900, Currency::USD), amount(5, yen)), ("199.00".to_owned(), "5".to_owned()));
        let price = |millionths: i64, currency| unit_price(UnitPrice::new(millionths).unwrap(), currency);
        assert_eq!(price(199_000_000, Currency::USD), "1.99");
        assert_eq!(price(200_000_000, Currency::USD), "2.00");
        assert_eq!(price(179_800_000, Currency::USD), "1.798");
        assert_eq!(price(1, Currency::USD), "0.00000001");
        assert_eq!(price(3_500_000, yen), "3.5");
        assert_eq!(day(Timestamp::EPOCH.plus_days(31)), "1970-02-01");
    }

    #[test]
    fn net_and_taxes_are_the_total() {
        let lines = [TaxLine { label: "VAT".to_owned(), hundredths: 1_900 }];
        let (net, taxes) = taxes(11_900, Currency::USD, &lines);
        let vat = Tax { label: "VAT".to_owned(), percent: "19".to_owned(), amount: "19.00".to_owned() };
        assert_eq!((net.as_str(), taxes.as_slice()), ("100.00", [vat].as_slice()));
        assert_eq!(super::taxes(11_900, Currency::USD, &[]), ("119.00".to_owned(), Vec::new()));
    }
}
