//! Row-level security stands behind the application's own filter: what the role of the application may see and do by
//! itself.

use bursar::db::{Database, Scope, Tenant};
use bursar::global_id;
use bursar_domain::id::OrganizationId;
use bursar_migration::privileges;
use sea_orm::{ConnectionTrait, Statement, TransactionTrait};

use crate::support::World;

/// Tables of which the demonstration has no rows, or need not have.
const EMPTY: &[&str] = &[
    "account",
    "charge",
    "hold",
    "claimed_reference",
    "spending_cap",
    "spending_cap_raise",
    "spending_cap_period",
    "guarantee_use",
    "credit_request",
    "timed_task",
    "billing_profile",
    "brand",
    "contract_price",
    "document",
    "document_series",
    "invoice",
    "invoice_payment",
    "organization_price",
    "parked_payment",
    "quote",
    "quote_answer",
    "reversal",
    "auto_top_up",
    "approval_policy",
    "approval_request",
    "approval_round",
    "approval_decision",
    "approval_reason",
    "approval_escalation",
    "approval_delegation",
    "approval_link",
    "payment_method",
    "departure",
    "attempt",
    "departure",
    "identity_provider",
    "identity_provider_domain",
    "user_identity",
    "sign_in_link",
    "session",
];

/// With the application's filter off, PostgreSQL itself shows and takes nothing of another tenant's.
pub async fn stands_behind(world: &World, db: &Database, theirs: OrganizationId) {
    let me = world.client("owner@demo.test").await.demo().await;
    let organization: OrganizationId = global_id::decode(&me.organization).unwrap();
    let my_uuid = uuid::Uuid::from_u128(bursar_domain::id::Id::as_u128(organization));
    let their_uuid = uuid::Uuid::from_u128(bursar_domain::id::Id::as_u128(theirs));
    let catalog = [
        "service",
        "service_version",
        "package",
        "package_version",
        "package_price",
        "price_list",
        "price_tier",
        "shared_revision",
    ];
    let application = sea_orm::Database::connect(&world.database.addresses.application).await.unwrap();
    let count = |sql: String| {
        let statement = Statement::from_string(sea_orm::DatabaseBackend::Postgres, sql);
        let application = &application;
        async move {
            let txn = application.begin().await.unwrap();
            let row = txn.query_one_raw(statement).await.unwrap().unwrap();
            row.try_get::<i64>("", "n").unwrap()
        }
    };
    let scoped = db.read(Tenant::vouched(organization)).await.unwrap();
    for table in privileges::tables().filter(|table| !catalog.contains(table)) {
        assert_eq!(
            count(format!("SELECT count(*) AS n FROM \"{table}\"")).await,
            0,
            "{table} without a scope"
        );
        let owner = match table {
            "organization" => "id".to_owned(),
            "user" => {
                format!("CASE WHEN email LIKE '%rival%' THEN '{their_uuid}'::uuid ELSE '{my_uuid}'::uuid END")
            }
            // Of no tenant, and shown to none.
            "attempt" | "sign_in_link" | "session" => format!("'{their_uuid}'::uuid"),
            _ => "organization_id".to_owned(),
        };
        let sql = format!(
            "SELECT count(*) AS n, count(*) FILTER (WHERE {owner} <> '{my_uuid}') AS foreign_rows FROM \"{table}\""
        );
        let row = scoped
            .query_one_raw(Statement::from_string(sea_orm::DatabaseBackend::Postgres, sql))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            row.try_get::<i64>("", "foreign_rows").unwrap(),
            0,
            "{table} shows rows of the other tenant"
        );
        if !["pool_administrator", "department_member"].contains(&table) {
            assert!(row.try_get::<i64>("", "n").unwrap() > 0 || EMPTY.contains(&table), "{table} is empty");
        }
    }
    drop(scoped);
    // Writing: another tenant's rows are neither changed nor made, and what is booked is never changed.
    for (sql, refusal) in [
        (format!("UPDATE pool SET name = 'mine now' WHERE organization_id = '{their_uuid}'"), ""),
        (format!("UPDATE pool SET organization_id = '{their_uuid}'"), "row-level security"),
        (
            format!(
                "INSERT INTO pool_administrator SELECT '{their_uuid}', pool_id, user_id, 0 FROM pool_administrator"
            ),
            "",
        ),
        (
            format!(
                "INSERT INTO organization SELECT gen_random_uuid(), 'x', name, time_zone, currency, state, payment_terms, credit_limit, 0 FROM organization WHERE id = '{my_uuid}'"
            ),
            "row-level security",
        ),
        ("UPDATE transfer SET credits = 1".to_owned(), "permission denied"),
        ("DELETE FROM audit_event".to_owned(), "permission denied"),
        ("TRUNCATE charge".to_owned(), "permission denied"),
        ("DELETE FROM hold".to_owned(), "permission denied"),
        (format!("UPDATE delivery SET state = 'PENDING' WHERE organization_id = '{their_uuid}'"), ""),
        ("DELETE FROM delivery".to_owned(), "permission denied"),
        ("UPDATE claimed_reference SET reference = 'mine now'".to_owned(), "permission denied"),
        ("DELETE FROM pool".to_owned(), "permission denied"),
        ("DROP TABLE pool".to_owned(), "must be owner"),
        ("ALTER TABLE pool DISABLE ROW LEVEL SECURITY".to_owned(), "must be owner"),
    ] {
        let txn = application.begin().await.unwrap();
        txn.execute_unprepared(&format!("SET LOCAL app.organization_id = '{my_uuid}'")).await.unwrap();
        match txn.execute_unprepared(&sql).await {
            Ok(done) => assert!(refusal.is_empty() && done.rows_affected() == 0, "{sql} did something"),
            Err(error) => {
                assert!(!refusal.is_empty() && error.to_string().contains(refusal), "{sql}: {error}")
            }
        }
    }
    // The operator's scope reads everything and writes nothing.
    let across = db.read(Scope::Operator).await.unwrap();
    let sql = "SELECT count(*) AS n FROM organization";
    let row = across
        .query_one_raw(Statement::from_string(sea_orm::DatabaseBackend::Postgres, sql))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.try_get::<i64>("", "n").unwrap(), 2);
    drop(across);
    // Whoever delivers sees deliveries, and nothing else.
    let courier = db.read(Scope::Courier).await.unwrap();
    let deliveries = world.number("SELECT count(*) AS n FROM delivery").await;
    for (table, rows) in
        [("delivery", deliveries), ("organization", 0), ("\"user\"", 0), ("pool", 0), ("session", 0)]
    {
        let count = Statement::from_string(
            courier.get_database_backend(),
            format!("SELECT count(*) AS n FROM {table}"),
        );
        let row = courier.query_one_raw(count).await.unwrap().unwrap();
        assert_eq!(row.try_get::<i64>("", "n").unwrap(), rows, "{table}");
    }
    drop(courier);
    let work = bursar::db::work(|txn| {
        Box::pin(
            async move { Ok(txn.execute_unprepared("UPDATE pool SET name = 'x'").await?.rows_affected()) },
        )
    });
    assert_eq!(db.write(Scope::Operator, work).await.unwrap(), 0);
}
