//! Rows by lists of keys, each looked up by itself.
//!
//! `id IN (...)` leaves it to PostgreSQL's planner whether to look each key up or to go through all rows of the
//! organization, and about a table that has just been filled it knows little. A list that is joined laterally
//! leaves it no choice. SQLite, which plans by rules, takes the plain form.

use bursar_domain::id::{Id, PoolId};
use bursar_entity::transfer;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseBackend, EntityTrait, FromQueryResult, IdenStatic,
    QueryFilter, Statement, Value,
};
use uuid::Uuid;

use super::bulk::padded;
use super::scope::{Tenant, TenantEntity};
use super::transaction::Txn;
use crate::error::Result;

/// The most keys of one statement on SQLite, which takes 32,766 parameters.
const SQLITE_KEYS: usize = 8_192;

/// Which index of a table finds keys. Of several that begin with the organization PostgreSQL's planner may take any
/// while it knows nothing of the table, and stays with it when the table has grown.
#[derive(Clone, Copy, Debug, Default)]
pub enum Index {
    /// The one that begins with the organization and the column.
    #[default]
    OfOrganization,
    /// The one of the rows that meet a condition, word for word.
    Where(&'static str),
    /// The one of the column alone, for ids that are unique in all organizations. The organization is compared in a
    /// form that no index serves.
    Alone,
}

impl Tenant {
    /// The organization's rows that have one of some ids in a column, in no order.
    pub async fn lookup<E: TenantEntity, I: Id>(
        self,
        txn: &Txn,
        column: E::Column,
        ids: impl IntoIterator<Item = I>,
    ) -> Result<Vec<E::Model>> {
        self.lookup_along::<E, I>(txn, (column, Index::OfOrganization), ids).await
    }

    /// Those of them that an index holds, looked up by that index and no other.
    pub async fn lookup_along<E: TenantEntity, I: Id>(
        self,
        txn: &Txn,
        (column, index): (E::Column, Index),
        ids: impl IntoIterator<Item = I>,
    ) -> Result<Vec<E::Model>> {
        let mut ids: Vec<Uuid> = ids.into_iter().map(|id| Uuid::from_u128(id.as_u128())).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        if txn.get_database_backend() != DatabaseBackend::Postgres {
            let mut rows = Vec::new();
            for some in ids.chunks(SQLITE_KEYS) {
                let held = if let Index::Where(condition) = index { condition } else { "TRUE" };
                let wanted = column.is_in(padded(some.to_vec())).and(Expr::cust(held));
                rows.extend(self.find::<E>().filter(wanted).all(txn).await?);
            }
            return Ok(rows);
        }
        let (table, organization) = (E::default().table_name(), E::organization_column());
        let own = format!("t.{} = $1", organization.as_str());
        let own = match index {
            Index::OfOrganization => own,
            Index::Where(condition) => format!("{own} AND {condition}"),
            Index::Alone => format!("({own}) IS TRUE"),
        };
        let sql = format!(
            "SELECT r.* FROM unnest($2::uuid[]) AS wanted (id) CROSS JOIN LATERAL (SELECT * FROM \"{table}\" t
                 WHERE t.{} = wanted.id AND {own} OFFSET 0) r",
            column.as_str()
        );
        let values: [Value; 2] = [self.id().into(), ids.into()];
        rows::<E>(txn, &sql, values).await
    }

    /// Transfers by pools and versions, in no order.
    pub async fn lookup_transfers(
        self,
        txn: &Txn,
        keys: impl IntoIterator<Item = (PoolId, i64)>,
    ) -> Result<Vec<transfer::Model>> {
        let mut keys: Vec<(PoolId, i64)> = keys.into_iter().collect();
        keys.sort_unstable();
        keys.dedup();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        if txn.get_database_backend() != DatabaseBackend::Postgres {
            return self.transfers_on_sqlite(txn, &keys).await;
        }
        let (pools, versions): (Vec<Uuid>, Vec<i64>) =
            keys.into_iter().map(|(pool, version)| (Uuid::from_u128(pool.as_u128()), version)).unzip();
        let sql = "SELECT r.* FROM unnest($2::uuid[], $3::bigint[]) AS wanted (pool, version)
             CROSS JOIN LATERAL (SELECT * FROM transfer t
                 WHERE t.organization_id = $1 AND t.pool_id = wanted.pool AND t.version = wanted.version
                 OFFSET 0) r";
        let values: [Value; 3] = [self.id().into(), pools.into(), versions.into()];
        rows::<transfer::Entity>(txn, sql, values).await
    }

    async fn transfers_on_sqlite(self, txn: &Txn, keys: &[(PoolId, i64)]) -> Result<Vec<transfer::Model>> {
        let mut found = Vec::new();
        for of_pool in keys.chunk_by(|one, other| one.0 == other.0) {
            for some in of_pool.chunks(SQLITE_KEYS) {
                let versions = padded(some.iter().map(|(_, version)| *version).collect());
                let pool = some.first().map(|(pool, _)| transfer::Column::PoolId.eq(*pool));
                let wanted = Condition::all().add_option(pool).add(transfer::Column::Version.is_in(versions));
                found.extend(self.find::<transfer::Entity>().filter(wanted).all(txn).await?);
            }
        }
        Ok(found)
    }
}

async fn rows<E: EntityTrait>(
    txn: &Txn,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<E::Model>> {
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    let rows = txn.query_all_raw(statement).await?;
    let rows = rows.iter().map(|row| E::Model::from_query_result(row, ""));
    Ok(rows.collect::<std::result::Result<_, _>>()?)
}
