//! Two tenants: neither changes, charges, buys for or watches anything of the other's, whatever it mixes with its own;
//! and PostgreSQL stands behind the application's own filter. What is looked up alone is in `matrix`.

use std::collections::BTreeMap;

use bursar::clock::Clock;
use bursar::db::Database;
use bursar::global_id;
use bursar_domain::id::OrganizationId;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::row_level_security;
use crate::support::mail::{invitation, post, tenant};
use crate::support::schema::Schema;
use crate::support::sign_in::sign_in;
use crate::support::{Backend, Client, World, acts, approvals, rows};

on_both_databases!(the_other_tenant_is_not_there);

/// A tenant with something of everything.
pub struct Rival {
    /// Its owner.
    pub owner: Client,
    /// Its id.
    pub organization: OrganizationId,
    /// A global id of each type, by its prefix.
    pub ids: BTreeMap<String, String>,
    /// The owner's session, which is nobody else's to find.
    pub session: String,
    /// A delegation, which is found in a list only.
    pub delegation: String,
}

/// Founds a tenant with something of everything.
pub async fn rival(world: &World) -> Rival {
    let owner = world.found("rival").await;
    let query = r#"{ organization(by: { slug: "rival" }) { id } }"#;
    let id = owner.query(query, json!({})).await["organization"]["id"].as_str().unwrap().to_owned();
    let input = json!({ "organizationId": id, "name": "Pool" });
    let pool =
        owner.mutate("createPool", "CreatePoolInput", input, "pool { id }").await["pool"]["id"].clone();
    let input = json!({ "organizationId": id, "code": "D", "name": "D" });
    let department =
        owner.mutate("createDepartment", "CreateDepartmentInput", input, "department { id }").await;
    let (pool, department) = (pool.as_str().unwrap(), department["department"]["id"].as_str().unwrap());
    let (_, url) = owner.checkout(pool, "k").await;
    owner.submit(&format!("{url}/pay")).await;
    owner.allocate(pool, department, 40, "k").await;
    invited(&owner, &id).await;
    let charged = some_of_everything(&owner, pool, department).await;
    owner.mutate("createApiKey", "CreateApiKeyInput", key_of(&id), "apiKey { id }").await;
    let operator = world.client("operator@bursar.test").await;
    let input = json!({ "chargeId": charged["charge"]["id"], "idempotencyKey": "k" });
    operator.mutate("refundCharge", "RefundChargeInput", input, "refund { id }").await;
    let query = r#"{ organization(by: { slug: "rival" }) { purchases { nodes { id } } } }"#;
    let purchase = owner.query(query, json!({})).await["organization"]["purchases"]["nodes"][0]["id"].clone();
    let amount = json!({ "amount": "1.00", "currency": "USD" });
    let input = json!({ "purchaseId": purchase, "amount": amount, "reason": "r", "idempotencyKey": "k" });
    operator.mutate("refundPurchase", "RefundPurchaseInput", input, "reversal { id }").await;
    acts::billed(&operator, &owner, &id, "199.00").await;
    let invoiced = acts::on_invoice(&owner, pool, "invoiced").await;
    assert_eq!(invoiced["userErrors"], json!([]), "{invoiced}");
    post(world, tenant(&id), invitation("somebody@rival.test", "Rival")).await.unwrap();
    agreed(&operator, &id).await;
    let delegation = decided(&operator, &owner, &id, pool, "second@rival.test").await;
    let query = r#"{ organization(by: { slug: "rival" }) { id
        members { nodes { id user { id } } } invitations { nodes { id } } departments { nodes { id } }
        pools { nodes { id lots { nodes { id } } transfers { nodes { id } } allocations { nodes { id } }
            caps { nodes { id } } creditRequests { nodes { id } } } }
        purchases { nodes { id payments { id } reversals { id } } } charges { nodes { id refunds { id } } } holds { nodes { id } }
        billing { invoices { nodes { id } } documents { nodes { id } } }
        auditEvents { nodes { id } } deliveries { nodes { id } } apiKeys { nodes { id } }
        approvalPolicy { id } approvalRequests { nodes { id } }
        prices { quotes { nodes { id } } contractPrices { nodes { id } } } } }"#;
    let mut ids = BTreeMap::new();
    collect(&owner.query(query, json!({})).await, &mut ids);
    assert_eq!(ids.len(), 26, "{ids:?}");
    let session = sign_in(world, "owner@rival.test").await.id;
    Rival { owner, organization: global_id::decode(&id).unwrap(), ids, session, delegation }
}

/// A purchase that people have to agree to, and somebody who stands in for the owner; answers the delegation. Purchases of
/// other packages need nobody's consent.
async fn decided(operator: &Client, owner: &Client, organization: &str, pool: &str, email: &str) -> String {
    let input = json!({ "organizationId": organization, "email": email, "role": "MEMBER" });
    let added = operator.mutate("addMember", "AddMemberInput", input, "member { id }").await;
    let second = added["member"]["id"].as_str().unwrap();
    let stages = json!([{ "name": "Somebody", "approvers": [{ "memberId": second }] }]);
    approvals::save(owner, organization, approvals::professional(stages), json!({})).await;
    approvals::requested(owner, pool, "PROFESSIONAL", "to agree to").await;
    approvals::delegated(owner, organization, second, 40, 50).await
}

/// What a key of an organization's takes to be made.
fn key_of(organization: &str) -> Value {
    json!({ "organizationId": organization, "name": "Key", "scopes": ["CHARGES_WRITE"] })
}

/// Agrees on a price with an organization.
async fn agreed(operator: &Client, organization: &str) {
    let input = json!({ "organizationId": organization, "fromCredits": 5_000, "unitPrice": "1.50" });
    let fields = "contractPrice { id }";
    operator.mutate("setContractPrice", "SetContractPriceInput", input, fields).await;
}

/// Invites somebody.
async fn invited(client: &Client, organization: &str) {
    let input = json!({ "organizationId": organization, "email": "invited@example.test", "role": "MEMBER" });
    client.mutate("inviteMember", "InviteMemberInput", input, "invitation { id }").await;
}

/// A charge, a hold, a cap and a request for credits of a department that has some. Answers the charge.
async fn some_of_everything(client: &Client, pool: &str, department: &str) -> Value {
    client.allocate(pool, department, 10, "some").await;
    let lines = json!([{ "service": "STYLE_CHANGE", "quantity": 1 }]);
    let input = json!({ "poolId": pool, "departmentId": department, "lines": lines, "idempotencyKey": "k" });
    let charged = client.charge(input.clone()).await;
    client.mutate("holdCredits", "HoldCreditsInput", input, "hold { id }").await;
    let input = json!({ "poolId": pool, "scope": { "departmentId": department }, "credits": 40 });
    client.mutate("createSpendingCap", "CreateSpendingCapInput", input, "cap { id }").await;
    let input = json!({ "poolId": pool, "departmentId": department, "credits": 5 });
    client.mutate("requestCredits", "RequestCreditsInput", input, "creditRequest { id }").await;
    let input = json!({ "poolId": pool, "threshold": 1, "package": "STARTER" });
    client.mutate("setAutoTopUp", "SetAutoTopUpInput", input, "setupUrl").await;
    let input = json!({ "poolId": pool, "credits": 2_000, "idempotencyKey": "k" });
    client.mutate("requestQuote", "RequestQuoteInput", input, "quote { id }").await;
    charged
}

/// Gives the demonstration's organization something of everything, and answers its owner.
pub async fn furnished(world: &World) -> Client {
    let me = world.client("owner@demo.test").await;
    let demo = me.demo().await;
    some_of_everything(&me, &demo.pool, &demo.sales).await;
    post(world, tenant(&demo.organization), invitation("somebody@demo.test", "Demo")).await.unwrap();
    me.mutate("createApiKey", "CreateApiKeyInput", key_of(&demo.organization), "apiKey { id }").await;
    invited(&me, &demo.organization).await;
    let operator = world.client("operator@bursar.test").await;
    agreed(&operator, &demo.organization).await;
    decided(&operator, &me, &demo.organization, &demo.pool, "second@demo.test").await;
    sign_in(world, "owner@demo.test").await;
    me
}

fn collect(value: &Value, ids: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            if let Some(id) = fields.get("id").and_then(Value::as_str) {
                ids.insert(global_id::prefix(id).unwrap(), id.to_owned());
            }
            fields.values().for_each(|field| collect(field, ids));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, ids)),
        _ => {}
    }
}

/// The prefix of the ids that a field of an input takes.
fn prefix_of(mutation: &str, field: &str) -> &'static str {
    match field {
        "requestId" if mutation == "decideApproval" => "approval",
        "delegationId" => "delegation",
        "organizationId" => "org",
        "poolId" | "poolIds" => "pool",
        "departmentId" | "departmentIds" | "departmentManagersOf" => "dept",
        "keyId" => "key",
        "memberId" | "onBehalfOfId" | "delegateId" => "member",
        "userId" => "user",
        "invitationId" => "invitation",
        "invoiceId" => "invoice",
        "purchaseId" => "purchase",
        "chargeId" => "charge",
        "holdId" => "hold",
        "capId" => "cap",
        "quoteId" => "quote",
        "requestId" => "request",
        "deliveryId" => "delivery",
        "lotId" => "lot",
        "correctsTransferId" => "transfer",
        other => panic!("what does {other} take?"),
    }
}

async fn the_other_tenant_is_not_there(backend: Backend) {
    // Nothing is delivered in passing: rows are compared.
    let world = World::start_untimed(backend, Clock::system()).await;
    let theirs = rival(&world).await;
    let me = furnished(&world).await;
    let mut mine = BTreeMap::new();
    let query = r#"{ organization(by: { slug: "demo" }) { id members(last: 1) { nodes { id } }
        invitations { nodes { id } } departments(first: 1) { nodes { id } }
        pools { nodes { id lots { nodes { id } } transfers { nodes { id } } caps { nodes { id } } creditRequests { nodes { id } } } }
        purchases { nodes { id } } charges { nodes { id } } holds { nodes { id } } deliveries { nodes { id } }
        approvalRequests { nodes { id } } approvalDelegations { id } apiKeys { nodes { id } } prices { quotes { nodes { id } } } } }"#;
    collect(&me.query(query, json!({})).await, &mut mine);
    let db = Database::connect(&world.database.addresses).await.unwrap();
    let before = rows::of(&db, theirs.organization).await;
    let schema = Schema::read(&me).await;

    mutations(&me, &theirs, &mine, &schema).await;
    streams(&me, &theirs, &schema).await;

    assert_eq!(before, rows::of(&db, theirs.organization).await, "something of the other tenant has changed");
    // The same ids work for whom they belong to.
    let query = "query N($ids: [ID!]!) { nodes(ids: $ids) { id } }";
    let ids: Vec<_> = theirs.ids.values().collect();
    let own = theirs.owner.query(query, json!({ "ids": ids })).await;
    assert!(own["nodes"].as_array().unwrap().iter().all(|node| !node.is_null()), "{own}");
    if backend == Backend::Postgres {
        row_level_security::stands_behind(&world, &db, theirs.organization).await;
    }
}

/// Every mutation, with all ids of the other tenant's, and with each one alone among ids of my own.
async fn mutations(me: &Client, theirs: &Rival, mine: &BTreeMap<String, String>, schema: &Schema) {
    let mut number = 0;
    for (mutation, input_type) in &schema.mutations {
        let fields = schema.id_fields(input_type);
        if fields.is_empty() {
            // An invitation is named by what its mail proves: see `invitations`; who signs in or out is named by
            // what they prove or by their address: see `sign_in` and `sessions`.
            let known = [
                "createOrganization",
                "acceptInvitation",
                "requestSignInLink",
                "redeemSignInLink",
                "refreshSession",
                "signOut",
                // The vendor's own: what everybody pays.
                "savePackage",
                "saveService",
                "saveVolumeTiers",
            ];
            let known = known.contains(&mutation.as_str());
            assert!(known, "{mutation} names nothing of a tenant's");
            continue;
        }
        let mut mixes: Vec<Vec<&String>> = vec![fields.iter().collect()];
        mixes.extend(fields.iter().map(|field| vec![field]));
        for foreign in mixes {
            number += 1;
            let id = |field: &str| {
                if field == "sessionId" {
                    return theirs.session.clone();
                }
                // It is of no tenant: whoever is not of the vendor's staff may not even ask.
                if field == "parkedPaymentId" {
                    return "parked_00000000000000000000000000".to_owned();
                }
                let is_foreign = foreign.iter().any(|name| *name == field);
                if field == "delegationId" && is_foreign {
                    return theirs.delegation.clone();
                }
                let ids = if is_foreign { &theirs.ids } else { mine };
                ids[prefix_of(mutation, field)].clone()
            };
            let mut input = schema.input(input_type, &id, &format!("isolation-{number}"));
            if mutation == "createSpendingCap"
                && let Some(field) = foreign.iter().find(|field| field.as_str() != "poolId")
            {
                // A cap is about one thing only.
                input["scope"] = json!({ field.as_str(): id(field) });
            } else if mutation == "resolveCreditRequest" && foreign.len() == 1 && foreign[0] == "capId" {
                let until = input["until"].clone();
                let until = if until.is_null() { json!("2099-01-01T00:00:00Z") } else { until };
                input["answer"] =
                    json!({ "raiseCap": { "capId": id("capId"), "credits": 1, "until": until } });
            } else if POLICIES.contains(&mutation.as_str())
                && foreign.len() == 1
                && foreign[0] == "departmentManagersOf"
            {
                // Whoever decides is named in one way only.
                let approvers = json!([{ "departmentManagersOf": id("departmentManagersOf") }]);
                input["policy"]["rules"][0]["stages"][0]["approvers"] = approvers;
            } else if BUYING.contains(&mutation.as_str()) && foreign.len() == 1 && foreign[0] == "quoteId" {
                input["package"] = Value::Null;
                input["quoteId"] = json!(id("quoteId"));
            }
            let payload = me.try_mutate(mutation, input_type, input, "").await;
            let error = &payload["userErrors"][0];
            // What only the vendor may do is forbidden where the thing itself is mine, whatever else is named.
            let thing = if mutation == "importBalances" { "organizationId" } else { "poolId" };
            let own = !foreign.iter().any(|field| field.as_str() == thing);
            if VENDORS.contains(&mutation.as_str()) && own {
                assert_eq!(error["code"], "FORBIDDEN", "{mutation} with {foreign:?}: {payload}");
                continue;
            }
            assert_eq!(
                error["code"], "NOT_FOUND",
                "{mutation} with {foreign:?} of the other tenant: {payload}"
            );
            // Of what is in a list the place comes last.
            let mut parts = error["field"].as_array().unwrap().iter().rev().filter_map(Value::as_str);
            let named = parts.find(|part| part.parse::<usize>().is_err()).unwrap();
            assert!(
                foreign.iter().any(|field| *field == named),
                "{mutation}: {error} does not name {foreign:?}"
            );
        }
    }
}

async fn streams(me: &Client, theirs: &Rival, schema: &Schema) {
    let mut socket = me.socket().await;
    for stream in &schema.subscriptions {
        let (document, prefix, what) = match stream.as_str() {
            "poolBalance" => ("poolBalance(poolId: $id) { version }", "pool", "pool"),
            "organizationBalance" => {
                ("organizationBalance(organizationId: $id) { version }", "org", "organization")
            }
            "approvalRequests" => ("approvalRequests(organizationId: $id) { state }", "org", "organization"),
            "purchase" => ("purchase(id: $id) { state }", "purchase", "purchase"),
            other => panic!("{other} has no case in this test"),
        };
        let document = format!("subscription S($id: ID!) {{ {document} }}");
        let mut answers = Vec::new();
        let absent = format!("{prefix}_00000000000000000000000000");
        for id in [theirs.ids[prefix].clone(), absent] {
            socket.subscribe("s", &document, json!({ "id": id })).await;
            answers.push(socket.message().await.unwrap());
        }
        assert_eq!(answers[0], answers[1], "absent and forbidden answer alike");
        assert_eq!(answers[0]["type"], "error", "{}", answers[0]);
        assert_eq!(answers[0]["payload"][0]["message"], format!("{what} was not found."));
        assert_eq!(answers[0]["payload"][0]["extensions"]["code"], "BAD_USER_INPUT");
        socket.subscribe("x", &document, json!({ "id": "x" })).await;
        assert_eq!(socket.message().await.unwrap()["type"], "error");
    }
}

/// Mutations that take a policy.
const POLICIES: &[&str] = &["saveApprovalPolicy", "simulateApprovalPolicy"];

/// Mutations that say what is bought in one of several ways.
const BUYING: &[&str] = &["requestPurchase", "updatePurchase"];

/// Mutations of the vendor's staff; that they mix no tenants up is in `corrections`.
const VENDORS: &[&str] = &["grantCredits", "correctBalance", "importBalances", "resolveParkedPayment"];
