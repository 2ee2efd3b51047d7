//! When owners decide instead, when they join, and when nobody can.

use super::*;
use crate::approval::scene::{ADMINS, OPENED, OWNERS, Scene, user, users};
use crate::approval::{Approvers, Choice, DecisionException, NotApprovable, Outcome};
use crate::organization::Role;

const ALWAYS: (i64, i64) = (0, 10_000);

fn last(scene: &Scene) -> (usize, EscalationReason, Vec<u128>, bool) {
    let last = &scene.round.escalations[scene.round.escalations.len() - 1];
    let owners = last.owners.iter().map(|owner| crate::id::Id::as_u128(*owner)).collect();
    (last.stage, last.reason, owners, last.sole_owner)
}

#[test]
fn a_stage_that_is_out_of_reach_goes_to_one_owner() {
    let mut scene = Scene::asked(6, &[(&[ADMINS], 2)]);
    assert!(scene.reconsider().is_none());
    scene.role(4, Role::Member);
    assert_eq!(scene.reconsider(), Some(0));
    assert_eq!(last(&scene), (0, EscalationReason::Unreachable, vec![1, 2], false));
    assert_eq!(scene.may_decide(), [1, 2, 3], "whoever is left keeps the seat");
    assert_eq!(scene.round.asked_in(0, &scene.situation()), users(&[1, 2, 3]));
    // When people are there again it is theirs again, and no owner decides instead of them.
    scene.role(4, Role::Admin);
    assert!(scene.reconsider().is_none());
    assert_eq!(scene.may_decide(), [3, 4]);
    assert_eq!(scene.approve(2), Err(NotApprovable::NoLongerEligible));
    assert_eq!(scene.approve(3), Ok(Outcome::Recorded));
    assert!(scene.round.in_force(0, &scene.situation()).is_none());
    // As often as that is so; it is written once.
    scene.role(4, Role::Member);
    assert!(scene.reconsider().is_none());
    assert_eq!(scene.may_decide(), [1, 2]);
    assert_eq!(scene.approve(2), Ok(Outcome::Approved { sole_owner: false }));
    let exceptions: Vec<_> = scene.round.decisions.iter().map(|decision| decision.exception).collect();
    assert_eq!(exceptions, [None, Some(DecisionException::OwnerAlone)]);
    // It stays what it was decided by.
    scene.role(4, Role::Admin);
    assert!(scene.round.is_satisfied(0));
    assert_eq!(scene.round.in_force(0, &scene.situation()), scene.round.escalations.last());
}

#[test]
fn whoever_is_left_says_no_or_is_one_of_many() {
    let mut scene = Scene::asked(6, &[(&[ADMINS], 2)]);
    scene.role(4, Role::Member);
    assert_eq!(scene.reconsider(), Some(0));
    let refused = scene.decide(3, Choice::Reject, false).map(|(_, outcome)| outcome);
    assert_eq!(refused, Ok(Outcome::Rejected));
    let mut scene = Scene::asked(6, &[(&[ADMINS], 2)]);
    scene.role(4, Role::Member);
    assert_eq!(scene.reconsider(), Some(0));
    assert_eq!(scene.approve(3), Ok(Outcome::Recorded));
    assert_eq!(scene.round.decisions[0].exception, None, "no owner's");
    assert!(scene.reconsider().is_none());
    // An owner who is one no longer, and named otherwise, is one of many as well.
    let mut scene = Scene::asked(6, &[(&[OWNERS, ADMINS], 4)]);
    scene.leave(3);
    assert_eq!(scene.reconsider(), Some(0));
    scene.role(2, Role::Admin);
    assert_eq!(scene.approve(2), Ok(Outcome::Recorded));
    assert_eq!(scene.approve(1), Ok(Outcome::Approved { sole_owner: false }));
}

#[test]
fn the_only_owner_who_asks_passes_over_nobody_who_is_left() {
    let mut scene = Scene::new();
    scene.role(2, Role::Member);
    scene.ask(1, &[(&[ADMINS], 2)]);
    scene.leave(3);
    assert_eq!(scene.reconsider(), Some(0));
    assert_eq!(last(&scene), (0, EscalationReason::Unreachable, vec![], false));
    assert_eq!(scene.may_decide(), [4]);
    assert_eq!(scene.decide(1, Choice::Approve, true), Err(NotApprovable::Requester));
    // Nor over somebody who stands in for them.
    scene.delegate(1, 4, (OPENED, OPENED + 10));
    assert!(scene.reconsider().is_none() && scene.may_decide().is_empty());
    scene.delegations.clear();
    assert_eq!(scene.approve(4), Ok(Outcome::Recorded));
    assert_eq!(scene.reconsider(), Some(0));
    assert_eq!(last(&scene), (0, EscalationReason::Unreachable, vec![], true));
    let decided = scene.decide(1, Choice::Approve, true).map(|(_, outcome)| outcome);
    assert_eq!(decided, Ok(Outcome::Approved { sole_owner: true }));
}

#[test]
fn whoever_comes_back_is_asked_before_the_only_owner() {
    let mut scene = Scene::new();
    scene.role(2, Role::Member);
    scene.ask(1, &[(&[ADMINS], 2)]);
    scene.role(3, Role::Member);
    scene.role(4, Role::Member);
    assert_eq!(scene.reconsider(), Some(0));
    assert_eq!((last(&scene).3, scene.may_decide()), (true, vec![1]));
    scene.role(4, Role::Admin);
    assert_eq!(scene.may_decide(), [4]);
    assert_eq!(scene.decide(1, Choice::Approve, true), Err(NotApprovable::Requester));
    assert_eq!(scene.reconsider(), Some(0));
    assert!(!last(&scene).3 && scene.reconsider().is_none());
}

#[test]
fn standing_in_makes_no_later_stage_smaller() {
    let mut scene = Scene::asked(6, &[(&[Approvers::Member(user(7))], 1), (&[ADMINS], 2)]);
    scene.delegate(7, 3, ALWAYS);
    assert_eq!(scene.approve(3), Ok(Outcome::StageDone { next: 1 }));
    // 3 is there, and has decided for 7: the owners join, and two have to agree.
    assert_eq!(scene.reconsider(), Some(1));
    assert_eq!(last(&scene), (1, EscalationReason::Barred, vec![1, 2], false));
    assert_eq!(scene.may_decide(), [1, 2, 4]);
    assert_eq!(scene.approve(1), Ok(Outcome::Recorded));
    assert_eq!(scene.approve(4), Ok(Outcome::Approved { sole_owner: false }));
    assert!(scene.round.decisions.iter().all(|decision| decision.exception.is_none()));
    // Whoever has decided by a seat of their own has no other one to give.
    let mut scene = Scene::asked(6, &[(&[ADMINS], 1), (&[ADMINS], 2)]);
    assert_eq!(scene.approve(3), Ok(Outcome::StageDone { next: 1 }));
    assert_eq!(scene.reconsider(), Some(1));
    assert_eq!(last(&scene), (1, EscalationReason::Unreachable, vec![1, 2], false));
    assert_eq!(scene.may_decide(), [1, 2, 4]);
}

#[test]
fn an_owner_with_a_seat_of_their_own_is_one_of_as_many_as_have_to_agree() {
    let mut scene = Scene::asked(6, &[(&[OWNERS], 2)]);
    scene.role(2, Role::Member);
    assert_eq!(scene.reconsider(), Some(0));
    assert_eq!(last(&scene), (0, EscalationReason::Unreachable, vec![1], false));
    scene.role(2, Role::Owner);
    assert_eq!(scene.approve(1), Ok(Outcome::Recorded), "nobody was missing at that instant");
    assert_eq!(scene.approve(2), Ok(Outcome::Approved { sole_owner: false }));
}

#[test]
fn whoever_has_agreed_before_counts_with_an_owner_and_not_as_one() {
    let mut scene = Scene::asked(6, &[(&[ADMINS, OWNERS], 3)]);
    assert_eq!(scene.approve(1), Ok(Outcome::Recorded));
    scene.leave(3);
    assert!(scene.reconsider().is_none(), "2 and 4 are left");
    scene.leave(4);
    assert_eq!(scene.reconsider(), Some(0));
    assert_eq!(last(&scene), (0, EscalationReason::Unreachable, vec![2], false));
    assert!(!scene.round.is_satisfied(0), "what was given before is not the owner's alone");
    assert_eq!(scene.approve(2), Ok(Outcome::Approved { sole_owner: false }));
}

#[test]
fn a_request_of_whom_it_needs_is_out_of_reach_from_the_beginning() {
    let scene = Scene::asked(3, &[(&[ADMINS], 2)]);
    assert_eq!(last(&scene), (0, EscalationReason::Unreachable, vec![1, 2], false));
    // A later stage when its turn comes, and not before.
    let mut later = Scene::asked(3, &[(&[OWNERS], 1), (&[Approvers::Member(user(3))], 1)]);
    assert!(later.round.escalations.is_empty());
    assert_eq!(later.approve(1), Ok(Outcome::StageDone { next: 1 }));
    assert_eq!(later.reconsider(), Some(1));
    assert_eq!(last(&later), (1, EscalationReason::Unreachable, vec![2], false));
    assert_eq!(later.may_decide(), [2]);
}

#[test]
fn nobody_is_counted_on_in_two_stages() {
    let mut scene = Scene::asked(6, &[(&[OWNERS], 1), (&[OWNERS], 1), (&[ADMINS], 2)]);
    assert!(scene.round.escalations.is_empty());
    scene.role(2, Role::Member);
    assert!(scene.reconsider().is_none(), "it is the first one's turn");
    assert_eq!(scene.approve(1), Ok(Outcome::StageDone { next: 1 }));
    // The only owner has decided: nobody is left, and that is said once.
    assert_eq!(scene.reconsider(), Some(1));
    assert_eq!(last(&scene), (1, EscalationReason::Unreachable, vec![], false));
    assert!(scene.reconsider().is_none() && scene.may_decide().is_empty());
    assert_eq!(scene.decide(1, Choice::Approve, true), Err(NotApprovable::DecidedByYou));
    // Until people change.
    scene.role(7, Role::Owner);
    assert_eq!(scene.reconsider(), Some(1));
    assert_eq!(scene.approve(7), Ok(Outcome::StageDone { next: 2 }));
}

#[test]
fn the_only_owner_who_asks_says_so() {
    let mut scene = Scene::new();
    scene.role(2, Role::Member);
    scene.ask(1, &[(&[OWNERS], 1)]);
    assert_eq!(last(&scene), (0, EscalationReason::Unreachable, vec![], true));
    assert_eq!(scene.may_decide(), [1]);
    assert_eq!(scene.round.seated(&scene.situation()), users(&[1]));
    assert_eq!(scene.approve(1), Err(NotApprovable::SoleOwnerUnconfirmed));
    assert_eq!(scene.decide(3, Choice::Approve, true), Err(NotApprovable::NotAsked));
    let decided = scene.decide(1, Choice::Approve, true).map(|(_, outcome)| outcome);
    assert_eq!(decided, Ok(Outcome::Approved { sole_owner: true }));
    let decision = scene.round.decisions[0];
    assert!(scene.round.still_eligible(&decision, &scene.situation()));
    scene.role(1, Role::Member);
    assert!(!scene.round.still_eligible(&decision, &scene.situation()));
}

#[test]
fn the_exception_ends_when_there_is_another_owner() {
    let mut scene = Scene::new();
    scene.role(2, Role::Member);
    scene.ask(1, &[(&[OWNERS], 1)]);
    scene.role(2, Role::Owner);
    assert_eq!(scene.decide(1, Choice::Approve, true), Err(NotApprovable::Requester));
    assert_eq!(scene.reconsider(), Some(0));
    assert_eq!(last(&scene), (0, EscalationReason::Unreachable, vec![2], false));
    assert_eq!(scene.may_decide(), [2]);
}

#[test]
fn whoever_becomes_the_only_owner_meanwhile_is_no_exception() {
    let mut scene = Scene::asked(1, &[(&[OWNERS], 1)]);
    assert_eq!(scene.round.only_owner, None);
    scene.role(2, Role::Member);
    assert_eq!(scene.reconsider(), Some(0));
    assert_eq!(last(&scene), (0, EscalationReason::Unreachable, vec![], false));
    assert_eq!(scene.decide(1, Choice::Approve, true), Err(NotApprovable::Requester));
    assert!(scene.may_decide().is_empty() && scene.round.seated(&scene.situation()).is_empty());
    // It waits until there is another owner.
    scene.role(2, Role::Owner);
    scene.reconsider();
    assert_eq!(scene.may_decide(), [2]);
    assert_eq!(scene.approve(2), Ok(Outcome::Approved { sole_owner: false }));
}

#[test]
fn the_exception_is_of_whoever_was_the_only_owner_when_it_was_opened() {
    let mut scene = Scene::new();
    scene.role(2, Role::Member);
    scene.ask(1, &[(&[OWNERS], 1)]);
    assert_eq!(last(&scene), (0, EscalationReason::Unreachable, vec![], true));
    // Another one, who has had a hand in it as well, is none.
    scene.round.askers.insert(user(3));
    scene.role(3, Role::Owner);
    scene.role(1, Role::Member);
    assert_eq!(scene.decide(3, Choice::Approve, true), Err(NotApprovable::Requester));
    assert_eq!(scene.reconsider(), Some(0));
    assert_eq!(last(&scene), (0, EscalationReason::Unreachable, vec![], false));
    assert!(scene.may_decide().is_empty());
}

#[test]
fn an_only_owner_who_stands_in_for_whoever_asks_is_no_exception() {
    let mut scene = Scene::new();
    scene.role(2, Role::Member);
    scene.delegate(6, 1, ALWAYS);
    scene.ask(6, &[(&[OWNERS], 1)]);
    assert_eq!(last(&scene), (0, EscalationReason::Barred, vec![], false));
    assert!(scene.reconsider().is_none(), "said once");
    assert_eq!(scene.decide(1, Choice::Approve, true), Err(NotApprovable::StandsInForRequester));
    assert!(scene.may_decide().is_empty() && scene.round.seated(&scene.situation()).is_empty());
}

#[test]
fn another_row_when_no_owner_of_the_last_is_left() {
    let mut scene = Scene::asked(6, &[(&[Approvers::Member(user(6))], 1)]);
    assert_eq!(last(&scene).2, [1, 2]);
    scene.role(7, Role::Owner);
    scene.role(1, Role::Member);
    assert!(scene.reconsider().is_none(), "2 is left");
    assert_eq!(scene.seat_of(7), Err(NotApprovable::NotAsked));
    scene.leave(2);
    assert_eq!(scene.reconsider(), Some(0));
    assert_eq!(last(&scene).2, [7]);
    assert_eq!(scene.seat_of(1), Err(NotApprovable::NoLongerEligible));
    assert_eq!(scene.approve(7), Ok(Outcome::Approved { sole_owner: false }));
}

#[test]
fn owners_join_a_stage_that_takes_too_long() {
    let mut scene = Scene::asked(6, &[(&[ADMINS], 2)]);
    scene.now = OPENED + 100;
    let expected = Escalation {
        stage: 0,
        reason: EscalationReason::Overdue,
        owners: users(&[1, 2]),
        sole_owner: false,
        at: scene.situation().now,
    };
    assert_eq!(scene.round.overdue(&scene.situation()), Some(expected.clone()));
    scene.round.escalations.push(expected);
    assert_eq!(scene.round.overdue(&scene.situation()), None, "once a stage");
    assert_eq!(scene.may_decide(), [1, 2, 3, 4]);
    scene.delegate(1, 7, ALWAYS);
    assert_eq!(scene.seat_of(7), Ok(1));
    assert_eq!(scene.approve(1), Ok(Outcome::Recorded), "as many have to agree as before");
    scene.role(2, Role::Admin);
    assert_eq!(scene.seat_of(2), Err(NotApprovable::NoLongerEligible));
    assert_eq!(scene.approve(3), Ok(Outcome::Approved { sole_owner: false }));
}

#[test]
fn nobody_joins_where_all_owners_sit_already() {
    let mut scene = Scene::asked(6, &[(&[OWNERS], 1), (&[ADMINS], 1)]);
    assert_eq!(scene.round.overdue(&scene.situation()), None);
    assert_eq!(scene.approve(1), Ok(Outcome::StageDone { next: 1 }));
    let overdue = scene.round.overdue(&scene.situation()).map(|overdue| (overdue.stage, overdue.owners));
    assert_eq!(overdue, Some((1, users(&[2]))), "1 has decided");
    // With owners who decide instead nobody has to join.
    let mut scene = Scene::asked(3, &[(&[ADMINS], 2)]);
    scene.now = OPENED + 100;
    assert_eq!(scene.round.overdue(&scene.situation()), None);
}

#[test]
fn whoever_asks_makes_no_stage_smaller_by_a_delegation() {
    let mut scene = Scene::asked(6, &[(&[ADMINS], 2)]);
    scene.delegate(6, 3, (OPENED, OPENED + 10));
    assert_eq!(scene.reconsider(), Some(0));
    assert_eq!(last(&scene), (0, EscalationReason::Barred, vec![1, 2], false));
    assert!(scene.reconsider().is_none());
    assert_eq!(scene.may_decide(), [1, 2, 4], "the owners join, and one of them is not enough");
    assert_eq!(scene.approve(1), Ok(Outcome::Recorded));
    assert_eq!(scene.seat_of(3), Err(NotApprovable::StandsInForRequester));
    // One after another is barred, an owner among them. The others are as many as before, or too few.
    scene.now = OPENED + 10;
    scene.delegate(6, 4, (OPENED + 10, OPENED + 20));
    assert!(scene.reconsider().is_none());
    assert_eq!(scene.may_decide(), [2]);
    assert_eq!(
        scene.round.in_force(0, &scene.situation()).map(|one| one.reason),
        Some(EscalationReason::Barred)
    );
    scene.now = OPENED + 20;
    scene.delegate(6, 2, (OPENED + 20, OPENED + 30));
    assert!(scene.reconsider().is_none() && scene.may_decide().is_empty(), "it waits, and nobody is enough");
    // Whoever becomes an owner joins.
    scene.role(7, Role::Owner);
    assert_eq!(scene.reconsider(), Some(0));
    assert_eq!(last(&scene), (0, EscalationReason::Barred, vec![7], false));
    assert_eq!(scene.approve(7), Ok(Outcome::Approved { sole_owner: false }));
    assert!(scene.round.decisions.iter().all(|decision| decision.exception.is_none()));
}

#[test]
fn nor_does_a_delegation_from_before() {
    let mut scene = Scene::new();
    scene.delegate(6, 3, ALWAYS);
    scene.delegate(3, 4, ALWAYS);
    scene.ask(6, &[(&[ADMINS], 2)]);
    assert_eq!(last(&scene), (0, EscalationReason::Barred, vec![1, 2], false));
    assert_eq!(scene.approve(2), Ok(Outcome::Recorded));
    // Whoever has left is missing, whomever they stood in for.
    scene.leave(4);
    assert!(scene.reconsider().is_none(), "3 and 1 are there");
    scene.leave(3);
    assert!(scene.reconsider().is_none(), "1 has joined");
    assert_eq!(scene.approve(1), Ok(Outcome::Approved { sole_owner: false }));
}

#[test]
fn the_only_owner_who_asks_bars_nobody_to_decide_alone() {
    let mut scene = Scene::new();
    scene.role(2, Role::Member);
    scene.delegate(1, 3, ALWAYS);
    scene.ask(1, &[(&[ADMINS], 2)]);
    assert_eq!(last(&scene), (0, EscalationReason::Barred, vec![], false));
    assert_eq!(scene.decide(1, Choice::Approve, true), Err(NotApprovable::Requester));
    assert_eq!(scene.approve(4), Ok(Outcome::Recorded));
    assert!(scene.may_decide().is_empty());
}
