//! Pools, their lots, and what departments have in them.

use async_graphql::{Context, Enum, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use bursar_domain::id::{AccountId, LotId};
use bursar_domain::ledger::{LotClass as Class, LotSource as Source};
use bursar_domain::permission::Action;
use bursar_domain::{Credits, Money};
use bursar_entity::{account, charge, lot, lot_position, membership, pool, pool_administrator, transfer};
use sea_orm::{ColumnTrait, Order, QueryFilter};

use super::balance::{Balance, BalanceOf};
use super::catalog::Service;
use super::charge::Charge;
use super::connection::{NodeConnection, PageArgs, connection};
use super::department::Department;
use super::errors::{ApiError, UserError, user_error};
use super::loaders::Key;
use super::member::Member;
use super::node::{decode, found};
use super::organization::{self, Organization};
use super::purchase::Purchase;
use super::scalars::{CreditsScalar, DateTime, IdempotencyKey, MoneyObject};
use super::transfer::Transfer;
use super::{Request, request};
use crate::auth::Authorized;
use crate::db::Tenant;
use crate::error::Error;
use crate::ledger::Receipt;
use crate::pools::{self, Allocation as Movement, Direction, NewPool, PoolPatch};
use crate::{catalog, global_id, ledger};

/// A pool of credits.
pub struct Pool(pub pool::Model);

impl Pool {
    /// The pool with a global id, when the caller may see it.
    pub async fn find(request: &Request, id: &str) -> Result<Pool, Error> {
        Ok(Pool(authorized(request, id, Action::ReadPool).await?.into_value()))
    }

    fn tenant(&self) -> Tenant {
        // Only pools that the caller may see become objects.
        Tenant::vouched(self.0.organization_id)
    }

    /// Whether the caller sees all movements and all departments of the pool.
    fn shows_ledger(&self, request: &Request) -> Result<bool, Error> {
        Ok(request.caller()?.may_read_ledger(self.0.organization_id, self.0.id))
    }

    fn require_ledger(&self, request: &Request) -> Result<(), Error> {
        if self.shows_ledger(request)? { Ok(()) } else { Err(Error::Forbidden) }
    }

    /// The departments whose figures the caller sees here; none: all.
    fn own_departments(
        &self,
        request: &Request,
    ) -> Result<Option<Vec<bursar_domain::id::DepartmentId>>, Error> {
        if self.shows_ledger(request)? {
            return Ok(None);
        }
        let member = request.caller()?.memberships.get(&self.0.organization_id);
        Ok(Some(member.map(|member| member.departments.keys().copied().collect()).unwrap_or_default()))
    }
}

/// A pool by its global id, for an action on it.
pub async fn authorized(
    request: &Request,
    id: &str,
    action: Action,
) -> Result<Authorized<pool::Model>, Error> {
    let id = decode(id, "pool")?;
    request.caller()?.pool(&request.snapshots, &request.services.directory, id, action).await
}

/// The pool that a row of the caller's belongs to.
pub async fn pool_of(ctx: &Context<'_>, pool: bursar_domain::id::PoolId) -> Option<Result<Pool, ApiError>> {
    let find = async { found(Pool::find(request(ctx)?, &global_id::encode(pool)).await) };
    find.await.transpose()
}

/// A pool of credits.
#[Object(name = "CreditPool")]
impl Pool {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode(self.0.id))
    }

    /// Its name, unique in the organization.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The organization.
    async fn organization(&self, ctx: &Context<'_>) -> Option<Result<Organization, ApiError>> {
        let find = async {
            let id = global_id::encode(self.0.organization_id);
            found(Organization::find(request(ctx)?, &id).await)
        };
        find.await.transpose()
    }

    /// The services that it pays for. Null: all.
    async fn allowed_services(&self, ctx: &Context<'_>) -> Option<Result<Vec<Service>, ApiError>> {
        let list = async {
            let Some(allowed) = pools::allowed_services(&self.0)? else { return Ok(None) };
            let request = request(ctx)?;
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let services = catalog::services(&snapshot, request.now()).await?;
            let allowed = services.into_iter().filter(|service| allowed.contains(&service.row.id));
            Ok(Some(allowed.map(Service).collect()))
        };
        list.await.transpose()
    }

    /// Since when it is closed to writing.
    async fn frozen_at(&self) -> Option<DateTime> {
        self.0.frozen_at.map(DateTime)
    }

    /// Since when it is no longer used.
    async fn archived_at(&self) -> Option<DateTime> {
        self.0.archived_at.map(DateTime)
    }

    /// When it was created.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// What it has as a whole: unallocated and all departments together.
    async fn balance(&self, ctx: &Context<'_>) -> Result<Balance, ApiError> {
        let request = request(ctx)?;
        let snapshot = request.snapshots.open(self.tenant()).await?;
        let balance = ledger::pool_balance(&snapshot, self.tenant(), self.0.id, request.now()).await?;
        Ok(Balance::new(balance, BalanceOf::Pools(self.0.organization_id, vec![self.0.id])))
    }

    /// Credits that no department has.
    async fn unallocated(&self, ctx: &Context<'_>) -> Result<Balance, ApiError> {
        let request = request(ctx)?;
        let snapshot = request.snapshots.open(self.tenant()).await?;
        let account = self
            .tenant()
            .find::<account::Entity>()
            .filter(account::Column::PoolId.eq(self.0.id))
            .filter(account::Column::DepartmentId.is_null());
        let account = account.one(&*snapshot).await.map_err(Error::from)?;
        let account = account.ok_or_else(|| Error::internal("a pool without an account"))?;
        let balance = ledger::account_balance(&snapshot, self.tenant(), &account, request.now()).await?;
        Ok(Balance::new(balance, BalanceOf::Account(self.0.organization_id, self.0.id, account.id)))
    }

    /// What departments have in it, as far as the caller sees it.
    async fn allocations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<Allocation>, ApiError>> {
        let list = async {
            let request = request(ctx)?;
            let mut select = self
                .tenant()
                .find::<account::Entity>()
                .filter(account::Column::PoolId.eq(self.0.id))
                .filter(account::Column::DepartmentId.is_not_null());
            if let Some(own) = self.own_departments(request)? {
                select = select.filter(account::Column::DepartmentId.is_in(own));
            }
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let order = (account::Column::Id, Order::Asc);
            connection(
                ctx,
                &snapshot,
                select,
                order,
                PageArgs { first, after, last, before },
                |row| row.id,
                Allocation,
            )
            .await
        };
        Some(list.await)
    }

    /// Who administers it.
    async fn administrators(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<Member>, ApiError>> {
        let list = async {
            let request = request(ctx)?;
            self.require_ledger(request)?;
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let grants = self
                .tenant()
                .find::<pool_administrator::Entity>()
                .filter(pool_administrator::Column::PoolId.eq(self.0.id));
            let grants = grants.all(&*snapshot).await.map_err(Error::from)?;
            let people = grants.into_iter().map(|grant| grant.user_id);
            let select =
                self.tenant().find::<membership::Entity>().filter(membership::Column::UserId.is_in(people));
            let order = (membership::Column::Id, Order::Asc);
            connection(
                ctx,
                &snapshot,
                select,
                order,
                PageArgs { first, after, last, before },
                |row| row.id,
                Member,
            )
            .await
        };
        Some(list.await)
    }

    /// The lots that came into it, newest first.
    async fn lots(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<Lot>, ApiError>> {
        let list = async {
            let request = request(ctx)?;
            self.require_ledger(request)?;
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let select = self.tenant().find::<lot::Entity>().filter(lot::Column::PoolId.eq(self.0.id));
            let order = (lot::Column::Id, Order::Desc);
            connection(
                ctx,
                &snapshot,
                select,
                order,
                PageArgs { first, after, last, before },
                |row| row.id,
                Lot,
            )
            .await
        };
        Some(list.await)
    }

    /// Every movement of its credits, newest first.
    async fn transfers(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<Transfer>, ApiError>> {
        let list = async {
            let request = request(ctx)?;
            self.require_ledger(request)?;
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let select =
                self.tenant().find::<transfer::Entity>().filter(transfer::Column::PoolId.eq(self.0.id));
            let order = (transfer::Column::Version, Order::Desc);
            connection(
                ctx,
                &snapshot,
                select,
                order,
                PageArgs { first, after, last, before },
                |row| row.version,
                Transfer,
            )
            .await
        };
        Some(list.await)
    }

    /// Its charges, newest first. Who does not see all of them sees those of the own departments.
    async fn charges(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<Charge>, ApiError>> {
        let list = async {
            let request = request(ctx)?;
            let mut select =
                self.tenant().find::<charge::Entity>().filter(charge::Column::PoolId.eq(self.0.id));
            if let Some(own) = self.own_departments(request)? {
                select = select.filter(charge::Column::DepartmentId.is_in(own));
            }
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let order = (charge::Column::Id, Order::Desc);
            connection(
                ctx,
                &snapshot,
                select,
                order,
                PageArgs { first, after, last, before },
                |row| row.id,
                Charge::from,
            )
            .await
        };
        Some(list.await)
    }
}

/// A department's credits in a pool.
pub struct Allocation(pub account::Model);

impl Allocation {
    /// The allocation with a global id, when the caller may see the department's figures there.
    pub async fn find(request: &Request, id: &str) -> Result<Allocation, Error> {
        let (caller, id) = (request.caller()?, decode::<AccountId>(id, "allocation")?);
        let condition = account::Column::Id.eq(id);
        let organization = |row: &account::Model| row.organization_id;
        let found =
            caller.row::<account::Entity>(&request.snapshots, condition, organization, "allocation").await;
        let (organization, row) = found?;
        // The account of unallocated credits is no allocation.
        let department = row.department_id.ok_or(Error::not_found("allocation"))?;
        let seen = caller.may_read_ledger(organization, row.pool_id)
            || caller.may_in_department(organization, department, Action::ReadDepartmentCharges)
                && caller
                    .memberships
                    .get(&organization)
                    .is_some_and(|m| m.departments.contains_key(&department));
        if seen { Ok(Allocation(row)) } else { Err(Error::not_found("allocation")) }
    }
}

/// A department's credits in a pool.
#[Object]
impl Allocation {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode(self.0.id))
    }

    /// The pool.
    async fn pool(&self, ctx: &Context<'_>) -> Option<Result<Pool, ApiError>> {
        pool_of(ctx, self.0.pool_id).await
    }

    /// The department.
    async fn department(&self, ctx: &Context<'_>) -> Option<Result<Department, ApiError>> {
        let load = async {
            let Some(department) = self.0.department_id else { return Ok(None) };
            let key = Key(self.0.organization_id, department);
            Ok(request(ctx)?.rows.load_one(key).await?.map(Department))
        };
        load.await.transpose()
    }

    /// What the department has in the pool.
    async fn balance(&self, ctx: &Context<'_>) -> Result<Balance, ApiError> {
        let request = request(ctx)?;
        // Only allocations that the caller may see become objects.
        let tenant = Tenant::vouched(self.0.organization_id);
        let snapshot = request.snapshots.open(tenant).await?;
        let row = tenant.find::<account::Entity>().filter(account::Column::Id.eq(self.0.id));
        let row = row.one(&*snapshot).await.map_err(Error::from)?;
        // In a rehearsal the account may never have come to be.
        let row = row.as_ref().unwrap_or(&self.0);
        let balance = ledger::account_balance(&snapshot, tenant, row, request.now()).await?;
        Ok(Balance::new(balance, BalanceOf::Account(row.organization_id, row.pool_id, row.id)))
    }
}

/// Where a lot came from.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Source")]
pub enum LotSource {
    /// Bought.
    Purchase,
    /// Given by the operator.
    Grant,
    /// Put in by the operator to correct a balance.
    Correction,
}

/// Whether money was paid for a lot.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Class")]
pub enum LotClass {
    /// Paid for.
    Paid,
    /// Given away.
    Promotional,
}

/// Credits that came in together.
pub struct Lot(pub lot::Model);

impl Lot {
    /// The lot with a global id, when the caller may see the pool's movements.
    pub async fn find(request: &Request, id: &str) -> Result<Lot, Error> {
        let (caller, id) = (request.caller()?, decode::<LotId>(id, "lot")?);
        let condition = lot::Column::Id.eq(id);
        let organization = |row: &lot::Model| row.organization_id;
        let found = caller.row::<lot::Entity>(&request.snapshots, condition, organization, "lot").await?;
        let (organization, row) = found;
        if caller.may_read_ledger(organization, row.pool_id) {
            Ok(Lot(row))
        } else {
            Err(Error::not_found("lot"))
        }
    }
}

/// Credits that came in together: bought in one purchase, or given at once.
#[Object]
impl Lot {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode(self.0.id))
    }

    /// The pool that it came into.
    async fn pool(&self, ctx: &Context<'_>) -> Option<Result<Pool, ApiError>> {
        pool_of(ctx, self.0.pool_id).await
    }

    /// Where it came from.
    async fn source(&self) -> LotSource {
        self.0.source.into()
    }

    /// Whether it was paid for.
    async fn class(&self) -> LotClass {
        self.0.class.into()
    }

    /// Its place in the order of use: lower numbers first, then what expires sooner, then the older.
    async fn priority(&self) -> i32 {
        i32::from(self.0.priority)
    }

    /// How many credits it had.
    async fn credits(&self) -> CreditsScalar {
        CreditsScalar(self.0.credits)
    }

    /// How many of them are left, in the whole pool.
    async fn remaining(&self, ctx: &Context<'_>) -> Result<CreditsScalar, ApiError> {
        let request = request(ctx)?;
        // Only lots that the caller may see become objects.
        let tenant = Tenant::vouched(self.0.organization_id);
        let snapshot = request.snapshots.open(tenant).await?;
        let positions = tenant
            .find::<lot_position::Entity>()
            .filter(lot_position::Column::PoolId.eq(self.0.pool_id))
            .filter(lot_position::Column::LotId.eq(self.0.id));
        let positions = positions.all(&*snapshot).await.map_err(Error::from)?;
        let left: i64 = positions.iter().map(|position| position.credits.get()).sum();
        let left = Credits::new(left).ok_or_else(|| Error::internal("a lot has more than there can be"))?;
        Ok(CreditsScalar(left))
    }

    /// What it cost as a whole. Null when nothing was paid for it.
    async fn cost(&self) -> Option<MoneyObject> {
        self.0.currency.map(|currency| Money { minor: self.0.cost, currency }.into())
    }

    /// From when on it cannot be used. Null: it does not expire.
    async fn expires_at(&self) -> Option<DateTime> {
        self.0.expires_at.map(DateTime)
    }

    /// The purchase that it came with.
    async fn purchase(&self, ctx: &Context<'_>) -> Option<Result<Purchase, ApiError>> {
        let find = async {
            let Some(purchase) = self.0.purchase_id else { return Ok(None) };
            found(Purchase::find(request(ctx)?, &global_id::encode(purchase)).await)
        };
        find.await.transpose()
    }

    /// When it came in.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }
}

/// The part of the root that finds pools.
#[derive(Default)]
pub struct PoolQuery;

#[Object]
impl PoolQuery {
    /// A pool. Null when there is none, or none that the caller may see.
    async fn pool(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its global id.")] id: ID,
    ) -> Option<Result<Pool, ApiError>> {
        let find = async {
            let request = request(ctx)?;
            request.caller()?;
            found(Pool::find(request, &id).await)
        };
        find.await.transpose()
    }
}

/// What a new pool is to be.
#[derive(InputObject)]
pub struct CreatePoolInput {
    /// The organization.
    organization_id: ID,
    /// Its name, unique in the organization.
    name: String,
    /// The codes of the services that it pays for. Left out: all.
    allowed_services: Option<Vec<String>>,
}

/// What to change of a pool. What is left out stays.
#[derive(InputObject)]
pub struct UpdatePoolInput {
    /// Which pool.
    pool_id: ID,
    /// A new name.
    name: Option<String>,
    /// The codes of the services that it pays for; null for all.
    allowed_services: MaybeUndefined<Vec<String>>,
}

/// A pool to be archived.
#[derive(InputObject)]
pub struct ArchivePoolInput {
    /// Which pool.
    pool_id: ID,
}

/// A member to be named administrator of a pool.
#[derive(InputObject)]
pub struct AddPoolAdministratorInput {
    /// Which pool.
    pool_id: ID,
    /// Which member of the organization.
    member_id: ID,
}

/// An administrator of a pool to be dismissed.
#[derive(InputObject)]
pub struct RemovePoolAdministratorInput {
    /// Which pool.
    pool_id: ID,
    /// Which member of the organization.
    member_id: ID,
}

/// Credits to be given to a department.
#[derive(InputObject)]
pub struct AllocateCreditsInput {
    /// From which pool's unallocated credits.
    pool_id: ID,
    /// To which department.
    department_id: ID,
    /// How many.
    credits: CreditsScalar,
    /// Why.
    reason: Option<String>,
    /// The name of this request: repeating it has no second effect.
    idempotency_key: IdempotencyKey,
    /// Whether to answer only what would happen.
    #[graphql(default = false)]
    dry_run: bool,
}

/// Credits to be taken back from a department.
#[derive(InputObject)]
pub struct ReclaimCreditsInput {
    /// To which pool's unallocated credits.
    pool_id: ID,
    /// From which department.
    department_id: ID,
    /// How many.
    credits: CreditsScalar,
    /// Why.
    reason: Option<String>,
    /// The name of this request: repeating it has no second effect.
    idempotency_key: IdempotencyKey,
    /// Whether to answer only what would happen.
    #[graphql(default = false)]
    dry_run: bool,
}

/// A pool that was created.
#[derive(SimpleObject)]
pub struct CreatePoolPayload {
    /// The pool.
    pool: Option<Pool>,
    /// Why it was not created. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A pool that was changed.
#[derive(SimpleObject)]
pub struct UpdatePoolPayload {
    /// The pool.
    pool: Option<Pool>,
    /// Why it was not changed. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A pool that was archived.
#[derive(SimpleObject)]
pub struct ArchivePoolPayload {
    /// The pool.
    pool: Option<Pool>,
    /// Why it was not archived. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A pool that got an administrator.
#[derive(SimpleObject)]
pub struct AddPoolAdministratorPayload {
    /// The pool.
    pool: Option<Pool>,
    /// Why nobody was named. Empty when somebody was.
    user_errors: Vec<UserError>,
}

/// A pool that lost an administrator.
#[derive(SimpleObject)]
pub struct RemovePoolAdministratorPayload {
    /// The pool.
    pool: Option<Pool>,
    /// Why nobody was dismissed. Empty when somebody was.
    user_errors: Vec<UserError>,
}

/// Credits that were given to a department.
#[derive(SimpleObject, Default)]
pub struct AllocateCreditsPayload {
    /// What the department has in the pool now.
    allocation: Option<Allocation>,
    /// What the pool had after this, as of its commit.
    balance: Option<Balance>,
    /// What was moved.
    transfers: Vec<Transfer>,
    /// Whether this had been carried out before, under the same key.
    replayed: bool,
    /// Why nothing was moved. Empty when it was.
    user_errors: Vec<UserError>,
}

/// Credits that were taken back from a department.
#[derive(SimpleObject, Default)]
pub struct ReclaimCreditsPayload {
    /// What the department has in the pool now.
    allocation: Option<Allocation>,
    /// What the pool had after this, as of its commit.
    balance: Option<Balance>,
    /// What was moved.
    transfers: Vec<Transfer>,
    /// Whether this had been carried out before, under the same key.
    replayed: bool,
    /// Why nothing was moved. Empty when it was.
    user_errors: Vec<UserError>,
}

/// The part of the root that changes pools.
#[derive(Default)]
pub struct PoolMutation;

#[Object]
impl PoolMutation {
    /// Creates a pool without credits.
    async fn create_pool(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What it is to be.")] input: CreatePoolInput,
    ) -> Option<Result<CreatePoolPayload, ApiError>> {
        let outcome = async {
            let request = request(ctx)?;
            let organization = organization::authorized(request, &input.organization_id, Action::ManagePools);
            let organization = organization.await.map_err(|error| error.at("organizationId"))?;
            let new = NewPool { name: input.name, allowed_services: input.allowed_services };
            request.snapshots.close().await;
            pools::create(&request.services.context, &organization, new).await
        };
        Some(match outcome.await {
            Ok(value) => Ok(CreatePoolPayload { pool: Some(Pool(value)), user_errors: Vec::new() }),
            Err(error) => {
                user_error(error).map(|error| CreatePoolPayload { pool: None, user_errors: vec![error] })
            }
        })
    }

    /// Changes a pool.
    async fn update_pool(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdatePoolInput,
    ) -> Option<Result<UpdatePoolPayload, ApiError>> {
        let outcome = async {
            let request = request(ctx)?;
            let pool = managed(request, &input.pool_id, Action::ManagePools).await?;
            let allowed_services = match input.allowed_services {
                MaybeUndefined::Undefined => None,
                MaybeUndefined::Null => Some(None),
                MaybeUndefined::Value(codes) => Some(Some(codes)),
            };
            let patch = PoolPatch { name: input.name, allowed_services };
            pools::update(&request.services.context, &pool, patch).await
        };
        Some(match outcome.await {
            Ok(value) => Ok(UpdatePoolPayload { pool: Some(Pool(value)), user_errors: Vec::new() }),
            Err(error) => {
                user_error(error).map(|error| UpdatePoolPayload { pool: None, user_errors: vec![error] })
            }
        })
    }

    /// Archives a pool, unless it still has credits, holds, debt or a purchase under way.
    async fn archive_pool(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: ArchivePoolInput,
    ) -> Option<Result<ArchivePoolPayload, ApiError>> {
        let outcome = async {
            let request = request(ctx)?;
            let pool = managed(request, &input.pool_id, Action::ManagePools).await?;
            pools::archive(&request.services.context, &pool).await
        };
        Some(match outcome.await {
            Ok(value) => Ok(ArchivePoolPayload { pool: Some(Pool(value)), user_errors: Vec::new() }),
            Err(error) => {
                user_error(error).map(|error| ArchivePoolPayload { pool: None, user_errors: vec![error] })
            }
        })
    }

    /// Names a member of the organization administrator of a pool.
    async fn add_pool_administrator(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who, and of what.")] input: AddPoolAdministratorInput,
    ) -> Option<Result<AddPoolAdministratorPayload, ApiError>> {
        let outcome = async {
            let request = request(ctx)?;
            let pool = managed(request, &input.pool_id, Action::ManagePoolAdministrators).await?;
            let member = decode(&input.member_id, "member").map_err(|error: Error| error.at("memberId"))?;
            pools::add_administrator(&request.services.context, &pool, member).await?;
            Ok(pool.into_value())
        };
        Some(match outcome.await {
            Ok(value) => Ok(AddPoolAdministratorPayload { pool: Some(Pool(value)), user_errors: Vec::new() }),
            Err(error) => user_error(error)
                .map(|error| AddPoolAdministratorPayload { pool: None, user_errors: vec![error] }),
        })
    }

    /// Dismisses an administrator of a pool.
    async fn remove_pool_administrator(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who, and of what.")] input: RemovePoolAdministratorInput,
    ) -> Option<Result<RemovePoolAdministratorPayload, ApiError>> {
        let outcome = async {
            let request = request(ctx)?;
            let pool = managed(request, &input.pool_id, Action::ManagePoolAdministrators).await?;
            let member = decode(&input.member_id, "member").map_err(|error: Error| error.at("memberId"))?;
            pools::remove_administrator(&request.services.context, &pool, member).await?;
            Ok(pool.into_value())
        };
        Some(match outcome.await {
            Ok(value) => {
                Ok(RemovePoolAdministratorPayload { pool: Some(Pool(value)), user_errors: Vec::new() })
            }
            Err(error) => user_error(error)
                .map(|error| RemovePoolAdministratorPayload { pool: None, user_errors: vec![error] }),
        })
    }

    /// Moves credits from a pool's unallocated ones to a department. What is to be used first goes first.
    async fn allocate_credits(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to move.")] input: AllocateCreditsInput,
    ) -> Option<Result<AllocateCreditsPayload, ApiError>> {
        let outcome = async {
            let request = request(ctx)?;
            let movement = Movement {
                direction: Direction::Allocate,
                department: decode(&input.department_id, "department").map_err(at_department)?,
                credits: input.credits.0,
                reason: input.reason,
                key: input.idempotency_key.0,
                dry_run: input.dry_run,
            };
            move_credits(request, &input.pool_id, movement).await
        };
        Some(match outcome.await {
            Ok(Moved { allocation, balance, transfers, replayed }) => Ok(AllocateCreditsPayload {
                allocation,
                balance: Some(balance),
                transfers,
                replayed,
                user_errors: Vec::new(),
            }),
            Err(error) => user_error(error)
                .map(|error| AllocateCreditsPayload { user_errors: vec![error], ..Default::default() }),
        })
    }

    /// Moves unheld credits of a department back to the pool's unallocated ones. What is to be used last
    /// goes first.
    async fn reclaim_credits(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to move.")] input: ReclaimCreditsInput,
    ) -> Option<Result<ReclaimCreditsPayload, ApiError>> {
        let outcome = async {
            let request = request(ctx)?;
            let movement = Movement {
                direction: Direction::Reclaim,
                department: decode(&input.department_id, "department").map_err(at_department)?,
                credits: input.credits.0,
                reason: input.reason,
                key: input.idempotency_key.0,
                dry_run: input.dry_run,
            };
            move_credits(request, &input.pool_id, movement).await
        };
        Some(match outcome.await {
            Ok(Moved { allocation, balance, transfers, replayed }) => Ok(ReclaimCreditsPayload {
                allocation,
                balance: Some(balance),
                transfers,
                replayed,
                user_errors: Vec::new(),
            }),
            Err(error) => user_error(error)
                .map(|error| ReclaimCreditsPayload { user_errors: vec![error], ..Default::default() }),
        })
    }
}

/// A pool for a change; the snapshot is closed, since what comes next is a write.
async fn managed(request: &Request, id: &str, action: Action) -> Result<Authorized<pool::Model>, Error> {
    let pool = authorized(request, id, action).await.map_err(|error| error.at("poolId"))?;
    request.snapshots.close().await;
    Ok(pool)
}

fn at_department(error: Error) -> Error {
    error.at("departmentId")
}

/// What allocating and reclaiming answer.
struct Moved {
    allocation: Option<Allocation>,
    balance: Balance,
    transfers: Vec<Transfer>,
    replayed: bool,
}

async fn move_credits(request: &Request, pool: &str, movement: Movement) -> Result<Moved, Error> {
    let pool = managed(request, pool, Action::AllocateCredits).await?;
    let department = movement.department;
    let receipt: Receipt = pools::allocate(&request.services.ledger, &pool, movement).await?;
    let balance = receipt.pool_balance()?;
    let allocation = allocation_after(request, &pool, department, &receipt).await?;
    let balance = Balance::new(balance, BalanceOf::Pools(pool.organization_id, vec![pool.id]));
    let transfers = receipt.transfers.into_iter().map(Transfer).collect();
    Ok(Moved { allocation, balance, transfers, replayed: receipt.replayed })
}

/// The allocation of a department as it is now; in a rehearsal, one that does not exist yet.
async fn allocation_after(
    request: &Request,
    pool: &Authorized<pool::Model>,
    department: bursar_domain::id::DepartmentId,
    receipt: &Receipt,
) -> Result<Option<Allocation>, Error> {
    let tenant = pool.tenant();
    let snapshot = request.snapshots.open(tenant).await?;
    let row = tenant
        .find::<account::Entity>()
        .filter(account::Column::PoolId.eq(pool.id))
        .filter(account::Column::DepartmentId.eq(department));
    if let Some(row) = row.one(&*snapshot).await? {
        return Ok(Some(Allocation(row)));
    }
    let Some(last) = receipt.transfers.last() else { return Ok(None) };
    let Some(id) = last.credit_id else { return Ok(None) };
    let posted = Credits::new(last.credit_after).unwrap_or(Credits::ZERO);
    Ok(Some(Allocation(account::Model {
        organization_id: pool.organization_id,
        pool_id: pool.id,
        id,
        department_id: Some(department),
        posted,
        held: Credits::ZERO,
        created_at: last.created_at,
    })))
}
