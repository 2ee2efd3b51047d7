//! Whether stages can all be given what they need when nobody gives twice: people are dealt out to stages.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::UserId;

/// Whether every stage can be given as many people of its set as it needs, nobody to two of them.
pub fn is_reachable(stages: &[(BTreeSet<UserId>, usize)]) -> bool {
    dealt(stages).is_some()
}

/// Who may be dealt to which stage so that each has as many as it needs. None: there is no way.
///
/// Stages that have enough whatever the others take are left out, so this stays small however many people there are.
pub(super) fn dealt(stages: &[(BTreeSet<UserId>, usize)]) -> Option<BTreeMap<UserId, usize>> {
    let needed = stages.iter().fold(0_usize, |sum, (_, needs)| sum.saturating_add(*needs));
    let mut dealt = BTreeMap::new();
    for (stage, (people, needs)) in stages.iter().enumerate() {
        if people.len() < *needs {
            return None;
        }
        // One more than all stages together need: enough even when somebody of them is missing.
        if people.len() > needed {
            continue;
        }
        for _ in 0..*needs {
            if !give(stage, stages, &mut dealt, &mut BTreeSet::new()) {
                return None;
            }
        }
    }
    Some(dealt)
}

/// Deals one more to a stage, moving others to other stages where that helps.
fn give(
    stage: usize,
    stages: &[(BTreeSet<UserId>, usize)],
    dealt: &mut BTreeMap<UserId, usize>,
    tried: &mut BTreeSet<UserId>,
) -> bool {
    let Some((people, _)) = stages.get(stage) else { return false };
    for person in people {
        if !tried.insert(*person) {
            continue;
        }
        let elsewhere = dealt.get(person).copied();
        let free = match elsewhere {
            None => true,
            Some(other) => other != stage && give(other, stages, dealt, tried),
        };
        if free {
            dealt.insert(*person, stage);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id;

    fn stage(people: &[u128], needs: usize) -> (BTreeSet<UserId>, usize) {
        (people.iter().map(|number| UserId::from_u128(*number)).collect(), needs)
    }

    /// Every way to give everybody to one of the stages, or to none.
    fn by_trying(stages: &[(BTreeSet<UserId>, usize)], people: &[UserId]) -> bool {
        let Some((person, others)) = people.split_first() else {
            return stages.iter().all(|(_, needs)| *needs == 0);
        };
        let with = |(stage, (set, needs)): (usize, &(BTreeSet<UserId>, usize))| {
            if *needs == 0 || !set.contains(person) {
                return false;
            }
            let mut rest = stages.to_vec();
            rest[stage].1 -= 1;
            by_trying(&rest, others)
        };
        by_trying(stages, others) || stages.iter().enumerate().any(with)
    }

    #[test]
    fn it_is_as_trying_everything_says() {
        let people: Vec<UserId> = (0..5).map(UserId::from_u128).collect();
        // A fixed sequence stands for chance.
        let mut seed = 7_u64;
        let mut next = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        let mut reachable = 0;
        for _ in 0..600 {
            let stages: Vec<_> = (0..=next(3))
                .map(|_| {
                    let bits = next(32);
                    let set = people.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0);
                    (set.map(|(_, person)| *person).collect::<BTreeSet<_>>(), next(3) as usize + 1)
                })
                .collect();
            let expected = by_trying(&stages, &people);
            assert_eq!(is_reachable(&stages), expected, "{stages:?}");
            reachable += usize::from(expected);
            for (person, stage) in dealt(&stages).unwrap_or_default() {
                assert!(stages[stage].0.contains(&person), "{stages:?}");
            }
        }
        assert!((100..500).contains(&reachable), "{reachable} of 600 prove little");
    }

    #[test]
    fn somebody_is_moved_where_only_another_can_help() {
        assert!(is_reachable(&[stage(&[1, 2], 1), stage(&[1], 1)]));
        assert!(is_reachable(&[stage(&[1, 2], 1), stage(&[1, 3], 1), stage(&[1], 1)]));
        assert!(!is_reachable(&[stage(&[1], 1), stage(&[1], 1)]));
        assert!(!is_reachable(&[stage(&[1, 2], 2), stage(&[2, 3], 2)]));
        assert!(!is_reachable(&[stage(&[], 1)]) && !is_reachable(&[stage(&[1], usize::MAX)]));
        assert!(is_reachable(&[]) && is_reachable(&[stage(&[], 0)]));
    }

    #[test]
    fn a_large_stage_costs_nothing() {
        let all: Vec<u128> = (0..20_000).collect();
        assert!(is_reachable(&[stage(&all, 100), stage(&all, 100), stage(&[1, 2, 3], 3)]));
    }
}
