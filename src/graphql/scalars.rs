//! Strict scalars: one spelling of each value, and no float anywhere.

use async_graphql::{Description, InputType, InputValueError, InputValueResult, Scalar, ScalarType, Value};
use bursar_domain::pricing::UnitPrice;
use bursar_domain::{Credits, Currency, Money, Timestamp};
use chrono::{DateTime as ChronoDateTime, SecondsFormat, Utc};
use rust_decimal::Decimal as RustDecimal;

fn refuse<T: InputType>(reason: impl std::fmt::Display) -> InputValueResult<T> {
    Err(InputValueError::custom(reason).with_extension("code", "BAD_USER_INPUT"))
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        _ => None,
    }
}

/// An amount of credits: a whole number from 0 to 2^53 - 1, as a JSON number.
#[derive(Clone, Copy, Debug, Description)]
pub struct CreditsScalar(pub Credits);

#[Scalar(use_type_description, name = "Credits")]
impl ScalarType for CreditsScalar {
    fn parse(value: Value) -> InputValueResult<Self> {
        match whole(&value).and_then(Credits::new) {
            Some(credits) => Ok(CreditsScalar(credits)),
            None => refuse("Credits must be a whole number from 0 to 9007199254740991."),
        }
    }

    fn to_value(&self) -> Value {
        self.0.get().into()
    }
}

/// The version of a pool: how many transfers it has had. An organization's is the sum of its pools'.
#[derive(Clone, Copy, Debug, Description)]
pub struct Version(pub i64);

#[Scalar(use_type_description)]
impl ScalarType for Version {
    fn parse(value: Value) -> InputValueResult<Self> {
        match whole(&value).and_then(Credits::new) {
            Some(version) => Ok(Version(version.get())),
            None => refuse("A version must be a whole number from 0 to 9007199254740991."),
        }
    }

    fn to_value(&self) -> Value {
        self.0.into()
    }
}

/// A number of credits that may be negative: the balance of an account that says where credits came
/// from.
#[derive(Clone, Copy, Debug, Description)]
pub struct SignedCredits(pub i64);

#[Scalar(use_type_description)]
impl ScalarType for SignedCredits {
    fn parse(value: Value) -> InputValueResult<Self> {
        match whole(&value) {
            Some(credits) => Ok(SignedCredits(credits)),
            None => refuse("SignedCredits must be a whole number."),
        }
    }

    fn to_value(&self) -> Value {
        self.0.into()
    }
}

/// An instant in UTC with microseconds, as in RFC 3339: `2026-01-31T12:00:00.000000Z`.
#[derive(Clone, Copy, Debug, Description)]
pub struct DateTime(pub Timestamp);

#[Scalar(use_type_description, specified_by_url = "https://www.rfc-editor.org/rfc/rfc3339")]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else {
            return refuse("A DateTime must be a string.");
        };
        match ChronoDateTime::parse_from_rfc3339(text) {
            Ok(instant) => Ok(DateTime(Timestamp::from_micros(instant.timestamp_micros()))),
            Err(_) => refuse("A DateTime must be an instant as in RFC 3339."),
        }
    }

    fn to_value(&self) -> Value {
        let instant = ChronoDateTime::<Utc>::from_timestamp_micros(self.0.micros()).unwrap_or_default();
        instant.to_rfc3339_opts(SecondsFormat::Micros, true).into()
    }
}

/// A decimal number as a string, without an exponent: `"199.00"`.
#[derive(Clone, Debug, Description)]
pub struct Decimal(pub RustDecimal);

#[Scalar(use_type_description)]
impl ScalarType for Decimal {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else {
            return refuse("A Decimal must be a string.");
        };
        let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'.'));
        match RustDecimal::from_str_exact(text).ok().filter(|_| plain) {
            Some(decimal) => Ok(Decimal(decimal)),
            None => refuse("A Decimal must be digits with at most one point, without an exponent."),
        }
    }

    fn to_value(&self) -> Value {
        self.0.to_string().into()
    }
}

/// A currency by its ISO 4217 code: `USD`.
#[derive(Clone, Copy, Debug, Description)]
pub struct CurrencyCode(pub Currency);

#[Scalar(use_type_description, specified_by_url = "https://www.iso.org/iso-4217-currency-codes.html")]
impl ScalarType for CurrencyCode {
    fn parse(value: Value) -> InputValueResult<Self> {
        let known = match &value {
            Value::String(code) => Currency::parse(code),
            _ => None,
        };
        match known {
            Some(currency) => Ok(CurrencyCode(currency)),
            None => refuse("A CurrencyCode must be a known ISO 4217 code in capitals."),
        }
    }

    fn to_value(&self) -> Value {
        self.0.code().into()
    }
}

/// A time zone by its IANA name: `Europe/Berlin`.
#[derive(Clone, Debug, Description)]
pub struct TimeZone(pub String);

#[Scalar(use_type_description, specified_by_url = "https://www.rfc-editor.org/rfc/rfc6557")]
impl ScalarType for TimeZone {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(name) if name.parse::<chrono_tz::Tz>().is_ok() => Ok(TimeZone(name.clone())),
            _ => refuse("A TimeZone must be an IANA name."),
        }
    }

    fn to_value(&self) -> Value {
        self.0.as_str().into()
    }
}

/// Any JSON value. Used for metadata only.
#[derive(Clone, Debug, Description)]
pub struct Json(pub serde_json::Value);

#[Scalar(use_type_description, name = "JSON", specified_by_url = "https://www.rfc-editor.org/rfc/rfc8259")]
impl ScalarType for Json {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value.into_json() {
            Ok(json) => Ok(Json(json)),
            Err(_) => refuse("This is not a JSON value."),
        }
    }

    fn to_value(&self) -> Value {
        Value::from_json(self.0.clone()).unwrap_or_default()
    }
}

/// A name that the client gives to a request, so that repeating it has no second effect: 1 to 255
/// characters, unique for the organization and mutation, for ever.
#[derive(Clone, Debug, Description)]
pub struct IdempotencyKey(pub String);

#[Scalar(use_type_description)]
impl ScalarType for IdempotencyKey {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(key) if (1..=255).contains(&key.chars().count()) => Ok(IdempotencyKey(key.clone())),
            _ => refuse("An IdempotencyKey must be a string of 1 to 255 characters."),
        }
    }

    fn to_value(&self) -> Value {
        self.0.as_str().into()
    }
}

/// An amount of money.
#[derive(Clone, Debug, async_graphql::SimpleObject)]
#[graphql(name = "Money")]
pub struct MoneyObject {
    /// The amount, with as many decimals as the currency has.
    pub amount: Decimal,
    /// The currency.
    pub currency: CurrencyCode,
}

impl From<Money> for MoneyObject {
    fn from(money: Money) -> MoneyObject {
        let amount = RustDecimal::new(money.minor, money.currency.exponent());
        MoneyObject { amount: Decimal(amount), currency: CurrencyCode(money.currency) }
    }
}

/// What one credit costs.
#[derive(Clone, Debug, async_graphql::SimpleObject)]
#[graphql(name = "UnitPrice")]
pub struct UnitPriceObject {
    /// The amount, with up to six decimals more than the currency has.
    pub amount: Decimal,
    /// The currency.
    pub currency: CurrencyCode,
}

/// How many decimals of the minor unit a price per credit has.
pub const UNIT_DECIMALS: u32 = 6;

impl From<(UnitPrice, Currency)> for UnitPriceObject {
    fn from((unit, currency): (UnitPrice, Currency)) -> UnitPriceObject {
        let mut amount = RustDecimal::new(unit.get(), currency.exponent() + UNIT_DECIMALS).normalize();
        if amount.scale() < currency.exponent() {
            amount.rescale(currency.exponent());
        }
        UnitPriceObject { amount: Decimal(amount), currency: CurrencyCode(currency) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: ScalarType>(value: Value) -> Option<T> {
        <T as ScalarType>::parse(value).ok()
    }

    #[test]
    fn amounts_are_whole_numbers_in_range() {
        let parse = |json: &str| {
            let value = Value::from_json(serde_json::from_str(json).unwrap()).unwrap();
            read::<CreditsScalar>(value).map(|credits| credits.0.get())
        };
        assert_eq!(parse("0"), Some(0));
        assert_eq!(parse("9007199254740991"), Some(9_007_199_254_740_991));
        for bad in ["-1", "9007199254740992", "1.0", "1e3", "\"1\"", "true", "null", "[1]", "1e400"] {
            assert!(serde_json::from_str::<serde_json::Value>(bad).is_err() || parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn money_keeps_its_decimals() {
        let show = |minor, code| {
            let money = Money { minor, currency: Currency::parse(code).unwrap() };
            ScalarType::to_value(&MoneyObject::from(money).amount)
        };
        assert_eq!(show(19_900, "USD"), Value::from("199.00"));
        assert_eq!(show(5, "KWD"), Value::from("0.005"));
        assert_eq!(show(1_000, "JPY"), Value::from("1000"));
    }

    #[test]
    fn prices_of_a_credit_have_the_decimals_that_they_need() {
        let show = |millionths, code| {
            let (unit, currency) = (UnitPrice::new(millionths).unwrap(), Currency::parse(code).unwrap());
            ScalarType::to_value(&UnitPriceObject::from((unit, currency)).amount)
        };
        assert_eq!(show(199_000_000, "USD"), Value::from("1.99"));
        assert_eq!(show(200_000_000, "USD"), Value::from("2.00"));
        assert_eq!(show(179_800_001, "USD"), Value::from("1.79800001"));
        assert_eq!(show(150_000_000, "JPY"), Value::from("150"));
        assert_eq!(show(500_000, "JPY"), Value::from("0.5"));
    }

    #[test]
    fn decimals_and_instants_have_one_spelling() {
        for bad in ["1e3", "", "1.2.3", "+1", " 1", "1 ", "NaN", "0x1", "--1"] {
            assert!(read::<Decimal>(Value::from(bad)).is_none(), "{bad}");
        }
        assert!(read::<Decimal>(Value::from("-12.50")).is_some());
        let instant = read::<DateTime>(Value::from("2026-01-31T13:00:00+01:00")).unwrap();
        assert_eq!(ScalarType::to_value(&instant), Value::from("2026-01-31T12:00:00.000000Z"));
        assert!(read::<DateTime>(Value::from("2026-01-31")).is_none());
        assert!(read::<IdempotencyKey>(Value::from("")).is_none());
        assert!(read::<IdempotencyKey>(Value::from("k".repeat(256))).is_none());
        assert!(read::<IdempotencyKey>(Value::from("ü".repeat(255))).is_some());
    }
}
