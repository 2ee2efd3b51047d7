//! Commands that repeat what earlier batches have carried out, under the same keys: they get the receipts of
//! then.

use std::collections::{BTreeMap, BTreeSet};

use bursar_domain::id::{EntryId, HoldId, Id, PoolId};
use bursar_domain::ledger::{CauseKind, Command, CommandId, TransferKind};
use bursar_entity::{lot, transfer};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};
use uuid::Uuid;

use super::load::Loaded;
use super::process::Outcomes;
use super::{Receipt, ReceiptRow};
use crate::db::{Tenant, Txn, padded};
use crate::error::{Error, Result};

/// The receipt of a command that was carried out in an earlier batch, without its transfers and its lots.
/// When that was the very same command (its batch is run again because nobody knew whether it had been
/// committed) it is no repetition.
pub(super) fn earlier(loaded: &Loaded, command: &Command, prior: CommandId) -> Result<Receipt> {
    let row = match command.id {
        CommandId::Charge(_) => loaded.charges.get(&command.key).cloned().map(ReceiptRow::Charge),
        CommandId::Hold(_) => loaded.holds.get(&command.key).cloned().map(ReceiptRow::Hold),
        CommandId::Entry(_) => loaded.entries.get(&command.key).cloned().map(ReceiptRow::Entry),
    };
    let row = row.ok_or_else(|| Error::internal("the row of a repeated command is missing"))?;
    let (transfers, there, lots) = (Vec::new(), Vec::new(), Vec::new());
    Ok(Receipt {
        row,
        transfers,
        there,
        lots,
        hold: None,
        account_after: None,
        replayed: prior != command.id,
    })
}

impl ReceiptRow {
    /// The pool, and the versions that the command made: after the first and up to the second.
    fn versions(&self) -> Option<(PoolId, i64, i64)> {
        match self {
            ReceiptRow::Charge(row) => Some((row.pool_id, row.version - row.slices, row.version)),
            ReceiptRow::Hold(row) => Some((row.pool_id, row.version - row.slices, row.version)),
            ReceiptRow::Entry(row) => Some((row.pool_id, row.version - row.slices, row.version)),
            ReceiptRow::Nothing => None,
        }
    }

    /// The hold that a charge captures.
    fn captured(&self) -> Option<HoldId> {
        match self {
            ReceiptRow::Charge(row) => row.hold_id,
            _ => None,
        }
    }
}

/// The most transfers that follow the last slice of a capture for each of its hold's slices: what is owed, let
/// go, taken back, and lapses.
const FOLLOWERS: i64 = 4;

/// Whether a receipt is one of [`earlier`]'s that lacks its transfers.
fn bare(receipt: &Receipt) -> bool {
    receipt.transfers.is_empty() && !matches!(receipt.row, ReceiptRow::Nothing)
}

/// Reads the transfers and the lots of repeated commands, all at once.
pub(super) async fn complete(txn: &Txn, tenant: Tenant, outcomes: &mut [Outcomes]) -> Result<()> {
    let mut wanted: BTreeMap<PoolId, BTreeSet<i64>> = BTreeMap::new();
    let mut entries: BTreeSet<EntryId> = BTreeSet::new();
    let receipts = || outcomes.iter().flatten().filter_map(|outcome| outcome.as_ref().ok());
    let captured: BTreeSet<HoldId> =
        receipts().filter(|receipt| bare(receipt)).filter_map(|receipt| receipt.row.captured()).collect();
    let holds = match captured.is_empty() {
        true => Vec::new(),
        false => super::load_holds::holds_by_id(txn, tenant, captured.into_iter().collect()).await?,
    };
    let followers = |id: HoldId| {
        let hold = holds.iter().find(|hold| hold.id == id);
        hold.map_or(0, |hold| hold.slices.saturating_mul(FOLLOWERS))
    };
    for receipt in receipts().filter(|receipt| bare(receipt)) {
        let Some((pool, after, until)) = receipt.row.versions() else { continue };
        let until = until + receipt.row.captured().map_or(0, followers);
        wanted.entry(pool).or_default().extend(after + 1..=until);
        if let ReceiptRow::Entry(row) = &receipt.row {
            entries.insert(row.id);
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let rows = by_versions(txn, tenant, wanted).await?;
    // The other halves of movements to other pools name their versions.
    let mut halves: BTreeMap<PoolId, BTreeSet<i64>> = BTreeMap::new();
    let between_pools = [TransferKind::Move, TransferKind::Assign];
    for row in rows.iter().filter(|row| between_pools.contains(&row.kind)) {
        if let (Some(pool), Some(version)) = (row.counterpart_pool_id, row.counterpart_version) {
            halves.entry(pool).or_default().insert(version);
        }
    }
    let there = if halves.is_empty() { Vec::new() } else { by_versions(txn, tenant, halves).await? };
    let lots = match entries.is_empty() {
        true => Vec::new(),
        false => {
            let of = lot::Column::EntryId.is_in(padded(entries.into_iter().collect()));
            tenant.find::<lot::Entity>().filter(of).order_by_asc(lot::Column::Id).all(txn).await?
        }
    };
    let receipts = outcomes.iter_mut().flatten().filter_map(|outcome| outcome.as_mut().ok());
    for receipt in receipts.filter(|receipt| bare(receipt)) {
        let Some((pool, after, until)) = receipt.row.versions() else { continue };
        let hold = receipt.row.captured().map(|id| Uuid::from_u128(id.as_u128()));
        let booked_at = match &receipt.row {
            ReceiptRow::Charge(row) => Some(row.created_at),
            _ => None,
        };
        let mut next = until;
        let own = |row: &&transfer::Model| {
            let slice = (after + 1..=until).contains(&row.version);
            // What follows from a capture stands right behind it.
            let follows = hold.is_some()
                && row.version == next + 1
                && Some(row.created_at) == booked_at
                && row.cause_kind == CauseKind::Hold
                && row.cause_id == hold;
            if follows && row.pool_id == pool {
                next += 1;
            }
            row.pool_id == pool && (slice || follows)
        };
        receipt.transfers = rows.iter().filter(own).cloned().collect();
        if let ReceiptRow::Entry(entry) = &receipt.row {
            let id = Some(Uuid::from_u128(entry.id.as_u128()));
            receipt.there = there.iter().filter(|row| row.cause_id == id).cloned().collect();
            receipt.lots = lots.iter().filter(|lot| lot.entry_id == entry.id).cloned().collect();
        }
    }
    Ok(())
}

/// Transfers by pools and versions, by rising version.
async fn by_versions(
    txn: &Txn,
    tenant: Tenant,
    wanted: BTreeMap<PoolId, BTreeSet<i64>>,
) -> Result<Vec<transfer::Model>> {
    let keys = wanted.into_iter().flat_map(|(pool, all)| all.into_iter().map(move |version| (pool, version)));
    let mut rows = tenant.lookup_transfers(txn, keys.collect::<Vec<_>>()).await?;
    rows.sort_by_key(|row| row.version);
    Ok(rows)
}
