//! Disputes: what is left of a lot is held while its payment is disputed, and let go when the dispute was won.
//! (A dispute that was lost is a reversal: see [`super::issues`].)
//!
//! Nothing of a dispute is a kind of transfer of its own: it holds and releases as holds do, only that its
//! entry owns the transfers. What holds hold stays with them; it is marked, and goes to the dispute when it is
//! let go.

use super::account::{AccountKind, TransferKind};
use super::instruction::DisputeLot;
use super::lots::{BurnKey, Slice};
use super::marks::Mark;
use super::plan::{Leg, Plan, Side};
use super::refusal::Refusal;
use super::state::{Pool, State};
use crate::id::AccountId;
use crate::{Credits, Timestamp};

/// Holds the unheld credits of a lot, wherever they lie in the pool, and marks held ones. What has been used is
/// left out: as long as the dispute is open, nobody owes it.
pub(super) fn plan_dispute(state: &State, pool: &Pool, request: &DisputeLot) -> Result<Plan, Refusal> {
    let burn = lot_of(state, request)?;
    let (mut legs, mut marks, mut left) = (Vec::new(), Vec::new(), request.credits);
    for (id, position) in pool.positions_of(&burn) {
        let credits = position.free().min(left);
        if !credits.is_zero() {
            left = left.saturating_sub(credits);
            legs.push(pending(TransferKind::Hold, id, burn, credits));
            marks.push(Mark { disputed: credits.get(), ..Mark::of(id, burn) });
        }
    }
    let mut kept = None;
    for (id, position) in pool.positions_of(&burn) {
        let credits = position.unmarked().min(left);
        if !credits.is_zero() {
            left = left.saturating_sub(credits);
            kept = kept.or(Some((id, credits)));
            marks.push(Mark { contested: credits.get(), ..Mark::of(id, burn) });
        }
    }
    if legs.is_empty() {
        legs.extend(kept.into_iter().flat_map(|(id, credits)| on_paper(id, burn, credits)));
    }
    Ok(Plan { legs, marks, ..Plan::about(Side::Holder(pool.unallocated), request.credits) })
}

/// Lets go of what is held for a dispute of a lot, and takes the marks away. What has lapsed meanwhile is booked
/// as expired.
pub(super) fn plan_reinstate(
    state: &State,
    pool: &Pool,
    request: &DisputeLot,
    now: Timestamp,
) -> Result<Plan, Refusal> {
    let burn = lot_of(state, request)?;
    let (mut legs, mut marks, mut left) = (Vec::new(), Vec::new(), request.credits);
    for (id, position) in pool.positions_of(&burn) {
        let credits = position.disputed.min(left);
        if credits.is_zero() {
            continue;
        }
        left = left.saturating_sub(credits);
        legs.push(pending(TransferKind::Release, id, burn, credits));
        marks.push(Mark { disputed: -credits.get(), ..Mark::of(id, burn) });
        if burn.has_lapsed(now) {
            let (from, to) = (Side::Holder(id), Side::Contra(AccountKind::Expired));
            legs.push(Leg::new(TransferKind::Lapse, from, to, Slice { burn, credits }));
        }
    }
    let mut kept = None;
    for (id, position) in pool.positions_of(&burn) {
        let credits = position.contested.min(left);
        if !credits.is_zero() {
            left = left.saturating_sub(credits);
            kept = kept.or(Some((id, credits)));
            marks.push(Mark { contested: -credits.get(), ..Mark::of(id, burn) });
        }
    }
    if legs.is_empty() {
        legs.extend(kept.into_iter().flat_map(|(id, credits)| on_paper(id, burn, credits)));
    }
    Ok(Plan { legs, marks, ..Plan::about(Side::Holder(pool.unallocated), request.credits) })
}

fn lot_of(state: &State, request: &DisputeLot) -> Result<BurnKey, Refusal> {
    let terms = state.lots.get(&request.lot).ok_or(Refusal::LotNotFound)?;
    if request.credits.is_zero() { Err(Refusal::AmountNotPositive) } else { Ok(terms.burn) }
}

/// A pending movement of an account's credits.
pub(super) fn pending(kind: TransferKind, account: AccountId, burn: BurnKey, credits: Credits) -> Leg {
    let consumed = Side::Contra(AccountKind::Consumed);
    Leg::new(kind, Side::Holder(account), consumed, Slice { burn, credits })
}

/// Only marks change, and an entry needs a transfer: some held credits are let go and held again.
pub(super) fn on_paper(account: AccountId, burn: BurnKey, credits: Credits) -> [Leg; 2] {
    [TransferKind::Release, TransferKind::Hold].map(|kind| pending(kind, account, burn, credits))
}
