//! What `/metrics` tells.

use serde_json::json;

use crate::on_both_databases;
use crate::support::{Backend, World};

on_both_databases!(the_ledger_tells_how_it_does);

/// The value of a metric, by its name with its labels.
fn value(text: &str, name: &str) -> i64 {
    let line = text.lines().find(|line| line.split(' ').next() == Some(name));
    let value = line.unwrap_or_else(|| panic!("there is no {name} in:\n{text}")).rsplit(' ').next().unwrap();
    value.split('.').next().unwrap().parse().unwrap()
}

async fn the_ledger_tells_how_it_does(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let scrape = || async {
        let response = owner.http().get(owner.url("/metrics")).send().await.unwrap();
        assert!(
            response.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4")
        );
        response.text().await.unwrap()
    };
    let charge = |key: &str, quantity: i64| {
        let input = json!({ "poolId": demo.pool, "lines": [{ "service": "FURNITURE_REMOVAL", "quantity": quantity }], "idempotencyKey": key });
        let owner = owner.clone();
        async move { owner.charge(input).await }
    };
    charge("first", 1).await;
    charge("too much", 1_000).await;
    let before = scrape().await;
    for number in 0..3 {
        charge(&format!("key {number}"), 1).await;
    }
    charge("too much again", 1_000).await;
    let after = scrape().await;
    // Other tests of the same process count too.
    for (name, more) in [
        ("bursar_ledger_commands_total{outcome=\"accepted\"}", 3),
        ("bursar_ledger_commands_total{outcome=\"refused\"}", 1),
        ("bursar_ledger_batch_commands_count", 4),
        ("bursar_ledger_batch_organizations_count", 4),
        ("bursar_ledger_wait_seconds_count", 4),
        ("bursar_ledger_phase_seconds_count{phase=\"load\"}", 4),
        ("bursar_ledger_phase_seconds_count{phase=\"decide\"}", 4),
        ("bursar_ledger_phase_seconds_count{phase=\"write\"}", 4),
        ("bursar_commit_seconds_count", 4),
    ] {
        assert!(value(&after, name) >= value(&before, name) + more, "{name}");
    }
    for name in ["retries", "splits", "unknown_commits", "overloaded"] {
        value(&after, &format!("bursar_ledger_{name}_total"));
    }
    value(&after, "bursar_ledger_queue_depth");
    assert!(after.contains("bursar_ledger_batch_commands_bucket{le=\"512\"}"), "{after}");
    assert!(after.contains("bursar_ledger_wait_seconds_bucket{le=\"0.001\"}"), "{after}");
    for secret in ["demo", "org_", "pool_", owner.token()] {
        assert!(!after.contains(secret), "{secret} is nobody's business");
    }
}
