//! What may happen, as plain data, and how it is drawn.

use std::collections::BTreeSet;

use bursar_domain::approval::{Approvers, Conditions, Language, Payer, Policy, Rule, Stage, Timing};
use bursar_domain::organization::Role;
use bursar_domain::{Credits, Currency};
use proptest::prelude::*;

use crate::facts::{PEOPLE, department, pool, user};

/// An organization, its policies, and what happens in it.
#[derive(Clone, Debug)]
pub struct Case {
    /// What people are. The first is an owner whatever stands here.
    pub roles: Vec<Option<Role>>,
    pub policies: Vec<Policy>,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub enum Step {
    /// Somebody asks for something, or changes what is asked for.
    Ask {
        by: usize,
        credits: i64,
        total: i64,
        euros: bool,
    },
    /// The price runs out: it is asked anew at another one.
    PriceExpires {
        total: i64,
    },
    Cancel,
    /// Somebody decides. `knows`: that they are the only owner.
    Decide {
        by: usize,
        approve: bool,
        knows: bool,
    },
    Delegate {
        of: usize,
        by: usize,
        wait: i64,
        hours: i64,
    },
    /// Whoever asks has somebody stand in for them, who may not decide then.
    Enlist {
        by: usize,
        hours: i64,
    },
    Revoke {
        recent: usize,
    },
    /// Somebody becomes something else, or leaves.
    Become {
        person: usize,
        role: Option<Role>,
    },
    /// Somebody becomes an administrator of the pool, or is one no longer.
    Administer {
        person: usize,
    },
    /// Somebody becomes a manager of the department, or is one no longer.
    Manage {
        person: usize,
    },
    /// Another policy is in force.
    Policy {
        which: usize,
    },
    Wait {
        hours: i64,
    },
    Use,
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![
        3 => Just(Role::Owner),
        3 => Just(Role::Admin),
        4 => Just(Role::Member),
        1 => Just(Role::Auditor),
    ]
}

fn approvers() -> impl Strategy<Value = Approvers> {
    prop_oneof![
        3 => (0..PEOPLE).prop_map(|person| Approvers::Member(user(person))),
        2 => Just(Approvers::Role(Role::Owner)),
        2 => Just(Approvers::Role(Role::Admin)),
        2 => Just(Approvers::Role(Role::Member)),
        1 => Just(Approvers::PoolAdministrators),
        1 => Just(Approvers::DepartmentManagers(department())),
    ]
}

fn stage() -> impl Strategy<Value = Stage> {
    let quorum = prop_oneof![3 => Just(1i64), 3 => Just(2i64), 1 => Just(3i64)];
    (prop::collection::vec(approvers(), 1..=3), quorum).prop_map(|(approvers, quorum)| Stage {
        name: "Stage".to_owned(),
        approvers,
        quorum,
    })
}

fn conditions() -> impl Strategy<Value = Conditions> {
    let bound = || prop::option::of(1i64..100);
    let money = (bound(), bound(), bound());
    let roles = prop::option::of(prop::collection::vec(role(), 1..=3));
    let bounded = (bound(), bound(), money, roles, any::<bool>()).prop_map(
        |(from, to, (total_from, total_to, month_to_date_from), roles, here)| Conditions {
            credits_from: from.and_then(Credits::new),
            credits_to: to.and_then(Credits::new),
            total_from,
            total_to,
            pools: here.then(|| BTreeSet::from([pool()])),
            roles: roles.map(|roles| roles.into_iter().collect()),
            month_to_date_from,
        },
    );
    prop_oneof![3 => Just(Conditions::default()), 2 => bounded]
}

fn policy() -> impl Strategy<Value = Policy> {
    let rule = (conditions(), prop::collection::vec(stage(), 1..=3)).prop_map(|(conditions, stages)| Rule {
        name: "Rule".to_owned(),
        conditions,
        stages,
    });
    prop::collection::vec(rule, 1..=3).prop_map(|rules| Policy {
        rules,
        currency: Some(Currency::USD),
        timing: Timing::default(),
        sign_in_above: None,
        payer: Payer::Requester,
        language: Language::English,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let person = || 0..PEOPLE;
    let decide = (person(), 0u8..15, any::<bool>()).prop_map(|(by, choice, knows)| Step::Decide {
        by,
        approve: choice > 0,
        knows,
    });
    let ask = (person(), 1i64..100, 1i64..100, 0u8..8).prop_map(|(by, credits, total, coin)| Step::Ask {
        by,
        credits,
        total,
        euros: coin == 0,
    });
    let delegate = (person(), person(), 0i64..40, 1i64..200)
        .prop_map(|(of, by, wait, hours)| Step::Delegate { of, by, wait, hours });
    let changed = (person(), prop::option::weighted(0.8, role()))
        .prop_map(|(person, role)| Step::Become { person, role });
    prop_oneof![
        20 => decide,
        4 => ask,
        1 => (1i64..100).prop_map(|total| Step::PriceExpires { total }),
        1 => Just(Step::Cancel),
        4 => delegate,
        2 => (person(), 1i64..4).prop_map(|(by, hours)| Step::Enlist { by, hours }),
        1 => (0usize..4).prop_map(|recent| Step::Revoke { recent }),
        3 => changed,
        1 => person().prop_map(|person| Step::Administer { person }),
        1 => person().prop_map(|person| Step::Manage { person }),
        1 => (0usize..2).prop_map(|which| Step::Policy { which }),
        3 => (1i64..60).prop_map(|hours| Step::Wait { hours }),
        2 => Just(Step::Use),
    ]
}

/// An organization and what happens in it.
pub fn case() -> impl Strategy<Value = Case> {
    let roles = prop::collection::vec(prop::option::weighted(0.9, role()), PEOPLE);
    let policies = prop::collection::vec(policy(), 2);
    (roles, policies, prop::collection::vec(step(), 1..=50)).prop_map(|(roles, policies, steps)| Case {
        roles,
        policies,
        steps,
    })
}
