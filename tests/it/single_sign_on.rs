//! Single sign-on: who sets it and what can be set, whom a provider's tokens let in and as what, and that its word
//! counts in its own organization only.

use bursar::clock::Clock;
use bursar_entity::identity_provider;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::{self, refusal};
use crate::support::issuer::{AUDIENCE, Issuer, SECRET};
use crate::support::sign_in::{sign_in, sign_out};
use crate::support::{Backend, Client, World};

on_both_databases!(
    settings_are_the_owners,
    the_vendor_takes_a_domain_away,
    tokens_let_people_in,
    groups_give_roles,
    its_word_counts_in_its_organization_only,
    what_changes_takes_effect_at_once
);

/// A server with a clock of its own, and a provider.
async fn start(backend: Backend) -> (World, Issuer, Clock) {
    let clock = Clock::set(acts::at("2026-06-01T12:00:00Z"));
    let world = World::start_untimed(backend, clock.clone()).await;
    let issuer = Issuer::start(&clock).await;
    (world, issuer, clock)
}

/// Sets single sign-on, and answers what comes of it.
pub async fn configure(client: &Client, input: Value) -> Value {
    let fields = "singleSignOn { issuer clientId hasClientSecret audience algorithm domains joinsJustInTime
        defaultRole groupClaim groupRoles { group role } trustsMissingEmailVerified enabled signInUrl redirectUrl }";
    client.try_mutate("configureSingleSignOn", "ConfigureSingleSignOnInput", input, fields).await
}

/// Who somebody is: the address and the places; or the message of the refusal.
pub async fn who(client: &Client) -> Result<(String, Vec<(String, String)>), String> {
    let query = "{ viewer { operator user { email } memberships { role organization { slug } } }
        organizations { nodes { slug } } }";
    let (status, body) = client.send(query, json!({})).await;
    if status == 401 {
        return Err(body["errors"][0]["message"].as_str().unwrap().to_owned());
    }
    let (viewer, listed) = (&body["data"]["viewer"], &body["data"]["organizations"]["nodes"]);
    assert_eq!(viewer["operator"], false, "{body}");
    let places: Vec<(String, String)> = viewer["memberships"]
        .as_array()
        .unwrap_or_else(|| panic!("{body}"))
        .iter()
        .map(|place| (text(&place["organization"]["slug"]), text(&place["role"])))
        .collect();
    assert_eq!(listed.as_array().unwrap().len(), places.len(), "{body}");
    Ok((text(&viewer["user"]["email"]), places))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Somebody with an address and one place.
pub fn is(email: &str, slug: &str, role: &str) -> Result<(String, Vec<(String, String)>), String> {
    Ok((email.to_owned(), vec![(slug.to_owned(), role.to_owned())]))
}

async fn settings_are_the_owners(backend: Backend) {
    let (world, issuer, _) = start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let input = |more: Value| issuer.settings(&demo.organization, more);
    for caller in ["admin@demo.test", "auditor@demo.test", "member@demo.test"] {
        let payload = configure(&world.client(caller).await, input(json!({}))).await;
        assert_eq!(refusal(&payload).0, "FORBIDDEN", "{caller}: {payload}");
    }
    let query = r#"{ organization(by: { slug: "demo" }) { singleSignOn { issuer } } }"#;
    assert_eq!(owner.query(query, json!({})).await["organization"]["singleSignOn"], Value::Null);
    // What cannot be set.
    for (more, code, field) in [
        (json!({ "issuer": "http://login.example" }), "INVALID", "issuer"),
        (json!({ "issuer": "login.example" }), "INVALID", "issuer"),
        (json!({ "issuer": format!("{}?tenant=1", issuer.url) }), "INVALID", "issuer"),
        (json!({ "domains": [] }), "INVALID", "domains"),
        (json!({ "domains": ["demo.test", "demo"] }), "INVALID", "domains"),
        (json!({ "domains": ["demo.test", "gmail.com"] }), "INVALID", "domains"),
        (json!({ "domains": ["rival.test"] }), "INVALID", "domains"),
        (json!({ "domains": ["sub.demo.test"] }), "INVALID", "domains"),
        (json!({ "defaultRole": "OWNER" }), "INVALID", "defaultRole"),
        (json!({ "groupRoles": [{ "group": "a", "role": "ADMIN" }] }), "INVALID", "groupClaim"),
        (
            json!({ "groupClaim": "groups", "groupRoles": [{ "group": "a", "role": "OWNER" }] }),
            "INVALID",
            "groupRoles",
        ),
        (json!({ "clientSecret": "" }), "INVALID", "clientSecret"),
        (json!({ "audience": " " }), "INVALID", "audience"),
        (json!({ "clientId": "" }), "INVALID", "clientId"),
    ] {
        let payload = configure(&owner, input(more.clone())).await;
        assert_eq!(refusal(&payload), (code.to_owned(), field.to_owned()), "{more}: {payload}");
    }
    assert!(world.database.rows::<identity_provider::Entity>().await.is_empty());
    // What can.
    let groups = json!({ "groupClaim": "groups", "groupRoles": [{ "group": "a", "role": "AUDITOR" }] });
    let payload = configure(&owner, input(groups)).await;
    let expected = json!({ "issuer": issuer.url, "clientId": "bursar-at-issuer", "hasClientSecret": true,
        "audience": AUDIENCE, "algorithm": "RS256", "domains": ["demo.test"], "joinsJustInTime": false,
        "defaultRole": "MEMBER", "groupClaim": "groups", "groupRoles": [{ "group": "a", "role": "AUDITOR" }],
        "trustsMissingEmailVerified": false, "enabled": true, "signInUrl": "http://bursar.test/sso/demo", "redirectUrl": "http://bursar.test/sso/demo/callback" });
    assert_eq!(payload, json!({ "singleSignOn": expected, "userErrors": [] }));
    // The secret is sealed, and nowhere as it is.
    let sealed = || async {
        let rows = world.database.rows::<identity_provider::Entity>().await;
        rows[0].client_secret.clone()
    };
    let first = sealed().await.unwrap();
    assert!(!first.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()));
    let events = format!(
        "SELECT count(*) AS n FROM audit_event WHERE before LIKE '%{SECRET}%' OR after LIKE '%{SECRET}%'"
    );
    assert_eq!(world.number(&events).await, 0);
    // It stays with the issuer and client that it was given for.
    let without = |more: Value| {
        let mut input = input(more);
        input.as_object_mut().unwrap().remove("clientSecret");
        input
    };
    configure(&owner, without(json!({ "audience": "other" }))).await;
    assert_eq!(sealed().await, Some(first));
    let payload = configure(&owner, without(json!({ "issuer": "https://login.example" }))).await;
    assert_eq!(payload["singleSignOn"]["hasClientSecret"], false, "{payload}");
    // A domain is one organization's.
    let rival = world.found("rival").await;
    let theirs = rival.query(r#"{ organization(by: { slug: "rival" }) { id } }"#, json!({})).await;
    let theirs = text(&theirs["organization"]["id"]);
    let operator = world.client("operator@bursar.test").await;
    let add = json!({ "organizationId": theirs, "email": "second@demo.test", "role": "OWNER" });
    operator.mutate("addMember", "AddMemberInput", add, "member { id }").await;
    let second = world.client("second@demo.test").await;
    let payload = configure(&second, issuer.settings(&theirs, json!({}))).await;
    assert_eq!(refusal(&payload), ("TAKEN".to_owned(), "domains".to_owned()), "{payload}");
    assert_eq!(world.database.rows::<identity_provider::Entity>().await.len(), 1, "nothing of it is left");
    // Who sees it.
    for (caller, sees) in [("admin", true), ("auditor", true), ("member", false)] {
        let body = world.client(&format!("{caller}@demo.test")).await.raw(query, json!({})).await;
        assert_eq!(body["data"]["organization"]["singleSignOn"].is_object(), sees, "{caller}: {body}");
    }
}

async fn the_vendor_takes_a_domain_away(backend: Backend) {
    let (world, issuer, _) = start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let operator = world.client("operator@bursar.test").await;
    let settings = |more: Value| issuer.settings(&demo.organization, more);
    // Not even the vendor's staff has an organization believed about a domain where they have no address.
    for domains in [json!(["demo.test"]), json!([])] {
        let payload = configure(&operator, settings(json!({ "domains": domains }))).await;
        assert_eq!(refusal(&payload), ("INVALID".to_owned(), "domains".to_owned()), "{payload}");
    }
    assert_eq!(configure(&owner, settings(json!({}))).await["userErrors"], json!([]));
    let rival = world.found("rival").await;
    let theirs = rival.query(r#"{ organization(by: { slug: "rival" }) { id } }"#, json!({})).await;
    let theirs = text(&theirs["organization"]["id"]);
    let add = json!({ "organizationId": theirs, "email": "rightful@demo.test", "role": "OWNER" });
    operator.mutate("addMember", "AddMemberInput", add, "member { id }").await;
    let rightful = world.client("rightful@demo.test").await;
    let wanted = issuer.settings(&theirs, json!({}));
    assert_eq!(refusal(&configure(&rightful, wanted.clone()).await).0, "TAKEN");
    // Without a domain nobody is believed; and so it is free for whoever has a right to it.
    let payload = configure(&operator, settings(json!({ "domains": [], "enabled": false }))).await;
    assert_eq!(
        (&payload["singleSignOn"]["domains"], &payload["singleSignOn"]["enabled"]),
        (&json!([]), &json!(false)),
        "{payload}"
    );
    let payload = configure(&rightful, wanted).await;
    assert_eq!(payload["singleSignOn"]["domains"], json!(["demo.test"]), "{payload}");
    assert_eq!(refusal(&configure(&owner, settings(json!({}))).await).0, "TAKEN");
    let query = r#"{ organization(by: { slug: "demo" }) { auditEvents(first: 1,
        filter: { action: "configureSingleSignOn" }) { nodes { actor { user { email } } before after } } } }"#;
    let event = operator.query(query, json!({})).await["organization"]["auditEvents"]["nodes"][0].clone();
    assert_eq!(event["actor"]["user"]["email"], "operator@bursar.test", "{event}");
    assert_eq!(
        (&event["before"]["domains"], &event["after"]["domains"]),
        (&json!(["demo.test"]), &json!([])),
        "{event}"
    );
}

async fn tokens_let_people_in(backend: Backend) {
    let (world, issuer, clock) = start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let base = &world.base;
    // Nobody trusts it yet.
    let new = issuer.client(base, "s1", "new@demo.test");
    assert_eq!(who(&new).await, Err("The token is not valid.".to_owned()));
    issuer.trusted_by(&owner, &demo.organization, json!({})).await;
    // A member is known by the address; a stranger is not let in.
    let member = issuer.client(base, "s2", "Member@demo.test");
    assert_eq!(who(&member).await, is("member@demo.test", "demo", "MEMBER"));
    let no_member = Err("You are not a member of the organization. Ask to be invited.".to_owned());
    assert_eq!(who(&new).await, no_member);
    // Afterwards by the subject, whatever the address, and without one.
    assert_eq!(
        who(&issuer.client(base, "s2", "renamed@demo.test")).await,
        is("member@demo.test", "demo", "MEMBER")
    );
    let mut bare = issuer.claims("s2", "x");
    bare.as_object_mut().unwrap().retain(|name, _| !name.starts_with("email"));
    assert_eq!(
        who(&Client::new(base, Some(issuer.token(&bare)))).await,
        is("member@demo.test", "demo", "MEMBER")
    );
    // The address alone makes nobody a member whom the provider calls by another subject.
    let somebody_else =
        "The identity provider uses your address for somebody else. Ask to be removed and invited again.";
    let taken = issuer.client(base, "s5", "member@demo.test");
    assert_eq!(who(&taken).await, Err(somebody_else.to_owned()));
    // Just in time.
    issuer
        .trusted_by(&owner, &demo.organization, json!({ "joinsJustInTime": true, "defaultRole": "AUDITOR" }))
        .await;
    assert_eq!(who(&new).await, is("new@demo.test", "demo", "AUDITOR"));
    let name = new.query("{ viewer { user { name } } }", json!({})).await;
    assert_eq!(name["viewer"]["user"]["name"], "Name of s1");
    // Only with a proven address, and one of the organization's.
    let not_proven = "The identity provider does not say that your address is proven to be yours.";
    for (more, expected) in [
        (json!({ "email_verified": false }), not_proven),
        (json!({ "email_verified": null }), not_proven),
        (json!({ "email": "no address" }), not_proven),
        (json!({ "email": "a@other.test" }), "Your address is in none of the organization's domains."),
        (json!({ "email": "a@sub.demo.test" }), "Your address is in none of the organization's domains."),
    ] {
        let mut claims = issuer.claims("s3", "third@demo.test");
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let client = Client::new(base, Some(issuer.token(&claims)));
        assert_eq!(who(&client).await, Err(expected.to_owned()), "{more}");
    }
    // Who was removed is not brought back by the provider, by whatever name.
    let id = new.query("{ viewer { memberships { id } } }", json!({})).await;
    let id = &id["viewer"]["memberships"][0]["id"];
    owner.mutate("removeMember", "RemoveMemberInput", json!({ "memberId": id }), "removedMemberId").await;
    assert!(who(&new).await.is_err());
    clock.turn(clock.now().plus_seconds(301));
    assert_eq!(who(&issuer.client(base, "s1", "new@demo.test")).await, no_member);
    assert_eq!(who(&issuer.client(base, "s4", "new@demo.test")).await, no_member);
    let operator = world.client("operator@bursar.test").await;
    let add = json!({ "organizationId": demo.organization, "email": "new@demo.test", "role": "MEMBER" });
    operator.mutate("addMember", "AddMemberInput", add, "member { id }").await;
    assert_eq!(who(&issuer.client(base, "s1", "new@demo.test")).await, is("new@demo.test", "demo", "MEMBER"));
    // A token's time is over when it says so.
    let client = issuer.client(base, "s2", "member@demo.test");
    assert!(who(&client).await.is_ok());
    clock.turn(clock.now().plus_seconds(631));
    assert_eq!(who(&client).await, Err("The token has expired.".to_owned()));
    // What has happened is in the log, without addresses.
    let query = r#"{ organization(by: { slug: "demo" }) { auditEvents(first: 50, filter: { source: EVENT }) { nodes { action actor { user { email } } after } } } }"#;
    let events = owner.query(query, json!({})).await["organization"]["auditEvents"]["nodes"].clone();
    let of = |action: &str| -> Vec<&Value> {
        events.as_array().unwrap().iter().filter(|event| event["action"] == action).collect()
    };
    assert_eq!(of("linkIdentity").len(), 2, "{events}");
    assert!(of("addMember").iter().any(|event| event["after"]["by"] == "single sign-on"), "{events}");
    assert!(!events.to_string().contains("s1\""), "{events}");
}

async fn groups_give_roles(backend: Backend) {
    let (world, issuer, clock) = start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let roles = json!([{ "group": "staff", "role": "MEMBER" }, { "group": "finance", "role": "AUDITOR" }, { "group": "it", "role": "ADMIN" }]);
    let more = json!({ "joinsJustInTime": true, "groupClaim": "groups", "groupRoles": roles });
    issuer.trusted_by(&owner, &demo.organization, more).await;
    let role_with = async |subject: &str, email: &str, groups: Value| {
        clock.turn(clock.now().plus_seconds(1));
        let mut claims = issuer.claims(subject, email);
        claims["groups"] = groups;
        let client = Client::new(&world.base, Some(issuer.token(&claims)));
        who(&client).await.map(|(_, places)| places[0].1.clone())
    };
    for (groups, expected) in [
        (json!(["staff", "finance"]), "AUDITOR"),
        (json!(["it", "staff"]), "ADMIN"),
        (json!(["staff"]), "MEMBER"),
        (json!("it"), "ADMIN"),
        (json!(["others"]), "MEMBER"),
        (json!([]), "MEMBER"),
    ] {
        assert_eq!(
            role_with("s1", "new@demo.test", groups.clone()).await.as_deref(),
            Ok(expected),
            "{groups}"
        );
    }
    // What is not told changes nothing.
    role_with("s1", "new@demo.test", json!(["it"])).await.unwrap();
    assert_eq!(role_with("s1", "new@demo.test", Value::Null).await.as_deref(), Ok("ADMIN"));
    // An older token does not undo what a newer one has said.
    let mut old = issuer.claims("s1", "new@demo.test");
    old["iat"] = json!(issuer.now() - 60);
    old["groups"] = json!(["staff"]);
    let old = Client::new(&world.base, Some(issuer.token(&old)));
    assert_eq!(who(&old).await, is("new@demo.test", "demo", "ADMIN"));
    // What somebody has asked for as more than they are now is taken back.
    let mut claims = issuer.claims("s1", "new@demo.test");
    claims["groups"] = json!(["it"]);
    let admin = Client::new(&world.base, Some(issuer.token(&claims)));
    let input = json!({ "organizationId": demo.organization, "email": "friend@demo.test", "role": "ADMIN" });
    admin.mutate("inviteMember", "InviteMemberInput", input, "invitation { id }").await;
    let open = "SELECT count(*) AS n FROM invitation WHERE revoked_at IS NULL";
    assert_eq!(world.number(open).await, 1);
    role_with("s1", "new@demo.test", json!(["staff"])).await.unwrap();
    assert_eq!(world.number(open).await, 0);
    role_with("s1", "new@demo.test", json!(["it"])).await.unwrap();
    // In a suspended organization people come in as what they are, whatever their groups say by now.
    let operator = world.client("operator@bursar.test").await;
    for (mutation, kind, expected) in [
        ("suspendOrganization", "SuspendOrganizationInput", "ADMIN"),
        ("resumeOrganization", "ResumeOrganizationInput", "MEMBER"),
    ] {
        let input = json!({ "organizationId": demo.organization, "reason": "x" });
        operator.mutate(mutation, kind, input, "organization { id }").await;
        let role = role_with("s1", "new@demo.test", json!(["staff"])).await;
        assert_eq!(role.as_deref(), Ok(expected), "{mutation}");
    }
    // Owners stay what they are, and are not made.
    assert_eq!(role_with("s2", "owner@demo.test", json!(["staff"])).await.as_deref(), Ok("OWNER"));
    let ups = "SELECT count(*) AS n FROM audit_event WHERE action = 'updateMemberRole'";
    assert_eq!(world.number(ups).await, 8);
}

async fn its_word_counts_in_its_organization_only(backend: Backend) {
    let (world, issuer, _) = start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    issuer.trusted_by(&owner, &demo.organization, json!({ "joinsJustInTime": true })).await;
    // Somebody with an address in the domain is an owner elsewhere, and one of the vendor's staff is here.
    let rival = world.found("rival").await;
    let theirs = rival.query(r#"{ organization(by: { slug: "rival" }) { id } }"#, json!({})).await;
    let theirs = text(&theirs["organization"]["id"]);
    let operator = world.client("operator@bursar.test").await;
    let add = json!({ "organizationId": theirs, "email": "both@demo.test", "role": "OWNER" });
    operator.mutate("addMember", "AddMemberInput", add, "member { id }").await;
    let by_mail = world.client("both@demo.test").await;
    let claimed = issuer.client(&world.base, "s1", "both@demo.test");
    assert_eq!(who(&claimed).await, is("both@demo.test", "demo", "MEMBER"));
    let query = r#"{ organization(by: { slug: "rival" }) { id } }"#;
    assert_eq!(claimed.query(query, json!({})).await["organization"], Value::Null);
    assert!(by_mail.query(query, json!({})).await["organization"]["id"].is_string());
    let rename = json!({ "organizationId": theirs, "name": "Mine now" });
    let payload = claimed.try_mutate("updateOrganization", "UpdateOrganizationInput", rename, "").await;
    assert_eq!(refusal(&payload).0, "NOT_FOUND", "{payload}");
    // It neither knows nor ends the sessions that the person has opened by mail.
    let opened = sign_in(&world, "both@demo.test").await;
    let sessions = "{ viewer { sessions { id } } }";
    assert_eq!(claimed.query(sessions, json!({})).await["viewer"]["sessions"], json!([]));
    let input = json!({ "sessionId": opened.id });
    let payload = claimed.try_mutate("revokeSession", "RevokeSessionInput", input, "").await;
    assert_eq!(refusal(&payload), ("NOT_FOUND".to_owned(), "sessionId".to_owned()), "{payload}");
    assert!(sign_out(&claimed, true).await.is_empty());
    let listed = opened.client.query(sessions, json!({})).await;
    assert_eq!(listed["viewer"]["sessions"], json!([{ "id": opened.id }]));
    world.sql("UPDATE \"user\" SET operator = true WHERE email = 'member@demo.test'").await;
    let staff = issuer.client(&world.base, "s2", "member@demo.test");
    assert_eq!(who(&staff).await, is("member@demo.test", "demo", "MEMBER"));
    // Who is an owner by the provider's word does what owners do, but for the provider itself.
    let boss = issuer.client(&world.base, "s3", "owner@demo.test");
    assert_eq!(who(&boss).await, is("owner@demo.test", "demo", "OWNER"));
    let rename = json!({ "organizationId": demo.organization, "name": "Renamed" });
    boss.mutate("updateOrganization", "UpdateOrganizationInput", rename, "organization { name }").await;
    let payload =
        configure(&boss, issuer.settings(&demo.organization, json!({ "defaultRole": "ADMIN" }))).await;
    assert_eq!(refusal(&payload).0, "FORBIDDEN", "{payload}");
    // The same subject of another organization's provider is somebody else.
    let other = Issuer::start(&world.clock).await;
    let input = other.settings(&theirs, json!({ "domains": ["rival.test"], "joinsJustInTime": true }));
    assert_eq!(configure(&rival, input).await["userErrors"], json!([]));
    assert_eq!(
        who(&other.client(&world.base, "s3", "x@rival.test")).await,
        is("x@rival.test", "rival", "MEMBER")
    );
    // Nor can it vouch for people of domains that are not its organization's, even members of it.
    let add = json!({ "organizationId": theirs, "email": "guest@demo.test", "role": "ADMIN" });
    operator.mutate("addMember", "AddMemberInput", add, "member { id }").await;
    let refused = who(&other.client(&world.base, "s4", "guest@demo.test")).await;
    assert_eq!(refused, Err("Your address is in none of the organization's domains.".to_owned()));
}

async fn what_changes_takes_effect_at_once(backend: Backend) {
    let (world, issuer, _) = start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let set = async |more: Value| issuer.trusted_by(&owner, &demo.organization, more).await;
    set(json!({ "joinsJustInTime": true, "defaultRole": "ADMIN" })).await;
    let client = issuer.client(&world.base, "s1", "new@demo.test");
    let charge = async |key: &str| {
        let lines = json!([{ "service": "FURNITURE_REMOVAL" }]);
        let query = "mutation C($input: ChargeCreditsInput!) { chargeCredits(input: $input) { userErrors { code } } }";
        let input = json!({ "poolId": demo.pool, "lines": lines, "idempotencyKey": key });
        let (_, body) = client.send(query, json!({ "input": input })).await;
        match body["data"]["chargeCredits"]["userErrors"] == json!([]) {
            true => "charged".to_owned(),
            false => text(&body["errors"][0]["extensions"]["code"]),
        }
    };
    assert_eq!(charge("first").await, "charged");
    assert_eq!(charge("remembered").await, "charged");
    // Other settings that let the token in still: without a failed request.
    set(json!({ "joinsJustInTime": false })).await;
    assert_eq!(charge("other settings").await, "charged");
    // Settings that do not: another audience, another algorithm, none.
    for (name, more) in [
        ("audience", json!({ "audience": "another" })),
        ("algorithm", json!({ "algorithm": "ES256" })),
        ("issuer", json!({ "issuer": "https://login.example" })),
        ("disabled", json!({ "enabled": false })),
    ] {
        set(more).await;
        for turn in 0..2 {
            assert_eq!(charge(&format!("{name} {turn}")).await, "UNAUTHENTICATED", "{name} {turn}");
        }
        set(json!({})).await;
        assert_eq!(charge(&format!("{name} back")).await, "charged", "{name}");
    }
    // A stream ends too.
    let mut socket = client.socket().await;
    socket
        .subscribe(
            "1",
            "subscription W($id: ID!) { poolBalance(poolId: $id) { version } }",
            json!({ "id": demo.pool }),
        )
        .await;
    socket.next("poolBalance").await;
    set(json!({ "enabled": false })).await;
    match socket.message().await {
        Ok(message) => assert_eq!(message["type"], "error", "{message}"),
        Err((code, reason)) => assert_eq!(code, 4403, "{reason}"),
    }
}
