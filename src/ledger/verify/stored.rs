//! What is stored as of now, compared with what the transfers have made: the pool's row and head, accounts,
//! lot positions, open holds; and that there are no more rows than the transfers have made.
//!
//! All of it is read from the snapshot (or under the lock) in which the last transfers were read.

use std::collections::{BTreeMap, BTreeSet};

use bursar_domain::Timestamp;
use bursar_domain::id::{AccountId, DepartmentId, HoldId, Id, LotId};
use bursar_domain::ledger::{AccountKind, CauseKind, HoldState};
use bursar_entity::{account, charge, hold, journal_entry, lot, lot_position, pool, pool_head};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Select,
    Statement,
};
use uuid::Uuid;

use super::super::digest;
use super::balances::{Holder, Part};
use super::causes::{self, Cause};
use super::page::{by_key, not_read, shown, unreadable};
use super::replay::Replay;
use super::{Place, Stop, uuid};
use crate::db::{TenantEntity, Txn};
use crate::error::Result;

/// How many positions one statement reads.
const POSITIONS: u64 = 5_000;
/// Since this migration rows are sealed.
const SEALS: &str = "m20261125_000007_full_ledger";

/// Compares a replay that has come to the end of a pool's books with what is stored. When it is to be
/// `thorough` it has begun with the first transfer, and the rows that cause transfers are counted too.
pub(super) async fn compare(txn: &Txn, replay: &Replay, thorough: bool) -> Result<(), Stop> {
    replay.check_end()?;
    let sealed_since = sealed_since(txn).await?;
    let pool = compare_pool(txn, replay, sealed_since).await?;
    compare_head(txn, replay, &pool).await?;
    compare_accounts(txn, replay, &pool, sealed_since).await?;
    compare_positions(txn, replay).await?;
    compare_holds(txn, replay).await?;
    if thorough { count(txn, replay).await } else { Ok(()) }
}

/// Rows that were made before may lack a seal.
async fn sealed_since(txn: &Txn) -> Result<Timestamp> {
    let sql = "SELECT applied_at FROM seaql_migrations WHERE version = $1";
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, [SEALS.into()]);
    let seconds = match txn.query_one_raw(statement).await? {
        Some(row) => row.try_get::<i64>("", "applied_at")?,
        None => 0,
    };
    Ok(Timestamp::EPOCH.plus_seconds(seconds))
}

async fn compare_pool(txn: &Txn, replay: &Replay, sealed_since: Timestamp) -> Result<pool::Model, Stop> {
    let (place, key) = (replay.place, uuid(replay.place.pool));
    let select = place.tenant.find::<pool::Entity>().filter(pool::Column::Id.eq(place.pool));
    let row = select.one(txn).await.map_err(|error| not_read(place, "pool", key.to_string(), error))?;
    let row = row.ok_or_else(|| place.wrong("pool", key, "it is missing"))?;
    let fits = match &row.seal {
        Some(seal) => *seal == digest::of_pool(&row),
        None => row.created_at <= sealed_since,
    };
    if fits { Ok(row) } else { Err(place.wrong("pool", key, "its seal does not fit its row")) }
}

/// The version at the end of a pool's books.
pub(super) async fn end(txn: &Txn, place: Place) -> Result<i64, Stop> {
    head(txn, place).await.map(|head| head.version)
}

async fn head(txn: &Txn, place: Place) -> Result<pool_head::Model, Stop> {
    let key = uuid(place.pool);
    let select = place.tenant.find::<pool_head::Entity>().filter(pool_head::Column::PoolId.eq(place.pool));
    let row = select.one(txn).await.map_err(|error| not_read(place, "pool_head", key.to_string(), error))?;
    row.ok_or_else(|| place.wrong("pool_head", key, "it is missing"))
}

async fn compare_head(txn: &Txn, replay: &Replay, pool: &pool::Model) -> Result<(), Stop> {
    let (place, balances) = (replay.place, &replay.balances);
    let head = head(txn, place).await?;
    let same_link = head.hash.as_slice() == replay.link.as_slice();
    if head.version > replay.version && !same_link {
        let what = format!("it is missing: the books end with {}", head.version);
        return Err(place.wrong("transfer", replay.version + 1, what));
    }
    if head.version < replay.version && !same_link {
        let what = format!("the books end with {}", head.version);
        return Err(place.wrong("transfer", head.version.saturating_add(1), what));
    }
    let wrong = |what: String| place.wrong("pool_head", uuid(place.pool), what);
    let clock = replay.clock.unwrap_or(pool.created_at);
    for (name, said, right) in [
        ("version", head.version, replay.version),
        ("clock", head.clock.micros(), clock.micros()),
        ("posted", head.posted, balances.posted),
        ("held", head.held, balances.held),
        ("issued", head.issued, balances.contra.issued),
        ("consumed", head.consumed, balances.contra.consumed),
        ("expired", head.expired, balances.contra.expired),
        ("revoked", head.revoked, balances.contra.revoked),
        ("debt", head.debt, balances.contra.debt),
        ("clearing", head.clearing, balances.contra.clearing),
        ("receivable", head.receivable, balances.owing.receivable),
        ("adjusted", head.adjusted, balances.owing.adjusted),
        ("revoking", head.revoking, balances.owing.revoking),
    ] {
        if said != right {
            return Err(wrong(format!("its {name} is {right}, and it says {said}")));
        }
    }
    if !same_link {
        return Err(wrong("its hash is not the link of the last transfer".to_owned()));
    }
    // Earlier than need be is only looked at in vain.
    let due = [balances.first_lapse(), replay.holds.first_expiry()].into_iter().flatten().min();
    if due.is_some_and(|due| head.due_at.is_none_or(|said| said > due)) {
        return Err(wrong("something is due before its due_at".to_owned()));
    }
    Ok(())
}

async fn compare_accounts(
    txn: &Txn,
    replay: &Replay,
    pool: &pool::Model,
    sealed_since: Timestamp,
) -> Result<(), Stop> {
    let place = replay.place;
    let select = place.tenant.find::<account::Entity>().filter(account::Column::PoolId.eq(place.pool));
    let rows = all(txn, place, select, account::Column::Id).await?;
    let stored: BTreeSet<AccountId> = rows.iter().map(|row| row.id).collect();
    for row in &rows {
        let holder = replay.balances.accounts.get(&row.id);
        let department = replay.balances.departments.get(&row.id).copied();
        if let Some(what) = account_difference(row, holder, department, (pool.created_at, sealed_since)) {
            return Err(place.wrong("account", uuid(row.id), what));
        }
    }
    let missing = replay.balances.accounts.keys().find(|id| !stored.contains(*id));
    match missing {
        Some(id) => Err(place.wrong("account", uuid(*id), "it is missing")),
        None => Ok(()),
    }
}

/// How an account differs from what the transfers have made of it.
fn account_difference(
    row: &account::Model,
    holder: Option<&Holder>,
    department: Option<Option<DepartmentId>>,
    (pool_since, sealed_since): (Timestamp, Timestamp),
) -> Option<String> {
    match &row.seal {
        Some(seal) if seal.as_slice() != digest::of_account(row).as_slice() => {
            return Some("its seal does not fit its row".to_owned());
        }
        Some(_) => {}
        None => {
            let opened = match (row.department_id, holder) {
                (None, _) => row.created_at == pool_since,
                (Some(_), Some(holder)) => row.created_at >= holder.since,
                (Some(_), None) => true,
            };
            if row.created_at > sealed_since {
                return Some("its seal was taken away".to_owned());
            }
            if !opened {
                return Some("it was not opened when it says".to_owned());
            }
        }
    }
    match &row.terms_seal {
        Some(seal) if seal.as_slice() != digest::of_account_terms(row).as_slice() => {
            return Some("the seal of its terms does not fit its row".to_owned());
        }
        None if row.seal.is_some() => return Some("the seal of its terms was taken away".to_owned()),
        _ => {}
    }
    if department.is_some_and(|department| department != row.department_id) {
        return Some("its department is not that of its charges".to_owned());
    }
    let kind = holder.map(|holder| holder.kind == AccountKind::Allocation);
    if kind.is_some_and(|allocation| allocation != row.department_id.is_some()) {
        return Some("it has a department, or none, against its transfers".to_owned());
    }
    let right = holder.map_or((0, 0), |holder| (holder.posted, holder.held));
    for (name, said, right) in [("balance", row.posted.get(), right.0), ("held", row.held.get(), right.1)] {
        if said != right {
            return Some(format!("its {name} is {right}, and it says {said}"));
        }
    }
    None
}

async fn compare_positions(txn: &Txn, replay: &Replay) -> Result<(), Stop> {
    let place = replay.place;
    let mut missing: BTreeSet<(AccountId, LotId)> = BTreeSet::new();
    for (id, holder) in &replay.balances.accounts {
        missing.extend(holder.positions.keys().map(|lot| (*id, *lot)));
    }
    let mut after: Option<(AccountId, LotId)> = None;
    loop {
        let rows = positions(txn, place, after).await?;
        for row in &rows {
            missing.remove(&(row.account_id, row.lot_id));
            let holder = replay.balances.accounts.get(&row.account_id);
            if let Some(what) = position_difference(row, holder) {
                return Err(place.wrong("lot_position", position_key(row.account_id, row.lot_id), what));
            }
        }
        match rows.last() {
            Some(last) if u64::try_from(rows.len()).is_ok_and(|rows| rows >= POSITIONS) => {
                after = Some((last.account_id, last.lot_id));
            }
            _ => break,
        }
    }
    match missing.first() {
        Some((account, lot)) => {
            Err(place.wrong("lot_position", position_key(*account, *lot), "it is missing"))
        }
        None => Ok(()),
    }
}

fn position_key(account: AccountId, lot: LotId) -> String {
    format!("{}/{}", uuid(account), uuid(lot))
}

/// How a position differs from what the transfers have made of it.
fn position_difference(row: &lot_position::Model, holder: Option<&Holder>) -> Option<String> {
    let known = holder.and_then(|holder| {
        let emptied = || holder.emptied.contains(&row.lot_id).then_some(Part::default());
        holder.positions.get(&row.lot_id).copied().or_else(emptied)
    });
    let Some(part) = known else { return Some("the account never had anything of the lot".to_owned()) };
    for (name, said, right) in [
        ("credits", row.credits.get(), part.credits),
        ("held", row.held.get(), part.held),
        ("revoking", row.revoking.get(), part.revoking),
        ("disputed", row.disputed.get(), part.disputed),
        ("contested", row.contested.get(), part.contested),
        ("cost", row.cost, part.cost),
    ] {
        if said != right {
            return Some(format!("its {name} is {right}, and it says {said}"));
        }
    }
    let open = part.credits != 0;
    (row.open != open).then(|| format!("its open is {open}, and it says {}", row.open))
}

/// The positions of a pool in the order of their keys.
async fn positions(
    txn: &Txn,
    place: Place,
    after: Option<(AccountId, LotId)>,
) -> Result<Vec<lot_position::Model>, Stop> {
    use lot_position::Column as P;
    let of_pool = place.tenant.find::<lot_position::Entity>().filter(P::PoolId.eq(place.pool));
    let mut select = of_pool.clone().order_by_asc(P::AccountId).order_by_asc(P::LotId).limit(POSITIONS);
    if let Some((account, lot)) = after {
        let same = Condition::all().add(P::AccountId.eq(account)).add(P::LotId.gt(lot));
        // The first condition lets the database begin in the middle of its index.
        select = select.filter(P::AccountId.gte(account));
        select = select.filter(Condition::any().add(P::AccountId.gt(account)).add(same));
    }
    let error = match select.clone().all(txn).await {
        Ok(rows) => return Ok(rows),
        Err(error) if unreadable(&error) => error,
        Err(error) => return Err(error.into()),
    };
    let keys = select.select_only().column(P::AccountId).column(P::LotId);
    let keys: Vec<(AccountId, LotId)> = keys.into_tuple().all(txn).await?;
    for (account, lot) in keys {
        let one = of_pool.clone().filter(P::AccountId.eq(account)).filter(P::LotId.eq(lot));
        if let Err(error) = one.one(txn).await {
            return Err(not_read(place, "lot_position", position_key(account, lot), error));
        }
    }
    Err(error.into())
}

/// All rows of a selection. One that cannot be read is named by its key.
async fn all<E: TenantEntity>(
    txn: &Txn,
    place: Place,
    select: Select<E>,
    key: E::Column,
) -> Result<Vec<E::Model>, Stop> {
    let error = match select.clone().all(txn).await {
        Ok(rows) => return Ok(rows),
        Err(error) if unreadable(&error) => error,
        Err(error) => return Err(error.into()),
    };
    let keys: Vec<Uuid> = select.clone().select_only().column(key).into_tuple().all(txn).await?;
    for id in keys {
        if let Err(error) = select.clone().filter(key.eq(id)).all(txn).await {
            return Err(not_read(place, E::default().table_name(), id.to_string(), error));
        }
    }
    Err(error.into())
}

async fn compare_holds(txn: &Txn, replay: &Replay) -> Result<(), Stop> {
    let place = replay.place;
    let select = place
        .tenant
        .find::<hold::Entity>()
        .filter(hold::Column::PoolId.eq(place.pool))
        .filter(hold::Column::State.eq(HoldState::Open));
    let rows = all(txn, place, select, hold::Column::Id).await?;
    let mut rows: BTreeMap<HoldId, hold::Model> = rows.into_iter().map(|row| (row.id, row)).collect();
    if let Some(id) = rows.keys().find(|id| !replay.holds.open.contains_key(*id)) {
        return Err(place.wrong("hold", uuid(*id), "it is not open any more, or never was"));
    }
    let others: BTreeSet<HoldId> =
        replay.holds.open.keys().copied().filter(|id| !rows.contains_key(id)).collect();
    let others = by_key::<hold::Entity, _>(txn, place, hold::Column::Id, others, shown).await?;
    rows.extend(others.into_iter().map(|row| (row.id, row)));
    for (id, kept) in &replay.holds.open {
        let Some(row) = rows.remove(id) else {
            return Err(place.wrong("hold", uuid(*id), "it is missing"));
        };
        let cause = Cause::Hold(row.clone().into());
        if !cause.seal_fits() {
            return Err(cause.wrong(place, "its seal does not fit its row"));
        }
        if let Some(what) = kept.difference(&row, &[HoldState::Open]) {
            return Err(cause.wrong(place, what));
        }
    }
    Ok(())
}

/// There are as many charges, journal entries, holds and lots as the transfers have made.
async fn count(txn: &Txn, replay: &Replay) -> Result<(), Stop> {
    let (tenant, pool, seen) = (replay.place.tenant, replay.place.pool, replay.seen);
    let charges = tenant.find::<charge::Entity>().filter(charge::Column::PoolId.eq(pool));
    let entries = tenant.find::<journal_entry::Entity>().filter(journal_entry::Column::PoolId.eq(pool));
    let holds = tenant.find::<hold::Entity>().filter(hold::Column::PoolId.eq(pool));
    let lots = tenant.find::<lot::Entity>().filter(lot::Column::PoolId.eq(pool));
    for (kind, stored, made) in [
        (Some(CauseKind::Charge), charges.count(txn).await?, seen.charges),
        (Some(CauseKind::Entry), entries.count(txn).await?, seen.entries),
        (Some(CauseKind::Hold), holds.count(txn).await?, seen.holds),
        (None, lots.count(txn).await?, seen.lots),
    ] {
        if stored != made {
            return Err(surplus(txn, replay.place, kind, format!("there are {stored} and not {made}")).await?);
        }
    }
    Ok(())
}

/// Names a row that no transfer names (a lot, when no kind of cause is given).
async fn surplus(txn: &Txn, place: Place, kind: Option<CauseKind>, what: String) -> Result<Stop> {
    let table = kind.and_then(causes::table).unwrap_or("lot");
    let named = match kind {
        Some(kind) => {
            format!("t.version = r.version AND t.cause_kind = {} AND t.cause_id = r.id", kind.code())
        }
        None => "t.lot_id = r.id".to_owned(),
    };
    let sql = format!(
        "SELECT r.id FROM {table} r WHERE r.organization_id = $1 AND r.pool_id = $2 AND NOT EXISTS
            (SELECT 1 FROM transfer t WHERE t.organization_id = $1 AND t.pool_id = $2 AND {named}) ORDER BY r.id LIMIT 1"
    );
    let values: [sea_orm::Value; 2] = [place.tenant.id().into(), place.pool.into()];
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    let key = match txn.query_one_raw(statement).await? {
        Some(row) => row.try_get::<Uuid>("", "id")?,
        None => Uuid::from_u128(place.pool.as_u128()),
    };
    Ok(place.wrong(table, key, format!("no transfer is of it: {what}")))
}
