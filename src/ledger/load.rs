//! Phase one: everything that the commands of a batch name, locked where it has to be.
//!
//! One statement for all organizations (see `check`) locks the heads of the pools, and tells whether what is
//! kept in memory still holds and whether a key or a reference has been used before. Whoever holds a head
//! may read and write what it guards. Only what is not kept, or no longer holds, is read from the other
//! tables. Departments that are to receive credits are locked against archiving.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bursar_domain::Credits;
use bursar_domain::id::{AccountId, DepartmentId, Id, LotId, PoolId, ServiceId};
use bursar_domain::ledger::{
    Account, BurnKey, Command, CommandId, Contra, Department, Head, Instruction, Key, Pool, Position, Prior,
    State,
};
use bursar_domain::organization::OrganizationState;
use bursar_entity::{account, charge, department, journal_entry, lot, lot_position, pool, pool_head};
use sea_orm::{ColumnTrait, Condition, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::books::{Books, Kept, Prices};
use super::check::Checked;
use crate::auth::Standing;
use crate::db::{Tenant, Txn, padded};
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
    /// What of the pools is kept beside the state.
    pub margins: BTreeMap<PoolId, Margin>,
    /// What a caller's permission must have been read at.
    pub standing: Option<Standing>,
}

/// What is kept of a pool beside the machine's state.
pub(super) struct Margin {
    /// The revision of its settings.
    pub revision: i64,
    /// The departments whose accounts are loaded, if they have one.
    pub departments: BTreeSet<DepartmentId>,
}

/// Whether rows are to be locked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Locking {
    /// For a batch that will be written.
    Exclusive,
    /// For a look from a snapshot.
    None,
}

/// Loads the state for the commands of an organization, as far as `books` does not have it.
pub(super) async fn load(
    txn: &Txn,
    (tenant, commands): (Tenant, &[&Command]),
    locking: Locking,
    checked: Checked,
    (books, prices): (&mut Books, &Prices),
) -> Result<Loaded> {
    let Checked { heads, organization, keys_used, references_used } = checked;
    let mut loaded = Loaded {
        state: State::default(),
        links: BTreeMap::new(),
        charges: HashMap::new(),
        entries: HashMap::new(),
        margins: BTreeMap::new(),
        standing: None,
    };
    // Without a head there is nothing to decide: the machine says that the pool is not there.
    let Some(organization) = organization else { return Ok(loaded) };
    loaded.standing = Some(organization.standing());
    loaded.state.suspended = organization.state == OrganizationState::Suspended;
    let mut missing = Vec::new();
    for head in heads {
        let needed = departments_named(commands, Some(head.pool_id));
        match books.take(&head, &needed) {
            Some(kept) => loaded.add(kept),
            None => missing.push((books.departments_of(head.pool_id, &needed), head)),
        }
    }
    // Somebody may have written while this waited for the heads: what the check has seen of keys and
    // references was from before.
    let waited = !missing.is_empty();
    if waited {
        for kept in load_pools(txn, tenant, missing).await? {
            loaded.add(kept);
        }
    }
    if books.organization_revision != organization.revision {
        books.departments.clear();
        books.organization_revision = organization.revision;
    }
    load_departments(txn, tenant, commands, locking, books).await?;
    loaded.state.departments = std::mem::take(&mut books.departments);
    if keys_used || waited {
        load_prior(txn, tenant, commands, &mut loaded).await?;
    }
    if references_used || waited {
        load_references(txn, tenant, commands, &mut loaded).await?;
    }
    let charges = commands.iter().filter(|command| matches!(command.instruction, Instruction::Charge(_)));
    if let Some(at) = charges.map(|command| command.now).max() {
        loaded.state.services = prices.at(txn, organization.catalog, at).await?;
    }
    Ok(loaded)
}

impl Loaded {
    fn add(&mut self, kept: Kept) {
        let id = kept.pool.id;
        self.links.insert(id, kept.link);
        self.margins.insert(id, Margin { revision: kept.revision, departments: kept.departments });
        self.state.pools.insert(id, kept.pool);
    }

    /// Puts what a batch has left back into the books.
    pub fn keep(mut self, books: &mut Books) {
        books.departments = std::mem::take(&mut self.state.departments);
        for (id, pool) in std::mem::take(&mut self.state.pools) {
            let (Some(link), Some(margin)) = (self.links.remove(&id), self.margins.remove(&id)) else {
                continue;
            };
            books.keep(Kept { pool, link, revision: margin.revision, departments: margin.departments });
        }
    }
}

/// The departments that commands name, for all pools or for one.
fn departments_named(commands: &[&Command], pool: Option<PoolId>) -> BTreeSet<DepartmentId> {
    let commands = commands.iter().filter(|command| pool.is_none_or(|pool| command.pool == pool));
    commands.filter_map(|command| command.instruction.department()).collect()
}

/// Reads pools whose heads are known, each with the accounts of some departments.
async fn load_pools(
    txn: &Txn,
    tenant: Tenant,
    heads: Vec<(BTreeSet<DepartmentId>, pool_head::Model)>,
) -> Result<Vec<Kept>> {
    let ids: Vec<PoolId> = heads.iter().map(|(_, head)| head.pool_id).collect();
    let rows = tenant.find::<pool::Entity>().filter(pool::Column::Id.is_in(padded(ids.clone())));
    let mut rows: HashMap<PoolId, pool::Model> =
        rows.all(txn).await?.into_iter().map(|row| (row.id, row)).collect();
    let departments: BTreeSet<DepartmentId> = heads.iter().flat_map(|(all, _)| all).copied().collect();
    let mut pools = BTreeMap::new();
    for (_, head) in heads {
        let row = rows.remove(&head.pool_id).ok_or_else(|| Error::internal("a head names no pool"))?;
        let (link, revision) = (link(&head.hash)?, head.revision);
        let kept = Kept { pool: empty_pool(row, &head), link, revision, departments: departments.clone() };
        pools.insert(head.pool_id, kept);
    }
    load_accounts(txn, tenant, (ids, departments), &mut pools).await?;
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
        },
        // Filled in with the accounts.
        unallocated: AccountId::from_u128(0),
        accounts: BTreeMap::new(),
        changed: false,
    }
}

/// The services that a pool's row allows. Text that is no such list allows none.
fn services(json: &str) -> BTreeSet<ServiceId> {
    let ids: Vec<Uuid> = serde_json::from_str(json).unwrap_or_default();
    ids.into_iter().map(|id| ServiceId::from_u128(id.as_u128())).collect()
}

/// The unallocated accounts of pools, and those of departments, with what they have of which lot.
async fn load_accounts(
    txn: &Txn,
    tenant: Tenant,
    (pools, departments): (Vec<PoolId>, BTreeSet<DepartmentId>),
    kept: &mut BTreeMap<PoolId, Kept>,
) -> Result<()> {
    let mut wanted = Condition::any().add(account::Column::DepartmentId.is_null());
    if !departments.is_empty() {
        wanted = wanted.add(account::Column::DepartmentId.is_in(padded(departments.into_iter().collect())));
    }
    let in_pools = account::Column::PoolId.is_in(padded(pools.clone()));
    let rows = tenant.find::<account::Entity>().filter(in_pools).filter(wanted).all(txn).await?;
    let accounts: Vec<AccountId> = rows.iter().map(|row| row.id).collect();
    for row in rows {
        let Some(Kept { pool, .. }) = kept.get_mut(&row.pool_id) else { continue };
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
        .filter(lot_position::Column::PoolId.is_in(padded(pools)))
        .filter(lot_position::Column::AccountId.is_in(padded(accounts)))
        .filter(lot_position::Column::Open.eq(true))
        .all(txn)
        .await?;
    let lots: BTreeSet<LotId> = positions.iter().map(|row| row.lot_id).collect();
    let lots: HashMap<LotId, lot::Model> = match lots.is_empty() {
        true => HashMap::new(),
        false => tenant
            .find::<lot::Entity>()
            .filter(lot::Column::Id.is_in(padded(lots.into_iter().collect())))
            .all(txn)
            .await?
            .into_iter()
            .map(|row| (row.id, row))
            .collect(),
    };
    for row in positions {
        let lot = lots.get(&row.lot_id).ok_or_else(|| Error::internal("a position names no lot"))?;
        let account = kept.get_mut(&row.pool_id).and_then(|kept| kept.pool.accounts.get_mut(&row.account_id));
        let Some(account) = account else { continue };
        let burn = BurnKey::new(lot.priority, lot.expires_at, lot.created_at, lot.id);
        let (credits, held, cost) = (row.credits, row.held, row.cost);
        account.positions.insert(burn, Position { credits, held, cost, changed: false });
    }
    Ok(())
}

/// The departments that commands name: those that are to receive credits as they are once they are locked,
/// the others as far as they are not known.
async fn load_departments(
    txn: &Txn,
    tenant: Tenant,
    commands: &[&Command],
    locking: Locking,
    books: &mut Books,
) -> Result<()> {
    let receives = |command: &&&Command| matches!(command.instruction, Instruction::Allocate(_));
    let receive: BTreeSet<DepartmentId> =
        commands.iter().filter(receives).filter_map(|command| command.instruction.department()).collect();
    let mut missing = departments_named(commands, None);
    missing.retain(|id| !books.departments.contains_key(id) && !receive.contains(id));
    for (wanted, locked) in [(receive, locking == Locking::Exclusive), (missing, false)] {
        if wanted.is_empty() {
            continue;
        }
        let wanted = department::Column::Id.is_in(padded(wanted.into_iter().collect()));
        let mut select =
            tenant.find::<department::Entity>().filter(wanted).order_by_asc(department::Column::Id);
        if locked {
            select = select.lock_shared();
        }
        for row in select.all(txn).await? {
            books.departments.insert(row.id, Department { archived: row.archived_at.is_some() });
        }
    }
    Ok(())
}

/// Rows that used the commands' keys before.
async fn load_prior(txn: &Txn, tenant: Tenant, commands: &[&Command], loaded: &mut Loaded) -> Result<()> {
    let (mut charge_keys, mut entry_keys) = (Vec::new(), Vec::new());
    for command in commands {
        match command.id {
            CommandId::Charge(_) => charge_keys.push(command.key),
            CommandId::Entry(_) => entry_keys.push(command.key),
        }
    }
    if !charge_keys.is_empty() {
        let known = charge::Column::IdempotencyKey.is_in(padded(charge_keys));
        for row in tenant.find::<charge::Entity>().filter(known).all(txn).await? {
            let prior = Prior { id: CommandId::Charge(row.id), request: row.request_hash };
            loaded.state.keys.insert(row.idempotency_key, prior);
            loaded.charges.insert(row.idempotency_key, row);
        }
    }
    if !entry_keys.is_empty() {
        let known = journal_entry::Column::IdempotencyKey.is_in(padded(entry_keys));
        for row in tenant.find::<journal_entry::Entity>().filter(known).all(txn).await? {
            let prior = Prior { id: CommandId::Entry(row.id), request: row.request_hash };
            loaded.state.keys.insert(row.idempotency_key, prior);
            loaded.entries.insert(row.idempotency_key, row);
        }
    }
    Ok(())
}

/// Charges that have the commands' references.
async fn load_references(
    txn: &Txn,
    tenant: Tenant,
    commands: &[&Command],
    loaded: &mut Loaded,
) -> Result<()> {
    let references: Vec<String> =
        commands.iter().filter_map(|c| c.instruction.reference()).cloned().collect();
    if references.is_empty() {
        return Ok(());
    }
    let known = charge::Column::Reference.is_in(padded(references));
    for row in tenant.find::<charge::Entity>().filter(known).all(txn).await? {
        if let Some(reference) = row.reference {
            loaded.state.references.insert(reference, row.id);
        }
    }
    Ok(())
}

fn link(hash: &[u8]) -> Result<[u8; 32]> {
    hash.try_into().map_err(|_| Error::internal("a link of the hash chain has not 32 bytes"))
}

/// Amounts that the database holds as plain integers and that its checks keep in range.
pub(super) fn credits(value: i64) -> Result<Credits> {
    Credits::new(value).ok_or_else(|| Error::internal("an amount in the database is out of range"))
}
