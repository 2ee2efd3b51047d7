//! Sessions: their tokens come and go; a refresh token that is used twice ends the session; who signs out is out at
//! once, on every node and in every stream; nobody ends another's.

use std::time::{Duration, Instant};

use bursar::auth::{self, sessions::GRACE_SECONDS};
use bursar::clock::Clock;
use bursar::db::{Database, Scope};
use bursar_domain::Timestamp;
use bursar_domain::id::Id;
use bursar_entity::session;
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::{self, refusal};
use crate::support::sign_in::{Opened, refresh, sign_in, sign_out};
use crate::support::{Backend, Client, DEADLINE, Socket, World};

on_both_databases!(
    tokens_come_and_go,
    a_refresh_token_is_good_once,
    who_signs_out_is_out_at_once,
    streams_end_with_their_session,
    each_has_their_own,
    tokens_that_are_none
);

const VIEWER: &str = "{ viewer { user { email } tokenExpiresAt } }";
const WATCH: &str = "subscription W($id: ID!) { poolBalance(poolId: $id) { version } }";

/// Whether somebody's token is good: for reading, and for what is asked of memory first.
async fn is_in(client: &Client) -> bool {
    let (status, body) = client.send(VIEWER, json!({})).await;
    let good = body["data"]["viewer"]["user"].is_object();
    assert_eq!(good, status == 200, "{status} {body}");
    assert!(good || body["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED", "{body}");
    good
}

/// Charges a credit; answers the code of what stood in the way.
async fn charge(client: &Client, pool: &str, unique: &str) -> Option<String> {
    let query = "mutation C($i: ChargeCreditsInput!) { chargeCredits(input: $i) { charge { id } userErrors { code } } }";
    let lines = json!([{ "service": "FURNITURE_REMOVAL" }]);
    let input = json!({ "poolId": pool, "lines": lines, "idempotencyKey": unique });
    let body = client.raw(query, json!({ "i": input })).await;
    let top = body["errors"][0]["extensions"]["code"].as_str();
    top.or(body["data"]["chargeCredits"]["userErrors"][0]["code"].as_str()).map(str::to_owned)
}

async fn tokens_come_and_go(backend: Backend) {
    let start = Clock::system().now();
    let clock = Clock::set(start);
    let world = World::start_untimed(backend, clock.clone()).await;
    let opened = sign_in(&world, "owner@demo.test").await;
    let claims = auth::verify(&world.services().keys, opened.client.token(), start).unwrap();
    assert!(claims.session().is_some());
    // Rounded down to whole seconds.
    let lifetime = claims.expires_at().micros() - start.micros();
    assert!((899_000_000..=900_000_000).contains(&lifetime), "{lifetime}");
    assert!(is_in(&opened.client).await);
    // A quarter of an hour, and what clocks may differ by.
    clock.turn(start.plus_seconds(914));
    assert!(is_in(&opened.client).await);
    clock.turn(start.plus_seconds(916));
    assert!(!is_in(&opened.client).await);
    let mut next = Opened::of(&world, &refresh(&world, &opened.refresh).await);
    assert_eq!(next.id, opened.id);
    assert!(is_in(&next.client).await && next.refresh != opened.refresh);
    // With a token that has run out beside it nothing is done.
    let input = json!({ "i": { "refreshToken": next.refresh } });
    let query = "mutation R($i: RefreshSessionInput!) { refreshSession(input: $i) { userErrors { code } } }";
    assert_eq!(opened.client.send(query, input).await.0, 401);
    // It goes on for thirty days, and the last token ends with it.
    let end = start.plus_days(30);
    for day in 1..30 {
        clock.turn(start.plus_days(day));
        next = Opened::of(&world, &refresh(&world, &next.refresh).await);
        assert!(is_in(&next.client).await, "{day}");
    }
    clock.turn(Timestamp::from_micros(end.micros() - 5_000_000));
    let last = Opened::of(&world, &refresh(&world, &next.refresh).await);
    let claims = auth::verify(&world.services().keys, last.client.token(), clock.now()).unwrap();
    assert!(claims.expires_at() <= end && is_in(&last.client).await);
    clock.turn(end);
    assert!(!is_in(&last.client).await);
    let ended = refresh(&world, &last.refresh).await;
    assert_eq!(refusal(&ended), ("INVALID_STATE".to_owned(), "refreshToken".to_owned()));
    // Forgotten when the person comes again.
    assert_eq!(world.number("SELECT count(*) AS n FROM session").await, 1);
    let again = sign_in(&world, "owner@demo.test").await;
    assert_eq!(world.number("SELECT count(*) AS n FROM session").await, 1);
    assert!(again.id != opened.id && is_in(&again.client).await);
}

async fn a_refresh_token_is_good_once(backend: Backend) {
    let start = Clock::system().now();
    let clock = Clock::set(start);
    let world = World::start_untimed(backend, clock.clone()).await;
    let first = sign_in(&world, "member@demo.test").await;
    let other = sign_in(&world, "member@demo.test").await;
    // Whose answer was lost, or who asks from two windows at once, gets the same; the generation does not rise.
    let at_once = futures_util::future::join_all((0..4).map(|_| refresh(&world, &first.refresh))).await;
    let second = Opened::of(&world, &at_once[0]);
    for payload in &at_once {
        assert_eq!(Opened::of(&world, payload).refresh, second.refresh);
    }
    let rows = world.database.rows::<session::Entity>().await;
    let mut found: Vec<i64> = rows.iter().map(|row| row.generation).collect();
    found.sort_unstable();
    assert_eq!(found, [1, 2]);
    clock.turn(Timestamp::from_micros(start.plus_seconds(GRACE_SECONDS).micros() - 1));
    assert_eq!(Opened::of(&world, &refresh(&world, &first.refresh).await).refresh, second.refresh);
    assert!(is_in(&first.client).await && is_in(&second.client).await);
    // Later it is somebody else who has it, and nobody has the session any more; the other session goes on.
    clock.turn(start.plus_seconds(GRACE_SECONDS));
    let reused = refresh(&world, &first.refresh).await;
    assert_eq!(refusal(&reused), ("INVALID_STATE".to_owned(), "refreshToken".to_owned()));
    assert_eq!(reused["tokens"], Value::Null);
    for client in [&first.client, &second.client] {
        assert!(!is_in(client).await);
    }
    assert_eq!(refusal(&refresh(&world, &second.refresh).await).0, "INVALID_STATE");
    assert!(is_in(&other.client).await);
    // However old it is: a thief may have refreshed several times since.
    let mut newest = Opened::of(&world, &refresh(&world, &other.refresh).await);
    for n in 1..4 {
        clock.turn(start.plus_seconds(100 * n));
        newest = Opened::of(&world, &refresh(&world, &newest.refresh).await);
    }
    assert_eq!(refusal(&refresh(&world, &other.refresh).await).0, "INVALID_STATE");
    assert!(!is_in(&newest.client).await);
    // Both are in the log, and refreshes are.
    let owner = world.client("owner@demo.test").await;
    for (action, count) in [("reuseRefreshToken", 2), ("refreshSession", 5)] {
        let query = "query A($a: String!) { organization(by: { slug: \"demo\" }) { auditEvents(filter: { action: $a }) { nodes { subjectId personal { name } } } } }";
        let data = owner.query(query, json!({ "a": action })).await;
        let nodes = data["organization"]["auditEvents"]["nodes"].as_array().unwrap();
        assert_eq!(nodes.len(), count, "{action}: {nodes:?}");
        assert!(nodes.iter().all(|node| node["personal"] == json!([{ "name": "address" }])), "{nodes:?}");
    }
}

async fn who_signs_out_is_out_at_once(backend: Backend) {
    let world = World::start(backend).await;
    let other = acts::node(&world, Clock::system()).await;
    let web = other.bind().await.unwrap();
    let base = format!("http://{}", web.address().unwrap());
    tokio::spawn(web.serve(std::future::pending()));
    let opened = sign_in(&world, "owner@demo.test").await;
    let elsewhere = sign_in(&world, "owner@demo.test").await;
    let demo = opened.client.demo().await;
    let there = |opened: &Opened| Client::new(&base, Some(opened.client.token().to_owned()));
    // Both nodes know the person, and what the person may do.
    for (client, unique) in [(&opened.client, "a"), (&there(&opened), "b"), (&elsewhere.client, "c")] {
        assert_eq!(charge(client, &demo.pool, unique).await, None);
    }
    assert_eq!(sign_out(&opened.client, false).await, std::slice::from_ref(&opened.id));
    for client in [&opened.client, &there(&opened)] {
        assert_eq!(charge(client, &demo.pool, "d").await.as_deref(), Some("UNAUTHENTICATED"));
        assert!(!is_in(client).await);
    }
    assert_eq!(refusal(&refresh(&world, &opened.refresh).await).0, "INVALID_STATE");
    assert_eq!(charge(&elsewhere.client, &demo.pool, "e").await, None);
    // Everywhere, by a token of the command line, which itself belongs to no session and goes on.
    let third = sign_in(&world, "owner@demo.test").await;
    let token = world.client("owner@demo.test").await;
    let refused = token.try_mutate("signOut", "SignOutInput", json!({}), "sessions { id }").await;
    assert_eq!(refusal(&refused).0, "INVALID_STATE");
    assert_eq!(sign_out(&token, true).await, [elsewhere.id.clone(), third.id.clone()]);
    for opened in [&elsewhere, &third] {
        assert!(!is_in(&opened.client).await && !is_in(&there(opened)).await);
    }
    assert!(is_in(&token).await);
    assert_eq!(sign_out(&token, true).await, Vec::<String>::new());
    // In the log: by whom, and which.
    let query = r#"{ organization(by: { slug: "demo" }) { auditEvents(filter: { action: "signOut" }) { nodes { actor { user { email } } before } } } }"#;
    let data = token.query(query, json!({})).await;
    let nodes = data["organization"]["auditEvents"]["nodes"].as_array().unwrap().clone();
    assert_eq!(nodes.len(), 2, "{nodes:?}");
    assert!(nodes.iter().all(|node| node["actor"]["user"]["email"] == "owner@demo.test"), "{nodes:?}");
    assert!(nodes.iter().any(|node| node["before"] == json!({ "sessions": [opened.id] })), "{nodes:?}");
}

async fn streams_end_with_their_session(backend: Backend) {
    let world = World::start(backend).await;
    let other = acts::node(&world, Clock::system()).await;
    let web = other.bind().await.unwrap();
    let base = format!("http://{}", web.address().unwrap());
    tokio::spawn(web.serve(std::future::pending()));
    let opened = sign_in(&world, "owner@demo.test").await;
    let kept = sign_in(&world, "owner@demo.test").await;
    let demo = opened.client.demo().await;
    let mut ending = Vec::new();
    for base in [world.base.as_str(), base.as_str()] {
        let mut socket = Socket::open(base, opened.client.token()).await;
        socket.subscribe("1", WATCH, json!({ "id": demo.pool })).await;
        socket.next("poolBalance").await;
        ending.push(socket);
        // One that watches nothing ends as well.
        ending.push(Socket::open(base, opened.client.token()).await);
    }
    let mut going_on = kept.client.socket().await;
    going_on.subscribe("1", WATCH, json!({ "id": demo.pool })).await;
    going_on.next("poolBalance").await;
    let body = json!({ "query": WATCH, "variables": { "id": demo.pool } });
    let events = opened.client.http().post(opened.client.url("/graphql/stream")).json(&body);
    let events = events.bearer_auth(opened.client.token()).header("accept", "text/event-stream");
    let mut events = events.send().await.unwrap();
    assert_eq!(events.status(), 200);
    let input = json!({ "sessionId": opened.id });
    kept.client.mutate("revokeSession", "RevokeSessionInput", input, "session { revokedAt }").await;
    let began = Instant::now();
    for mut socket in ending {
        let end = loop {
            if let Err(end) = socket.message().await {
                break end;
            }
        };
        assert_eq!(end, (4403, "Forbidden: The session has ended.".to_owned()));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
    let mut told = String::new();
    while let Some(chunk) = tokio::time::timeout(DEADLINE, events.chunk()).await.unwrap().unwrap() {
        told += std::str::from_utf8(&chunk).unwrap();
    }
    assert!(told.contains("The session has ended.") && told.contains("UNAUTHENTICATED"), "{told}");
    assert!(told.ends_with("event: complete\ndata: \n\n"), "{told}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // Neither a socket nor a stream begins any more; the other session's goes on.
    let mut socket = Socket::connect(&world.base, None).await.unwrap();
    let payload = json!({ "authorization": format!("Bearer {}", opened.client.token()) });
    socket.send(json!({ "type": "connection_init", "payload": payload })).await;
    assert_eq!(socket.message().await.unwrap_err().0, 4403);
    assert_eq!(charge(&kept.client, &demo.pool, "go on").await, None);
    going_on.next("poolBalance").await;
}

async fn each_has_their_own(backend: Backend) {
    let world = World::start(backend).await;
    let (mine, more) = (sign_in(&world, "member@demo.test").await, sign_in(&world, "member@demo.test").await);
    let theirs = sign_in(&world, "owner@demo.test").await;
    let query = "{ viewer { sessions { id current lastUsedAt revokedAt } } }";
    let listed = mine.client.query(query, json!({})).await["viewer"]["sessions"].clone();
    let ids: Vec<(&Value, &Value)> =
        listed.as_array().unwrap().iter().map(|session| (&session["id"], &session["current"])).collect();
    let (first, second) = (json!(more.id), json!(mine.id));
    assert_eq!(ids, [(&first, &json!(false)), (&second, &json!(true))]);
    // Another's is not there, be it asked by whom: an owner, or the vendor's staff.
    let operator = world.client("operator@bursar.test").await;
    for (client, id) in [(&mine.client, &theirs.id), (&theirs.client, &mine.id), (&operator, &mine.id)] {
        for id in [id.as_str(), "session_00000000000000000000000000", "x", ""] {
            let input = json!({ "sessionId": id });
            let refused =
                client.try_mutate("revokeSession", "RevokeSessionInput", input, "session { id }").await;
            assert_eq!(refusal(&refused), ("NOT_FOUND".to_owned(), "sessionId".to_owned()), "{id}");
        }
    }
    assert!(is_in(&mine.client).await && is_in(&more.client).await && is_in(&theirs.client).await);
    // The own ones can be ended; again is the same.
    for _ in 0..2 {
        let input = json!({ "sessionId": more.id });
        let ended =
            mine.client.mutate("revokeSession", "RevokeSessionInput", input, "session { id revokedAt }");
        let ended = ended.await;
        assert!(ended["session"]["revokedAt"].is_string() && ended["session"]["id"] == first, "{ended}");
    }
    assert!(!is_in(&more.client).await && is_in(&mine.client).await);
    let listed = mine.client.query(query, json!({})).await["viewer"]["sessions"].clone();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    if backend == Backend::Postgres {
        // The database shows a person's sessions to nobody else, and links to none but who signs them in.
        let db = Database::connect(&world.database.addresses).await.unwrap();
        let rows = world.database.rows::<session::Entity>().await;
        let (user, stranger) = (rows[0].user_id, bursar_domain::id::UserId::from_u128(1));
        let own = rows.iter().filter(|row| row.user_id == user).count();
        for (scope, table, seen) in [
            (Scope::Person(user), "session", own),
            (Scope::Person(user), "sign_in_link", 0),
            (Scope::SignIn(stranger), "session", 0),
            (Scope::SignIn(stranger), "sign_in_link", 0),
            (Scope::Operator, "sign_in_link", 0),
        ] {
            let snapshot = db.read(scope.clone()).await.unwrap();
            let count = format!("SELECT count(*) AS n FROM {table}");
            let count = Statement::from_string(snapshot.get_database_backend(), count);
            let count: i64 = snapshot.query_one_raw(count).await.unwrap().unwrap().try_get("", "n").unwrap();
            assert_eq!(usize::try_from(count).unwrap(), seen, "{scope:?} {table}");
        }
    }
}

async fn tokens_that_are_none(backend: Backend) {
    let world = World::start(backend).await;
    let opened = sign_in(&world, "owner@demo.test").await;
    let other = sign_in(&world, "member@demo.test").await;
    let (rest, proof) = opened.refresh.rsplit_once('.').unwrap();
    let (mixed, _) = other.refresh.rsplit_once('.').unwrap();
    let later = rest.replace(".1", ".2");
    for bad in [
        "",
        "bursar_refresh",
        rest,
        proof,
        &format!("{rest}."),
        &format!("{mixed}.{proof}"),
        &format!("{later}.{proof}"),
        &opened.refresh[1..],
        opened.client.token(),
    ] {
        let refused = refresh(&world, bad).await;
        assert_eq!(refusal(&refused), ("NOT_FOUND".to_owned(), "refreshToken".to_owned()), "{bad}");
    }
    // A refresh token is no token to call with, and a token whose session was never there is none.
    assert!(!is_in(&Client::new(&world.base, Some(opened.refresh.clone()))).await);
    assert!(is_in(&opened.client).await);
    world.sql("DELETE FROM session").await;
    assert!(!is_in(&opened.client).await && !is_in(&other.client).await);
    assert_eq!(refusal(&refresh(&world, &opened.refresh).await).0, "INVALID_STATE");
    assert!(is_in(&world.client("owner@demo.test").await).await);
}
