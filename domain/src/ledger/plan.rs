//! What a command that has passed all checks is going to do, and how that is booked.
//!
//! A plan is made against the state without changing it; booking it cannot fail. So a refused command
//! leaves no trace and never harms its batch.

use super::account::{AccountKind, AccountRef, TransferKind};
use super::caps::Count;
use super::command::Command;
use super::effects::{Applied, Cause, NewLot, PricedLine, Transfer};
use super::holds::{Hold, HoldState};
use super::instruction::Instruction;
use super::lots::{BurnKey, Slice};
use super::marks::Mark;
use super::post::Movement;
use super::refusal::Refusal;
use super::state::{Account, Pool, State};
use crate::id::{AccountId, DepartmentId, HoldId, PoolId};
use crate::period::Period;
use crate::{Credits, Timestamp};

/// A side of a movement to come. A new account is made only when it is booked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Contra(AccountKind),
    Holder(AccountId),
    New(AccountId, DepartmentId),
}

/// One movement to come.
#[derive(Clone, Debug)]
pub(super) struct Leg {
    pub kind: TransferKind,
    /// In the other pool that the command names.
    pub there: bool,
    pub debit: Side,
    pub credit: Side,
    pub burn: BurnKey,
    pub credits: Credits,
    pub cost: Cost,
    /// Whether the next leg is its other half.
    pub paired: bool,
    /// A hold that caused it, instead of the command.
    pub hold: Option<HoldId>,
    /// When it takes effect, if that is earlier than it is booked.
    pub effective_at: Option<Timestamp>,
}

/// What the credits of a leg cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cost {
    /// Their share of what the debited holder has of the lot.
    Share,
    /// This much.
    Given(i64),
    /// As much as in the leg before.
    Carried,
}

impl Leg {
    /// A movement of a slice.
    pub fn new(kind: TransferKind, debit: Side, credit: Side, slice: Slice) -> Leg {
        Leg {
            kind,
            there: false,
            debit,
            credit,
            burn: slice.burn,
            credits: slice.credits,
            cost: Cost::Share,
            paired: false,
            hold: None,
            effective_at: None,
        }
    }
}

/// A command that has passed all checks.
#[derive(Debug)]
pub(super) struct Plan {
    pub legs: Vec<Leg>,
    pub lines: Vec<PricedLine>,
    pub credits: Credits,
    /// The account that the command is about.
    pub account: Side,
    pub other_account: Option<Side>,
    pub lots: Vec<NewLot>,
    pub hold: HoldChange,
    pub counts: Vec<Count>,
    /// What becomes of held credits when they are let go.
    pub marks: Vec<Mark>,
    /// The period that a refill begins, and what it lacks.
    pub refill: Option<(Period, Credits)>,
}

/// What becomes of a hold.
#[derive(Debug)]
pub(super) enum HoldChange {
    None,
    Open(HoldId, Box<Hold>),
    /// A capture: units by line, and the credits that they cost.
    Capture(HoldId, Vec<i64>, Credits),
    /// The end: what was still held is free.
    Close(HoldId, HoldState),
    /// A last capture: both.
    Finish(HoldId, Vec<i64>, Credits),
}

impl Plan {
    /// A plan that moves slices from one side to another.
    pub fn moving(kind: TransferKind, from: Side, to: Side, slices: Vec<Slice>, credits: Credits) -> Plan {
        let legs = slices.into_iter().map(|slice| Leg::new(kind, from, to, slice)).collect();
        Plan { legs, ..Plan::about(from, credits) }
    }

    /// A plan that does nothing yet.
    pub fn about(account: Side, credits: Credits) -> Plan {
        Plan {
            legs: Vec::new(),
            lines: Vec::new(),
            credits,
            account,
            other_account: None,
            lots: Vec::new(),
            hold: HoldChange::None,
            counts: Vec::new(),
            marks: Vec::new(),
            refill: None,
        }
    }
}

/// Books a plan.
pub(super) fn book(state: &mut State, command: &Command, plan: Plan) -> Result<Applied, Refusal> {
    let other = command.instruction.other_pool();
    // The other pool is taken out while both are worked on.
    let mut there = other.and_then(|id| state.pools.remove_entry(&id));
    let outcome = match state.pools.get_mut(&command.pool) {
        Some(pool) => {
            let now = command.now.max(state.now);
            Ok(book_in(pool, there.as_mut().map(|(_, pool)| pool), (command, now), plan))
        }
        None => Err(Refusal::PoolNotFound),
    };
    state.pools.extend(there);
    outcome
}

fn book_in(
    pool: &mut Pool,
    mut there: Option<&mut Pool>,
    (command, now): (&Command, Timestamp),
    plan: Plan,
) -> Applied {
    // Both halves of a movement happen at the same time, and in neither pool time runs back.
    let now = pool.time(now);
    let now = there.as_ref().map_or(now, |other| other.time(now));
    let account = open(pool, plan.account, now);
    let other_account = plan.other_account.map(|side| match there.as_deref_mut() {
        Some(other) => open(other, side, now),
        None => open(pool, side, now),
    });
    let value = match &command.instruction {
        Instruction::Revoke(revoke) => {
            pool.give_back(revoke.value);
            Some(revoke.value)
        }
        Instruction::Restore(restore) => Some(restore.value),
        _ => None,
    };
    let transfers = book_legs(pool, there, plan.legs, now);
    if let Instruction::Restore(restore) = &command.instruction {
        let given = transfers.iter().filter(|transfer| transfer.debit.kind == AccountKind::Revoked);
        let given: i64 = given.map(|transfer| transfer.cost).sum();
        let kept: i64 = plan.marks.iter().map(|mark| -mark.revoking).sum();
        pool.restore(restore.value - given, Credits::new(kept).unwrap_or_default());
    }
    pool.count(plan.counts);
    plan.marks.into_iter().for_each(|mark| pool.mark(mark));
    pool.close_receivable();
    pool.change_hold(plan.hold);
    let mut shortfall = Credits::ZERO;
    if let (Some((period, lacking)), Some(id)) = (plan.refill, account.id)
        && let Some(account) = pool.accounts.get_mut(&id)
        && let Some(refill) = &mut account.refill
    {
        (refill.current, refill.shortfall, shortfall) = (period, lacking, lacking);
        account.refilled = true;
    }
    // What came out of something, once: not the second half through clearing, nor what followed from it.
    let kind = transfers.first().map(|transfer: &Transfer| transfer.kind);
    let own = |transfer: &&Transfer| {
        Some(transfer.kind) == kind
            && transfer.pool == command.pool
            && transfer.debit.kind != AccountKind::Clearing
    };
    Applied {
        command: command.clone(),
        lines: plan.lines,
        credits: plan.credits,
        cost: value.unwrap_or_else(|| transfers.iter().filter(own).map(|transfer| transfer.cost).sum()),
        account,
        account_after: account
            .id
            .and_then(|id| pool.accounts.get(&id))
            .map_or((Credits::ZERO, Credits::ZERO), |account| (account.posted, account.held)),
        other_account,
        lots: plan.lots,
        transfers,
        shortfall,
        created_at: now,
    }
}

/// A side as the side of a transfer; a new account is made.
fn open(pool: &mut Pool, side: Side, now: Timestamp) -> AccountRef {
    match side {
        Side::Contra(kind) => AccountRef::contra(kind),
        Side::Holder(id) => pool.side(id),
        Side::New(id, department) => {
            let empty = Account::empty(Some(department));
            let opened_at = Some(now);
            pool.accounts.entry(id).or_insert(Account { changed: true, opened_at, ..empty });
            pool.changed = true;
            pool.side(id)
        }
    }
}

/// Books legs one after another.
pub(super) fn book_legs(
    pool: &mut Pool,
    mut there: Option<&mut Pool>,
    legs: Vec<Leg>,
    now: Timestamp,
) -> Vec<Transfer> {
    let mut transfers: Vec<Transfer> = Vec::with_capacity(legs.len());
    let mut legs = legs.into_iter().peekable();
    let mut first_half: Option<(PoolId, i64)> = None;
    while let Some(leg) = legs.next() {
        let next = leg.paired.then(|| legs.peek().is_some_and(|next| next.there));
        let counterpart = match (first_half.take(), next) {
            (Some(first), _) => Some(first),
            (None, Some(true)) => there.as_deref().map(|other| (other.id, other.head.version + 1)),
            (None, Some(false)) => Some((pool.id, pool.head.version + 2)),
            (None, None) => None,
        };
        let target = match there.as_deref_mut() {
            Some(other) if leg.there => other,
            _ => &mut *pool,
        };
        let (debit, credit) = (open(target, leg.debit, now), open(target, leg.credit, now));
        let cost = match leg.cost {
            Cost::Share => None,
            Cost::Given(cost) => Some(cost),
            Cost::Carried => transfers.last().map(|transfer| transfer.cost),
        };
        let transfer = target.post(Movement {
            kind: leg.kind,
            debit,
            credit,
            burn: leg.burn,
            credits: leg.credits,
            cost,
            cause: leg.hold.map_or(Cause::Command, Cause::Hold),
            counterpart,
            created_at: now,
            effective_at: leg.effective_at.map_or(now, |at| at.min(now)),
        });
        if leg.paired {
            first_half = Some((transfer.pool, transfer.version));
        }
        transfers.push(transfer);
    }
    transfers
}
