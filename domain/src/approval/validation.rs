//! Whether a policy can be saved: what is wrong with it by itself, and what is with the people that there are.

use std::collections::{BTreeMap, BTreeSet};

use super::fault::{PolicyFault, PolicyFaultKind, PolicyWarning, PolicyWarningKind};
use super::policy::{
    Approvers, Conditions, LONGEST, MOST_APPROVERS, MOST_RULES, MOST_STAGES, People, Policy, Rule, SHORTEST,
    Stage, Timing,
};
use super::reach::{dealt, is_reachable};
use crate::Credits;
use crate::id::{Id, PoolId, UserId};
use crate::organization::Role;
use crate::permission::{Action, Grant, permits};
use shadow::is_shadowed;

/// The most characters of a name.
pub const LONGEST_NAME: usize = 255;
/// The most pools that a rule may name.
pub const MOST_POOLS: usize = 1_000;
/// The most who may have to agree in a stage.
pub const LARGEST_QUORUM: i64 = 100;

/// What is wrong with a policy whoever the people are.
pub fn check(policy: &Policy) -> Vec<PolicyFault> {
    let fault = |kind, rule, stage| PolicyFault { kind, rule, stage };
    let mut faults = Vec::new();
    if policy.rules.len() > MOST_RULES {
        faults.push(fault(PolicyFaultKind::TooMany, None, None));
    }
    if !is_timely(policy.timing) {
        faults.push(fault(PolicyFaultKind::BadTiming, None, None));
    }
    faults.extend(faults_of_amounts(policy));
    for (index, rule) in policy.rules.iter().enumerate() {
        let at = Some(index);
        // Where there are too many rules this is said, and no more is looked at than there may be.
        let earlier = policy.rules.get(..index.min(MOST_RULES)).unwrap_or_default();
        faults.extend(faults_of_rule(rule, earlier).into_iter().map(|kind| fault(kind, at, None)));
        for (number, stage) in rule.stages.iter().enumerate() {
            faults.extend(faults_of_stage(stage).into_iter().map(|kind| fault(kind, at, Some(number))));
        }
    }
    faults
}

fn faults_of_amounts(policy: &Policy) -> Vec<PolicyFault> {
    let of =
        |conditions: &Conditions| [conditions.total_from, conditions.total_to, conditions.month_to_date_from];
    let rules = policy.rules.iter().enumerate().map(|(index, rule)| (Some(index), of(&rule.conditions)));
    let mut faults = Vec::new();
    for (rule, amounts) in std::iter::once((None, [policy.sign_in_above, None, None])).chain(rules) {
        let amounts: Vec<i64> = amounts.into_iter().flatten().collect();
        if amounts.iter().any(|amount| *amount < 0) {
            faults.push(PolicyFault { kind: PolicyFaultKind::BadAmount, rule, stage: None });
        }
        if !amounts.is_empty() && policy.currency.is_none() {
            faults.push(PolicyFault { kind: PolicyFaultKind::NoCurrency, rule, stage: None });
        }
    }
    faults
}

fn faults_of_rule(rule: &Rule, earlier: &[Rule]) -> Vec<PolicyFaultKind> {
    let mut faults = Vec::new();
    if !is_name(&rule.name) {
        faults.push(PolicyFaultKind::Unnamed);
    }
    let pools = rule.conditions.pools.as_ref().map_or(0, BTreeSet::len);
    if pools > MOST_POOLS || rule.stages.len() > MOST_STAGES {
        faults.push(PolicyFaultKind::TooMany);
    }
    if never_fits(&rule.conditions) {
        faults.push(PolicyFaultKind::NeverMatches);
    } else {
        let earlier: Vec<&Conditions> = earlier.iter().map(|earlier| &earlier.conditions).collect();
        if is_shadowed(&rule.conditions, &earlier) {
            faults.push(PolicyFaultKind::Shadowed);
        }
    }
    if rule.stages.is_empty() {
        faults.push(PolicyFaultKind::NoStages);
    }
    faults
}

fn faults_of_stage(stage: &Stage) -> Vec<PolicyFaultKind> {
    let mut faults = Vec::new();
    if !is_name(&stage.name) {
        faults.push(PolicyFaultKind::Unnamed);
    }
    if stage.approvers.is_empty() {
        faults.push(PolicyFaultKind::EmptyStage);
    }
    if stage.approvers.len() > MOST_APPROVERS {
        faults.push(PolicyFaultKind::TooMany);
    }
    if stage.approvers.contains(&Approvers::Role(Role::Auditor)) {
        faults.push(PolicyFaultKind::AuditorNamed);
    }
    if !(1..=LARGEST_QUORUM).contains(&stage.quorum) {
        faults.push(PolicyFaultKind::BadQuorum);
    }
    faults
}

fn is_name(name: &str) -> bool {
    let name = name.trim();
    !name.is_empty() && name.chars().count() <= LONGEST_NAME && !name.chars().any(char::is_control)
}

/// Whether each time is long enough and not too long, and reminding and escalating come before the end.
fn is_timely(timing: Timing) -> bool {
    let Timing { remind_after, escalate_after, expire_after } = timing;
    let possible = |seconds: i64| (SHORTEST..=LONGEST).contains(&seconds);
    [remind_after, escalate_after].into_iter().all(|after| possible(after) && after < expire_after)
        && possible(expire_after)
}

/// Whether nothing that can be bought is met: nobody buys no credits.
fn never_fits(conditions: &Conditions) -> bool {
    let (least, most) = credits(conditions);
    let totals = total_from(conditions) > conditions.total_to.unwrap_or(i64::MAX);
    let nowhere = conditions.pools.as_ref().is_some_and(BTreeSet::is_empty);
    let nobody = conditions.roles.as_ref().is_some_and(BTreeSet::is_empty);
    least > most || totals || nowhere || nobody
}

fn credits(conditions: &Conditions) -> (i64, i64) {
    let least = conditions.credits_from.map_or(1, |from| from.get().max(1));
    (least, conditions.credits_to.unwrap_or(Credits::MAX).get())
}

fn total_from(conditions: &Conditions) -> i64 {
    conditions.total_from.unwrap_or(0).max(0)
}

/// What is wrong with a policy, and what should be known of it, as people are now. `pools` are those of the organization
/// that can be bought for.
pub fn check_people(
    policy: &Policy,
    people: &People,
    pools: &[PoolId],
) -> (Vec<PolicyFault>, Vec<PolicyWarning>) {
    let mut found = Found::default();
    if people.owners().len() == 1 && !policy.rules.is_empty() {
        found.warn(PolicyWarningKind::OneOwner, None, None);
    }
    for (index, rule) in policy.rules.iter().enumerate() {
        for (number, stage) in rule.stages.iter().enumerate() {
            let audits = |by: &Approvers| matches!(by, Approvers::Member(person) if people.roles.get(person) == Some(&Role::Auditor));
            if stage.approvers.iter().any(audits) {
                found.fault(PolicyFaultKind::AuditorNamed, index, number);
            }
        }
        let pools = pools_of(rule, people, pools);
        // A pool more adds nothing to what another one has shown.
        for pool in pools.into_values() {
            check_rule((index, rule), people, pool, &mut found);
        }
    }
    (found.faults, found.warnings)
}

#[derive(Default)]
struct Found {
    faults: Vec<PolicyFault>,
    warnings: Vec<PolicyWarning>,
}

impl Found {
    fn fault(&mut self, kind: PolicyFaultKind, rule: usize, stage: usize) {
        let fault = PolicyFault { kind, rule: Some(rule), stage: Some(stage) };
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    fn warn(&mut self, kind: PolicyWarningKind, rule: Option<usize>, stage: Option<usize>) {
        let warning = PolicyWarning { kind, rule, stage };
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

/// The pools that a rule may fit, one for each that differs in who administers it.
fn pools_of(rule: &Rule, people: &People, pools: &[PoolId]) -> BTreeMap<BTreeSet<UserId>, PoolId> {
    let mut administrators: BTreeMap<PoolId, BTreeSet<UserId>> = BTreeMap::new();
    for (pool, person) in &people.pool_administrators {
        administrators.entry(*pool).or_default().insert(*person);
    }
    let named: Vec<PoolId> = match &rule.conditions.pools {
        Some(named) => named.iter().copied().collect(),
        None => pools.to_vec(),
    };
    // Without a pool there is nobody who administers one.
    let named = if named.is_empty() { vec![PoolId::from_u128(0)] } else { named };
    named.into_iter().map(|pool| (administrators.get(&pool).cloned().unwrap_or_default(), pool)).collect()
}

fn check_rule((index, rule): (usize, &Rule), people: &People, pool: PoolId, found: &mut Found) {
    let stages: Vec<(BTreeSet<UserId>, usize)> = rule
        .stages
        .iter()
        .map(|stage| (people.named(&stage.approvers, pool), usize::try_from(stage.quorum).unwrap_or(0)))
        .collect();
    for (number, stage) in rule.stages.iter().enumerate() {
        let nobody = stages.get(number).is_some_and(|(named, _)| named.is_empty());
        if nobody && !stage.approvers.is_empty() {
            found.fault(PolicyFaultKind::NobodyEligible, index, number);
        }
    }
    if let Some(stage) = first_out_of_reach(&stages) {
        // Where nobody is named at all, that has been said.
        if stages.get(stage).is_some_and(|(named, _)| !named.is_empty()) {
            found.fault(PolicyFaultKind::UnreachableQuorum, index, stage);
        }
        return;
    }
    // Only somebody who was needed in one way to reach all can be missed in every way.
    for person in dealt(&stages).unwrap_or_default().into_keys() {
        if !may_ask(person, rule, people, pool) {
            continue;
        }
        let mut without = stages.clone();
        for (named, _) in &mut without {
            named.remove(&person);
        }
        if let Some(stage) = first_out_of_reach(&without) {
            found.warn(PolicyWarningKind::RequesterShort, Some(index), Some(stage));
        }
    }
}

/// The first stage that cannot be given what it needs besides those before it.
fn first_out_of_reach(stages: &[(BTreeSet<UserId>, usize)]) -> Option<usize> {
    let reachable = |until: &usize| stages.get(..=*until).is_some_and(is_reachable);
    (0..stages.len()).find(|until| !reachable(until))
}

/// Whether somebody may ask for what the rule fits.
fn may_ask(person: UserId, rule: &Rule, people: &People, pool: PoolId) -> bool {
    let Some(role) = people.roles.get(&person) else { return false };
    let fits = rule.conditions.roles.as_ref().is_none_or(|roles| roles.contains(role));
    let administers = people.pool_administrators.contains(&(pool, person));
    fits && (administers || permits(Grant::of(*role), Action::ManagePurchases))
}

mod shadow;
#[cfg(test)]
mod tests;
