//! What positions have for reversals, and debts that come to where a refund of a charge settles them.

use std::collections::BTreeMap;

use bursar_domain::Credits;
use bursar_domain::id::{LotId, PoolId};
use bursar_domain::ledger::{AssignDebt, Instruction, Position};
use bursar_domain::reversal::{Coming, Place, settled_at_home};

use crate::books::Books;

impl Books {
    /// What a refund of a charge settles elsewhere is made the debt of the charge's pool. Answers whether nothing stands in
    /// its way.
    pub fn bring_debt_back(&mut self, pool: PoolId, slices: &[(LotId, Credits)]) -> bool {
        let mut sums: BTreeMap<LotId, Credits> = BTreeMap::new();
        for (lot, credits) in slices {
            let terms = &self.state.lots[lot];
            if terms.reversed {
                let sum = sums.entry(terms.origin).or_default();
                *sum = sum.saturating_add(*credits);
            }
        }
        let debts: BTreeMap<PoolId, Credits> =
            self.state.pools.values().map(|pool| (pool.id, pool.debt())).collect();
        let all = sums.values().fold(Credits::ZERO, |all, credits| all.saturating_add(*credits));
        let away = sums.into_iter().filter(|(lot, _)| self.home_of(*lot) != pool);
        let coming = away.map(|(lot, credits)| {
            let owed = Credits::new(self.owed_of.get(&lot).copied().unwrap_or(0).max(0)).unwrap();
            (lot, Coming { home: self.home_of(lot), credits, owed })
        });
        let (lots, coming): (Vec<LotId>, Vec<Coming>) = coming.unzip();
        let settled = settled_at_home(&coming, &debts, all.saturating_sub(debts[&pool]));
        let brought = lots.into_iter().zip(coming).zip(settled);
        let mut brought = brought.filter(|(_, credits)| !credits.is_zero());
        brought.all(|((lot, coming), credits)| {
            let assign = AssignDebt { lot, to_pool: pool, credits };
            self.ask(coming.home, Instruction::Assign(assign)).is_some()
        })
    }
}

/// How many credits places have together.
pub fn sum(places: &[Place]) -> Credits {
    let add = |sum: Credits, place: &Place| sum.saturating_add(place.free).saturating_add(place.held);
    places.iter().fold(Credits::ZERO, add)
}

/// What disputes hold of a position, or wait for.
pub fn claimed(position: &Position) -> (i64, i64) {
    (position.disputed.get(), position.contested.get())
}

/// What is free, and what holds keep and nothing asks for.
pub fn unclaimed(position: &Position) -> (i64, i64) {
    let marked = position.revoking.get() + position.contested.get();
    (position.free().get(), position.by_holds().get() - marked)
}

/// What a lost dispute takes: what disputes hold, before anything else.
pub fn of_lost(position: &Position) -> (i64, i64) {
    let ((disputed, contested), (free, held)) = (claimed(position), unclaimed(position));
    (disputed + contested, free + held)
}
