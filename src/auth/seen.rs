//! Which uses of credits (charges and holds) a caller sees in a list of an organization's: as a condition on the
//! rows' pool and department that says the same as [`Identity::may_read_use`] says of one row.

use bursar_domain::id::{DepartmentId, OrganizationId, PoolId};
use bursar_domain::permission::Action;
use sea_orm::{ColumnTrait, Condition};

use super::Identity;

/// Which uses of credits a caller sees in an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeenUses {
    /// All of them.
    All,
    /// Some of them.
    Some {
        /// All of these pools.
        pools: Vec<PoolId>,
        /// Those of departments in these pools.
        department_pools: Vec<PoolId>,
        /// Those of these departments.
        departments: Vec<DepartmentId>,
        /// But of those only in these pools; none: in all.
        within: Option<Vec<PoolId>>,
        /// Those of every department, in every pool.
        every_department: bool,
    },
}

impl SeenUses {
    /// The condition on the columns that name the pool and the department.
    pub fn condition<C: ColumnTrait>(self, pool: C, department: C) -> Condition {
        match self {
            SeenUses::All => Condition::all(),
            SeenUses::Some { pools, department_pools, departments, within, every_department } => {
                let of_departments =
                    Condition::all().add(department.is_not_null()).add(pool.is_in(department_pools));
                let own = Condition::all()
                    .add(department.is_in(departments))
                    .add_option(within.map(|pools| pool.is_in(pools)));
                Condition::any()
                    .add(pool.is_in(pools))
                    .add(of_departments)
                    .add(own)
                    .add_option(every_department.then(|| department.is_not_null()))
            }
        }
    }
}

impl Identity {
    /// Which uses of credits the caller sees in an organization; none: it may not ask for them.
    pub fn seen_uses(&self, organization: OrganizationId) -> Option<SeenUses> {
        if self.may_in_organization(organization, Action::ReadLedger) {
            return Some(SeenUses::All);
        }
        let action = Action::ReadDepartmentCharges;
        // A person who belongs to the organization sees those of the own departments, be there any or not.
        let asks = match self.key() {
            None => self.memberships.contains_key(&organization),
            Some(key) => {
                self.belongs_to(organization) && (key.gives(action) || key.gives(Action::ReadLedger))
            }
        };
        asks.then(|| SeenUses::Some {
            pools: self.own_pools(organization, Action::ReadLedger).collect(),
            department_pools: self.own_pools(organization, action).collect(),
            departments: self.own_departments(organization, action).collect(),
            within: self
                .key()
                .and_then(|key| key.reach.pools.as_ref())
                .map(|pools| pools.iter().copied().collect()),
            every_department: self.may_in_organization(organization, action),
        })
    }
}
