//! The decisions. Each command is checked against the state without changing it, and only then
//! booked, which cannot fail: a refused command leaves no trace and never harms its batch.
//!
//! The order of checks is fixed, so that the same request always gets the same refusal: replay,
//! organization, pool, department, lines, reference, caps, balance.

use super::account::{AccountKind, AccountRef, TransferKind};
use super::assign::plan_assign;
use super::charge::plan_charge;
use super::command::{Command, CommandId};
use super::disputes::{plan_dispute, plan_reinstate};
use super::effects::{Applied, Cause, Transfer};
use super::holds::{HoldState, plan_capture, plan_end, plan_hold, plan_void};
use super::instruction::Instruction;
use super::issues::{plan_extend, plan_issue, plan_revoke, plan_take_back};
use super::lots;
use super::moves::{plan_allocate, plan_move, plan_reclaim, plan_refill};
use super::plan::{Plan, Side, book, book_legs};
use super::post::Movement;
use super::refunds::plan_refund;
use super::refusal::{ReferenceOwner, Refusal, Scope};
use super::restores::plan_restore;
use super::state::{Account, Pool, Prior, State};
use crate::id::{AccountId, DepartmentId, PoolId};
use crate::{Credits, Timestamp};

/// What became of an accepted command.
#[derive(Clone, Debug)]
pub enum Decision {
    /// It was carried out.
    Applied(Box<Applied>),
    /// It had been carried out before, under the same key; this is the row it left then.
    Replayed(CommandId),
}

/// Books what time has brought to the loaded part of `pool` by `now`: holds that have expired are let go, and
/// credits that have lapsed and are not held go to `EXPIRED`.
///
/// Comes before the decisions, so that expired credits cannot be spent from their instant of expiry
/// on. The bookings stand whatever becomes of the commands.
pub fn book_due(state: &mut State, pool: PoolId, now: Timestamp) -> Vec<Transfer> {
    let Some(loaded) = state.pools.get(&pool).filter(|pool| !pool.frozen) else {
        return Vec::new();
    };
    let now = loaded.time(now);
    if loaded.head.due.is_none_or(|due| now < due) {
        return Vec::new();
    }
    let mut transfers = Vec::new();
    let ended = |hold: &super::Hold| hold.state == HoldState::Open && hold.expires_at <= now;
    let mut expired: Vec<_> = loaded
        .holds
        .iter()
        .filter(|(_, hold)| ended(hold))
        .map(|(id, hold)| (hold.expires_at, *id))
        .collect();
    expired.sort();
    for (at, id) in expired {
        let Some(loaded) = state.pools.get(&pool) else { continue };
        let Some(hold) = loaded.holds.get(&id) else { continue };
        let plan = plan_end(state, loaded, (id, hold), HoldState::Expired, now, at);
        let Some(loaded) = state.pools.get_mut(&pool) else { continue };
        transfers.extend(book_legs(loaded, None, plan.legs, now));
        loaded.count(plan.counts);
        plan.marks.into_iter().for_each(|mark| loaded.mark(mark));
        loaded.close_receivable();
        loaded.change_hold(plan.hold);
    }
    if let Some(loaded) = state.pools.get_mut(&pool) {
        transfers.extend(book_lapses(loaded, now));
    }
    transfers
}

fn book_lapses(pool: &mut Pool, now: Timestamp) -> Vec<Transfer> {
    let due: Vec<_> = pool
        .accounts
        .iter()
        .flat_map(|(id, account)| lots::lapsed(account, now).into_iter().map(|slice| (*id, slice)))
        .collect();
    let lapse = |(id, slice): (AccountId, lots::Slice)| {
        let debit = pool.side(id);
        pool.post(Movement {
            kind: TransferKind::Lapse,
            debit,
            credit: AccountRef::contra(AccountKind::Expired),
            burn: slice.burn,
            credits: slice.credits,
            cost: None,
            cause: Cause::Clock,
            counterpart: None,
            created_at: now,
            effective_at: slice.burn.expires_at().unwrap_or(now),
        })
    };
    due.into_iter().map(lapse).collect()
}

/// Carries out one command on the state, or refuses it and leaves the state as it was.
///
/// What is due must have been booked before (see [`book_due`]).
pub fn decide(state: &mut State, command: &Command) -> Result<Decision, Refusal> {
    if let Some(prior) = state.keys.get(&command.key) {
        return if prior.request == command.request {
            Ok(Decision::Replayed(prior.id))
        } else {
            Err(Refusal::IdempotencyConflict { prior: prior.id })
        };
    }
    let plan = plan(state, command)?;
    let applied = book(state, command, plan)?;
    if let Instruction::BookDue = command.instruction {
        if let Some(pool) = state.pools.get_mut(&command.pool) {
            pool.find_due(applied.created_at);
        }
    } else {
        state.keys.insert(command.key, Prior { id: command.id, request: command.request });
    }
    let owner = match command.id {
        CommandId::Charge(id) => Some(ReferenceOwner::Charge(id)),
        CommandId::Hold(id) => Some(ReferenceOwner::Hold(id)),
        CommandId::Entry(_) => None,
    };
    if let (Some(reference), Some(owner)) = (command.instruction.reference(), owner) {
        state.references.insert(reference.clone(), owner);
    }
    if let Instruction::Refund(refund) = &command.instruction {
        state.refunded(refund, applied.credits, applied.cost);
    }
    if let Instruction::Revoke(revoke) = &command.instruction
        && let Some(origin) = state.lots.get(&revoke.lot).map(|terms| terms.origin)
    {
        // A refund of the same batch has to know, whichever of the lots that go on for the same one it is about.
        let family = state.lots.values_mut().filter(|terms| terms.origin == origin);
        family.for_each(|terms| terms.reversed = true);
    }
    Ok(Decision::Applied(Box::new(applied)))
}

/// Carries out several commands, all of them or, if one is refused, none: then the others are refused
/// because of it, and the state is as it was.
pub fn decide_all(state: &mut State, commands: &[&Command]) -> Result<Vec<Decision>, (usize, Refusal)> {
    let before = state.clone();
    let mut decisions = Vec::with_capacity(commands.len());
    for (index, command) in commands.iter().enumerate() {
        match decide(state, command) {
            Ok(decision) => decisions.push(decision),
            Err(refusal) => {
                *state = before;
                return Err((index, refusal));
            }
        }
    }
    Ok(decisions)
}

fn plan(state: &State, command: &Command) -> Result<Plan, Refusal> {
    let pool = open_pool(state, command)?;
    let now = pool.time(command.now.max(state.now));
    match &command.instruction {
        Instruction::Issue(issue) => plan_issue(state, pool, issue, now),
        Instruction::Allocate(allocate) => plan_allocate(state, pool, allocate),
        Instruction::Reclaim(reclaim) => plan_reclaim(state, pool, reclaim),
        Instruction::Move(movement) => plan_move(state, pool, command, movement),
        Instruction::Refill(refill) => plan_refill(state, pool, refill, now),
        Instruction::Charge(charge) => plan_charge(state, pool, charge, now),
        Instruction::Hold(hold) => plan_hold(state, pool, command, hold, now),
        Instruction::Capture(capture) => plan_capture(state, pool, capture, now),
        Instruction::Void(void) => plan_void(state, pool, void, now),
        Instruction::Refund(refund) => plan_refund(state, pool, refund, now),
        Instruction::TakeBack(take) => plan_take_back(state, pool, take),
        Instruction::Extend(extend) => plan_extend(state, pool, extend, now),
        Instruction::Revoke(revoke) => plan_revoke(state, pool, revoke),
        Instruction::Dispute(dispute) => plan_dispute(state, pool, dispute),
        Instruction::Reinstate(dispute) => plan_reinstate(state, pool, dispute, now),
        Instruction::Restore(restore) => plan_restore(state, pool, restore, now),
        Instruction::Assign(assign) => plan_assign(state, pool, command, assign),
        Instruction::BookDue => Ok(Plan::about(Side::Holder(pool.unallocated), Credits::ZERO)),
    }
}

/// The command's pool, if the organization and the pool can be written.
pub(super) fn open_pool<'s>(state: &'s State, command: &Command) -> Result<&'s Pool, Refusal> {
    // Time goes on for those who may only read, and what was agreed on before is brought to its end.
    let ends = matches!(
        command.instruction,
        Instruction::BookDue | Instruction::Capture(_) | Instruction::Void(_) | Instruction::Assign(_)
    );
    if state.suspended && !ends {
        return Err(Refusal::OrganizationSuspended);
    }
    let pool = state.pools.get(&command.pool).ok_or(Refusal::PoolNotFound)?;
    // Money that has gone back is a fact: an archived pool owes what was used, and says so until that comes back.
    let of_money = matches!(
        command.instruction,
        Instruction::Revoke(_) | Instruction::Restore(_) | Instruction::Assign(_)
    );
    if pool.archived && !pool.frozen && of_money {
        return Ok(pool);
    }
    usable(pool)?;
    Ok(pool)
}

/// Whether a pool can be written.
pub(super) fn usable(pool: &Pool) -> Result<(), Refusal> {
    if pool.archived {
        return Err(Refusal::PoolArchived);
    }
    if pool.frozen {
        return Err(Refusal::PoolFrozen);
    }
    Ok(())
}

/// Debt blocks everything but captures, voiding, expiry, refunds and what settles it.
pub(super) fn not_in_debt(pool: &Pool) -> Result<(), Refusal> {
    let debt = pool.debt();
    if debt.is_zero() { Ok(()) } else { Err(Refusal::PoolInDebt { debt }) }
}

/// The account of a department that may act; `None` when it has no credits here yet.
pub(super) fn department_account(
    state: &State,
    pool: &Pool,
    id: DepartmentId,
) -> Result<Option<AccountId>, Refusal> {
    let department = state.departments.get(&id).ok_or(Refusal::DepartmentNotFound)?;
    if department.archived {
        return Err(Refusal::DepartmentArchived);
    }
    Ok(pool.account_of(id))
}

pub(super) fn holder(pool: &Pool, id: AccountId) -> Result<&Account, Refusal> {
    // A pool is always loaded with its unallocated account.
    pool.accounts.get(&id).ok_or(Refusal::PoolNotFound)
}

pub(super) fn short(scope: Scope, available: Credits, wanted: Credits) -> Refusal {
    Refusal::InsufficientCredits { scope, available, short_by: wanted.saturating_sub(available) }
}
