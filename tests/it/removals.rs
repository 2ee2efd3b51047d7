//! Who is removed is out at once, on every node and in every kind of stream, and stays out until somebody of the
//! organization brings them back.

use std::time::{Duration, Instant};

use bursar::clock::Clock;
use bursar::organizations::InvitationLink;
use bursar_entity::invitation;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::issuer::Issuer;
use crate::support::{Backend, Socket, World, acts, keys};

on_both_databases!(
    removal_ends_streams_on_another_node,
    no_provider_undoes_a_removal,
    keys_stay_and_whoever_removes_is_told
);

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

/// A provider that makes people members makes nobody one again who was a member otherwise and was removed; it does when
/// somebody has brought them back, in whatever way, and nothing of a removal is left then.
async fn no_provider_undoes_a_removal(backend: Backend) {
    let clock = Clock::set(acts::at("2026-06-01T12:00:00Z"));
    let world = World::start_untimed(backend, clock.clone()).await;
    let issuer = Issuer::start(&clock).await;
    let owner = world.client("owner@demo.test").await;
    let organization = owner.demo().await.organization;
    issuer.trusted_by(&owner, &organization, json!({ "joinsJustInTime": true })).await;
    let departures = "SELECT count(*) AS n FROM departure";
    let comes = async || {
        let client = issuer.client(&world.base, "s6", "left@demo.test");
        client.send("{ viewer { user { email } } }", json!({})).await
    };
    let input = json!({ "organizationId": organization, "email": "left@demo.test", "role": "MEMBER" });
    for turn in 0..2 {
        let member = owner.mutate("addMember", "AddMemberInput", input.clone(), "member { id }").await;
        assert_eq!(world.number(departures).await, 0, "{turn}");
        let member = json!({ "memberId": member["member"]["id"] });
        owner.mutate("removeMember", "RemoveMemberInput", member, "removedMemberId").await;
        assert_eq!(world.number(departures).await, 1, "{turn}");
        let (status, body) = comes().await;
        assert_eq!(status, 401, "{turn}: {body}");
        let reason = "You are not a member of the organization. Ask to be invited.";
        assert_eq!(body["errors"][0]["message"], reason, "{turn}");
    }
    // What the provider calls people by has nothing to do with it.
    assert_eq!(world.number("SELECT count(*) AS n FROM user_identity").await, 0);
    owner.mutate("inviteMember", "InviteMemberInput", input, "invitation { id }").await;
    let row = world.database.rows::<invitation::Entity>().await.pop().unwrap();
    let token = InvitationLink::new(&world.services().keys, &row).text();
    let back = world.client("left@demo.test").await;
    let accepted = json!({ "token": token });
    back.mutate("acceptInvitation", "AcceptInvitationInput", accepted, "member { id }").await;
    assert_eq!(world.number(departures).await, 0);
    let (status, body) = comes().await;
    assert_eq!((status, &body["data"]["viewer"]["user"]["email"]), (200, &json!("left@demo.test")), "{body}");
}

/// Keys belong to the organization and outlast whoever has made them; who lowers or removes somebody is told of them, and
/// so is the log.
async fn keys_stay_and_whoever_removes_is_told(backend: Backend) {
    let world = World::start(backend).await;
    let (owner, admin) = (world.client("owner@demo.test").await, world.client("admin@demo.test").await);
    let demo = owner.demo().await;
    let (organization, scopes) = (Some(demo.organization.as_str()), ["CHARGES_WRITE"]);
    let kept = keys::make(&world, &admin, organization, &scopes, json!({})).await;
    let revoked = keys::make(&world, &admin, organization, &scopes, json!({})).await;
    keys::revoke(&admin, &revoked).await;
    keys::make(&world, &owner, organization, &scopes, json!({})).await;
    let id =
        admin.query("{ viewer { memberships { id } } }", json!({})).await["viewer"]["memberships"][0]["id"]
            .clone();
    let fields = "activeApiKeys { id createdBy { email } }";
    let input = json!({ "memberId": id, "role": "MEMBER" });
    let lowered = owner.mutate("updateMemberRole", "UpdateMemberRoleInput", input, fields).await;
    let by_admin = json!([{ "id": kept.id, "createdBy": { "email": "admin@demo.test" } }]);
    assert_eq!(lowered["activeApiKeys"], by_admin, "{lowered}");
    assert_eq!(keys::charge(&kept.client, &demo.pool, None, "lowered").await, None);
    // Who may not is told of nothing.
    let input = json!({ "memberId": id });
    let refused = admin.try_mutate("removeMember", "RemoveMemberInput", input.clone(), fields).await;
    assert_eq!((&refused["activeApiKeys"], acts::refusal(&refused).0.as_str()), (&json!([]), "FORBIDDEN"));
    let removed = owner.mutate("removeMember", "RemoveMemberInput", input, fields).await;
    assert_eq!(removed["activeApiKeys"], json!([{ "id": kept.id, "createdBy": null }]), "{removed}");
    assert_eq!(keys::charge(&kept.client, &demo.pool, None, "removed").await, None);
    let query = r#"{ organization(by: { slug: "demo" }) { auditEvents(first: 1,
        filter: { action: "removeMember" }) { nodes { before } } } }"#;
    let event = owner.query(query, json!({})).await["organization"]["auditEvents"]["nodes"][0].clone();
    assert_eq!(event["before"]["activeApiKeys"], json!([kept.id]), "{event}");
}
