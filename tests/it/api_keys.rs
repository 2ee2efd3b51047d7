//! API keys: what a scope gives and what it does not, restrictions, keys of the vendor's, and that nobody gives a
//! key more than they may do themselves. How keys come and go is in `key_lives`.

use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::keys::{ask, charge, code, make};
use crate::support::{Backend, Client, World};

on_both_databases!(
    scopes_give_what_they_say,
    a_key_is_kept_to_its_pools,
    a_key_is_kept_to_its_departments,
    keys_of_the_vendor_act_everywhere,
    nobody_gives_more_than_they_may,
    who_calls_and_who_did_it,
    a_test_key_acts_in_the_sandbox,
);

/// What a key sees of a field, as the code of the error that it gets; none: something.
async fn seen(client: &Client, query: &str, path: &[&str]) -> Option<String> {
    let body = client.raw(query, json!({})).await;
    let value = path.iter().fold(&body["data"], |value, name| &value[*name]);
    match value {
        Value::Null => Some(code(&body, "").unwrap_or_else(|| "NOTHING".to_owned())),
        _ => None,
    }
}

async fn scopes_give_what_they_say(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    owner.allocate(&demo.pool, &demo.sales, 20, "a").await;
    let organization = |field: &str| format!("{{ organization(by: {{ slug: \"demo\" }}) {{ {field} }} }}");
    let pool = |field: &str| format!("{{ pool(id: \"{}\") {{ {field} }} }}", demo.pool);
    let questions: [(&str, String, Vec<&str>); 9] = [
        ("organization", organization("name"), vec!["organization"]),
        ("pool", pool("balance { available }"), vec!["pool"]),
        ("ledger", pool("transfers { nodes { id } }"), vec!["pool", "transfers"]),
        ("charges", organization("charges { nodes { id } }"), vec!["organization", "charges"]),
        ("purchases", organization("purchases { nodes { id } }"), vec!["organization", "purchases"]),
        ("members", organization("members { nodes { id } }"), vec!["organization", "members"]),
        ("audit", organization("auditEvents { nodes { id } }"), vec!["organization", "auditEvents"]),
        ("keys", organization("apiKeys { nodes { id } }"), vec!["organization", "apiKeys"]),
        ("staff", "{ operatorApiKeys { totalCount } }".to_owned(), vec!["operatorApiKeys"]),
    ];
    for (scope, given) in [
        ("CHARGES_WRITE", vec!["organization", "pool", "charges", "charge"]),
        ("BALANCES_READ", vec!["organization", "pool"]),
        ("REPORTS_READ", vec!["organization", "pool", "charges", "purchases"]),
        ("PURCHASES_WRITE", vec!["organization", "pool", "purchases", "purchase"]),
        ("LEDGER_READ", vec!["organization", "pool", "ledger", "charges"]),
        ("ALLOCATIONS_WRITE", vec!["organization", "pool", "ledger", "charges", "allocate"]),
        ("MEMBERS_READ", vec!["organization", "pool", "members"]),
        ("AUDIT_READ", vec!["organization", "audit"]),
    ] {
        let key = make(&world, &owner, Some(&demo.organization), &[scope], json!({})).await;
        for (what, query, path) in &questions {
            let refused = seen(&key.client, query, path).await;
            assert_eq!(refused.is_none(), given.contains(what), "{scope} {what}: {refused:?}");
        }
        let charged = charge(&key.client, &demo.pool, Some(&demo.sales), scope).await;
        assert_eq!(charged.is_none(), given.contains(&"charge"), "{scope}: {charged:?}");
        let unallocated = charge(&key.client, &demo.pool, None, &format!("{scope} unallocated")).await;
        assert_eq!(unallocated.is_none(), given.contains(&"charge"), "{scope}: {unallocated:?}");
        let input =
            json!({ "poolId": demo.pool, "departmentId": demo.sales, "credits": 1, "idempotencyKey": scope });
        let made = key.client.try_mutate("allocateCredits", "AllocateCreditsInput", input, "").await;
        let allocated = made["userErrors"] == json!([]);
        assert_eq!(allocated, given.contains(&"allocate"), "{scope}: {made}");
        let input = json!({ "poolId": demo.pool, "package": "STARTER", "idempotencyKey": scope });
        let made = key.client.try_mutate("requestPurchase", "RequestPurchaseInput", input, "").await;
        let bought = made["userErrors"] == json!([]);
        assert_eq!(bought, given.contains(&"purchase"), "{scope}: {made}");
        // No key manages anything, whatever its scopes.
        let made = ask(&key.client, Some(&demo.organization), &[scope], json!({})).await;
        assert_eq!((&made["userErrors"][0]["code"], &made["secret"]), (&json!("FORBIDDEN"), &Value::Null));
        let input = json!({ "organizationId": demo.organization, "name": "Mine" });
        let made = key.client.try_mutate("createPool", "CreatePoolInput", input, "").await;
        assert_eq!(made["userErrors"][0]["code"], "FORBIDDEN", "{scope}: {made}");
    }
    // Another tenant's are not there, whatever the scopes.
    let rival = world.found("rival").await;
    let query = r#"{ organization(by: { slug: "rival" }) { id } }"#;
    let theirs = rival.query(query, json!({})).await["organization"]["id"].clone();
    let input = json!({ "organizationId": theirs, "name": "Theirs" });
    let pool =
        rival.mutate("createPool", "CreatePoolInput", input, "pool { id }").await["pool"]["id"].clone();
    let all = ["CHARGES_WRITE", "LEDGER_READ", "MEMBERS_READ", "AUDIT_READ", "ALLOCATIONS_WRITE"];
    let key = make(&world, &owner, Some(&demo.organization), &all, json!({})).await;
    assert_eq!(
        charge(&key.client, pool.as_str().unwrap(), None, "theirs").await.as_deref(),
        Some("NOT_FOUND")
    );
    assert_eq!(key.client.query(query, json!({})).await["organization"], Value::Null);
    let nodes = "query N($ids: [ID!]!) { nodes(ids: $ids) { id } }";
    let ids = json!([theirs, pool, demo.pool]);
    let found = key.client.query(nodes, json!({ "ids": ids })).await;
    assert_eq!(found["nodes"], json!([null, null, { "id": demo.pool }]));
    let data = key.client.query("{ organizations { nodes { slug } } }", json!({})).await;
    assert_eq!(data["organizations"]["nodes"], json!([{ "slug": "demo" }]));
}

async fn a_key_is_kept_to_its_pools(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let input = json!({ "organizationId": demo.organization, "name": "Other" });
    let other =
        owner.mutate("createPool", "CreatePoolInput", input, "pool { id }").await["pool"]["id"].clone();
    let other = other.as_str().unwrap();
    world.grant(&demo.organization, other, 100).await;
    for pool in [demo.pool.as_str(), other] {
        owner.allocate(pool, &demo.sales, 20, &format!("for sales {pool}")).await;
        assert_eq!(charge(&owner, pool, Some(&demo.sales), &format!("by owner {pool}")).await, None);
    }
    let scopes = ["CHARGES_WRITE", "LEDGER_READ", "REPORTS_READ"];
    let key =
        make(&world, &owner, Some(&demo.organization), &scopes, json!({ "poolIds": [demo.pool] })).await;
    assert_eq!(charge(&key.client, &demo.pool, None, "mine").await, None);
    assert_eq!(charge(&key.client, &demo.pool, Some(&demo.sales), "mine too").await, None);
    for department in [None, Some(demo.sales.as_str())] {
        let refused = charge(&key.client, other, department, "not mine").await;
        assert_eq!(refused.as_deref(), Some("NOT_FOUND"), "{department:?}");
    }
    let query = r#"{ organization(by: { slug: "demo" }) { balance { available } pools { nodes { id } }
        charges { nodes { pool { id } } } departments { nodes { code } } } }"#;
    let data = key.client.query(query, json!({})).await["organization"].clone();
    assert_eq!(data["pools"]["nodes"], json!([{ "id": demo.pool }]));
    assert_eq!(data["balance"]["available"], 97);
    let charges = data["charges"]["nodes"].as_array().unwrap();
    assert!(charges.len() == 3 && charges.iter().all(|node| node["pool"]["id"] == demo.pool), "{charges:?}");
    assert_eq!(data["departments"]["nodes"].as_array().unwrap().len(), 2);
    let query =
        "query D($id: ID!) { node(id: $id) { ... on Department { allocations { nodes { pool { id } } } } } }";
    let data = key.client.query(query, json!({ "id": demo.sales })).await;
    assert_eq!(data["node"]["allocations"]["nodes"], json!([{ "pool": { "id": demo.pool } }]));
    // What is in the other pool is not there by its id either.
    let query =
        "query C($id: ID!) { pool(id: $id) { charges { nodes { id } } allocations { nodes { id } } } }";
    let theirs = owner.query(query, json!({ "id": other })).await["pool"].clone();
    for list in ["charges", "allocations"] {
        let id = &theirs[list]["nodes"][0]["id"];
        let query = "query N($id: ID!) { node(id: $id) { id } }";
        assert_eq!(key.client.query(query, json!({ "id": id })).await["node"], Value::Null, "{list}");
        assert_eq!(owner.query(query, json!({ "id": id })).await["node"]["id"], *id);
    }
    // A stream shows it its pools alone.
    let mut socket = key.client.socket().await;
    let watch =
        "subscription W($id: ID!) { organizationBalance(organizationId: $id) { pools { pool { id } } } }";
    socket.subscribe("1", watch, json!({ "id": demo.organization })).await;
    let event = socket.next("organizationBalance").await;
    assert_eq!(event["pools"], json!([{ "pool": { "id": demo.pool } }]));
    // What is about the whole organization is not for it.
    for scope in ["MEMBERS_READ", "AUDIT_READ"] {
        let made = ask(&owner, Some(&demo.organization), &[scope], json!({ "poolIds": [demo.pool] })).await;
        assert_eq!(made["userErrors"][0]["code"], "INVALID", "{made}");
    }
}

async fn a_key_is_kept_to_its_departments(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    owner.allocate(&demo.pool, &demo.sales, 20, "s").await;
    owner.allocate(&demo.pool, &demo.marketing, 20, "m").await;
    assert_eq!(charge(&owner, &demo.pool, Some(&demo.marketing), "theirs").await, None);
    let scopes = ["CHARGES_WRITE", "LEDGER_READ"];
    let reach = json!({ "departmentIds": [demo.sales] });
    let key = make(&world, &owner, Some(&demo.organization), &scopes, reach).await;
    assert_eq!(charge(&key.client, &demo.pool, Some(&demo.sales), "mine").await, None);
    let refused = charge(&key.client, &demo.pool, Some(&demo.marketing), "not mine").await;
    assert_eq!(refused.as_deref(), Some("NOT_FOUND"));
    assert_eq!(charge(&key.client, &demo.pool, None, "nobody's").await.as_deref(), Some("FORBIDDEN"));
    let query = format!(
        "{{ pool(id: \"{}\") {{ allocations {{ nodes {{ department {{ code }} }} }} charges {{ totalCount }} }} }}",
        demo.pool
    );
    let data = key.client.query(&query, json!({})).await["pool"].clone();
    assert_eq!(data["allocations"]["nodes"], json!([{ "department": { "code": "SALES" } }]));
    assert_eq!(data["charges"]["totalCount"], 1);
    let query = format!("{{ pool(id: \"{}\") {{ transfers {{ totalCount }} }} }}", demo.pool);
    assert_eq!(seen(&key.client, &query, &["pool", "transfers"]).await.as_deref(), Some("FORBIDDEN"));
    // A department of its own in a pool that it is kept from.
    let input = json!({ "organizationId": demo.organization, "name": "Other" });
    let other =
        owner.mutate("createPool", "CreatePoolInput", input, "pool { id }").await["pool"]["id"].clone();
    let reach = json!({ "departmentIds": [demo.sales], "poolIds": [other] });
    let both = make(&world, &owner, Some(&demo.organization), &scopes, reach).await;
    let refused = charge(&both.client, &demo.pool, Some(&demo.sales), "elsewhere").await;
    assert_eq!(refused.as_deref(), Some("NOT_FOUND"));
    let query = r#"{ organization(by: { slug: "demo" }) { pools { nodes { id } } charges { totalCount } } }"#;
    let data = both.client.query(query, json!({})).await["organization"].clone();
    assert_eq!(data, json!({ "pools": { "nodes": [] }, "charges": { "totalCount": 0 } }));
    let held = json!({ "poolId": demo.pool, "departmentId": demo.sales,
        "lines": [{ "service": "FURNITURE_REMOVAL" }], "idempotencyKey": "held" });
    let held =
        owner.mutate("holdCredits", "HoldCreditsInput", held, "hold { id }").await["hold"]["id"].clone();
    let void = json!({ "holdId": held, "idempotencyKey": "void" });
    let refused = both.client.try_mutate("voidHold", "VoidHoldInput", void.clone(), "").await;
    assert_eq!(refused["userErrors"][0]["code"], "NOT_FOUND", "{refused}");
    key.client.mutate("voidHold", "VoidHoldInput", void, "hold { id }").await;
}

async fn keys_of_the_vendor_act_everywhere(backend: Backend) {
    let world = World::start(backend).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    let rival = world.found("rival").await;
    let query = r#"{ organization(by: { slug: "rival" }) { id } }"#;
    let theirs = rival.query(query, json!({})).await["organization"]["id"].as_str().unwrap().to_owned();
    let input = json!({ "organizationId": theirs, "name": "Theirs" });
    let pool =
        rival.mutate("createPool", "CreatePoolInput", input, "pool { id }").await["pool"]["id"].clone();
    let pool = pool.as_str().unwrap();
    world.grant(&theirs, pool, 10).await;
    let key = make(&world, &operator, None, &["CHARGES_WRITE"], json!({})).await;
    assert_eq!(charge(&key.client, &demo.pool, None, "here").await, None);
    assert_eq!(charge(&key.client, pool, None, "there").await, None);
    assert_eq!((owner.balance(&demo.pool).await.0, rival.balance(pool).await.0), (99, 9));
    // Who works with it is the vendor's affair: nobody else can make one, see it or end it.
    for client in [&owner, &key.client] {
        let made = ask(client, None, &["CHARGES_WRITE"], json!({})).await;
        assert_eq!(made["userErrors"][0]["code"], "FORBIDDEN", "{made}");
    }
    let input = json!({ "keyId": key.id });
    let refused = owner.try_mutate("revokeApiKey", "RevokeApiKeyInput", input.clone(), "").await;
    assert_eq!(refused["userErrors"][0]["code"], "NOT_FOUND", "{refused}");
    let listed = operator.query("{ operatorApiKeys { nodes { id organization { id } } } }", json!({})).await;
    assert_eq!(listed["operatorApiKeys"]["nodes"], json!([{ "id": key.id, "organization": null }]));
    // It does no more than the vendor's staff, and ends at once everywhere.
    for scope in ["PURCHASES_WRITE", "ALLOCATIONS_WRITE"] {
        let made = ask(&operator, None, &[scope], json!({})).await;
        assert_eq!(made["userErrors"][0]["code"], "FORBIDDEN", "{scope}: {made}");
    }
    operator.mutate("revokeApiKey", "RevokeApiKeyInput", input, "apiKey { id }").await;
    for pool in [demo.pool.as_str(), pool] {
        let refused = charge(&key.client, pool, None, &format!("after {pool}")).await;
        assert_eq!(refused.as_deref(), Some("UNAUTHENTICATED"));
    }
}

async fn nobody_gives_more_than_they_may(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let organization = Some(demo.organization.as_str());
    // The vendor's staff neither buys nor allocates for its customers, and cannot by a key of theirs.
    let operator = world.client("operator@bursar.test").await;
    for (scope, given) in [("CHARGES_WRITE", true), ("PURCHASES_WRITE", false), ("ALLOCATIONS_WRITE", false)]
    {
        let made = ask(&operator, organization, &[scope], json!({})).await;
        let outcome = made["userErrors"][0]["code"].as_str();
        assert_eq!(outcome, if given { None } else { Some("FORBIDDEN") }, "{scope}: {made}");
    }
    let key = make(&world, &owner, organization, &["PURCHASES_WRITE"], json!({})).await;
    let input = json!({ "keyId": key.id });
    let refused = operator.try_mutate("rotateApiKey", "RotateApiKeyInput", input.clone(), "secret").await;
    assert_eq!((&refused["userErrors"][0]["code"], &refused["secret"]), (&json!("FORBIDDEN"), &Value::Null));
    // They may end it: a key that has leaked cannot wait.
    operator.mutate("revokeApiKey", "RevokeApiKeyInput", input, "apiKey { id }").await;
    // An administrator has all that a key can be given; others give nothing.
    let admin = world.client("admin@demo.test").await;
    let all = [
        "CHARGES_WRITE",
        "BALANCES_READ",
        "REPORTS_READ",
        "PURCHASES_WRITE",
        "LEDGER_READ",
        "ALLOCATIONS_WRITE",
        "MEMBERS_READ",
        "AUDIT_READ",
    ];
    make(&world, &admin, organization, &all, json!({})).await;
    for other in ["auditor", "manager", "member"] {
        let client = world.client(&format!("{other}@demo.test")).await;
        let made = ask(&client, organization, &["BALANCES_READ"], json!({})).await;
        assert_eq!(made["userErrors"][0]["code"], "FORBIDDEN", "{other}: {made}");
    }
    for (more, field) in [
        (json!({ "scopes": [] }), "scopes"),
        (json!({ "scopes": vec!["BALANCES_READ"; 9] }), "scopes"),
        (json!({ "name": " " }), "name"),
        (json!({ "expiresAt": "2020-01-01T00:00:00Z" }), "expiresAt"),
        (json!({ "poolIds": [] }), "poolIds"),
        (json!({ "mode": "TEST", "poolIds": [demo.pool] }), "poolIds"),
    ] {
        let made = ask(&owner, organization, &["BALANCES_READ"], more).await;
        let error = &made["userErrors"][0];
        assert_eq!((&error["code"], &error["field"]), (&json!("INVALID"), &json!([field])), "{made}");
    }
}

async fn who_calls_and_who_did_it(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let key = make(&world, &owner, Some(&demo.organization), &["CHARGES_WRITE"], json!({})).await;
    let viewer = "{ viewer { user { email } operator memberships { id } tokenExpiresAt
        apiKey { id name scopes organization { slug } createdBy { email } } } }";
    let data = key.client.query(viewer, json!({})).await;
    // A key without `members:read` is told of nobody.
    let own = json!({ "id": key.id, "name": "A key", "scopes": ["CHARGES_WRITE"],
        "organization": { "slug": "demo" }, "createdBy": null });
    let expected =
        json!({ "user": null, "operator": false, "memberships": [], "tokenExpiresAt": null, "apiKey": own });
    assert_eq!(data["viewer"], expected);
    let data = owner.query(viewer, json!({})).await;
    assert_eq!(
        (&data["viewer"]["apiKey"], &data["viewer"]["user"]["email"]),
        (&Value::Null, &json!("owner@demo.test"))
    );
    assert_eq!(charge(&key.client, &demo.pool, None, "by key").await, None);
    let actor = r#"{ organization(by: { slug: "demo" }) { charges { nodes { actor { kind user { id } apiKey { id hint } } } }
        auditEvents(filter: { source: EVENT }) { nodes { action subjectId actor { kind user { email } } } } } }"#;
    let data = owner.query(actor, json!({})).await["organization"].clone();
    let hint = &key.secret[key.secret.len() - 4..];
    let by_key = json!({ "kind": "API_KEY", "user": null, "apiKey": { "id": key.id, "hint": hint } });
    assert_eq!(data["charges"]["nodes"][0]["actor"], by_key);
    let made = &data["auditEvents"]["nodes"][0];
    let by_owner = json!({ "kind": "USER", "user": { "email": "owner@demo.test" } });
    assert_eq!(*made, json!({ "action": "createApiKey", "subjectId": key.id, "actor": by_owner }));
    // A purchase by a key is in the name of whoever has made the key.
    let buyer = make(&world, &owner, Some(&demo.organization), &["PURCHASES_WRITE"], json!({})).await;
    let input = json!({ "poolId": demo.pool, "package": "STARTER", "idempotencyKey": "by key" });
    let bought =
        buyer.client.mutate("requestPurchase", "RequestPurchaseInput", input, "purchase { id }").await;
    let query = "query P($id: ID!) { node(id: $id) { ... on Purchase { requestedBy { email } } } }";
    let data = owner.query(query, json!({ "id": bought["purchase"]["id"] })).await;
    assert_eq!(data["node"]["requestedBy"]["email"], "owner@demo.test");
}

async fn a_test_key_acts_in_the_sandbox(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let scopes = ["CHARGES_WRITE", "LEDGER_READ"];
    let key = make(&world, &owner, Some(&demo.organization), &scopes, json!({ "mode": "TEST" })).await;
    assert!(key.secret.starts_with("bursar_test_"));
    let query = "{ organizations { nodes { slug balance { available } pools { nodes { id } } } } }";
    let data = key.client.query(query, json!({})).await["organizations"]["nodes"].clone();
    assert_eq!(data.as_array().unwrap().len(), 1);
    assert_eq!((&data[0]["slug"], &data[0]["balance"]["available"]), (&json!("demo-sandbox"), &json!(1_000)));
    let pool = data[0]["pools"]["nodes"][0]["id"].as_str().unwrap();
    assert_eq!(charge(&key.client, pool, None, "test").await, None);
    // Neither sees the other's.
    let refused = charge(&key.client, &demo.pool, None, "real").await;
    assert_eq!(refused.as_deref(), Some("NOT_FOUND"));
    let live = make(&world, &owner, Some(&demo.organization), &scopes, json!({})).await;
    assert_eq!(charge(&live.client, pool, None, "test").await.as_deref(), Some("NOT_FOUND"));
    assert_eq!(owner.balance(&demo.pool).await.0, 100);
    // There is one sandbox, however many keys.
    make(&world, &owner, Some(&demo.organization), &scopes, json!({ "mode": "TEST" })).await;
    let sandboxes = "SELECT count(*) AS n FROM organization WHERE sandbox_of IS NOT NULL";
    assert_eq!(world.number(sandboxes).await, 1);
    // A revoked one ends there at once, though its row is the organization's.
    let input = json!({ "keyId": key.id });
    owner.mutate("revokeApiKey", "RevokeApiKeyInput", input, "apiKey { id }").await;
    assert_eq!(charge(&key.client, pool, None, "after").await.as_deref(), Some("UNAUTHENTICATED"));
}
