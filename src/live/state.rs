//! What is watched, as of one snapshot of the database.

use bursar_domain::Timestamp;
use bursar_domain::id::{DepartmentId, PoolId, PurchaseId};
use bursar_entity::{account, department, organization, pool, purchase, shared_revision, transfer};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::history::MAX_TRANSFERS;
use super::{Of, Topic};
use crate::auth::Standing;
use crate::context::Context;
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};
use crate::ledger::{self, Balance};

/// Something that is watched, as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The revisions that permissions depend on.
    pub standing: Standing,
    /// A number that rises with every change: a pool's version, the sum of its pools' for an organization.
    /// A purchase has none.
    pub version: i64,
    /// The instant that it is true for.
    pub as_of: Timestamp,
    /// What it is.
    pub body: Body,
}

/// What is watched.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// A pool.
    Pool(PoolState),
    /// The pools of an organization.
    Pools(OrganizationState),
    /// A purchase.
    Purchase(purchase::Model),
}

/// A pool with what departments have in it.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolState {
    /// The pool.
    pub pool: pool::Model,
    /// What the whole pool has.
    pub balance: Balance,
    /// The departments that have an account there, with what they have.
    pub departments: Vec<(department::Model, account::Model, Balance)>,
}

/// All pools of an organization.
#[derive(Clone, Debug, PartialEq)]
pub struct OrganizationState {
    /// The organization.
    pub organization: organization::Model,
    /// Its pools, with what each has.
    pub pools: Vec<(pool::Model, Balance)>,
    /// Which departments have an account in which pool.
    pub accounts: Vec<(PoolId, DepartmentId)>,
}

impl State {
    /// Whether somebody who has seen `before` has something new to see.
    pub fn differs_from(&self, before: &State) -> bool {
        let rows = match (&self.body, &before.body) {
            // What has lapsed meanwhile is no news by itself; it is told with the next change.
            (Body::Pool(now), Body::Pool(then)) => now.pool != then.pool,
            (Body::Pools(now), Body::Pools(then)) => {
                now.organization != then.organization || now.accounts != then.accounts
            }
            (now, then) => now != then,
        };
        rows || self.version != before.version || self.standing != before.standing
    }
}

/// Reads a topic, and the transfers that followed a version, when they are few enough to be told.
pub(super) async fn read(
    context: &Context,
    topic: Topic,
    seen: Option<i64>,
) -> Result<(State, Option<Vec<transfer::Model>>)> {
    let (tenant, now) = (topic.tenant, context.clock.now());
    let snapshot = context.db.read(tenant).await?;
    let organization = tenant.find::<organization::Entity>().one(&snapshot).await?;
    let organization = organization.ok_or(Error::not_found("organization"))?;
    let shared = shared_revision::Entity::find().one(&snapshot).await?;
    let shared = shared.ok_or_else(|| Error::internal("there are no shared revisions"))?;
    let standing = Standing { organization: Some(organization.revision), staff: Some(shared.staff) };
    let (version, body, transfers) = match topic.of {
        Of::Pool(id) => {
            let state = read_pool(&snapshot, tenant, id, now).await?;
            let version = state.balance.version;
            let transfers = match seen.map(|seen| (seen, version - seen)) {
                Some((_, 0)) => Some(Vec::new()),
                Some((seen, 1..=MAX_TRANSFERS)) => {
                    let limit = u64::try_from(MAX_TRANSFERS).unwrap_or(u64::MAX);
                    Some(ledger::transfers_after(&snapshot, tenant, id, seen, limit).await?)
                }
                _ => None,
            };
            (version, Body::Pool(state), transfers)
        }
        Of::Pools => {
            let state = read_pools(&snapshot, organization, now).await?;
            let version = state.pools.iter().map(|(_, balance)| balance.version).sum();
            (version, Body::Pools(state), None)
        }
        Of::Purchase(id) => (0, Body::Purchase(read_purchase(&snapshot, tenant, id).await?), None),
    };
    Ok((State { standing, version, as_of: now, body }, transfers))
}

async fn read_pool(snapshot: &Txn, tenant: Tenant, id: PoolId, now: Timestamp) -> Result<PoolState> {
    let pool = tenant.find::<pool::Entity>().filter(pool::Column::Id.eq(id)).one(snapshot).await?;
    let pool = pool.ok_or(Error::not_found("pool"))?;
    let balance = ledger::pool_balance(snapshot, tenant, id, now).await?;
    let accounts = ledger::department_balances(snapshot, tenant, id, now).await?;
    let mut departments = Vec::with_capacity(accounts.len());
    if !accounts.is_empty() {
        let ids = accounts.iter().filter_map(|(account, _)| account.department_id);
        let rows = tenant.find::<department::Entity>().filter(department::Column::Id.is_in(ids));
        let rows = rows.all(snapshot).await?;
        for (account, balance) in accounts {
            let row = rows.iter().find(|row| Some(row.id) == account.department_id);
            let row = row.ok_or_else(|| Error::internal("an allocation names no department"))?;
            departments.push((row.clone(), account, balance));
        }
    }
    Ok(PoolState { pool, balance, departments })
}

async fn read_pools(
    snapshot: &Txn,
    organization: organization::Model,
    now: Timestamp,
) -> Result<OrganizationState> {
    // The feed watches this organization.
    let tenant = Tenant::vouched(organization.id);
    let rows = tenant.find::<pool::Entity>().order_by_asc(pool::Column::Id).all(snapshot).await?;
    let balances = ledger::pool_balances(snapshot, tenant, None, now).await?;
    let pools = rows.into_iter().filter_map(|row| balances.get(&row.id).map(|balance| (row, *balance)));
    let pools = pools.collect();
    let accounts: Vec<(PoolId, Option<DepartmentId>)> = tenant
        .find::<account::Entity>()
        .select_only()
        .column(account::Column::PoolId)
        .column(account::Column::DepartmentId)
        .filter(account::Column::DepartmentId.is_not_null())
        .order_by_asc(account::Column::Id)
        .into_tuple()
        .all(snapshot)
        .await?;
    let accounts = accounts.into_iter().filter_map(|(pool, department)| Some((pool, department?))).collect();
    Ok(OrganizationState { organization, pools, accounts })
}

async fn read_purchase(snapshot: &Txn, tenant: Tenant, id: PurchaseId) -> Result<purchase::Model> {
    let row = tenant.find::<purchase::Entity>().filter(purchase::Column::Id.eq(id)).one(snapshot).await?;
    row.ok_or(Error::not_found("purchase"))
}
