//! The decisions. Each command is checked against the state without changing it, and only then
//! booked, which cannot fail: a refused command leaves no trace and never harms its batch.
//!
//! The order of checks is fixed, so that the same request always gets the same refusal: replay,
//! organization, pool, department, lines, reference, balance.

use super::account::{AccountKind, AccountRef, TransferKind};
use super::command::{
    AllocateCredits, ChargeCredits, Command, CommandId, Instruction, IssueCredits, LineRequest,
};
use super::effects::{Applied, NewLot, PricedLine, Transfer};
use super::lots::{self, BurnKey, Slice};
use super::refusal::{Refusal, Scope};
use super::state::{Account, Pool, Prior, State};
use crate::id::{AccountId, DepartmentId, PoolId};
use crate::pricing::{MAX_LINES, line_credits};
use crate::{Credits, Timestamp};

/// What became of an accepted command.
#[derive(Clone, Debug)]
pub enum Decision {
    /// It was carried out.
    Applied(Box<Applied>),
    /// It had been carried out before, under the same key; this is the row it left then.
    Replayed(CommandId),
}

/// Books the credits of the loaded accounts of `pool` that have lapsed by `now` and are not held.
///
/// Comes before the decisions, so that expired credits cannot be spent from their instant of expiry
/// on. The bookings stand whatever becomes of the commands.
pub fn book_lapses(state: &mut State, pool: PoolId, now: Timestamp) -> Vec<Transfer> {
    let Some(pool) = state.pools.get_mut(&pool).filter(|pool| !pool.frozen) else {
        return Vec::new();
    };
    let now = now.max(pool.head.clock);
    let due: Vec<(AccountId, Slice)> = pool
        .accounts
        .iter()
        .flat_map(|(id, account)| lots::lapsed(account, now).into_iter().map(|slice| (*id, slice)))
        .collect();
    due.into_iter()
        .map(|(id, slice)| {
            let sides = (pool.side(id), AccountRef::contra(AccountKind::Expired));
            let effective_at = slice.burn.expires_at().unwrap_or(now);
            pool.post(TransferKind::Lapse, sides, slice, (now, effective_at))
        })
        .collect()
}

/// Carries out one command on the state, or refuses it and leaves the state as it was.
///
/// What has lapsed must have been booked before (see [`book_lapses`]).
pub fn decide(state: &mut State, command: &Command) -> Result<Decision, Refusal> {
    if let Some(prior) = state.keys.get(&command.key) {
        return if prior.request == command.request {
            Ok(Decision::Replayed(prior.id))
        } else {
            Err(Refusal::IdempotencyConflict { prior: prior.id })
        };
    }
    let plan = plan(state, command)?;
    let applied = apply(state, command, plan)?;
    state.keys.insert(command.key, Prior { id: command.id, request: command.request });
    if let (Instruction::Charge(charge), CommandId::Charge(id)) = (&command.instruction, command.id)
        && let Some(reference) = &charge.reference
    {
        state.references.insert(reference.clone(), id);
    }
    Ok(Decision::Applied(Box::new(applied)))
}

/// The lines of a charge with the prices and permissions that hold for `pool`.
pub fn quote(
    state: &State,
    pool: &Pool,
    lines: &[LineRequest],
) -> Result<(Vec<PricedLine>, Credits), Refusal> {
    if lines.is_empty() {
        return Err(Refusal::NoLines);
    }
    if lines.len() > MAX_LINES {
        return Err(Refusal::TooManyLines);
    }
    let mut total = Credits::ZERO;
    let mut priced = Vec::with_capacity(lines.len());
    for (line, request) in lines.iter().enumerate() {
        let price = state.services.get(&request.service).ok_or(Refusal::ServiceUnknown { line })?;
        if pool.allowed_services.as_ref().is_some_and(|allowed| !allowed.contains(&price.service)) {
            return Err(Refusal::ServiceNotAllowed { line });
        }
        let credits =
            line_credits(price.credits, request.quantity).ok_or(Refusal::QuantityOutOfRange { line })?;
        total = total.checked_add(credits).ok_or(Refusal::AmountTooLarge)?;
        priced.push(PricedLine {
            service: price.service,
            version: price.version,
            code: request.service.clone(),
            quantity: request.quantity,
            credits_each: price.credits,
            credits,
        });
    }
    Ok((priced, total))
}

/// A command that has passed all checks.
struct Plan {
    kind: TransferKind,
    /// What is to be moved, in this order.
    slices: Vec<Slice>,
    from: Side,
    to: Side,
    lines: Vec<PricedLine>,
    credits: Credits,
    lot: Option<NewLot>,
}

/// A side of the movement to come. A new account is made only when the command is booked.
#[derive(Clone, Copy)]
enum Side {
    Contra(AccountKind),
    Holder(AccountId),
    New(AccountId, DepartmentId),
}

fn plan(state: &State, command: &Command) -> Result<Plan, Refusal> {
    if state.suspended {
        return Err(Refusal::OrganizationSuspended);
    }
    let pool = state.pools.get(&command.pool).ok_or(Refusal::PoolNotFound)?;
    if pool.archived {
        return Err(Refusal::PoolArchived);
    }
    if pool.frozen {
        return Err(Refusal::PoolFrozen);
    }
    let now = command.now.max(pool.head.clock);
    match &command.instruction {
        Instruction::Issue(issue) => plan_issue(pool, issue, now),
        Instruction::Allocate(allocate) => plan_allocate(state, pool, allocate),
        Instruction::Reclaim(reclaim) => plan_reclaim(state, pool, reclaim),
        Instruction::Charge(charge) => plan_charge(state, pool, charge),
    }
}

fn plan_issue(pool: &Pool, issue: &IssueCredits, now: Timestamp) -> Result<Plan, Refusal> {
    if issue.credits.is_zero() {
        return Err(Refusal::AmountNotPositive);
    }
    // All that was ever issued stays in range, so no later sum of parts of it can leave it.
    let ever = Credits::new(-pool.head.contra.issued).ok_or(Refusal::AmountTooLarge)?;
    ever.checked_add(issue.credits).ok_or(Refusal::AmountTooLarge)?;
    let burn = BurnKey::new(issue.priority, issue.expires_at, now, issue.lot);
    Ok(Plan {
        kind: TransferKind::Issue,
        slices: vec![Slice { burn, credits: issue.credits, cost: issue.cost }],
        from: Side::Contra(AccountKind::Issued),
        to: Side::Holder(pool.unallocated),
        lines: Vec::new(),
        credits: issue.credits,
        lot: Some(NewLot { issue: issue.clone(), created_at: now }),
    })
}

/// Allocates in burn order: the department gets what is to be used first.
fn plan_allocate(state: &State, pool: &Pool, request: &AllocateCredits) -> Result<Plan, Refusal> {
    not_in_debt(pool)?;
    let account = department_account(state, pool, request.department)?;
    if request.credits.is_zero() {
        return Err(Refusal::AmountNotPositive);
    }
    let unallocated = holder(pool, pool.unallocated)?;
    let slices = lots::take(unallocated.positions.iter(), request.credits)
        .ok_or_else(|| short(Scope::Unallocated, Some(unallocated), request.credits))?;
    Ok(Plan {
        kind: TransferKind::Allocate,
        slices,
        from: Side::Holder(pool.unallocated),
        to: account.map_or(Side::New(request.new_account, request.department), Side::Holder),
        lines: Vec::new(),
        credits: request.credits,
        lot: None,
    })
}

/// Reclaims against the burn order: the department keeps what is to be used first, and an
/// allocation that is taken back at once goes back as it came.
fn plan_reclaim(state: &State, pool: &Pool, request: &AllocateCredits) -> Result<Plan, Refusal> {
    not_in_debt(pool)?;
    let id = department_account(state, pool, request.department)?;
    if request.credits.is_zero() {
        return Err(Refusal::AmountNotPositive);
    }
    let account = id.and_then(|id| pool.accounts.get(&id));
    let insufficient = || short(Scope::Department, account, request.credits);
    let (id, holder) = id.zip(account).ok_or_else(insufficient)?;
    let slices = lots::take(holder.positions.iter().rev(), request.credits).ok_or_else(insufficient)?;
    Ok(Plan {
        kind: TransferKind::Reclaim,
        slices,
        from: Side::Holder(id),
        to: Side::Holder(pool.unallocated),
        lines: Vec::new(),
        credits: request.credits,
        lot: None,
    })
}

fn plan_charge(state: &State, pool: &Pool, charge: &ChargeCredits) -> Result<Plan, Refusal> {
    not_in_debt(pool)?;
    let (scope, id) = match charge.department {
        Some(department) => (Scope::Department, department_account(state, pool, department)?),
        None => (Scope::Unallocated, Some(pool.unallocated)),
    };
    let (lines, credits) = quote(state, pool, &charge.lines)?;
    if let Some(taken) = charge.reference.as_ref().and_then(|reference| state.references.get(reference)) {
        return Err(Refusal::ReferenceTaken { charge: *taken });
    }
    let account = id.and_then(|id| pool.accounts.get(&id));
    let insufficient = || short(scope, account, credits);
    let (id, holder) = id.zip(account).ok_or_else(insufficient)?;
    let slices = lots::take(holder.positions.iter(), credits).ok_or_else(insufficient)?;
    Ok(Plan {
        kind: TransferKind::Charge,
        slices,
        from: Side::Holder(id),
        to: Side::Contra(AccountKind::Consumed),
        lines,
        credits,
        lot: None,
    })
}

fn not_in_debt(pool: &Pool) -> Result<(), Refusal> {
    match Credits::new(-pool.head.contra.debt) {
        Some(debt) if !debt.is_zero() => Err(Refusal::PoolInDebt { debt }),
        _ => Ok(()),
    }
}

/// The account of a department that may act; `None` when it has no credits here yet.
fn department_account(state: &State, pool: &Pool, id: DepartmentId) -> Result<Option<AccountId>, Refusal> {
    let department = state.departments.get(&id).ok_or(Refusal::DepartmentNotFound)?;
    if department.archived {
        return Err(Refusal::DepartmentArchived);
    }
    Ok(pool.account_of(id))
}

fn holder(pool: &Pool, id: AccountId) -> Result<&Account, Refusal> {
    // A pool is always loaded with its unallocated account.
    pool.accounts.get(&id).ok_or(Refusal::PoolNotFound)
}

fn short(scope: Scope, account: Option<&Account>, wanted: Credits) -> Refusal {
    let available = account.map_or(Credits::ZERO, Account::available);
    Refusal::InsufficientCredits { scope, available, short_by: wanted.saturating_sub(available) }
}

fn apply(state: &mut State, command: &Command, plan: Plan) -> Result<Applied, Refusal> {
    let pool = state.pools.get_mut(&command.pool).ok_or(Refusal::PoolNotFound)?;
    let now = command.now.max(pool.head.clock);
    let mut side = |side: Side| match side {
        Side::Contra(kind) => AccountRef::contra(kind),
        Side::Holder(id) => pool.side(id),
        Side::New(id, department) => {
            pool.accounts.insert(id, Account::empty(Some(department)));
            pool.side(id)
        }
    };
    let (debit, credit) = (side(plan.from), side(plan.to));
    let transfers = plan
        .slices
        .into_iter()
        .map(|slice| pool.post(plan.kind, (debit, credit), slice, (now, now)))
        .collect();
    let account = match plan.kind {
        TransferKind::Issue | TransferKind::Allocate => credit,
        TransferKind::Reclaim | TransferKind::Charge | TransferKind::Lapse => debit,
    };
    Ok(Applied {
        command: command.clone(),
        lines: plan.lines,
        credits: plan.credits,
        account,
        lot: plan.lot,
        transfers,
        created_at: now,
    })
}
