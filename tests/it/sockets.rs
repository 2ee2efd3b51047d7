//! The manners of streams: every close code of `graphql-transport-ws`, pings both ways, limits, clients that do
//! not read; and the same rules for server-sent events.

use std::time::{Duration, Instant};

use bursar::auth;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::on_both_databases;
use crate::support::{Backend, Client, DEADLINE, Socket, World, run};

on_both_databases!(events_of_other_streams, server_sent_events);

const WATCH: &str = "subscription W($id: ID!, $after: Version) { poolBalance(poolId: $id, after: $after) {
    kind version balance { available } transfers { version } } }";

async fn charge(client: &Client, pool: &str, key: String) {
    let input =
        json!({ "poolId": pool, "lines": [{ "service": "FURNITURE_REMOVAL" }], "idempotencyKey": key });
    assert_eq!(client.charge(input).await["userErrors"], json!([]));
}

/// A good token of the owner's that ends in some seconds.
fn short_token(world: &World, owner: &Client, seconds: i64) -> String {
    let keys = &world.services().keys;
    let user = auth::verify(keys, owner.token(), world.clock.now()).unwrap().user().unwrap();
    auth::issue(keys, user, world.clock.now(), seconds).unwrap()
}

#[test]
fn every_close_code_has_its_reason() {
    run(async {
        let world = World::start(Backend::Sqlite).await;
        let owner = world.client("owner@demo.test").await;
        let demo = owner.demo().await;
        let code = async |socket: &mut Socket| socket.message().await.unwrap_err().0;
        let silent = tokio::spawn({
            let base = world.base.clone();
            async move {
                let mut socket = Socket::connect(&base, None).await.unwrap();
                let began = Instant::now();
                (socket.message().await.unwrap_err().0, began.elapsed())
            }
        });
        // What is not of the protocol.
        for message in [
            "nonsense",
            "[]",
            "{}",
            r#"{"type":"start"}"#,
            r#"{"type":"subscribe","id":7}"#,
            r#"{"type":"subscribe","id":"1"}"#,
        ] {
            let mut socket = owner.socket().await;
            socket.send_text(message).await;
            assert_eq!(code(&mut socket).await, 4400, "{message}");
        }
        let mut socket = owner.socket().await;
        socket.subscribe("", WATCH, json!({ "id": demo.pool })).await;
        assert_eq!(code(&mut socket).await, 4400);
        let mut socket = owner.socket().await;
        socket.send_bytes(br#"{"type":"ping"}"#).await;
        assert_eq!(code(&mut socket).await, 4400);
        let mut socket = owner.socket().await;
        socket.send_text(&"x".repeat(300_000)).await;
        assert_eq!(code(&mut socket).await, 1009);
        // Too early, twice, the same id, another protocol.
        let mut socket = Socket::connect(&world.base, None).await.unwrap();
        socket.subscribe("1", WATCH, json!({ "id": demo.pool })).await;
        assert_eq!(code(&mut socket).await, 4401);
        let mut socket = owner.socket().await;
        socket.send(json!({ "type": "connection_init", "payload": {} })).await;
        assert_eq!(code(&mut socket).await, 4429);
        let mut socket = owner.socket().await;
        socket.subscribe("1", WATCH, json!({ "id": demo.pool })).await;
        socket.next("poolBalance").await;
        socket.subscribe("1", WATCH, json!({ "id": demo.pool })).await;
        assert_eq!(code(&mut socket).await, 4409);
        let mut socket = Socket::connect_with(&world.base, None, "").await.unwrap();
        assert_eq!(code(&mut socket).await, 4406);
        // An id is free again when its operation has ended, by either side.
        let mut socket = owner.socket().await;
        for _ in 0..2 {
            socket.subscribe("1", WATCH, json!({ "id": demo.pool })).await;
            socket.next("poolBalance").await;
            socket.send(json!({ "type": "complete", "id": "1" })).await;
        }
        for _ in 0..2 {
            socket.subscribe("q", "{ __typename }", json!({})).await;
            assert_eq!(socket.message().await.unwrap()["type"], "next");
            assert_eq!(socket.message().await.unwrap()["type"], "complete");
            socket.subscribe("q", "{ nowhere }", json!({})).await;
            assert_eq!(socket.message().await.unwrap()["type"], "error");
        }
        socket.send(json!({ "type": "complete", "id": "never" })).await;
        // Pings of the client, of either kind, with what they bring.
        socket.send(json!({ "type": "ping" })).await;
        assert_eq!(socket.raw_message().await.unwrap(), json!({ "type": "pong" }));
        socket.send(json!({ "type": "ping", "payload": { "n": 1 } })).await;
        assert_eq!(socket.raw_message().await.unwrap(), json!({ "type": "pong", "payload": { "n": 1 } }));
        let admin = world.client("admin@demo.test").await;
        // A token that ends.
        let mut socket = Socket::open(&world.base, &short_token(&world, &admin, 2)).await;
        assert_eq!(code(&mut socket).await, 4403);
        // Who says nothing at all.
        let (code, took) = silent.await.unwrap();
        assert_eq!(code, 4408);
        assert!(took > Duration::from_secs(5) && took < Duration::from_secs(12), "{took:?}");
    });
}

#[test]
fn a_person_has_so_many_sockets_and_no_more_until_one_closes() {
    run(async {
        let world = World::start_as(Backend::Sqlite, |config| config.sockets_per_person = 3).await;
        let owner = world.client("owner@demo.test").await;
        let sockets = (owner.socket().await, owner.socket().await, owner.socket().await);
        let mut fourth = Socket::connect(&world.base, None).await.unwrap();
        let payload = json!({ "authorization": format!("Bearer {}", owner.token()) });
        fourth.send(json!({ "type": "connection_init", "payload": payload })).await;
        assert_eq!(fourth.message().await.unwrap_err().0, 1013);
        world.client("admin@demo.test").await.socket().await;
        drop(sockets);
        let again = async {
            loop {
                let mut socket = Socket::connect(&world.base, None).await.unwrap();
                socket.send(json!({ "type": "connection_init", "payload": payload })).await;
                if socket.message().await.is_ok() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(DEADLINE, again).await.unwrap();
    });
}

#[test]
fn who_does_not_answer_or_read_is_let_go_and_others_go_on() {
    run(async {
        let world = World::start(Backend::Sqlite).await;
        let owner = world.client("owner@demo.test").await;
        let demo = owner.demo().await;
        // Answers no pings, though it reads.
        let mut deaf = owner.socket().await;
        deaf.subscribe("1", WATCH, json!({ "id": demo.pool })).await;
        let began = Instant::now();
        let deaf = tokio::spawn(async move {
            let mut pings = 0;
            while let Ok(message) = deaf.raw_message().await {
                pings += u32::from(message["type"] == "ping");
            }
            (pings, began.elapsed())
        });
        // Reads nothing at all, while there is much to read.
        let mut blind = raw_socket(&world, &owner).await;
        for n in 0..64 {
            let payload = json!({ "query": WATCH, "variables": { "id": demo.pool } });
            let message = json!({ "type": "subscribe", "id": n.to_string(), "payload": payload });
            blind.write_all(&masked(&message.to_string())).await.unwrap();
        }
        let mut watcher = owner.socket().await;
        watcher.subscribe("1", WATCH, json!({ "id": demo.pool })).await;
        watcher.next("poolBalance").await;
        let mut n = 0;
        while !deaf.is_finished() && began.elapsed() < Duration::from_secs(20) {
            if n < 90 {
                let sent = Instant::now();
                charge(&owner, &demo.pool, format!("c{n}")).await;
                n += 1;
                while watcher.next("poolBalance").await["version"] != json!(n + 1) {}
                assert!(sent.elapsed() < Duration::from_secs(1), "others wait: {:?}", sent.elapsed());
            } else {
                // Answers pings meanwhile.
                let _ = tokio::time::timeout(Duration::from_millis(50), watcher.raw_answering()).await;
            }
        }
        let (pings, took) = deaf.await.unwrap();
        assert_eq!(pings, 1);
        assert!(took > Duration::from_secs(10) && took < Duration::from_secs(16), "{took:?}");
        // Nobody is left but the watcher, though the other one still holds on to its connection.
        let gone = async {
            while world.services().hub.audience() > 1 {
                let _ = tokio::time::timeout(Duration::from_millis(50), watcher.raw_answering()).await;
            }
        };
        tokio::time::timeout(DEADLINE, gone).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(18), "{:?}", began.elapsed());
        drop(blind);
    });
}

/// A WebSocket after the handshake and the beginning of the protocol, as bare bytes.
async fn raw_socket(world: &World, owner: &Client) -> TcpStream {
    let host = world.base.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).await.unwrap();
    let request = format!(
        "GET /graphql/ws HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 4096];
    let count = stream.read(&mut head).await.unwrap();
    assert!(head[..count].starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head[..count]));
    let payload = json!({ "authorization": format!("Bearer {}", owner.token()) });
    let init = json!({ "type": "connection_init", "payload": payload }).to_string();
    stream.write_all(&masked(&init)).await.unwrap();
    stream
}

/// A text frame of a client, masked with zeros (RFC 6455, section 5.2).
fn masked(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(length) if length < 126 => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

async fn events_of_other_streams(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let member = world.client("member@demo.test").await;
    let demo = owner.demo().await;
    let whole = "subscription O($id: ID!) { organizationBalance(organizationId: $id) { kind version
        organization { slug } balance { available version } pools { pool { name } balance { available } } } }";
    let mut socket = owner.socket().await;
    socket.subscribe("o", whole, json!({ "id": demo.organization })).await;
    let first = socket.next("organizationBalance").await;
    assert_eq!(
        (&first["kind"], &first["version"], &first["pools"][0]["balance"]["available"]),
        (&json!("SNAPSHOT"), &json!(1), &json!(100))
    );
    // A member sees the pools where a department of theirs has credits: none yet.
    let mut small = member.socket().await;
    small.subscribe("o", whole, json!({ "id": demo.organization })).await;
    let nothing = small.next("organizationBalance").await;
    assert_eq!((&nothing["pools"], &nothing["version"]), (&json!([]), &json!(0)));
    charge(&owner, &demo.pool, "k".to_owned()).await;
    let change = socket.next("organizationBalance").await;
    assert_eq!(
        (&change["kind"], &change["version"], &change["balance"]["available"]),
        (&json!("CHANGE"), &json!(2), &json!(99))
    );
    // Another pool counts from its first credits on; and the member's from the first allocation on.
    let input = json!({ "organizationId": demo.organization, "name": "Second" });
    let second = owner.mutate("createPool", "CreatePoolInput", input, "pool { id }").await;
    let second = second["pool"]["id"].as_str().unwrap();
    world.grant(&demo.organization, second, 7).await;
    loop {
        let event = socket.next("organizationBalance").await;
        if event["version"] == json!(3) {
            assert_eq!(
                (&event["balance"]["available"], event["pools"].as_array().unwrap().len()),
                (&json!(106), 2)
            );
            break;
        }
    }
    owner.allocate(&demo.pool, &demo.sales, 40, "a").await;
    let seen = small.next("organizationBalance").await;
    assert_eq!((seen["pools"].as_array().unwrap().len(), &seen["version"]), (1, &json!(3)));
    // A purchase, from its request to its credits.
    let (purchase, url) = owner.checkout(&demo.pool, "b").await;
    let watch = "subscription P($id: ID!) { purchase(id: $id) { id state completedAt } }";
    socket.subscribe("p", watch, json!({ "id": purchase })).await;
    let mut states = Vec::new();
    while !matches!(states.last(), Some(state) if state == "COMPLETED") {
        let message = socket.message().await.unwrap();
        if message["id"] != "p" {
            continue;
        }
        let state = &message["payload"]["data"]["purchase"]["state"];
        states.push(state.as_str().unwrap_or_else(|| panic!("{message}")).to_owned());
        if states.len() == 1 {
            owner.submit(&format!("{url}/pay")).await;
        }
    }
    assert_eq!(states, ["AWAITING_PAYMENT", "COMPLETED"]);
    // Streams without a right are streams of nothing.
    small.subscribe("p", watch, json!({ "id": purchase })).await;
    let refused = loop {
        let message = small.message().await.unwrap();
        if message["id"] == "p" {
            break message;
        }
    };
    assert_eq!(
        (&refused["type"], &refused["payload"][0]["message"]),
        (&json!("error"), &json!("purchase was not found."))
    );
}

/// Opens a stream of server-sent events; answers the status and what reads it.
async fn stream(client: &Client, token: &str, body: Value) -> (u16, BoxStream<'static, (String, Value)>) {
    let request = client.http().post(client.url("/graphql/stream")).bearer_auth(token);
    let response = request.header("accept", "text/event-stream").json(&body).send().await.unwrap();
    let status = response.status().as_u16();
    let events =
        futures_util::stream::unfold((response, String::new()), |(mut response, mut rest)| async move {
            loop {
                if let Some((event, after)) = rest.split_once("\n\n") {
                    let (event, after) = (event.to_owned(), after.to_owned());
                    rest = after;
                    if event.starts_with(':') {
                        continue;
                    }
                    let line = |name: &str| {
                        let found = event.lines().find_map(|line| line.strip_prefix(name));
                        found.unwrap_or_default().trim().to_owned()
                    };
                    let data = serde_json::from_str(&line("data:")).unwrap_or(Value::Null);
                    return Some(((line("event:"), data), (response, rest)));
                }
                let chunk = tokio::time::timeout(DEADLINE, response.chunk()).await.unwrap().ok().flatten()?;
                rest += std::str::from_utf8(&chunk).unwrap();
            }
        });
    (status, events.boxed())
}

async fn server_sent_events(backend: Backend) {
    let world = World::start_as(backend, |config| config.sockets_per_person = 4).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let watch = json!({ "query": WATCH, "variables": { "id": demo.pool } });
    let (status, mut events) = stream(&owner, owner.token(), watch.clone()).await;
    assert_eq!(status, 200);
    assert_eq!(events.next().await.unwrap().1["data"]["poolBalance"]["kind"], "SNAPSHOT");
    for n in 0..3 {
        charge(&owner, &demo.pool, format!("k{n}")).await;
        let (kind, event) = events.next().await.unwrap();
        assert_eq!((kind.as_str(), &event["data"]["poolBalance"]["version"]), ("next", &json!(n + 2)));
    }
    // From a version on.
    let resume = json!({ "query": WATCH, "variables": { "id": demo.pool, "after": 2 } });
    let (_, mut resumed) = stream(&owner, owner.token(), resume).await;
    let event = resumed.next().await.unwrap().1;
    assert_eq!(event["data"]["poolBalance"]["transfers"], json!([{ "version": 3 }, { "version": 4 }]));
    drop(resumed);
    // Queries and mutations are one event; what is wrong with a document is one too.
    let (_, once) = stream(&owner, owner.token(), json!({ "query": "{ __typename }" })).await;
    let once: Vec<_> = once.collect().await;
    assert_eq!(
        (once[0].1["data"]["__typename"].clone(), once[1].0.as_str(), once.len()),
        (json!("Query"), "complete", 2)
    );
    for wrong in ["{", "{ nowhere }", "subscription { nowhere }"] {
        let (status, once) = stream(&owner, owner.token(), json!({ "query": wrong })).await;
        let once: Vec<_> = once.collect().await;
        assert!(
            status == 200 && once[0].1["errors"][0]["message"].is_string() && once[0].1.get("data").is_none()
        );
        assert_eq!(once[1].0, "complete");
    }
    // What is no request is refused by its status.
    let post = || owner.http().post(owner.url("/graphql/stream"));
    let events_only = |request: reqwest::RequestBuilder| request.header("accept", "text/event-stream");
    for (request, status) in [
        (events_only(post()).json(&watch), 401),
        (events_only(post()).bearer_auth("nonsense").json(&watch), 401),
        (post().bearer_auth(owner.token()).header("accept", "application/json").json(&watch), 406),
        (events_only(post()).bearer_auth(owner.token()).json(&json!({ "query": 7 })), 400),
        (events_only(post()).bearer_auth(owner.token()).body("x"), 415),
    ] {
        assert_eq!(request.send().await.unwrap().status(), status);
    }
    let mutation = owner.url("/graphql/stream?query=mutation%7B__typename%7D");
    let refused = events_only(owner.http().get(mutation)).bearer_auth(owner.token()).send().await.unwrap();
    assert_eq!(refused.status(), 405);
    let by_get = owner.url("/graphql/stream?query=%7B__typename%7D");
    let by_get = events_only(owner.http().get(by_get)).bearer_auth(owner.token()).send().await.unwrap();
    assert!(by_get.text().await.unwrap().contains("event: next"));
    // A token that ends, a right that ends, and too many streams.
    let (_, ending) = stream(&owner, &short_token(&world, &owner, 2), watch.clone()).await;
    let ending: Vec<_> = ending.collect().await;
    assert_eq!(ending[1].1["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
    assert_eq!(ending[2].0, "complete");
    let auditor = world.client("auditor@demo.test").await;
    let (_, mut watched) = stream(&auditor, auditor.token(), watch.clone()).await;
    watched.next().await.unwrap();
    let query = r#"{ organization(by: { slug: "demo" }) { members { nodes { id user { email } } } } }"#;
    let members = owner.query(query, json!({})).await;
    let nodes = members["organization"]["members"]["nodes"].as_array().unwrap().clone();
    let id = nodes.iter().find(|node| node["user"]["email"] == "auditor@demo.test").unwrap()["id"].clone();
    owner.mutate("removeMember", "RemoveMemberInput", json!({ "memberId": id }), "removedMemberId").await;
    let began = Instant::now();
    let (_, last) = watched.next().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(last["errors"][0]["message"], "pool was not found.");
    let mut held = vec![events];
    for _ in 0..3 {
        let (status, more) = stream(&owner, owner.token(), watch.clone()).await;
        assert_eq!(status, 200);
        held.push(more);
    }
    assert_eq!(stream(&owner, owner.token(), watch).await.0, 429);
}
