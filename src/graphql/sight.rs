//! What a caller may see of what is watched, found out from the state itself.

use bursar_domain::id::{ApprovalId, DepartmentId, PoolId, UserId};
use bursar_domain::permission::Action;
use bursar_entity::pool;

use crate::auth::{Caller, PrincipalId, SeenPeople};
use crate::ledger::Balance;
use crate::live::{ApprovalState, ApprovalsState, Body, OrganizationState, State};

/// What somebody may see of what is watched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sight {
    /// Which part.
    part: Part,
    /// Which people are named.
    people: SeenPeople,
    /// Who asks, when the selection asks for something that depends on it.
    caller: Option<PrincipalId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    /// All of it.
    Whole,
    /// A pool, but of the departments only these, and no movements.
    Departments(Vec<DepartmentId>),
    /// A pool with all departments, but no movements.
    EveryDepartment,
    /// Of an organization only these pools.
    Pools(Vec<PoolId>),
    /// Of an organization the requests that this person has to do with; none: a key, which is asked about nothing.
    Requests(Option<UserId>),
}

impl Sight {
    /// What a caller may see of a state. `None`: nothing, it does not exist for them. `personal` says whether the
    /// selection depends on who asks.
    pub fn of(caller: &Caller, state: &State, personal: bool) -> Option<Sight> {
        let (organization, part) = match &state.body {
            Body::Pool(seen) => {
                let (organization, pool) = (seen.pool.organization_id, seen.pool.id);
                let accounts = seen.departments.iter().map(|(department, ..)| department.id);
                if !caller.may_in_pool(organization, pool, accounts, Action::ReadPool) {
                    return None;
                }
                let part = if caller.may_read_ledger(organization, pool) {
                    Part::Whole
                } else if caller.may_read_all_departments(organization, pool) {
                    Part::EveryDepartment
                } else {
                    let own = caller.own_departments(organization, Action::ReadDepartmentCharges);
                    Part::Departments(own.collect())
                };
                (organization, part)
            }
            Body::Pools(seen) => {
                let organization = seen.organization.id;
                if !caller.may_in_organization(organization, Action::ReadOrganization) {
                    return None;
                }
                let part = match caller.may_in_organization(organization, Action::ReadPool) {
                    true => Part::Whole,
                    false => Part::Pools(own_pools(caller, seen)),
                };
                (organization, part)
            }
            Body::Purchase(seen) => {
                let none = std::iter::empty();
                let may = caller.may_in_pool(seen.organization_id, seen.pool_id, none, Action::ReadPurchases);
                (seen.organization_id, may.then_some(Part::Whole)?)
            }
            Body::Approvals(seen) => {
                if !caller.may_in_organization(seen.organization, Action::ReadOrganization) {
                    return None;
                }
                (seen.organization, Part::Requests(caller.person().map(|person| person.id)))
            }
        };
        let people = caller.sees_people(organization);
        Some(Sight { part, people, caller: personal.then_some(caller.id()) })
    }

    /// Whether movements are shown.
    pub fn shows_ledger(&self) -> bool {
        self.part == Part::Whole
    }

    /// Whether a department's figures are shown.
    pub fn shows_department(&self, id: DepartmentId) -> bool {
        match &self.part {
            Part::Whole | Part::EveryDepartment => true,
            Part::Departments(own) => own.contains(&id),
            Part::Pools(_) | Part::Requests(_) => false,
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
            Part::Departments(_) | Part::EveryDepartment | Part::Requests(_) => false,
        })
    }

    /// The requests for approval that are told of at first: those that may be decided about; and whatever else somebody has to
    /// do with who may have seen an earlier state.
    pub fn requests(&self, state: &ApprovalsState, is_first: bool) -> Vec<ApprovalId> {
        let Part::Requests(Some(person)) = &self.part else { return Vec::new() };
        let told = |seen: &&ApprovalState| match is_first {
            true => seen.may_decide.contains(person),
            false => seen.concerns(*person) || seen.ends_for(*person),
        };
        state.requests.iter().filter(told).map(|seen| seen.request.id).collect()
    }

    /// The requests that are told of after another state: those that have changed and may be decided about, and those that
    /// may no longer be. That one has come to its end is told to everybody who had to do with it.
    pub fn news(&self, before: &ApprovalsState, state: &ApprovalsState) -> Vec<ApprovalId> {
        let Part::Requests(Some(person)) = &self.part else { return Vec::new() };
        let told = |seen: &&ApprovalState| {
            let known = before.requests.iter().find(|known| known.request.id == seen.request.id);
            let might = known.is_some_and(|known| known.may_decide.contains(person));
            let before = known.and_then(|known| known.request.ended_at);
            let ends = seen.request.ended_at != before && seen.ends_for(*person);
            (might || ends || seen.may_decide.contains(person)) && known != Some(*seen)
        };
        state.requests.iter().filter(told).map(|seen| seen.request.id).collect()
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

/// The pools that a caller sees who does not see all: those on which it has a grant, and those where a
/// department of its own has an account.
fn own_pools(caller: &Caller, state: &OrganizationState) -> Vec<PoolId> {
    let (organization, action) = (state.organization.id, Action::ReadPool);
    let accounts = |pool: PoolId| {
        let of_pool = state.accounts.iter().filter(move |(of, _)| *of == pool);
        of_pool.map(|(_, department)| *department)
    };
    let ids = state.pools.iter().map(|(pool, _)| pool.id);
    ids.filter(|pool| caller.may_in_pool(organization, *pool, accounts(*pool), action)).collect()
}
