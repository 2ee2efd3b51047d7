//! Holds from their rows and back.

use bursar_domain::id::{AccountId, HoldId, Id, LotId, PoolId};
use bursar_domain::ledger::{Command, Hold, HoldState, Pool, Slice};
use bursar_domain::{Credits, Timestamp};
use bursar_entity::{hold, pool_head};
use sea_orm::sea_query::{Expr, SimpleExpr};
use sea_orm::{ColumnTrait, Condition, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::digest::Line;
use crate::db::{Index, Tenant, Txn, padded};
use crate::error::{Error, Result};

/// The most expired holds that one batch lets go. The rest are let go by the next.
const DUE: u64 = 2_000;

/// The condition of the index on open holds, word for word: with a parameter in it the planner would not know
/// that they are the same.
pub(super) fn is_open() -> SimpleExpr {
    Expr::cust("state = 'OPEN'")
}

/// Open holds that have expired in pools where something is due at the time of their commands.
pub(super) async fn due_holds(
    txn: &Txn,
    tenant: Tenant,
    heads: &[pool_head::Model],
    commands: &[&Command],
) -> Result<Vec<hold::Model>> {
    let mut any = Condition::any();
    let mut some = false;
    for head in heads {
        let named = |command: &&&Command| {
            command.pool == head.pool_id || command.instruction.other_pool() == Some(head.pool_id)
        };
        let now = commands.iter().filter(named).map(|command| command.now.max(head.clock)).max();
        let Some(now) = now.filter(|now| head.due_at.is_some_and(|due| due <= *now)) else { continue };
        some = true;
        let of_pool =
            Condition::all().add(hold::Column::PoolId.eq(head.pool_id)).add(hold::Column::ExpiresAt.lte(now));
        any = any.add(of_pool);
    }
    if !some {
        return Ok(Vec::new());
    }
    let select = tenant
        .find::<hold::Entity>()
        .filter(is_open())
        .filter(any)
        .order_by_asc(hold::Column::ExpiresAt)
        .limit(DUE);
    Ok(select.all(txn).await?)
}

/// Holds by their ids.
pub(super) async fn holds_by_id(txn: &Txn, tenant: Tenant, ids: Vec<HoldId>) -> Result<Vec<hold::Model>> {
    tenant.lookup_along::<hold::Entity, _>(txn, (hold::Column::Id, Index::Alone), ids).await
}

/// When the first open hold of a pool expires, besides those that are known.
pub(super) async fn next_expiry(
    txn: &Txn,
    tenant: Tenant,
    pool: PoolId,
    known: &[HoldId],
) -> Result<Option<Timestamp>> {
    let mut select = tenant.find::<hold::Entity>().filter(hold::Column::PoolId.eq(pool)).filter(is_open());
    if !known.is_empty() {
        select = select.filter(hold::Column::Id.is_not_in(padded(known.to_vec())));
    }
    let row = select.order_by_asc(hold::Column::ExpiresAt).limit(1).one(txn).await?;
    Ok(row.map(|row| row.expires_at))
}

/// What is still held of a hold: accounts, lots and credits.
pub(super) fn held_slices(row: &hold::Model) -> Result<Vec<(AccountId, LotId, i64)>> {
    let held: Vec<(Uuid, Uuid, i64)> = serde_json::from_str(&row.held_slices)
        .map_err(|error| Error::internal(format!("the slices of a hold cannot be read: {error}")))?;
    let slice = |(account, lot, credits): (Uuid, Uuid, i64)| {
        (AccountId::from_u128(account.as_u128()), LotId::from_u128(lot.as_u128()), credits)
    };
    Ok(held.into_iter().map(slice).collect())
}

/// A hold as the machine knows it; the accounts that it is of have to be loaded. `None` when they are not,
/// or when its row cannot be read: then the machine does not find it.
pub(super) fn decode(pool: &Pool, row: &hold::Model) -> Option<Hold> {
    let lines = serde_json::from_str::<Vec<Line>>(&row.lines).ok()?;
    let slice = |(account, lot, credits): (AccountId, LotId, i64)| {
        let burn = pool.accounts.get(&account)?.positions.keys().find(|burn| burn.lot == lot)?;
        Some((account, Slice { burn: *burn, credits: Credits::new(credits)? }))
    };
    let held = held_slices(row).ok()?;
    Some(Hold {
        department: row.department_id,
        spender: row.spender,
        lines: lines.iter().map(Line::priced).collect::<Option<_>>()?,
        captured_units: serde_json::from_str(&row.captured_units).ok()?,
        captured: row.captured,
        slices: held.into_iter().map(slice).collect::<Option<_>>()?,
        state: row.state,
        created_at: row.created_at,
        expires_at: row.expires_at,
    })
}

/// The row of a hold as the machine has left it.
pub(super) fn encode(row: &hold::Model, hold: &Hold, now: Timestamp) -> Result<hold::Model> {
    let held: Vec<(Uuid, Uuid, i64)> = hold
        .slices
        .iter()
        .map(|(account, slice)| {
            let lot = Uuid::from_u128(slice.burn.lot.as_u128());
            (Uuid::from_u128(account.as_u128()), lot, slice.credits.get())
        })
        .collect();
    let written = |error| Error::internal(format!("a hold cannot be written: {error}"));
    Ok(hold::Model {
        state: hold.state,
        captured: hold.captured,
        captured_units: serde_json::to_string(&hold.captured_units).map_err(written)?,
        held_slices: serde_json::to_string(&held).map_err(written)?,
        closed_at: (hold.state != HoldState::Open).then_some(row.closed_at.unwrap_or(now)),
        ..row.clone()
    })
}
