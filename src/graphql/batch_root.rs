//! Many charges in one call: inputs, payload, root field.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use bursar_domain::ledger::{LineRequest, Refusal};

use super::balance::Balance;
use super::charge::Charge;
use super::charge_root::{ChargeCreditsPayload, ChargeLineInput, Named, charged};
use super::errors::{ApiError, UserError, user_error};
use super::refused::with_owner;
use super::scalars::{IdempotencyKey, Json};
use super::signed_in;
use crate::auth::Caller;
use crate::charges::{self, Batch, BatchItem, ChargeRequest};
use crate::error::Error;
use crate::ledger::{Receipt, Together};

/// What becomes of a batch of which an item is refused.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Together")]
pub enum ChargeBatchMode {
    /// The others are carried out.
    Each,
    /// None is carried out.
    Atomic,
}

/// One charge of a batch.
#[derive(InputObject, Clone)]
pub struct ChargeBatchItemInput {
    /// Whose pool. All items are of one organization.
    pool_id: ID,
    /// Whose credits. Left out: those that no department has.
    department_id: Option<ID>,
    /// On which member's behalf.
    on_behalf_of_id: Option<ID>,
    /// What was done: 1 to 100 lines.
    lines: Vec<ChargeLineInput>,
    /// The job's id at the caller's, unique in the organization for ever.
    reference: Option<String>,
    /// The property or listing.
    subject: Option<String>,
    /// What the caller attaches: a JSON object of at most 8 KiB.
    metadata: Option<Json>,
    /// The name of this charge: repeating it, alone or in a batch, has no second effect.
    idempotency_key: IdempotencyKey,
}

/// Many charges at once.
#[derive(InputObject)]
pub struct ChargeCreditsBatchInput {
    /// What becomes of them when one is refused.
    mode: ChargeBatchMode,
    /// The charges: 1 to 500, carried out in this order.
    items: Vec<ChargeBatchItemInput>,
    /// Whether to answer only what would happen.
    #[graphql(default = false)]
    dry_run: bool,
}

/// What became of one charge of a batch.
#[derive(SimpleObject, Default)]
pub struct ChargeBatchResult {
    /// The charge.
    charge: Option<Charge>,
    /// What the pool had after it.
    balance: Option<Balance>,
    /// What the department (or unallocated) had after it.
    account_balance: Option<Balance>,
    /// Whether it had been made before, under the same key.
    replayed: bool,
    /// Why it was not made. Empty when it was.
    user_errors: Vec<UserError>,
}

/// What became of a batch.
#[derive(SimpleObject, Default)]
pub struct ChargeCreditsBatchPayload {
    /// What became of each item, in their order. Empty when the batch as a whole cannot be accepted.
    results: Vec<ChargeBatchResult>,
    /// Everything that was refused, with the item that it is about. Empty when all was charged.
    user_errors: Vec<UserError>,
}

/// The part of the root that charges batches.
#[derive(Default)]
pub struct BatchMutation;

#[Object]
impl BatchMutation {
    /// Makes up to 500 charges in one commit, each with a key of its own: all of them or none, or each on its
    /// own account.
    async fn charge_credits_batch(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to charge.")] input: ChargeCreditsBatchInput,
    ) -> Option<Result<ChargeCreditsBatchPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let services = &request.services;
            let make = |caller: Caller| {
                let items = input.items.iter().cloned().map(BatchItem::from).collect();
                let batch = Batch { items, together: input.mode.into(), dry_run: input.dry_run };
                async move {
                    let (ledger, directory) = (&services.ledger, &services.directory);
                    charges::batch(ledger, &request.snapshots, directory, &caller, batch).await
                }
            };
            request.as_things_stand(make).await
        });
        Some(match outcome.await {
            Ok(outcomes) => Box::pin(answered(ctx, outcomes)).await,
            Err(error) => user_error(error)
                .map(|error| ChargeCreditsBatchPayload { results: Vec::new(), user_errors: vec![error] }),
        })
    }
}

impl From<ChargeBatchItemInput> for BatchItem {
    fn from(item: ChargeBatchItemInput) -> BatchItem {
        let named = Named {
            pool: &item.pool_id,
            department: item.department_id.as_ref(),
            on_behalf_of: item.on_behalf_of_id.as_ref(),
        };
        let charge = named.decode().map(|(pool, department, on_behalf_of)| ChargeRequest {
            pool,
            department,
            on_behalf_of,
            lines: item.lines.into_iter().map(LineRequest::from).collect(),
            reference: item.reference,
            subject: item.subject,
            metadata: item.metadata.map(|json| json.0),
        });
        BatchItem { charge, key: item.idempotency_key.0 }
    }
}

/// What became of the items, and everything that was refused.
async fn answered(
    ctx: &Context<'_>,
    outcomes: Vec<Result<Receipt, Error>>,
) -> Result<ChargeCreditsBatchPayload, ApiError> {
    let mut payload = ChargeCreditsBatchPayload::default();
    for (index, outcome) in outcomes.into_iter().enumerate() {
        let error = match outcome.and_then(charged) {
            Ok(ChargeCreditsPayload { charge, balance, account_balance, replayed, .. }) => {
                let user_errors = Vec::new();
                payload.results.push(ChargeBatchResult {
                    charge,
                    balance,
                    account_balance,
                    replayed,
                    user_errors,
                });
                continue;
            }
            Err(error) => error,
        };
        // What was not done because of another item is said there.
        let own = !matches!(error, Error::Refused(Refusal::BatchAborted { .. }));
        let way = ["items".to_owned(), index.to_string()];
        let error = with_owner(ctx, error).await?.within(&way);
        if own {
            payload.user_errors.push(error.clone());
        }
        payload.results.push(ChargeBatchResult { user_errors: vec![error], ..Default::default() });
    }
    Ok(payload)
}
