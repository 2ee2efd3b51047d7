//! Coins that come in, go from one to another, or are taken out.

use std::iter::repeat_n;

use bursar_domain::id::{Id, PoolId};
use bursar_domain::ledger::{ExtendLot, IssueCredits, RefillAllocation, TakeBackCredits};

use super::{Holder, Lot, Model, NEVER, No, Place, Topping, no};

impl Model {
    pub(super) fn issue(&mut self, pool: PoolId, issue: &IssueCredits, at: i64) -> Result<(), No> {
        if issue.department.is_some() {
            self.solvent(pool)?;
            self.may_act(issue.department)?;
        }
        let (n, expiry) = (issue.credits.get(), issue.expires_at.map_or(NEVER, |expiry| expiry.micros()));
        if n == 0 {
            return no("nothing");
        }
        if expiry <= at {
            return no("expired");
        }
        let place = (issue.priority, expiry, at, issue.lot.as_u128());
        let origin = issue.lot;
        self.lots.insert(issue.lot, Lot { place, origin, reversed: false, successor: None });
        let purse = self.purse(pool);
        purse.open(issue.department);
        purse.put(issue.department, repeat_n(place, n as usize));
        purse.issued += n;
        // What is owed is settled first, with coins of the new lot.
        let owed = purse.debt.min(n);
        let settled = purse.take_of(issue.department, owed, false, |of| *of == place);
        purse.debt -= settled.len() as i64;
        purse.clock = at;
        Ok(())
    }

    /// Whether somebody of a pool may give coins, and has them: nobody's go in the order of use, a
    /// department's against it.
    fn given(&mut self, pool: PoolId, from: Holder, n: i64) -> Result<Vec<Place>, No> {
        if n == 0 {
            return no("nothing");
        }
        let purse = self.purse(pool);
        let free = purse.free(from);
        if free < n { Err(No::Short(free)) } else { Ok(purse.take(from, n, from.is_some())) }
    }

    /// Coins from one to another in a pool.
    pub(super) fn shift(
        &mut self,
        pool: PoolId,
        (from, to): (Holder, Holder),
        n: i64,
        at: i64,
    ) -> Result<(), No> {
        self.solvent(pool)?;
        if from == to {
            return no("the same place");
        }
        self.may_act(from)?;
        self.may_act(to)?;
        let coins = self.given(pool, from, n)?;
        let purse = self.purse(pool);
        purse.open(to);
        purse.put(to, coins);
        purse.clock = at;
        Ok(())
    }

    /// Coins from one pool to another.
    pub(super) fn send(
        &mut self,
        (pool, from): (PoolId, Holder),
        (other, to): (PoolId, Holder),
        n: i64,
        at: i64,
    ) -> Result<(), No> {
        self.solvent(pool)?;
        if pool == other {
            return no("the same place");
        }
        let Some(there) = self.pools.get(&other) else { return no("no such pool") };
        if there.archived || there.frozen {
            return no("the other pool is closed");
        }
        self.solvent(other)?;
        self.may_act(from)?;
        self.may_act(to)?;
        let coins = self.given(pool, from, n)?;
        let here = self.purse(pool);
        here.away += n;
        here.clock = at;
        let there = self.purse(other);
        there.away -= n;
        there.clock = at;
        there.open(to);
        there.put(to, coins);
        Ok(())
    }

    /// What exceeds the rollover goes back, then the allocation is topped up.
    pub(super) fn refill(&mut self, pool: PoolId, request: &RefillAllocation, at: i64) -> Result<(), No> {
        self.solvent(pool)?;
        self.may_act(Some(request.department))?;
        let (own, begins) = (Some(request.department), request.period.start.micros());
        let purse = self.purse(pool);
        let Some(topping) = purse.toppings.get(&request.department).copied() else {
            return no("never refilled");
        };
        if begins <= topping.begun || at < begins {
            return no("not yet, or no more");
        }
        let beyond = (purse.free(own) - topping.rollover).max(0);
        let back = purse.take(own, beyond, true);
        let moved = !back.is_empty();
        purse.put(None, back);
        let wanted = (topping.amount - purse.free(own)).max(0);
        let more = purse.take(None, wanted, false);
        let lacking = wanted - more.len() as i64;
        if moved || !more.is_empty() {
            purse.clock = at;
        }
        purse.put(own, more);
        purse.toppings.insert(request.department, Topping { begun: begins, lacking, ..topping });
        Ok(())
    }

    /// Coins that would be used last, of one lot or all.
    pub(super) fn take_back(&mut self, pool: PoolId, request: &TakeBackCredits, at: i64) -> Result<(), No> {
        self.solvent(pool)?;
        self.may_act(request.department)?;
        let n = request.credits.get();
        if n == 0 {
            return no("nothing");
        }
        let of = |place: &Place| request.lot.is_none_or(|lot| place.3 == lot.as_u128());
        let purse = self.purse(pool);
        let free = purse.free_of(request.department, of);
        if free < n {
            return Err(No::Short(free));
        }
        purse.take_of(request.department, n, true, of);
        purse.revoked += n;
        purse.clock = at;
        Ok(())
    }

    /// All free coins of a lot go on in a new one.
    pub(super) fn extend(&mut self, pool: PoolId, request: &ExtendLot, at: i64) -> Result<(), No> {
        self.solvent(pool)?;
        let Some(lot) = self.lots.get(&request.lot) else { return no("no such lot") };
        let (old, expiry) = (lot.place, request.expires_at.map_or(NEVER, |expiry| expiry.micros()));
        if old.1 == NEVER || expiry <= old.1 || expiry <= at {
            return no("not later");
        }
        let new = (old.0, expiry, at, request.new_lot.as_u128());
        let (purse, mut moved) = (self.purse(pool), 0);
        for holder in purse.holders() {
            let n = purse.take_of(holder, i64::MAX, false, |place| *place == old).len();
            purse.put(holder, repeat_n(new, n));
            moved += n;
        }
        if moved == 0 {
            return no("nothing of the lot");
        }
        purse.clock = at;
        let extended = self.lots.get_mut(&request.lot).unwrap();
        extended.successor = Some(request.new_lot);
        let heir = Lot { place: new, successor: None, ..extended.clone() };
        self.lots.insert(request.new_lot, heir);
        Ok(())
    }
}
