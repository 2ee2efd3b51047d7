//! Amounts of credits.

/// An amount of credits: a whole number from 0 to 2^53 - 1.
///
/// The upper bound is the largest integer that every JSON reader keeps exactly, so that an amount
/// can be a JSON number. Arithmetic is checked: it answers `None` instead of leaving the range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Credits(i64);

impl Credits {
    /// No credits.
    pub const ZERO: Credits = Credits(0);
    /// The largest amount, 2^53 - 1.
    pub const MAX: Credits = Credits((1 << 53) - 1);

    /// The amount `value`, or `None` when it is negative or above [`Credits::MAX`].
    pub const fn new(value: i64) -> Option<Credits> {
        if value < 0 || value > Self::MAX.0 { None } else { Some(Credits(value)) }
    }

    /// The amount as a plain integer.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Whether the amount is zero.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, or `None` above [`Credits::MAX`].
    pub const fn checked_add(self, other: Credits) -> Option<Credits> {
        // Both are at most 2^53, so the sum cannot overflow an i64.
        Credits::new(self.0 + other.0)
    }

    /// The difference, or `None` when `other` is larger.
    pub const fn checked_sub(self, other: Credits) -> Option<Credits> {
        Credits::new(self.0 - other.0)
    }

    /// The sum, or [`Credits::MAX`] when it is above that.
    pub const fn saturating_add(self, other: Credits) -> Credits {
        if self.0 + other.0 > Self::MAX.0 { Credits::MAX } else { Credits(self.0 + other.0) }
    }

    /// The product with a count, or `None` above [`Credits::MAX`].
    pub const fn checked_mul(self, count: i64) -> Option<Credits> {
        match self.0.checked_mul(count) {
            Some(value) => Credits::new(value),
            None => None,
        }
    }

    /// The difference, or zero when `other` is larger.
    pub const fn saturating_sub(self, other: Credits) -> Credits {
        if self.0 > other.0 { Credits(self.0 - other.0) } else { Credits::ZERO }
    }
}

impl std::fmt::Display for Credits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

integer_column!(Credits, "credits", Credits::new, Credits::get);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_ends_at_two_to_the_53_less_one() {
        assert_eq!(Credits::new(9_007_199_254_740_991), Some(Credits::MAX));
        assert_eq!(Credits::new(9_007_199_254_740_992), None);
        assert_eq!(Credits::new(-1), None);
        assert_eq!(Credits::MAX.checked_add(Credits(1)), None);
        assert_eq!(Credits::ZERO.checked_sub(Credits(1)), None);
        assert_eq!(Credits::MAX.checked_mul(i64::MAX), None);
        assert_eq!(Credits(3).checked_mul(4), Credits::new(12));
        assert_eq!(Credits(3).saturating_sub(Credits(4)), Credits::ZERO);
    }
}
