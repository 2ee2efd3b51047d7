//! What the operator does with balances: grants, corrections, and later expiries of lots.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use bursar_domain::id::LotId;
use bursar_domain::permission::Action;
use bursar_entity::pool;

use super::balance::{Balance, BalanceOf};
use super::errors::{ApiError, UserError, user_error};
use super::lot::{Lot, LotClass};
use super::money::MoneyInput;
use super::node::decode;
use super::pool::Pool;
use super::pool_mutation::managed;
use super::scalars::{CreditsScalar, DateTime, IdempotencyKey, SignedCredits};
use super::transfer::Transfer;
use super::{Request, signed_in};
use crate::auth::Authorized;
use crate::error::Error;
use crate::global_id;
use crate::ledger::Receipt;
use crate::pools::{self, Correction, Extension, Grant, NewCredits};

/// Credits to be given.
#[derive(InputObject)]
pub struct GrantCreditsInput {
    /// To which pool.
    pool_id: ID,
    /// To which department in it. Left out: to none, unallocated.
    department_id: Option<ID>,
    /// How many.
    credits: CreditsScalar,
    /// Whether they have been paid for.
    #[graphql(default_with = "LotClass::Promotional")]
    class: LotClass,
    /// Their place in the order of use, from 0 to 32767, lower numbers first. Left out: 50 for promotional
    /// credits, 100 for paid ones.
    priority: Option<i32>,
    /// From when on they cannot be used. Left out: they do not expire.
    expires_at: Option<DateTime>,
    /// What they cost together, in the organization's currency. Left out: nothing.
    cost: Option<MoneyInput>,
    /// Why.
    reason: String,
    /// The name of this request: repeating it has no second effect.
    idempotency_key: IdempotencyKey,
    /// Whether to answer only what would happen.
    #[graphql(default = false)]
    dry_run: bool,
}

/// A balance to be corrected.
#[derive(InputObject)]
pub struct CorrectBalanceInput {
    /// Of which pool.
    pool_id: ID,
    /// Of which department in it. Left out: of none, unallocated.
    department_id: Option<ID>,
    /// How many credits are missing; below zero: how many are too many. Not 0.
    credits: SignedCredits,
    /// Of which lot credits are taken. Left out: those that would be used last.
    lot_id: Option<ID>,
    /// Why.
    reason: String,
    /// The transfer of the pool that was wrong. What is taken back is then of its lot, and no more than it moved.
    corrects_transfer_id: Option<ID>,
    /// The name of this request: repeating it has no second effect.
    idempotency_key: IdempotencyKey,
    /// Whether to answer only what would happen.
    #[graphql(default = false)]
    dry_run: bool,
}

/// A lot that is to expire later.
#[derive(InputObject)]
pub struct ExtendLotInput {
    /// Which lot.
    lot_id: ID,
    /// When it is to expire. Null: never. It has to be said.
    expires_at: MaybeUndefined<DateTime>,
    /// Why.
    reason: String,
    /// The name of this request: repeating it has no second effect.
    idempotency_key: IdempotencyKey,
    /// Whether to answer only what would happen.
    #[graphql(default = false)]
    dry_run: bool,
}

/// Credits that were given.
#[derive(SimpleObject, Default)]
pub struct GrantCreditsPayload {
    /// The lot that came in.
    lot: Option<Lot>,
    /// The pool.
    pool: Option<Pool>,
    /// What the pool had after this, as of its commit.
    balance: Option<Balance>,
    /// What was moved.
    transfers: Vec<Transfer>,
    /// Whether this had been carried out before, under the same key.
    replayed: bool,
    /// Why nothing was given. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A balance that was corrected.
#[derive(SimpleObject, Default)]
pub struct CorrectBalancePayload {
    /// The lot that came in. Null when credits were taken back.
    lot: Option<Lot>,
    /// The pool.
    pool: Option<Pool>,
    /// What the pool had after this, as of its commit.
    balance: Option<Balance>,
    /// What was moved.
    transfers: Vec<Transfer>,
    /// Whether this had been carried out before, under the same key.
    replayed: bool,
    /// Why nothing was corrected. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A lot that expires later.
#[derive(SimpleObject, Default)]
pub struct ExtendLotPayload {
    /// The lots in which it goes on: one in each pool where some of it lay, its own pool's first.
    lots: Vec<Lot>,
    /// What was moved, in each of the pools.
    transfers: Vec<Transfer>,
    /// Whether this had been carried out before, under the same key.
    replayed: bool,
    /// Why nothing was extended. Empty when it was.
    user_errors: Vec<UserError>,
}

/// The part of the root with which the operator corrects books.
#[derive(Default)]
pub struct CorrectionMutation;

#[Object]
impl CorrectionMutation {
    /// Gives a pool, or a department in it, credits. For the operator.
    async fn grant_credits(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to give.")] input: GrantCreditsInput,
    ) -> Option<Result<GrantCreditsPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let grant = Grant {
                new: NewCredits {
                    department: department(input.department_id.as_ref())?,
                    credits: input.credits.0,
                    class: input.class.into(),
                    priority: input.priority,
                    expires_at: input.expires_at.map(|at| at.0),
                    cost: input.cost.map(|cost| cost.read("cost")).transpose()?,
                },
                reason: input.reason,
                key: input.idempotency_key.0,
                dry_run: input.dry_run,
            };
            let give = |_| async {
                let pool = managed(request, &input.pool_id, Action::CorrectLedger).await?;
                let receipt = pools::grant(&request.services.ledger, &pool, grant.clone()).await?;
                Corrected::new(pool, receipt, grant.dry_run)
            };
            request.as_things_stand(give).await
        });
        Some(match outcome.await {
            Ok(Corrected { lot, pool, balance, transfers, replayed }) => Ok(GrantCreditsPayload {
                lot,
                pool: Some(pool),
                balance: Some(balance),
                transfers,
                replayed,
                user_errors: Vec::new(),
            }),
            Err(error) => user_error(error)
                .map(|error| GrantCreditsPayload { user_errors: vec![error], ..Default::default() }),
        })
    }

    /// Corrects a balance: what is missing comes in as a lot, what is too much is taken back. Nothing that is
    /// booked is changed. For the operator.
    async fn correct_balance(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to correct.")] input: CorrectBalanceInput,
    ) -> Option<Result<CorrectBalancePayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let lot = input.lot_id.as_ref().map(|id| decode::<LotId>(id, "lot")).transpose();
            let corrects = input.corrects_transfer_id.as_ref().map(|id| {
                let not_found = || Error::not_found("transfer").at("correctsTransferId");
                global_id::decode_transfer(id).ok_or_else(not_found)
            });
            let correction = Correction {
                department: department(input.department_id.as_ref())?,
                credits: input.credits.0,
                lot: lot.map_err(|error| error.at("lotId"))?,
                reason: input.reason,
                corrects: corrects.transpose()?,
                key: input.idempotency_key.0,
                dry_run: input.dry_run,
            };
            let correct = |_| async {
                let pool = managed(request, &input.pool_id, Action::CorrectLedger).await?;
                let receipt = pools::correct(&request.services.ledger, &pool, correction.clone()).await?;
                Corrected::new(pool, receipt, correction.dry_run)
            };
            request.as_things_stand(correct).await
        });
        Some(match outcome.await {
            Ok(Corrected { lot, pool, balance, transfers, replayed }) => Ok(CorrectBalancePayload {
                lot,
                pool: Some(pool),
                balance: Some(balance),
                transfers,
                replayed,
                user_errors: Vec::new(),
            }),
            Err(error) => user_error(error)
                .map(|error| CorrectBalancePayload { user_errors: vec![error], ..Default::default() }),
        })
    }

    /// Lets the unheld credits of a lot, wherever they lie, go on with a later expiry. For the operator.
    async fn extend_lot(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which lot, and until when.")] input: ExtendLotInput,
    ) -> Option<Result<ExtendLotPayload, ApiError>> {
        let dry_run = input.dry_run;
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let expires_at = match input.expires_at {
                // Left out by mistake, it would make credits that never expire.
                MaybeUndefined::Undefined => {
                    let reason = "must be said; null means that the credits do not expire";
                    return Err(Error::invalid("expiresAt", reason));
                }
                MaybeUndefined::Null => None,
                MaybeUndefined::Value(at) => Some(at.0),
            };
            let extension = Extension {
                lot: decode(&input.lot_id, "lot").map_err(|error: Error| error.at("lotId"))?,
                expires_at,
                reason: input.reason,
                key: input.idempotency_key.0,
                dry_run,
            };
            let extend = |_| async {
                let pool = pool_of_lot(request, &input.lot_id).await?;
                pools::extend(&request.services.ledger, &pool, extension.clone()).await
            };
            request.as_things_stand(extend).await
        });
        let at_lot = |path: Vec<String>| {
            if path.first().is_some_and(|first| first == "poolId") { vec!["lotId".to_owned()] } else { path }
        };
        Some(match outcome.await {
            Ok(receipts) => {
                let replayed = receipts.iter().all(|receipt| receipt.replayed);
                let lots =
                    receipts.iter().flat_map(|receipt| receipt.lots.iter().cloned().map(Lot)).collect();
                let transfers = receipts.into_iter().flat_map(|receipt| receipt.transfers);
                let transfers = transfers.map(|row| Transfer::of(row, dry_run && !replayed)).collect();
                Ok(ExtendLotPayload { lots, transfers, replayed, user_errors: Vec::new() })
            }
            Err(error) => user_error(error).map(|error| ExtendLotPayload {
                user_errors: vec![error.moved(at_lot)],
                ..Default::default()
            }),
        })
    }
}

/// What grants and corrections answer.
struct Corrected {
    lot: Option<Lot>,
    pool: Pool,
    balance: Balance,
    transfers: Vec<Transfer>,
    replayed: bool,
}

impl Corrected {
    fn new(pool: Authorized<pool::Model>, receipt: Receipt, dry_run: bool) -> Result<Corrected, Error> {
        let of = BalanceOf::Pools(pool.organization_id, vec![pool.id]);
        Ok(Corrected {
            balance: Balance::new(receipt.pool_balance()?, of),
            lot: receipt.lots.into_iter().next().map(Lot),
            pool: Pool(pool.into_value()),
            transfers: receipt
                .transfers
                .into_iter()
                .map(|row| Transfer::of(row, dry_run && !receipt.replayed))
                .collect(),
            replayed: receipt.replayed,
        })
    }
}

fn department(id: Option<&ID>) -> Result<Option<bursar_domain::id::DepartmentId>, Error> {
    let decoded = id.map(|id| decode(id, "department")).transpose();
    decoded.map_err(|error: Error| error.at("departmentId"))
}

/// The pool that a lot came into, for its correction. To those who do not see the lot it is not there.
async fn pool_of_lot(request: &Request, lot: &str) -> Result<Authorized<pool::Model>, Error> {
    let lot = Lot::find(request, lot).await.map_err(|error| error.at("lotId"))?;
    let directory = &request.services.directory;
    let (caller, action) = (request.caller()?, Action::CorrectLedger);
    let pool = caller.pool(&request.snapshots, directory, lot.0.pool_id, action).await?;
    request.snapshots.close().await;
    Ok(pool)
}
