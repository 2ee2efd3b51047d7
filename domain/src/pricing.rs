//! Prices: which version of a service or package holds at an instant.

use std::collections::BTreeMap;

use crate::{Credits, Timestamp};

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
