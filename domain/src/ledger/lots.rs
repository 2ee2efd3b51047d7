//! The order in which lots are used, and the slices that a movement takes of them.

use super::state::{Account, Position};
use crate::id::LotId;
use crate::money::cost_share;
use crate::{Credits, Timestamp};

/// The place of a lot in the burn order: priority, then expiry (no expiry last), then creation, then
/// id. The derived order of the fields is the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BurnKey {
    /// Lower numbers first.
    pub priority: i16,
    /// Sooner first; [`BurnKey::NEVER`] for lots that do not expire.
    expiry: Timestamp,
    /// Older first.
    pub created_at: Timestamp,
    /// Which lot.
    pub lot: LotId,
}

impl BurnKey {
    /// The expiry of lots that have none: after every instant.
    const NEVER: Timestamp = Timestamp::from_micros(i64::MAX);

    /// The place of a lot.
    pub fn new(priority: i16, expires_at: Option<Timestamp>, created_at: Timestamp, lot: LotId) -> BurnKey {
        BurnKey { priority, expiry: expires_at.unwrap_or(Self::NEVER), created_at, lot }
    }

    /// When the lot expires.
    pub fn expires_at(&self) -> Option<Timestamp> {
        (self.expiry != Self::NEVER).then_some(self.expiry)
    }

    /// Whether the lot can no longer be used at `now`: it bites at its very instant.
    pub fn has_lapsed(&self, now: Timestamp) -> bool {
        self.expiry <= now && self.expiry != Self::NEVER
    }
}

/// A part of one lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    pub burn: BurnKey,
    pub credits: Credits,
    pub cost: i64,
}

/// Slices of `credits` unheld credits taken from `positions` in the order given; `None` when there
/// are not as many.
pub(super) fn take<'a>(
    positions: impl Iterator<Item = (&'a BurnKey, &'a Position)>,
    credits: Credits,
) -> Option<Vec<Slice>> {
    let mut left = credits;
    let mut slices = Vec::new();
    for (burn, position) in positions {
        if left.is_zero() {
            break;
        }
        let part = position.free().min(left);
        if part.is_zero() {
            continue;
        }
        let cost = cost_share(position.cost, part.get(), position.credits.get());
        slices.push(Slice { burn: *burn, credits: part, cost });
        left = left.saturating_sub(part);
    }
    left.is_zero().then_some(slices)
}

/// The slices of an account that have lapsed at `now` and are not held.
pub(super) fn lapsed(account: &Account, now: Timestamp) -> Vec<Slice> {
    account
        .positions
        .iter()
        .filter(|(burn, position)| burn.has_lapsed(now) && !position.free().is_zero())
        .map(|(burn, position)| Slice {
            burn: *burn,
            credits: position.free(),
            cost: cost_share(position.cost, position.free().get(), position.credits.get()),
        })
        .collect()
}
