//! Row-level security stands behind the application's own filter: what the role of the application may see and do by
//! itself.

use bursar::db::{Database, Scope, Tenant};
use bursar::global_id;
use bursar_domain::id::OrganizationId;
use bursar_migration::privileges;
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement, TransactionTrait};
use uuid::Uuid;

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

/// Tables that are everybody's to read.
const CATALOG: &[&str] = &[
    "service",
    "service_version",
    "package",
    "package_version",
    "package_price",
    "price_list",
    "price_tier",
    "shared_revision",
];

/// The organization of a table's rows, in SQL.
fn owner(table: &str, mine: Uuid, theirs: Uuid) -> String {
    match table {
        "organization" => "id".to_owned(),
        "user" => format!("CASE WHEN email LIKE '%rival%' THEN '{theirs}'::uuid ELSE '{mine}'::uuid END"),
        // Of no tenant, and shown to none.
        "attempt" | "sign_in_link" | "session" => format!("'{theirs}'::uuid"),
        _ => "organization_id".to_owned(),
    }
}

/// A statement that makes a row of an organization's in a table, with something wherever there has to be something.
async fn insertion(superuser: &DatabaseConnection, table: &str, organization: Uuid) -> String {
    let owner = if table == "organization" { "id" } else { "organization_id" };
    let sql = format!(
        r"SELECT format('INSERT INTO %I (%s) VALUES (%s)', '{table}', string_agg(quote_ident(attname), ', '),
            string_agg(CASE WHEN attname = '{owner}' THEN quote_literal('{organization}') ELSE
                CASE atttypid::regtype::text WHEN 'uuid' THEN 'gen_random_uuid()' WHEN 'text' THEN quote_literal('x')
                WHEN 'boolean' THEN 'false' WHEN 'bytea' THEN quote_literal('x') ELSE '1' END END, ', ')) AS statement
          FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped
            AND attnotnull AND NOT atthasdef"
    );
    let statement = Statement::from_string(sea_orm::DatabaseBackend::Postgres, sql);
    superuser.query_one_raw(statement).await.unwrap().unwrap().try_get("", "statement").unwrap()
}

/// Gives the other tenant a row in each table where it has none: nobody can be shown what is not there. That it is theirs is
/// all that counts of it, so nothing else of it is checked.
async fn furnish(world: &World, superuser: &DatabaseConnection, (mine, theirs): (Uuid, Uuid)) {
    for table in privileges::tables().filter(|table| !CATALOG.contains(table)) {
        let owner = owner(table, mine, theirs);
        let count = format!("SELECT count(*) AS n FROM \"{table}\" WHERE {owner} <> '{mine}'");
        if world.number(&count).await == 0 {
            let unchecked = format!(
                "DO $$ DECLARE found record; BEGIN
                 FOR found IN SELECT conname FROM pg_constraint
                     WHERE conrelid = '{table}'::regclass AND contype = 'c' LOOP
                     EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', '{table}', found.conname);
                 END LOOP; END $$"
            );
            let insert = insertion(superuser, table, theirs).await;
            let txn = superuser.begin().await.unwrap();
            txn.execute_unprepared("SET LOCAL session_replication_role = 'replica'").await.unwrap();
            txn.execute_unprepared(&unchecked).await.unwrap();
            txn.execute_unprepared(&insert).await.unwrap();
            txn.commit().await.unwrap();
        }
        assert!(world.number(&count).await > 0, "{table} has no row of the other tenant");
    }
}

/// With the application's filter off, PostgreSQL itself shows and takes nothing of another tenant's.
pub async fn stands_behind(world: &World, db: &Database, theirs: OrganizationId) {
    let me = world.client("owner@demo.test").await.demo().await;
    let organization: OrganizationId = global_id::decode(&me.organization).unwrap();
    let my_uuid = Uuid::from_u128(bursar_domain::id::Id::as_u128(organization));
    let their_uuid = Uuid::from_u128(bursar_domain::id::Id::as_u128(theirs));
    let superuser = sea_orm::Database::connect(&world.database.superuser).await.unwrap();
    furnish(world, &superuser, (my_uuid, their_uuid)).await;
    // It is there for every table, and binds the tables' owner too.
    let unbound =
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
        AND NOT (relrowsecurity AND relforcerowsecurity)";
    let unbound = Statement::from_string(sea_orm::DatabaseBackend::Postgres, unbound);
    let unbound = superuser.query_all_raw(unbound).await.unwrap();
    for row in unbound {
        let table = row.try_get::<String>("", "relname").unwrap();
        let shared = CATALOG.contains(&table.as_str()) || table == "seaql_migrations";
        assert!(shared, "{table} is not under row-level security");
    }
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
    for table in privileges::tables().filter(|table| !CATALOG.contains(table)) {
        assert_eq!(
            count(format!("SELECT count(*) AS n FROM \"{table}\"")).await,
            0,
            "{table} without a scope"
        );
        let owner = owner(table, my_uuid, their_uuid);
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
    // Making: no table takes a row of another tenant's.
    for table in privileges::tables().filter(|table| !CATALOG.contains(table) && *table != "user") {
        let sql = insertion(&superuser, table, their_uuid).await;
        let txn = application.begin().await.unwrap();
        txn.execute_unprepared(&format!("SET LOCAL app.organization_id = '{my_uuid}'")).await.unwrap();
        let error = txn.execute_unprepared(&sql).await.unwrap_err().to_string();
        assert!(error.contains("row-level security"), "{sql}: {error}");
    }
    // Writing: another tenant's rows are neither changed nor made, and what is booked is never changed.
    for (sql, refusal) in [
        (format!("UPDATE pool SET name = 'mine now' WHERE organization_id = '{their_uuid}'"), ""),
        (format!("UPDATE pool SET organization_id = '{their_uuid}'"), "row-level security"),
        // No tenant makes anybody one of the vendor's staff.
        (
            "INSERT INTO \"user\" (id, email, name, operator, created_at)
                VALUES (gen_random_uuid(), 'staff@demo.test', 'x', true, 0)"
                .to_owned(),
            "row-level security",
        ),
        (
            format!(
                "SELECT set_config('app.user_id', user_id::text, true) FROM membership WHERE organization_id = '{my_uuid}';
                 UPDATE \"user\" SET operator = true"
            ),
            "row-level security",
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
