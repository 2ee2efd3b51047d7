//! All that a database keeps, whoever's it is: every row as text, and on SQLite the bytes of its files.

use sea_orm::{ConnectionTrait, Database, DatabaseConnection, Statement};

use super::{Backend, TestDatabase};

/// Every row of every table, one on a line, bytes in hexadecimal.
pub async fn rows(database: &TestDatabase) -> Vec<u8> {
    let superuser = Database::connect(&database.superuser).await.unwrap();
    let tables = match database.backend {
        Backend::Sqlite => "SELECT name AS line FROM sqlite_master WHERE type = 'table'",
        Backend::Postgres => {
            "SELECT format('%I.%I', schemaname, tablename) AS line FROM pg_tables
             WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        }
    };
    let mut all = String::new();
    for table in lines(&superuser, tables).await {
        let row = match database.backend {
            Backend::Postgres => format!("SELECT t::text AS line FROM {table} t"),
            Backend::Sqlite => {
                let columns = format!("SELECT name AS line FROM pragma_table_info('{table}')");
                let columns = lines(&superuser, &columns).await;
                let columns: Vec<String> =
                    columns.iter().map(|column| format!("quote(\"{column}\")")).collect();
                format!("SELECT {} AS line FROM \"{table}\"", columns.join(" || ' ' || "))
            }
        };
        for line in lines(&superuser, &row).await {
            all += &format!("{table} {line}\n");
        }
    }
    superuser.close().await.unwrap();
    all.into_bytes()
}

/// The files of a SQLite database as they are, with what is deleted or still in the write-ahead log; of PostgreSQL
/// nothing.
pub fn files(database: &TestDatabase) -> Vec<u8> {
    let Some(file) = database.addresses.sqlite_file() else { return Vec::new() };
    let mut all = std::fs::read(&file).unwrap();
    for end in ["-wal", "-shm"] {
        // They are there while somebody has the database open.
        all.extend(std::fs::read(format!("{}{end}", file.display())).unwrap_or_default());
    }
    all
}

/// The column `line` of each row that a statement answers.
async fn lines(superuser: &DatabaseConnection, sql: &str) -> Vec<String> {
    let statement = Statement::from_string(superuser.get_database_backend(), sql);
    let rows = superuser.query_all_raw(statement).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    rows.iter().map(|row| row.try_get("", "line").unwrap()).collect()
}
