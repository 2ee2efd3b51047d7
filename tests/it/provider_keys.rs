//! Keys of providers change without a failed request: when the next one is published before it signs, when it takes the
//! name of the one before, and when there are no names at all, also while both are published; and nobody makes Bursar ask
//! for them more often than every half minute.

use bursar::auth::issuers;
use bursar::clock::Clock;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::issuer::{Issuer, published, signed, unsigned};
use crate::support::{Backend, Client, World, acts};

on_both_databases!(keys_change_without_a_failed_request, keys_change_without_a_new_name);

/// A server with a clock of its own, and a provider.
async fn start(backend: Backend) -> (World, Issuer, Clock) {
    let clock = Clock::set(acts::at("2026-06-01T12:00:00Z"));
    let world = World::start_untimed(backend, clock.clone()).await;
    let issuer = Issuer::start(&clock).await;
    (world, issuer, clock)
}

/// How a request of somebody is answered.
async fn status(client: &Client) -> u16 {
    client.send("{ viewer { user { email } } }", json!({})).await.0
}

async fn keys_change_without_a_failed_request(backend: Backend) {
    let (world, issuer, clock) = start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    issuer.trusted_by(&owner, &demo.organization, json!({ "joinsJustInTime": true })).await;
    let come = async |what: &str| {
        // A token of its own for each request, so that none is remembered.
        for number in 0..5 {
            let mut claims = issuer.claims(&format!("p{number}"), &format!("p{number}@demo.test"));
            claims["jti"] = json!(format!("{what} {number}"));
            let client = Client::new(&world.base, Some(issuer.token(&claims)));
            assert_eq!(status(&client).await, 200, "{what}");
        }
    };
    come("before").await;
    let old = issuer.client(&world.base, "p0", "p0@demo.test");
    let later = |seconds| clock.turn(clock.now().plus_seconds(seconds));
    // The next key is published, then signs, then the old one is gone; each half a minute after the other.
    for step in 1..4 {
        later(issuers::APART_SECONDS);
        issuer.publish(&[step, step - 1]);
        come("published").await;
        later(issuers::APART_SECONDS);
        issuer.publish(&[step - 1, step]);
        come("signing").await;
        // Tokens of the old key are good as long as it is there.
        assert!(step > 1 || status(&old).await == 200);
        later(issuers::APART_SECONDS);
        issuer.publish(&[step]);
        come("alone").await;
    }
    assert_eq!(issuer.keys_read(), 1 + 3, "once for each new key");
    // It goes away for hours: whose keys are known is understood all the same.
    issuer.set_down(true);
    later(3_600);
    let read = issuer.described();
    come("down").await;
    later(3_600);
    come("down longer").await;
    assert!(issuer.described() > read, "it is asked in the background");
    issuer.set_down(false);
    // For whoever has not asked it yet it is not there.
    let stranger = Issuer::start(&clock).await;
    stranger.set_down(true);
    stranger.trusted_by(&owner, &demo.organization, json!({ "joinsJustInTime": true })).await;
    let (_, body) =
        stranger.client(&world.base, "s", "s@demo.test").send("{ viewer { operator } }", json!({})).await;
    assert_eq!(body["errors"][0]["extensions"]["code"], "UNAVAILABLE", "{body}");
    stranger.set_down(false);
    later(issuers::APART_SECONDS);
    assert_eq!(status(&stranger.client(&world.base, "s", "s@demo.test")).await, 200);
}

/// A token of one person's that comes once only, signed by a key under a name or none.
fn once(issuer: &Issuer, key: usize, name: Option<&str>) -> String {
    let mut claims = issuer.claims("somebody", "somebody@demo.test");
    claims["jti"] = json!(uuid::Uuid::now_v7().to_string());
    let mut header = json!({ "alg": "RS256", "typ": "at+jwt" });
    if let Some(name) = name {
        header["kid"] = json!(name);
    }
    signed(key, &unsigned(&header, &claims))
}

/// Publishes some keys and no others, all under a name or none.
fn publish(issuer: &Issuer, keys: &[usize], name: Option<&str>) {
    let named = |key: &usize| {
        let mut one = published(*key);
        one["kid"] = name.map_or(Value::Null, |name| json!(name));
        one
    };
    issuer.publish(&[]);
    issuer.publish_more(keys.iter().map(named).collect());
}

async fn keys_change_without_a_new_name(backend: Backend) {
    let (world, issuer, clock) = start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    issuer.trusted_by(&owner, &demo.organization, json!({ "joinsJustInTime": true })).await;
    let later = |seconds| clock.turn(clock.now().plus_seconds(seconds));
    let comes = async |token: String| status(&Client::new(&world.base, Some(token))).await;
    publish(&issuer, &[0], None);
    assert_eq!(comes(once(&issuer, 0, None)).await, 200);
    let mut read = 1;
    let same = Some("always the same");
    for (key, name) in [(1, None), (2, None), (0, same), (1, same), (2, same)] {
        // From one request to the next another key signs: several who come at once wait for one reading.
        later(issuers::APART_SECONDS);
        publish(&issuer, &[key], name);
        let at_once = (0..4).map(|_| comes(once(&issuer, key, name)));
        assert_eq!(futures_util::future::join_all(at_once).await, [200; 4], "{key} {name:?}");
        read += 1;
        assert_eq!(issuer.keys_read(), read, "{key} {name:?}");
        // Somebody else's signature changes nothing, and is not asked about so soon.
        assert_eq!(comes(once(&issuer, 3, name)).await, 401);
        assert_eq!(comes(once(&issuer, key, name)).await, 200);
        assert_eq!(issuer.keys_read(), read, "{key} {name:?}");
    }
    // However many come with it.
    for _ in 0..2 {
        later(issuers::APART_SECONDS);
        let at_once = (0..20).map(|_| comes(once(&issuer, 3, same)));
        assert_eq!(futures_util::future::join_all(at_once).await, [401; 20]);
        read += 1;
        assert_eq!(issuer.keys_read(), read);
    }
    assert_eq!(comes(once(&issuer, 2, same)).await, 200);
    // Two that cannot be told apart by their names: the tokens of both are good.
    for name in [None, same] {
        later(issuers::APART_SECONDS);
        publish(&issuer, &[0, 1], name);
        for key in [1, 0] {
            assert_eq!(comes(once(&issuer, key, name)).await, 200, "{key} {name:?}");
        }
        assert_eq!(comes(once(&issuer, 3, name)).await, 401, "{name:?}");
        read += 1;
        assert_eq!(issuer.keys_read(), read, "{name:?}");
    }
}
