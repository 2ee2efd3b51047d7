//! Organizations, members, departments, pools and their administrators: created, changed, listed, and
//! each change in the audit log.

use serde_json::{Value, json};

use crate::on_both_databases;
use bursar::app::App;
use bursar::clock::Clock;
use bursar::seed::Seeded;

use crate::support::acts::refusal;
use crate::support::world::config;
use crate::support::{Backend, Client, TestDatabase, World};

on_both_databases!(
    a_tenant_is_set_up,
    roles_are_guarded,
    grants_and_removals_race,
    seeding_is_finished,
    lists_have_pages
);

async fn newest_event(client: &Client, slug: &str) -> Value {
    let query = format!(
        "{{ organization(by: {{ slug: \"{slug}\" }}) {{ auditEvents(first: 1, filter: {{ source: EVENT }}) {{ nodes {{ action subjectId requestId before after actor {{ kind user {{ email }} }} }} }} }} }}"
    );
    client.query(&query, json!({})).await["organization"]["auditEvents"]["nodes"][0].clone()
}

async fn a_tenant_is_set_up(backend: Backend) {
    let world = World::start(backend).await;
    let operator = world.client("operator@bursar.test").await;
    let input = json!({ "slug": "acme", "name": " Acme ", "timeZone": "Europe/Berlin", "currency": "USD", "ownerEmail": "Boss@Acme.test", "ownerName": "Boss" });
    let fields = "organization { id slug name timeZone currency state paymentTerms }";
    let made =
        operator.mutate("createOrganization", "CreateOrganizationInput", input, fields).await["organization"]
            .clone();
    let id = made["id"].clone();
    assert_eq!(
        made,
        json!({ "id": id, "slug": "acme", "name": "Acme", "timeZone": "Europe/Berlin", "currency": "USD", "state": "ACTIVE", "paymentTerms": "PREPAID" })
    );
    let boss = world.client("boss@acme.test").await;
    let viewer = boss.query("{ viewer { operator user { name } memberships { role organization { slug viewerPermissions } } } }", json!({})).await["viewer"].clone();
    assert_eq!(
        (&viewer["operator"], &viewer["user"]["name"], &viewer["memberships"][0]["role"]),
        (&json!(false), &json!("Boss"), &json!("OWNER"))
    );
    assert!(
        viewer["memberships"][0]["organization"]["viewerPermissions"].to_string().contains("ManageOwners")
    );
    // Who is the operator sees all organizations; others see theirs.
    let all = operator.query("{ organizations { totalCount nodes { slug } } }", json!({})).await;
    assert_eq!(
        all["organizations"],
        json!({ "totalCount": 2, "nodes": [{ "slug": "demo" }, { "slug": "acme" }] })
    );

    let input = json!({ "organizationId": id, "name": "Acme Homes" });
    let changed = boss
        .mutate("updateOrganization", "UpdateOrganizationInput", input, "organization { name timeZone }")
        .await;
    assert_eq!(changed["organization"], json!({ "name": "Acme Homes", "timeZone": "Europe/Berlin" }));
    let event = newest_event(&boss, "acme").await;
    assert_eq!((&event["action"], &event["subjectId"]), (&json!("updateOrganization"), &id));
    assert_eq!((&event["before"]["name"], &event["after"]["name"]), (&json!("Acme"), &json!("Acme Homes")));
    assert_eq!(event["actor"], json!({ "kind": "USER", "user": { "email": "boss@acme.test" } }));
    assert_eq!(event["requestId"].as_str().unwrap().len(), 36);

    let input =
        json!({ "organizationId": id, "email": "worker@acme.test", "name": "Worker", "role": "MEMBER" });
    let worker = operator
        .mutate("addMember", "AddMemberInput", input, "member { id role user { email name } }")
        .await["member"]
        .clone();
    assert_eq!(worker["user"], json!({ "email": "worker@acme.test", "name": "Worker" }));
    let event = newest_event(&boss, "acme").await;
    assert_eq!(
        (&event["action"], &event["subjectId"], &event["before"]),
        (&json!("addMember"), &worker["id"], &Value::Null)
    );
    assert!(!event.to_string().contains("worker@"), "the log must not hold addresses: {event}");

    let input = json!({ "organizationId": id, "code": "SALES", "name": "Sales", "costCenter": "4711" });
    let department = boss
        .mutate("createDepartment", "CreateDepartmentInput", input, "department { id costCenter }")
        .await["department"]
        .clone();
    assert_eq!(newest_event(&boss, "acme").await["action"], "createDepartment");
    // Left out and null are not the same.
    let update = |input: Value| {
        let boss = boss.clone();
        async move {
            boss.mutate(
                "updateDepartment",
                "UpdateDepartmentInput",
                input,
                "department { code name costCenter }",
            )
            .await["department"]
                .clone()
        }
    };
    let changed = update(json!({ "departmentId": department["id"], "name": "Sales North" })).await;
    assert_eq!(changed, json!({ "code": "SALES", "name": "Sales North", "costCenter": "4711" }));
    let changed = update(json!({ "departmentId": department["id"], "costCenter": null })).await;
    assert_eq!(changed, json!({ "code": "SALES", "name": "Sales North", "costCenter": null }));
    let input = json!({ "departmentId": department["id"], "memberId": worker["id"], "manager": true });
    let fields = "department { members { nodes { manager member { user { email } } } } }";
    let members = boss.mutate("addDepartmentMember", "AddDepartmentMemberInput", input, fields).await;
    assert_eq!(
        members["department"]["members"]["nodes"],
        json!([{ "manager": true, "member": { "user": { "email": "worker@acme.test" } } }])
    );
    assert_eq!(newest_event(&boss, "acme").await["action"], "addDepartmentMember");

    let input = json!({ "organizationId": id, "name": "Main" });
    let pool = boss
        .mutate("createPool", "CreatePoolInput", input, "pool { id balance { available version } }")
        .await["pool"]
        .clone();
    assert_eq!(pool["balance"], json!({ "available": 0, "version": 0 }));
    let worker_client = world.client("worker@acme.test").await;
    let seen = "query P($id: ID!) { pool(id: $id) { id transfers { totalCount } } }";
    assert_eq!(worker_client.query(seen, json!({ "id": pool["id"] })).await["pool"], Value::Null);
    let input = json!({ "poolId": pool["id"], "memberId": worker["id"] });
    let fields = "pool { administrators { nodes { user { email } } } }";
    let named = boss.mutate("addPoolAdministrator", "AddPoolAdministratorInput", input.clone(), fields).await;
    assert_eq!(
        named["pool"]["administrators"]["nodes"],
        json!([{ "user": { "email": "worker@acme.test" } }])
    );
    assert_eq!(newest_event(&boss, "acme").await["action"], "addPoolAdministrator");
    assert_eq!(
        worker_client.query(seen, json!({ "id": pool["id"] })).await["pool"]["transfers"]["totalCount"],
        0
    );
    // An administrator buys and allocates.
    let (_, url) = worker_client.checkout(pool["id"].as_str().unwrap(), "k").await;
    worker_client.submit(&format!("{url}/pay")).await;
    worker_client.allocate(pool["id"].as_str().unwrap(), department["id"].as_str().unwrap(), 10, "k").await;
    let place = "{ viewer { memberships { departments { manager department { code } } administeredPools { name } } } }";
    let place = worker_client.query(place, json!({})).await;
    assert_eq!(
        place["viewer"]["memberships"][0],
        json!({ "departments": [{ "manager": true, "department": { "code": "SALES" } }], "administeredPools": [{ "name": "Main" }] })
    );
    boss.mutate("removePoolAdministrator", "RemovePoolAdministratorInput", input.clone(), "pool { id }")
        .await;
    let again = boss.try_mutate("removePoolAdministrator", "RemovePoolAdministratorInput", input, "").await;
    assert_eq!(again["userErrors"][0]["field"], json!(["memberId"]));
    let input = json!({ "poolId": pool["id"] });
    let refused = boss.try_mutate("archivePool", "ArchivePoolInput", input, "").await;
    assert_eq!(refused["userErrors"][0]["code"], "NOT_EMPTY");
    let input = json!({ "organizationId": id, "name": "Empty" });
    let empty =
        boss.mutate("createPool", "CreatePoolInput", input, "pool { id }").await["pool"]["id"].clone();
    let archived = boss
        .mutate("archivePool", "ArchivePoolInput", json!({ "poolId": empty }), "pool { archivedAt }")
        .await;
    assert!(archived["pool"]["archivedAt"].is_string());
    let input = json!({ "poolId": empty, "package": "STARTER", "idempotencyKey": "e" });
    let refused = boss.try_mutate("requestPurchase", "RequestPurchaseInput", input, "").await;
    assert_eq!(refused["userErrors"][0]["code"], "INVALID_STATE");
    // Removing the member removes the grants.
    boss.mutate("removeMember", "RemoveMemberInput", json!({ "memberId": worker["id"] }), "removedMemberId")
        .await;
    let gone = worker_client
        .query("{ viewer { memberships { role } } organizations { totalCount } }", json!({}))
        .await;
    assert_eq!(gone, json!({ "viewer": { "memberships": [] }, "organizations": { "totalCount": 0 } }));
}

async fn roles_are_guarded(backend: Backend) {
    let world = World::start(backend).await;
    let (owner, admin) = (world.client("owner@demo.test").await, world.client("admin@demo.test").await);
    let demo = owner.demo().await;
    let query = r#"{ organization(by: { slug: "demo" }) { members { nodes { id user { email } } } } }"#;
    let members = owner.query(query, json!({})).await;
    let id = |email: &str| {
        let nodes = members["organization"]["members"]["nodes"].as_array().unwrap();
        nodes.iter().find(|node| node["user"]["email"] == email).unwrap()["id"].clone()
    };
    let role = |client: &Client, email: &str, role: &str| {
        let (client, input) = (client.clone(), json!({ "memberId": id(email), "role": role }));
        async move {
            client.try_mutate("updateMemberRole", "UpdateMemberRoleInput", input, "member { role }").await
        }
    };
    for (client, email, to) in [
        (&admin, "admin@demo.test", "OWNER"),
        (&admin, "member@demo.test", "OWNER"),
        (&admin, "owner@demo.test", "MEMBER"),
    ] {
        assert_eq!(role(client, email, to).await["userErrors"][0]["code"], "FORBIDDEN", "{email} to {to}");
    }
    let removed = admin
        .try_mutate("removeMember", "RemoveMemberInput", json!({ "memberId": id("owner@demo.test") }), "")
        .await;
    assert_eq!(removed["userErrors"][0]["code"], "FORBIDDEN");
    let input = json!({ "organizationId": demo.organization, "email": "new@demo.test", "role": "OWNER" });
    assert_eq!(
        admin.try_mutate("addMember", "AddMemberInput", input, "").await["userErrors"][0]["code"],
        "FORBIDDEN"
    );
    // Nobody of the organization takes somebody in who has not agreed to it, nor learns so whom Bursar knows.
    let rival = world.found("rival").await;
    for email in ["owner@rival.test", "member@demo.test", "nobody@knows.test", "no address"] {
        let input = json!({ "organizationId": demo.organization, "email": email, "role": "MEMBER" });
        let fields = "member { user { id name } }";
        let refused = owner.try_mutate("addMember", "AddMemberInput", input, fields).await;
        assert_eq!(
            (&refused["member"], refusal(&refused).0.as_str()),
            (&Value::Null, "FORBIDDEN"),
            "{email}"
        );
    }
    let places = rival.query("{ viewer { memberships { role } } }", json!({})).await;
    assert_eq!(places["viewer"]["memberships"], json!([{ "role": "OWNER" }]));
    // The last owner stays.
    assert_eq!(role(&owner, "owner@demo.test", "ADMIN").await["userErrors"][0]["code"], "LAST_OWNER");
    let removed = owner
        .try_mutate("removeMember", "RemoveMemberInput", json!({ "memberId": id("owner@demo.test") }), "")
        .await;
    assert_eq!(removed["userErrors"][0]["code"], "LAST_OWNER");
    // Two owners who leave at once: one of them stays.
    assert_eq!(role(&owner, "admin@demo.test", "OWNER").await["member"]["role"], "OWNER");
    let leave = |client: &Client, email: &str| {
        let (client, input) = (client.clone(), json!({ "memberId": id(email) }));
        async move {
            client.try_mutate("removeMember", "RemoveMemberInput", input, "").await["userErrors"][0]["code"]
                .clone()
        }
    };
    let (one, two) = tokio::join!(leave(&owner, "owner@demo.test"), leave(&admin, "admin@demo.test"));
    assert!(
        [&one, &two].contains(&&json!("LAST_OWNER")) && [&one, &two].contains(&&Value::Null),
        "{one} {two}"
    );
}

/// Removing a member beside giving that member grants: one comes first, and nobody gets a fault of ours.
async fn grants_and_removals_race(backend: Backend) {
    let world = World::start(backend).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    for round in 0..8 {
        let input = json!({ "organizationId": demo.organization, "email": format!("r{round}@demo.test"), "role": "MEMBER" });
        let id = operator.mutate("addMember", "AddMemberInput", input, "member { id }").await["member"]["id"]
            .clone();
        let place = json!({ "departmentId": demo.sales, "memberId": id });
        let grant = json!({ "poolId": demo.pool, "memberId": id });
        let (placed, named, again, removed) = tokio::join!(
            owner.try_mutate("addDepartmentMember", "AddDepartmentMemberInput", place, ""),
            owner.try_mutate("addPoolAdministrator", "AddPoolAdministratorInput", grant.clone(), ""),
            owner.try_mutate("addPoolAdministrator", "AddPoolAdministratorInput", grant, ""),
            owner.try_mutate("removeMember", "RemoveMemberInput", json!({ "memberId": id }), ""),
        );
        assert_eq!(removed["userErrors"], json!([]));
        for outcome in [placed, named, again] {
            let code = &outcome["userErrors"][0]["code"];
            assert!(code.is_null() || code == "NOT_FOUND", "{outcome}");
        }
    }
    let query = format!("{{ pool(id: \"{}\") {{ administrators {{ totalCount }} }} }}", demo.pool);
    assert_eq!(owner.query(&query, json!({})).await["pool"]["administrators"]["totalCount"], 0);
    // Nobody makes themselves anything, the vendor's staff least of all.
    for role in ["OWNER", "MEMBER"] {
        let input =
            json!({ "organizationId": demo.organization, "email": "operator@bursar.test", "role": role });
        let refused = operator.try_mutate("addMember", "AddMemberInput", input, "").await;
        assert_eq!(refused["userErrors"][0]["code"], "FORBIDDEN");
    }
}

/// Demonstration data that was cut off at whatever point is finished by the next start, and several
/// starts at once make one.
async fn seeding_is_finished(backend: Backend) {
    let database = TestDatabase::migrated(backend).await;
    for micros in (0..40).map(|n| n * n * 40) {
        let app = App::open(config(&database), Clock::system()).await.unwrap();
        let _ = tokio::time::timeout(std::time::Duration::from_micros(micros), app.seed()).await;
        app.close().await.unwrap();
    }
    let (one, two) =
        (App::open(config(&database), Clock::system()), App::open(config(&database), Clock::system()));
    let (one, two) = (one.await.unwrap(), two.await.unwrap());
    let (first, second) = tokio::join!(one.seed(), two.seed());
    first.unwrap();
    second.unwrap();
    assert_eq!(one.seed().await.unwrap(), Seeded::AlreadyThere);
    let web = one.bind().await.unwrap();
    let base = format!("http://{}", web.address().unwrap());
    tokio::spawn(web.serve(std::future::pending()));
    let owner = Client::new(&base, Some(one.token("owner@demo.test").await.unwrap()));
    let demo = owner.demo().await;
    assert_eq!(owner.balance(&demo.pool).await, (100, 1));
    let query = r#"{ organization(by: { slug: "demo" }) { members { totalCount } purchases { totalCount } departments { nodes { code members { totalCount } } } } }"#;
    let counts = owner.query(query, json!({})).await["organization"].clone();
    let departments = json!({ "nodes": [{ "code": "SALES", "members": { "totalCount": 2 } }, { "code": "MARKETING", "members": { "totalCount": 0 } }] });
    assert_eq!(
        counts,
        json!({ "members": { "totalCount": 5 }, "purchases": { "totalCount": 1 }, "departments": departments })
    );
}

async fn lists_have_pages(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    for n in 0..7 {
        let input = json!({ "organizationId": demo.organization, "code": format!("D{n}"), "name": "D" });
        owner.mutate("createDepartment", "CreateDepartmentInput", input, "department { id }").await;
    }
    let page = |arguments: String| {
        let owner = owner.clone();
        async move {
            let query = format!("{{ organization(by: {{ slug: \"demo\" }}) {{ departments({arguments}) {{ totalCount edges {{ cursor node {{ code }} }} nodes {{ code }}
                pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }} }}");
            let list = owner.query(&query, json!({})).await["organization"]["departments"].clone();
            let codes: Vec<_> = list["nodes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|node| node["code"].as_str().unwrap().to_owned())
                .collect();
            (codes.join(" "), list["pageInfo"].clone(), list["totalCount"].clone())
        }
    };
    let all = "SALES MARKETING D0 D1 D2 D3 D4 D5 D6";
    let (codes, info, total) = page("first: 100".to_owned()).await;
    assert_eq!(
        (codes.as_str(), &info["hasNextPage"], &info["hasPreviousPage"], total),
        (all, &json!(false), &json!(false), json!(9))
    );
    let (mut seen, mut arguments) = (Vec::new(), "first: 2".to_owned());
    loop {
        let (codes, info, _) = page(arguments).await;
        seen.push(codes);
        if info["hasNextPage"] == false {
            break;
        }
        arguments = format!("first: 2, after: {}", info["endCursor"]);
    }
    assert_eq!(seen.join(" "), all);
    let (codes, info, _) = page("last: 2".to_owned()).await;
    assert_eq!((codes.as_str(), &info["hasPreviousPage"]), ("D5 D6", &json!(true)));
    let (codes, info, _) = page(format!("last: 2, before: {}", info["startCursor"])).await;
    assert_eq!(
        (codes.as_str(), &info["hasPreviousPage"], &info["hasNextPage"]),
        ("D3 D4", &json!(true), &json!(true))
    );
    assert_eq!(page("first: 0".to_owned()).await.0, "");
    // Lists in memory page alike.
    let query = "query S($after: String) { organization(by: { slug: \"demo\" }) { services(first: 3, after: $after) { totalCount nodes { code } pageInfo { hasNextPage endCursor } } } }";
    let first = owner.query(query, json!({})).await["organization"]["services"].clone();
    assert_eq!(
        (first["nodes"].as_array().unwrap().len(), &first["totalCount"], &first["pageInfo"]["hasNextPage"]),
        (3, &json!(5), &json!(true))
    );
    let rest = owner.query(query, json!({ "after": first["pageInfo"]["endCursor"] })).await["organization"]["services"].clone();
    assert_eq!(
        (rest["nodes"].as_array().unwrap().len(), &rest["pageInfo"]["hasNextPage"]),
        (2, &json!(false))
    );
}
