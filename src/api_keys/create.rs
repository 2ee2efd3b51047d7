//! Making a key.

use bursar_domain::Timestamp;
use bursar_domain::api_key::KeyMode;
use bursar_domain::id::{DepartmentId, PoolId};
use bursar_domain::scope::Scopes;
use bursar_entity::{api_key, department, pool};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter};

use super::{Issued, facts, has_room, lock, may_give, sandbox_of};
use crate::audit::{self, Change};
use crate::auth::{Authorized, Caller, NewKey, encode_ids};
use crate::db::{self, Tenant, Txn};
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::text;

/// How many pools or departments a key is restricted to at most.
const MOST_PLACES: usize = 100;

/// What a new key is to be.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// What to call it.
    pub name: String,
    /// Whose credits it is to work with.
    pub mode: KeyMode,
    /// What it is to do.
    pub scopes: Scopes,
    /// The pools that it is restricted to; none: all.
    pub pools: Option<Vec<PoolId>>,
    /// The departments that it is restricted to; none: all.
    pub departments: Option<Vec<DepartmentId>>,
    /// From when on it is no longer good; none: it does not expire.
    pub expires_at: Option<Timestamp>,
}

/// Makes a key of an organization's, or of the vendor's. For a test key the organization gets its sandbox, when it
/// has none yet.
///
/// # Errors
/// [`Error::Forbidden`] when a scope allows what the caller may not do; [`Error::NotFound`] at `poolIds` or
/// `departmentIds` for what is not the organization's.
pub async fn create<T>(
    ledger: &Ledger,
    caller: &Caller,
    owner: &Authorized<T>,
    new: NewApiKey,
) -> Result<Issued> {
    let (context, tenant) = (ledger.context(), owner.tenant());
    let new = checked(new, tenant, context.clock.now())?;
    may_give(caller, tenant.id(), &new.scopes)?;
    let created_by = caller.person().map(|person| person.id).ok_or(Error::Forbidden)?;
    let NewKey { secret, hash, hint } = NewKey::generate(new.mode)?;
    let (clock, actor, caller) = (context.clock.clone(), owner.actor().clone(), caller.clone());
    let row = api_key::Model {
        organization_id: tenant.id(),
        id: clock.new_id(),
        name: new.name,
        hash,
        hint,
        mode: new.mode,
        scopes: new.scopes,
        pools: new.pools.as_deref().map(encode_ids),
        departments: new.departments.as_deref().map(encode_ids),
        created_by,
        created_at: clock.now(),
        expires_at: new.expires_at,
        last_used_at: None,
        revoked_at: None,
        replaces: None,
    };
    let places = (new.pools, new.departments);
    let work = db::work(move |txn| {
        let (clock, actor, caller) = (clock.clone(), actor.clone(), caller.clone());
        let (row, places) = (row.clone(), places.clone());
        Box::pin(async move {
            let caller = lock(txn, tenant, caller, true).await?;
            may_give(&caller, tenant.id(), &row.scopes)?;
            has_room(txn, tenant, clock.now()).await?;
            are_there(txn, tenant, places).await?;
            api_key::Entity::insert(row.clone().into_active_model()).exec_without_returning(txn).await?;
            let change = Change::created("createApiKey", row.id, facts(&row)?);
            audit::record(txn, tenant, &clock, &actor, change).await?;
            Ok(row)
        })
    });
    if new.mode == KeyMode::Test {
        sandbox_of(ledger, tenant, owner.actor()).await?;
    }
    let row = context.db.write(tenant, work).await?;
    Ok(Issued { row, secret })
}

/// Checks what can be checked without looking anything up.
fn checked(new: NewApiKey, tenant: Tenant, now: Timestamp) -> Result<NewApiKey> {
    let name = text::name("name", &new.name)?;
    if new.scopes.0.is_empty() {
        return Err(Error::invalid("scopes", "must name at least one"));
    }
    if new.expires_at.is_some_and(|at| at <= now) {
        return Err(Error::invalid("expiresAt", "must be in the future"));
    }
    if tenant.is_vendor() && new.mode == KeyMode::Test {
        return Err(Error::invalid("mode", "must be LIVE: only organizations have sandboxes"));
    }
    let pools = new.pools.as_ref().map(Vec::len);
    let departments = new.departments.as_ref().map(Vec::len);
    for (count, field) in [(pools, "poolIds"), (departments, "departmentIds")] {
        let Some(count) = count else { continue };
        if !(1..=MOST_PLACES).contains(&count) {
            return Err(Error::invalid(field, format!("must name 1 to {MOST_PLACES}, or be left out")));
        }
        if tenant.is_vendor() || new.mode == KeyMode::Test {
            let reason = "must be left out: only live keys of organizations can be restricted";
            return Err(Error::invalid(field, reason));
        }
        if let Some(scope) = new.scopes.0.iter().find(|scope| scope.is_about_the_whole()) {
            let reason = format!("{scope} is about the whole organization, and not for a restricted key");
            return Err(Error::invalid("scopes", reason));
        }
    }
    Ok(NewApiKey { name, ..new })
}

/// Whether the pools and departments that a key is restricted to are the organization's.
async fn are_there(
    txn: &Txn,
    tenant: Tenant,
    (pools, departments): (Option<Vec<PoolId>>, Option<Vec<DepartmentId>>),
) -> Result<()> {
    fn each_once<I: Ord>(ids: Option<Vec<I>>) -> Vec<I> {
        let mut ids = ids.unwrap_or_default();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
    let (pools, departments) = (each_once(pools), each_once(departments));
    let wanted = (count(pools.len()), count(departments.len()));
    let found = tenant.find::<pool::Entity>().filter(pool::Column::Id.is_in(pools));
    if found.count(txn).await? != wanted.0 {
        return Err(Error::not_found("pool").at("poolIds"));
    }
    let found = tenant.find::<department::Entity>().filter(department::Column::Id.is_in(departments));
    if found.count(txn).await? != wanted.1 {
        return Err(Error::not_found("department").at("departmentIds"));
    }
    Ok(())
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
