//! Live balances: nothing lost between snapshot and changes, resuming, gaps, the end of rights, other
//! nodes, and the manners of the protocol.

use std::time::Duration;

use bursar::app::App;
use bursar::auth;
use bursar::clock::Clock;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::world::config;
use crate::support::{Backend, Client, DEADLINE, Socket, World};

on_both_databases!(
    nothing_is_lost_under_load,
    versions_that_cannot_be_resumed,
    rights_end_streams,
    protocol,
    another_node_sees_it
);

const WATCH: &str = "subscription W($id: ID!, $after: Version) { poolBalance(poolId: $id, after: $after) {
    kind version balance { available version } pool { name balance { version } } transfers { version credits poolBalanceAfter } } }";

async fn charge(client: &Client, pool: &str, key: String) {
    let input =
        json!({ "poolId": pool, "lines": [{ "service": "FURNITURE_REMOVAL" }], "idempotencyKey": key });
    assert_eq!(client.charge(input).await["userErrors"], json!([]));
}

/// Reads events until a version; answers the versions of all transfers, and checks each event.
async fn follow(socket: &mut Socket, until: i64) -> Vec<i64> {
    let (mut versions, mut last) = (Vec::new(), -1);
    while last < until {
        let event = socket.next("poolBalance").await;
        let version = event["version"].as_i64().unwrap();
        assert!(version > last, "{event}");
        assert_eq!(event["balance"]["version"], version);
        assert!(event["pool"]["balance"]["version"].as_i64().unwrap() >= version);
        for transfer in event["transfers"].as_array().unwrap() {
            versions.push(transfer["version"].as_i64().unwrap());
        }
        if let Some(newest) = event["transfers"].as_array().unwrap().last() {
            assert_eq!(
                (&newest["version"], &newest["poolBalanceAfter"]),
                (&event["version"], &event["balance"]["available"])
            );
        }
        last = version;
    }
    versions
}

async fn nothing_is_lost_under_load(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let mut early = owner.socket().await;
    early.subscribe("1", WATCH, json!({ "id": demo.pool, "after": 1 })).await;
    let charging = {
        let (owner, pool) = (owner.clone(), demo.pool.clone());
        tokio::spawn(async move {
            for n in 0..60 {
                charge(&owner, &pool, format!("c{n}")).await;
            }
        })
    };
    // Watchers that join while it goes on, each from the version that it finds.
    let mut joined = Vec::new();
    for _ in 0..5 {
        let (_, version) = owner.balance(&demo.pool).await;
        let mut socket = owner.socket().await;
        socket.subscribe("1", WATCH, json!({ "id": demo.pool, "after": version })).await;
        joined.push((version, socket));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(follow(&mut early, 61).await, (2..=61).collect::<Vec<_>>());
    for (version, mut socket) in joined {
        assert_eq!(follow(&mut socket, 61).await, (version + 1..=61).collect::<Vec<_>>());
    }
    charging.await.unwrap();
    assert_eq!(owner.balance(&demo.pool).await, (40, 61));
}

async fn versions_that_cannot_be_resumed(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let mut socket = owner.socket().await;
    // Ahead of the pool: a fresh snapshot that says so.
    socket.subscribe("ahead", WATCH, json!({ "id": demo.pool, "after": 5 })).await;
    let event = socket.next("poolBalance").await;
    assert_eq!(
        (&event["kind"], &event["version"], &event["transfers"]),
        (&json!("RESYNC"), &json!(1), &json!([]))
    );
    charge(&owner, &demo.pool, "k".to_owned()).await;
    let event = socket.next("poolBalance").await;
    assert_eq!((&event["kind"], &event["transfers"][0]["version"]), (&json!("CHANGE"), &json!(2)));
    // Just as far as it is: a snapshot without transfers.
    let mut socket = owner.socket().await;
    socket.subscribe("level", WATCH, json!({ "id": demo.pool, "after": 2 })).await;
    let event = socket.next("poolBalance").await;
    assert_eq!((&event["kind"], &event["transfers"]), (&json!("SNAPSHOT"), &json!([])));
    // More than a thousand behind: a batch of charges in one commit each is slow, so many lots are moved.
    for n in 0..4 {
        let (_, url) = owner.checkout(&demo.pool, &format!("lot-{n}")).await;
        owner.submit(&format!("{url}/pay")).await;
    }
    let (_, mut version) = owner.balance(&demo.pool).await;
    let mut n = 0;
    while version <= 1_001 {
        // 499 credits lie in five lots: allocating and reclaiming all of them makes ten transfers.
        let (_, before) = owner.balance(&demo.pool).await;
        owner.allocate(&demo.pool, &demo.sales, 499, &format!("all-{n}")).await;
        let input = json!({ "poolId": demo.pool, "departmentId": demo.sales, "credits": 499, "idempotencyKey": format!("all-{n}") });
        owner.mutate("reclaimCredits", "ReclaimCreditsInput", input, "").await;
        (_, version) = owner.balance(&demo.pool).await;
        assert_eq!(version - before, 10);
        n += 1;
    }
    let mut late = owner.socket().await;
    late.subscribe("behind", WATCH, json!({ "id": demo.pool, "after": version - 1_000 })).await;
    let event = late.next("poolBalance").await;
    assert_eq!((&event["kind"], event["transfers"].as_array().unwrap().len()), (&json!("SNAPSHOT"), 1_000));
    let mut late = owner.socket().await;
    late.subscribe("too far", WATCH, json!({ "id": demo.pool, "after": version - 1_001 })).await;
    let event = late.next("poolBalance").await;
    assert_eq!((&event["kind"], &event["transfers"]), (&json!("RESYNC"), &json!([])));
}

async fn rights_end_streams(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    // The auditor is removed from the organization while watching.
    let auditor = world.client("auditor@demo.test").await;
    let mut socket = auditor.socket().await;
    socket.subscribe("1", WATCH, json!({ "id": demo.pool })).await;
    socket.next("poolBalance").await;
    let query = r#"{ organization(by: { slug: "demo" }) { members { nodes { id user { email } } } } }"#;
    let members = owner.query(query, json!({})).await;
    let nodes = members["organization"]["members"]["nodes"].as_array().unwrap();
    let id = nodes.iter().find(|node| node["user"]["email"] == "auditor@demo.test").unwrap()["id"].clone();
    owner.mutate("removeMember", "RemoveMemberInput", json!({ "memberId": id }), "removedMemberId").await;
    let began = std::time::Instant::now();
    let message = socket.message().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(6), "the stream went on for {:?}", began.elapsed());
    assert_eq!(
        (&message["type"], &message["payload"][0]["message"]),
        (&json!("error"), &json!("pool was not found."))
    );
    // A token that runs out.
    let keys = &world.services().keys;
    let user = auth::verify(keys, owner.token(), world.clock.now()).unwrap().user().unwrap();
    let token = auth::issue(keys, user, world.clock.now(), 2).unwrap();
    let mut socket = Socket::open(&world.base, &token).await;
    socket.subscribe("1", WATCH, json!({ "id": demo.pool })).await;
    socket.next("poolBalance").await;
    assert_eq!(socket.message().await.unwrap_err(), (4403, "Forbidden: The token has expired.".to_owned()));
}

async fn protocol(backend: Backend) {
    let mut world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    // Who proves nothing, or something false, is not let in.
    for payload in
        [json!({}), json!({ "authorization": "Bearer nonsense" }), json!({ "authorization": 7 }), Value::Null]
    {
        let mut socket = Socket::connect(&world.base, None).await.unwrap();
        socket.send(json!({ "type": "connection_init", "payload": payload })).await;
        assert_eq!(socket.message().await.unwrap_err().0, 4403, "{payload}");
    }
    let mut socket = Socket::connect(&world.base, None).await.unwrap();
    socket.subscribe("1", WATCH, json!({ "id": demo.pool })).await;
    assert_eq!(socket.message().await.unwrap_err().0, 4401);
    let mut socket = Socket::connect(&world.base, None).await.unwrap();
    socket.send(json!({ "type": "nonsense" })).await;
    assert_eq!(socket.message().await.unwrap_err().0, 4400);
    // Pages of other sites are not let in; those of this one are.
    assert!(Socket::connect(&world.base, Some("https://evil.test")).await.is_err());
    assert!(Socket::connect(&world.base, Some("null")).await.is_err());
    assert!(Socket::connect(&world.base, Some("http://bursar.test")).await.is_ok());
    assert!(Socket::connect(&world.base, Some(&world.base)).await.is_ok());
    // Queries and mutations go this way too; a mutation whose socket closes is carried out all the same.
    let mut socket = owner.socket().await;
    socket.subscribe("q", "{ viewer { user { email } } }", json!({})).await;
    assert_eq!(socket.next("viewer").await["user"]["email"], "owner@demo.test");
    assert_eq!(socket.message().await.unwrap()["type"], "complete");
    for (id, query) in [
        (
            "two",
            "subscription { a: poolBalance(poolId: \"x\") { version } b: poolBalance(poolId: \"x\") { version } }",
        ),
        (
            "fragment",
            "subscription { ...f } fragment f on Subscription { poolBalance(poolId: \"x\") { version } }",
        ),
    ] {
        socket.subscribe(id, query, json!({})).await;
        let message = socket.message().await.unwrap();
        let code = &message["payload"][0]["extensions"]["code"];
        assert_eq!((&message["type"], code), (&json!("error"), &json!("GRAPHQL_VALIDATION_FAILED")));
    }
    // One socket carries so many streams, and then no more until one ends.
    let mut busy = owner.socket().await;
    for n in 0..64 {
        busy.subscribe(&n.to_string(), WATCH, json!({ "id": demo.pool })).await;
        busy.next("poolBalance").await;
    }
    busy.subscribe("more", WATCH, json!({ "id": demo.pool })).await;
    let refused = busy.message().await.unwrap();
    assert_eq!(refused["payload"][0]["extensions"]["code"], "THROTTLED", "{refused}");
    // The server says good-bye when it stops, and does not wait for watchers.
    socket.subscribe("w", WATCH, json!({ "id": demo.pool })).await;
    socket.next("poolBalance").await;
    let began = std::time::Instant::now();
    world.stop().await;
    assert_eq!(socket.message().await.unwrap_err().0, 1001);
    assert!(began.elapsed() < Duration::from_secs(5));
}

async fn another_node_sees_it(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let other = App::open(config(&world.database), Clock::system()).await.unwrap();
    let web = other.bind().await.unwrap();
    let base = format!("http://{}", web.address().unwrap());
    tokio::spawn(web.serve(std::future::pending()));
    let mut socket = Socket::open(&base, owner.token()).await;
    socket.subscribe("1", WATCH, json!({ "id": demo.pool, "after": 1 })).await;
    socket.next("poolBalance").await;
    for n in 0..5 {
        charge(&owner, &demo.pool, format!("n{n}")).await;
    }
    let versions = tokio::time::timeout(DEADLINE, follow(&mut socket, 6)).await.unwrap();
    assert_eq!(versions, (2..=6).collect::<Vec<_>>());
}
