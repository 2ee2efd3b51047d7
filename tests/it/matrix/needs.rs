//! What somebody needs to be let, and who meets it: by the domain's permission table, asked with the grants that the
//! caller has where the thing is. What the server makes of grants is looked at nowhere here.

use std::collections::BTreeSet;

use bursar_domain::id::{DepartmentId, PoolId};
use bursar_domain::organization::Role;
use bursar_domain::permission::{Action, Grant, covers, permits};
use bursar_domain::scope::{Place as Reached, Reach, Scope};

/// Whose a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenant {
    /// The demonstration's.
    Demo,
    /// That of the other organization.
    Rival,
    /// The demonstration's sandbox's.
    Sandbox,
}

/// Where a thing is, as far as that decides who may do something with it.
#[derive(Clone, Debug)]
pub struct Place {
    /// Whose it is.
    pub tenant: Tenant,
    /// The pool that it is in.
    pub pool: Option<PoolId>,
    /// The departments that have credits in the pool.
    pub accounts: Vec<DepartmentId>,
    /// The department that it is of.
    pub department: Option<DepartmentId>,
    /// The address of the person whose own it is.
    pub owner: Option<&'static str>,
    /// The addresses of those who are asked to decide about it, or were.
    pub asked: Vec<&'static str>,
}

/// Where an action has to be allowed, seen from a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// In its organization as a whole.
    Whole,
    /// In its pool. Grants on departments that have credits there count.
    Pool,
    /// In its pool, whatever departments there are.
    PoolAlone,
    /// The same, of what a department has or uses there.
    EveryDepartment,
    /// In its department.
    Department,
    /// In its department, when the caller is not kept from the pool.
    DepartmentHere,
    /// In one pool of the organization or another, by a grant on it.
    SomePool,
    /// Somewhere in the organization. People may always ask what there is for them; keys with the scope may.
    Somewhere,
    /// At the vendor's, where only its staff acts.
    Vendor,
}

/// What is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// To be allowed an action somewhere.
    May(Action, At),
    /// That it is the caller's own.
    Own,
    /// That the caller is asked to decide about it.
    Asked,
    /// To be a person who belongs to its organization.
    Colleague,
    /// The same, and not an auditor, who changes nothing.
    Voter,
    /// To be a person.
    Person,
    /// To be anybody at all.
    SignedIn,
    /// Nothing: the caller may be nobody.
    Nothing,
}

/// A person, as the organization knows them.
#[derive(Clone, Debug)]
pub struct Person {
    /// The address.
    pub email: &'static str,
    /// Whether the person is of the vendor's staff.
    pub staff: bool,
    /// Where the person is a member, and as what.
    pub role: Option<(Tenant, Role)>,
    /// The pools that the person administers.
    pub pools: Vec<PoolId>,
    /// The departments that the person is in, and whether as manager.
    pub departments: Vec<(DepartmentId, bool)>,
}

/// A key.
#[derive(Clone, Debug)]
pub struct Key {
    /// Where it acts; none: it is the vendor's, and acts everywhere.
    pub tenant: Option<Tenant>,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// What it is restricted to.
    pub reach: Reach,
}

/// Who calls.
#[derive(Clone, Debug)]
pub enum Who {
    /// Somebody who says nothing of who they are.
    Nobody,
    /// Somebody with a proof that is no longer good.
    Spent,
    /// A person.
    Person(Person),
    /// A key.
    Key(Key),
}

impl Place {
    /// In an organization as a whole.
    pub fn of(tenant: Tenant) -> Place {
        Place { tenant, pool: None, accounts: Vec::new(), department: None, owner: None, asked: Vec::new() }
    }

    /// In a pool, where some departments have credits.
    pub fn in_pool(&self, pool: PoolId, accounts: &[DepartmentId]) -> Place {
        Place { pool: Some(pool), accounts: accounts.to_vec(), ..self.clone() }
    }

    /// Of a department.
    pub fn of_department(&self, department: DepartmentId) -> Place {
        Place { department: Some(department), ..self.clone() }
    }

    /// A person's own.
    pub fn of_person(&self, email: &'static str) -> Place {
        Place { owner: Some(email), ..self.clone() }
    }

    /// Decided about by some people.
    pub fn asking(&self, emails: &[&'static str]) -> Place {
        Place { asked: emails.to_vec(), ..self.clone() }
    }

    /// Whether it is somewhere where something can be at all.
    fn has(&self, at: At) -> bool {
        match at {
            At::Whole | At::SomePool | At::Somewhere | At::Vendor => true,
            At::Pool | At::PoolAlone => self.pool.is_some(),
            At::EveryDepartment | At::DepartmentHere => self.pool.is_some() && self.department.is_some(),
            At::Department => self.department.is_some(),
        }
    }
}

impl Who {
    /// Whether one of some needs is met.
    pub fn meets(&self, needs: &[Need], place: &Place) -> bool {
        needs.iter().any(|need| match (need, self) {
            (Need::Nothing, who) => !matches!(who, Who::Spent),
            (_, Who::Nobody | Who::Spent) => false,
            (Need::SignedIn, _) | (Need::Person, Who::Person(_)) => true,
            (Need::Own, Who::Person(person)) => place.owner == Some(person.email),
            (Need::Asked, Who::Person(person)) => place.asked.contains(&person.email),
            (Need::Colleague, Who::Person(person)) => person.role_at(place).is_some(),
            (Need::Voter, Who::Person(person)) => {
                person.role_at(place).is_some_and(|role| role != Role::Auditor)
            }
            (Need::Own | Need::Person | Need::Asked | Need::Colleague | Need::Voter, Who::Key(_)) => false,
            (Need::May(action, at), Who::Person(person)) => person.may(*action, *at, place),
            (Need::May(action, at), Who::Key(key)) => key.may(*action, *at, place),
        })
    }

    /// Whether rows name people to the caller: to people they do, to keys that may see who belongs there.
    pub fn sees_people(&self, place: &Place) -> bool {
        match self {
            Who::Person(_) => true,
            Who::Key(_) => self.meets(&[Need::May(Action::ReadMembers, At::Whole)], place),
            Who::Nobody | Who::Spent => false,
        }
    }

    /// Whether it is a person of the vendor's staff.
    pub fn is_staff(&self) -> bool {
        matches!(self, Who::Person(person) if person.staff)
    }

    /// Whether it is the vendor's, a person or a key.
    pub fn is_vendors(&self) -> bool {
        self.is_staff() || matches!(self, Who::Key(key) if key.tenant.is_none())
    }
}

impl Person {
    /// The role where something is.
    fn role_at(&self, place: &Place) -> Option<Role> {
        self.role.filter(|(tenant, _)| *tenant == place.tenant).map(|(_, role)| role)
    }

    fn may(&self, action: Action, at: At, place: &Place) -> bool {
        let by_staff = self.staff && permits(Grant::Operator, action);
        if at == At::Vendor || !place.has(at) {
            return at == At::Vendor && by_staff;
        }
        let Some((_, role)) = self.role.filter(|(tenant, _)| *tenant == place.tenant) else {
            return by_staff;
        };
        let mut grants = vec![Grant::of(role), Grant::Member];
        grants.extend(self.grants_on(at, place));
        at == At::Somewhere || by_staff || grants.into_iter().any(|grant| permits(grant, action))
    }

    /// The grants beside the role.
    fn grants_on(&self, at: At, place: &Place) -> Vec<Grant> {
        let grant = |(_, manager): &(DepartmentId, bool)| match manager {
            true => Grant::DepartmentManager,
            false => Grant::DepartmentMember,
        };
        let own = |of: Vec<DepartmentId>| {
            self.departments.iter().filter(move |(id, _)| of.contains(id)).map(grant).collect::<Vec<Grant>>()
        };
        let administers = place.pool.is_some_and(|pool| self.pools.contains(&pool));
        let by_pool = administers.then_some(Grant::PoolAdministrator);
        let any = !self.pools.is_empty();
        match at {
            At::Whole | At::Somewhere | At::Vendor => Vec::new(),
            At::Pool => by_pool.into_iter().chain(own(place.accounts.clone())).collect(),
            At::PoolAlone | At::EveryDepartment => by_pool.into_iter().collect(),
            At::Department | At::DepartmentHere => {
                let by_any = any.then_some(Grant::AnyPoolAdministrator);
                by_any.into_iter().chain(own(place.department.into_iter().collect())).collect()
            }
            At::SomePool => any.then_some(Grant::PoolAdministrator).into_iter().collect(),
        }
    }
}

impl Key {
    fn may(&self, action: Action, at: At, place: &Place) -> bool {
        let acts = self.tenant.is_none_or(|tenant| tenant == place.tenant);
        let given = self.scopes.iter().any(|scope| permits(scope.grant(), action));
        // A key of the vendor's does no more than the vendor's staff.
        let given = given && (self.tenant.is_some() || covers(Grant::Operator, action));
        acts && given && at != At::Vendor && place.has(at) && self.reaches(action, at, place)
    }

    fn reaches(&self, action: Action, at: At, place: &Place) -> bool {
        let reach = &self.reach;
        let none = BTreeSet::new();
        let own = reach.departments.as_ref().unwrap_or(&none);
        let in_pool = |here: bool| place.pool.is_some_and(|id| reach.allows(Reached::Pool(id, here), action));
        let in_department =
            || place.department.is_some_and(|id| reach.allows(Reached::Department(id), action));
        match at {
            At::Whole => reach.allows(Reached::Organization, action),
            At::Pool => in_pool(place.accounts.iter().any(|id| own.contains(id))),
            At::PoolAlone | At::EveryDepartment => in_pool(false),
            At::Department => in_department(),
            At::DepartmentHere => place.pool.is_some_and(|id| reach.has_pool(id)) && in_department(),
            At::SomePool => {
                let mut pools = reach.pools.iter().flatten();
                reach.departments.is_none() && pools.any(|id| reach.allows(Reached::Pool(*id, false), action))
            }
            At::Somewhere => true,
            At::Vendor => false,
        }
    }
}
