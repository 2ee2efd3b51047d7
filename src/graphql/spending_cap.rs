//! Spending caps: how much a department, a member or a service may use of a pool in a period.

use async_graphql::{Context, Enum, ID, Object};
use bursar_domain::id::CapId;
use bursar_domain::ledger::Limit;
use bursar_domain::period::Period;
use bursar_domain::permission::Action;
use bursar_entity::{pool, spending_cap, spending_cap_raise};
use sea_orm::{ColumnTrait, Condition, Order, QueryFilter, QueryOrder, QuerySelect};
use tokio::sync::OnceCell;

use super::audit::Actor;
use super::catalog::Service;
use super::connection::{NodeConnection, PageArgs, connection};
use super::department::Department;
use super::errors::ApiError;
use super::loaders::Key;
use super::member::{Member, member};
use super::node::decode;
use super::period::PeriodKind;
use super::pool::{Pool, pool_of};
use super::scalars::{CreditsScalar, DateTime};
use super::{Request, request, signed_in};
use crate::db::Tenant;
use crate::error::Error;
use crate::{catalog, global_id, ledger};

/// How many of a cap's raises are shown.
const RAISES: u64 = 100;

/// Whose use a cap limits.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
pub enum CapScopeKind {
    /// A department's.
    Department,
    /// A member's.
    Member,
    /// That of a service, by whomever.
    Service,
}

/// A spending cap.
pub struct SpendingCap {
    row: spending_cap::Model,
    /// What it says now, read once for all fields that show a part of it.
    limit: OnceCell<Limit>,
}

impl From<spending_cap::Model> for SpendingCap {
    fn from(row: spending_cap::Model) -> SpendingCap {
        SpendingCap { row, limit: OnceCell::new() }
    }
}

impl SpendingCap {
    /// The cap with a global id, when the caller may see it.
    pub async fn find(request: &Request, id: &str) -> Result<SpendingCap, Error> {
        let (caller, id) = (request.caller()?, decode::<CapId>(id, "cap")?);
        let condition = spending_cap::Column::Id.eq(id);
        let organization = |row: &spending_cap::Model| row.organization_id;
        let found =
            caller.row::<spending_cap::Entity>(&request.snapshots, condition, organization, "cap").await?;
        let (_, row) = found;
        if caller.sees_cap(&row) { Ok(row.into()) } else { Err(Error::not_found("cap")) }
    }

    fn tenant(&self) -> Tenant {
        // Only caps that the caller may see become objects.
        Tenant::vouched(self.row.organization_id)
    }

    /// What it says now; none once it has been removed.
    async fn limit(&self, ctx: &Context<'_>) -> Result<Option<Limit>, ApiError> {
        if self.row.removed_at.is_some() {
            return Ok(None);
        }
        let request = signed_in(ctx)?;
        let read = || async {
            let snapshot = request.snapshots.open(self.tenant()).await?;
            ledger::cap_limit(&snapshot, self.tenant(), &self.row, request.now()).await
        };
        Ok(self.limit.get_or_try_init(read).await.map(|limit| Some(*limit))?)
    }

    /// A number of what it says now.
    async fn counted(
        &self,
        ctx: &Context<'_>,
        of: impl Fn(&Limit) -> bursar_domain::Credits,
    ) -> Option<Result<CreditsScalar, ApiError>> {
        let limit = self.limit(ctx).await.map(|limit| limit.map(|limit| CreditsScalar(of(&limit))));
        limit.transpose()
    }

    /// Its period now; none when it never ends.
    async fn now(&self, ctx: &Context<'_>) -> Result<Option<Period>, ApiError> {
        let limit = self.limit(ctx).await?;
        Ok(limit.map(|limit| limit.period).filter(|period| *period != Period::EVER))
    }
}

/// How much a department, a member or a service may use of a pool in a period.
#[Object]
impl SpendingCap {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode(self.row.id))
    }

    /// The pool.
    async fn pool(&self, ctx: &Context<'_>) -> Option<Result<Pool, ApiError>> {
        pool_of(ctx, self.row.pool_id).await
    }

    /// Whose use it limits.
    async fn scope(&self) -> CapScopeKind {
        match (self.row.department_id, self.row.user_id) {
            (Some(_), _) => CapScopeKind::Department,
            (None, Some(_)) => CapScopeKind::Member,
            (None, None) => CapScopeKind::Service,
        }
    }

    /// The department whose use it limits.
    async fn department(&self, ctx: &Context<'_>) -> Option<Result<Department, ApiError>> {
        let load = Box::pin(async {
            let Some(department) = self.row.department_id else { return Ok(None) };
            let key = Key(self.row.organization_id, department);
            Ok(request(ctx)?.rows.load_one(key).await?.map(Department))
        });
        load.await.transpose()
    }

    /// The member whose use it limits, as long as they belong to the organization.
    async fn member(&self, ctx: &Context<'_>) -> Option<Result<Member, ApiError>> {
        let load = Box::pin(async {
            let Some(user) = self.row.user_id else { return Ok(None) };
            member(signed_in(ctx)?, self.row.organization_id, user).await
        });
        load.await.transpose()
    }

    /// The service whose use it limits.
    async fn service(&self, ctx: &Context<'_>) -> Option<Result<Service, ApiError>> {
        let find = Box::pin(async {
            let Some(id) = self.row.service_id else { return Ok(None) };
            let request = signed_in(ctx)?;
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let services = catalog::services(&snapshot, Some(self.tenant()), request.now()).await?;
            Ok(services.into_iter().find(|service| service.row.id == id).map(Service))
        });
        find.await.transpose()
    }

    /// How much may be used in a period, without raises. What is exactly as much is admitted.
    async fn credits(&self) -> CreditsScalar {
        CreditsScalar(self.row.credits)
    }

    /// The kind of its periods. Null: there is one, which never ends.
    async fn period(&self) -> Option<PeriodKind> {
        self.row.period.map(PeriodKind::from)
    }

    /// What has been used in the current period. Null once the cap has been removed.
    async fn used(&self, ctx: &Context<'_>) -> Option<Result<CreditsScalar, ApiError>> {
        Box::pin(self.counted(ctx, |limit| limit.used)).await
    }

    /// What is held for charges to come, by holds of the current period. Null once the cap has been removed.
    async fn held(&self, ctx: &Context<'_>) -> Option<Result<CreditsScalar, ApiError>> {
        Box::pin(self.counted(ctx, |limit| limit.held)).await
    }

    /// What may still be used in the current period. Null once the cap has been removed.
    async fn headroom(&self, ctx: &Context<'_>) -> Option<Result<CreditsScalar, ApiError>> {
        Box::pin(self.counted(ctx, |limit| limit.headroom)).await
    }

    /// By how much it is raised now. Null once the cap has been removed.
    async fn raised(&self, ctx: &Context<'_>) -> Option<Result<CreditsScalar, ApiError>> {
        Box::pin(self.counted(ctx, |limit| limit.raised)).await
    }

    /// When the current period began. Null when it never ends, and once the cap has been removed.
    async fn period_start(&self, ctx: &Context<'_>) -> Option<Result<DateTime, ApiError>> {
        let period = Box::pin(self.now(ctx)).await;
        period.map(|period| period.map(|period| DateTime(period.start))).transpose()
    }

    /// When the next period begins. Null when the current one never ends, and once the cap has been removed.
    async fn period_end(&self, ctx: &Context<'_>) -> Option<Result<DateTime, ApiError>> {
        let period = Box::pin(self.now(ctx)).await;
        period.map(|period| period.map(|period| DateTime(period.end))).transpose()
    }

    /// Its raises, newest first, at most 100; those that have ended as well.
    async fn raises(&self, ctx: &Context<'_>) -> Option<Result<Vec<SpendingCapRaise>, ApiError>> {
        let list = Box::pin(async {
            let snapshot = request(ctx)?.snapshots.open(self.tenant()).await?;
            let rows = self
                .tenant()
                .find::<spending_cap_raise::Entity>()
                .filter(spending_cap_raise::Column::CapId.eq(self.row.id))
                .order_by_desc(spending_cap_raise::Column::Id)
                .limit(RAISES);
            let rows = rows.all(&*snapshot).await.map_err(Error::from)?;
            Ok(rows.into_iter().map(SpendingCapRaise).collect())
        });
        Some(list.await)
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime {
        DateTime(self.row.created_at)
    }

    /// Since when it limits nothing. Null while it does.
    async fn removed_at(&self) -> Option<DateTime> {
        self.row.removed_at.map(DateTime)
    }
}

/// A temporary raise of a spending cap.
pub struct SpendingCapRaise(pub spending_cap_raise::Model);

/// A temporary raise of a spending cap: until it ends, more may be used.
#[Object]
impl SpendingCapRaise {
    /// The cap. Null for those who may not see it.
    async fn cap(&self, ctx: &Context<'_>) -> Option<Result<SpendingCap, ApiError>> {
        let find = Box::pin(async {
            let request = request(ctx)?;
            let row = request.rows.load_one(Key(self.0.organization_id, self.0.cap_id)).await?;
            let caller = request.caller()?;
            Ok(row.filter(|row| caller.sees_cap(row)).map(SpendingCap::from))
        });
        find.await.transpose()
    }

    /// By how much.
    async fn credits(&self) -> CreditsScalar {
        CreditsScalar(self.0.credits)
    }

    /// Until when.
    async fn until(&self) -> DateTime {
        DateTime(self.0.until)
    }

    /// Why.
    async fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// Who allowed it.
    async fn actor(&self) -> Actor {
        Actor::new(self.0.organization_id, self.0.actor_kind, self.0.actor_id)
    }

    /// When it was allowed.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }
}

/// The caps of a pool that the caller may see, oldest first. Who does not see all of the pool sees those on
/// the own departments and on oneself.
pub async fn of_pool(
    ctx: &Context<'_>,
    pool: &pool::Model,
    include_removed: bool,
    args: PageArgs,
) -> Result<NodeConnection<SpendingCap>, ApiError> {
    let request = signed_in(ctx)?;
    let caller = request.caller()?;
    // Only pools that the caller may see become objects.
    let tenant = Tenant::vouched(pool.organization_id);
    let mut select = tenant.find::<spending_cap::Entity>().filter(spending_cap::Column::PoolId.eq(pool.id));
    if !include_removed {
        select = select.filter(spending_cap::Column::RemovedAt.is_null());
    }
    if !caller.may_read_ledger(pool.organization_id, pool.id) {
        // The pool has been shown to the caller, so it reaches it.
        let departments = caller.own_departments(pool.organization_id, Action::ReadDepartmentCharges);
        let oneself = caller.person().map(|person| spending_cap::Column::UserId.eq(person.id));
        let every = caller.may_read_all_departments(pool.organization_id, pool.id);
        let own = Condition::any()
            .add(spending_cap::Column::DepartmentId.is_in(departments))
            .add_option(every.then(|| spending_cap::Column::DepartmentId.is_not_null()))
            .add_option(oneself);
        select = select.filter(own);
    }
    let snapshot = request.snapshots.open(tenant).await?;
    let order = (spending_cap::Column::Id, Order::Asc);
    connection(ctx, &snapshot, select, order, args, |row| row.id, SpendingCap::from).await
}
