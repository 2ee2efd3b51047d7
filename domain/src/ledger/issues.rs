//! Lots: coming in, going on with a later expiry, and being taken back.

use super::account::{AccountKind, TransferKind};
use super::decide::{department_account, not_in_debt, short};
use super::disputes::{on_paper, pending};
use super::effects::NewLot;
use super::instruction::{ExtendLot, IssueCredits, LotSource, RevokeLot, TakeBackCredits};
use super::lots::{self, BurnKey, Slice};
use super::marks::Mark;
use super::moves::department_side;
use super::plan::{Cost, Leg, Plan, Side};
use super::refusal::{Refusal, Scope};
use super::state::{Pool, State};
use crate::money::cost_share;
use crate::{Credits, Timestamp};

/// A new lot. What the pool owes is settled with it first.
pub(super) fn plan_issue(
    state: &State,
    pool: &Pool,
    issue: &IssueCredits,
    now: Timestamp,
) -> Result<Plan, Refusal> {
    let to = match issue.department {
        None => Side::Holder(pool.unallocated),
        Some(department) => {
            not_in_debt(pool)?;
            department_side(state, pool, department, issue.new_account)?
        }
    };
    if issue.credits.is_zero() {
        return Err(Refusal::AmountNotPositive);
    }
    if issue.expires_at.is_some_and(|at| at <= now) {
        return Err(Refusal::ExpiryPast);
    }
    pool.takes_in(issue.credits)?;
    let kind = match issue.source {
        LotSource::Correction => TransferKind::Correct,
        LotSource::Purchase | LotSource::Grant => TransferKind::Issue,
    };
    let burn = BurnKey::new(issue.priority, issue.expires_at, now, issue.lot);
    let leg = Leg::new(kind, Side::Contra(AccountKind::Issued), to, Slice { burn, credits: issue.credits });
    let mut legs = vec![Leg { cost: Cost::Given(issue.cost), ..leg }];
    let owed = pool.debt().min(issue.credits);
    if !owed.is_zero() {
        let slice = Slice { burn, credits: owed };
        legs.push(Leg::new(TransferKind::Settle, to, Side::Contra(AccountKind::Debt), slice));
    }
    let lot = NewLot {
        id: issue.lot,
        source: issue.source,
        class: issue.class,
        priority: issue.priority,
        credits: issue.credits,
        cost: issue.cost,
        currency: issue.currency,
        expires_at: issue.expires_at,
        purchase: issue.purchase,
        replaces: None,
        created_at: now,
    };
    Ok(Plan { legs, lots: vec![lot], ..Plan::about(to, issue.credits) })
}

/// Takes credits out of a balance: of one lot, or those that would be used last.
pub(super) fn plan_take_back(state: &State, pool: &Pool, request: &TakeBackCredits) -> Result<Plan, Refusal> {
    not_in_debt(pool)?;
    let (scope, id) = match request.department {
        Some(department) => (Scope::Department, department_account(state, pool, department)?),
        None => (Scope::Unallocated, Some(pool.unallocated)),
    };
    if request.credits.is_zero() {
        return Err(Refusal::AmountNotPositive);
    }
    let own = id.and_then(|id| Some((id, pool.accounts.get(&id)?)));
    let (id, account) = own.ok_or_else(|| short(scope, Credits::ZERO, request.credits))?;
    let of_lot = |burn: &BurnKey| request.lot.is_none_or(|lot| lot == burn.lot);
    let positions = || account.positions.iter().rev().filter(|(burn, _)| of_lot(burn));
    if request.lot.is_some() && positions().next().is_none() {
        return Err(Refusal::LotNotFound);
    }
    let available = positions().fold(Credits::ZERO, |sum, (_, position)| sum.saturating_add(position.free()));
    let slices = lots::take(positions(), request.credits);
    let slices = slices.ok_or_else(|| short(scope, available, request.credits))?;
    let (from, to) = (Side::Holder(id), Side::Contra(AccountKind::Revoked));
    Ok(Plan::moving(TransferKind::Correct, from, to, slices, request.credits))
}

/// Lets the unheld credits of a lot, wherever they lie in the pool, go on in a new lot. A lot is never
/// changed: what has been held or used of it stays what it was.
pub(super) fn plan_extend(
    state: &State,
    pool: &Pool,
    request: &ExtendLot,
    now: Timestamp,
) -> Result<Plan, Refusal> {
    not_in_debt(pool)?;
    let terms = state.lots.get(&request.lot).ok_or(Refusal::LotNotFound)?;
    let old = terms.burn.expires_at().ok_or(Refusal::ExpiryNotLater)?;
    if request.expires_at.is_some_and(|at| at <= old) {
        return Err(Refusal::ExpiryNotLater);
    }
    if request.expires_at.is_some_and(|at| at <= now) {
        return Err(Refusal::ExpiryPast);
    }
    let burn = BurnKey::new(terms.burn.priority, request.expires_at, now, request.new_lot);
    let clearing = Side::Contra(AccountKind::Clearing);
    let (mut legs, mut credits, mut cost) = (Vec::new(), Credits::ZERO, 0);
    for (id, position) in pool.positions_of(&terms.burn) {
        if position.free().is_zero() {
            continue;
        }
        let share = cost_share(position.cost, position.free().get(), position.credits.get());
        let slice = |burn| Slice { burn, credits: position.free() };
        let out = Leg::new(TransferKind::Extend, Side::Holder(id), clearing, slice(terms.burn));
        legs.push(Leg { paired: true, cost: Cost::Given(share), ..out });
        let into = Leg::new(TransferKind::Extend, clearing, Side::Holder(id), slice(burn));
        legs.push(Leg { cost: Cost::Carried, ..into });
        credits = credits.saturating_add(position.free());
        cost += share;
    }
    if credits.is_zero() {
        return Err(Refusal::LotNotFound);
    }
    let lot = NewLot {
        id: request.new_lot,
        source: terms.source,
        class: terms.class,
        priority: terms.burn.priority,
        credits,
        cost,
        currency: terms.currency,
        expires_at: request.expires_at,
        purchase: None,
        replaces: Some(request.lot),
        created_at: now,
    };
    Ok(Plan { legs, lots: vec![lot], ..Plan::about(Side::Holder(pool.unallocated), credits) })
}

/// Takes back a lot whose payment was reversed: unheld credits at once (first those that a dispute held which was
/// lost), held ones once they are let go (last those that such a dispute waits for), and what has been used becomes
/// debt. What belongs to a dispute is left to it, unless it is the one that was lost.
pub(super) fn plan_revoke(state: &State, pool: &Pool, request: &RevokeLot) -> Result<Plan, Refusal> {
    let burn = state.lots.get(&request.lot).ok_or(Refusal::LotNotFound)?.burn;
    if request.credits.is_zero() || request.value < 0 {
        return Err(Refusal::AmountNotPositive);
    }
    let (mut legs, mut marks, mut left) = (Vec::new(), Vec::new(), request.credits);
    let mut part = |of: Credits| {
        let part = of.min(left);
        left = left.saturating_sub(part);
        (!part.is_zero()).then_some(part)
    };
    let revoke = |id, credits| {
        let slice = Slice { burn, credits };
        Leg::new(TransferKind::Revoke, Side::Holder(id), Side::Contra(AccountKind::Revoked), slice)
    };
    for (id, position) in pool.positions_of(&burn).filter(|_| request.disputed) {
        if let Some(credits) = part(position.disputed) {
            legs.push(pending(TransferKind::Release, id, burn, credits));
            legs.push(revoke(id, credits));
            marks.push(Mark { disputed: -credits.get(), ..Mark::of(id, burn) });
        }
    }
    for (id, position) in pool.positions_of(&burn) {
        legs.extend(part(position.free()).map(|credits| revoke(id, credits)));
    }
    let mut kept = None;
    for (id, position) in pool.positions_of(&burn) {
        if let Some(credits) = part(position.unmarked()) {
            kept = kept.or(Some((id, credits)));
            marks.push(Mark { revoking: credits.get(), ..Mark::of(id, burn) });
        }
    }
    // What another dispute waits for stays so.
    for (id, position) in pool.positions_of(&burn).filter(|_| request.disputed) {
        if let Some(credits) = part(position.contested) {
            let (revoking, contested) = (credits.get(), -credits.get());
            kept = kept.or(Some((id, credits)));
            marks.push(Mark { revoking, contested, ..Mark::of(id, burn) });
        }
    }
    if !left.is_zero() {
        let slice = Slice { burn, credits: left };
        let (debt, revoked) = (Side::Contra(AccountKind::Debt), Side::Contra(AccountKind::Revoked));
        legs.push(Leg { cost: Cost::Given(0), ..Leg::new(TransferKind::Owe, debt, revoked, slice) });
    }
    if legs.is_empty() {
        legs.extend(kept.into_iter().flat_map(|(id, credits)| on_paper(id, burn, credits)));
    }
    Ok(Plan { legs, marks, ..Plan::about(Side::Holder(pool.unallocated), request.credits) })
}

impl Pool {
    /// Whether so many credits may come in. All that ever came in stays in range, so no later sum of parts of
    /// it, what comes back by refunds included, can leave it.
    pub(super) fn takes_in(&self, credits: Credits) -> Result<(), Refusal> {
        let contra = self.head.contra;
        for so_far in [-contra.issued, -(contra.issued + contra.clearing.min(0))] {
            let so_far = Credits::new(so_far).ok_or(Refusal::AmountTooLarge)?;
            so_far.checked_add(credits).ok_or(Refusal::AmountTooLarge)?;
        }
        Ok(())
    }
}
