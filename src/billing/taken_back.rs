//! The taxes of a document that takes another one back: those that the other one said, whatever the billing details say by
//! now. Else a vendor would owe a tax that the buyer may not deduct.
//!
//! A part has the taxes of its own amount, each rounded. What takes back all that is left has what is left of them, so
//! that the parts add up to what the document said.

use std::collections::BTreeSet;

use bursar_domain::Currency;
use bursar_domain::id::DocumentId;
use bursar_domain::invoice::included_taxes;
use bursar_entity::document;
use rust_decimal::Decimal;
use sea_orm::{ColumnTrait, QueryFilter};

use super::content::{Content, Tax, written_taxes};
use super::profile::TaxLine;
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};

/// The net amount and the taxes of so much of a document that is taken back. The purchase is locked.
pub(super) async fn taxes_back(
    txn: &Txn,
    tenant: Tenant,
    corrected: &document::Model,
    total: i64,
) -> Result<(String, Vec<Tax>)> {
    let currency = corrected.currency;
    let said = Content::of(corrected)?.taxes;
    let lines: Vec<TaxLine> = said.iter().map(line).collect::<Result<_>>()?;
    let rates: Vec<i64> = lines.iter().map(|line| line.hundredths).collect();
    let rows =
        tenant.find::<document::Entity>().filter(document::Column::PurchaseId.eq(corrected.purchase_id));
    let left = left(corrected, &said, &rows.all(txn).await?)?;
    let taxes = match rest(&left, total) {
        Some(rest) => rest,
        None => included_taxes(total, &rates),
    };
    Ok(written_taxes(total, currency, &lines, &taxes))
}

/// What has not been taken back of a document yet, in minor units.
struct Left {
    total: i64,
    /// Of each tax that it said.
    taxes: Vec<i64>,
}

/// What is left of a document, by the other documents of its purchase: less what takes it back, and with what takes that
/// back again.
fn left(corrected: &document::Model, said: &[Tax], rows: &[document::Model]) -> Result<Left> {
    let currency = corrected.currency;
    let amounts = said.iter().map(|tax| number(&tax.amount, currency.exponent()));
    let mut left = Left { total: corrected.total, taxes: amounts.collect::<Result<_>>()? };
    let taken = rows.iter().filter(|row| row.corrects_id == Some(corrected.id));
    let ids: BTreeSet<DocumentId> = taken.clone().map(|row| row.id).collect();
    let again = rows.iter().filter(|row| row.corrects_id.is_some_and(|id| ids.contains(&id)));
    for (row, sign) in taken.map(|row| (row, -1)).chain(again.map(|row| (row, 1))) {
        left.total = left.total.saturating_add(sign * row.total);
        let shares = shares(said, &Content::of(row)?.taxes, currency)?;
        for (tax, share) in left.taxes.iter_mut().zip(shares) {
            *tax = tax.saturating_add(sign * share);
        }
    }
    Ok(left)
}

/// How much of each tax another document has. One from when they were those of its own day may have others.
fn shares(said: &[Tax], taxes: &[Tax], currency: Currency) -> Result<Vec<i64>> {
    let share = |(index, tax): (usize, &Tax)| {
        let same = taxes.get(index).filter(|same| same.label == tax.label && same.percent == tax.percent);
        same.map_or(Ok(0), |same| number(&same.amount, currency.exponent()))
    };
    said.iter().enumerate().map(share).collect()
}

/// What is left of the taxes, when it is all of the rest that is taken back and they are a part of that.
fn rest(left: &Left, total: i64) -> Option<Vec<i64>> {
    let sum = left.taxes.iter().fold(0_i64, |sum, tax| sum.saturating_add(*tax));
    let fits = left.total == total && sum <= total && left.taxes.iter().all(|tax| *tax >= 0);
    fits.then(|| left.taxes.clone())
}

/// A tax as a document says it, as a line of billing details.
fn line(tax: &Tax) -> Result<TaxLine> {
    Ok(TaxLine { label: tax.label.clone(), hundredths: number(&tax.percent, 2)? })
}

/// A written number, in units of so many decimals.
fn number(written: &str, decimals: u32) -> Result<i64> {
    let odd = || Error::internal(format!("a number of a document: {written}"));
    let mut number: Decimal = written.parse().map_err(|_| odd())?;
    number.rescale(decimals);
    i64::try_from(number.mantissa()).map_err(|_| odd())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tax(label: &str, amount: &str) -> Tax {
        Tax { label: label.to_owned(), percent: "19".to_owned(), amount: amount.to_owned() }
    }

    #[test]
    fn numbers_are_read_as_they_were_written() {
        assert_eq!(number("31.77", 2).unwrap(), 3_177);
        assert_eq!((number("19", 2).unwrap(), number("8.25", 2).unwrap()), (1_900, 825));
        assert_eq!((number("5", 0).unwrap(), number("0.001", 3).unwrap()), (5, 1));
        assert!(number("much", 2).is_err());
        let read = line(&tax("VAT", "31.77")).unwrap();
        assert_eq!((read.label.as_str(), read.hundredths), ("VAT", 1_900));
    }

    #[test]
    fn only_the_same_taxes_count() {
        let said = [tax("VAT", "3.18"), tax("City", "1.00")];
        let of = |taxes: &[Tax]| shares(&said, taxes, Currency::USD).unwrap();
        assert_eq!(of(&[tax("VAT", "1.06"), tax("City", "0.33")]), [106, 33]);
        assert_eq!(of(&[tax("Other", "1.06"), tax("City", "0.33")]), [0, 33]);
        assert_eq!(of(&[]), [0, 0]);
    }

    #[test]
    fn the_rest_has_what_is_left() {
        let left = |taxes: &[i64]| Left { total: 664, taxes: taxes.to_vec() };
        assert_eq!(rest(&left(&[106]), 664), Some(vec![106]));
        assert_eq!(rest(&left(&[106]), 663), None, "it is a part");
        assert_eq!(rest(&left(&[665]), 664), None, "more than is taken back");
        assert_eq!(rest(&left(&[-1]), 664), None);
        assert_eq!(rest(&left(&[]), 664), Some(Vec::new()));
    }
}
