//! What changes while people are asked: a policy that is saved meanwhile asks others from the next request on; and of those
//! who stand in for one another somebody is removed in the middle, or forgotten.

use bursar::clock::Clock;
use serde_json::json;

use crate::on_both_databases;
use crate::support::approvals::{self, Asked, delegated, managers_and_owners, professional};
use crate::support::caps::member;
use crate::support::{Backend, Client, World};

on_both_databases!(what_changes_meanwhile);

async fn what_changes_meanwhile(backend: Backend) {
    let world = World::start_untimed(backend, Clock::system()).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let mut places = vec![member(&owner, "member@demo.test").await];
    let operator = world.client("operator@bursar.test").await;
    for email in ["third@demo.test", "fourth@demo.test"] {
        places.push(approvals::add(&operator, &demo.organization, email, "MEMBER").await);
    }
    let rule = || professional(managers_and_owners(&demo.sales, 1));
    approvals::save(&owner, &demo.organization, rule(), json!({})).await;
    let (admin, manager) = (world.client("admin@demo.test").await, world.client("manager@demo.test").await);
    let (second, third) = (world.client("member@demo.test").await, world.client("third@demo.test").await);
    let fourth = world.client("fourth@demo.test").await;
    for (client, place) in [(&manager, &places[0]), (&second, &places[1]), (&third, &places[2])] {
        delegated(client, &demo.organization, place, 0, 9).await;
    }
    // What is open goes on by the policy that it was opened by.
    let ask = async |key: &str| approvals::requested(&admin, &demo.pool, "PROFESSIONAL", key).await;
    let Asked { purchase, request } = ask("open").await;
    let owners = professional(json!([{ "name": "Owners", "approvers": [{ "role": "OWNER" }] }]));
    let newer = approvals::save(&owner, &demo.organization, owners, json!({})).await;
    let policy = async |request: &str| {
        let query = "query A($id: ID!) { node(id: $id) { ... on ApprovalRequest { policy { id } } } }";
        owner.query(query, json!({ "id": request })).await["node"]["policy"]["id"].clone()
    };
    assert_ne!(policy(&request).await, json!(newer));
    assert_eq!(approvals::why_not(&owner, &request, 1).await, "OTHER_STAGE");
    assert_eq!(approvals::approve(&fourth, &request, 1).await, "PENDING");
    let decided = &approvals::shown(&owner, &purchase).await["approvalRequest"]["decisions"][0];
    let (by, seat) = (&decided["by"]["email"], &decided["inNameOf"]["email"]);
    assert_eq!((by, seat), (&json!("fourth@demo.test"), &json!("manager@demo.test")));
    let Asked { request: next, .. } = ask("newer").await;
    assert_eq!(policy(&next).await, json!(newer));
    assert_eq!(approvals::approve(&owner, &next, 1).await, "APPROVED");
    // Somebody in the middle of the chain is removed: what was decided through them stands, and whoever stood at its end
    // stands in for nobody any more.
    approvals::save(&owner, &demo.organization, rule(), json!({})).await;
    let Asked { request: cut, .. } = ask("cut").await;
    replaced(&world, &admin, (&fourth, &manager), ask("edited").await).await;
    let input = json!({ "memberId": places[1] });
    owner.mutate("removeMember", "RemoveMemberInput", input, "removedMemberId").await;
    let revoked = "SELECT count(*) AS n FROM approval_delegation WHERE revoked_at IS NOT NULL";
    assert_eq!(world.number(revoked).await, 2, "the one to them, and theirs");
    assert_eq!(approvals::why_not(&fourth, &cut, 1).await, "DELEGATION_ENDED");
    assert_eq!(approvals::approve(&second, &cut, 1).await, "PENDING");
    assert_eq!(approvals::approve(&owner, &request, 1).await, "APPROVED");
    // Whoever has decided is forgotten: the decision stands, and says that they are gone.
    let query = "query M($id: ID!) { node(id: $id) { ... on Member { user { id } } } }";
    let person = owner.query(query, json!({ "id": places[0] })).await["node"]["user"]["id"].clone();
    let input = json!({ "userId": person });
    operator.mutate("erasePerson", "ErasePersonInput", input, "user { id }").await;
    let query = "query A($id: ID!) { node(id: $id) { ... on ApprovalRequest { state
        decisions { choice by { email } inNameOf { email } stillEligible } } } }";
    let left = owner.query(query, json!({ "id": cut })).await["node"].clone();
    let expected = json!({ "choice": "APPROVE", "by": null, "inNameOf": { "email": "manager@demo.test" },
        "stillEligible": false });
    assert_eq!((&left["state"], &left["decisions"]), (&json!("PENDING"), &json!([expected])));
    assert_eq!(approvals::approve(&owner, &cut, 1).await, "APPROVED");
}

/// A round is replaced while the owner is asked: who has asked and the owner are told, whom nobody asks at first; those who
/// are asked anew have that mail.
async fn replaced(world: &World, admin: &Client, (decides, asked): (&Client, &Client), edited: Asked) {
    let told = "SELECT count(*) AS n FROM delivery WHERE facts LIKE '%\"became\":\"NEW_ROUND\"%'";
    assert_eq!(approvals::approve(decides, &edited.request, 1).await, "PENDING");
    assert_eq!(world.number(told).await, 0);
    let input = json!({ "purchaseId": edited.purchase, "round": 1, "note": "Other houses" });
    admin.mutate("updatePurchase", "UpdatePurchaseInput", input, "purchase { state }").await;
    assert_eq!(world.number(told).await, 2);
    for client in [decides, asked] {
        let rehearsed =
            approvals::decide(client, &edited.request, 2, "APPROVE", json!({ "dryRun": true })).await;
        assert_eq!(rehearsed["userErrors"], json!([]), "{rehearsed}");
    }
}
