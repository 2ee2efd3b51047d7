//! Who has left an organization. No identity provider makes them a member again; whoever brings them back, by adding
//! or inviting them, undoes that.
//!
//! The organization's row is locked whenever a departure is written, as for every change of its people. What is kept
//! says ids only, so it stays when a person is forgotten.

use bursar_domain::Timestamp;
use bursar_domain::id::UserId;
use bursar_entity::departure;
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};

use crate::db::{Tenant, Txn};
use crate::error::Result;

/// Remembers that a person has left.
pub(super) async fn remember(txn: &Txn, tenant: Tenant, user: UserId, now: Timestamp) -> Result<()> {
    let row = departure::Model { organization_id: tenant.id(), user_id: user, left_at: now };
    departure::Entity::insert(row.into_active_model())
        .on_conflict_do_nothing_on([departure::Column::OrganizationId, departure::Column::UserId])
        .exec_without_returning(txn)
        .await?;
    Ok(())
}

/// Forgets it: somebody of the organization has made the person a member again.
pub(super) async fn undo(txn: &Txn, tenant: Tenant, user: UserId) -> Result<()> {
    departure::Entity::delete_by_id((tenant.id(), user)).exec(txn).await?;
    Ok(())
}

/// Whether a person has left, and nobody has brought them back.
pub(super) async fn has_left(txn: &Txn, tenant: Tenant, user: UserId) -> Result<bool> {
    let row = tenant.find::<departure::Entity>().filter(departure::Column::UserId.eq(user));
    Ok(row.one(txn).await?.is_some())
}
