//! Who decides for whom, what is refused with which reason, and what comes of decisions.

use super::*;
use crate::approval::Approvers;
use crate::approval::scene::{ADMINS, MEMBERS, OPENED, OVER, OWNERS, Scene, user, users};
use crate::organization::Role;

const ALWAYS: (i64, i64) = (0, 10_000);

#[test]
fn two_stages_one_after_the_other() {
    let mut scene = Scene::asked(6, &[(&[ADMINS], 1), (&[OWNERS], 2)]);
    assert_eq!(scene.round.stage(), Some(0));
    assert_eq!(scene.may_decide(), [3, 4]);
    assert_eq!(scene.approve(1), Err(NotApprovable::OtherStage));
    assert_eq!(scene.approve(3), Ok(Outcome::StageDone { next: 1 }));
    assert_eq!(scene.approve(4), Err(NotApprovable::OtherStage));
    assert_eq!(scene.approve(3), Err(NotApprovable::DecidedByYou));
    assert_eq!(scene.approve(1), Ok(Outcome::Recorded));
    assert_eq!(scene.may_decide(), [2]);
    assert_eq!(scene.approve(2), Ok(Outcome::Approved { sole_owner: false }));
    assert_eq!(scene.round.stage(), None);
    assert!(scene.may_decide().is_empty());
    assert_eq!(scene.approve(4), Err(NotApprovable::Approved));
}

#[test]
fn one_rejection_ends_it() {
    let mut scene = Scene::asked(6, &[(&[ADMINS], 2)]);
    assert_eq!(scene.approve(3), Ok(Outcome::Recorded));
    assert_eq!(scene.decide(4, Choice::Reject, false).map(|(_, outcome)| outcome), Ok(Outcome::Rejected));
    assert!(scene.round.is_rejected() && scene.may_decide().is_empty());
    assert_eq!(scene.approve(1), Err(NotApprovable::Rejected));
    scene.now = OVER;
    assert_eq!(scene.approve(1), Err(NotApprovable::Expired));
}

#[test]
fn over_at_the_very_instant() {
    let mut scene = Scene::asked(6, &[(&[ADMINS], 1)]);
    scene.now = OVER - 1;
    assert_eq!(scene.may_decide(), [3, 4]);
    scene.now = OVER;
    assert!(scene.may_decide().is_empty() && scene.round.seated(&scene.situation()).is_empty());
    assert_eq!(scene.approve(3), Err(NotApprovable::Expired));
}

#[test]
fn whoever_asks_has_no_seat_nor_has_who_stands_in_for_them() {
    let mut scene = Scene::new();
    scene.delegate(3, 4, ALWAYS);
    scene.delegate(4, 1, ALWAYS);
    scene.ask(3, &[(&[ADMINS, OWNERS], 1)]);
    assert_eq!(
        scene.round.stages[0].eligible,
        users(&[1, 2, 4]),
        "the seats of those who stand in are there"
    );
    assert_eq!(scene.approve(3), Err(NotApprovable::Requester));
    assert_eq!(scene.approve(4), Err(NotApprovable::StandsInForRequester));
    assert_eq!(scene.approve(1), Err(NotApprovable::StandsInForRequester));
    assert_eq!(scene.may_decide(), [2]);
}

#[test]
fn ending_a_delegation_frees_nobody_within_the_round() {
    let mut scene = Scene::asked(6, &[(&[ADMINS], 1)]);
    scene.now = OPENED + 10;
    scene.delegate(6, 3, (OPENED + 10, OPENED + 20));
    assert_eq!(scene.seat_of(3), Err(NotApprovable::StandsInForRequester));
    scene.now = OPENED + 500;
    assert_eq!(scene.seat_of(3), Err(NotApprovable::StandsInForRequester));
    assert_eq!(scene.may_decide(), [4]);
    // What was over before the round was opened does not count in it.
    let mut later = Scene::asked(6, &[(&[ADMINS], 1)]);
    later.delegate(6, 3, (0, OPENED));
    assert_eq!(later.seat_of(3), Ok(3));
}

#[test]
fn somebody_stands_in_for_a_seat() {
    let mut scene = Scene::asked(6, &[(&[ADMINS], 2)]);
    scene.delegate(3, 5, (OPENED, OPENED + 50));
    scene.delegate(5, 7, ALWAYS);
    scene.delegate(7, 1, ALWAYS);
    scene.delegate(1, 2, ALWAYS);
    assert_eq!(scene.may_decide(), [1, 3, 4, 5, 7], "three in a row, and no more");
    assert_eq!(scene.seat_of(2), Err(NotApprovable::NotAsked));
    assert_eq!((scene.seat_of(7), scene.seat_of(3)), (Ok(3), Ok(3)));
    scene.now = OPENED + 50;
    assert_eq!(scene.may_decide(), [3, 4]);
    assert_eq!(scene.seat_of(5), Err(NotApprovable::DelegationEnded));
    assert_eq!(scene.seat_of(7), Err(NotApprovable::DelegationEnded));
    scene.now = OPENED;
    let decided = scene.decide(7, Choice::Approve, false);
    let decided = decided.map(|(decision, outcome)| (decision.by, decision.seat, outcome));
    assert_eq!(decided, Ok((user(7), user(3), Outcome::Recorded)));
    assert_eq!(scene.seat_of(3), Err(NotApprovable::SeatUsed), "their name was used");
    assert_eq!(scene.seat_of(5), Err(NotApprovable::SeatUsed));
    assert_eq!(scene.seat_of(7), Err(NotApprovable::DecidedByYou));
    assert_eq!(scene.may_decide(), [4]);
}

#[test]
fn the_own_seat_first_and_then_the_lowest() {
    let mut scene = Scene::asked(6, &[(&[ADMINS, OWNERS], 3)]);
    scene.delegate(3, 4, ALWAYS);
    assert_eq!(scene.seat_of(4), Ok(4));
    scene.delegate(2, 5, ALWAYS);
    scene.delegate(1, 5, ALWAYS);
    assert_eq!(scene.seat_of(5), Ok(1));
    assert_eq!(scene.approve(1), Ok(Outcome::Recorded));
    assert_eq!(scene.seat_of(5), Ok(2));
    // Whoever has decided in another's name has no seat left that somebody could decide for.
    let mut other = Scene::asked(6, &[(&[ADMINS], 1), (&[MEMBERS], 1)]);
    other.delegate(3, 5, ALWAYS);
    other.delegate(5, 2, ALWAYS);
    assert_eq!(other.approve(5), Ok(Outcome::StageDone { next: 1 }));
    assert_eq!(other.seat_of(2), Err(NotApprovable::SeatUsed));
    assert_eq!(other.may_decide(), [7]);
}

#[test]
fn whoever_is_no_longer_what_they_were_asked_as() {
    let mut scene = Scene::asked(6, &[(&[ADMINS, Approvers::PoolAdministrators], 1)]);
    scene.role(3, Role::Member);
    assert_eq!(scene.seat_of(3), Err(NotApprovable::NoLongerEligible));
    scene.people.pool_administrators.clear();
    assert_eq!(scene.seat_of(5), Err(NotApprovable::NoLongerEligible));
    scene.role(4, Role::Auditor);
    assert_eq!(scene.seat_of(4), Err(NotApprovable::NoLongerEligible));
    scene.role(3, Role::Admin);
    assert_eq!(scene.seat_of(3), Ok(3), "and is again");
    // Whoever has come to be named since was not asked.
    scene.role(7, Role::Admin);
    assert_eq!(scene.seat_of(7), Err(NotApprovable::NotAsked));
    // Nobody decides in the name of somebody who could not.
    scene.role(3, Role::Member);
    scene.delegate(3, 2, ALWAYS);
    assert_eq!(scene.seat_of(2), Err(NotApprovable::NoLongerEligible));
}

#[test]
fn nobody_decides_by_way_of_somebody_who_cannot() {
    let mut scene = Scene::asked(6, &[(&[ADMINS], 1)]);
    scene.delegate(3, 5, ALWAYS);
    scene.delegate(5, 7, ALWAYS);
    assert_eq!(scene.seat_of(7), Ok(3));
    scene.leave(5);
    assert_eq!(scene.may_decide(), [3, 4]);
    assert_eq!(scene.seat_of(7), Err(NotApprovable::DelegationEnded));
}

#[test]
fn decisions_stand_and_say_what_has_become_of_whose_they_are() {
    let mut scene = Scene::asked(6, &[(&[ADMINS], 1), (&[OWNERS], 1)]);
    scene.delegate(3, 7, ALWAYS);
    assert_eq!(scene.approve(7), Ok(Outcome::StageDone { next: 1 }));
    let decision = scene.round.decisions[0];
    assert!(scene.round.still_eligible(&decision, &scene.situation()));
    scene.role(3, Role::Member);
    assert!(!scene.round.still_eligible(&decision, &scene.situation()));
    scene.role(3, Role::Admin);
    scene.leave(7);
    assert!(!scene.round.still_eligible(&decision, &scene.situation()));
    assert!(scene.round.is_satisfied(0) && !scene.round.is_satisfied(1) && !scene.round.is_satisfied(2));
    assert_eq!(scene.approve(1), Ok(Outcome::Approved { sole_owner: false }));
}

#[test]
fn those_who_may_decide_are_exactly_those_who_have_a_seat() {
    let mut scene = Scene::asked(6, &[(&[ADMINS, MEMBERS], 2), (&[OWNERS], 1)]);
    scene.delegate(3, 1, ALWAYS);
    scene.delegate(6, 4, ALWAYS);
    let agree = |scene: &Scene| {
        let with_seat: Vec<u128> = (0..10).filter(|person| scene.seat_of(*person).is_ok()).collect();
        assert_eq!(scene.may_decide(), with_seat);
        with_seat.len()
    };
    assert_eq!(agree(&scene), 4);
    assert_eq!(scene.approve(1), Ok(Outcome::Recorded));
    assert_eq!(agree(&scene), 2);
    assert_eq!(scene.approve(7), Ok(Outcome::StageDone { next: 1 }));
    assert_eq!(agree(&scene), 1);
    assert_eq!(scene.approve(2), Ok(Outcome::Approved { sole_owner: false }));
    assert_eq!(agree(&scene), 0);
}

#[test]
fn every_refusal_says_something_of_its_own() {
    let all: BTreeSet<&str> = NotApprovable::ALL.iter().map(|reason| reason.sentence()).collect();
    assert_eq!(all.len(), NotApprovable::ALL.len());
    assert!(all.iter().all(|sentence| sentence.ends_with('.')));
}
