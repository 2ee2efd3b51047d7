//! Automatic top-ups: when a pool buys by itself, and when it waits.

use crate::id::PackageId;
use crate::{Credits, Timestamp};

string_enum! {
    /// Where a pool's automatic top-up stands.
    TopUpState {
        /// It has no way of paying that somebody has agreed to.
        AwaitingConsent = "AWAITING_CONSENT",
        /// It buys when the pool falls to the threshold.
        Ready = "READY",
        /// A purchase is under way.
        Charging = "CHARGING",
        /// The last payment was declined: it waits before it tries again.
        BackingOff = "BACKING_OFF",
        /// The bank wants the owner of the way of paying to be there: nothing is tried until somebody pays.
        AuthenticationRequired = "AUTHENTICATION_REQUIRED",
        /// It was declined too often, switched off, or one of its purchases was given back or is disputed.
        Paused = "PAUSED",
    }
}

/// After how many declines in a row nothing more is tried.
pub const MOST_DECLINES: i64 = 5;
/// How long it waits after the first decline, in seconds: an hour; four times as long after each further one.
const FIRST_PAUSE: i64 = 3_600;
/// The longest wait, in seconds: two days.
const LONGEST_PAUSE: i64 = 172_800;

/// What is known when it is decided.
#[derive(Clone, Copy, Debug)]
pub struct TopUp {
    /// Where it stands.
    pub state: TopUpState,
    /// It buys at so many available credits, and below.
    pub threshold: Credits,
    /// What the pool has available.
    pub available: Credits,
    /// What the package costs, in minor units.
    pub total: i64,
    /// The most that may be spent by it in a month; none: no limit.
    pub monthly_maximum: Option<i64>,
    /// What it has spent in this month, what is under way among it.
    pub spent: i64,
    /// Not before this.
    pub retry_at: Option<Timestamp>,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopUpDecision {
    /// A package is bought.
    Buy,
    /// Nothing: there is enough, or it is not its time.
    Wait,
    /// Nothing: the month's maximum would be exceeded.
    OverMaximum,
    /// Nothing, in whatever month: the package costs more than the maximum.
    OutOfReach,
}

/// Decides.
pub fn decide(top_up: &TopUp, now: Timestamp) -> TopUpDecision {
    let may = match top_up.state {
        TopUpState::Ready => true,
        TopUpState::BackingOff => top_up.retry_at.is_none_or(|at| at <= now),
        TopUpState::AwaitingConsent
        | TopUpState::Charging
        | TopUpState::AuthenticationRequired
        | TopUpState::Paused => false,
    };
    if !may || top_up.available > top_up.threshold {
        return TopUpDecision::Wait;
    }
    let after = top_up.spent.saturating_add(top_up.total);
    match top_up.monthly_maximum {
        Some(most) if !reaches(most, top_up.total) => TopUpDecision::OutOfReach,
        Some(most) if after > most => TopUpDecision::OverMaximum,
        _ => TopUpDecision::Buy,
    }
}

/// Whether a maximum by the month is enough for a package at all, once nothing has been spent.
pub const fn reaches(maximum: i64, total: i64) -> bool {
    total <= maximum
}

/// Where it stands when no purchase of its own is under way. `consented` says whether there is a way of paying that may be
/// charged.
pub const fn at_rest(enabled: bool, consented: bool) -> TopUpState {
    match (enabled, consented) {
        (false, _) => TopUpState::Paused,
        (true, false) => TopUpState::AwaitingConsent,
        (true, true) => TopUpState::Ready,
    }
}

/// What somebody agrees to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// It buys at so many available credits, and below.
    pub threshold: Credits,
    /// What it buys.
    pub package: PackageId,
    /// The most that it spends in a month, in minor units; none: no limit.
    pub monthly_maximum: Option<i64>,
}

impl Terms {
    /// Whether these, once agreed to, cover others: the same package, bought no earlier, and no more of it in a month.
    pub fn cover(&self, wanted: &Terms) -> bool {
        self.package == wanted.package
            && wanted.threshold <= self.threshold
            && covers(self.monthly_maximum, wanted.monthly_maximum)
    }
}

/// How many packages may have to be bought at most before an empty pool is above its threshold.
pub const MOST_PACKAGES: i64 = 10;

/// The highest threshold with a package of so many credits; none: any.
pub fn highest_threshold(package: Credits) -> Option<Credits> {
    package.checked_mul(MOST_PACKAGES)
}

/// Whether a maximum by the month covers another: it takes no more. None is without a limit.
const fn covers(agreed: Option<i64>, wanted: Option<i64>) -> bool {
    match (agreed, wanted) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(agreed), Some(wanted)) => wanted <= agreed,
    }
}

/// What follows a decline: the new state, and how many seconds later it may be tried again. `declines` counts this one.
pub fn declined(declines: i64) -> (TopUpState, i64) {
    if declines >= MOST_DECLINES {
        return (TopUpState::Paused, 0);
    }
    let doublings = u32::try_from(declines.saturating_sub(1).clamp(0, 10)).unwrap_or(0);
    (TopUpState::BackingOff, FIRST_PAUSE.saturating_mul(1 << (2 * doublings)).min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id;

    #[test]
    fn it_buys_at_the_threshold_within_the_month() {
        let credits = |n| Credits::new(n).unwrap();
        let top_up = TopUp {
            state: TopUpState::Ready,
            threshold: credits(20),
            available: credits(20),
            total: 100,
            monthly_maximum: Some(100),
            spent: 0,
            retry_at: None,
        };
        let now = Timestamp::EPOCH;
        assert_eq!(decide(&top_up, now), TopUpDecision::Buy);
        assert_eq!(decide(&TopUp { available: credits(21), ..top_up }, now), TopUpDecision::Wait);
        assert_eq!(decide(&TopUp { spent: 1, ..top_up }, now), TopUpDecision::OverMaximum);
        assert_eq!(decide(&TopUp { spent: 1, monthly_maximum: None, ..top_up }, now), TopUpDecision::Buy);
        // One that no month has room for is told apart.
        let dearer = TopUp { total: 101, ..top_up };
        assert_eq!(decide(&dearer, now), TopUpDecision::OutOfReach);
        assert_eq!(decide(&TopUp { spent: 50, ..dearer }, now), TopUpDecision::OutOfReach);
        assert_eq!(decide(&TopUp { monthly_maximum: None, ..dearer }, now), TopUpDecision::Buy);
        assert_eq!(decide(&TopUp { monthly_maximum: Some(0), ..top_up }, now), TopUpDecision::OutOfReach);
        let waiting = TopUp { state: TopUpState::BackingOff, retry_at: Some(now.plus_seconds(1)), ..top_up };
        assert_eq!(decide(&waiting, now), TopUpDecision::Wait);
        assert_eq!(decide(&waiting, now.plus_seconds(1)), TopUpDecision::Buy);
    }

    #[test]
    fn consent_covers_what_takes_no_more() {
        assert!(
            covers(None, None)
                && covers(None, Some(5))
                && covers(Some(5), Some(5))
                && covers(Some(5), Some(0))
        );
        assert!(!covers(Some(5), Some(6)) && !covers(Some(5), None));
        let terms = |threshold, package, monthly_maximum| Terms {
            threshold: Credits::new(threshold).unwrap(),
            package: PackageId::from_u128(package),
            monthly_maximum,
        };
        let agreed = terms(20, 1, Some(5));
        assert!(agreed.cover(&agreed) && agreed.cover(&terms(0, 1, Some(4))));
        for wider in [terms(21, 1, Some(5)), terms(20, 2, Some(5)), terms(20, 1, Some(6)), terms(20, 1, None)]
        {
            assert!(!agreed.cover(&wider), "{wider:?}");
        }
        assert_eq!(highest_threshold(Credits::new(7).unwrap()), Credits::new(70));
        assert_eq!(at_rest(false, true), TopUpState::Paused);
        assert_eq!(at_rest(true, false), TopUpState::AwaitingConsent);
        assert_eq!(at_rest(true, true), TopUpState::Ready);
    }

    #[test]
    fn declines_wait_longer_and_end() {
        let hours: Vec<i64> = (1..MOST_DECLINES).map(|n| declined(n).1 / 3_600).collect();
        assert_eq!(hours, [1, 4, 16, 48]);
        assert_eq!(declined(MOST_DECLINES).0, TopUpState::Paused);
    }
}
