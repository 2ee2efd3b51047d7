//! What of an organization a caller sees, and may do with it as a whole.

use bursar_domain::id::PoolId;
use bursar_domain::permission::Action;
use bursar_entity::{account, department, pool, purchase};
use sea_orm::{ColumnTrait, Condition, QueryFilter, QuerySelect};

use super::Request;
use super::organization::Organization;
use crate::auth::SeenUses;
use crate::db::{Snapshot, Tenant};
use crate::error::Error;

impl Organization {
    /// Its scope.
    pub(super) fn tenant(&self) -> Tenant {
        // Only organizations that the caller may see become objects.
        Tenant::vouched(self.0.id)
    }

    /// Which charges and holds the caller sees in lists.
    pub(super) fn seen_uses(&self, request: &Request) -> Result<SeenUses, Error> {
        request.caller()?.seen_uses(self.0.id).ok_or(Error::Forbidden)
    }

    /// Which departments the caller sees: all, or those of its own.
    pub(super) fn seen_departments(&self, request: &Request) -> Result<Condition, Error> {
        let caller = request.caller()?;
        if caller.may_read_departments(self.0.id) {
            return Ok(Condition::all());
        }
        let own = caller.own_departments(self.0.id, Action::ReadDepartment);
        Ok(Condition::all().add(department::Column::Id.is_in(own)))
    }

    /// Which purchases the caller sees: all, or those for its own pools.
    pub(super) fn seen_purchases(&self, request: &Request) -> Result<Condition, Error> {
        if self.allows(request, Action::ReadPurchases)? {
            return Ok(Condition::all());
        }
        let caller = request.caller()?;
        let pools: Vec<_> = caller.own_pools(self.0.id, Action::ReadPurchases).collect();
        match pools.is_empty() {
            true => Err(Error::Forbidden),
            false => Ok(Condition::all().add(purchase::Column::PoolId.is_in(pools))),
        }
    }

    pub(super) fn allows(&self, request: &Request, action: Action) -> Result<bool, Error> {
        Ok(request.caller()?.may_in_organization(self.0.id, action))
    }

    pub(super) fn require(&self, request: &Request, action: Action) -> Result<(), Error> {
        if self.allows(request, action)? { Ok(()) } else { Err(Error::Forbidden) }
    }

    /// The pools that the caller may see: all, or those that the caller administers and those where a
    /// department of the caller's has credits.
    pub(super) async fn visible_pools(
        &self,
        request: &Request,
        snapshot: &Snapshot,
    ) -> Result<Condition, Error> {
        if self.allows(request, Action::ReadPool)? {
            return Ok(Condition::all());
        }
        let caller = request.caller()?;
        let departments = caller.own_departments(self.0.id, Action::ReadPool);
        let with_credits: Vec<PoolId> = self
            .tenant()
            .find::<account::Entity>()
            .select_only()
            .column(account::Column::PoolId)
            .filter(account::Column::DepartmentId.is_in(departments))
            .into_tuple()
            .all(&**snapshot)
            .await?;
        let with_credits = with_credits.into_iter().filter(|pool| caller.reaches_pool(*pool));
        let seen: Vec<_> = caller.own_pools(self.0.id, Action::ReadPool).chain(with_credits).collect();
        Ok(Condition::all().add(pool::Column::Id.is_in(seen)))
    }
}
