//! What time brings to purchases that people have to agree to: reminders, owners, an end, and never anybody's consent; who
//! stands in for whom and when; and that whoever may decide sees it at once.

use bursar::app::App;
use bursar::clock::Clock;
use bursar::purchases::Selling;
use bursar::schedule;
use bursar_domain::Timestamp;
use bursar_domain::approval::LinkKind;
use bursar_entity::{approval_link, delivery};
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::{at, balances_are_right, node, refusal};
use crate::support::approvals::{
    Browser, add, approve, decide, links, newest, professional, requested, save, shown, why_not,
};
use crate::support::caps::member;
use crate::support::{Backend, Client, Socket, World};

on_both_databases!(
    time_reminds_and_ends,
    there_is_a_good_link_until_the_end,
    people_stand_in_for_others,
    whoever_may_decide_sees_it
);

const MARCH: &str = "2026-03-10T12:00:00Z";
const PACKAGE: &str = "PROFESSIONAL";

/// A server that does no timed work by itself, with a policy by which the managers of a department have to agree.
async fn start(backend: Backend) -> (World, Clock) {
    let clock = Clock::set(at(MARCH));
    let world = World::start_untimed(backend, clock.clone()).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let managers = json!([{ "name": "Department", "approvers": [{ "departmentManagersOf": demo.sales }] }]);
    save(&owner, &demo.organization, professional(managers), json!({})).await;
    (world, clock)
}

fn hours(hours: i64) -> Timestamp {
    at(MARCH).plus_seconds(hours * 3_600)
}

/// Does on some nodes at once what is due.
async fn look(nodes: &[&Selling]) {
    let looks = nodes.iter().map(|selling| schedule::run_once(selling));
    for taken in futures_util::future::join_all(looks).await {
        taken.unwrap();
    }
}

/// How many links somebody has been sent, and how many of them are still out.
async fn sent(world: &World, email: &str) -> (usize, usize) {
    let rows = links(world, email).await;
    let out = |row: &&approval_link::Model| row.used_at.is_none() && row.withdrawn_at.is_none();
    (rows.len(), rows.iter().filter(out).count())
}

/// How many events of a kind the log has.
async fn recorded(world: &World, action: &str) -> i64 {
    world.number(&format!("SELECT count(*) AS n FROM audit_event WHERE action = '{action}'")).await
}

/// Whether somebody could agree.
async fn may(client: &Client, request: &str) -> bool {
    let rehearsed = decide(client, request, 1, "APPROVE", json!({ "dryRun": true })).await;
    rehearsed["userErrors"] == json!([])
}

async fn time_reminds_and_ends(backend: Backend) {
    let (world, clock) = start(backend).await;
    let admin = world.client("admin@demo.test").await;
    let demo = admin.demo().await;
    let asked = requested(&admin, &demo.pool, PACKAGE, "waits").await;
    let other: App = node(&world, clock.clone()).await;
    let nodes = [&world.services().selling, &other.services().selling];
    assert_eq!(sent(&world, "manager@demo.test").await, (1, 1));
    let first = newest(&world, "manager@demo.test", LinkKind::Decide).await;
    clock.turn(Timestamp::from_micros(hours(24).micros() - 1));
    look(&nodes).await;
    assert_eq!(sent(&world, "manager@demo.test").await, (1, 1), "a microsecond too early");
    clock.turn(hours(24));
    look(&nodes).await;
    assert_eq!(
        sent(&world, "manager@demo.test").await,
        (2, 1),
        "one reminder, whose link replaces the first"
    );
    let second = newest(&world, "manager@demo.test", LinkKind::Decide).await;
    assert!(first.url != second.url && first.row.id != second.row.id);
    // However often, and by whomever, it is done again: nothing more happens.
    for _ in 0..3 {
        let again =
            "UPDATE timed_task SET due_at = 0, lease = NULL, leased_until = NULL WHERE kind = 'APPROVAL_DUE'";
        assert_eq!(world.sql(again).await, 1);
        look(&nodes).await;
    }
    assert_eq!(sent(&world, "manager@demo.test").await, (2, 1));
    assert_eq!(recorded(&world, "remindApproval").await, 1);
    // Owners join those who may decide; they are asked once, and not reminded in the same breath.
    let owner = world.client("owner@demo.test").await;
    assert!(!may(&owner, &asked.request).await, "nobody has asked the owner yet");
    clock.turn(hours(48));
    look(&nodes).await;
    assert_eq!(sent(&world, "manager@demo.test").await, (3, 1));
    assert_eq!(sent(&world, "owner@demo.test").await, (1, 1));
    let escalated = "SELECT count(*) AS n FROM approval_escalation WHERE reason = 'OVERDUE'";
    assert_eq!((world.number(escalated).await, recorded(&world, "escalateApproval").await), (1, 1));
    let (owner, manager) = (world.client("owner@demo.test").await, world.client("manager@demo.test").await);
    assert!(may(&owner, &asked.request).await && may(&manager, &asked.request).await);
    // The nodes were off for days: those that come up send one mail, not one for each day.
    other.close().await.unwrap();
    let restarted = node(&world, clock.clone()).await;
    clock.turn(hours(5 * 24 + 7));
    look(&[&restarted.services().selling]).await;
    assert_eq!(sent(&world, "manager@demo.test").await, (4, 1));
    assert_eq!(sent(&world, "owner@demo.test").await, (2, 1));
    assert_eq!(world.number("SELECT reminders AS n FROM approval_request").await, 5);
    // Reminders go on to say why owners are asked as well.
    let mails = world.database.rows::<delivery::Entity>().await;
    let reminders = mails.iter().filter(|row| row.facts.contains("\"REMINDER\""));
    let why = reminders.clone().filter(|row| row.facts.contains("\"OVERDUE\"")).count();
    assert_eq!((reminders.count(), why), (4, 3));
    let admin = world.client("admin@demo.test").await;
    assert_eq!(shown(&admin, &asked.purchase).await["state"], "PENDING_APPROVAL", "time agrees to nothing");
    // At the very instant of its end it is over, whether or not anybody has written that yet.
    clock.turn(hours(7 * 24));
    let manager = world.client("manager@demo.test").await;
    assert_eq!(why_not(&manager, &asked.request, 1).await, "EXPIRED");
    look(&[&world.services().selling, &restarted.services().selling]).await;
    assert_eq!(why_not(&manager, &asked.request, 1).await, "EXPIRED");
    let over = shown(&world.client("admin@demo.test").await, &asked.purchase).await;
    let state = &over["approvalRequest"];
    assert_eq!((&over["state"], &state["state"]), (&json!("EXPIRED"), &json!("EXPIRED")), "{over}");
    assert_eq!((sent(&world, "manager@demo.test").await.1, sent(&world, "owner@demo.test").await.1), (0, 0));
    assert_eq!((recorded(&world, "remindApproval").await, recorded(&world, "expireApproval").await), (3, 1));
    let left = "SELECT count(*) AS n FROM timed_task WHERE kind = 'APPROVAL_DUE'";
    assert_eq!(world.number(left).await, 0, "nothing is left to be looked at");
    assert_eq!(world.number("SELECT count(*) AS n FROM approval_decision").await, 0);
    restarted.close().await.unwrap();
    balances_are_right(&world).await;
}

async fn there_is_a_good_link_until_the_end(backend: Backend) {
    let (world, clock) = start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let managers = json!([{ "name": "Department", "approvers": [{ "departmentManagersOf": demo.sales }] }]);
    let timing = json!({ "remindAfterHours": 1, "escalateAfterHours": 300, "expireAfterHours": 320 });
    save(&owner, &demo.organization, professional(managers), timing).await;
    let admin = world.client("admin@demo.test").await;
    requested(&admin, &demo.pool, PACKAGE, "waits for long").await;
    let (nobody, manager) = (Browser::nobody(), "manager@demo.test");
    // Ten reminders, one an hour, and then no more of them.
    let selling = [&world.services().selling];
    for hour in 1..=12 {
        clock.turn(hours(hour));
        look(&selling).await;
    }
    assert_eq!((sent(&world, manager).await, recorded(&world, "remindApproval").await), ((11, 1), 10));
    // The last one would be over at 82 hours. Before that there is another one, and so on.
    for (from, number) in [(10, 12), (81, 13), (152, 14), (223, 15)] {
        clock.turn(hours(from + 71).plus_seconds(-1));
        look(&selling).await;
        assert_eq!(sent(&world, manager).await, (number - 1, 1), "not yet");
        clock.turn(hours(from + 71));
        look(&selling).await;
        assert_eq!(sent(&world, manager).await, (number, 1));
        let letter = newest(&world, manager, LinkKind::Decide).await;
        assert_eq!(nobody.open(&letter.url).await.state(), (200, "OPEN"));
    }
    assert_eq!(recorded(&world, "renewApprovalLinks").await, 4);
    // Wrong codes end it: another one comes, not sooner than a reminder would.
    let letter = newest(&world, manager, LinkKind::Decide).await;
    let wrong = if letter.code == "0000" { "1111" } else { "0000" };
    for _ in 0..5 {
        nobody.fill(&letter.url, &[("code", wrong), ("choice", "APPROVE")]).await;
    }
    assert_eq!(nobody.open(&letter.url).await.state(), (410, "TRIED_TOO_OFTEN"));
    look(&selling).await;
    assert_eq!(sent(&world, manager).await.0, 15);
    clock.turn(hours(295));
    look(&selling).await;
    assert_eq!(sent(&world, manager).await, (16, 1));
    let letter = newest(&world, manager, LinkKind::Decide).await;
    assert_eq!(nobody.approve(&letter).await.state(), (200, "DECIDED"));
}

/// Wants a member to stand in for somebody, and answers the payload whatever it says.
async fn wants(
    client: &Client,
    organization: &str,
    delegate: &str,
    from: Option<&str>,
    until: &str,
) -> Value {
    let input =
        json!({ "organizationId": organization, "delegateId": delegate, "from": from, "until": until });
    let fields = "delegation { id from until active delegator { email } delegate { email } }";
    client.try_mutate("delegateApprovals", "DelegateApprovalsInput", input, fields).await
}

/// The same of one that can be had; answers its id.
async fn stands_in(client: &Client, organization: &str, delegate: &str) -> String {
    let made = wants(client, organization, delegate, None, "2026-03-30T12:00:00Z").await;
    assert_eq!(made["userErrors"], json!([]), "{made}");
    assert_eq!(made["delegation"]["active"], true);
    made["delegation"]["id"].as_str().unwrap().to_owned()
}

async fn revoke(client: &Client, delegation: &str) -> Value {
    let input = json!({ "delegationId": delegation });
    let fields = "delegation { active revokedAt }";
    client.try_mutate("revokeDelegation", "RevokeDelegationInput", input, fields).await
}

async fn people_stand_in_for_others(backend: Backend) {
    let (world, clock) = start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let organization = demo.organization.as_str();
    let operator = world.client("operator@bursar.test").await;
    let mut places = Vec::new();
    for email in ["ann@demo.test", "bob@demo.test", "cid@demo.test", "dan@demo.test"] {
        places.push(add(&operator, organization, email, "MEMBER").await);
    }
    let (manager, admin) = (world.client("manager@demo.test").await, world.client("admin@demo.test").await);
    let (ann, bob) = (world.client("ann@demo.test").await, world.client("bob@demo.test").await);
    let (cid, dan) = (world.client("cid@demo.test").await, world.client("dan@demo.test").await);
    let place = member(&owner, "manager@demo.test").await;
    stands_in(&manager, organization, &places[0]).await;
    let middle = stands_in(&ann, organization, &places[1]).await;
    stands_in(&bob, organization, &places[2]).await;
    // Three in a row and no more, no loops, one at a time, and only people who decide.
    let (auditor, week) = (member(&owner, "auditor@demo.test").await, "2026-03-17T12:00:00Z");
    for (who, delegate, from, until, code, field) in [
        (&cid, &places[3], None, week, "INVALID", "delegateId"),
        (&cid, &place, None, week, "INVALID", "delegateId"),
        (&dan, &place, None, week, "INVALID", "delegateId"),
        (&manager, &places[3], None, week, "TAKEN", "until"),
        (&dan, &places[3], None, week, "INVALID", "delegateId"),
        (&dan, &auditor, None, week, "INVALID", "delegateId"),
        (&dan, &places[2], None, MARCH, "INVALID", "until"),
        (&dan, &places[2], None, "2027-03-12T12:00:00Z", "INVALID", "until"),
        (&dan, &places[2], Some("2026-03-10T11:58:59Z"), week, "INVALID", "from"),
    ] {
        let refused = wants(who, organization, delegate, from, until).await;
        assert_eq!(refusal(&refused), (code.to_owned(), field.to_owned()), "{refused}");
    }
    let audits = world.client("auditor@demo.test").await;
    for stranger in [&audits, &world.client("operator@bursar.test").await] {
        let refused = wants(stranger, organization, &places[3], None, week).await;
        assert_eq!(refusal(&refused).0, "FORBIDDEN", "{refused}");
    }
    // Whoever is asked, and the last of those who stand in, get a mail; everybody in the chain may decide.
    let asked = requested(&admin, &demo.pool, PACKAGE, "chain").await;
    let mut mails = Vec::new();
    for email in ["manager@demo.test", "ann@demo.test", "bob@demo.test", "cid@demo.test"] {
        mails.push(sent(&world, email).await.0);
    }
    assert_eq!(mails, [1, 0, 0, 1]);
    for client in [&manager, &ann, &bob, &cid] {
        assert!(may(client, &asked.request).await);
    }
    // It ends in the middle: those behind it no longer decide, and their links lead nowhere.
    clock.turn(hours(1));
    let not_theirs = revoke(&world.client("dan@demo.test").await, &middle).await;
    assert_eq!(refusal(&not_theirs), ("NOT_FOUND".to_owned(), "delegationId".to_owned()), "{not_theirs}");
    let bob = world.client("bob@demo.test").await;
    for _ in 0..2 {
        let ended = revoke(&bob, &middle).await;
        assert_eq!(
            (&ended["userErrors"], &ended["delegation"]["active"]),
            (&json!([]), &json!(false)),
            "{ended}"
        );
    }
    let cid = world.client("cid@demo.test").await;
    assert_eq!(why_not(&cid, &asked.request, 1).await, "DELEGATION_ENDED");
    assert_eq!((sent(&world, "cid@demo.test").await, sent(&world, "ann@demo.test").await), ((1, 0), (1, 1)));
    let ann = world.client("ann@demo.test").await;
    assert_eq!(approve(&ann, &asked.request, 1).await, "APPROVED");
    let admin = world.client("admin@demo.test").await;
    let decision = &shown(&admin, &asked.purchase).await["approvalRequest"]["decisions"][0];
    let names = (&decision["by"]["email"], &decision["inNameOf"]["email"]);
    assert_eq!(names, (&json!("ann@demo.test"), &json!("manager@demo.test")), "{decision}");
    // Whoever stands in for the one who asks decides nothing, nor does whoever stands in for them: the owners join in the same
    // transaction. To end it frees nobody.
    let asked = requested(&admin, &demo.pool, PACKAGE, "own").await;
    let own = stands_in(&admin, organization, &place).await;
    let (manager, ann) = (world.client("manager@demo.test").await, world.client("ann@demo.test").await);
    for client in [&manager, &ann] {
        assert_eq!(why_not(client, &asked.request, 1).await, "STANDS_IN_FOR_REQUESTER");
    }
    let waiting = shown(&admin, &asked.purchase).await;
    assert_eq!(waiting["approvalRequest"]["stages"][0]["escalation"], "BARRED", "{waiting}");
    assert_eq!(sent(&world, "owner@demo.test").await, (1, 1));
    clock.turn(hours(2));
    let owner = world.client("owner@demo.test").await;
    assert_eq!(revoke(&owner, &own).await["userErrors"], json!([]), "who writes policies ends it as well");
    let manager = world.client("manager@demo.test").await;
    assert_eq!(why_not(&manager, &asked.request, 1).await, "STANDS_IN_FOR_REQUESTER");
    assert_eq!(approve(&owner, &asked.request, 1).await, "APPROVED");
    windows(&world, &clock, &places[3]).await;
    balances_are_right(&world).await;
}

/// Somebody stands in from one instant until before another, and hears of what waits when that begins.
async fn windows(world: &World, clock: &Clock, dan: &str) {
    let selling = &world.services().selling;
    clock.turn(hours(3));
    let manager = world.client("manager@demo.test").await;
    let admin = world.client("admin@demo.test").await;
    let demo = admin.demo().await;
    let own = "SELECT count(*) AS n FROM approval_delegation WHERE revoked_at IS NULL";
    assert_eq!(world.number(own).await, 2);
    // The one from the beginning would overlap.
    let (from, until) = ("2026-03-11T12:00:00Z", "2026-03-12T12:00:00Z");
    let refused = wants(&manager, &demo.organization, dan, Some(from), until).await;
    assert_eq!(refusal(&refused).0, "TAKEN", "{refused}");
    let query =
        "{ organization(by: { slug: \"demo\" }) { approvalDelegations { id active delegator { email } } } }";
    let seen = manager.query(query, json!({})).await["organization"]["approvalDelegations"].clone();
    let mine = |row: &&Value| row["active"] == true && row["delegator"]["email"] == "manager@demo.test";
    let known = seen.as_array().unwrap().iter().find(mine).unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(revoke(&manager, &known).await["userErrors"], json!([]));
    let made = wants(&manager, &demo.organization, dan, Some(from), until).await;
    assert_eq!(made["delegation"]["active"], false, "{made}");
    clock.turn(hours(4));
    let asked = requested(&world.client("admin@demo.test").await, &demo.pool, PACKAGE, "window").await;
    look(&[selling]).await;
    assert_eq!(sent(world, "dan@demo.test").await, (0, 0));
    clock.turn(at(from));
    look(&[selling]).await;
    assert_eq!(sent(world, "dan@demo.test").await, (1, 1));
    assert!(may(&world.client("dan@demo.test").await, &asked.request).await);
    clock.turn(Timestamp::from_micros(at(until).micros() - 1));
    look(&[selling]).await;
    assert!(may(&world.client("dan@demo.test").await, &asked.request).await);
    clock.turn(at(until));
    let dan = world.client("dan@demo.test").await;
    assert_eq!(why_not(&dan, &asked.request, 1).await, "DELEGATION_ENDED");
    look(&[selling]).await;
    assert_eq!(sent(world, "dan@demo.test").await.1, 0, "links lead nowhere when it is over");
    let manager = world.client("manager@demo.test").await;
    assert_eq!(approve(&manager, &asked.request, 1).await, "APPROVED");
}

/// Reads events about a request until one is as it should be.
async fn until(socket: &mut Socket, request: &str, state: &str, can_decide: bool) {
    loop {
        let event = socket.next("approvalRequests").await;
        if (&event["id"], &event["state"], &event["canDecide"])
            == (&json!(request), &json!(state), &json!(can_decide))
        {
            return;
        }
    }
}

async fn whoever_may_decide_sees_it(backend: Backend) {
    let (world, _) = start(backend).await;
    let (admin, manager) = (world.client("admin@demo.test").await, world.client("manager@demo.test").await);
    let demo = admin.demo().await;
    let watch = "subscription W($id: ID!) { approvalRequests(organizationId: $id) { id state canDecide } }";
    let (mut socket, mut silent) =
        (manager.socket().await, world.client("member@demo.test").await.socket().await);
    for watching in [&mut socket, &mut silent] {
        watching.subscribe("1", watch, json!({ "id": demo.organization })).await;
    }
    let mut asking = admin.socket().await;
    asking.subscribe("1", watch, json!({ "id": demo.organization })).await;
    let first = requested(&admin, &demo.pool, PACKAGE, "watched").await;
    until(&mut socket, &first.request, "PENDING", true).await;
    let mut buying = admin.socket().await;
    let purchase = "subscription P($id: ID!) { purchase(id: $id) { state } }";
    buying.subscribe("1", purchase, json!({ "id": first.purchase })).await;
    assert_eq!(buying.next("purchase").await["state"], "PENDING_APPROVAL");
    approve(&manager, &first.request, 1).await;
    until(&mut socket, &first.request, "APPROVED", false).await;
    // Whoever has asked hears of the end, and of nothing else.
    let ended = asking.next("approvalRequests").await;
    assert_eq!((&ended["id"], &ended["state"]), (&json!(first.request), &json!("APPROVED")));
    while buying.next("purchase").await["state"] != "AWAITING_PAYMENT" {}
    // What answers a request for credits waits as visibly.
    let owner = world.client("owner@demo.test").await;
    owner.allocate(&demo.pool, &demo.sales, 10, "sales").await;
    let input =
        json!({ "poolId": demo.pool, "departmentId": demo.sales, "credits": 300, "reason": "Houses" });
    let operator = world.client("operator@bursar.test").await;
    let place = add(&operator, &demo.organization, "needs@demo.test", "MEMBER").await;
    let joins = json!({ "departmentId": demo.sales, "memberId": place });
    owner.mutate("addDepartmentMember", "AddDepartmentMemberInput", joins, "department { id }").await;
    let needs = world.client("needs@demo.test").await;
    // They see what has become of their wish, and of what is bought for it nothing.
    let mut wishing = needs.socket().await;
    wishing.subscribe("1", watch, json!({ "id": demo.organization })).await;
    let wish = needs.mutate("requestCredits", "RequestCreditsInput", input, "creditRequest { id }").await;
    let input = json!({ "requestId": wish["creditRequest"]["id"], "idempotencyKey": "answer",
        "answer": { "purchase": { "package": PACKAGE } } });
    let fields = "purchase { id approvalRequest { id } }";
    let answered = admin.mutate("resolveCreditRequest", "ResolveCreditRequestInput", input, fields).await;
    let asked = answered["purchase"]["approvalRequest"]["id"].as_str().unwrap().to_owned();
    until(&mut socket, &asked, "PENDING", true).await;
    approve(&manager, &asked, 1).await;
    until(&mut asking, &asked, "APPROVED", false).await;
    let node = "query N($id: ID!) { node(id: $id) { id } }";
    assert_eq!(needs.query(node, json!({ "id": asked })).await["node"], Value::Null);
    // Who comes later begins with what waits for them, and with nothing else.
    let second = requested(&admin, &demo.pool, PACKAGE, "later").await;
    let mut late = manager.socket().await;
    late.subscribe("1", watch, json!({ "id": demo.organization })).await;
    assert_eq!(late.next("approvalRequests").await["id"], second.request.as_str());
    until(&mut socket, &second.request, "PENDING", true).await;
    // Whoever may decide no longer is told so; whoever may instead is told as well.
    let owner = world.client("owner@demo.test").await;
    let mut owning = owner.socket().await;
    owning.subscribe("1", watch, json!({ "id": demo.organization })).await;
    let input = json!({ "departmentId": demo.sales, "memberId": member(&owner, "manager@demo.test").await });
    owner.mutate("removeDepartmentMember", "RemoveDepartmentMemberInput", input, "department { id }").await;
    until(&mut socket, &second.request, "PENDING", false).await;
    until(&mut late, &second.request, "PENDING", false).await;
    until(&mut owning, &second.request, "PENDING", true).await;
    // Whoever was asked hears of its end, also who could not decide any more.
    assert_eq!(approve(&owner, &second.request, 1).await, "APPROVED");
    for watching in [&mut socket, &mut late, &mut owning, &mut asking] {
        until(watching, &second.request, "APPROVED", false).await;
    }
    // Who was never asked has heard nothing of all this.
    for watching in [&mut silent, &mut wishing] {
        watching.send(json!({ "type": "ping" })).await;
        // Of messages, pings of the server left aside.
        assert_eq!(watching.message().await.unwrap()["type"], "pong");
    }
}
