//! Everything that a document says, in the words and numbers in which it says them.

use bursar_domain::invoice::{DocumentKind, included_taxes};
use bursar_domain::pricing::UnitPrice;
use bursar_domain::reversal::ReversalKind;
use bursar_domain::{Currency, Timestamp};
use bursar_entity::document;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
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
    /// The day on which it was issued.
    pub issued: String,
    /// The time zone of its days. Documents were issued by UTC before it was written down.
    #[serde(default = "utc")]
    pub zone: String,
    /// Who sells.
    pub seller: Party,
    /// Who buys.
    pub buyer: Party,
    /// What the buyer wants to see on each document.
    pub reference: Option<String>,
    /// The buyer's own number of the order.
    pub purchase_order: Option<String>,
    /// The document that it takes back: what that is, and its number.
    pub corrects: Option<String>,
    /// The invoice that the money is for: what that is, and its number.
    pub pays: Option<String>,
    /// The day on which that money arrived.
    pub received: Option<String>,
    /// Why something is taken back, in words.
    pub reason: Option<String>,
    /// How many credits are taken back.
    pub credits_back: Option<String>,
    /// The reversal that it is for, by which it is found again. Is not shown.
    pub reversal: Option<String>,
    /// The day until which it is to be paid.
    pub due: Option<String>,
    /// What was sold, or is taken back.
    pub lines: Vec<Line>,
    /// What is left of the total without the taxes.
    pub net: String,
    /// The taxes that are in the total.
    pub taxes: Vec<Tax>,
    /// What it is over.
    pub total: String,
    /// What is still to be paid of that invoice.
    pub outstanding: Option<String>,
    /// The currency of all amounts.
    pub currency: String,
    /// What else is to be said. Credit notes said here why something was taken back.
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
    /// How many credits.
    pub credits: Option<String>,
    /// What a credit costs; none where a part of a payment is taken back.
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

    /// What the total is called.
    pub fn total_label(&self) -> &'static str {
        match (&self.credits_back, &self.pays) {
            (Some(_), _) => "Total credited",
            (None, Some(_)) => "Amount received",
            (None, None) => "Total",
        }
    }

    /// What its lines are called.
    pub fn lines_label(&self) -> &'static str {
        match (&self.credits_back, &self.pays) {
            (Some(_), _) => "What is credited",
            (None, Some(_)) => "What was paid for",
            (None, None) => "What was bought",
        }
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

/// Why a credit note is taken back.
pub(super) const REFUND_FAILED: &str =
    "The refund did not reach the buyer, and the credit note is taken back. The credits are there again.";

/// Why a payment is taken back, in words: the vendor's own where there are any. What has none was told by the provider.
pub(super) fn reason(kind: ReversalKind, words: Option<&str>) -> String {
    let why = match kind {
        ReversalKind::Refund => "The payment was refunded.",
        ReversalKind::Dispute => "The payment was disputed, and the bank gave the money back.",
    };
    words.unwrap_or(why).to_owned()
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
    written_taxes(total, currency, lines, &included_taxes(total, &rates))
}

/// The same of taxes whose amounts are known.
pub(super) fn written_taxes(
    total: i64,
    currency: Currency,
    lines: &[TaxLine],
    included: &[i64],
) -> (String, Vec<Tax>) {
    let net = total.saturating_sub(included.iter().sum());
    let taxes = lines.iter().zip(included).map(|(line, included)| Tax {
        label: line.label.clone(),
        percent: Decimal::new(line.hundredths, 2).normalize().to_string(),
        amount: amount(*included, currency),
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

/// The day of an instant where clocks go by a time zone.
pub(super) fn day(at: Timestamp, zone: Tz) -> String {
    let at = DateTime::<Utc>::from_timestamp_micros(at.micros()).unwrap_or_default();
    at.with_timezone(&zone).format("%Y-%m-%d").to_string()
}

fn utc() -> String {
    Tz::UTC.name().to_owned()
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
    }

    #[test]
    fn days_are_those_of_the_time_zone() {
        let midnight = Timestamp::EPOCH.plus_days(31);
        let days = [Tz::UTC, Tz::America__New_York, Tz::Asia__Tokyo].map(|zone| day(midnight, zone));
        assert_eq!(days, ["1970-02-01", "1970-01-31", "1970-02-01"]);
        assert_eq!(day(midnight.plus_seconds(-1), Tz::Asia__Tokyo), "1970-02-01");
    }

    #[test]
    fn documents_of_before_say_what_they_said() {
        let mut stored: serde_json::Value =
            serde_json::from_str(&crate::billing::layout::tests::everything().written().unwrap()).unwrap();
        for since in ["zone", "reason", "creditsBack", "reversal", "pays", "received", "outstanding"] {
            assert!(stored.as_object_mut().unwrap().remove(since).is_some());
        }
        let read: Content = serde_json::from_value(stored).unwrap();
        assert_eq!((read.zone.as_str(), read.issued.as_str()), ("UTC", "2026-01-31"));
    }

    #[test]
    fn reasons_are_words() {
        assert_eq!(reason(ReversalKind::Refund, Some("Too many")), "Too many");
        assert_eq!(reason(ReversalKind::Refund, None), "The payment was refunded.");
        assert!(reason(ReversalKind::Dispute, None).contains("disputed"));
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
