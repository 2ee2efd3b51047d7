//! Buying credits: requesting a purchase, starting its checkout, withdrawing it.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use bursar_domain::id::QuoteId;
use bursar_domain::permission::Action;
use bursar_domain::purchase::PurchaseState;
use bursar_entity::purchase;

use super::errors::{ApiError, ConflictError, ErrorCode, UserError, user_error};
use super::invoice::Invoice;
use super::money::MoneyInput;
use super::node::{authorized, decode};
use super::payment::Payment;
use super::pool;
use super::purchase::Purchase;
use super::scalars::{CreditsScalar, CurrencyCode, IdempotencyKey};
use super::{Request, signed_in};
use crate::auth::{Authorized, Keys};
use crate::catalog::Buying;
use crate::error::Error;
use crate::purchases::{self, PurchaseRequest, PurchaseUpdate, Selling, StartCheckout, StartInvoice};

/// What is to be bought.
#[derive(InputObject)]
pub struct RequestPurchaseInput {
    /// For which pool.
    pool_id: ID,
    /// A package, by its code. Exactly one of this, `credits`, `quoteId` and `quoteToken` says what is bought.
    package: Option<String>,
    /// So many credits.
    credits: Option<CreditsScalar>,
    /// What the vendor has answered a quote request with.
    quote_id: Option<ID>,
    /// What `quotePurchase` has told the price of, at that price: its `token`. Refused with `QUOTE_EXPIRED` from its
    /// `validUntil` on, and with `QUOTE_INVALID` when it was told to another organization or was changed.
    quote_token: Option<String>,
    /// What it is expected to cost. When it costs something else nothing is requested, and a `TotalChangedError` names
    /// both. Left out: it is requested whatever it costs.
    expected_total: Option<MoneyInput>,
    /// In which currency. Left out: the organization's; which is fixed by its first purchase or quote request.
    currency: Option<CurrencyCode>,
    /// Why it is wanted.
    note: Option<String>,
    /// Your own number of the order, for the invoice by which it is bought when everybody has agreed.
    purchase_order: Option<String>,
    /// The name of this request: repeating it has no second effect.
    idempotency_key: IdempotencyKey,
    /// Whether to answer only what would happen.
    #[graphql(default = false)]
    dry_run: bool,
}

/// What is to be changed of a purchase that is not paid. What is left out stays, and null takes away.
#[derive(InputObject)]
pub struct UpdatePurchaseInput {
    /// Which purchase.
    purchase_id: ID,
    /// The newest round of its approval, as you have seen it. Left out: nobody was asked yet.
    round: Option<i32>,
    /// Another package, by its code. At most one of this, `credits`, `quoteId` and `quoteToken`.
    package: Option<String>,
    /// So many credits instead.
    credits: Option<CreditsScalar>,
    /// What the vendor has answered a quote request with instead.
    quote_id: Option<ID>,
    /// What `quotePurchase` has told the price of instead, at that price: its `token`.
    quote_token: Option<String>,
    /// Why it is wanted.
    note: MaybeUndefined<String>,
    /// Your own number of the order.
    purchase_order: MaybeUndefined<String>,
}

/// How a purchase is bought on invoice.
#[derive(InputObject)]
pub struct InvoiceTermsInput {
    /// The buyer's own number of the order. Where people have agreed to a purchase that has one, the same.
    purchase_order: String,
}

/// A purchase to be paid.
#[derive(InputObject)]
pub struct StartCheckoutInput {
    /// Which purchase.
    purchase_id: ID,
    /// On invoice, for organizations that may: the credits come in at once. Left out: it is paid at a checkout page.
    invoice: Option<InvoiceTermsInput>,
    /// The name of this request: repeating it has no second effect.
    idempotency_key: IdempotencyKey,
    /// Whether to answer only what would happen.
    #[graphql(default = false)]
    dry_run: bool,
}

/// A purchase to be withdrawn.
#[derive(InputObject)]
pub struct CancelPurchaseInput {
    /// Which purchase.
    purchase_id: ID,
}

/// A purchase that was requested.
#[derive(SimpleObject, Default)]
pub struct RequestPurchasePayload {
    /// The purchase.
    purchase: Option<Purchase>,
    /// Whether it had been requested before, under the same key.
    replayed: bool,
    /// Why it was not requested. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A checkout that was started.
#[derive(SimpleObject, Default)]
pub struct StartCheckoutPayload {
    /// The purchase.
    purchase: Option<Purchase>,
    /// The attempt at paying it. Null when the price was no longer valid that people had agreed to: then they are asked
    /// anew at the price of today, and `userErrors` says so.
    payment: Option<Payment>,
    /// Where the purchase can be paid. Whoever has this address may pay or cancel. Null in a dry run, on invoice,
    /// and when the payment provider's page of it is not open any more, as the payment's state says.
    checkout_url: Option<String>,
    /// The invoice. Null when it is paid at a checkout page.
    invoice: Option<Invoice>,
    /// Whether it had been started before, under the same key.
    replayed: bool,
    /// Why it was not started. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A purchase that was changed.
#[derive(SimpleObject)]
pub struct UpdatePurchasePayload {
    /// The purchase.
    purchase: Option<Purchase>,
    /// Why it was not changed. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A purchase that was withdrawn.
#[derive(SimpleObject)]
pub struct CancelPurchasePayload {
    /// The purchase.
    purchase: Option<Purchase>,
    /// Why it was not withdrawn. Empty when it was.
    user_errors: Vec<UserError>,
}

/// The part of the root that buys.
#[derive(Default)]
pub struct PurchaseMutation;

#[Object]
impl PurchaseMutation {
    /// Requests credits for a pool: pins what is bought and for how much.
    async fn request_purchase(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to buy.")] input: RequestPurchaseInput,
    ) -> Option<Result<RequestPurchasePayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let pool = pool::authorized(request, &input.pool_id, Action::ManagePurchases).await;
                let pool = pool.map_err(|error| error.at("poolId"))?;
                let keys = &request.services.keys;
                let expected = input.expected_total.clone().map(|money| money.read("expectedTotal"));
                let (package, quote, token) =
                    (input.package.clone(), input.quote_id.clone(), input.quote_token.clone());
                let ways = (package, input.credits, quote, token);
                let wanted = PurchaseRequest {
                    buying: buying(keys, ways)?,
                    currency: input.currency.map(|currency| currency.0),
                    expected_total: expected.transpose()?,
                    note: input.note.clone(),
                    purchase_order: input.purchase_order.clone(),
                    key: input.idempotency_key.0.clone(),
                    dry_run: input.dry_run,
                };
                request.snapshots.close().await;
                purchases::request(&request.services.context, &pool, wanted).await
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(requested) => Ok(RequestPurchasePayload {
                purchase: Some(Purchase(requested.purchase, requested.tried, None)),
                replayed: requested.replayed,
                user_errors: Vec::new(),
            }),
            Err(error) => user_error(error)
                .map(|error| RequestPurchasePayload { user_errors: vec![error], ..Default::default() }),
        })
    }

    /// Starts a checkout of a purchase and answers the address of its page; or buys it on invoice. An earlier checkout
    /// that is still open is closed.
    async fn start_checkout(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to pay.")] input: StartCheckoutInput,
    ) -> Option<Result<StartCheckoutPayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let purchase = managed(request, &input.purchase_id).await?;
                start(&request.services.selling, &purchase, &input).await
            };
            request.as_things_stand(change).await
        });
        Some(outcome.await.or_else(|error| {
            user_error(error)
                .map(|error| StartCheckoutPayload { user_errors: vec![error], ..Default::default() })
        }))
    }

    /// Changes a purchase before it is paid, at the price of today. Whoever has to agree is asked anew; checkouts that are
    /// open are closed.
    async fn update_purchase(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdatePurchaseInput,
    ) -> Option<Result<UpdatePurchasePayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let purchase = managed(request, &input.purchase_id).await?;
                let keys = &request.services.keys;
                let (package, quote, token) =
                    (input.package.clone(), input.quote_id.clone(), input.quote_token.clone());
                let ways = (package, input.credits, quote, token);
                let named = !matches!(ways, (None, None, None, None));
                let update = PurchaseUpdate {
                    round: input.round.map(i64::from),
                    buying: match named {
                        true => Some(buying(keys, ways)?),
                        false => None,
                    },
                    note: input.note.clone().into(),
                    purchase_order: input.purchase_order.clone().into(),
                };
                purchases::update(&request.services.selling, &purchase, update).await
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(value) => {
                Ok(UpdatePurchasePayload { purchase: Some(Purchase::stored(value)), user_errors: Vec::new() })
            }
            Err(error) => user_error(error)
                .map(|error| UpdatePurchasePayload { purchase: None, user_errors: vec![error] }),
        })
    }

    /// Withdraws a purchase before it is paid.
    async fn cancel_purchase(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: CancelPurchaseInput,
    ) -> Option<Result<CancelPurchasePayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let purchase = managed(request, &input.purchase_id).await?;
                purchases::cancel(&request.services.selling, &purchase).await
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(value) => {
                Ok(CancelPurchasePayload { purchase: Some(Purchase::stored(value)), user_errors: Vec::new() })
            }
            Err(error) => user_error(error)
                .map(|error| CancelPurchasePayload { purchase: None, user_errors: vec![error] }),
        })
    }
}

/// A purchase for a change; the snapshot is closed, since what comes next is a write.
async fn managed(request: &Request, id: &str) -> Result<Authorized<purchase::Model>, Error> {
    let purchase = authorized(request, id, Action::ManagePurchases).await;
    let purchase = purchase.map_err(|error| error.at("purchaseId"))?;
    request.snapshots.close().await;
    Ok(purchase)
}

/// The four ways to say what is bought: a package's code, so many credits, the vendor's answer, a quote token.
type Ways = (Option<String>, Option<CreditsScalar>, Option<ID>, Option<String>);

/// What is bought: exactly one of the four.
fn buying(keys: &Keys, ways: Ways) -> Result<Buying, Error> {
    match ways {
        (Some(code), None, None, None) => Ok(Buying::Package(code)),
        (None, Some(credits), None, None) => Ok(Buying::Credits(credits.0)),
        (None, None, None, Some(token)) => Ok(Buying::quoted(keys, token)),
        (None, None, Some(id), None) => {
            let id: Result<QuoteId, Error> = decode(&id, "quote");
            Ok(Buying::Quote(id.map_err(|error| error.at("quoteId"))?))
        }
        (None, None, None, None) => {
            Err(Error::invalid("package", "must be given, or else credits, quoteId or quoteToken"))
        }
        _ => Err(Error::invalid(
            "package",
            "must not be given together with credits, quoteId or quoteToken, nor those together",
        )),
    }
}

async fn start(
    selling: &Selling,
    purchase: &Authorized<purchase::Model>,
    input: &StartCheckoutInput,
) -> Result<StartCheckoutPayload, Error> {
    let (key, dry_run) = (input.idempotency_key.0.clone(), input.dry_run);
    if let Some(terms) = &input.invoice {
        let start = StartInvoice { purchase_order: terms.purchase_order.clone(), key, dry_run };
        let invoiced = purchases::start_invoice(selling, purchase, start).await?;
        let (payment, invoice) = invoiced.issued.unzip();
        let user_errors = run_out((invoiced.reopened, invoiced.requoted), invoiced.purchase.state, dry_run);
        return Ok(StartCheckoutPayload {
            purchase: Some(Purchase::rehearsed(invoiced.purchase, invoiced.rehearsed)),
            payment: payment.map(Payment),
            checkout_url: None,
            invoice: invoice.map(Invoice::new),
            replayed: invoiced.replayed,
            user_errors,
        });
    }
    let started = purchases::start_checkout(selling, purchase, StartCheckout { key, dry_run }).await?;
    let user_errors = run_out((started.reopened, started.requoted), started.purchase.state, dry_run);
    Ok(StartCheckoutPayload {
        purchase: Some(Purchase::rehearsed(started.purchase, started.rehearsed)),
        payment: started.payment.map(Payment),
        checkout_url: started.url,
        invoice: None,
        replayed: started.replayed,
        user_errors,
    })
}

/// What whoever wants to pay is told when the price has run out that people had agreed to, or the vendor had quoted. What has
/// become of the purchase is committed, unlike what comes with other errors; but for a dry run, which says what would.
fn run_out((reopened, requoted): (bool, bool), state: PurchaseState, dry_run: bool) -> Vec<UserError> {
    let message = match state {
        _ if requoted && dry_run => {
            "The price that the vendor had quoted is no longer valid. The vendor would be asked for another one."
        }
        _ if requoted => {
            "The price that the vendor had quoted is no longer valid. The vendor has been asked for another one."
        }
        PurchaseState::PendingApproval if dry_run => {
            "The price is no longer valid. A new round of approval would begin at the price of today."
        }
        PurchaseState::PendingApproval => {
            "The price was no longer valid. A new round of approval has begun at the price of today."
        }
        _ if dry_run => {
            "The price is no longer valid. At the price of today nobody would have to agree: \
             it would be approved at that, to be started again with another key."
        }
        _ => {
            "The price was no longer valid. At the price of today nobody has to agree: \
             start it again with another key to pay that."
        }
    };
    let error = ConflictError {
        code: ErrorCode::QuoteExpired,
        message: message.to_owned(),
        field: Some(vec!["purchaseId".to_owned()]),
    };
    if reopened || requoted { vec![error.into()] } else { Vec::new() }
}
