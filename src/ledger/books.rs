//! What is kept in memory between batches, and how a batch finds out whether it still holds.
//!
//! A pool's books are as they were kept when its head has the same version (nothing was booked) and the
//! same revision (nothing was set). Departments and the organization's own prices are as they were when the
//! organization's revision is the same, the catalog's prices when the catalog's is. All these numbers are read inside the batch's transaction, the
//! head's with its lock; what has moved is read again.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use bursar_domain::Timestamp;
use bursar_domain::id::{DepartmentId, OrganizationId, PoolId, ServiceId};
use bursar_domain::ledger::{Department, Pool, ServicePrice};
use bursar_domain::pricing::versions_at;
use bursar_entity::{organization_price, pool_head, service, service_version};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use sea_orm::EntityTrait;

use super::load::Margin;
use super::load_pools::Needed;
use crate::db::{self, Tenant, Txn};
use crate::error::Result;

/// The most departments of a pool whose accounts are kept.
const DEPARTMENTS: usize = 1_000;
/// The most open holds of a pool that are kept.
const HOLDS: usize = 16_384;
/// The most pools of an organization that are kept.
const POOLS: usize = 4_096;
/// How many accounts and lot positions are kept of all organizations together.
const CAPACITY: u64 = 500_000;

/// The books of one organization, as far as batches have needed them.
#[derive(Clone, Default)]
pub(super) struct Books {
    /// The revision that `departments` belongs to.
    pub organization_revision: i64,
    pub departments: BTreeMap<DepartmentId, Department>,
    /// What services cost the organization itself (a sandbox: its organization), of the same revision; none: not read yet.
    pub own_prices: Option<Vec<organization_price::Model>>,
    pub pools: BTreeMap<PoolId, Kept>,
}

/// The books of one pool.
#[derive(Clone)]
pub(super) struct Kept {
    pub pool: Pool,
    /// The last link of the pool's chain.
    pub link: [u8; 32],
    /// What is kept beside it.
    pub margin: Margin,
}

impl Books {
    /// Forgets what belongs to another revision of the organization than this.
    pub fn turn_to(&mut self, revision: i64) {
        if self.organization_revision != revision {
            self.departments.clear();
            self.own_prices = None;
            self.organization_revision = revision;
        }
    }

    /// The prices of the catalog at an instant, with those of the organization itself laid over.
    pub async fn laid_over(
        &mut self,
        txn: &Txn,
        tenant: Tenant,
        catalog: ByCode,
        at: Timestamp,
    ) -> Result<ByCode> {
        if self.own_prices.is_none() {
            let priced = db::priced_as(txn, tenant).await?;
            self.own_prices = Some(priced.find::<organization_price::Entity>().all(txn).await?);
        }
        let rows = self.own_prices.iter().flatten();
        let mut own = versions_at(rows, |row| row.service_id, |row| row.effective_from, at);
        own.retain(|_, row| row.credits.is_some());
        if own.is_empty() {
            return Ok(catalog);
        }
        let laid_over = |(code, price): (&String, &ServicePrice)| {
            let own = own.get(&price.service).and_then(|row| Some((row.id, row.credits?)));
            let (version, credits) = own.unwrap_or((price.version, price.credits));
            (code.clone(), ServicePrice { service: price.service, version, credits })
        };
        Ok(Arc::new(catalog.iter().map(laid_over).collect()))
    }

    /// Takes a pool out, when it is still what the database has and has what is needed of it.
    pub fn take(&mut self, head: &pool_head::Model, needed: &Needed) -> Option<Kept> {
        let Kept { pool, margin, .. } = self.pools.get(&head.pool_id)?;
        let complete =
            margin.complete || (!needed.complete && needed.departments.is_subset(&margin.departments));
        let holds = pool.head.version == head.version
            && margin.revision == head.revision
            && complete
            && needed.caps_from.is_none_or(|from| margin.caps_from <= from);
        if !holds {
            return None;
        }
        let mut kept = self.pools.remove(&head.pool_id)?;
        // When something is due next may have been found out elsewhere, without a movement.
        kept.pool.head.due = head.due_at;
        Some(kept)
    }

    /// What is to be loaded of a pool: what is needed, and what was kept, as long as that is not too much.
    pub fn widened(&self, pool: PoolId, mut needed: Needed) -> Needed {
        let kept = self.pools.get(&pool).map(|kept| &kept.margin);
        if let Some(margin) = kept.filter(|margin| margin.departments.len() < DEPARTMENTS) {
            needed.departments.extend(&margin.departments);
        }
        needed
    }

    /// Keeps a pool after a batch.
    pub fn keep(&mut self, mut kept: Kept) {
        let Kept { pool, margin, .. } = &mut kept;
        let touched = pool.touched.clone();
        pool.settle();
        if pool.holds.len() > HOLDS {
            pool.holds.clear();
            margin.holds.clear();
        }
        for id in touched.iter().filter(|id| !pool.holds.contains_key(id)) {
            margin.holds.remove(id);
        }
        if self.pools.len() >= POOLS {
            self.pools.clear();
        }
        self.pools.insert(kept.pool.id, kept);
    }

    fn weight(&self) -> u64 {
        let accounts = self.pools.values().flat_map(|kept| kept.pool.accounts.values());
        let rows: usize = accounts.map(|account| 1 + account.positions.len()).sum();
        let departments: usize = self.pools.values().map(|kept| kept.margin.departments.len()).sum();
        let holds: usize = self.pools.values().map(|kept| 8 * kept.margin.holds.len()).sum();
        let caps: usize = self.pools.values().map(|kept| kept.pool.caps.len()).sum();
        let prices = self.own_prices.as_ref().map_or(0, Vec::len);
        let all = 1 + rows + holds + caps + departments + self.departments.len() + prices;
        u64::try_from(all).unwrap_or(u64::MAX)
    }
}

/// The books of all organizations, those of the busiest first.
#[derive(Clone)]
pub(super) struct Shelf(Arc<Cache<OrganizationId, Weighed, ByRows>>);

#[derive(Clone)]
struct Weighed(Books, u64);

#[derive(Clone)]
struct ByRows;

impl Weighter<OrganizationId, Weighed> for ByRows {
    fn weight(&self, _: &OrganizationId, books: &Weighed) -> u64 {
        books.1
    }
}

impl Shelf {
    /// Nothing kept yet.
    pub fn new() -> Shelf {
        // One shard: a shard takes nothing that is heavier than itself, and a lane comes by twice a batch.
        let one = OptionsBuilder::new()
            .estimated_items_capacity(10_000)
            .weight_capacity(CAPACITY)
            .shards(1)
            .build();
        let cache = match one {
            Ok(one) => {
                Cache::with_options(one, ByRows, DefaultHashBuilder::default(), DefaultLifecycle::default())
            }
            // Nothing but a capacity that is left out makes this fail.
            Err(_) => Cache::with_weighter(10_000, CAPACITY, ByRows),
        };
        Shelf(Arc::new(cache))
    }

    /// Takes an organization's books off the shelf: whoever has them is the only one to use them.
    pub fn take(&self, organization: OrganizationId) -> Books {
        self.0.remove(&organization).map(|(_, Weighed(books, _))| books).unwrap_or_default()
    }

    /// Puts them back.
    pub fn put(&self, organization: OrganizationId, books: Books) {
        let weight = books.weight();
        self.0.insert(organization, Weighed(books, weight));
    }
}

/// The prices of all services, read once for each revision of the catalog.
#[derive(Clone, Default)]
pub(super) struct Prices(Arc<RwLock<Option<PriceList>>>);

pub(super) type ByCode = Arc<BTreeMap<String, ServicePrice>>;

struct PriceList {
    revision: i64,
    services: Vec<service::Model>,
    versions: Vec<service_version::Model>,
    /// What holds from the first instant until before the second.
    current: Option<(Timestamp, Timestamp, ByCode)>,
}

impl Prices {
    /// The prices that hold at an instant, by service code, with the catalog at a revision.
    pub async fn at(&self, txn: &Txn, revision: i64, at: Timestamp) -> Result<ByCode> {
        if let Some(prices) = self.known(revision, at) {
            return Ok(prices);
        }
        if let Some(list) = self.list().as_mut().filter(|list| list.revision == revision) {
            return Ok(list.at(at));
        }
        let versions = service_version::Entity::find().all(txn).await?;
        let services = service::Entity::find().all(txn).await?;
        let mut list = PriceList { revision, services, versions, current: None };
        let prices = list.at(at);
        *self.list() = Some(list);
        Ok(prices)
    }

    /// The service of an id, as of the revision that was read last.
    pub fn service(&self, id: ServiceId) -> Option<service::Model> {
        let list = self.0.read().unwrap_or_else(PoisonError::into_inner);
        list.as_ref()?.services.iter().find(|service| service.id == id).cloned()
    }

    fn list(&self) -> RwLockWriteGuard<'_, Option<PriceList>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, revision: i64, at: Timestamp) -> Option<ByCode> {
        let list = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let list = list.as_ref().filter(|list| list.revision == revision)?;
        let (_, _, prices) = list.current.as_ref().filter(|(from, until, _)| *from <= at && at < *until)?;
        Some(prices.clone())
    }
}

impl PriceList {
    /// The prices that hold at an instant, kept for as long as they do.
    fn at(&mut self, at: Timestamp) -> ByCode {
        let begins = self.versions.iter().map(|version| version.effective_from);
        let from =
            begins.clone().filter(|begin| *begin <= at).max().unwrap_or(Timestamp::from_micros(i64::MIN));
        let until = begins.filter(|begin| *begin > at).min().unwrap_or(Timestamp::from_micros(i64::MAX));
        let current =
            versions_at(&self.versions, |version| version.service_id, |version| version.effective_from, at);
        let price = |row: &service::Model| {
            let version = current.get(&row.id)?;
            let price = ServicePrice { service: row.id, version: version.id, credits: version.credits };
            Some((row.code.clone(), price))
        };
        let prices = Arc::new(self.services.iter().filter_map(price).collect());
        self.current = Some((from, until, Arc::clone(&prices)));
        prices
    }
}
