//! Fewer are left to decide than have to agree: owners decide instead of them, and the only one of an organization about
//! what they have asked for themselves.

use bursar::clock::Clock;
use bursar::{global_id, schedule};
use bursar_domain::approval::LinkKind;
use serde_json::json;

use super::{another_owner, approve, decide, policy, requested, shown, why_not};
use crate::on_both_databases;
use crate::support::acts::pool;
use crate::support::approvals::{links, newest};
use crate::support::caps::member;
use crate::support::{Backend, World};

on_both_databases!(too_few_are_left);

async fn too_few_are_left(backend: Backend) {
    let world = World::start_untimed(backend, Clock::system()).await;
    let owner = world.client("owner@demo.test").await;
    let demo = owner.demo().await;
    let operator = world.client("operator@bursar.test").await;
    another_owner(&operator, &demo.organization, "second@demo.test").await;
    let (admin, manager) = (world.client("admin@demo.test").await, world.client("manager@demo.test").await);
    let second = world.client("second@demo.test").await;
    // Somebody who has agreed is demoted before the next stage: what they said stands, and says so.
    let place = member(&owner, "admin@demo.test").await;
    let stages = json!([
        { "name": "First", "approvers": [{ "memberId": place }] },
        { "name": "Second", "approvers": [{ "role": "OWNER" }] },
    ]);
    policy(&owner, &demo.organization, 0, stages).await;
    let (purchase, request) = requested(&second, &demo.pool, "STARTER", "demoted").await;
    approve(&admin, &request, 1).await;
    let input = json!({ "memberId": place, "role": "AUDITOR" });
    owner.mutate("updateMemberRole", "UpdateMemberRoleInput", input, "member { role }").await;
    let waiting = shown(&owner, &purchase).await;
    let expected = json!([{ "choice": "APPROVE", "stillEligible": false }]);
    assert_eq!(
        (&waiting["state"], &waiting["approvalRequest"]["decisions"]),
        (&json!("PENDING_APPROVAL"), &expected)
    );
    assert_eq!(approve(&owner, &request, 1).await["state"], "APPROVED");
    // Those who could decide have left before anybody has: the other owner decides.
    let managers = json!([{ "name": "Department", "approvers": [{ "departmentManagersOf": demo.sales }] }]);
    policy(&owner, &demo.organization, 1, managers).await;
    let (purchase, request) = requested(&owner, &demo.pool, "STARTER", "left").await;
    let leaves = json!({ "departmentId": demo.sales, "memberId": member(&owner, "manager@demo.test").await });
    let leaving = leaves.clone();
    owner.mutate("removeDepartmentMember", "RemoveDepartmentMemberInput", leaving, "department { id }").await;
    let stage = &shown(&owner, &purchase).await["approvalRequest"]["stages"][0];
    let expected = json!({ "satisfied": false, "escalation": "UNREACHABLE", "soleOwner": false });
    assert_eq!(stage, &expected);
    assert_eq!(why_not(&manager, &request, 1).await, "NO_LONGER_ELIGIBLE");
    assert_eq!(why_not(&owner, &request, 1).await, "REQUESTER");
    // Somebody comes back: it is theirs again, and no owner's. And leaves once more.
    let mut returns = leaves.clone();
    returns["manager"] = json!(true);
    owner.mutate("addDepartmentMember", "AddDepartmentMemberInput", returns, "department { id }").await;
    let stage = &shown(&owner, &purchase).await["approvalRequest"]["stages"][0];
    assert_eq!(stage, &json!({ "satisfied": false, "escalation": null, "soleOwner": false }));
    assert_eq!(why_not(&second, &request, 1).await, "NO_LONGER_ELIGIBLE");
    owner.mutate("removeDepartmentMember", "RemoveDepartmentMemberInput", leaves, "department { id }").await;
    assert_eq!(approve(&second, &request, 1).await["state"], "APPROVED");
    let alone = "SELECT count(*) AS n FROM approval_decision WHERE exception = 'OWNER_ALONE'";
    assert_eq!(world.number(alone).await, 1);
    assert_eq!(shown(&owner, &purchase).await["approvalBasis"], "PEOPLE");
    // An owner who was asked with others is told that one owner decides alone by now: by a mail of its own, whose link
    // replaces the one that they have.
    let place = member(&owner, "member@demo.test").await;
    let both =
        json!([{ "name": "Both", "quorum": 2, "approvers": [{ "role": "OWNER" }, { "memberId": place }] }]);
    policy(&owner, &demo.organization, 2, both).await;
    let (_, request) = requested(&owner, &demo.pool, "STARTER", "both").await;
    let asked = newest(&world, "second@demo.test", LinkKind::Decide).await.row;
    let alone = r#"SELECT count(*) AS n FROM delivery WHERE facts LIKE '%"because":"UNREACHABLE"%'"#;
    let before = world.number(alone).await;
    let input = json!({ "memberId": place, "role": "AUDITOR" });
    owner.mutate("updateMemberRole", "UpdateMemberRoleInput", input, "member { role }").await;
    assert_eq!(world.number(alone).await, before + 1);
    let again = newest(&world, "second@demo.test", LinkKind::Decide).await.row;
    assert!(again.id != asked.id && again.withdrawn_at.is_none() && again.request_id == asked.request_id);
    let out = links(&world, "second@demo.test").await.into_iter();
    let out = out.filter(|row| row.request_id == asked.request_id && row.withdrawn_at.is_none());
    assert_eq!(out.count(), 1);
    assert_eq!(approve(&second, &request, 1).await["state"], "APPROVED");
    // Whoever asks cannot make themselves the only owner meanwhile, and decide alone: it waits, and the owners are told.
    policy(&owner, &demo.organization, 3, json!([{ "name": "Owners", "approvers": [{ "role": "OWNER" }] }]))
        .await;
    let (purchase, request) = requested(&owner, &demo.pool, "STARTER", "usurped").await;
    let other = member(&owner, "second@demo.test").await;
    let as_role = |role: &str| json!({ "memberId": other, "role": role });
    let fields = "member { role }";
    owner.mutate("updateMemberRole", "UpdateMemberRoleInput", as_role("MEMBER"), fields).await;
    let stage = &shown(&owner, &purchase).await["approvalRequest"]["stages"][0];
    assert_eq!(stage, &json!({ "satisfied": false, "escalation": "UNREACHABLE", "soleOwner": false }));
    let stuck = r#"SELECT count(*) AS n FROM delivery WHERE facts LIKE '%"became":"STUCK"%'"#;
    assert_eq!(world.number(stuck).await, 1);
    let alone = decide(&owner, &request, 1, "APPROVE", json!({ "soleOwner": true })).await;
    assert_eq!(alone["userErrors"][0]["reason"], "REQUESTER", "{alone}");
    owner.mutate("updateMemberRole", "UpdateMemberRoleInput", as_role("OWNER"), fields).await;
    assert_eq!(why_not(&owner, &request, 1).await, "REQUESTER");
    assert_eq!(approve(&second, &request, 1).await["state"], "APPROVED");
    assert_eq!(shown(&owner, &purchase).await["approvalBasis"], "PEOPLE");
    // As long as the organization is suspended a change of people asks nobody. Once it may act again they are asked at once.
    let place = member(&owner, "manager@demo.test").await;
    let two =
        json!([{ "name": "Two", "quorum": 2, "approvers": [{ "role": "OWNER" }, { "memberId": place }] }]);
    policy(&owner, &demo.organization, 4, two).await;
    let (_, request) = requested(&owner, &demo.pool, "STARTER", "suspended").await;
    let operator = world.client("operator@bursar.test").await;
    let input = json!({ "organizationId": demo.organization, "reason": "For a test" });
    let state = "organization { state }";
    operator.mutate("suspendOrganization", "SuspendOrganizationInput", input.clone(), state).await;
    let handed = r#"SELECT count(*) AS n FROM delivery WHERE facts LIKE '%"because":"UNREACHABLE"%'"#;
    let before = world.number(handed).await;
    let leaves = json!({ "memberId": place });
    owner.mutate("removeMember", "RemoveMemberInput", leaves, "removedMemberId").await;
    let selling = &world.services().selling;
    schedule::run_once(selling).await.unwrap();
    assert_eq!(world.number(handed).await, before, "nobody can decide");
    operator.mutate("resumeOrganization", "ResumeOrganizationInput", input, state).await;
    schedule::run_once(selling).await.unwrap();
    assert_eq!(world.number(handed).await, before + 1);
    assert_eq!(approve(&second, &request, 1).await["state"], "APPROVED");
    // The only owner who asks passes over nobody who can still say no, though they are too few.
    owner.mutate("updateMemberRole", "UpdateMemberRoleInput", as_role("MEMBER"), fields).await;
    let input = json!({ "memberId": member(&owner, "admin@demo.test").await, "role": "ADMIN" });
    owner.mutate("updateMemberRole", "UpdateMemberRoleInput", input, fields).await;
    let both =
        json!([{ "name": "Both", "quorum": 2, "approvers": [{ "role": "OWNER" }, { "role": "ADMIN" }] }]);
    policy(&owner, &demo.organization, 5, both).await;
    let (purchase, request) = requested(&owner, &demo.pool, "STARTER", "passed over").await;
    let stage = &shown(&owner, &purchase).await["approvalRequest"]["stages"][0];
    assert_eq!(stage, &json!({ "satisfied": false, "escalation": "UNREACHABLE", "soleOwner": false }));
    let alone = decide(&owner, &request, 1, "APPROVE", json!({ "soleOwner": true })).await;
    assert_eq!(alone["userErrors"][0]["reason"], "REQUESTER", "{alone}");
    let letter = newest(&world, "admin@demo.test", LinkKind::Decide).await;
    assert_eq!(global_id::encode(letter.row.request_id), request, "they are asked");
    assert_eq!(approve(&admin, &request, 1).await["state"], "PENDING");
    let stage = &shown(&owner, &purchase).await["approvalRequest"]["stages"][0];
    assert_eq!(stage, &json!({ "satisfied": false, "escalation": "UNREACHABLE", "soleOwner": true }));
    let decided = decide(&owner, &request, 1, "APPROVE", json!({ "soleOwner": true })).await;
    assert_eq!(decided["request"]["state"], "APPROVED", "{decided}");
    assert_eq!(shown(&owner, &purchase).await["approvalBasis"], "SOLE_OWNER");
    // The only owner of an organization has nobody else to ask, and has to say that they know.
    let solo = world.found("solo").await;
    let query = r#"{ organization(by: { slug: "solo" }) { id } }"#;
    let organization = solo.query(query, json!({})).await["organization"]["id"].as_str().unwrap().to_owned();
    let place = pool(&solo, &organization, "Main").await;
    policy(&solo, &organization, 0, json!([{ "name": "Owners", "approvers": [{ "role": "OWNER" }] }])).await;
    let (purchase, request) = requested(&solo, &place, "STARTER", "alone").await;
    assert_eq!(shown(&solo, &purchase).await["approvalRequest"]["stages"][0]["soleOwner"], true);
    assert_eq!(why_not(&solo, &request, 1).await, "SOLE_OWNER_UNCONFIRMED");
    let decided = decide(&solo, &request, 1, "APPROVE", json!({ "soleOwner": true })).await;
    assert_eq!(
        (&decided["userErrors"], &decided["request"]["state"]),
        (&json!([]), &json!("APPROVED")),
        "{decided}"
    );
    assert_eq!(shown(&solo, &purchase).await["approvalBasis"], "SOLE_OWNER");
}
