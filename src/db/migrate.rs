//! Migrations: who runs them, that only one process does at a time, and what the application's role
//! may do afterwards.

use bursar_migration::{Migrator, MigratorTrait, privileges};
use sea_orm::{
    ConnectionTrait, DatabaseBackend, DatabaseConnection, SqliteTransactionMode, Statement,
    TransactionOptions, TransactionTrait,
};

use super::Database;
use crate::config::Addresses;
use crate::error::{Error, Result};

/// The advisory lock that migrations take on PostgreSQL: "bursar" as bytes.
const LOCK: i64 = 0x6275_7273_6172;

/// Brings the database to the newest schema, all of it or nothing, one process at a time, and gives
/// the application's role its privileges.
pub async fn up(addresses: &Addresses) -> Result<()> {
    let connection = Database::connect_for_migration(addresses).await?;
    let transaction = begin(&connection).await?;
    Migrator::up(&transaction, None).await?;
    if let Some(role) = application_role(addresses)? {
        transaction.execute_unprepared(&privileges::grants(&role)).await?;
    }
    transaction.commit().await?;
    connection.close().await?;
    Ok(())
}

/// Takes the newest `steps` migrations back (all of them when `None`), and their rows with them.
pub async fn down(addresses: &Addresses, steps: Option<u32>) -> Result<()> {
    let connection = Database::connect_for_migration(addresses).await?;
    let transaction = begin(&connection).await?;
    Migrator::down(&transaction, steps).await?;
    transaction.commit().await?;
    connection.close().await?;
    Ok(())
}

/// How many migrations are still to be run.
pub async fn pending(db: &Database) -> Result<usize> {
    Ok(Migrator::get_pending_migrations_read_only(&db.writer).await?.len())
}

async fn begin(connection: &DatabaseConnection) -> Result<sea_orm::DatabaseTransaction> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let transaction = connection.begin_with_options(options).await?;
    if connection.get_database_backend() == DatabaseBackend::Postgres {
        // Another process may be at it for longer than a statement or a lock may normally wait.
        transaction
            .execute_unprepared(&format!(
                "SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock({LOCK})"
            ))
            .await?;
    }
    Ok(transaction)
}

/// The application's role, when it is not the one that migrates.
fn application_role(addresses: &Addresses) -> Result<Option<String>> {
    let Some(migration) = addresses.migration.as_ref().filter(|_| addresses.is_postgres()) else {
        return Ok(None);
    };
    let role = |setting: &'static str, address: &str| {
        let url = url::Url::parse(address).map_err(|_| Error::invalid(setting, "is not a URL"))?;
        let named = url.query_pairs().find(|(key, _)| key == "user").map(|(_, user)| user.into_owned());
        Ok::<_, Error>(named.unwrap_or_else(|| url.username().to_owned()))
    };
    let application = role("DATABASE_URL", &addresses.application)?;
    let owner = role("BURSAR_MIGRATE_DATABASE_URL", migration)?;
    if application.is_empty() {
        return Err(Error::invalid("DATABASE_URL", "must name the application's role"));
    }
    Ok((application != owner).then_some(application))
}

/// Why the application's role must not be used where other people's money is kept: it owns the tables,
/// or row-level security does not bind it. `None` when it is as it should be.
pub async fn role_too_strong(db: &Database) -> Result<Option<&'static str>> {
    if db.backend() != DatabaseBackend::Postgres {
        return Ok(None);
    }
    let sql =
        "SELECT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user) AS unbound,
                      EXISTS (SELECT FROM pg_tables WHERE tableowner = current_user
                              AND schemaname = current_schema() AND tablename = 'transfer') AS owner";
    let row = db.writer.query_one_raw(Statement::from_string(DatabaseBackend::Postgres, sql)).await?;
    let row = row.ok_or_else(|| Error::internal("PostgreSQL does not know the current role"))?;
    Ok(if row.try_get::<bool>("", "unbound")? {
        Some("is a superuser or bypasses row-level security")
    } else if row.try_get::<bool>("", "owner")? {
        Some("owns the tables")
    } else {
        None
    })
}
