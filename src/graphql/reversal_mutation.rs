//! Giving payments back: input, payload, root field.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use bursar_domain::id::PurchaseId;
use bursar_domain::permission::Action;

use super::balance::{Balance, BalanceOf};
use super::errors::{ApiError, UserError, user_error};
use super::money::MoneyInput;
use super::node::decode;
use super::purchase::Purchase;
use super::reversal::Reversal;
use super::scalars::IdempotencyKey;
use super::signed_in;
use crate::error::Error;
use crate::purchases::{self, RefundRequest};

/// A payment to be given back.
#[derive(InputObject)]
pub struct RefundPurchaseInput {
    /// Of which purchase.
    purchase_id: ID,
    /// How much. Left out: all that is left of it.
    amount: Option<MoneyInput>,
    /// Why.
    reason: String,
    /// The name of this request: repeating it has no second effect.
    idempotency_key: IdempotencyKey,
    /// Whether to answer only what would happen.
    #[graphql(default = false)]
    dry_run: bool,
}

/// A payment that was given back, or is to be.
#[derive(SimpleObject, Default)]
pub struct RefundPurchasePayload {
    /// The reversal. It is pending as long as the payment provider takes, also when that cannot be reached now: it is asked
    /// again until it answers.
    reversal: Option<Reversal>,
    /// The purchase.
    purchase: Option<Purchase>,
    /// What the pool of the purchase had after it, as of its commit; what it has now while nothing is booked there.
    balance: Option<Balance>,
    /// Whether this had been carried out before, under the same key.
    replayed: bool,
    /// Why nothing was given back. Empty when it was.
    user_errors: Vec<UserError>,
}

/// The part of the root that gives payments back.
#[derive(Default)]
pub struct ReversalMutation;

#[Object]
impl ReversalMutation {
    /// Gives the payment of a purchase back, or a part of it, and takes back the credits that came with it: as large a
    /// part of them, rounded up. What has been used of them becomes debt of the pool. An invoice that is not paid is
    /// credited. For the operator.
    async fn refund_purchase(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of which purchase, how much, and why.")] input: RefundPurchaseInput,
    ) -> Option<Result<RefundPurchasePayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let id: PurchaseId =
                decode(&input.purchase_id, "purchase").map_err(|error: Error| error.at("purchaseId"))?;
            let purchase = request.caller()?.purchase(&request.snapshots, id, Action::SettlePayments).await;
            let purchase = purchase.map_err(|error| error.at("purchaseId"))?;
            let refund = RefundRequest {
                amount: input.amount.map(|amount| amount.read("amount")).transpose()?,
                reason: input.reason,
                key: input.idempotency_key.0,
                dry_run: input.dry_run,
            };
            // What comes next is a write.
            request.snapshots.close().await;
            purchases::refund_purchase(&request.services.selling, &purchase, refund).await
        });
        Some(match outcome.await {
            Ok(reversed) => {
                let (organization, pool) = (reversed.purchase.organization_id, reversed.purchase.pool_id);
                let of_pool = BalanceOf::Pools(organization, vec![pool]);
                Ok(RefundPurchasePayload {
                    reversal: Some(Reversal::new(reversed.reversal, input.dry_run && !reversed.replayed)),
                    purchase: Some(Purchase::rehearsed(reversed.purchase, reversed.rehearsed)),
                    balance: Some(Balance::new(reversed.balance, of_pool)),
                    replayed: reversed.replayed,
                    user_errors: Vec::new(),
                })
            }
            Err(error) => user_error(error)
                .map(|error| RefundPurchasePayload { user_errors: vec![error], ..Default::default() }),
        })
    }
}
