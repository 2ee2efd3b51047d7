//! Who sees which requests for approval, and what of them: whoever reads those of the pool, whoever asks, is asked, or has
//! decided.

use bursar::clock::Clock;
use serde_json::{Value, json};

use crate::approval_policies::{dollars, member, rule, save, simulate};
use crate::approval_simulation::buy;
use crate::on_both_databases;
use crate::support::client::Demo;
use crate::support::{Backend, Client, World};

on_both_databases!(whoever_is_concerned_sees);

const NODE: &str = "query N($id: ID!) { node(id: $id) { ... on ApprovalRequest { state round cause title credits total { amount }
        contentHash stage ruleName usedAt endedAt requestedBy { email } rounds { round cause total { amount } }
        stages { name quorum approved satisfied eligible { email } escalation soleOwner }
        decisions { stage choice by { email } inNameOf { email } way exception reason stillEligible } } } }";

/// The requests that somebody sees.
async fn listed(client: &Client, demo: &Demo, filter: Value) -> Value {
    let list = "query R($id: ID!, $filter: ApprovalRequestFilter) { organization(by: { id: $id }) {
        approvalRequests(filter: $filter) { totalCount nodes { id canDecide cannotDecide purchase { id } policy { version } } } } }";
    let asked = json!({ "id": demo.organization, "filter": filter });
    client.query(list, asked).await["organization"]["approvalRequests"].clone()
}

async fn whoever_is_concerned_sees(backend: Backend) {
    let world = World::start_untimed(backend, Clock::system()).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let stages = json!([
        { "name": "Sales", "approvers": [{ "departmentManagersOf": demo.sales }] },
        { "name": "Owners", "approvers": [{ "role": "OWNER" }] },
    ]);
    let policy = json!({ "rules": [rule("Large", json!({ "totalFrom": dollars("500") }), stages)] });
    assert_eq!(save(&owner, &demo.organization, 0, policy.clone()).await["userErrors"], json!([]));
    let admin = world.client("admin@demo.test").await;
    assert_eq!(buy(&admin, &demo, "STARTER", "a").await["state"], "APPROVED", "no rule fits");
    let bought = buy(&admin, &demo, "PROFESSIONAL", "b").await;
    assert_eq!(bought["state"], "PENDING_APPROVAL");
    let tried = simulate(&owner, &demo.organization, 1, policy).await["simulation"]["purchases"].clone();
    assert_eq!(tried[0]["wasAsked"], true, "{tried}");

    let (manager, nobody) = (world.client("manager@demo.test").await, world.client("member@demo.test").await);
    let (auditor, operator) =
        (world.client("auditor@demo.test").await, world.client("operator@bursar.test").await);
    let stranger = world.found("acme").await;
    for (client, decides, why, sees) in [
        (&manager, true, Value::Null, false),
        (&owner, false, json!("OTHER_STAGE"), true),
        (&admin, false, json!("REQUESTER"), true),
        (&auditor, false, json!("NOT_ASKED"), true),
        (&operator, false, json!("NOT_ASKED"), true),
    ] {
        let all = listed(client, &demo, Value::Null).await;
        assert_eq!(all["totalCount"], 1, "{all}");
        let one = &all["nodes"][0];
        assert_eq!((&one["canDecide"], &one["cannotDecide"]), (&json!(decides), &why), "{one}");
        // Whoever is asked need not see the purchases of the pool, nor the policy.
        assert_eq!((one["purchase"].is_object(), one["policy"].is_object()), (sees, sees), "{one}");
        let own = listed(client, &demo, json!({ "decidable": true })).await["totalCount"].clone();
        assert_eq!(own, i64::from(decides));
        let ended = listed(client, &demo, json!({ "state": "APPROVED" })).await["totalCount"].clone();
        assert_eq!(ended, 0);
    }
    assert_eq!(listed(&nobody, &demo, Value::Null).await["totalCount"], 0);
    let id = listed(&owner, &demo, Value::Null).await["nodes"][0]["id"].clone();
    for other in [&nobody, &stranger] {
        assert_eq!(other.query(NODE, json!({ "id": id })).await["node"], Value::Null);
    }
    let shown = manager.query(NODE, json!({ "id": id })).await["node"].clone();
    assert_eq!(
        (&shown["state"], &shown["round"], &shown["cause"]),
        (&json!("PENDING"), &json!(1), &json!("REQUESTED"))
    );
    assert_eq!((&shown["credits"], &shown["total"]["amount"]), (&json!(500), &json!("899.00")));
    assert_eq!(
        (&shown["ruleName"], &shown["requestedBy"]["email"]),
        (&json!("Large"), &json!("admin@demo.test"))
    );
    assert_eq!(shown["contentHash"].as_str().unwrap().len(), 64);
    assert_eq!(
        shown["rounds"],
        json!([{ "round": 1, "cause": "REQUESTED", "total": { "amount": "899.00" } }])
    );
    let eligible = |at: usize, shown: &Value| shown["stages"][at]["eligible"].clone();
    assert_eq!(eligible(0, &shown), json!([{ "email": "manager@demo.test" }]));
    assert_eq!(eligible(1, &shown), json!([{ "email": "owner@demo.test" }]));

    // A decision stands when whoever took it is no longer what they were asked as, and says so.
    let input = json!({ "requestId": id, "round": 1, "choice": "APPROVE", "idempotencyKey": "d" });
    manager.mutate("decideApproval", "DecideApprovalInput", input, "request { stage }").await;
    let before = owner.query(NODE, json!({ "id": id })).await["node"].clone();
    assert_eq!((&before["stage"], &before["stages"][0]["satisfied"]), (&json!(1), &json!(true)));
    assert_eq!(before["decisions"][0]["by"], json!({ "email": "manager@demo.test" }));
    assert_eq!(before["decisions"][0]["stillEligible"], true);
    let left = member(&owner, &demo.organization, "manager@demo.test").await;
    let input = json!({ "departmentId": demo.sales, "memberId": left });
    owner.mutate("removeDepartmentMember", "RemoveDepartmentMemberInput", input, "department { id }").await;
    let after = owner.query(NODE, json!({ "id": id })).await["node"].clone();
    assert_eq!(
        (&after["stage"], &after["decisions"][0]["stillEligible"]),
        (&json!(1), &json!(false)),
        "{after}"
    );
    assert_eq!(eligible(0, &after), json!([]));
    // Who has decided sees it still.
    assert_eq!(listed(&manager, &demo, Value::Null).await["totalCount"], 1);
    assert_eq!(listed(&owner, &demo, json!({ "decidable": true })).await["totalCount"], 1);
    let of_pool = "query P($id: ID!) { pool(id: $id) { approvalRequests { totalCount } } }";
    let pool = owner.query(of_pool, json!({ "id": demo.pool })).await["pool"].clone();
    assert_eq!(pool["approvalRequests"]["totalCount"], 1);
}
