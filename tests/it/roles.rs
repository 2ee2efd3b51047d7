//! What people see of departments and pools in sums, lists and streams. Who may do what at all, by every field of the
//! schema, is in `matrix`.

use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::{Backend, World};

on_both_databases!(departments_are_shown_apart, administrators_of_other_pools);

const CALLERS: [&str; 6] = ["owner", "admin", "manager", "member", "auditor", "operator"];

fn address(caller: &str) -> String {
    let domain = if caller == "operator" { "bursar.test" } else { "demo.test" };
    format!("{caller}@{domain}")
}

/// What lists, sums and streams show of departments.
async fn departments_are_shown_apart(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    owner.allocate(&demo.pool, &demo.sales, 40, "a").await;
    owner.allocate(&demo.pool, &demo.marketing, 10, "b").await;
    for (department, key) in [(Some(&demo.sales), "s"), (Some(&demo.marketing), "m"), (None, "u")] {
        let lines = json!([{ "service": "FURNITURE_REMOVAL" }]);
        let input =
            json!({ "poolId": demo.pool, "departmentId": department, "lines": lines, "idempotencyKey": key });
        assert_eq!(owner.charge(input).await["userErrors"], json!([]));
    }
    let everything = ["owner", "admin", "auditor", "operator"];
    // Lists show what each may see.
    let query = format!(
        "{{ organization(by: {{ slug: \"demo\" }}) {{ balance {{ available }} pools {{ totalCount }}
           departments {{ nodes {{ code }} }} charges {{ totalCount }} }}
           pool(id: \"{}\") {{ allocations {{ totalCount }} charges {{ totalCount }} }} }}",
        demo.pool
    );
    for caller in CALLERS {
        let data = world.client(&address(caller)).await.query(&query, json!({})).await;
        let all = everything.contains(&caller);
        let (departments, charges) = if all { (2, 3) } else { (1, 1) };
        assert_eq!(
            data["organization"]["departments"]["nodes"].as_array().unwrap().len(),
            departments,
            "{caller}"
        );
        assert_eq!(data["organization"]["charges"]["totalCount"], charges, "{caller}");
        assert_eq!(data["organization"]["balance"]["available"], 97, "{caller}");
        assert_eq!(data["pool"]["allocations"]["totalCount"], departments, "{caller}");
        assert_eq!(data["pool"]["charges"]["totalCount"], charges, "{caller}");
    }
    // Who is in Sales neither sees nor charges Marketing, by whatever id.
    let member = world.client("member@demo.test").await;
    let lines = json!([{ "service": "FURNITURE_REMOVAL" }]);
    for (department, code) in [(Some(&demo.marketing), "NOT_FOUND"), (None, "FORBIDDEN")] {
        let input =
            json!({ "poolId": demo.pool, "departmentId": department, "lines": lines, "idempotencyKey": "x" });
        assert_eq!(member.charge(input).await["userErrors"][0]["code"], code);
    }
    let data =
        member.query("query N($id: ID!) { node(id: $id) { id } }", json!({ "id": demo.marketing })).await;
    assert_eq!(data["node"], Value::Null);
    // The watcher of a department sees that department only, and no movements.
    let mut socket = member.socket().await;
    let watch = "subscription W($id: ID!) { poolBalance(poolId: $id, after: 0) { departments { department { code } } transfers { version } } }";
    socket.subscribe("1", watch, json!({ "id": demo.pool })).await;
    let event = socket.next("poolBalance").await;
    assert_eq!(event, json!({ "departments": [{ "department": { "code": "SALES" } }], "transfers": [] }));
}

/// Who administers one pool has no more in another one than before.
async fn administrators_of_other_pools(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    owner.allocate(&demo.pool, &demo.sales, 20, "s").await;
    owner.allocate(&demo.pool, &demo.marketing, 20, "m").await;
    let input = json!({ "organizationId": demo.organization, "name": "Other" });
    let other =
        owner.mutate("createPool", "CreatePoolInput", input, "pool { id }").await["pool"]["id"].clone();
    let member = world.client("member@demo.test").await;
    let id =
        member.query("{ viewer { memberships { id } } }", json!({})).await["viewer"]["memberships"][0]["id"]
            .clone();
    let input = json!({ "poolId": other, "memberId": id });
    owner.mutate("addPoolAdministrator", "AddPoolAdministratorInput", input, "pool { id }").await;
    let lines = json!([{ "service": "FURNITURE_REMOVAL" }]);
    let charge = |department: Option<&str>, key: &str| json!({ "poolId": demo.pool, "departmentId": department, "lines": lines, "idempotencyKey": key });
    for department in [Some(demo.marketing.as_str()), None] {
        let refused = member.charge(charge(department, "x")).await;
        assert_eq!(refused["userErrors"][0]["code"], "FORBIDDEN", "{refused}");
        let quote =
            "query Q($i: QuoteChargeInput!) { quoteCharge(input: $i) { available userErrors { code } } }";
        let input = json!({ "poolId": demo.pool, "departmentId": department, "lines": lines });
        let quote = member.query(quote, json!({ "i": input })).await["quoteCharge"].clone();
        assert_eq!(quote, json!({ "available": null, "userErrors": [{ "code": "FORBIDDEN" }] }));
    }
    assert_eq!(member.charge(charge(Some(&demo.sales), "own")).await["userErrors"], json!([]));
    // The department can be seen, to allocate to it; what it has elsewhere cannot.
    let query =
        "query N($id: ID!) { node(id: $id) { ... on Department { code allocations { totalCount } } } }";
    let seen = member.query(query, json!({ "id": demo.marketing })).await["node"].clone();
    assert_eq!(seen, json!({ "code": "MARKETING", "allocations": { "totalCount": 0 } }));
    // Nobody gives themselves a grant, which would outlast the role that it was given by.
    let admin = world.client("admin@demo.test").await;
    let own = admin.query("{ viewer { memberships { id } } }", json!({})).await;
    let own = &own["viewer"]["memberships"][0]["id"];
    let place = |manager: bool| json!({ "departmentId": demo.sales, "memberId": own, "manager": manager });
    for (mutation, kind, input) in [
        ("addPoolAdministrator", "AddPoolAdministratorInput", json!({ "poolId": other, "memberId": own })),
        ("addDepartmentMember", "AddDepartmentMemberInput", place(false)),
        ("addDepartmentMember", "AddDepartmentMemberInput", place(true)),
    ] {
        let refused = admin.try_mutate(mutation, kind, input, "").await;
        assert_eq!(refused["userErrors"][0]["code"], "FORBIDDEN", "{mutation}: {refused}");
    }
}
