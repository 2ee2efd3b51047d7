//! Load, decide, write: the three phases of a batch, inside a transaction that somebody else commits.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bursar_domain::Timestamp;
use bursar_domain::id::PoolId;
use bursar_domain::ledger::{Command, CommandId, Decision, book_lapses, decide};
use bursar_entity::{lot, transfer};
use sea_orm::{ColumnTrait, Condition, QueryFilter, QueryOrder};
use tracing::Instrument;

use super::books::{Books, Prices};
use super::check::check;
use super::load::{Loaded, Locking, load};
use super::write::Booked;
use super::{Receipt, ReceiptRow, Submission};
use crate::changes::{Change, Subject};
use crate::db::{Tenant, Txn, padded};
use crate::error::{Error, Result};

/// Commands of one organization.
pub(super) struct Part {
    pub tenant: Tenant,
    pub submissions: Arc<Vec<Submission>>,
    /// What is kept of the organization; whoever has it is the only one to use it.
    pub books: Books,
}

/// What became of a part, if its transaction is committed.
pub(super) struct Processed {
    /// What became of each command, in order.
    pub outcomes: Vec<Result<Receipt>>,
    /// The pools that have moved.
    pub committed: Vec<Change>,
    /// What is kept in memory for the next batch.
    pub books: Books,
}

/// How long the phases of a batch took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Phases {
    pub load: Duration,
    pub decide: Duration,
    pub write: Duration,
}

/// Takes commands of several organizations, in the order of their ids, through the phases. A refusal of one
/// command does not harm the others. Without an exclusive lock nothing is written: a rehearsal.
pub(super) async fn process(
    txn: &Txn,
    mut parts: Vec<Part>,
    locking: Locking,
    prices: &Prices,
) -> Result<(Vec<Processed>, Phases)> {
    let mut phases = Phases::default();
    let began = Instant::now();
    let submissions: Vec<_> = parts.iter().map(|part| Arc::clone(&part.submissions)).collect();
    let commands: Vec<(Tenant, Vec<&Command>)> = parts
        .iter()
        .zip(&submissions)
        .map(|(part, batch)| (part.tenant, batch.iter().map(|submission| &submission.command).collect()))
        .collect();
    let load_all = async {
        let mut checked = check(txn, &commands, locking).await?;
        let mut loaded = Vec::with_capacity(parts.len());
        for (part, (tenant, commands)) in parts.iter_mut().zip(&commands) {
            let checked = checked.remove(&tenant.id()).unwrap_or_default();
            let memory = (&mut part.books, prices);
            loaded.push(load(txn, (*tenant, commands), locking, checked, memory).await?);
        }
        Ok::<_, Error>(loaded)
    };
    let mut loaded = load_all.instrument(tracing::info_span!("load")).await?;
    phases.load = began.elapsed();

    let began = Instant::now();
    let mut booked = Booked::default();
    let mut decided = Vec::with_capacity(parts.len());
    let span = tracing::info_span!("decide").entered();
    for (part, loaded) in parts.iter().zip(&mut loaded) {
        decided.push(decide_all(part.tenant, &part.submissions, loaded, &mut booked)?);
    }
    drop(span);
    phases.decide = began.elapsed();

    let began = Instant::now();
    let write_all = async {
        for (part, (outcomes, repeated)) in parts.iter().zip(&mut decided) {
            if !repeated.is_empty() {
                complete(txn, part.tenant, outcomes, repeated).await?;
            }
        }
        if locking == Locking::Exclusive {
            let loaded = parts.iter().map(|part| part.tenant).zip(&loaded);
            booked.write(txn, loaded).await?;
        }
        Ok::<_, Error>(())
    };
    write_all.instrument(tracing::info_span!("write")).await?;
    phases.write = began.elapsed();
    let processed = parts.into_iter().zip(loaded).zip(decided).map(|((part, loaded), (outcomes, _))| {
        let changed = loaded.state.pools.values().filter(|pool| pool.changed);
        let committed = changed.map(|pool| Change {
            organization: part.tenant.id(),
            subject: Subject::Pool(pool.id, pool.head.version),
        });
        let committed = committed.collect();
        let mut books = part.books;
        loaded.keep(&mut books);
        Processed { outcomes, committed, books }
    });
    Ok((processed.collect(), phases))
}

/// Decides the commands of an organization one after another. Answers what became of each, and which of
/// them repeat commands of earlier batches.
fn decide_all(
    tenant: Tenant,
    batch: &[Submission],
    loaded: &mut Loaded,
    booked: &mut Booked,
) -> Result<(Vec<Result<Receipt>>, Vec<usize>)> {
    for (pool, now) in latest(batch) {
        let lapses = book_lapses(&mut loaded.state, pool, now);
        booked.lapses(tenant, lapses, &mut loaded.links);
    }
    let mut outcomes: Vec<Result<Receipt>> = Vec::with_capacity(batch.len());
    let mut done: HashMap<CommandId, usize> = HashMap::with_capacity(batch.len());
    let mut repeated = Vec::new();
    for (index, submission) in batch.iter().enumerate() {
        // Carried out by an earlier try of this very batch, whose commit was cut off: its permission stood.
        let command = &submission.command;
        let prior = loaded.state.keys.get(&command.key);
        if prior.is_some_and(|prior| prior.id == command.id) {
            repeated.push(index);
            outcomes.push(earlier(loaded, command, command.id));
            continue;
        }
        if loaded.standing.is_some_and(|now| !submission.standing.holds(now)) {
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
                    earlier(loaded, &submission.command, id)
                }
            },
        };
        outcomes.push(outcome);
    }
    Ok((outcomes, repeated))
}

/// The pools that commands name, each with the latest time of its commands.
fn latest(batch: &[Submission]) -> BTreeMap<PoolId, Timestamp> {
    let mut pools = BTreeMap::new();
    for Submission { command, .. } in batch {
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
