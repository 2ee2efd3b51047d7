//! Payments that were returned, or are disputed: where they stand, how many credits they take back, and from where.

use std::collections::BTreeMap;

use crate::Credits;
use crate::id::{LotId, PoolId};
use crate::money::cost_share;

string_enum! {
    /// Why a payment is reversed.
    ReversalKind {
        /// The vendor gives money back.
        Refund = "REFUND",
        /// The buyer's bank asks for it.
        Dispute = "DISPUTE",
    }
}

string_enum! {
    /// Where a reversal stands.
    ReversalState {
        /// The provider was asked for the refund, or has not carried it out yet.
        Pending = "PENDING",
        /// The dispute is open: what is left of the credits is held.
        Open = "OPEN",
        /// The money is back at the buyer's, unless it turns out later that it did not get there.
        Succeeded = "SUCCEEDED",
        /// The refund was not carried out, or did not reach the buyer. Final.
        Failed = "FAILED",
        /// The dispute was won: the money stays. Final.
        Won = "WON",
        /// The dispute was lost: the money is gone. Final.
        Lost = "LOST",
    }
}

/// What becomes of a reversal that is found in a state, or not at all, when its provider says that it is in another;
/// `None`: nothing, since what is said is older, or the same.
pub fn advance(known: Option<ReversalState>, said: ReversalState) -> Option<ReversalState> {
    use ReversalState::{Failed, Lost, Open, Pending, Succeeded, Won};
    match (known, said) {
        (None, said) => Some(said),
        (Some(Pending), Succeeded | Failed) => Some(said),
        // The buyer's bank did not take it: the money is the vendor's again.
        (Some(Succeeded), Failed) => Some(said),
        (Some(Open), Won | Lost) => Some(said),
        (Some(Pending | Open | Succeeded | Failed | Won | Lost), _) => None,
    }
}

/// How many credits the return of `amount` of `total` takes back: `credits x amount / total`, rounded up, and no more than
/// `left`, what earlier returns have not taken.
pub fn revoked_credits(credits: Credits, amount: i64, total: i64, left: Credits) -> Credits {
    if total <= 0 || amount <= 0 {
        return Credits::ZERO;
    }
    let product = i128::from(credits.get()) * i128::from(amount.min(total));
    let rounded = (product + i128::from(total) - 1) / i128::from(total);
    i64::try_from(rounded).ok().and_then(Credits::new).unwrap_or(credits).min(left)
}

/// What a pool has of a lot that came with a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The pool.
    pub pool: PoolId,
    /// The lot: the purchase's own, or one that its credits went on in.
    pub lot: LotId,
    /// Credits that are free.
    pub free: Credits,
    /// Credits that a hold keeps and no earlier reversal asks for.
    pub held: Credits,
}

/// What one pool gives back of one lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The pool.
    pub pool: PoolId,
    /// The lot.
    pub lot: LotId,
    /// How many credits.
    pub credits: Credits,
    /// The part of the money that goes with them, in minor units.
    pub value: i64,
}

/// How many of the credits that a refund takes back have to wait: those that are not there, as far as disputes of the same
/// payment hold as many (`disputed`). Should one be won, they are there again. What is missing beyond that has been used.
pub fn waiting(places: &[Place], credits: Credits, disputed: Credits) -> Credits {
    let there = |sum: Credits, place: &Place| sum.saturating_add(place.free).saturating_add(place.held);
    credits.saturating_sub(places.iter().fold(Credits::ZERO, there)).min(disputed)
}

/// How many of the credits that are taken back holds keep for now: those that are free go first.
pub fn from_holds(places: &[Place], credits: Credits) -> Credits {
    let sum = |of: fn(&Place) -> Credits| {
        places.iter().fold(Credits::ZERO, |sum, place| sum.saturating_add(of(place)))
    };
    let (free, held) = (sum(|place| place.free), sum(|place| place.held));
    credits.saturating_sub(free).min(held)
}

/// Spreads what is taken back over where the credits lie: what is free first, in the order of the places, then what is
/// held; what is missing falls to the place of the purchase (`home`), as its debt. Values add up to `value`.
pub fn spread(places: &[Place], home: (PoolId, LotId), credits: Credits, value: i64) -> Vec<Share> {
    let mut taken = vec![Credits::ZERO; places.len()];
    let mut left = credits;
    let parts: [fn(&Place) -> Credits; 2] = [|place| place.free, |place| place.held];
    for part in parts {
        for (place, taken) in places.iter().zip(&mut taken) {
            let some = part(place).min(left);
            *taken = taken.saturating_add(some);
            left = left.saturating_sub(some);
        }
    }
    let mut shares: Vec<(PoolId, LotId, Credits)> =
        places.iter().zip(taken).map(|(place, credits)| (place.pool, place.lot, credits)).collect();
    match shares.iter_mut().find(|(pool, lot, _)| (*pool, *lot) == home) {
        Some((_, _, credits)) => *credits = credits.saturating_add(left),
        None => shares.push((home.0, home.1, left)),
    }
    shares.retain(|(_, _, credits)| !credits.is_zero());
    let (mut whole, mut rest) = (credits, value);
    let share = |(pool, lot, credits): (PoolId, LotId, Credits)| {
        let value = cost_share(rest, credits.get(), whole.get());
        (whole, rest) = (whole.saturating_sub(credits), rest - value);
        Share { pool, lot, credits, value }
    };
    shares.into_iter().map(share).collect()
}

/// A pool where credits of a purchase were taken back that are to be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The pool.
    pub pool: PoolId,
    /// How many were taken back there for the money that is there again.
    pub taken: Credits,
    /// How many have been taken back there of whatever lot, and have not been given back.
    pub revoked: Credits,
}

/// What one pool gets back of credits that were taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenBack {
    /// The pool, the credits and their part of the money; the lot of those that holds keep.
    pub share: Share,
    /// Whether they are credits that holds keep, and that are only not to be taken back any more.
    pub held: bool,
}

/// Spreads what is given back, when the money of a refund is the vendor's again: it lowers what the pool of the purchase
/// (`home`) owes, then holds keep for good what they keep (`kept`: the places, with what is to be taken back there as `held`),
/// and the rest is free again in the pools where it was taken, the pool of the purchase last. `into` is the lot of the free
/// ones. Values add up to `value`; `None`: the pools have not taken back as many.
pub fn give_back(
    kept: &[Place],
    rooms: &[Room],
    (home, debt, into): (PoolId, Credits, LotId),
    (credits, value): (Credits, i64),
) -> Option<Vec<GivenBack>> {
    let owed = debt.min(credits);
    let mut left = credits.saturating_sub(owed);
    let mut parts: Vec<(PoolId, LotId, Credits, bool)> = Vec::new();
    for place in kept {
        let some = place.held.min(left);
        left = left.saturating_sub(some);
        parts.push((place.pool, place.lot, some, true));
    }
    // What the pool of the purchase owes was taken back there as well.
    let room = |room: &Room| match room.pool == home {
        true => room.revoked.saturating_sub(owed),
        false => room.revoked,
    };
    let mut free: BTreeMap<PoolId, Credits> = BTreeMap::new();
    let away = rooms.iter().filter(|room| room.pool != home).map(|one| (one, room(one).min(one.taken)));
    let home_room = || rooms.iter().filter(|room| room.pool == home).map(|one| (one, room(one)));
    // Debts that went from pool to pool may have taken along what was taken back.
    let others = rooms.iter().filter(|room| room.pool != home).map(|one| (one, room(one)));
    for (one, most) in away.chain(home_room()).chain(others) {
        let so_far = free.entry(one.pool).or_default();
        let some = most.saturating_sub(*so_far).min(left);
        *so_far = so_far.saturating_add(some);
        left = left.saturating_sub(some);
    }
    if !left.is_zero() {
        return None;
    }
    let at_home = free.remove(&home).unwrap_or_default().saturating_add(owed);
    parts.push((home, into, at_home, false));
    parts.extend(free.into_iter().map(|(pool, credits)| (pool, into, credits, false)));
    parts.retain(|(_, _, credits, _)| !credits.is_zero());
    let (mut whole, mut rest) = (credits, value);
    let share = |(pool, lot, credits, held): (PoolId, LotId, Credits, bool)| {
        let value = cost_share(rest, credits.get(), whole.get());
        (whole, rest) = (whole.saturating_sub(credits), rest - value);
        GivenBack { share: Share { pool, lot, credits, value }, held }
    };
    Some(parts.into_iter().map(share).collect())
}

/// Credits of one purchase that a refund of a charge brings back to another pool than that of the purchase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coming {
    /// The pool of the purchase.
    pub home: PoolId,
    /// How many credits.
    pub credits: Credits,
    /// How many of the purchase's credits were ever owed, less those by which refunds have reduced that.
    pub owed: Credits,
}

/// How much of what the pools of purchases owe a refund of a charge settles, for each of `coming`: no more than `free`, the
/// credits that it does not need for what is owed by the charge's own pool. `debts` is what pools owe.
pub fn settled_at_home(coming: &[Coming], debts: &BTreeMap<PoolId, Credits>, free: Credits) -> Vec<Credits> {
    let (mut debts, mut free) = (debts.clone(), free);
    let settle = |coming: &Coming| {
        let Some(debt) = debts.get_mut(&coming.home) else { return Credits::ZERO };
        let credits = coming.credits.min(coming.owed).min(*debt).min(free);
        *debt = debt.saturating_sub(credits);
        free = free.saturating_sub(credits);
        credits
    };
    coming.iter().map(settle).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id;
    use proptest::prelude::*;

    fn credits(n: i64) -> Credits {
        Credits::new(n).unwrap()
    }

    #[test]
    fn parts_are_rounded_up_and_never_take_too_much() {
        let all = credits(100);
        assert_eq!(revoked_credits(all, 19_900, 19_900, all), all);
        assert_eq!(revoked_credits(all, 1, 19_900, all), credits(1));
        assert_eq!(revoked_credits(all, 9_950, 19_900, all), credits(50));
        assert_eq!(revoked_credits(all, 9_951, 19_900, credits(50)), credits(50));
        assert_eq!(revoked_credits(all, 0, 19_900, all), Credits::ZERO);
    }

    #[test]
    fn holds_keep_what_is_not_free() {
        let place = |lot, free, held| {
            let (pool, lot) = (PoolId::from_u128(1), LotId::from_u128(lot));
            Place { pool, lot, free: credits(free), held: credits(held) }
        };
        let places = [place(1, 10, 4), place(2, 5, 3)];
        for (wanted, kept) in [(15, 0), (16, 1), (22, 7), (30, 7)] {
            assert_eq!(from_holds(&places, credits(wanted)), credits(kept));
        }
    }

    #[test]
    fn what_a_dispute_may_give_free_is_waited_for() {
        let (pool, lot) = (PoolId::from_u128(1), LotId::from_u128(1));
        let places = [Place { pool, lot, free: credits(10), held: credits(4) }];
        for (wanted, disputed, waits) in [(14, 5, 0), (15, 5, 1), (40, 5, 5), (40, 0, 0)] {
            assert_eq!(waiting(&places, credits(wanted), credits(disputed)), credits(waits));
        }
    }

    #[test]
    fn what_was_taken_back_is_given_back_where_it_was_taken() {
        let (home, other) = (PoolId::from_u128(1), PoolId::from_u128(2));
        let (own, later) = (LotId::from_u128(1), LotId::from_u128(2));
        let kept = [Place { pool: other, lot: own, free: Credits::ZERO, held: credits(5) }];
        let room = |pool, taken, revoked| Room { pool, taken: credits(taken), revoked: credits(revoked) };
        let rooms = [room(home, 60, 60), room(other, 40, 35)];
        let back = give_back(&kept, &rooms, (home, credits(20), later), (credits(100), 1_000)).unwrap();
        let parts: Vec<_> = back.iter().map(|one| (one.share.pool, one.share.lot, one.held)).collect();
        assert_eq!(parts, [(other, own, true), (home, later, false), (other, later, false)]);
        let numbers: Vec<_> = back.iter().map(|one| (one.share.credits.get(), one.share.value)).collect();
        assert_eq!(numbers, [(5, 50), (60, 600), (35, 350)]);
        // What was captured there is owed at home, and was settled: then all of it comes back there.
        let gone = [room(home, 60, 100), room(other, 40, 0)];
        let back = give_back(&[], &gone, (home, Credits::ZERO, own), (credits(100), 7)).unwrap();
        assert_eq!(back.len(), 1);
        assert_eq!((back[0].share.pool, back[0].share.value), (home, 7));
        assert_eq!(give_back(&[], &rooms, (home, Credits::ZERO, own), (credits(100), 7)), None);
    }

    #[test]
    fn a_refund_settles_what_is_owed_at_home_once() {
        let (one, other) = (PoolId::from_u128(1), PoolId::from_u128(2));
        let coming = |home, n, owed| Coming { home, credits: credits(n), owed: credits(owed) };
        let debts = BTreeMap::from([(one, credits(10)), (other, credits(3))]);
        let all = [coming(one, 8, 20), coming(one, 8, 20), coming(other, 5, 2), coming(other, 5, 9)];
        let settled = |free| settled_at_home(&all, &debts, credits(free)).into_iter().map(Credits::get);
        assert_eq!(settled(100).collect::<Vec<_>>(), [8, 2, 2, 1]);
        assert_eq!(settled(9).collect::<Vec<_>>(), [8, 1, 0, 0]);
        let nobody = coming(PoolId::from_u128(3), 8, 8);
        assert_eq!(settled_at_home(&[nobody], &debts, credits(9)), [Credits::ZERO]);
    }

    #[test]
    fn news_that_is_old_changes_nothing() {
        use ReversalState::*;
        assert_eq!(advance(None, Lost), Some(Lost));
        assert_eq!(advance(Some(Lost), Open), None);
        assert_eq!(advance(Some(Open), Lost), Some(Lost));
        assert_eq!(advance(Some(Pending), Succeeded), Some(Succeeded));
        assert_eq!(advance(Some(Succeeded), Pending), None);
        assert_eq!(advance(Some(Succeeded), Failed), Some(Failed));
        assert_eq!(advance(Some(Failed), Succeeded), None);
        assert_eq!(advance(Some(Won), Lost), None);
    }

    proptest! {
        #[test]
        fn what_is_spread_adds_up(parts in prop::collection::vec((0i64..50, 0i64..50), 0..6), wanted in 1i64..200, value in 1i64..100_000) {
            let place = |(n, (free, held)): (usize, &(i64, i64))| {
                let (pool, lot) = (PoolId::from_u128(n as u128 % 2), LotId::from_u128(n as u128));
                Place { pool, lot, free: credits(*free), held: credits(*held) }
            };
            let places: Vec<Place> = parts.iter().enumerate().map(place).collect();
            let home = (PoolId::from_u128(0), LotId::from_u128(0));
            let shares = spread(&places, home, credits(wanted), value);
            prop_assert_eq!(shares.iter().map(|share| share.credits.get()).sum::<i64>(), wanted);
            prop_assert_eq!(shares.iter().map(|share| share.value).sum::<i64>(), value);
            for share in shares.iter().filter(|share| (share.pool, share.lot) != home) {
                let place = places.iter().find(|place| place.lot == share.lot).unwrap();
                prop_assert!(share.credits <= place.free.saturating_add(place.held));
            }
        }
    }
}
