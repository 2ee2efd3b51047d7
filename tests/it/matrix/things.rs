//! What the callers look at and change: of each type so many things that every field shows something, most of them of
//! Sales in the first pool; and some where it matters whose they are.

use std::collections::{BTreeMap, BTreeSet};

use bursar::organizations::InvitationLink;
use bursar_entity::invitation;
use serde_json::{Value, json};

use super::needs::{Place, Tenant};
use super::stage::{self, SPARES, Stage};
use crate::support::client::Demo;
use crate::support::sign_in::sign_in;
use crate::support::{acts, approvals, keys, settled};

/// Something with an id.
pub struct Thing {
    /// Its type.
    pub kind: &'static str,
    /// What to call it when something is wrong.
    pub name: &'static str,
    /// Its global id.
    pub id: String,
    /// Where it is.
    pub place: Place,
}

/// All of them.
pub struct Things {
    /// Those that can be found by id.
    pub all: Vec<Thing>,
    /// The one that the inputs name by a field.
    targets: BTreeMap<&'static str, Thing>,
    /// Memberships and people of the organizations, by their ids.
    pub people: BTreeSet<String>,
    /// Memberships and people whom somebody may remove or have forgotten.
    pub spares: Vec<(String, String)>,
}

impl Things {
    /// What inputs name by a field.
    pub fn named(&self, field: &str) -> &Thing {
        let field = match field {
            "poolIds" => "poolId",
            "departmentIds" => "departmentId",
            "onBehalfOfId" | "delegateId" => "memberId",
            "departmentManagersOf" => "departmentId",
            other => other,
        };
        self.targets.get(field).unwrap_or_else(|| panic!("what does {field} take?"))
    }

    fn put(&mut self, kind: &'static str, name: &'static str, id: &str, place: &Place) {
        self.all.push(Thing { kind, name, id: id.to_owned(), place: place.clone() });
    }

    /// The same, for inputs to name.
    fn aim(&mut self, field: &'static str, kind: &'static str, id: &str, place: &Place) {
        let thing = || Thing { kind, name: "the target", id: id.to_owned(), place: place.clone() };
        self.targets.insert(field, thing());
        if !NO_NODES.contains(&kind) {
            self.all.push(thing());
        }
    }
}

/// What inputs name and no look-up finds.
pub const NO_NODES: &[&str] = &["ApprovalDelegation", "Session"];

/// The id of something of the same type that is not there.
pub fn absent(id: &str) -> String {
    let (thing, version) = match id.strip_prefix("transfer_").and_then(|rest| rest.split_once('_')) {
        Some((pool, version)) => (format!("transfer_{pool}"), format!("_{version}")),
        None => (id.to_owned(), String::new()),
    };
    format!("{}zzzzzz{version}", &thing[..thing.len() - 6])
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no id"))
}

fn in_days(days: i64) -> String {
    (chrono::Utc::now() + chrono::Duration::days(days)).to_rfc3339()
}

/// What a charge or a hold takes.
fn use_of(pool: &str, department: Option<&str>, member: Option<&str>, key: &str) -> Value {
    json!({ "poolId": pool, "departmentId": department, "onBehalfOfId": member, "idempotencyKey": key, "reference": key,
        "lines": [{ "service": "STYLE_CHANGE" }], "subject": "A house", "metadata": { "room": 1 } })
}

/// Makes all of them.
pub async fn all(stage: &Stage) -> Things {
    let (people, targets) = (BTreeSet::new(), BTreeMap::new());
    let mut things = Things { all: Vec::new(), targets, people, spares: Vec::new() };
    structure(stage, &mut things).await;
    papers(stage, &mut things).await;
    uses(stage, &mut things).await;
    requests(stage, &mut things).await;
    bills(stage, &mut things).await;
    prices(stage, &mut things).await;
    elsewhere(stage, &mut things).await;
    decisions(stage, &mut things).await;
    read(stage, &mut things).await;
    for slug in ["demo", "rival"] {
        let members = stage::members(&stage.operator, slug).await;
        things.people.extend(members.into_values().flat_map(|(member, user)| [member, user]));
    }
    things
}

/// The organization, who belongs to it, and what it is made of.
async fn structure(stage: &Stage, things: &mut Things) {
    let whole = Place::of(Tenant::Demo);
    let Demo { organization, pool, sales, marketing } = &stage.demo;
    things.aim("organizationId", "Organization", organization, &whole);
    things.aim("poolId", "CreditPool", pool, &stage.main());
    things.put("CreditPool", "the other pool", &stage.other, &stage.elsewhere());
    // Charged where the pool of the other field is.
    things.aim("departmentId", "Department", sales, &stage.main().of_department(stage.sales()));
    things.put("Department", "Marketing", marketing, &whole.of_department(stage.marketing()));
    things.aim("memberId", "Member", stage.member("target@demo.test"), &whole);
    things.aim("userId", "User", stage.person("target@demo.test"), &whole);
    for email in ["member@demo.test", "administrator@demo.test"] {
        let own = whole.of_person(email);
        things.put("Member", email, stage.member(email), &own);
        things.put("User", email, stage.person(email), &own);
    }
    for number in 1..=SPARES {
        let email = format!("spare-{number}@demo.test");
        things.spares.push((stage.member(&email).to_owned(), stage.person(&email).to_owned()));
    }
    let query = r#"{ rival: organization(by: { slug: "rival" }) { id } sandbox: organization(by: { slug: "demo-sandbox" }) { id }
        demo: organization(by: { slug: "demo" }) { services(first: 1) { nodes { id } } packages(first: 1) { nodes { id } } } }"#;
    let data = stage.operator.query(query, json!({})).await;
    things.put("Organization", "the rival's", text(&data["rival"]["id"]), &Place::of(Tenant::Rival));
    things.put("Organization", "the sandbox", text(&data["sandbox"]["id"]), &Place::of(Tenant::Sandbox));
    for (kind, list) in [("Service", "services"), ("Package", "packages")] {
        things.put(kind, "one of the catalog", text(&data["demo"][list]["nodes"][0]["id"]), &whole);
    }
}

/// Keys, invitations, deliveries, single sign-on, sessions.
async fn papers(stage: &Stage, things: &mut Things) {
    let (world, owner, whole) = (&stage.world, &stage.owner, Place::of(Tenant::Demo));
    let organization = stage.demo.organization.as_str();
    let reach = json!({ "poolIds": [stage.demo.pool], "departmentIds": [stage.demo.sales] });
    let first = keys::make(world, owner, Some(organization), &["CHARGES_WRITE"], reach).await;
    let rotated = keys::rotate(world, owner, &first, 3_600).await;
    things.put("ApiKey", "one that takes the place of another", &rotated.id, &whole);
    let target = keys::make(world, owner, Some(organization), &["CHARGES_WRITE"], json!({})).await;
    things.aim("keyId", "ApiKey", &target.id, &whole);

    let invite = async |email: &str| {
        let input = json!({ "organizationId": organization, "email": email, "role": "MEMBER" });
        let made = owner.mutate("inviteMember", "InviteMemberInput", input, "invitation { id }").await;
        text(&made["invitation"]["id"]).to_owned()
    };
    things.aim("invitationId", "Invitation", &invite("invited@demo.test").await, &whole);
    // Somebody whom Bursar knows accepts.
    let back = stage::add(&stage.operator, organization, "back@demo.test").await;
    stage::remove(owner, &back).await;
    let accepted = invite("back@demo.test").await;
    let rows = world.database.rows::<invitation::Entity>().await;
    let row = rows.iter().find(|row| row.email == "back@demo.test").unwrap();
    let token = InvitationLink::new(&world.services().keys, row).text();
    let back = world.client("back@demo.test").await;
    let input = json!({ "token": token });
    back.mutate("acceptInvitation", "AcceptInvitationInput", input, "member { id }").await;
    things.put("Invitation", "one that was accepted", &accepted, &whole);

    let query = r#"{ organization(by: { slug: "demo" }) { deliveries(first: 1) { nodes { id } } } }"#;
    let data = owner.query(query, json!({})).await;
    world.sql("UPDATE delivery SET state = 'DEAD'").await;
    let id = text(&data["organization"]["deliveries"]["nodes"][0]["id"]);
    things.aim("deliveryId", "Delivery", id, &whole);

    // Of nobody but the vendor; one of them decided about.
    let parked = settled::park(world, "pi_parked").await;
    things.aim("parkedPaymentId", "ParkedPayment", &parked, &whole);
    let decided = settled::park(world, "pi_decided").await;
    let input = json!({ "parkedPaymentId": decided, "resolution": { "dismiss": true }, "note": "Given back",
        "idempotencyKey": "given back" });
    let fields = "parkedPayment { id }";
    stage.operator.mutate("resolveParkedPayment", "ResolveParkedPaymentInput", input, fields).await;
    things.put("ParkedPayment", "one that was dismissed", &decided, &whole);

    let input = json!({ "organizationId": organization, "issuer": "https://login.example", "clientId": "c", "audience": "a",
        "domains": ["demo.test"], "groupClaim": "groups", "groupRoles": [{ "group": "auditors", "role": "AUDITOR" }] });
    let fields = "singleSignOn { enabled }";
    owner.mutate("configureSingleSignOn", "ConfigureSingleSignOnInput", input, fields).await;

    let session = sign_in(world, "owner@demo.test").await;
    things.aim("sessionId", "Session", &session.id, &whole.of_person("owner@demo.test"));
}

/// Allocations, caps, charges, holds and refunds.
async fn uses(stage: &Stage, things: &mut Things) {
    let (owner, main) = (&stage.owner, stage.main());
    let Demo { pool, sales, marketing, .. } = &stage.demo;
    let (of_sales, of_marketing) = (main.of_department(stage.sales()), main.of_department(stage.marketing()));
    let refill = json!({ "credits": 30, "period": "MONTH" });
    let input = json!({ "poolId": pool, "departmentId": sales, "refill": refill });
    let fields = "allocation { id }";
    let set = owner.mutate("setAllocationRefill", "SetAllocationRefillInput", input, fields).await;
    things.put("Allocation", "that of Sales", text(&set["allocation"]["id"]), &of_sales);
    let more = owner.allocate(pool, marketing, 1, "one more").await;
    things.put("Allocation", "that of Marketing", text(&more["allocation"]["id"]), &of_marketing);

    let milo = stage.member("member@demo.test");
    let cap = async |scope: Value| {
        let input = json!({ "poolId": pool, "scope": scope, "credits": 1_000 });
        let made = owner.mutate("createSpendingCap", "CreateSpendingCapInput", input, "cap { id }").await;
        text(&made["cap"]["id"]).to_owned()
    };
    things.aim("capId", "SpendingCap", &cap(json!({ "departmentId": sales })).await, &of_sales);
    let own = main.of_person("member@demo.test");
    things.put("SpendingCap", "a member's", &cap(json!({ "memberId": milo })).await, &own);
    things.put("SpendingCap", "a service's", &cap(json!({ "service": "STYLE_CHANGE" })).await, &main);

    let charge = async |department: Option<&str>, key: &str| {
        let made = owner.charge(use_of(pool, department, Some(milo), key)).await;
        assert_eq!(made["userErrors"], json!([]), "{made}");
        text(&made["charge"]["id"]).to_owned()
    };
    let sold = charge(Some(sales.as_str()), "sold").await;
    things.aim("chargeId", "Charge", &sold, &of_sales);
    things.put(
        "Charge",
        "Marketing's",
        &charge(Some(marketing.as_str()), "of Marketing").await,
        &of_marketing,
    );
    things.put("Charge", "of no department", &charge(None, "of nobody").await, &main);
    let input = json!({ "chargeId": sold, "credits": 1, "idempotencyKey": "given back" });
    let made = stage.operator.mutate("refundCharge", "RefundChargeInput", input, "refund { id }").await;
    things.put("Refund", "of Sales", text(&made["refund"]["id"]), &of_sales);

    let hold = async |department: Option<&str>, key: &str| {
        let input = use_of(pool, department, Some(milo), key);
        let made = owner.mutate("holdCredits", "HoldCreditsInput", input, "hold { id }").await;
        text(&made["hold"]["id"]).to_owned()
    };
    things.aim("holdId", "Hold", &hold(Some(sales.as_str()), "held").await, &of_sales);
    things.put("Hold", "of no department", &hold(None, "held of nobody").await, &main);
    let captured = hold(Some(sales.as_str()), "captured").await;
    let input = json!({ "holdId": captured, "final": true, "idempotencyKey": "capture" });
    let made = owner.mutate("captureHold", "CaptureHoldInput", input, "charge { id }").await;
    things.put("Hold", "one that was captured", &captured, &of_sales);
    things.put("Charge", "one that captures", text(&made["charge"]["id"]), &of_sales);
}

/// Requests for credits with each of the answers, and purchases.
async fn requests(stage: &Stage, things: &mut Things) {
    let (owner, main) = (&stage.owner, stage.main());
    let Demo { pool, sales, .. } = &stage.demo;
    let member = stage.world.client("member@demo.test").await;
    let own = main.of_department(stage.sales()).of_person("member@demo.test");
    let ask = async |credits: i64| {
        let input = json!({ "poolId": pool, "departmentId": sales, "credits": credits, "reason": "A house" });
        let fields = "creditRequest { id }";
        let made = member.mutate("requestCredits", "RequestCreditsInput", input, fields).await;
        text(&made["creditRequest"]["id"]).to_owned()
    };
    things.aim("requestId", "CreditRequest", &ask(1).await, &own);
    let raise = json!({ "capId": things.named("capId").id, "credits": 1, "until": in_days(30) });
    for (credits, name, answer) in [
        (2, "one with an allocation", json!({ "allocate": { "credits": 1 } })),
        (3, "one with a raise", json!({ "raiseCap": raise })),
        (4, "one with a purchase", json!({ "purchase": { "package": "STARTER" } })),
    ] {
        let request = ask(credits).await;
        let input = json!({ "requestId": request, "answer": answer, "note": "Here", "idempotencyKey": name });
        let fields = "purchase { id }";
        let made = owner.mutate("resolveCreditRequest", "ResolveCreditRequestInput", input, fields).await;
        things.put("CreditRequest", name, &request, &own);
        if let Some(purchase) = made["purchase"]["id"].as_str() {
            things.put("Purchase", "one that answers", purchase, &main);
        }
    }
    let maximum = json!({ "amount": "500.00", "currency": "USD" });
    let input = json!({ "poolId": pool, "threshold": 1, "package": "STARTER", "monthlyMaximum": maximum });
    owner.mutate("setAutoTopUp", "SetAutoTopUpInput", input, "setupUrl").await;
    let (purchase, _) = owner.checkout(pool, "under way").await;
    things.aim("purchaseId", "Purchase", &purchase, &main);
}

/// Billing details, and an invoice of which a part was paid.
async fn bills(stage: &Stage, things: &mut Things) {
    let (owner, operator, main) = (&stage.owner, &stage.operator, stage.main());
    let Demo { organization, pool, .. } = &stage.demo;
    acts::billed(operator, owner, organization, "10000.00").await;
    let invoiced = acts::on_invoice(owner, pool, "invoiced").await;
    assert_eq!(invoiced["userErrors"], json!([]), "{invoiced}");
    let invoice = text(&invoiced["invoice"]["id"]);
    let amount = json!({ "amount": "1.00", "currency": "USD" });
    let input = json!({ "invoiceId": invoice, "amount": amount, "reference": "A bank's", "idempotencyKey": "a part" });
    let (kind, fields) = ("RecordInvoicePaymentInput", "invoice { id }");
    operator.mutate("recordInvoicePayment", kind, input, fields).await;
    things.aim("invoiceId", "Invoice", invoice, &main);
    things.put("Document", "an invoice", text(&invoiced["invoice"]["document"]["id"]), &main);
}

/// Prices that were agreed on, asked for, and bought at.
async fn prices(stage: &Stage, things: &mut Things) {
    let (owner, operator, main, whole) =
        (&stage.owner, &stage.operator, stage.main(), Place::of(Tenant::Demo));
    let input =
        json!({ "organizationId": stage.demo.organization, "fromCredits": 5_000, "unitPrice": "1.50" });
    let (kind, fields) = ("SetContractPriceInput", "contractPrice { id }");
    let made = operator.mutate("setContractPrice", kind, input, fields).await;
    things.put("ContractPrice", "from 5,000 credits on", text(&made["contractPrice"]["id"]), &whole);
    let ask = async |key: &str| {
        let input =
            json!({ "poolId": stage.demo.pool, "credits": 2_000, "note": "A region", "idempotencyKey": key });
        let made = owner.mutate("requestQuote", "RequestQuoteInput", input, "quote { id }").await;
        text(&made["quote"]["id"]).to_owned()
    };
    things.aim("quoteId", "Quote", &ask("asked").await, &main);
    let bought = ask("to buy").await;
    let total = json!({ "amount": "3000.00", "currency": "USD" });
    let input =
        json!({ "quoteId": bought, "answer": { "price": { "total": total } }, "idempotencyKey": "answered" });
    operator.mutate("answerQuote", "AnswerQuoteInput", input, "quote { id }").await;
    let input = json!({ "poolId": stage.demo.pool, "quoteId": bought, "idempotencyKey": "by quote" });
    let made = owner.mutate("requestPurchase", "RequestPurchaseInput", input, "purchase { id }").await;
    things.put("Quote", "one that was bought", &bought, &main);
    things.put("Purchase", "one by a quote", text(&made["purchase"]["id"]), &main);
}

/// A purchase that people have to agree to, of whom one has, and somebody who stands in for another.
async fn decisions(stage: &Stage, things: &mut Things) {
    let (owner, whole) = (&stage.owner, Place::of(Tenant::Demo));
    let Demo { organization, pool, sales, .. } = &stage.demo;
    let stages = json!([
        { "name": "Department", "approvers": [{ "departmentManagersOf": sales }] },
        { "name": "A member", "approvers": [{ "memberId": stage.member("member@demo.test") }] },
    ]);
    let above = json!({ "signInAbove": { "amount": "10000.00", "currency": "USD" } });
    let policy = approvals::save(owner, organization, approvals::professional(stages), above).await;
    things.put("ApprovalPolicy", "the one in force", &policy, &whole);
    let asked = approvals::requested(owner, pool, "PROFESSIONAL", "to agree to").await;
    let manager = stage.world.client("manager@demo.test").await;
    approvals::approve(&manager, &asked.request, 1).await;
    let place = stage.main().of_person("owner@demo.test");
    let place = place.asking(&["manager@demo.test", "member@demo.test"]);
    things.aim("approvalId", "ApprovalRequest", &asked.request, &place);
    things.put("Purchase", "one that people have to agree to", &asked.purchase, &stage.main());
    let delegation =
        approvals::delegated(owner, organization, stage.member("target@demo.test"), 40, 50).await;
    things.aim("delegationId", "ApprovalDelegation", &delegation, &whole.of_person("owner@demo.test"));
}

/// What is in the other pool.
async fn elsewhere(stage: &Stage, things: &mut Things) {
    let (owner, operator, pool, place) =
        (&stage.owner, &stage.operator, stage.other.as_str(), stage.elsewhere());
    let granted = acts::grant(operator, pool, 5, json!({ "expiresAt": in_days(300) }), "to extend").await;
    let input = json!({ "lotId": granted["lot"]["id"], "expiresAt": in_days(400), "reason": "A long winter",
        "idempotencyKey": "extend" });
    let fields = "lots { id } transfers { id counterpart { id } }";
    let extended = operator.mutate("extendLot", "ExtendLotInput", input, fields).await;
    things.put("Lot", "one that another goes on in", text(&extended["lots"][0]["id"]), &place);
    let transfers = extended["transfers"].as_array().unwrap();
    let half = transfers.iter().find(|transfer| !transfer["counterpart"].is_null()).unwrap();
    things.put("Transfer", "a half", text(&half["id"]), &place);
    let input = json!({ "poolId": pool, "allowedServices": ["STYLE_CHANGE"] });
    owner.mutate("updatePool", "UpdatePoolInput", input, "pool { id }").await;
    let made = owner.charge(use_of(pool, None, None, "elsewhere")).await;
    things.put("Charge", "in the other pool", text(&made["charge"]["id"]), &place);
    let (purchase, url) = owner.checkout(pool, "elsewhere").await;
    assert_eq!(owner.submit(&format!("{url}/pay")).await.0, 200);
    let amount = json!({ "amount": "1.00", "currency": "USD" });
    let input = json!({ "purchaseId": purchase, "amount": amount, "reason": "A house less", "idempotencyKey": "part" });
    let fields = "reversal { id creditNote { id } }";
    let made = operator.mutate("refundPurchase", "RefundPurchaseInput", input, fields).await;
    things.put("Document", "a credit note", text(&made["reversal"]["creditNote"]["id"]), &place);
    things.put("Purchase", "in the other pool", &purchase, &place);
    things.put("Reversal", "a part, in the other pool", text(&made["reversal"]["id"]), &place);
    let input = json!({ "poolId": pool, "reason": "Nobody is to write here" });
    operator.mutate("freezePool", "FreezePoolInput", input, "pool { id }").await;
}

/// What has come of all that: lots, transfers, payments, entries of the audit log.
async fn read(stage: &Stage, things: &mut Things) {
    let (main, whole) = (stage.main(), Place::of(Tenant::Demo));
    let query = "query M($id: ID!) { pool(id: $id) { lots(first: 10) { nodes { id purchase { id payments { id } } } }
        transfers(first: 100) { nodes { id charge { id } hold { id } purchase { id } debit { allocation { id } } } } } }";
    let data = stage.operator.query(query, json!({ "id": stage.demo.pool })).await;
    let nodes = |list: &str| data["pool"][list]["nodes"].as_array().unwrap().clone();
    let lot = nodes("lots").into_iter().find(|lot| !lot["purchase"].is_null()).unwrap();
    things.aim("lotId", "Lot", text(&lot["id"]), &main);
    things.put("Purchase", "one that was paid", text(&lot["purchase"]["id"]), &main);
    things.put("Payment", "one that was paid", text(&lot["purchase"]["payments"][0]["id"]), &main);
    let transfers = nodes("transfers");
    let with = |part: &str| {
        let found = transfers.iter().find(|transfer| !transfer[part].is_null());
        text(&found.unwrap_or_else(|| panic!("no transfer has a {part}"))["id"]).to_owned()
    };
    things.aim("correctsTransferId", "Transfer", &with("purchase"), &main);
    things.put("Transfer", "of a hold", &with("hold"), &main);
    let of_charge = transfers
        .iter()
        .find(|transfer| !transfer["charge"].is_null() && !transfer["debit"]["allocation"].is_null());
    things.put("Transfer", "of a charge", text(&of_charge.unwrap()["id"]), &main);

    let query = r#"{ organization(by: { slug: "demo" }) { auditEvents(first: 100) { nodes { id personal { name } onBehalfOf { id } } } } }"#;
    let data = stage.operator.query(query, json!({})).await;
    let events = data["organization"]["auditEvents"]["nodes"].as_array().unwrap();
    let named =
        events.iter().find(|event| event["personal"].as_array().is_some_and(|names| !names.is_empty()));
    things.put("AuditEvent", "one with an address", text(&named.unwrap()["id"]), &whole);
    let behalf = events.iter().find(|event| !event["onBehalfOf"].is_null());
    things.put("AuditEvent", "a charge", text(&behalf.unwrap()["id"]), &whole);
}
