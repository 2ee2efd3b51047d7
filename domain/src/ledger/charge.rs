//! Charges: prices, permissions, caps, credits. The order of the checks is that of the issue of a charge:
//! department, lines, reference, caps, balance.

use super::account::{AccountKind, TransferKind};
use super::caps::{self, Limit, Usage};
use super::command::Command;
use super::decide::{department_account, not_in_debt, short};
use super::effects::PricedLine;
use super::instruction::{ChargeCredits, Instruction, LineRequest};
use super::lots::{self, Slice};
use super::plan::{Leg, Plan, Side};
use super::refusal::{Refusal, Scope};
use super::state::{Overflow, Pool, State};
use crate::Credits;
use crate::Timestamp;
use crate::id::AccountId;
use crate::pricing::{MAX_LINES, line_credits};

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

/// What a charge would take, from where.
pub(super) struct Draft {
    pub lines: Vec<PricedLine>,
    pub credits: Credits,
    /// The account that the charge is about.
    pub account: AccountId,
    /// Whose credits are used, in the order of use.
    pub slices: Vec<(AccountId, Slice)>,
}

/// Checks a charge, or the most that a hold may become.
pub(super) fn draft(
    state: &State,
    pool: &Pool,
    charge: &ChargeCredits,
    at: Timestamp,
) -> Result<Draft, Refusal> {
    not_in_debt(pool)?;
    let (scope, id) = match charge.department {
        Some(department) => (Scope::Department, department_account(state, pool, department)?),
        None => (Scope::Unallocated, Some(pool.unallocated)),
    };
    let (lines, credits) = quote(state, pool, &charge.lines)?;
    if credits.is_zero() {
        return Err(Refusal::AmountNotPositive);
    }
    if let Some(owner) = charge.reference.as_ref().and_then(|reference| state.references.get(reference)) {
        return Err(Refusal::ReferenceTaken { owner: *owner });
    }
    if !pool.caps.is_empty() {
        let parts = caps::parts(&lines);
        let usage = Usage { department: charge.department, spender: charge.spender, parts: &parts };
        caps::check(pool, &state.calendar, &usage, at)?;
    }
    let own = id.and_then(|id| Some((id, pool.accounts.get(&id)?)));
    let Some((account, holder)) = own else { return Err(short(scope, Credits::ZERO, credits)) };
    let mut slices: Vec<(AccountId, Slice)> = lots::take_up_to(holder.positions.iter(), credits)
        .into_iter()
        .map(|slice| (account, slice))
        .collect();
    let mut available = holder.available();
    if available < credits && holder.overflow == Overflow::Unallocated && account != pool.unallocated {
        let rest = credits.saturating_sub(available);
        let more = pool.accounts.get(&pool.unallocated);
        let more_free = more.map_or(Credits::ZERO, |account| account.available());
        let more = more.map(|account| lots::take_up_to(account.positions.iter(), rest)).unwrap_or_default();
        slices.extend(more.into_iter().map(|slice| (pool.unallocated, slice)));
        available = available.saturating_add(more_free);
    }
    if available < credits {
        return Err(short(scope, available, credits));
    }
    Ok(Draft { lines, credits, account, slices })
}

pub(super) fn plan_charge(
    state: &State,
    pool: &Pool,
    charge: &ChargeCredits,
    at: Timestamp,
) -> Result<Plan, Refusal> {
    let Draft { lines, credits, account, slices } = draft(state, pool, charge, at)?;
    let consumed = Side::Contra(AccountKind::Consumed);
    let leg = |(id, slice)| Leg::new(TransferKind::Charge, Side::Holder(id), consumed, slice);
    let mut counts = Vec::new();
    if !pool.caps.is_empty() {
        let parts = caps::parts(&lines);
        let usage = Usage { department: charge.department, spender: charge.spender, parts: &parts };
        counts = caps::counts(pool, &state.calendar, &usage, at, (1, 0));
    }
    let legs = slices.into_iter().map(leg).collect();
    Ok(Plan { legs, lines, counts, ..Plan::about(Side::Holder(account), credits) })
}

/// How a charge would be decided, and why.
#[derive(Clone, Debug, Default)]
pub struct Explanation {
    /// The lines with the prices that hold. Empty when they cannot be priced.
    pub lines: Vec<PricedLine>,
    /// What they cost together.
    pub credits: Credits,
    /// What all caps that apply say, in the order in which they are checked.
    pub limits: Vec<Limit>,
    /// What would be taken of which account and lot, in the order of use. Empty when it would be refused.
    pub slices: Vec<(AccountId, Slice)>,
    /// Why it would be refused.
    pub refusal: Option<Refusal>,
}

/// Explains what [`super::decide`] would answer to a charge, by the same checks, without changing anything.
///
/// What has lapsed must have been booked before (see [`super::book_due`]).
pub fn explain(state: &State, command: &Command) -> Explanation {
    let mut explanation = Explanation::default();
    let (Instruction::Charge(charge), Some(pool)) = (&command.instruction, state.pools.get(&command.pool))
    else {
        explanation.refusal = Some(Refusal::PoolNotFound);
        return explanation;
    };
    let at = pool.time(command.now.max(state.now));
    if let Ok((lines, credits)) = quote(state, pool, &charge.lines) {
        let parts = caps::parts(&lines);
        let usage = Usage { department: charge.department, spender: charge.spender, parts: &parts };
        explanation.limits = caps::limits(pool, &state.calendar, &usage, at).unwrap_or_default();
        (explanation.lines, explanation.credits) = (lines, credits);
    }
    let open = super::decide::open_pool(state, command);
    match open.and_then(|pool| draft(state, pool, charge, at)) {
        Ok(draft) => explanation.slices = draft.slices,
        Err(refusal) => explanation.refusal = Some(refusal),
    }
    explanation
}
