//! What refunds and changes of lots need to know: charges with their slices and what has been refunded of
//! them, and the terms of lots.

use std::collections::{BTreeMap, BTreeSet};

use bursar_domain::id::{ChargeId, HoldId, LotId, PoolId, ServiceId};
use bursar_domain::ledger::{
    Charged, ChargedSlice, Command, Guarantee, Instruction, LotTerms, State, TransferKind,
};
use bursar_domain::period::{Period, PeriodKind};
use bursar_domain::{Credits, Timestamp};
use bursar_entity::{charge, guarantee_use, hold, journal_entry, lot, transfer};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};

use super::books::Prices;
use super::digest::Line;
use super::load::Locking;
use super::load_pools::{burn, lots_by_id};
use super::read::decode_lines;
use super::write::open_guarantees;
use crate::db::{Index, Tenant, Txn, padded};
use crate::error::{Error, Result};

/// By how many days the beginnings of the same month differ, at most, between time zones.
const NEAR_DAYS: i64 = 3;
/// The most steps from a lot to the last one that it was extended by.
const MAX_EXTENSIONS: usize = 1_000;

/// Loads the charges that commands refund, and the lots that they, extensions and reversals are about.
pub(super) async fn load_refunds(
    txn: &Txn,
    (tenant, commands): (Tenant, &[&Command]),
    latest: Timestamp,
    state: &mut State,
) -> Result<()> {
    let (mut charges, mut lots) = (BTreeSet::new(), BTreeSet::new());
    for command in commands {
        match &command.instruction {
            Instruction::Refund(refund) => {
                charges.insert(refund.charge);
            }
            Instruction::Extend(extend) => {
                lots.insert(extend.lot);
            }
            Instruction::Revoke(revoke) => {
                lots.insert(revoke.lot);
            }
            Instruction::Dispute(dispute) | Instruction::Reinstate(dispute) => {
                lots.insert(dispute.lot);
            }
            Instruction::Restore(restore) => {
                lots.insert(restore.lot);
            }
            Instruction::Assign(assign) => {
                lots.insert(assign.lot);
            }
            _ => {}
        }
    }
    if !charges.is_empty() {
        load_charges(txn, tenant, charges, state).await?;
        let slices = state.charges.values().flat_map(|charge| &charge.slices);
        lots.extend(slices.map(|slice| slice.lot));
    }
    if !lots.is_empty() {
        load_lots(txn, tenant, lots, latest, state).await?;
    }
    Ok(())
}

/// The guarantees of the services of the charges that are refunded, and how much of them this month has
/// used: locked, so that no two refunds take the last one.
pub(super) async fn load_guarantees(
    txn: &Txn,
    tenant: Tenant,
    now: Timestamp,
    locking: Locking,
    (prices, state): (&Prices, &mut State),
) -> Result<()> {
    let Some(month) = state.calendar.period(PeriodKind::Month, now) else { return Ok(()) };
    let lines = state.charges.values().flat_map(|charge| &charge.lines);
    let services: BTreeSet<ServiceId> = lines.map(|line| line.service).collect();
    let offered = |id: &ServiceId| {
        let row = prices.service(*id)?;
        let (days, quota) = (row.guarantee_days?, row.guarantee_quota);
        Some((*id, Guarantee { days, quota, month, used: 0, changed: false }))
    };
    state.guarantees = services.iter().filter_map(offered).collect();
    if state.guarantees.is_empty() {
        return Ok(());
    }
    let services: Vec<ServiceId> = state.guarantees.keys().copied().collect();
    // The same month began a little earlier or later in the time zone that the organization had before.
    let near = tenant
        .find::<guarantee_use::Entity>()
        .filter(guarantee_use::Column::MonthStart.gt(month.start.plus_days(-NEAR_DAYS)))
        .filter(guarantee_use::Column::MonthStart.lt(month.start.plus_days(NEAR_DAYS)))
        .order_by_asc(guarantee_use::Column::MonthStart);
    let known = near.all(txn).await?.first().map(|row| row.month_start);
    let month = Period { start: known.unwrap_or(month.start), ..month };
    for guarantee in state.guarantees.values_mut() {
        guarantee.month = month;
    }
    if locking == Locking::Exclusive {
        open_guarantees(txn, tenant, &services, month.start).await?;
    }
    let select = tenant
        .find::<guarantee_use::Entity>()
        .filter(guarantee_use::Column::MonthStart.eq(month.start))
        .filter(guarantee_use::Column::ServiceId.is_in(padded(services)));
    for row in select.all(txn).await? {
        if let Some(guarantee) = state.guarantees.get_mut(&row.service_id) {
            guarantee.used = row.used;
        }
    }
    Ok(())
}

pub(super) async fn load_charges(
    txn: &Txn,
    tenant: Tenant,
    ids: BTreeSet<ChargeId>,
    state: &mut State,
) -> Result<()> {
    let rows = tenant
        .lookup_along::<charge::Entity, _>(txn, (charge::Column::Id, Index::Alone), ids.iter().copied())
        .await?;
    let versions = rows.iter().flat_map(|row| {
        (row.version - row.slices + 1..=row.version).map(move |version| (row.pool_id, version))
    });
    let transfers = tenant.lookup_transfers(txn, versions.collect::<Vec<_>>()).await?;
    let of = (journal_entry::Column::ChargeId, Index::Alone);
    let refunds = tenant.lookup_along::<journal_entry::Entity, _>(txn, of, ids).await?;
    let holds: BTreeSet<HoldId> = rows.iter().filter_map(|row| row.hold_id).collect();
    let holds = match holds.is_empty() {
        true => Vec::new(),
        false => super::load_holds::holds_by_id(txn, tenant, holds.into_iter().collect()).await?,
    };
    let mut slices: BTreeMap<(PoolId, i64), &transfer::Model> = BTreeMap::new();
    slices.extend(transfers.iter().map(|row| ((row.pool_id, row.version), row)));
    for row in rows {
        let hold = row.hold_id.and_then(|id| holds.iter().find(|hold| hold.id == id));
        let charged = charged(&row, hold, &slices, &refunds)?;
        state.charges.insert(row.id, charged);
    }
    Ok(())
}

fn charged(
    row: &charge::Model,
    hold: Option<&hold::Model>,
    slices: &BTreeMap<(PoolId, i64), &transfer::Model>,
    refunds: &[journal_entry::Model],
) -> Result<Charged> {
    let versions = (row.pool_id, row.version - row.slices + 1)..=(row.pool_id, row.version);
    let slice = |(_, transfer): (&(PoolId, i64), &&transfer::Model)| {
        let account = transfer.debit_id.ok_or_else(|| Error::internal("a charge of no holder"))?;
        let (lot, credits, cost) = (transfer.lot_id, transfer.credits, transfer.cost);
        Ok(ChargedSlice { account, lot, credits, cost })
    };
    let lines: Option<Vec<_>> = decode_lines(row)?.iter().map(Line::priced).collect();
    let own = refunds.iter().filter(|refund| refund.charge_id == Some(row.id));
    let refunded = own.clone().fold(Credits::ZERO, |sum, refund| sum.saturating_add(refund.credits));
    let actor = super::rows::person(row.actor_kind, row.actor_id);
    Ok(Charged {
        department: row.department_id,
        spender: hold.map_or(row.on_behalf_of.or(actor), |hold| hold.spender),
        lines: lines.ok_or_else(|| Error::internal("lines of a charge are out of range"))?,
        credits: row.credits,
        slices: slices.range(versions).map(slice).collect::<Result<_>>()?,
        refunded,
        refunded_cost: own.map(|refund| refund.cost).sum(),
        created_at: row.created_at,
        counts_at: hold.map_or(row.created_at, |hold| hold.created_at),
    })
}

/// The lots that go on for the same ones as some do, all of them, each with the first of its own: that is the one that came
/// with a payment, if any did.
pub(super) async fn families(
    txn: &Txn,
    tenant: Tenant,
    lots: &[lot::Model],
) -> Result<BTreeMap<LotId, LotId>> {
    let mut before: BTreeMap<LotId, Option<LotId>> = lots.iter().map(|row| (row.id, row.replaces)).collect();
    loop {
        let unknown = before.values().flatten().filter(|lot| !before.contains_key(*lot));
        let unknown: BTreeSet<LotId> = unknown.copied().collect();
        if unknown.is_empty() {
            break;
        }
        // A lot goes on for older ones, so this comes to an end.
        let rows = lots_by_id(txn, tenant, unknown).await?;
        before.extend(rows.into_values().map(|row| (row.id, row.replaces)));
    }
    let mut origins: BTreeMap<LotId, LotId> = BTreeMap::new();
    for lot in before.keys() {
        let mut origin = *lot;
        while let Some(older) = before.get(&origin).copied().flatten() {
            origin = older;
        }
        origins.insert(*lot, origin);
    }
    let mut newest: Vec<LotId> = origins.values().copied().collect::<BTreeSet<_>>().into_iter().collect();
    while !newest.is_empty() {
        let rows = tenant.lookup::<lot::Entity, _>(txn, lot::Column::Replaces, newest).await?;
        newest = rows.iter().map(|row| row.id).collect();
        for row in rows {
            let origin = row.replaces.and_then(|older| origins.get(&older).copied()).unwrap_or(row.id);
            origins.insert(row.id, origin);
        }
    }
    Ok(origins)
}

/// The terms of lots and, where they have lapsed, of those that they were extended by.
async fn load_lots(
    txn: &Txn,
    tenant: Tenant,
    ids: BTreeSet<LotId>,
    latest: Timestamp,
    state: &mut State,
) -> Result<()> {
    let mut next: Vec<lot::Model> = lots_by_id(txn, tenant, ids).await?.into_values().collect();
    let origins = families(txn, tenant, &next).await?;
    // The index on what was taken back: kinds REVOKE and OWE. It may have been taken from any lot of a family.
    let of = (journal_entry::Column::LotId, Index::Where("kind IN (14, 15)"));
    let revoked = tenant.lookup_along::<journal_entry::Entity, _>(txn, of, origins.keys().copied()).await?;
    let origin_of = |lot: LotId| origins.get(&lot).copied().unwrap_or(lot);
    let reversed: BTreeSet<LotId> = revoked.iter().filter_map(|row| row.lot_id).map(origin_of).collect();
    for _ in 0..MAX_EXTENSIONS {
        let mut lapsed = Vec::new();
        for row in next {
            let terms = LotTerms {
                burn: burn(&row),
                source: row.source,
                class: row.class,
                currency: row.currency,
                origin: origin_of(row.id),
                reversed: reversed.contains(&origin_of(row.id)),
                successor: None,
            };
            if terms.burn.has_lapsed(latest) && !state.lots.contains_key(&row.id) {
                lapsed.push(row.id);
            }
            state.lots.entry(row.id).or_insert(terms);
        }
        if lapsed.is_empty() {
            return Ok(());
        }
        next = extensions(txn, tenant, lapsed).await?;
        for row in &next {
            if let Some(terms) = row.replaces.and_then(|lot| state.lots.get_mut(&lot)) {
                terms.successor = Some(row.id);
            }
        }
    }
    Ok(())
}

/// The lots that others were extended by (not those that replaced them after a refund).
async fn extensions(txn: &Txn, tenant: Tenant, lots: Vec<LotId>) -> Result<Vec<lot::Model>> {
    let mut rows = tenant.lookup::<lot::Entity, _>(txn, lot::Column::Replaces, lots).await?;
    rows.sort_by_key(|row| row.id);
    if rows.is_empty() {
        return Ok(rows);
    }
    let entries: Vec<_> = rows.iter().map(|row| row.entry_id).collect();
    let extended = tenant
        .find::<journal_entry::Entity>()
        .filter(journal_entry::Column::Id.is_in(padded(entries)))
        .filter(journal_entry::Column::Kind.eq(TransferKind::Extend));
    let extended: BTreeSet<_> = extended.all(txn).await?.into_iter().map(|row| row.id).collect();
    Ok(rows.into_iter().filter(|row| extended.contains(&row.entry_id)).collect())
}
