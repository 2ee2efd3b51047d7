//! Reads that need no lock.

use bursar_domain::id::PoolId;
use bursar_domain::ledger;
use bursar_domain::ledger::{Command, Explanation};
use bursar_entity::{account, charge, pool_head, transfer};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder, QuerySelect};

use super::Ledger;
use super::books::Books;
use super::check::check;
use super::digest::Line;
use super::load::{Locking, load};
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};

/// The end of a pool's books.
pub async fn head(txn: &Txn, tenant: Tenant, pool: PoolId) -> Result<pool_head::Model> {
    let row = tenant.find::<pool_head::Entity>().filter(pool_head::Column::PoolId.eq(pool)).one(txn).await?;
    row.ok_or(Error::not_found("pool"))
}

/// At most `limit` transfers of a pool that follow a version, in order.
pub async fn transfers_after(
    txn: &Txn,
    tenant: Tenant,
    pool: PoolId,
    version: i64,
    limit: u64,
) -> Result<Vec<transfer::Model>> {
    let select = tenant
        .find::<transfer::Entity>()
        .filter(transfer::Column::PoolId.eq(pool))
        .filter(transfer::Column::Version.gt(version))
        .order_by_asc(transfer::Column::Version)
        .limit(limit);
    Ok(select.all(txn).await?)
}

/// The transfers of a charge.
pub async fn charge_transfers(
    txn: &Txn,
    tenant: Tenant,
    charge: &charge::Model,
) -> Result<Vec<transfer::Model>> {
    let before = charge.version - charge.slices;
    let limit = u64::try_from(charge.slices).unwrap_or(0);
    transfers_after(txn, tenant, charge.pool_id, before, limit).await
}

/// The accounts of a pool's departments, by id.
pub(super) async fn accounts_of_pool(txn: &Txn, tenant: Tenant, pool: PoolId) -> Result<Vec<account::Model>> {
    let select = tenant
        .find::<account::Entity>()
        .filter(account::Column::PoolId.eq(pool))
        .filter(account::Column::DepartmentId.is_not_null())
        .order_by_asc(account::Column::Id);
    Ok(select.all(txn).await?)
}

/// The lines of a charge.
pub fn decode_lines(charge: &charge::Model) -> Result<Vec<Line>> {
    serde_json::from_str(&charge.lines)
        .map_err(|error| Error::internal(format!("lines of a charge: {error}")))
}

impl Ledger {
    /// Explains from a snapshot what a charge would do: by the same machine that would do it, and without
    /// writing.
    ///
    /// # Errors
    /// Only those of reading. Why the charge would be refused is a part of the explanation.
    pub async fn explain(&self, txn: &Txn, tenant: Tenant, command: &Command) -> Result<Explanation> {
        let mut checked = check(txn, &[(tenant, vec![command])], Locking::None).await?;
        let checked = checked.remove(&tenant.id()).unwrap_or_default();
        let books = (&mut Books::default(), self.lanes.prices());
        let mut state = load(txn, (tenant, &[command]), Locking::None, checked, books).await?.state;
        ledger::book_due(&mut state, command.pool, command.now);
        Ok(ledger::explain(&state, command))
    }
}
