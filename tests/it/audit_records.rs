//! Every mutation leaves its record in the audit log, in the transaction of the change: one table says which, and a
//! mutation of the schema that is not in it fails the test.

mod leaves;

use std::collections::BTreeSet;

use bursar::global_id;
use bursar_domain::id::OrganizationId;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::client::Demo;
use crate::support::schema::{PIXEL, Schema};
use crate::support::{Backend, Client, World, acts, approvals, rows, uses};

use leaves::{ASIDE, Leaves, VENDORS, leaves};

on_both_databases!(every_mutation_leaves_its_record);

/// What mutations are about.
struct Scene {
    demo: Demo,
    /// An organization that may be suspended without standing in anybody's way.
    beside: String,
    owner: Client,
    operator: Client,
    /// Who asks for what the owner decides about.
    admin: Client,
    /// What was in the logs before.
    before: BTreeSet<String>,
}

impl Scene {
    async fn id(&self, name: &str, kind: &str, input: Value, of: &str) -> Value {
        let made = self.owner.mutate(name, kind, input, &format!("{of} {{ id }}")).await;
        made[of]["id"].clone()
    }

    async fn pool(&self, unique: &str) -> Value {
        let input = json!({ "organizationId": self.demo.organization, "name": unique });
        self.id("createPool", "CreatePoolInput", input, "pool").await
    }

    async fn department(&self, unique: &str) -> Value {
        let input = json!({ "organizationId": self.demo.organization, "code": unique.to_uppercase(), "name": unique });
        self.id("createDepartment", "CreateDepartmentInput", input, "department").await
    }

    async fn member(&self, unique: &str) -> Value {
        let email = format!("{unique}@records.test");
        let input = json!({ "organizationId": self.demo.organization, "email": email, "role": "MEMBER" });
        let made = self.operator.mutate("addMember", "AddMemberInput", input, "member { id }").await;
        made["member"]["id"].clone()
    }

    async fn cap(&self, unique: &str) -> Value {
        let member = self.member(unique).await;
        let input = json!({ "poolId": self.demo.pool, "scope": { "memberId": member }, "credits": 40 });
        self.id("createSpendingCap", "CreateSpendingCapInput", input, "cap").await
    }

    async fn invited(&self, unique: &str) -> Value {
        let email = format!("{unique}@invited.test");
        let input = json!({ "organizationId": self.demo.organization, "email": email, "role": "MEMBER" });
        self.id("inviteMember", "InviteMemberInput", input, "invitation").await
    }

    async fn key(&self, unique: &str) -> Value {
        let input =
            json!({ "organizationId": self.demo.organization, "name": unique, "scopes": ["CHARGES_WRITE"] });
        self.id("createApiKey", "CreateApiKeyInput", input, "apiKey").await
    }

    async fn asked(&self) -> Value {
        let input = json!({ "poolId": self.demo.pool, "departmentId": self.demo.sales, "credits": 1 });
        self.id("requestCredits", "RequestCreditsInput", input, "creditRequest").await
    }

    async fn purchase(&self, unique: &str) -> Value {
        let input = json!({ "poolId": self.demo.pool, "package": "STARTER", "idempotencyKey": unique });
        self.id("requestPurchase", "RequestPurchaseInput", input, "purchase").await
    }

    async fn quote(&self, unique: &str) -> Value {
        let input = json!({ "poolId": self.demo.pool, "credits": 2_000, "idempotencyKey": unique });
        self.id("requestQuote", "RequestQuoteInput", input, "quote").await
    }

    async fn hold(&self, unique: &str) -> Value {
        self.id("holdCredits", "HoldCreditsInput", uses::of(&self.demo.pool, unique, 1), "hold").await
    }

    /// A policy of which a purchase of the mutations here needs nobody's consent, but of one package.
    fn policy(&self) -> Value {
        let approvers = json!([{ "role": "OWNER" }, { "departmentManagersOf": self.demo.sales }]);
        let stage = json!({ "name": "Both", "quorum": 2, "approvers": approvers });
        json!({ "rules": [approvals::professional(json!([stage]))] })
    }

    /// What two people have to agree to.
    async fn to_decide(&self, unique: &str) -> String {
        let Demo { organization, pool, .. } = &self.demo;
        let rule = self.policy()["rules"][0].clone();
        approvals::save(&self.owner, organization, rule, json!({})).await;
        approvals::requested(&self.admin, pool, "PROFESSIONAL", unique).await.request
    }

    /// The input of a mutation that will be accepted, after all that has to be there for it.
    async fn input(&self, mutation: &str, unique: &str) -> Value {
        let Demo { organization, pool, sales, marketing } = &self.demo;
        let until = (chrono::Utc::now() + chrono::Duration::days(30)).to_rfc3339();
        let made = format!("{unique}-made");
        match mutation {
            "addDepartmentMember" => json!({ "departmentId": sales, "memberId": self.member(unique).await }),
            "addMember" => {
                json!({ "organizationId": organization, "email": format!("{unique}@added.test"), "role": "MEMBER" })
            }
            "addPoolAdministrator" => json!({ "poolId": pool, "memberId": self.member(unique).await }),
            "allocateCredits" | "reclaimCredits" => {
                json!({ "poolId": pool, "departmentId": sales, "credits": 1, "idempotencyKey": unique })
            }
            "archiveDepartment" => json!({ "departmentId": self.department(unique).await }),
            "archivePool" => json!({ "poolId": self.pool(unique).await }),
            "cancelPurchase" => json!({ "purchaseId": self.purchase(&made).await }),
            "startCheckout" => json!({ "purchaseId": self.purchase(&made).await, "idempotencyKey": unique }),
            "requestQuote" => json!({ "poolId": pool, "credits": 2_000, "idempotencyKey": unique }),
            "withdrawQuote" => json!({ "quoteId": self.quote(&made).await }),
            "answerQuote" => {
                let answer = json!({ "decline": true });
                json!({ "quoteId": self.quote(&made).await, "answer": answer, "idempotencyKey": unique })
            }
            "setContractPrice" => {
                json!({ "organizationId": organization, "fromCredits": 5_000, "unitPrice": "1.50" })
            }
            "setOrganizationPrice" => {
                json!({ "organizationId": organization, "service": "OUTDOOR_STAGING", "credits": 2 })
            }
            "requestPurchase" => json!({ "poolId": pool, "package": "STARTER", "idempotencyKey": unique }),
            "captureHold" | "voidHold" => {
                json!({ "holdId": self.hold(&made).await, "idempotencyKey": unique })
            }
            "configureSingleSignOn" => {
                json!({ "organizationId": organization, "issuer": "https://login.example", "clientId": unique,
                    "audience": unique, "domains": ["demo.test"] })
            }
            "chargeCredits" | "holdCredits" => uses::of(pool, unique, 1),
            "chargeCreditsBatch" => json!({ "mode": "ATOMIC", "items": [uses::of(pool, unique, 1)] }),
            "correctBalance" => {
                json!({ "poolId": pool, "credits": -1, "reason": "Too many", "idempotencyKey": unique })
            }
            "decideApproval" => {
                let request = self.to_decide(&made).await;
                json!({ "requestId": request, "round": 1, "choice": "APPROVE", "idempotencyKey": unique })
            }
            "delegateApprovals" => {
                let member = self.member(unique).await;
                json!({ "organizationId": organization, "delegateId": member, "until": until })
            }
            "revokeDelegation" => {
                let member = self.member(unique).await;
                let member = member.as_str().unwrap();
                let made = approvals::delegated(&self.owner, organization, member, 40, 50).await;
                json!({ "delegationId": made })
            }
            "saveApprovalPolicy" => {
                let expected = approvals::version(&self.owner, organization).await;
                json!({ "organizationId": organization, "expectedVersion": expected, "policy": self.policy() })
            }
            "setOrganizationLogo" => json!({ "organizationId": organization, "logo": PIXEL }),
            "simulateApprovalPolicy" => {
                json!({ "organizationId": organization, "policy": self.policy() })
            }
            "updatePurchase" => json!({ "purchaseId": self.purchase(&made).await, "note": "For the fair" }),
            "createDepartment" => {
                json!({ "organizationId": organization, "code": unique.to_uppercase(), "name": unique })
            }
            "createOrganization" => {
                let email = format!("{unique}@founded.test");
                json!({ "slug": unique, "name": unique, "timeZone": "UTC", "ownerEmail": email })
            }
            "createPool" => json!({ "organizationId": organization, "name": unique }),
            "createSpendingCap" => {
                let member = self.member(unique).await;
                json!({ "poolId": pool, "scope": { "memberId": member }, "credits": 9 })
            }
            "extendLot" => {
                let soon = (chrono::Utc::now() + chrono::Duration::days(9)).to_rfc3339();
                let input = json!({ "poolId": pool, "credits": 5, "expiresAt": soon, "reason": "x", "idempotencyKey": made });
                let lot =
                    self.operator.mutate("grantCredits", "GrantCreditsInput", input, "lot { id }").await;
                json!({ "lotId": lot["lot"]["id"], "expiresAt": until, "reason": "x", "idempotencyKey": unique })
            }
            "createApiKey" => {
                json!({ "organizationId": organization, "name": unique, "scopes": ["CHARGES_WRITE"] })
            }
            "rotateApiKey" | "revokeApiKey" => json!({ "keyId": self.key(unique).await }),
            "inviteMember" => {
                let email = format!("{unique}@invited.test");
                json!({ "organizationId": organization, "email": email, "role": "MEMBER" })
            }
            "resendInvitation" | "revokeInvitation" => {
                json!({ "invitationId": self.invited(unique).await })
            }
            "replayDelivery" => {
                self.invited(unique).await;
                let query =
                    r#"{ organization(by: { slug: "demo" }) { deliveries(first: 1) { nodes { id } } } }"#;
                let data = self.owner.query(query, json!({})).await;
                json!({ "deliveryId": data["organization"]["deliveries"]["nodes"][0]["id"] })
            }
            "exportOrganization" => json!({ "organizationId": organization }),
            "freezePool" => json!({ "poolId": self.pool(unique).await, "reason": "x" }),
            "unfreezePool" => {
                let input = json!({ "poolId": self.pool(unique).await, "reason": "x" });
                self.operator.mutate("freezePool", "FreezePoolInput", input.clone(), "pool { id }").await;
                input
            }
            "grantCredits" => {
                json!({ "poolId": pool, "credits": 1, "reason": "x", "idempotencyKey": unique })
            }
            "importBalances" => {
                let items = json!([{ "poolId": pool, "credits": 1, "class": "PROMOTIONAL" }]);
                json!({ "organizationId": organization, "items": items, "reason": "x", "idempotencyKey": unique })
            }
            "raiseSpendingCap" => json!({ "capId": self.cap(unique).await, "credits": 1, "until": until }),
            "recordInvoicePayment" => {
                acts::billed(&self.operator, &self.owner, organization, "10000.00").await;
                let invoiced = acts::on_invoice(&self.owner, pool, &made).await;
                let amount = json!({ "amount": "1.00", "currency": "USD" });
                json!({ "invoiceId": invoiced["invoice"]["id"], "amount": amount, "idempotencyKey": unique })
            }
            "setBillingProfile" => {
                json!({ "organizationId": organization, "name": unique, "address": "1 Main Street" })
            }
            "setPaymentTerms" => json!({ "organizationId": organization, "terms": "INVOICE", "dueDays": 7 }),
            "removeSpendingCap" => json!({ "capId": self.cap(unique).await }),
            "updateSpendingCap" => json!({ "capId": self.cap(unique).await, "credits": 41 }),
            "refundCharge" => {
                let charged = self.owner.charge(uses::of(pool, &made, 1)).await;
                json!({ "chargeId": charged["charge"]["id"], "idempotencyKey": unique })
            }
            "refundPurchase" => {
                let (purchase, url) = self.owner.checkout(pool, &made).await;
                self.owner.submit(&format!("{url}/pay")).await;
                json!({ "purchaseId": purchase, "reason": "x", "idempotencyKey": unique })
            }
            "removeDepartmentMember" => {
                let input = json!({ "departmentId": sales, "memberId": self.member(unique).await });
                let kind = "AddDepartmentMemberInput";
                self.owner.mutate("addDepartmentMember", kind, input.clone(), "department { id }").await;
                input
            }
            "removePoolAdministrator" => {
                let input = json!({ "poolId": pool, "memberId": self.member(unique).await });
                let kind = "AddPoolAdministratorInput";
                self.owner.mutate("addPoolAdministrator", kind, input.clone(), "pool { id }").await;
                input
            }
            "removeMember" => json!({ "memberId": self.member(unique).await }),
            "updateMemberRole" => json!({ "memberId": self.member(unique).await, "role": "AUDITOR" }),
            "requestCredits" => json!({ "poolId": pool, "departmentId": sales, "credits": 1 }),
            "withdrawCreditRequest" => json!({ "requestId": self.asked().await }),
            "resolveCreditRequest" => {
                let answer = json!({ "decline": true });
                json!({ "requestId": self.asked().await, "answer": answer, "idempotencyKey": unique })
            }
            "setAllocationRefill" => {
                let refill = json!({ "credits": 1, "period": "MONTH" });
                json!({ "poolId": pool, "departmentId": sales, "refill": refill })
            }
            "setAutoTopUp" => json!({ "poolId": pool, "threshold": 20, "package": "STARTER" }),
            "transferCredits" => {
                let holder = |department: &str| json!({ "poolId": pool, "departmentId": department });
                let (from, to) = (holder(sales), holder(marketing));
                json!({ "from": from, "to": to, "credits": 1, "idempotencyKey": unique })
            }
            "updateDepartment" => {
                json!({ "departmentId": self.department(unique).await, "name": "Another" })
            }
            "suspendOrganization" => json!({ "organizationId": self.beside, "reason": "x" }),
            "resumeOrganization" => {
                let input = json!({ "organizationId": self.beside, "reason": "x" });
                let (name, kind) = ("suspendOrganization", "SuspendOrganizationInput");
                self.operator.mutate(name, kind, input.clone(), "organization { id }").await;
                input
            }
            "erasePerson" => {
                let query = "query M($id: ID!) { node(id: $id) { ... on Member { user { id } } } }";
                let data = self.owner.query(query, json!({ "id": self.member(unique).await })).await;
                json!({ "userId": data["node"]["user"]["id"] })
            }
            "updateOrganization" => json!({ "organizationId": organization, "name": unique }),
            "updatePool" => json!({ "poolId": self.pool(unique).await, "name": made }),
            other => panic!("{other} takes what? Say so here."),
        }
    }

    /// The newest entries of an organization's log: action and id.
    async fn newest(&self, slug: &str) -> Vec<(String, String)> {
        let query = "query A($slug: String!) { organization(by: { slug: $slug }) {
            auditEvents(first: 20) { nodes { id action actor { kind } requestId } } } }";
        let data = self.operator.query(query, json!({ "slug": slug })).await;
        let nodes = data["organization"]["auditEvents"]["nodes"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        for node in &nodes {
            // The demonstration itself was made without requests.
            let made = node["id"].as_str().is_some_and(|id| self.before.contains(id));
            let asked = node["actor"]["kind"] == "SYSTEM" || node["requestId"].is_string();
            assert!(made || asked, "{node}");
        }
        nodes.iter().map(|node| (text(&node["action"]), text(&node["id"]))).collect()
    }
}

/// A trigger that refuses every event of the log.
async fn refuse_events(world: &World, backend: Backend, refuse: bool) {
    let sql = match (backend, refuse) {
        (Backend::Postgres, true) => {
            "CREATE FUNCTION no_event() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN RAISE EXCEPTION 'no event'; END $$;
             CREATE TRIGGER no_event BEFORE INSERT ON audit_event FOR EACH ROW EXECUTE FUNCTION no_event();"
        }
        (Backend::Postgres, false) => "DROP TRIGGER no_event ON audit_event; DROP FUNCTION no_event();",
        (Backend::Sqlite, true) => {
            "CREATE TRIGGER no_event BEFORE INSERT ON audit_event BEGIN SELECT RAISE(ABORT, 'no event'); END;"
        }
        (Backend::Sqlite, false) => "DROP TRIGGER no_event;",
    };
    world.sql(sql).await;
}

async fn every_mutation_leaves_its_record(backend: Backend) {
    let world = World::start_untimed(backend, bursar::clock::Clock::system()).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    world.grant(&demo.organization, &demo.pool, 500).await;
    owner.allocate(&demo.pool, &demo.sales, 100, "records").await;
    owner.allocate(&demo.pool, &demo.marketing, 100, "records-2").await;
    let organization: OrganizationId = global_id::decode(&demo.organization).unwrap();
    let schema = Schema::read(&owner).await;
    let founder = world.found("beside").await;
    let query = r#"{ organization(by: { slug: "beside" }) { id } }"#;
    let beside = founder.query(query, json!({})).await["organization"]["id"].as_str().unwrap().to_owned();
    let query = "{ organizations { nodes { auditEvents(first: 100) { nodes { id } } } } }";
    let seen = operator.query(query, json!({})).await;
    let nodes = seen["organizations"]["nodes"].as_array().unwrap();
    let ids = nodes.iter().flat_map(|node| node["auditEvents"]["nodes"].as_array().unwrap());
    let before = ids.map(|node| node["id"].as_str().unwrap().to_owned()).collect();
    let admin = world.client("admin@demo.test").await;
    let scene = Scene { demo, beside, owner, operator, admin, before };
    let db = &world.services().context.db;
    for (number, (mutation, input_type)) in schema.mutations.iter().enumerate() {
        if ASIDE.contains(&mutation.as_str()) {
            continue;
        }
        let unique = format!("r{number}");
        let expected = leaves(mutation);
        let input = scene.input(mutation, &unique).await;
        if mutation == "replayDelivery" {
            world.sql("UPDATE delivery SET state = 'DEAD'").await;
        }
        let client = if VENDORS.contains(&mutation.as_str()) { &scene.operator } else { &scene.owner };
        let founded = mutation == "createOrganization";
        let slug = match mutation.as_str() {
            "suspendOrganization" | "resumeOrganization" => "beside",
            _ if founded => unique.as_str(),
            _ => "demo",
        };
        if !matches!(expected, Leaves::Row(_) | Leaves::Nothing) {
            // Without its record, nothing of the change is left.
            refuse_events(&world, backend, true).await;
            let before = rows::of(db, organization).await;
            let query = format!(
                "mutation M($input: {input_type}!) {{ {mutation}(input: $input) {{ userErrors {{ code }} }} }}"
            );
            let body = client.raw(&query, json!({ "input": input })).await;
            assert_eq!(
                body["errors"][0]["extensions"]["code"], "INTERNAL_SERVER_ERROR",
                "{mutation}: {body}"
            );
            assert_eq!(before, rows::of(db, organization).await, "{mutation} is not one transaction");
            let founders = format!("SELECT count(*) AS n FROM organization WHERE slug = '{unique}'");
            assert_eq!(world.number(&founders).await, 0);
            refuse_events(&world, backend, false).await;
        }
        let known: BTreeSet<(String, String)> = scene.newest(slug).await.into_iter().collect();
        let payload = client.try_mutate(mutation, input_type, input, "").await;
        assert_eq!(payload["userErrors"], json!([]), "{mutation}: {payload}");
        let new = scene.newest(slug).await.into_iter().filter(|entry| !known.contains(entry));
        let mut new: Vec<String> = new.map(|(action, _)| action).collect();
        new.sort();
        match expected {
            Leaves::Event => assert_eq!(new, [mutation.as_str()]),
            Leaves::Events(both) => assert_eq!(new, both),
            Leaves::All(all) => assert_eq!(new, all, "{mutation}"),
            Leaves::Row(name) => assert_eq!(new, [name], "{mutation}"),
            Leaves::Nothing => assert!(new.is_empty(), "{mutation}: {new:?}"),
        }
    }
    assert!(schema.mutations.len() >= 41, "{}", schema.mutations.len());
}
