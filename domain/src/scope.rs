//! What an API key may do: its scopes, each of them a column of the permission table, and what they reach.
//!
//! A key that is restricted to pools or departments has its scopes there and nowhere else: of the organization
//! as a whole it sees only what everybody sees who has to do with it.

use std::collections::BTreeSet;

use crate::id::{DepartmentId, PoolId};
use crate::permission::{Action, Grant, permits};

string_enum! {
    /// A part of the API that a key may use.
    Scope {
        /// Charge credits, hold, capture and let go, refund under the services' guarantees.
        ChargesWrite = "charges:write",
        /// See pools and what they have.
        BalancesRead = "balances:read",
        /// See what departments have and use, and purchases.
        ReportsRead = "reports:read",
        /// Ask for purchases, start their checkouts, withdraw them.
        PurchasesWrite = "purchases:write",
        /// See all movements and lots.
        LedgerRead = "ledger:read",
        /// Move credits between unallocated and departments.
        AllocationsWrite = "allocations:write",
        /// See who belongs to the organization.
        MembersRead = "members:read",
        /// See the audit log.
        AuditRead = "audit:read",
    }
}

impl Scope {
    /// The column of the permission table.
    pub const fn grant(self) -> Grant {
        match self {
            Scope::ChargesWrite => Grant::ScopeChargesWrite,
            Scope::BalancesRead => Grant::ScopeBalancesRead,
            Scope::ReportsRead => Grant::ScopeReportsRead,
            Scope::PurchasesWrite => Grant::ScopePurchasesWrite,
            Scope::LedgerRead => Grant::ScopeLedgerRead,
            Scope::AllocationsWrite => Grant::ScopeAllocationsWrite,
            Scope::MembersRead => Grant::ScopeMembersRead,
            Scope::AuditRead => Grant::ScopeAuditRead,
        }
    }

    /// Whether it is about the organization as a whole, so that a restricted key would have nothing of it.
    pub const fn is_about_the_whole(self) -> bool {
        matches!(self, Scope::MembersRead | Scope::AuditRead)
    }
}

/// Some scopes, in order, each once. As text: their names with commas between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(pub BTreeSet<Scope>);

impl Scopes {
    /// The scopes that a text names; `None` when one of them is none.
    pub fn parse(text: &str) -> Option<Scopes> {
        text.split(',').map(Scope::parse).collect::<Option<BTreeSet<Scope>>>().map(Scopes)
    }

    /// Their names with commas between.
    pub fn text(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(Scope::as_str).collect();
        names.join(",")
    }

    /// Whether one of them allows an action.
    pub fn permit(&self, action: Action) -> bool {
        self.0.iter().any(|scope| permits(scope.grant(), action))
    }
}

text_column!(Scopes, "Scopes", Scopes::parse, Scopes::text);

/// What the scopes of a key reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// These pools; none: all.
    pub pools: Option<BTreeSet<PoolId>>,
    /// These departments; none: all, and the credits that no department has.
    pub departments: Option<BTreeSet<DepartmentId>>,
}

/// What an action is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The organization as a whole.
    Organization,
    /// A pool, and whether one of the departments that the key is restricted to has credits there.
    Pool(PoolId, bool),
    /// A department.
    Department(DepartmentId),
}

impl Reach {
    /// Whether it is everything.
    pub fn is_whole(&self) -> bool {
        self.pools.is_none() && self.departments.is_none()
    }

    /// Whether a pool is among what it reaches, wholly or in part.
    pub fn has_pool(&self, pool: PoolId) -> bool {
        self.pools.as_ref().is_none_or(|pools| pools.contains(&pool))
    }

    /// Whether an action that a scope gives may be done somewhere.
    pub fn allows(&self, place: Place, action: Action) -> bool {
        match place {
            Place::Organization => self.is_whole() || permits(Grant::Member, action),
            // In part: as somebody may who is in the department.
            Place::Pool(pool, own) => {
                let part = own && permits(Grant::DepartmentMember, action);
                self.has_pool(pool) && (self.departments.is_none() || part)
            }
            Place::Department(department) => match (&self.departments, &self.pools) {
                (Some(own), _) => own.contains(&department),
                // To name departments in its pools it has to know which there are; no more than that.
                (None, Some(_)) => permits(Grant::AnyPoolAdministrator, action),
                (None, None) => true,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id;

    fn pool(n: u128) -> PoolId {
        PoolId::from_u128(n)
    }

    fn department(n: u128) -> DepartmentId {
        DepartmentId::from_u128(n)
    }

    #[test]
    fn scopes_as_text() {
        let all = Scopes(Scope::ALL.iter().copied().collect());
        assert_eq!(Scopes::parse(&all.text()), Some(all));
        assert_eq!(
            Scopes::parse("balances:read,charges:write").unwrap().text(),
            "charges:write,balances:read"
        );
        for bad in ["", "charges:write,", "charges:write, balances:read", "everything"] {
            assert_eq!(Scopes::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_scope_gives_what_its_column_says() {
        let scopes = Scopes::parse("charges:write,audit:read").unwrap();
        for action in Action::ALL {
            let expected =
                permits(Grant::ScopeChargesWrite, *action) || permits(Grant::ScopeAuditRead, *action);
            assert_eq!(scopes.permit(*action), expected, "{action:?}");
        }
        assert!(!Scopes::default().permit(Action::ReadOrganization));
    }

    #[test]
    fn restrictions_are_kept() {
        let (mine, other) = (Place::Pool(pool(1), false), Place::Pool(pool(2), false));
        let whole = Reach::default();
        for place in [Place::Organization, mine, other, Place::Department(department(1))] {
            assert!(whole.allows(place, Action::ChargeDepartment));
        }
        let in_pool = Reach { pools: Some([pool(1)].into()), departments: None };
        assert!(in_pool.allows(mine, Action::ChargeUnallocated) && in_pool.allows(mine, Action::ReadLedger));
        assert!(!in_pool.allows(other, Action::ReadPool));
        assert!(!in_pool.allows(Place::Pool(pool(2), true), Action::ReadPool));
        assert!(in_pool.allows(Place::Organization, Action::ReadOrganization));
        assert!(!in_pool.allows(Place::Organization, Action::ReadLedger));
        assert!(in_pool.allows(Place::Department(department(1)), Action::ReadDepartment));
        assert!(!in_pool.allows(Place::Department(department(1)), Action::ReadDepartmentCharges));
        let in_department = Reach { pools: None, departments: Some([department(1)].into()) };
        assert!(in_department.allows(Place::Department(department(1)), Action::ChargeDepartment));
        assert!(!in_department.allows(Place::Department(department(2)), Action::ReadDepartment));
        let with_credits = Place::Pool(pool(1), true);
        assert!(
            in_department.allows(with_credits, Action::ReadPool)
                && !in_department.allows(mine, Action::ReadPool)
        );
        for action in
            [Action::ChargeUnallocated, Action::ReadLedger, Action::AllocateCredits, Action::ManagePurchases]
        {
            assert!(!in_department.allows(with_credits, action), "{action:?}");
        }
        let both = Reach { pools: Some([pool(1)].into()), departments: Some([department(1)].into()) };
        assert!(both.allows(with_credits, Action::ReadPool));
        assert!(!both.allows(Place::Pool(pool(2), true), Action::ReadPool) && !both.has_pool(pool(2)));
        let nothing = Reach { pools: Some(BTreeSet::new()), departments: None };
        assert!(!nothing.allows(mine, Action::ReadPool) && !nothing.is_whole());
    }
}
