//! What differs between the two databases: names of types, row-level security, triggers.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DatabaseBackend};

/// Runs `sql` with the type names of the database at hand: `{uuid}`, `{int}` (64 bits), `{small}`
/// (16 bits), `{bool}`, `{bytes}`, and `{table}` for what follows the column list of a table.
///
/// SQLite's tables are STRICT, so that no float can slip into an amount, and are stored in the order
/// of their primary keys.
pub async fn run(manager: &SchemaManager<'_>, sql: &str) -> Result<(), DbErr> {
    let words = match manager.get_database_backend() {
        DatabaseBackend::Postgres => [
            ("{uuid}", "uuid"),
            ("{int}", "bigint"),
            ("{small}", "smallint"),
            ("{bool}", "boolean"),
            ("{bytes}", "bytea"),
            ("{table}", ""),
        ],
        _ => [
            ("{uuid}", "BLOB"),
            ("{int}", "INTEGER"),
            ("{small}", "INTEGER"),
            ("{bool}", "INTEGER"),
            ("{bytes}", "BLOB"),
            ("{table}", "STRICT, WITHOUT ROWID"),
        ],
    };
    let sql = words.iter().fold(sql.to_owned(), |sql, (word, name)| sql.replace(word, name));
    manager.get_connection().execute_unprepared(&sql).await.map(drop)
}

/// Runs `sql` on PostgreSQL only.
pub async fn postgres(manager: &SchemaManager<'_>, sql: &str) -> Result<(), DbErr> {
    match manager.get_database_backend() {
        DatabaseBackend::Postgres => manager.get_connection().execute_unprepared(sql).await.map(drop),
        _ => Ok(()),
    }
}

/// Runs `sql` on SQLite only.
pub async fn sqlite(manager: &SchemaManager<'_>, sql: &str) -> Result<(), DbErr> {
    match manager.get_database_backend() {
        DatabaseBackend::Sqlite => manager.get_connection().execute_unprepared(sql).await.map(drop),
        _ => Ok(()),
    }
}

/// The value of a setting of the transaction, as a UUID; null when it is not set.
pub fn setting(name: &str) -> String {
    format!("(SELECT nullif(current_setting('app.{name}', true), '')::uuid)")
}

/// Puts row-level security on a tenant table: rows of the transaction's organization can be read and
/// written, the operator's read scope reads all, and without a setting there are no rows.
///
/// `visible` adds another condition under which a row can be read (not written).
pub async fn isolate(
    manager: &SchemaManager<'_>,
    table: &str,
    organization: &str,
    visible: Option<&str>,
) -> Result<(), DbErr> {
    let own = format!("{organization} = {}", setting("organization_id"));
    let mut sql = format!(
        "ALTER TABLE \"{table}\" ENABLE ROW LEVEL SECURITY;
         ALTER TABLE \"{table}\" FORCE ROW LEVEL SECURITY;
         CREATE POLICY organization ON \"{table}\" USING ({own}) WITH CHECK ({own});
         CREATE POLICY operator ON \"{table}\" FOR SELECT USING ({OPERATOR});"
    );
    if let Some(visible) = visible {
        sql += &format!("CREATE POLICY person ON \"{table}\" FOR SELECT USING ({visible});");
    }
    postgres(manager, &sql).await
}

/// Lets the owner of tables, as whom migrations run, read and write the rows of all organizations, until
/// [`isolate_owner`]. Nobody else can in between: both happen in the transaction of the migration.
pub async fn free_owner(manager: &SchemaManager<'_>, tables: &[&str]) -> Result<(), DbErr> {
    for table in tables {
        postgres(manager, &format!("ALTER TABLE \"{table}\" NO FORCE ROW LEVEL SECURITY")).await?;
    }
    Ok(())
}

/// Puts the tables' owner under row-level security again.
pub async fn isolate_owner(manager: &SchemaManager<'_>, tables: &[&str]) -> Result<(), DbErr> {
    for table in tables {
        postgres(manager, &format!("ALTER TABLE \"{table}\" FORCE ROW LEVEL SECURITY")).await?;
    }
    Ok(())
}

/// The condition that holds in the operator's read scope.
pub const OPERATOR: &str = "(SELECT current_setting('app.operator', true)) = 'on'";

/// Makes a table append-only: UPDATE, DELETE and TRUNCATE are refused, for whomever.
pub async fn append_only(manager: &SchemaManager<'_>, table: &str) -> Result<(), DbErr> {
    let sql = match manager.get_database_backend() {
        DatabaseBackend::Postgres => format!(
            "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$;
             CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON \"{table}\"
                 FOR EACH ROW EXECUTE FUNCTION refuse_change();
             CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON \"{table}\"
                 FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();"
        ),
        _ => ["UPDATE", "DELETE"]
            .map(|verb| {
                format!(
                    "CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON \"{table}\"
                     BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END;"
                )
            })
            .concat(),
    };
    manager.get_connection().execute_unprepared(&sql).await.map(drop)
}

/// Runs `action` after each change of a row: `event` is `INSERT`, `DELETE`, `UPDATE` or `UPDATE OF` some
/// columns; `{row}` in the action is the row as it is then (as it was, for `DELETE`).
pub async fn after(manager: &SchemaManager<'_>, table: &str, event: &str, action: &str) -> Result<(), DbErr> {
    let (name, row) = (trigger(table, event), if event == "DELETE" { "OLD" } else { "NEW" });
    let action = action.replace("{row}", row);
    let sql = match manager.get_database_backend() {
        DatabaseBackend::Postgres => format!(
            "CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN {action}; RETURN NULL; END $$;
             CREATE TRIGGER {name} AFTER {event} ON \"{table}\" FOR EACH ROW EXECUTE FUNCTION {name}();"
        ),
        _ => format!("CREATE TRIGGER {name} AFTER {event} ON \"{table}\" BEGIN {action}; END;"),
    };
    manager.get_connection().execute_unprepared(&sql).await.map(drop)
}

/// Takes back what [`after`] has made.
pub async fn forget(manager: &SchemaManager<'_>, table: &str, event: &str) -> Result<(), DbErr> {
    let name = trigger(table, event);
    let sql = match manager.get_database_backend() {
        DatabaseBackend::Postgres => format!("DROP TRIGGER {name} ON \"{table}\"; DROP FUNCTION {name}();"),
        _ => format!("DROP TRIGGER {name};"),
    };
    manager.get_connection().execute_unprepared(&sql).await.map(drop)
}

fn trigger(table: &str, event: &str) -> String {
    let verb = event.split(' ').next().unwrap_or_default().to_lowercase();
    format!("{table}_{verb}_raises")
}

/// Drops tables, in the order given.
pub async fn drop_tables(manager: &SchemaManager<'_>, tables: &[&str]) -> Result<(), DbErr> {
    for table in tables {
        manager.get_connection().execute_unprepared(&format!("DROP TABLE \"{table}\"")).await?;
    }
    Ok(())
}
