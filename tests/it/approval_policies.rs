//! Approval policies: what is wrong with one is named where it is, versions take each other's place, and who may.

use bursar::approvals::{self, SavePolicy, Saved};
use bursar::auth::Caller;
use bursar::clock::Clock;
use bursar::db::Snapshots;
use bursar::global_id;
use bursar_domain::Timestamp;
use bursar_domain::approval::{Language, Payer, Policy, PolicyFault, PolicyFaultKind, Timing};
use bursar_domain::id::{OrganizationId, UserId};
use bursar_domain::permission::Action;
use serde_json::{Value, json};

use crate::on_both_databases;
use crate::support::acts::refusal;
use crate::support::{Backend, Client, World, keys};

on_both_databases!(what_is_wrong_is_named, versions_take_each_others_place);

const POLICY: &str = "policy { id version rules { name conditions { creditsFrom creditsTo totalFrom { amount currency }
    totalTo { amount } pools { id } roles monthToDateFrom { amount } } stages { name quorum approvers { kind
    user { email } role department { code } } } } currency remindAfterHours escalateAfterHours expireAfterHours
    signInAbove { amount } payer language savedBy { email } } warnings { kind message rule stage }";

/// A rule.
pub fn rule(name: &str, conditions: Value, stages: Value) -> Value {
    json!({ "name": name, "conditions": conditions, "stages": stages })
}

fn stage(quorum: i64, approvers: Value) -> Value {
    json!({ "name": "Stage", "quorum": quorum, "approvers": approvers })
}

/// One owner agrees to what meets the conditions.
pub fn by_owner(conditions: Value) -> Value {
    json!({ "rules": [rule("Large", conditions, json!([stage(1, json!([{ "role": "OWNER" }]))]))] })
}

/// So many dollars.
pub fn dollars(amount: &str) -> Value {
    json!({ "amount": amount, "currency": "USD" })
}

/// Sends one of the two mutations, and answers its payload with what is wrong.
async fn send(client: &Client, name: &str, input: Value, fields: &str) -> Value {
    let kind = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
    let errors = "userErrors { code message field ... on ApprovalPolicyError { fault rule stage } }";
    let query = format!("mutation M($i: {kind}!) {{ {name}(input: $i) {{ {fields} {errors} }} }}");
    client.query(&query, json!({ "i": input })).await[name].clone()
}

/// Saves a policy, and answers the payload whatever it says.
pub async fn save(client: &Client, organization: &str, expected: i64, policy: Value) -> Value {
    let input = json!({ "organizationId": organization, "expectedVersion": expected, "policy": policy });
    send(client, "saveApprovalPolicy", input, POLICY).await
}

/// Tries a policy on the purchases of some days, and answers the payload whatever it says.
pub async fn simulate(client: &Client, organization: &str, days: i64, policy: Value) -> Value {
    let input = json!({ "organizationId": organization, "days": days, "policy": policy });
    let fields =
        "simulation { considered wouldAsk truncated purchases { purchase { id total { amount } } ruleName
        stages wasAsked } }";
    send(client, "simulateApprovalPolicy", input, fields).await
}

/// What is wrong, and where: the fault, the field from the policy on, rule and stage.
fn faults(payload: &Value) -> Vec<(String, String, Value, Value)> {
    let one = |error: &Value| {
        let field: Vec<_> =
            error["field"].as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
        assert_eq!(error["code"], "INVALID", "{error}");
        let fault = error["fault"].as_str().unwrap_or_default().to_owned();
        (fault, field.join("."), error["rule"].clone(), error["stage"].clone())
    };
    payload["userErrors"].as_array().unwrap().iter().map(one).collect()
}

fn fault(kind: &str, field: &str, rule: Value, stage: Value) -> (String, String, Value, Value) {
    (kind.to_owned(), format!("policy.{field}"), rule, stage)
}

/// The membership of the person with an address.
pub async fn member(owner: &Client, organization: &str, email: &str) -> Value {
    let query =
        "query O($id: ID!) { organization(by: { id: $id }) { members { nodes { id user { email } } } } }";
    let data = owner.query(query, json!({ "id": organization })).await;
    let nodes = data["organization"]["members"]["nodes"].as_array().unwrap().clone();
    nodes.iter().find(|node| node["user"]["email"] == email).unwrap()["id"].clone()
}

async fn what_is_wrong_is_named(backend: Backend) {
    let world = World::start_untimed(backend, Clock::system()).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let other = world.found("acme").await;
    let theirs = other.query(r#"{ organization(by: { slug: "acme" }) { id } }"#, json!({})).await;
    let theirs = theirs["organization"]["id"].as_str().unwrap().to_owned();
    let auditor = member(&owner, &demo.organization, "auditor@demo.test").await;
    let anything = || json!({});
    let owners = || json!([stage(1, json!([{ "role": "OWNER" }]))]);
    let (none, first) = (Value::Null, json!(0));
    let of = |conditions: Value, stages: Value| json!({ "rules": [rule("R", conditions, stages)] });
    let stages = |quorum: i64, approvers: Value| of(json!({}), json!([stage(quorum, approvers)]));
    let timed = |field: &str, hours: i64| {
        let mut policy = json!({ "rules": [] });
        policy[field] = json!(hours);
        policy
    };
    let many = |count: i64| -> Vec<Value> {
        let exactly = |credits| json!({ "creditsFrom": credits, "creditsTo": credits });
        (1..=count).map(|credits| rule("R", exactly(credits), owners())).collect()
    };
    let in_stage =
        |kind: &str, part: &str| fault(kind, &format!("rules.0.stages.0.{part}"), json!(0), json!(0));
    let in_rule = |kind: &str, part: &str| fault(kind, &format!("rules.0{part}"), json!(0), Value::Null);
    let twice = json!([stage(1, json!([{ "role": "OWNER" }])), stage(1, json!([{ "role": "OWNER" }]))]);
    let page = json!([{ "name": "See www.evil.test", "approvers": [{ "role": "OWNER" }] }]);
    for (policy, expected) in [
        (json!({ "rules": [rule(" ", anything(), owners())] }), in_rule("UNNAMED", ".name")),
        (of(anything(), page), in_stage("UNNAMED", "name")),
        (of(anything(), json!([])), in_rule("NO_STAGES", ".stages")),
        (stages(1, json!([])), in_stage("EMPTY_STAGE", "approvers")),
        (
            stages(1, json!([{ "departmentManagersOf": demo.marketing }])),
            in_stage("NOBODY_ELIGIBLE", "approvers"),
        ),
        (stages(2, json!([{ "role": "OWNER" }])), in_stage("UNREACHABLE_QUORUM", "quorum")),
        // Nobody decides twice.
        (
            of(anything(), twice),
            fault("UNREACHABLE_QUORUM", "rules.0.stages.1.quorum", first.clone(), json!(1)),
        ),
        (stages(0, json!([{ "role": "OWNER" }])), in_stage("BAD_QUORUM", "quorum")),
        (stages(101, json!([{ "role": "OWNER" }])), in_stage("BAD_QUORUM", "quorum")),
        (of(json!({ "creditsFrom": 10, "creditsTo": 9 }), owners()), in_rule("NEVER_MATCHES", ".conditions")),
        (
            of(json!({ "totalFrom": dollars("0.02"), "totalTo": dollars("0.01") }), owners()),
            in_rule("NEVER_MATCHES", ".conditions"),
        ),
        (of(json!({ "poolIds": [] }), owners()), in_rule("NEVER_MATCHES", ".conditions")),
        (of(json!({ "roles": [] }), owners()), in_rule("NEVER_MATCHES", ".conditions")),
        (
            json!({ "rules": [rule("A", json!({ "creditsFrom": 5 }), owners()),
                rule("B", json!({ "creditsFrom": 6, "roles": ["ADMIN"] }), owners())] }),
            fault("SHADOWED", "rules.1.conditions", json!(1), none.clone()),
        ),
        // Two that leave nothing between them.
        (
            json!({ "rules": [rule("A", json!({ "creditsTo": 100 }), owners()),
                rule("B", json!({ "creditsFrom": 101 }), owners()), rule("C", anything(), owners())] }),
            fault("SHADOWED", "rules.2.conditions", json!(2), none.clone()),
        ),
        (stages(1, json!([{ "role": "AUDITOR" }])), in_stage("AUDITOR_NAMED", "approvers")),
        (
            stages(1, json!([{ "role": "OWNER" }, { "memberId": auditor }])),
            in_stage("AUDITOR_NAMED", "approvers"),
        ),
        (json!({ "rules": many(51) }), fault("TOO_MANY", "rules", none.clone(), none.clone())),
        (of(anything(), Value::from(vec![owners()[0].clone(); 6])), in_rule("TOO_MANY", "")),
        (stages(1, Value::from(vec![json!({ "role": "OWNER" }); 21])), in_stage("TOO_MANY", "approvers")),
        (timed("remindAfterHours", 0), fault("BAD_TIMING", "expireAfterHours", none.clone(), none.clone())),
        (
            timed("escalateAfterHours", 168),
            fault("BAD_TIMING", "expireAfterHours", none.clone(), none.clone()),
        ),
        (timed("expireAfterHours", 721), fault("BAD_TIMING", "expireAfterHours", none.clone(), none.clone())),
    ] {
        let saved = save(&owner, &demo.organization, 0, policy.clone()).await;
        assert_eq!((faults(&saved), &saved["policy"]), (vec![expected.clone()], &Value::Null), "{policy}");
        let tried = simulate(&owner, &demo.organization, 90, policy.clone()).await;
        assert_eq!((faults(&tried), &tried["simulation"]), (vec![expected], &Value::Null), "{policy}");
    }
    // Without a currency amounts mean nothing.
    for (policy, field, rule) in [
        (by_owner(json!({ "totalTo": dollars("5") })), "rules.0.conditions.totalTo", first.clone()),
        (
            by_owner(json!({ "monthToDateFrom": dollars("5") })),
            "rules.0.conditions.monthToDateFrom",
            first.clone(),
        ),
        (json!({ "rules": [], "signInAbove": dollars("5") }), "signInAbove", none.clone()),
    ] {
        let saved = save(&other, &theirs, 0, policy).await;
        assert_eq!(faults(&saved), [fault("NO_CURRENCY", field, rule, none.clone())], "{saved}");
    }
    // What is named has to be there, and amounts to be in the organization's currency.
    let euros = json!({ "amount": "5", "currency": "EUR" });
    for (policy, code, field) in [
        (by_owner(json!({ "totalFrom": euros })), "INVALID", "rules.0.conditions.totalFrom.currency"),
        (by_owner(json!({ "totalFrom": dollars("-1") })), "INVALID", "rules.0.conditions.totalFrom.amount"),
        (by_owner(json!({ "poolIds": [demo.pool, theirs] })), "NOT_FOUND", "rules.0.conditions.poolIds.1"),
        (
            stages(1, json!([{ "role": "OWNER" }, { "memberId": "member_00000000000000000000000000" }])),
            "NOT_FOUND",
            "rules.0.stages.0.approvers.1.memberId",
        ),
        (
            stages(1, json!([{ "departmentManagersOf": demo.pool }])),
            "NOT_FOUND",
            "rules.0.stages.0.approvers.0.departmentManagersOf",
        ),
        (
            stages(1, json!([{ "poolAdministrators": false }])),
            "INVALID",
            "rules.0.stages.0.approvers.0.poolAdministrators",
        ),
    ] {
        let saved = save(&owner, &demo.organization, 0, policy).await;
        assert_eq!(refusal(&saved), (code.to_owned(), format!("policy.{field}")), "{saved}");
    }
    // Another organization's things are not there.
    let stranger = by_owner(json!({ "poolIds": [demo.pool] }));
    let saved = save(&other, &theirs, 0, stranger).await;
    assert_eq!(refusal(&saved).0, "NOT_FOUND", "{saved}");
    // No amount below zero comes through the API; the room refuses it as well.
    let person = owner.query("{ viewer { user { id } } }", json!({})).await;
    let person: UserId = global_id::decode(person["viewer"]["user"]["id"].as_str().unwrap()).unwrap();
    let context = &world.services().context;
    let (snapshots, far) = (Snapshots::new(context.db.clone()), Timestamp::from_micros(i64::MAX));
    let caller = Caller::of_person(&context.db, person, far, None).await.unwrap();
    let id: OrganizationId = global_id::decode(&demo.organization).unwrap();
    let organization = caller.organization(&snapshots, id, Action::ManageApprovalPolicy).await.unwrap();
    snapshots.close().await;
    let policy = Policy {
        rules: Vec::new(),
        currency: organization.currency,
        timing: Timing::default(),
        sign_in_above: Some(-1),
        payer: Payer::Requester,
        language: Language::English,
    };
    let wanted = SavePolicy { policy, expected_version: 0 };
    let Saved::Faulty(found) = approvals::save(context, &organization, wanted).await.unwrap() else {
        panic!("an amount below zero was saved");
    };
    assert_eq!(found, [PolicyFault { kind: PolicyFaultKind::BadAmount, rule: None, stage: None }]);
    assert_eq!(world.number("SELECT count(*) AS n FROM approval_policy").await, 0);
}

async fn versions_take_each_others_place(backend: Backend) {
    let world = World::start_untimed(backend, Clock::system()).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let admin = member(&owner, &demo.organization, "admin@demo.test").await;
    let policy = json!({
        "rules": [
            rule(" Large ", json!({ "creditsFrom": 100, "creditsTo": 900, "totalFrom": dollars("500"),
                "totalTo": dollars("5000.50"), "poolIds": [demo.pool], "roles": ["OWNER", "MEMBER"],
                "monthToDateFrom": dollars("1000") }),
                json!([stage(1, json!([{ "departmentManagersOf": demo.sales }, { "memberId": admin }])),
                    stage(1, json!([{ "role": "OWNER" }]))])),
            rule("Rest", json!({}), json!([stage(1, json!([{ "role": "ADMIN" }]))])),
        ],
        "remindAfterHours": 1, "escalateAfterHours": 2, "expireAfterHours": 72, "signInAbove": dollars("2500"),
        "payer": "APPROVER", "language": "DE",
    });
    let saved = save(&owner, &demo.organization, 0, policy).await;
    assert_eq!(saved["userErrors"], json!([]), "{saved}");
    let shown = &saved["policy"];
    assert_eq!((&shown["version"], &shown["savedBy"]["email"]), (&json!(1), &json!("owner@demo.test")));
    let large = &shown["rules"][0];
    assert_eq!(large["name"], "Large");
    assert_eq!(
        large["conditions"],
        json!({ "creditsFrom": 100, "creditsTo": 900, "totalFrom": dollars("500.00"),
            "totalTo": { "amount": "5000.50" }, "pools": [{ "id": demo.pool }], "roles": ["OWNER", "MEMBER"],
            "monthToDateFrom": { "amount": "1000.00" } })
    );
    let named = |kind: &str, user: Value, role: Value, department: Value| json!({ "kind": kind, "user": user, "role": role, "department": department });
    let none = || Value::Null;
    assert_eq!(
        large["stages"][0]["approvers"],
        json!([
            named("DEPARTMENT_MANAGERS", none(), none(), json!({ "code": "SALES" })),
            named("MEMBER", json!({ "email": "admin@demo.test" }), none(), none()),
        ])
    );
    assert_eq!(large["stages"][1]["approvers"], json!([named("ROLE", none(), json!("OWNER"), none())]));
    let times =
        ["remindAfterHours", "escalateAfterHours", "expireAfterHours"].map(|name| shown[name].clone());
    assert_eq!(times, [json!(1), json!(2), json!(72)]);
    assert_eq!(
        (&shown["currency"], &shown["signInAbove"]["amount"], &shown["payer"], &shown["language"]),
        (&json!("USD"), &json!("2500.00"), &json!("APPROVER"), &json!("DE"))
    );
    // What should be known: there is one owner, who may ask for what they alone agree to; and so may the only administrator.
    let warned: Vec<_> = saved["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| json!([one["kind"], one["rule"], one["stage"]]))
        .collect();
    for expected in
        [json!(["ONE_OWNER", null, null]), json!(["REQUESTER_SHORT", 0, 1]), json!(["REQUESTER_SHORT", 1, 0])]
    {
        assert!(warned.contains(&expected), "{expected}: {warned:?}");
    }
    assert_eq!(warned.len(), 3, "{warned:?}");

    // Another version takes its place, once.
    let nobody = || json!({ "rules": [] });
    for expected in [0, 2] {
        let late = save(&owner, &demo.organization, expected, nobody()).await;
        assert_eq!(refusal(&late), ("INVALID_STATE".to_owned(), "expectedVersion".to_owned()), "{late}");
    }
    let (one, another) = tokio::join!(
        save(&owner, &demo.organization, 1, nobody()),
        save(&owner, &demo.organization, 1, by_owner(json!({})))
    );
    let codes = [refusal(&one).0, refusal(&another).0];
    assert!(codes.contains(&"none".to_owned()) && codes.contains(&"INVALID_STATE".to_owned()), "{codes:?}");
    let third = save(&owner, &demo.organization, 2, nobody()).await;
    assert_eq!((&third["policy"]["rules"], &third["warnings"]), (&json!([]), &json!([])), "nobody is asked");
    let current = "query O($id: ID!) { organization(by: { id: $id }) { approvalPolicy { id version } } }";
    let of_demo = json!({ "id": demo.organization });
    let now = owner.query(current, of_demo.clone()).await["organization"]["approvalPolicy"].clone();
    assert_eq!(now, json!({ "id": third["policy"]["id"], "version": 3 }));
    let node = "query N($id: ID!) { node(id: $id) { ... on ApprovalPolicy { version rules { name } } } }";
    let first = json!({ "id": saved["policy"]["id"] });
    let old = owner.query(node, first.clone()).await["node"].clone();
    assert_eq!(old, json!({ "version": 1, "rules": [{ "name": "Large" }, { "name": "Rest" }] }));
    assert_eq!(world.number("SELECT count(*) AS n FROM approval_policy").await, 3);
    let log = "SELECT count(*) AS n FROM audit_event WHERE action = 'saveApprovalPolicy'";
    assert_eq!(world.number(log).await, 3);

    // Who may.
    let key = keys::make(&world, &owner, Some(&demo.organization), &["PURCHASES_WRITE"], json!({})).await;
    let (stranger, operator) = (world.found("acme").await, world.client("operator@bursar.test").await);
    let staff = ["admin@demo.test", "auditor@demo.test", "manager@demo.test"];
    let [admin, auditor, manager] = [0, 1, 2].map(|at| world.client(staff[at]));
    let (admin, auditor, manager) = (admin.await, auditor.await, manager.await);
    for (client, reads, knows) in [
        (&admin, true, true),
        (&auditor, true, true),
        (&operator, true, true),
        (&manager, false, true),
        (&key.client, false, true),
        (&stranger, false, false),
    ] {
        let refused = if knows { "FORBIDDEN" } else { "NOT_FOUND" };
        assert_eq!(refusal(&save(client, &demo.organization, 3, nobody()).await).0, refused);
        let tried = refusal(&simulate(client, &demo.organization, 1, nobody()).await).0;
        assert_eq!(tried, if reads { "none" } else { refused });
        let body = client.raw(current, of_demo.clone()).await;
        let version = &body["data"]["organization"]["approvalPolicy"]["version"];
        assert_eq!(version, &if reads { json!(3) } else { Value::Null }, "{body}");
        let known = client.query(node, first.clone()).await["node"]["version"].clone();
        assert_eq!(known, if reads { json!(1) } else { Value::Null });
    }
}
