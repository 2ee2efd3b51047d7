//! Coins whose payment was reversed or is disputed.

use bursar_domain::id::PoolId;
use bursar_domain::ledger::{DisputeLot, RevokeLot};

use super::{Model, No, disputed, lapsed, no};

impl Model {
    /// Free coins of a lot at once (before them those of a dispute that was lost), held ones when they are let go
    /// (last those that such a dispute waits for, and no other's); what is missing is owed.
    pub(super) fn revoke(&mut self, pool: PoolId, request: &RevokeLot, at: i64) -> Result<(), No> {
        let Some(lot) = self.lots.get(&request.lot) else { return no("no such lot") };
        if request.credits.is_zero() {
            return no("nothing");
        }
        let (place, origin, mut left) = (lot.place, lot.origin, request.credits.get());
        let family = self.lots.values_mut().filter(|lot| lot.origin == origin);
        family.for_each(|lot| lot.reversed = true);
        let purse = self.purse(pool);
        if request.disputed {
            for holder in purse.holders() {
                let Some(pile) = purse.boxes.get_mut(&holder).and_then(|piles| piles.get_mut(&place)) else {
                    continue;
                };
                pile.retain(|coin| {
                    let take = *coin == disputed() && left > 0;
                    left -= i64::from(take);
                    purse.revoked += i64::from(take);
                    !take
                });
            }
            purse.boxes.values_mut().for_each(|piles| piles.retain(|_, pile| !pile.is_empty()));
        }
        for holder in purse.holders() {
            let taken = purse.take_of(holder, left, false, |of| *of == place).len() as i64;
            left -= taken;
            purse.revoked += taken;
        }
        for holder in purse.holders() {
            let more = purse.unmarked(holder, &place).min(left);
            *purse.doomed.entry((holder, place)).or_default() += more;
            left -= more;
        }
        let holders = if request.disputed { purse.holders() } else { Vec::new() };
        for holder in holders {
            let contested = purse.contested.entry((holder, place)).or_default();
            let more = (*contested).min(left);
            *contested -= more;
            *purse.doomed.entry((holder, place)).or_default() += more;
            left -= more;
        }
        purse.debt += left;
        purse.revoked += left;
        purse.clock = at;
        Ok(())
    }

    /// Free coins of a lot are held, and so are held ones once they are let go. Used ones are left out.
    pub(super) fn dispute(&mut self, pool: PoolId, request: &DisputeLot, at: i64) -> Result<(), No> {
        let Some(lot) = self.lots.get(&request.lot) else { return no("no such lot") };
        if request.credits.is_zero() {
            return no("nothing");
        }
        let (place, n) = (lot.place, request.credits.get());
        let (purse, mut left) = (self.purse(pool), n);
        for holder in purse.holders() {
            left -= purse.turn((holder, place), left, None, disputed());
        }
        for holder in purse.holders() {
            let more = purse.unmarked(holder, &place).min(left);
            *purse.contested.entry((holder, place)).or_default() += more;
            left -= more;
        }
        if left < n {
            purse.clock = at;
        }
        Ok(())
    }

    /// Coins that a dispute holds are free again, or lapse when their time is over; it waits for no others.
    pub(super) fn reinstate(&mut self, pool: PoolId, request: &DisputeLot, at: i64) -> Result<(), No> {
        let Some(lot) = self.lots.get(&request.lot) else { return no("no such lot") };
        if request.credits.is_zero() {
            return no("nothing");
        }
        let (place, n) = (lot.place, request.credits.get());
        let (purse, mut left) = (self.purse(pool), n);
        for holder in purse.holders() {
            left -= purse.turn((holder, place), left, disputed(), None);
            if lapsed(&place, at) {
                purse.expired += purse.take_of(holder, i64::MAX, false, |of| *of == place).len() as i64;
            }
        }
        for holder in purse.holders() {
            let contested = purse.contested.entry((holder, place)).or_default();
            let less = (*contested).min(left);
            *contested -= less;
            left -= less;
        }
        if left < n {
            purse.clock = at;
        }
        Ok(())
    }
}
