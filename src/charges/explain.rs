//! Saying what a charge would cost, whether it would be accepted, and why, without making it.

use std::collections::HashMap;

use bursar_domain::Timestamp;
use bursar_domain::id::{AccountId, ChargeId, LotId, PoolId};
use bursar_domain::ledger::{BurnKey, Command, CommandId, Explanation, Instruction, Key, RequestHash};
use bursar_domain::permission::Action;
use bursar_entity::{lot, lot_position, pool};
use sea_orm::{ColumnTrait, QueryFilter};

use super::request::{Allowed, ChargeRequest};
use crate::auth::{Authorized, Caller, PoolDirectory};
use crate::db::{Snapshots, Tenant, Txn, padded};
use crate::error::Result;
use crate::ledger::Ledger;

/// How many lots are looked up at once.
const LOTS: usize = 1_024;

/// Says what a charge would cost and whether it would be accepted, as of now, and what that comes from.
pub async fn explain(
    ledger: &Ledger,
    snapshots: &Snapshots,
    directory: &PoolDirectory,
    caller: &Caller,
    request: ChargeRequest,
) -> Result<(Authorized<pool::Model>, Explanation)> {
    let allowed = Allowed::check(snapshots, directory, caller, request).await?;
    let pool = caller.pool(snapshots, directory, *allowed.pool, Action::ReadPool).await?;
    let clock = &ledger.context().clock;
    let command = Command {
        id: CommandId::Charge(clock.new_id::<ChargeId>()),
        pool: pool.id,
        // A quote has no key; one of zeros is no digest of any.
        key: Key([0; 16]),
        request: RequestHash([0; 16]),
        now: clock.now(),
        instruction: Instruction::Charge(allowed.charge),
    };
    let snapshot = snapshots.open(pool.tenant()).await?;
    let explanation = ledger.explain(&snapshot, pool.tenant(), &command).await?;
    drop(snapshot);
    Ok((pool, explanation))
}

/// The lots that accounts of a pool have credits of that can be used at an instant, in the order of use.
pub async fn unused_lots(
    txn: &Txn,
    tenant: Tenant,
    (pool, accounts): (PoolId, Vec<AccountId>),
    at: Timestamp,
) -> Result<Vec<(AccountId, BurnKey)>> {
    let positions = tenant
        .find::<lot_position::Entity>()
        .filter(lot_position::Column::PoolId.eq(pool))
        .filter(lot_position::Column::AccountId.is_in(padded(accounts)))
        .filter(lot_position::Column::Open.eq(true));
    let mut positions = positions.all(txn).await?;
    positions.retain(|position| position.credits > position.held);
    let mut ids: Vec<LotId> = positions.iter().map(|position| position.lot_id).collect();
    ids.sort();
    ids.dedup();
    let mut places = HashMap::new();
    for ids in ids.chunks(LOTS) {
        let rows = tenant.find::<lot::Entity>().filter(lot::Column::Id.is_in(padded(ids.to_vec())));
        for row in rows.all(txn).await? {
            places.insert(row.id, BurnKey::new(row.priority, row.expires_at, row.created_at, row.id));
        }
    }
    let place = |position: &lot_position::Model| {
        let burn = places.get(&position.lot_id).filter(|burn| !burn.has_lapsed(at))?;
        Some((position.account_id, *burn))
    };
    let mut unused: Vec<(AccountId, BurnKey)> = positions.iter().filter_map(place).collect();
    unused.sort_by_key(|(_, burn)| *burn);
    Ok(unused)
}
