//! API keys: what is kept of them.

use async_graphql::{Context, Enum, ID, Object};
use bursar_domain::api_key::KeyMode;
use bursar_domain::id::{ApiKeyId, DepartmentId, PoolId};
use bursar_domain::permission::Action;
use bursar_domain::scope::Scope;
use bursar_entity::{api_key, department, pool};
use sea_orm::{ColumnTrait, Order, QueryFilter, QueryOrder};

use super::connection::{NodeConnection, PageArgs, connection};
use super::department::Department;
use super::errors::ApiError;
use super::member::{User, person};
use super::node::{decode, found};
use super::organization::Organization;
use super::pool::Pool;
use super::scalars::DateTime;
use super::{Request, signed_in};
use crate::auth::{KeyIdentity, decode_ids};
use crate::db::Tenant;
use crate::error::Error;
use crate::global_id;

/// Whose credits a key works with.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "KeyMode")]
pub enum ApiKeyMode {
    /// The organization's own.
    Live,
    /// Those of its sandbox, which cost nothing and buy nothing.
    Test,
}

/// A part of the API that a key may use. What each allows is in the table of permissions.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Scope")]
pub enum ApiKeyScope {
    /// `charges:write`: charge credits, hold, capture and let go, refund under the services' guarantees; see the
    /// pools and departments that this takes.
    ChargesWrite,
    /// `balances:read`: see pools and what they have.
    BalancesRead,
    /// `reports:read`: see what departments have and use, and purchases.
    ReportsRead,
    /// `purchases:write`: ask for purchases, start their checkouts, withdraw them.
    PurchasesWrite,
    /// `ledger:read`: see all movements and lots.
    LedgerRead,
    /// `allocations:write`: move credits between unallocated and departments.
    AllocationsWrite,
    /// `members:read`: see who belongs to the organization. Without it a key is told of no person.
    MembersRead,
    /// `audit:read`: see the audit log.
    AuditRead,
}

/// A key of the API.
pub struct ApiKey(pub api_key::Model);

impl ApiKey {
    /// The key with a global id, when the caller may see which keys there are, or is that key.
    pub async fn find(request: &Request, id: &str) -> Result<ApiKey, Error> {
        let (caller, id) = (request.caller()?, decode::<ApiKeyId>(id, "key")?);
        if let Some(key) = caller.key().filter(|key| key.id == id) {
            return ApiKey::of_caller(request, key).await?.ok_or(Error::not_found("key"));
        }
        let found = caller.api_key(&request.snapshots, id, Action::ReadApiKeys).await?;
        Ok(ApiKey(found.into_value()))
    }

    /// The key that calls.
    pub async fn of_caller(request: &Request, key: &KeyIdentity) -> Result<Option<ApiKey>, Error> {
        let snapshot = request.snapshots.open(key.home).await?;
        let row = key.home.find::<api_key::Entity>().filter(api_key::Column::Id.eq(key.id));
        Ok(row.one(&*snapshot).await?.map(ApiKey))
    }

    fn tenant(&self) -> Tenant {
        // Only keys that the caller may see become objects.
        Tenant::vouched(self.0.organization_id)
    }
}

/// The keys of an organization or of the vendor, oldest first, for those who may see them.
pub async fn of_tenant(
    ctx: &Context<'_>,
    tenant: Tenant,
    args: PageArgs,
) -> Result<NodeConnection<ApiKey>, ApiError> {
    let snapshot = signed_in(ctx)?.snapshots.open(tenant).await?;
    let select = tenant.find::<api_key::Entity>();
    let order = (api_key::Column::Id, Order::Asc);
    connection(ctx, &snapshot, select, order, args, |row| row.id, ApiKey).await
}

/// A key of the API. The key itself is shown once, when it is made, and kept nowhere.
#[Object]
impl ApiKey {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode(self.0.id))
    }

    /// The organization that it belongs to. Null for a key of the vendor's, which acts in the organization of
    /// whatever it names.
    async fn organization(&self, ctx: &Context<'_>) -> Option<Result<Organization, ApiError>> {
        let find = Box::pin(async {
            if self.tenant().is_vendor() {
                return Ok(None);
            }
            let id = global_id::encode(self.0.organization_id);
            found(Organization::find(signed_in(ctx)?, &id).await)
        });
        find.await.transpose()
    }

    /// What it is called.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The last characters of the key, to tell it from others.
    async fn hint(&self) -> &str {
        &self.0.hint
    }

    /// Whose credits it works with.
    async fn mode(&self) -> ApiKeyMode {
        self.0.mode.into()
    }

    /// What it may do.
    async fn scopes(&self) -> Vec<ApiKeyScope> {
        self.0.scopes.0.iter().copied().map(ApiKeyScope::from).collect()
    }

    /// The pools that it is restricted to, as far as the caller sees them. Null: all.
    async fn pools(&self, ctx: &Context<'_>) -> Option<Result<Vec<Pool>, ApiError>> {
        let list = Box::pin(async {
            let Some(ids) = decode_ids::<PoolId>(self.0.pools.as_deref())? else { return Ok(None) };
            let (request, tenant) = (signed_in(ctx)?, self.tenant());
            let caller = request.caller()?;
            let snapshot = request.snapshots.open(tenant).await?;
            let rows = tenant.find::<pool::Entity>().filter(pool::Column::Id.is_in(ids));
            let rows = rows.order_by_asc(pool::Column::Id).all(&*snapshot).await.map_err(Error::from)?;
            let seen = |row: &pool::Model| {
                caller.may_in_pool(tenant.id(), row.id, std::iter::empty(), Action::ReadPool)
            };
            Ok(Some(rows.into_iter().filter(seen).map(Pool).collect()))
        });
        list.await.transpose()
    }

    /// The departments that it is restricted to, as far as the caller sees them. Null: all, and the credits that
    /// no department has.
    async fn departments(&self, ctx: &Context<'_>) -> Option<Result<Vec<Department>, ApiError>> {
        let list = Box::pin(async {
            let ids = decode_ids::<DepartmentId>(self.0.departments.as_deref())?;
            let Some(ids) = ids else { return Ok(None) };
            let (request, tenant) = (signed_in(ctx)?, self.tenant());
            let caller = request.caller()?;
            let snapshot = request.snapshots.open(tenant).await?;
            let rows = tenant.find::<department::Entity>().filter(department::Column::Id.is_in(ids));
            let rows = rows.order_by_asc(department::Column::Id).all(&*snapshot).await;
            let rows = rows.map_err(Error::from)?;
            let seen = |row: &department::Model| {
                caller.may_in_department(tenant.id(), row.id, Action::ReadDepartment)
            };
            Ok(Some(rows.into_iter().filter(seen).map(Department).collect()))
        });
        list.await.transpose()
    }

    /// Who has made it, as long as they belong to the organization.
    async fn created_by(&self, ctx: &Context<'_>) -> Option<Result<User, ApiError>> {
        let load =
            Box::pin(async { person(signed_in(ctx)?, self.0.organization_id, self.0.created_by).await });
        load.await.transpose()
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// From when on it is no longer good. Null: it does not expire.
    async fn expires_at(&self) -> Option<DateTime> {
        self.0.expires_at.map(DateTime)
    }

    /// When it was used last, to the minute. Null: it has not been used.
    async fn last_used_at(&self) -> Option<DateTime> {
        self.0.last_used_at.map(DateTime)
    }

    /// Since when it has been revoked.
    async fn revoked_at(&self) -> Option<DateTime> {
        self.0.revoked_at.map(DateTime)
    }

    /// The key that it took the place of. Null: none, or one that the caller may not see.
    async fn replaces(&self, ctx: &Context<'_>) -> Option<Result<ApiKey, ApiError>> {
        let find = Box::pin(async {
            let Some(key) = self.0.replaces else { return Ok(None) };
            found(ApiKey::find(signed_in(ctx)?, &global_id::encode(key)).await)
        });
        find.await.transpose()
    }
}

/// The part of the root that finds the vendor's own keys.
#[derive(Default)]
pub struct ApiKeyQuery;

#[Object]
impl ApiKeyQuery {
    /// The vendor's own API keys, oldest first. For the vendor's staff.
    async fn operator_api_keys(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<ApiKey>, ApiError>> {
        let list = Box::pin(async {
            let vendor = signed_in(ctx)?.caller()?.vendor(Action::ReadApiKeys)?;
            of_tenant(ctx, vendor.tenant(), PageArgs { first, after, last, before }).await
        });
        Some(list.await)
    }
}
