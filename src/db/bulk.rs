//! Writing many rows of tenants at once, with few statements whose text is always the same, so
//! that they are prepared once on each connection.
//!
//! On PostgreSQL all tables go in one statement: each table is a part of its `WITH`, and its columns
//! arrive as arrays. On SQLite, where a statement costs no journey, each table takes statements of many
//! rows, in sizes that are powers of two, so that there are few texts.

use sea_orm::sqlx::postgres::PgArguments;
use sea_orm::sqlx::{self, Arguments as _};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ConnectionTrait, DbErr, EntityTrait, IdenStatic, IntoActiveModel,
    Iterable, Statement, Value,
};

use super::scope::TenantEntity;
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
    /// The organization's column, and its value in each row.
    organization: (&'static str, Vec<Value>),
    /// The other columns, and their values in each row.
    columns: Vec<(&'static str, Vec<Value>)>,
    verb: Verb,
}

enum Verb {
    /// They are new.
    Insert,
    /// They may be there; then only some columns change.
    Upsert { key: Vec<&'static str>, set: Vec<&'static str> },
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

    fn gather<E: TenantEntity>(rows: Vec<E::Model>, verb: Verb) -> Result<Rows>
    where
        E::Model: IntoActiveModel<E::ActiveModel>,
    {
        let count = rows.len();
        let list = |column: ColumnOf<E>| (column, Vec::with_capacity(count));
        let mut organization = list(E::organization_column());
        let others = ColumnOf::<E>::iter().filter(|column| column.as_str() != organization.0.as_str());
        let mut columns: Vec<_> = others.map(list).collect();
        for row in rows {
            let mut row = row.into_active_model();
            for (column, values) in std::iter::once(&mut organization).chain(&mut columns) {
                match row.take(*column) {
                    ActiveValue::Set(value) | ActiveValue::Unchanged(value) => values.push(value),
                    ActiveValue::NotSet => return Err(Error::internal("a row lacks a value")),
                }
            }
        }
        let named = |(column, values): (ColumnOf<E>, Vec<Value>)| (column.as_str(), values);
        let columns = columns.into_iter().map(named).collect();
        let (table, organization) = (E::default().table_name(), named(organization));
        Ok(Rows { table, organization, columns, verb })
    }

    fn count(&self) -> usize {
        self.organization.1.len()
    }

    /// What is done with rows that are there.
    fn on_conflict(&self) -> String {
        let Verb::Upsert { key, set } = &self.verb else { return String::new() };
        let set: Vec<String> = set.iter().map(|column| format!("{column} = excluded.{column}")).collect();
        format!("ON CONFLICT ({}, {}) DO UPDATE SET {}", self.organization.0, key.join(", "), set.join(", "))
    }
}

fn names<E: EntityTrait>(columns: &[ColumnOf<E>]) -> Vec<&'static str> {
    columns.iter().map(IdenStatic::as_str).collect()
}

impl Txn {
    /// Writes rows.
    pub async fn write_rows(&self, tables: Vec<Rows>) -> Result<()> {
        let tables: Vec<Rows> = tables.into_iter().filter(|rows| rows.count() > 0).collect();
        if tables.is_empty() {
            return Ok(());
        }
        let Some(transaction) = self.postgres() else {
            for rows in tables {
                write_sqlite(self, rows).await?;
            }
            return Ok(());
        };
        let (sql, arguments) = postgres(&tables)?;
        let mut transaction = transaction.lock().await;
        let query = sqlx::query_with(sqlx::AssertSqlSafe(sql), arguments);
        query.execute(&mut **transaction).await.map_err(super::transaction::failed)?;
        Ok(())
    }
}

/// The statement for all tables, and its arguments: the organization, when all rows are of one, and a list
/// for each column.
///
/// What may be there is inserted and meets it by its key. An UPDATE joined to the lists would leave it to
/// the planner whether to look each row up by its whole key or to go through all rows of the organization.
fn postgres(tables: &[Rows]) -> Result<(String, PgArguments)> {
    let mut arguments = PgArguments::default();
    let unfit = |error: sqlx::error::BoxDynError| Error::internal(format!("a value does not fit: {error}"));
    let mut organizations = tables.iter().flat_map(|rows| &rows.organization.1);
    let first = organizations.next();
    let one = if organizations.all(|other| Some(other) == first) { first } else { None };
    let (mut parts, mut number) = (Vec::with_capacity(tables.len()), 0);
    if let Some(Value::Uuid(one)) = one {
        number += 1;
        arguments.add(*one).map_err(unfit)?;
    }
    for (index, rows) in tables.iter().enumerate() {
        let organizations = if one.is_none() { Some(&rows.organization) } else { None };
        let mut lists = Vec::with_capacity(rows.columns.len() + 1);
        for (_, values) in organizations.into_iter().chain(&rows.columns) {
            number += 1;
            let kind = add_list(&mut arguments, values).map_err(unfit)?;
            lists.push(format!("${number}::{kind}[]"));
        }
        let columns: Vec<&str> = rows.columns.iter().map(|(name, _)| *name).collect();
        let (table, organization, columns) = (rows.table, rows.organization.0, columns.join(", "));
        let (selected, lists) = (if one.is_some() { "$1, u.*" } else { "u.*" }, lists.join(", "));
        let on_conflict = rows.on_conflict();
        parts.push(format!(
            "w{index} AS (INSERT INTO \"{table}\" ({organization}, {columns})
             SELECT {selected} FROM unnest({lists}) AS u {on_conflict})"
        ));
    }
    Ok((format!("WITH {} SELECT 1", parts.join(", ")), arguments))
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

/// Writes rows in statements of 256, 128, 64, ... rows.
async fn write_sqlite(txn: &Txn, rows: Rows) -> Result<(), DbErr> {
    let (on_conflict, mut left) = (rows.on_conflict(), rows.count());
    let lists: Vec<_> = std::iter::once(rows.organization).chain(rows.columns).collect();
    let names: Vec<&str> = lists.iter().map(|(name, _)| *name).collect();
    // Placeholders without numbers: SQLite looks for the name of each that has one, from the start.
    let (names, tuple) = (names.join(", "), format!("({})", vec!["?"; lists.len()].join(", ")));
    let width = lists.len();
    let mut lists: Vec<_> = lists.into_iter().map(|(_, values)| values.into_iter()).collect();
    while left > 0 {
        let size = if left >= SQLITE_ROWS { SQLITE_ROWS } else { 1 << left.ilog2() };
        left -= size;
        let mut values = Vec::with_capacity(size * width);
        for _ in 0..size {
            values.extend(lists.iter_mut().filter_map(Iterator::next));
        }
        let tuples = vec![tuple.as_str(); size].join(", ");
        let sql = format!("INSERT INTO \"{}\" ({names}) VALUES {tuples} {on_conflict}", rows.table);
        txn.execute_raw(Statement::from_sql_and_values(txn.get_database_backend(), sql, values)).await?;
    }
    Ok(())
}
