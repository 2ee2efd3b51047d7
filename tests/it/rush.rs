//! Many at once: nothing is spent twice, nothing is lost, whatever servers they go to.

use std::collections::{BTreeMap, BTreeSet};

use bursar::clock::Clock;
use bursar::db::Options;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::client::Demo;
use crate::support::laws::books_are_right;
use crate::support::{Backend, Client, Process, World, run};

on_both_databases!(
    funds_for_sixty_percent,
    keys_that_come_again,
    a_batch_is_one_transaction,
    tenants_share_a_transaction,
);

fn charge(demo: &Demo, key: &str) -> Value {
    json!({ "poolId": demo.pool, "lines": [{ "service": "FURNITURE_REMOVAL" }], "idempotencyKey": key })
}

/// Charges from so many clients at once, three each, in turn to each of the servers; answers by key.
async fn rush(servers: &[Client], demo: &Demo, clients: usize, run: &str) -> BTreeMap<String, Value> {
    let client = |number: usize| {
        // A connection of its own.
        let server = servers[number % servers.len()].another();
        async move {
            let mut answers = Vec::new();
            for turn in 0..3 {
                let key = format!("{run}-{number}-{turn}");
                answers.push((key.clone(), server.charge(charge(demo, &key)).await));
            }
            answers
        }
    };
    join_all((0..clients).map(client)).await.into_iter().flatten().collect()
}

/// Rushes with 64 and 256 clients at a pool that has credits for 60 of 100 charges.
async fn sixty_percent(world: &World, servers: &[Client]) {
    let demo = servers[0].demo().await;
    for clients in [64, 256] {
        let (before, _) = servers[0].balance(&demo.pool).await;
        let funds = (clients * 3 * 60 / 100) as i64;
        assert_eq!(world.grant(&demo.organization, &demo.pool, funds - before).await, funds);
        let answers = rush(servers, &demo, clients, &format!("rush-{clients}")).await;
        let accepted: BTreeMap<&String, &Value> =
            answers.iter().filter(|(_, answer)| answer["userErrors"] == json!([])).collect();
        assert_eq!(accepted.len() as i64, funds, "as many charges as there are credits");
        for answer in answers.values().filter(|answer| answer["userErrors"] != json!([])) {
            assert_eq!(answer["userErrors"][0]["code"], "INSUFFICIENT_CREDITS", "{answer}");
        }
        let ids: BTreeSet<&str> =
            accepted.values().map(|answer| answer["charge"]["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), accepted.len(), "one charge for each key");
        let versions: BTreeSet<i64> =
            accepted.values().map(|answer| answer["charge"]["version"].as_i64().unwrap()).collect();
        assert_eq!(versions.len(), accepted.len(), "each made a version of its own");
        assert_eq!(servers[0].balance(&demo.pool).await.0, 0);
        // All of it again: the same answers, and nothing happens.
        let again = rush(servers, &demo, clients, &format!("rush-{clients}")).await;
        for (key, first) in &accepted {
            let second = &again[*key];
            assert_eq!(second["replayed"], json!(true), "{second}");
            assert_eq!((&second["charge"], &second["balance"]), (&first["charge"], &first["balance"]));
        }
        assert_eq!(servers[0].balance(&demo.pool).await.0, 0);
    }
    books_are_right(world).await;
}

async fn funds_for_sixty_percent(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    sixty_percent(&world, &[owner]).await;
}

#[test]
fn funds_for_sixty_percent_on_two_processes() {
    run(async {
        let world = World::start(Backend::Postgres).await;
        let other = Process::start(&world.database).await;
        let servers = [world.client("owner@demo.test").await, other.client(&world, "owner@demo.test").await];
        sixty_percent(&world, &servers).await;
    });
}

/// A hundred keys with other input, and one key a hundred times at once.
async fn again(world: &World, servers: &[Client]) {
    let demo = servers[0].demo().await;
    world.grant(&demo.organization, &demo.pool, 1_000).await;
    let (before, _) = servers[0].balance(&demo.pool).await;
    let server = |number: usize| servers[number % servers.len()].another();
    let first = (0..100).map(|number| {
        let (server, demo) = (server(number), &demo);
        async move { server.charge(charge(demo, &format!("key-{number}"))).await }
    });
    for answer in join_all(first).await {
        assert_eq!(answer["userErrors"], json!([]));
    }
    let other = (0..100).map(|number| {
        let (server, demo) = (server(number + 1), &demo);
        async move {
            let mut input = charge(demo, &format!("key-{number}"));
            input["subject"] = json!("something else");
            server.charge(input).await
        }
    });
    for answer in join_all(other).await {
        assert_eq!(answer["userErrors"][0]["code"], "IDEMPOTENCY_CONFLICT", "{answer}");
        assert_eq!(answer["charge"], Value::Null);
    }
    assert_eq!(servers[0].balance(&demo.pool).await.0, before - 100);
    let same = (0..100).map(|number| {
        let (server, demo) = (server(number), &demo);
        async move { server.charge(charge(demo, "the same")).await }
    });
    let answers = join_all(same).await;
    let first = answers.iter().filter(|answer| answer["replayed"] == json!(false)).count();
    assert_eq!(first, 1, "one of them was the first");
    for answer in &answers {
        assert_eq!(answer["userErrors"], json!([]));
        assert_eq!((&answer["charge"], &answer["balance"]), (&answers[0]["charge"], &answers[0]["balance"]));
    }
    assert_eq!(servers[0].balance(&demo.pool).await.0, before - 101);
    books_are_right(world).await;
}

async fn keys_that_come_again(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    again(&world, &[owner]).await;
}

#[test]
fn keys_that_come_again_on_two_processes() {
    run(async {
        let world = World::start(Backend::Postgres).await;
        let other = Process::start(&world.database).await;
        let servers = [world.client("owner@demo.test").await, other.client(&world, "owner@demo.test").await];
        again(&world, &servers).await;
    });
}

/// The last credit, asked for with one key on two servers at once: whoever waits for the books finds its key
/// used, not the pool empty.
#[test]
fn the_last_credit_with_one_key_on_two_processes() {
    run(async {
        let world = World::start(Backend::Postgres).await;
        let other = Process::start(&world.database).await;
        let servers = [world.client("owner@demo.test").await, other.client(&world, "owner@demo.test").await];
        let demo = servers[0].demo().await;
        let (left, _) = servers[0].balance(&demo.pool).await;
        servers[0].allocate(&demo.pool, &demo.sales, left, "out of the way").await;
        let clients: Vec<Client> = (0..20).map(|number| servers[number % 2].another()).collect();
        for round in 0..15 {
            world.grant(&demo.organization, &demo.pool, 1).await;
            let key = format!("last {round}");
            let answers = join_all(clients.iter().map(|client| client.charge(charge(&demo, &key)))).await;
            let first = answers.iter().filter(|answer| answer["replayed"] == json!(false)).count();
            assert_eq!(first, 1, "{answers:?}");
            for answer in &answers {
                assert_eq!(answer["userErrors"], json!([]), "{answer}");
                assert_eq!(answer["charge"]["id"], answers[0]["charge"]["id"]);
            }
        }
        books_are_right(&world).await;
    });
}

/// References are unique in the organization, across pools and servers.
#[test]
fn a_reference_is_taken_once_on_two_processes() {
    run(async {
        let world = World::start(Backend::Postgres).await;
        let other = Process::start(&world.database).await;
        let owner = world.client("owner@demo.test").await;
        let servers = [owner.clone(), other.client(&world, "owner@demo.test").await];
        let demo = owner.demo().await;
        let input = json!({ "organizationId": demo.organization, "name": "Second" });
        let second = owner.mutate("createPool", "CreatePoolInput", input, "pool { id }").await;
        let second = second["pool"]["id"].as_str().unwrap().to_owned();
        world.grant(&demo.organization, &second, 100).await;
        let pools = [demo.pool.clone(), second];
        for round in 0..10 {
            let charges = (0..16).map(|number| {
                let (server, pool) = (servers[number % 2].another(), &pools[number / 2 % 2]);
                async move {
                    let input = json!({ "poolId": pool, "lines": [{ "service": "FURNITURE_REMOVAL" }], "reference": format!("job {round}"), "idempotencyKey": format!("{round}-{number}") });
                    server.charge(input).await
                }
            });
            let answers = join_all(charges).await;
            let (taken, accepted): (Vec<_>, Vec<_>) =
                answers.iter().partition(|answer| answer["userErrors"] != json!([]));
            assert_eq!(accepted.len(), 1, "one of them has the reference");
            for answer in taken {
                assert_eq!(answer["userErrors"][0]["code"], "REFERENCE_TAKEN", "{answer}");
                assert_eq!(answer["userErrors"][0]["chargeId"], accepted[0]["charge"]["id"]);
            }
        }
        books_are_right(&world).await;
    });
}

/// One command that the database refuses does not take the others of its batch with it.
async fn a_batch_is_one_transaction(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    match backend {
        Backend::Sqlite => {
            world.sql("CREATE TRIGGER poison BEFORE INSERT ON charge WHEN NEW.subject = 'poison' BEGIN SELECT RAISE(ABORT, 'poisoned'); END").await
        }
        Backend::Postgres => {
            world.sql("CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'poisoned'; END $$; CREATE TRIGGER poison BEFORE INSERT ON charge FOR EACH ROW WHEN (NEW.subject = 'poison') EXECUTE FUNCTION poison()").await
        }
    };
    let document = "mutation C($input: ChargeCreditsInput!) { chargeCredits(input: $input) { charge { id } userErrors { code } } }";
    let charges = (0..60).map(|number| {
        let (client, demo) = (owner.another(), &demo);
        async move {
            let mut input = charge(demo, &format!("key-{number}"));
            if number % 20 == 7 {
                input["subject"] = json!("poison");
            }
            client.raw(document, json!({ "input": input })).await
        }
    });
    for (number, answer) in join_all(charges).await.into_iter().enumerate() {
        if number % 20 == 7 {
            assert_eq!(answer["errors"][0]["extensions"]["code"], "INTERNAL_SERVER_ERROR", "{answer}");
            assert!(!answer.to_string().contains("poison"), "nothing internal is told: {answer}");
        } else {
            assert_eq!(answer["data"]["chargeCredits"]["userErrors"], json!([]), "{answer}");
        }
    }
    assert_eq!(owner.balance(&demo.pool).await.0, 100 - 57);
    books_are_right(&world).await;
}

/// Who comes when too many wait is told so at once, and nothing happens to the others.
#[test]
fn too_many_are_turned_away_at_once() {
    run(async {
        let database = crate::support::TestDatabase::migrated(Backend::Postgres).await;
        let settings = bursar::ledger::Settings {
            lanes: 1,
            waiting: 10,
            waiting_of_all: 100,
            batch: 10,
            organizations: 1,
        };
        let world = World::start_on(database, Clock::system(), Options::default(), Some(settings)).await;
        let owner = world.client("owner@demo.test").await;
        let demo = owner.demo().await;
        owner.charge(charge(&demo, "warm")).await;
        // Somebody holds the pool's head: what has been taken waits in the database, the rest in the queue.
        let holder = sea_orm::Database::connect(&world.database.superuser).await.unwrap();
        let held = sea_orm::TransactionTrait::begin(&holder).await.unwrap();
        sea_orm::ConnectionTrait::execute_unprepared(&held, "SELECT 1 FROM pool_head FOR UPDATE")
            .await
            .unwrap();
        let document = "mutation C($input: ChargeCreditsInput!) { chargeCredits(input: $input) { charge { id } userErrors { code } } }";
        let charge = |number: usize| {
            let (client, demo) = (owner.another(), demo.clone());
            let input = charge(&demo, &format!("key-{number}"));
            tokio::spawn(async move { client.raw(document, json!({ "input": input })).await })
        };
        let mut waiting: Vec<_> = (0..40).map(charge).collect();
        let mut turned_away = 0;
        // Of forty, one batch of at most ten is under way and ten wait.
        while turned_away < 20 {
            let (answer, index, rest) = futures_util::future::select_all(waiting).await;
            waiting = rest;
            let answer = answer.unwrap();
            assert_eq!(answer["errors"][0]["extensions"]["code"], "OVERLOADED", "{index}: {answer}");
            turned_away += 1;
        }
        drop(held);
        let mut accepted = 0;
        for answer in join_all(waiting).await {
            let answer = answer.unwrap();
            match answer["errors"][0]["extensions"]["code"].as_str() {
                Some(code) => assert_eq!(code, "OVERLOADED"),
                None => accepted += 1,
            }
        }
        assert!((10..=20).contains(&accepted), "{accepted}");
        assert_eq!(owner.balance(&demo.pool).await.0, 99 - accepted);
        holder.close().await.unwrap();
    });
}

/// Commands of several tenants in one transaction: each gets its own answers and its own books.
async fn tenants_share_a_transaction(backend: Backend) {
    let database = crate::support::TestDatabase::migrated(backend).await;
    let settings = bursar::ledger::Settings {
        lanes: 1,
        waiting: 100,
        waiting_of_all: 1_000,
        batch: 100,
        organizations: 100,
    };
    let world = World::start_on(database, Clock::system(), Options::default(), Some(settings)).await;
    let operator = world.client("operator@bursar.test").await;
    let mut tenants = Vec::new();
    for number in 0..12 {
        let owner = world.found(&format!("tenant-{number}")).await;
        let query = "{ viewer { memberships { organization { id } } } }";
        let data = owner.query(query, json!({})).await;
        let organization =
            data["viewer"]["memberships"][0]["organization"]["id"].as_str().unwrap().to_owned();
        let input = json!({ "organizationId": organization, "name": "Main" });
        let made = owner.mutate("createPool", "CreatePoolInput", input, "pool { id }").await;
        let pool = made["pool"]["id"].as_str().unwrap().to_owned();
        world.grant(&organization, &pool, 20 + number).await;
        tenants.push((owner, pool, 20 + number));
    }
    for round in 0..3 {
        let charges = tenants.iter().enumerate().flat_map(|(number, (owner, pool, _))| {
            // The same keys for all: they are each tenant's own.
            let operator = &operator;
            (0..4).map(move |turn| {
                let by = if (number + turn) % 2 == 0 { owner.another() } else { operator.another() };
                let input = json!({ "poolId": pool, "lines": [{ "service": "FURNITURE_REMOVAL" }], "reference": format!("job {round} {turn}"), "idempotencyKey": format!("{round}-{turn}") });
                async move { (number, by.charge(input).await) }
            })
        });
        for (number, answer) in join_all(charges).await {
            assert_eq!(answer["userErrors"], json!([]), "{number}: {answer}");
            let last = tenants[number].2 - 4 * round;
            let available = answer["balance"]["available"].as_i64().unwrap();
            assert!((last - 4..last).contains(&available), "{number}: {answer}");
        }
    }
    for (owner, pool, credits) in &tenants {
        assert_eq!(owner.balance(pool).await.0, credits - 12);
    }
    books_are_right(&world).await;
    if backend == Backend::Postgres {
        let transactions = "SELECT count(DISTINCT xmin::text) AS n FROM charge";
        let charges = world.number("SELECT count(*) AS n FROM charge").await;
        assert!(world.number(transactions).await * 2 < charges, "they did not share transactions");
        // Whoever works for some tenants at once sees and writes those only.
        let application = sea_orm::Database::connect(&world.database.addresses.application).await.unwrap();
        let batch = sea_orm::TransactionTrait::begin(&application).await.unwrap();
        use sea_orm::ConnectionTrait;
        let two = "SELECT string_agg(id::text, ',') FROM (SELECT id FROM organization ORDER BY id LIMIT 2) o";
        let superuser = sea_orm::Database::connect(&world.database.superuser).await.unwrap();
        let row = superuser
            .query_one_raw(sea_orm::Statement::from_string(sea_orm::DatabaseBackend::Postgres, two))
            .await
            .unwrap()
            .unwrap();
        let ids: String = row.try_get_by_index(0).unwrap();
        batch.execute_unprepared(&format!("SET LOCAL app.batch = '{{{ids}}}'")).await.unwrap();
        for (table, sql) in [
            ("pool_head", "SELECT count(DISTINCT organization_id) AS n FROM pool_head"),
            ("organization", "SELECT count(*) AS n FROM organization"),
            (
                "charge",
                "SELECT count(DISTINCT organization_id) AS n FROM charge WHERE organization_id NOT IN (SELECT id FROM organization)",
            ),
            ("membership", "SELECT count(*) AS n FROM membership"),
        ] {
            let statement = sea_orm::Statement::from_string(sea_orm::DatabaseBackend::Postgres, sql);
            let row = batch.query_one_raw(statement).await.unwrap().unwrap();
            let expected = match table {
                "pool_head" | "organization" => 2,
                _ => 0,
            };
            assert_eq!(row.try_get::<i64>("", "n").unwrap(), expected, "{table}");
        }
        drop(batch);
        let refused = sea_orm::TransactionTrait::begin(&application).await.unwrap();
        refused.execute_unprepared(&format!("SET LOCAL app.batch = '{{{ids}}}'")).await.unwrap();
        let foreign = "INSERT INTO pool_head SELECT gen_random_uuid(), pool_id, version, clock, posted, held, issued, consumed, expired, revoked, debt, clearing, hash, revision FROM pool_head LIMIT 1";
        let error = refused.execute_unprepared(foreign).await.unwrap_err().to_string();
        assert!(error.contains("row-level security"), "{error}");
    }
}
