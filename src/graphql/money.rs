//! Money as clients give it.

use async_graphql::InputObject;
use bursar_domain::Money;
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

#[cfg(test)]
mod tests {
    use super::*;
    use bursar_domain::Currency;

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
