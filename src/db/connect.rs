//! Opening the database: connection pools, with what each connection is set to.

use std::path::Path;
use std::time::Duration;

use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::sqlx::{self, Connection as _};
use sea_orm::{ConnectOptions, DatabaseConnection};
use tokio_util::task::TaskTracker;

use super::{Database, Filter};
use crate::config::{Addresses, CONNECTIONS};
use crate::error::{Error, Result};

/// How long a caller waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one statement may run.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a statement may wait for a lock, in PostgreSQL's notation.
const LOCK_TIMEOUT: &str = "10s";
/// How long a transaction may stand idle, in PostgreSQL's notation.
const IDLE_IN_TRANSACTION: &str = "60s";

/// How the database is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Connections for reading, and as many for writing. SQLite has one writer whatever this says.
    pub connections: u32,
    /// What keeps writes from being lost.
    pub protections: Protections,
    /// Whether statements keep the application's own filter. No setting changes that: that a debug build can be
    /// without is for the proof that row-level security stands behind it.
    pub filter: Filter,
}

/// What keeps acknowledged writes from being lost when clients go away in the middle of something. No
/// setting turns these off: that they can be is for the proof that they are needed.
#[derive(Clone, Copy, Debug)]
pub struct Protections {
    /// Snapshots are begun, and writes are run, in tasks of their own, which outlive whoever asked. (The
    /// ledger's lanes are such tasks whatever this says.)
    pub own_task: bool,
    /// A connection that comes back inside a transaction is closed.
    pub probe: bool,
}

impl Default for Protections {
    fn default() -> Protections {
        Protections { own_task: true, probe: true }
    }
}

impl Default for Options {
    fn default() -> Options {
        Options { connections: CONNECTIONS, protections: Protections::default(), filter: Filter::default() }
    }
}

impl Database {
    /// Opens the database for the application. On SQLite the file is created when it is missing.
    pub async fn connect(addresses: &Addresses) -> Result<Database> {
        Database::open(addresses, Options::default()).await
    }

    /// Opens the database as the options say.
    pub async fn open(addresses: &Addresses, options: Options) -> Result<Database> {
        let Options { connections, protections, filter } = options;
        let (url, probe) = (addresses.application.as_str(), protections.probe);
        let (writer, reader) = if addresses.is_postgres() {
            // The writer's statements look rows up by their keys. Planned once, when a table may still be
            // empty, they must not be planned to go through all of it.
            let planned = [("plan_cache_mode", "force_generic_plan"), ("enable_seqscan", "off")];
            (
                postgres(url, connections, &planned, probe).await?,
                postgres(url, connections, &[], probe).await?,
            )
        } else if url.starts_with("sqlite:") {
            // The writer first: it makes the file and turns the write-ahead log on.
            (sqlite(url, 1, false, probe).await?, sqlite(url, connections, true, probe).await?)
        } else {
            return Err(Error::invalid("DATABASE_URL", "must begin with sqlite: or postgres:"));
        };
        Ok(Database { writer, reader, writes: TaskTracker::new(), protections, filter, url: url.into() })
    }

    /// Opens the database for migrations: one connection, as the role that owns the tables.
    pub(super) async fn connect_for_migration(addresses: &Addresses) -> Result<DatabaseConnection> {
        let url = addresses.migration.as_ref().unwrap_or(&addresses.application);
        if addresses.is_postgres() {
            postgres(url, 1, &[], true).await
        } else {
            sqlite(url, 1, false, true).await
        }
    }
}

async fn postgres(
    url: &str,
    connections: u32,
    settings: &[(&'static str, &'static str)],
    probe: bool,
) -> Result<DatabaseConnection> {
    let settings = settings.to_vec();
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire_if_idle_for(Duration::from_secs(30))
        .statement_timeout(STATEMENT_TIMEOUT)
        .set_application_name("bursar")
        .sqlx_logging(false)
        .map_sqlx_postgres_opts(move |options| {
            let always = [
                ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION),
                ("lock_timeout", LOCK_TIMEOUT),
                // Compiling a statement takes longer than any of ours runs.
                ("jit", "off"),
            ];
            options.statement_cache_capacity(256).options(always.into_iter().chain(settings.clone()))
        })
        .map_sqlx_postgres_pool_opts(move |pool| {
            if !probe {
                return pool;
            }
            pool.after_release(|connection, _| {
                Box::pin(async move {
                    let clean = sqlx::Executor::execute(&mut *connection, PROBE).await;
                    Ok(clean.is_ok() && !connection.is_in_transaction())
                })
            })
        });
    Ok(sea_orm::Database::connect(options).await?)
}

/// Shows whether a connection that comes back is still inside a transaction, as a cancelled BEGIN can
/// leave it: what its next borrower writes would vanish. A transaction that is still open ends here,
/// or makes this fail, and a connection that fails it is closed.
const PROBE: &str = "BEGIN; ROLLBACK";

async fn sqlite(url: &str, connections: u32, read_only: bool, probe: bool) -> Result<DatabaseConnection> {
    let in_memory = url.contains(":memory:") || url.contains("mode=memory");
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(move |options| {
            let options = options
                .foreign_keys(true)
                .busy_timeout(Duration::from_secs(10))
                .statement_cache_capacity(256);
            if read_only {
                options.read_only(true)
            } else {
                if !in_memory {
                    make_private(options.get_filename());
                }
                options
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
            }
        })
        .map_sqlx_sqlite_pool_opts(move |pool| {
            let pool = pool.max_lifetime(None::<Duration>).idle_timeout(None::<Duration>);
            if !probe {
                return pool;
            }
            pool.after_release(|connection, _| {
                Box::pin(async move {
                    let clean = sqlx::Executor::execute(&mut *connection, PROBE).await;
                    Ok(clean.is_ok() && !connection.is_in_transaction())
                })
            })
        });
    Ok(sea_orm::Database::connect(options).await?)
}

/// Makes a file that nobody but its owner reads, and SQLite gives the files beside it the same permissions. When it is
/// there, it stays as it is; when it cannot be made, SQLite says why.
fn make_private(file: &Path) {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let _ = options.open(file);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db;
    use crate::db::scope::{Scope, Tenant};
    use bursar_domain::id::{Id, OrganizationId};
    use sea_orm::ConnectionTrait;

    #[cfg(unix)]
    #[tokio::test]
    async fn nobody_else_reads_the_files() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let db = Database::connect(&Addresses::sqlite(&dir.path().join("own.db"))).await.unwrap();
        db.writer.execute_unprepared("CREATE TABLE t (n INTEGER)").await.unwrap();
        for file in ["own.db", "own.db-wal", "own.db-shm"] {
            let mode = std::fs::metadata(dir.path().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }

    /// A connection that comes back inside a transaction, as a cancelled BEGIN leaves it, is not lent to
    /// the next writer: what that one commits is there.
    #[tokio::test]
    async fn a_connection_inside_a_transaction_is_not_lent_again() {
        let dir = tempfile::tempdir().unwrap();
        let addresses = Addresses::sqlite(&dir.path().join("probe.db"));
        let db = Database::connect(&addresses).await.unwrap();
        db.writer.execute_unprepared("CREATE TABLE t (n INTEGER)").await.unwrap();
        for n in 0..3 {
            let mut left = db.writer.get_sqlite_connection_pool().acquire().await.unwrap();
            // Behind the back of the library, which counts only the transactions that it has begun.
            sqlx::Executor::execute(&mut *left, "BEGIN").await.unwrap();
            drop(left);
            let insert = format!("INSERT INTO t VALUES ({n})");
            let work = db::work(move |txn| {
                let insert = insert.clone();
                Box::pin(async move { Ok(txn.execute_unprepared(&insert).await?.rows_affected()) })
            });
            let scope = Scope::Tenant(Tenant::vouched(OrganizationId::from_u128(1)));
            assert_eq!(db.write(scope, work).await.unwrap(), 1);
            let count = "SELECT count(*) AS n FROM t";
            let count = sea_orm::Statement::from_string(db.backend(), count);
            let seen = db.reader.query_one_raw(count).await.unwrap().unwrap();
            assert_eq!(seen.try_get::<i64>("", "n").unwrap(), n + 1);
        }
    }
}
