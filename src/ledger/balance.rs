//! Balances: of pools and of accounts, now or as of a transfer.
//!
//! What has lapsed and is not held is left out from its instant of expiry on, whether or not the
//! lapse has been booked yet.

use std::collections::{BTreeSet, HashMap};

use bursar_domain::id::{AccountId, LotId, PoolId};
use bursar_domain::{Credits, Timestamp};
use bursar_entity::{account, hold, lot_position, pool_head, transfer};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, QueryFilter, Statement};

use super::load::credits;
use super::{Receipt, ReceiptRow};
use crate::db::{Tenant, Txn, padded};
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

    /// The balance of the account that the command was about (that was charged, say), after it, as of its
    /// commit.
    pub fn charged_balance(&self) -> Result<Balance> {
        let last = self.last()?;
        let account = match &self.row {
            ReceiptRow::Charge(row) => Some(row.account_id),
            ReceiptRow::Hold(row) => Some(row.account_id),
            ReceiptRow::Entry(row) => Some(row.account_id),
            ReceiptRow::Nothing => None,
        };
        // A department that had nothing of its own may have drawn on unallocated alone.
        let own = self.transfers.iter().rev().find_map(|row| after(row, account?));
        let known = self.account_after.map(|(posted, held)| (posted.get(), held.get()));
        let (posted, held) = known.or(own).unwrap_or((0, 0));
        Ok(Balance {
            posted: credits(posted)?,
            held: credits(held)?,
            debt: Credits::ZERO,
            version: last.version,
            as_of: last.created_at,
        })
    }

    /// The balance of the other pool after the command, as of its commit; none when there is no other.
    pub fn other_balance(&self) -> Result<Option<Balance>> {
        self.there.last().map(Balance::of_pool_after).transpose()
    }
}

/// What an account has and has held after a transfer, as far as the transfer tells.
fn after(row: &transfer::Model, account: AccountId) -> Option<(i64, i64)> {
    let by_debit = row.debit_kind.is_holder();
    if row.debit_id == Some(account) {
        return Some((row.debit_after, row.held_after));
    }
    // What is held stands with the debited holder; a holder that only receives has nothing new held.
    (row.credit_id == Some(account)).then_some((row.credit_after, if by_debit { 0 } else { row.held_after }))
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
    let overdue = overdue_in(txn, tenant, one, &heads, now).await?;
    let mut balances = HashMap::with_capacity(heads.len());
    for head in heads {
        let (lapsed, released) = sums(overdue.iter().filter(|row| row.pool == head.pool_id));
        balances.insert(
            head.pool_id,
            Balance {
                posted: credits(head.posted - lapsed)?,
                held: credits(head.held - released)?,
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
    let heads = std::slice::from_ref(&head);
    let overdue = overdue_in(txn, tenant, Some(account.pool_id), heads, now).await?;
    of_account(account, &head, &overdue, now)
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
    let overdue = overdue_in(txn, tenant, Some(pool), std::slice::from_ref(&head), now).await?;
    let balance = |account: account::Model| {
        let balance = of_account(&account, &head, &overdue, now)?;
        Ok((account, balance))
    };
    accounts.into_iter().map(balance).collect()
}

/// The balance of an account at the end of its pool's books, without what has lapsed.
fn of_account(
    account: &account::Model,
    head: &pool_head::Model,
    overdue: &[Overdue],
    now: Timestamp,
) -> Result<Balance> {
    let (lapsed, released) = sums(overdue.iter().filter(|row| row.account == account.id));
    Ok(Balance {
        posted: credits(account.posted.get() - lapsed)?,
        held: credits(account.held.get() - released)?,
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

/// What time has brought to an account and has not been booked yet.
pub(super) struct Overdue {
    pub pool: PoolId,
    pub account: AccountId,
    /// Credits that have lapsed, or are taken back because their payment was reversed.
    pub lapsed: i64,
    /// Credits that are no longer held.
    pub released: i64,
}

fn sums<'o>(rows: impl Iterator<Item = &'o Overdue>) -> (i64, i64) {
    rows.fold((0, 0), |(lapsed, released), row| (lapsed + row.lapsed, released + row.released))
}

/// What is overdue in pools whose heads are known; nothing is read when nothing is due yet.
async fn overdue_in(
    txn: &Txn,
    tenant: Tenant,
    pool: Option<PoolId>,
    heads: &[pool_head::Model],
    now: Timestamp,
) -> Result<Vec<Overdue>> {
    if heads.iter().all(|head| head.due_at.is_none_or(|due| now < due)) {
        return Ok(Vec::new());
    }
    overdue(txn, tenant, pool, now).await
}

/// What had lapsed or was no longer held at an instant, of what has not been booked yet.
pub(super) async fn overdue(
    txn: &Txn,
    tenant: Tenant,
    pool: Option<PoolId>,
    at: Timestamp,
) -> Result<Vec<Overdue>> {
    let past = Timestamp::from_micros(i64::MIN);
    let free = expiry(txn, tenant, pool, past, at, true).await?;
    let lapse =
        |row: Expiry| Overdue { pool: row.pool, account: row.account, lapsed: row.credits, released: 0 };
    let mut rows: Vec<Overdue> = free.into_iter().map(lapse).collect();
    let mut select = tenant
        .find::<hold::Entity>()
        .filter(super::load_holds::is_open())
        .filter(hold::Column::ExpiresAt.lte(at));
    if let Some(pool) = pool {
        select = select.filter(hold::Column::PoolId.eq(pool));
    }
    let holds = select.all(txn).await?;
    let mut slices = Vec::new();
    for hold in &holds {
        slices.extend(super::load_holds::held_slices(hold)?.into_iter().map(|slice| (hold.pool_id, slice)));
    }
    if slices.is_empty() {
        return Ok(rows);
    }
    let lots: BTreeSet<LotId> = slices.iter().map(|(_, (_, lot, _))| *lot).collect();
    let pools: BTreeSet<PoolId> = slices.iter().map(|(pool, _)| *pool).collect();
    let mut marks = marks(txn, tenant, (pools, lots.clone())).await?;
    let lots = super::load_pools::lots_by_id(txn, tenant, lots).await?;
    for (pool, (account, lot, credits)) in slices {
        // What is let go is taken back, or held for a dispute, as far as it is marked.
        let (revoking, contested) = marks.entry((account, lot)).or_default();
        let back = credits.min(*revoking);
        let kept = (credits - back).min(*contested);
        (*revoking, *contested) = (*revoking - back, *contested - kept);
        let released = credits - kept;
        let lapsed = lots.get(&lot).is_some_and(|lot| lot.expires_at.is_some_and(|expiry| expiry <= at));
        let lapsed = if lapsed { released } else { back };
        rows.push(Overdue { pool, account, lapsed, released });
    }
    Ok(rows)
}

/// What is marked of held credits of lots: to be taken back, and waited for by a dispute.
async fn marks(
    txn: &Txn,
    tenant: Tenant,
    (pools, lots): (BTreeSet<PoolId>, BTreeSet<LotId>),
) -> Result<HashMap<(AccountId, LotId), (i64, i64)>> {
    use lot_position::Column as P;
    let marked = Condition::any().add(P::Revoking.gt(Credits::ZERO)).add(P::Contested.gt(Credits::ZERO));
    let select = tenant
        .find::<lot_position::Entity>()
        .filter(P::PoolId.is_in(padded(pools.into_iter().collect())))
        .filter(P::LotId.is_in(padded(lots.into_iter().collect())))
        .filter(marked);
    let rows = select.all(txn).await?.into_iter();
    let marks = rows.map(|row| ((row.account_id, row.lot_id), (row.revoking.get(), row.contested.get())));
    Ok(marks.collect())
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
