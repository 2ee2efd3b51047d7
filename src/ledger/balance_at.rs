//! What a pool had at an instant.
//!
//! Versions and the times at which transfers were booked rise together, so the last transfer that was booked
//! by then is found by bisection, in as many steps as the number of transfers has binary digits, and without
//! an index that every charge would have to write. What took effect before it was booked (lapses, holds that
//! expired) is put where it belongs: balances go by `effectiveAt`.

use bursar_domain::id::PoolId;
use bursar_domain::ledger::TransferKind;
use bursar_domain::{Credits, Timestamp};
use bursar_entity::transfer;
use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter, Statement};

use super::balance::{Balance, overdue};
use super::load::credits;
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};

/// What a pool had at an instant that is not in the future. Before its first transfer: nothing.
pub async fn balance_at(txn: &Txn, tenant: Tenant, pool: PoolId, at: Timestamp) -> Result<Balance> {
    let head = super::read::head(txn, tenant, pool).await?;
    let version = version_at(txn, tenant, (pool, head.version), at).await?;
    let row = tenant
        .find::<transfer::Entity>()
        .filter(transfer::Column::PoolId.eq(pool))
        .filter(transfer::Column::Version.eq(version))
        .one(txn)
        .await?;
    let (mut posted, mut held, debt) =
        row.map_or((0, 0, 0), |row| (row.pool_posted_after, row.pool_held_after, row.debt_after));
    let late = tenant
        .find::<transfer::Entity>()
        .filter(transfer::Column::PoolId.eq(pool))
        .filter(transfer::Column::EffectiveAt.is_not_null())
        .filter(transfer::Column::EffectiveAt.lte(at))
        .filter(transfer::Column::Version.gt(version));
    for row in late.all(txn).await? {
        match row.kind {
            TransferKind::Release => held -= row.credits.get(),
            TransferKind::Hold => held += row.credits.get(),
            _ => posted -= row.credits.get(),
        }
    }
    // What had come to its end by then and has not been booked at all yet.
    for row in overdue(txn, tenant, Some(pool), at).await? {
        posted -= row.lapsed;
        held -= row.released;
    }
    Ok(Balance { posted: credits(posted)?, held: credits(held)?, debt: debt_of(debt)?, version, as_of: at })
}

/// How many credits of a balance of the past expired, or were to expire, within some days after it.
///
/// Positions say what lots have now, so what they had then is added up from the transfers.
pub async fn expiring_after(
    txn: &Txn,
    tenant: Tenant,
    (pool, balance, days): (PoolId, &Balance, i64),
) -> Result<Credits> {
    let sql = "SELECT CAST(COALESCE(SUM(CASE WHEN t.debit_id IS NULL THEN t.credits ELSE -t.credits END), 0)
             AS bigint) AS credits
         FROM (SELECT DISTINCT p.lot_id FROM lot_position p
               JOIN lot l ON l.organization_id = p.organization_id AND l.id = p.lot_id
               WHERE p.organization_id = $1 AND p.pool_id = $2 AND l.expires_at > $4 AND l.expires_at <= $5) lots
         JOIN transfer t ON t.organization_id = $1 AND t.lot_id = lots.lot_id AND t.pool_id = $2
         WHERE t.version <= $3 AND (t.debit_id IS NULL) <> (t.credit_id IS NULL) AND t.kind NOT IN ($6, $7)";
    let (after, until) = (balance.as_of, balance.as_of.plus_days(days));
    let mut values: Vec<sea_orm::Value> = vec![tenant.id().into(), pool.into(), balance.version.into()];
    values.extend([after.into(), until.into(), TransferKind::Hold.into(), TransferKind::Release.into()]);
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    let row = txn.query_one_raw(statement).await?;
    let row = row.ok_or_else(|| Error::internal("a sum without a row"))?;
    credits(row.try_get("", "credits")?)
}

fn debt_of(debt: i64) -> Result<Credits> {
    Credits::new(debt).ok_or_else(|| Error::internal("a debt is out of range"))
}

/// The version of the last transfer that was booked by an instant; 0 when there is none.
pub(super) async fn version_at(
    txn: &Txn,
    tenant: Tenant,
    (pool, head): (PoolId, i64),
    at: Timestamp,
) -> Result<i64> {
    // Each step asks for one row by its key, in a subquery: a join would leave it to the planner to read the table.
    // A version that is not there makes nulls, and no row at the end.
    let middle = "(s.low + s.high + 1) / 2";
    let booked = format!(
        "(SELECT t.created_at FROM transfer t
             WHERE t.organization_id = $1 AND t.pool_id = $2 AND t.version = {middle})"
    );
    let sql = format!(
        "WITH RECURSIVE search (low, high) AS (
             SELECT CAST(0 AS bigint), CAST($3 AS bigint)
             UNION ALL
             SELECT CASE WHEN {booked} <= $4 THEN {middle} WHEN {booked} > $4 THEN s.low END,
                    CASE WHEN {booked} <= $4 THEN s.high ELSE {middle} - 1 END
             FROM search s WHERE s.low < s.high)
         SELECT low FROM search WHERE low = high"
    );
    let values: Vec<sea_orm::Value> = vec![tenant.id().into(), pool.into(), head.into(), at.into()];
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    let row = txn.query_one_raw(statement).await?;
    let row = row.ok_or_else(|| Error::internal("versions of a pool have a gap"))?;
    Ok(row.try_get("", "low")?)
}
