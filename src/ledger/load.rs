//! Phase one: everything that the commands of a batch name, locked where it has to be.
//!
//! One statement for all organizations (see `check`) locks the heads of the pools, and tells whether what is
//! kept in memory still holds and whether a key or a reference has been used before. Whoever holds a head
//! may read and write what it guards. Only what is not kept, or no longer holds, is read from the other
//! tables. Departments that are to receive credits are locked against archiving.
//!
//! What time has brought comes first: holds that have expired are read with the pools in which something is
//! due, since their credits are free before anything is decided.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bursar_domain::id::{DepartmentId, HoldId, PoolId};
use bursar_domain::ledger::{Command, CommandId, Department, Instruction, Key, Prior, ReferenceOwner, State};
use bursar_domain::organization::OrganizationState;
use bursar_domain::{Credits, Timestamp};
use bursar_entity::{charge, claimed_reference, department, hold, journal_entry};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder, QuerySelect};

use super::books::{Books, Kept, Prices};
use super::check::Checked;
use super::load_holds::{due_holds, holds_by_id};
use super::load_pools::{Needed, load_pools};
use super::load_refunds::{load_guarantees, load_refunds};
use crate::auth::Standing;
use crate::db::{Tenant, Txn, padded};
use crate::error::{Error, Result};
use crate::periods;

/// What has been loaded: the machine's state, and what only the shell needs.
pub(super) struct Loaded {
    pub state: State,
    /// The last links of the pools' chains.
    pub links: BTreeMap<PoolId, [u8; 32]>,
    /// Charges whose keys the commands repeat.
    pub charges: HashMap<Key, charge::Model>,
    /// Holds whose keys the commands repeat.
    pub holds: HashMap<Key, hold::Model>,
    /// Journal entries whose keys the commands repeat.
    pub entries: HashMap<Key, journal_entry::Model>,
    /// What of the pools is kept beside the state.
    pub margins: BTreeMap<PoolId, Margin>,
    /// What a caller's permission must have been read at.
    pub standing: Option<Standing>,
}

/// What is kept of a pool beside the machine's state.
#[derive(Clone, Default)]
pub(super) struct Margin {
    /// The revision of its settings.
    pub revision: i64,
    /// The departments whose accounts are loaded, if they have one.
    pub departments: BTreeSet<DepartmentId>,
    /// Whether all accounts are loaded.
    pub complete: bool,
    /// From when on all periods of its caps are loaded.
    pub caps_from: Timestamp,
    /// The rows of its loaded holds.
    pub holds: BTreeMap<HoldId, hold::Model>,
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
        holds: HashMap::new(),
        entries: HashMap::new(),
        margins: BTreeMap::new(),
        standing: None,
    };
    // Without a head there is nothing to decide: the machine says that the pool is not there.
    let Some(organization) = organization else { return Ok(loaded) };
    loaded.standing = Some(organization.standing());
    loaded.state.suspended = organization.state == OrganizationState::Suspended;
    let latest = commands.iter().map(|command| command.now).max().unwrap_or_default();
    let latest = heads.iter().map(|head| head.clock).fold(latest, Timestamp::max);
    loaded.state.calendar = periods::calendar(&organization.time_zone, latest)?;
    load_refunds(txn, (tenant, commands), latest, &mut loaded.state).await?;
    books.turn_to(organization.revision);
    if commands.iter().any(|command| prices_matter(&command.instruction)) {
        let at = latest_of(commands, prices_matter);
        let catalog = prices.at(txn, organization.catalog, at).await?;
        loaded.state.services = books.laid_over(txn, tenant, catalog, at).await?;
    }
    let guaranteed =
        commands.iter().any(|c| matches!(&c.instruction, Instruction::Refund(r) if r.guaranteed));
    if guaranteed {
        prices.at(txn, organization.catalog, latest).await?;
        load_guarantees(txn, tenant, latest, locking, (prices, &mut loaded.state)).await?;
    }

    // Holds that have expired, and holds that the commands name, before the accounts that they are of.
    let due = due_holds(txn, tenant, &heads, commands).await?;
    let mut missing = Vec::new();
    for head in heads {
        let mut needed = Needed::of(commands, head.pool_id, &loaded.state);
        needed.departments.extend(
            due.iter().filter_map(|row| if row.pool_id == head.pool_id { row.department_id } else { None }),
        );
        match books.take(&head, &needed) {
            Some(kept) => loaded.add(kept),
            None => missing.push((books.widened(head.pool_id, needed), head)),
        }
    }
    // Somebody may have written while this waited for the heads: what the check has seen of keys and
    // references was from before.
    let waited = !missing.is_empty();
    if waited {
        for kept in load_pools(txn, tenant, missing, latest).await? {
            loaded.add(kept);
        }
    }
    loaded.add_holds(due);
    let named: BTreeSet<HoldId> = commands.iter().filter_map(|c| c.instruction.hold()).collect();
    let unknown = named.into_iter().filter(|id| !loaded.margins.values().any(|m| m.holds.contains_key(id)));
    let unknown: Vec<HoldId> = unknown.collect();
    if !unknown.is_empty() {
        loaded.add_holds(holds_by_id(txn, tenant, unknown).await?);
    }
    find_next_holds(txn, tenant, commands, &mut loaded).await?;

    load_departments(txn, tenant, commands, locking, books).await?;
    loaded.state.departments = std::mem::take(&mut books.departments);
    if keys_used || waited {
        load_prior(txn, tenant, commands, &mut loaded).await?;
    }
    if references_used || waited {
        load_references(txn, tenant, commands, &mut loaded).await?;
    }
    Ok(loaded)
}

/// Whether a command is priced at the prices of now.
fn prices_matter(instruction: &Instruction) -> bool {
    matches!(instruction, Instruction::Charge(_) | Instruction::Hold(_))
}

fn latest_of(commands: &[&Command], which: impl Fn(&Instruction) -> bool) -> Timestamp {
    let those = commands.iter().filter(|command| which(&command.instruction));
    those.map(|command| command.now).max().unwrap_or_default()
}

impl Loaded {
    fn add(&mut self, kept: Kept) {
        let id = kept.pool.id;
        self.links.insert(id, kept.link);
        self.margins.insert(id, kept.margin);
        self.state.pools.insert(id, kept.pool);
    }

    /// Adds holds to their pools, unless they are there.
    fn add_holds(&mut self, rows: Vec<hold::Model>) {
        for row in rows {
            let (pool, margin) = (self.state.pools.get_mut(&row.pool_id), self.margins.get_mut(&row.pool_id));
            let (Some(pool), Some(margin)) = (pool, margin) else { continue };
            if margin.holds.contains_key(&row.id) {
                continue;
            }
            if let Some(hold) = super::load_holds::decode(pool, &row) {
                pool.holds.insert(row.id, hold);
            }
            margin.holds.insert(row.id, row);
        }
    }

    /// Puts what a batch has left back into the books.
    pub fn keep(mut self, books: &mut Books) {
        books.departments = std::mem::take(&mut self.state.departments);
        for (id, pool) in std::mem::take(&mut self.state.pools) {
            let (Some(link), Some(margin)) = (self.links.remove(&id), self.margins.remove(&id)) else {
                continue;
            };
            books.keep(Kept { pool, link, margin });
        }
    }
}

/// When what is due has been booked, the machine asks when the next hold expires that is not loaded.
async fn find_next_holds(
    txn: &Txn,
    tenant: Tenant,
    commands: &[&Command],
    loaded: &mut Loaded,
) -> Result<()> {
    let all = commands.iter().filter(|command| matches!(command.instruction, Instruction::BookDue));
    let pools: BTreeSet<PoolId> = all.map(|command| command.pool).collect();
    for id in pools {
        let Some(pool) = loaded.state.pools.get_mut(&id) else { continue };
        let known: Vec<HoldId> = pool.holds.keys().copied().collect();
        pool.next_hold = super::load_holds::next_expiry(txn, tenant, id, &known).await?;
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
    let receive: BTreeSet<DepartmentId> = commands.iter().filter_map(|c| c.instruction.receiver()).collect();
    let named = commands
        .iter()
        .flat_map(|command| command.instruction.departments().chain(command.instruction.other_departments()));
    let mut missing: BTreeSet<DepartmentId> = named.collect();
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
    let (mut charge_keys, mut hold_keys, mut entry_keys) = (Vec::new(), Vec::new(), Vec::new());
    for command in commands {
        match command.id {
            CommandId::Charge(_) => charge_keys.push(command.key),
            CommandId::Hold(_) => hold_keys.push(command.key),
            CommandId::Entry(_) => entry_keys.push(command.key),
        }
    }
    let prior = |id, request| Prior { id, request };
    if !charge_keys.is_empty() {
        let known = charge::Column::IdempotencyKey.is_in(padded(charge_keys));
        for row in tenant.find::<charge::Entity>().filter(known).all(txn).await? {
            let used = prior(CommandId::Charge(row.id), row.request_hash);
            loaded.state.keys.insert(row.idempotency_key, used);
            loaded.charges.insert(row.idempotency_key, row);
        }
    }
    if !hold_keys.is_empty() {
        let known = hold::Column::IdempotencyKey.is_in(padded(hold_keys));
        for row in tenant.find::<hold::Entity>().filter(known).all(txn).await? {
            let used = prior(CommandId::Hold(row.id), row.request_hash);
            loaded.state.keys.insert(row.idempotency_key, used);
            loaded.holds.insert(row.idempotency_key, row);
        }
    }
    if !entry_keys.is_empty() {
        let known = journal_entry::Column::IdempotencyKey.is_in(padded(entry_keys));
        for row in tenant.find::<journal_entry::Entity>().filter(known).all(txn).await? {
            let used = prior(CommandId::Entry(row.id), row.request_hash);
            loaded.state.keys.insert(row.idempotency_key, used);
            loaded.entries.insert(row.idempotency_key, row);
        }
    }
    Ok(())
}

/// Charges and holds that have the commands' references.
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
    let known = claimed_reference::Column::Reference.is_in(padded(references));
    for row in tenant.find::<claimed_reference::Entity>().filter(known).all(txn).await? {
        let charge = row.charge_id.map(ReferenceOwner::Charge);
        if let Some(owner) = charge.or(row.hold_id.map(ReferenceOwner::Hold)) {
            loaded.state.references.insert(row.reference, owner);
        }
    }
    Ok(())
}

/// Amounts that the database holds as plain integers and that its checks keep in range.
pub(super) fn credits(value: i64) -> Result<Credits> {
    Credits::new(value).ok_or_else(|| Error::internal("an amount in the database is out of range"))
}
