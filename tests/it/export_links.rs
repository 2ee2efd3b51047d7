//! The link to everything that is kept of an organization: it leads a browser to the same archive as a token does, for
//! some minutes, for as long as the person who asked for it may; and what it proves is kept nowhere.

use bursar::clock::Clock;
use bursar::global_id;
use bursar::organizations::EXPORT_LINK_SECONDS;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::organization_export::{opened, taken_out};
use crate::support::acts::{self, refusal};
use crate::support::issuer::Issuer;
use crate::support::sign_in::{sign_in, sign_out};
use crate::support::{Backend, Client, World, keys, rows};

on_both_databases!(a_link_leads_to_the_archive, a_link_is_as_good_as_whoever_asked_for_it);

/// Asks for a link, and answers the payload, whatever it says.
async fn ask(client: &Client, organization: &str) -> Value {
    let (input, fields) = (json!({ "organizationId": organization }), "export { url expiresAt }");
    client.try_mutate("exportOrganization", "ExportOrganizationInput", input, fields).await
}

/// The path of a link's address.
fn path(payload: &Value) -> String {
    let url = payload["export"]["url"].as_str().unwrap_or_else(|| panic!("{payload}"));
    url.strip_prefix("http://bursar.test").unwrap().to_owned()
}

/// Asks for a link that is given.
async fn link(client: &Client, organization: &str) -> String {
    path(&ask(client, organization).await)
}

/// Opens an address without a token, as a browser does: status, the headers that matter, what came.
async fn open(world: &World, path: &str) -> (u16, [String; 4], Vec<u8>) {
    let response = world.anonymous().http().get(format!("{}{path}", world.base)).send().await.unwrap();
    let header = |name: &str| {
        response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    let headers = ["content-type", "content-disposition", "cache-control", "referrer-policy"].map(header);
    (response.status().as_u16(), headers, response.bytes().await.unwrap().to_vec())
}

async fn a_link_leads_to_the_archive(backend: Backend) {
    let clock = Clock::set(acts::at("2026-06-01T12:00:00Z"));
    let world = World::start_untimed(backend, clock.clone()).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    let payload = ask(&owner, &demo.organization).await;
    assert_eq!(payload["export"]["expiresAt"], "2026-06-01T12:10:00.000000Z", "{payload}");
    let good = path(&payload);
    let (status, headers, archive) = open(&world, &good).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&archive));
    let expected =
        ["application/x-tar", "attachment; filename=\"bursar-demo.tar\"", "no-store", "no-referrer"];
    assert_eq!(headers, expected);
    // The same as by a token, but for what is recorded of that meanwhile.
    let (_, _, by_token) = taken_out(&owner, "?organization=demo").await;
    let (files, same) = (opened(&archive), opened(&by_token));
    assert_eq!(files.len(), same.len());
    for (file, same) in files.iter().zip(&same) {
        assert_eq!(file.name, same.name);
        let logged = ["audit_event", "audit_head", "personal_value", "manifest"];
        let moves_on = logged.iter().any(|table| file.name.starts_with(table));
        assert!(moves_on || file.content == same.content, "{}", file.name);
    }
    // As often as one likes. Each time is in the log, under the name of whoever asked.
    assert_eq!(open(&world, &good).await.0, 200);
    let query = r#"{ organization(by: { slug: "demo" }) { auditEvents(first: 4, filter: { source: EVENT }) {
        nodes { action subjectId requestId after actor { user { email } } } } } }"#;
    let events = owner.query(query, json!({})).await["organization"]["auditEvents"]["nodes"].clone();
    let events = events.as_array().unwrap();
    let actions: Vec<&str> = events.iter().map(|event| event["action"].as_str().unwrap()).collect();
    let expected =
        ["downloadOrganization", "exportOrganization", "downloadOrganization", "exportOrganization"];
    assert_eq!(actions, expected);
    for event in events {
        assert_eq!(event["actor"]["user"]["email"], "owner@demo.test", "{event}");
        assert_eq!(event["subjectId"], json!(demo.organization), "{event}");
        assert!(event["requestId"].is_string(), "{event}");
    }
    let made = &events[3]["after"]["link"];
    assert!(made.is_string() && events[0]["after"]["link"] == *made && events[2]["after"]["link"] == *made);
    // What proves the address is nowhere in what is kept.
    let (_, proof) = good.rsplit_once('.').unwrap();
    let organization = global_id::decode(&demo.organization).unwrap();
    let kept = rows::of(&world.services().context.db, organization).await;
    assert!(kept.iter().any(|row| row.contains(made.as_str().unwrap())), "the name is");
    assert!(proof.len() == 43 && !kept.iter().any(|row| row.contains(proof)));
    assert!(!String::from_utf8_lossy(&by_token).contains(proof));
    // Addresses that Bursar has not made are all the same.
    let rival = world.found("rival").await;
    let theirs = rival.query(r#"{ organization(by: { slug: "rival" }) { id } }"#, json!({})).await;
    let theirs = theirs["organization"]["id"].as_str().unwrap().to_owned();
    let absent = open(&world, "/export/organization/x").await;
    assert_eq!(absent.0, 404);
    for bad in [
        good[..good.len() - 1].to_owned(),
        format!("{good}x"),
        good.replace(&demo.organization, &theirs),
        link(&rival, &theirs).await.replace(&theirs, &demo.organization),
        good.replace(".everywhere.", ".here."),
        "/export/organization/%FF".to_owned(),
    ] {
        assert_eq!(open(&world, &bad).await, absent, "{bad}");
    }
    // Its time.
    let begun = clock.now();
    clock.turn(begun.plus_seconds(EXPORT_LINK_SECONDS - 1));
    assert_eq!(open(&world, &good).await.0, 200);
    clock.turn(begun.plus_seconds(EXPORT_LINK_SECONDS));
    let (status, _, page) = open(&world, &good).await;
    let page = String::from_utf8_lossy(&page);
    assert!(status == 410 && page.contains("has expired"), "{status}: {page}");
    // Whoever leaves takes along what is theirs: in an organization that is suspended too.
    let input = json!({ "organizationId": demo.organization, "reason": "x" });
    let (name, kind) = ("suspendOrganization", "SuspendOrganizationInput");
    operator.mutate(name, kind, input, "organization { id }").await;
    for client in [&owner, &operator] {
        let path = link(client, &demo.organization).await;
        assert_eq!(open(&world, &path).await.0, 200);
    }
}

async fn a_link_is_as_good_as_whoever_asked_for_it(backend: Backend) {
    let clock = Clock::set(acts::at("2026-06-01T12:00:00Z"));
    let world = World::start_untimed(backend, clock.clone()).await;
    let owner = world.client("owner@demo.test").await;
    let organization = owner.demo().await.organization;
    // Who gets none.
    let key = keys::make(&world, &owner, Some(&organization), &["AUDIT_READ", "REPORTS_READ"], json!({}));
    let key = key.await.client;
    let rival = world.found("rival").await;
    let mut refused = vec![(key, "FORBIDDEN"), (rival, "NOT_FOUND")];
    for caller in ["admin", "auditor", "member"] {
        refused.push((world.client(&format!("{caller}@demo.test")).await, "FORBIDDEN"));
    }
    for (client, code) in &refused {
        let payload = ask(client, &organization).await;
        assert_eq!((refusal(&payload).0.as_str(), &payload["export"]), (*code, &Value::Null), "{payload}");
    }
    let good = async |path: &str| {
        let (status, _, page) = open(&world, path).await;
        assert!([200, 403].contains(&status), "{status}: {}", String::from_utf8_lossy(&page));
        status == 200
    };
    // Somebody who becomes less, and leaves.
    let add = json!({ "organizationId": organization, "email": "second@demo.test", "role": "OWNER" });
    let operator = world.client("operator@bursar.test").await;
    let added = operator.mutate("addMember", "AddMemberInput", add, "member { id }").await;
    let member = &added["member"]["id"];
    let second = link(&world.client("second@demo.test").await, &organization).await;
    assert!(good(&second).await);
    for (role, expected) in [("AUDITOR", false), ("OWNER", true)] {
        let input = json!({ "memberId": member, "role": role });
        owner.mutate("updateMemberRole", "UpdateMemberRoleInput", input, "member { role }").await;
        assert_eq!(good(&second).await, expected, "{role}");
    }
    let input = json!({ "memberId": member });
    owner.mutate("removeMember", "RemoveMemberInput", input, "removedMemberId").await;
    assert!(!good(&second).await);
    // Somebody who signs out. Others' links go on, the same person's too.
    let opened = sign_in(&world, "owner@demo.test").await;
    let (own, other) = (link(&opened.client, &organization).await, link(&owner, &organization).await);
    assert!(good(&own).await && good(&other).await);
    sign_out(&opened.client, false).await;
    assert!(!good(&own).await && good(&other).await);
    // Somebody for whom the organization's provider vouches, as long as it is believed.
    let issuer = Issuer::start(&clock).await;
    issuer.trusted_by(&owner, &organization, json!({})).await;
    let vouched = link(&issuer.client(&world.base, "s1", "owner@demo.test"), &organization).await;
    assert!(vouched.contains(".here.") && good(&vouched).await);
    issuer.trusted_by(&owner, &organization, json!({ "enabled": false })).await;
    assert!(!good(&vouched).await && good(&other).await);
}
