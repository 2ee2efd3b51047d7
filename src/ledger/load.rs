//! Phase one: everything that the commands of a batch name, locked where it has to be.
//!
//! The heads of the pools are locked first, in the order of their ids; whoever holds a head may read
//! and write what it guards. Departments that are to receive credits are locked against archiving.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bursar_domain::id::{AccountId, DepartmentId, Id, LotId, PoolId, ServiceId};
use bursar_domain::ledger::{
    Account, BurnKey, Command, CommandId, Contra, Department, Head, Instruction, Key, Pool, Position, Prior,
    ServicePrice, State,
};
use bursar_domain::organization::OrganizationState;
use bursar_domain::pricing::versions_at;
use bursar_domain::{Credits, Timestamp};
use bursar_entity::{
    account, charge, department, journal_entry, lot, lot_position, organization, pool, pool_head, service,
    service_version,
};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};

/// What has been loaded: the machine's state, and what only the shell needs.
pub(super) struct Loaded {
    pub state: State,
    /// The last links of the pools' chains.
    pub links: BTreeMap<PoolId, [u8; 32]>,
    /// Charges whose keys the commands repeat.
    pub charges: HashMap<Key, charge::Model>,
    /// Journal entries whose keys the commands repeat.
    pub entries: HashMap<Key, journal_entry::Model>,
}

/// Whether rows are to be locked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Locking {
    /// For a batch that will be written.
    Exclusive,
    /// For a look from a snapshot.
    None,
}

/// Loads the state for a batch of commands.
pub(super) async fn load(
    txn: &Txn,
    tenant: Tenant,
    commands: &[&Command],
    locking: Locking,
) -> Result<Loaded> {
    let pools: BTreeSet<PoolId> = commands.iter().map(|command| command.pool).collect();
    let heads = heads(txn, tenant, &pools, locking).await?;
    let links = heads.iter().map(|(id, row)| Ok((*id, link(&row.hash)?))).collect::<Result<_>>()?;
    let mut loaded =
        Loaded { state: State::default(), links, charges: HashMap::new(), entries: HashMap::new() };
    loaded.state.suspended = suspended(txn, tenant).await?;
    loaded.state.pools = load_pools(txn, tenant, heads).await?;
    load_departments(txn, tenant, commands, locking, &mut loaded.state).await?;
    load_accounts(txn, tenant, commands, &mut loaded.state).await?;
    load_prior(txn, tenant, commands, &mut loaded).await?;
    if let Some(at) =
        commands.iter().filter(|c| matches!(c.instruction, Instruction::Charge(_))).map(|c| c.now).max()
    {
        loaded.state.services = prices(txn, at).await?;
    }
    Ok(loaded)
}

async fn heads(
    txn: &Txn,
    tenant: Tenant,
    pools: &BTreeSet<PoolId>,
    locking: Locking,
) -> Result<BTreeMap<PoolId, pool_head::Model>> {
    let mut select = tenant
        .find::<pool_head::Entity>()
        .filter(pool_head::Column::PoolId.is_in(pools.iter().copied()))
        .order_by_asc(pool_head::Column::PoolId);
    if locking == Locking::Exclusive {
        select = select.lock_exclusive();
    }
    Ok(select.all(txn).await?.into_iter().map(|row| (row.pool_id, row)).collect())
}

async fn suspended(txn: &Txn, tenant: Tenant) -> Result<bool> {
    let row = tenant.find::<organization::Entity>().one(txn).await?;
    Ok(row.is_none_or(|row| row.state == OrganizationState::Suspended))
}

async fn load_pools(
    txn: &Txn,
    tenant: Tenant,
    heads: BTreeMap<PoolId, pool_head::Model>,
) -> Result<BTreeMap<PoolId, Pool>> {
    let rows =
        tenant.find::<pool::Entity>().filter(pool::Column::Id.is_in(heads.keys().copied())).all(txn).await?;
    let pool = |row: pool::Model| {
        let head = heads.get(&row.id)?;
        let loaded = Pool {
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
            },
            // Filled in with the accounts.
            unallocated: AccountId::from_u128(0),
            accounts: BTreeMap::new(),
            changed: false,
        };
        Some((row.id, loaded))
    };
    Ok(rows.into_iter().filter_map(pool).collect())
}

/// The services that a pool's row allows. Text that is no such list allows none.
fn services(json: &str) -> BTreeSet<ServiceId> {
    let ids: Vec<Uuid> = serde_json::from_str(json).unwrap_or_default();
    ids.into_iter().map(|id| ServiceId::from_u128(id.as_u128())).collect()
}

async fn load_departments(
    txn: &Txn,
    tenant: Tenant,
    commands: &[&Command],
    locking: Locking,
    state: &mut State,
) -> Result<()> {
    let named: BTreeSet<DepartmentId> = commands.iter().filter_map(|c| c.instruction.department()).collect();
    if named.is_empty() {
        return Ok(());
    }
    let receives = commands.iter().any(|c| matches!(c.instruction, Instruction::Allocate(_)));
    let mut select = tenant
        .find::<department::Entity>()
        .filter(department::Column::Id.is_in(named))
        .order_by_asc(department::Column::Id);
    if receives && locking == Locking::Exclusive {
        select = select.lock_shared();
    }
    for row in select.all(txn).await? {
        state.departments.insert(row.id, Department { archived: row.archived_at.is_some() });
    }
    Ok(())
}

/// The unallocated accounts of all pools, and those of the departments that the commands name.
async fn load_accounts(txn: &Txn, tenant: Tenant, commands: &[&Command], state: &mut State) -> Result<()> {
    let departments: BTreeSet<DepartmentId> =
        commands.iter().filter_map(|c| c.instruction.department()).collect();
    let wanted = Condition::any()
        .add(account::Column::DepartmentId.is_null())
        .add(account::Column::DepartmentId.is_in(departments));
    let rows = tenant
        .find::<account::Entity>()
        .filter(account::Column::PoolId.is_in(state.pools.keys().copied()))
        .filter(wanted)
        .all(txn)
        .await?;
    let accounts: Vec<AccountId> = rows.iter().map(|row| row.id).collect();
    for row in rows {
        let Some(pool) = state.pools.get_mut(&row.pool_id) else { continue };
        if row.department_id.is_none() {
            pool.unallocated = row.id;
        }
        let mut account = Account::empty(row.department_id);
        account.posted = row.posted;
        account.held = row.held;
        pool.accounts.insert(row.id, account);
    }
    let positions = tenant
        .find::<lot_position::Entity>()
        .filter(lot_position::Column::PoolId.is_in(state.pools.keys().copied()))
        .filter(lot_position::Column::AccountId.is_in(accounts))
        .filter(lot_position::Column::Open.eq(true))
        .all(txn)
        .await?;
    let lots: BTreeSet<LotId> = positions.iter().map(|row| row.lot_id).collect();
    let lots: HashMap<LotId, lot::Model> = match lots.is_empty() {
        true => HashMap::new(),
        false => tenant
            .find::<lot::Entity>()
            .filter(lot::Column::Id.is_in(lots))
            .all(txn)
            .await?
            .into_iter()
            .map(|row| (row.id, row))
            .collect(),
    };
    for row in positions {
        let lot = lots.get(&row.lot_id).ok_or_else(|| Error::internal("a position names no lot"))?;
        let Some(account) =
            state.pools.get_mut(&row.pool_id).and_then(|pool| pool.accounts.get_mut(&row.account_id))
        else {
            continue;
        };
        let burn = BurnKey::new(lot.priority, lot.expires_at, lot.created_at, lot.id);
        let position = Position { credits: row.credits, held: row.held, cost: row.cost, changed: false };
        account.positions.insert(burn, position);
    }
    Ok(())
}

/// Rows that used the commands' keys and references before.
async fn load_prior(txn: &Txn, tenant: Tenant, commands: &[&Command], loaded: &mut Loaded) -> Result<()> {
    let (mut charge_keys, mut entry_keys, mut references) = (Vec::new(), Vec::new(), Vec::new());
    for command in commands {
        match command.id {
            CommandId::Charge(_) => charge_keys.push(command.key),
            CommandId::Entry(_) => entry_keys.push(command.key),
        }
        if let Instruction::Charge(charge) = &command.instruction {
            references.extend(charge.reference.clone());
        }
    }
    if !charge_keys.is_empty() {
        let known = charge::Column::IdempotencyKey.is_in(charge_keys);
        for row in tenant.find::<charge::Entity>().filter(known).all(txn).await? {
            let prior = Prior { id: CommandId::Charge(row.id), request: row.request_hash };
            loaded.state.keys.insert(row.idempotency_key, prior);
            loaded.charges.insert(row.idempotency_key, row);
        }
    }
    if !entry_keys.is_empty() {
        let known = journal_entry::Column::IdempotencyKey.is_in(entry_keys);
        for row in tenant.find::<journal_entry::Entity>().filter(known).all(txn).await? {
            let prior = Prior { id: CommandId::Entry(row.id), request: row.request_hash };
            loaded.state.keys.insert(row.idempotency_key, prior);
            loaded.entries.insert(row.idempotency_key, row);
        }
    }
    if !references.is_empty() {
        let known = charge::Column::Reference.is_in(references);
        for row in tenant.find::<charge::Entity>().filter(known).all(txn).await? {
            if let Some(reference) = row.reference {
                loaded.state.references.insert(reference, row.id);
            }
        }
    }
    Ok(())
}

/// The prices that hold at an instant, by service code.
async fn prices(txn: &Txn, at: Timestamp) -> Result<BTreeMap<String, ServicePrice>> {
    let begun = service_version::Column::EffectiveFrom.lte(at);
    let versions = service_version::Entity::find().filter(begun).all(txn).await?;
    let versions = versions_at(versions, |version| version.service_id, |version| version.effective_from, at);
    let price = |row: service::Model| {
        let version = versions.get(&row.id)?;
        let price = ServicePrice { service: row.id, version: version.id, credits: version.credits };
        Some((row.code, price))
    };
    Ok(service::Entity::find().all(txn).await?.into_iter().filter_map(price).collect())
}

fn link(hash: &[u8]) -> Result<[u8; 32]> {
    hash.try_into().map_err(|_| Error::internal("a link of the hash chain has not 32 bytes"))
}

/// Amounts that the database holds as plain integers and that its checks keep in range.
pub(super) fn credits(value: i64) -> Result<Credits> {
    Credits::new(value).ok_or_else(|| Error::internal("an amount in the database is out of range"))
}
