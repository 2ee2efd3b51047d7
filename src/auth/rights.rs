//! What a caller may do where: the questions that are answered from memory, by the permission table and by what
//! a key reaches. Nothing else in the shell decides about permissions.

use bursar_domain::id::{DepartmentId, OrganizationId, PoolId};
use bursar_domain::permission::{Action, Grant, permits};
use bursar_domain::scope::{Place, Scope};
use bursar_entity::{credit_request, spending_cap};

use super::{Identity, Member, Principal};

/// What an action is about.
#[derive(Clone, Copy)]
pub(super) enum Target<'t> {
    /// The organization as a whole.
    Organization,
    /// A pool, with the caller's own departments that have an account there, and whether as manager.
    Pool(PoolId, &'t [(DepartmentId, bool)]),
    /// A department.
    Department(DepartmentId),
}

/// Which people are named to a caller, where rows name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SeenPeople {
    /// Nobody.
    Nobody,
    /// Those who belong to the organization.
    Members,
    /// Those who have left as well, and the vendor's staff.
    Everybody,
}

impl Target<'_> {
    fn place(self) -> Place {
        match self {
            Target::Organization => Place::Organization,
            Target::Pool(id, departments) => Place::Pool(id, !departments.is_empty()),
            Target::Department(id) => Place::Department(id),
        }
    }
}

impl Member {
    fn may(&self, target: Target<'_>, action: Action) -> bool {
        let by_department = |manager: bool| permits(department_grant(manager), action);
        let more = match target {
            Target::Organization => false,
            Target::Pool(id, departments) => {
                let administers = self.pools.contains(&id) && permits(Grant::PoolAdministrator, action);
                administers || departments.iter().any(|(_, manager)| by_department(*manager))
            }
            Target::Department(id) => {
                let administers = !self.pools.is_empty() && permits(Grant::AnyPoolAdministrator, action);
                administers || self.departments.get(&id).copied().is_some_and(by_department)
            }
        };
        more || permits(Grant::of(self.role), action) || permits(Grant::Member, action)
    }
}

const fn department_grant(manager: bool) -> Grant {
    if manager { Grant::DepartmentManager } else { Grant::DepartmentMember }
}

impl Identity {
    /// Whether the permission table allows an action.
    pub(super) fn allowed(&self, organization: OrganizationId, action: Action, target: Target<'_>) -> bool {
        match &self.principal {
            Principal::Person(person) => {
                let member = self.memberships.get(&organization);
                person.operator && permits(Grant::Operator, action)
                    || member.is_some_and(|member| member.may(target, action))
            }
            Principal::Key(key) => key.may(organization, target.place(), action),
        }
    }

    /// The departments that the caller is in or is restricted to, and whether as manager.
    pub(super) fn departments(
        &self,
        organization: OrganizationId,
    ) -> impl Iterator<Item = (DepartmentId, bool)> + '_ {
        let member = self.memberships.get(&organization);
        let places = member.into_iter().flat_map(|member| &member.departments);
        let reach = self.key().and_then(|key| key.reach.departments.as_ref());
        let restricted = reach.into_iter().flatten().map(|id| (*id, false));
        places.map(|(id, manager)| (*id, *manager)).chain(restricted)
    }

    /// Whether the caller may do something with the organization as a whole.
    pub fn may_in_organization(&self, organization: OrganizationId, action: Action) -> bool {
        self.allowed(organization, action, Target::Organization)
    }

    /// Whether the caller may do something with a department.
    pub fn may_in_department(
        &self,
        organization: OrganizationId,
        department: DepartmentId,
        action: Action,
    ) -> bool {
        self.allowed(organization, action, Target::Department(department))
    }

    /// Whether the caller may do something with a pool where some departments have accounts.
    pub fn may_in_pool(
        &self,
        organization: OrganizationId,
        pool: PoolId,
        accounts: impl Iterator<Item = DepartmentId>,
        action: Action,
    ) -> bool {
        let own: Vec<_> = accounts
            .filter_map(|account| self.departments(organization).find(|(own, _)| *own == account))
            .collect();
        self.allowed(organization, action, Target::Pool(pool, &own))
    }

    /// Whether the caller may see all movements of a pool.
    pub fn may_read_ledger(&self, organization: OrganizationId, pool: PoolId) -> bool {
        self.allowed(organization, Action::ReadLedger, Target::Pool(pool, &[]))
    }

    /// Whether the caller may charge the credits of every department in a pool.
    pub fn may_charge_all_departments(&self, organization: OrganizationId, pool: PoolId) -> bool {
        self.allowed(organization, Action::ChargeDepartment, Target::Pool(pool, &[]))
    }

    /// Whether the caller may see what every department has and uses in a pool.
    pub fn may_read_all_departments(&self, organization: OrganizationId, pool: PoolId) -> bool {
        self.allowed(organization, Action::ReadDepartmentCharges, Target::Pool(pool, &[]))
    }

    /// Whether a pool is none of those that a key is kept from. Grants on departments of people count in all
    /// pools.
    pub fn reaches_pool(&self, pool: PoolId) -> bool {
        self.key().is_none_or(|key| key.reach.has_pool(pool))
    }

    /// Whether the caller may do something with what a department has in a pool, by a grant on the department.
    pub fn may_by_department(
        &self,
        organization: OrganizationId,
        pool: PoolId,
        department: DepartmentId,
        action: Action,
    ) -> bool {
        self.reaches_pool(pool) && self.may_in_department(organization, department, action)
    }

    /// Whether the caller may see what a department has and uses in a pool.
    pub fn may_read_department_in(
        &self,
        organization: OrganizationId,
        pool: PoolId,
        department: DepartmentId,
    ) -> bool {
        let action = Action::ReadDepartmentCharges;
        self.may_by_department(organization, pool, department, action)
            || self.may_read_ledger(organization, pool)
            || self.may_read_all_departments(organization, pool)
    }

    /// Whether the caller may see a use of credits: of a department, or of those that no department has.
    pub fn may_read_use(
        &self,
        organization: OrganizationId,
        pool: PoolId,
        department: Option<DepartmentId>,
    ) -> bool {
        let of = |department| self.may_read_department_in(organization, pool, department);
        self.may_read_ledger(organization, pool) || department.is_some_and(of)
    }

    /// Whether the caller may charge on behalf of those who are in a department: its managers may, and keys that
    /// may charge it.
    pub fn may_charge_for_members(&self, organization: OrganizationId, department: DepartmentId) -> bool {
        let action = match &self.principal {
            Principal::Person(_) => Action::ManageDepartmentMembers,
            Principal::Key(_) => Action::ChargeDepartment,
        };
        self.may_in_department(organization, department, action)
    }

    /// Whether the caller may see every department of an organization, if not what they have: to allocate
    /// credits of a pool one has to know which departments there are.
    pub fn may_read_departments(&self, organization: OrganizationId) -> bool {
        let administers = self.own_pools(organization, Action::ReadDepartment).next().is_some();
        administers || self.may_in_organization(organization, Action::ReadDepartment)
    }

    /// The pools with which the caller may do something by a grant on them, or by being a key that is
    /// restricted to them.
    pub fn own_pools(
        &self,
        organization: OrganizationId,
        action: Action,
    ) -> impl Iterator<Item = PoolId> + '_ {
        let member = self.memberships.get(&organization);
        let administered = member.filter(|_| permits(Grant::PoolAdministrator, action));
        let administered = administered.into_iter().flat_map(|member| member.pools.iter().copied());
        let key = self.key().filter(|key| key.reach.departments.is_none());
        let pools = key.and_then(|key| key.reach.pools.as_ref()).into_iter().flatten().copied();
        let may = move |pool: &PoolId| self.allowed(organization, action, Target::Pool(*pool, &[]));
        administered.chain(pools.filter(may))
    }

    /// The departments with which the caller may do something by being in them, or by being a key that is
    /// restricted to them.
    pub fn own_departments(
        &self,
        organization: OrganizationId,
        action: Action,
    ) -> impl Iterator<Item = DepartmentId> + '_ {
        let own = self.departments(organization).map(|(id, _)| id);
        own.filter(move |id| self.may_in_department(organization, *id, action))
    }

    /// Which people are named to the caller where rows of an organization name them: to a key only when it may
    /// see who belongs to it.
    pub fn sees_people(&self, organization: OrganizationId) -> SeenPeople {
        match &self.principal {
            Principal::Person(person) if person.operator => SeenPeople::Everybody,
            Principal::Person(_) => SeenPeople::Members,
            Principal::Key(_) if !self.may_in_organization(organization, Action::ReadMembers) => {
                SeenPeople::Nobody
            }
            Principal::Key(key) if key.acts_in.is_none() => SeenPeople::Everybody,
            Principal::Key(_) => SeenPeople::Members,
        }
    }

    /// Whether the caller may see a spending cap: who sees all of the pool sees all of them, and everybody those
    /// on the own departments and on oneself.
    pub fn sees_cap(&self, cap: &spending_cap::Model) -> bool {
        let organization = cap.organization_id;
        let belongs = self.memberships.contains_key(&organization);
        let own = belongs && cap.user_id.is_some_and(|id| self.is_person(id));
        let of_own = |id| self.may_read_department_in(organization, cap.pool_id, id);
        own || cap.department_id.is_some_and(of_own) || self.may_read_ledger(organization, cap.pool_id)
    }

    /// Whether the caller may see a credit request: who sees all of the pool sees all of them, and everybody
    /// the own ones.
    pub fn sees_credit_request(&self, request: &credit_request::Model) -> bool {
        let organization = request.organization_id;
        let own = self.memberships.contains_key(&organization) && self.is_person(request.requested_by);
        own || self.may_read_ledger(organization, request.pool_id)
    }

    /// Whether the caller may give a key a scope: who may do all that it allows, or more.
    pub fn may_give(&self, organization: OrganizationId, scope: Scope) -> bool {
        Action::ALL.iter().copied().filter(|action| permits(scope.grant(), *action)).all(|action| {
            // Who may refund any charge may refund those that a guarantee covers.
            let more = action == Action::RefundUnderGuarantee;
            more && self.may_in_organization(organization, Action::RefundCharges)
                || self.may_in_organization(organization, action)
        })
    }
}
