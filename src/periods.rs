//! Where the months and days of a time zone begin, as instants: the one place where civil time meets the ledger.
//!
//! A month begins at local midnight of its first day. Where the clocks are put forward at that very midnight
//! it begins at the first instant after the gap; where midnight comes twice, at the first.

use std::sync::{Arc, LazyLock};

use bursar_domain::Timestamp;
use bursar_domain::period::{Calendar, Period};
use chrono::{DateTime, Datelike, Duration, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;
use quick_cache::sync::Cache;

use crate::error::{Error, Result};

/// How many months a calendar has: from January of the year before to that of three years later.
const MONTHS: u32 = 49;
/// How many calendars are kept.
const CALENDARS: usize = 1_024;

static CACHE: LazyLock<Cache<(Tz, i32), Arc<Calendar>>> = LazyLock::new(|| Cache::new(CALENDARS));

/// The months around an instant in a time zone: the year before it, its own and the two after it.
///
/// # Errors
/// A fault of ours when the zone is not known: zones are checked when they are set.
pub fn calendar(time_zone: &str, at: Timestamp) -> Result<Arc<Calendar>> {
    let local = local(time_zone, at)?;
    let (zone, year) = (local.timezone(), local.year());
    if let Some(calendar) = CACHE.get(&(zone, year)) {
        return Ok(calendar);
    }
    let months = (0..MONTHS).filter_map(|month| month_start(zone, year - 1, month));
    let calendar = Arc::new(Calendar::new(months.collect()));
    CACHE.insert((zone, year), Arc::clone(&calendar));
    Ok(calendar)
}

/// The day around an instant in a time zone: from its first instant to that of the next day.
///
/// # Errors
/// Those of [`calendar`].
pub fn day(time_zone: &str, at: Timestamp) -> Result<Period> {
    day_after(time_zone, at, 0)
}

/// The day that comes so many days after the one around an instant in a time zone: by the calendar, whatever clocks do.
///
/// # Errors
/// Those of [`calendar`].
pub fn day_after(time_zone: &str, at: Timestamp, days: i64) -> Result<Period> {
    let local = local(time_zone, at)?;
    let midnight = |day: NaiveDate| first_instant(local.timezone(), day.and_time(NaiveTime::MIN));
    let day = Duration::try_days(days).and_then(|days| local.date_naive().checked_add_signed(days));
    let next = day.and_then(|day| day.succ_opt());
    let (Some(start), Some(end)) = (day.and_then(midnight), next.and_then(midnight)) else {
        return Err(beyond());
    };
    let instant = |at: DateTime<Tz>| Timestamp::from_micros(at.timestamp_micros());
    Ok(Period { start: instant(start), end: instant(end) })
}

/// The time zone of a name that was checked when it was set.
///
/// # Errors
/// A fault of ours when it is not known.
pub fn zone(time_zone: &str) -> Result<Tz> {
    time_zone.parse().map_err(|_| Error::internal("an organization's time zone is not known"))
}

/// What a clock in a time zone shows at an instant.
fn local(time_zone: &str, at: Timestamp) -> Result<DateTime<Tz>> {
    let zone = zone(time_zone)?;
    let utc = DateTime::<Utc>::from_timestamp_micros(at.micros()).ok_or_else(beyond)?;
    Ok(utc.with_timezone(&zone))
}

fn beyond() -> Error {
    Error::internal("an instant is out of range")
}

/// The first instant of the month that comes `month` months after January of a year.
fn month_start(zone: Tz, year: i32, month: u32) -> Option<Timestamp> {
    let year = year.checked_add(i32::try_from(month / 12).ok()?)?;
    let day = NaiveDate::from_ymd_opt(year, month % 12 + 1, 1)?;
    Some(Timestamp::from_micros(first_instant(zone, day.and_time(NaiveTime::MIN))?.timestamp_micros()))
}

/// The first instant at which the local clock shows a time, or one after it.
fn first_instant(zone: Tz, local: NaiveDateTime) -> Option<DateTime<Tz>> {
    // Gaps have been as long as a day (a date line was crossed).
    let minutes = (0..=25 * 60).map(|minutes| local + Duration::minutes(minutes));
    minutes.map(|local| zone.from_local_datetime(&local)).find_map(|found| match found {
        LocalResult::Single(instant) => Some(instant),
        LocalResult::Ambiguous(first, _) => Some(first),
        LocalResult::None => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar_domain::period::PeriodKind;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_micros(text.parse::<DateTime<Utc>>().unwrap().timestamp_micros())
    }

    fn month(zone: &str, instant: &str) -> (Timestamp, Timestamp) {
        let period = calendar(zone, at(instant)).unwrap().period(PeriodKind::Month, at(instant)).unwrap();
        (period.start, period.end)
    }

    #[test]
    fn months_begin_at_local_midnight() {
        let new_york = month("America/New_York", "2026-11-30T23:00:00Z");
        assert_eq!(new_york, (at("2026-11-01T04:00:00Z"), at("2026-12-01T05:00:00Z")), "summer time ends");
        let kiritimati = month("Pacific/Kiritimati", "2026-12-31T09:59:59.999999Z");
        assert_eq!(kiritimati, (at("2026-11-30T10:00:00Z"), at("2026-12-31T10:00:00Z")));
        let kathmandu = month("Asia/Kathmandu", "2026-12-31T18:15:00Z");
        assert_eq!(kathmandu.0, at("2026-12-31T18:15:00Z"), "a quarter to six ahead");
        // Clocks that went from midnight to one on the first of a month.
        for (zone, within, begins) in [
            ("America/Havana", "2012-04-15T00:00:00Z", "2012-04-01T05:00:00Z"),
            ("America/Asuncion", "2002-09-15T00:00:00Z", "2002-09-01T04:00:00Z"),
            ("Asia/Amman", "2011-04-15T00:00:00Z", "2011-03-31T22:00:00Z"),
        ] {
            assert_eq!(month(zone, within).0, at(begins), "{zone}");
        }
        // On 1 October 1989 the clocks of Asuncion went from midnight to one.
        let asuncion = month("America/Asuncion", "1989-10-15T00:00:00Z");
        assert_eq!(asuncion.0, at("1989-10-01T04:00:00Z"));
    }

    #[test]
    fn days_begin_at_local_midnight() {
        let day = |zone: &str, instant: &str| {
            let period = day(zone, at(instant)).unwrap();
            (period.start, period.end)
        };
        let utc = (at("2026-03-02T00:00:00Z"), at("2026-03-03T00:00:00Z"));
        assert_eq!(day("UTC", "2026-03-02T00:00:00Z"), utc);
        assert_eq!(day("UTC", "2026-03-02T23:59:59.999999Z"), utc);
        let kiritimati = (at("2026-03-01T10:00:00Z"), at("2026-03-02T10:00:00Z"));
        assert_eq!(day("Pacific/Kiritimati", "2026-03-01T10:00:00Z"), kiritimati);
        // Clocks are put back, so the day is an hour longer.
        let long = (at("2026-11-01T04:00:00Z"), at("2026-11-02T05:00:00Z"));
        assert_eq!(day("America/New_York", "2026-11-02T04:30:00Z"), long);
    }

    #[test]
    fn days_after_are_counted_by_the_calendar() {
        let after = |zone: &str, instant: &str, days: i64| {
            let period = day_after(zone, at(instant), days).unwrap();
            (period.start, period.end)
        };
        // Half past midnight on 25 October, and clocks are put back on 1 November: eight times 24 hours later it is half past
        // eleven at night on that day.
        let back = (at("2026-11-02T05:00:00Z"), at("2026-11-03T05:00:00Z"));
        assert_eq!(after("America/New_York", "2026-10-25T04:30:00Z", 8), back);
        // Half past eleven at night on 7 March, before the night in which they are put forward: 24 hours later it is half past
        // midnight on 9 March.
        let next = (at("2026-03-08T05:00:00Z"), at("2026-03-09T04:00:00Z"));
        assert_eq!(after("America/New_York", "2026-03-08T04:30:00Z", 1), next);
        let leap = (at("2028-02-28T15:00:00Z"), at("2028-02-29T15:00:00Z"));
        assert_eq!(after("Asia/Tokyo", "2028-01-30T15:00:00Z", 29), leap);
        assert!(day_after("UTC", at("2026-01-01T00:00:00Z"), i64::MAX).is_err());
    }

    #[test]
    fn years_and_quarters_follow_local_time() {
        let calendar = calendar("America/New_York", at("2027-01-01T04:59:59Z")).unwrap();
        let year = calendar.period(PeriodKind::Year, at("2027-01-01T04:59:59Z")).unwrap();
        assert_eq!(year.end, at("2027-01-01T05:00:00Z"));
        let quarter = calendar.period(PeriodKind::Quarter, at("2027-01-01T05:00:00Z")).unwrap();
        assert_eq!((quarter.start, quarter.end), (at("2027-01-01T05:00:00Z"), at("2027-04-01T04:00:00Z")));
        assert!(calendar.covers(at("2027-01-01T04:59:59Z")));
    }
}
