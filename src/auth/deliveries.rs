//! Looking deliveries up: they belong to an organization as a whole.

use bursar_domain::id::DeliveryId;
use bursar_domain::permission::{Action, Grant, permits};
use bursar_entity::delivery;
use sea_orm::ColumnTrait;

use super::{Authorized, Caller};
use crate::db::Snapshots;
use crate::error::{Error, Result};

impl Caller {
    /// Whether the caller may see the deliveries of all organizations, and the vendor's own.
    pub fn may_read_all_deliveries(&self) -> Result<()> {
        let allowed = self.is_staff() && permits(Grant::Operator, Action::ReadDeliveries);
        if allowed { Ok(()) } else { Err(Error::Forbidden) }
    }

    /// A delivery, for an action on it.
    pub async fn delivery(
        &self,
        snapshots: &Snapshots,
        id: DeliveryId,
        action: Action,
    ) -> Result<Authorized<delivery::Model>> {
        let row = self.find_row::<delivery::Entity>(snapshots, None, delivery::Column::Id.eq(id)).await?;
        let row = row.ok_or(Error::not_found("delivery"))?;
        let organization = row.organization_id;
        if self.may_in_organization(organization, action) {
            return Ok(self.authorized(organization, row));
        }
        let seen = self.may_in_organization(organization, Action::ReadDeliveries);
        Err(if seen { Error::Forbidden } else { Error::not_found("delivery") })
    }
}
