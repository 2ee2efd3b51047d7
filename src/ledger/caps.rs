//! What a spending cap has to count when it begins: what has been used, and is held, in its period so far.
//!
//! A cap that is made in the middle of a period counts what was before it: once, from the charges, refunds and
//! holds of the period. That may be a lot, so nearly all of it is counted from a snapshot, before the pool's
//! head is locked ([`count_cap`]); with the lock only what has been booked since is looked at ([`open_cap`]).
//! Later every command counts for itself (see the machine's `caps`).

use std::collections::{BTreeMap, BTreeSet};

use bursar_domain::id::{ChargeId, EntryId, HoldId, Id};
use bursar_domain::ledger::{CapScope, CauseKind, TransferKind};
use bursar_domain::period::Period;
use bursar_domain::{Credits, Timestamp};
use bursar_entity::{charge, hold, journal_entry, spending_cap};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder, QuerySelect};

use super::digest::Line;
use super::load_pools::cap;
use super::write::write_cap_period;
use crate::db::{Index, Tenant, Txn, padded};
use crate::error::{Error, Result};

/// How many charges are read at once.
const PAGE: u64 = 1_000;

/// What has been used of a cap in a period, up to a version of its pool.
#[derive(Clone, Copy, Debug)]
pub struct CapCount {
    period: Period,
    version: i64,
    used: Credits,
}

/// Counts what has been used of a cap to come in a period so far, from a snapshot.
pub async fn count_cap(txn: &Txn, row: &spending_cap::Model, period: Period) -> Result<CapCount> {
    // For an organization that whoever calls may change.
    let tenant = Tenant::vouched(row.organization_id);
    let version = super::read::head(txn, tenant, row.pool_id).await?.version;
    let scope = cap(row)?.scope;
    let (mut used, mut after) = (Credits::ZERO, None);
    loop {
        let page = charges(txn, tenant, row, period, after).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        for (charge, counts_at, spender, refunded) in with_terms(txn, tenant, &page).await? {
            if period.contains(counts_at) {
                used = used.saturating_add(counted(scope, charge, spender, refunded)?);
            }
        }
    }
    Ok(CapCount { period, version, used })
}

/// Writes what has been used and is held of a new cap in the period so far, of which some has been counted
/// before. The pool's head has to be locked, and the cap's row written.
pub async fn open_cap(
    txn: &Txn,
    row: &spending_cap::Model,
    period: Period,
    before: Option<CapCount>,
) -> Result<()> {
    // The cap's row was made by whoever calls, for an organization that they may change.
    let tenant = Tenant::vouched(row.organization_id);
    let scope = cap(row)?.scope;
    let used = match before.filter(|before| before.period == period) {
        Some(before) => since(txn, (tenant, row), scope, before).await?,
        None => count_cap(txn, row, period).await?.used,
    };
    let mut held = Credits::ZERO;
    for hold in open_holds(txn, tenant, row).await? {
        if period.contains(hold.created_at) {
            held = held.saturating_add(counted_hold(scope, &hold)?);
        }
    }
    write_cap_period(txn, row, period, (used, held)).await
}

/// What has been used of a cap once what was booked after a count is added to it.
async fn since(
    txn: &Txn,
    (tenant, row): (Tenant, &spending_cap::Model),
    scope: CapScope,
    before: CapCount,
) -> Result<Credits> {
    let (mut made, mut entries) = (BTreeSet::new(), BTreeSet::new());
    let mut version = before.version;
    loop {
        let page = super::read::transfers_after(txn, tenant, row.pool_id, version, PAGE).await?;
        let Some(last) = page.last() else { break };
        version = last.version;
        for transfer in &page {
            let Some(cause) = transfer.cause_id.map(|id| id.as_u128()) else { continue };
            match (transfer.cause_kind, transfer.kind) {
                (CauseKind::Charge, _) => _ = made.insert(ChargeId::from_u128(cause)),
                (CauseKind::Entry, TransferKind::Refund) => _ = entries.insert(EntryId::from_u128(cause)),
                _ => {}
            }
        }
    }
    let entries = tenant.lookup::<journal_entry::Entity, _>(txn, journal_entry::Column::Id, entries).await?;
    let mut back: BTreeMap<ChargeId, Credits> = BTreeMap::new();
    for entry in entries {
        if let Some(charge) = entry.charge_id {
            let sum = back.entry(charge).or_default();
            *sum = sum.saturating_add(entry.credits);
        }
    }
    let touched: BTreeSet<ChargeId> = made.iter().chain(back.keys()).copied().collect();
    let rows =
        tenant.lookup_along::<charge::Entity, _>(txn, (charge::Column::Id, Index::Alone), touched).await?;
    let mut used = before.used;
    for (charge, counts_at, spender, refunded) in with_terms(txn, tenant, &rows).await? {
        if !before.period.contains(counts_at) {
            continue;
        }
        let now = counted(scope, charge, spender, refunded)?;
        if !made.contains(&charge.id) {
            let earlier = refunded.saturating_sub(back.get(&charge.id).copied().unwrap_or_default());
            used = used.saturating_sub(counted(scope, charge, spender, earlier)?);
        }
        used = used.saturating_add(now);
    }
    Ok(used)
}

/// The next charges of the cap's pool that may count in a period.
async fn charges(
    txn: &Txn,
    tenant: Tenant,
    cap: &spending_cap::Model,
    period: Period,
    after: Option<ChargeId>,
) -> Result<Vec<charge::Model>> {
    let mut select = tenant.find::<charge::Entity>().filter(charge::Column::PoolId.eq(cap.pool_id));
    // Ids are of the time at which they were made, which is not after that of the charge by more than
    // clocks differ; a charge counts when it is made, or when the hold was that it captures.
    if period != Period::EVER {
        select = select.filter(charge::Column::Id.gt(first_id(period.start.plus_days(-1))));
    }
    if let Some(after) = after {
        select = select.filter(charge::Column::Id.gt(after));
    }
    if let Some(department) = cap.department_id {
        select = select.filter(charge::Column::DepartmentId.eq(department));
    }
    Ok(select.order_by_asc(charge::Column::Id).limit(PAGE).all(txn).await?)
}

/// No id of a charge that was made from an instant on is smaller (UUIDs of version 7 begin with their time
/// in milliseconds).
fn first_id(at: Timestamp) -> ChargeId {
    let millis = u128::try_from(at.micros() / 1_000).unwrap_or(0);
    ChargeId::from_u128(millis << 80)
}

/// A charge, when it counts, whose spending it is, and how much of it has been refunded.
type Terms<'c> = (&'c charge::Model, Timestamp, Option<bursar_domain::id::UserId>, Credits);

async fn with_terms<'c>(txn: &Txn, tenant: Tenant, page: &'c [charge::Model]) -> Result<Vec<Terms<'c>>> {
    let ids: Vec<ChargeId> = page.iter().map(|charge| charge.id).collect();
    let of = journal_entry::Column::ChargeId.is_in(padded(ids));
    let refunds = tenant.find::<journal_entry::Entity>().filter(of).all(txn).await?;
    let holds: Vec<HoldId> = page.iter().filter_map(|charge| charge.hold_id).collect();
    let holds = match holds.is_empty() {
        true => Vec::new(),
        false => super::load_holds::holds_by_id(txn, tenant, holds).await?,
    };
    let terms = |charge: &'c charge::Model| {
        let own = refunds.iter().filter(|refund| refund.charge_id == Some(charge.id));
        let refunded = own.fold(Credits::ZERO, |sum, refund| sum.saturating_add(refund.credits));
        let hold = charge.hold_id.and_then(|id| holds.iter().find(|hold| hold.id == id));
        let actor = super::rows::person(charge.actor_kind, charge.actor_id);
        let spender = hold.map_or(charge.on_behalf_of.or(actor), |hold| hold.spender);
        (charge, hold.map_or(charge.created_at, |hold| hold.created_at), spender, refunded)
    };
    Ok(page.iter().map(terms).collect())
}

/// What of a charge falls under a cap, without what has been refunded of it.
fn counted(
    scope: CapScope,
    charge: &charge::Model,
    spender: Option<bursar_domain::id::UserId>,
    refunded: Credits,
) -> Result<Credits> {
    Ok(match scope {
        CapScope::Department(department) if charge.department_id == Some(department) => {
            charge.credits.saturating_sub(refunded)
        }
        CapScope::Member(member) if spender == Some(member) => charge.credits.saturating_sub(refunded),
        CapScope::Service(service) => {
            // The last lines are refunded first.
            let (mut gone, mut sum) = (refunded, Credits::ZERO);
            for line in super::read::decode_lines(charge)?.iter().rev() {
                let credits = Credits::new(line.credits).unwrap_or_default();
                let back = credits.min(gone);
                gone = gone.saturating_sub(back);
                if line.service() == service {
                    sum = sum.saturating_add(credits.saturating_sub(back));
                }
            }
            sum
        }
        _ => Credits::ZERO,
    })
}

async fn open_holds(txn: &Txn, tenant: Tenant, cap: &spending_cap::Model) -> Result<Vec<hold::Model>> {
    let select = tenant
        .find::<hold::Entity>()
        .filter(hold::Column::PoolId.eq(cap.pool_id))
        .filter(super::load_holds::is_open());
    Ok(select.all(txn).await?)
}

/// What of a hold is still held and falls under a cap.
fn counted_hold(scope: CapScope, hold: &hold::Model) -> Result<Credits> {
    let unread = |error| Error::internal(format!("a hold cannot be read: {error}"));
    let lines: Vec<Line> = serde_json::from_str(&hold.lines).map_err(unread)?;
    let units: Vec<i64> = serde_json::from_str(&hold.captured_units).map_err(unread)?;
    let applies = |line: &Line| match scope {
        CapScope::Department(department) => hold.department_id == Some(department),
        CapScope::Member(member) => hold.spender == Some(member),
        CapScope::Service(service) => line.service() == service,
    };
    let mut sum = Credits::ZERO;
    for (line, captured) in lines.iter().zip(units).filter(|(line, _)| applies(line)) {
        let left = Credits::new(line.each).unwrap_or_default().checked_mul(line.quantity - captured);
        sum = sum.saturating_add(left.unwrap_or_default());
    }
    Ok(sum)
}
