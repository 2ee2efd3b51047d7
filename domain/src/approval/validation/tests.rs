//! What is refused when a policy is saved, what is only said, and what is neither.

use super::*;
use crate::Currency;
use crate::approval::{Language, Payer};
use crate::id::DepartmentId;

fn user(number: u128) -> UserId {
    UserId::from_u128(number)
}

fn pool(number: u128) -> PoolId {
    PoolId::from_u128(number)
}

fn stage(approvers: &[Approvers], quorum: i64) -> Stage {
    Stage { name: "Stage".to_owned(), approvers: approvers.to_vec(), quorum }
}

fn rule(conditions: Conditions, stages: Vec<Stage>) -> Rule {
    Rule { name: "Rule".to_owned(), conditions, stages }
}

fn policy(rules: Vec<Rule>) -> Policy {
    Policy {
        rules,
        currency: Some(Currency::USD),
        timing: Timing::default(),
        sign_in_above: None,
        payer: Payer::Requester,
        language: Language::English,
    }
}

/// Two owners (1, 2), an administrator (3), members (4, 5) and an auditor (6). 4 administers pool 1 and manages a department.
fn people() -> People {
    let roles = [Role::Owner, Role::Owner, Role::Admin, Role::Member, Role::Member, Role::Auditor];
    People {
        roles: roles.into_iter().enumerate().map(|(at, role)| (user(at as u128 + 1), role)).collect(),
        pool_administrators: BTreeSet::from([(pool(1), user(4))]),
        department_managers: BTreeSet::from([(DepartmentId::from_u128(1), user(4))]),
    }
}

const OWNERS: Approvers = Approvers::Role(Role::Owner);
const ADMINS: Approvers = Approvers::Role(Role::Admin);

fn kinds(faults: &[PolicyFault]) -> Vec<(PolicyFaultKind, Option<usize>, Option<usize>)> {
    faults.iter().map(|fault| (fault.kind, fault.rule, fault.stage)).collect()
}

#[test]
fn a_policy_as_it_should_be() {
    let dear = Conditions { total_from: Some(50_000), ..Conditions::default() };
    let large = Conditions { credits_from: Credits::new(500), ..Conditions::default() };
    let stages = vec![stage(&[ADMINS, Approvers::PoolAdministrators], 1), stage(&[OWNERS], 1)];
    let good = policy(vec![rule(dear, stages.clone()), rule(large, stages)]);
    assert_eq!(check(&good), []);
    assert_eq!(check_people(&good, &people(), &[pool(1), pool(2)]).0, []);
    assert_eq!(check(&policy(Vec::new())), []);
    assert_eq!(check_people(&policy(Vec::new()), &People::default(), &[]), (vec![], vec![]));
}

#[test]
fn each_fault_of_shape_is_named() {
    use PolicyFaultKind::*;
    let base = || policy(vec![rule(Conditions::default(), vec![stage(&[OWNERS], 1)])]);
    type Change = fn(&mut Policy);
    type Place = (Option<usize>, Option<usize>);
    let here: Place = (Some(0), Some(0));
    let whole: Place = (Some(0), None);
    let cases: [(Change, PolicyFaultKind, Place); 24] = [
        (|of| of.rules[0].name = "  ".to_owned(), Unnamed, whole),
        (|of| of.rules[0].name = "a\u{7}".to_owned(), Unnamed, whole),
        (|of| of.rules[0].stages[0].name = "x".repeat(256), Unnamed, here),
        (|of| of.rules[0].stages.clear(), NoStages, whole),
        (|of| of.rules[0].stages = vec![stage(&[OWNERS], 1); 6], TooMany, whole),
        (|of| of.rules[0].stages[0].approvers.clear(), EmptyStage, here),
        (|of| of.rules[0].stages[0].approvers = vec![OWNERS; 21], TooMany, here),
        (|of| of.rules[0].stages[0].approvers.push(Approvers::Role(Role::Auditor)), AuditorNamed, here),
        (|of| of.rules[0].stages[0].quorum = 0, BadQuorum, here),
        (|of| of.rules[0].stages[0].quorum = 101, BadQuorum, here),
        (|of| of.rules[0].conditions.pools = Some(BTreeSet::new()), NeverMatches, whole),
        (|of| of.rules[0].conditions.roles = Some(BTreeSet::new()), NeverMatches, whole),
        (|of| of.rules[0].conditions.credits_to = Some(Credits::ZERO), NeverMatches, whole),
        (
            |of| {
                of.rules[0].conditions.total_from = Some(2);
                of.rules[0].conditions.total_to = Some(1);
            },
            NeverMatches,
            whole,
        ),
        (
            |of| {
                of.rules[0].conditions.credits_from = Credits::new(2);
                of.rules[0].conditions.credits_to = Credits::new(1);
            },
            NeverMatches,
            whole,
        ),
        (|of| of.rules[0].conditions.month_to_date_from = Some(-1), BadAmount, whole),
        (|of| of.sign_in_above = Some(-1), BadAmount, (None, None)),
        (|of| (of.currency, of.sign_in_above) = (None, Some(1)), NoCurrency, (None, None)),
        (
            |of| {
                of.currency = None;
                of.rules[0].conditions.total_from = Some(1);
            },
            NoCurrency,
            whole,
        ),
        (|of| of.timing.remind_after = 3_599, BadTiming, (None, None)),
        (|of| of.timing.expire_after = 31 * 86_400, BadTiming, (None, None)),
        (|of| of.timing.escalate_after = of.timing.expire_after, BadTiming, (None, None)),
        (|of| of.timing.remind_after = of.timing.expire_after, BadTiming, (None, None)),
        (|of| of.rules.push(of.rules[0].clone()), Shadowed, (Some(1), None)),
    ];
    for (index, (change, kind, (rule, stage))) in cases.into_iter().enumerate() {
        let mut bad = base();
        change(&mut bad);
        assert_eq!(kinds(&check(&bad)), [(kind, rule, stage)], "case {index}");
    }
    let mut many = base();
    for total in 1..51 {
        let dear = Conditions { total_to: Some(total), ..Conditions::default() };
        many.rules.insert(many.rules.len() - 1, rule(dear, vec![stage(&[OWNERS], 1)]));
    }
    assert_eq!(kinds(&check(&many)), [(TooMany, None, None)]);
}

#[test]
fn what_an_earlier_rule_leaves_is_not_shadowed() {
    let none = Conditions::default;
    let list = |numbers: &[u128]| -> Option<BTreeSet<PoolId>> {
        Some(numbers.iter().map(|number| pool(*number)).collect())
    };
    let from = |total: i64| Conditions { total_from: Some(total), ..none() };
    let roles = |all: &[Role]| Conditions { roles: Some(all.iter().copied().collect()), ..none() };
    let cases = [
        (none(), from(5), true),
        (from(5), none(), false),
        (from(5), from(5), true),
        (from(5), from(4), false),
        (Conditions { total_to: Some(9), ..none() }, from(5), false),
        (Conditions { credits_from: Credits::new(1), ..none() }, none(), true),
        (Conditions { credits_to: Credits::new(9), ..none() }, none(), false),
        (Conditions { pools: list(&[1, 2]), ..none() }, Conditions { pools: list(&[2]), ..none() }, true),
        (Conditions { pools: list(&[1, 2]), ..none() }, Conditions { pools: list(&[2, 3]), ..none() }, false),
        (Conditions { pools: list(&[1, 2]), ..none() }, none(), false),
        (roles(&[Role::Owner, Role::Admin]), roles(&[Role::Admin]), true),
        (roles(&[Role::Owner, Role::Admin]), none(), false),
        (roles(Role::ALL), none(), true),
        // A purchase of 7 makes the month come to 7 at least.
        (Conditions { month_to_date_from: Some(7), ..none() }, from(7), true),
        (Conditions { month_to_date_from: Some(7), ..none() }, from(6), false),
    ];
    for (index, (earlier, later, expected)) in cases.into_iter().enumerate() {
        assert_eq!(is_shadowed(&later, &[&earlier]), expected, "case {index}");
    }
    // Two earlier ones leave nothing between them, though neither fits all.
    let up_to = |number: i64| Conditions { credits_to: Credits::new(number), ..none() };
    let above = |number: i64| Conditions { credits_from: Credits::new(number), ..none() };
    let rules = |all: Vec<Conditions>| {
        let stages = || vec![stage(&[OWNERS], 1)];
        kinds(&check(&policy(all.into_iter().map(|one| rule(one, stages())).collect())))
    };
    let third = [(PolicyFaultKind::Shadowed, Some(2), None)];
    assert_eq!(rules(vec![up_to(100), above(101), none()]), third);
    assert_eq!(rules(vec![up_to(100), above(102), none()]), []);
    assert_eq!(rules(vec![Conditions { total_to: Some(4), ..none() }, from(5), above(7)]), third);
    assert_eq!(rules(vec![roles(&[Role::Owner]), roles(&Role::ALL[1..]), from(5)]), third);
    assert_eq!(rules(vec![roles(&[Role::Owner]), roles(&Role::ALL[2..]), from(5)]), []);
    let monthly = Conditions { month_to_date_from: Some(7), ..none() };
    assert_eq!(rules(vec![Conditions { total_to: Some(6), ..none() }, monthly, above(5)]), third);
}

#[test]
fn quorums_are_counted_over_all_stages() {
    let of = |stages: Vec<Stage>| {
        check_people(&policy(vec![rule(Conditions::default(), stages)]), &people(), &[pool(1)])
    };
    use PolicyFaultKind::*;
    let one = |kind: PolicyFaultKind, stage: usize| vec![(kind, Some(0), Some(stage))];
    assert_eq!(kinds(&of(vec![stage(&[OWNERS], 2)]).0), []);
    assert_eq!(kinds(&of(vec![stage(&[OWNERS], 3)]).0), one(UnreachableQuorum, 0));
    // Each stage could be given what it needs; both cannot.
    let both = vec![stage(&[OWNERS], 1), stage(&[OWNERS], 2)];
    assert_eq!(kinds(&of(both).0), one(UnreachableQuorum, 1));
    assert_eq!(kinds(&of(vec![stage(&[OWNERS], 1), stage(&[OWNERS, ADMINS], 2)]).0), []);
    assert_eq!(kinds(&of(vec![stage(&[Approvers::Member(user(9))], 1)]).0), one(NobodyEligible, 0));
    let auditor = of(vec![stage(&[OWNERS, Approvers::Member(user(6))], 1)]).0;
    assert_eq!(kinds(&auditor), one(AuditorNamed, 0));
}

#[test]
fn every_pool_that_a_rule_may_fit_counts() {
    let stages = vec![stage(&[Approvers::PoolAdministrators], 1)];
    let anywhere = policy(vec![rule(Conditions::default(), stages.clone())]);
    let fault = [(PolicyFaultKind::NobodyEligible, Some(0), Some(0))];
    assert_eq!(kinds(&check_people(&anywhere, &people(), &[pool(1)]).0), []);
    assert_eq!(kinds(&check_people(&anywhere, &people(), &[pool(1), pool(2), pool(3)]).0), fault);
    assert_eq!(kinds(&check_people(&anywhere, &people(), &[]).0), fault);
    let only = Conditions { pools: Some(BTreeSet::from([pool(1)])), ..Conditions::default() };
    let there = policy(vec![rule(only, stages)]);
    assert_eq!(kinds(&check_people(&there, &people(), &[pool(1), pool(2)]).0), []);
}

#[test]
fn whoever_asks_may_be_missed() {
    use PolicyWarningKind::*;
    let warnings = |conditions: Conditions, stages: Vec<Stage>, people: &People| {
        let (faults, warnings) = check_people(&policy(vec![rule(conditions, stages)]), people, &[pool(1)]);
        assert_eq!(faults, []);
        warnings.iter().map(|warning| (warning.kind, warning.rule, warning.stage)).collect::<Vec<_>>()
    };
    let any = Conditions::default;
    let short = [(RequesterShort, Some(0), Some(0))];
    assert_eq!(warnings(any(), vec![stage(&[OWNERS], 2)], &people()), short);
    assert_eq!(warnings(any(), vec![stage(&[OWNERS], 1)], &people()), []);
    let members = Conditions { roles: Some(BTreeSet::from([Role::Member])), ..any() };
    assert_eq!(warnings(members, vec![stage(&[OWNERS], 2)], &people()), []);
    // Whoever cannot ask is not missed; whoever administers the pool can.
    let member = |number: u128| vec![stage(&[Approvers::Member(user(number))], 1)];
    assert_eq!(warnings(any(), member(5), &people()), []);
    assert_eq!(warnings(any(), member(4), &people()), short);
    let mut one = people();
    one.roles.insert(user(2), Role::Admin);
    assert_eq!(warnings(any(), vec![stage(&[ADMINS], 1)], &one), [(OneOwner, None, None)]);
    let two = vec![stage(&[ADMINS], 1), stage(&[OWNERS], 1)];
    assert_eq!(warnings(any(), two, &one), [(OneOwner, None, None), (RequesterShort, Some(0), Some(1))]);
}
