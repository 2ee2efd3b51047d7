//! Purchases and their reversals, as the server moves them: the machines of purchases and reversals say what an event makes
//! of them, and what is to be booked is booked as far as no pool is frozen. What cannot be waits.

use std::collections::{BTreeMap, BTreeSet};

use bursar_domain::id::{AccountId, Id, LotId, PoolId};
use bursar_domain::ledger::{
    DisputeLot, Instruction, IssueCredits, LotClass, LotSource, RestoreLot, RevokeLot,
};
use bursar_domain::money::cost_share;
use bursar_domain::purchase::{Effect, PurchaseEvent, PurchaseState, apply};
use bursar_domain::reversal::{
    Place, ReversalKind, ReversalState, Room, Share, advance, give_back, revoked_credits, spread, waiting,
};
use bursar_domain::{Credits, Currency};

use crate::Step;
use crate::books::{Books, DAY, at};
use crate::places::{claimed, of_lost, sum, unclaimed};

/// A reversal of a payment.
#[derive(Clone, Debug)]
pub struct Reversal {
    pub kind: ReversalKind,
    pub state: ReversalState,
    pub amount: i64,
    pub credits: Credits,
    /// Whether what the dispute is about is held.
    pub held: bool,
    pub booked: bool,
    pub taken: Credits,
    /// The money that has been booked, and how much of it when no credits were left.
    pub value: i64,
    pub nothing: i64,
    /// In which pools how many credits were taken.
    places: BTreeMap<PoolId, Credits>,
}

/// A purchase, with what became of it.
#[derive(Clone, Debug)]
pub struct Purchase {
    pub pool: PoolId,
    /// None: it has not come in yet.
    pub lot: Option<LotId>,
    pub credits: Credits,
    pub total: i64,
    days: Option<i64>,
    pub state: PurchaseState,
    pub invoiced: bool,
    pub paid: i64,
    /// How much of the money is back at the buyer's, as the purchase says.
    pub returned: i64,
    pub reversals: Vec<Reversal>,
}

impl Reversal {
    fn is_returned(&self) -> bool {
        matches!(self.state, ReversalState::Succeeded | ReversalState::Lost)
    }

    fn is_void(&self) -> bool {
        matches!(self.state, ReversalState::Failed | ReversalState::Won)
    }

    fn is_to_be_undone(&self) -> bool {
        self.state == ReversalState::Failed && (!self.taken.is_zero() || self.value > 0)
    }

    fn is_waiting(&self) -> bool {
        match self.state {
            ReversalState::Open => !self.held,
            ReversalState::Succeeded | ReversalState::Lost | ReversalState::Won => !self.booked,
            ReversalState::Failed => self.is_to_be_undone(),
            ReversalState::Pending => false,
        }
    }
}

impl Purchase {
    fn happens(&mut self, event: PurchaseEvent) -> Option<Effect> {
        let moved = apply(self.state, self.invoiced, event).ok()?;
        self.state = moved.to;
        self.invoiced |= event == PurchaseEvent::Invoiced;
        Some(moved.effect)
    }

    /// How much of the money can still go back.
    fn left(&self) -> i64 {
        self.reversals
            .iter()
            .filter(|one| !one.is_void())
            .fold(self.total, |left, one| left - one.amount)
            .max(0)
    }

    fn share_of(&self, own: usize, amount: i64) -> Credits {
        let others = self.reversals.iter().enumerate().filter(|(n, one)| *n != own && !one.is_void());
        let left = others.fold(self.credits, |left, (_, one)| left.saturating_sub(one.credits));
        revoked_credits(self.credits, amount, self.total, left)
    }

    /// What must hold after each step.
    pub fn check(&self, step: &Step) {
        let sum: i64 = self.reversals.iter().filter(|one| one.is_returned()).map(|one| one.amount).sum();
        assert_eq!(self.returned, sum.min(self.total), "{step:?}: {self:?}");
        let ended = [PurchaseState::Completed, PurchaseState::Refunded];
        let whole = self.returned == self.total;
        if ended.contains(&self.state) {
            assert_eq!(whole, self.state == PurchaseState::Refunded, "{step:?}: {self:?}");
        }
        // All money that was told of is booked, once nothing waits any more.
        if self.lot.is_some() && !self.reversals.iter().any(Reversal::is_waiting) {
            let booked: i64 = self.reversals.iter().map(|one| one.value).sum();
            assert_eq!(booked, self.returned, "{step:?}: {self:?}");
        }
        let taken = self.reversals.iter().fold(0, |sum, one| sum + one.taken.get());
        assert!(taken <= self.credits.get(), "{step:?}: {self:?}");
    }
}

impl Books {
    fn is_frozen(&self, pool: PoolId) -> bool {
        self.state.pools[&pool].frozen
    }

    /// A new purchase, paid or on invoice.
    pub fn buy(&mut self, pool: PoolId, (credits, total): (Credits, i64), days: Option<i64>, invoiced: bool) {
        let mut purchase = Purchase {
            pool,
            lot: None,
            credits,
            total,
            days,
            state: PurchaseState::Approved,
            invoiced: false,
            paid: if invoiced { 0 } else { total },
            returned: 0,
            reversals: Vec::new(),
        };
        let event = if invoiced { PurchaseEvent::Invoiced } else { PurchaseEvent::Paid };
        assert_eq!(purchase.happens(event), Some(Effect::Issue));
        self.purchases.push(purchase);
        self.come_in(self.purchases.len() - 1);
    }

    /// Issues the lot of a purchase that should be in, unless its pool is frozen.
    fn come_in(&mut self, index: usize) {
        let one = &self.purchases[index];
        let due = one.state == PurchaseState::Completed
            || one.invoiced && one.state == PurchaseState::AwaitingPayment;
        if !due || one.lot.is_some() || self.is_frozen(one.pool) {
            return;
        }
        let (pool, lot) = (one.pool, LotId::from_u128(self.number + 500));
        let issue = IssueCredits {
            lot,
            source: LotSource::Purchase,
            class: LotClass::Paid,
            priority: 0,
            credits: one.credits,
            cost: one.total,
            currency: Some(Currency::USD),
            expires_at: one.days.map(|days| at(self.now).plus_seconds(days * DAY)),
            purchase: None,
            department: None,
            new_account: AccountId::from_u128(self.number + 600),
        };
        self.ask(pool, Instruction::Issue(issue)).unwrap();
        self.purchases[index].lot = Some(lot);
    }

    /// A part of an invoice is paid, or all that is left of it.
    pub fn pay(&mut self, index: usize, percent: i64) {
        let one = &mut self.purchases[index];
        if !one.invoiced || one.state != PurchaseState::AwaitingPayment {
            return;
        }
        let due = (one.total - one.returned - one.paid).max(0);
        one.paid += (due * percent / 100).max(due.min(1));
        if one.paid >= one.total - one.returned {
            // The lot is in, or waits for its pool.
            assert_eq!(one.happens(PurchaseEvent::Paid), Some(Effect::None));
        }
    }

    /// Opens a pool: what was paid for comes in, what was returned goes.
    pub fn unfreeze(&mut self, pool: PoolId) {
        self.state.pools.get_mut(&pool).unwrap().frozen = false;
        for index in 0..self.purchases.len() {
            self.come_in(index);
        }
        for index in 0..self.purchases.len() {
            self.settle(index);
        }
    }

    /// A new reversal of a part of a payment.
    pub fn reverse(&mut self, index: usize, (kind, state): (ReversalKind, ReversalState), percent: i64) {
        let one = &mut self.purchases[index];
        let left = match kind {
            ReversalKind::Refund => one.left(),
            // Banks do not ask how much is left.
            ReversalKind::Dispute => one.total,
        };
        let amount = (left * percent / 100).max(left.min(1));
        // The vendor itself credits what is bought on invoice: no provider tells of it.
        let own = (kind, state) == (ReversalKind::Refund, ReversalState::Succeeded);
        let possible = match kind {
            ReversalKind::Refund => apply(one.state, one.invoiced, PurchaseEvent::PartlyReturned).is_ok(),
            ReversalKind::Dispute => matches!(one.state, PurchaseState::Completed | PurchaseState::Refunded),
        };
        if amount == 0 || !possible || one.invoiced && !own {
            return;
        }
        let credits = one.share_of(one.reversals.len(), amount);
        let (held, booked, taken, value, nothing) = (false, false, Credits::ZERO, 0, 0);
        let places = BTreeMap::new();
        one.reversals.push(Reversal {
            kind,
            state,
            amount,
            credits,
            held,
            booked,
            taken,
            value,
            nothing,
            places,
        });
        self.moved(index);
    }

    /// The provider tells of a reversal.
    pub fn hear(&mut self, index: usize, reversal: usize, said: ReversalState) {
        let one = &self.purchases[index].reversals[reversal];
        let of_kind = match one.kind {
            ReversalKind::Refund => matches!(said, ReversalState::Succeeded | ReversalState::Failed),
            ReversalKind::Dispute => matches!(said, ReversalState::Won | ReversalState::Lost),
        };
        let Some(state) = advance(Some(one.state), said).filter(|_| of_kind) else { return };
        if self.purchases[index].invoiced {
            return;
        }
        self.purchases[index].reversals[reversal].state = state;
        self.moved(index);
    }

    /// What a reversal that is new, or has come to another state, makes of its purchase.
    fn moved(&mut self, index: usize) {
        let one = &mut self.purchases[index];
        let all: i64 = one.reversals.iter().filter(|one| one.is_returned()).map(|one| one.amount).sum();
        let returned = all.min(one.total);
        let event = match returned - one.returned {
            0 => None,
            ..0 => Some(PurchaseEvent::ReturnFailed),
            _ if returned == one.total => Some(PurchaseEvent::Returned),
            _ => Some(PurchaseEvent::PartlyReturned),
        };
        one.returned = returned;
        if let Some(event) = event {
            assert!(one.happens(event).is_some(), "{event:?} {one:?}");
        }
        self.come_in(index);
        self.settle(index);
    }

    /// Books what is to be booked of a purchase's reversals, as far as nothing stands in the way.
    fn settle(&mut self, index: usize) {
        let mut tried = BTreeSet::new();
        loop {
            let waits = self.purchases[index].reversals.iter().enumerate();
            let waits = waits.filter(|(n, one)| one.is_waiting() && !tried.contains(n));
            let rank = |(n, one): &(usize, &Reversal)| {
                (one.state != ReversalState::Failed, one.kind == ReversalKind::Refund, *n)
            };
            let Some((n, state)) = waits.min_by_key(rank).map(|(n, one)| (n, one.state)) else { return };
            tried.insert(n);
            self.catch_up();
            let Some(lot) = self.purchases[index].lot else { return };
            let closing = matches!(state, ReversalState::Won | ReversalState::Lost);
            let claimed = self.lying(lot, claimed);
            if closing && claimed.iter().any(|place| self.is_frozen(place.pool)) {
                continue;
            }
            let booked = match state {
                ReversalState::Open => self.hold(index, n, lot),
                ReversalState::Failed => self.give_again(index, n, lot),
                ReversalState::Won => {
                    self.purchases[index].reversals[n].booked = true;
                    true
                }
                _ => self.take_back(index, n, lot),
            };
            if !booked {
                continue;
            }
            if state == ReversalState::Failed {
                let reversals = self.purchases[index].reversals.iter_mut().enumerate();
                for (other, one) in reversals.filter(|(_, one)| one.is_returned() && one.value < one.amount) {
                    one.booked = false;
                    tried.remove(&other);
                }
            }
            if closing && self.let_go(lot) {
                let reversals = self.purchases[index].reversals.iter_mut().enumerate();
                for (other, one) in reversals.filter(|(_, one)| one.state == ReversalState::Open) {
                    one.held = false;
                    tried.remove(&other);
                }
            }
        }
    }

    /// Lets go of all that disputes hold of a purchase.
    fn let_go(&mut self, lot: LotId) -> bool {
        self.catch_up();
        let held = self.lying(lot, claimed);
        for Place { pool, lot, free, held } in &held {
            let credits = free.saturating_add(*held);
            self.ask(*pool, Instruction::Reinstate(DisputeLot { lot: *lot, credits })).unwrap();
        }
        assert_eq!(self.lying(lot, claimed), [], "a dispute is over and still holds");
        !held.is_empty()
    }

    fn hold(&mut self, index: usize, n: usize, lot: LotId) -> bool {
        let one = &self.purchases[index];
        let (home, credits) = (one.pool, one.share_of(n, one.reversals[n].amount));
        let lying = self.lying(lot, unclaimed);
        let shares = spread(&lying, (home, lot), credits.min(sum(&lying)), 0);
        if shares.iter().any(|share| self.is_frozen(share.pool)) {
            return false;
        }
        for Share { pool, lot, credits, .. } in shares {
            self.ask(pool, Instruction::Dispute(DisputeLot { lot, credits })).unwrap();
        }
        let one = &mut self.purchases[index].reversals[n];
        (one.credits, one.held) = (credits, true);
        true
    }

    fn take_back(&mut self, index: usize, n: usize, lot: LotId) -> bool {
        let purchase = self.purchases[index].clone();
        let (own, all) = (&purchase.reversals[n], &purchase.reversals);
        let disputed = own.kind == ReversalKind::Dispute;
        let unheld = |one: &Reversal| one.state == ReversalState::Open && !one.held;
        if !disputed && all.iter().any(unheld) || all.iter().any(Reversal::is_to_be_undone) {
            return false;
        }
        let others = all.iter().enumerate().filter(|(other, _)| *other != n);
        let left = others.fold(purchase.total, |left, (_, one)| left - one.value).max(0);
        let value = left.min(own.amount).max(own.value);
        let credits = purchase.share_of(n, value).max(own.taken);
        let left = credits.saturating_sub(own.taken);
        let lying = if disputed { self.lying(lot, of_lost) } else { self.lying(lot, unclaimed) };
        let may_let_go =
            |one: &Reversal| !one.booked && matches!(one.state, ReversalState::Open | ReversalState::Won);
        let waits = match !disputed && all.iter().any(may_let_go) {
            true => waiting(&lying, left, sum(&self.lying(lot, claimed))),
            false => Credits::ZERO,
        };
        let now = left.saturating_sub(waits);
        if now.is_zero() && !waits.is_zero() {
            return false;
        }
        let part = match waits.is_zero() {
            true => value - own.value,
            false => cost_share(value - own.value, now.get(), left.get()),
        };
        let shares = spread(&lying, (purchase.pool, lot), now, part);
        if shares.iter().any(|share| self.is_frozen(share.pool)) {
            return false;
        }
        for Share { pool, lot, credits, value } in shares {
            let before = self.state.pools[&pool].debt();
            self.ask(pool, Instruction::Revoke(RevokeLot { lot, credits, value, disputed })).unwrap();
            let owed = self.state.pools[&pool].debt() != before;
            assert!(!owed || pool == purchase.pool, "another pool than that of the purchase owes it");
            let taken = self.purchases[index].reversals[n].places.entry(pool).or_default();
            *taken = taken.saturating_add(credits);
        }
        let own = &mut self.purchases[index].reversals[n];
        (own.credits, own.booked) = (credits, waits.is_zero());
        (own.taken, own.value) = (own.taken.saturating_add(now), own.value + part);
        own.nothing += if now.is_zero() { part } else { 0 };
        true
    }

    fn give_again(&mut self, index: usize, n: usize, lot: LotId) -> bool {
        let purchase = self.purchases[index].clone();
        let own = &purchase.reversals[n];
        let kept = self.lying(lot, |position| (0, position.revoking.get()));
        let rooms = self.state.pools.values().map(|pool| Room {
            pool: pool.id,
            taken: own.places.get(&pool.id).copied().unwrap_or_default(),
            revoked: Credits::new(pool.head.contra.revoked).unwrap(),
        });
        let rooms: Vec<Room> = rooms.collect();
        let family = self.family(lot).into_iter();
        let into = family.max_by_key(|lot| {
            let expiry = self.state.lots[lot].burn.expires_at();
            (expiry.is_none(), expiry)
        });
        let target = (purchase.pool, self.state.pools[&purchase.pool].debt(), into.unwrap());
        let back = match own.taken.is_zero() {
            true => Vec::new(),
            false => give_back(&kept, &rooms, target, (own.taken, own.value - own.nothing)).unwrap(),
        };
        if back.iter().any(|one| self.is_frozen(one.share.pool)) {
            return false;
        }
        for one in back {
            let Share { pool, lot, credits, value } = one.share;
            let new_lot = LotId::from_u128(self.number + 900);
            let restore = RestoreLot { lot, credits, value, held: one.held, new_lot };
            self.ask(pool, Instruction::Restore(restore)).unwrap();
        }
        let own = &mut self.purchases[index].reversals[n];
        (own.taken, own.value, own.nothing, own.booked) = (Credits::ZERO, 0, 0, true);
        true
    }
}
