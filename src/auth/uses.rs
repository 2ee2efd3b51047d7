//! Looking uses of credits up: holds and charges, which are known by their ids alone.
//!
//! Whose credits they use never changes, so what has been looked up once (or has been made here) is remembered.
//!
//! Grants on the pool count, and those on the department whose credits are used, but not those on other
//! departments of the pool.

use bursar_domain::id::{ChargeId, HoldId};
use bursar_domain::permission::Action;
use bursar_entity::{charge, hold};
use sea_orm::ColumnTrait;

use super::{Authorized, Caller, PoolDirectory, UsePlace};
use crate::db::Snapshots;
use crate::error::{Error, Result};

impl Caller {
    /// A hold, to charge what it holds or to let it go: whoever may charge those credits may.
    pub async fn hold(
        &self,
        snapshots: &Snapshots,
        directory: &PoolDirectory,
        id: HoldId,
    ) -> Result<Authorized<UsePlace>> {
        let place = match directory.hold(id) {
            Some(place) => place,
            None => {
                let row = self.find_row::<hold::Entity>(snapshots, None, hold::Column::Id.eq(id)).await?;
                let row = row.ok_or(Error::not_found("hold"))?;
                let (organization, pool, department) = (row.organization_id, row.pool_id, row.department_id);
                let place = UsePlace { organization, pool, department };
                directory.remember_hold(id, place);
                place
            }
        };
        let action = match place.department {
            Some(_) => Action::ChargeDepartment,
            None => Action::ChargeUnallocated,
        };
        self.check_use(place, &[action], "hold")?;
        Ok(self.authorized(place.organization, place))
    }

    /// A charge, for one of some actions on it.
    pub async fn charge(
        &self,
        snapshots: &Snapshots,
        directory: &PoolDirectory,
        id: ChargeId,
        actions: &[Action],
    ) -> Result<Authorized<UsePlace>> {
        let place = match directory.charge(id) {
            Some(place) => place,
            None => {
                let row = self.find_row::<charge::Entity>(snapshots, None, charge::Column::Id.eq(id)).await?;
                let row = row.ok_or(Error::not_found("charge"))?;
                let (organization, pool, department) = (row.organization_id, row.pool_id, row.department_id);
                let place = UsePlace { organization, pool, department };
                directory.remember_charge(id, place);
                place
            }
        };
        self.check_use(place, actions, "charge")?;
        Ok(self.authorized(place.organization, place))
    }

    /// Answers "not found" to those who may not even see a use, "forbidden" to those who may do none of the
    /// actions with it.
    fn check_use(
        &self,
        UsePlace { organization, pool, department }: UsePlace,
        actions: &[Action],
        what: &'static str,
    ) -> Result<()> {
        let own =
            |action| department.is_some_and(|id| self.may_by_department(organization, pool, id, action));
        let by_pool = |action| self.may_in_pool(organization, pool, std::iter::empty(), action);
        let may = |action: &Action| own(*action) || by_pool(*action);
        if actions.iter().any(may) {
            return Ok(());
        }
        let seen = self.may_read_use(organization, pool, department);
        Err(if seen { Error::Forbidden } else { Error::not_found(what) })
    }
}
