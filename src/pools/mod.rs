//! Pools: what people set of them, who administers them, their spending caps, who asks them for credits, and
//! how credits move between them and departments.
//!
//! The books of a pool are the ledger's. Settings that the ledger's decisions read are changed with
//! the pool's head locked and its revision raised.

mod administrators;
mod allocate;
mod caps;
mod corrections;
mod credit_requests;
mod entry;
mod extensions;
mod freeze;
mod grants;
mod imports;
mod moves;
mod raises;
mod refills;
mod settings;

pub use administrators::{add_administrator, remove_administrator};
pub use allocate::{Allocation, Direction, allocate};
pub use caps::{NewCap, NewCapScope, create_cap, remove_cap, update_cap};
pub use corrections::{Correction, correct};
pub use credit_requests::{
    NewCreditRequest, lock_credit_request, request_credits, still_open, withdraw_credit_request,
    write_credit_request,
};
pub use entry::{Misfit, book_due};
pub use extensions::{Extension, extend};
pub use freeze::{freeze, thaw};
pub use grants::{Grant, NewCredits, PAID_PRIORITY, PROMOTIONAL_PRIORITY, grant, grant_in};
pub use imports::{Import, ImportItem, MAX_ITEMS, import};
pub use moves::{Move, transfer};
pub use raises::{NewRaise, RaiseFields, raise_cap, raise_in};
pub use refills::{AllocationPatch, NewRefill, set_refill};
pub use settings::{NewPool, PoolPatch, archive, create, create_in, update};

use bursar_domain::id::{Id, PoolId, ServiceId};
use bursar_domain::ledger::Refusal;
use bursar_domain::organization::OrganizationState;
use bursar_entity::{organization, pool, pool_head};
use sea_orm::{ColumnTrait, QueryFilter, QuerySelect};
use uuid::Uuid;

use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};

/// Locks a pool's head, and with it all that the ledger's decisions read of the pool.
async fn lock(txn: &Txn, tenant: Tenant, id: PoolId) -> Result<(pool::Model, pool_head::Model)> {
    let head = tenant.find::<pool_head::Entity>().filter(pool_head::Column::PoolId.eq(id));
    let head = head.lock_exclusive().one(txn).await?;
    let row = tenant.find::<pool::Entity>().filter(pool::Column::Id.eq(id)).one(txn).await?;
    row.zip(head).ok_or(Error::not_found("pool").at("poolId"))
}

/// Refuses what an organization may not do that may only read.
async fn active(txn: &Txn, tenant: Tenant) -> Result<()> {
    let row = tenant.find::<organization::Entity>().one(txn).await?;
    match row.ok_or(Error::not_found("organization"))?.state {
        OrganizationState::Active => Ok(()),
        OrganizationState::Suspended => Err(Error::Refused(Refusal::OrganizationSuspended)),
    }
}

/// The services that a pool pays for; none: all.
pub fn allowed_services(row: &pool::Model) -> Result<Option<Vec<ServiceId>>> {
    let Some(json) = &row.allowed_services else { return Ok(None) };
    let ids: Vec<Uuid> = serde_json::from_str(json)
        .map_err(|error| Error::internal(format!("the services of a pool cannot be read: {error}")))?;
    Ok(Some(ids.into_iter().map(|id| ServiceId::from_u128(id.as_u128())).collect()))
}
