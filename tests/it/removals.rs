//! Who is removed is out at once, on every node and in every kind of stream.

use std::time::{Duration, Instant};

use bursar::clock::Clock;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::{Backend, Socket, World, acts};

on_both_databases!(removal_ends_streams_on_another_node);

/// Streams of all kinds end within seconds, on whatever node they are, when the right to see has gone.
async fn removal_ends_streams_on_another_node(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let (purchase, _) = owner.checkout(&demo.pool, "watched").await;
    let other = acts::node(&world, Clock::system()).await;
    let web = other.bind().await.unwrap();
    let base = format!("http://{}", web.address().unwrap());
    tokio::spawn(web.serve(std::future::pending()));
    let auditor = world.client("auditor@demo.test").await;
    let mut watched = Vec::new();
    for (field, id, what) in [
        ("poolBalance(poolId: $id) { version }", &demo.pool, "pool"),
        ("organizationBalance(organizationId: $id) { version }", &demo.organization, "organization"),
        ("purchase(id: $id) { state }", &purchase, "purchase"),
    ] {
        let mut socket = Socket::open(&base, auditor.token()).await;
        let document = format!("subscription W($id: ID!) {{ {field} }}");
        socket.subscribe("1", &document, json!({ "id": id })).await;
        socket.next(field.split('(').next().unwrap()).await;
        watched.push((socket, what));
    }
    let id = auditor.query("{ viewer { memberships { id } } }", json!({})).await["viewer"]["memberships"][0]
        ["id"]
        .clone();
    owner.mutate("removeMember", "RemoveMemberInput", json!({ "memberId": id }), "removedMemberId").await;
    let began = Instant::now();
    for (mut socket, what) in watched {
        let message = socket.message().await.unwrap();
        assert_eq!(
            (&message["type"], &message["payload"][0]["message"]),
            (&json!("error"), &json!(format!("{what} was not found.")))
        );
        assert!(began.elapsed() < Duration::from_secs(6), "{what} went on for {:?}", began.elapsed());
    }
    // At once, for whatever is asked anew.
    let pool = auditor.query("query P($id: ID!) { pool(id: $id) { id } }", json!({ "id": demo.pool })).await;
    assert_eq!(pool["pool"], Value::Null);
}
