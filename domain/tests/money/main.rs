//! Random purchases, refunds and disputes of payments, with everything that credits are used for in between: after
//! each step the money of the organization adds up to the minor unit, and so do its credits.
//!
//! Purchases and reversals move by the machines of the domain, and their reversals are booked as the server books them:
//! what a payment's credits are, wherever they lie, is spread over the pools, and each share is one command.

#![allow(missing_docs, clippy::panic, clippy::unwrap_used)]

mod books;
mod places;
mod purchases;

use bursar_domain::Credits;
use bursar_domain::id::{AccountId, Id, LotId};
use bursar_domain::ledger::{
    AllocateCredits, AssignDebt, CaptureHold, ExtendLot, HoldCredits, Instruction, MoveCredits, RefundCharge,
    VoidHold,
};
use bursar_domain::purchase::PurchaseState;
use bursar_domain::reversal::{ReversalKind, ReversalState};
use proptest::prelude::*;

use books::{Books, DAY, SECOND, at, credits, department, pool, recent, units, use_of};
use purchases::{Purchase, Reversal};

/// What happens. Purchases, charges and holds are named by how recent they are.
#[derive(Clone, Debug)]
pub enum Step {
    Buy {
        pool: usize,
        credits: i64,
        total: i64,
        days: Option<i64>,
    },
    Invoice {
        pool: usize,
        credits: i64,
        total: i64,
    },
    Pay {
        purchase: usize,
        percent: i64,
    },
    Charge {
        pool: usize,
        department: bool,
        credits: i64,
    },
    Hold {
        pool: usize,
        department: bool,
        credits: i64,
        seconds: i64,
    },
    Capture {
        hold: usize,
        credits: i64,
        last: bool,
    },
    Void {
        hold: usize,
    },
    GiveBack {
        charge: usize,
        credits: i64,
        fault: bool,
    },
    Allocate {
        pool: usize,
        credits: i64,
    },
    Move {
        pool: usize,
        credits: i64,
        department: bool,
    },
    Extend {
        purchase: usize,
        days: i64,
    },
    Refund {
        purchase: usize,
        percent: i64,
        pending: bool,
    },
    /// A refund that was reported as carried out, or is pending, has failed, or has been carried out.
    Told {
        purchase: usize,
        reversal: usize,
        fails: bool,
    },
    Dispute {
        purchase: usize,
        percent: i64,
    },
    Close {
        purchase: usize,
        dispute: usize,
        won: bool,
    },
    Freeze {
        pool: usize,
    },
    Unfreeze {
        pool: usize,
    },
    Wait {
        seconds: i64,
    },
    BringHome,
}

fn step() -> impl Strategy<Value = Step> {
    let (pool, back, department) = (0usize..2, 0usize..4, any::<bool>());
    let percent = || prop_oneof![2 => Just(100i64), 3 => 1i64..100];
    prop_oneof![
        6 => (pool.clone(), 1i64..60, 1i64..30_000, prop::option::of(1i64..20))
            .prop_map(|(pool, credits, total, days)| Step::Buy { pool, credits, total, days }),
        8 => (pool.clone(), department, 1i64..25)
            .prop_map(|(pool, department, credits)| Step::Charge { pool, department, credits }),
        5 => (pool.clone(), department, 1i64..25, 1i64..200_000).prop_map(
            |(pool, department, credits, seconds)| Step::Hold { pool, department, credits, seconds }
        ),
        5 => (back.clone(), 1i64..15, department)
            .prop_map(|(hold, credits, last)| Step::Capture { hold, credits, last }),
        2 => back.clone().prop_map(|hold| Step::Void { hold }),
        4 => (back.clone(), 1i64..12, department)
            .prop_map(|(charge, credits, fault)| Step::GiveBack { charge, credits, fault }),
        4 => (pool.clone(), 1i64..30).prop_map(|(pool, credits)| Step::Allocate { pool, credits }),
        4 => (pool, 1i64..30, department)
            .prop_map(|(pool, credits, department)| Step::Move { pool, credits, department }),
        2 => (back.clone(), 20i64..60).prop_map(|(purchase, days)| Step::Extend { purchase, days }),
        4 => (back.clone(), percent(), any::<bool>())
            .prop_map(|(purchase, percent, pending)| Step::Refund { purchase, percent, pending }),
        3 => (back.clone(), back.clone(), any::<bool>())
            .prop_map(|(purchase, reversal, fails)| Step::Told { purchase, reversal, fails }),
        3 => (back.clone(), percent()).prop_map(|(purchase, percent)| Step::Dispute { purchase, percent }),
        4 => (back.clone(), back.clone(), any::<bool>())
            .prop_map(|(purchase, dispute, won)| Step::Close { purchase, dispute, won }),
        2 => (0usize..2, 1i64..60, 1i64..30_000)
            .prop_map(|(pool, credits, total)| Step::Invoice { pool, credits, total }),
        2 => (back, percent()).prop_map(|(purchase, percent)| Step::Pay { purchase, percent }),
        1 => (0usize..2).prop_map(|pool| Step::Freeze { pool }),
        2 => (0usize..2).prop_map(|pool| Step::Unfreeze { pool }),
        3 => (1i64..200_000).prop_map(|seconds| Step::Wait { seconds }),
        3 => Just(Step::BringHome),
    ]
}

impl Books {
    fn do_step(&mut self, step: &Step) {
        let new_account = AccountId::from_u128(self.number + 600);
        match *step {
            Step::Buy { pool: index, credits: n, total, days } => {
                self.buy(pool(index), (credits(n), total), days, false);
            }
            Step::Invoice { pool: index, credits: n, total } => {
                self.buy(pool(index), (credits(n), total), None, true);
            }
            Step::Pay { purchase, percent } => {
                let fits = |one: &Purchase| one.invoiced && one.state == PurchaseState::AwaitingPayment;
                let Some(index) = self.purchase(purchase, fits) else { return };
                self.pay(index, percent);
            }
            Step::Charge { pool: index, department, credits } => {
                self.ask(pool(index), Instruction::Charge(use_of(department, credits)));
            }
            Step::Hold { pool: index, department, credits, seconds } => {
                let hold = HoldCredits { charge: use_of(department, credits), seconds };
                self.ask(pool(index), Instruction::Hold(hold));
            }
            Step::Capture { hold, credits, last } => {
                let Some((pool, hold)) = recent(&self.holds, hold) else { return };
                let capture = CaptureHold { hold, department: None, lines: Some(units(credits)), last };
                self.ask(pool, Instruction::Capture(capture));
            }
            Step::Void { hold } => {
                let Some((pool, hold)) = recent(&self.holds, hold) else { return };
                self.ask(pool, Instruction::Void(VoidHold { hold, department: None }));
            }
            Step::GiveBack { charge, credits: n, fault } => {
                let Some((pool, charge)) = recent(&self.charges, charge) else { return };
                self.catch_up();
                let charged = &self.state.charges[&charge];
                let refused = charged.credits.saturating_sub(charged.refunded) < credits(n);
                let slices = charged.coming_back(credits(n)).into_iter();
                let slices: Vec<(LotId, Credits)> = slices.map(|slice| (slice.lot, slice.credits)).collect();
                if refused || self.state.pools[&pool].frozen || !self.bring_debt_back(pool, &slices) {
                    return;
                }
                let refund = RefundCharge {
                    charge,
                    department: None,
                    credits: Some(credits(n)),
                    provider_fault: fault,
                    guaranteed: false,
                    first_lot: LotId::from_u128(self.number + 700),
                };
                self.ask(pool, Instruction::Refund(refund));
            }
            Step::Allocate { pool: index, credits: n } => {
                let department = department();
                let allocate = AllocateCredits { department, new_account, credits: credits(n) };
                self.ask(pool(index), Instruction::Allocate(allocate));
            }
            Step::Move { pool: index, credits: n, department: of_department } => {
                let (to_pool, to) = (Some(pool(1 - index)), of_department.then(department));
                let movement = MoveCredits { from: None, to_pool, to, new_account, credits: credits(n) };
                self.ask(pool(index), Instruction::Move(movement));
            }
            Step::Extend { purchase, days } => {
                let Some(index) = self.purchase(purchase, |one| one.lot.is_some()) else { return };
                let (pool, lot) = (self.purchases[index].pool, self.purchases[index].lot.unwrap());
                let expires_at = Some(at(self.now).plus_seconds(days * DAY));
                let new_lot = LotId::from_u128(self.number + 800);
                self.ask(pool, Instruction::Extend(ExtendLot { lot, new_lot, expires_at }));
            }
            Step::Refund { purchase, percent, pending } => {
                let Some(index) = self.purchase(purchase, |_| true) else { return };
                let state = if pending { ReversalState::Pending } else { ReversalState::Succeeded };
                self.reverse(index, (ReversalKind::Refund, state), percent);
            }
            Step::Told { purchase, reversal, fails } => {
                let said = if fails { ReversalState::Failed } else { ReversalState::Succeeded };
                self.told(purchase, reversal, said, |one| one.kind == ReversalKind::Refund);
            }
            Step::Dispute { purchase, percent } => {
                let Some(index) = self.purchase(purchase, |_| true) else { return };
                self.reverse(index, (ReversalKind::Dispute, ReversalState::Open), percent);
            }
            Step::Close { purchase, dispute, won } => {
                let said = if won { ReversalState::Won } else { ReversalState::Lost };
                self.told(purchase, dispute, said, |one| one.state == ReversalState::Open);
            }
            Step::Freeze { pool: index } => {
                self.catch_up();
                self.state.pools.get_mut(&pool(index)).unwrap().frozen = true;
            }
            Step::Unfreeze { pool: index } => self.unfreeze(pool(index)),
            Step::Wait { seconds } => {
                self.now += seconds * SECOND;
                self.catch_up();
            }
            Step::BringHome => self.bring_home(),
        }
    }

    /// Makes what pools owe of other pools' purchases the debt of those, as far as it has not been settled.
    fn bring_home(&mut self) {
        for (pool, lot, credits) in std::mem::take(&mut self.owed) {
            let to_pool = self.home_of(lot);
            if to_pool == pool {
                continue;
            }
            if [pool, to_pool].iter().any(|pool| self.state.pools[pool].frozen) {
                self.owed.push((pool, lot, credits));
                continue;
            }
            let before = [pool, to_pool].map(|pool| self.state.pools[&pool].debt());
            let assign = AssignDebt { lot, to_pool, credits };
            let moved =
                self.ask(pool, Instruction::Assign(assign)).map_or(Credits::ZERO, |done| done.credits);
            assert_eq!(moved, credits.min(before[0]));
            let after = [pool, to_pool].map(|pool| self.state.pools[&pool].debt());
            assert_eq!(after, [before[0].saturating_sub(moved), before[1].saturating_add(moved)]);
        }
    }

    /// The place of a purchase in the list, if it is one that fits.
    fn purchase(&self, back: usize, fits: impl Fn(&Purchase) -> bool) -> Option<usize> {
        let fitting = self.purchases.iter().enumerate().filter(|(_, one)| fits(one));
        let fitting: Vec<usize> = fitting.map(|(index, _)| index).collect();
        recent(&fitting, back)
    }

    /// Something is told of one of the reversals that fit.
    fn told(
        &mut self,
        purchase: usize,
        reversal: usize,
        said: ReversalState,
        fits: impl Fn(&Reversal) -> bool,
    ) {
        let with = |one: &Purchase| one.reversals.iter().any(&fits);
        let Some(index) = self.purchase(purchase, with) else { return };
        let reversals = self.purchases[index].reversals.iter().enumerate();
        let fitting: Vec<usize> = reversals.filter(|(_, one)| fits(one)).map(|(n, _)| n).collect();
        let Some(reversal) = recent(&fitting, reversal) else { return };
        self.hear(index, reversal, said);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn money_and_credits_add_up_after_every_step(steps in prop::collection::vec(step(), 1..120)) {
        let mut books = Books::new();
        for step in &steps {
            books.do_step(step);
            books.check(step);
        }
        // In the end all pools are open, and nothing waits but for disputes.
        for index in 0..2 {
            let step = Step::Unfreeze { pool: index };
            books.do_step(&step);
            books.check(&step);
        }
    }
}

/// Half of a purchase is moved to another pool and held there; the payment goes back, and the hold is captured.
#[test]
fn what_is_used_elsewhere_is_owed_at_home() {
    let mut books = Books::new();
    let steps = [
        Step::Buy { pool: 0, credits: 10, total: 1_000, days: None },
        Step::Move { pool: 0, credits: 5, department: false },
        Step::Hold { pool: 1, department: false, credits: 5, seconds: 3_600 },
        Step::Refund { purchase: 0, percent: 100, pending: false },
        Step::Capture { hold: 0, credits: 3, last: false },
    ];
    let look = |books: &Books| {
        [0, 1].map(|index| {
            let pool = &books.state.pools[&pool(index)];
            (pool.debt().get(), pool.head.receivable)
        })
    };
    for step in &steps {
        books.do_step(step);
        books.check(step);
    }
    assert_eq!(look(&books), [(0, 0), (3, 500)]);
    // Three fifths of what is receivable go along; two credits are still to be taken back where they are held.
    books.do_step(&Step::BringHome);
    books.check(&Step::BringHome);
    assert_eq!(look(&books), [(3, 300), (0, 200)]);
    // Captured in two parts, and what is settled meanwhile stays settled where it was.
    let capture = Step::Capture { hold: 0, credits: 2, last: true };
    books.do_step(&capture);
    books.check(&capture);
    assert_eq!(look(&books), [(3, 300), (2, 200)]);
    let buy = Step::Buy { pool: 1, credits: 1, total: 120, days: None };
    books.do_step(&buy);
    books.check(&buy);
    // A freeze there stands in its way, and that nobody uses that pool any more does not.
    let home = |books: &mut Books, frozen, archived| {
        let home = books.state.pools.get_mut(&pool(0)).unwrap();
        (home.frozen, home.archived) = (frozen, archived);
    };
    home(&mut books, true, true);
    let assign = AssignDebt { lot: books.purchases[0].lot.unwrap(), to_pool: pool(0), credits: credits(1) };
    assert!(books.ask(pool(1), Instruction::Assign(assign)).is_none());
    home(&mut books, false, true);
    books.do_step(&Step::BringHome);
    books.check(&Step::BringHome);
    assert_eq!(look(&books), [(4, 400), (0, 0)]);
}

/// What comes back elsewhere of a purchase that was returned reduces the debt of its pool before anything is free.
#[test]
fn what_comes_back_elsewhere_reduces_debt_at_home() {
    let mut books = Books::new();
    let steps = [
        Step::Buy { pool: 0, credits: 100, total: 10_000, days: None },
        Step::Move { pool: 0, credits: 20, department: false },
        Step::Charge { pool: 1, department: false, credits: 20 },
        Step::Refund { purchase: 0, percent: 100, pending: false },
        Step::GiveBack { charge: 0, credits: 15, fault: false },
    ];
    for step in &steps {
        books.do_step(step);
        books.check(step);
    }
    let look = |books: &Books| [0, 1].map(|index| books.state.pools[&pool(index)].debt().get());
    assert_eq!(look(&books), [5, 0]);
    assert_eq!(books.state.pools[&pool(1)].head.posted, 0);
    // What a later purchase has settled is settled: then the rest is free.
    for step in [
        Step::Buy { pool: 0, credits: 5, total: 700, days: None },
        Step::GiveBack { charge: 0, credits: 5, fault: false },
    ] {
        books.do_step(&step);
        books.check(&step);
    }
    assert_eq!(look(&books), [0, 0]);
    assert_eq!(books.state.pools[&pool(1)].head.posted, 5);
}

/// Free, held and used credits of a refund that has failed after all: as if it had not been, whatever was settled meanwhile.
#[test]
fn a_refund_that_fails_is_undone() {
    let mut books = Books::new();
    let steps = [
        Step::Buy { pool: 0, credits: 100, total: 10_000, days: Some(1) },
        Step::Move { pool: 0, credits: 30, department: false },
        Step::Charge { pool: 0, department: false, credits: 10 },
        Step::Hold { pool: 0, department: false, credits: 20, seconds: 3_600 },
        Step::Refund { purchase: 0, percent: 100, pending: false },
        Step::Told { purchase: 0, reversal: 0, fails: true },
    ];
    for step in &steps {
        books.do_step(step);
        books.check(step);
    }
    let look = |books: &Books| {
        [0, 1].map(|index| {
            let pool = &books.state.pools[&pool(index)];
            (pool.head.posted, pool.head.held, pool.debt().get(), pool.head.receivable)
        })
    };
    assert_eq!(look(&books), [(60, 20, 0, 0), (30, 0, 0, 0)]);
    assert_eq!(books.purchases[0].state, PurchaseState::Completed);
    // Returned again, settled by another purchase, lapsed: what was taken then goes on in another lot.
    let steps = [
        Step::Refund { purchase: 0, percent: 100, pending: false },
        Step::Buy { pool: 0, credits: 40, total: 3_000, days: None },
        Step::Void { hold: 0 },
        Step::Wait { seconds: 2 * DAY },
        Step::Told { purchase: 1, reversal: 0, fails: true },
    ];
    for step in &steps {
        books.do_step(step);
        books.check(step);
    }
    // Ten were settled by the other purchase, and come back with all the others.
    assert_eq!(look(&books), [(30 + 100 - 30, 0, 0, 0), (30, 0, 0, 0)]);
}
