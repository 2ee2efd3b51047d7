//! Verification: every edit of a field of the books is found, at the row that was edited; rows are refused to
//! the application's role; and the background verification freezes a pool that is wrong.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use bursar::clock::Clock;
use bursar::db::Database;
use bursar::ledger::verify::{Finding, Selection, verify};
use bursar_domain::id::{Id, PoolId};
use sea_orm::ConnectionTrait;
use serde_json::json;
use uuid::Uuid;

use crate::on_both_databases;
use crate::support::history::History;
use crate::support::tamper::{Tamperer, columns};
use crate::support::{Backend, DEADLINE, World};

on_both_databases!(
    every_edit_is_found_at_its_row,
    other_edits_are_found_too,
    rows_that_are_missing_or_too_many_are_found,
    the_application_changes_nothing_that_is_booked,
    the_command_says_what_is_wrong,
    a_wrong_pool_is_frozen,
);

/// How many edits of the tables that the books consist of, on each of the two databases.
const EDITS: usize = 100;

/// A world whose clock is a day ahead of the machine's, so that all rows are younger than the schema.
async fn ahead(backend: Backend) -> World {
    let tomorrow = Clock::system().now().plus_days(1);
    World::start_at(backend, Clock::set(tomorrow)).await
}

async fn findings(world: &World) -> Vec<Finding> {
    let report = verify(&world.services().context, &Selection::default(), |_| ()).await.unwrap();
    assert!(report.pools.iter().any(|pool| pool.version > 0 || pool.finding.is_some()));
    report.findings().cloned().collect()
}

/// What names the row of a finding, as the tests name it.
fn named(finding: &Finding) -> (&'static str, String) {
    let key = match finding.table {
        "transfer" => format!("{} {}", Uuid::from_u128(finding.pool.as_u128()), finding.key),
        _ => finding.key.clone(),
    };
    (finding.table, key)
}

async fn every_edit_is_found_at_its_row(backend: Backend) {
    let tables = ["charge", "transfer", "transfer", "lot", "lot_position", "account", "pool", "pool_head"];
    edits(backend, &tables, EDITS).await;
}

async fn other_edits_are_found_too(backend: Backend) {
    edits(backend, &["journal_entry", "hold", "claimed_reference"], 40).await;
}

/// Edits random fields of random rows, one at a time.
async fn edits(backend: Backend, tables: &[&'static str], wanted: usize) {
    let seed = u64::try_from(Clock::system().now().micros()).unwrap() | 1;
    println!("the edits come from the seed {seed}");
    let world = ahead(backend).await;
    let history = History::make(&world).await;
    assert_eq!(findings(&world).await, []);
    let db = Database::connect(&world.database.addresses).await.unwrap();
    let mut tamperer = Tamperer::open(&world.database, seed).await;
    let mut rows = Vec::new();
    for table in tables {
        rows.push(tamperer.rows(&db, history.tenant, table).await);
    }
    db.close().await.unwrap();
    let (mut done, mut tries) = (0, 0);
    while done < wanted {
        tries += 1;
        assert!(tries < 50 * wanted, "most edits are refused");
        let of_table = &rows[tamperer.below(rows.len())];
        let row = of_table[tamperer.below(of_table.len())].clone();
        let columns = columns(row.table);
        let (column, edit) = columns[tamperer.below(columns.len())];
        if !tamperer.edit(&row, (column, edit)).await {
            continue;
        }
        let found = findings(&world).await;
        assert!(!found.is_empty(), "{} {}: {column} was edited ({edit:?}) unseen", row.table, row.key);
        for finding in &found {
            assert_eq!(
                named(finding),
                (row.table, row.key.clone()),
                "{column} of {} {} was edited ({edit:?}), and this was found: {finding}",
                row.table,
                row.key
            );
        }
        tamperer.restore(&row, column).await;
        assert_eq!(findings(&world).await, [], "{column} of {} {} is as it was", row.table, row.key);
        done += 1;
    }
}

async fn rows_that_are_missing_or_too_many_are_found(backend: Backend) {
    let world = ahead(backend).await;
    let history = History::make(&world).await;
    let tamperer = Tamperer::open(&world.database, 1).await;
    let pool = match backend {
        Backend::Postgres => format!("'{}'::uuid", Uuid::from_u128(history.pool.as_u128())),
        Backend::Sqlite => format!("X'{}'", Uuid::from_u128(history.pool.as_u128()).simple()),
    };
    let newest = format!("(SELECT version FROM pool_head WHERE pool_id = {pool})");
    let first = format!("(SELECT id FROM charge WHERE pool_id = {pool} ORDER BY version LIMIT 1)");
    let new_id = match backend {
        Backend::Postgres => "gen_random_uuid()",
        Backend::Sqlite => "randomblob(16)",
    };
    for (table, gone) in [
        ("transfer", format!("pool_id = {pool} AND version = 5")),
        ("transfer", format!("pool_id = {pool} AND version = {newest}")),
        ("charge", format!("id = {first}")),
        ("claimed_reference", "reference = 'job-4'".to_owned()),
        ("hold", format!("pool_id = {pool} AND state = 'OPEN'")),
        ("hold", format!("pool_id = {pool} AND state = 'VOIDED'")),
        ("lot_position", format!("pool_id = {pool} AND credits > 0")),
        ("journal_entry", format!("pool_id = {pool} AND kind = 2")),
    ] {
        tamperer.run(&format!("CREATE TEMPORARY TABLE gone AS SELECT * FROM \"{table}\" WHERE {gone}")).await;
        tamperer.run(&format!("DELETE FROM \"{table}\" WHERE {gone}")).await;
        let found = findings(&world).await;
        assert!(
            !found.is_empty() && found.iter().all(|finding| finding.table == table),
            "{table}: {found:?}"
        );
        tamperer.run(&format!("INSERT INTO \"{table}\" SELECT * FROM gone")).await;
        tamperer.run("DROP TABLE gone").await;
        assert_eq!(findings(&world).await, [], "{table} is as it was");
    }
    // A charge that nobody made.
    tamperer.run(&format!("CREATE TEMPORARY TABLE more AS SELECT * FROM charge WHERE id = {first}")).await;
    let other = match backend {
        Backend::Postgres => "decode(repeat('ab', 16), 'hex')",
        Backend::Sqlite => "randomblob(16)",
    };
    tamperer.run(&format!("UPDATE more SET id = {new_id}, idempotency_key = {other}")).await;
    tamperer.run("INSERT INTO charge SELECT * FROM more").await;
    let found = findings(&world).await;
    assert!(
        found.len() == 1 && found[0].table == "charge" && found[0].what.contains("no transfer"),
        "{found:?}"
    );
}

async fn the_application_changes_nothing_that_is_booked(backend: Backend) {
    let world = ahead(backend).await;
    History::make(&world).await;
    let application = sea_orm::Database::connect(&world.database.addresses.application).await.unwrap();
    let booked = ["transfer", "charge", "journal_entry", "lot", "claimed_reference", "audit_event"];
    let changing = ["pool_head", "account", "lot_position", "hold"];
    for table in booked {
        for sql in [
            format!("UPDATE \"{table}\" SET organization_id = organization_id"),
            format!("DELETE FROM \"{table}\""),
            format!("TRUNCATE \"{table}\""),
        ] {
            let refused = application.execute_unprepared(&sql).await.unwrap_err().to_string();
            let expected = match backend {
                Backend::Postgres => "permission denied",
                // There is no TRUNCATE.
                Backend::Sqlite if sql.starts_with("TRUNCATE") => "syntax error",
                Backend::Sqlite => "append-only",
            };
            assert!(refused.contains(expected), "{sql}: {refused}");
        }
    }
    if backend == Backend::Postgres {
        for table in changing {
            for sql in [format!("DELETE FROM \"{table}\""), format!("TRUNCATE \"{table}\"")] {
                let refused = application.execute_unprepared(&sql).await.unwrap_err().to_string();
                assert!(refused.contains("permission denied"), "{sql}: {refused}");
            }
        }
    }
    application.close().await.unwrap();
    assert_eq!(findings(&world).await, []);
}

/// Runs `bursar verify` on a world's database, beside its server.
fn bursar(world: &World, dir: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bursar"));
    command.arg("verify").args(arguments).env_clear().current_dir(dir);
    command.env("BURSAR_DATA_DIR", dir).env("DATABASE_URL", &world.database.addresses.application);
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

async fn the_command_says_what_is_wrong(backend: Backend) {
    let world = ahead(backend).await;
    let history = History::make(&world).await;
    let dir = tempfile::tempdir().unwrap();
    let (status, said, error) = bursar(&world, dir.path(), &[]);
    // Two pools and an audit log.
    assert_eq!((status, said.lines().count()), (Some(0), 3), "{said}{error}");
    assert!(said.contains("demo") && said.contains("Main") && said.contains("Second"), "{said}");
    let second = Uuid::from_u128(history.second.as_u128()).to_string();
    let (status, said, _) = bursar(&world, dir.path(), &["--organization", "demo", "--pool", &second]);
    assert_eq!((status, said.lines().count()), (Some(0), 1), "{said}");
    for nothing in [["--organization", "nobody"], ["--pool", "nonsense"]] {
        let (status, _, error) = bursar(&world, dir.path(), &nothing);
        assert!(status == Some(2) && !error.contains("panicked"), "{error}");
    }
    world.sql("UPDATE account SET held = held + 1 WHERE posted > held AND department_id IS NULL").await;
    let (status, said, error) = bursar(&world, dir.path(), &[]);
    assert!(status == Some(1) && said.contains("account ") && said.contains("held"), "{said}{error}");
}

async fn a_wrong_pool_is_frozen(backend: Backend) {
    let world = World::start_as(backend, |config| config.verify = Some(Duration::from_millis(20))).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let pool: PoolId = bursar::global_id::decode(&demo.pool).unwrap();
    let charge = |key: &str| {
        let lines = json!([{ "service": "FURNITURE_REMOVAL", "quantity": 1 }]);
        let input = json!({ "poolId": demo.pool, "lines": lines, "idempotencyKey": key });
        let owner = owner.clone();
        async move { owner.charge(input).await["userErrors"].clone() }
    };
    assert_eq!(charge("before").await, json!([]));
    let verified = |wrong: bool, version: i64| {
        let verifications = world.services().verifications.clone();
        async move {
            let began = Instant::now();
            loop {
                let known = verifications.of(pool).filter(|known| known.finding.is_some() == wrong);
                match known.filter(|known| known.version >= version) {
                    Some(known) => return known,
                    None => assert!(began.elapsed() < DEADLINE, "{:?}", verifications.of(pool)),
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    // The Starter purchase, and the charge.
    verified(false, 2).await;
    assert_eq!(charge("between").await, json!([]));
    verified(false, 3).await;
    assert_eq!(world.sql("UPDATE account SET posted = posted + 1 WHERE department_id IS NULL").await, 1);
    let found = verified(true, 0).await.finding.unwrap();
    assert!(found.starts_with("account ") && found.contains("balance"), "{found}");
    assert_eq!(charge("after").await[0]["code"], "POOL_FROZEN");
    let said = "SELECT count(*) AS n FROM pool
                WHERE frozen_at IS NOT NULL AND frozen_reason LIKE 'verification: account%'";
    assert_eq!(world.number(said).await, 1);
    assert_eq!(world.number("SELECT count(*) AS n FROM audit_event WHERE action = 'freezePool'").await, 1);
    let metrics = owner.http().get(owner.url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("bursar_ledger_differences_total"), "{metrics}");
    assert!(metrics.contains("bursar_ledger_verified_transfers_total"), "{metrics}");
    // The pool's row was sealed again with what froze it: the account is all that is wrong.
    let found = findings(&world).await;
    assert!(found.len() == 1 && found[0].table == "account", "{found:?}");
    // Once it is right, the verification says so; to open the pool again is a person's business.
    world.sql("UPDATE account SET posted = posted - 1 WHERE department_id IS NULL").await;
    verified(false, 3).await;
    assert_eq!(charge("still").await[0]["code"], "POOL_FROZEN");
    let mut world = world;
    world.stop().await;
}
