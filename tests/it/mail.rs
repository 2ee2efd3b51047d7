//! Mail leaves by the outbox: with its cause or not at all, at least once whatever the server does, always as the same
//! letter, and without anybody having to wait for it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bursar::app::App;
use bursar::clock::Clock;
use bursar::config::Config;
use bursar::db::{self, Tenant};
use bursar::delivery::run_once;
use bursar::error::Error;
use bursar::global_id;
use bursar::outbox::{self, Mail, UserOrAddress};
use bursar_domain::delivery::DeliveryState;
use bursar_domain::id::{DeliveryId, Id, UserId};
use serde_json::json;

use crate::on_both_databases;
use crate::support::acts::{at, refusal};
use crate::support::mail::{invitation, post, row, sign_in_link, tenant};
use crate::support::smtp::Came;
use crate::support::world::config;
use crate::support::{Backend, DEADLINE, Script, SmtpServer, World};

on_both_databases!(
    nothing_is_lost_whatever_the_server_does,
    what_is_refused_is_seen_and_replayed,
    what_fails_for_ever_is_given_up,
    a_lease_of_the_killed_runs_out,
    nodes_share_the_work,
    a_stalled_server_costs_the_api_nothing,
    a_mail_is_part_of_its_transaction,
    headers_cannot_be_injected,
    the_worker_delivers_by_itself,
);

const MARCH: &str = "2026-03-10T12:00:00Z";

/// A server of ours that delivers only when it is told to, with a mail server, its clock and its organization.
async fn start(backend: Backend, script: Script, patience: u64) -> (World, SmtpServer, Clock, String) {
    let (server, clock) = (SmtpServer::start(script).await, Clock::set(at(MARCH)));
    let sends = |config: &mut Config| server.takes_mail_of(config, Duration::from_millis(patience));
    let world = World::start_untimed_as(backend, clock.clone(), sends).await;
    let organization = world.client("owner@demo.test").await.demo().await.organization;
    (world, server, clock, organization)
}

async fn tried(world: &World) -> usize {
    run_once(&world.services().courier).await.unwrap()
}

/// The letters to somebody.
fn to(letters: Vec<Came>, address: &str) -> Vec<Came> {
    letters.into_iter().filter(|letter| letter.to.contains(address)).collect()
}

/// The Message-ID of a delivery.
fn named(id: DeliveryId) -> String {
    format!("<{}@bursar.test>", global_id::encode(id))
}

async fn nothing_is_lost_whatever_the_server_does(backend: Backend) {
    let (world, server, clock, organization) = start(backend, Script::Accept, 1_500).await;
    let mut now = at(MARCH);
    for (number, script) in [
        Script::StallAtBanner,
        Script::StallAtData,
        Script::StallAfterLetter,
        Script::DropAtBanner,
        Script::DropAtData,
        Script::DropAfterLetter,
        Script::AnswerRecipient("451 4.3.0 try again later"),
        Script::AnswerLetter("452 4.3.1 no room"),
        // For good, but about us.
        Script::AnswerRecipient("530 5.7.0 authentication required"),
        // With the letter that was stalled on the kept connection.
        Script::StallAtBanner,
    ]
    .into_iter()
    .enumerate()
    {
        let address = format!("{number}@example.test");
        let id = post(&world, tenant(&organization), invitation(&address, "Demo")).await.unwrap();
        server.set(script);
        assert_eq!(tried(&world).await, 1, "{script:?}");
        let failed = row(&world, id).await;
        let state = (failed.state, failed.attempts, failed.lease, failed.delivered_at);
        assert_eq!(state, (DeliveryState::Pending, 1, None, None), "{script:?}");
        assert!(failed.last_error.is_some(), "{script:?}");
        let pause = failed.due_at.micros() - now.micros();
        assert!((3_750_000..=5_000_000).contains(&pause), "{script:?}: {pause}");
        assert_eq!(tried(&world).await, 0, "it waits");
        server.set(Script::Accept);
        now = now.plus_seconds(5);
        clock.turn(now);
        assert_eq!(tried(&world).await, 1, "{script:?}");
        let done = row(&world, id).await;
        let state = (done.state, done.attempts, done.delivered_at, done.last_error);
        assert_eq!(state, (DeliveryState::Delivered, 2, Some(now), None), "{script:?}");
        assert_eq!(to(server.taken(), &address).len(), 1, "{script:?}");
        let seen = to(server.seen(), &address);
        for letter in &seen {
            assert_eq!(letter.header("Message-ID"), Some(named(id)), "{script:?}");
            assert_eq!(letter.header("Date"), seen[0].header("Date"), "{script:?}");
            assert_eq!(letter.header("To").unwrap(), address);
            assert!(letter.header("From").unwrap().ends_with("<credits@bursar.test>"));
            assert_eq!(letter.header("Auto-Submitted").unwrap(), "auto-generated");
        }
    }
    assert_eq!(tried(&world).await, 0);
}

async fn what_is_refused_is_seen_and_replayed(backend: Backend) {
    let refuse = Script::AnswerRecipient("550 5.1.1 no such mailbox");
    let (world, server, clock, organization) = start(backend, refuse, 5_000).await;
    let id = post(&world, tenant(&organization), invitation("gone@example.test", "Demo")).await.unwrap();
    assert_eq!(tried(&world).await, 1);
    clock.turn(at(MARCH).plus_seconds(7_200));
    assert_eq!(tried(&world).await, 0, "at once, and for good");
    let owner = world.client("owner@demo.test").await;
    let list = "deliveries(filter: { state: DEAD }) { totalCount nodes { id kind template recipient state attempts dueAt
        lastError createdAt deliveredAt } }";
    let query = format!("{{ organization(by: {{ slug: \"demo\" }}) {{ {list} }} }}");
    let dead = owner.query(&query, json!({})).await["organization"]["deliveries"].clone();
    let error = "the mail server refused the recipient or the letter";
    let expected = json!({ "totalCount": 1, "nodes": [{ "id": global_id::encode(id), "kind": "MAIL",
        "template": "INVITATION", "recipient": "gone@example.test", "state": "DEAD", "attempts": 1, "dueAt": null,
        "lastError": error, "createdAt": "2026-03-10T12:00:00.000000Z", "deliveredAt": null }] });
    assert_eq!(dead, expected);
    let operator = world.client("operator@bursar.test").await;
    let all = operator.query(&format!("{{ {list} }}"), json!({})).await["deliveries"].clone();
    // What the server has said is for the vendor's staff.
    let said = all["nodes"][0]["lastError"].as_str().unwrap();
    assert!(said.starts_with(error) && said.contains("550") && said.contains("no such mailbox"), "{said}");
    assert_eq!((&all["totalCount"], &all["nodes"][0]["id"]), (&json!(1), &expected["nodes"][0]["id"]));
    // What it says is shown to nobody.
    let fields = "{ __type(name: \"Delivery\") { fields { name } } }";
    let fields = owner.query(fields, json!({})).await.to_string();
    assert!(
        fields.contains("recipient") && !fields.contains("facts") && !fields.contains("link"),
        "{fields}"
    );
    let input = json!({ "deliveryId": global_id::encode(id) });
    let replay = |caller: &'static str| {
        let (world, input) = (&world, input.clone());
        async move {
            let client = world.client(caller).await;
            let fields = "delivery { state attempts dueAt lastError }";
            client.try_mutate("replayDelivery", "ReplayDeliveryInput", input, fields).await
        }
    };
    assert_eq!(refusal(&replay("auditor@demo.test").await).0, "FORBIDDEN");
    assert_eq!(refusal(&replay("member@demo.test").await), ("NOT_FOUND".to_owned(), "deliveryId".to_owned()));
    let replayed = replay("owner@demo.test").await;
    let expected = json!({ "state": "PENDING", "attempts": 0, "dueAt": "2026-03-10T14:00:00.000000Z", "lastError": error });
    assert_eq!((&replayed["delivery"], &replayed["userErrors"]), (&expected, &json!([])));
    assert_eq!(
        refusal(&replay("owner@demo.test").await),
        ("INVALID_STATE".to_owned(), "deliveryId".to_owned())
    );
    let events = "{ organization(by: { slug: \"demo\" }) { auditEvents(first: 1) { nodes { action subjectId after } } } }";
    let event = owner.query(events, json!({})).await["organization"]["auditEvents"]["nodes"][0].clone();
    let after = json!({ "state": "PENDING", "attempts": 0 });
    let expected = json!({ "action": "replayDelivery", "subjectId": global_id::encode(id), "after": after });
    assert_eq!(event, expected);
    server.set(Script::Accept);
    assert_eq!(tried(&world).await, 1);
    assert_eq!(row(&world, id).await.state, DeliveryState::Delivered);
    let taken = server.taken();
    assert_eq!((taken.len(), taken[0].header("Message-ID")), (1, Some(named(id))));
    assert_eq!(owner.query(&query, json!({})).await["organization"]["deliveries"]["totalCount"], 0);
    // What leads nowhere any more is not sent, nor when somebody asks for it again.
    server.set(Script::AnswerRecipient("451 4.3.0 later"));
    let link = sign_in_link("late@example.test", at(MARCH).plus_seconds(7_300));
    let late = post(&world, tenant(&organization), link).await.unwrap();
    assert_eq!(tried(&world).await, 1);
    server.set(Script::Accept);
    clock.turn(at(MARCH).plus_seconds(7_300));
    for _ in 0..2 {
        assert_eq!(tried(&world).await, 1);
        let given_up = row(&world, late).await;
        let expected = (DeliveryState::Dead, Some("its link has expired".to_owned()));
        assert_eq!((given_up.state, given_up.last_error), expected);
        let input = json!({ "deliveryId": global_id::encode(late) });
        owner.mutate("replayDelivery", "ReplayDeliveryInput", input, "delivery { state }").await;
    }
    assert_eq!(server.taken().len(), 1);
}

async fn what_fails_for_ever_is_given_up(backend: Backend) {
    let (world, server, clock, organization) =
        start(backend, Script::AnswerRecipient("451 4.3.0 later"), 5_000).await;
    let id = post(&world, tenant(&organization), invitation("later@example.test", "Demo")).await.unwrap();
    for number in 1..=12 {
        assert_eq!(tried(&world).await, 1, "{number}");
        let row = row(&world, id).await;
        let state = if number < 12 { DeliveryState::Pending } else { DeliveryState::Dead };
        assert_eq!((row.state, row.attempts), (state, number));
        clock.turn(at(MARCH).plus_seconds(3_600 * number));
    }
    server.set(Script::Accept);
    assert_eq!(tried(&world).await, 0);
    // So is what nobody has survived to write about.
    let id = post(&world, tenant(&organization), invitation("fatal@example.test", "Demo")).await.unwrap();
    world.sql("UPDATE delivery SET attempts = 12 WHERE state = 'PENDING'").await;
    assert_eq!(tried(&world).await, 1);
    let row = row(&world, id).await;
    assert_eq!((row.state, row.attempts), (DeliveryState::Dead, 13));
    assert!(row.last_error.unwrap().contains("tried too often"));
    assert!(server.taken().is_empty());
}

async fn a_lease_of_the_killed_runs_out(backend: Backend) {
    let (world, server, clock, organization) = start(backend, Script::StallAtData, 60_000).await;
    let id = post(&world, tenant(&organization), invitation("a@example.test", "Demo")).await.unwrap();
    let courier = world.services().courier.clone();
    let trying = tokio::spawn(async move { run_once(&courier).await });
    server.heard("DATA").await;
    trying.abort();
    assert!(trying.await.unwrap_err().is_cancelled());
    let left = row(&world, id).await;
    assert_eq!((left.state, left.attempts, left.lease.is_some()), (DeliveryState::Pending, 1, true));
    server.set(Script::Accept);
    let other = another(&world, &server, &clock).await;
    for (seconds, taken) in [(0, 0), (59, 0), (60, 1), (200, 0)] {
        clock.turn(at(MARCH).plus_seconds(seconds));
        assert_eq!(run_once(&other.services().courier).await.unwrap(), taken, "after {seconds} s");
    }
    let done = row(&world, id).await;
    assert_eq!((done.state, done.attempts, done.lease), (DeliveryState::Delivered, 2, None));
    let taken = server.taken();
    assert_eq!((taken.len(), taken[0].header("Message-ID")), (1, Some(named(id))));
    other.close().await.unwrap();
}

/// Another node on the same database, with the same mail server.
async fn another(world: &World, server: &SmtpServer, clock: &Clock) -> App {
    let mut settings = config(&world.database);
    server.takes_mail_of(&mut settings, Duration::from_secs(20));
    App::open(settings, clock.clone()).await.unwrap()
}

async fn nodes_share_the_work(backend: Backend) {
    let (world, server, clock, organization) = start(backend, Script::Accept, 20_000).await;
    let mut names = BTreeSet::new();
    for number in 0..40 {
        let mail = invitation(&format!("{number}@example.test"), "Demo");
        names.insert(named(post(&world, tenant(&organization), mail).await.unwrap()));
    }
    let other = another(&world, &server, &clock).await;
    let (here, there) = (&world.services().courier, &other.services().courier);
    let (one, two, three) = tokio::join!(run_once(here), run_once(there), run_once(there));
    // Rows that another node is writing are passed over, and may be left for the next look.
    let rest = tried(&world).await;
    assert_eq!(one.unwrap() + two.unwrap() + three.unwrap() + rest, 40);
    let taken = server.taken();
    let known: BTreeSet<_> = taken.iter().filter_map(|letter| letter.header("Message-ID")).collect();
    assert_eq!((taken.len(), known), (40, names), "each once");
    // Nobody stands behind all mails of another: who has few is among the first.
    let mut now = at(MARCH);
    for number in 0..20 {
        let mail = invitation(&format!("many-{number}@example.test"), "Demo");
        post(&world, tenant(&organization), mail).await.unwrap();
    }
    world.found("rival").await;
    let operator = world.client("operator@bursar.test").await;
    let query = r#"{ organization(by: { slug: "rival" }) { id } }"#;
    let rival = operator.query(query, json!({})).await["organization"]["id"].as_str().unwrap().to_owned();
    now = now.plus_seconds(1);
    clock.turn(now);
    post(&world, tenant(&rival), invitation("few@example.test", "Rival")).await.unwrap();
    let link = sign_in_link("waiting@example.test", now.plus_seconds(900));
    post(&world, Tenant::vendor(), link).await.unwrap();
    assert_eq!(tried(&world).await, 22);
    let first: Vec<Came> = server.taken().into_iter().skip(40).take(8).collect();
    for address in ["few@example.test", "waiting@example.test"] {
        assert_eq!(to(first.clone(), address).len(), 1, "{address}");
    }
    other.close().await.unwrap();
}

async fn a_stalled_server_costs_the_api_nothing(backend: Backend) {
    let server = SmtpServer::start(Script::StallAtBanner).await;
    let world = World::start_as(backend, |config| {
        server.takes_mail_of(config, Duration::from_secs(60));
        // A worker that held a connection while it sends would leave none.
        config.connections = 3;
    })
    .await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    for number in 0..40 {
        let mail = invitation(&format!("{number}@example.test"), "Demo");
        post(&world, tenant(&demo.organization), mail).await.unwrap();
    }
    let busy = async {
        while server.connections() < 8 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, busy).await.expect("nobody tries to send");
    for number in 0..20 {
        let began = Instant::now();
        let lines = json!([{ "service": "FURNITURE_REMOVAL" }]);
        let input = json!({ "poolId": demo.pool, "lines": lines, "idempotencyKey": format!("k{number}") });
        assert_eq!(owner.charge(input).await["userErrors"], json!([]));
        let mail = invitation(&format!("more-{number}@example.test"), "Demo");
        post(&world, tenant(&demo.organization), mail).await.unwrap();
        owner.balance(&demo.pool).await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
    assert_eq!(server.connections(), 8, "as many as are tried at once");
    assert_eq!(world.number("SELECT count(*) AS n FROM delivery WHERE state = 'PENDING'").await, 60);
}

async fn a_mail_is_part_of_its_transaction(backend: Backend) {
    let (world, _server, _clock, organization) = start(backend, Script::Accept, 5_000).await;
    let context = &world.services().context;
    for (fails, rows) in [(true, 0), (false, 1)] {
        let (clock, scope) = (context.clock.clone(), tenant(&organization));
        let work = db::work(move |txn| {
            let clock = clock.clone();
            Box::pin(async move {
                outbox::append(txn, scope, &clock, invitation("a@example.test", "Demo")).await?;
                if fails { Err(Error::Forbidden) } else { Ok(()) }
            })
        });
        assert_eq!(context.db.write(scope, work).await.is_err(), fails);
        assert_eq!(world.number("SELECT count(*) AS n FROM delivery").await, rows);
    }
    assert_eq!(tried(&world).await, 1);
}

async fn headers_cannot_be_injected(backend: Backend) {
    let (world, server, _clock, organization) = start(backend, Script::Accept, 5_000).await;
    let scope = tenant(&organization);
    for bad in ["a@b.test\r\nBcc: x@y.test", "a@b.test\0", "a@b.test, x@y.test", "<a@b.test>", "nobody"] {
        let error = post(&world, scope, invitation(bad, "Demo")).await.unwrap_err();
        assert!(matches!(&error, Error::Invalid { field, .. } if *field == "email"), "{bad:?}: {error}");
    }
    let unknown = UserOrAddress::User(UserId::from_u128(7));
    let mail = Mail { to: unknown, ..invitation("a@b.test", "Demo") };
    assert!(matches!(post(&world, scope, mail).await, Err(Error::NotFound { .. })));
    let mail = Mail { facts: json!({ "organization": "Demo" }), ..invitation("a@b.test", "Demo") };
    assert!(matches!(post(&world, scope, mail).await, Err(Error::Internal(_))));
    // A name that has come past all checks is refused where the header is made.
    for bad in ["Demo\r\nBcc: x@y.test", "Demo\n\nbody", "Demo\0"] {
        let id = post(&world, scope, invitation("a@b.test", bad)).await.unwrap();
        assert_eq!(tried(&world).await, 1);
        let row = row(&world, id).await;
        assert_eq!(row.state, DeliveryState::Dead, "{bad:?}");
        assert!(row.last_error.unwrap().contains("Subject"));
    }
    // And so is an address that somebody has written into the table.
    let id = post(&world, scope, invitation("a@b.test", "Demo")).await.unwrap();
    world.sql("UPDATE delivery SET recipient = 'a@b.test,x@y.test' WHERE state = 'PENDING'").await;
    assert_eq!(tried(&world).await, 1);
    assert_eq!(row(&world, id).await.state, DeliveryState::Dead);
    assert_eq!(server.said(), Vec::<String>::new());
    // Bursar knows where a person can be reached.
    let query = "{ viewer { user { id } } }";
    let me = world.client("owner@demo.test").await.query(query, json!({})).await;
    let me = global_id::decode(me["viewer"]["user"]["id"].as_str().unwrap()).unwrap();
    let mail = Mail { to: UserOrAddress::User(me), ..invitation("a@b.test", "Dëmo <b>") };
    let id = post(&world, scope, mail).await.unwrap();
    assert_eq!((tried(&world).await, row(&world, id).await.recipient.as_str()), (1, "owner@demo.test"));
    assert_eq!(to(server.taken(), "owner@demo.test").len(), 1);
    // A name that is written like an encoded word is read as it was written, not as what it would stand for.
    let id = post(&world, scope, invitation("word@b.test", "=?utf-8?q?Another?=")).await.unwrap();
    assert_eq!((tried(&world).await, row(&world, id).await.state), (1, DeliveryState::Delivered));
    let letters = to(server.taken(), "word@b.test");
    assert!(!letters[0].header("Subject").unwrap().contains("Another"), "{:?}", letters[0].header("Subject"));
}

async fn the_worker_delivers_by_itself(backend: Backend) {
    let server = SmtpServer::start(Script::Accept).await;
    let mut world =
        World::start_as(backend, |config| server.takes_mail_of(config, Duration::from_secs(20))).await;
    let owner = world.client("owner@demo.test").await;
    let organization = owner.demo().await.organization;
    for number in 0..30 {
        let mail = invitation(&format!("{number}@example.test"), "Demo");
        post(&world, tenant(&organization), mail).await.unwrap();
    }
    let left = "SELECT count(*) AS n FROM delivery WHERE state <> 'DELIVERED'";
    let done = async {
        while world.number(left).await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, done).await.expect("some mail was not delivered");
    assert_eq!(server.taken().len(), 30);
    assert!(server.connections() <= 8, "connections are used again");
    let (_, metrics) = owner.open(&owner.url("/metrics")).await;
    for name in [
        "bursar_deliveries_total{outcome=\"delivered\"}",
        "bursar_deliveries_waiting",
        "bursar_delivery_seconds_count",
    ] {
        assert!(metrics.contains(name), "{name}");
    }
    assert!(!metrics.contains("example.test") && !metrics.contains("delivery_0"));
    world.stop().await;
}
