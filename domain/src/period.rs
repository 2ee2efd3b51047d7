//! Periods: months, quarters and years of an organization's time zone as intervals of instants.
//!
//! Where a month begins in a zone is the shell's affair; it comes in as a [`Calendar`]. What follows from
//! it (which quarter, which year) is decided here.

use crate::Timestamp;

string_enum! {
    /// How long a period is.
    PeriodKind {
        /// A calendar month.
        Month = "MONTH",
        /// A calendar quarter: January to March, and so on.
        Quarter = "QUARTER",
        /// A calendar year.
        Year = "YEAR",
    }
}

impl PeriodKind {
    /// How many months it has.
    pub const fn months(self) -> usize {
        match self {
            PeriodKind::Month => 1,
            PeriodKind::Quarter => 3,
            PeriodKind::Year => 12,
        }
    }
}

/// An interval of time: from `start` on, until before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    /// Its first instant.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
}

impl Period {
    /// All of time, for what has no period.
    pub const EVER: Period =
        Period { start: Timestamp::from_micros(i64::MIN), end: Timestamp::from_micros(i64::MAX) };

    /// Whether the instant lies in it.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }
}

/// The first instants of consecutive months, the first of them a January.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calendar {
    months: Vec<Timestamp>,
}

impl Calendar {
    /// A calendar from the first instants of consecutive months, the first of them a January.
    pub fn new(months: Vec<Timestamp>) -> Calendar {
        Calendar { months }
    }

    /// The period of a kind that an instant lies in; `None` outside of what the calendar covers.
    pub fn period(&self, kind: PeriodKind, at: Timestamp) -> Option<Period> {
        let month = self.months.partition_point(|start| *start <= at).checked_sub(1)?;
        let first = month - month % kind.months();
        let (start, end) = (self.months.get(first)?, self.months.get(first + kind.months())?);
        Some(Period { start: *start, end: *end })
    }

    /// Whether it covers the year before an instant and the year after it.
    pub fn covers(&self, at: Timestamp) -> bool {
        let near = |days: i64| self.period(PeriodKind::Year, at.plus_days(days)).is_some();
        near(-366) && near(366)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters_and_years_follow_from_months() {
        let at = |seconds: i64| Timestamp::from_micros(seconds);
        let calendar = Calendar::new((0..=24).map(|month| at(month * 10)).collect());
        let period = |kind, t| calendar.period(kind, at(t)).map(|p| (p.start.micros(), p.end.micros()));
        assert_eq!(period(PeriodKind::Month, 0), Some((0, 10)));
        assert_eq!(period(PeriodKind::Month, 9), Some((0, 10)));
        assert_eq!(period(PeriodKind::Month, 10), Some((10, 20)));
        assert_eq!(period(PeriodKind::Quarter, 59), Some((30, 60)));
        assert_eq!(period(PeriodKind::Quarter, 60), Some((60, 90)));
        assert_eq!(period(PeriodKind::Year, 119), Some((0, 120)));
        assert_eq!(period(PeriodKind::Year, 120), Some((120, 240)));
        assert_eq!(period(PeriodKind::Year, 240), None);
        assert_eq!(period(PeriodKind::Month, -1), None);
    }
}
