//! Debts that go home: what a pool owes because credits of another pool's purchase were held and used there.
//!
//! A capture is one command on one pool (see [`super::marks`]), so what it uses of a reversed lot is owed by its own pool at
//! first. A command on both pools makes it the debt of the pool of purchase: less is owed and taken back here, as much more
//! there, and the money that is receivable for it goes along. The same command brings a debt to the pool of a charge whose
//! refund settles it, wherever it is owed. No holder has more or less after it, so neither pool's balances
//! change, and nothing but a freeze stands in its way: not that a pool is archived, nor that the organization is suspended.

use super::account::{AccountKind, TransferKind};
use super::command::Command;
use super::instruction::AssignDebt;
use super::lots::Slice;
use super::plan::{Cost, Leg, Plan, Side};
use super::refusal::Refusal;
use super::state::{Pool, State};

/// Moves a debt, or what is left of it: what has been settled meanwhile is not owed any more.
pub(super) fn plan_assign(
    state: &State,
    pool: &Pool,
    command: &Command,
    request: &AssignDebt,
) -> Result<Plan, Refusal> {
    let burn = state.lots.get(&request.lot).ok_or(Refusal::LotNotFound)?.burn;
    if request.to_pool == command.pool {
        return Err(Refusal::SamePlace);
    }
    let at_home = |refusal| Refusal::Target(Box::new(refusal));
    let home = state.pools.get(&request.to_pool).ok_or_else(|| at_home(Refusal::PoolNotFound))?;
    if home.frozen {
        return Err(at_home(Refusal::PoolFrozen));
    }
    let credits = request.credits.min(pool.debt());
    if credits.is_zero() {
        return Err(Refusal::AmountNotPositive);
    }
    let (debt, revoked) = (Side::Contra(AccountKind::Debt), Side::Contra(AccountKind::Revoked));
    let slice = Slice { burn, credits };
    let out = Leg::new(TransferKind::Assign, revoked, debt, slice);
    let out = Leg { paired: true, cost: Cost::Given(pool.receivable_for(credits)), ..out };
    let into = Leg::new(TransferKind::Assign, debt, revoked, slice);
    let into = Leg { there: true, cost: Cost::Carried, ..into };
    Ok(Plan { legs: vec![out, into], ..Plan::about(Side::Holder(pool.unallocated), credits) })
}
