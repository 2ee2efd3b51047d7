//! Who may do what, through the API: every mutation as every kind of caller, and the fields that take
//! more than seeing the object.

use bursar::clock::Clock;
use bursar::global_id;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::mail::{invitation, post, tenant};
use crate::support::schema::Schema;
use crate::support::{Backend, Client, World, rows};

on_both_databases!(
    every_mutation_as_everybody,
    fields_that_take_more,
    anonymous_and_expired,
    administrators_of_other_pools,
    edges_lead_nowhere_that_ids_do_not,
);

const CALLERS: [&str; 6] = ["owner", "admin", "manager", "member", "auditor", "operator"];

/// Who may carry a mutation out on the demonstration data, where `manager` manages Sales, `member` is in
/// Sales, and Sales has credits in the pool.
fn allowed(mutation: &str) -> &'static [&'static str] {
    match mutation {
        "createOrganization" => &["operator"],
        "updateOrganization" => &["owner", "operator"],
        "suspendOrganization" | "resumeOrganization" | "erasePerson" => &["operator"],
        "addMember" | "updateMemberRole" | "removeMember" => &["owner", "admin", "operator"],
        // Only who has signed in by mail, and for domains of the own address: see `single_sign_on`.
        "configureSingleSignOn" => &["owner"],
        "inviteMember" | "resendInvitation" | "revokeInvitation" => &["owner", "admin", "operator"],
        // Without what a mail proves, nobody: see `invitations`.
        "acceptInvitation" => &[],
        "createDepartment" | "updateDepartment" | "archiveDepartment" => &["owner", "admin"],
        "addDepartmentMember" | "removeDepartmentMember" => &["owner", "admin", "manager"],
        // The vendor's staff may, with what they may do themselves; that nobody gives more is in `api_keys`.
        "createApiKey" | "rotateApiKey" | "revokeApiKey" => &["owner", "admin", "operator"],
        "createPool" | "updatePool" | "archivePool" => &["owner", "admin"],
        "addPoolAdministrator" | "removePoolAdministrator" => &["owner", "admin"],
        "allocateCredits" | "reclaimCredits" => &["owner", "admin"],
        "requestPurchase" | "startCheckout" | "cancelPurchase" => &["owner", "admin"],
        "chargeCredits" | "chargeCreditsBatch" | "holdCredits" | "captureHold" | "voidHold" => {
            &["owner", "admin", "manager", "member", "operator"]
        }
        // By others only under a guarantee, which this does not ask for: see `refunds`.
        "refundCharge" => &["operator"],
        "createSpendingCap" | "updateSpendingCap" | "removeSpendingCap" | "raiseSpendingCap" => {
            &["owner", "admin"]
        }
        "requestCredits" => &["owner", "admin", "manager", "member"],
        // The owner has asked.
        "withdrawCreditRequest" => &["owner"],
        "resolveCreditRequest" => &["owner", "admin"],
        "transferCredits" | "setAllocationRefill" => &["owner", "admin"],
        "grantCredits" | "correctBalance" | "extendLot" | "importBalances" | "freezePool"
        | "unfreezePool" => &["operator"],
        "replayDelivery" => &["owner", "admin", "operator"],
        // Whoever it is, with what is one's own: see `sign_in` and `sessions`.
        "requestSignInLink" | "signOut" => &CALLERS,
        // Without what a mail or a session proves, nobody; and nobody ends another's session.
        "redeemSignInLink" | "refreshSession" | "revokeSession" => &[],
        other => panic!("who may {other}? Say so here."),
    }
}

fn address(caller: &str) -> String {
    let domain = if caller == "operator" { "bursar.test" } else { "demo.test" };
    format!("{caller}@{domain}")
}

async fn every_mutation_as_everybody(backend: Backend) {
    // Nothing is delivered in passing: rows are compared.
    let world = World::start_untimed(backend, Clock::system()).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    owner.allocate(&demo.pool, &demo.sales, 80, "roles").await;
    let schema = Schema::read(&owner).await;
    let organization = global_id::decode(&demo.organization).unwrap();
    let db = &world.services().context.db;
    let query = "query P($id: ID!) { pool(id: $id) { lots { nodes { id } } transfers { nodes { id } } } }";
    let pool = owner.query(query, json!({ "id": demo.pool })).await["pool"].clone();
    let first = |list: &str| pool[list]["nodes"][0]["id"].as_str().unwrap().to_owned();
    let (lot, transfer) = (first("lots"), first("transfers"));
    let mut number = 0;
    for caller in CALLERS {
        let client = world.client(&address(caller)).await;
        // In whose name only some may charge is in `charging`.
        let mine = client.query("{ viewer { memberships { id } } }", json!({})).await;
        let myself = mine["viewer"]["memberships"][0]["id"].as_str().map(str::to_owned);
        for (mutation, input_type) in &schema.mutations {
            number += 1;
            let unique = format!("roles-{number}");
            let target = fresh_member(&owner, &demo.organization, &unique).await;
            let (purchase, _) = owner.checkout(&demo.pool, &unique).await;
            // Whoever may change the pool has it pay for this alone.
            let lines = json!([{ "service": "STYLE_CHANGE" }]);
            let used = json!({ "poolId": demo.pool, "departmentId": demo.sales, "lines": lines, "idempotencyKey": format!("{unique}-used") });
            let (mut hold, mut charge) = (String::new(), String::new());
            if ["captureHold", "voidHold"].contains(&mutation.as_str()) {
                let held = owner.mutate("holdCredits", "HoldCreditsInput", used, "hold { id }").await;
                hold = held["hold"]["id"].as_str().unwrap().to_owned();
            } else if mutation == "refundCharge" {
                charge = owner.charge(used).await["charge"]["id"].as_str().unwrap().to_owned();
            }
            let mut key = String::new();
            if ["rotateApiKey", "revokeApiKey"].contains(&mutation.as_str()) {
                let input = json!({ "organizationId": demo.organization, "name": unique, "scopes": ["CHARGES_WRITE"] });
                let made = owner.mutate("createApiKey", "CreateApiKeyInput", input, "apiKey { id }").await;
                key = made["apiKey"]["id"].as_str().unwrap().to_owned();
            }
            let (mut cap, mut asked) = (String::new(), String::new());
            if mutation.ends_with("SpendingCap") {
                // On the fresh member, so that it stands in nobody's way.
                let input = json!({ "poolId": demo.pool, "scope": { "memberId": target }, "credits": 1_000 });
                let made =
                    owner.mutate("createSpendingCap", "CreateSpendingCapInput", input, "cap { id }").await;
                cap = made["cap"]["id"].as_str().unwrap().to_owned();
            } else if mutation.ends_with("CreditRequest") {
                let input = json!({ "poolId": demo.pool, "departmentId": demo.sales, "credits": 1 });
                let made = owner
                    .mutate("requestCredits", "RequestCreditsInput", input, "creditRequest { id }")
                    .await;
                asked = made["creditRequest"]["id"].as_str().unwrap().to_owned();
            }
            let mut delivery = String::new();
            if mutation == "replayDelivery" {
                let mail = invitation("somebody@demo.test", "Demo");
                let posted = post(&world, tenant(&demo.organization), mail).await.unwrap();
                world.sql("UPDATE delivery SET state = 'DEAD'").await;
                delivery = global_id::encode(posted);
            }
            let mut person = String::new();
            if mutation == "erasePerson" {
                let query = "query M($id: ID!) { node(id: $id) { ... on Member { user { id } } } }";
                let data = owner.query(query, json!({ "id": target })).await;
                person = data["node"]["user"]["id"].as_str().unwrap().to_owned();
            }
            let mut invited = String::new();
            if mutation.ends_with("Invitation") {
                let input = json!({ "organizationId": demo.organization, "email": format!("{unique}@invited.test"), "role": "MEMBER" });
                let made =
                    owner.mutate("inviteMember", "InviteMemberInput", input, "invitation { id }").await;
                invited = made["invitation"]["id"].as_str().unwrap().to_owned();
            }
            let id = |field: &str| match field {
                "organizationId" => demo.organization.clone(),
                "deliveryId" => delivery.clone(),
                "invitationId" => invited.clone(),
                "poolId" | "poolIds" => demo.pool.clone(),
                "departmentId" | "departmentIds" => demo.sales.clone(),
                "keyId" => key.clone(),
                "capId" => cap.clone(),
                "requestId" => asked.clone(),
                "lotId" => lot.clone(),
                "correctsTransferId" => transfer.clone(),
                "onBehalfOfId" => myself.clone().unwrap_or_else(|| target.clone()),
                "memberId" => target.clone(),
                "userId" => person.clone(),
                "purchaseId" => purchase.clone(),
                "holdId" => hold.clone(),
                "chargeId" => charge.clone(),
                "sessionId" => "session_00000000000000000000000000".to_owned(),
                other => panic!("what does {other} take?"),
            };
            let input = schema.input(input_type, &id, &unique);
            let before = rows::of(db, organization).await;
            let payload = client.try_mutate(mutation, input_type, input, "").await;
            let code = payload["userErrors"][0]["code"].as_str().unwrap_or("none").to_owned();
            if allowed(mutation).contains(&caller) {
                assert!(code != "FORBIDDEN", "{caller} may {mutation}: {payload}");
            } else {
                assert!(
                    ["FORBIDDEN", "NOT_FOUND"].contains(&code.as_str()),
                    "{caller} must not {mutation}: {payload}"
                );
                assert_eq!(
                    before,
                    rows::of(db, organization).await,
                    "{caller} changed something by {mutation}"
                );
            }
            // The others still hold and charge in it.
            if mutation == "freezePool" && code == "none" {
                let input = json!({ "poolId": demo.pool, "reason": "Go on" });
                client.mutate("unfreezePool", "UnfreezePoolInput", input, "pool { id }").await;
            }
            // And do everything else in an organization that may act.
            if mutation == "suspendOrganization" && code == "none" {
                let input = json!({ "organizationId": demo.organization, "reason": "Go on" });
                let (name, kind) = ("resumeOrganization", "ResumeOrganizationInput");
                client.mutate(name, kind, input, "organization { id }").await;
            }
            if mutation == "archivePool" || mutation == "archiveDepartment" {
                assert!(code != "none", "{mutation} with credits in it");
            }
        }
    }
}

async fn fresh_member(owner: &Client, organization: &str, unique: &str) -> String {
    let input =
        json!({ "organizationId": organization, "email": format!("{unique}@target.test"), "role": "MEMBER" });
    let added = owner.mutate("addMember", "AddMemberInput", input, "member { id }").await;
    added["member"]["id"].as_str().unwrap().to_owned()
}

async fn fields_that_take_more(backend: Backend) {
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
    let input = json!({ "organizationId": demo.organization, "issuer": "https://login.example", "clientId": "c", "audience": "a", "domains": ["demo.test"] });
    owner
        .mutate("configureSingleSignOn", "ConfigureSingleSignOnInput", input, "singleSignOn { enabled }")
        .await;
    // Field, and who may see it; everybody else gets null and an error that says so.
    let everything = ["owner", "admin", "auditor", "operator"];
    for (path, field) in [
        ("organization", "members { totalCount }"),
        ("organization", "invitations { totalCount }"),
        ("organization", "auditEvents { totalCount }"),
        ("organization", "apiKeys { totalCount }"),
        ("organization", "purchases { totalCount }"),
        ("organization", "deliveries { totalCount }"),
        ("organization", "singleSignOn { enabled }"),
        ("pool", "transfers { totalCount }"),
        ("pool", "lots { totalCount }"),
        ("pool", "administrators { totalCount }"),
    ] {
        for caller in CALLERS {
            let client = world.client(&address(caller)).await;
            let query = match path {
                "organization" => format!("{{ organization(by: {{ slug: \"demo\" }}) {{ {field} }} }}"),
                _ => format!("{{ pool(id: \"{}\") {{ {field} }} }}", demo.pool),
            };
            let body = client.raw(&query, json!({})).await;
            let name = field.split(' ').next().unwrap();
            if everything.contains(&caller) {
                assert!(
                    body.get("errors").is_none() && body["data"][path][name].is_object(),
                    "{caller} {field}: {body}"
                );
            } else {
                assert_eq!(body["data"][path][name], Value::Null, "{caller} {field}: {body}");
                assert_eq!(body["errors"][0]["extensions"]["code"], "FORBIDDEN", "{caller} {field}: {body}");
            }
        }
    }
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

async fn anonymous_and_expired(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let schema = Schema::read(&owner).await;
    let (anonymous, expired) = (world.anonymous(), world.expired("owner@demo.test").await);
    for (mutation, input_type) in &schema.mutations {
        let id = |field: &str| match field {
            "organizationId" => demo.organization.clone(),
            "poolId" | "poolIds" => demo.pool.clone(),
            "departmentId" | "departmentIds" => demo.sales.clone(),
            _ => "member_00000000000000000000000000".to_owned(),
        };
        let input = schema.input(input_type, &id, "anonymous");
        let query =
            format!("mutation M($i: {input_type}!) {{ {mutation}(input: $i) {{ userErrors {{ code }} }} }}");
        // Who signs in has no token yet.
        let signing_in = ["requestSignInLink", "redeemSignInLink", "refreshSession"];
        let clients = match signing_in.contains(&mutation.as_str()) {
            true => vec![&expired],
            false => vec![&anonymous, &expired],
        };
        for client in clients {
            let (status, body) = client.send(&query, json!({ "i": input })).await;
            assert_eq!(body["errors"][0]["extensions"]["code"], "UNAUTHENTICATED", "{mutation}: {body}");
            let nothing = body.get("data").is_none_or(|data| data[mutation].is_null());
            assert!(nothing && status < 500, "{mutation}: {status} {body}");
        }
    }
    for query in ["{ viewer { user { email } } }", "{ organizations { totalCount } }"] {
        let (status, body) = expired.send(query, json!({})).await;
        assert_eq!(
            (status, &body["errors"][0]["extensions"]["code"]),
            (401, &json!("UNAUTHENTICATED")),
            "{query}"
        );
        assert!(body.get("data").is_none());
    }
    assert_eq!(anonymous.query("{ viewer { operator } }", json!({})).await, json!({ "viewer": null }));
    let body = anonymous.raw("{ organizations { totalCount } }", json!({})).await;
    assert_eq!(body["errors"][0]["extensions"]["code"], "UNAUTHENTICATED", "{body}");
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
}

/// Whatever can be reached by walking from one object to the next can also be seen by its id, and the
/// other way round: no edge leads past the permissions.
async fn edges_lead_nowhere_that_ids_do_not(backend: Backend) {
    let world = World::start(backend).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    owner.allocate(&demo.pool, &demo.sales, 20, "s").await;
    owner.allocate(&demo.pool, &demo.marketing, 20, "m").await;
    let input = json!({ "organizationId": demo.organization, "name": "Other" });
    let other =
        owner.mutate("createPool", "CreatePoolInput", input, "pool { id }").await["pool"]["id"].clone();
    // A colleague in Sales who is in Marketing too, and administers the other pool.
    let colleague = fresh_member(&owner, &demo.organization, "colleague").await;
    for department in [&demo.sales, &demo.marketing] {
        let input = json!({ "departmentId": department, "memberId": colleague });
        owner.mutate("addDepartmentMember", "AddDepartmentMemberInput", input, "department { id }").await;
    }
    let input = json!({ "poolId": other, "memberId": colleague });
    owner.mutate("addPoolAdministrator", "AddPoolAdministratorInput", input, "pool { id }").await;
    for (department, key) in [(&demo.sales, "a"), (&demo.marketing, "b")] {
        let lines = json!([{ "service": "FURNITURE_REMOVAL" }]);
        let input = json!({ "poolId": demo.pool, "departmentId": department, "onBehalfOfId": colleague, "lines": lines, "idempotencyKey": key });
        let charged = owner.charge(input.clone()).await;
        assert_eq!(charged["userErrors"], json!([]));
        let held = owner.mutate("holdCredits", "HoldCreditsInput", input.clone(), "hold { id }").await;
        let capture = json!({ "holdId": held["hold"]["id"], "idempotencyKey": key });
        owner.mutate("captureHold", "CaptureHoldInput", capture, "charge { id }").await;
        let refund = json!({ "chargeId": charged["charge"]["id"], "idempotencyKey": key });
        let operator = world.client("operator@bursar.test").await;
        operator.mutate("refundCharge", "RefundChargeInput", refund, "refund { id }").await;
    }
    let charge =
        "id pool { id } department { id } onBehalfOf { ...M } actor { user { id } } slices { lot { id } }
        hold { id } refunds { id charge { id } slices { lot { id } replacement { id } } }
        explanation { slices { lot { id } allocation { id } } }";
    let query = format!(
        "{{ viewer {{ memberships {{ ...M }} }} organization(by: {{ slug: \"demo\" }}) {{ id
             pools(first: 2) {{ nodes {{ id allocations {{ nodes {{ id department {{ id }} pool {{ id }} }} }} charges(first: 4) {{ nodes {{ {charge} }} }}
                 administrators {{ nodes {{ id }} }} lots {{ nodes {{ id purchase {{ id }} }} }} holds(first: 9) {{ nodes {{ id department {{ id }} charges {{ nodes {{ id }} }} }} }}
                 transfers(first: 40) {{ nodes {{ id lot {{ id uses {{ nodes {{ id }} }} }} charge {{ id }} hold {{ id }} counterpart {{ id }} }} }} }} }}
             departments {{ nodes {{ id members {{ nodes {{ member {{ ...M }} }} }} allocations {{ nodes {{ id }} }} }} }}
             charges(first: 4) {{ nodes {{ {charge} }} }} members {{ nodes {{ ...M }} }} purchases {{ nodes {{ id requestedBy {{ id }} }} }} }} }}
         fragment M on Member {{ id user {{ id }} organization {{ id }} departments {{ department {{ id }} }} administeredPools {{ id }} }}"
    );
    for caller in ["member", "manager", "auditor", "owner"] {
        let client = world.client(&address(caller)).await;
        let mut found = Vec::new();
        ids_in(&client.raw(&query, json!({})).await["data"], &mut found);
        assert!(found.len() > 5, "{caller}: {found:?}");
        for id in found {
            // The people of one's departments are seen there, by name; not by id among all.
            if id.starts_with("user_") || id.starts_with("member_") {
                continue;
            }
            let node = client.query("query N($id: ID!) { node(id: $id) { id } }", json!({ "id": id })).await;
            assert_eq!(node["node"]["id"], json!(id), "{caller} reaches {id} by an edge but not by its id");
        }
    }
}

fn ids_in(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("id").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|field| ids_in(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| ids_in(item, found)),
        _ => {}
    }
}
