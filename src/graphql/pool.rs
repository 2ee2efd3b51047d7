//! Pools, their lots, and what departments have in them.

use async_graphql::{Context, ID, Object};
use bursar_domain::permission::Action;
use bursar_entity::{account, charge, hold, lot, membership, pool, pool_administrator, transfer};
use sea_orm::{ColumnTrait, Condition, Order, QueryFilter};

use super::allocation::Allocation;
use super::approval_request::{self, ApprovalRequest, ApprovalRequestFilter};
use super::balance::{Balance, BalanceOf};
use super::catalog::Service;
use super::charge::Charge;
use super::connection::{NodeConnection, PageArgs, connection};
use super::credit_request::{self, CreditRequest, CreditRequestFilter};
use super::errors::ApiError;
use super::hold::{Hold, HoldFilter, filtered};
use super::lot::Lot;
use super::member::Member;
use super::node::{decode, found};
use super::organization::Organization;
use super::scalars::DateTime;
use super::spending_cap::{self, SpendingCap};
use super::transfer::Transfer;
use super::verification::Verification;
use super::{Request, request, signed_in};
use crate::auth::{Authorized, SeenPeople};
use crate::db::Tenant;
use crate::error::Error;
use crate::pools::{self};
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
        let (caller, organization) = (request.caller()?, self.0.organization_id);
        if self.shows_ledger(request)? || caller.may_read_all_departments(organization, self.0.id) {
            return Ok(None);
        }
        // The pool has been shown to the caller, so it reaches it.
        Ok(Some(caller.own_departments(organization, Action::ReadDepartmentCharges).collect()))
    }

    /// Which of its charges and holds the caller sees: a condition on their columns.
    fn seen_uses<C: ColumnTrait>(&self, request: &Request, department: C) -> Result<Condition, Error> {
        Ok(match self.own_departments(request)? {
            None if self.shows_ledger(request)? => Condition::all(),
            None => Condition::all().add(department.is_not_null()),
            Some(own) => Condition::all().add(department.is_in(own)),
        })
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
        let find = Box::pin(async {
            let id = global_id::encode(self.0.organization_id);
            found(Organization::find(request(ctx)?, &id).await)
        });
        find.await.transpose()
    }

    /// The services that it pays for. Null: all.
    async fn allowed_services(&self, ctx: &Context<'_>) -> Option<Result<Vec<Service>, ApiError>> {
        let list = Box::pin(async {
            let Some(allowed) = pools::allowed_services(&self.0)? else { return Ok(None) };
            let request = signed_in(ctx)?;
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let services = catalog::services(&snapshot, Some(self.tenant()), request.now()).await?;
            let allowed = services.into_iter().filter(|service| allowed.contains(&service.row.id));
            Ok(Some(allowed.map(Service).collect()))
        });
        list.await.transpose()
    }

    /// Whether it is closed to writing.
    async fn frozen(&self) -> bool {
        self.0.frozen_at.is_some()
    }

    /// Since when it is closed to writing.
    async fn frozen_at(&self) -> Option<DateTime> {
        self.0.frozen_at.map(DateTime)
    }

    /// Why it is closed to writing. Null for those who do not see its movements.
    async fn frozen_reason(&self, ctx: &Context<'_>) -> Result<Option<String>, ApiError> {
        let shown = self.shows_ledger(signed_in(ctx)?)?;
        Ok(self.0.frozen_reason.clone().filter(|_| shown))
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
        let request = signed_in(ctx)?;
        let snapshot = request.snapshots.open(self.tenant()).await?;
        let balance = ledger::pool_balance(&snapshot, self.tenant(), self.0.id, request.now()).await?;
        Ok(Balance::new(balance, BalanceOf::Pools(self.0.organization_id, vec![self.0.id])))
    }

    /// What it had as a whole at an instant that has passed. What had lapsed by then is left out, and what holds
    /// had come to their end is free, whenever that was booked.
    async fn balance_at(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The instant, which must not be in the future.")] time: DateTime,
    ) -> Option<Result<Balance, ApiError>> {
        let load = Box::pin(async {
            let request = signed_in(ctx)?;
            if time.0 > request.now() {
                return Err(ApiError::bad_input("time: must not be in the future."));
            }
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let balance = ledger::balance_at(&snapshot, self.tenant(), self.0.id, time.0).await?;
            Ok(Balance::new(balance, BalanceOf::Past(self.0.organization_id, self.0.id)))
        });
        Some(load.await)
    }

    /// Credits that no department has.
    async fn unallocated(&self, ctx: &Context<'_>) -> Result<Balance, ApiError> {
        let request = signed_in(ctx)?;
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
        let list = Box::pin(async {
            let request = signed_in(ctx)?;
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
            let page = PageArgs { first, after, last, before };
            connection(ctx, &snapshot, select, order, page, |row| row.id, Allocation).await
        });
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
        let list = Box::pin(async {
            let request = signed_in(ctx)?;
            self.require_ledger(request)?;
            if request.caller()?.sees_people(self.0.organization_id) == SeenPeople::Nobody {
                return Err(Error::Forbidden.into());
            }
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
            let page = PageArgs { first, after, last, before };
            connection(ctx, &snapshot, select, order, page, |row| row.id, Member).await
        });
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
        let list = Box::pin(async {
            let request = signed_in(ctx)?;
            self.require_ledger(request)?;
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let select = self.tenant().find::<lot::Entity>().filter(lot::Column::PoolId.eq(self.0.id));
            let order = (lot::Column::Id, Order::Desc);
            let page = PageArgs { first, after, last, before };
            connection(ctx, &snapshot, select, order, page, |row| row.id, Lot).await
        });
        Some(list.await)
    }

    /// What this node has found when it verified the books last, in the background. Null when it has not yet,
    /// and for those who do not see the pool's movements.
    async fn verification(&self, ctx: &Context<'_>) -> Result<Option<Verification>, ApiError> {
        let request = signed_in(ctx)?;
        let shown = self.shows_ledger(request)?;
        let found = request.services.verifications.of(self.0.id).filter(|_| shown);
        Ok(found.map(Verification::from))
    }

    /// Its spending caps, oldest first. Who does not see all of them sees those on the own departments and on
    /// oneself.
    async fn caps(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whether to list those as well that have been removed.", default = false)]
        include_removed: bool,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<SpendingCap>, ApiError>> {
        let args = PageArgs { first, after, last, before };
        Some(Box::pin(spending_cap::of_pool(ctx, &self.0, include_removed, args)).await)
    }

    /// Who has asked it for credits, newest first. Who does not see all of them sees the own ones.
    async fn credit_requests(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones. Left out: all.")] filter: Option<CreditRequestFilter>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<CreditRequest>, ApiError>> {
        let args = PageArgs { first, after, last, before };
        Some(Box::pin(credit_request::of_pool(ctx, &self.0, filter, args)).await)
    }

    /// Who was asked to agree to purchases for it, newest first. For those who see purchases for it.
    async fn approval_requests(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ones. Left out: all.")] filter: Option<ApprovalRequestFilter>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<ApprovalRequest>, ApiError>> {
        let args = PageArgs { first, after, last, before };
        Some(Box::pin(approval_request::of_pool(ctx, &self.0, filter, args)).await)
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
        let list = Box::pin(async {
            let request = signed_in(ctx)?;
            self.require_ledger(request)?;
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let select =
                self.tenant().find::<transfer::Entity>().filter(transfer::Column::PoolId.eq(self.0.id));
            let order = (transfer::Column::Version, Order::Desc);
            let page = PageArgs { first, after, last, before };
            connection(ctx, &snapshot, select, order, page, |row| row.version, Transfer::from).await
        });
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
        let list = Box::pin(async {
            let request = signed_in(ctx)?;
            let select = self.tenant().find::<charge::Entity>().filter(charge::Column::PoolId.eq(self.0.id));
            let select = select.filter(self.seen_uses(request, charge::Column::DepartmentId)?);
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let order = (charge::Column::Id, Order::Desc);
            let page = PageArgs { first, after, last, before };
            connection(ctx, &snapshot, select, order, page, |row| row.id, Charge::from).await
        });
        Some(list.await)
    }

    /// Its holds, newest first. Who does not see all of them sees those of the own departments.
    async fn holds(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which of them. Left out: all.")] filter: Option<HoldFilter>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<Hold>, ApiError>> {
        let list = Box::pin(async {
            let request = signed_in(ctx)?;
            let select = self.tenant().find::<hold::Entity>().filter(hold::Column::PoolId.eq(self.0.id));
            let select = select.filter(self.seen_uses(request, hold::Column::DepartmentId)?);
            let select = filtered(select, filter, request.now());
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let order = (hold::Column::Id, Order::Desc);
            let page = PageArgs { first, after, last, before };
            connection(ctx, &snapshot, select, order, page, |row| row.id, Hold).await
        });
        Some(list.await)
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
        let find = Box::pin(async {
            let request = signed_in(ctx)?;
            request.caller()?;
            found(Pool::find(request, &id).await)
        });
        find.await.transpose()
    }
}
