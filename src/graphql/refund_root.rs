//! Giving charges back: input, payload, root field.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use super::balance::Balance;
use super::errors::{ApiError, UserError, user_error};
use super::node::decode;
use super::refund::Refund;
use super::scalars::{CreditsScalar, IdempotencyKey};
use super::signed_in;
use crate::auth::Caller;
use crate::charges::{self, RefundRequest};
use crate::error::Error;
use crate::ledger::{Receipt, ReceiptRow};

/// What is to be given back.
#[derive(InputObject)]
pub struct RefundChargeInput {
    /// Which charge.
    charge_id: ID,
    /// How many credits. Left out: all that is left of it.
    credits: Option<CreditsScalar>,
    /// Whether the provider is at fault: then what would lapse is replaced. Only the operator may say so.
    #[graphql(default = false)]
    provider_fault: bool,
    /// Whether the guarantees of the services must cover it. Who is not the operator may refund no other way.
    #[graphql(default = false)]
    guaranteed: bool,
    /// Why.
    reason: Option<String>,
    /// The name of this request: repeating it has no second effect.
    idempotency_key: IdempotencyKey,
    /// Whether to answer only what would happen.
    #[graphql(default = false)]
    dry_run: bool,
}

/// A charge that was given back, or a part of it.
#[derive(SimpleObject, Default)]
pub struct RefundChargePayload {
    /// The refund.
    refund: Option<Refund>,
    /// What the pool had after it, as of its commit.
    balance: Option<Balance>,
    /// What the department (or unallocated) had after it, as of its commit.
    account_balance: Option<Balance>,
    /// Whether this had been carried out before, under the same key.
    replayed: bool,
    /// Why nothing was given back. Empty when it was.
    user_errors: Vec<UserError>,
}

/// The part of the root that gives charges back.
#[derive(Default)]
pub struct RefundMutation;

#[Object]
impl RefundMutation {
    /// Gives a charge back, or a part of it: the newest slices first, to their lot and to whom they were taken
    /// from. All refunds of a charge together never exceed it.
    async fn refund_charge(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to give back.")] input: RefundChargeInput,
    ) -> Option<Result<RefundChargePayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let refund = RefundRequest {
                charge: decode(&input.charge_id, "charge").map_err(|error: Error| error.at("chargeId"))?,
                credits: input.credits.map(|credits| credits.0),
                provider_fault: input.provider_fault,
                guaranteed: input.guaranteed,
                reason: input.reason,
            };
            let (ledger, directory) = (&request.services.ledger, &request.services.directory);
            let (key, dry_run) = (input.idempotency_key.0.as_str(), input.dry_run);
            let make = |caller: Caller| {
                let refund = refund.clone();
                async move {
                    charges::refund(ledger, &request.snapshots, directory, &caller, refund, (key, dry_run))
                        .await
                }
            };
            request.as_things_stand(make).await
        });
        Some(match outcome.await.and_then(|receipt| refunded(receipt, input.dry_run)) {
            Ok(payload) => Ok(payload),
            Err(error) => user_error(error).map(|error| {
                let error = error.renamed(&[
                    ("poolId", "chargeId"),
                    ("toPoolId", "chargeId"),
                    ("departmentId", "chargeId"),
                ]);
                RefundChargePayload { user_errors: vec![error], ..Default::default() }
            }),
        })
    }
}

fn refunded(receipt: Receipt, dry_run: bool) -> Result<RefundChargePayload, Error> {
    let (balance, account_balance) = Balance::after(&receipt)?;
    let replayed = receipt.replayed;
    let ReceiptRow::Entry(row) = receipt.row else {
        return Err(Error::internal("a refund was answered by something else"));
    };
    Ok(RefundChargePayload {
        refund: Some(Refund::booked(row, receipt.transfers, dry_run && !replayed)),
        balance: Some(balance),
        account_balance: Some(account_balance),
        replayed,
        user_errors: Vec::new(),
    })
}
