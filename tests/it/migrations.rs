//! Migrations on both databases: from empty to newest, down to empty, up again; every table holds and
//! gives back its entity; what must never change cannot be changed.

use bursar::clock::Clock;
use bursar::db::{self, Database, Tenant, migrate};
use bursar::schedule;
use bursar_domain::Timestamp;
use bursar_domain::id::*;
use bursar_domain::organization::{OrganizationState, PaymentTerms};
use bursar_entity::*;
use bursar_migration::{Migrator, MigratorTrait, privileges};
use sea_orm::{ConnectOptions, ConnectionTrait, EntityTrait, IntoActiveModel, Statement};
use serde_json::json;
use uuid::Uuid;

use crate::on_both_databases;
use crate::support::{Backend, Client, TestDatabase, World, acts};

on_both_databases!(
    up_down_and_up_again,
    append_only_tables_stay,
    money_is_found_by_indexes,
    amounts_are_guarded,
    what_was_sold_before_is_put_right
);

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

/// Who does not know whose a payment or purchase is, and who adds a month up, reads nothing else: the plans, when nothing is
/// known of the tables.
async fn money_is_found_by_indexes(backend: Backend) {
    let database = TestDatabase::migrated(backend).await;
    let mut options = ConnectOptions::new(&database.superuser);
    options.max_connections(1).sqlx_logging(false);
    let connection = sea_orm::Database::connect(options).await.unwrap();
    let (explain, column) = match backend {
        Backend::Postgres => ("EXPLAIN", "QUERY PLAN"),
        Backend::Sqlite => ("EXPLAIN QUERY PLAN", "detail"),
    };
    if backend == Backend::Postgres {
        connection.execute_unprepared("SET enable_seqscan = off; SET enable_bitmapscan = off").await.unwrap();
    }
    let id = format!("'{}'", Uuid::from_u128(7));
    // In their order: without rows an index that only begins with the organization is as good for all else.
    let month = format!("organization_id = {id} AND created_at >= 1 AND created_at < 2");
    let bought = format!("organization_id = {id} AND purchase_id = {id}");
    let of_purchase = match backend {
        Backend::Postgres => ["payment_purchase", "reversal_purchase", "document_purchase"],
        Backend::Sqlite => ["payment_of_purchase", "reversal_of_purchase", "document_of_purchase"],
    };
    for (index, sql) in [
        (of_purchase[0], format!("SELECT * FROM payment WHERE {bought}")),
        (of_purchase[1], format!("SELECT * FROM reversal WHERE {bought}")),
        (of_purchase[2], format!("SELECT * FROM document WHERE {bought}")),
        ("payment_by_id", format!("SELECT * FROM payment WHERE id = {id}")),
        ("purchase_by_id", format!("SELECT * FROM purchase WHERE id = {id}")),
        (
            "purchase_created",
            format!("SELECT * FROM purchase WHERE {month} ORDER BY created_at DESC, id DESC"),
        ),
        (
            "payment_charged",
            format!(
                "SELECT * FROM payment WHERE {month} AND payment_method_id IS NOT NULL ORDER BY created_at"
            ),
        ),
    ] {
        let statement = Statement::from_string(connection.get_database_backend(), format!("{explain} {sql}"));
        let rows = connection.query_all_raw(statement).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.try_get("", column).unwrap()).collect();
        let plan = plan.join("\n");
        let is_sorted = ["Sort", "TEMP B-TREE"].iter().any(|sort| plan.contains(sort));
        assert!(plan.contains(index) && !is_sorted, "{sql}: {plan}");
    }
    connection.close().await.unwrap();
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

/// Data of before: open purchases that nobody looks at, a quote that a cancelled purchase keeps, and an invoice that is
/// credited whole while its payment waits; and one that was due at noon of the day that it says.
async fn what_was_sold_before_is_put_right(backend: Backend) {
    let clock = Clock::set(acts::at("2026-03-02T12:00:00Z"));
    let mut world = World::start_untimed(backend, clock.clone()).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    let (open, _) = owner.checkout(&demo.pool, "open").await;
    quoted(&owner, &operator, &demo.pool).await;
    acts::billed(&operator, &owner, &demo.organization, "1000.00").await;
    acts::on_invoice(&owner, &demo.pool, "owed").await;
    let credited = acts::on_invoice(&owner, &demo.pool, "credited").await;
    let input = json!({ "invoiceId": credited["invoice"]["id"], "idempotencyKey": "part",
        "amount": { "amount": "1.00", "currency": "USD" } });
    operator.mutate("recordInvoicePayment", "RecordInvoicePaymentInput", input, "replayed").await;
    let input =
        json!({ "purchaseId": credited["purchase"]["id"], "reason": "All of it", "idempotencyKey": "all" });
    operator.mutate("refundPurchase", "RefundPurchaseInput", input, "replayed").await;
    world.stop().await;
    let World { database, .. } = world;
    let newer = "SELECT count(*) AS n FROM seaql_migrations WHERE version >= 'm20261127_000025'";
    let steps = u32::try_from(database.number(newer).await).unwrap();
    migrate::down(&database.addresses, Some(steps)).await.unwrap();
    let connection = sea_orm::Database::connect(&database.superuser).await.unwrap();
    for sql in [
        "DELETE FROM timed_task WHERE kind = 'PURCHASE_DUE'",
        "UPDATE quote SET state = 'USED'",
        "UPDATE payment SET state = 'OPEN', paid_at = NULL WHERE provider = 'INVOICE'",
        "UPDATE invoice SET state = 'PAID' WHERE state = 'CREDITED'",
    ] {
        connection.execute_unprepared(sql).await.unwrap();
    }
    let noon = acts::at("2026-03-16T12:00:00Z").micros();
    connection.execute_unprepared(&format!("UPDATE invoice SET due_at = {noon}")).await.unwrap();
    connection.close().await.unwrap();
    migrate::up(&database.addresses).await.unwrap();
    let night = acts::at("2026-03-16T23:59:59.999999Z").micros();
    let due = format!("SELECT count(*) AS n FROM invoice WHERE state = 'OPEN' AND due_at = {night}");
    assert_eq!(database.number(&due).await, 1, "the day that an invoice says is whole");
    // The one that can expire has its task again, with its own time; nothing else has one.
    let tasks = "SELECT count(*) AS n FROM timed_task WHERE kind = 'PURCHASE_DUE'";
    let right = "SELECT count(*) AS n FROM timed_task t JOIN purchase p ON p.organization_id = t.organization_id
        AND p.id = t.subject_id WHERE t.kind = 'PURCHASE_DUE' AND t.due_at = p.valid_until AND p.state = 'AWAITING_PAYMENT'";
    assert_eq!((database.number(tasks).await, database.number(right).await), (1, 1));
    let free = "SELECT count(*) AS n FROM quote WHERE state = 'ANSWERED'";
    assert_eq!(database.number(free).await, 1);
    // It runs out when its price does.
    let runs_out = "SELECT count(*) AS n FROM timed_task t JOIN quote q ON q.organization_id = t.organization_id
        AND q.id = t.subject_id WHERE t.kind = 'QUOTE_DUE' AND t.due_at = q.valid_until AND q.expires_at IS NOT NULL";
    assert_eq!(database.number(runs_out).await, 1);
    let states = |state: &'static str| {
        format!("SELECT count(*) AS n FROM payment p JOIN invoice i ON i.payment_id = p.id WHERE {state}")
    };
    let ended = states("p.state = 'PAID' AND p.paid_at IS NOT NULL AND i.state = 'CREDITED'");
    let owed = states("p.state = 'OPEN' AND p.paid_at IS NULL AND i.state = 'OPEN'");
    assert_eq!((database.number(&ended).await, database.number(&owed).await), (1, 1));
    // An invoice that counted as paid was not told of what was credited after that.
    let newer = "SELECT count(*) AS n FROM seaql_migrations WHERE version >= 'm20261127_000063'";
    let steps = u32::try_from(database.number(newer).await).unwrap();
    migrate::down(&database.addresses, Some(steps)).await.unwrap();
    let connection = sea_orm::Database::connect(&database.superuser).await.unwrap();
    let untold = "UPDATE invoice SET state = 'PAID', credited = 198 WHERE state = 'CREDITED'";
    assert_eq!(connection.execute_unprepared(untold).await.unwrap().rows_affected(), 1);
    connection.close().await.unwrap();
    migrate::up(&database.addresses).await.unwrap();
    let told = states("i.state = 'CREDITED' AND i.credited = i.total");
    let owed = states("i.state = 'OPEN' AND i.credited = 0");
    assert_eq!((database.number(&told).await, database.number(&owed).await), (1, 1));
    if backend == Backend::Postgres {
        // Their owner is bound by row-level security again, like that of all others.
        let bound = "SELECT count(*) AS n FROM pg_class WHERE relforcerowsecurity AND relname IN
            ('quote', 'purchase', 'payment', 'invoice', 'invoice_payment', 'timed_task')";
        assert_eq!(database.number(bound).await, 6);
    }
    // The schedule does the rest.
    let world = World::start_untimed_with(database, clock.clone(), |_| ()).await;
    clock.turn(acts::at("2026-03-12T12:00:01Z"));
    schedule::run_once(&world.services().selling).await.unwrap();
    let owner = world.client("owner@demo.test").await;
    let query = "query P($id: ID!) { node(id: $id) { ... on Purchase { state } } }";
    assert_eq!(owner.query(query, json!({ "id": open })).await["node"]["state"], "EXPIRED");
}

/// A quote whose purchase was cancelled.
async fn quoted(owner: &Client, operator: &Client, pool: &str) {
    let input = json!({ "poolId": pool, "credits": 2_000, "idempotencyKey": "quote" });
    let asked = owner.mutate("requestQuote", "RequestQuoteInput", input, "quote { id }").await;
    let quote = asked["quote"]["id"].clone();
    let price = json!({ "price": { "total": { "amount": "3000.00", "currency": "USD" } } });
    let input = json!({ "quoteId": quote, "answer": price, "idempotencyKey": "answer" });
    operator.mutate("answerQuote", "AnswerQuoteInput", input, "quote { id }").await;
    let input = json!({ "poolId": pool, "quoteId": quote, "idempotencyKey": "quoted" });
    let made = owner.mutate("requestPurchase", "RequestPurchaseInput", input, "purchase { id }").await;
    let input = json!({ "purchaseId": made["purchase"]["id"] });
    owner.mutate("cancelPurchase", "CancelPurchaseInput", input, "purchase { id }").await;
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
