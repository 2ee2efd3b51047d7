//! The money of what is to come back: a payment went back to the buyer, and its credits have not yet.
//!
//! The value of a reversal is receivable until credits come back for it: those that are revoked, now or when
//! they are let go, and those that settle the debt. What they had cost is set against it, and the difference is
//! an adjustment: credits that settle a debt may have been bought at another price. So in every pool, after
//! every movement, what was paid is what was consumed, has expired, is deferred or was refunded, less what is
//! receivable, plus the adjustments (see [`crate::reconcile`]).

use super::account::{AccountKind, TransferKind};
use super::state::Pool;
use crate::Credits;
use crate::money::cost_share;

impl Pool {
    /// Money went back to the buyer: credits are to come back for it.
    pub(super) fn give_back(&mut self, value: i64) {
        self.head.receivable += value;
        self.changed = true;
    }

    /// Credits that cost something are about to move. When they come back for money that went back, they are
    /// set against it: those of the lot itself up to their cost, those that settle the debt by their share in
    /// all that is still to come back, the last ones with all of it.
    pub(super) fn recover(&mut self, kind: TransferKind, to: AccountKind, credits: Credits, cost: i64) {
        let recovered = match (kind, to) {
            // It goes to another pool with the debt, or comes from there.
            (TransferKind::Assign, AccountKind::Debt) => {
                self.head.receivable -= cost;
                return;
            }
            (TransferKind::Assign, _) => {
                self.head.receivable += cost;
                return;
            }
            // What was receivable for what is owed is not any more; the rest costs what is there for it again.
            (TransferKind::Restore, AccountKind::Debt) => {
                self.head.receivable -= cost;
                return;
            }
            (TransferKind::Restore, _) => return,
            (TransferKind::Revoke, _) => cost.min(self.head.receivable),
            (_, AccountKind::Debt) => self.receivable_for(credits),
            _ => return,
        };
        self.head.receivable -= recovered;
        self.head.adjusted += cost - recovered;
    }

    /// What is receivable for so many credits of the debt: their share in all that is still to come back, for the last
    /// ones all of it.
    pub(super) fn receivable_for(&self, credits: Credits) -> i64 {
        let (receivable, owed, waiting) = (self.head.receivable, self.debt().get(), self.head.revoking);
        let last = credits.get() == owed && waiting == 0;
        if last { receivable } else { cost_share(receivable, credits.get(), owed + waiting) }
    }

    /// Nothing is to come back any more: what rounding and prices have left is an adjustment.
    pub(super) fn close_receivable(&mut self) {
        let head = &mut self.head;
        if head.receivable != 0 && head.contra.debt == 0 && head.revoking == 0 {
            head.adjusted -= head.receivable;
            head.receivable = 0;
        }
    }
}
