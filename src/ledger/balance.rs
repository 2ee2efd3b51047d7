//! Balances: of pools and of accounts, now or as of a transfer.
//!
//! What has lapsed and is not held is left out from its instant of expiry on, whether or not the
//! lapse has been booked yet.

use std::collections::HashMap;

use bursar_domain::id::{AccountId, PoolId};
use bursar_domain::{Credits, Timestamp};
use bursar_entity::{account, pool_head, transfer};
use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter, Statement};

use super::Receipt;
use super::load::credits;
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};

/// What a pool or an account has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// All credits.
    pub posted: Credits,
    /// How much of that is held for charges to come.
    pub held: Credits,
    /// What the pool owes (an account owes nothing).
    pub debt: Credits,
    /// The version of the pool that it belongs to.
    pub version: i64,
    /// The instant that it is true for.
    pub as_of: Timestamp,
}

impl Balance {
    /// What can be spent: posted less held.
    pub fn available(&self) -> Credits {
        self.posted.saturating_sub(self.held)
    }

    /// The balance of the whole pool after a transfer.
    pub fn of_pool_after(transfer: &transfer::Model) -> Result<Balance> {
        Ok(Balance {
            posted: credits(transfer.pool_posted_after)?,
            held: credits(transfer.pool_held_after)?,
            debt: credits(transfer.debt_after)?,
            version: transfer.version,
            as_of: transfer.created_at,
        })
    }
}

impl Receipt {
    /// The last transfer.
    fn last(&self) -> Result<&transfer::Model> {
        self.transfers.last().ok_or_else(|| Error::internal("a receipt without transfers"))
    }

    /// The balance of the pool after the command, as of its commit.
    pub fn pool_balance(&self) -> Result<Balance> {
        Balance::of_pool_after(self.last()?)
    }

    /// The balance of the account that a charge was made to, after it, as of its commit.
    pub fn charged_balance(&self) -> Result<Balance> {
        let last = self.last()?;
        Ok(Balance {
            posted: credits(last.debit_after)?,
            held: credits(last.held_after)?,
            debt: Credits::ZERO,
            version: last.version,
            as_of: last.created_at,
        })
    }
}

/// The balance of a pool.
pub async fn pool_balance(txn: &Txn, tenant: Tenant, pool: PoolId, now: Timestamp) -> Result<Balance> {
    let balances = pool_balances(txn, tenant, Some(&[pool]), now).await?;
    balances.get(&pool).copied().ok_or(Error::not_found("pool"))
}

/// The balances of some pools of an organization, or of all.
pub async fn pool_balances(
    txn: &Txn,
    tenant: Tenant,
    pools: Option<&[PoolId]>,
    now: Timestamp,
) -> Result<HashMap<PoolId, Balance>> {
    let mut select = tenant.find::<pool_head::Entity>();
    if let Some(pools) = pools {
        select = select.filter(pool_head::Column::PoolId.is_in(pools.iter().copied()));
    }
    let heads = select.all(txn).await?;
    let one = match pools {
        Some([pool]) => Some(*pool),
        _ => None,
    };
    let lapsed = expiry(txn, tenant, one, Timestamp::from_micros(i64::MIN), now, true).await?;
    let mut balances = HashMap::with_capacity(heads.len());
    for head in heads {
        let gone: i64 = lapsed.iter().filter(|row| row.pool == head.pool_id).map(|row| row.credits).sum();
        balances.insert(
            head.pool_id,
            Balance {
                posted: credits(head.posted - gone)?,
                held: credits(head.held)?,
                debt: credits(-head.debt)?,
                version: head.version,
                as_of: now.max(head.clock),
            },
        );
    }
    Ok(balances)
}

/// The balance of an account of a pool.
pub async fn account_balance(
    txn: &Txn,
    tenant: Tenant,
    account: &account::Model,
    now: Timestamp,
) -> Result<Balance> {
    let head = super::read::head(txn, tenant, account.pool_id).await?;
    let past = Timestamp::from_micros(i64::MIN);
    let lapsed = expiry(txn, tenant, Some(account.pool_id), past, now, true).await?;
    of_account(account, &head, &lapsed, now)
}

/// What each department has in a pool, by account.
pub async fn department_balances(
    txn: &Txn,
    tenant: Tenant,
    pool: PoolId,
    now: Timestamp,
) -> Result<Vec<(account::Model, Balance)>> {
    let accounts = super::read::accounts_of_pool(txn, tenant, pool).await?;
    if accounts.is_empty() {
        return Ok(Vec::new());
    }
    let head = super::read::head(txn, tenant, pool).await?;
    let lapsed = expiry(txn, tenant, Some(pool), Timestamp::from_micros(i64::MIN), now, true).await?;
    let balance = |account: account::Model| {
        let balance = of_account(&account, &head, &lapsed, now)?;
        Ok((account, balance))
    };
    accounts.into_iter().map(balance).collect()
}

/// The balance of an account at the end of its pool's books, without what has lapsed.
fn of_account(
    account: &account::Model,
    head: &pool_head::Model,
    lapsed: &[Expiry],
    now: Timestamp,
) -> Result<Balance> {
    let gone: i64 = lapsed.iter().filter(|row| row.account == account.id).map(|row| row.credits).sum();
    Ok(Balance {
        posted: credits(account.posted.get() - gone)?,
        held: account.held,
        debt: Credits::ZERO,
        version: head.version,
        as_of: now.max(head.clock),
    })
}

/// How many credits of a pool (or of one account of it) expire after `now` and not after `until`.
pub async fn expiring(
    txn: &Txn,
    tenant: Tenant,
    pool: PoolId,
    account: Option<AccountId>,
    (now, until): (Timestamp, Timestamp),
) -> Result<Credits> {
    let rows = expiry(txn, tenant, Some(pool), now, until, false).await?;
    let counted = rows.iter().filter(|row| account.is_none_or(|account| row.account == account));
    credits(counted.map(|row| row.credits).sum())
}

struct Expiry {
    pool: PoolId,
    account: AccountId,
    credits: i64,
}

/// Credits in lots that expire in `(after, until]`, by account; with `free` only those not held.
async fn expiry(
    txn: &Txn,
    tenant: Tenant,
    pool: Option<PoolId>,
    after: Timestamp,
    until: Timestamp,
    free: bool,
) -> Result<Vec<Expiry>> {
    let amount = if free { "p.credits - p.held" } else { "p.credits" };
    let mut values: Vec<sea_orm::Value> = vec![tenant.id().into(), after.into(), until.into()];
    let in_pool = if pool.is_some() { "AND p.pool_id = $4" } else { "" };
    values.extend(pool.map(sea_orm::Value::from));
    let sql = format!(
        "SELECT p.pool_id, p.account_id, CAST(sum({amount}) AS bigint) AS credits
         FROM lot_position p JOIN lot l ON l.organization_id = p.organization_id AND l.id = p.lot_id
         WHERE p.organization_id = $1 AND p.open AND l.expires_at > $2 AND l.expires_at <= $3 {in_pool}
         GROUP BY p.pool_id, p.account_id"
    );
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    let rows = txn.query_all_raw(statement).await?;
    let row = |row: sea_orm::QueryResult| {
        Ok(Expiry {
            pool: row.try_get("", "pool_id")?,
            account: row.try_get("", "account_id")?,
            credits: row.try_get("", "credits")?,
        })
    };
    rows.into_iter().map(row).collect()
}
