//! Whether earlier rules leave a later one nothing: what it fits is fitted by one of them, if not always by the same.
//!
//! A purchase is a pool, a role, credits, a total, and what the month comes to. If one is left to the later rule, so is one
//! at an edge: with fewer credits, and then with a lower total, as long as nothing earlier fits; so its credits are the
//! fewest that the later rule fits, or one more than the most that an earlier one does, and so is its total. The month comes to as
//! little as it can. So it is enough to look there, and the answer is exact.
//!
//! Purchases in another currency meet every bound of money, and whoever has no role meets every list of roles: nothing of
//! that is left where nothing else is.

use std::collections::BTreeSet;

use super::{credits, total_from};
use crate::approval::policy::Conditions;
use crate::organization::Role;

/// Whether whatever `later` fits, which is something, is fitted by one of `earlier`.
pub(super) fn is_shadowed(later: &Conditions, earlier: &[&Conditions]) -> bool {
    kinds(later, earlier).iter().all(|kind| {
        let fit: Vec<&Conditions> = kind.iter().filter_map(|index| earlier.get(*index).copied()).collect();
        no_amount_is_left(later, &fit)
    })
}

/// For each kind of pool and role that `later` fits, which of `earlier` do. Most pools are of the same kind.
fn kinds(later: &Conditions, earlier: &[&Conditions]) -> BTreeSet<BTreeSet<usize>> {
    let fit = |does: &dyn Fn(&Conditions) -> bool| -> BTreeSet<usize> {
        let fitting = earlier.iter().enumerate().filter(|(_, one)| does(one));
        fitting.map(|(index, _)| index).collect()
    };
    let pools: BTreeSet<BTreeSet<usize>> = match &later.pools {
        Some(pools) => pools
            .iter()
            .map(|pool| fit(&|one| one.pools.as_ref().is_none_or(|named| named.contains(pool))))
            .collect(),
        // What fits a pool that nobody has named fits every pool.
        None => BTreeSet::from([fit(&|one| one.pools.is_none())]),
    };
    let all = Role::ALL.iter().copied().collect();
    let roles: BTreeSet<BTreeSet<usize>> = later
        .roles
        .as_ref()
        .unwrap_or(&all)
        .iter()
        .map(|role| fit(&|one| one.roles.as_ref().is_none_or(|named| named.contains(role))))
        .collect();
    pools.iter().flat_map(|pool| roles.iter().map(move |role| pool & role)).collect()
}

/// Whether some conditions, which fit the same pool and role, leave `later` no credits at any total.
fn no_amount_is_left(later: &Conditions, earlier: &[&Conditions]) -> bool {
    edges(earlier.iter().map(|one| credits(one).1), credits(later)).into_iter().all(|number| {
        let fit = |one: &&Conditions| {
            let (least, most) = credits(one);
            (least..=most).contains(&number)
        };
        let fitting: Vec<&Conditions> = earlier.iter().copied().filter(fit).collect();
        edges(fitting.iter().map(|one| totals(one).1), totals(later)).into_iter().all(|total| {
            // What a month comes to includes the purchase itself.
            let month = later.month_to_date_from.unwrap_or(0).max(total);
            fitting.iter().any(|one| {
                let (least, most) = totals(one);
                (least..=most).contains(&total) && one.month_to_date_from.is_none_or(|from| from <= month)
            })
        })
    })
}

/// Where something that is left can begin: at the lower bound, or right above where others end.
fn edges(ends: impl Iterator<Item = i64>, (least, most): (i64, i64)) -> BTreeSet<i64> {
    let above = ends.filter_map(|end| end.checked_add(1)).filter(|edge| (least..=most).contains(edge));
    above.chain([least]).collect()
}

fn totals(conditions: &Conditions) -> (i64, i64) {
    (total_from(conditions), conditions.total_to.unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Credits;
    use crate::id::{Id, PoolId};

    /// Random conditions of few values each, so that all that they fit can be counted.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % sides
        }

        fn maybe(&mut self, most: u64) -> Option<i64> {
            (self.roll(3) == 0).then(|| i64::try_from(self.roll(most + 1)).unwrap())
        }

        fn conditions(&mut self) -> Conditions {
            let mut some =
                |of: u64| (self.roll(2) == 0).then(|| (0..of).filter(|_| self.roll(3) > 0).collect());
            let (pools, roles): (Option<Vec<u64>>, Option<Vec<u64>>) = (some(2), some(4));
            Conditions {
                credits_from: self.maybe(4).and_then(Credits::new),
                credits_to: self.maybe(4).and_then(Credits::new),
                total_from: self.maybe(4),
                total_to: self.maybe(4),
                pools: pools.map(|all| all.into_iter().map(|pool| PoolId::from_u128(pool.into())).collect()),
                roles: roles.map(|all| {
                    all.into_iter().map(|role| Role::ALL[usize::try_from(role).unwrap()]).collect()
                }),
                month_to_date_from: self.maybe(6),
            }
        }
    }

    /// Whether conditions fit what is bought, in the policy's currency.
    fn fits(of: &Conditions, pool: u128, role: Role, (number, total, month): (i64, i64, i64)) -> bool {
        of.pools.as_ref().is_none_or(|pools| pools.contains(&PoolId::from_u128(pool)))
            && of.roles.as_ref().is_none_or(|roles| roles.contains(&role))
            && of.credits_from.is_none_or(|from| from.get() <= number)
            && of.credits_to.is_none_or(|to| number <= to.get())
            && of.total_from.is_none_or(|from| from <= total)
            && of.total_to.is_none_or(|to| total <= to)
            && of.month_to_date_from.is_none_or(|from| from <= month)
    }

    /// All that can be bought, as far as these conditions can tell it apart.
    fn everything() -> impl Iterator<Item = (u128, Role, (i64, i64, i64))> {
        let amounts = (1..=5).flat_map(|number| {
            (0..=5).flat_map(move |total| (total..=7).map(move |month| (number, total, month)))
        });
        let amounts: Vec<_> = amounts.collect();
        let kinds = (0..3).flat_map(|pool| Role::ALL.iter().map(move |role| (pool, *role)));
        kinds.flat_map(move |(pool, role)| amounts.clone().into_iter().map(move |of| (pool, role, of)))
    }

    #[test]
    fn exactly_what_counting_says() {
        let mut dice = Dice(7);
        let everything: Vec<_> = everything().collect();
        let (mut hidden, mut together) = (0, 0);
        for _ in 0..500 {
            let (later, several) = (dice.conditions(), dice.roll(9));
            let earlier: Vec<Conditions> = (0..several).map(|_| dice.conditions()).collect();
            let own: Vec<_> =
                everything.iter().filter(|(pool, role, of)| fits(&later, *pool, *role, *of)).collect();
            if own.is_empty() {
                continue;
            }
            let expected =
                own.iter().all(|(pool, role, of)| earlier.iter().any(|one| fits(one, *pool, *role, *of)));
            let earlier: Vec<&Conditions> = earlier.iter().collect();
            assert_eq!(is_shadowed(&later, &earlier), expected, "{later:?} {earlier:?}");
            hidden += usize::from(expected);
            together += usize::from(expected && !earlier.iter().any(|one| is_shadowed(&later, &[*one])));
        }
        assert!(hidden > 100 && together > 5, "{hidden} {together}");
    }
}
