//! The audit log as people read it: events and rows of the ledger in one list, with filters and pages that neither
//! lose nor repeat anything; and as a file, for who may read it.

use std::collections::BTreeSet;

use bursar::audit;
use bursar::db::Tenant;
use bursar::db::page::PageRequest;
use bursar::global_id;
use bursar_domain::id::OrganizationId;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::grant;
use crate::support::{Backend, Client, World, keys, uses};

on_both_databases!(
    one_list_with_stable_pages,
    filters_find_what_they_say,
    who_may_not_read_finds_nothing,
    files_have_what_the_list_has,
    files_are_for_who_may_read,
    pages_are_found_by_indexes,
);

/// What is asked of an entry.
pub const FIELDS: &str = "id action subjectId source position createdAt actor { kind user { id email } } before after personal { name }";

/// The entries of a page, with what it says of pages.
pub async fn page(client: &Client, arguments: &str) -> (Vec<Value>, Value) {
    let query = format!(
        "{{ organization(by: {{ slug: \"demo\" }}) {{ auditEvents({arguments}) {{ nodes {{ {FIELDS} }}
           pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }} }}"
    );
    let list = client.query(&query, json!({})).await["organization"]["auditEvents"].clone();
    (list["nodes"].as_array().unwrap().clone(), list["pageInfo"].clone())
}

/// What was done, entry by entry.
pub fn actions(nodes: &[Value]) -> Vec<&str> {
    nodes.iter().map(|node| node["action"].as_str().unwrap()).collect()
}

fn ids(nodes: &[Value]) -> Vec<&str> {
    nodes.iter().map(|node| node["id"].as_str().unwrap()).collect()
}

/// Something of everything, in a known order. Answers the client and the pool.
async fn busy(world: &World) -> (Client, String) {
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let pool = demo.pool.clone();
    owner.allocate(&pool, &demo.sales, 20, "log").await;
    let charged = owner.charge(uses::of(&pool, "log-1", 2)).await;
    let held = uses::hold(&owner, uses::of(&pool, "log-2", 3)).await;
    let input = json!({ "holdId": held["hold"]["id"], "idempotencyKey": "log-3" });
    uses::capture(&owner, input).await;
    let operator = world.client("operator@bursar.test").await;
    let input = json!({ "chargeId": charged["charge"]["id"], "idempotencyKey": "log-4" });
    operator.mutate("refundCharge", "RefundChargeInput", input, "refund { id }").await;
    grant(&operator, &pool, 5, json!({}), "log-5").await;
    let input = json!({ "organizationId": demo.organization, "name": "=HYPERLINK(\"mailto:x\")" });
    owner.mutate("updateOrganization", "UpdateOrganizationInput", input, "organization { id }").await;
    (owner, pool)
}

async fn one_list_with_stable_pages(backend: Backend) {
    let world = World::start(backend).await;
    let (owner, _) = busy(&world).await;
    let (newest, info) = page(&owner, "first: 7").await;
    let expected = [
        "updateOrganization",
        "grantCredits",
        "refundCharge",
        "captureHold",
        "holdCredits",
        "chargeCredits",
        "allocateCredits",
    ];
    assert_eq!(actions(&newest), expected);
    assert_eq!((&info["hasNextPage"], &info["hasPreviousPage"]), (&json!(true), &json!(false)));
    let (event, charge) = (&newest[0], &newest[5]);
    assert_eq!((&event["source"], &charge["source"]), (&json!("EVENT"), &json!("LEDGER")));
    assert!(event["position"].is_i64() && charge["position"].is_null());
    assert_eq!(charge["actor"]["user"]["email"], "owner@demo.test");
    assert_eq!(charge["before"], Value::Null);
    assert_eq!(charge["after"]["credits"], 2, "{charge}");
    assert_eq!(newest[2]["actor"]["user"], Value::Null, "the vendor's staff belongs to no organization");
    // Each is found by its id, whatever it is.
    for node in &newest {
        let query = format!("query N($id: ID!) {{ node(id: $id) {{ ... on AuditEvent {{ {FIELDS} }} }} }}");
        assert_eq!(&owner.query(&query, json!({ "id": node["id"] })).await["node"], node);
    }
    // Forwards and backwards in small pages it is the same list, and what is new in between shifts nothing.
    let (all, _) = page(&owner, "first: 100").await;
    assert_eq!(ids(&all).into_iter().collect::<BTreeSet<_>>().len(), all.len());
    let (mut forwards, mut arguments) = (Vec::new(), "first: 3".to_owned());
    loop {
        let (part, info) = page(&owner, &arguments).await;
        forwards.extend(part);
        if info["hasNextPage"] == false {
            break;
        }
        arguments = format!("first: 3, after: {}", info["endCursor"]);
        owner.charge(uses::of(&owner.demo().await.pool, &format!("between-{}", forwards.len()), 1)).await;
    }
    assert_eq!(forwards, all);
    let (mut backwards, mut arguments) = (Vec::new(), "last: 4".to_owned());
    loop {
        let (part, info) = page(&owner, &arguments).await;
        backwards.splice(0..0, part);
        if info["hasPreviousPage"] == false {
            break;
        }
        arguments = format!("last: 4, before: {}", info["startCursor"]);
    }
    assert_eq!(backwards[backwards.len() - all.len()..], all[..]);
    let body = owner
        .raw(
            "{ organization(by: { slug: \"demo\" }) { auditEvents(after: \"x\") { nodes { id } } } }",
            json!({}),
        )
        .await;
    assert_eq!(body["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{body}");
}

async fn filters_find_what_they_say(backend: Backend) {
    let world = World::start(backend).await;
    let (owner, pool) = busy(&world).await;
    let (all, _) = page(&owner, "first: 100").await;
    let filtered = |filter: String| {
        let owner = owner.clone();
        async move { page(&owner, &format!("first: 100, filter: {{ {filter} }}")).await.0 }
    };
    let expect = |keep: &dyn Fn(&Value) -> bool| -> Vec<Value> {
        all.iter().filter(|node| keep(node)).cloned().collect()
    };
    for action in actions(&all) {
        let found = filtered(format!("action: \"{action}\"")).await;
        assert_eq!(found, expect(&|node| node["action"] == action), "{action}");
    }
    for source in ["EVENT", "LEDGER"] {
        let found = filtered(format!("source: {source}")).await;
        assert_eq!(found, expect(&|node| node["source"] == source), "{source}");
    }
    let me = owner.query("{ viewer { user { id } } }", json!({})).await["viewer"]["user"]["id"].clone();
    let found = filtered(format!("actorId: {me}")).await;
    assert_eq!(found, expect(&|node| node["actor"]["user"]["id"] == me));
    assert!(found.len() > 5 && found.len() < all.len());
    // From an instant on, up to before another: each entry is in one of the two halves.
    let middle = all[all.len() / 2]["createdAt"].clone();
    let (newer, older) = (filtered(format!("from: {middle}")).await, filtered(format!("to: {middle}")).await);
    assert_eq!(newer.len() + older.len(), all.len());
    assert_eq!([newer, older].concat(), all);
    // What happened to a thing; of a pool what was booked in it, too; of a charge and a hold what came of them.
    let subject = |action: &str| {
        let of = |node: &&Value| node["action"] == action;
        all.iter().find(of).unwrap()["subjectId"].as_str().unwrap().to_owned()
    };
    let (charge, hold) = (subject("chargeCredits"), subject("holdCredits"));
    let found = filtered(format!("subjectId: \"{charge}\"")).await;
    assert_eq!(actions(&found), ["refundCharge", "chargeCredits"]);
    let found = filtered(format!("subjectId: \"{hold}\"")).await;
    assert_eq!(actions(&found), ["captureHold", "holdCredits"]);
    let of_pool = filtered(format!("subjectId: \"{pool}\"")).await;
    let named = actions(&of_pool).into_iter().collect::<BTreeSet<_>>();
    for action in
        ["createPool", "chargeCredits", "holdCredits", "grantCredits", "allocateCredits", "captureHold"]
    {
        assert!(named.contains(action), "{action}: {named:?}");
    }
    // All conditions have to hold.
    let both = filtered(format!("actorId: {me}, action: \"chargeCredits\", source: LEDGER")).await;
    assert_eq!(actions(&both), ["chargeCredits"]);
    assert_eq!(filtered("action: \"chargeCredits\", source: EVENT".to_owned()).await, [] as [Value; 0]);
    assert_eq!(filtered("action: \"nothing\"".to_owned()).await, [] as [Value; 0]);
    for bad in ["actorId: \"x\"".to_owned(), format!("action: \"{}\"", "x".repeat(201))] {
        let query = format!(
            "{{ organization(by: {{ slug: \"demo\" }}) {{ auditEvents(filter: {{ {bad} }}) {{ nodes {{ id }} }} }} }}"
        );
        let body = owner.raw(&query, json!({})).await;
        assert_eq!(body["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{body}");
    }
}

async fn who_may_not_read_finds_nothing(backend: Backend) {
    let world = World::start(backend).await;
    let (owner, _) = busy(&world).await;
    let (all, _) = page(&owner, "first: 100").await;
    let rival = world.found("rival").await;
    let member = world.client("member@demo.test").await;
    for client in [&rival, &member] {
        for id in ids(&all) {
            let node = client.query("query N($id: ID!) { node(id: $id) { id } }", json!({ "id": id })).await;
            assert_eq!(node["node"], Value::Null, "{id}");
        }
    }
    // The charge itself the member may see, or not: its entry in the log is another matter.
    let auditor = world.client("auditor@demo.test").await;
    assert_eq!(page(&auditor, "first: 100").await.0, all);
}

/// A file: status, type, text.
async fn file(client: &Client, query: &str) -> (u16, String, String) {
    let request =
        client.http().get(client.url(&format!("/export/audit?{query}"))).bearer_auth(client.token());
    let response = request.send().await.unwrap();
    let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
    (response.status().as_u16(), kind.unwrap_or_default(), response.text().await.unwrap())
}

async fn files_have_what_the_list_has(backend: Backend) {
    let world = World::start(backend).await;
    let (owner, pool) = busy(&world).await;
    let demo = owner.demo().await;
    // More than two pages of the file.
    for _ in 0..230 {
        world.grant(&demo.organization, &pool, 1).await;
    }
    let auditor = world.client("auditor@demo.test").await;
    let (status, kind, text) = file(&auditor, "organization=demo&format=jsonl").await;
    assert_eq!((status, kind.as_str()), (200, "application/jsonl; charset=utf-8"));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let counted = "SELECT (SELECT count(*) FROM audit_event) + (SELECT count(*) FROM charge)
        + (SELECT count(*) FROM journal_entry) + (SELECT count(*) FROM hold) AS n";
    // All but the record of the export itself.
    assert_eq!(i64::try_from(lines.len()).unwrap(), world.number(counted).await - 1);
    let names: Vec<&str> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert!(names.is_sorted_by(|one, other| one < other), "oldest first, each once");
    let (newest, _) = page(&owner, "first: 1, filter: { source: EVENT }").await;
    assert_eq!(newest[0]["action"], "exportAudit");
    assert_eq!(newest[0]["after"], json!({ "format": "jsonl", "filter": {} }));
    let added = lines.iter().find(|line| line["action"] == "addMember").unwrap();
    assert!(added["personal"]["email"].as_str().unwrap().ends_with("@demo.test"), "{added}");
    // A key that may not see who belongs to the organization is told of the same, and of no person.
    for (scopes, told) in [(vec!["AUDIT_READ"], false), (vec!["AUDIT_READ", "MEMBERS_READ"], true)] {
        let key = keys::make(&world, &owner, Some(&demo.organization), &scopes, json!({})).await.client;
        let (status, _, text) = file(&key, "organization=demo&format=jsonl&action=addMember").await;
        assert_eq!((status, text.contains("addMember"), text.contains("@demo.test")), (200, true, told));
        let (events, _) = page(&key, r#"first: 1, filter: { action: "addMember" }"#).await;
        assert_eq!(!events[0]["personal"].as_array().unwrap().is_empty(), told, "{events:?}");
    }

    let (status, kind, text) = file(&auditor, "organization=demo&action=updateOrganization").await;
    assert_eq!((status, kind.as_str()), (200, "text/csv; charset=utf-8; header=present"));
    let rows: Vec<&str> = text.split_terminator("\r\n").collect();
    assert_eq!(rows.len(), 2, "{text}");
    assert!(rows[0].starts_with("\"id\",\"createdAt\",\"source\",\"action\","), "{text}");
    assert!(rows[1].contains("HYPERLINK"), "{text}");
    let (_, _, text) =
        file(&auditor, "organization=demo&format=jsonl&source=LEDGER&action=chargeCredits").await;
    assert_eq!(text.lines().count(), 1, "{text}");
    let (status, _, text) = file(&auditor, "organization=demo&format=jsonl&action=nothing").await;
    assert_eq!((status, text.as_str()), (200, ""));
}

async fn files_are_for_who_may_read(backend: Backend) {
    let world = World::start(backend).await;
    let (owner, _) = busy(&world).await;
    let demo = owner.demo().await;
    let rival = world.found("rival").await;
    let (member, expired) = (world.client("member@demo.test").await, world.expired("owner@demo.test").await);
    for name in ["demo", demo.organization.as_str()] {
        let query = format!("organization={name}");
        assert_eq!(file(&member, &query).await.0, 403);
        assert_eq!(file(&expired, &query).await.0, 401);
        for client in ["owner", "admin", "auditor"] {
            let client = world.client(&format!("{client}@demo.test")).await;
            assert_eq!(file(&client, &query).await.0, 200);
        }
        // Absent and forbidden are answered alike.
        let (status, kind, text) = file(&rival, &query).await;
        let absent = match name.starts_with("org_") {
            true => "organization=org_00000000000000000000000000",
            false => "organization=nobody",
        };
        assert_eq!((status, kind, text), file(&rival, absent).await);
        assert_eq!(status, 404);
    }
    let nobody = owner.http().get(owner.url("/export/audit?organization=demo")).send().await.unwrap();
    assert_eq!(nobody.status().as_u16(), 401);
    assert_eq!(nobody.headers()["www-authenticate"], "Bearer");
    let post = owner.http().post(owner.url("/export/audit?organization=demo")).bearer_auth(owner.token());
    let post = post.send().await.unwrap();
    assert_eq!(post.status().as_u16(), 405);
    assert!(post.headers()["allow"].to_str().unwrap().contains("GET"));
    for refused in [nobody, post] {
        assert_eq!(refused.headers()["cache-control"], "no-store");
        assert_eq!(refused.headers()["x-content-type-options"], "nosniff");
    }
    for bad in [
        "",
        "organization=demo&format=xlsx",
        "organization=demo&from=yesterday",
        "organization=demo&actorId=x",
        "organization=demo&source=ALL",
        "organization=demo&acton=x",
        "organization=demo&action=a&action=b",
    ] {
        let (status, _, text) = file(&owner, bad).await;
        assert!(status == 400 && text.contains("BAD_USER_INPUT"), "{bad}: {status} {text}");
    }
}

/// No page sorts or walks through what it does not show: the plans of the queries, on PostgreSQL.
async fn pages_are_found_by_indexes(backend: Backend) {
    let world = World::start(backend).await;
    let (owner, pool) = busy(&world).await;
    let organization: OrganizationId = global_id::decode(&owner.demo().await.organization).unwrap();
    let tenant = Tenant::vouched(organization);
    // The same entries by each one condition, from the database as from memory.
    let snapshot = world.services().context.db.read(tenant).await.unwrap();
    let request = || PageRequest { after: None, before: None, limit: 100, from_end: false };
    let all = audit::page(&snapshot, tenant, &audit::Filter::default(), true, request()).await.unwrap();
    assert!(!all.has_next && all.rows.len() > 20);
    drop(snapshot);
    if backend != Backend::Postgres {
        return;
    }
    let uuid = uuid::Uuid::from(tenant);
    let pool: bursar_domain::id::PoolId = global_id::decode(&pool).unwrap();
    let pool = uuid::Uuid::from_u128(bursar_domain::id::Id::as_u128(pool));
    let own = format!("organization_id = '{uuid}'");
    for (table, condition, index) in [
        ("audit_event", "TRUE".to_owned(), "audit_event_pkey"),
        ("charge", "TRUE".to_owned(), "charge_pkey"),
        ("audit_event", format!("actor_id = '{pool}'"), "audit_event_actor"),
        ("charge", format!("actor_id = '{pool}'"), "charge_actor"),
        ("hold", format!("actor_id = '{pool}'"), "hold_actor"),
        ("journal_entry", format!("actor_id = '{pool}'"), "journal_entry_actor"),
        ("audit_event", "action = 'x'".to_owned(), "audit_event_action"),
        ("audit_event", "subject = 'x'".to_owned(), "audit_event_subject"),
        ("journal_entry", "kind = 3".to_owned(), "journal_entry_kind"),
        ("journal_entry", format!("pool_id = '{pool}'"), "journal_entry_pool"),
        ("charge", format!("pool_id = '{pool}'"), "charge_pool"),
        ("hold", format!("pool_id = '{pool}'"), "hold_pool"),
        ("journal_entry", format!("hold_id = '{pool}'"), "journal_entry_hold"),
    ] {
        let sql = format!(
            "EXPLAIN SELECT * FROM {table} WHERE {own} AND {condition}
             AND id < '{pool}' ORDER BY id DESC LIMIT 26"
        );
        let plan = explain(&world, &sql).await;
        assert!(plan.contains(index) && !plan.contains("Sort") && !plan.contains("Filter"), "{sql}: {plan}");
    }
}

/// The plan of a statement when nothing is known of the table, but that walking through all of it is dear.
async fn explain(world: &World, sql: &str) -> String {
    use sea_orm::{ConnectOptions, ConnectionTrait, Statement};
    let mut options = ConnectOptions::new(&world.database.superuser);
    options.max_connections(1).sqlx_logging(false);
    let connection = sea_orm::Database::connect(options).await.unwrap();
    connection.execute_unprepared("SET enable_seqscan = off; SET enable_bitmapscan = off").await.unwrap();
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let rows = connection.query_all_raw(statement).await.unwrap();
    let lines: Vec<String> = rows.iter().map(|row| row.try_get("", "QUERY PLAN").unwrap()).collect();
    connection.close().await.unwrap();
    lines.join("\n")
}
