//! Disputed payments: what is held for them, by whom, and what becomes of it; and the money of reversals.

use bursar_domain::id::LotId;
use bursar_domain::ledger::Refusal;

use crate::desk::Desk;
use crate::world::{SECOND, credits};

/// What is held of a position: in all, to be taken back, for a dispute, and waited for by one.
fn held(desk: &Desk, department: Option<usize>, lot: LotId) -> [i64; 4] {
    let position = desk.position(0, department, lot);
    [position.held, position.revoking, position.disputed, position.contested].map(|credits| credits.get())
}

/// What is receivable, and what was adjusted.
fn money(desk: &Desk) -> (i64, i64) {
    (desk.head().receivable, desk.head().adjusted)
}

#[test]
fn a_dispute_holds_what_is_free_and_waits_for_what_is_held() {
    let mut desk = Desk::new(&[]);
    let lot = desk.issue(20, 2_000, None);
    desk.allocate(0, 6).unwrap();
    desk.charge(None, 3).unwrap();
    let hold = desk.hold(None, 5, 3_600).unwrap();
    desk.dispute(lot, 20).unwrap();
    assert_eq!((held(&desk, None, lot), held(&desk, Some(0), lot)), ([11, 0, 6, 5], [6, 0, 6, 0]));
    assert_eq!((desk.free(None), desk.contra().debt), (0, 0), "what was used is nobody's debt yet");
    // What is captured is given up; what is let go is held for the dispute.
    desk.capture(hold, Some(2), true).unwrap();
    assert_eq!(held(&desk, None, lot), [9, 0, 9, 0]);
    // It was won: everything is free again.
    desk.reinstate(lot, 20).unwrap();
    assert_eq!((desk.free(None), desk.free(Some(0)), desk.head().held), (9, 6, 0));
    desk.done();
}

#[test]
fn a_lost_dispute_takes_what_it_held_first_and_the_rest_is_owed() {
    let mut desk = Desk::new(&[]);
    let lot = desk.issue(20, 2_000, None);
    let charge = desk.charge(None, 8).unwrap();
    let hold = desk.hold(None, 5, 3_600).unwrap();
    desk.dispute(lot, 20).unwrap();
    desk.refund(charge, Some(1), false).unwrap();
    desk.capture(hold, Some(1), false).unwrap();
    desk.reverse(lot, 20, 2_000, true).unwrap();
    // 7 were held for it, 1 was free, 4 are still held; 8 have been used.
    assert_eq!(held(&desk, None, lot), [4, 4, 0, 0]);
    assert_eq!((desk.contra().revoked, desk.contra().debt), (16, -8));
    assert_eq!(money(&desk), (1_200, 0));
    desk.void(hold).unwrap();
    assert_eq!((desk.contra().revoked, desk.contra().debt, money(&desk)), (20, -8, (800, 0)));
    // Credits at another price settle it: the difference is an adjustment.
    desk.issue(10, 1_300, None);
    assert_eq!((desk.contra().debt, desk.free(None), money(&desk)), (0, 2, (0, 240)));
    desk.done();
}

#[test]
fn a_dispute_of_what_is_all_held_only_marks_it() {
    let mut desk = Desk::new(&[]);
    let lot = desk.issue(10, 0, None);
    let hold = desk.hold(None, 10, 3_600).unwrap();
    let dispute = desk.dispute(lot, 4).unwrap();
    assert_eq!((dispute.transfers.len(), held(&desk, None, lot)), (2, [10, 0, 0, 4]));
    // Six are not waited for, and are captured first.
    desk.capture(hold, Some(6), false).unwrap();
    assert_eq!(held(&desk, None, lot), [4, 0, 0, 4]);
    desk.capture(hold, Some(1), false).unwrap();
    assert_eq!(held(&desk, None, lot), [3, 0, 0, 3]);
    assert_eq!(desk.reinstate(lot, 4).unwrap().transfers.len(), 2);
    assert_eq!(held(&desk, None, lot), [3, 0, 0, 0]);
    desk.void(hold).unwrap();
    assert_eq!(desk.free(None), 3);
    desk.done();
}

#[test]
fn a_refund_leaves_a_dispute_what_it_holds_and_waits_for() {
    let mut desk = Desk::new(&[]);
    let lot = desk.issue(20, 2_000, None);
    let hold = desk.hold(None, 10, 3_600).unwrap();
    desk.dispute(lot, 14).unwrap();
    assert_eq!(held(&desk, None, lot), [20, 0, 10, 4]);
    // Six of the hold's are nobody's; beyond them a refund finds nothing, however much is in dispute.
    desk.reverse(lot, 7, 700, false).unwrap();
    assert_eq!((held(&desk, None, lot), desk.contra().debt), ([20, 6, 10, 4], -1));
    desk.void(hold).unwrap();
    assert_eq!((held(&desk, None, lot), desk.contra().revoked), ([14, 0, 14, 0], 7));
    desk.done();
}

#[test]
fn a_dispute_of_what_was_used_holds_nothing() {
    let mut desk = Desk::new(&[]);
    let lot = desk.issue(10, 0, None);
    desk.charge(None, 10).unwrap();
    assert!(desk.dispute(lot, 10).unwrap().transfers.is_empty());
    assert!(desk.reinstate(lot, 10).unwrap().transfers.is_empty());
    assert_eq!(desk.dispute(lot, 0).unwrap_err(), Refusal::AmountNotPositive);
    desk.done();
}

#[test]
fn what_a_dispute_holds_lapses_when_it_is_let_go() {
    let mut desk = Desk::new(&[]);
    let lot = desk.issue(10, 1_000, Some(100));
    desk.hold(None, 4, 200).unwrap();
    desk.dispute(lot, 10).unwrap();
    desk.now += 150 * SECOND;
    desk.book_due();
    assert_eq!((desk.contra().expired, held(&desk, None, lot)), (0, [10, 0, 6, 4]));
    // The hold expires, and the dispute has what it held.
    desk.now += 50 * SECOND;
    desk.book_due();
    assert_eq!((desk.contra().expired, held(&desk, None, lot)), (0, [10, 0, 10, 0]));
    desk.reinstate(lot, 10).unwrap();
    assert_eq!((desk.contra().expired, desk.position(0, None, lot).credits), (10, credits(0)));
    desk.done();
}

#[test]
fn several_lots_settle_one_debt_to_the_last_minor_unit() {
    let mut desk = Desk::new(&[]);
    let lot = desk.issue(7, 1_000, None);
    desk.charge(None, 7).unwrap();
    desk.reverse(lot, 7, 1_000, false).unwrap();
    assert_eq!(money(&desk), (1_000, 0));
    desk.issue(3, 300, None);
    // 1000 x 3 / 7, rounded.
    assert_eq!(money(&desk), (571, 300 - 429));
    desk.issue(5, 500, None);
    assert_eq!(money(&desk), (0, 300 - 429 + 400 - 571));
    desk.done();
}

#[test]
fn a_part_that_went_back_for_less_than_it_cost_is_adjusted() {
    let mut desk = Desk::new(&[]);
    let lot = desk.issue(10, 1_000, None);
    // One credit more than the money covers is taken back: parts are rounded up.
    desk.reverse(lot, 4, 350, false).unwrap();
    assert_eq!((desk.free(None), money(&desk)), (6, (0, 50)));
    desk.done();
}
