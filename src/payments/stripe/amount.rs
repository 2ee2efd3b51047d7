//! Amounts as Stripe counts them: our minor units, with three exceptions of its own.
//!
//! Of the krona, which has no smaller unit any more, it still counts hundredths, and takes whole kronur only. Of
//! currencies with thousandths the last digit has to be 0.

use bursar_domain::{Currency, Money};

/// How many of Stripe's units make one minor unit, and of what its amounts have to be a multiple.
fn scale(currency: Currency) -> (i64, i64) {
    match (currency.code(), currency.exponent()) {
        ("ISK", _) => (100, 100),
        (_, 3) => (1, 10),
        _ => (1, 1),
    }
}

/// An amount as Stripe takes it; none: it cannot take it.
pub(super) fn to_stripe(money: Money) -> Option<i64> {
    let (factor, step) = scale(money.currency);
    let amount = money.minor.checked_mul(factor)?;
    (amount > 0 && amount % step == 0).then_some(amount)
}

/// An amount that Stripe tells of: minor units, and the currency in capitals.
///
/// What is no amount or no currency of ours stays as Stripe says it, with the currency in small letters: it is the same
/// as no price of ours, so nothing is booked for it.
pub(super) fn from_stripe(amount: i64, currency: &str) -> (i64, String) {
    let as_told = || (amount, currency.to_lowercase());
    let Some(known) = Currency::parse(&currency.to_uppercase()) else { return as_told() };
    let (factor, _) = scale(known);
    if amount % factor == 0 { (amount / factor, known.code().to_owned()) } else { as_told() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(minor: i64, code: &str) -> Money {
        Money { minor, currency: Currency::parse(code).unwrap() }
    }

    #[test]
    fn amounts_come_back_as_they_went() {
        for (minor, code, there) in [
            (19_900, "USD", 19_900),
            (500, "JPY", 500),
            (500, "KRW", 500),
            (5, "ISK", 500),
            (5_120, "KWD", 5_120),
            (1, "EUR", 1),
        ] {
            assert_eq!(to_stripe(money(minor, code)), Some(there), "{code}");
            assert_eq!(from_stripe(there, &code.to_lowercase()), (minor, code.to_owned()));
        }
    }

    #[test]
    fn what_cannot_be_charged_is_refused() {
        assert_eq!(to_stripe(money(5_124, "KWD")), None);
        assert_eq!(to_stripe(money(0, "USD")), None);
        assert_eq!(to_stripe(money(-1, "USD")), None);
        assert_eq!(to_stripe(money(i64::MAX, "ISK")), None);
    }

    #[test]
    fn what_is_no_amount_of_ours_equals_none() {
        // 40.10 kronur are not 4010 of them.
        assert_eq!(from_stripe(4_010, "isk"), (4_010, "isk".to_owned()));
        assert_eq!(from_stripe(100, "xdr"), (100, "xdr".to_owned()));
        assert_eq!(from_stripe(100, "XDR"), (100, "xdr".to_owned()));
    }
}
