//! What is borne and is no good is paid for: by the address that it comes from, when it may be made up, and by whoever
//! has proven who they are, when it is theirs. Whoever has nothing left is told how long to wait, and nothing is looked
//! up. Others go on.

use bursar::config::Rate;
use bursar_domain::api_key::{KeyMode, format};
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::sign_in::{sign_in, sign_out};
use crate::support::{Backend, Client, Socket, World, keys};

on_both_databases!(refused_bearers_pay);

const VIEWER: &str = "{ viewer { user { id } } }";

fn code(body: &Value) -> &str {
    body["errors"][0]["extensions"]["code"].as_str().unwrap_or("none")
}

/// How many requests are refused for what they bear, before whoever sends them has to wait.
async fn refused(client: impl Fn(u8) -> Client) -> usize {
    for number in 0..u8::MAX {
        let body = client(number).raw(VIEWER, json!({})).await;
        if code(&body) == "THROTTLED" {
            assert!(
                body["errors"][0]["extensions"]["retryAfterMilliseconds"].as_u64().unwrap() > 0,
                "{body}"
            );
            return usize::from(number);
        }
        assert_eq!(code(&body), "UNAUTHENTICATED", "{body}");
    }
    panic!("nobody has to wait");
}

async fn refused_bearers_pay(backend: Backend) {
    let rate = Rate { maximum: 100_000, restore: 1 };
    let world = World::start_as(backend, |config| config.cost = rate).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    // The document is known from here on.
    assert_eq!(code(&owner.raw(VIEWER, json!({})).await), "none");
    let gone = sign_in(&world, "member@demo.test").await;
    assert_eq!(sign_out(&gone.client, false).await.len(), 1);
    // Keys that are good get everything back.
    let mut good = Vec::new();
    for _ in 0..3 {
        good.push(keys::make(&world, &owner, Some(&demo.organization), &["CHARGES_WRITE"], json!({})).await);
    }
    for (number, key) in good.iter().enumerate() {
        assert_eq!(keys::charge(&key.client, &demo.pool, None, &format!("before {number}")).await, None);
    }
    // Of made-up keys an address has so many.
    let forged = |number: u8| format(KeyMode::Live, [number; 32]);
    let tried = refused(|number| Client::new(&world.base, Some(forged(number)))).await;
    assert!((95..=100).contains(&tried), "{tried}");
    // By no way is one looked up from there any more: its table is not even there.
    world.sql("ALTER TABLE api_key RENAME TO api_key_away").await;
    let token = forged(255);
    let body = Client::new(&world.base, Some(token.clone())).raw(VIEWER, json!({})).await;
    assert_eq!(code(&body), "THROTTLED", "{body}");
    let asked = json!({ "query": VIEWER });
    let typed = "application/graphql-response+json";
    for request in [
        owner.http().post(owner.url("/graphql")).json(&asked).header("accept", typed),
        owner.http().post(owner.url("/graphql/stream")).json(&asked).header("accept", "text/event-stream"),
        owner.http().get(owner.url("/export/audit?organization=demo")),
        owner.http().get(owner.url("/export/organization?organization=demo")),
    ] {
        let response = request.bearer_auth(&token).send().await.unwrap();
        assert_eq!(response.status(), 429, "{}", response.url());
        let wait: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=1_000).contains(&wait), "{wait}");
    }
    let mut socket = Socket::connect(&world.base, None).await.unwrap();
    let payload = json!({ "authorization": format!("Bearer {token}") });
    socket.send(json!({ "type": "connection_init", "payload": payload })).await;
    assert_eq!(socket.message().await.unwrap_err().0, 1013);
    world.sql("ALTER TABLE api_key_away RENAME TO api_key").await;
    // Whoever has proven who they are goes on, from the same address.
    for (number, key) in good.iter().enumerate() {
        assert_eq!(keys::charge(&key.client, &demo.pool, None, &format!("after {number}")).await, None);
    }
    let admin = world.client("admin@demo.test").await;
    assert_eq!(code(&admin.raw(VIEWER, json!({})).await), "none");
    // Who has signed out and still bears the token pays for that, and nobody else does.
    let tried = refused(|_| gone.client.another()).await;
    assert!((90..=100).contains(&tried), "{tried}");
    assert_eq!(code(&owner.raw(VIEWER, json!({})).await), "none");
    assert_eq!(code(&world.client("member@demo.test").await.raw(VIEWER, json!({})).await), "THROTTLED");
}
