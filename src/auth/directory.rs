//! What is remembered of pools and members because it cannot change, or says since when it may have.

use std::sync::Arc;

use bursar_domain::id::{ChargeId, DepartmentId, HoldId, MembershipId, OrganizationId, PoolId, UserId};
use quick_cache::sync::Cache;

/// How many facts of each kind are remembered.
const CAPACITY: usize = 100_000;

/// Facts that charging needs: to which organization a pool belongs and which departments have an account
/// there, which never changes back; and whose a membership is, with the revision at which that was so.
#[derive(Clone)]
pub struct PoolDirectory(Arc<Facts>);

struct Facts {
    organizations: Cache<PoolId, OrganizationId>,
    accounts: Cache<(PoolId, DepartmentId), ()>,
    members: Cache<(OrganizationId, MembershipId), (UserId, i64)>,
    holds: Cache<HoldId, UsePlace>,
    charges: Cache<ChargeId, UsePlace>,
}

/// Whose credits a hold or a charge uses. That never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsePlace {
    /// The organization.
    pub organization: OrganizationId,
    /// The pool.
    pub pool: PoolId,
    /// The department; none: the credits that no department has.
    pub department: Option<DepartmentId>,
}

impl Default for PoolDirectory {
    fn default() -> PoolDirectory {
        PoolDirectory(Arc::new(Facts {
            organizations: Cache::new(CAPACITY),
            accounts: Cache::new(CAPACITY),
            members: Cache::new(CAPACITY),
            holds: Cache::new(CAPACITY),
            charges: Cache::new(CAPACITY),
        }))
    }
}

impl PoolDirectory {
    /// The organization of a pool, when it is known.
    pub fn organization(&self, pool: PoolId) -> Option<OrganizationId> {
        self.0.organizations.get(&pool)
    }

    pub(super) fn remember(&self, pool: PoolId, organization: OrganizationId) {
        self.0.organizations.insert(pool, organization);
    }

    /// Whether a department is known to have an account in a pool.
    pub(super) fn has_account(&self, pool: PoolId, department: DepartmentId) -> bool {
        self.0.accounts.get(&(pool, department)).is_some()
    }

    pub(super) fn remember_account(&self, pool: PoolId, department: DepartmentId) {
        self.0.accounts.insert((pool, department), ());
    }

    /// The person of a membership, and the revision of the organization at which that was so.
    pub fn member(&self, organization: OrganizationId, member: MembershipId) -> Option<(UserId, i64)> {
        self.0.members.get(&(organization, member))
    }

    /// Whose credits a hold uses, when it is known.
    pub(super) fn hold(&self, hold: HoldId) -> Option<UsePlace> {
        self.0.holds.get(&hold)
    }

    /// Remembers whose credits a hold uses that is committed.
    pub fn remember_hold(&self, hold: HoldId, place: UsePlace) {
        self.0.holds.insert(hold, place);
    }

    /// Whose credits a charge uses, when it is known.
    pub(super) fn charge(&self, charge: ChargeId) -> Option<UsePlace> {
        self.0.charges.get(&charge)
    }

    /// Remembers whose credits a charge uses that is committed.
    pub fn remember_charge(&self, charge: ChargeId, place: UsePlace) {
        self.0.charges.insert(charge, place);
    }

    /// Forgets a membership that may no longer be as it was.
    pub fn forget_member(&self, organization: OrganizationId, member: MembershipId) {
        self.0.members.remove(&(organization, member));
    }

    /// Remembers the person of a membership as of a revision of the organization.
    pub fn remember_member(
        &self,
        (organization, member): (OrganizationId, MembershipId),
        person: UserId,
        revision: i64,
    ) {
        self.0.members.insert((organization, member), (person, revision));
    }
}
