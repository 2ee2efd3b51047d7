//! Credits between holders: allocating, reclaiming, moving between departments and pools, refilling.
//!
//! What comes out of unallocated comes in burn order: the department gets what is to be used first. What a
//! department gives comes against it: the department keeps what is to be used first, and an allocation that
//! is taken back at once goes back as it came.

use super::account::{AccountKind, TransferKind};
use super::command::Command;
use super::decide::{department_account, holder, not_in_debt, short};
use super::instruction::{AllocateCredits, MoveCredits, RefillAllocation};
use super::lots::{self, Slice};
use super::plan::{Cost, Leg, Plan, Side};
use super::refusal::{Refusal, Scope};
use super::state::{Pool, Position, State};
use crate::Credits;
use crate::Timestamp;
use crate::id::{AccountId, DepartmentId};

pub(super) fn plan_allocate(state: &State, pool: &Pool, request: &AllocateCredits) -> Result<Plan, Refusal> {
    not_in_debt(pool)?;
    let account = department_account(state, pool, request.department)?;
    if request.credits.is_zero() {
        return Err(Refusal::AmountNotPositive);
    }
    let slices = given(pool, Some(pool.unallocated), Scope::Unallocated, request.credits)?;
    let from = Side::Holder(pool.unallocated);
    let to = account.map_or(Side::New(request.new_account, request.department), Side::Holder);
    let plan = Plan::moving(TransferKind::Allocate, from, to, slices, request.credits);
    Ok(Plan { account: to, ..plan })
}

pub(super) fn plan_reclaim(state: &State, pool: &Pool, request: &AllocateCredits) -> Result<Plan, Refusal> {
    not_in_debt(pool)?;
    let id = department_account(state, pool, request.department)?;
    if request.credits.is_zero() {
        return Err(Refusal::AmountNotPositive);
    }
    let slices = given(pool, id, Scope::Department, request.credits)?;
    let from = id.map_or(Side::New(request.new_account, request.department), Side::Holder);
    let to = Side::Holder(pool.unallocated);
    Ok(Plan::moving(TransferKind::Reclaim, from, to, slices, request.credits))
}

pub(super) fn plan_move(
    state: &State,
    pool: &Pool,
    command: &Command,
    request: &MoveCredits,
) -> Result<Plan, Refusal> {
    not_in_debt(pool)?;
    let there = match request.to_pool {
        None => None,
        Some(id) if id == command.pool => return Err(Refusal::SamePlace),
        Some(id) => Some(state.pools.get(&id).ok_or(Refusal::Target(Box::new(Refusal::PoolNotFound)))?),
    };
    let at_target = |refusal| Refusal::Target(Box::new(refusal));
    if let Some(other) = there {
        super::decide::usable(other).and_then(|()| not_in_debt(other)).map_err(at_target)?;
    }
    let (scope, from) = match request.from {
        Some(department) => (Scope::Department, department_account(state, pool, department)?),
        None => (Scope::Unallocated, Some(pool.unallocated)),
    };
    let target = there.unwrap_or(pool);
    let to = match request.to {
        None => Side::Holder(target.unallocated),
        Some(department) => department_account(state, target, department)
            .map_err(at_target)?
            .map_or(Side::New(request.new_account, department), Side::Holder),
    };
    if there.is_none() && request.from == request.to {
        return Err(Refusal::SamePlace);
    }
    if request.credits.is_zero() {
        return Err(Refusal::AmountNotPositive);
    }
    let slices = given(pool, from, scope, request.credits)?;
    // There is an account, since it had the credits.
    let from = Side::Holder(from.unwrap_or(pool.unallocated));
    let Some(other) = there else {
        let plan = Plan::moving(TransferKind::Move, from, to, slices, request.credits);
        return Ok(Plan { other_account: Some(to), ..plan });
    };
    other.takes_in(request.credits).map_err(at_target)?;
    let clearing = Side::Contra(AccountKind::Clearing);
    let halves = |slice: Slice| {
        let out = Leg { paired: true, ..Leg::new(TransferKind::Move, from, clearing, slice) };
        let into = Leg::new(TransferKind::Move, clearing, to, slice);
        [out, Leg { there: true, cost: Cost::Carried, ..into }]
    };
    let legs = slices.into_iter().flat_map(halves).collect();
    Ok(Plan { legs, other_account: Some(to), ..Plan::about(from, request.credits) })
}

/// What exceeds the rollover goes back to unallocated, then the allocation is topped up with what
/// unallocated has. What is held is left alone.
pub(super) fn plan_refill(
    state: &State,
    pool: &Pool,
    request: &RefillAllocation,
    at: Timestamp,
) -> Result<Plan, Refusal> {
    not_in_debt(pool)?;
    let id = department_account(state, pool, request.department)?.ok_or(Refusal::NothingToRefill)?;
    let account = holder(pool, id)?;
    let refill = account.refill.ok_or(Refusal::NothingToRefill)?;
    if request.period.start <= refill.current.start || at < request.period.start {
        return Err(Refusal::NothingToRefill);
    }
    let (own, pot) = (Side::Holder(id), Side::Holder(pool.unallocated));
    let free = account.available();
    let back = lots::take_up_to(account.positions.iter().rev(), free.saturating_sub(refill.rollover));
    let kept = free.saturating_sub(lots::sum(&back));
    let mut unallocated = holder(pool, pool.unallocated)?.positions.clone();
    for slice in &back {
        let position: &mut Position = unallocated.entry(slice.burn).or_default();
        position.credits = position.credits.saturating_add(slice.credits);
    }
    let wanted = refill.amount.saturating_sub(kept);
    let more = lots::take_up_to(unallocated.iter(), wanted);
    let shortfall = wanted.saturating_sub(lots::sum(&more));
    let moved = lots::sum(&back).saturating_add(lots::sum(&more));
    let back = back.into_iter().map(|slice| Leg::new(TransferKind::Refill, own, pot, slice));
    let more = more.into_iter().map(|slice| Leg::new(TransferKind::Refill, pot, own, slice));
    let legs = back.chain(more).collect();
    Ok(Plan { legs, refill: Some((request.period, shortfall)), ..Plan::about(own, moved) })
}

/// The slices that an account gives: unallocated in burn order, a department against it.
pub(super) fn given(
    pool: &Pool,
    id: Option<AccountId>,
    scope: Scope,
    credits: Credits,
) -> Result<Vec<Slice>, Refusal> {
    let account = id.and_then(|id| pool.accounts.get(&id));
    let available = account.map_or(Credits::ZERO, |account| account.available());
    let taken = account.and_then(|account| match scope {
        Scope::Unallocated => lots::take(account.positions.iter(), credits),
        Scope::Department => lots::take(account.positions.iter().rev(), credits),
    });
    taken.ok_or_else(|| short(scope, available, credits))
}

/// The account of a department as a side, made when it is not there yet.
pub(super) fn department_side(
    state: &State,
    pool: &Pool,
    department: DepartmentId,
    new: AccountId,
) -> Result<Side, Refusal> {
    let account = department_account(state, pool, department)?;
    Ok(account.map_or(Side::New(new, department), Side::Holder))
}
