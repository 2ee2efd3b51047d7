//! Who is removed is out at once, on every node and in every kind of stream, and stays out until somebody of the
//! organization brings them back.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bursar::clock::Clock;
use bursar::organizations::InvitationLink;
use bursar_entity::invitation;
use chrono::{TimeDelta, Utc};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::client::Demo;
use crate::support::issuer::Issuer;
use crate::support::{Backend, Client, DEADLINE, Socket, World, acts, keys};

/// How soon a stream ends when the right to see has gone.
const SOON: Duration = Duration::from_secs(5);

on_both_databases!(
    removal_ends_streams_on_another_node,
    no_provider_undoes_a_removal,
    keys_stay_and_whoever_removes_is_told,
    nothing_is_done_by_who_was_removed
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
    // Who has nothing to decide is told of nothing at first: what was asked for after it shows that it is there.
    let balance = "subscription W($id: ID!) { poolBalance(poolId: $id) { version } }";
    let requests = "subscription R($id: ID!) { approvalRequests(organizationId: $id) { state } }";
    let mut deciding = Socket::open(&base, auditor.token()).await;
    deciding.subscribe("organization", requests, json!({ "id": demo.organization })).await;
    deciding.subscribe("pool", balance, json!({ "id": demo.pool })).await;
    deciding.next("poolBalance").await;
    // The same over events that a server sends.
    let body = json!({ "query": balance, "variables": { "id": demo.pool } });
    let events = auditor.http().post(format!("{base}/graphql/stream")).json(&body);
    let events = events.header("accept", "text/event-stream").bearer_auth(auditor.token());
    let mut events = events.send().await.unwrap();
    assert_eq!(events.status(), 200);
    let mut told = String::new();
    while !told.contains("\"version\"") {
        let chunk = tokio::time::timeout(DEADLINE, events.chunk()).await.unwrap().unwrap();
        told += std::str::from_utf8(&chunk.expect("the stream has ended")).unwrap();
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
        assert!(began.elapsed() < SOON, "{what} went on for {:?}", began.elapsed());
    }
    let mut ended = BTreeSet::new();
    for _ in 0..2 {
        let message = deciding.message().await.unwrap();
        let what = message["id"].as_str().unwrap().to_owned();
        assert_eq!(
            (&message["type"], &message["payload"][0]["message"]),
            (&json!("error"), &json!(format!("{what} was not found.")))
        );
        ended.insert(what);
    }
    assert_eq!(ended.len(), 2, "{ended:?}");
    assert!(began.elapsed() < SOON, "{ended:?} went on for {:?}", began.elapsed());
    while let Some(chunk) = tokio::time::timeout(DEADLINE, events.chunk()).await.unwrap().unwrap() {
        told += std::str::from_utf8(&chunk).unwrap();
    }
    assert!(told.contains("pool was not found.") && told.ends_with("event: complete\ndata: \n\n"), "{told}");
    assert!(began.elapsed() < SOON, "events were sent for {:?}", began.elapsed());
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
    let operator = world.client("operator@bursar.test").await;
    for turn in 0..2 {
        let member = operator.mutate("addMember", "AddMemberInput", input.clone(), "member { id }").await;
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

/// A mutation, the type of its input, and that.
type Sent = (&'static str, &'static str, Value);

/// What an administrator changes, each time to something else.
fn changes(demo: &Demo, (member, cap): (&str, &str), turn: i64) -> Vec<Sent> {
    let (organization, pool, sales) = (&demo.organization, &demo.pool, &demo.sales);
    let (key, until) = (format!("turn {turn}"), Utc::now() + TimeDelta::days(1 + turn));
    let until = until.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let refill = json!({ "credits": 1 + turn, "period": "MONTH" });
    let placed = json!({ "departmentId": sales, "memberId": member, "manager": turn % 2 == 0 });
    let profile = json!({ "organizationId": organization, "name": key, "address": "Main Street 1" });
    let department = json!({ "organizationId": organization, "code": format!("D{turn}"), "name": "D" });
    let asked = json!({ "poolId": pool, "departmentId": sales, "credits": 1 + turn, "reason": "Two houses" });
    vec![
        ("createDepartment", "CreateDepartmentInput", department),
        ("updateDepartment", "UpdateDepartmentInput", json!({ "departmentId": sales, "name": key })),
        ("addDepartmentMember", "AddDepartmentMemberInput", placed),
        ("createPool", "CreatePoolInput", json!({ "organizationId": organization, "name": key })),
        ("updatePool", "UpdatePoolInput", json!({ "poolId": pool, "name": format!("Pool {turn}") })),
        ("updateSpendingCap", "UpdateSpendingCapInput", json!({ "capId": cap, "credits": 1 + turn })),
        (
            "raiseSpendingCap",
            "RaiseSpendingCapInput",
            json!({ "capId": cap, "credits": 1 + turn, "until": until }),
        ),
        (
            "setAllocationRefill",
            "SetAllocationRefillInput",
            json!({ "poolId": pool, "departmentId": sales, "refill": refill }),
        ),
        ("requestCredits", "RequestCreditsInput", asked),
        (
            "requestPurchase",
            "RequestPurchaseInput",
            json!({ "poolId": pool, "package": "STARTER", "idempotencyKey": key }),
        ),
        (
            "requestQuote",
            "RequestQuoteInput",
            json!({ "poolId": pool, "credits": 5_000, "idempotencyKey": key }),
        ),
        ("setBillingProfile", "SetBillingProfileInput", profile),
    ]
}

/// Sends a change, and answers its name and what came of it.
async fn send(by: &Client, (name, kind, input): &Sent) -> (&'static str, Value) {
    (*name, by.try_mutate(name, kind, input.clone(), "").await)
}

/// Sends changes of one person all at once, and in the midst of them somebody else's that takes the right to make them.
/// Whatever comes too late is refused as it would be afterwards.
async fn race(by: &Client, sent: &[Sent], takes: impl Future<Output = Value>) {
    let (early, late) = sent.split_at(sent.len() / 2);
    let early = join_all(early.iter().map(|sent| send(by, sent)));
    let late = join_all(late.iter().map(|sent| send(by, sent)));
    let (early, taken, late) = tokio::join!(early, takes, late);
    assert_eq!(taken["userErrors"], json!([]), "{taken}");
    for (name, payload) in early.into_iter().chain(late) {
        let code = &payload["userErrors"][0]["code"];
        let refused = code == "NOT_FOUND" || code == "FORBIDDEN";
        // Two drafts of a policy at once: one of them comes second.
        assert!(code.is_null() || refused || name == "saveApprovalPolicy", "{name}: {payload}");
    }
}

/// How many events the log has of a person, before another event or after it.
async fn events(world: &World, email: &str, place: &str, action: &str) -> i64 {
    let sql = format!(
        "SELECT count(*) AS n FROM audit_event e
         JOIN audit_event o ON o.organization_id = e.organization_id AND o.action = '{action}'
         WHERE e.position {place} o.position
             AND e.actor_id = (SELECT u.id FROM \"user\" u WHERE u.email = '{email}')"
    );
    world.number(&sql).await
}

/// What somebody has sent when the right to do it is taken from them is done before that, or not at all.
async fn nothing_is_done_by_who_was_removed(backend: Backend) {
    let world = World::start(backend).await;
    let operator = world.client("operator@bursar.test").await;
    let (owner, admin) = (world.client("owner@demo.test").await, world.client("admin@demo.test").await);
    let demo = owner.demo().await;
    let place = async |email: &str, role: &str| {
        let input = json!({ "organizationId": demo.organization, "email": email, "role": role });
        let added = operator.mutate("addMember", "AddMemberInput", input, "member { id }").await;
        added["member"]["id"].as_str().unwrap().to_owned()
    };
    let member = place("accomplice@demo.test", "MEMBER").await;
    let input = json!({ "poolId": demo.pool, "scope": { "departmentId": demo.marketing }, "credits": 1_000 });
    let cap = owner.mutate("createSpendingCap", "CreateSpendingCapInput", input, "cap { id }").await;
    let about = (member.as_str(), cap["cap"]["id"].as_str().unwrap());

    // All of it may be done, and leaves its record.
    let once = changes(&demo, about, 0);
    for (name, kind, input) in once.clone() {
        admin.mutate(name, kind, input, "").await;
    }
    let mut sent: Vec<Sent> = (1..4).flat_map(|turn| changes(&demo, about, turn)).collect();
    let grant = json!({ "poolId": demo.pool, "memberId": member });
    sent.push(("addPoolAdministrator", "AddPoolAdministratorInput", grant));
    let own =
        admin.query("{ viewer { memberships { id } } }", json!({})).await["viewer"]["memberships"][0]["id"]
            .clone();
    let removal = json!({ "memberId": own });
    race(&admin, &sent, owner.try_mutate("removeMember", "RemoveMemberInput", removal, "")).await;
    let before = events(&world, "admin@demo.test", "<", "removeMember").await;
    assert!(before >= i64::try_from(once.len()).unwrap(), "{before}");
    assert_eq!(events(&world, "admin@demo.test", ">", "removeMember").await, 0);

    // Nor by whoever may less by then.
    let second = place("second@demo.test", "OWNER").await;
    let lowered = world.client("second@demo.test").await;
    let sent: Vec<Sent> = (0..24)
        .map(|turn| {
            let organization = &demo.organization;
            if turn % 4 == 0 {
                let draft = json!({ "organizationId": organization, "expectedVersion": turn / 4, "policy": { "rules": [] } });
                return ("saveApprovalPolicy", "SaveApprovalPolicyInput", draft);
            }
            let input = json!({ "organizationId": organization, "name": format!("Demo {turn}") });
            ("updateOrganization", "UpdateOrganizationInput", input)
        })
        .collect();
    let input = json!({ "memberId": second, "role": "MEMBER" });
    race(&lowered, &sent, owner.try_mutate("updateMemberRole", "UpdateMemberRoleInput", input, "")).await;
    assert_eq!(events(&world, "second@demo.test", ">", "updateMemberRole").await, 0);
}
