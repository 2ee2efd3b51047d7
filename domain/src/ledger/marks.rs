//! Marks: what becomes of held credits of a position when they are let go.
//!
//! A hold keeps credits whatever happens to the payment that they came with. So those that are to be taken back
//! are only counted (`revoking`), and so are those that a dispute waits for (`contested`); what a dispute holds
//! itself is `disputed`. Of what holds hold, no credit is counted twice:
//! `revoking + contested <= held - disputed`.
//!
//! What is captured of credits that are to be taken back is owed by the pool in which they were held at first, even
//! when their lot was bought for another. A capture is one command on one pool: its charge, its movements and
//! their links of the hash chain are of that pool, and only that pool's head is locked. Which other pools it
//! would have to lock is known only once it has been locked (its slices may be of several lots, and what they
//! are marked for changes under that lock), and none of them may stand in a capture's way by being frozen or
//! archived. So a command of its own, which follows within seconds, makes it the debt of the pool of purchase (see
//! [`super::assign`]). What is missing at the time of the reversal itself is owed by the pool of purchase.

use super::lots::BurnKey;
use super::state::{Account, Pool, Position};
use crate::Credits;
use crate::id::AccountId;

/// By how much the marks of a position change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub account: AccountId,
    pub burn: BurnKey,
    pub revoking: i64,
    pub contested: i64,
    pub disputed: i64,
}

impl Mark {
    /// A change of nothing yet.
    pub fn of(account: AccountId, burn: BurnKey) -> Mark {
        Mark { account, burn, revoking: 0, contested: 0, disputed: 0 }
    }
}

impl Position {
    /// Credits that holds hold.
    pub fn by_holds(&self) -> Credits {
        self.held.saturating_sub(self.disputed)
    }

    /// Credits that holds hold and nothing else asks for.
    pub(super) fn unmarked(&self) -> Credits {
        self.by_holds().saturating_sub(self.revoking).saturating_sub(self.contested)
    }

    /// How many marked credits a capture uses: those that a dispute waits for, and those that are to be taken
    /// back. What is not marked is used first.
    pub(super) fn overtaken(&self, captured: Credits) -> (Credits, Credits) {
        let left = self.by_holds().saturating_sub(captured);
        let over = self.revoking.saturating_add(self.contested).saturating_sub(left);
        let given_up = over.min(self.contested);
        (given_up, over.saturating_sub(given_up))
    }
}

impl Pool {
    /// What the pool's accounts have of a lot, unallocated first.
    pub(super) fn positions_of<'p>(
        &'p self,
        burn: &BurnKey,
    ) -> impl Iterator<Item = (AccountId, &'p Position)> + use<'p> {
        let (burn, unallocated) = (*burn, self.unallocated);
        let of = move |(id, account): (&AccountId, &'p Account)| Some((*id, account.positions.get(&burn)?));
        let first = self.accounts.get_key_value(&unallocated).into_iter();
        let others = self.accounts.iter().filter(move |(id, _)| **id != unallocated);
        first.chain(others).filter_map(of)
    }

    /// What a position has marked: to be taken back, and waited for by a dispute.
    pub(super) fn marked(&self, account: AccountId, burn: &BurnKey) -> (Credits, Credits) {
        let position = self.accounts.get(&account).and_then(|account| account.positions.get(burn));
        position.map_or((Credits::ZERO, Credits::ZERO), |position| (position.revoking, position.contested))
    }

    /// Changes the marks of a position.
    pub(super) fn mark(&mut self, mark: Mark) {
        let account = self.accounts.get_mut(&mark.account);
        let Some(position) = account.and_then(|account| account.positions.get_mut(&mark.burn)) else {
            return;
        };
        position.revoking = shifted(position.revoking, mark.revoking);
        position.contested = shifted(position.contested, mark.contested);
        position.disputed = shifted(position.disputed, mark.disputed);
        position.changed = true;
        self.head.revoking += mark.revoking;
        self.changed = true;
    }
}

/// A count after a change of it. A right caller never takes more off than there is.
pub(super) fn shifted(count: Credits, by: i64) -> Credits {
    Credits::new(count.get() + by).unwrap_or_default()
}
