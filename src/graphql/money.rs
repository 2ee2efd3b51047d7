//! Money as clients give it.

use async_graphql::InputObject;
use bursar_domain::pricing::{PARTS, UnitPrice};
use bursar_domain::{Currency, Money};
use rust_decimal::prelude::ToPrimitive;

use super::scalars::{CurrencyCode, Decimal};
use crate::error::Error;

/// The most, in minor units: so that sums of thousands of amounts stay in range.
const MOST: i64 = 1_000_000_000_000_000;

/// An amount of money.
#[derive(InputObject, Clone, Debug)]
pub struct MoneyInput {
    /// The amount, with at most as many decimals as the currency has.
    amount: Decimal,
    /// The currency.
    currency: CurrencyCode,
}

impl MoneyInput {
    /// The amount in whole minor units, which is not below zero. `field` is the part of the input that it is.
    pub fn read(self, field: &str) -> Result<Money, Error> {
        let MoneyInput { amount: Decimal(amount), currency: CurrencyCode(currency) } = self;
        let invalid = |reason: String| Error::invalid(format!("{field}.amount"), reason);
        if amount.is_sign_negative() && !amount.is_zero() {
            return Err(invalid("must not be below zero".to_owned()));
        }
        let unit = 10_i64.checked_pow(currency.exponent()).map(rust_decimal::Decimal::from);
        let minor = unit.and_then(|unit| amount.checked_mul(unit));
        let minor = minor.ok_or_else(|| invalid("is too large".to_owned()))?;
        if !minor.fract().is_zero() {
            return Err(invalid(format!("has more decimals than {currency}")));
        }
        let minor = minor.to_i64().filter(|minor| *minor <= MOST);
        let minor = minor.ok_or_else(|| invalid("is too large".to_owned()))?;
        Ok(Money { minor, currency })
    }
}

/// What one credit costs, with at most six decimals more than the currency has. `field` is the part of the input that
/// it is.
pub fn unit_price(Decimal(amount): Decimal, currency: Currency, field: &str) -> Result<UnitPrice, Error> {
    let unit = 10_i64.checked_pow(currency.exponent()).and_then(|unit| unit.checked_mul(PARTS));
    let parts = unit.and_then(|unit| amount.checked_mul(rust_decimal::Decimal::from(unit)));
    let invalid = |reason: &'static str| Error::invalid(field.to_owned(), reason);
    let parts = parts.ok_or_else(|| invalid("is too large"))?;
    if !parts.fract().is_zero() {
        return Err(invalid("has more than six decimals of the minor unit"));
    }
    let price = parts.to_i64().and_then(UnitPrice::new);
    price.ok_or_else(|| invalid("must be above zero, and not too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_of_a_credit_become_whole_parts() {
        let read = |amount: &str, currency: &str| {
            let amount = Decimal(rust_decimal::Decimal::from_str_exact(amount).unwrap());
            unit_price(amount, Currency::parse(currency).unwrap(), "price").ok().map(UnitPrice::get)
        };
        assert_eq!(read("1.99", "USD"), Some(199_000_000));
        assert_eq!(read("1.79800001", "USD"), Some(179_800_001));
        assert_eq!(read("1.798000001", "USD"), None, "less than a millionth of a cent");
        assert_eq!(read("0.5", "JPY"), Some(500_000));
        for bad in ["0", "-1", "0.00", "99999999999999999"] {
            assert_eq!(read(bad, "USD"), None, "{bad}");
        }
    }

    #[test]
    fn amounts_become_whole_minor_units() {
        let read = |amount: &str, currency: &str| {
            let amount = Decimal(rust_decimal::Decimal::from_str_exact(amount).unwrap());
            let currency = CurrencyCode(Currency::parse(currency).unwrap());
            MoneyInput { amount, currency }.read("cost").ok().map(|money| money.minor)
        };
        assert_eq!(read("199.00", "USD"), Some(19_900));
        assert_eq!(read("199", "USD"), Some(19_900));
        assert_eq!(read("0.10", "USD"), Some(10));
        assert_eq!(read("1.500", "USD"), Some(150), "zeros at the end change nothing");
        assert_eq!(read("5", "JPY"), Some(5));
        assert_eq!(read("10000000000000.00", "USD"), Some(MOST));
        for (amount, currency) in [
            ("-0.01", "USD"),
            ("0.001", "USD"),
            ("0.1", "JPY"),
            ("10000000000000.01", "USD"),
            ("92233720368547758.08", "USD"),
            ("79228162514264337593543950335", "KWD"),
        ] {
            assert_eq!(read(amount, currency), None, "{amount} {currency}");
        }
    }
}
