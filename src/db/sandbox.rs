//! What sandboxes share with their organizations: the prices. Nothing is copied; row-level security lets a sandbox read its
//! organization's rows of them, and the database raises its revision with each new one.

use bursar_entity::organization;

use super::{Tenant, Txn};
use crate::error::Result;

/// Whose prices an organization has: a sandbox its organization's, any other its own.
///
/// # Errors
/// What the database answers.
pub async fn priced_as(txn: &Txn, tenant: Tenant) -> Result<Tenant> {
    let row = tenant.find::<organization::Entity>().one(txn).await?;
    // The sandbox is of the organization that its row names: whoever may act in it sees that one's prices.
    Ok(row.and_then(|row| row.sandbox_of).map_or(tenant, Tenant::vouched))
}
