//! What was taken back and is given back: a payment was returned, and its money did not reach the buyer after all.
//!
//! It is the contrary of a reversal (see [`super::issues`]): what is still owed is owed no more, what holds keep is not to be
//! taken back any more, and the rest is free again, at the cost of the money that is there for it again.

use super::account::{AccountKind, TransferKind};
use super::disputes::on_paper;
use super::effects::NewLot;
use super::instruction::RestoreLot;
use super::lots::{BurnKey, LotTerms, Slice};
use super::marks::Mark;
use super::plan::{Cost, Leg, Plan, Side};
use super::refunds::REPLACEMENT_DAYS;
use super::refusal::Refusal;
use super::state::{Pool, State};
use crate::{Credits, Timestamp};

/// Lowers the debt and gives the rest back, to a lot that goes on for it where it has lapsed; or, of held credits, takes the
/// marks away.
pub(super) fn plan_restore(
    state: &State,
    pool: &Pool,
    request: &RestoreLot,
    now: Timestamp,
) -> Result<Plan, Refusal> {
    let terms = state.lots.get(&request.lot).ok_or(Refusal::LotNotFound)?;
    if request.credits.is_zero() || request.value < 0 {
        return Err(Refusal::AmountNotPositive);
    }
    if request.held {
        return plan_keep(pool, request, &terms.burn);
    }
    let (revoked, holder) = (Side::Contra(AccountKind::Revoked), Side::Holder(pool.unallocated));
    let leg = |burn, from, to, (credits, cost)| {
        let leg = Leg::new(TransferKind::Restore, from, to, Slice { burn, credits });
        Leg { cost, ..leg }
    };
    let (mut legs, mut lots, mut value) = (Vec::new(), Vec::new(), request.value);
    let owed = pool.debt().min(request.credits);
    if !owed.is_zero() {
        let share = pool.receivable_for(owed).min(value);
        value -= share;
        legs.push(leg(terms.burn, revoked, Side::Contra(AccountKind::Debt), (owed, Cost::Given(share))));
    }
    let free = request.credits.saturating_sub(owed);
    if free.is_zero() {
        return Ok(Plan { legs, ..Plan::about(holder, request.credits) });
    }
    if !terms.burn.has_lapsed(now) {
        legs.push(leg(terms.burn, revoked, holder, (free, Cost::Given(value))));
    } else {
        let lot = heir(terms, request, (free, value), now);
        let burn = BurnKey::new(lot.priority, lot.expires_at, lot.created_at, lot.id);
        let clearing = Side::Contra(AccountKind::Clearing);
        let out = leg(terms.burn, revoked, clearing, (free, Cost::Given(value)));
        legs.push(Leg { paired: true, ..out });
        legs.push(leg(burn, clearing, holder, (free, Cost::Carried)));
        lots.push(lot);
    }
    Ok(Plan { legs, lots, ..Plan::about(holder, request.credits) })
}

/// The lot that goes on for one that has lapsed meanwhile.
fn heir(terms: &LotTerms, request: &RestoreLot, (credits, cost): (Credits, i64), now: Timestamp) -> NewLot {
    NewLot {
        id: request.new_lot,
        source: terms.source,
        class: terms.class,
        priority: terms.burn.priority,
        credits,
        cost,
        currency: terms.currency,
        expires_at: Some(now.plus_days(REPLACEMENT_DAYS)),
        purchase: None,
        replaces: Some(request.lot),
        created_at: now,
    }
}

/// Held credits that are to be taken back stay when they are let go.
fn plan_keep(pool: &Pool, request: &RestoreLot, burn: &BurnKey) -> Result<Plan, Refusal> {
    let (mut marks, mut left, mut kept) = (Vec::new(), request.credits, None);
    for (id, position) in pool.positions_of(burn) {
        let credits = position.revoking.min(left);
        if !credits.is_zero() {
            left = left.saturating_sub(credits);
            kept = kept.or(Some((id, credits)));
            marks.push(Mark { revoking: -credits.get(), ..Mark::of(id, *burn) });
        }
    }
    if !left.is_zero() {
        // Fewer are to be taken back than were said.
        return Err(Refusal::AmountTooLarge);
    }
    let legs = kept.into_iter().flat_map(|(id, credits)| on_paper(id, *burn, credits)).collect();
    Ok(Plan { legs, marks, ..Plan::about(Side::Holder(pool.unallocated), request.credits) })
}

impl Pool {
    /// What is left of money that came back to the vendor after what has been given back for it: `kept` credits are not to
    /// come back any more, and what is not receivable for them is an adjustment.
    pub(super) fn restore(&mut self, value: i64, kept: Credits) {
        let receivable = if kept.is_zero() { 0 } else { self.receivable_for(kept).min(value) };
        self.head.receivable -= receivable;
        self.head.adjusted += value - receivable;
        self.changed = true;
    }
}
