//! Credit requests: somebody asks a pool's administrators for credits.

use async_graphql::{Context, Enum, ID, InputObject, Object};
use bursar_domain::id::{CreditRequestId, PoolId};
use bursar_domain::permission::Action;
use bursar_domain::request::CreditRequestState as State;
use bursar_entity::{credit_request, pool, spending_cap_raise};
use sea_orm::sea_query::SimpleExpr;
use sea_orm::{ColumnTrait, Condition, Order, QueryFilter, Select};

use super::allocation::Allocation;
use super::connection::{NodeConnection, PageArgs, connection};
use super::department::Department;
use super::errors::ApiError;
use super::loaders::Key;
use super::member::{User, person};
use super::node::{decode, found};
use super::pool::{Pool, pool_of};
use super::purchase::Purchase;
use super::scalars::{CreditsScalar, DateTime};
use super::spending_cap::SpendingCapRaise;
use super::{Request, request, signed_in};
use crate::auth::Caller;
use crate::db::Tenant;
use crate::error::Error;
use crate::global_id;

/// What has become of a credit request.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "State")]
pub enum CreditRequestState {
    /// Nobody has answered yet.
    Open,
    /// Credits were allocated to the department.
    Allocated,
    /// A spending cap was raised for a time.
    CapRaised,
    /// A purchase was asked for that names the request.
    PurchaseRequested,
    /// The answer was no.
    Declined,
    /// Whoever asked took it back.
    Withdrawn,
}

/// Which credit requests are wanted.
#[derive(InputObject)]
pub struct CreditRequestFilter {
    /// Only those in this state.
    state: Option<CreditRequestState>,
}

/// A request for credits.
pub struct CreditRequest(pub credit_request::Model);

impl CreditRequest {
    /// The request with a global id, when the caller may see it.
    pub async fn find(request: &Request, id: &str) -> Result<CreditRequest, Error> {
        let (caller, id) = (request.caller()?, decode::<CreditRequestId>(id, "credit request")?);
        let condition = credit_request::Column::Id.eq(id);
        let organization = |row: &credit_request::Model| row.organization_id;
        let found = caller
            .row::<credit_request::Entity>(&request.snapshots, condition, organization, "credit request")
            .await?;
        let (_, row) = found;
        let seen = caller.sees_credit_request(&row);
        if seen { Ok(CreditRequest(row)) } else { Err(Error::not_found("credit request")) }
    }

    fn tenant(&self) -> Tenant {
        // Only requests that the caller may see become objects.
        Tenant::vouched(self.0.organization_id)
    }
}

/// Somebody's request for credits of a pool for a department.
#[Object]
impl CreditRequest {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode(self.0.id))
    }

    /// The pool that is asked.
    async fn pool(&self, ctx: &Context<'_>) -> Option<Result<Pool, ApiError>> {
        pool_of(ctx, self.0.pool_id).await
    }

    /// The department that the credits are for.
    async fn department(&self, ctx: &Context<'_>) -> Option<Result<Department, ApiError>> {
        let find = Box::pin(async {
            let id = global_id::encode(self.0.department_id);
            found(Department::find(request(ctx)?, &id).await)
        });
        find.await.transpose()
    }

    /// Who asks, as long as they belong to the organization.
    async fn requested_by(&self, ctx: &Context<'_>) -> Option<Result<User, ApiError>> {
        let load =
            Box::pin(async { person(signed_in(ctx)?, self.0.organization_id, self.0.requested_by).await });
        load.await.transpose()
    }

    /// For how many.
    async fn credits(&self) -> CreditsScalar {
        CreditsScalar(self.0.credits)
    }

    /// Why.
    async fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// What has become of it.
    async fn state(&self) -> CreditRequestState {
        self.0.state.into()
    }

    /// What was said with the answer.
    async fn note(&self) -> Option<&str> {
        self.0.note.as_deref()
    }

    /// Who answered, as long as they belong to the organization.
    async fn resolved_by(&self, ctx: &Context<'_>) -> Option<Result<User, ApiError>> {
        let load = Box::pin(async {
            let Some(user) = self.0.resolved_by else { return Ok(None) };
            person(signed_in(ctx)?, self.0.organization_id, user).await
        });
        load.await.transpose()
    }

    /// When it was answered, or taken back.
    async fn resolved_at(&self) -> Option<DateTime> {
        self.0.resolved_at.map(DateTime)
    }

    /// What the department has in the pool now, when the answer was an allocation.
    async fn allocation(&self, ctx: &Context<'_>) -> Option<Result<Allocation, ApiError>> {
        let find = Box::pin(async {
            let (Some(entry), request) = (self.0.entry_id, signed_in(ctx)?) else { return Ok(None) };
            // In a rehearsal the entry is not there.
            let entry = request.rows.load_one(Key(self.0.organization_id, entry)).await?;
            let Some(entry) = entry else { return Ok(None) };
            found(Allocation::find(request, &global_id::encode(entry.account_id)).await)
        });
        find.await.transpose()
    }

    /// The raise of a spending cap, when that was the answer.
    async fn raise(&self, ctx: &Context<'_>) -> Option<Result<SpendingCapRaise, ApiError>> {
        let find = Box::pin(async {
            let Some(raise) = self.0.raise_id else { return Ok(None) };
            let snapshot = request(ctx)?.snapshots.open(self.tenant()).await?;
            let row = self.tenant().find::<spending_cap_raise::Entity>();
            let row = row.filter(spending_cap_raise::Column::Id.eq(raise)).one(&*snapshot).await;
            Ok(row.map_err(Error::from)?.map(SpendingCapRaise))
        });
        find.await.transpose()
    }

    /// The purchase, when that was the answer. Null for those who do not see purchases for the pool.
    async fn purchase(&self, ctx: &Context<'_>) -> Option<Result<Purchase, ApiError>> {
        let find = Box::pin(async {
            let Some(purchase) = self.0.purchase_id else { return Ok(None) };
            found(Purchase::find(request(ctx)?, &global_id::encode(purchase)).await)
        });
        find.await.transpose()
    }

    /// When it was asked.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }
}

/// The requests to a pool that the caller may see, newest first: all, or the own ones.
pub async fn of_pool(
    ctx: &Context<'_>,
    pool: &pool::Model,
    filter: Option<CreditRequestFilter>,
    args: PageArgs,
) -> Result<NodeConnection<CreditRequest>, ApiError> {
    let caller = signed_in(ctx)?.caller()?;
    // Only pools that the caller may see become objects.
    let tenant = Tenant::vouched(pool.organization_id);
    let mut select =
        tenant.find::<credit_request::Entity>().filter(credit_request::Column::PoolId.eq(pool.id));
    if !caller.may_read_ledger(pool.organization_id, pool.id) {
        let none = credit_request::Column::PoolId.is_in(Vec::<PoolId>::new());
        select = select.filter(Condition::any().add(none).add_option(own(&caller)));
    }
    page(ctx, tenant, select, filter, args).await
}

/// The requests of an organization that the caller may see, newest first: all, or those to the own pools and
/// the own ones.
pub async fn of_organization(
    ctx: &Context<'_>,
    tenant: Tenant,
    filter: Option<CreditRequestFilter>,
    args: PageArgs,
) -> Result<NodeConnection<CreditRequest>, ApiError> {
    let caller = signed_in(ctx)?.caller()?;
    let mut select = tenant.find::<credit_request::Entity>();
    if !caller.may_in_organization(tenant.id(), Action::ReadLedger) {
        let pools = caller.own_pools(tenant.id(), Action::ReadLedger);
        let seen = Condition::any().add(credit_request::Column::PoolId.is_in(pools)).add_option(own(&caller));
        select = select.filter(seen);
    }
    page(ctx, tenant, select, filter, args).await
}

/// The condition of the requests that the caller has made. Keys make none.
fn own(caller: &Caller) -> Option<SimpleExpr> {
    caller.person().map(|person| credit_request::Column::RequestedBy.eq(person.id))
}

async fn page(
    ctx: &Context<'_>,
    tenant: Tenant,
    mut select: Select<credit_request::Entity>,
    filter: Option<CreditRequestFilter>,
    args: PageArgs,
) -> Result<NodeConnection<CreditRequest>, ApiError> {
    if let Some(state) = filter.and_then(|filter| filter.state) {
        select = select.filter(credit_request::Column::State.eq(State::from(state)));
    }
    let snapshot = signed_in(ctx)?.snapshots.open(tenant).await?;
    let order = (credit_request::Column::Id, Order::Desc);
    connection(ctx, &snapshot, select, order, args, |row| row.id, CreditRequest).await
}
