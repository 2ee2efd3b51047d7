//! Random purchases, refunds and disputes of payments, with everything that credits are used for in between: after
//! each step the money of the organization adds up to the minor unit, and so do its credits.
//!
//! Reversals are booked as the server books them: what a payment's credits are, wherever they lie, is spread
//! over the pools, and each share is one command.

#![allow(missing_docs, clippy::panic, clippy::unwrap_used)]

mod books;

use bursar_domain::id::{AccountId, Id, LotId, PoolId};
use bursar_domain::ledger::{
    AllocateCredits, CaptureHold, DisputeLot, ExtendLot, HoldCredits, Instruction, IssueCredits, LotClass,
    LotSource, MoveCredits, Position, RefundCharge, RevokeLot, VoidHold,
};
use bursar_domain::reversal::{Place, Share, revoked_credits, spread};
use bursar_domain::{Credits, Currency};
use proptest::prelude::*;

use books::{Books, DAY, Payment, SECOND, at, credits, department, pool, recent, units, use_of};

/// What happens. Payments, charges and holds are named by how recent they are.
#[derive(Clone, Debug)]
pub enum Step {
    Buy { pool: usize, credits: i64, total: i64, days: Option<i64> },
    Charge { pool: usize, department: bool, credits: i64 },
    Hold { pool: usize, department: bool, credits: i64, seconds: i64 },
    Capture { hold: usize, credits: i64, last: bool },
    Void { hold: usize },
    GiveBack { charge: usize, credits: i64, fault: bool },
    Allocate { pool: usize, credits: i64 },
    Move { pool: usize, credits: i64, department: bool },
    Extend { payment: usize, days: i64 },
    Refund { payment: usize, percent: i64 },
    Dispute { payment: usize, percent: i64 },
    Close { payment: usize, won: bool },
    Wait { seconds: i64 },
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
        2 => (back.clone(), 20i64..60).prop_map(|(payment, days)| Step::Extend { payment, days }),
        4 => (back.clone(), percent()).prop_map(|(payment, percent)| Step::Refund { payment, percent }),
        3 => (back.clone(), percent()).prop_map(|(payment, percent)| Step::Dispute { payment, percent }),
        3 => (back, department).prop_map(|(payment, won)| Step::Close { payment, won }),
        3 => (1i64..200_000).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

impl Books {
    fn do_step(&mut self, step: &Step) {
        let new_account = AccountId::from_u128(self.number + 600);
        match *step {
            Step::Buy { pool: index, credits: n, total, days } => self.buy(pool(index), n, total, days),
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
            Step::Extend { payment, days } => {
                let Some(payment) = recent(&self.payments, payment) else { return };
                let expires_at = Some(at(self.now).plus_seconds(days * DAY));
                let new_lot = LotId::from_u128(self.number + 800);
                let extend = ExtendLot { lot: payment.lot, new_lot, expires_at };
                self.ask(payment.pool, Instruction::Extend(extend));
            }
            Step::Refund { payment, percent } => self.refund(payment, percent),
            Step::Dispute { payment, percent } => self.dispute(payment, percent),
            Step::Close { payment, won } => self.close(payment, won),
            Step::Wait { seconds } => {
                self.now += seconds * SECOND;
                self.catch_up();
            }
        }
    }

    fn buy(&mut self, pool: PoolId, n: i64, total: i64, days: Option<i64>) {
        let lot = LotId::from_u128(self.number + 500);
        let issue = IssueCredits {
            lot,
            source: LotSource::Purchase,
            class: LotClass::Paid,
            priority: 0,
            credits: credits(n),
            cost: total,
            currency: Some(Currency::USD),
            expires_at: days.map(|days| at(self.now).plus_seconds(days * DAY)),
            purchase: None,
            department: None,
            new_account: AccountId::from_u128(self.number + 600),
        };
        self.ask(pool, Instruction::Issue(issue)).unwrap();
        let (credits, revoked) = (credits(n), Credits::ZERO);
        self.payments.push(Payment { pool, lot, credits, total, returned: 0, revoked, disputed: None });
    }

    /// The place of a payment in the list, if it is one that nothing is disputed of, or something is.
    fn payment(&self, back: usize, disputed: bool) -> Option<usize> {
        let fits = |index: &usize| self.payments[*index].disputed.is_some() == disputed;
        let fitting: Vec<usize> = (0..self.payments.len()).filter(fits).collect();
        recent(&fitting, back)
    }

    /// A part of what is left of a payment, and the credits that it takes back.
    fn part(&self, index: usize, percent: i64) -> (i64, Credits) {
        let payment = &self.payments[index];
        let left = payment.total - payment.returned;
        let amount = (left * percent / 100).max(left.min(1));
        (amount, self.credits_of(index, amount))
    }

    fn credits_of(&self, index: usize, amount: i64) -> Credits {
        let payment = &self.payments[index];
        let left = payment.credits.saturating_sub(payment.revoked);
        revoked_credits(payment.credits, amount, payment.total, left)
    }

    fn refund(&mut self, back: usize, percent: i64) {
        // While a dispute of the payment is open, refunds wait.
        let Some(index) = self.payment(back, false) else { return };
        let (amount, _) = self.part(index, percent);
        if amount > 0 {
            self.give_money_back(index, amount, false);
        }
    }

    fn give_money_back(&mut self, index: usize, amount: i64, disputed: bool) {
        self.catch_up();
        let (payment, n) = (self.payments[index].clone(), self.credits_of(index, amount));
        let lying = self.lying(&payment, |position| {
            let (free, by_holds) = (position.free().get(), position.by_holds().get());
            let (revoking, contested) = (position.revoking.get(), position.contested.get());
            match disputed {
                true => (free + position.disputed.get(), by_holds - revoking),
                false => (free, by_holds - revoking - contested),
            }
        });
        self.refunded += amount;
        if n.is_zero() {
            self.bare += amount;
        }
        for Share { pool, lot, credits, value } in spread(&lying, (payment.pool, payment.lot), n, amount) {
            let before = self.state.pools[&pool].debt();
            self.ask(pool, Instruction::Revoke(RevokeLot { lot, credits, value, disputed })).unwrap();
            let owed = self.state.pools[&pool].debt() != before;
            assert!(!owed || pool == payment.pool, "another pool than that of the purchase owes it");
        }
        let payment = &mut self.payments[index];
        payment.returned += amount;
        payment.revoked = payment.revoked.saturating_add(n);
    }

    fn dispute(&mut self, back: usize, percent: i64) {
        let Some(index) = self.payment(back, false) else { return };
        let (amount, n) = self.part(index, percent);
        if amount == 0 {
            return;
        }
        self.catch_up();
        let payment = self.payments[index].clone();
        let lying = self.lying(&payment, |position| {
            let marked = position.revoking.get() + position.contested.get();
            (position.free().get(), position.by_holds().get() - marked)
        });
        for Share { pool, lot, credits, .. } in spread(&lying, (payment.pool, payment.lot), n, 0) {
            self.ask(pool, Instruction::Dispute(DisputeLot { lot, credits })).unwrap();
        }
        self.payments[index].disputed = Some(amount);
    }

    fn close(&mut self, back: usize, won: bool) {
        let Some(index) = self.payment(back, true) else { return };
        let Some(amount) = self.payments[index].disputed.take() else { return };
        if !won {
            self.give_money_back(index, amount, true);
        }
        // What the dispute held and did not need is free again.
        self.catch_up();
        let payment = self.payments[index].clone();
        let kept = |position: &Position| (position.disputed.get(), position.contested.get());
        for Place { pool, lot, free, held } in self.lying(&payment, kept) {
            let credits = free.saturating_add(held);
            self.ask(pool, Instruction::Reinstate(DisputeLot { lot, credits })).unwrap();
        }
        assert_eq!(self.lying(&payment, kept), [], "a dispute is over and still holds");
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
        for payment in &books.payments {
            prop_assert!(payment.returned <= payment.total && payment.revoked <= payment.credits);
        }
    }
}
