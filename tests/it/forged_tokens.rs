//! Tokens that are not what they seem: every one is refused, soon, and asks the provider nothing.

use std::time::{Duration, Instant};

use bursar::auth::{self, issuers};
use bursar::clock::Clock;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::on_both_databases;
use crate::support::issuer::{AUDIENCE, CLIENT, Issuer, SECRET, kid, published, signed, unsigned};
use crate::support::{Backend, Client, World, acts};

on_both_databases!(forged_tokens_are_refused);

/// How soon a token is refused: each, and half of them whatever the build.
const IN_NO_TIME: Duration = Duration::from_millis(1);
/// How many times as long the longest of them may take where nothing is optimized: they are read letter by letter.
const READING: u32 = if cfg!(debug_assertions) { 4 } else { 1 };
/// How often one is tried until it is.
const TRIES: usize = 20;

/// A token with an HMAC for its signature.
fn with_secret(secret: &[u8], header: &Value, claims: &Value) -> String {
    let text = unsigned(header, claims);
    let mac = Hmac::<Sha256>::new_from_slice(secret).unwrap().chain_update(text.as_bytes()).finalize();
    format!("{text}.{}", BASE64URL_NOPAD.encode(&mac.into_bytes()))
}

/// What makes a token of the provider's bad, and the token. Keys 0 and 1 are published, key 3 is the forger's.
fn table(issuer: &Issuer, world: &World) -> Vec<(String, String)> {
    let good = issuer.claims("somebody", "somebody@demo.test");
    let head = json!({ "alg": "RS256", "typ": "at+jwt", "kid": kid(1) });
    let now = issuer.now();
    let mut table: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, token: String| table.push((name.to_owned(), token));
    let header = |field: &str, value: Value| {
        let mut header = head.clone();
        header[field] = value;
        header
    };
    let claims = |field: &str, value: Value| {
        let mut claims = good.clone();
        claims[field] = value;
        claims
    };
    // Signatures that are none, or by what is no secret.
    for name in ["none", "None", "nOnE", "NONE"] {
        add(&format!("algorithm {name}"), format!("{}.", unsigned(&header("alg", json!(name)), &good)));
    }
    add("algorithm none, signed", signed(1, &unsigned(&header("alg", json!("none")), &good)));
    let key = published(1);
    let modulus = BASE64URL_NOPAD.decode(key["n"].as_str().unwrap().as_bytes()).unwrap();
    let hs = header("alg", json!("HS256"));
    for (name, secret) in [
        ("the modulus", modulus.as_slice()),
        ("the modulus as text", key["n"].as_str().unwrap().as_bytes()),
        ("the key as text", key.to_string().as_bytes()),
        ("nothing", b"".as_slice()),
        ("the client secret", SECRET.as_bytes()),
        ("a symmetric key of the set", b"everybody knows this".as_slice()),
    ] {
        add(&format!("HMAC with {name}"), with_secret(secret, &hs, &good));
    }
    let symmetric = json!({ "alg": "HS256", "typ": "at+jwt", "kid": "symmetric" });
    add("HMAC by a key of the set", with_secret(b"everybody knows this", &symmetric, &good));
    for name in ["RS384", "RS512", "PS256", "ES256", "EdDSA", "XX256", ""] {
        add(&format!("algorithm {name:?}"), signed(1, &unsigned(&header("alg", json!(name)), &good)));
    }
    add("algorithm a number", signed(1, &unsigned(&header("alg", json!(256)), &good)));
    add("no algorithm", signed(1, &unsigned(&json!({ "kid": kid(1) }), &good)));
    // Keys of the forger's.
    add("another key by the same name", signed(3, &unsigned(&head, &good)));
    add("a key that it brings along", signed(3, &unsigned(&header("jwk", published(3)), &good)));
    for field in ["jku", "x5u"] {
        let header = header(field, json!("https://forger.example/keys"));
        add(&format!("a key that {field} leads to"), signed(3, &unsigned(&header, &good)));
    }
    for name in ["", "nobody's", "key-1\0", "../key-1", "' OR '1'='1", "KEY-1", " key-1"] {
        add(&format!("the key {name:?}"), signed(1, &unsigned(&header("kid", json!(name)), &good)));
    }
    add("key a number", signed(1, &unsigned(&header("kid", json!(1)), &good)));
    add(
        "another key without a name",
        signed(3, &unsigned(&json!({ "alg": "RS256", "typ": "at+jwt" }), &good)),
    );
    add("the key of the other signature", signed(0, &unsigned(&head, &good)));
    // Kinds of tokens.
    for kind in ["logout+jwt", "secevent+jwt", "dpop+jwt", "JWE", "", "application/logout+jwt"] {
        add(&format!("kind {kind:?}"), signed(1, &unsigned(&header("typ", json!(kind)), &good)));
    }
    add("something critical", signed(1, &unsigned(&header("crit", json!(["exp"])), &good)));
    add("bound to a key", signed(1, &unsigned(&head, &claims("cnf", json!({ "jkt": "x" })))));
    add("of an event", signed(1, &unsigned(&head, &claims("events", json!({})))));
    // Claims that are missing, wrong, or of the wrong shape.
    for field in ["iss", "aud", "sub", "exp", "iat"] {
        let mut without = good.clone();
        without.as_object_mut().unwrap().remove(field);
        add(&format!("no {field}"), signed(1, &unsigned(&head, &without)));
        for value in [json!(null), json!(""), json!([]), json!({}), json!(true)] {
            add(&format!("{field} {value}"), signed(1, &unsigned(&head, &claims(field, value))));
        }
    }
    for (field, value) in [
        ("iss", json!("https://other.example")),
        ("iss", json!(format!("{}/", issuer.url))),
        ("iss", json!([issuer.url])),
        ("iss", json!("bursar")),
        ("aud", json!("https://bursar.test/api/")),
        ("aud", json!(CLIENT)),
        ("aud", json!(["other"])),
        ("aud", json!(7)),
        ("aud", json!([AUDIENCE, 7])),
        ("exp", json!("soon")),
        ("exp", json!((now + 600).to_string())),
        ("exp", json!(now - 31)),
        ("exp", json!(0)),
        ("exp", json!(-1)),
        ("exp", json!(1e300)),
        ("nbf", json!(now + 31)),
        ("nbf", json!("now")),
        ("iat", json!(now + 31)),
        ("iat", json!("now")),
        ("sub", json!(7)),
        ("sub", json!("x".repeat(256))),
        ("sub", json!("a\u{0}b")),
    ] {
        let token = signed(1, &unsigned(&head, &claims(field, value.clone())));
        let value: String = value.to_string().chars().take(60).collect();
        add(&format!("{field} {value}"), token);
    }
    let twice = good.to_string().replacen('{', "{\"iss\":\"https://other.example\",", 1);
    let parts = format!(
        "{}.{}",
        BASE64URL_NOPAD.encode(head.to_string().as_bytes()),
        BASE64URL_NOPAD.encode(twice.as_bytes())
    );
    add("two issuers", signed(1, &parts));
    // Texts that are not whole.
    let token = signed(1, &unsigned(&head, &good));
    let (text, signature) = token.rsplit_once('.').unwrap();
    let (first, second) = text.split_once('.').unwrap();
    add("without its end", token[..token.len() - 2].to_owned());
    add("without half of it", token[..token.len() / 2].to_owned());
    add("no signature", format!("{text}."));
    add("two parts", text.to_owned());
    add("four parts", format!("{token}.{signature}"));
    add("an empty header", format!(".{second}.{signature}"));
    add("empty claims", format!("{first}..{signature}"));
    add("dots", "..".to_owned());
    add("other claims", {
        let other = unsigned(&head, &claims("sub", json!("owner")));
        format!("{other}.{signature}")
    });
    add("another alphabet", {
        let body = BASE64.encode(good.to_string().as_bytes());
        signed(1, &format!("{first}.{body}"))
    });
    add("claims that are no JSON", signed(1, &format!("{first}.{}", BASE64URL_NOPAD.encode(b"{"))));
    add("claims that are a list", signed(1, &format!("{first}.{}", BASE64URL_NOPAD.encode(b"[]"))));
    let huge = claims("padding", json!("x".repeat(20_000)));
    add("huge", signed(1, &unsigned(&head, &huge)));
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let deep = good.to_string().replacen('{', &format!("{{\"deep\":{deep},"), 1);
    add("deep", signed(1, &format!("{first}.{}", BASE64URL_NOPAD.encode(deep.as_bytes()))));
    // Bursar's own kind.
    let own = json!({ "iss": "bursar", "aud": "bursar-api", "sub": uuid::Uuid::nil().to_string(),
        "iat": now, "nbf": now, "exp": now + 600 });
    add("Bursar's own, by a provider", signed(1, &unsigned(&head, &own)));
    add("Bursar's own, by another secret", with_secret(b"x", &json!({ "alg": "HS256", "typ": "JWT" }), &own));
    let theirs =
        auth::issue(&world.services().keys, bursar_domain::id::Id::from_u128(1), world.clock.now(), -60);
    add("Bursar's own, run out", theirs.unwrap());
    table
}

async fn answer(base: &str, token: &str) -> (u16, Value) {
    Client::new(base, Some(token.to_owned())).send("{ viewer { user { email } } }", json!({})).await
}

async fn forged_tokens_are_refused(backend: Backend) {
    let clock = Clock::set(acts::at("2026-06-01T12:00:00Z"));
    let world = World::start_untimed(backend, clock.clone()).await;
    let issuer = Issuer::start(&clock).await;
    issuer.publish(&[0, 1]);
    let symmetric = BASE64URL_NOPAD.encode(b"everybody knows this");
    issuer.publish_more(vec![json!({ "kty": "oct", "kid": "symmetric", "alg": "HS256", "k": symmetric })]);
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    issuer.trusted_by(&owner, &demo.organization, json!({ "joinsJustInTime": true })).await;
    let good = || issuer.token_of("somebody", "somebody@demo.test");
    assert_eq!(answer(&world.base, &good()).await.0, 200);
    let table = table(&issuer, &world);
    assert!(table.len() >= 40, "only {}", table.len());
    let members = "SELECT count(*) AS n FROM user_identity";
    assert_eq!(world.number(members).await, 1);

    // Through the API: all alike, whatever is wrong.
    for (name, token) in &table {
        let (status, body) = answer(&world.base, token).await;
        assert_eq!(status, 401, "{name}: {body}");
        assert_eq!(body["errors"][0]["extensions"]["code"], "UNAUTHENTICATED", "{name}: {body}");
        let message = body["errors"][0]["message"].as_str().unwrap();
        assert!(
            ["The token is not valid.", "The token has expired."].contains(&message),
            "{name}: {message}"
        );
    }
    assert_eq!(world.number(members).await, 1, "nobody has come in");
    assert_eq!(issuer.keys_read(), 1, "the clock stands still");

    let services = world.services();
    let unknown = |number: usize| {
        let header = json!({ "alg": "RS256", "typ": "at+jwt", "kid": format!("made-up-{number}") });
        signed(3, &unsigned(&header, &issuer.claims("somebody", "somebody@demo.test")))
    };
    let ask = async |token: String| {
        let (callers, keys) = (&services.callers, &services.keys);
        let began = Instant::now();
        let answered = callers.introduce(&services.context, keys, &token).await;
        assert!(answered.is_err(), "{token}");
        began.elapsed()
    };
    // In no time, each of the table: the least of a few tries, as the machine has other things to do. While the clock stands:
    // what is not good yet would be good later.
    let mut times = Vec::new();
    for (name, token) in &table {
        let mut least = Duration::MAX;
        for _ in 0..TRIES {
            least = least.min(ask(token.clone()).await);
            if least < IN_NO_TIME {
                break;
            }
        }
        assert!(least < IN_NO_TIME * READING, "{name}: {least:?}");
        times.push(least);
    }
    times.sort();
    let median = times[times.len() / 2];
    assert!(median < IN_NO_TIME, "{median:?}");
    println!("figure: forged token, median: {median:?}, most: {:?} (below 1 ms)", times[times.len() - 1]);
    // A thousand keys that there are not, half of them at once: one reading for each half minute. Signing takes longer
    // than asking: a few tokens come again.
    let tokens: Vec<String> = (0..20).map(unknown).collect();
    for round in 1..=2 {
        clock.turn(clock.now().plus_seconds(issuers::APART_SECONDS));
        let at_once = (0..250).map(|number| ask(tokens[number % tokens.len()].clone()));
        futures_util::future::join_all(at_once).await;
        for number in 0..250 {
            ask(tokens[number % tokens.len()].clone()).await;
        }
        assert_eq!(issuer.keys_read(), 1 + round, "one more");
    }
    clock.turn(clock.now().plus_seconds(issuers::APART_SECONDS - 1));
    ask(tokens[0].clone()).await;
    assert_eq!(issuer.keys_read(), 3, "not yet");

    // And a good one still is.
    assert_eq!(answer(&world.base, &good()).await.0, 200);
}
