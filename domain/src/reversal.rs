//! Payments that were returned, or are disputed: where they stand, how many credits they take back, and from where.

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
        /// The money is back at the buyer's. Final.
        Succeeded = "SUCCEEDED",
        /// The refund was not carried out. Final.
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
    fn news_that_is_old_changes_nothing() {
        use ReversalState::*;
        assert_eq!(advance(None, Lost), Some(Lost));
        assert_eq!(advance(Some(Lost), Open), None);
        assert_eq!(advance(Some(Open), Lost), Some(Lost));
        assert_eq!(advance(Some(Pending), Succeeded), Some(Succeeded));
        assert_eq!(advance(Some(Succeeded), Pending), None);
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
