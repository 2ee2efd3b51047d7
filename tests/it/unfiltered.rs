//! With the application's own filter switched off, row-level security alone keeps tenants apart: a server that works as
//! the ordinary role answers word for word what it answers with its filter, and not one row of another tenant's comes
//! out of the database. The same on SQLite, and as a role that row-level security does not bind, shows that the switch
//! works: there the other tenant's rows come.

mod ways;

use std::collections::{BTreeMap, BTreeSet};

use bursar::clock::Clock;
use bursar::db::{Database, Filter, LeftOut, Options, Tenant};
use bursar::global_id;
use bursar_domain::id::OrganizationId;
use serde_json::{Value, json};

use crate::isolation::{Rival, furnished, rival};
use crate::on_both_databases;
use crate::support::sign_in::sign_in;
use crate::support::{Backend, Client, TestDatabase, World, keys, rows};

use ways::{assert_ways, ways};

on_both_databases!(what_stands_behind_the_filter);

/// What is asked of an organization, a document each, so that what one cannot answer does not hide the others.
const OF_ORGANIZATION: &[&str] = &[
    "id slug name sandboxOf { id } singleSignOn { issuer domains clientId }",
    "members(first: 30) { totalCount nodes { id user { id email } departments { department { id } }
        administeredPools { id } } }",
    "invitations(first: 30) { totalCount nodes { id email invitedBy { id email } } }",
    "departments(first: 30) { totalCount nodes { id code members(first: 10) { nodes { member { id user { email } } } }
        allocations(first: 10) { nodes { id pool { id } } } } }",
    "billing { owed { amount } profile { name taxId } invoices(first: 30) { totalCount nodes { id document { id }
        payments { reference } } } documents(first: 30) { totalCount nodes { id number purchase { id } } } }",
    "purchases(first: 30) { totalCount nodes { id requestedBy { id email } payments { id } reversals { id credits }
        lot { id } } }",
    "charges(first: 30) { totalCount nodes { id pool { id } department { id } actor { user { id email } }
        refunds { id slices { lot { id } } } slices { lot { id } } } }",
    "holds(first: 30) { totalCount nodes { id department { id } actor { user { email } } charges(first: 5) {
        nodes { id } } } }",
    "creditRequests(first: 30) { totalCount nodes { id pool { id } requestedBy { email } } }",
    "auditEvents(first: 50) { totalCount nodes { id subjectId actor { user { id email } } before after
        personal { name value } } }",
    "deliveries(first: 30) { totalCount nodes { id recipient state } }",
    "apiKeys(first: 30) { totalCount nodes { id name createdBy { id email } pools { id } departments { id } } }",
    "billing { autoTopUps { pool { id } purchase { id } paymentMethod { id consentedBy { id email } } setBy { id email } } }",
    "services(first: 30) { totalCount nodes { id } } packages(first: 30) { totalCount nodes { id } }",
    "prices { contractPrices(first: 30) { totalCount nodes { id } } quotes(first: 30) { totalCount
        nodes { id pool { id } requestedBy { id email } } } }",
    "approvalPolicy { id savedBy { id email } rules { name stages { name approvers { user { id email } } } } }
        approvalDelegations { id delegator { id email } delegate { id email } }",
    "approvalRequests(first: 30) { totalCount nodes { id purchase { id } pool { id } requestedBy { id email }
        policy { id } stages { eligible { id email } } decisions { by { id email } } rounds { round } } }",
    "pools(first: 10) { nodes { id approvalRequests(first: 10) { totalCount nodes { id } } } }",
    "balance { posted held available debt version }",
    "pools(first: 10) { totalCount nodes { id name balance { posted held available version }
        administrators(first: 10) { nodes { id } } allocations(first: 10) { totalCount nodes { id } } } }",
    "pools(first: 10) { nodes { id lots(first: 10) { totalCount nodes { id remaining uses(first: 20) {
        nodes { id } } } } transfers(first: 20) { totalCount nodes { id lot { id } actor { user { email } } } } } }",
    "pools(first: 10) { nodes { id charges(first: 10) { totalCount nodes { id } } holds(first: 10) { totalCount
        nodes { id } } caps(first: 10) { totalCount nodes { id department { id } used held } }
        creditRequests(first: 10) { totalCount nodes { id } } } }",
];

/// What is asked of the roots that take nothing.
const OF_ROOTS: &[&str] = &[
    "{ viewer { user { id email } memberships { id role organization { id slug } } sessions { id } } }",
    "{ organizations(first: 30) { totalCount nodes { id slug } } }",
];

/// The lists of an organization that nothing but the organization narrows.
const WHOLE_LISTS: &[&str] = &[
    "members",
    "invitations",
    "departments",
    "pools",
    "purchases",
    "charges",
    "holds",
    "creditRequests",
    "approvalRequests",
    "auditEvents",
    "deliveries",
    "apiKeys",
];

/// Two tenants in one database, and what each is answered by a server that keeps its filter.
struct Two {
    rival: Rival,
    demo: OrganizationId,
    pool: String,
    /// A key of the demonstration's.
    key: String,
    mine: Vec<Value>,
    theirs: Vec<Value>,
    /// Ids and addresses that are the rival's alone.
    foreign: BTreeSet<String>,
}

async fn what_stands_behind_the_filter(backend: Backend) {
    let (database, two) = two(backend).await;
    if backend == Backend::Sqlite {
        let database = foreign_rows_come(database, &two).await;
        assert_ways(&ways(&database, &database.addresses.application, &two).await, true);
        return;
    }
    let database = nothing_foreign_comes(database, &two).await;
    assert_ways(&ways(&database, &database.addresses.application, &two).await, false);
    // A superuser is bound by nothing: the same statements on the same rows.
    assert_ways(&ways(&database, &database.superuser, &two).await, true);
    let superuser = database.superuser.clone();
    let mut unbound = database;
    unbound.addresses.application = superuser;
    foreign_rows_come(unbound, &two).await;
}

async fn two(backend: Backend) -> (TestDatabase, Two) {
    let mut world = World::start_untimed(backend, Clock::system()).await;
    let rival = rival(&world).await;
    let me = furnished(&world).await;
    let demo = me.demo().await;
    let organizations = [(&me, "demo", &demo.organization), (&rival.owner, "rival", &rival.ids["org"])];
    for (owner, slug, id) in organizations {
        let input = json!({ "organizationId": id, "issuer": issuer(slug), "clientId": slug, "audience": slug,
            "domains": [format!("{slug}.test")] });
        let kind = "ConfigureSingleSignOnInput";
        owner.mutate("configureSingleSignOn", kind, input, "singleSignOn { issuer }").await;
    }
    let scopes = ["LEDGER_READ", "CHARGES_WRITE"];
    let key = keys::make(&world, &me, Some(&demo.organization), &scopes, json!({})).await.secret;
    every_list_is_asked_for(&me).await;
    let (mine, theirs) = (answers(&me, "demo").await, answers(&rival.owner, "rival").await);
    for answer in mine.iter().chain(&theirs) {
        assert!(answer.get("errors").is_none(), "{answer}");
    }
    let (shown, theirs_alone) = (names(&mine), rival.ids.values().cloned());
    let foreign: BTreeSet<String> = names(&theirs).into_iter().chain(theirs_alone).collect();
    let foreign: BTreeSet<String> = foreign.difference(&shown).cloned().collect();
    assert!(rival.ids.values().all(|id| foreign.contains(id)), "{:?} or {shown:?}", rival.ids);
    world.stop().await;
    let demo_id = global_id::decode(&demo.organization).unwrap();
    let two = Two { rival, demo: demo_id, pool: demo.pool, key, mine, theirs, foreign };
    (world.database, two)
}

fn issuer(slug: &str) -> String {
    format!("https://login.{slug}.example")
}

/// Every list that the schema has of a tenant's is in the documents above.
async fn every_list_is_asked_for(client: &Client) {
    let asked = OF_ORGANIZATION.join(" ") + &OF_ROOTS.join(" ");
    let query = "{ __schema { types { name fields { name type { name } } } } }";
    let schema = client.query(query, json!({})).await;
    for kind in schema["__schema"]["types"].as_array().unwrap() {
        for field in kind["fields"].as_array().into_iter().flatten() {
            let list = field["type"]["name"].as_str().is_some_and(|name| name.ends_with("Connection"));
            let name = field["name"].as_str().unwrap();
            // These are for the vendor's staff.
            let staff = kind["name"] == "Query"
                && ["deliveries", "operatorApiKeys", "parkedPayments", "quoteRequests"].contains(&name);
            assert!(
                !list || staff || asked.contains(&format!("{name}(")),
                "{}.{name} is not asked for",
                kind["name"]
            );
        }
    }
}

/// What somebody is answered when they ask for everything of an organization.
async fn answers(client: &Client, slug: &str) -> Vec<Value> {
    let mut answers = Vec::new();
    for document in OF_ROOTS {
        answers.push(said(client.raw(document, json!({})).await));
    }
    for fields in OF_ORGANIZATION {
        answers.push(said(organization(client, slug, fields).await));
    }
    answers
}

/// An answer without its cost: what a caller may still spend depends on the moment.
fn said(mut answer: Value) -> Value {
    if let Some(body) = answer.as_object_mut() {
        body.remove("extensions");
    }
    answer
}

async fn organization(client: &Client, slug: &str, fields: &str) -> Value {
    let query = format!("query O($by: OrganizationSelector!) {{ organization(by: $by) {{ {fields} }} }}");
    client.raw(&query, json!({ "by": { "slug": slug } })).await
}

/// The ids and addresses in some answers.
fn names(answers: &[Value]) -> BTreeSet<String> {
    let (mut names, mut rest) = (BTreeSet::new(), answers.iter().collect::<Vec<_>>());
    while let Some(value) = rest.pop() {
        match value {
            Value::Object(fields) => rest.extend(fields.values()),
            Value::Array(items) => rest.extend(items),
            Value::String(text) if text.contains('@') || global_id::prefix(text).is_some() => {
                names.insert(text.clone());
            }
            _ => {}
        }
    }
    names
}

/// Starts a server that leaves its filter out.
async fn start(database: TestDatabase, left_out: LeftOut) -> (World, Filter) {
    let filter = Filter::leaving_out(left_out);
    let options = Options { filter: filter.clone(), ..Options::default() };
    (World::start_untimed_on(database, Clock::system(), options).await, filter)
}

/// Where row-level security does not bind, leaving the filter out does show the other tenant's rows.
async fn foreign_rows_come(database: TestDatabase, two: &Two) -> TestDatabase {
    let (mut world, filter) = start(database, LeftOut::Organizations).await;
    let me = world.client("owner@demo.test").await;
    filter.take_seen();
    for list in WHOLE_LISTS {
        let answer = organization(&me, "demo", &format!("{list}(first: 100) {{ nodes {{ id }} }}")).await;
        let names = names(std::slice::from_ref(&answer));
        assert!(!names.is_disjoint(&two.foreign), "{list} has nothing of the rival's: {answer}");
    }
    let organizations = me.raw(OF_ROOTS[1], json!({})).await;
    assert!(organizations.to_string().contains("rival"), "{organizations}");
    assert!(filter.take_seen().contains_key(&two.rival.organization));
    world.stop().await;
    world.database
}

/// What the ordinary role is answered without the filter is what it is answered with it.
async fn nothing_foreign_comes(database: TestDatabase, two: &Two) -> TestDatabase {
    let (mut world, filter) = start(database, LeftOut::Everything).await;
    let me = world.client("owner@demo.test").await;
    let plain = Database::connect(&world.database.addresses).await.unwrap();
    let before = rows::of(&plain, two.rival.organization).await;
    filter.take_seen();

    assert_eq!(answers(&me, "demo").await, two.mine);
    look_ups(&me, two).await;
    let key = Client::new(&world.base, Some(two.key.clone()));
    by_key(&key, two).await;
    files(&me, two).await;
    uses(&me, two).await;
    let signed_in = sign_in(&world, "owner@demo.test").await;
    assert_eq!(
        signed_in.client.query("{ organizations { totalCount } }", json!({})).await,
        json!({ "organizations": { "totalCount": 1 } })
    );
    assert_own(&filter.take_seen(), two.demo);

    // The same rows are there for whom they belong to.
    let owner = world.client("owner@rival.test").await;
    assert_eq!(answers(&owner, "rival").await, two.theirs);
    let found = nodes(&owner, two).await;
    assert!(found.iter().all(|node| !node.is_null()), "{found:?}");
    assert_own(&filter.take_seen(), two.rival.organization);
    assert_eq!(
        before,
        rows::of(&plain, two.rival.organization).await,
        "something of the rival's has changed"
    );

    streams(&me, two).await;
    plain.close().await.unwrap();
    world.stop().await;
    world.database
}

/// All rows that have come are one organization's, or the vendor's about it.
fn assert_own(seen: &BTreeMap<OrganizationId, BTreeSet<String>>, own: OrganizationId) {
    for (organization, statements) in seen {
        let allowed = *organization == own || *organization == Tenant::vendor().id();
        assert!(allowed, "rows of {organization:?} came by {statements:#?}");
    }
    let statements = seen.get(&own).map_or(0, BTreeSet::len);
    assert!(statements > 20, "only {statements} statements were looked at");
}

/// The rival's things by their ids.
async fn nodes(client: &Client, two: &Two) -> Vec<Value> {
    let ids: Vec<&String> = two.rival.ids.values().collect();
    let query = "query N($ids: [ID!]!) { nodes(ids: $ids) { id } }";
    client.query(query, json!({ "ids": ids })).await["nodes"].as_array().unwrap().clone()
}

/// Nothing of the rival's is found by its id or name.
async fn look_ups(me: &Client, two: &Two) {
    let found = nodes(me, two).await;
    assert!(found.iter().all(Value::is_null), "{found:?}");
    for id in two.rival.ids.values() {
        let found = me.query("query N($id: ID!) { node(id: $id) { id } }", json!({ "id": id })).await;
        assert_eq!(found["node"], Value::Null, "{id}");
    }
    for by in [json!({ "slug": "rival" }), json!({ "id": two.rival.ids["org"] })] {
        let query = "query O($by: OrganizationSelector!) { organization(by: $by) { id } }";
        assert_eq!(me.query(query, json!({ "by": by })).await["organization"], Value::Null);
    }
    let query = "query P($id: ID!) { pool(id: $id) { id } }";
    assert_eq!(me.query(query, json!({ "id": two.rival.ids["pool"] })).await["pool"], Value::Null);
    let lines = json!([{ "service": "FURNITURE_REMOVAL" }]);
    for (query, quoted) in [
        (
            "query Q($i: QuoteChargeInput!) { quoteCharge(input: $i) { credits userErrors { code } } }",
            "quoteCharge",
        ),
        (
            "query Q($i: QuoteChargeInput!) { explainCharge(input: $i) { credits userErrors { code } } }",
            "explainCharge",
        ),
    ] {
        let input = json!({ "poolId": two.rival.ids["pool"], "lines": lines });
        let answer = me.query(query, json!({ "i": input })).await[quoted].clone();
        assert_eq!(answer, json!({ "credits": null, "userErrors": [{ "code": "NOT_FOUND" }] }));
        let answer = me.query(query, json!({ "i": { "poolId": two.pool, "lines": lines } })).await;
        assert_eq!(answer[quoted]["userErrors"], json!([]), "{answer}");
    }
}

/// A key of the demonstration's reads its pools and no others.
async fn by_key(key: &Client, two: &Two) {
    let query = "query P($id: ID!) { pool(id: $id) { id transfers(first: 20) { nodes { id } } } organizations { nodes { slug } } }";
    let own = key.query(query, json!({ "id": two.pool })).await;
    assert_eq!(
        (&own["pool"]["id"], &own["organizations"]["nodes"]),
        (&json!(two.pool), &json!([{ "slug": "demo" }]))
    );
    assert!(names(&[own]).is_disjoint(&two.foreign));
    let foreign = key.query(query, json!({ "id": two.rival.ids["pool"] })).await;
    assert_eq!(foreign["pool"], Value::Null);
}

/// Nor is anything of the rival's in a file.
async fn files(me: &Client, two: &Two) {
    for path in ["/export/audit?format=csv&", "/export/audit?format=jsonl&", "/export/organization?"] {
        let file = async |slug: &str| {
            let address = me.url(&format!("{path}organization={slug}"));
            let response = me.http().get(address).bearer_auth(me.token()).send().await.unwrap();
            let status = response.status().as_u16();
            (status, String::from_utf8_lossy(&response.bytes().await.unwrap()).into_owned())
        };
        let (status, text) = file("demo").await;
        assert!(status == 200 && text.contains("createApiKey"), "{path}: {status} {text}");
        let foreign = two.foreign.iter().find(|name| text.contains(name.as_str()));
        assert!(foreign.is_none() && !text.contains("rival"), "{path}: {foreign:?}");
        let (status, text) = file("rival").await;
        assert_eq!(status, 404, "{path}: {text}");
    }
}

/// Credits are used, held and refused as ever.
async fn uses(me: &Client, two: &Two) {
    let lines = json!([{ "service": "FURNITURE_REMOVAL" }]);
    let input = |pool: &str| json!({ "poolId": pool, "lines": lines, "idempotencyKey": "unfiltered" });
    for (mutation, kind) in [("chargeCredits", "ChargeCreditsInput"), ("holdCredits", "HoldCreditsInput")] {
        let done = me.mutate(mutation, kind, input(&two.pool), "replayed").await;
        assert_eq!(done["replayed"], false, "{done}");
        let refused = me.try_mutate(mutation, kind, input(&two.rival.ids["pool"]), "replayed").await;
        assert_eq!(refused["userErrors"][0]["code"], "NOT_FOUND", "{refused}");
    }
}

/// What is watched is one's own.
async fn streams(me: &Client, two: &Two) {
    let mut socket = me.socket().await;
    let organization = global_id::encode(two.demo);
    let watched = [
        ("pool", &two.pool, "poolBalance(poolId: $id) { pool { id } transfers { id } }"),
        (
            "org",
            &organization,
            "organizationBalance(organizationId: $id) { organization { id slug } pools { pool { id } } }",
        ),
    ];
    for (prefix, own, selection) in watched {
        let document = format!("subscription S($id: ID!) {{ {selection} }}");
        socket.subscribe(prefix, &document, json!({ "id": own })).await;
        let event = socket.message().await.unwrap();
        assert_eq!(event["type"], "next", "{event}");
        assert!(event.to_string().contains(own.as_str()), "{event}");
        assert!(names(&[event]).is_disjoint(&two.foreign));
        socket.send(json!({ "id": prefix, "type": "complete" })).await;
        socket.subscribe("foreign", &document, json!({ "id": two.rival.ids[prefix] })).await;
        let refused = socket.message().await.unwrap();
        assert_eq!((&refused["type"], &refused["id"]), (&json!("error"), &json!("foreign")), "{refused}");
    }
}
