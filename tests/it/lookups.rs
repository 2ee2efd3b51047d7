//! What is looked up is found by its key, from the first row of a table on.
//!
//! Nothing has analyzed these databases, so PostgreSQL plans by what it knows of empty tables, and stays with such a
//! plan. One that goes through the rows of an organization would read more rows for each command than for the one
//! before.

use std::time::{Duration, Instant};

use bursar::clock::Clock;
use serde_json::json;

use crate::support::client::Demo;
use crate::support::uses::{capture, hold, of};
use crate::support::{Backend, Client, DEADLINE, World, run};

/// How many of each command there are in a turn.
const COMMANDS: usize = 60;
/// How many there are between the two turns.
const BETWEEN: usize = 60;
/// The tables that grow with use.
const TABLES: [&str; 5] = ["charge", "hold", "journal_entry", "transfer", "claimed_reference"];

#[test]
fn nothing_reads_more_when_there_is_more() {
    run(async {
        let world = World::start_untimed(Backend::Postgres, Clock::system()).await;
        for table in TABLES {
            // Nor does anything analyze it while this goes on.
            world.sql(&format!("ALTER TABLE {table} SET (autovacuum_enabled = off)")).await;
        }
        let owner = world.client("owner@demo.test").await;
        let operator = world.client("operator@bursar.test").await;
        let demo = owner.demo().await;
        world.grant(&demo.organization, &demo.pool, 10_000).await;
        // What is remembered from the first time on is read before anything is counted.
        turn(&owner, &operator, &demo, "warm", 2).await;
        let begun = read(&world).await;
        turn(&owner, &operator, &demo, "first", COMMANDS).await;
        let first = read(&world).await;
        turn(&owner, &operator, &demo, "between", BETWEEN).await;
        let between = read(&world).await;
        turn(&owner, &operator, &demo, "second", COMMANDS).await;
        let second = read(&world).await;
        for (at, table) in TABLES.iter().enumerate() {
            let (earlier, later) = (first[at] - begun[at], second[at] - between[at]);
            // A command of the first turn finds COMMANDS/2 rows that were not there before, one of the second five
            // times as many: going through them would make the second turn several times as long.
            // What answers read beside the commands is planned anew on each connection, and may differ by less.
            let (most, each) = (earlier * 5 / 2 + 60, COMMANDS as i64);
            assert!(later <= most, "{table}: {} rows a command, then {}", earlier / each, later / each);
        }
    });
}

/// Charges, refunds, holds and captures, and looks at a balance of the past.
async fn turn(owner: &Client, operator: &Client, demo: &Demo, name: &str, times: usize) {
    for number in 0..times {
        let key = format!("{name} {number}");
        let mut input = of(&demo.pool, &key, 1);
        input["reference"] = json!(key);
        let charge = owner.mutate("chargeCredits", "ChargeCreditsInput", input, "charge { id }").await;
        let input = json!({ "chargeId": charge["charge"]["id"], "idempotencyKey": key });
        operator.mutate("refundCharge", "RefundChargeInput", input, "replayed").await;
        let held = hold(owner, of(&demo.pool, &format!("held {key}"), 2)).await;
        let input = json!({ "holdId": held["hold"]["id"], "final": true, "idempotencyKey": key });
        assert_eq!(capture(owner, input).await["userErrors"], json!([]));
        let past =
            "query($pool: ID!, $at: DateTime!) { pool(id: $pool) { balanceAt(time: $at) { posted } } }";
        let at = chrono::Utc::now().to_rfc3339();
        let seen = owner.query(past, json!({ "pool": demo.pool, "at": at })).await;
        assert!(seen["pool"]["balanceAt"]["posted"].is_number(), "{seen}");
    }
}

/// How many rows have been read so far of each table, by whatever way. The processes of the database tell a
/// second after they have read, at the latest; so it is asked until nothing more is told.
async fn read(world: &World) -> Vec<i64> {
    let (began, mut last) = (Instant::now(), (Instant::now(), Vec::new()));
    loop {
        let mut now = Vec::new();
        for table in TABLES {
            let sql = format!(
                "SELECT (coalesce((SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = '{table}'), 0)
                     + coalesce((SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = '{table}'), 0)
                     )::bigint AS n"
            );
            now.push(world.number(&sql).await);
        }
        if now != last.1 {
            last = (Instant::now(), now);
        } else if last.0.elapsed() > Duration::from_secs(2) {
            return last.1;
        }
        assert!(began.elapsed() < DEADLINE, "statistics do not come to rest");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
