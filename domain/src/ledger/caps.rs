//! Spending caps: how much a department, a member or a service may use of a pool in a period.
//!
//! Each cap counts what has been used and what is held in each of its periods. A charge counts in the
//! period in which it is made, a hold and its captures in the period in which it was made, and a refund
//! gives back to the period in which its charge counts. All caps that apply are checked; a limit admits what
//! is exactly equal to it. Raises add to the limit until they end.

use super::effects::PricedLine;
use super::refusal::Refusal;
use super::state::Pool;
use crate::id::{CapId, DepartmentId, ServiceId, UserId};
use crate::period::{Calendar, Period, PeriodKind};
use crate::{Credits, Timestamp};

/// Whose use a cap limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CapScope {
    /// A department's.
    Department(DepartmentId),
    /// A person's.
    Member(UserId),
    /// That of a service, by whomever.
    Service(ServiceId),
}

/// A spending cap.
#[derive(Clone, Debug)]
pub struct Cap {
    /// Which one.
    pub id: CapId,
    /// Whose use it limits.
    pub scope: CapScope,
    /// How much may be used in a period.
    pub limit: Credits,
    /// The kind of its periods; none: there is one that never ends.
    pub period: Option<PeriodKind>,
    /// Its raises that may still hold.
    pub raises: Vec<Raise>,
    /// What has been used, by period, as far as loaded; the latest is always there.
    pub windows: Vec<Window>,
}

/// A temporary raise of a cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raise {
    /// By how much.
    pub credits: Credits,
    /// Until when.
    pub until: Timestamp,
}

/// What has been used of a cap in one period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The period.
    pub period: Period,
    /// What has been used.
    pub used: Credits,
    /// What is held.
    pub held: Credits,
    /// Whether it has to be written.
    pub changed: bool,
}

/// What one cap says to a use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Which cap.
    pub cap: CapId,
    /// Its limit, without raises.
    pub limit: Credits,
    /// The raises that hold.
    pub raised: Credits,
    /// What has been used in the period.
    pub used: Credits,
    /// What is held.
    pub held: Credits,
    /// What may still be used.
    pub headroom: Credits,
    /// What the use would take.
    pub wanted: Credits,
    /// The period.
    pub period: Period,
}

impl Cap {
    /// The period that an instant lies in: a stored one, or a new one that begins no earlier than the last
    /// stored one ended (the time zone may have changed).
    pub fn period_at(&self, calendar: &Calendar, at: Timestamp) -> Option<Period> {
        let Some(kind) = self.period else { return Some(Period::EVER) };
        if let Some(window) = self.windows.iter().find(|window| window.period.contains(at)) {
            return Some(window.period);
        }
        let period = calendar.period(kind, at)?;
        let before = self.windows.iter().map(|window| window.period.end).filter(|end| *end <= at).max();
        match before {
            Some(start) if start > period.start => {
                // The rest of a period that was counted as another zone has it is no period of its own.
                let half = (period.end.micros() - period.start.micros()) / 2;
                let counted = start.micros() > period.start.micros().saturating_add(half);
                let end = if counted { calendar.period(kind, period.end)?.end } else { period.end };
                Some(Period { start, end })
            }
            _ => Some(period),
        }
    }

    /// What has been used and what is held in the period of an instant.
    fn counted(&self, at: Timestamp) -> (Credits, Credits) {
        let window = self.windows.iter().find(|window| window.period.contains(at));
        window.map_or((Credits::ZERO, Credits::ZERO), |window| (window.used, window.held))
    }

    /// What of a use falls under the cap.
    fn covers(&self, usage: &Usage<'_>) -> Credits {
        match self.scope {
            CapScope::Department(department) if usage.department == Some(department) => usage.credits(),
            CapScope::Member(member) if usage.spender == Some(member) => usage.credits(),
            CapScope::Service(service) => usage.of_service(service),
            _ => Credits::ZERO,
        }
    }

    /// What it says at an instant, to nobody's use; `None` outside of what the calendar covers.
    pub fn limit_now(&self, calendar: &Calendar, at: Timestamp) -> Option<Limit> {
        self.limit_at(calendar, at, Credits::ZERO)
    }

    /// What it says to a use of `wanted` credits.
    fn limit_at(&self, calendar: &Calendar, at: Timestamp, wanted: Credits) -> Option<Limit> {
        let (used, held) = self.counted(at);
        let raises = self.raises.iter().filter(|raise| at < raise.until);
        let raised = raises.fold(Credits::ZERO, |sum, raise| sum.saturating_add(raise.credits));
        let headroom = self.limit.saturating_add(raised).saturating_sub(used).saturating_sub(held);
        let period = self.period_at(calendar, at)?;
        Some(Limit { cap: self.id, limit: self.limit, raised, used, held, headroom, wanted, period })
    }
}

/// A use of credits, as caps look at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage<'u> {
    pub department: Option<DepartmentId>,
    pub spender: Option<UserId>,
    /// The service of each part, and its credits.
    pub parts: &'u [(ServiceId, Credits)],
}

impl Usage<'_> {
    fn credits(&self) -> Credits {
        self.parts.iter().fold(Credits::ZERO, |sum, (_, credits)| sum.saturating_add(*credits))
    }

    fn of_service(&self, service: ServiceId) -> Credits {
        let parts = self.parts.iter().filter(|(of, _)| *of == service);
        parts.fold(Credits::ZERO, |sum, (_, credits)| sum.saturating_add(*credits))
    }
}

/// The parts of priced lines.
pub(super) fn parts(lines: &[PricedLine]) -> Vec<(ServiceId, Credits)> {
    lines.iter().map(|line| (line.service, line.credits)).collect()
}

/// What all caps that apply to a use say to it, in the order of the caps.
pub(super) fn limits(
    pool: &Pool,
    calendar: &Calendar,
    usage: &Usage<'_>,
    at: Timestamp,
) -> Option<Vec<Limit>> {
    let apply = pool.caps.iter().map(|cap| (cap, cap.covers(usage))).filter(|(_, wanted)| !wanted.is_zero());
    apply.map(|(cap, wanted)| cap.limit_at(calendar, at, wanted)).collect()
}

/// What a command changes in the counts of one cap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count {
    /// Which of the pool's caps.
    cap: usize,
    period: Period,
    used: i64,
    held: i64,
}

/// Whether all caps leave enough for a use.
pub(super) fn check(
    pool: &Pool,
    calendar: &Calendar,
    usage: &Usage<'_>,
    at: Timestamp,
) -> Result<(), Refusal> {
    if pool.caps.is_empty() {
        return Ok(());
    }
    for limit in limits(pool, calendar, usage, at).ok_or(Refusal::AmountTooLarge)? {
        if limit.wanted > limit.headroom {
            return Err(Refusal::CapExceeded { cap: limit.cap, headroom: limit.headroom });
        }
    }
    Ok(())
}

/// What a use changes in the counts of the period of `at`: `used` and `held` say in which direction.
///
/// What a cap did not exist for, or has no count of, is left alone.
pub(super) fn counts(
    pool: &Pool,
    calendar: &Calendar,
    usage: &Usage<'_>,
    at: Timestamp,
    (used, held): (i64, i64),
) -> Vec<Count> {
    let mut counts = Vec::new();
    for (cap, of) in pool.caps.iter().enumerate() {
        let credits = of.covers(usage);
        // A count that is not there is made when something is used, not when something comes back.
        let known = of.windows.iter().any(|window| window.period.contains(at));
        if credits.is_zero() || (!known && used + held <= 0) {
            continue;
        }
        let Some(period) = of.period_at(calendar, at) else { continue };
        counts.push(Count { cap, period, used: used * credits.get(), held: held * credits.get() });
    }
    counts
}

impl Pool {
    /// Writes down what [`counts`] has found.
    pub(super) fn count(&mut self, counts: Vec<Count>) {
        for count in counts {
            let Some(cap) = self.caps.get_mut(count.cap) else { continue };
            let found = cap.windows.iter().position(|window| window.period == count.period);
            let index = found.unwrap_or_else(|| {
                let (used, held) = (Credits::ZERO, Credits::ZERO);
                cap.windows.push(Window { period: count.period, used, held, changed: true });
                cap.windows.len() - 1
            });
            let Some(window) = cap.windows.get_mut(index) else { continue };
            window.used = moved(window.used, count.used);
            window.held = moved(window.held, count.held);
            window.changed = true;
        }
    }
}

/// A count never goes below zero: what a cap has not counted it cannot give back.
fn moved(from: Credits, by: i64) -> Credits {
    Credits::new(from.get().saturating_add(by).max(0)).unwrap_or(Credits::MAX)
}
