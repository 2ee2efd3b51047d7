//! The order in which lots are used, and the slices that a movement takes of them.

use super::instruction::{LotClass, LotSource};
use super::state::{Account, Position};
use crate::id::LotId;
use crate::{Credits, Currency, Timestamp};

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

/// What has to be known of a lot to bring credits back to it, or to go on in another.
#[derive(Clone, Debug)]
pub struct LotTerms {
    /// Its place in the burn order.
    pub burn: BurnKey,
    /// Where it came from.
    pub source: LotSource,
    /// Whether it was paid for.
    pub class: LotClass,
    /// The currency of its cost.
    pub currency: Option<Currency>,
    /// The first of the lots that it goes on for, which came with a payment if any did: it was extended by this one, or
    /// replaced by it, however often. Itself when it goes on for none.
    pub origin: LotId,
    /// Whether the payment of its origin was reversed, in whole or in part.
    pub reversed: bool,
    /// The lot that its credits have gone on in.
    pub successor: Option<LotId>,
}

/// A part of one lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The lot.
    pub burn: BurnKey,
    /// How many credits.
    pub credits: Credits,
}

/// Slices of at most `credits` unheld credits taken from `positions` in the order given.
pub(super) fn take_up_to<'a>(
    positions: impl Iterator<Item = (&'a BurnKey, &'a Position)>,
    credits: Credits,
) -> Vec<Slice> {
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
        slices.push(Slice { burn: *burn, credits: part });
        left = left.saturating_sub(part);
    }
    slices
}

/// Slices of `credits` unheld credits taken from `positions` in the order given; `None` when there
/// are not as many.
pub(super) fn take<'a>(
    positions: impl Iterator<Item = (&'a BurnKey, &'a Position)>,
    credits: Credits,
) -> Option<Vec<Slice>> {
    let slices = take_up_to(positions, credits);
    (sum(&slices) == credits).then_some(slices)
}

/// How many credits slices have together.
pub(super) fn sum(slices: &[Slice]) -> Credits {
    slices.iter().fold(Credits::ZERO, |sum, slice| sum.saturating_add(slice.credits))
}

/// The slices of an account that have lapsed at `now` and are not held.
pub(super) fn lapsed(account: &Account, now: Timestamp) -> Vec<Slice> {
    account
        .positions
        .iter()
        .filter(|(burn, position)| burn.has_lapsed(now) && !position.free().is_zero())
        .map(|(burn, position)| Slice { burn: *burn, credits: position.free() })
        .collect()
}
