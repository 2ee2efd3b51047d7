//! Prices: which version of a service or package holds at an instant.

use crate::{Credits, Timestamp};

/// The largest quantity of one line of a charge.
pub const MAX_QUANTITY: i64 = 1_000_000;
/// The most lines that one charge may have.
pub const MAX_LINES: usize = 100;

/// Something that holds from an instant until the next version of it begins.
pub trait Versioned {
    /// The instant from which this version holds.
    fn effective_from(&self) -> Timestamp;
}

/// The version that holds at `at`: the one that began last, among those that have begun.
pub fn version_at<V: Versioned>(versions: impl IntoIterator<Item = V>, at: Timestamp) -> Option<V> {
    versions
        .into_iter()
        .filter(|version| version.effective_from() <= at)
        .max_by_key(|version| version.effective_from())
}

/// What a quantity costs at a price per unit; `None` when the quantity is not in
/// `1..=`[`MAX_QUANTITY`] or the product is above [`Credits::MAX`].
pub fn line_credits(each: Credits, quantity: i64) -> Option<Credits> {
    if !(1..=MAX_QUANTITY).contains(&quantity) {
        return None;
    }
    each.checked_mul(quantity)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct From(i64);
    impl Versioned for From {
        fn effective_from(&self) -> Timestamp {
            Timestamp::from_micros(self.0)
        }
    }

    #[test]
    fn the_latest_begun_version_holds() {
        let at = |t| version_at([From(10), From(30), From(20)], Timestamp::from_micros(t)).map(|v| v.0);
        assert_eq!(at(9), None);
        assert_eq!(at(10), Some(10));
        assert_eq!(at(29), Some(20));
        assert_eq!(at(31), Some(30));
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
