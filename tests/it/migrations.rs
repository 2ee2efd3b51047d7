//! Migrations on both databases: from empty to newest, down to empty, up again; every table holds and
//! gives back its entity; what must never change cannot be changed.

use bursar::db::{self, Database, Tenant, migrate};
use bursar_domain::Timestamp;
use bursar_domain::id::*;
use bursar_domain::organization::{OrganizationState, PaymentTerms};
use bursar_entity::*;
use bursar_migration::{Migrator, MigratorTrait, privileges};
use sea_orm::{ConnectionTrait, EntityTrait, IntoActiveModel, Statement};

use crate::on_both_databases;
use crate::support::{Backend, TestDatabase};

on_both_databases!(up_down_and_up_again, append_only_tables_stay, amounts_are_guarded);

async fn tables(database: &TestDatabase) -> Vec<String> {
    let connection = sea_orm::Database::connect(&database.superuser).await.unwrap();
    let sql = match database.backend {
        Backend::Postgres => {
            "SELECT tablename::text AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        }
        Backend::Sqlite => {
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY 1"
        }
    };
    let rows = connection
        .query_all_raw(Statement::from_string(connection.get_database_backend(), sql))
        .await
        .unwrap();
    connection.close().await.unwrap();
    rows.iter().map(|row| row.try_get::<String>("", "name").unwrap()).collect()
}

async fn up_down_and_up_again(backend: Backend) {
    let database = TestDatabase::empty(backend).await;
    let mut expected: Vec<String> = privileges::tables().map(str::to_owned).collect();
    expected.push("seaql_migrations".to_owned());
    expected.sort();
    migrate::up(&database.addresses).await.unwrap();
    assert_eq!(tables(&database).await, expected);
    migrate::up(&database.addresses).await.unwrap();
    migrate::down(&database.addresses, None).await.unwrap();
    assert_eq!(tables(&database).await, ["seaql_migrations"]);
    migrate::up(&database.addresses).await.unwrap();
    assert_eq!(tables(&database).await, expected);
    for _ in Migrator::migrations() {
        migrate::down(&database.addresses, Some(1)).await.unwrap();
    }
    assert_eq!(tables(&database).await, ["seaql_migrations"]);
    // Several processes at once: each waits for the one before.
    let runs = (0..3).map(|_| migrate::up(&database.addresses));
    for outcome in futures_util::future::join_all(runs).await {
        outcome.unwrap();
    }
    assert_eq!(tables(&database).await, expected);
    let db = Database::connect(&database.addresses).await.unwrap();
    assert_eq!(migrate::pending(&db).await.unwrap(), 0);
}

async fn append_only_tables_stay(backend: Backend) {
    let database = TestDatabase::migrated(backend).await;
    // As superuser: not even who owns everything can do it by mistake.
    let connection = sea_orm::Database::connect(&database.superuser).await.unwrap();
    for table in privileges::append_only_tables() {
        let sql = match backend {
            Backend::Postgres => format!(
                "SELECT tgname FROM pg_trigger WHERE tgrelid = '\"{table}\"'::regclass AND NOT tgisinternal AND tgname NOT LIKE '%_raises'"
            ),
            Backend::Sqlite => {
                format!(
                    "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = '{table}' AND name NOT LIKE '%_raises'"
                )
            }
        };
        let rows = connection
            .query_all_raw(Statement::from_string(connection.get_database_backend(), sql))
            .await
            .unwrap();
        assert_eq!(rows.len(), 2, "{table} has not its two triggers");
        if backend == Backend::Postgres {
            let error =
                connection.execute_unprepared(&format!("TRUNCATE \"{table}\" CASCADE")).await.unwrap_err();
            assert!(error.to_string().contains("append-only"), "{error}");
        }
    }
    for sql in ["UPDATE service_version SET credits = 9", "DELETE FROM service_version"] {
        let error = connection.execute_unprepared(sql).await.unwrap_err();
        assert!(error.to_string().contains("append-only"), "{error}");
    }
}

async fn amounts_are_guarded(backend: Backend) {
    let database = TestDatabase::migrated(backend).await;
    let db = Database::connect(&database.addresses).await.unwrap();
    let organization_id = OrganizationId::from_u128(1);
    for (posted, held, issued) in [(-1, 0, 1), (1, 2, -1), (1, -1, -1), (5, 0, -4)] {
        let work = db::work(move |txn| {
            Box::pin(async move {
                let (row, now) = (organization(organization_id), Timestamp::EPOCH);
                organization::Entity::insert(row.into_active_model()).exec_without_returning(txn).await?;
                let id = PoolId::from_u128(3);
                let row = pool::Model {
                    organization_id,
                    id,
                    name: "A".into(),
                    allowed_services: None,
                    frozen_at: None,
                    archived_at: None,
                    created_at: now,
                    frozen_reason: None,
                    seal: None,
                };
                pool::Entity::insert(row.into_active_model()).exec_without_returning(txn).await?;
                let head = pool_head::Model {
                    organization_id,
                    pool_id: id,
                    version: 0,
                    clock: now,
                    posted,
                    held,
                    issued,
                    consumed: 0,
                    expired: 0,
                    revoked: 0,
                    debt: 0,
                    clearing: 0,
                    hash: vec![0; 32],
                    revision: 1,
                    due_at: None,
                    receivable: 0,
                    adjusted: 0,
                    revoking: 0,
                };
                pool_head::Entity::insert(head.into_active_model()).exec_without_returning(txn).await?;
                Ok(())
            })
        });
        let error = db.write(Tenant::vouched(organization_id), work).await.unwrap_err().to_string();
        assert!(error.to_lowercase().contains("check"), "{error}");
    }
}

fn organization(id: OrganizationId) -> organization::Model {
    organization::Model {
        id,
        slug: "a".into(),
        name: "A".into(),
        time_zone: "UTC".into(),
        currency: None,
        state: OrganizationState::Active,
        payment_terms: PaymentTerms::Prepaid,
        credit_limit: None,
        created_at: Timestamp::EPOCH,
        revision: 1,
        sandbox_of: None,
    }
}
