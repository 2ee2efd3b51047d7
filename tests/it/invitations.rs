//! Invitations: by mail, accepted on their page or by the invited person; sent again, taken back, run out; never
//! above the inviter's own role; and none that leads past a removal.

use bursar::clock::Clock;
use bursar::global_id;
use bursar::organizations::InvitationLink;
use bursar_domain::Timestamp;
use bursar_domain::id::OrganizationId;
use bursar_entity::invitation;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::refusal;
use crate::support::{Backend, Client, World, rows};

on_both_databases!(
    accepted_on_the_page,
    accepted_by_the_invited_person,
    sent_again_taken_back_and_run_out,
    nobody_invites_above_themselves,
    what_a_removed_member_has_asked_for
);

/// The newest invitation of an address.
async fn newest(world: &World, email: &str) -> invitation::Model {
    let rows = world.database.rows::<invitation::Entity>().await;
    rows.into_iter().filter(|row| row.email == email).max_by_key(|row| row.id).unwrap()
}

/// The link of an address's newest invitation, as of its last mail.
async fn link(world: &World, email: &str) -> InvitationLink {
    InvitationLink::new(&world.services().keys, &newest(world, email).await)
}

async fn invite(client: &Client, organization: &str, email: &str, role: &str) -> Value {
    let input = json!({ "organizationId": organization, "email": email, "role": role });
    let fields = "invitation { id email role state round invitedBy { email } organization { slug } }";
    client.try_mutate("inviteMember", "InviteMemberInput", input, fields).await
}

/// Resends, revokes: what is done to an invitation by its id.
async fn act(client: &Client, mutation: &str, id: &Value) -> Value {
    let input_type = format!("{}{}Input", mutation[..1].to_uppercase(), &mutation[1..]);
    let fields = "invitation { state round }";
    client.try_mutate(mutation, &input_type, json!({ "invitationId": id }), fields).await
}

async fn accept(client: &Client, token: &str) -> Value {
    let fields = "member { id role organization { slug } }";
    client.try_mutate("acceptInvitation", "AcceptInvitationInput", json!({ "token": token }), fields).await
}

/// The nonce in a page.
fn nonce(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"nonce\" value=\"").unwrap_or_else(|| panic!("no form: {page}"));
    rest.split('"').next().unwrap().to_owned()
}

/// Sends the page's form.
async fn submit(client: &Client, url: &str, nonce: &str, name: &str) -> (u16, String) {
    let form = [("nonce", nonce), ("name", name)];
    let response = client.http().post(url).form(&form).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// Opens the page and presses the button.
async fn press(client: &Client, url: &str, name: &str) -> (u16, String) {
    let (_, page) = client.open(url).await;
    submit(client, url, &nonce(&page), name).await
}

async fn places(client: &Client) -> Value {
    let query = "{ viewer { user { name } memberships { role organization { slug } } } }";
    client.query(query, json!({})).await["viewer"].clone()
}

async fn accepted_on_the_page(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let organization: OrganizationId = global_id::decode(&demo.organization).unwrap();
    let made = invite(&owner, &demo.organization, " New@Person.test ", "AUDITOR").await;
    assert_eq!(made["userErrors"], json!([]));
    let invitation = &made["invitation"];
    let expected = json!({ "id": invitation["id"], "email": "new@person.test", "role": "AUDITOR", "state": "PENDING", "round": 1,
        "invitedBy": { "email": "owner@demo.test" }, "organization": { "slug": "demo" } });
    assert_eq!(invitation, &expected);
    // The mail is in the outbox, with what its link is about and without the proof.
    let link = link(&world, "new@person.test").await;
    let mails = format!(
        "SELECT count(*) AS n FROM delivery WHERE recipient = 'new@person.test' AND link_about = '{}'",
        link.about()
    );
    assert_eq!(world.number(&mails).await, 1);
    let url = owner.url(&link.path());
    // Opening changes nothing, nor do forms without the page's nonce or from another site's page.
    let nobody = world.anonymous();
    let db = &world.services().context.db;
    let settled =
        |rows: Vec<String>| rows.into_iter().filter(|row| !row.starts_with("delivery")).collect::<Vec<_>>();
    let before = settled(rows::of(db, organization).await);
    for _ in 0..3 {
        let (status, page) = nobody.open(&url).await;
        assert!(
            status == 200 && page.contains("Join Demo Realty") && page.contains("Owen Owner has invited you"),
            "{page}"
        );
        assert!(!page.contains("<script"));
    }
    let head = nobody.http().head(&url).send().await.unwrap();
    for (name, value) in
        [("referrer-policy", "no-referrer"), ("cache-control", "no-store"), ("x-frame-options", "DENY")]
    {
        assert_eq!(head.headers()[name], value);
    }
    assert!(head.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    let (_, page) = nobody.open(&url).await;
    let good = nonce(&page);
    let other = invite(&owner, &demo.organization, "other@person.test", "MEMBER").await;
    let other_url = owner.url(&self::link(&world, "other@person.test").await.path());
    let (_, other_page) = nobody.open(&other_url).await;
    act(&owner, "revokeInvitation", &other["invitation"]["id"]).await;
    for bad in ["", "x", "1.x", &nonce(&other_page), &good[1..]] {
        let (status, page) = submit(&nobody, &url, bad, "").await;
        assert!(status == 409 && page.contains("press the button once more"), "{bad}: {status} {page}");
    }
    assert_eq!(nobody.submit(&url).await.0, 409, "without a form");
    for (name, value) in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.test")] {
        let forged = nobody
            .http()
            .post(&url)
            .form(&[("nonce", good.as_str())])
            .header(name, value)
            .send()
            .await
            .unwrap();
        assert_eq!(forged.status(), 403, "{name}");
    }
    assert_eq!(world.number("SELECT count(*) AS n FROM \"user\" WHERE email = 'new@person.test'").await, 0);
    let now = settled(rows::of(db, organization).await);
    let changed: Vec<_> =
        now.iter().filter(|row| !before.contains(row) && !row.contains("other@person.test")).collect();
    let logged = |row: &&String| row.starts_with("audit_") || row.starts_with("personal_value");
    assert!(changed.iter().all(logged), "{changed:?}");
    // A name that is none is said so; a good one is taken.
    let (status, page) = submit(&nobody, &url, &good, &"x".repeat(256)).await;
    assert!(status == 400 && page.contains("The name must have at most 255 characters"), "{page}");
    let (status, page) = submit(&nobody, &url, &good, " Nina <New> ").await;
    assert!(status == 200 && page.contains("Welcome to Demo Realty."), "{page}");
    let new = world.client("new@person.test").await;
    let expected = json!({ "user": { "name": "Nina <New>" }, "memberships": [{ "role": "AUDITOR", "organization": { "slug": "demo" } }] });
    assert_eq!(places(&new).await, expected);
    // Again, and again on the page: it says what is.
    let (status, page) = submit(&nobody, &url, &good, "").await;
    assert!(status == 200 && page.contains("This invitation has been accepted."), "{page}");
    let (_, page) = nobody.open(&url).await;
    assert!(page.contains("This invitation has been accepted.") && !page.contains("<form"), "{page}");
    let members = "SELECT count(*) AS n FROM membership m JOIN \"user\" u ON u.id = m.user_id WHERE u.email = 'new@person.test'";
    assert_eq!(world.number(members).await, 1);
    // All of it is in the log, by whom, and without the address.
    let query = r#"{ organization(by: { slug: "demo" }) { auditEvents(first: 20) { nodes { action actor { user { email } } before after personal { name value } } } } }"#;
    let events = owner.query(query, json!({})).await["organization"]["auditEvents"]["nodes"].clone();
    let event = |action: &str| {
        events.as_array().unwrap().iter().find(|event| event["action"] == action).unwrap().clone()
    };
    assert_eq!(event("acceptInvitation")["actor"]["user"]["email"], "new@person.test");
    assert_eq!(event("acceptInvitation")["after"]["state"], "ACCEPTED");
    let place = json!([{ "name": "address", "value": "127.0.0.1" }]);
    assert_eq!(event("acceptInvitation")["personal"], place);
    assert_eq!(event("addMember")["after"]["invitation"], invitation["id"]);
    assert_eq!(event("inviteMember")["actor"]["user"]["email"], "owner@demo.test");
    for event in events.as_array().unwrap() {
        assert!(!format!("{}{}", event["before"], event["after"]).contains("@person.test"), "{event}");
    }
    // No proof of a link is in the database.
    for table in ["invitation", "audit_event", "delivery"] {
        let token = link.text().rsplit('.').next().unwrap().to_owned();
        let text =
            if backend == Backend::Postgres { "t::text".to_owned() } else { columns(&world, table).await };
        let sql = format!("SELECT count(*) AS n FROM {table} t WHERE {text} LIKE '%{token}%'");
        assert_eq!(world.number(&sql).await, 0, "{table}");
    }
}

/// All of a SQLite row's columns as one text.
async fn columns(world: &World, table: &str) -> String {
    use sea_orm::{ConnectionTrait, Statement};
    let connection = sea_orm::Database::connect(&world.database.superuser).await.unwrap();
    let sql = format!("SELECT name FROM pragma_table_info('{table}')");
    let rows = connection
        .query_all_raw(Statement::from_string(connection.get_database_backend(), sql))
        .await
        .unwrap();
    let names: Vec<String> = rows.iter().map(|row| row.try_get::<String>("", "name").unwrap()).collect();
    names
        .iter()
        .map(|name| format!("coalesce(CAST(\"{name}\" AS TEXT), '')"))
        .collect::<Vec<_>>()
        .join(" || ")
}

async fn accepted_by_the_invited_person(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let rival = world.found("rival").await;
    invite(&owner, &demo.organization, "owner@rival.test", "ADMIN").await;
    let token = link(&world, "owner@rival.test").await.text();
    // Nobody else can take it, whoever they are; and to make one up takes the key.
    let stranger = world.found("stranger").await;
    for client in [&stranger, &owner, &world.client("operator@bursar.test").await] {
        assert_eq!(refusal(&accept(client, &token).await).0, "FORBIDDEN");
    }
    let (rest, proof) = token.rsplit_once('.').unwrap();
    let foreign = format!("{rest}.{}", proof.chars().rev().collect::<String>());
    for bad in ["", "x", rest, proof, &foreign, &token[1..]] {
        assert_eq!(
            refusal(&accept(&rival, bad).await),
            ("NOT_FOUND".to_owned(), "token".to_owned()),
            "{bad}"
        );
    }
    assert_eq!(places(&rival).await["memberships"].as_array().unwrap().len(), 1);
    // Several times at once: one place.
    let (one, two) = tokio::join!(accept(&rival, &token), accept(&rival, &token));
    assert_eq!(one, two);
    assert_eq!(one["userErrors"], json!([]));
    assert_eq!(
        (&one["member"]["role"], &one["member"]["organization"]["slug"]),
        (&json!("ADMIN"), &json!("demo"))
    );
    assert_eq!(places(&rival).await["memberships"].as_array().unwrap().len(), 2);
    // Who is a member is not invited; who became one otherwise keeps the role.
    assert_eq!(
        refusal(&invite(&owner, &demo.organization, "owner@rival.test", "MEMBER").await),
        ("TAKEN".to_owned(), "email".to_owned())
    );
    invite(&owner, &demo.organization, "both@ways.test", "ADMIN").await;
    let input = json!({ "organizationId": demo.organization, "email": "both@ways.test", "role": "MEMBER" });
    let operator = world.client("operator@bursar.test").await;
    let added = operator.mutate("addMember", "AddMemberInput", input, "member { id }").await;
    let both = world.client("both@ways.test").await;
    let accepted = accept(&both, &link(&world, "both@ways.test").await.text()).await;
    assert_eq!(
        (&accepted["member"]["id"], &accepted["member"]["role"]),
        (&added["member"]["id"], &json!("MEMBER"))
    );
}

async fn sent_again_taken_back_and_run_out(backend: Backend) {
    let start = Clock::system().now();
    let clock = Clock::set(start);
    let world = World::start_at(backend, clock.clone()).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let email = "late@person.test";
    let id = invite(&owner, &demo.organization, email, "MEMBER").await["invitation"]["id"].clone();
    assert_eq!(
        refusal(&invite(&owner, &demo.organization, email, "ADMIN").await),
        ("TAKEN".to_owned(), "email".to_owned())
    );
    let first = link(&world, email).await;
    let resent = act(&owner, "resendInvitation", &id).await;
    assert_eq!(resent["invitation"], json!({ "state": "PENDING", "round": 2 }));
    let second = link(&world, email).await;
    let (nobody, url) = (world.anonymous(), |link: &InvitationLink| owner.url(&link.path()));
    let (_, page) = nobody.open(&url(&first)).await;
    assert!(page.contains("There is a newer mail.") && !page.contains("<form"), "{page}");
    // A nonce of a page that was good before helps nobody.
    let stale = world.services().keys.page_nonce(first.about(), clock.now());
    let (status, page) = submit(&nobody, &url(&first), &stale, "").await;
    assert!(status == 409 && page.contains("There is a newer mail."), "{page}");
    // Until the last microsecond, and no longer.
    let end = start.plus_days(7);
    let (_, open) = nobody.open(&url(&second)).await;
    clock.turn(Timestamp::from_micros(end.micros() - 1));
    assert!(nobody.open(&url(&second)).await.1.contains("Accept and join"));
    let (status, page) = submit(&nobody, &url(&second), &nonce(&open), "").await;
    assert!(status == 409 && page.contains("once more"), "a page of last week: {page}");
    clock.turn(end);
    assert!(nobody.open(&url(&second)).await.1.contains("This invitation has expired."));
    let fresh = world.services().keys.page_nonce(second.about(), clock.now());
    let (status, page) = submit(&nobody, &url(&second), &fresh, "").await;
    assert!(status == 409 && page.contains("This invitation has expired."), "{page}");
    let owner = world.client("owner@demo.test").await;
    let states = |state: &'static str| {
        let owner = owner.clone();
        async move {
            let query = format!(
                "{{ organization(by: {{ slug: \"demo\" }}) {{ invitations(filter: {{ state: {state} }}) {{ totalCount nodes {{ state }} }} }} }}"
            );
            let list = owner.query(&query, json!({})).await["organization"]["invitations"].clone();
            assert!(list["nodes"].as_array().unwrap().iter().all(|node| node["state"] == state), "{list}");
            list["totalCount"].as_i64().unwrap()
        }
    };
    assert_eq!((states("EXPIRED").await, states("PENDING").await), (1, 0));
    // Sent again it is good again; taken back it is not, for ever.
    act(&owner, "resendInvitation", &id).await;
    let third = link(&world, email).await;
    assert!(nobody.open(&url(&third)).await.1.contains("Accept and join"));
    for _ in 0..2 {
        let revoked = act(&owner, "revokeInvitation", &id).await;
        assert_eq!(
            (&revoked["invitation"]["state"], &revoked["userErrors"]),
            (&json!("REVOKED"), &json!([]))
        );
    }
    let fresh = world.services().keys.page_nonce(third.about(), clock.now());
    let (status, page) = submit(&nobody, &url(&third), &fresh, "").await;
    assert!(status == 409 && page.contains("This invitation was taken back."), "{page}");
    assert_eq!(
        refusal(&act(&owner, "resendInvitation", &id).await),
        ("INVALID_STATE".to_owned(), "invitationId".to_owned())
    );
    // Another one can be sent now, and over one that has run out.
    invite(&owner, &demo.organization, email, "MEMBER").await;
    clock.turn(end.plus_days(8));
    let owner = world.client("owner@demo.test").await;
    let last = invite(&owner, &demo.organization, email, "AUDITOR").await["invitation"]["id"].clone();
    let (status, page) = press(&nobody, &url(&link(&world, email).await), "").await;
    assert!(status == 200 && page.contains("Welcome"), "{page}");
    for mutation in ["resendInvitation", "revokeInvitation"] {
        assert_eq!(refusal(&act(&owner, mutation, &last).await).0, "INVALID_STATE", "{mutation}");
    }
}

async fn nobody_invites_above_themselves(backend: Backend) {
    let world = World::start(backend).await;
    let (owner, admin) = (world.client("owner@demo.test").await, world.client("admin@demo.test").await);
    let demo = owner.demo().await;
    for (caller, role) in
        [("admin", "OWNER"), ("auditor", "MEMBER"), ("manager", "MEMBER"), ("member", "MEMBER")]
    {
        let client = world.client(&format!("{caller}@demo.test")).await;
        let refused = invite(&client, &demo.organization, "x@person.test", role).await;
        assert_eq!(refusal(&refused).0, "FORBIDDEN", "{caller} {role}");
    }
    let operator = world.client("operator@bursar.test").await;
    for role in ["OWNER", "MEMBER"] {
        assert_eq!(
            refusal(&invite(&operator, &demo.organization, "Operator@Bursar.test", role).await).0,
            "FORBIDDEN"
        );
    }
    assert_eq!(world.number("SELECT count(*) AS n FROM invitation").await, 0);
    // What asks for more than one may give is not one's to send or to take back either.
    let second =
        invite(&owner, &demo.organization, "second@person.test", "OWNER").await["invitation"]["id"].clone();
    for mutation in ["resendInvitation", "revokeInvitation"] {
        assert_eq!(refusal(&act(&admin, mutation, &second).await).0, "FORBIDDEN", "{mutation}");
    }
    // An owner who is only invited is none yet: the last one stays.
    let query = "{ viewer { memberships { id } } }";
    let own = owner.query(query, json!({})).await["viewer"]["memberships"][0]["id"].clone();
    let left = owner.try_mutate("removeMember", "RemoveMemberInput", json!({ "memberId": own }), "").await;
    assert_eq!(left["userErrors"][0]["code"], "LAST_OWNER");
    let link = link(&world, "second@person.test").await;
    assert_eq!(press(&world.anonymous(), &owner.url(&link.path()), "Second").await.0, 200);
    // Lowered to administrator, the first one's invitations of owners are taken back, and no others.
    invite(&owner, &demo.organization, "third@person.test", "OWNER").await;
    invite(&owner, &demo.organization, "fourth@person.test", "ADMIN").await;
    let second = world.client("second@person.test").await;
    let input = json!({ "memberId": own, "role": "ADMIN" });
    second.mutate("updateMemberRole", "UpdateMemberRoleInput", input, "member { role }").await;
    let revoked = |row: &invitation::Model| row.revoked_at.is_some();
    assert!(
        revoked(&newest(&world, "third@person.test").await)
            && !revoked(&newest(&world, "fourth@person.test").await)
    );
}

async fn what_a_removed_member_has_asked_for(backend: Backend) {
    let world = World::start(backend).await;
    let (owner, admin) = (world.client("owner@demo.test").await, world.client("admin@demo.test").await);
    let demo = owner.demo().await;
    // The administrator has invited an accomplice, and has an invitation of their own from before being added.
    invite(&admin, &demo.organization, "accomplice@person.test", "ADMIN").await;
    invite(&owner, &demo.organization, "back@person.test", "ADMIN").await;
    invite(&owner, &demo.organization, "innocent@person.test", "MEMBER").await;
    let input = json!({ "organizationId": demo.organization, "email": "back@person.test", "role": "MEMBER" });
    let operator = world.client("operator@bursar.test").await;
    let back =
        operator.mutate("addMember", "AddMemberInput", input, "member { id }").await["member"]["id"].clone();
    let admins = admin.query("{ viewer { memberships { id } } }", json!({})).await["viewer"]["memberships"]
        [0]["id"]
        .clone();
    let nobody = world.anonymous();
    let nonces: Vec<String> = futures_util::future::join_all(["accomplice", "back"].map(|name| {
        let (world, nobody) = (&world, &nobody);
        async move {
            nonce(
                &nobody.open(&nobody.url(&link(world, &format!("{name}@person.test")).await.path())).await.1,
            )
        }
    }))
    .await;
    for member in [&admins, &back] {
        owner
            .mutate("removeMember", "RemoveMemberInput", json!({ "memberId": member }), "removedMemberId")
            .await;
    }
    for (name, nonce) in ["accomplice", "back"].iter().zip(&nonces) {
        let url = owner.url(&link(&world, &format!("{name}@person.test")).await.path());
        let (status, page) = submit(&nobody, &url, nonce, "").await;
        assert!(status == 409 && page.contains("This invitation was taken back."), "{name}: {page}");
    }
    assert_eq!(
        refusal(&invite(&admin, &demo.organization, "more@person.test", "MEMBER").await).0,
        "NOT_FOUND"
    );
    let url = owner.url(&link(&world, "innocent@person.test").await.path());
    assert_eq!(press(&nobody, &url, "").await.0, 200);
    let back = world.client("back@person.test").await;
    assert_eq!(places(&back).await["memberships"], json!([]));
}
