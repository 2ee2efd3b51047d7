//! Allocations: what departments have in pools, and how credits come there and back.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use bursar_domain::Credits;
use bursar_domain::id::{AccountId, DepartmentId};
use bursar_domain::ledger as rules;
use bursar_domain::permission::Action;
use bursar_entity::{account, pool};
use sea_orm::{ColumnTrait, QueryFilter};

use super::balance::{Balance, BalanceOf};
use super::department::Department;
use super::errors::{ApiError, UserError, user_error};
use super::loaders::Key;
use super::node::decode;
use super::pool::{Pool, pool_of};
use super::pool_mutation::managed;
use super::refill::{AllocationRefill, Overflow};
use super::scalars::{CreditsScalar, IdempotencyKey};
use super::transfer::Transfer;
use super::{Request, request, signed_in};
use crate::auth::Authorized;
use crate::db::Tenant;
use crate::error::Error;
use crate::ledger::Receipt;
use crate::pools::{self, Allocation as Movement, Direction};
use crate::{global_id, ledger};

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
        let seen = caller.may_read_department_in(organization, row.pool_id, department);
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
        let load = Box::pin(async {
            let Some(department) = self.0.department_id else { return Ok(None) };
            let key = Key(self.0.organization_id, department);
            Ok(request(ctx)?.rows.load_one(key).await?.map(Department))
        });
        load.await.transpose()
    }

    /// What the department does that has not enough of its own.
    async fn overflow(&self) -> Overflow {
        self.0.overflow.into()
    }

    /// How it is refilled when a period begins. Null: it is not.
    async fn refill(&self) -> Option<AllocationRefill> {
        AllocationRefill::of(&self.0)
    }

    /// What the department has in the pool.
    async fn balance(&self, ctx: &Context<'_>) -> Result<Balance, ApiError> {
        let request = signed_in(ctx)?;
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

/// The part of the root that moves credits between unallocated and departments.
#[derive(Default)]
pub struct AllocationMutation;

#[Object]
impl AllocationMutation {
    /// Moves credits from a pool's unallocated ones to a department. What is to be used first goes first.
    async fn allocate_credits(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to move.")] input: AllocateCreditsInput,
    ) -> Option<Result<AllocateCreditsPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let movement = Movement {
                direction: Direction::Allocate,
                department: decode(&input.department_id, "department").map_err(at_department)?,
                credits: input.credits.0,
                reason: input.reason,
                key: input.idempotency_key.0,
                dry_run: input.dry_run,
            };
            let moved = |_| move_credits(request, &input.pool_id, movement.clone());
            request.as_things_stand(moved).await
        });
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
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let movement = Movement {
                direction: Direction::Reclaim,
                department: decode(&input.department_id, "department").map_err(at_department)?,
                credits: input.credits.0,
                reason: input.reason,
                key: input.idempotency_key.0,
                dry_run: input.dry_run,
            };
            let moved = |_| move_credits(request, &input.pool_id, movement.clone());
            request.as_things_stand(moved).await
        });
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
    let (department, rehearsed) = (movement.department, movement.dry_run);
    let receipt: Receipt = pools::allocate(&request.services.ledger, &pool, movement).await?;
    let balance = receipt.pool_balance()?;
    let allocation = allocation_after(request, &pool, department, &receipt).await?;
    let balance = Balance::new(balance, BalanceOf::Pools(pool.organization_id, vec![pool.id]));
    let transfers =
        receipt.transfers.into_iter().map(|row| Transfer::of(row, rehearsed && !receipt.replayed)).collect();
    Ok(Moved { allocation, balance, transfers, replayed: receipt.replayed })
}

/// The allocation of a department as it is now; in a rehearsal, one that does not exist yet.
async fn allocation_after(
    request: &Request,
    pool: &Authorized<pool::Model>,
    department: DepartmentId,
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
        overflow: rules::Overflow::Deny,
        refill_amount: None,
        refill_rollover: None,
        refill_period: None,
        refill_start: None,
        refill_end: None,
        refill_shortfall: None,
        seal: None,
        terms_seal: None,
    })))
}
