//! Where the credits of a purchase lie: in which pools, in which lots, and how much of them is free, held, or disputed.

use std::collections::{BTreeMap, BTreeSet};

use bursar_domain::id::{LotId, PoolId, PurchaseId};
use bursar_domain::organization::OrganizationState;
use bursar_domain::reversal::Place;
use bursar_domain::{Credits, Timestamp};
use bursar_entity::{lot, lot_position, organization, pool, pool_head, purchase};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};

use super::Desk;
use crate::db::{Tenant, Txn, padded};
use crate::error::{Error, Result};
use crate::purchases::waiting::lock_heads;

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
    /// Held by holds, and to be taken back when they are let go.
    doomed: Credits,
}

/// Where the credits of a purchase lie. The heads of all pools of the organization are locked.
pub(in crate::purchases) struct Places {
    /// The purchase's pool and own lot; none: the lot has not come in yet.
    pub home: Option<Spot>,
    /// The lot of the purchase that can be used for longest.
    pub into: Option<LotId>,
    lying: Vec<(Spot, Lying)>,
    /// The pools where nothing can be booked for now.
    closed: BTreeSet<PoolId>,
    heads: BTreeMap<PoolId, pool_head::Model>,
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

    /// How much disputes hold, everywhere.
    pub fn in_dispute(&self) -> Credits {
        self.claimed().fold(Credits::ZERO, |sum, (.., credits)| sum.saturating_add(credits))
    }

    /// What holds keep and is to be taken back when they let it go.
    pub fn kept(&self) -> Vec<Place> {
        let kept = self.lying.iter().filter(|(_, lying)| !lying.doomed.is_zero());
        let place = |((pool, lot), lying): &(Spot, Lying)| {
            let (pool, lot, free, held) = (*pool, *lot, Credits::ZERO, lying.doomed);
            Place { pool, lot, free, held }
        };
        kept.map(place).collect()
    }

    /// What a pool owes.
    pub fn debt(&self, pool: PoolId) -> Credits {
        self.heads.get(&pool).and_then(|head| Credits::new(-head.debt)).unwrap_or_default()
    }

    /// What has been taken back in each pool, of whichever lots.
    pub fn revoked(&self) -> impl Iterator<Item = (PoolId, Credits)> {
        self.heads.values().map(|head| (head.pool_id, Credits::new(head.revoked).unwrap_or_default()))
    }

    /// Whether something can be booked in all of some pools.
    pub fn are_open(&self, mut pools: impl Iterator<Item = PoolId>) -> bool {
        pools.all(|pool| !self.closed.contains(&pool))
    }
}

/// Locks the heads of the organization's pools and says where the credits of a purchase lie. All of them, and in order: while
/// they are locked nobody moves credits, so none are found later in a pool whose head comes before one that is locked
/// already, and no two reversals wait for each other. (A pool that was made meanwhile comes after all of them.)
pub(in crate::purchases) async fn lock_places(desk: Desk<'_>, purchase: &purchase::Model) -> Result<Places> {
    let Desk { txn, tenant, .. } = desk;
    loop {
        let heads = lock_heads(txn, tenant).await?;
        let heads: BTreeMap<PoolId, pool_head::Model> =
            heads.into_iter().map(|head| (head.pool_id, head)).collect();
        let lots = lots_of(txn, tenant, purchase.id).await?;
        let positions = positions(txn, tenant, &lots).await?;
        if positions.iter().any(|row| !heads.contains_key(&row.pool_id)) {
            continue;
        }
        let home = lots.first().map(|lot| (purchase.pool_id, lot.id));
        let into = lots.iter().max_by_key(|lot| (lot.expires_at.is_none(), lot.expires_at, lot.id));
        let into = into.map(|lot| lot.id);
        let expiries: BTreeMap<LotId, Option<Timestamp>> =
            lots.into_iter().map(|lot| (lot.id, lot.expires_at)).collect();
        // What has lapsed goes before anything else is booked, by the time of the pool.
        let has_lapsed = |row: &lot_position::Model| {
            let time = heads.get(&row.pool_id).map_or(desk.now, |head| desk.now.max(head.clock));
            expiries.get(&row.lot_id).copied().flatten().is_some_and(|at| at <= time)
        };
        let lying = lying(positions, home, has_lapsed);
        let closed = closed(txn, tenant, heads.keys().copied().collect()).await?;
        return Ok(Places { home, into, lying, closed, heads });
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
        known.doomed = known.doomed.saturating_add(row.revoking);
    }
    let mut lying: Vec<_> = lying.into_iter().collect();
    lying
        .sort_by_key(|(place, _)| (Some(*place) != home, home.is_some_and(|home| place.0 != home.0), *place));
    lying
}

/// Those of some pools where nothing can be booked. In an archived one it can: what was used there is owed, whoever still
/// uses the pool.
async fn closed(txn: &Txn, tenant: Tenant, pools: BTreeSet<PoolId>) -> Result<BTreeSet<PoolId>> {
    let organization = tenant.find::<organization::Entity>().one(txn).await?;
    let organization = organization.ok_or(Error::not_found("organization"))?;
    if organization.state == OrganizationState::Suspended {
        return Ok(pools);
    }
    let rows = pool::Column::Id.is_in(padded(pools.into_iter().collect()));
    let rows = tenant.find::<pool::Entity>().filter(rows).all(txn).await?;
    let closed = rows.into_iter().filter(|row| row.frozen_at.is_some());
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
