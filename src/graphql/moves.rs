//! Moving credits between departments and pools.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use bursar_domain::id::DepartmentId;
use bursar_domain::ledger::Refusal;
use bursar_domain::permission::Action;
use bursar_entity::pool;

use super::balance::{Balance, BalanceOf};
use super::errors::{ApiError, UserError, user_error};
use super::node::decode;
use super::pool::{Pool, authorized};
use super::scalars::{CreditsScalar, IdempotencyKey};
use super::transfer::Transfer;
use super::{Request, signed_in};
use crate::auth::Authorized;
use crate::error::Error;
use crate::pools::{self, Move};

/// Where credits are: with a department in a pool, or with no department.
#[derive(InputObject)]
pub struct HolderInput {
    /// In which pool.
    pool_id: ID,
    /// With which department. Left out: with none, unallocated.
    department_id: Option<ID>,
}

/// Credits to be moved.
#[derive(InputObject)]
pub struct TransferCreditsInput {
    /// Whose they are.
    from: HolderInput,
    /// Whose they are to be. The pool may be another one of the organization.
    to: HolderInput,
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

/// Credits that were moved.
#[derive(SimpleObject, Default)]
pub struct TransferCreditsPayload {
    /// The pool that they came from.
    from: Option<Pool>,
    /// The pool that they are in. The same, when they stayed there.
    to: Option<Pool>,
    /// What the pool had that they came from, after this and as of its commit.
    balance: Option<Balance>,
    /// What the pool had that they are in, after this and as of its commit.
    to_balance: Option<Balance>,
    /// What was moved: of a movement to another pool both halves, those of the pool that gave first.
    transfers: Vec<Transfer>,
    /// Whether this had been carried out before, under the same key.
    replayed: bool,
    /// Why nothing was moved. Empty when it was.
    user_errors: Vec<UserError>,
}

/// The part of the root that moves credits between any two holders.
#[derive(Default)]
pub struct MoveMutation;

#[Object]
impl MoveMutation {
    /// Moves unheld credits from one department (or unallocated) to another, in one pool or from one pool to
    /// another of the organization. They keep their lots, expiries and costs. What a department gives is what it
    /// would use last.
    async fn transfer_credits(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to move, from where to where.")] input: TransferCreditsInput,
    ) -> Option<Result<TransferCreditsPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let movement = Move {
                from: department(&input.from, "from.departmentId")?,
                to: department(&input.to, "to.departmentId")?,
                credits: input.credits.0,
                reason: input.reason,
                key: input.idempotency_key.0,
                dry_run: input.dry_run,
            };
            let places = (input.from.pool_id.as_str(), input.to.pool_id.as_str());
            request.as_things_stand(|_| move_credits(request, places, movement.clone())).await
        });
        Some(match outcome.await {
            Ok(payload) => Ok(payload),
            Err(error) => user_error_of(error)
                .map(|error| TransferCreditsPayload { user_errors: vec![error], ..Default::default() }),
        })
    }
}

fn department(holder: &HolderInput, field: &'static str) -> Result<Option<DepartmentId>, Error> {
    let decoded = holder.department_id.as_ref().map(|id| decode(id, "department")).transpose();
    decoded.map_err(|error: Error| error.at(field))
}

async fn move_credits(
    request: &Request,
    (from, to): (&str, &str),
    movement: Move,
) -> Result<TransferCreditsPayload, Error> {
    let from = authorized(request, from, Action::AllocateCredits).await;
    let from = from.map_err(|error| error.at("from.poolId"))?;
    let to = authorized(request, to, Action::AllocateCredits).await;
    let to = to.map_err(|error| error.at("to.poolId"))?;
    request.snapshots.close().await;
    let dry_run = movement.dry_run;
    let receipt = pools::transfer(&request.services.ledger, &from, &to, movement).await?;
    let balance = receipt.pool_balance()?;
    let to_balance = receipt.other_balance()?.unwrap_or(balance);
    let of = |pool: &Authorized<pool::Model>| BalanceOf::Pools(pool.organization_id, vec![pool.id]);
    let transfers = receipt.transfers.into_iter().chain(receipt.there);
    Ok(TransferCreditsPayload {
        balance: Some(Balance::new(balance, of(&from))),
        to_balance: Some(Balance::new(to_balance, of(&to))),
        from: Some(Pool(from.into_value())),
        to: Some(Pool(to.into_value())),
        transfers: transfers.map(|row| Transfer::of(row, dry_run && !receipt.replayed)).collect(),
        replayed: receipt.replayed,
        user_errors: Vec::new(),
    })
}

/// What stood in the way, with the field on the side that it is about.
fn user_error_of(error: Error) -> Result<UserError, ApiError> {
    let (side, error) = match error {
        Error::Refused(Refusal::Target(refusal)) => ("to", Error::Refused(*refusal)),
        // Both sides are where the credits are: the second is one too many.
        Error::Refused(Refusal::SamePlace) => {
            return Ok(user_error(error)?.within(&["to".to_owned()]));
        }
        error => ("from", error),
    };
    let within = |mut path: Vec<String>| {
        if path.first().is_some_and(|first| first == "poolId" || first == "departmentId") {
            path.insert(0, side.to_owned());
        }
        path
    };
    Ok(user_error(error)?.moved(within))
}
