//! What becomes of held credits when they are let go, and the money of what is still to come back: followed from
//! the transfers and the entries that caused them, as [`super::balances`] follows balances.

use bursar_domain::id::{AccountId, LotId};
use bursar_domain::ledger::{AccountKind, TransferKind};
use bursar_domain::money::cost_share;
use bursar_entity::transfer;

use super::balances::{Balances, Part};
use super::causes::Because;

/// The money that went back and for which credits are still to come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Owing {
    /// What of it is open.
    pub receivable: i64,
    /// By how much more the credits had cost that came back.
    pub adjusted: i64,
    /// How many held credits are to be taken back.
    pub revoking: i64,
}

impl Owing {
    /// A transfer is booked while the pool owes so many credits.
    pub fn pass(&mut self, row: &transfer::Model, debt: i64) {
        let recovered = match (row.kind, row.credit_kind) {
            // It goes to another pool with the debt, or comes from there.
            (TransferKind::Assign, AccountKind::Debt) => {
                self.receivable = self.receivable.saturating_sub(row.cost);
                return;
            }
            (TransferKind::Assign, _) => {
                self.receivable = self.receivable.saturating_add(row.cost);
                return;
            }
            (TransferKind::Restore, AccountKind::Debt) => {
                self.receivable = self.receivable.saturating_sub(row.cost);
                return;
            }
            (TransferKind::Restore, _) => return,
            (TransferKind::Revoke, _) => row.cost.min(self.receivable),
            (_, AccountKind::Debt) => self.part(row.credits.get(), debt),
            _ => return,
        };
        self.receivable = self.receivable.saturating_sub(recovered);
        self.adjusted = self.adjusted.saturating_add(row.cost.saturating_sub(recovered));
    }

    /// What of it goes with so many credits of a debt.
    pub fn part(&self, credits: i64, debt: i64) -> i64 {
        let open = debt.saturating_add(self.revoking);
        // More than is owed is found out by the balances.
        if credits == open { self.receivable } else { cost_share(self.receivable, credits.min(open), open) }
    }
}

impl Part {
    /// What holds hold.
    pub fn by_holds(&self) -> i64 {
        self.held.saturating_sub(self.disputed)
    }

    /// What holds hold and nothing else asks for.
    fn unmarked(&self) -> i64 {
        self.by_holds().saturating_sub(self.revoking).saturating_sub(self.contested)
    }

    /// Follows what a transfer of the part, of which it holds more or less already, does to its marks; answers
    /// by how much it changes what is to be taken back.
    pub fn follow(&mut self, kind: TransferKind, amount: i64, because: Because) -> Result<i64, String> {
        use TransferKind::{Capture, Dispute, Hold, Reinstate, Release, Revoke};
        let ends = matches!(because, Because::HoldEnd | Because::Entry(Release));
        let of_dispute = matches!(because, Because::Entry(Revoke | Dispute | Reinstate));
        match kind {
            // A pair that lets go and holds again changes nothing.
            Hold if of_dispute => self.disputed = self.disputed.saturating_add(amount),
            Release if of_dispute => self.disputed = self.disputed.saturating_sub(amount),
            // What is let go is held for the dispute that waits for it.
            Hold if ends => {
                self.contested = self.contested.saturating_sub(amount);
                self.disputed = self.disputed.saturating_add(amount);
                if self.contested < 0 {
                    return Err("it holds more for a dispute than one waited for".to_owned());
                }
            }
            // What a dispute waits for is used before what is to be taken back.
            Capture => {
                let marked = self.revoking.saturating_add(self.contested);
                let over = marked.saturating_sub(self.by_holds()).max(0);
                let given_up = over.min(self.contested);
                self.contested = self.contested.saturating_sub(given_up);
                self.revoking = self.revoking.saturating_sub(over - given_up);
                return Ok(given_up - over);
            }
            // What is let go is taken back as far as it was to be.
            Revoke if !of_dispute => {
                self.revoking = self.revoking.saturating_sub(amount);
                if self.revoking < 0 {
                    return Err("it takes more back than was to be taken back".to_owned());
                }
                return Ok(-amount);
            }
            _ => {}
        }
        Ok(0)
    }
}

impl Balances {
    /// Money went back: credits are to come back for it.
    pub fn give_back(&mut self, value: i64) {
        self.owing.receivable = self.owing.receivable.saturating_add(value);
    }

    /// What belongs together is complete: when nothing is to come back any more, the rest is an adjustment.
    pub fn close_receivable(&mut self) {
        if self.is_settled() && self.contra.debt == 0 && self.owing.revoking == 0 {
            self.owing.adjusted = self.owing.adjusted.saturating_sub(self.owing.receivable);
            self.owing.receivable = 0;
        }
    }

    /// Marks so many held credits of a lot as to be taken back, those last that a dispute waits for (only one that was lost
    /// gets there); answers how many there are not.
    pub fn revoke_held(&mut self, lot: LotId, credits: i64) -> i64 {
        let left = self.each_part(lot, credits, |part, left| {
            let some = part.unmarked().clamp(0, left);
            part.revoking += some;
            some
        });
        let left = self.each_part(lot, left, |part, left| {
            let some = part.contested.clamp(0, left);
            part.contested -= some;
            part.revoking += some;
            some
        });
        self.owing.revoking = self.owing.revoking.saturating_add(credits.saturating_sub(left));
        left
    }

    /// Money that went back is there again: so much of it is left after what has been given back for it, and so many held
    /// credits are not to be taken back any more. Answers how many of those there are not.
    pub fn restore(&mut self, lot: LotId, value: i64, credits: i64) -> i64 {
        let debt = self.contra.debt.saturating_neg();
        let receivable = if credits > 0 { self.owing.part(credits, debt).min(value) } else { 0 };
        self.owing.receivable = self.owing.receivable.saturating_sub(receivable);
        self.owing.adjusted = self.owing.adjusted.saturating_add(value.saturating_sub(receivable));
        let left = self.each_part(lot, credits, |part, left| {
            let some = part.revoking.clamp(0, left);
            part.revoking -= some;
            some
        });
        self.owing.revoking = self.owing.revoking.saturating_sub(credits.saturating_sub(left));
        left
    }

    /// A dispute waits for up to so many held credits of a lot.
    pub fn contest_held(&mut self, lot: LotId, credits: i64) {
        self.each_part(lot, credits, |part, left| {
            let some = part.unmarked().clamp(0, left);
            part.contested += some;
            some
        });
    }

    /// No dispute waits any more for up to so many held credits of a lot.
    pub fn uncontest(&mut self, lot: LotId, credits: i64) {
        self.each_part(lot, credits, |part, left| {
            let some = part.contested.clamp(0, left);
            part.contested -= some;
            some
        });
    }

    /// Whether no more is held for disputes of a lot than is held, and no held credit is counted twice.
    pub fn marks_fit(&self, lot: LotId) -> bool {
        let mut parts = self.accounts.values().filter_map(|holder| holder.positions.get(&lot));
        parts.all(|part| part.disputed >= 0 && part.unmarked() >= 0)
    }

    /// How much of a lot disputes hold.
    pub fn disputed(&self, lot: LotId) -> i64 {
        let parts = self.accounts.values().filter_map(|holder| holder.positions.get(&lot));
        parts.map(|part| part.disputed).sum()
    }

    /// Goes through what the accounts have of a lot, unallocated first, until `credits` have been found; answers
    /// how many were not.
    fn each_part(&mut self, lot: LotId, credits: i64, find: impl Fn(&mut Part, i64) -> i64) -> i64 {
        let first = self.unallocated;
        let others = self.accounts.keys().copied().filter(|id| Some(*id) != first);
        let order: Vec<AccountId> = first.into_iter().chain(others).collect();
        let mut left = credits.max(0);
        for id in order {
            let holder = self.accounts.get_mut(&id);
            let Some(part) = holder.and_then(|holder| holder.positions.get_mut(&lot)) else { continue };
            left -= find(part, left);
        }
        left
    }
}
