//! Edges that chance would seldom meet: instants of expiry, lapsed and extended lots, refills, moves between
//! pools, batches.

use bursar_domain::Credits;
use bursar_domain::ledger::{
    Decision, HoldCredits, HoldState, Instruction, LotClass, MAX_HOLD_SECONDS, MoveCredits, REPLACEMENT_DAYS,
    Refusal, Scope, TakeBackCredits, TransferKind, decide,
};

use crate::desk::Desk;
use crate::steps::Closing;
use crate::world::{self, DAY, MONTH, SECOND, at, credits};

#[test]
fn a_hold_ends_at_its_very_instant() {
    let mut desk = Desk::new(&[]);
    desk.issue(10, 0, None);
    let hold = desk.hold(None, 5, 60).unwrap();
    desk.now += 60 * SECOND - 1;
    desk.capture(hold, Some(1), false).unwrap();
    assert_eq!(desk.free(None), 5);
    desk.now += 1;
    let closed = Err(Refusal::HoldClosed { state: HoldState::Expired });
    assert_eq!(desk.capture(hold, Some(1), false), closed);
    assert_eq!(desk.free(None), 9);
    let last = desk.tenant.journal.books[&world::pool(0)].history.last().unwrap();
    assert_eq!((last.kind, last.effective_at), (TransferKind::Release, at(desk.now)));
    desk.charge(None, 9).unwrap();
    desk.tenant.restart();
    assert_eq!(desk.void(hold).unwrap_err(), Refusal::HoldNotFound);
    desk.done();
}

#[test]
fn a_hold_that_expired_long_ago_ended_at_its_instant() {
    let mut desk = Desk::new(&[]);
    desk.issue(10, 0, None);
    let began = desk.now;
    desk.hold(None, 5, 60).unwrap();
    desk.now += DAY;
    desk.book_due();
    let last = desk.tenant.journal.books[&world::pool(0)].history.last().unwrap();
    assert_eq!((last.created_at, last.effective_at), (at(desk.now), at(began + 60 * SECOND)));
    desk.done();
}

#[test]
fn a_hold_lives_from_a_second_to_three_days() {
    let mut desk = Desk::new(&[]);
    desk.issue(10, 0, None);
    for seconds in [0, -1, MAX_HOLD_SECONDS + 1] {
        assert_eq!(desk.hold(None, 1, seconds), Err(Refusal::LifetimeOutOfRange));
    }
    desk.hold(None, 1, 1).unwrap();
    desk.hold(None, 1, MAX_HOLD_SECONDS).unwrap();
    desk.done();
}

#[test]
fn a_lot_that_lapses_while_it_is_held_can_still_be_captured() {
    for end in [HoldState::Captured, HoldState::Voided, HoldState::Expired] {
        let mut desk = Desk::new(&[]);
        let lot = desk.issue(10, 1_000, Some(100));
        let hold = desk.hold(None, 10, 1_000).unwrap();
        desk.now += 100 * SECOND;
        desk.book_due();
        assert_eq!(desk.position(0, None, lot).credits, credits(10), "what is held does not lapse");
        desk.capture(hold, Some(3), false).unwrap();
        match end {
            HoldState::Captured => _ = desk.capture(hold, Some(1), true).unwrap(),
            HoldState::Voided => _ = desk.void(hold).unwrap(),
            _ => {
                desk.now += DAY;
                desk.book_due();
            }
        }
        let used = if end == HoldState::Captured { 4 } else { 3 };
        assert_eq!((desk.contra().consumed, desk.contra().expired), (used, 10 - used), "{end}");
        let lapse = desk.tenant.journal.books[&world::pool(0)].history.last().unwrap();
        assert_eq!((lapse.kind, lapse.cost), (TransferKind::Lapse, (10 - used) * 100));
        // It lapsed when it was let go, since it was held before.
        let let_go = if end == HoldState::Expired { world::START + 1_000 * SECOND } else { desk.now };
        assert_eq!(lapse.effective_at, at(let_go), "{end}");
        desk.done();
    }
}

#[test]
fn credits_lapse_at_their_very_instant() {
    let mut desk = Desk::new(&[]);
    desk.issue(10, 0, Some(100));
    desk.now += 100 * SECOND - 1;
    desk.charge(None, 1).unwrap();
    desk.now += 1;
    let short = Refusal::InsufficientCredits {
        scope: Scope::Unallocated,
        available: Credits::ZERO,
        short_by: credits(1),
    };
    assert_eq!(desk.charge(None, 1), Err(short));
    assert_eq!(desk.contra().expired, 9);
    let past = desk.lot(1, 0, Some(0));
    assert_eq!(desk.ask(0, Instruction::Issue(past)).unwrap_err(), Refusal::ExpiryPast);
    desk.done();
}

#[test]
fn a_refund_into_a_lapsed_lot_lapses_or_is_replaced() {
    let mut desk = Desk::new(&[]);
    let lot = desk.issue(10, 1_000, Some(100));
    let charge = desk.charge(None, 10).unwrap();
    desk.now += 100 * SECOND - 1;
    desk.refund(charge, Some(1), true).unwrap();
    assert_eq!(desk.position(0, None, lot).credits, credits(1), "it has not lapsed yet");
    desk.now += 1;
    let lapsed = desk.refund(charge, Some(3), false).unwrap();
    assert!(lapsed.lots.is_empty());
    assert_eq!(desk.contra().expired, 4);
    let replaced = desk.refund(charge, None, true).unwrap();
    let [new] = replaced.lots.as_slice() else { panic!("{replaced:?}") };
    assert_eq!(
        (new.replaces, new.class, new.credits, new.cost),
        (Some(lot), LotClass::Paid, credits(6), 600)
    );
    assert_eq!(new.expires_at, Some(at(desk.now).plus_days(REPLACEMENT_DAYS)));
    let position = desk.position(0, None, new.id);
    assert_eq!((position.credits, position.cost), (credits(6), 600));
    let nothing = Refusal::RefundExceedsCharge { refundable: Credits::ZERO };
    assert_eq!(desk.refund(charge, None, false).unwrap_err(), nothing);
    desk.done();
}

#[test]
fn a_refund_follows_an_extension() {
    let mut desk = Desk::new(&[]);
    let lot = desk.issue(10, 1_000, Some(100));
    let charge = desk.charge(None, 4).unwrap();
    let longer = desk.extend(lot, 1_000).unwrap();
    assert_eq!(desk.position(0, None, longer).credits, credits(6));
    desk.refund(charge, Some(1), false).unwrap();
    assert_eq!(desk.position(0, None, lot).credits, credits(1), "the old lot has not lapsed");
    desk.now += 100 * SECOND;
    let refund = desk.refund(charge, Some(1), true).unwrap();
    assert!(refund.lots.is_empty(), "there is a lot that goes on");
    assert_eq!(desk.position(0, None, longer).credits, credits(7));
    let longest = desk.extend(longer, 10_000).unwrap();
    desk.now += 1_000 * SECOND;
    desk.refund(charge, Some(1), false).unwrap();
    let position = desk.position(0, None, longest);
    assert_eq!((position.credits, position.cost), (credits(8), 800));
    desk.now += 10_000 * SECOND;
    desk.refund(charge, Some(1), false).unwrap();
    assert_eq!((desk.contra().expired, desk.contra().consumed), (10, 0));
    assert_eq!(desk.contra().clearing, 0);
    desk.done();
}

#[test]
fn only_a_later_expiry_extends_a_lot() {
    let mut desk = Desk::new(&[]);
    let (lot, endless) = (desk.issue(10, 0, Some(100)), desk.issue(10, 0, None));
    assert_eq!(desk.extend(lot, 100), Err(Refusal::ExpiryNotLater));
    assert_eq!(desk.extend(endless, 200), Err(Refusal::ExpiryNotLater));
    let hold = desk.hold(None, 10, 60).unwrap();
    assert_eq!(desk.extend(lot, 200), Err(Refusal::LotNotFound), "what is held stays what it is");
    desk.void(hold).unwrap();
    desk.now += 100 * SECOND;
    assert_eq!(desk.extend(lot, 200), Err(Refusal::LotNotFound), "what has lapsed is gone");
    desk.done();
}

#[test]
fn a_refund_comes_back_to_where_it_was_taken() {
    let mut desk = Desk::new(&[]);
    desk.issue(20, 0, None);
    desk.allocate(0, 5).unwrap();
    let own = (world::pool(0), world::department(0));
    let account = desk.tenant.state.pools[&own.0].account_of(own.1).unwrap();
    desk.tenant.set_allocation((0, own.1), account, (true, None), desk.now);
    let charge = desk.charge(Some(0), 8).unwrap();
    assert_eq!((desk.free(Some(0)), desk.free(None)), (0, 12));
    desk.refund(charge, Some(4), false).unwrap();
    assert_eq!((desk.free(Some(0)), desk.free(None)), (1, 15), "what was used last comes back first");
    desk.tenant.close(Closing::ArchivedDepartment(0), true);
    desk.refund(charge, None, false).unwrap();
    assert_eq!((desk.free(Some(0)), desk.free(None)), (1, 19), "not into an archived department");
    desk.done();
}

#[test]
fn a_refill_rolls_over_tops_up_and_says_what_it_lacks() {
    let mut desk = Desk::new(&[]);
    desk.issue(30, 3_000, None);
    desk.allocate(0, 9).unwrap();
    let (own, account) = (world::department(0), desk.account());
    desk.tenant.set_allocation((0, own), account, (false, Some((10, 4))), desk.now);
    let month = desk.now;
    assert_eq!(desk.refill(0, month).unwrap_err(), Refusal::NothingToRefill, "it begins with the next one");
    assert_eq!(desk.refill(0, month + MONTH).unwrap_err(), Refusal::NothingToRefill, "not before it begins");
    desk.now = world::period_start(1, desk.now) + MONTH;
    let now = desk.now;
    let refill = desk.refill(0, now).unwrap();
    assert_eq!((refill.credits, refill.shortfall), (credits(5 + 6), Credits::ZERO), "5 back, 6 more");
    assert_eq!((desk.free(Some(0)), desk.free(None)), (10, 20));
    assert_eq!(desk.refill(0, now).unwrap_err(), Refusal::NothingToRefill, "once a period");
    // What is held is left alone, and what unallocated lacks is told and not made up later.
    desk.charge(None, 18).unwrap();
    desk.charge(Some(0), 5).unwrap();
    desk.hold(Some(0), 4, MAX_HOLD_SECONDS).unwrap();
    desk.now += MONTH - DAY;
    desk.hold(Some(0), 5, MAX_HOLD_SECONDS).unwrap();
    desk.now += DAY;
    let now = desk.now;
    let refill = desk.refill(0, now).unwrap();
    assert_eq!((refill.credits, refill.shortfall), (credits(2), credits(8)));
    assert_eq!((desk.free(Some(0)), desk.free(None)), (2, 0));
    desk.issue(50, 0, None);
    assert_eq!(desk.refill(0, now).unwrap_err(), Refusal::NothingToRefill);
    assert_eq!(desk.free(Some(0)), 2);
    // Nothing that was bought is lost by any of this.
    let head = desk.tenant.state.pools[&world::pool(0)].head;
    assert_eq!(head.posted, 30 + 50 - 18 - 5);
    desk.done();
}

#[test]
fn a_move_between_pools_takes_lot_and_cost_along() {
    let mut desk = Desk::new(&[]);
    let lot = desk.issue(10, 1_000, Some(1_000));
    let request = MoveCredits {
        from: None,
        to_pool: Some(world::pool(1)),
        to: Some(world::department(1)),
        new_account: desk.account(),
        credits: credits(3),
    };
    let moved = desk.ask(0, Instruction::Move(request.clone())).unwrap();
    let [out, into] = moved.transfers.as_slice() else { panic!("{moved:?}") };
    assert_eq!((out.counterpart, into.counterpart), (Some((into.pool, 1)), Some((out.pool, 2))));
    let position = desk.position(1, Some(1), lot);
    assert_eq!((position.credits, position.cost), (credits(3), 300));
    assert_eq!(desk.contra().clearing, 3);
    let own = MoveCredits { to_pool: Some(world::pool(0)), ..request.clone() };
    assert_eq!(desk.ask(0, Instruction::Move(own)).unwrap_err(), Refusal::SamePlace);
    desk.tenant.close(Closing::ArchivedPool(1), true);
    let there = Refusal::Target(Box::new(Refusal::PoolArchived));
    assert_eq!(desk.ask(0, Instruction::Move(request)).unwrap_err(), there);
    desk.tenant.close(Closing::ArchivedPool(1), false);
    desk.now += 1_000 * SECOND;
    desk.ask(1, Instruction::BookDue).unwrap();
    assert_eq!(
        desk.position(1, Some(1), lot).credits,
        Credits::ZERO,
        "it lapses there as it would have here"
    );
    desk.done();
}

#[test]
fn a_correction_takes_what_would_be_used_last_or_one_lot() {
    let mut desk = Desk::new(&[]);
    let (soon, late) = (desk.issue(5, 0, Some(100)), desk.issue(5, 0, None));
    let take = |n, lot| Instruction::TakeBack(TakeBackCredits { department: None, credits: credits(n), lot });
    desk.ask(0, take(2, None)).unwrap();
    assert_eq!(desk.position(0, None, late).credits, credits(3));
    desk.ask(0, take(4, Some(soon))).unwrap();
    assert_eq!(desk.position(0, None, soon).credits, credits(1));
    let short = Refusal::InsufficientCredits {
        scope: Scope::Unallocated,
        available: credits(1),
        short_by: credits(1),
    };
    assert_eq!(desk.ask(0, take(2, Some(soon))).unwrap_err(), short);
    assert_eq!(desk.contra().revoked, 6);
    desk.done();
}

#[test]
fn of_a_batch_all_is_done_or_nothing() {
    let mut desk = Desk::new(&[]);
    desk.issue(10, 0, None);
    let charge = |desk: &mut Desk, n| {
        let charge = desk.charge_of(None, n);
        desk.command(0, Instruction::Charge(charge))
    };
    let held = HoldCredits { charge: desk.charge_of(None, 2), seconds: 60 };
    let hold = desk.command(0, Instruction::Hold(held));
    let batch = [charge(&mut desk, 3), hold, charge(&mut desk, 6), charge(&mut desk, 1)];
    // What is left of it, compared by `together`, is nothing.
    assert_eq!(desk.tenant.together(&batch).unwrap_err(), 2);
    assert_eq!(desk.free(None), 10);
    let [first, hold, _, last] = batch;
    assert_eq!(desk.tenant.together(&[first, hold, last]).unwrap().len(), 3);
    assert_eq!(desk.free(None), 4);
    desk.done();
}

#[test]
fn what_was_ever_issued_stays_in_range() {
    // No model for this: it counts single coins.
    let mut desk = Desk::new(&[]);
    let all = desk.lot(Credits::MAX.get(), 0, None);
    let all = desk.command(0, Instruction::Issue(all));
    assert!(matches!(decide(&mut desk.tenant.state, &all), Ok(Decision::Applied(_))));
    let one = desk.lot(1, 0, None);
    let one = desk.command(0, Instruction::Issue(one));
    assert_eq!(decide(&mut desk.tenant.state, &one).unwrap_err(), Refusal::AmountTooLarge);
    let charge = desk.charge_of(None, 1_000_000);
    let charge = desk.command(0, Instruction::Charge(charge));
    assert!(matches!(decide(&mut desk.tenant.state, &charge), Ok(Decision::Applied(_))));
    let again = desk.command(0, one.instruction.clone());
    assert_eq!(decide(&mut desk.tenant.state, &again).unwrap_err(), Refusal::AmountTooLarge);
}
