//! Writing many rows of an organization at once, with few statements whose text is always the same, so
//! that they are prepared once on each connection.
//!
//! On PostgreSQL all tables go in one statement: each table is a part of its `WITH`, and its columns
//! arrive as arrays. On SQLite, where a statement costs no journey, each table takes statements of many
//! rows, in sizes that are powers of two, so that there are few texts.

use sea_orm::sqlx::postgres::PgArguments;
use sea_orm::sqlx::{self, Arguments as _, Row as _};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ConnectionTrait, DbErr, EntityTrait, IdenStatic, IntoActiveModel,
    Iterable, Statement, Value,
};
use uuid::Uuid;

use super::scope::{Tenant, TenantEntity};
use super::transaction::Txn;
use crate::error::{Error, Result};

/// How many rows one statement takes on SQLite, which takes 32,766 parameters.
const SQLITE_ROWS: usize = 256;

/// The values with the last one repeated until their number is a power of two, so that statements with a
/// list of values have few texts.
pub fn padded<T: Clone>(mut values: Vec<T>) -> Vec<T> {
    if let Some(last) = values.last().cloned() {
        values.resize(values.len().next_power_of_two(), last);
    }
    values
}

/// Rows of one table, and what is to be done with them.
pub struct Rows {
    table: &'static str,
    /// Names of the columns without the organization's.
    columns: Vec<&'static str>,
    /// The organization's column.
    organization: &'static str,
    /// For each of the columns, its value in each row.
    values: Vec<Vec<Value>>,
    count: usize,
    verb: Verb,
}

enum Verb {
    /// They are new.
    Insert,
    /// They may be there; then only some columns change.
    Upsert { key: Vec<&'static str>, set: Vec<&'static str> },
    /// They are there; some columns change.
    Update { key: Vec<&'static str>, set: Vec<&'static str> },
}

/// A row's column.
type ColumnOf<E> = <E as EntityTrait>::Column;

impl Rows {
    /// New rows.
    pub fn insert<E: TenantEntity>(rows: Vec<E::Model>) -> Result<Rows>
    where
        E::Model: IntoActiveModel<E::ActiveModel>,
    {
        Rows::gather::<E>(rows, Verb::Insert)
    }

    /// Rows that are new, or else known by the columns `key` and then given new values in `set`.
    pub fn upsert<E: TenantEntity>(
        rows: Vec<E::Model>,
        key: &[ColumnOf<E>],
        set: &[ColumnOf<E>],
    ) -> Result<Rows>
    where
        E::Model: IntoActiveModel<E::ActiveModel>,
    {
        Rows::gather::<E>(rows, Verb::Upsert { key: names::<E>(key), set: names::<E>(set) })
    }

    /// Rows that are there, known by the columns `key`, with new values in `set`.
    pub fn update<E: TenantEntity>(
        rows: Vec<E::Model>,
        key: &[ColumnOf<E>],
        set: &[ColumnOf<E>],
    ) -> Result<Rows>
    where
        E::Model: IntoActiveModel<E::ActiveModel>,
    {
        Rows::gather::<E>(rows, Verb::Update { key: names::<E>(key), set: names::<E>(set) })
    }

    fn gather<E: TenantEntity>(rows: Vec<E::Model>, verb: Verb) -> Result<Rows>
    where
        E::Model: IntoActiveModel<E::ActiveModel>,
    {
        let organization = E::organization_column().as_str();
        let all: Vec<ColumnOf<E>> =
            ColumnOf::<E>::iter().filter(|column| column.as_str() != organization).collect();
        let count = rows.len();
        let mut values: Vec<Vec<Value>> = all.iter().map(|_| Vec::with_capacity(count)).collect();
        for row in rows {
            let mut row = row.into_active_model();
            for (column, values) in all.iter().zip(&mut values) {
                match row.take(*column) {
                    ActiveValue::Set(value) | ActiveValue::Unchanged(value) => values.push(value),
                    ActiveValue::NotSet => return Err(Error::internal("a row lacks a value")),
                }
            }
        }
        let (table, columns) = (E::default().table_name(), all.iter().map(IdenStatic::as_str).collect());
        Ok(Rows { table, columns, organization, values, count, verb })
    }
}

fn names<E: EntityTrait>(columns: &[ColumnOf<E>]) -> Vec<&'static str> {
    columns.iter().map(IdenStatic::as_str).collect()
}

impl Txn {
    /// Writes rows of an organization. Rows to be updated that are not there are an error.
    pub async fn write_rows(&self, tenant: Tenant, tables: Vec<Rows>) -> Result<()> {
        let tables: Vec<Rows> = tables.into_iter().filter(|rows| rows.count > 0).collect();
        if tables.is_empty() {
            return Ok(());
        }
        let organization = Uuid::from(tenant);
        let Some(transaction) = self.postgres() else {
            for rows in tables {
                write_sqlite(self, organization, rows).await?;
            }
            return Ok(());
        };
        let (sql, arguments) = postgres(organization, &tables)?;
        let mut transaction = transaction.lock().await;
        let query = sqlx::query_with(sqlx::AssertSqlSafe(sql), arguments);
        let row = query.fetch_one(&mut **transaction).await.map_err(super::transaction::failed)?;
        let updated: i64 = row.try_get(0).map_err(super::transaction::failed)?;
        let wanted = tables.iter().filter(|rows| matches!(rows.verb, Verb::Update { .. }));
        let wanted: usize = wanted.map(|rows| rows.count).sum();
        if usize::try_from(updated) != Ok(wanted) {
            return Err(Error::internal(format!("{updated} of {wanted} rows were updated")));
        }
        Ok(())
    }
}

/// The statement for all tables, and its arguments: the organization, then a list for each column.
fn postgres(organization: Uuid, tables: &[Rows]) -> Result<(String, PgArguments)> {
    let mut arguments = PgArguments::default();
    let unfit = |error: sqlx::error::BoxDynError| Error::internal(format!("a value does not fit: {error}"));
    arguments.add(organization).map_err(unfit)?;
    let (mut parts, mut updated, mut number) = (Vec::new(), vec!["0".to_owned()], 1);
    for (index, rows) in tables.iter().enumerate() {
        let wanted = |column: &&'static str| match &rows.verb {
            Verb::Insert | Verb::Upsert { .. } => true,
            Verb::Update { key, set } => key.contains(column) || set.contains(column),
        };
        let mut lists = Vec::with_capacity(rows.columns.len());
        let mut names = Vec::with_capacity(rows.columns.len());
        for (column, values) in rows.columns.iter().zip(&rows.values).filter(|(column, _)| wanted(column)) {
            number += 1;
            let kind = add_list(&mut arguments, values).map_err(unfit)?;
            lists.push(format!("${number}::{kind}[]"));
            names.push(*column);
        }
        let (table, org, list, lists) = (rows.table, rows.organization, names.join(", "), lists.join(", "));
        parts.push(match &rows.verb {
            Verb::Insert => format!(
                "w{index} AS (INSERT INTO \"{table}\" ({org}, {list}) SELECT $1, u.* FROM unnest({lists}) AS u)"
            ),
            Verb::Upsert { key, set } => format!(
                "w{index} AS (INSERT INTO \"{table}\" ({org}, {list}) SELECT $1, u.* FROM unnest({lists}) AS u {})",
                conflict(org, key, set)
            ),
            Verb::Update { key, set } => {
                updated.push(format!("(SELECT count(*) FROM w{index})"));
                let set: Vec<String> = set.iter().map(|column| format!("{column} = u.{column}")).collect();
                let key: Vec<String> = key.iter().map(|column| format!("t.{column} = u.{column}")).collect();
                let (set, key) = (set.join(", "), key.join(" AND "));
                format!(
                    "w{index} AS (UPDATE \"{table}\" t SET {set} FROM unnest({lists}) AS u ({list})
                     WHERE t.{org} = $1 AND {key} RETURNING 1)"
                )
            }
        });
    }
    Ok((format!("WITH {} SELECT {}", parts.join(", "), updated.join(" + ")), arguments))
}

/// Adds a column's values as one list, and says of what type.
fn add_list(arguments: &mut PgArguments, values: &[Value]) -> Result<&'static str, sqlx::error::BoxDynError> {
    macro_rules! list {
        ($variant:ident, $kind:literal) => {{
            let values = values.iter().map(|value| match value {
                Value::$variant(value) => Ok(value.clone()),
                other => Err(format!("{other:?} in a column of type {}", $kind)),
            });
            arguments.add(values.collect::<Result<Vec<_>, String>>()?)?;
            Ok($kind)
        }};
    }
    match values.first() {
        Some(Value::Uuid(_)) => list!(Uuid, "uuid"),
        Some(Value::BigInt(_)) => list!(BigInt, "bigint"),
        Some(Value::SmallInt(_)) => list!(SmallInt, "smallint"),
        Some(Value::Bool(_)) => list!(Bool, "boolean"),
        Some(Value::String(_)) => list!(String, "text"),
        Some(Value::Bytes(_)) => list!(Bytes, "bytea"),
        other => Err(format!("no list of {other:?}").into()),
    }
}

fn conflict(organization: &str, key: &[&str], set: &[&str]) -> String {
    let set: Vec<String> = set.iter().map(|column| format!("{column} = excluded.{column}")).collect();
    format!("ON CONFLICT ({organization}, {}) DO UPDATE SET {}", key.join(", "), set.join(", "))
}

/// Writes rows in statements of 256, 128, 64, ... rows. What is there is known by its key, so an update
/// is an insertion that meets what is there.
async fn write_sqlite(txn: &Txn, organization: Uuid, rows: Rows) -> Result<(), DbErr> {
    let on_conflict = match &rows.verb {
        Verb::Insert => String::new(),
        Verb::Upsert { key, set } | Verb::Update { key, set } => conflict(rows.organization, key, set),
    };
    let (width, mut left) = (rows.columns.len(), rows.count);
    let mut columns: Vec<_> = rows.values.into_iter().map(Vec::into_iter).collect();
    while left > 0 {
        let size = if left >= SQLITE_ROWS { SQLITE_ROWS } else { 1 << left.ilog2() };
        left -= size;
        let mut values = Vec::with_capacity(1 + size * width);
        values.push(Value::from(organization));
        let mut tuples = Vec::with_capacity(size);
        for _ in 0..size {
            let mut tuple = String::from("(?1");
            for column in &mut columns {
                values.extend(column.next());
                tuple += &format!(", ?{}", values.len());
            }
            tuples.push(tuple + ")");
        }
        let sql = format!(
            "INSERT INTO \"{}\" ({}, {}) VALUES {} {on_conflict}",
            rows.table,
            rows.organization,
            rows.columns.join(", "),
            tuples.join(", "),
        );
        txn.execute_raw(Statement::from_sql_and_values(txn.get_database_backend(), sql, values)).await?;
    }
    Ok(())
}
