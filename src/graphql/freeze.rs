//! Closing pools to writing, and opening them again.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use bursar_domain::permission::Action;

use super::errors::{ApiError, UserError, user_error};
use super::pool::Pool;
use super::pool_mutation::managed;
use super::signed_in;
use crate::{pools, purchases};

/// A pool to be closed to writing.
#[derive(InputObject)]
pub struct FreezePoolInput {
    /// Which pool.
    pool_id: ID,
    /// Why.
    reason: String,
}

/// A pool to be opened again.
#[derive(InputObject)]
pub struct UnfreezePoolInput {
    /// Which pool.
    pool_id: ID,
    /// Why.
    reason: String,
}

/// A pool that was closed to writing.
#[derive(SimpleObject)]
pub struct FreezePoolPayload {
    /// The pool.
    pool: Option<Pool>,
    /// Why it was not closed. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A pool that was opened again.
#[derive(SimpleObject)]
pub struct UnfreezePoolPayload {
    /// The pool.
    pool: Option<Pool>,
    /// Why it was not opened. Empty when it was.
    user_errors: Vec<UserError>,
}

/// The part of the root that closes pools to writing.
#[derive(Default)]
pub struct FreezeMutation;

#[Object]
impl FreezeMutation {
    /// Closes a pool to writing: nothing is charged, moved or booked in it until it is opened again. What is
    /// paid for it is recorded, and comes in then. For the operator.
    async fn freeze_pool(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one, and why.")] input: FreezePoolInput,
    ) -> Option<Result<FreezePoolPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let pool = managed(request, &input.pool_id, Action::FreezePools).await?;
                pools::freeze(&request.services.context, &pool, &input.reason).await
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(value) => Ok(FreezePoolPayload { pool: Some(Pool(value)), user_errors: Vec::new() }),
            Err(error) => {
                user_error(error).map(|error| FreezePoolPayload { pool: None, user_errors: vec![error] })
            }
        })
    }

    /// Opens a pool that was closed to writing. What was paid for it meanwhile comes in. For the operator.
    async fn unfreeze_pool(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one, and why.")] input: UnfreezePoolInput,
    ) -> Option<Result<UnfreezePoolPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let pool = managed(request, &input.pool_id, Action::FreezePools).await?;
                purchases::unfreeze(&request.services.ledger, &pool, &input.reason).await
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(value) => Ok(UnfreezePoolPayload { pool: Some(Pool(value)), user_errors: Vec::new() }),
            Err(error) => {
                user_error(error).map(|error| UnfreezePoolPayload { pool: None, user_errors: vec![error] })
            }
        })
    }
}
