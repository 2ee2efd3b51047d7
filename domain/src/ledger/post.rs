//! Booking one movement: the only place where balances change.

use super::account::{AccountRef, TransferKind};
use super::effects::{Cause, Transfer};
use super::lots::BurnKey;
use super::state::Pool;
use crate::id::PoolId;
use crate::money::cost_share;
use crate::{Credits, Timestamp};

/// A movement to be booked.
pub(super) struct Movement {
    pub kind: TransferKind,
    pub debit: AccountRef,
    pub credit: AccountRef,
    pub burn: BurnKey,
    pub credits: Credits,
    /// None: the share of what the debited account has of the lot.
    pub cost: Option<i64>,
    pub cause: Cause,
    pub counterpart: Option<(PoolId, i64)>,
    pub created_at: Timestamp,
    pub effective_at: Timestamp,
}

impl Pool {
    /// Books one movement and answers it with the balances after it.
    ///
    /// The caller has made sure that the debited holder has the slice (free, or held for it) and that no
    /// holder goes above [`Credits::MAX`]; the saturating arithmetic is never reached by a right caller,
    /// and the database's checks and the verification stand behind it.
    pub(super) fn post(&mut self, movement: Movement) -> Transfer {
        let Movement { kind, debit, credit, burn, credits, cost, .. } = movement;
        let share = debit
            .id
            .and_then(|id| self.accounts.get(&id)?.positions.get(&burn))
            .map(|position| cost_share(position.cost, credits.get(), position.credits.get()));
        let cost = cost.or(share).unwrap_or(0);
        let amount = credits.get();
        let held = match kind {
            TransferKind::Hold => 1,
            TransferKind::Release | TransferKind::Capture => -1,
            _ => 0,
        };
        if held != 0 {
            self.head.held += held * amount;
            if let Some(account) = debit.id.and_then(|id| self.accounts.get_mut(&id)) {
                account.held = changed(account.held, credits, held);
                account.changed = true;
                let position = account.positions.entry(burn).or_default();
                position.held = changed(position.held, credits, held);
                position.changed = true;
            }
        }
        if let Some(at) = burn.expires_at().filter(|_| kind == TransferKind::Release) {
            // It was left out of what is due while it was held.
            self.will_be_due(at);
        }
        self.recover(kind, credit.kind, credits, cost);
        let pending = kind.is_pending();
        let sign = if pending { 0 } else { 1 };
        let debit_after = self.move_slice(debit, burn, credits, cost, -sign);
        let credit_after = self.move_slice(credit, burn, credits, cost, sign);
        self.head.posted -= if debit.kind.is_holder() { sign * amount } else { 0 };
        self.head.posted += if credit.kind.is_holder() { sign * amount } else { 0 };
        self.head.version += 1;
        self.head.clock = movement.created_at;
        self.changed = true;
        let holder = if debit.kind.is_holder() { debit.id } else { credit.id };
        let held_after = holder.and_then(|id| self.accounts.get(&id)).map_or(0, |account| account.held.get());
        Transfer {
            pool: self.id,
            version: self.head.version,
            kind,
            debit,
            credit,
            lot: burn.lot,
            credits,
            cost,
            debit_after,
            credit_after,
            held_after,
            pool_posted_after: self.head.posted,
            pool_held_after: self.head.held,
            debt_after: -self.head.contra.debt,
            counterpart: movement.counterpart,
            cause: movement.cause,
            created_at: movement.created_at,
            effective_at: movement.effective_at,
        }
    }

    /// Adds (`sign` 1), takes (-1) or leaves (0) a slice; answers the account's balance after it.
    fn move_slice(&mut self, side: AccountRef, burn: BurnKey, credits: Credits, cost: i64, sign: i64) -> i64 {
        if let Some(balance) = self.head.contra.of(side.kind) {
            *balance += sign * credits.get();
            return *balance;
        }
        let Some(account) = side.id.and_then(|id| self.accounts.get_mut(&id)) else {
            return 0;
        };
        if sign != 0 {
            account.posted = changed(account.posted, credits, sign);
            account.changed = true;
            let position = account.positions.entry(burn).or_default();
            position.credits = changed(position.credits, credits, sign);
            position.cost += sign * cost;
            position.changed = true;
        }
        let posted = account.posted.get();
        if let Some(at) = burn.expires_at().filter(|_| sign > 0) {
            self.will_be_due(at);
        }
        posted
    }
}

fn changed(from: Credits, by: Credits, sign: i64) -> Credits {
    if sign > 0 { from.saturating_add(by) } else { from.saturating_sub(by) }
}
