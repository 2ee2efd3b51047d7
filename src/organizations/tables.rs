//! Everything that is kept of an organization, as lines of JSON: table by table, some rows at a time.
//!
//! A line is a row: an object with a field for each column. Identifiers are UUIDs, instants are microseconds since 1970
//! UTC, digests are hexadecimal digits, amounts are whole numbers; what is JSON in the database is a text here. Rows
//! come in the order of their keys, and each table is found by its key, so that a part costs the same wherever it lies.
//!
//! Each part may be read from a snapshot of its own: what changes meanwhile shows as it is when its part is read. So
//! the ends of the chains come first: what the tables after them say beyond those ends has come since. In an
//! organization that is suspended hardly anything changes.

use std::pin::Pin;

use bursar_domain::id::PoolId;
use bursar_entity::*;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, EntityTrait, IdenStatic, IntoActiveModel, Iterable, Order,
    PrimaryKeyToColumn, QueryFilter, QueryOrder, QuerySelect, Value,
};
use serde_json::{Map, json};
use uuid::Uuid;

use crate::db::scope::{find_people, with_tenant_tables};
use crate::db::{Tenant, TenantEntity, Txn};
use crate::error::{Error, Result};

/// How many rows a part has at most.
const PAGE: u64 = 500;

/// Columns that are left out, by table: what proves something to somebody, what is shown to nobody but the recipient of a
/// mail, and what mail servers say to the vendor.
pub const WITHHELD: &[(&str, &[&str])] = &[
    ("api_key", &["hash"]),
    ("delivery", &["facts", "link_about", "link_path", "lease", "last_error"]),
    ("identity_provider", &["client_secret"]),
    ("payment", &["provider_url"]),
    ("timed_task", &["lease"]),
];

/// A part of a table.
#[derive(Clone, Debug)]
pub struct Part {
    /// The table.
    pub table: &'static str,
    /// How many rows it has.
    pub rows: u64,
    /// The rows, a line each.
    pub lines: String,
}

/// Where the next part of a table begins: after the row with this key.
type Key = Vec<Value>;

/// The rows of a part, and where the next one begins, when there may be one.
struct Rows {
    rows: u64,
    lines: String,
    next: Option<Key>,
}

type Reading<'t> = Pin<Box<dyn Future<Output = Result<Rows>> + Send + 't>>;

/// A table, and how its rows are read.
struct Table {
    name: &'static str,
    read: for<'t> fn(&'t Txn, Tenant, Option<Key>) -> Reading<'t>,
}

macro_rules! tables {
    ($($table:ident),+ $(,)?) => {
        /// The tables, in the order in which they come: all of an organization's, and its people.
        pub const TABLES: &[&str] = &["organization", $(stringify!($table),)+ "person"];

        const READ: &[Table] = &[
            Table { name: "organization", read: read::<organization::Entity> },
            $(Table { name: stringify!($table), read: read::<$table::Entity> },)+
            Table { name: "person", read: read_people },
        ];
    };
}

with_tenant_tables!(tables);

/// The way through all tables of an organization.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    table: usize,
    after: Option<Key>,
}

impl Walk {
    /// The next part. Each table has one at least, if it is an empty one. None: that was all.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn next(&mut self, txn: &Txn, tenant: Tenant) -> Result<Option<Part>> {
        let Some(table) = READ.get(self.table) else { return Ok(None) };
        let Rows { rows, lines, next } = (table.read)(txn, tenant, self.after.take()).await?;
        match next {
            Some(key) => self.after = Some(key),
            None => self.table += 1,
        }
        Ok(Some(Part { table: table.name, rows, lines }))
    }
}

/// The versions that the pools of an organization are at. Where a pool has the same before everything was read and
/// afterwards, nothing was booked in it meanwhile, and what was read of it adds up.
///
/// # Errors
/// What the database answers.
pub async fn versions(txn: &Txn, tenant: Tenant) -> Result<Vec<(PoolId, i64)>> {
    let heads = tenant.find::<pool_head::Entity>().select_only().column(pool_head::Column::PoolId);
    Ok(heads.column(pool_head::Column::Version).into_tuple().all(txn).await?)
}

/// Reads a part of a table.
fn read<E>(txn: &Txn, tenant: Tenant, after: Option<Key>) -> Reading<'_>
where
    E: TenantEntity,
    E::Model: IntoActiveModel<E::ActiveModel> + Send + Sync,
{
    Box::pin(async move {
        let key: Vec<E::Column> = E::PrimaryKey::iter().map(PrimaryKeyToColumn::into_column).collect();
        let mut select = tenant.find::<E>();
        if let Some(after) = after {
            let columns = key.iter().map(|column| ColumnTrait::into_expr(*column));
            let values = after.into_iter().map(Expr::value);
            select = select.filter(Expr::tuple(columns).gt(Expr::tuple(values)));
        }
        for column in &key {
            select = select.order_by(*column, Order::Asc);
        }
        let rows = select.limit(PAGE).all(txn).await?;
        let (count, mut lines, mut last) = (length(rows.len()), String::new(), None);
        for row in rows {
            let mut row = row.into_active_model();
            // Before the values are taken out of it.
            last = Some(key.iter().map(|column| value(row.get(*column))).collect::<Result<Key>>()?);
            lines += &line::<E>(&mut row)?;
        }
        Ok(Rows { rows: count, lines, next: last.filter(|_| count == PAGE) })
    })
}

/// A row as a line.
fn line<E: EntityTrait>(row: &mut E::ActiveModel) -> Result<String> {
    let table = E::default().table_name().to_owned();
    let withheld = WITHHELD.iter().find(|(name, _)| *name == table).map_or(&[][..], |(_, columns)| *columns);
    let mut object = Map::new();
    for column in E::Column::iter().filter(|column| !withheld.contains(&column.as_str())) {
        object.insert(column.as_str().to_owned(), shown(value(row.take(column))?)?);
    }
    Ok(serde_json::Value::Object(object).to_string() + "\n")
}

fn value(value: ActiveValue<Value>) -> Result<Value> {
    match value {
        ActiveValue::Set(value) | ActiveValue::Unchanged(value) => Ok(value),
        ActiveValue::NotSet => Err(Error::internal("a row lacks a value")),
    }
}

/// A value of a column as JSON.
fn shown(value: Value) -> Result<serde_json::Value> {
    Ok(match value {
        Value::Bool(value) => json!(value),
        Value::SmallInt(value) => json!(value),
        Value::BigInt(value) => json!(value),
        Value::String(value) => json!(value),
        Value::Uuid(value) => json!(value.map(|value: Uuid| value.to_string())),
        Value::Bytes(value) => json!(value.map(|value| data_encoding::HEXLOWER.encode(&value))),
        other => return Err(Error::internal(format!("{other:?} in a table"))),
    })
}

/// Reads a part of the people who belong to the organization: who they are, and nothing of what else they are in.
fn read_people(txn: &Txn, tenant: Tenant, after: Option<Key>) -> Reading<'_> {
    Box::pin(async move {
        let mut members = tenant.find::<membership::Entity>();
        if let Some(after) = after.and_then(|key| key.into_iter().next()) {
            let id = ColumnTrait::into_expr(membership::Column::UserId);
            members = members.filter(id.gt(Expr::value(after)));
        }
        let members = members.order_by(membership::Column::UserId, Order::Asc).limit(PAGE).all(txn).await?;
        let last = members.last().map(|member| vec![Value::from(member.user_id)]);
        let full = length(members.len()) == PAGE;
        let ids = members.iter().map(|member| member.user_id);
        let people = find_people().filter(user::Column::Id.is_in(ids));
        let people = people.order_by(user::Column::Id, Order::Asc).all(txn).await?;
        let (rows, mut lines) = (length(people.len()), String::new());
        for person in people {
            let id = shown(Value::from(person.id))?;
            let created_at = person.created_at.micros();
            let object = json!({
                "id": id, "email": person.email, "name": person.name, "created_at": created_at,
            });
            lines += &(object.to_string() + "\n");
        }
        Ok(Rows { rows, lines, next: last.filter(|_| full) })
    })
}

fn length(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_the_chains_come_before_the_chains() {
        let place = |name: &str| READ.iter().position(|table| table.name == name).unwrap();
        assert!(place("audit_head") < place("audit_event"));
        for table in ["account", "charge", "hold", "journal_entry", "lot", "lot_position", "transfer"] {
            assert!(place("pool_head") < place(table), "{table}");
        }
    }

    #[test]
    fn what_is_withheld_is_there() {
        for (table, columns) in WITHHELD {
            assert!(TABLES.contains(table) && !columns.is_empty(), "{table}");
        }
        let names: Vec<&str> = delivery::Column::iter().map(|column| column.as_str()).collect();
        let withheld = WITHHELD.iter().find(|(table, _)| *table == "delivery").unwrap().1;
        assert!(withheld.iter().all(|column| names.contains(column)), "{names:?}");
    }
}
