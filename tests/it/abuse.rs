//! Limits on abuse: invitations and links that are tried too often, from whom requests come when there are proxies,
//! and that what is absent and what is forbidden look and last alike.

use std::time::{Duration, Instant};

use bursar::auth::{Attempt, Attempts};
use bursar::clock::Clock;
use bursar::config::Network;
use bursar::error::Error;
use bursar::organizations::InvitationLink;
use bursar_entity::{attempt, invitation};
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::{Backend, Client, World, acts};

on_both_databases!(
    an_address_gets_so_many_mails,
    a_sender_sends_so_many_mails,
    links_that_are_not_good,
    clients_behind_proxies,
    counts_are_shared_name_nobody_and_end,
    absent_and_forbidden_are_alike
);

async fn invite(client: &Client, organization: &str, email: &str) -> Value {
    let query = "mutation I($i: InviteMemberInput!) { inviteMember(input: $i) { invitation { id } userErrors { code } } }";
    let input = json!({ "organizationId": organization, "email": email, "role": "MEMBER" });
    client.raw(query, json!({ "i": input })).await
}

async fn resend(client: &Client, id: &Value) -> Value {
    let query = "mutation R($i: ResendInvitationInput!) { resendInvitation(input: $i) { invitation { round } userErrors { code } } }";
    client.raw(query, json!({ "i": { "invitationId": id } })).await
}

fn is_throttled(body: &Value) -> bool {
    let extensions = &body["errors"][0]["extensions"];
    extensions["code"] == "THROTTLED"
        && extensions["retryAfterMilliseconds"].as_i64().is_some_and(|wait| wait > 0)
}

async fn an_address_gets_so_many_mails(backend: Backend) {
    let start = Clock::system().now();
    let clock = Clock::set(start);
    let world = World::start_at(backend, clock.clone()).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let made = invite(&owner, &demo.organization, "often@person.test").await;
    let id = made["data"]["inviteMember"]["invitation"]["id"].clone();
    for round in 2..=5 {
        let sent = resend(&owner, &id).await;
        assert_eq!(sent["data"]["resendInvitation"]["invitation"]["round"], round, "{sent}");
    }
    let mails = "SELECT count(*) AS n FROM delivery WHERE recipient LIKE 'often%@person.test'";
    // A tag makes no other mailbox of it.
    assert!(is_throttled(&invite(&owner, &demo.organization, "often+tag@person.test").await));
    for _ in 0..3 {
        let refused = resend(&owner, &id).await;
        assert!(is_throttled(&refused) && refused["data"]["resendInvitation"].is_null(), "{refused}");
    }
    assert_eq!(world.number(mails).await, 5);
    // By another administrator neither; by another organization it is none of the first one's affair.
    assert!(is_throttled(&resend(&world.client("admin@demo.test").await, &id).await));
    let rival = world.found("rival").await;
    let query = r#"{ organization(by: { slug: "rival" }) { id } }"#;
    let theirs = rival.query(query, json!({})).await["organization"]["id"].as_str().unwrap().to_owned();
    assert!(invite(&rival, &theirs, "often@person.test").await.get("errors").is_none());
    // What is refused has sent nothing, and is not counted.
    let made = invite(&owner, &demo.organization, "once@person.test").await;
    let once = made["data"]["inviteMember"]["invitation"]["id"].clone();
    for _ in 0..10 {
        let taken = invite(&owner, &demo.organization, "once@person.test").await;
        assert_eq!(taken["data"]["inviteMember"]["userErrors"][0]["code"], "TAKEN", "{taken}");
    }
    assert_eq!(resend(&owner, &once).await["data"]["resendInvitation"]["invitation"]["round"], 2);
    // A day after the first one it is good again.
    clock.turn(start.plus_days(1).plus_seconds(-1));
    let owner = world.client("owner@demo.test").await;
    assert!(is_throttled(&resend(&owner, &id).await));
    clock.turn(start.plus_days(1));
    let sent = resend(&owner, &id).await;
    assert_eq!(sent["data"]["resendInvitation"]["invitation"]["round"], 6, "{sent}");
}

async fn a_sender_sends_so_many_mails(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    for n in 0..50 {
        let made = invite(&owner, &demo.organization, &format!("p{n}@person.test")).await;
        assert!(made.get("errors").is_none(), "{n}: {made}");
    }
    for _ in 0..3 {
        assert!(is_throttled(&invite(&owner, &demo.organization, "one@too.many.test").await));
    }
    assert_eq!(world.number("SELECT count(*) AS n FROM invitation").await, 50);
    // The organization's log says who, once.
    acts::recorded(&world, "throttleInvitations", 1).await;
    let log = r#"{ organization(by: { slug: "demo" }) { auditEvents(first: 1, filter: { action: "throttleInvitations" }) {
        nodes { actor { kind user { email } } subjectId after } } } }"#;
    let event = owner.query(log, json!({})).await["organization"]["auditEvents"]["nodes"][0].clone();
    let by = json!({ "kind": "USER", "user": { "email": "owner@demo.test" } });
    assert_eq!((&event["actor"], &event["subjectId"]), (&by, &json!(demo.organization)), "{event}");
    assert_eq!(event["after"], json!({ "reason": "too many tries" }));
    let admin = world.client("admin@demo.test").await;
    assert!(invite(&admin, &demo.organization, "one@too.many.test").await.get("errors").is_none());
    // Whoever may not invite is told that, and is counted nowhere.
    let member = world.client("member@demo.test").await;
    for _ in 0..60 {
        let refused = invite(&member, &demo.organization, "x@person.test").await;
        assert_eq!(refused["data"]["inviteMember"]["userErrors"][0]["code"], "FORBIDDEN", "{refused}");
    }
}

/// Opens an address as a client at some address behind a proxy.
async fn open(client: &Client, url: &str, forwarded: Option<&str>) -> u16 {
    let request = client.http().get(url);
    let request = match forwarded {
        Some(address) => request.header("x-forwarded-for", address),
        None => request,
    };
    let response = request.send().await.unwrap();
    if response.status() == 429 {
        let wait: i64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=600).contains(&wait), "{wait}");
        assert_eq!(response.headers()["referrer-policy"], "no-referrer");
    }
    response.status().as_u16()
}

async fn good_link(world: &World, owner: &Client) -> String {
    let demo = owner.demo().await;
    invite(owner, &demo.organization, "good@person.test").await;
    let row = world.database.rows::<invitation::Entity>().await.pop().unwrap();
    owner.url(&InvitationLink::new(&world.services().keys, &row).path())
}

async fn links_that_are_not_good(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let good = good_link(&world, &owner).await;
    for n in 0..20 {
        assert_eq!(open(&owner, &owner.url(&format!("/invitation/guess-{n}")), None).await, 404, "{n}");
    }
    // What a client says of itself is not believed.
    for forwarded in [None, Some("192.0.2.1"), Some("192.0.2.2, 192.0.2.3")] {
        assert_eq!(open(&owner, &owner.url("/invitation/guess"), forwarded).await, 429);
    }
    let posted = owner.http().post(owner.url("/invitation/guess")).send().await.unwrap();
    assert_eq!(posted.status(), 429);
    acts::recorded(&world, "throttleLinks", 1).await;
    // One that is good opens all the same: somebody behind the same address has to be able to join.
    assert_eq!(open(&owner, &good, None).await, 200);
    // By the API it is the principal who is counted.
    let accept = "mutation A($t: String!) { acceptInvitation(input: { token: $t }) { userErrors { code } } }";
    for n in 0..20 {
        let refused = owner.raw(accept, json!({ "t": format!("guess-{n}") })).await;
        assert_eq!(refused["data"]["acceptInvitation"]["userErrors"][0]["code"], "NOT_FOUND", "{refused}");
    }
    for _ in 0..3 {
        assert!(is_throttled(&owner.raw(accept, json!({ "t": "guess" })).await));
    }
    acts::recorded(&world, "throttleLinks", 2).await;
    let other = world.client("admin@demo.test").await;
    let refused = other.raw(accept, json!({ "t": "guess" })).await;
    assert_eq!(refused["data"]["acceptInvitation"]["userErrors"][0]["code"], "NOT_FOUND", "{refused}");
}

async fn clients_behind_proxies(backend: Backend) {
    let proxies = ["127.0.0.1", "10.0.0.0/8"].map(|text| Network::parse(text).unwrap());
    let world = World::start_as(backend, |config| config.trusted_proxies = proxies.to_vec()).await;
    let client = world.anonymous();
    let guess = client.url("/invitation/guess");
    for n in 0..20 {
        // What the client has written before the proxies' part changes nothing.
        let forwarded = format!("203.0.113.{n}, 192.0.2.1, 10.0.0.{n}");
        assert_eq!(open(&client, &guess, Some(&forwarded)).await, 404, "{n}");
    }
    assert_eq!(open(&client, &guess, Some("192.0.2.1")).await, 429);
    assert_eq!(open(&client, &guess, Some("192.0.2.2")).await, 404);
    // Of one household there are many addresses.
    for n in 0..20 {
        assert_eq!(open(&client, &guess, Some(&format!("2001:db8::{n:x}"))).await, 404, "{n}");
    }
    assert_eq!(open(&client, &guess, Some("2001:db8::ffff")).await, 429);
    assert_eq!(open(&client, &guess, Some("2001:db8:0:1::1")).await, 404);
}

async fn counts_are_shared_name_nobody_and_end(backend: Backend) {
    let start = Clock::system().now();
    let clock = Clock::set(start);
    let world = World::start_untimed(backend, clock.clone()).await;
    let other = acts::node(&world, clock.clone()).await;
    let (here, there) = (&world.services().attempts, &other.services().attempts);
    let (kind, subject) = (Attempt::SignInLinksToAddress, "somebody@person.test");
    let some = |attempts: &Attempts, times: usize| {
        let attempts = attempts.clone();
        async move {
            for _ in 0..times {
                attempts.count(kind, subject).await.unwrap();
            }
        }
    };
    tokio::join!(some(here, 3), some(there, 2));
    for attempts in [here, there, here] {
        let refused = attempts.count(kind, subject).await;
        assert!(matches!(refused, Err(Error::Throttled { seconds: 900 })), "{refused:?}");
    }
    // Another kind, and another subject.
    here.count(Attempt::SignInFailuresOfClient, subject).await.unwrap();
    here.count(kind, "another@person.test").await.unwrap();
    // Whoever goes on trying makes the database write no more.
    let rows = world.database.rows::<attempt::Entity>().await;
    assert_eq!(rows.len(), 3);
    let most = rows.iter().map(|row| row.tries).max().unwrap();
    for _ in 0..50 {
        assert!(here.count(kind, subject).await.is_err());
    }
    let again = world.database.rows::<attempt::Entity>().await;
    assert_eq!(again.iter().map(|row| row.tries).max().unwrap(), most);
    assert!(!format!("{rows:?}").contains("person.test"));
    // Over all of them one that is too many refuses the rest.
    let both = [(kind, "another@person.test"), (kind, subject)];
    assert!(here.count_all(&both).await.is_err());
    // When the time is over the count begins anew, and what is over is forgotten.
    clock.turn(start.plus_seconds(900));
    here.count(kind, subject).await.unwrap();
    let rows = world.database.rows::<attempt::Entity>().await;
    assert_eq!(rows.iter().map(|row| row.tries).collect::<Vec<_>>(), [1]);
}

async fn absent_and_forbidden_are_alike(backend: Backend) {
    let world = World::start(backend).await;
    let me = world.client("member@demo.test").await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let rival = world.found("rival").await;
    let query = r#"{ organization(by: { slug: "rival" }) { id } }"#;
    let organization = rival.query(query, json!({})).await["organization"]["id"].as_str().unwrap().to_owned();
    let made = invite(&rival, &organization, "x@person.test").await;
    let foreign = made["data"]["inviteMember"]["invitation"]["id"].clone();
    let made = invite(&owner, &demo.organization, "x@person.test").await;
    let hidden = made["data"]["inviteMember"]["invitation"]["id"].clone();
    let absent = json!("invitation_00000000000000000000000001");
    let node = "query N($id: ID!) { node(id: $id) { id } }";
    let revoke = "mutation R($id: ID!) { revokeInvitation(input: { invitationId: $id }) { invitation { id } userErrors { __typename code message field } } }";
    for document in [node, revoke] {
        let mut bodies = Vec::new();
        let mut took = vec![Vec::new(); 3];
        for _ in 0..40 {
            for (times, id) in took.iter_mut().zip([&absent, &foreign, &hidden]) {
                let began = Instant::now();
                let (status, body) = me.send(document, json!({ "id": id })).await;
                times.push(began.elapsed());
                bodies.push((status, body["data"].to_string(), body["errors"].to_string()));
            }
        }
        bodies.dedup();
        assert_eq!(
            bodies.len(),
            1,
            "absent, another tenant's and one's own that may not be seen: {bodies:?}"
        );
        let medians: Vec<Duration> = took
            .into_iter()
            .map(|mut times| {
                times.sort();
                times[times.len() / 2]
            })
            .collect();
        let (least, most) = (medians.iter().min().unwrap(), medians.iter().max().unwrap());
        assert!(*most < *least * 2 + Duration::from_millis(2), "{medians:?}");
    }
    assert!(world.database.rows::<invitation::Entity>().await.iter().all(|row| row.revoked_at.is_none()));
}
