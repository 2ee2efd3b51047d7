//! How much of a pool was used lately, and for how long what it has would last if that went on.
//!
//! Transfers say what all use came to after them, so only the last one before the time in question is looked for: nothing
//! is added up.

use bursar_domain::id::PoolId;
use bursar_domain::ledger::AccountKind;
use bursar_domain::{Credits, Timestamp};
use sea_orm::{ConnectionTrait, Statement, Value};

use super::balance::{Balance, pool_balance};
use super::balance_at::version_at;
use super::load::credits;
use super::read::head;
use crate::db::{Tenant, Txn};
use crate::error::Result;

/// Over how many days use is counted.
const DAYS: i64 = 90;

/// What a pool has, and how fast that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// What it has now.
    pub balance: Balance,
    /// What charges have used in the last 90 days, less what came back of that.
    pub used_90_days: Credits,
    /// For how many days that can be spent would last, as it was used in those days. None: nothing was used.
    pub runway_days: Option<i64>,
}

impl Figures {
    /// For how many days it would last if so many credits came in. None: nothing was used.
    pub fn runway_with(&self, more: Credits) -> Option<i64> {
        lasts(self.balance.available().saturating_add(more), self.used_90_days)
    }
}

/// What a pool has, and how fast that is used, at an instant that is now.
///
/// # Errors
/// [`crate::error::Error::NotFound`] when there is no such pool; what the database answers.
pub async fn figures(txn: &Txn, tenant: Tenant, pool: PoolId, now: Timestamp) -> Result<Figures> {
    let balance = pool_balance(txn, tenant, pool, now).await?;
    let head = head(txn, tenant, pool).await?;
    let version = version_at(txn, tenant, (pool, head.version), now.plus_days(-DAYS)).await?;
    let before = used_until(txn, tenant, pool, version).await?;
    // More may have come back than was used: of what had been used before.
    let used_90_days = credits(head.consumed.saturating_sub(before).max(0))?;
    Ok(Figures { balance, used_90_days, runway_days: lasts(balance.available(), used_90_days) })
}

/// What all charges had used after a transfer.
async fn used_until(txn: &Txn, tenant: Tenant, pool: PoolId, version: i64) -> Result<i64> {
    // Read backwards along the key; transfers that have to do with use are most of all.
    let sql = "SELECT CASE WHEN credit_kind = $4 THEN credit_after ELSE debit_after END AS used FROM transfer
        WHERE organization_id = $1 AND pool_id = $2 AND version <= $3 AND (credit_kind = $4 OR debit_kind = $4)
        ORDER BY version DESC LIMIT 1";
    let values: [Value; 4] = [tenant.id().into(), pool.into(), version.into(), AccountKind::Consumed.into()];
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    let row = txn.query_one_raw(statement).await?;
    Ok(row.map(|row| row.try_get("", "used")).transpose()?.unwrap_or_default())
}

/// For how many days credits last, as they were used: whole days.
fn lasts(has: Credits, used: Credits) -> Option<i64> {
    let days = i128::from(has.get()).checked_mul(i128::from(DAYS))?.checked_div(i128::from(used.get()))?;
    Some(i64::try_from(days).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(credits: i64) -> Credits {
        Credits::new(credits).unwrap()
    }

    #[test]
    fn days_are_whole_ones() {
        for (has, used, days) in [
            (0, 0, None),
            (5, 0, None),
            (0, 1, Some(0)),
            (1, 90, Some(1)),
            (179, 180, Some(89)),
            (180, 180, Some(90)),
            (1, 91, Some(0)),
        ] {
            assert_eq!(lasts(of(has), of(used)), days, "{has} {used}");
        }
        assert_eq!(lasts(Credits::MAX, of(1)), Some(Credits::MAX.get().saturating_mul(90)));
    }

    #[test]
    fn what_comes_in_lasts_as_well() {
        let balance = Balance {
            posted: of(30),
            held: of(20),
            debt: Credits::ZERO,
            version: 1,
            as_of: Timestamp::EPOCH,
        };
        let figures = Figures { balance, used_90_days: of(90), runway_days: lasts(of(10), of(90)) };
        assert_eq!((figures.runway_days, figures.runway_with(of(500))), (Some(10), Some(510)));
    }
}
