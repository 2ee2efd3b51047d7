//! The life of an organization: one that is suspended only reads, whatever is tried; what is paid for it meanwhile comes
//! in once, when it may act again; its sandbox goes with it, and is told apart.

use std::collections::BTreeMap;

use bursar::clock::Clock;
use bursar::global_id;
use bursar_domain::id::{MembershipId, OrganizationId};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::{self, balances_are_right, grant, pool, refusal};
use crate::support::schema::Schema;
use crate::support::{Backend, Client, World, approvals, keys, rows, uses};

on_both_databases!(
    a_suspended_organization_only_reads,
    what_is_paid_for_meanwhile_comes_in_once,
    paying_and_resuming_at_once_loses_nothing,
    two_things_in_the_way,
    the_sandbox_goes_with_it_and_is_told_apart,
);

/// Suspends an organization, or lets it act again.
async fn set(operator: &Client, mutation: &str, organization: &str) -> Value {
    let input_type = format!("{}{}Input", mutation[..1].to_uppercase(), &mutation[1..]);
    let input = json!({ "organizationId": organization, "reason": "For a test" });
    operator.mutate(mutation, &input_type, input, "organization { state }").await["organization"]["state"]
        .clone()
}

/// What goes on in a suspended organization; everything else is refused.
const GOES_ON: &[&str] = &[
    "suspendOrganization",
    "resumeOrganization",
    "erasePerson",
    // Whoever leaves takes along what is theirs.
    "exportOrganization",
    // The money has gone back, or is to. What it takes back waits.
    "refundPurchase",
    "freezePool",
    "unfreezePool",
    // Whoever must not come in any more, or must not do as much.
    "removeMember",
    "removeDepartmentMember",
    "removePoolAdministrator",
    "revokeApiKey",
    "revokeInvitation",
    // Whoever stood in for somebody no longer does.
    "revokeDelegation",
    // It only looks.
    "simulateApprovalPolicy",
    "captureHold",
    "voidHold",
    // Money that has arrived is recorded, whether it is convenient or not.
    "recordInvoicePayment",
    // It takes what a mail proves.
    "acceptInvitation",
    // About the person, not about the organization.
    "requestSignInLink",
    "redeemSignInLink",
    "refreshSession",
    "signOut",
    "revokeSession",
    // About the vendor's money.
    "resolveParkedPayment",
];

async fn a_suspended_organization_only_reads(backend: Backend) {
    let world = World::start_untimed(backend, Clock::system()).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    let ids = things(&world, &owner, &operator).await;
    assert_eq!(set(&operator, "suspendOrganization", &demo.organization).await, "SUSPENDED");
    let organization: OrganizationId = global_id::decode(&demo.organization).unwrap();
    let (db, schema) = (&world.services().context.db, Schema::read(&owner).await);
    let before = rows::of(db, organization).await;
    let mut tried = 0;
    for (number, (mutation, input_type)) in schema.mutations.iter().enumerate() {
        // What is about no organization that there is, or proves itself by a mail: see `invitations`.
        let elsewhere = ELSEWHERE.contains(&mutation.as_str());
        if GOES_ON.contains(&mutation.as_str()) || elsewhere {
            continue;
        }
        tried += 1;
        let id = |field: &str| ids.of(mutation, field);
        let input = ids.fitting(mutation, schema.input(input_type, &id, &format!("suspended-{number}")));
        let client = if VENDORS.contains(&mutation.as_str()) { &operator } else { &owner };
        // A batch answers for each of its items.
        let batch = mutation == "chargeCreditsBatch";
        let fields = if batch { "results { userErrors { code } }" } else { "" };
        let payload = client.try_mutate(mutation, input_type, input, fields).await;
        let answer = if batch { &payload["results"][0] } else { &payload };
        let code = &answer["userErrors"][0]["code"];
        assert_eq!(code, "ORGANIZATION_SUSPENDED", "{mutation}: {payload}");
    }
    assert!(tried >= 33, "{tried} mutations were tried");
    assert_eq!(before, rows::of(db, organization).await, "something has changed");
    // It is read as before, and what was agreed on is brought to its end.
    assert_eq!(owner.balance(&demo.pool).await.0, ids.available);
    let input = json!({ "holdId": ids.of("captureHold", "holdId"), "idempotencyKey": "captured" });
    owner.mutate("captureHold", "CaptureHoldInput", input, "charge { id }").await;
    let input = json!({ "keyId": ids.of("revokeApiKey", "keyId") });
    owner.mutate("revokeApiKey", "RevokeApiKeyInput", input, "apiKey { id }").await;
    let member = ids.of("removeDepartmentMember", "memberId");
    let input = json!({ "departmentId": demo.sales, "memberId": member });
    owner.mutate("removeDepartmentMember", "RemoveDepartmentMemberInput", input, "department { id }").await;
    let member = ids.of("removePoolAdministrator", "memberId");
    let input = json!({ "poolId": demo.pool, "memberId": member });
    owner.mutate("removePoolAdministrator", "RemovePoolAdministratorInput", input, "pool { id }").await;
    // A role may be lowered, and not raised again.
    let input = json!({ "memberId": ids.of("updateMemberRole", "adminId"), "role": "MEMBER" });
    owner.mutate("updateMemberRole", "UpdateMemberRoleInput", input.clone(), "member { role }").await;
    let mut raised = input;
    raised["role"] = json!("AUDITOR");
    let raised = owner.try_mutate("updateMemberRole", "UpdateMemberRoleInput", raised, "").await;
    assert_eq!(refusal(&raised).0, "ORGANIZATION_SUSPENDED", "{raised}");
    let input = json!({ "memberId": ids.of("removeMember", "memberId") });
    owner.mutate("removeMember", "RemoveMemberInput", input, "removedMemberId").await;
    // Suspending again changes nothing; afterwards everything goes on.
    set(&operator, "suspendOrganization", &demo.organization).await;
    assert_eq!(set(&operator, "resumeOrganization", &demo.organization).await, "ACTIVE");
    set(&operator, "resumeOrganization", &demo.organization).await;
    let charged = owner.charge(uses::of(&demo.pool, "after", 1)).await;
    assert_eq!(refusal(&charged).0, "none");
    let query = r#"{ organization(by: { slug: "demo" }) { auditEvents(first: 100, filter: { source: EVENT }) { nodes { action before after } } } }"#;
    let events = owner.query(query, json!({})).await["organization"]["auditEvents"]["nodes"].clone();
    let of = |action: &str| -> Vec<Value> {
        events.as_array().unwrap().iter().filter(|event| event["action"] == action).cloned().collect()
    };
    let (suspended, resumed) = (of("suspendOrganization"), of("resumeOrganization"));
    assert_eq!((suspended.len(), resumed.len()), (1, 1));
    assert_eq!(suspended[0]["after"], json!({ "state": "SUSPENDED", "reason": "For a test" }));
    assert_eq!(resumed[0]["before"], json!({ "state": "SUSPENDED" }));
    balances_are_right(&world).await;
}

/// What is about no organization that there is, or proves itself by a mail.
const ELSEWHERE: &[&str] =
    &["createOrganization", "acceptInvitation", "savePackage", "saveService", "saveVolumeTiers"];

/// Mutations that the vendor's staff alone may carry out.
const VENDORS: &[&str] = &[
    "addMember",
    "answerQuote",
    "correctBalance",
    "extendLot",
    "grantCredits",
    "importBalances",
    "refundCharge",
    "setContractPrice",
    "setOrganizationPrice",
    "setPaymentTerms",
];

/// Things of the demonstration's that mutations can be about.
struct Things {
    ids: BTreeMap<&'static str, String>,
    /// What is available in the pool.
    available: i64,
}

impl Things {
    /// The thing that a field of a mutation's input names.
    fn of(&self, mutation: &str, field: &str) -> String {
        let name = match (mutation, field) {
            // Empty, so that nothing but the suspension stands in the way.
            ("archivePool", "poolId") => "emptyPoolId",
            ("archiveDepartment", "departmentId") => "emptyDepartmentId",
            ("removeDepartmentMember", "memberId") => "managerId",
            ("removePoolAdministrator", "memberId") => "administratorId",
            ("decideApproval", "requestId") => "approvalId",
            (_, "delegateId") => "memberId",
            (_, "departmentManagersOf") => "departmentId",
            (_, "poolIds") => "poolId",
            (_, "departmentIds") => "departmentId",
            (_, "onBehalfOfId") => "ownerId",
            (_, field) => field,
        };
        self.ids.get(name).unwrap_or_else(|| panic!("{mutation} takes what as {field}?")).clone()
    }

    /// The input, so that nothing but the suspension stands in the way.
    fn fitting(&self, mutation: &str, mut input: Value) -> Value {
        match mutation {
            "updateMemberRole" => input["role"] = json!("AUDITOR"),
            "delegateApprovals" => input["from"] = Value::Null,
            "saveApprovalPolicy" => {
                input = json!({ "organizationId": self.ids["organizationId"], "expectedVersion": 1,
                    "policy": { "rules": [] } });
            }
            // Nobody was asked about it.
            "updatePurchase" => input["round"] = Value::Null,
            "createApiKey" => {
                input.as_object_mut().unwrap().retain(|name, _| !name.ends_with("Ids"));
            }
            "transferCredits" => {
                input["to"] = json!({ "poolId": self.ids["poolId"], "departmentId": null });
            }
            "refundCharge" => {
                input = json!({ "chargeId": self.ids["chargeId"], "idempotencyKey": mutation });
            }
            "chargeCreditsBatch" => {
                let items = json!([uses::of(&self.ids["poolId"], mutation, 1)]);
                input = json!({ "mode": "ATOMIC", "items": items });
            }
            "grantCredits" | "correctBalance" => {
                input = json!({ "poolId": self.ids["poolId"], "credits": 1, "reason": "x", "idempotencyKey": mutation });
            }
            "importBalances" => {
                let items = json!([{ "poolId": self.ids["poolId"], "credits": 1, "class": "PROMOTIONAL" }]);
                let organization = &self.ids["organizationId"];
                input = json!({ "organizationId": organization, "items": items, "reason": "x", "idempotencyKey": mutation });
            }
            _ => {}
        }
        input
    }
}

/// Makes one thing of each kind.
async fn things(world: &World, owner: &Client, operator: &Client) -> Things {
    let demo = owner.demo().await;
    owner.allocate(&demo.pool, &demo.sales, 40, "things").await;
    let soon = (chrono::Utc::now() + chrono::Duration::days(9)).to_rfc3339();
    let lot =
        grant(operator, &demo.pool, 10, json!({ "expiresAt": soon }), "things").await["lot"]["id"].clone();
    let held = acts::hold(owner, &demo.pool, None, 1, 3_600).await;
    let charged = owner.charge(uses::of(&demo.pool, "things", 1)).await["charge"]["id"].clone();
    let made = |name: &'static str, kind: &'static str, input: Value, of: &'static str| async move {
        let made = owner.mutate(name, kind, input, &format!("{of} {{ id }}")).await;
        made[of]["id"].as_str().unwrap().to_owned()
    };
    let member = |email: &'static str| {
        let input = json!({ "organizationId": demo.organization, "email": email, "role": "MEMBER" });
        async move {
            let made = operator.mutate("addMember", "AddMemberInput", input, "member { id }").await;
            made["member"]["id"].as_str().unwrap().to_owned()
        }
    };
    let (fresh, manager, administrator) = (
        member("fresh@life.test").await,
        member("manager@life.test").await,
        member("administrator@life.test").await,
    );
    let input = json!({ "departmentId": demo.sales, "memberId": manager });
    made("addDepartmentMember", "AddDepartmentMemberInput", input, "department").await;
    let input = json!({ "poolId": demo.pool, "memberId": administrator });
    made("addPoolAdministrator", "AddPoolAdministratorInput", input, "pool").await;
    let input = json!({ "poolId": demo.pool, "scope": { "memberId": fresh }, "credits": 40 });
    let cap = made("createSpendingCap", "CreateSpendingCapInput", input, "cap").await;
    let input = json!({ "poolId": demo.pool, "departmentId": demo.sales, "credits": 1 });
    let asked = made("requestCredits", "RequestCreditsInput", input, "creditRequest").await;
    let input = json!({ "organizationId": demo.organization, "email": "asked@life.test", "role": "MEMBER" });
    let invited = made("inviteMember", "InviteMemberInput", input, "invitation").await;
    let input = json!({ "organizationId": demo.organization, "code": "EMPTY", "name": "Empty" });
    let empty = made("createDepartment", "CreateDepartmentInput", input, "department").await;
    let key = keys::make(world, owner, Some(&demo.organization), &["CHARGES_WRITE"], json!({})).await;
    world.sql("UPDATE delivery SET state = 'DEAD'").await;
    let query = "{ viewer { memberships { id } } organization(by: { slug: \"demo\" }) { deliveries { nodes { id } } } }";
    let data = owner.query(query, json!({})).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (purchase, _) = owner.checkout(&demo.pool, "things").await;
    let input = json!({ "poolId": demo.pool, "credits": 2_000, "idempotencyKey": "things" });
    let quote = made("requestQuote", "RequestQuoteInput", input, "quote").await;
    let rule = approvals::professional(json!([{ "name": "Owners", "approvers": [{ "role": "OWNER" }] }]));
    approvals::save(owner, &demo.organization, rule, json!({})).await;
    let admin = world.client("admin@demo.test").await;
    let approval = approvals::requested(&admin, &demo.pool, "PROFESSIONAL", "to agree to").await.request;
    let own = admin.query("{ viewer { memberships { id } } }", json!({})).await;
    let ids = BTreeMap::from([
        ("organizationId", demo.organization.clone()),
        ("poolId", demo.pool.clone()),
        ("emptyPoolId", pool(owner, &demo.organization, "Empty").await),
        ("departmentId", demo.sales.clone()),
        ("emptyDepartmentId", empty),
        ("memberId", fresh),
        ("managerId", manager),
        ("administratorId", administrator),
        ("ownerId", text(&data["viewer"]["memberships"][0]["id"])),
        ("adminId", text(&own["viewer"]["memberships"][0]["id"])),
        ("capId", cap),
        ("requestId", asked),
        ("approvalId", approval),
        ("invitationId", invited),
        ("keyId", key.id),
        ("deliveryId", text(&data["organization"]["deliveries"]["nodes"][0]["id"])),
        ("purchaseId", purchase),
        ("quoteId", quote),
        ("holdId", held),
        ("chargeId", text(&charged)),
        ("lotId", text(&lot)),
        ("correctsTransferId", global_id::encode_transfer(global_id::decode(&demo.pool).unwrap(), 1)),
    ]);
    assert!(global_id::decode::<MembershipId>(&ids["ownerId"]).is_some());
    Things { ids, available: owner.balance(&demo.pool).await.0 }
}

/// What has become of a purchase.
async fn state(owner: &Client, purchase: &str) -> Value {
    let query = "query P($id: ID!) { node(id: $id) { ... on Purchase { state lot { credits } payments { state } } } }";
    owner.query(query, json!({ "id": purchase })).await["node"].clone()
}

async fn what_is_paid_for_meanwhile_comes_in_once(backend: Backend) {
    let world = World::start(backend).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    let (purchase, url) = owner.checkout(&demo.pool, "k").await;
    set(&operator, "suspendOrganization", &demo.organization).await;
    let (status, page) = owner.submit(&format!("{url}/pay")).await;
    assert!(status == 200 && page.contains("Paid. Thank you.") && page.contains("is suspended"), "{page}");
    let (_, page) = owner.open(&url).await;
    assert!(page.contains("This order is paid.") && page.contains("is suspended"), "{page}");
    let paid = json!({ "state": "COMPLETED", "lot": null, "payments": [{ "state": "PAID" }] });
    assert_eq!(state(&owner, &purchase).await, paid);
    assert_eq!(owner.balance(&demo.pool).await, (100, 1));
    for _ in 0..2 {
        set(&operator, "resumeOrganization", &demo.organization).await;
        assert_eq!(state(&owner, &purchase).await["lot"], json!({ "credits": 100 }));
        assert_eq!(owner.balance(&demo.pool).await, (200, 2));
    }
    let (_, page) = owner.submit(&format!("{url}/pay")).await;
    assert!(page.contains("This order is paid.") && !page.contains("suspended"), "{page}");
    balances_are_right(&world).await;
}

async fn paying_and_resuming_at_once_loses_nothing(backend: Backend) {
    let world = World::start(backend).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    for round in 1..=8 {
        let (purchase, url) = owner.checkout(&demo.pool, &format!("k{round}")).await;
        set(&operator, "suspendOrganization", &demo.organization).await;
        let pay = async { owner.submit(&format!("{url}/pay")).await.0 };
        let (status, state_after) =
            tokio::join!(pay, set(&operator, "resumeOrganization", &demo.organization));
        assert_eq!((status, state_after), (200, json!("ACTIVE")), "round {round}");
        assert_eq!(state(&owner, &purchase).await["lot"], json!({ "credits": 100 }), "round {round}");
        assert_eq!(owner.balance(&demo.pool).await.0, 100 * (round + 1), "round {round}");
    }
    // Nor does anything slip through that is recorded after the suspension.
    let renames = (0..12).map(|number| {
        let (owner, organization) = (owner.another(), demo.organization.clone());
        async move {
            let input = json!({ "organizationId": organization, "name": format!("Name {number}") });
            owner.try_mutate("updateOrganization", "UpdateOrganizationInput", input, "").await
        }
    });
    tokio::join!(join_all(renames), set(&operator, "suspendOrganization", &demo.organization));
    let late = "SELECT count(*) AS n FROM audit_event e WHERE action = 'updateOrganization' AND position >
        (SELECT max(position) FROM audit_event s WHERE s.action = 'suspendOrganization' AND s.organization_id = e.organization_id)";
    assert_eq!(world.number(late).await, 0);
    balances_are_right(&world).await;
}

/// A frozen pool in a suspended organization: what was paid for comes in with the second that is lifted.
async fn two_things_in_the_way(backend: Backend) {
    let world = World::start(backend).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    for (round, resumed_first) in [true, false].into_iter().enumerate() {
        let (purchase, url) = owner.checkout(&demo.pool, &format!("k{round}")).await;
        set(&operator, "suspendOrganization", &demo.organization).await;
        let input = json!({ "poolId": demo.pool, "reason": "x" });
        operator.mutate("freezePool", "FreezePoolInput", input.clone(), "pool { id }").await;
        assert_eq!(owner.submit(&format!("{url}/pay")).await.0, 200);
        for first in [true, false] {
            if first == resumed_first {
                set(&operator, "resumeOrganization", &demo.organization).await;
            } else {
                operator.mutate("unfreezePool", "UnfreezePoolInput", input.clone(), "pool { id }").await;
            }
            let expected = if first { Value::Null } else { json!({ "credits": 100 }) };
            assert_eq!(state(&owner, &purchase).await["lot"], expected, "resumed first: {resumed_first}");
        }
    }
    balances_are_right(&world).await;
}

async fn the_sandbox_goes_with_it_and_is_told_apart(backend: Backend) {
    let world = World::start(backend).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    let test = json!({ "mode": "TEST" });
    let key = keys::make(&world, &owner, Some(&demo.organization), &["CHARGES_WRITE"], test).await;
    let listed = |client: Client, arguments: &'static str| async move {
        let query = format!(
            "{{ organizations{arguments} {{ nodes {{ slug sandbox state sandboxOf {{ slug }} }} }} }}"
        );
        client.query(&query, json!({})).await["organizations"]["nodes"].clone()
    };
    let real = json!([{ "slug": "demo", "sandbox": false, "state": "ACTIVE", "sandboxOf": null }]);
    let sandbox = json!([{ "slug": "demo-sandbox", "sandbox": true, "state": "ACTIVE", "sandboxOf": { "slug": "demo" } }]);
    assert_eq!(listed(operator.clone(), "").await, real);
    assert_eq!(listed(operator.clone(), "(filter: { sandbox: false })").await, real);
    assert_eq!(listed(operator.clone(), "(filter: { sandbox: true })").await, sandbox);
    assert_eq!(listed(operator.clone(), "(filter: { state: SUSPENDED })").await, json!([]));
    // Who acts there sees it without asking, and nothing of the other.
    let own = listed(key.client.clone(), "").await;
    assert_eq!((&own[0]["slug"], &own[0]["sandboxOf"]), (&json!("demo-sandbox"), &Value::Null));
    let query = "{ organizations { nodes { pools { nodes { id } } } } }";
    let data = key.client.query(query, json!({})).await;
    let pool = data["organizations"]["nodes"][0]["pools"]["nodes"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(keys::charge(&key.client, &pool, None, "before").await, None);
    set(&operator, "suspendOrganization", &demo.organization).await;
    let refused = Some("ORGANIZATION_SUSPENDED".to_owned());
    assert_eq!(keys::charge(&key.client, &pool, None, "while").await, refused);
    let both = "(filter: { sandbox: true, state: SUSPENDED })";
    assert_eq!(listed(operator.clone(), both).await[0]["slug"], "demo-sandbox");
    set(&operator, "resumeOrganization", &demo.organization).await;
    assert_eq!(keys::charge(&key.client, &pool, None, "while").await, None);
}
