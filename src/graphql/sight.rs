//! What a caller may see of what is watched, found out from the state itself.

use bursar_domain::id::{DepartmentId, PoolId, UserId};
use bursar_domain::permission::Action;
use bursar_entity::pool;

use crate::auth::Caller;
use crate::ledger::Balance;
use crate::live::{Body, OrganizationState, State};

/// What somebody may see of what is watched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sight {
    /// Which part.
    part: Part,
    /// Whether it is shown to the vendor's staff, who see people that have left.
    operator: bool,
    /// The person, when the selection asks for something that depends on who asks.
    person: Option<UserId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    /// All of it.
    Whole,
    /// A pool, but of the departments only these, and no movements.
    Departments(Vec<DepartmentId>),
    /// Of an organization only these pools.
    Pools(Vec<PoolId>),
}

impl Sight {
    /// What a caller may see of a state. `None`: nothing, it does not exist for them. `person` says whether the
    /// selection depends on who asks.
    pub fn of(caller: &Caller, state: &State, person: bool) -> Option<Sight> {
        let part = match &state.body {
            Body::Pool(seen) => {
                let (organization, pool) = (seen.pool.organization_id, seen.pool.id);
                let accounts = seen.departments.iter().map(|(department, ..)| department.id);
                if !caller.may_in_pool(organization, pool, accounts, Action::ReadPool) {
                    return None;
                }
                match caller.may_read_ledger(organization, pool) {
                    true => Part::Whole,
                    false => {
                        let member = caller.memberships.get(&organization);
                        let own = member.into_iter().flat_map(|member| member.departments.keys());
                        Part::Departments(own.copied().collect())
                    }
                }
            }
            Body::Pools(seen) => {
                let organization = seen.organization.id;
                if !caller.may_in_organization(organization, Action::ReadOrganization) {
                    return None;
                }
                match caller.may_in_organization(organization, Action::ReadPool) {
                    true => Part::Whole,
                    false => Part::Pools(own_pools(caller, seen)),
                }
            }
            Body::Purchase(seen) => {
                let none = std::iter::empty();
                let may = caller.may_in_pool(seen.organization_id, seen.pool_id, none, Action::ReadPurchases);
                may.then_some(Part::Whole)?
            }
        };
        Some(Sight { part, operator: caller.user.operator, person: person.then_some(caller.user.id) })
    }

    /// Whether movements are shown.
    pub fn shows_ledger(&self) -> bool {
        self.part == Part::Whole
    }

    /// Whether a department's figures are shown.
    pub fn shows_department(&self, id: DepartmentId) -> bool {
        match &self.part {
            Part::Whole => true,
            Part::Departments(own) => own.contains(&id),
            Part::Pools(_) => false,
        }
    }

    /// The pools that are shown of an organization.
    pub fn pools<'s>(
        &'s self,
        state: &'s OrganizationState,
    ) -> impl Iterator<Item = &'s (pool::Model, Balance)> {
        state.pools.iter().filter(|(pool, _)| match &self.part {
            Part::Whole => true,
            Part::Pools(own) => own.contains(&pool.id),
            Part::Departments(_) => false,
        })
    }

    /// Whether what may be seen has to be found out again: the pools that a member sees depend on which
    /// departments have accounts there.
    pub fn is_outdated(&self, before: &State, state: &State) -> bool {
        match (&self.part, &before.body, &state.body) {
            (Part::Pools(_), Body::Pools(then), Body::Pools(now)) => then.accounts != now.accounts,
            _ => false,
        }
    }

    /// Whether there is something new to see in a state after another one.
    pub fn shows_change(&self, before: &State, state: &State) -> bool {
        match (&before.body, &state.body) {
            (Body::Pools(then), Body::Pools(now)) => {
                let amounts = |(pool, balance): &(pool::Model, Balance)| (pool.id, balance.version);
                !self.pools(then).map(amounts).eq(self.pools(now).map(amounts))
            }
            (Body::Purchase(then), Body::Purchase(now)) => then != now,
            _ => state.version > before.version,
        }
    }
}

/// The pools that a member sees who does not see all: those that they administer, and those where a
/// department of theirs has an account.
fn own_pools(caller: &Caller, state: &OrganizationState) -> Vec<PoolId> {
    let Some(member) = caller.memberships.get(&state.organization.id) else { return Vec::new() };
    let with_account = |pool: PoolId| {
        let mut accounts = state.accounts.iter().filter(|(of, _)| *of == pool);
        accounts.any(|(_, department)| member.departments.contains_key(department))
    };
    let ids = state.pools.iter().map(|(pool, _)| pool.id);
    ids.filter(|pool| member.pools.contains(pool) || with_account(*pool)).collect()
}
