//! Standing in for somebody: from one instant to another a person may decide in another's name.

use std::collections::BTreeSet;

use crate::Timestamp;
use crate::id::{DelegationId, UserId};

/// How many people may stand in for one another in a row: somebody's, that one's, and that one's.
pub const LONGEST_CHAIN: usize = 3;
/// For how many days somebody may stand in at most.
pub const LONGEST_DAYS: i64 = 366;

string_enum! {
    /// Why somebody cannot stand in for somebody.
    DelegationFault {
        /// Nobody stands in for themselves.
        Oneself = "ONESELF",
        /// It ends before it begins, or has ended.
        Window = "WINDOW",
        /// It is for too long.
        TooLong = "TOO_LONG",
        /// Somebody stands in for the same person at that time already.
        Overlaps = "OVERLAPS",
        /// Somebody would stand in for themselves, by way of others.
        Loop = "LOOP",
        /// Too many would stand in for one another in a row.
        ChainTooLong = "CHAIN_TOO_LONG",
    }
}

/// Somebody stands in for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// Its id.
    pub id: DelegationId,
    /// For whom.
    pub delegator: UserId,
    /// Who.
    pub delegate: UserId,
    /// From this instant on.
    pub starts_at: Timestamp,
    /// Until before this one.
    pub ends_at: Timestamp,
    /// When it was ended early.
    pub revoked_at: Option<Timestamp>,
}

impl Delegation {
    /// The instant from which on it no longer counts.
    pub fn end(&self) -> Timestamp {
        self.revoked_at.map_or(self.ends_at, |revoked| revoked.min(self.ends_at))
    }

    /// Whether it counts at an instant.
    pub fn is_active(&self, at: Timestamp) -> bool {
        self.starts_at <= at && at < self.end()
    }

    /// Whether it counts at some instant of `[from, until]`.
    pub fn touches(&self, from: Timestamp, until: Timestamp) -> bool {
        self.starts_at < self.end() && self.starts_at <= until && from < self.end()
    }

    fn window(&self) -> Window {
        Window { from: self.starts_at, until: self.end() }
    }
}

/// The instants from one on until before another.
#[derive(Clone, Copy)]
struct Window {
    from: Timestamp,
    until: Timestamp,
}

impl Window {
    /// The instants that both have. None: there are none.
    fn common(self, other: Window) -> Option<Window> {
        let both = Window { from: self.from.max(other.from), until: self.until.min(other.until) };
        (both.from < both.until).then_some(both)
    }
}

/// Whether somebody may stand in for somebody, besides the delegations that there are already. One that is to be saved
/// anew is not held against itself.
///
/// # Errors
/// Why not.
pub fn check(new: &Delegation, known: &[Delegation], now: Timestamp) -> Result<(), DelegationFault> {
    if new.delegator == new.delegate {
        return Err(DelegationFault::Oneself);
    }
    if new.end() <= new.starts_at || new.end() <= now {
        return Err(DelegationFault::Window);
    }
    if new.ends_at > new.starts_at.plus_days(LONGEST_DAYS) {
        return Err(DelegationFault::TooLong);
    }
    let known: Vec<Delegation> = known
        .iter()
        .copied()
        .filter(|other| other.id != new.id && other.window().common(new.window()).is_some())
        .collect();
    if known.iter().any(|other| other.delegator == new.delegator) {
        return Err(DelegationFault::Overlaps);
    }
    let ahead = chains(new.delegate, new.window(), &known, Way::Ahead, LONGEST_CHAIN);
    if ahead.iter().any(|chain| chain.end == new.delegator) {
        return Err(DelegationFault::Loop);
    }
    for behind in chains(new.delegator, new.window(), &known, Way::Behind, LONGEST_CHAIN) {
        let ahead = chains(new.delegate, behind.window, &known, Way::Ahead, LONGEST_CHAIN);
        if ahead.iter().any(|ahead| behind.links + 1 + ahead.links > LONGEST_CHAIN) {
            return Err(DelegationFault::ChainTooLong);
        }
    }
    Ok(())
}

/// In which direction a chain is followed.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// To whoever stands in.
    Ahead,
    /// To those who are stood in for.
    Behind,
}

impl Way {
    /// Where one comes from and where one gets to.
    fn ends(self, delegation: &Delegation) -> (UserId, UserId) {
        match self {
            Way::Ahead => (delegation.delegator, delegation.delegate),
            Way::Behind => (delegation.delegate, delegation.delegator),
        }
    }
}

/// Some delegations in a row, all of which count within a window.
struct Chain {
    links: usize,
    window: Window,
    end: UserId,
}

/// All chains from somebody, of at most so many links and down to none.
fn chains(from: UserId, window: Window, known: &[Delegation], way: Way, most: usize) -> Vec<Chain> {
    let mut found = vec![Chain { links: 0, window, end: from }];
    if most == 0 {
        return found;
    }
    for delegation in known {
        let (near, far) = way.ends(delegation);
        let Some(common) = delegation.window().common(window).filter(|_| near == from) else { continue };
        let further = chains(far, common, known, way, most - 1);
        found.extend(further.into_iter().map(|chain| Chain { links: chain.links + 1, ..chain }));
    }
    found
}

/// Whoever stands in for somebody, directly or by way of others, by those of the delegations that count.
pub fn stand_ins(of: UserId, known: &[Delegation], counts: impl Fn(&Delegation) -> bool) -> BTreeSet<UserId> {
    let mut found = reached(&BTreeSet::from([of]), known, Way::Ahead, counts);
    found.remove(&of);
    found
}

/// Some people, and whoever is reached from one of them in as many steps as a chain may have.
pub(super) fn reached(
    from: &BTreeSet<UserId>,
    known: &[Delegation],
    way: Way,
    counts: impl Fn(&Delegation) -> bool,
) -> BTreeSet<UserId> {
    let steps: Vec<_> = known.iter().filter(|one| counts(one)).map(|one| way.ends(one)).collect();
    let mut found = from.clone();
    let mut newest = from.clone();
    for _ in 0..LONGEST_CHAIN {
        let next = steps.iter().filter(|(near, far)| newest.contains(near) && !found.contains(far));
        newest = next.map(|(_, far)| *far).collect();
        found.extend(newest.iter().copied());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id;

    fn user(number: u128) -> UserId {
        UserId::from_u128(number)
    }

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn from_to(delegator: u128, delegate: u128, from: i64, until: i64) -> Delegation {
        Delegation {
            id: DelegationId::from_u128(
                (delegator << 64) + (delegate << 32) + u128::from(from.unsigned_abs()),
            ),
            delegator: user(delegator),
            delegate: user(delegate),
            starts_at: at(from),
            ends_at: at(until),
            revoked_at: None,
        }
    }

    #[test]
    fn it_counts_from_its_beginning_until_before_its_end() {
        let mut delegation = from_to(1, 2, 10, 20);
        let active =
            |of: &Delegation| (0..30).filter(|micros| of.is_active(at(*micros))).collect::<Vec<i64>>();
        assert_eq!(active(&delegation), (10..20).collect::<Vec<_>>());
        assert!(delegation.touches(at(0), at(10)) && !delegation.touches(at(0), at(9)));
        assert!(delegation.touches(at(19), at(30)) && !delegation.touches(at(20), at(30)));
        delegation.revoked_at = Some(at(15));
        assert_eq!(active(&delegation), (10..15).collect::<Vec<_>>());
        assert!(delegation.touches(at(14), at(14)) && !delegation.touches(at(15), at(15)));
        // One that was ended before it began never counted.
        delegation.revoked_at = Some(at(5));
        assert!(active(&delegation).is_empty());
        assert!(!delegation.touches(at(0), at(30)));
        delegation.revoked_at = Some(at(25));
        assert_eq!(delegation.end(), at(20));
    }

    #[test]
    fn what_is_refused() {
        let now = at(5);
        let year = 366 * 86_400 * 1_000_000;
        assert_eq!(check(&from_to(1, 1, 10, 20), &[], now), Err(DelegationFault::Oneself));
        assert_eq!(check(&from_to(1, 2, 20, 20), &[], now), Err(DelegationFault::Window));
        assert_eq!(check(&from_to(1, 2, 0, 5), &[], now), Err(DelegationFault::Window));
        assert_eq!(check(&from_to(1, 2, 10, 11 + year), &[], now), Err(DelegationFault::TooLong));
        assert_eq!(check(&from_to(1, 2, 10, 10 + year), &[], now), Ok(()));
        let known = [from_to(1, 2, 10, 20)];
        assert_eq!(check(&from_to(1, 3, 19, 30), &known, now), Err(DelegationFault::Overlaps));
        assert_eq!(check(&from_to(1, 3, 20, 30), &known, now), Ok(()));
        assert_eq!(check(&known[0], &known, now), Ok(()), "it is not held against itself");
        let revoked = [Delegation { revoked_at: Some(at(12)), ..known[0] }];
        assert_eq!(check(&from_to(1, 3, 12, 30), &revoked, now), Ok(()));
    }

    #[test]
    fn nobody_stands_in_for_themselves_by_way_of_others() {
        let now = at(0);
        let known = [from_to(1, 2, 0, 20), from_to(2, 3, 0, 20)];
        assert_eq!(check(&from_to(2, 1, 30, 40), &known, now), Ok(()), "later is another time");
        assert_eq!(check(&from_to(3, 1, 19, 40), &known, now), Err(DelegationFault::Loop));
        let full = [from_to(1, 2, 0, 20), from_to(2, 3, 0, 20), from_to(3, 4, 0, 20)];
        assert_eq!(check(&from_to(4, 1, 0, 9), &full, now), Err(DelegationFault::Loop));
        // Two that never count at the same time make no chain.
        let apart = [from_to(1, 2, 0, 10), from_to(2, 3, 10, 20)];
        assert_eq!(check(&from_to(3, 1, 0, 20), &apart, now), Ok(()));
    }

    #[test]
    fn at_most_three_in_a_row() {
        let now = at(0);
        let known = [from_to(1, 2, 0, 20), from_to(2, 3, 0, 20), from_to(3, 4, 0, 20)];
        assert_eq!(check(&from_to(4, 5, 19, 30), &known, now), Err(DelegationFault::ChainTooLong));
        assert_eq!(check(&from_to(9, 1, 0, 5), &known, now), Err(DelegationFault::ChainTooLong));
        assert_eq!(check(&from_to(9, 2, 0, 5), &known, now), Ok(()));
        assert_eq!(check(&from_to(4, 5, 20, 30), &known, now), Ok(()));
        // In the middle: one before, two after.
        let ends = [from_to(1, 2, 0, 20), from_to(3, 4, 0, 20), from_to(4, 5, 0, 20)];
        assert_eq!(check(&from_to(2, 3, 0, 20), &ends, now), Err(DelegationFault::ChainTooLong));
        assert_eq!(check(&from_to(2, 4, 0, 20), &ends, now), Ok(()));
        // What comes before is over when what comes after begins.
        let apart = [from_to(1, 2, 0, 10), from_to(3, 4, 10, 20), from_to(4, 5, 10, 20)];
        assert_eq!(check(&from_to(2, 3, 0, 20), &apart, now), Ok(()));
    }

    #[test]
    fn stand_ins_are_at_most_three_steps_away() {
        let known = [
            from_to(1, 2, 0, 20),
            from_to(2, 3, 0, 20),
            from_to(3, 4, 0, 20),
            from_to(4, 5, 0, 20),
            from_to(6, 3, 0, 20),
        ];
        let of = |person: u128, counts: fn(&Delegation) -> bool| {
            stand_ins(user(person), &known, counts).into_iter().map(Id::as_u128).collect::<Vec<_>>()
        };
        assert_eq!(of(1, |_| true), [2, 3, 4]);
        assert_eq!(of(6, |_| true), [3, 4, 5]);
        assert!(of(5, |_| true).is_empty());
        assert_eq!(of(1, |one| one.delegate != UserId::from_u128(3)), [2]);
        let round = [from_to(1, 2, 0, 20), from_to(2, 1, 0, 20)];
        assert_eq!(stand_ins(user(1), &round, |_| true), BTreeSet::from([user(2)]));
        let behind = reached(&BTreeSet::from([user(4)]), &known, Way::Behind, |_| true);
        assert_eq!(behind, [1, 2, 3, 4, 6].into_iter().map(user).collect::<BTreeSet<_>>());
    }
}
