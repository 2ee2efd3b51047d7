//! Spending caps at their limit: one credit less, exactly as much, and one more, for every scope, by a charge
//! and by a hold, after whatever counts or does not count.

use bursar_domain::id::{CapId, ChargeId, HoldId, Id};
use bursar_domain::ledger::{CapScope, Refusal};
use bursar_domain::period::PeriodKind;

use crate::desk::{Desk, STYLE};
use crate::world::{self, MONTH, SECOND, credits};

/// What happens before a cap is tried.
#[derive(Clone, Copy, Debug)]
enum Before {
    Charge(i64),
    /// So much for so many seconds.
    Hold(i64, i64),
    /// Of the hold: so much or all, and whether it is the last.
    Capture(Option<i64>, bool),
    Void,
    /// Of the charge.
    Refund(i64),
    /// By so much for so many seconds.
    Raise(i64, i64),
    /// Microseconds.
    Wait(i64),
    /// To where the next period begins, or microseconds beside it.
    Boundary(i64),
}

use Before::{Boundary, Capture, Charge, Hold, Raise, Refund, Void, Wait};

const LIMIT: i64 = 10;

/// What has happened, and how much is left then.
const ROWS: &[(&[Before], i64)] = &[
    (&[], 10),
    (&[Charge(6)], 4),
    (&[Charge(10)], 0),
    (&[Hold(4, 3_600)], 6),
    (&[Hold(4, 3_600), Charge(3)], 3),
    (&[Hold(4, 3_600), Capture(None, true)], 6),
    (&[Hold(4, 3_600), Capture(Some(1), false)], 6),
    (&[Hold(4, 3_600), Capture(Some(1), true)], 9),
    (&[Hold(4, 3_600), Void], 10),
    (&[Hold(4, 60), Wait(60 * SECOND - 1)], 6),
    (&[Hold(4, 60), Wait(60 * SECOND)], 10),
    (&[Charge(6), Refund(2)], 6),
    (&[Charge(6), Refund(6)], 10),
    (&[Hold(4, 3_600), Capture(Some(3), true), Refund(2)], 9),
    (&[Hold(4, 3_600), Capture(Some(3), false), Refund(2)], 8),
    (&[Raise(5, 100)], 15),
    (&[Raise(5, 100), Raise(2, 50)], 17),
    (&[Raise(5, 100), Charge(12)], 3),
    (&[Raise(5, 100), Wait(100 * SECOND - 1)], 15),
    (&[Raise(5, 100), Wait(100 * SECOND)], 10),
    (&[Raise(5, 100), Charge(12), Wait(100 * SECOND)], 0),
    (&[Charge(6), Boundary(-1)], 4),
    (&[Charge(6), Boundary(0)], 10),
    (&[Boundary(-SECOND), Hold(4, 3_600), Boundary(-1)], 6),
    (&[Boundary(-SECOND), Hold(4, 3_600), Boundary(0)], 10),
    (&[Boundary(-SECOND), Hold(4, 3_600), Boundary(0), Capture(None, true)], 10),
    (&[Boundary(-SECOND), Hold(4, 3_600), Boundary(0), Capture(Some(1), true), Charge(2)], 8),
    (&[Charge(6), Boundary(0), Refund(6), Charge(3)], 7),
];

const CAP: u128 = 300;

/// A desk with one cap that has seen what is said, with enough credits for all of it.
fn desk(scope: CapScope, period: Option<PeriodKind>, before: &[Before]) -> Desk {
    let mut desk = Desk::new(&[(0, scope, period, LIMIT)]);
    desk.issue(200, 0, None);
    desk.allocate(0, 100).unwrap();
    let (mut hold, mut charge) = (HoldId::from_u128(1), ChargeId::from_u128(1));
    for step in before {
        match *step {
            Charge(n) => charge = desk.charge(Some(0), n).unwrap(),
            Hold(n, seconds) => hold = desk.hold(Some(0), n, seconds).unwrap(),
            Capture(n, last) => charge = desk.capture(hold, n, last).unwrap(),
            Void => _ = desk.void(hold).unwrap(),
            Refund(n) => _ = desk.refund(charge, Some(n), false).unwrap(),
            Raise(n, seconds) => desk.tenant.raise(0, 0, n, desk.now + seconds * SECOND),
            Wait(micros) => desk.now += micros,
            Boundary(beside) => desk.now = world::period_start(1, desk.now) + MONTH + beside,
        }
    }
    desk
}

fn scopes() -> [CapScope; 3] {
    [
        CapScope::Department(world::department(0)),
        CapScope::Member(world::member(0)),
        CapScope::Service(world::service(STYLE)),
    ]
}

/// Tries to use so much of a cap that leaves `room`.
fn tried(mut desk: Desk, by_hold: bool, wanted: i64, room: i64, what: &str) {
    let outcome = match by_hold {
        true => desk.hold(Some(0), wanted, 60).map(|_| ()),
        false => desk.charge(Some(0), wanted).map(|_| ()),
    };
    let exceeded = Refusal::CapExceeded { cap: CapId::from_u128(CAP), headroom: credits(room) };
    let expected = if wanted > room { Err(exceeded) } else { Ok(()) };
    assert_eq!(outcome, expected, "{wanted} of {room}, by hold: {by_hold}: {what}");
    desk.done();
}

#[test]
fn a_limit_admits_what_is_exactly_equal_to_it() {
    for (before, room) in ROWS {
        for scope in scopes() {
            for wanted in [room - 1, *room, room + 1] {
                if wanted < 1 {
                    continue;
                }
                for by_hold in [false, true] {
                    let desk = desk(scope, Some(PeriodKind::Month), before);
                    tried(desk, by_hold, wanted, *room, &format!("{scope:?} after {before:?}"));
                }
            }
        }
    }
}

#[test]
fn a_cap_without_a_period_counts_for_ever() {
    for wanted in [3, 4, 5] {
        let before = [Charge(6), Boundary(0), Wait(7 * MONTH)];
        let desk = desk(scopes()[1], None, &before);
        tried(desk, false, wanted, 4, "long ago");
    }
}

#[test]
fn a_cap_of_nothing_admits_nothing() {
    for scope in scopes() {
        let mut desk = desk(scope, Some(PeriodKind::Quarter), &[]);
        desk.tenant.limit(0, 0, 0);
        tried(desk, true, 1, 0, "a limit of nothing");
    }
}

#[test]
fn a_cap_is_for_its_own_scope_only() {
    let others = [
        CapScope::Department(world::department(1)),
        CapScope::Member(world::member(1)),
        CapScope::Service(world::service(0)),
    ];
    for scope in others {
        let mut desk = desk(scope, Some(PeriodKind::Month), &[]);
        desk.charge(Some(0), LIMIT + 1).unwrap();
        desk.hold(Some(0), LIMIT + 1, 60).unwrap();
        desk.done();
    }
}
