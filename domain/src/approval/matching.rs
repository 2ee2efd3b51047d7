//! Which rule fits a purchase, and whom a stage names.

use std::collections::BTreeSet;

use super::policy::{Approvers, Asked, Conditions, People, Policy};
use crate::id::{PoolId, UserId};
use crate::organization::Role;

impl Conditions {
    /// Whether all that is given holds. The amounts are in the same currency.
    pub fn fit(&self, asked: &Asked) -> bool {
        self.fit_besides_money(asked) && self.fit_money(asked)
    }

    fn fit_besides_money(&self, asked: &Asked) -> bool {
        self.credits_from.is_none_or(|from| from <= asked.credits)
            && self.credits_to.is_none_or(|to| asked.credits <= to)
            && self.pools.as_ref().is_none_or(|pools| pools.contains(&asked.pool))
            && self.roles.as_ref().is_none_or(|roles| asked.role.is_none_or(|role| roles.contains(&role)))
    }

    fn fit_money(&self, asked: &Asked) -> bool {
        self.total_from.is_none_or(|from| from <= asked.total)
            && self.total_to.is_none_or(|to| asked.total <= to)
            && self.month_to_date_from.is_none_or(|from| from <= asked.month_to_date)
    }
}

impl Policy {
    /// The first rule that fits. None: nobody is asked.
    ///
    /// Amounts of another currency cannot be compared: a purchase in one meets every bound of money, so that it is
    /// rather asked about than not.
    pub fn rule_for(&self, asked: &Asked) -> Option<usize> {
        let comparable = self.currency == Some(asked.currency);
        self.rules.iter().position(|rule| {
            let conditions = &rule.conditions;
            conditions.fit_besides_money(asked) && (!comparable || conditions.fit_money(asked))
        })
    }
}

impl People {
    /// Whether somebody can decide about anything: a member, and no auditor.
    pub fn may_decide(&self, person: UserId) -> bool {
        self.roles.get(&person).is_some_and(|role| *role != Role::Auditor)
    }

    /// Everybody who is named, and can decide.
    pub fn named(&self, approvers: &[Approvers], pool: PoolId) -> BTreeSet<UserId> {
        self.roles.keys().copied().filter(|person| self.is_named(*person, approvers, pool)).collect()
    }

    /// Whether somebody is named, and can decide.
    pub fn is_named(&self, person: UserId, approvers: &[Approvers], pool: PoolId) -> bool {
        let named = |by: &Approvers| match *by {
            Approvers::Member(member) => member == person,
            Approvers::Role(role) => self.roles.get(&person) == Some(&role),
            Approvers::PoolAdministrators => self.pool_administrators.contains(&(pool, person)),
            Approvers::DepartmentManagers(department) => {
                self.department_managers.contains(&(department, person))
            }
        };
        self.may_decide(person) && approvers.iter().any(named)
    }

    /// The owners.
    pub fn owners(&self) -> BTreeSet<UserId> {
        let owners = self.roles.iter().filter(|(_, role)| **role == Role::Owner);
        owners.map(|(person, _)| *person).collect()
    }

    /// The owner of whom there is no other. None: there are several.
    pub fn only_owner(&self) -> Option<UserId> {
        let owners = self.owners();
        owners.first().copied().filter(|_| owners.len() == 1)
    }

    /// Whether somebody is an owner.
    pub fn is_owner(&self, person: UserId) -> bool {
        self.roles.get(&person) == Some(&Role::Owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approval::{Language, Payer, Rule, Timing};
    use crate::id::{DepartmentId, Id};
    use crate::{Credits, Currency};

    fn user(number: u128) -> UserId {
        UserId::from_u128(number)
    }

    fn pool(number: u128) -> PoolId {
        PoolId::from_u128(number)
    }

    fn credits(number: i64) -> Credits {
        Credits::new(number).unwrap()
    }

    fn asked() -> Asked {
        Asked {
            pool: pool(1),
            credits: credits(100),
            total: 500,
            currency: Currency::USD,
            role: Some(Role::Admin),
            month_to_date: 900,
        }
    }

    #[test]
    fn each_bound_admits_what_is_equal_to_it() {
        let none = Conditions::default();
        assert!(none.fit(&asked()));
        type Bound = fn(&mut Conditions, i64);
        let bounds: [(Bound, [bool; 3]); 5] = [
            (|of, n| of.credits_from = Credits::new(100 + n), [true, true, false]),
            (|of, n| of.credits_to = Credits::new(100 + n), [false, true, true]),
            (|of, n| of.total_from = Some(500 + n), [true, true, false]),
            (|of, n| of.total_to = Some(500 + n), [false, true, true]),
            (|of, n| of.month_to_date_from = Some(900 + n), [true, true, false]),
        ];
        for (index, (set, expected)) in bounds.into_iter().enumerate() {
            for (off, expected) in [-1, 0, 1].into_iter().zip(expected) {
                let mut conditions = none.clone();
                set(&mut conditions, off);
                assert_eq!(conditions.fit(&asked()), expected, "bound {index} {off}");
            }
        }
    }

    #[test]
    fn lists_of_pools_and_roles() {
        let of = |pools: &[u128], roles: &[Role]| Conditions {
            pools: Some(pools.iter().map(|number| pool(*number)).collect()),
            roles: Some(roles.iter().copied().collect()),
            ..Conditions::default()
        };
        assert!(of(&[1, 2], &[Role::Admin]).fit(&asked()));
        assert!(!of(&[2], &[Role::Admin]).fit(&asked()));
        assert!(!of(&[1], &[Role::Member, Role::Owner]).fit(&asked()));
        let stranger = Asked { role: None, ..asked() };
        assert!(of(&[1], &[Role::Member]).fit(&stranger), "whoever has no role meets every list");
        assert!(!of(&[2], &[Role::Member]).fit(&stranger));
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rule = |conditions: Conditions| Rule { name: "R".to_owned(), conditions, stages: Vec::new() };
        let cheap = Conditions { total_to: Some(100), ..Conditions::default() };
        let dear = Conditions { total_from: Some(400), ..Conditions::default() };
        let mut policy = Policy {
            rules: vec![rule(cheap), rule(dear.clone()), rule(Conditions::default())],
            currency: Some(Currency::USD),
            timing: Timing::default(),
            sign_in_above: None,
            payer: Payer::Requester,
            language: Language::English,
        };
        assert_eq!(policy.rule_for(&asked()), Some(1));
        assert_eq!(policy.rule_for(&Asked { total: 200, ..asked() }), Some(2));
        let foreign = Asked { currency: Currency::parse("EUR").unwrap(), ..asked() };
        assert_eq!(policy.rule_for(&foreign), Some(0), "money that cannot be compared meets every bound");
        policy.rules = vec![rule(Conditions { credits_from: Some(credits(101)), ..dear })];
        assert_eq!((policy.rule_for(&asked()), policy.rule_for(&foreign)), (None, None));
        policy.rules.clear();
        assert_eq!(policy.rule_for(&asked()), None);
    }

    #[test]
    fn auditors_and_strangers_are_named_by_nothing() {
        let department = DepartmentId::from_u128(7);
        let roles = [Role::Owner, Role::Admin, Role::Member, Role::Auditor];
        let mut people = People {
            roles: roles.into_iter().enumerate().map(|(at, role)| (user(at as u128), role)).collect(),
            ..People::default()
        };
        for person in [1, 3, 9] {
            people.pool_administrators.insert((pool(1), user(person)));
            people.department_managers.insert((department, user(person)));
        }
        let named =
            |by: Approvers| people.named(&[by], pool(1)).into_iter().map(Id::as_u128).collect::<Vec<_>>();
        assert_eq!(named(Approvers::Member(user(2))), [2]);
        assert_eq!(named(Approvers::Role(Role::Owner)), [0]);
        assert_eq!(named(Approvers::PoolAdministrators), [1]);
        assert_eq!(named(Approvers::DepartmentManagers(department)), [1]);
        for nobody in [Approvers::Role(Role::Auditor), Approvers::Member(user(3)), Approvers::Member(user(9))]
        {
            assert!(named(nobody).is_empty(), "{nobody:?}");
        }
        assert!(people.named(&[Approvers::PoolAdministrators], pool(2)).is_empty());
        let both = [Approvers::Role(Role::Member), Approvers::Role(Role::Owner)];
        assert_eq!(people.named(&both, pool(1)).len(), 2);
        assert_eq!((people.owners().len(), people.only_owner()), (1, Some(user(0))));
        assert!(people.is_owner(user(0)) && !people.is_owner(user(1)) && !people.is_owner(user(9)));
        people.roles.insert(user(1), Role::Owner);
        assert_eq!((people.only_owner(), People::default().only_owner()), (None, None));
    }
}
