//! The rules of transactions: what a client's disconnect can and cannot do, who wins a deadlock, what a
//! snapshot shows, and that no connection comes back inside a transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bursar::db::{self, Database, Scope, Tenant, Txn};
use bursar::error::{Error, Result};
use bursar::global_id;
use bursar_domain::id::OrganizationId;
use bursar_entity::department;
use futures_util::future::join_all;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, Set, Statement, Unchanged,
};

use crate::on_both_databases;
use crate::support::{Backend, DEADLINE, World, run};

on_both_databases!(
    a_write_outlives_its_caller,
    errors_and_rehearsals_leave_nothing,
    a_snapshot_stands_still,
    cut_off_reads_leave_clean_connections,
);

async fn start(backend: Backend) -> (World, Database, Tenant) {
    let world = World::start(backend).await;
    let demo = world.client("owner@demo.test").await.demo().await;
    let organization: OrganizationId = global_id::decode(&demo.organization).unwrap();
    let db = Database::connect(&world.database.addresses).await.unwrap();
    (world, db, Tenant::vouched(organization))
}

async fn named(txn: &Txn, tenant: Tenant, code: &str) -> department::Model {
    let select = tenant.find::<department::Entity>().filter(department::Column::Code.eq(code));
    select.one(txn).await.unwrap().unwrap()
}

/// Locks a department and gives it a name.
async fn rename(txn: &Txn, tenant: Tenant, code: &str, name: String) -> Result<()> {
    let select =
        tenant.find::<department::Entity>().filter(department::Column::Code.eq(code)).lock_exclusive();
    let row = select.one(txn).await?.unwrap();
    let row = department::ActiveModel {
        organization_id: Unchanged(row.organization_id),
        id: Unchanged(row.id),
        name: Set(name),
        ..Default::default()
    };
    department::Entity::update(row).exec_without_returning(txn).await?;
    Ok(())
}

async fn a_write_outlives_its_caller(backend: Backend) {
    let (_world, db, tenant) = start(backend).await;
    let begun = Arc::new(tokio::sync::Notify::new());
    let caller = {
        let (db, begun) = (db.clone(), begun.clone());
        tokio::spawn(async move {
            let work = db::work(move |txn| {
                let begun = begun.clone();
                Box::pin(async move {
                    rename(txn, tenant, "SALES", "kept".to_owned()).await?;
                    begun.notify_one();
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    Ok(())
                })
            });
            db.write(tenant, work).await
        })
    };
    begun.notified().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    let began = std::time::Instant::now();
    loop {
        let txn = db.read(tenant).await.unwrap();
        if named(&txn, tenant, "SALES").await.name == "kept" {
            break;
        }
        assert!(began.elapsed() < DEADLINE, "the write was lost with its caller");
    }
    db.close().await.unwrap();
}

async fn errors_and_rehearsals_leave_nothing(backend: Backend) {
    let (_world, db, tenant) = start(backend).await;
    let failing = db::work(move |txn| {
        Box::pin(async move {
            rename(txn, tenant, "SALES", "failed".to_owned()).await?;
            Err::<(), _>(Error::Forbidden)
        })
    });
    assert!(matches!(db.write(tenant, failing).await, Err(Error::Forbidden)));
    let rehearsed = db::work(move |txn| {
        Box::pin(async move {
            rename(txn, tenant, "SALES", "rehearsed".to_owned()).await?;
            Ok(named(txn, tenant, "SALES").await.name)
        })
    });
    assert_eq!(db.rehearse(tenant, rehearsed).await.unwrap(), "rehearsed");
    let txn = db.read(tenant).await.unwrap();
    assert_eq!(named(&txn, tenant, "SALES").await.name, "Sales");
}

async fn a_snapshot_stands_still(backend: Backend) {
    let (_world, db, tenant) = start(backend).await;
    let before = db.read(tenant).await.unwrap();
    assert_eq!(named(&before, tenant, "SALES").await.name, "Sales");
    let work = db::work(move |txn| Box::pin(rename(txn, tenant, "SALES", "later".to_owned())));
    db.write(tenant, work).await.unwrap();
    assert_eq!(named(&before, tenant, "SALES").await.name, "Sales");
    let after = db.read(tenant).await.unwrap();
    assert_eq!(named(&after, tenant, "SALES").await.name, "later");
    // Nothing is written through a snapshot.
    let error = before.execute_unprepared("UPDATE department SET name = 'x'").await.unwrap_err().to_string();
    assert!(error.contains("read-only") || error.contains("readonly"), "{error}");
}

async fn cut_off_reads_leave_clean_connections(backend: Backend) {
    let (world, db, tenant) = start(backend).await;
    for wave in 0..10u64 {
        let reads = (0..30u64).map(|n| {
            let db = db.clone();
            let read = async move {
                let txn = db.read(tenant).await.unwrap();
                named(&txn, tenant, "SALES").await;
            };
            tokio::time::timeout(Duration::from_micros((wave * 31 + n * 7) % 400), read)
        });
        join_all(reads).await;
    }
    // Whatever was cut off, what is written afterwards is there.
    for n in 0..20 {
        let name = format!("name {n}");
        let work = db::work(move |txn| Box::pin(rename(txn, tenant, "SALES", name.clone())));
        db.write(tenant, work).await.unwrap();
        let txn = db.read(tenant).await.unwrap();
        assert_eq!(named(&txn, tenant, "SALES").await.name, format!("name {n}"));
    }
    if backend == Backend::Postgres {
        let superuser = sea_orm::Database::connect(&world.database.superuser).await.unwrap();
        let sql = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
        let began = std::time::Instant::now();
        loop {
            let row = superuser
                .query_one_raw(Statement::from_string(superuser.get_database_backend(), sql))
                .await
                .unwrap()
                .unwrap();
            match row.try_get::<i64>("", "n").unwrap() {
                0 => break,
                n => assert!(began.elapsed() < DEADLINE, "{n} connections are left in a transaction"),
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Two writers that lock two rows in opposite order: PostgreSQL ends one, which is run again.
#[test]
fn a_deadlock_reaches_nobody() {
    run(async {
        let (_world, db, tenant) = start(Backend::Postgres).await;
        let attempts = Arc::new(AtomicU32::new(0));
        let both = Arc::new(tokio::sync::Barrier::new(2));
        let writer = |first: &'static str, second: &'static str| {
            let (attempts, both, db) = (attempts.clone(), both.clone(), db.clone());
            async move {
                let work = db::work(move |txn| {
                    let (attempts, both) = (attempts.clone(), both.clone());
                    Box::pin(async move {
                        let attempt = attempts.fetch_add(1, Ordering::SeqCst);
                        rename(txn, tenant, first, format!("by {first}")).await?;
                        if attempt < 2 {
                            both.wait().await;
                        }
                        rename(txn, tenant, second, format!("by {first}")).await
                    })
                });
                db.write(tenant, work).await
            }
        };
        let (one, two) = tokio::join!(writer("SALES", "MARKETING"), writer("MARKETING", "SALES"));
        one.unwrap();
        two.unwrap();
        // Once as a rule; a loser that is quick enough to come between again loses again.
        assert!(attempts.load(Ordering::SeqCst) >= 3, "one of them was run again");
        let txn = db.read(tenant).await.unwrap();
        assert_eq!(named(&txn, tenant, "SALES").await.name, named(&txn, tenant, "MARKETING").await.name);
    });
}

/// What the person's scope and the address's scope show.
#[test]
fn scopes_show_what_they_are_for() {
    run(async {
        let (_world, db, tenant) = start(Backend::Postgres).await;
        let count = |scope: Scope| {
            let db = db.clone();
            async move {
                let txn = db.read(scope).await.unwrap();
                let sql = "SELECT (SELECT count(*) FROM \"user\") AS people, (SELECT count(*) FROM pool) AS pools, (SELECT count(*) FROM membership) AS members";
                let row = txn
                    .query_one_raw(Statement::from_string(txn.get_database_backend(), sql))
                    .await
                    .unwrap()
                    .unwrap();
                let n = |name: &str| row.try_get::<i64>("", name).unwrap();
                (n("people"), n("pools"), n("members"))
            }
        };
        assert_eq!(count(tenant.into()).await, (5, 1, 5));
        assert_eq!(count(Scope::Email("owner@demo.test".to_owned())).await, (1, 0, 0));
        assert_eq!(count(Scope::Email("' OR '1'='1".to_owned())).await, (0, 0, 0));
        assert_eq!(count(Scope::Operator).await, (6, 1, 5));
    });
}
