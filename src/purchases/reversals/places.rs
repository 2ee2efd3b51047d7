//! Where the credits of a purchase lie: in which pools, in which lots, and how much of them is free, held, or disputed.

use std::collections::{BTreeMap, BTreeSet};

use bursar_domain::id::{LotId, PoolId, PurchaseId};
use bursar_domain::organization::OrganizationState;
use bursar_domain::reversal::Place;
use bursar_domain::{Credits, Timestamp};
use bursar_entity::{lot, lot_position, organization, pool, pool_head, purchase};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder, QuerySelect};

use super::Desk;
use crate::db::{Tenant, Txn, padded};
use crate::error::{Error, Result};

/// A lot in a pool.
pub(in crate::purchases) type Spot = (PoolId, LotId);

/// What a pool has of a lot of the purchase, all accounts together.
#[derive(Clone, Copy, Debug, Default)]
struct Lying {
    free: Credits,
    /// Held by holds, and asked for by nobody.
    held: Credits,
    /// Held for disputes, by nothing else or by holds as well.
    disputed: Credits,
}

/// Where the credits of a purchase lie. The heads of the pools are locked.
pub(in crate::purchases) struct Places {
    /// The purchase's pool and own lot; none: the lot has not come in yet.
    pub home: Option<Spot>,
    lying: Vec<(Spot, Lying)>,
    /// The pools where nothing can be booked for now.
    closed: BTreeSet<PoolId>,
}

impl Places {
    /// For what a refund takes back, or a dispute is to hold: what is free, and what holds keep.
    pub fn unclaimed(&self) -> Vec<Place> {
        let place = |((pool, lot), lying): &(Spot, Lying)| Place {
            pool: *pool,
            lot: *lot,
            free: lying.free,
            held: lying.held,
        };
        self.lying.iter().map(place).collect()
    }

    /// For what a lost dispute takes back: what disputes hold, wherever that is, before anything else.
    pub fn disputed(&self) -> Vec<Place> {
        let place = |((pool, lot), lying): &(Spot, Lying)| Place {
            pool: *pool,
            lot: *lot,
            free: lying.disputed,
            held: lying.free.saturating_add(lying.held),
        };
        self.lying.iter().map(place).collect()
    }

    /// What disputes hold, and where.
    pub fn claimed(&self) -> impl Iterator<Item = (PoolId, LotId, Credits)> {
        let claimed = self.lying.iter().filter(|(_, lying)| !lying.disputed.is_zero());
        claimed.map(|((pool, lot), lying)| (*pool, *lot, lying.disputed))
    }

    /// Whether something can be booked in all of some pools.
    pub fn are_open(&self, mut pools: impl Iterator<Item = PoolId>) -> bool {
        pools.all(|pool| !self.closed.contains(&pool))
    }
}

/// Locks the heads of all pools where credits of a purchase lie, and that of its own, and says what lies where. Credits
/// that are moved meanwhile are looked for again.
pub(in crate::purchases) async fn lock_places(desk: Desk<'_>, purchase: &purchase::Model) -> Result<Places> {
    let Desk { txn, tenant, .. } = desk;
    let mut locked: BTreeMap<PoolId, Timestamp> = BTreeMap::new();
    loop {
        let lots = lots_of(txn, tenant, purchase.id).await?;
        let positions = positions(txn, tenant, &lots).await?;
        let pools = positions.iter().map(|row| row.pool_id).chain([purchase.pool_id]);
        let pools: BTreeSet<PoolId> = pools.collect();
        let missing = pools.iter().filter(|pool| !locked.contains_key(*pool));
        let missing: Vec<PoolId> = missing.copied().collect();
        if missing.is_empty() {
            let home = lots.first().map(|lot| (purchase.pool_id, lot.id));
            let expiries: BTreeMap<LotId, Option<Timestamp>> =
                lots.into_iter().map(|lot| (lot.id, lot.expires_at)).collect();
            // What has lapsed goes before anything else is booked, by the time of the pool.
            let has_lapsed = |row: &lot_position::Model| {
                let time = locked.get(&row.pool_id).map_or(desk.now, |clock| desk.now.max(*clock));
                expiries.get(&row.lot_id).copied().flatten().is_some_and(|at| at <= time)
            };
            let lying = lying(positions, home, has_lapsed);
            let closed = closed(txn, tenant, pools).await?;
            return Ok(Places { home, lying, closed });
        }
        locked.extend(missing.iter().map(|pool| (*pool, desk.now)));
        let heads = pool_head::Column::PoolId.is_in(padded(missing));
        let heads = tenant.find::<pool_head::Entity>().filter(heads).order_by_asc(pool_head::Column::PoolId);
        let heads = heads.lock_exclusive().all(txn).await?;
        locked.extend(heads.into_iter().map(|head| (head.pool_id, head.clock)));
    }
}

/// The lot of a purchase, and those in which its credits go on.
pub(in crate::purchases) async fn lots_of(
    txn: &Txn,
    tenant: Tenant,
    purchase: PurchaseId,
) -> Result<Vec<lot::Model>> {
    let own = tenant.find::<lot::Entity>().filter(lot::Column::PurchaseId.eq(purchase));
    let mut lots = own.all(txn).await?;
    let mut newest: Vec<LotId> = lots.iter().map(|row| row.id).collect();
    while !newest.is_empty() {
        let next = lot::Column::Replaces.is_in(padded(newest));
        let next = tenant.find::<lot::Entity>().filter(next).order_by_asc(lot::Column::Id).all(txn).await?;
        // A lot goes on in lots that come later, so this comes to an end.
        newest = next.iter().map(|row| row.id).collect();
        lots.extend(next);
    }
    Ok(lots)
}

async fn positions(txn: &Txn, tenant: Tenant, lots: &[lot::Model]) -> Result<Vec<lot_position::Model>> {
    if lots.is_empty() {
        return Ok(Vec::new());
    }
    let lots = lots.iter().map(|row| row.id).collect();
    let positions = tenant
        .find::<lot_position::Entity>()
        .filter(lot_position::Column::LotId.is_in(padded(lots)))
        .filter(lot_position::Column::Open.eq(true));
    Ok(positions.all(txn).await?)
}

/// What lies where, home first.
fn lying(
    positions: Vec<lot_position::Model>,
    home: Option<Spot>,
    has_lapsed: impl Fn(&lot_position::Model) -> bool,
) -> Vec<(Spot, Lying)> {
    let mut lying: BTreeMap<Spot, Lying> = BTreeMap::new();
    for row in positions {
        let known = lying.entry((row.pool_id, row.lot_id)).or_default();
        let claimed = row.disputed.saturating_add(row.contested);
        let asked_for = claimed.saturating_add(row.revoking);
        if !has_lapsed(&row) {
            known.free = known.free.saturating_add(row.credits.saturating_sub(row.held));
        }
        known.held = known.held.saturating_add(row.held.saturating_sub(asked_for));
        known.disputed = known.disputed.saturating_add(claimed);
    }
    let mut lying: Vec<_> = lying.into_iter().collect();
    lying
        .sort_by_key(|(place, _)| (Some(*place) != home, home.is_some_and(|home| place.0 != home.0), *place));
    lying
}

/// Those of some pools where nothing can be booked.
async fn closed(txn: &Txn, tenant: Tenant, pools: BTreeSet<PoolId>) -> Result<BTreeSet<PoolId>> {
    let organization = tenant.find::<organization::Entity>().one(txn).await?;
    let organization = organization.ok_or(Error::not_found("organization"))?;
    if organization.state == OrganizationState::Suspended {
        return Ok(pools);
    }
    let rows = pool::Column::Id.is_in(padded(pools.into_iter().collect()));
    let rows = tenant.find::<pool::Entity>().filter(rows).all(txn).await?;
    let closed = rows.into_iter().filter(|row| row.frozen_at.is_some() || row.archived_at.is_some());
    Ok(closed.map(|row| row.id).collect())
}

/// Whether credits of a purchase lie in a pool.
pub(in crate::purchases) async fn reaches(
    txn: &Txn,
    tenant: Tenant,
    purchase: &purchase::Model,
    pool: PoolId,
) -> Result<bool> {
    if purchase.pool_id == pool {
        return Ok(true);
    }
    let lots = lots_of(txn, tenant, purchase.id).await?;
    Ok(positions(txn, tenant, &lots).await?.iter().any(|row| row.pool_id == pool))
}
