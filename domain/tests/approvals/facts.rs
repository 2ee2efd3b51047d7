//! Who is what, who stands in for whom, and what time it is: plain facts, without any rule.

use std::collections::BTreeSet;

use bursar_domain::Timestamp;
use bursar_domain::approval::{Delegation, People};
use bursar_domain::id::{DelegationId, DepartmentId, Id, PoolId, UserId};
use bursar_domain::organization::Role;

/// How many people there are.
pub const PEOPLE: usize = 6;

pub fn user(person: usize) -> UserId {
    UserId::from_u128(person as u128 + 1)
}

pub fn person(user: UserId) -> usize {
    usize::try_from(user.as_u128()).unwrap() - 1
}

pub fn persons(users: &BTreeSet<UserId>) -> BTreeSet<usize> {
    users.iter().copied().map(person).collect()
}

pub fn pool() -> PoolId {
    PoolId::from_u128(100)
}

pub fn department() -> DepartmentId {
    DepartmentId::from_u128(200)
}

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::EPOCH.plus_seconds(seconds)
}

/// Somebody stands in for somebody.
#[derive(Clone, Copy, Debug)]
pub struct Deputy {
    pub of: usize,
    pub by: usize,
    pub from: i64,
    pub until: i64,
    pub ended: Option<i64>,
}

impl Deputy {
    /// Until before when it counts.
    pub fn end(&self) -> i64 {
        self.ended.unwrap_or(self.until).min(self.until)
    }

    /// Whether it counts at an instant.
    pub fn counts_at(&self, instant: i64) -> bool {
        self.from <= instant && instant < self.end()
    }

    pub fn delegation(&self, number: usize) -> Delegation {
        Delegation {
            id: DelegationId::from_u128(number as u128),
            delegator: user(self.of),
            delegate: user(self.by),
            starts_at: at(self.from),
            ends_at: at(self.until),
            revoked_at: self.ended.map(at),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Facts {
    pub roles: [Option<Role>; PEOPLE],
    pub administers: [bool; PEOPLE],
    pub manages: [bool; PEOPLE],
    pub deputies: Vec<Deputy>,
    pub now: i64,
}

impl Facts {
    /// Whether somebody can decide about anything.
    pub fn may_act(&self, person: usize) -> bool {
        matches!(self.roles[person], Some(Role::Owner | Role::Admin | Role::Member))
    }

    pub fn owners(&self) -> BTreeSet<usize> {
        (0..PEOPLE).filter(|person| self.roles[*person] == Some(Role::Owner)).collect()
    }

    pub fn people(&self) -> People {
        let mut people = People::default();
        for person in 0..PEOPLE {
            if let Some(role) = self.roles[person] {
                people.roles.insert(user(person), role);
            }
            if self.administers[person] {
                people.pool_administrators.insert((pool(), user(person)));
            }
            if self.manages[person] {
                people.department_managers.insert((department(), user(person)));
            }
        }
        people
    }

    /// The delegations that count at an instant or later.
    pub fn delegations(&self, since: i64) -> Vec<Delegation> {
        let counting = self.deputies.iter().enumerate().filter(|(_, deputy)| deputy.end() > since);
        counting.map(|(number, deputy)| deputy.delegation(number)).collect()
    }
}
