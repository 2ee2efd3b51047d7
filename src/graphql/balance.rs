//! Balances.

use async_graphql::{Context, Object};
use bursar_domain::id::{AccountId, OrganizationId, PoolId};
use bursar_domain::{Credits, Timestamp};

use super::errors::ApiError;
use super::scalars::{CreditsScalar, DateTime, Version};
use super::signed_in;
use crate::db::Tenant;
use crate::error::Error;
use crate::ledger::{self, Receipt, ReceiptRow};

/// What a balance is of.
#[derive(Clone, Debug)]
pub enum BalanceOf {
    /// Pools, together.
    Pools(OrganizationId, Vec<PoolId>),
    /// One account of a pool.
    Account(OrganizationId, PoolId, AccountId),
    /// A pool at an instant that has passed.
    Past(OrganizationId, PoolId),
}

/// What is there, and what of it can be spent.
#[derive(Clone, Debug)]
pub struct Balance {
    amounts: ledger::Balance,
    of: BalanceOf,
}

impl Balance {
    /// The amounts.
    pub fn amounts(&self) -> &ledger::Balance {
        &self.amounts
    }

    /// A balance of something.
    pub fn new(amounts: ledger::Balance, of: BalanceOf) -> Balance {
        Balance { amounts, of }
    }

    /// The balances of the pool and of the account that a command was about, after it.
    pub fn after(receipt: &Receipt) -> Result<(Balance, Balance), Error> {
        let (organization, pool, account) = match &receipt.row {
            ReceiptRow::Charge(row) => (row.organization_id, row.pool_id, row.account_id),
            ReceiptRow::Hold(row) => (row.organization_id, row.pool_id, row.account_id),
            ReceiptRow::Entry(row) => (row.organization_id, row.pool_id, row.account_id),
            ReceiptRow::Nothing => return Err(Error::internal("a command that did nothing has no balance")),
        };
        let of_pool = BalanceOf::Pools(organization, vec![pool]);
        let of_account = BalanceOf::Account(organization, pool, account);
        let (pool, account) = (receipt.pool_balance()?, receipt.charged_balance()?);
        Ok((Balance::new(pool, of_pool), Balance::new(account, of_account)))
    }

    /// The balance of pools together: amounts and versions are added.
    pub fn sum(
        organization: OrganizationId,
        now: Timestamp,
        pools: Vec<(PoolId, ledger::Balance)>,
    ) -> Result<Balance, ApiError> {
        let empty = ledger::Balance {
            posted: Credits::ZERO,
            held: Credits::ZERO,
            debt: Credits::ZERO,
            version: 0,
            as_of: now,
        };
        let amounts = pools.iter().try_fold(empty, |sum, (_, balance)| {
            Some(ledger::Balance {
                posted: sum.posted.checked_add(balance.posted)?,
                held: sum.held.checked_add(balance.held)?,
                debt: sum.debt.checked_add(balance.debt)?,
                version: sum.version + balance.version,
                as_of: sum.as_of.max(balance.as_of),
            })
        });
        let amounts = amounts.ok_or_else(|| Error::internal("a sum of balances is out of range"))?;
        let pools = pools.into_iter().map(|(pool, _)| pool).collect();
        Ok(Balance { amounts, of: BalanceOf::Pools(organization, pools) })
    }
}

/// What is there, and what of it can be spent. All amounts are of one instant.
#[Object]
impl Balance {
    /// All credits, held ones included.
    async fn posted(&self) -> CreditsScalar {
        CreditsScalar(self.amounts.posted)
    }

    /// Credits held for charges to come.
    async fn held(&self) -> CreditsScalar {
        CreditsScalar(self.amounts.held)
    }

    /// What can be spent: posted less held.
    async fn available(&self) -> CreditsScalar {
        CreditsScalar(self.amounts.available())
    }

    /// What the pool owes, because the payment of credits that were used has been reversed.
    async fn debt(&self) -> CreditsScalar {
        CreditsScalar(self.amounts.debt)
    }

    /// Credits that expire within some days: from now, or from the instant of a balance of the past.
    async fn expiring(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many days, from 0 to 36500.", default = 30)] within: i32,
    ) -> Result<CreditsScalar, ApiError> {
        if !(0..=36_500).contains(&within) {
            return Err(ApiError::bad_input("within: must be from 0 to 36500."));
        }
        Box::pin(self.expire_within(ctx, within)).await.map_err(ApiError::from)
    }

    /// The version that the amounts belong to: a pool's counts its transfers, an organization's is the
    /// sum of its pools'.
    async fn version(&self) -> Version {
        Version(self.amounts.version)
    }

    /// The instant that the amounts are true for.
    async fn as_of(&self) -> DateTime {
        DateTime(self.amounts.as_of)
    }
}

impl Balance {
    async fn expire_within(&self, ctx: &Context<'_>, days: i32) -> Result<CreditsScalar, Error> {
        let request = signed_in(ctx)?;
        let now = request.now();
        let span = (now, now.plus_days(i64::from(days)));
        let (organization, pools, account) = match &self.of {
            BalanceOf::Pools(organization, pools) => (*organization, pools.clone(), None),
            BalanceOf::Account(organization, pool, account) => (*organization, vec![*pool], Some(*account)),
            BalanceOf::Past(organization, pool) => {
                let tenant = Tenant::vouched(*organization);
                let snapshot = request.snapshots.open(tenant).await?;
                let of = (*pool, &self.amounts, i64::from(days));
                return ledger::expiring_after(&snapshot, tenant, of).await.map(CreditsScalar);
            }
        };
        // The balance has been shown to the caller.
        let tenant = Tenant::vouched(organization);
        let snapshot = request.snapshots.open(tenant).await?;
        let mut sum = Credits::ZERO;
        for pool in pools {
            let part = ledger::expiring(&snapshot, tenant, pool, account, span).await?;
            sum = sum.checked_add(part).unwrap_or(Credits::MAX);
        }
        Ok(CreditsScalar(sum))
    }
}
