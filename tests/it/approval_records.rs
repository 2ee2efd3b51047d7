//! What is told of approvals: everything that happens to a request is in the audit log with who did it and in whose name,
//! what was tried in vain as well, and whoever is asked sees it live. No entry has what proves a link, nor its digits.

use std::time::Duration;

use bursar_domain::approval::LinkKind;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::approvals::{self, Asked, Browser, managers_and_owners, newest, professional};
use crate::support::caps::member;
use crate::support::{Backend, Client, DEADLINE, Nats, Process, Socket, World, run};

on_both_databases!(everything_is_recorded_and_live);

const MANAGER: &str = "manager@demo.test";

/// The newest events of the demonstration's log, newest first.
async fn events(client: &Client) -> Vec<Value> {
    let query = r#"{ organization(by: { slug: "demo" }) { auditEvents(first: 60, filter: { source: EVENT }) { nodes {
        action subjectId actor { kind user { email } } onBehalfOf { email } requestId personal { name value }
        before after } } } }"#;
    let data = client.query(query, json!({})).await;
    data["organization"]["auditEvents"]["nodes"].as_array().unwrap().clone()
}

/// The events of an action, oldest first, once there are so many.
async fn recorded(client: &Client, action: &str, number: usize) -> Vec<Value> {
    let come = async {
        loop {
            let mut found = events(client).await;
            found.retain(|event| event["action"] == action);
            found.reverse();
            if found.len() >= number {
                break found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let found = tokio::time::timeout(DEADLINE, come).await;
    let found = found.unwrap_or_else(|_| panic!("{action} is not recorded"));
    assert_eq!(found.len(), number, "{action}: {found:?}");
    found
}

/// Watches the requests of an organization.
async fn watch(client: &Client, organization: &str) -> Socket {
    let mut socket = client.socket().await;
    let document =
        "subscription A($id: ID!) { approvalRequests(organizationId: $id) { id state canDecide } }";
    socket.subscribe("1", document, json!({ "id": organization })).await;
    socket
}

/// The next thing that is said of a request: where it stands, and whether one may decide.
async fn next(socket: &mut Socket, request: &str) -> (String, bool) {
    let event = socket.next("approvalRequests").await;
    assert_eq!(event["id"], request, "{event}");
    (event["state"].as_str().unwrap().to_owned(), event["canDecide"].as_bool().unwrap())
}

async fn everything_is_recorded_and_live(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let rule = || professional(managers_and_owners(&demo.sales, 1));
    let policy = approvals::save(&owner, &demo.organization, rule(), json!({})).await;
    approvals::save(&owner, &demo.organization, rule(), json!({ "payer": "APPROVER" })).await;
    let (admin, manager) = (world.client("admin@demo.test").await, world.client(MANAGER).await);
    let second = world.client("member@demo.test").await;
    let place = member(&owner, "member@demo.test").await;
    approvals::delegated(&manager, &demo.organization, &place, 0, 9).await;
    let mut watching = watch(&manager, &demo.organization).await;
    let Asked { purchase, request } =
        approvals::requested(&admin, &demo.pool, "PROFESSIONAL", "recorded").await;
    let pending = |may: bool| ("PENDING".to_owned(), may);
    assert_eq!(next(&mut watching, &request).await, pending(true));
    let mut owners = watch(&owner, &demo.organization).await;
    // Tried in vain: each reason once in ten minutes, however often it is tried.
    let (browser, letter) = (Browser::nobody(), newest(&world, MANAGER, LinkKind::Decide).await);
    let wrong = if letter.code == "0000" { "1111" } else { "0000" };
    for _ in 0..3 {
        let page = browser.fill(&letter.url, &[("code", wrong), ("choice", "APPROVE")]).await;
        assert_eq!(page.state(), (400, "OPEN"));
    }
    let another = Browser::of(&world, "auditor@demo.test").await;
    assert_eq!(another.approve(&letter).await.state(), (403, "OTHER_PERSON"));
    let refused = recorded(&owner, "refuseApproval", 2).await;
    for (event, reason) in refused.iter().zip(["WRONG_CODE", "OTHER_PERSON"]) {
        assert_eq!((&event["after"]["reason"], &event["subjectId"]), (&json!(reason), &json!(request)));
        assert_eq!((&event["actor"]["kind"], &event["actor"]["user"]), (&json!("SYSTEM"), &Value::Null));
        assert_eq!(event["personal"], json!([{ "name": "address", "value": "127.0.0.1" }]), "{event}");
    }
    // Through the API too, each reason once; and what only asks what would happen is nothing.
    let dry = json!({ "dryRun": true });
    assert_ne!(approvals::decide(&admin, &request, 1, "APPROVE", dry).await["userErrors"], json!([]));
    for _ in 0..2 {
        assert_eq!(approvals::why_not(&admin, &request, 1).await, "REQUESTER");
    }
    let refused = &recorded(&owner, "refuseApproval", 3).await[2];
    assert_eq!((&refused["after"]["reason"], &refused["after"]["way"]), (&json!("REQUESTER"), &json!("API")));
    assert_eq!(refused["actor"]["user"]["email"], "admin@demo.test", "{refused}");
    // The end of a link by wrong codes is on record when the page says so.
    for _ in 0..2 {
        browser.fill(&letter.url, &[("code", wrong), ("choice", "APPROVE")]).await;
    }
    let ended = &recorded(&owner, "endApprovalLink", 1).await[0];
    assert_eq!(
        (&ended["after"]["reason"], &ended["subjectId"]),
        (&json!("TRIED_TOO_OFTEN"), &json!(request))
    );
    assert_eq!(ended["actor"]["kind"], "SYSTEM", "{ended}");
    // By the one who stands in, through the API; then by the owner's link.
    assert_eq!(approvals::approve(&second, &request, 1).await, "PENDING");
    assert_eq!(next(&mut watching, &request).await, pending(false), "it is nothing for them any more");
    assert_eq!(next(&mut owners, &request).await, pending(true), "it is the owners' turn");
    let letter = newest(&world, "owner@demo.test", LinkKind::Decide).await;
    assert_eq!(browser.approve(&letter).await.state(), (200, "DECIDED"));
    assert_eq!(next(&mut owners, &request).await, ("APPROVED".to_owned(), false));
    let saved = recorded(&owner, "saveApprovalPolicy", 2).await;
    assert_eq!((&saved[0]["subjectId"], &saved[0]["before"]), (&json!(policy), &Value::Null));
    assert_eq!((&saved[1]["before"]["version"], &saved[1]["after"]["version"]), (&json!(1), &json!(2)));
    let opened = &recorded(&owner, "openApproval", 1).await[0];
    assert_eq!((&opened["subjectId"], &opened["after"]["round"]), (&json!(request), &json!(1)));
    assert_eq!(opened["after"]["contentHash"].as_str().map(str::len), Some(64), "{opened}");
    assert_eq!(opened["actor"]["user"]["email"], "admin@demo.test");
    let agreed = recorded(&owner, "approvePurchase", 2).await;
    for (event, who, for_whom, way) in [
        (&agreed[0], "member@demo.test", json!({ "email": MANAGER }), "API"),
        (&agreed[1], "owner@demo.test", Value::Null, "LINK"),
    ] {
        assert_eq!(event["actor"]["user"]["email"], who, "{event}");
        assert_eq!((&event["onBehalfOf"], &event["after"]["way"]), (&for_whom, &json!(way)));
        assert!(event["subjectId"] == request.as_str() && event["requestId"].is_string(), "{event}");
    }
    let complete = &recorded(&owner, "completeApproval", 1).await[0];
    assert_eq!((&complete["subjectId"], &complete["after"]["state"]), (&json!(purchase), &json!("APPROVED")));
    // Whoever agreed last is sent to the checkout, by this policy; and what was agreed to is used by the payment.
    let pay = newest(&world, "owner@demo.test", LinkKind::Pay).await;
    let log = events(&owner).await;
    let is_begun =
        |event: &&Value| event["action"] == "startCheckout" && event["subjectId"] == purchase.as_str();
    let begun = log.iter().find(is_begun).unwrap();
    assert_eq!((&begun["actor"]["kind"], &begun["actor"]["user"]), (&json!("SYSTEM"), &Value::Null));
    assert_eq!(begun["onBehalfOf"]["email"], "owner@demo.test", "who has agreed last: {begun}");
    let led = browser.pay(&pay).await.location.unwrap();
    assert_eq!(owner.submit(&format!("{}{led}/pay", world.base)).await.0, 200);
    let all = events(&owner).await;
    let paid =
        all.iter().find(|event| event["action"] == "payPurchase" && event["subjectId"] == purchase.as_str());
    assert_eq!(paid.unwrap()["after"]["approvalRound"], 1, "{paid:?}");
    // A no says why, and whose it was.
    let Asked { request, .. } = approvals::requested(&admin, &demo.pool, "PROFESSIONAL", "no").await;
    let no = json!({ "reason": "There are enough." });
    let said = approvals::decide(&manager, &request, 1, "REJECT", no).await;
    assert_eq!(said["userErrors"], json!([]), "{said}");
    let rejected = &recorded(&owner, "rejectPurchase", 1).await[0];
    let why = json!({ "name": "reason", "value": "There are enough." });
    assert!(rejected["personal"].as_array().unwrap().contains(&why), "{rejected}");
    assert!(!rejected["after"].to_string().contains("enough"), "{rejected}");
    let all = Value::from(events(&owner).await).to_string();
    for secret in [&letter.url, &pay.url] {
        assert!(!all.contains(secret.rsplit('.').next().unwrap()), "a proof is in the log");
    }
}

/// Whoever is asked hears of a request, and of its end, on another node than the one where it happens.
#[test]
fn are_live_on_another_node() {
    run(async {
        let world = World::start(Backend::Postgres).await;
        let owner = world.client("owner@demo.test").await;
        let demo = owner.demo().await;
        let rule = professional(managers_and_owners(&demo.sales, 1));
        approvals::save(&owner, &demo.organization, rule, json!({})).await;
        let nats = Nats::start();
        let url = nats.url();
        for settings in
            [vec![("BURSAR_BUS", "postgres")], vec![("BURSAR_BUS", "nats"), ("BURSAR_NATS_URL", &*url)]]
        {
            let here = Process::start_with(&world.database, &settings).await;
            let there = Process::start_with(&world.database, &settings).await;
            let mut watching = watch(&there.client(&world, MANAGER).await, &demo.organization).await;
            let (admin, manager) =
                (here.client(&world, "admin@demo.test").await, here.client(&world, MANAGER).await);
            let key = settings[0].1;
            let Asked { request, .. } = approvals::requested(&admin, &demo.pool, "PROFESSIONAL", key).await;
            assert_eq!(next(&mut watching, &request).await, ("PENDING".to_owned(), true), "{key}");
            let no = json!({ "reason": "There are enough." });
            let said = approvals::decide(&manager, &request, 1, "REJECT", no).await;
            assert_eq!(said["userErrors"], json!([]), "{said}");
            assert_eq!(next(&mut watching, &request).await, ("REJECTED".to_owned(), false), "{key}");
        }
    });
}
