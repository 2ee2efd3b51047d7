//! How API keys come and go: shown once and kept nowhere, expiry, rotation with overlap, revocation that counts at
//! once on every path and ends streams, and when they were used last.

use std::time::{Duration, Instant};

use bursar::clock::Clock;
use bursar::db::Tenant;
use bursar::global_id;
use bursar_domain::Timestamp;
use bursar_domain::id::OrganizationId;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::keys::{Key, ask, charge, make, revoke, rotate};
use crate::support::{Backend, Client, DEADLINE, Process, World, rows, run};

on_both_databases!(
    a_key_is_shown_once_and_kept_nowhere,
    what_is_no_key_is_nobody,
    keys_expire,
    rotation_overlaps,
    revocation_counts_at_once,
    streams_of_revoked_keys_end,
    the_last_use_is_written_down,
);

const WATCH: &str = "subscription W($id: ID!) { poolBalance(poolId: $id) { version } }";

/// An instant as clients say it.
fn said(at: Timestamp) -> String {
    chrono::DateTime::from_timestamp_micros(at.micros()).unwrap().to_rfc3339()
}

/// What a caller gets who asks who it is: the status, and the code of the error.
async fn asked(client: &Client) -> (u16, Option<String>) {
    let (status, body) = client.send("{ organizations { nodes { id } } }", json!({})).await;
    (status, body["errors"][0]["extensions"]["code"].as_str().map(str::to_owned))
}

fn refused() -> (u16, Option<String>) {
    (401, Some("UNAUTHENTICATED".to_owned()))
}

async fn a_key_is_shown_once_and_kept_nowhere(backend: Backend) {
    let world = World::start(backend).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    let key = make(&world, &owner, Some(&demo.organization), &["CHARGES_WRITE"], json!({})).await;
    let vendors = make(&world, &operator, None, &["CHARGES_WRITE"], json!({})).await;
    assert_ne!(key.secret, vendors.secret);
    assert!(key.secret.starts_with("bursar_live_") && key.secret.len() == 61, "{}", key.secret);
    assert_eq!(charge(&key.client, &demo.pool, None, "used").await, None);
    let next = rotate(&world, &owner, &key, 60).await;
    revoke(&owner, &next).await;
    let everything = "query N($id: ID!) { node(id: $id) { ... on ApiKey { id name hint mode scopes expiresAt
        revokedAt lastUsedAt createdAt replaces { id hint } } } }";
    let shown = owner.query(everything, json!({ "id": next.id })).await.to_string();
    let db = &world.services().context.db;
    let organization: OrganizationId = global_id::decode(&demo.organization).unwrap();
    let mut kept = rows::of(db, organization).await;
    assert!(kept.iter().any(|row| row.starts_with("api_key")));
    kept.extend(rows::of(db, Tenant::vendor().id()).await);
    kept.push(shown);
    for secret in [&key.secret, &vendors.secret, &next.secret] {
        // Neither the whole key nor what is random in it.
        for part in [secret.as_str(), &secret[12..55], &secret[12..]] {
            assert!(!kept.iter().any(|text| text.contains(part)), "a key is kept");
        }
    }
    assert_eq!(kept.iter().filter(|row| row.starts_with("api_key")).count(), 3);
}

async fn what_is_no_key_is_nobody(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let key = make(&world, &owner, Some(&demo.organization), &["BALANCES_READ"], json!({})).await;
    assert_eq!(asked(&key.client).await, (200, None));
    // One that is a key by its shape, but never was one here.
    let other = bursar_domain::api_key::format(bursar_domain::api_key::KeyMode::Live, [9; 32]);
    let mut wrong = vec![other, key.secret.replace("live", "test"), format!("{}0", key.secret)];
    wrong.push(key.secret[..60].to_owned());
    // The checksum finds what is mistyped, wherever that is.
    for place in [12, 30, 55, 60] {
        let mut bytes = key.secret.clone().into_bytes();
        bytes[place] = if bytes[place] == b'x' { b'y' } else { b'x' };
        wrong.push(String::from_utf8(bytes).unwrap());
    }
    for secret in wrong {
        let client = Client::new(&world.base, Some(secret.clone()));
        assert_eq!(asked(&client).await, refused(), "{secret}");
        let body = client.raw("{ __typename }", json!({})).await;
        assert_eq!(body["errors"][0]["extensions"]["code"], "UNAUTHENTICATED", "{secret}: {body}");
    }
}

async fn keys_expire(backend: Backend) {
    let clock = Clock::set(Clock::system().now());
    let world = World::start_untimed(backend, clock.clone()).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let end = clock.now().plus_seconds(3_600);
    let more = json!({ "expiresAt": said(end) });
    let key = make(&world, &owner, Some(&demo.organization), &["CHARGES_WRITE"], more).await;
    assert_eq!(charge(&key.client, &demo.pool, None, "before").await, None);
    clock.turn(Timestamp::from_micros(end.micros() - 1));
    assert_eq!(charge(&key.client, &demo.pool, None, "just before").await, None);
    clock.turn(end);
    // Though it is remembered.
    assert_eq!(charge(&key.client, &demo.pool, None, "after").await.as_deref(), Some("UNAUTHENTICATED"));
    assert_eq!(asked(&key.client).await, refused());
    // What has expired is not rotated any more.
    let input = json!({ "keyId": key.id });
    let late = owner.try_mutate("rotateApiKey", "RotateApiKeyInput", input, "secret").await;
    assert_eq!(late["userErrors"][0]["code"], "INVALID_STATE", "{late}");
}

async fn rotation_overlaps(backend: Backend) {
    let clock = Clock::set(Clock::system().now());
    let world = World::start_untimed(backend, clock.clone()).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let begin = clock.now();
    let more = json!({ "expiresAt": said(begin.plus_days(30)), "poolIds": [demo.pool] });
    let old = make(&world, &owner, Some(&demo.organization), &["CHARGES_WRITE"], more).await;
    assert_eq!(charge(&old.client, &demo.pool, None, "old").await, None);
    clock.turn(begin.plus_days(1));
    // Her token is no longer good by then.
    let owner = world.client("owner@demo.test").await;
    let new = rotate(&world, &owner, &old, 600).await;
    assert_ne!(old.secret, new.secret);
    for (key, unique) in [(&old, "old in overlap"), (&new, "new in overlap")] {
        assert_eq!(charge(&key.client, &demo.pool, None, unique).await, None, "{unique}");
    }
    let query = "query N($id: ID!) { node(id: $id) { ... on ApiKey { name scopes expiresAt pools { id } replaces { id } } } }";
    let seen = |id: String| {
        let owner = owner.clone();
        async move { owner.query(query, json!({ "id": id })).await["node"].clone() }
    };
    let micros = |value: &Value| {
        chrono::DateTime::parse_from_rfc3339(value.as_str().unwrap()).unwrap().timestamp_micros()
    };
    let (before, after) = (seen(old.id.clone()).await, seen(new.id.clone()).await);
    assert_eq!(micros(&before["expiresAt"]), begin.plus_days(1).plus_seconds(600).micros());
    // As long after its making as it was with the old one.
    assert_eq!(micros(&after["expiresAt"]), begin.plus_days(31).micros());
    assert_eq!((&after["name"], &after["scopes"]), (&before["name"], &before["scopes"]));
    assert_eq!((&after["pools"], &after["replaces"]["id"]), (&json!([{ "id": demo.pool }]), &json!(old.id)));
    // Once.
    let input = json!({ "keyId": old.id });
    let again = owner.try_mutate("rotateApiKey", "RotateApiKeyInput", input, "secret").await;
    assert_eq!((&again["userErrors"][0]["code"], &again["secret"]), (&json!("INVALID_STATE"), &Value::Null));
    clock.turn(begin.plus_days(1).plus_seconds(600));
    let over = charge(&old.client, &demo.pool, None, "old is over").await;
    assert_eq!(over.as_deref(), Some("UNAUTHENTICATED"));
    assert_eq!(charge(&new.client, &demo.pool, None, "new goes on").await, None);
    // Without any overlap it ends with the commit; more than a week is too much.
    let last = rotate(&world, &owner, &new, 0).await;
    assert_eq!(charge(&new.client, &demo.pool, None, "at once").await.as_deref(), Some("UNAUTHENTICATED"));
    assert_eq!(charge(&last.client, &demo.pool, None, "last").await, None);
    let input = json!({ "keyId": last.id, "overlapSeconds": 7 * 24 * 3_600 + 1 });
    let long = owner.try_mutate("rotateApiKey", "RotateApiKeyInput", input, "secret").await;
    assert_eq!(long["userErrors"][0]["field"], json!(["overlapSeconds"]), "{long}");
}

/// On whatever server somebody revokes it.
async fn revoked(owner: &Client, there: &Client, key: &Key, pool: &str) {
    for turn in 0..3 {
        assert_eq!(charge(there, pool, None, &format!("before {turn}")).await, None);
    }
    revoke(owner, key).await;
    assert_eq!(charge(there, pool, None, "after").await.as_deref(), Some("UNAUTHENTICATED"));
    assert_eq!(asked(there).await, refused());
    // Not even what it has done before.
    assert_eq!(charge(there, pool, None, "before 0").await.as_deref(), Some("UNAUTHENTICATED"));
}

async fn revocation_counts_at_once(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let key = make(&world, &owner, Some(&demo.organization), &["CHARGES_WRITE"], json!({})).await;
    revoked(&owner, &key.client, &key, &demo.pool).await;
    // It stays revoked, and cannot come back by being rotated; both are in the log.
    revoke(&owner, &key).await;
    let input = json!({ "keyId": key.id });
    let late = owner.try_mutate("rotateApiKey", "RotateApiKeyInput", input, "secret").await;
    assert_eq!(late["userErrors"][0]["code"], "INVALID_STATE", "{late}");
    let query = r#"{ organization(by: { slug: "demo" }) { auditEvents { nodes { action subjectId } } } }"#;
    let events = owner.query(query, json!({})).await["organization"]["auditEvents"]["nodes"].clone();
    let of_key = |action: &str| {
        let nodes = events.as_array().unwrap().iter();
        nodes.filter(|node| node["action"] == action && node["subjectId"] == json!(key.id)).count()
    };
    assert_eq!((of_key("createApiKey"), of_key("revokeApiKey"), of_key("rotateApiKey")), (1, 1, 0));
    // An organization that may only read makes no keys, but ends them.
    let other = make(&world, &owner, Some(&demo.organization), &["CHARGES_WRITE"], json!({})).await;
    world.sql("UPDATE organization SET state = 'SUSPENDED'").await;
    let made = ask(&owner, Some(&demo.organization), &["CHARGES_WRITE"], json!({})).await;
    assert_eq!(made["userErrors"][0]["code"], "ORGANIZATION_SUSPENDED", "{made}");
    revoke(&owner, &other).await;
    assert_eq!(asked(&other.client).await, refused());
}

#[test]
fn revocation_counts_on_another_server() {
    run(async {
        let world = World::start(Backend::Postgres).await;
        let owner = world.client("owner@demo.test").await;
        let demo = owner.demo().await;
        let other = Process::start(&world.database).await;
        let base = other.client(&world, "owner@demo.test").await.base().to_owned();
        let key = make(&world, &owner, Some(&demo.organization), &["CHARGES_WRITE"], json!({})).await;
        let there = Client::new(&base, Some(key.secret.clone()));
        revoked(&owner, &there, &key, &demo.pool).await;
    });
}

async fn streams_of_revoked_keys_end(backend: Backend) {
    let world = World::start(backend).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    let scopes = ["BALANCES_READ"];
    let own = make(&world, &owner, Some(&demo.organization), &scopes, json!({})).await;
    let vendors = make(&world, &operator, None, &scopes, json!({})).await;
    for (by, key) in [(&owner, own), (&operator, vendors)] {
        let mut socket = key.client.socket().await;
        socket.subscribe("1", WATCH, json!({ "id": demo.pool })).await;
        socket.next("poolBalance").await;
        let body = json!({ "query": WATCH, "variables": { "id": demo.pool } });
        let events = key.client.http().post(key.client.url("/graphql/stream")).json(&body);
        let events = events.header("accept", "text/event-stream").bearer_auth(&key.secret);
        let events = events.send().await.unwrap();
        assert_eq!(events.status(), 200);
        let events = tokio::spawn(async move { events.text().await.unwrap() });
        // The stream of somebody else who sees the same goes on.
        let mut other = by.socket().await;
        other.subscribe("1", WATCH, json!({ "id": demo.pool })).await;
        other.next("poolBalance").await;
        revoke(by, &key).await;
        let began = Instant::now();
        let end = socket.message().await.unwrap_err();
        assert_eq!(end, (4403, "Forbidden: The key is not valid.".to_owned()));
        let events = tokio::time::timeout(DEADLINE, events).await.unwrap().unwrap();
        assert!(began.elapsed() < Duration::from_secs(5), "the streams went on for {:?}", began.elapsed());
        assert!(events.contains("UNAUTHENTICATED") && events.contains("event: complete"), "{events}");
        world.grant(&demo.organization, &demo.pool, 1).await;
        other.next("poolBalance").await;
    }
    // One that is rotated ends with its overlap.
    let key = make(&world, &owner, Some(&demo.organization), &scopes, json!({})).await;
    let mut socket = key.client.socket().await;
    socket.subscribe("1", WATCH, json!({ "id": demo.pool })).await;
    socket.next("poolBalance").await;
    let began = Instant::now();
    rotate(&world, &owner, &key, 4).await;
    let (code, reason) = socket.message().await.unwrap_err();
    assert_eq!(code, 4403, "{reason}");
    let took = began.elapsed();
    assert!(took > Duration::from_secs(3) && took < Duration::from_secs(9), "{took:?}");
}

async fn last_use(world: &World) -> i64 {
    world.number("SELECT coalesce(max(last_used_at), 0) AS n FROM api_key").await
}

/// Waits until the last use is written down as of an instant.
async fn until(world: &World, expected: i64) {
    let wait = async {
        while last_use(world).await != expected {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.expect("the last use is not written down");
}

async fn the_last_use_is_written_down(backend: Backend) {
    let clock = Clock::set(Clock::system().now());
    let world = World::start_untimed(backend, clock.clone()).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let key = make(&world, &owner, Some(&demo.organization), &["CHARGES_WRITE"], json!({})).await;
    let first = clock.now();
    assert_eq!(last_use(&world).await, 0);
    assert_eq!(charge(&key.client, &demo.pool, None, "first").await, None);
    until(&world, first.micros()).await;
    clock.turn(first.plus_seconds(59));
    assert_eq!(charge(&key.client, &demo.pool, None, "soon").await, None);
    assert_eq!(asked(&key.client).await, (200, None));
    assert_eq!(last_use(&world).await, first.micros(), "within the same minute");
    clock.turn(first.plus_seconds(60));
    assert_eq!(charge(&key.client, &demo.pool, None, "later").await, None);
    until(&world, first.plus_seconds(60).micros()).await;
    // That it is used changes nothing that permissions depend on.
    let revision = "SELECT max(revision) AS n FROM organization";
    let before = world.number(revision).await;
    clock.turn(first.plus_seconds(120));
    assert_eq!(charge(&key.client, &demo.pool, None, "last").await, None);
    until(&world, first.plus_seconds(120).micros()).await;
    assert_eq!(world.number(revision).await, before);
}
