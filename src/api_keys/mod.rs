//! API keys: making, rotating and revoking them, for organizations and for the vendor.
//!
//! Each change locks the organization (keys of the vendor's have none to lock), then the key, checks what must hold
//! with the locks, writes, and records itself in the audit log. The database raises the revisions that permissions
//! are compared at, so a change counts from the next command on, and streams end within seconds.
//!
//! A key is shown in the answer that it is made by and never again: what is kept is its digest.

mod create;
mod revoke;
mod rotate;
mod sandbox;

pub use create::{NewApiKey, create};
pub use revoke::{revoke, revoke_made_by};
pub use rotate::{MAX_OVERLAP, Rotation, USUAL_OVERLAP, rotate};
pub use sandbox::{SANDBOX_CREDITS, sandbox_of};

use bursar_domain::Timestamp;
use bursar_domain::id::{ApiKeyId, DepartmentId, Id, OrganizationId, PoolId};
use bursar_domain::ledger::Refusal;
use bursar_domain::organization::OrganizationState;
use bursar_domain::scope::Scopes;
use bursar_entity::api_key;
use sea_orm::{ColumnTrait, Condition, PaginatorTrait, QueryFilter, QuerySelect};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::auth::{Caller, decode_ids};
use crate::db::{Tenant, Txn};
use crate::error::{Conflict, Error, Result};
use crate::global_id;
use crate::organizations::{as_of_now, lock_organization};

/// How many keys that are good an organization may have: what is looked through when one is made, and more than
/// anybody keeps in order.
const MOST_KEYS: u64 = 200;

/// A key that has just been made.
#[derive(Clone, Debug)]
pub struct Issued {
    /// What is kept of it.
    pub row: api_key::Model,
    /// The key itself, which nobody sees again.
    pub secret: SecretString,
}

/// Locks what keys hang on, and answers the caller with the role that they have then. With `active` an
/// organization that may only read is refused.
async fn lock(txn: &Txn, tenant: Tenant, caller: Caller, active: bool) -> Result<Caller> {
    if tenant.is_vendor() {
        return Ok(caller);
    }
    let organization = lock_organization(txn, tenant).await?;
    if active && organization.state == OrganizationState::Suspended {
        return Err(Error::Refused(Refusal::OrganizationSuspended));
    }
    as_of_now(txn, tenant, caller).await
}

/// Locks a key.
async fn lock_key(txn: &Txn, tenant: Tenant, id: ApiKeyId) -> Result<api_key::Model> {
    let row = tenant.find::<api_key::Entity>().filter(api_key::Column::Id.eq(id));
    row.lock_exclusive().one(txn).await?.ok_or(Error::not_found("key").at("keyId"))
}

/// Nobody gives a key more than they may do themselves.
fn may_give(caller: &Caller, organization: OrganizationId, scopes: &Scopes) -> Result<()> {
    let given = scopes.0.iter().all(|scope| caller.may_give(organization, *scope));
    if given { Ok(()) } else { Err(Error::Forbidden) }
}

/// Refuses one more key when there are too many that are good.
async fn has_room(txn: &Txn, tenant: Tenant, now: Timestamp) -> Result<()> {
    use api_key::Column;
    let good = Condition::any().add(Column::ExpiresAt.is_null()).add(Column::ExpiresAt.gt(now));
    let good = tenant.find::<api_key::Entity>().filter(Column::RevokedAt.is_null()).filter(good);
    if good.count(txn).await? < MOST_KEYS {
        return Ok(());
    }
    let reason = format!("There are {MOST_KEYS} keys already; revoke those that nobody uses.");
    Err(Error::conflict(Conflict::State, None, reason))
}

/// What the audit log says of a key.
fn facts(row: &api_key::Model) -> Result<Value> {
    fn encoded<I: Id>(json: Option<&str>) -> Result<Option<Vec<String>>> {
        Ok(decode_ids::<I>(json)?.map(|ids| ids.into_iter().map(global_id::encode).collect()))
    }
    Ok(json!({
        "name": row.name,
        "mode": row.mode.as_str(),
        "scopes": row.scopes.text(),
        "pools": encoded::<PoolId>(row.pools.as_deref())?,
        "departments": encoded::<DepartmentId>(row.departments.as_deref())?,
        "expiresAt": row.expires_at.map(Timestamp::micros),
        "replaces": row.replaces.map(global_id::encode),
    }))
}
