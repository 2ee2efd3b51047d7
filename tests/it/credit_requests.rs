//! Credit requests: who may ask and whom, each of the answers, in whole or not at all, once, and by whom.

use bursar::global_id;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::client::Demo;
use crate::support::{Backend, Client, World, rows};

on_both_databases!(
    an_allocation_is_an_answer,
    a_raise_is_an_answer,
    a_purchase_is_an_answer,
    no_is_an_answer_and_so_is_never_mind,
    a_request_is_answered_once,
    who_may_ask_and_who_sees_it,
    nobody_answers_themselves,
    an_answer_names_what_is_there
);

const REQUEST: &str =
    "creditRequest { id state credits reason note resolvedAt pool { id } department { code }
    requestedBy { email } resolvedBy { email } allocation { balance { available } } purchase { id }
    raise { credits until } }";

/// The demonstration, where Sales has ten credits in the pool: its people see the pool.
async fn world(backend: Backend) -> (World, Client, Demo) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    owner.allocate(&demo.pool, &demo.sales, 10, "sales").await;
    (world, owner, demo)
}

async fn try_ask(client: &Client, pool: &str, department: &str, credits: i64) -> Value {
    let input =
        json!({ "poolId": pool, "departmentId": department, "credits": credits, "reason": "Two houses" });
    client.try_mutate("requestCredits", "RequestCreditsInput", input, REQUEST).await
}

/// A request for credits for Sales.
async fn ask(client: &Client, demo: &Demo, credits: i64) -> String {
    let asked = try_ask(client, &demo.pool, &demo.sales, credits).await;
    assert_eq!(asked["userErrors"], json!([]), "{asked}");
    asked["creditRequest"]["id"].as_str().unwrap().to_owned()
}

async fn resolve(client: &Client, request: &str, answer: Value, key: &str, dry_run: bool) -> Value {
    let input = json!({ "requestId": request, "answer": answer, "note": "There you go", "idempotencyKey": key,
        "dryRun": dry_run });
    let fields = format!(
        "{REQUEST} transfers {{ version credits kind }} balance {{ posted version }} replayed
         raise {{ credits until reason actor {{ user {{ email }} }} }}
         purchase {{ state package {{ code }} total {{ amount }} requestedBy {{ email }} note }}"
    );
    client.try_mutate("resolveCreditRequest", "ResolveCreditRequestInput", input, &fields).await
}

async fn withdraw(client: &Client, request: &str) -> Value {
    let input = json!({ "requestId": request });
    client.try_mutate("withdrawCreditRequest", "WithdrawCreditRequestInput", input, REQUEST).await
}

/// What a mutation was refused with, or "none".
fn code(payload: &Value) -> &str {
    payload["userErrors"][0]["code"].as_str().unwrap_or("none")
}

async fn state(client: &Client, request: &str) -> Value {
    let query = "query N($id: ID!) { node(id: $id) { ... on CreditRequest { state } } }";
    client.query(query, json!({ "id": request })).await["node"]["state"].clone()
}

/// A cap of the pool.
async fn cap(client: &Client, pool: &str, scope: Value) -> String {
    let input = json!({ "poolId": pool, "scope": scope, "credits": 5, "period": "MONTH" });
    let made = client.mutate("createSpendingCap", "CreateSpendingCapInput", input, "cap { id }").await;
    made["cap"]["id"].as_str().unwrap().to_owned()
}

async fn member(owner: &Client, email: &str) -> String {
    let query = r#"{ organization(by: { slug: "demo" }) { members { nodes { id user { email } } } } }"#;
    let data = owner.query(query, json!({})).await;
    let nodes = data["organization"]["members"]["nodes"].as_array().unwrap();
    nodes.iter().find(|node| node["user"]["email"] == email).unwrap()["id"].as_str().unwrap().to_owned()
}

fn soon() -> String {
    (chrono::Utc::now() + chrono::Duration::days(3)).to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

async fn an_allocation_is_an_answer(backend: Backend) {
    let (world, owner, demo) = world(backend).await;
    let milo = world.client("member@demo.test").await;
    let asked = try_ask(&milo, &demo.pool, &demo.sales, 20).await["creditRequest"].clone();
    let id = asked["id"].as_str().unwrap();
    let expected = json!({ "id": id, "state": "OPEN", "credits": 20, "reason": "Two houses", "note": null,
        "resolvedAt": null, "pool": { "id": demo.pool }, "department": { "code": "SALES" },
        "requestedBy": { "email": "member@demo.test" }, "resolvedBy": null, "allocation": null,
        "purchase": null, "raise": null });
    assert_eq!(asked, expected);
    let (organization, db) = (global_id::decode(&demo.organization).unwrap(), &world.services().context.db);
    let before = rows::of(db, organization).await;
    let allocate = json!({ "allocate": {} });
    let dry = resolve(&owner, id, allocate.clone(), "a", true).await;
    // What cannot be given is not promised: the request stays open, and the key is not used up.
    let much = resolve(&owner, id, json!({ "allocate": { "credits": 91 } }), "a", false).await;
    assert_eq!(code(&much), "INSUFFICIENT_CREDITS", "{much}");
    assert_eq!(much["userErrors"][0]["field"], json!(["requestId"]));
    let none = resolve(&owner, id, json!({ "allocate": { "credits": 0 } }), "a", false).await;
    assert_eq!(none["userErrors"][0]["field"], json!(["answer", "allocate", "credits"]), "{none}");
    assert_eq!(before, rows::of(db, organization).await, "something was written");

    let real = resolve(&owner, id, allocate.clone(), "a", false).await;
    assert_eq!(real["userErrors"], json!([]), "{real}");
    assert_eq!((&dry["transfers"], &dry["balance"]), (&real["transfers"], &real["balance"]));
    assert_eq!(dry["creditRequest"]["state"], "ALLOCATED");
    assert_eq!(real["transfers"], json!([{ "version": 3, "credits": 20, "kind": "ALLOCATE" }]));
    let answered = &real["creditRequest"];
    assert_eq!((&answered["state"], &answered["note"]), (&json!("ALLOCATED"), &json!("There you go")));
    assert_eq!(answered["resolvedBy"]["email"], "owner@demo.test");
    assert_eq!(answered["allocation"]["balance"]["available"], 30);
    // Once more: the same answer, as it was then, and nothing more is given.
    owner.allocate(&demo.pool, &demo.sales, 1, "more").await;
    let again = resolve(&owner, id, allocate.clone(), "a", false).await;
    assert_eq!((&again["replayed"], &real["replayed"]), (&json!(true), &json!(false)));
    for part in ["transfers", "balance"] {
        assert_eq!(again[part], real[part], "{part}");
    }
    assert_eq!(again["creditRequest"]["resolvedAt"], answered["resolvedAt"]);
    assert_eq!(again["creditRequest"]["allocation"]["balance"]["available"], 31);
    let another = ask(&milo, &demo, 1).await;
    for (request, answer, key, expected) in [
        (id, json!({ "allocate": { "credits": 20 } }), "a", "IDEMPOTENCY_CONFLICT"),
        (id, json!({ "decline": true }), "a", "IDEMPOTENCY_CONFLICT"),
        (id, allocate.clone(), "b", "INVALID_STATE"),
        (another.as_str(), allocate, "a", "IDEMPOTENCY_CONFLICT"),
    ] {
        assert_eq!(code(&resolve(&owner, request, answer, key, false).await), expected);
    }
    // Whoever asked sees the answer.
    assert_eq!(state(&milo, id).await, "ALLOCATED");
    assert_eq!(code(&withdraw(&milo, id).await), "INVALID_STATE");
}

async fn a_raise_is_an_answer(backend: Backend) {
    let (world, owner, demo) = world(backend).await;
    let milo = world.client("member@demo.test").await;
    let of_milo = json!({ "memberId": member(&owner, "member@demo.test").await });
    let scopes = [json!({ "departmentId": demo.sales }), of_milo, json!({ "service": "STYLE_CHANGE" })];
    for (number, scope) in scopes.into_iter().enumerate() {
        let cap = cap(&owner, &demo.pool, scope).await;
        let id = ask(&milo, &demo, 7).await;
        let until = soon();
        let answer = json!({ "raiseCap": { "capId": cap, "credits": 4, "until": until } });
        let key = format!("raise-{number}");
        let real = resolve(&owner, &id, answer.clone(), &key, false).await;
        let expected = json!({ "credits": 4, "until": until, "reason": "There you go",
            "actor": { "user": { "email": "owner@demo.test" } } });
        assert_eq!(real["raise"], expected, "{real}");
        assert_eq!(real["creditRequest"]["state"], "CAP_RAISED");
        assert_eq!(real["creditRequest"]["raise"], json!({ "credits": 4, "until": until }));
        assert_eq!((&real["transfers"], &real["balance"]), (&json!([]), &Value::Null));
        let again = resolve(&owner, &id, answer, &key, false).await;
        assert_eq!((&again["replayed"], &again["raise"]), (&json!(true), &real["raise"]));
        let query =
            "query C($id: ID!) { node(id: $id) { ... on SpendingCap { headroom raises { credits } } } }";
        let seen = owner.query(query, json!({ "id": cap })).await["node"].clone();
        assert_eq!(seen, json!({ "headroom": 9, "raises": [{ "credits": 4 }] }));
    }
}

async fn a_purchase_is_an_answer(backend: Backend) {
    let (world, owner, demo) = world(backend).await;
    let (admin, milo) = (world.client("admin@demo.test").await, world.client("member@demo.test").await);
    let id = ask(&milo, &demo, 300).await;
    let answer = json!({ "purchase": { "package": "PROFESSIONAL" } });
    let real = resolve(&admin, &id, answer.clone(), "p", false).await;
    let expected = json!({ "state": "APPROVED", "package": { "code": "PROFESSIONAL" },
        "total": { "amount": "899.00" }, "requestedBy": { "email": "admin@demo.test" },
        "note": "There you go" });
    assert_eq!(real["purchase"], expected, "{real}");
    assert_eq!(real["creditRequest"]["state"], "PURCHASE_REQUESTED");
    let purchase = real["creditRequest"]["purchase"]["id"].clone();
    let query = "query P($id: ID!) { node(id: $id) { ... on Purchase { creditRequest { id credits } } } }";
    let named = owner.query(query, json!({ "id": purchase })).await["node"]["creditRequest"].clone();
    assert_eq!(named, json!({ "id": id, "credits": 300 }));
    // The same answer from somebody else who may give it, under the same key, is the same answer.
    let again = resolve(&owner, &id, answer, "p", false).await;
    assert_eq!((&again["replayed"], &again["purchase"]), (&json!(true), &real["purchase"]));
    // Whoever asked learns that something is bought, not for how much.
    let query = "query N($id: ID!) { node(id: $id) { ... on CreditRequest { state purchase { id } } } }";
    let seen = milo.query(query, json!({ "id": id })).await["node"].clone();
    assert_eq!(seen, json!({ "state": "PURCHASE_REQUESTED", "purchase": null }));
    // What cannot be bought is no answer.
    let id = ask(&milo, &demo, 3_000).await;
    for (package, expected) in [("ENTERPRISE", "QUOTE_REQUIRED"), ("NO_SUCH", "NOT_FOUND")] {
        let answer = json!({ "purchase": { "package": package } });
        let refused = resolve(&admin, &id, answer, "q", false).await;
        assert_eq!(code(&refused), expected);
        assert_eq!(refused["userErrors"][0]["field"], json!(["answer", "purchase", "package"]));
    }
    assert_eq!(state(&milo, &id).await, "OPEN");
}

async fn no_is_an_answer_and_so_is_never_mind(backend: Backend) {
    let (world, owner, demo) = world(backend).await;
    let milo = world.client("member@demo.test").await;
    let (declined, withdrawn) = (ask(&milo, &demo, 5).await, ask(&milo, &demo, 6).await);
    let no = json!({ "decline": true });
    let refused = resolve(&owner, &declined, json!({ "decline": false }), "n", false).await;
    assert_eq!(refused["userErrors"][0]["field"], json!(["answer", "decline"]), "{refused}");
    let answered = resolve(&owner, &declined, no.clone(), "n", false).await;
    assert_eq!(answered["creditRequest"]["state"], "DECLINED", "{answered}");
    assert_eq!(answered["creditRequest"]["note"], "There you go");
    assert_eq!(resolve(&owner, &declined, no.clone(), "n", false).await["replayed"], true);
    for _ in 0..2 {
        let gone = withdraw(&milo, &withdrawn).await;
        assert_eq!(gone["userErrors"], json!([]), "{gone}");
        assert_eq!(gone["creditRequest"]["state"], "WITHDRAWN");
        assert_eq!(gone["creditRequest"]["resolvedBy"], Value::Null);
    }
    for (request, key) in [(&declined, "m"), (&withdrawn, "o")] {
        assert_eq!(code(&resolve(&owner, request, no.clone(), key, false).await), "INVALID_STATE");
    }
    assert_eq!(code(&withdraw(&milo, &declined).await), "INVALID_STATE");
    let query = r#"{ organization(by: { slug: "demo" }) { auditEvents(first: 4, filter: { source: EVENT }) { nodes { action } } } }"#;
    let events = owner.query(query, json!({})).await["organization"]["auditEvents"]["nodes"].clone();
    let actions: Vec<_> = events.as_array().unwrap().iter().map(|event| event["action"].clone()).collect();
    assert_eq!(
        actions,
        ["withdrawCreditRequest", "resolveCreditRequest", "requestCredits", "requestCredits"]
    );
    // By state, newest first.
    let query = "query R($id: ID!, $s: CreditRequestState!) { pool(id: $id) {
        creditRequests(filter: { state: $s }) { nodes { id } } all: creditRequests { nodes { id } } } }";
    let lists = owner.query(query, json!({ "id": demo.pool, "s": "DECLINED" })).await["pool"].clone();
    assert_eq!(lists["creditRequests"]["nodes"], json!([{ "id": declined }]));
    assert_eq!(lists["all"]["nodes"], json!([{ "id": withdrawn }, { "id": declined }]));
}

async fn a_request_is_answered_once(backend: Backend) {
    let (world, owner, demo) = world(backend).await;
    let (admin, milo) = (world.client("admin@demo.test").await, world.client("member@demo.test").await);
    let id = ask(&milo, &demo, 5).await;
    let cap = cap(&owner, &demo.pool, json!({ "departmentId": demo.sales })).await;
    let answers = [
        json!({ "allocate": {} }),
        json!({ "decline": true }),
        json!({ "purchase": { "package": "STARTER" } }),
        json!({ "raiseCap": { "capId": cap, "credits": 1, "until": soon() } }),
    ];
    let tries = (0..16).map(|number| {
        let client = if number % 2 == 0 { owner.another() } else { admin.another() };
        let (id, answer) = (id.clone(), answers[number % 4].clone());
        async move { resolve(&client, &id, answer, &format!("race-{number}"), false).await }
    });
    let payloads = join_all(tries).await;
    let codes: Vec<_> = payloads.iter().map(code).collect();
    let count = |wanted: &str| codes.iter().filter(|code| **code == wanted).count();
    assert_eq!((count("none"), count("INVALID_STATE")), (1, 15), "{codes:?}");
    let query =
        "query P($id: ID!) { pool(id: $id) { balance { version } caps { nodes { raises { credits } } } }
        organization(by: { slug: \"demo\" }) { purchases { totalCount } } }";
    let seen = owner.query(query, json!({ "id": demo.pool })).await;
    let given = (
        seen["pool"]["balance"]["version"].as_i64().unwrap() - 2,
        seen["organization"]["purchases"]["totalCount"].as_i64().unwrap() - 1,
        seen["pool"]["caps"]["nodes"][0]["raises"].as_array().unwrap().len(),
    );
    let expected = match state(&owner, &id).await.as_str().unwrap() {
        "ALLOCATED" => (1, 0, 0),
        "PURCHASE_REQUESTED" => (0, 1, 0),
        "CAP_RAISED" => (0, 0, 1),
        _ => (0, 0, 0),
    };
    assert_eq!(given, expected, "{seen}");
}

async fn who_may_ask_and_who_sees_it(backend: Backend) {
    let (world, owner, demo) = world(backend).await;
    let input = json!({ "organizationId": demo.organization, "name": "Other" });
    let other = owner.mutate("createPool", "CreatePoolInput", input, "pool { id }").await["pool"].clone();
    let other = other["id"].as_str().unwrap();
    let rival = world.found("rival").await;
    let pool = demo.pool.as_str();
    for (email, department, pool, expected) in [
        ("member@demo.test", &demo.sales, pool, "none"),
        ("manager@demo.test", &demo.sales, pool, "none"),
        ("admin@demo.test", &demo.marketing, pool, "none"),
        ("member@demo.test", &demo.marketing, pool, "NOT_FOUND"),
        // Sales has no credits there, so its people do not know of the pool.
        ("member@demo.test", &demo.sales, other, "NOT_FOUND"),
        ("auditor@demo.test", &demo.sales, pool, "FORBIDDEN"),
        ("operator@bursar.test", &demo.sales, pool, "FORBIDDEN"),
    ] {
        let client = world.client(email).await;
        let asked = try_ask(&client, pool, department, 5).await;
        assert_eq!(code(&asked), expected, "{email}: {asked}");
    }
    assert_eq!(code(&try_ask(&rival, &demo.pool, &demo.sales, 5).await), "NOT_FOUND");
    assert_eq!(code(&try_ask(&owner, &demo.pool, &demo.sales, 0).await), "INVALID");
    // All of them for those who see the pool's movements; others see their own.
    let query = "query R($id: ID!) { pool(id: $id) { creditRequests { totalCount nodes { id } } }
        organization(by: { slug: \"demo\" }) { creditRequests { totalCount } } }";
    let node = "query N($id: ID!) { node(id: $id) { id } }";
    let all = owner.query(query, json!({ "id": demo.pool })).await["pool"]["creditRequests"]["nodes"].clone();
    for (email, expected) in [
        ("owner@demo.test", 3),
        ("admin@demo.test", 3),
        ("auditor@demo.test", 3),
        ("operator@bursar.test", 3),
        ("manager@demo.test", 1),
        ("member@demo.test", 1),
    ] {
        let client = world.client(email).await;
        let lists = client.query(query, json!({ "id": demo.pool })).await;
        for list in [&lists["pool"], &lists["organization"]] {
            assert_eq!(list["creditRequests"]["totalCount"], expected, "{email}: {lists}");
        }
        let mut found = 0;
        for request in all.as_array().unwrap() {
            found += i32::from(!client.query(node, json!({ "id": request["id"] })).await["node"].is_null());
        }
        assert_eq!(found, expected, "{email}");
    }
    // Newest first: the administrator's, then the manager's, then Milo's.
    let milos = all[2]["id"].as_str().unwrap();
    let mona = world.client("manager@demo.test").await;
    for (client, expected) in [(&owner, "FORBIDDEN"), (&mona, "NOT_FOUND"), (&rival, "NOT_FOUND")] {
        assert_eq!(code(&withdraw(client, milos).await), expected);
    }
    for (client, expected) in [(&mona, "NOT_FOUND"), (&rival, "NOT_FOUND")] {
        let refused = resolve(client, milos, json!({ "decline": true }), "x", false).await;
        assert_eq!((code(&refused), &refused["userErrors"][0]["field"]), (expected, &json!(["requestId"])));
    }
    let milo = world.client("member@demo.test").await;
    let refused = resolve(&milo, milos, json!({ "allocate": {} }), "x", false).await;
    assert_eq!(code(&refused), "FORBIDDEN");
    assert_eq!(state(&owner, milos).await, "OPEN");
}

async fn nobody_answers_themselves(backend: Backend) {
    let (world, owner, demo) = world(backend).await;
    let (admin, milo) = (world.client("admin@demo.test").await, world.client("member@demo.test").await);
    let milos = member(&owner, "member@demo.test").await;
    let input = json!({ "poolId": demo.pool, "memberId": milos });
    owner.mutate("addPoolAdministrator", "AddPoolAdministratorInput", input, "pool { id }").await;
    for (client, other) in [(&admin, &milo), (&milo, &admin)] {
        let id = ask(client, &demo, 5).await;
        for answer in [json!({ "allocate": {} }), json!({ "decline": true })] {
            assert_eq!(code(&resolve(client, &id, answer, &id, false).await), "FORBIDDEN");
        }
        assert_eq!(code(&resolve(other, &id, json!({ "allocate": {} }), &id, false).await), "none");
    }
    // A sole owner may; the log says so.
    let id = ask(&owner, &demo, 5).await;
    assert_eq!(code(&resolve(&owner, &id, json!({ "allocate": {} }), "own", false).await), "none");
    let query = r#"{ organization(by: { slug: "demo" }) { auditEvents(first: 1, filter: { source: EVENT }) { nodes { action subjectId after } } } }"#;
    let event = owner.query(query, json!({})).await["organization"]["auditEvents"]["nodes"][0].clone();
    assert_eq!((&event["action"], &event["subjectId"]), (&json!("resolveCreditRequest"), &json!(id)));
    assert_eq!(event["after"]["ownRequest"], true, "{event}");
    // Nor does anybody raise the cap on themselves as an answer to somebody else.
    let cap = cap(&owner, &demo.pool, json!({ "memberId": milos })).await;
    let id = ask(&owner, &demo, 5).await;
    let answer = json!({ "raiseCap": { "capId": cap, "credits": 5, "until": soon() } });
    assert_eq!(code(&resolve(&milo, &id, answer, "self", false).await), "FORBIDDEN");
    assert_eq!(state(&owner, &id).await, "OPEN");
}

async fn an_answer_names_what_is_there(backend: Backend) {
    let (world, owner, demo) = world(backend).await;
    let milo = world.client("member@demo.test").await;
    let input = json!({ "organizationId": demo.organization, "name": "Other" });
    let other = owner.mutate("createPool", "CreatePoolInput", input, "pool { id }").await["pool"].clone();
    let elsewhere = cap(&owner, other["id"].as_str().unwrap(), json!({ "departmentId": demo.sales })).await;
    let of_marketing = cap(&owner, &demo.pool, json!({ "departmentId": demo.marketing })).await;
    let of_mona = json!({ "memberId": member(&owner, "manager@demo.test").await });
    let of_mona = cap(&owner, &demo.pool, of_mona).await;
    let good = cap(&owner, &demo.pool, json!({ "departmentId": demo.sales })).await;
    let id = ask(&milo, &demo, 5).await;
    let (organization, db) = (global_id::decode(&demo.organization).unwrap(), &world.services().context.db);
    let before = rows::of(db, organization).await;
    for (cap, credits, until, expected, field) in [
        (elsewhere.as_str(), 1, soon(), "NOT_FOUND", "capId"),
        ("nonsense", 1, soon(), "NOT_FOUND", "capId"),
        (of_marketing.as_str(), 1, soon(), "INVALID", "capId"),
        (of_mona.as_str(), 1, soon(), "INVALID", "capId"),
        (good.as_str(), 0, soon(), "INVALID", "credits"),
        (good.as_str(), 1, "2020-01-01T00:00:00Z".to_owned(), "INVALID", "until"),
        (good.as_str(), 1, "2999-01-01T00:00:00Z".to_owned(), "INVALID", "until"),
    ] {
        let answer = json!({ "raiseCap": { "capId": cap, "credits": credits, "until": until } });
        let refused = resolve(&owner, &id, answer, "x", false).await;
        let error = &refused["userErrors"][0];
        let expected = (&json!(expected), &json!(["answer", "raiseCap", field]));
        assert_eq!((&error["code"], &error["field"]), expected, "{refused}");
    }
    // No answer and two are as wrong as a shape can be.
    for answer in [json!({}), json!({ "decline": true, "allocate": {} })] {
        let input = json!({ "requestId": id, "answer": answer, "idempotencyKey": "x" });
        let query =
            "mutation M($i: ResolveCreditRequestInput!) { resolveCreditRequest(input: $i) { replayed } }";
        let body = owner.raw(query, json!({ "i": input })).await;
        assert_eq!(body["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{body}");
    }
    assert_eq!(before, rows::of(db, organization).await, "something was written");
}
