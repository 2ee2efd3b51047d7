//! Purchases that people have to agree to, through the API: from the request to the credits, and what changes in between
//! mean for what was agreed to.

mod too_few;

use bursar::clock::Clock;
use bursar::global_id;
use bursar::purchases::{self, Outcome};
use bursar_domain::id::PurchaseId;
use bursar_domain::purchase::PaymentState;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::{at, balances_are_right, billed, invoiced, refusal};
use crate::support::caps::member;
use crate::support::mail::tenant;
use crate::support::settled::{paid, row, tell};
use crate::support::{Backend, Client, World};

on_both_databases!(two_stages_end_in_credits, what_changes_is_asked_anew, what_runs_out_is_asked_anew,);

/// Saves a policy of one rule that fits every purchase.
async fn policy(owner: &Client, organization: &str, version: i64, stages: Value) {
    let rule = json!({ "name": "Everything", "conditions": {}, "stages": stages });
    let input =
        json!({ "organizationId": organization, "expectedVersion": version, "policy": { "rules": [rule] } });
    let saved =
        owner.mutate("saveApprovalPolicy", "SaveApprovalPolicyInput", input, "policy { version }").await;
    assert_eq!(saved["policy"]["version"], version + 1);
}

/// Requests a package, and answers the ids of the purchase and of what people are asked about it.
async fn requested(client: &Client, pool: &str, package: &str, key: &str) -> (String, String) {
    let input = json!({ "poolId": pool, "package": package, "idempotencyKey": key });
    let fields = "purchase { id state approvalBasis approvalRequest { id round state } }";
    let made = client.mutate("requestPurchase", "RequestPurchaseInput", input, fields).await;
    let purchase = &made["purchase"];
    assert_eq!((&purchase["state"], &purchase["approvalBasis"]), (&json!("PENDING_APPROVAL"), &Value::Null));
    let request = &purchase["approvalRequest"];
    assert_eq!((&request["round"], &request["state"]), (&json!(1), &json!("PENDING")));
    (purchase["id"].as_str().unwrap().to_owned(), request["id"].as_str().unwrap().to_owned())
}

/// Decides, and answers the payload whatever it says.
async fn decide(client: &Client, request: &str, round: i64, choice: &str, more: Value) -> Value {
    let mut input = json!({ "requestId": request, "round": round, "choice": choice,
        "idempotencyKey": uuid::Uuid::now_v7().to_string() });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let query = "mutation D($input: DecideApprovalInput!) { decideApproval(input: $input) {
        request { state round usedAt stages { approved satisfied } } purchase { id } replayed
        userErrors { code field ... on NotApprovableError { reason } } } }";
    client.query(query, json!({ "input": input })).await["decideApproval"].clone()
}

async fn approve(client: &Client, request: &str, round: i64) -> Value {
    let decided = decide(client, request, round, "APPROVE", json!({})).await;
    assert_eq!(decided["userErrors"], json!([]), "{decided}");
    decided["request"].clone()
}

/// Why somebody cannot approve.
async fn why_not(client: &Client, request: &str, round: i64) -> String {
    let decided = decide(client, request, round, "APPROVE", json!({})).await;
    let error = &decided["userErrors"][0];
    assert_eq!(error["code"], "NOT_APPROVABLE", "{decided}");
    error["reason"].as_str().unwrap().to_owned()
}

/// A purchase as its buyers see it.
async fn shown(client: &Client, purchase: &str) -> Value {
    let query = "query N($id: ID!) { node(id: $id) { ... on Purchase { state approvalBasis payments { state }
        invoice { purchaseOrder } approvalRequest { state round usedAt stages { satisfied escalation soleOwner }
        decisions { choice stillEligible } } } } }";
    client.query(query, json!({ "id": purchase })).await["node"].clone()
}

async fn update(client: &Client, purchase: &str, more: Value) -> Value {
    let mut input = json!({ "purchaseId": purchase });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let fields =
        "purchase { state purchaseOrder approvalBasis payments { state } approvalRequest { round state } }";
    client.try_mutate("updatePurchase", "UpdatePurchaseInput", input, fields).await
}

async fn another_owner(operator: &Client, organization: &str, email: &str) {
    let input = json!({ "organizationId": organization, "email": email, "role": "OWNER" });
    operator.mutate("addMember", "AddMemberInput", input, "member { id }").await;
}

async fn two_stages_end_in_credits(backend: Backend) {
    let world = World::start_untimed(backend, Clock::system()).await;
    let (owner, operator) =
        (world.client("owner@demo.test").await, world.client("operator@bursar.test").await);
    let demo = owner.demo().await;
    billed(&operator, &owner, &demo.organization, "10000.00").await;
    for email in ["second@demo.test", "third@demo.test"] {
        another_owner(&operator, &demo.organization, email).await;
    }
    let (admin, manager) = (world.client("admin@demo.test").await, world.client("manager@demo.test").await);
    let (second, third) = (world.client("second@demo.test").await, world.client("third@demo.test").await);
    let stages = json!([
        { "name": "Department", "approvers": [{ "departmentManagersOf": demo.sales }] },
        { "name": "Owners", "quorum": 2, "approvers": [{ "role": "OWNER" }] },
    ]);
    policy(&owner, &demo.organization, 0, stages).await;
    let before = owner.balance(&demo.pool).await.0;
    // What is only tried says all that would be, and nothing of it is there afterwards.
    let query = "mutation R($input: RequestPurchaseInput!) { requestPurchase(input: $input) { purchase { state
        approvalRequest { state round canDecide cannotDecide title purchase { state } rounds { cause decisions { choice } }
        stages { name approved eligible { email } } } } userErrors { code } } }";
    let input =
        json!({ "poolId": demo.pool, "package": "PROFESSIONAL", "idempotencyKey": "tried", "dryRun": true });
    let tried = admin.query(query, json!({ "input": input })).await["requestPurchase"]["purchase"].clone();
    let asked = &tried["approvalRequest"];
    let told = ["state", "round", "canDecide", "cannotDecide"].map(|name| asked[name].clone());
    assert_eq!(told, [json!("PENDING"), json!(1), json!(false), json!("REQUESTER")], "{tried}");
    assert_eq!(
        (&tried["state"], &asked["purchase"]["state"]),
        (&asked["purchase"]["state"], &json!("PENDING_APPROVAL"))
    );
    assert_eq!(asked["rounds"], json!([{ "cause": "REQUESTED", "decisions": [] }]));
    let department =
        json!({ "name": "Department", "approved": 0, "eligible": [{ "email": "manager@demo.test" }] });
    assert_eq!(asked["stages"][0], department);
    for table in ["approval_request", "approval_round", "approval_link"] {
        assert_eq!(world.number(&format!("SELECT count(*) AS n FROM {table}")).await, 0);
    }
    let (purchase, request) = requested(&admin, &demo.pool, "PROFESSIONAL", "large").await;
    let early = invoiced(&admin, &purchase, "too early").await;
    assert_eq!(refusal(&early).0, "INVALID_STATE", "{early}");
    assert_eq!(why_not(&admin, &request, 1).await, "REQUESTER");
    assert_eq!(why_not(&second, &request, 1).await, "OTHER_STAGE");
    assert_eq!(why_not(&manager, &request, 2).await, "STALE_ROUND");
    let nobody = decide(&world.client("member@demo.test").await, &request, 1, "APPROVE", json!({})).await;
    assert_eq!(nobody["userErrors"][0]["code"], "NOT_FOUND", "whoever is not asked knows of nothing");
    let staff = decide(&operator, &request, 1, "APPROVE", json!({})).await;
    assert_eq!(staff["userErrors"][0]["code"], "NOT_FOUND", "{staff}");
    // A rehearsal decides nothing.
    let rehearsed = decide(&manager, &request, 1, "APPROVE", json!({ "dryRun": true })).await;
    assert_eq!(rehearsed["userErrors"], json!([]), "{rehearsed}");
    assert_eq!(rehearsed["request"]["stages"][0], json!({ "approved": 1, "satisfied": true }), "{rehearsed}");
    let key = json!({ "idempotencyKey": "department" });
    let first = decide(&manager, &request, 1, "APPROVE", key.clone()).await;
    assert_eq!((&first["userErrors"], &first["replayed"]), (&json!([]), &json!(false)), "{first}");
    assert_eq!(first["request"]["stages"][0]["satisfied"], true);
    assert_eq!(first["purchase"], Value::Null, "who decides need not see purchases");
    assert_eq!(decide(&manager, &request, 1, "APPROVE", key).await["replayed"], true);
    let otherwise = json!({ "idempotencyKey": "department", "reason": "Something else" });
    let otherwise = decide(&manager, &request, 1, "REJECT", otherwise).await;
    assert_eq!(otherwise["userErrors"][0]["code"], "IDEMPOTENCY_CONFLICT", "{otherwise}");
    assert_eq!(why_not(&manager, &request, 1).await, "DECIDED_BY_YOU");
    // Everybody has keys of their own: the same one of two people is two, whatever they say with it.
    let shared = json!({ "idempotencyKey": "department" });
    let agreed = decide(&second, &request, 1, "APPROVE", shared.clone()).await;
    assert_eq!((&agreed["userErrors"], &agreed["replayed"]), (&json!([]), &json!(false)), "{agreed}");
    assert_eq!(agreed["request"]["stages"][1]["approved"], 1);
    assert_eq!(decide(&second, &request, 1, "APPROVE", shared).await["replayed"], true);
    assert_eq!(shown(&admin, &purchase).await["state"], "PENDING_APPROVAL");
    assert_eq!(owner.balance(&demo.pool).await.0, before, "nothing comes in by half a quorum");
    // The last yes, tried: what would come of it, from whichever side it is looked at.
    let query = "mutation D($input: DecideApprovalInput!) { decideApproval(input: $input) { request { state
        decisions { choice } rounds { decisions { choice } } purchase { state approvalBasis } }
        purchase { state approvalBasis approvalRequest { state stages { satisfied } } } userErrors { code } } }";
    let input = json!({ "requestId": request, "round": 1, "choice": "APPROVE", "idempotencyKey": "tried", "dryRun": true });
    let tried = owner.query(query, json!({ "input": input })).await["decideApproval"].clone();
    let bought = json!({ "state": "APPROVED", "approvalBasis": "PEOPLE" });
    let said = json!([{ "choice": "APPROVE" }, { "choice": "APPROVE" }, { "choice": "APPROVE" }]);
    let expected = json!({ "state": "APPROVED", "decisions": said, "rounds": [{ "decisions": said }], "purchase": bought });
    assert_eq!((&tried["request"], &tried["userErrors"]), (&expected, &json!([])));
    let asked = json!({ "state": "APPROVED", "stages": [{ "satisfied": true }, { "satisfied": true }] });
    let expected = json!({ "state": "APPROVED", "approvalBasis": "PEOPLE", "approvalRequest": asked });
    assert_eq!(tried["purchase"], expected);
    assert_eq!(shown(&admin, &purchase).await["approvalRequest"]["state"], "PENDING");
    assert_eq!(approve(&owner, &request, 1).await["state"], "APPROVED");
    assert_eq!(why_not(&third, &request, 1).await, "APPROVED");
    // With terms, the credits are there at once, and what was agreed to is used.
    let bought = shown(&admin, &purchase).await;
    assert_eq!((&bought["state"], &bought["approvalBasis"]), (&json!("AWAITING_PAYMENT"), &json!("PEOPLE")));
    assert_eq!(bought["invoice"]["purchaseOrder"], request.as_str());
    assert_ne!(bought["approvalRequest"]["usedAt"], Value::Null);
    assert_eq!(owner.balance(&demo.pool).await.0, before + 500);
    // Whoever has asked hears that in one mail.
    for (word, mails) in [("INVOICED", 1), ("APPROVED", 0)] {
        let told = format!("SELECT count(*) AS n FROM delivery WHERE facts LIKE '%\"became\":\"{word}\"%'");
        assert_eq!(world.number(&told).await, mails, "{word}");
    }
    // One no ends it, and says why.
    let (purchase, request) = requested(&admin, &demo.pool, "STARTER", "small").await;
    for silent in [
        json!({}),
        json!({ "reason": "\u{200b}" }),
        json!({ "reason": "\u{2800}\u{2800}" }),
        json!({ "reason": "Not \u{202e}thgir" }),
    ] {
        let answer = decide(&manager, &request, 1, "REJECT", silent).await;
        let error = &answer["userErrors"][0];
        assert_eq!((&error["code"], &error["field"]), (&json!("INVALID"), &json!(["reason"])), "{answer}");
    }
    let no = decide(&manager, &request, 1, "REJECT", json!({ "reason": "There are enough left." })).await;
    assert_eq!((&no["userErrors"], &no["request"]["state"]), (&json!([]), &json!("REJECTED")), "{no}");
    assert_eq!(why_not(&second, &request, 1).await, "REJECTED");
    assert_eq!(shown(&admin, &purchase).await["state"], "REJECTED");
    let changed = update(&admin, &purchase, json!({ "round": 1, "note": "Please" })).await;
    assert_eq!(refusal(&changed).0, "INVALID_STATE", "{changed}");
    let error = &changed["userErrors"][0];
    let told = (&error["why"], &error["message"]);
    let expected = (&json!("NOT_CHANGEABLE"), &json!("A purchase that is REJECTED cannot be changed."));
    assert_eq!(told, expected, "it is about changing");
    assert_eq!(owner.balance(&demo.pool).await.0, before + 500);
    balances_are_right(&world).await;
}

async fn what_changes_is_asked_anew(backend: Backend) {
    let world = World::start_untimed(backend, Clock::system()).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let (admin, manager) = (world.client("admin@demo.test").await, world.client("manager@demo.test").await);
    let before = owner.balance(&demo.pool).await.0;
    let managers = json!([{ "name": "Department", "approvers": [{ "departmentManagersOf": demo.sales }] }]);
    policy(&owner, &demo.organization, 0, managers).await;
    // Whoever has asked, and waits for it to be paid, hears that somebody else has given it up.
    let (purchase, request) = requested(&admin, &demo.pool, "STARTER", "given up").await;
    approve(&manager, &request, 1).await;
    let told = r#"SELECT count(*) AS n FROM delivery WHERE facts LIKE '%"became":"WITHDRAWN"%'"#;
    assert_eq!(world.number(told).await, 0);
    let input = json!({ "purchaseId": purchase });
    owner.mutate("cancelPurchase", "CancelPurchaseInput", input, "purchase { state }").await;
    assert_eq!(world.number(told).await, 1);
    let (purchase, request) = requested(&admin, &demo.pool, "STARTER", "edited").await;
    approve(&manager, &request, 1).await;
    let approved = shown(&admin, &purchase).await;
    // Without terms a checkout is begun.
    assert_eq!(
        (&approved["state"], &approved["payments"]),
        (&json!("AWAITING_PAYMENT"), &json!([{ "state": "OPEN" }]))
    );
    let blind = update(&admin, &purchase, json!({ "package": "PROFESSIONAL" })).await;
    assert_eq!(refusal(&blind), ("INVALID_STATE".to_owned(), "round".to_owned()), "{blind}");
    // Whatever is changed is asked anew, be it the number of the order; what is not changed asks nobody.
    let same = update(&admin, &purchase, json!({ "round": 1, "package": null })).await;
    assert_eq!(same["purchase"]["approvalRequest"], json!({ "round": 1, "state": "APPROVED" }), "{same}");
    let order = update(&admin, &purchase, json!({ "round": 1, "purchaseOrder": "PO 7" })).await;
    assert_eq!(
        (&order["purchase"]["state"], &order["purchase"]["purchaseOrder"]),
        (&json!("PENDING_APPROVAL"), &json!("PO 7"))
    );
    assert_eq!(order["purchase"]["approvalRequest"], json!({ "round": 2, "state": "PENDING" }), "{order}");
    assert_eq!(why_not(&manager, &request, 1).await, "STALE_ROUND");
    let again = update(&admin, &purchase, json!({ "round": 2, "purchaseOrder": "PO 7" })).await;
    assert_eq!(again["purchase"]["approvalRequest"]["round"], 2, "it is that already: {again}");
    let edited = update(&admin, &purchase, json!({ "round": 2, "package": "PROFESSIONAL" })).await;
    let expected = json!({ "state": "PENDING_APPROVAL", "purchaseOrder": "PO 7", "approvalBasis": null,
        "payments": [{ "state": "CANCELLED" }], "approvalRequest": { "round": 3, "state": "PENDING" } });
    assert_eq!(edited["purchase"], expected, "{edited}");
    assert_eq!(why_not(&manager, &request, 2).await, "STALE_ROUND");
    let input = json!({ "purchaseId": purchase, "idempotencyKey": "not yet" });
    let early = admin.try_mutate("startCheckout", "StartCheckoutInput", input, "checkoutUrl").await;
    assert_eq!(refusal(&early).0, "INVALID_STATE", "{early}");
    approve(&manager, &request, 3).await;
    // On terms that came later it is bought under the number that people have agreed to, or not at all.
    let operator = world.client("operator@bursar.test").await;
    billed(&operator, &owner, &demo.organization, "10000.00").await;
    let other = invoiced(&admin, &purchase, "other").await;
    assert_eq!(refusal(&other), ("INVALID".to_owned(), "invoice.purchaseOrder".to_owned()), "{other}");
    let input = json!({ "purchaseId": purchase, "idempotencyKey": "now" });
    let started = admin.mutate("startCheckout", "StartCheckoutInput", input, "checkoutUrl").await;
    let url = started["checkoutUrl"].as_str().unwrap().replace("http://bursar.test", &world.base);
    assert_eq!(admin.submit(&format!("{url}/pay")).await.0, 200);
    let bought = shown(&admin, &purchase).await;
    assert_eq!((&bought["state"], &bought["approvalRequest"]["round"]), (&json!("COMPLETED"), &json!(3)));
    assert_ne!(bought["approvalRequest"]["usedAt"], Value::Null);
    assert_eq!(owner.balance(&demo.pool).await.0, before + 500, "what was agreed to last, once");
    let late = update(&admin, &purchase, json!({ "round": 3, "note": "More" })).await;
    assert_eq!(refusal(&late).0, "INVALID_STATE", "{late}");
    // Whoever has changed a purchase does not agree to it either.
    let (purchase, request) = requested(&admin, &demo.pool, "STARTER", "helped").await;
    let administers = json!({ "poolId": demo.pool, "memberId": member(&owner, "manager@demo.test").await });
    owner.mutate("addPoolAdministrator", "AddPoolAdministratorInput", administers, "pool { id }").await;
    update(&manager, &purchase, json!({ "round": 1, "note": "For the fair" })).await;
    assert_eq!(why_not(&manager, &request, 2).await, "REQUESTER");
    // Nobody is left but the owners.
    assert_eq!(shown(&admin, &purchase).await["approvalRequest"]["stages"][0]["escalation"], "UNREACHABLE");
    // Withdrawn by its buyer, it is over for everybody.
    let input = json!({ "purchaseId": purchase });
    admin.mutate("cancelPurchase", "CancelPurchaseInput", input, "purchase { state }").await;
    assert_eq!(why_not(&owner, &request, 2).await, "WITHDRAWN");
    // Neither does whoever has asked for the credits that somebody else buys for them.
    owner.allocate(&demo.pool, &demo.sales, 10, "sales").await;
    let input = json!({ "poolId": demo.pool, "departmentId": demo.sales, "credits": 20 });
    let wanted = manager.mutate("requestCredits", "RequestCreditsInput", input, "creditRequest { id }").await;
    let input = json!({ "requestId": wanted["creditRequest"]["id"], "idempotencyKey": "for the manager",
        "answer": { "purchase": { "package": "STARTER" } } });
    let fields =
        "purchase { id state requestedBy { email } approvalRequest { id stages { eligible { email } } } }";
    let answered =
        owner.mutate("resolveCreditRequest", "ResolveCreditRequestInput", input, fields).await["purchase"]
            .clone();
    let requester = json!({ "email": "owner@demo.test" });
    assert_eq!((&answered["state"], &answered["requestedBy"]), (&json!("PENDING_APPROVAL"), &requester));
    let request = answered["approvalRequest"]["id"].as_str().unwrap();
    assert_eq!(why_not(&manager, request, 1).await, "REQUESTER", "{answered}");
    assert_eq!(
        answered["approvalRequest"]["stages"][0]["eligible"],
        json!([requester]),
        "nobody else is left"
    );
    // What becomes of it is told to whoever buys, and not to whoever only wanted the credits.
    let before_that = world.number(told).await;
    let input = json!({ "purchaseId": answered["id"] });
    owner.mutate("cancelPurchase", "CancelPurchaseInput", input, "purchase { state }").await;
    assert_eq!(world.number(told).await, before_that + 1);
    // Where no rule fits, nobody is asked, and the log says so.
    policy_without_rules(&owner, &demo.organization, 1).await;
    let input = json!({ "poolId": demo.pool, "package": "STARTER", "idempotencyKey": "free" });
    let fields = "purchase { state approvalBasis approvalRequest { id } }";
    let made = admin.mutate("requestPurchase", "RequestPurchaseInput", input, fields).await;
    let expected = json!({ "state": "APPROVED", "approvalBasis": "AUTOMATIC", "approvalRequest": null });
    assert_eq!(made["purchase"], expected);
    balances_are_right(&world).await;
}

async fn what_runs_out_is_asked_anew(backend: Backend) {
    let clock = Clock::set(at("2026-03-02T12:00:00Z"));
    let world = World::start_untimed(backend, clock.clone()).await;
    let (owner, admin) = (world.client("owner@demo.test").await, world.client("admin@demo.test").await);
    let manager = world.client("manager@demo.test").await;
    let demo = owner.demo().await;
    let before = owner.balance(&demo.pool).await;
    let managers = json!([{ "name": "Department", "approvers": [{ "departmentManagersOf": demo.sales }] }]);
    policy(&owner, &demo.organization, 0, managers).await;
    let (purchase, request) = requested(&admin, &demo.pool, "STARTER", "late").await;
    approve(&manager, &request, 1).await;
    let query = "query N($id: ID!) { node(id: $id) { ... on Purchase { payments { id } } } }";
    let data = admin.query(query, json!({ "id": purchase })).await;
    let old = row(&world, data["node"]["payments"][0]["id"].as_str().unwrap()).await;
    // Money that is paid for what was to be bought before buys nothing else.
    let more = update(&admin, &purchase, json!({ "round": 1, "credits": 300 })).await;
    assert_eq!(more["purchase"]["state"], "PENDING_APPROVAL", "{more}");
    approve(&manager, &request, 2).await;
    let told = tell(&world, paid(&old, "pi_late")).await;
    let Outcome::Parked(parked) = told else { panic!("{told:?}") };
    // The purchase waits until the vendor has decided about it. Given back, it buys nothing either when it is told of again.
    let operator = world.client("operator@bursar.test").await;
    let input = json!({ "parkedPaymentId": global_id::encode(parked), "resolution": { "dismiss": true },
        "note": "Given back", "idempotencyKey": "given back" });
    operator
        .mutate("resolveParkedPayment", "ResolveParkedPaymentInput", input, "parkedPayment { state }")
        .await;
    let told = tell(&world, paid(&old, "pi_late")).await;
    assert_eq!(told, Outcome::Parked(parked));
    assert_eq!(owner.balance(&demo.pool).await, before);
    // Seven days to decide, and three to pay.
    let id: PurchaseId = global_id::decode(&purchase).unwrap();
    let (selling, organization) = (&world.services().selling, tenant(&demo.organization));
    clock.turn(clock.now().plus_days(10).plus_seconds(-1));
    assert!(purchases::expire(selling, organization, id).await.unwrap().is_some());
    clock.turn(clock.now().plus_seconds(1));
    assert_eq!(purchases::expire(selling, organization, id).await.unwrap(), None);
    // Whoever does the timed work of before is still at it.
    let name = match backend {
        Backend::Sqlite => "randomblob(16)",
        Backend::Postgres => "gen_random_uuid()",
    };
    let until = clock.now().plus_days(1).micros();
    world.sql(&format!("UPDATE timed_task SET lease = {name}, leased_until = {until}")).await;
    let (admin, manager) = (world.client("admin@demo.test").await, world.client("manager@demo.test").await);
    let over = shown(&admin, &purchase).await;
    assert_eq!((&over["state"], &over["approvalRequest"]["state"]), (&json!("EXPIRED"), &json!("EXPIRED")));
    // Whoever wants to pay all the same has everybody asked anew, at the price of today, and says so.
    let input = json!({ "purchaseId": purchase, "idempotencyKey": "too late" });
    let fields = "payment { id } purchase { state approvalRequest { round state } }";
    let again = admin.try_mutate("startCheckout", "StartCheckoutInput", input, fields).await;
    assert_eq!(refusal(&again), ("QUOTE_EXPIRED".to_owned(), "purchaseId".to_owned()), "{again}");
    let expected =
        json!({ "state": "PENDING_APPROVAL", "approvalRequest": { "round": 3, "state": "PENDING" } });
    assert_eq!((&again["payment"], &again["purchase"]), (&Value::Null, &expected));
    approve(&manager, &request, 3).await;
    assert_eq!(shown(&admin, &purchase).await["state"], "AWAITING_PAYMENT");
    // What they give back does not undo that the purchase runs out once more, and that what was agreed to is gone on with.
    for (kind, least) in
        [("PURCHASE_DUE", clock.now().plus_days(9).micros()), ("PURCHASE_APPROVED", clock.now().micros())]
    {
        let new = format!(
            "SELECT count(*) AS n FROM timed_task WHERE kind = '{kind}' AND lease IS NULL AND due_at >= {least}"
        );
        assert_eq!(world.number(&new).await, 1, "{kind}");
    }
    // Money buys nothing that is not agreed to as it stands, however the books have come to say so: it waits, and the vendor
    // cannot accept it either.
    let data = admin.query(query, json!({ "id": purchase })).await;
    let payments = data["node"]["payments"].as_array().unwrap().clone();
    let mut open = Vec::new();
    for one in &payments {
        open.push(row(&world, one["id"].as_str().unwrap()).await);
    }
    let open = open.into_iter().find(|row| row.state == PaymentState::Open).unwrap();
    let become_of = |from: &str, to: &str| {
        format!("UPDATE approval_request SET state = '{to}' WHERE state = '{from}' AND round = 3")
    };
    let owner = world.client("owner@demo.test").await;
    let had = owner.balance(&demo.pool).await;
    assert_eq!(world.sql(&become_of("APPROVED", "EXPIRED")).await, 1);
    let told = tell(&world, paid(&open, "pi_odd")).await;
    let Outcome::Parked(parked) = told else { panic!("{told:?}") };
    let operator = world.client("operator@bursar.test").await;
    let input = json!({ "parkedPaymentId": global_id::encode(parked), "note": "Accepted",
        "resolution": { "purchaseId": purchase }, "idempotencyKey": "accepted" });
    let (name, of) = ("resolveParkedPayment", "ResolveParkedPaymentInput");
    let refused = operator.try_mutate(name, of, input.clone(), "parkedPayment { state }").await;
    let expected = ("INVALID_STATE".to_owned(), "resolution.purchaseId".to_owned());
    assert_eq!(refusal(&refused), expected, "{refused}");
    assert_eq!(owner.balance(&demo.pool).await, had);
    assert_eq!(world.sql(&become_of("EXPIRED", "APPROVED")).await, 1);
    operator.mutate(name, of, input, "parkedPayment { state }").await;
    assert_eq!(shown(&admin, &purchase).await["state"], "COMPLETED");
    balances_are_right(&world).await;
}

async fn policy_without_rules(owner: &Client, organization: &str, version: i64) {
    let input =
        json!({ "organizationId": organization, "expectedVersion": version, "policy": { "rules": [] } });
    owner.mutate("saveApprovalPolicy", "SaveApprovalPolicyInput", input, "policy { version }").await;
}
