//! The pages of those who may not decide: whoever has asked, whoever was not asked or not yet, and whoever no longer may.

use serde_json::json;

use super::{MANAGER, MARCH, Office, pages};
use crate::support::acts::at;
use crate::support::approvals;
use crate::support::caps::member;
use crate::support::{Backend, Client};

pub async fn who_may_not_decide_is_told_why(backend: Backend) {
    let office = Office::open(backend).await;
    let Office { world, owner, demo, .. } = &office;
    let refused = |word: &str| pages((403, word), (403, word));
    // Whoever has asked, whoever is not asked, and whoever is asked later.
    for (email, word) in [
        ("admin@demo.test", "REQUESTER"),
        ("member@demo.test", "NOT_ASKED"),
        ("second@demo.test", "OTHER_STAGE"),
    ] {
        let (_, letter) = office.ask(email).await;
        let given = office.give(&letter, email).await;
        assert_eq!(office.both(&given).await, refused(word), "{email}");
    }
    // Whoever stands in for whoever has asked, also when that has ended since.
    let (_, letter) = office.ask("stands in").await;
    let place = member(owner, "member@demo.test").await;
    let (from, until) = (MARCH, "2026-03-20T12:00:00Z");
    let delegation = approvals::stands_in(&office.admin, &demo.organization, &place, (from, until)).await;
    let given = office.give(&letter, "member@demo.test").await;
    assert_eq!(office.both(&given).await, refused("STANDS_IN_FOR_REQUESTER"));
    let revoke = async |client: &Client, delegation: &str| {
        let input = json!({ "delegationId": delegation });
        let fields = "delegation { id }";
        client.mutate("revokeDelegation", "RevokeDelegationInput", input, fields).await;
    };
    office.clock.turn(at("2026-03-10T12:01:00Z"));
    // Whoever stood in is kept out of this round all the same.
    revoke(&office.admin, &delegation).await;
    assert_eq!(office.both(&given).await, refused("STANDS_IN_FOR_REQUESTER"));
    // Whoever stands in for somebody who is asked gets a link of their own, as long as they do.
    let manager = world.client(MANAGER).await;
    let from = "2026-03-10T12:01:30Z";
    office.clock.turn(at(from));
    let delegation = approvals::stands_in(&manager, &demo.organization, &place, (from, until)).await;
    let (asked, _) = office.ask("by another").await;
    let letter = office.letter("member@demo.test").await;
    assert_eq!(office.nobody.open(&letter.url).await.state(), (200, "OPEN"));
    office.clock.turn(at("2026-03-10T12:02:00Z"));
    revoke(&manager, &delegation).await;
    assert_eq!(office.both(&letter).await, refused("DELEGATION_ENDED"));
    assert_eq!(approvals::why_not(&office.admin, &asked.request, 1).await, "REQUESTER");
    // Whoever has left what they were asked as.
    let letter = office.letter(MANAGER).await;
    let input = json!({ "departmentId": demo.sales, "memberId": member(owner, MANAGER).await });
    owner.mutate("removeDepartmentMember", "RemoveDepartmentMemberInput", input, "department { id }").await;
    assert_eq!(office.both(&letter).await, refused("NO_LONGER_ELIGIBLE"));
    // Whoever has left is not even told what it was about.
    let input = json!({ "memberId": member(owner, MANAGER).await });
    owner.mutate("removeMember", "RemoveMemberInput", input, "removedMemberId").await;
    let page = office.nobody.open(&letter.url).await;
    assert!(!page.has_form() && !page.body.contains("USD 899.00"), "{}", page.body);
    assert_eq!(approvals::decisions(world).await, 0, "nothing was decided by any of them");
}
