//! Reversed payments: what becomes of free, held and used credits, and how what is owed is settled.

use bursar_domain::ledger::{HoldCredits, Instruction, MoveCredits, Refusal, RevokeLot};

use crate::desk::Desk;
use crate::steps::Closing;
use crate::world::{self, SECOND, credits};

fn in_debt(debt: i64) -> Refusal {
    Refusal::PoolInDebt { debt: credits(debt) }
}

#[test]
fn a_reversal_takes_what_is_free_marks_what_is_held_and_lends_what_is_used() {
    let mut desk = Desk::new(&[]);
    let lot = desk.issue(10, 1_000, None);
    desk.charge(None, 3).unwrap();
    let hold = desk.hold(None, 4, 3_600).unwrap();
    desk.revoke(lot, 10).unwrap();
    let position = desk.position(0, None, lot);
    assert_eq!((position.credits, position.held, position.revoking), (credits(4), credits(4), credits(4)));
    assert_eq!((desk.contra().revoked, desk.contra().debt), (3 + 3, -3));
    // Captured it becomes debt, released it is taken back.
    desk.capture(hold, Some(1), false).unwrap();
    assert_eq!(desk.contra().debt, -4);
    desk.capture(hold, Some(2), true).unwrap();
    assert_eq!((desk.contra().revoked, desk.contra().debt), (10, -6));
    assert_eq!(desk.position(0, None, lot).credits, credits(0));
    desk.done();
}

#[test]
fn a_hold_that_ends_is_taken_back_before_anything_lapses() {
    let mut desk = Desk::new(&[]);
    let lot = desk.issue(10, 0, Some(100));
    desk.hold(None, 10, 200).unwrap();
    desk.revoke(lot, 4).unwrap();
    desk.now += 200 * SECOND;
    desk.book_due();
    assert_eq!((desk.contra().revoked, desk.contra().expired, desk.contra().debt), (4, 6, 0));
    desk.done();
}

#[test]
fn a_capture_uses_first_what_is_not_to_be_taken_back() {
    let mut desk = Desk::new(&[]);
    let lot = desk.issue(10, 0, None);
    let (one, other) = (desk.hold(None, 6, 3_600).unwrap(), desk.hold(None, 4, 3_600).unwrap());
    desk.revoke(lot, 4).unwrap();
    desk.capture(one, None, true).unwrap();
    assert_eq!(desk.contra().debt, 0, "as much is still held");
    desk.void(other).unwrap();
    assert_eq!((desk.contra().debt, desk.contra().revoked), (0, 4));
    desk.done();
}

#[test]
fn debt_blocks_and_the_next_lot_settles_it_first() {
    let mut desk = Desk::new(&[]);
    let lot = desk.issue(10, 1_000, None);
    desk.allocate(0, 2).unwrap();
    desk.charge(None, 8).unwrap();
    desk.issue(5, 500, None);
    desk.revoke(lot, 10).unwrap();
    assert_eq!((desk.contra().revoked, desk.contra().debt), (10, -8), "what the department has goes, too");
    assert_eq!(desk.charge(None, 1), Err(in_debt(8)));
    assert_eq!(desk.hold(None, 1, 60), Err(in_debt(8)));
    assert_eq!(desk.allocate(0, 1).unwrap_err(), in_debt(8));
    let to = Some(world::pool(1));
    let away =
        MoveCredits { from: None, to_pool: to, to: None, new_account: desk.account(), credits: credits(1) };
    assert_eq!(desk.ask(0, Instruction::Move(away)).unwrap_err(), in_debt(8));
    let first = desk.issue(3, 300, None);
    assert_eq!((desk.contra().debt, desk.position(0, None, first).credits), (-5, credits(0)));
    let second = desk.issue(7, 700, None);
    let position = desk.position(0, None, second);
    assert_eq!((desk.contra().debt, position.credits, position.cost), (0, credits(2), 200));
    desk.charge(None, 7).unwrap();
    desk.done();
}

#[test]
fn a_department_gets_no_new_lot_of_a_pool_in_debt() {
    let mut desk = Desk::new(&[]);
    let lot = desk.issue(1, 0, None);
    desk.charge(None, 1).unwrap();
    desk.revoke(lot, 1).unwrap();
    let mut issue = desk.lot(5, 0, None);
    issue.department = Some(world::department(0));
    assert_eq!(desk.ask(0, Instruction::Issue(issue)).unwrap_err(), in_debt(1));
    desk.done();
}

#[test]
fn a_refund_into_a_reversed_lot_reduces_debt_first() {
    let mut desk = Desk::new(&[]);
    let lot = desk.issue(10, 1_000, None);
    let charge = desk.charge(None, 10).unwrap();
    desk.revoke(lot, 6).unwrap();
    desk.refund(charge, Some(4), false).unwrap();
    assert_eq!((desk.contra().debt, desk.free(None)), (-2, 0));
    let refund = desk.refund(charge, Some(4), false).unwrap();
    assert_eq!((desk.contra().debt, desk.free(None), refund.cost), (0, 2, 400));
    desk.refund(charge, None, false).unwrap();
    let position = desk.position(0, None, lot);
    assert_eq!((position.credits, position.cost), (credits(4), 400));
    desk.done();
}

/// What goes on in later lots came with the same payment: debt is on the first of them, and all of them reduce it.
#[test]
fn a_refund_into_a_lot_that_goes_on_for_a_reversed_one_reduces_debt_first() {
    let mut desk = Desk::new(&[]);
    let lot = desk.issue(100, 10_000, Some(3_600));
    let heir = desk.extend(lot, 7_200).unwrap();
    let charge = desk.charge(None, 100).unwrap();
    desk.revoke(lot, 100).unwrap();
    assert_eq!(desk.contra().debt, -100);
    desk.refund(charge, Some(40), false).unwrap();
    assert_eq!((desk.contra().debt, desk.free(None)), (-60, 0));
    desk.refund(charge, Some(60), false).unwrap();
    assert_eq!((desk.contra().debt, desk.position(0, None, heir).credits), (0, credits(0)));
    // The other way round: it was taken back from the later one, and the first one was used.
    let first = desk.issue(10, 1_000, Some(3_600));
    let used = desk.charge(None, 4).unwrap();
    let later = desk.extend(first, 7_200).unwrap();
    desk.revoke(later, 10).unwrap();
    assert_eq!(desk.contra().debt, -4);
    desk.refund(used, None, false).unwrap();
    assert_eq!((desk.contra().debt, desk.free(None)), (0, 0));
    desk.done();
}

#[test]
fn a_refund_into_another_lot_does_not_reduce_debt() {
    let mut desk = Desk::new(&[]);
    let (lot, other) = (desk.issue(5, 0, None), desk.issue(5, 0, None));
    desk.charge(None, 5).unwrap();
    let charge = desk.charge(None, 5).unwrap();
    desk.revoke(lot, 5).unwrap();
    desk.refund(charge, None, false).unwrap();
    assert_eq!((desk.contra().debt, desk.position(0, None, other).credits), (-5, credits(5)));
    desk.done();
}

#[test]
fn a_reversal_is_known_to_a_refund_of_the_same_batch() {
    let mut desk = Desk::new(&[]);
    let lot = desk.issue(10, 0, None);
    let charge = desk.charge(None, 10).unwrap();
    let reversal = desk
        .command(0, Instruction::Revoke(RevokeLot { lot, credits: credits(10), value: 0, disputed: false }));
    let refund = desk.refund_of(charge, Some(4), false);
    let refund = desk.command(0, Instruction::Refund(refund));
    desk.tenant.together(&[reversal, refund]).unwrap();
    assert_eq!((desk.contra().debt, desk.free(None)), (-6, 0));
    desk.done();
}

#[test]
fn an_archived_pool_owes_what_was_used_there() {
    let mut desk = Desk::new(&[]);
    let lot = desk.issue(10, 1_000, None);
    desk.charge(None, 10).unwrap();
    desk.tenant.close(Closing::ArchivedPool(0), true);
    desk.reverse(lot, 6, 600, false).unwrap();
    assert_eq!((desk.contra().revoked, desk.contra().debt), (6, -6));
    // Nothing else happens there, and while its books are looked at, not even that.
    assert_eq!(desk.charge(None, 1).unwrap_err(), Refusal::PoolArchived);
    desk.tenant.close(Closing::Frozen(0), true);
    assert!(desk.reverse(lot, 4, 400, false).is_err());
    desk.tenant.close(Closing::Frozen(0), false);
    desk.reverse(lot, 4, 400, false).unwrap();
    assert_eq!(desk.contra().debt, -10);
    desk.done();
}

#[test]
fn a_frozen_or_suspended_tenant_moves_nothing() {
    let mut desk = Desk::new(&[]);
    desk.issue(10, 0, Some(100));
    let hold = desk.hold(None, 4, 60).unwrap();
    let charge = desk.charge_of(None, 1);
    for (closing, refusal) in
        [(Closing::Frozen(0), Refusal::PoolFrozen), (Closing::Suspended, Refusal::OrganizationSuspended)]
    {
        desk.tenant.close(closing, true);
        assert_eq!(desk.ask(0, Instruction::Charge(charge.clone())).unwrap_err(), refusal);
        let request = HoldCredits { charge: charge.clone(), seconds: 60 };
        assert_eq!(desk.ask(0, Instruction::Hold(request)).unwrap_err(), refusal);
        if closing == Closing::Suspended {
            // What was agreed on before is brought to its end.
            desk.void(hold).unwrap();
        } else {
            assert_eq!(desk.void(hold).unwrap_err(), refusal);
        }
        desk.tenant.close(closing, false);
    }
    // Time goes on for a suspended organization, and stands still in a frozen pool.
    desk.tenant.close(Closing::Frozen(0), true);
    desk.now += 100 * SECOND;
    assert_eq!(desk.ask(0, Instruction::BookDue).unwrap_err(), Refusal::PoolFrozen);
    assert_eq!(desk.contra().expired, 0);
    desk.tenant.close(Closing::Frozen(0), false);
    desk.tenant.close(Closing::Suspended, true);
    desk.book_due();
    assert_eq!(desk.contra().expired, 10);
    desk.done();
}
