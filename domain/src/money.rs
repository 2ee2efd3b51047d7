//! Money: whole minor units of an ISO 4217 currency, never a fraction of one, never a float.

/// An ISO 4217 alphabetic currency code, one of those that Bursar knows the minor unit of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// Known currencies and how many decimal digits their minor unit has (ISO 4217, list one).
const CURRENCIES: &[(&[u8; 3], u32)] = &[
    (b"AED", 2),
    (b"AUD", 2),
    (b"BHD", 3),
    (b"BRL", 2),
    (b"CAD", 2),
    (b"CHF", 2),
    (b"CLP", 0),
    (b"CNY", 2),
    (b"COP", 2),
    (b"CZK", 2),
    (b"DKK", 2),
    (b"EUR", 2),
    (b"GBP", 2),
    (b"HKD", 2),
    (b"HUF", 2),
    (b"IDR", 2),
    (b"ILS", 2),
    (b"INR", 2),
    (b"ISK", 0),
    (b"JOD", 3),
    (b"JPY", 0),
    (b"KRW", 0),
    (b"KWD", 3),
    (b"MXN", 2),
    (b"MYR", 2),
    (b"NOK", 2),
    (b"NZD", 2),
    (b"OMR", 3),
    (b"PHP", 2),
    (b"PLN", 2),
    (b"QAR", 2),
    (b"RON", 2),
    (b"SAR", 2),
    (b"SEK", 2),
    (b"SGD", 2),
    (b"THB", 2),
    (b"TND", 3),
    (b"TRY", 2),
    (b"TWD", 2),
    (b"UAH", 2),
    (b"USD", 2),
    (b"VND", 0),
    (b"ZAR", 2),
];

impl Currency {
    /// United States dollar, the currency of the shipped prices.
    pub const USD: Currency = Currency(*b"USD");

    /// The currency of a three-letter upper-case code, or `None` when it is not known.
    pub fn parse(code: &str) -> Option<Currency> {
        CURRENCIES
            .iter()
            .find(|(known, _)| known.as_slice() == code.as_bytes())
            .map(|(known, _)| Currency(**known))
    }

    /// The three-letter code.
    pub fn code(&self) -> &str {
        // Only ASCII letters get in (see `CURRENCIES`), so the fallback is never taken.
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }

    /// How many decimal digits the minor unit has: 2 for USD, 0 for JPY.
    pub fn exponent(&self) -> u32 {
        CURRENCIES.iter().find(|(known, _)| **known == self.0).map_or(2, |(_, exponent)| *exponent)
    }
}

impl std::fmt::Debug for Currency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

impl std::fmt::Display for Currency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

text_column!(Currency, "currency", Currency::parse, Currency::code);

/// An amount of money in whole minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Money {
    /// Whole minor units (cents of a dollar).
    pub minor: i64,
    /// The currency that the minor units belong to.
    pub currency: Currency,
}

/// The currency's code, and the amount with as many decimals as the currency has: `USD 3596.00`.
impl std::fmt::Display for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (decimals, sign) = (self.currency.exponent() as usize, if self.minor < 0 { "-" } else { "" });
        let digits = format!("{:0width$}", self.minor.unsigned_abs(), width = decimals + 1);
        let (whole, part) = digits.split_at(digits.len() - decimals);
        let point = if decimals == 0 { "" } else { "." };
        write!(f, "{} {sign}{whole}{point}{part}", self.currency)
    }
}

/// The share of `cost` that goes with `part` of `whole` credits: `cost x part / whole`, rounded half
/// to even. What stays is `cost` less this share, so that a cost that is moved in pieces adds up to
/// the minor unit. `part` must lie in `0..=whole`; a `whole` of zero carries nothing.
pub fn cost_share(cost: i64, part: i64, whole: i64) -> i64 {
    if whole <= 0 {
        return 0;
    }
    let (product, divisor) = (i128::from(cost) * i128::from(part), i128::from(whole));
    let (quotient, remainder) = (product.div_euclid(divisor), product.rem_euclid(divisor));
    let rounded = match (remainder * 2).cmp(&divisor) {
        std::cmp::Ordering::Less => quotient,
        std::cmp::Ordering::Greater => quotient + 1,
        std::cmp::Ordering::Equal => quotient + (quotient & 1),
    };
    // |rounded| <= |cost| because part <= whole.
    rounded as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_written_with_its_decimals() {
        let written = |minor, currency: &str| {
            let currency = Currency::parse(currency).unwrap();
            Money { minor, currency }.to_string()
        };
        assert_eq!(written(359_600, "USD"), "USD 3596.00");
        assert_eq!(written(5, "USD"), "USD 0.05");
        assert_eq!(written(-1_234, "EUR"), "EUR -12.34");
        assert_eq!(written(1_234, "JPY"), "JPY 1234");
    }

    #[test]
    fn shares_round_half_to_even() {
        assert_eq!(cost_share(5, 1, 2), 2);
        assert_eq!(cost_share(7, 1, 2), 4);
        assert_eq!(cost_share(10, 1, 3), 3);
        assert_eq!(cost_share(10, 2, 3), 7);
        assert_eq!(cost_share(19_900, 40, 100), 7_960);
        assert_eq!(cost_share(i64::MAX, i64::MAX, i64::MAX), i64::MAX);
        assert_eq!(cost_share(10, 0, 3), 0);
        assert_eq!(cost_share(10, 0, 0), 0);
    }

    #[test]
    fn a_cost_moved_in_pieces_adds_up() {
        for (cost, credits) in [(19_900, 100), (89_900, 500), (1, 7), (999, 1000)] {
            let (mut left, mut moved) = (cost, 0);
            for remaining in (1..=credits).rev() {
                let share = cost_share(left, 1, remaining);
                left -= share;
                moved += share;
            }
            assert_eq!((left, moved), (0, cost));
        }
    }

    #[test]
    fn currencies_are_known_or_refused() {
        assert_eq!(Currency::parse("USD"), Some(Currency::USD));
        assert_eq!(Currency::parse("JPY").map(|c| c.exponent()), Some(0));
        assert_eq!(Currency::parse("KWD").map(|c| c.exponent()), Some(3));
        assert_eq!(Currency::parse("usd"), None);
        assert_eq!(Currency::parse("ZZZ"), None);
        assert_eq!(Currency::parse(""), None);
    }
}
