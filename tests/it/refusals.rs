//! Who is refused is recorded, in the log of whom it concerns, once in a while and however often it happens; and whoever
//! is refused is told no more than before.

use bursar::audit;
use bursar::auth::{Attempt, NewKey};
use bursar::clock::Clock;
use bursar::organizations::InvitationLink;
use bursar_domain::api_key::KeyMode;
use bursar_entity::invitation;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::{recorded, refusal};
use crate::support::keys::{charge, make, revoke};
use crate::support::sign_in::{refresh, sign_in, sign_out};
use crate::support::{Backend, Client, World};

on_both_databases!(who_was_refused_is_recorded);

const QUERY: &str = "{ organizations { nodes { id } } }";

async fn who_was_refused_is_recorded(backend: Backend) {
    let clock = Clock::set(Clock::system().now());
    let world = World::start_untimed(backend, clock.clone()).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let scopes = ["CHARGES_WRITE"];
    let revoked = make(&world, &owner, Some(&demo.organization), &scopes, json!({})).await;
    assert_eq!(charge(&revoked.client, &demo.pool, None, "good").await, None);
    let end = clock.now().plus_seconds(60);
    let said = chrono::DateTime::from_timestamp_micros(end.micros()).unwrap().to_rfc3339();
    let expired = json!({ "expiresAt": said });
    let expired = make(&world, &owner, Some(&demo.organization), &scopes, expired).await;
    revoke(&owner, &revoked).await;
    // It is remembered, and found out by the ledger.
    let code = charge(&revoked.client, &demo.pool, None, "bad").await;
    assert_eq!(code.as_deref(), Some("UNAUTHENTICATED"));
    recorded(&world, "refuseApiKey", 1).await;
    clock.turn(end);
    // A key that never was is told the same, and is recorded nowhere.
    let never = NewKey::generate(KeyMode::Live).unwrap();
    let never = Client::new(&world.base, Some(never.secret.expose_secret().to_owned()));
    for _ in 0..3 {
        let told = revoked.client.send(QUERY, json!({})).await;
        assert_eq!((told.0, &told), (401, &never.send(QUERY, json!({})).await));
        assert_eq!(expired.client.send(QUERY, json!({})).await.0, 401);
    }
    recorded(&world, "refuseApiKey", 2).await;

    // An invitation of somebody else.
    let input =
        json!({ "organizationId": demo.organization, "email": "asked@person.test", "role": "MEMBER" });
    owner.mutate("inviteMember", "InviteMemberInput", input, "invitation { id }").await;
    let row = world.database.rows::<invitation::Entity>().await.pop().unwrap();
    let token = InvitationLink::new(&world.services().keys, &row).text();
    let rival = world.found("rival").await;
    for _ in 0..3 {
        let input = json!({ "token": token });
        let payload = rival.try_mutate("acceptInvitation", "AcceptInvitationInput", input, "").await;
        assert_eq!(refusal(&payload).0, "FORBIDDEN");
    }
    recorded(&world, "refuseInvitation", 1).await;

    // Suspended organizations record it as well.
    world.sql("UPDATE organization SET state = 'SUSPENDED'").await;
    let opened = sign_in(&world, "member@demo.test").await;
    sign_out(&opened.client, false).await;
    for _ in 0..3 {
        assert_eq!(opened.client.send(QUERY, json!({})).await.0, 401);
    }
    assert_eq!(refusal(&refresh(&world, &opened.refresh).await).0, "INVALID_STATE");
    recorded(&world, "refuseSession", 1).await;
    clock.turn(end.plus_seconds(600));
    for key in [&revoked, &expired] {
        assert_eq!(key.client.send(QUERY, json!({})).await.0, 401);
    }
    recorded(&world, "refuseApiKey", 4).await;

    // Too many tries of one client.
    for _ in 0..100 {
        world.services().attempts.count(Attempt::SignInFailuresOfClient, "127.0.0.1").await.unwrap();
    }
    for _ in 0..3 {
        let query =
            "mutation R($i: RedeemSignInLinkInput!) { redeemSignInLink(input: $i) { userErrors { code } } }";
        let body = world.anonymous().raw(query, json!({ "i": { "token": "x", "code": "0000" } })).await;
        assert!(body.to_string().contains("THROTTLED"), "{body}");
    }
    recorded(&world, "throttleSignIn", 1).await;

    // Each says who and where, and the chains hold.
    let log = r#"{ organization(by: { slug: "demo" }) { auditEvents(first: 50, filter: { source: EVENT }) { nodes {
        action subjectId requestId after actor { kind } personal { name value } } } } }"#;
    let events = owner.query(log, json!({})).await["organization"]["auditEvents"]["nodes"].clone();
    let event = |action: &str, subject: Option<&str>| -> Value {
        let fits = |event: &&Value| {
            event["action"] == action && subject.is_none_or(|subject| event["subjectId"] == subject)
        };
        events.as_array().unwrap().iter().find(fits).unwrap_or_else(|| panic!("no {action}")).clone()
    };
    for (event, kind, reason) in [
        (event("refuseApiKey", Some(&revoked.id)), "SYSTEM", "revoked"),
        (event("refuseApiKey", Some(&expired.id)), "SYSTEM", "expired"),
        (event("refuseSession", Some(&opened.id)), "SYSTEM", "ended"),
        (event("refuseInvitation", None), "USER", "another person"),
    ] {
        assert_eq!((&event["actor"]["kind"], &event["after"]["reason"]), (&json!(kind), &json!(reason)));
        assert_eq!(event["personal"], json!([{ "name": "address", "value": "127.0.0.1" }]), "{event}");
        assert!(event["requestId"].is_string(), "{event}");
    }
    assert_eq!(audit::verify(&world.services().context, None, |_| ()).await.unwrap(), 0);
    let all =
        "SELECT count(*) AS n FROM audit_event WHERE action LIKE 'refuse%' OR action = 'throttleSignIn'";
    assert_eq!(world.number(all).await, 7);
}
