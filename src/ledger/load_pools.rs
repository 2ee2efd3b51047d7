//! Pools with their accounts, lots and caps, as far as a batch needs them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bursar_domain::Timestamp;
use bursar_domain::id::{AccountId, CapId, DepartmentId, Id, LotId, PoolId, ServiceId};
use bursar_domain::ledger::{
    Account, BurnKey, Cap, CapScope, Command, Contra, Head, Instruction, Pool, Position, Raise, Refill,
    State, Window,
};
use bursar_domain::period::Period;
use bursar_entity::{
    account, lot, lot_position, pool, pool_head, spending_cap, spending_cap_period, spending_cap_raise,
};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, Condition, QueryFilter, QueryOrder};
use uuid::Uuid;

use super::books::Kept;
use super::load::Margin;
use crate::db::{Tenant, Txn, padded};
use crate::error::{Error, Result};

/// For how many days back the periods of caps are loaded, so that what ends later finds where it counts.
const CAP_DAYS: i64 = 100;

/// The most ids of one list in a statement.
const LIST: usize = 8_192;

/// What of a pool has to be loaded.
#[derive(Clone, Debug, Default)]
pub(super) struct Needed {
    /// The accounts of these departments, if they have one.
    pub departments: BTreeSet<DepartmentId>,
    /// All accounts.
    pub complete: bool,
    /// The periods of caps from this time on.
    pub caps_from: Option<Timestamp>,
}

impl Needed {
    /// What the commands need of a pool.
    pub fn of(commands: &[&Command], pool: PoolId, state: &State) -> Needed {
        let mut needed = Needed::default();
        for command in commands {
            let instruction = &command.instruction;
            if command.pool == pool {
                needed.departments.extend(instruction.departments());
                needed.complete |= instruction.all_accounts();
                if let Instruction::Refund(refund) = instruction
                    && let Some(charge) = state.charges.get(&refund.charge)
                {
                    let from = needed.caps_from.map_or(charge.counts_at, |from| from.min(charge.counts_at));
                    needed.caps_from = Some(from);
                }
            }
            if instruction.other_pool() == Some(pool) {
                needed.departments.extend(instruction.other_departments());
            }
        }
        needed
    }
}

/// Reads pools whose heads are known, each with the accounts that are needed.
pub(super) async fn load_pools(
    txn: &Txn,
    tenant: Tenant,
    heads: Vec<(Needed, pool_head::Model)>,
    latest: Timestamp,
) -> Result<Vec<Kept>> {
    let ids: Vec<PoolId> = heads.iter().map(|(_, head)| head.pool_id).collect();
    let rows = tenant.find::<pool::Entity>().filter(pool::Column::Id.is_in(padded(ids.clone())));
    let mut rows: HashMap<PoolId, pool::Model> =
        rows.all(txn).await?.into_iter().map(|row| (row.id, row)).collect();
    let departments: BTreeSet<DepartmentId> =
        heads.iter().flat_map(|(needed, _)| &needed.departments).copied().collect();
    let complete = heads.iter().any(|(needed, _)| needed.complete);
    let early = heads.iter().filter_map(|(needed, _)| needed.caps_from);
    let caps_from = early.fold(latest.plus_days(-CAP_DAYS), Timestamp::min);
    let mut pools = BTreeMap::new();
    for (_, head) in heads {
        let row = rows.remove(&head.pool_id).ok_or_else(|| Error::internal("a head names no pool"))?;
        let margin = Margin {
            revision: head.revision,
            departments: departments.clone(),
            complete,
            caps_from,
            holds: BTreeMap::new(),
        };
        let kept = Kept { link: link(&head.hash)?, margin, pool: empty_pool(row, &head) };
        pools.insert(head.pool_id, kept);
    }
    let wanted = (!complete).then_some(departments);
    for ids in ids.chunks(LIST) {
        load_accounts(txn, tenant, ids, wanted.as_ref(), &mut pools).await?;
        load_caps(txn, tenant, (ids, latest, caps_from), &mut pools).await?;
    }
    Ok(pools.into_values().collect())
}

/// A pool as its row and its head say, without accounts.
fn empty_pool(row: pool::Model, head: &pool_head::Model) -> Pool {
    Pool {
        id: row.id,
        frozen: row.frozen_at.is_some(),
        archived: row.archived_at.is_some(),
        allowed_services: row.allowed_services.as_deref().map(services),
        head: Head {
            version: head.version,
            clock: head.clock,
            posted: head.posted,
            held: head.held,
            contra: Contra {
                issued: head.issued,
                consumed: head.consumed,
                expired: head.expired,
                revoked: head.revoked,
                debt: head.debt,
                clearing: head.clearing,
            },
            receivable: head.receivable,
            adjusted: head.adjusted,
            revoking: head.revoking,
            due: head.due_at,
        },
        // Filled in with the accounts.
        unallocated: AccountId::from_u128(0),
        accounts: BTreeMap::new(),
        caps: Vec::new(),
        holds: BTreeMap::new(),
        touched: BTreeSet::new(),
        next_hold: None,
        changed: false,
        due_changed: false,
    }
}

/// The services that a pool's row allows. Text that is no such list allows none.
fn services(json: &str) -> BTreeSet<ServiceId> {
    let ids: Vec<Uuid> = serde_json::from_str(json).unwrap_or_default();
    ids.into_iter().map(|id| ServiceId::from_u128(id.as_u128())).collect()
}

/// The unallocated accounts of pools, and those of departments (of all, when none are named), with what they
/// have of which lot.
async fn load_accounts(
    txn: &Txn,
    tenant: Tenant,
    pools: &[PoolId],
    departments: Option<&BTreeSet<DepartmentId>>,
    kept: &mut BTreeMap<PoolId, Kept>,
) -> Result<()> {
    let in_pools = account::Column::PoolId.is_in(padded(pools.to_vec()));
    let mut rows = Vec::new();
    let none = Condition::all().add(account::Column::DepartmentId.is_null());
    let all = tenant.find::<account::Entity>().filter(in_pools.clone());
    match departments {
        None => rows = all.all(txn).await?,
        Some(departments) => {
            rows.extend(all.clone().filter(none).all(txn).await?);
            let departments: Vec<DepartmentId> = departments.iter().copied().collect();
            for some in departments.chunks(LIST) {
                let of = account::Column::DepartmentId.is_in(padded(some.to_vec()));
                rows.extend(all.clone().filter(of).all(txn).await?);
            }
        }
    }
    let accounts: Vec<AccountId> = rows.iter().map(|row| row.id).collect();
    for row in rows {
        let Some(Kept { pool, .. }) = kept.get_mut(&row.pool_id) else { continue };
        if row.department_id.is_none() {
            pool.unallocated = row.id;
        }
        let mut account = Account::empty(row.department_id);
        (account.posted, account.held, account.overflow) = (row.posted, row.held, row.overflow);
        account.refill = refill(&row);
        pool.accounts.insert(row.id, account);
    }
    let mut positions = Vec::new();
    for some in accounts.chunks(LIST) {
        let select = tenant
            .find::<lot_position::Entity>()
            .filter(lot_position::Column::PoolId.is_in(padded(pools.to_vec())))
            .filter(lot_position::Column::AccountId.is_in(padded(some.to_vec())))
            // The condition of its index, word for word.
            .filter(Expr::cust("open"));
        positions.extend(select.all(txn).await?);
    }
    let lots: BTreeSet<LotId> = positions.iter().map(|row| row.lot_id).collect();
    let lots = lots_by_id(txn, tenant, lots).await?;
    for row in positions {
        let lot = lots.get(&row.lot_id).ok_or_else(|| Error::internal("a position names no lot"))?;
        let account = kept.get_mut(&row.pool_id).and_then(|kept| kept.pool.accounts.get_mut(&row.account_id));
        let Some(account) = account else { continue };
        let position = Position {
            credits: row.credits,
            held: row.held,
            revoking: row.revoking,
            disputed: row.disputed,
            contested: row.contested,
            cost: row.cost,
            changed: false,
        };
        account.positions.insert(burn(lot), position);
    }
    Ok(())
}

/// Lots by their ids.
pub(super) async fn lots_by_id(
    txn: &Txn,
    tenant: Tenant,
    ids: BTreeSet<LotId>,
) -> Result<HashMap<LotId, lot::Model>> {
    let rows = tenant.lookup::<lot::Entity, _>(txn, lot::Column::Id, ids).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// The place of a lot in the burn order.
pub(super) fn burn(lot: &lot::Model) -> BurnKey {
    BurnKey::new(lot.priority, lot.expires_at, lot.created_at, lot.id)
}

/// How an account is refilled.
pub(super) fn refill(row: &account::Model) -> Option<Refill> {
    Some(Refill {
        amount: row.refill_amount?,
        rollover: row.refill_rollover?,
        period: row.refill_period?,
        current: Period { start: row.refill_start?, end: row.refill_end? },
        shortfall: row.refill_shortfall.unwrap_or_default(),
    })
}

/// The caps of pools, with what has been used of them.
async fn load_caps(
    txn: &Txn,
    tenant: Tenant,
    (pools, latest, from): (&[PoolId], Timestamp, Timestamp),
    kept: &mut BTreeMap<PoolId, Kept>,
) -> Result<()> {
    let rows = tenant
        .find::<spending_cap::Entity>()
        .filter(spending_cap::Column::PoolId.is_in(padded(pools.to_vec())))
        .filter(spending_cap::Column::RemovedAt.is_null())
        .order_by_asc(spending_cap::Column::Id)
        .all(txn)
        .await?;
    let ids: Vec<CapId> = rows.iter().map(|row| row.id).collect();
    let mut caps: BTreeMap<CapId, Cap> = BTreeMap::new();
    for row in &rows {
        caps.insert(row.id, cap(row)?);
    }
    for some in ids.chunks(LIST) {
        let raises = tenant
            .find::<spending_cap_raise::Entity>()
            .filter(spending_cap_raise::Column::CapId.is_in(padded(some.to_vec())))
            .filter(spending_cap_raise::Column::Until.gt(latest.plus_days(-1)));
        for row in raises.all(txn).await? {
            if let Some(cap) = caps.get_mut(&row.cap_id) {
                cap.raises.push(Raise { credits: row.credits, until: row.until });
            }
        }
        let periods = tenant
            .find::<spending_cap_period::Entity>()
            .filter(spending_cap_period::Column::PoolId.is_in(padded(pools.to_vec())))
            .filter(spending_cap_period::Column::CapId.is_in(padded(some.to_vec())))
            .filter(spending_cap_period::Column::PeriodEnd.gt(from));
        for row in periods.all(txn).await? {
            if let Some(cap) = caps.get_mut(&row.cap_id) {
                cap.windows.push(window(&row));
            }
        }
    }
    for row in rows {
        let pool = kept.get_mut(&row.pool_id).map(|kept| &mut kept.pool);
        if let (Some(pool), Some(cap)) = (pool, caps.remove(&row.id)) {
            pool.caps.push(cap);
        }
    }
    Ok(())
}

/// A cap as its row says, without raises and periods.
pub(super) fn cap(row: &spending_cap::Model) -> Result<Cap> {
    let department = row.department_id.map(CapScope::Department);
    let scope = department.or(row.user_id.map(CapScope::Member)).or(row.service_id.map(CapScope::Service));
    Ok(Cap {
        id: row.id,
        scope: scope.ok_or_else(|| Error::internal("a cap limits nobody's use"))?,
        limit: row.credits,
        period: row.period,
        raises: Vec::new(),
        windows: Vec::new(),
    })
}

/// What has been used of a cap in a period.
pub(super) fn window(row: &spending_cap_period::Model) -> Window {
    let period = Period { start: row.period_start, end: row.period_end };
    Window { period, used: row.used, held: row.held, changed: false }
}

fn link(hash: &[u8]) -> Result<[u8; 32]> {
    hash.try_into().map_err(|_| Error::internal("a link of the hash chain has not 32 bytes"))
}
