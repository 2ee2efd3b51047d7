//! Load, decide, write: the three phases of a batch, inside a transaction that somebody else commits.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bursar_domain::Timestamp;
use bursar_domain::id::PoolId;
use bursar_domain::ledger::{Command, CommandId, Decision, book_lapses, decide};
use bursar_entity::{lot, transfer};
use sea_orm::{ColumnTrait, Condition, QueryFilter, QueryOrder};

use super::books::{Books, Prices};
use super::load::{Loaded, Locking, load};
use super::write::Booked;
use super::{Committed, Receipt, ReceiptRow, Submission};
use crate::db::{Tenant, Txn, padded};
use crate::error::{Error, Result};

/// What became of a batch, if its transaction is committed.
pub(super) struct Processed {
    /// What became of each command, in order.
    pub outcomes: Vec<Result<Receipt>>,
    /// The pools that have moved.
    pub committed: Vec<Committed>,
    /// What is kept in memory for the next batch.
    pub books: Books,
    /// How long the phases took.
    pub phases: Phases,
}

/// How long the phases of a batch took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Phases {
    pub load: Duration,
    pub decide: Duration,
    pub write: Duration,
}

/// Takes a batch through the phases. A refusal of one command does not harm the others. Without an
/// exclusive lock nothing is written: a rehearsal.
pub(super) async fn process(
    txn: &Txn,
    tenant: Tenant,
    batch: &[Submission],
    locking: Locking,
    (mut books, prices): (Books, &Prices),
) -> Result<Processed> {
    let mut phases = Phases::default();
    let began = Instant::now();
    let commands: Vec<&Command> = batch.iter().map(|submission| &submission.command).collect();
    let mut loaded = load(txn, tenant, &commands, locking, (&mut books, prices)).await?;
    phases.load = began.elapsed();

    let began = Instant::now();
    let mut booked = Booked::default();
    for (pool, now) in latest(&commands) {
        let lapses = book_lapses(&mut loaded.state, pool, now);
        booked.lapses(tenant, lapses, &mut loaded.links);
    }
    let mut outcomes: Vec<Result<Receipt>> = Vec::with_capacity(batch.len());
    let mut done: HashMap<CommandId, usize> = HashMap::with_capacity(batch.len());
    let mut repeated = Vec::new();
    for (index, submission) in batch.iter().enumerate() {
        if !submission.standing.holds(loaded.standing) {
            outcomes.push(Err(Error::Stale));
            continue;
        }
        let outcome = match decide(&mut loaded.state, &submission.command) {
            Err(refusal) => Err(Error::Refused(refusal)),
            Ok(Decision::Applied(applied)) => {
                // The state has it already: without its rows the whole batch is void.
                let receipt = booked.applied(tenant, submission, *applied, &mut loaded.links)?;
                done.insert(submission.command.id, index);
                Ok(receipt)
            }
            Ok(Decision::Replayed(id)) => match done.get(&id).and_then(|first| outcomes.get(*first)) {
                Some(Ok(receipt)) => Ok(Receipt { replayed: true, ..receipt.clone() }),
                _ => {
                    repeated.push(index);
                    earlier(&loaded, &submission.command, id)
                }
            },
        };
        outcomes.push(outcome);
    }
    phases.decide = began.elapsed();

    let began = Instant::now();
    if !repeated.is_empty() {
        complete(txn, tenant, &mut outcomes, &repeated).await?;
    }
    if locking == Locking::Exclusive {
        booked.write(txn, tenant, &loaded).await?;
    }
    phases.write = began.elapsed();
    let changed = loaded.state.pools.values().filter(|pool| pool.changed);
    let committed = changed.map(|pool| Committed { pool: pool.id, version: pool.head.version }).collect();
    loaded.keep(&mut books);
    Ok(Processed { outcomes, committed, books, phases })
}

/// The pools that commands name, each with the latest time of its commands.
fn latest(commands: &[&Command]) -> BTreeMap<PoolId, Timestamp> {
    let mut pools = BTreeMap::new();
    for command in commands {
        let latest = pools.entry(command.pool).or_insert(command.now);
        *latest = command.now.max(*latest);
    }
    pools
}

/// The receipt of a command that was carried out in an earlier batch, without its transfers and its lot.
/// When that was the very same command (its batch is run again because nobody knew whether it had been
/// committed) it is no repetition.
fn earlier(loaded: &Loaded, command: &Command, prior: CommandId) -> Result<Receipt> {
    let row = match command.id {
        CommandId::Charge(_) => loaded.charges.get(&command.key).cloned().map(ReceiptRow::Charge),
        CommandId::Entry(_) => loaded.entries.get(&command.key).cloned().map(ReceiptRow::Entry),
    };
    let row = row.ok_or_else(|| Error::internal("the row of a repeated command is missing"))?;
    Ok(Receipt { row, transfers: Vec::new(), lot: None, replayed: prior != command.id })
}

impl ReceiptRow {
    /// The pool, and the versions that the command made: after the first and up to the second.
    fn versions(&self) -> (PoolId, i64, i64) {
        match self {
            ReceiptRow::Charge(row) => (row.pool_id, row.version - row.slices, row.version),
            ReceiptRow::Entry(row) => (row.pool_id, row.version - row.slices, row.version),
        }
    }
}

/// Reads the transfers and the lots of repeated commands, all at once.
async fn complete(
    txn: &Txn,
    tenant: Tenant,
    outcomes: &mut [Result<Receipt>],
    repeated: &[usize],
) -> Result<()> {
    let mut wanted: BTreeMap<PoolId, Vec<i64>> = BTreeMap::new();
    let mut lots = Vec::new();
    for receipt in repeated.iter().filter_map(|index| outcomes[*index].as_ref().ok()) {
        let (pool, after, until) = receipt.row.versions();
        wanted.entry(pool).or_default().extend(after + 1..=until);
        if let ReceiptRow::Entry(row) = &receipt.row {
            lots.extend(row.lot_id);
        }
    }
    let mut any = Condition::any();
    for (pool, versions) in wanted {
        let of_pool = transfer::Column::PoolId.eq(pool);
        let versions = transfer::Column::Version.is_in(padded(versions));
        any = any.add(Condition::all().add(of_pool).add(versions));
    }
    let select = tenant.find::<transfer::Entity>().filter(any).order_by_asc(transfer::Column::Version);
    let transfers = select.all(txn).await?;
    let lots = match lots.is_empty() {
        true => Vec::new(),
        false => tenant.find::<lot::Entity>().filter(lot::Column::Id.is_in(padded(lots))).all(txn).await?,
    };
    for index in repeated {
        let Ok(receipt) = &mut outcomes[*index] else { continue };
        let (pool, after, until) = receipt.row.versions();
        let own = |row: &&transfer::Model| row.pool_id == pool && (after + 1..=until).contains(&row.version);
        receipt.transfers = transfers.iter().filter(own).cloned().collect();
        if let ReceiptRow::Entry(row) = &receipt.row {
            receipt.lot = lots.iter().find(|lot| Some(lot.id) == row.lot_id).cloned();
        }
    }
    Ok(())
}
