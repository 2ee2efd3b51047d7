//! A fresh database for each test: a copy of a migrated one, a SQLite file or a PostgreSQL database.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use bursar::config::Addresses;
use bursar::db::migrate;
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, EntityTrait, Statement};
use tokio::sync::{Mutex, OnceCell};

use super::lookout::Lookout;
use super::postgres::{APPLICATION, Instance, OWNER, server};

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// An embedded file.
    Sqlite,
    /// A server.
    Postgres,
}

/// A database of a test's own.
pub struct TestDatabase {
    /// Which.
    pub backend: Backend,
    /// Where, as the two roles that there are on PostgreSQL.
    pub addresses: Addresses,
    /// As superuser, whom nothing binds. On SQLite the same as the others.
    pub superuser: String,
    /// The superuser's connection, once a test has asked for a number.
    counting: OnceCell<DatabaseConnection>,
    /// Before the directory, whose files it reads.
    _lookout: Lookout,
    _dir: tempfile::TempDir,
}

impl TestDatabase {
    /// A database with the newest schema.
    pub async fn migrated(backend: Backend) -> TestDatabase {
        match backend {
            Backend::Sqlite => {
                static TEMPLATE: OnceCell<Vec<u8>> = OnceCell::const_new();
                let template = TEMPLATE.get_or_init(migrated_file).await;
                let database = TestDatabase::empty(backend).await;
                std::fs::write(database.addresses.sqlite_file().unwrap(), template).unwrap();
                database
            }
            Backend::Postgres => {
                static TEMPLATE: OnceCell<()> = OnceCell::const_new();
                let template = "bursar_template";
                TEMPLATE
                    .get_or_init(|| async {
                        create(template, None).await;
                        migrate::up(&addresses(template)).await.unwrap();
                    })
                    .await;
                postgres(Some(template)).await
            }
        }
    }

    /// A database with the newest schema on a server of one's own.
    pub async fn on(instance: &Instance) -> TestDatabase {
        let (superuser, name) = (instance.superuser(), "bursar");
        create_roles(&superuser).await;
        create_on(&superuser, name, "template0").await;
        let addresses = addresses_on(&instance.host(), name);
        migrate::up(&addresses).await.unwrap();
        let superuser = format!("{superuser}/{name}");
        let (lookout, dir) = (Lookout::over(None), tempfile::tempdir().unwrap());
        TestDatabase {
            backend: Backend::Postgres,
            addresses,
            superuser,
            counting: OnceCell::new(),
            _lookout: lookout,
            _dir: dir,
        }
    }

    /// A database without tables.
    pub async fn empty(backend: Backend) -> TestDatabase {
        match backend {
            Backend::Sqlite => {
                let dir = tempfile::tempdir().unwrap();
                let addresses = Addresses::sqlite(&dir.path().join("bursar.db"));
                let superuser = addresses.application.clone();
                let lookout = Lookout::over(addresses.sqlite_file());
                TestDatabase {
                    backend,
                    addresses,
                    superuser,
                    counting: OnceCell::new(),
                    _lookout: lookout,
                    _dir: dir,
                }
            }
            Backend::Postgres => postgres(None).await,
        }
    }

    /// A number that a statement answers in its column `n`, whoever's rows it counts.
    pub async fn number(&self, sql: &str) -> i64 {
        let superuser = self.counting.get_or_init(|| async {
            // A new connection each time would cost more than most of what is counted.
            let mut options = ConnectOptions::new(&self.superuser);
            options.max_connections(1);
            Database::connect(options).await.unwrap()
        });
        let superuser = superuser.await;
        let statement = Statement::from_string(superuser.get_database_backend(), sql);
        let row = superuser.query_one_raw(statement).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        row.unwrap().try_get("", "n").unwrap()
    }

    /// All rows of a table, whoever's they are.
    pub async fn rows<E: EntityTrait>(&self) -> Vec<E::Model>
    where
        E::Model: Send + Sync,
    {
        let superuser = Database::connect(&self.superuser).await.unwrap();
        let rows = E::find().all(&superuser).await.unwrap();
        superuser.close().await.unwrap();
        rows
    }
}

/// The file of a SQLite database with the newest schema.
async fn migrated_file() -> Vec<u8> {
    let database = TestDatabase::empty(Backend::Sqlite).await;
    migrate::up(&database.addresses).await.unwrap();
    // What stands in the log beside the file goes into it.
    let connection = Database::connect(&database.superuser).await.unwrap();
    connection.execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)").await.unwrap();
    connection.close().await.unwrap();
    std::fs::read(database.addresses.sqlite_file().unwrap()).unwrap()
}

async fn postgres(template: Option<&str>) -> TestDatabase {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("bursar_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    create(&name, template).await;
    let superuser = format!("{}/{name}", server().superuser);
    TestDatabase {
        backend: Backend::Postgres,
        addresses: addresses(&name),
        superuser,
        counting: OnceCell::new(),
        _lookout: Lookout::over(None),
        _dir: tempfile::tempdir().unwrap(),
    }
}

fn addresses(database: &str) -> Addresses {
    addresses_on(&server().host, database)
}

/// The addresses of a database on a server, for the two roles.
pub fn addresses_on(host: &str, database: &str) -> Addresses {
    Addresses {
        application: format!("postgres://{APPLICATION}@{host}/{database}"),
        migration: Some(format!("postgres://{OWNER}@{host}/{database}")),
    }
}

/// Creates a database on the shared server, and with the first one the two roles. One at a time: a template
/// that somebody is cloning cannot be cloned by another.
async fn create(name: &str, template: Option<&str>) {
    static ONE_AT_A_TIME: OnceLock<Mutex<bool>> = OnceLock::new();
    let mut roles_made = ONE_AT_A_TIME.get_or_init(|| Mutex::new(false)).lock().await;
    if !*roles_made {
        create_roles(&server().superuser).await;
        *roles_made = true;
    }
    if template.is_some() || name == "bursar_template" {
        let admin = Database::connect(format!("{}/postgres", server().superuser)).await.unwrap();
        admin.execute_unprepared(&format!("DROP DATABASE IF EXISTS {name}")).await.unwrap();
        admin.close().await.unwrap();
    }
    create_on(&server().superuser, name, template.unwrap_or("template0")).await;
}

/// Creates the two roles on a server.
pub async fn create_roles(superuser: &str) {
    let admin = Database::connect(format!("{superuser}/postgres")).await.unwrap();
    for role in [OWNER, APPLICATION] {
        let known = format!("SELECT FROM pg_roles WHERE rolname = '{role}'");
        let make =
            format!("DO $$ BEGIN IF NOT EXISTS ({known}) THEN CREATE ROLE {role} LOGIN; END IF; END $$");
        admin.execute_unprepared(&make).await.unwrap();
    }
    admin.close().await.unwrap();
}

/// Creates a database of the owner's on a server that has the roles.
pub async fn create_on(superuser: &str, name: &str, template: &str) {
    let admin = Database::connect(format!("{superuser}/postgres")).await.unwrap();
    let sql = format!("CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {template}");
    admin.execute_unprepared(&sql).await.unwrap();
    admin.close().await.unwrap();
    if template == "template0" {
        let made = Database::connect(format!("{superuser}/{name}")).await.unwrap();
        made.execute_unprepared(&format!("ALTER SCHEMA public OWNER TO {OWNER}")).await.unwrap();
        made.close().await.unwrap();
    }
}
