//! Asking the vendor for a price, and answering.

use async_graphql::{Context, ID, InputObject, Object, OneofObject, SimpleObject};
use bursar_domain::permission::Action;

use super::errors::{ApiError, UserError, user_error};
use super::money::MoneyInput;
use super::node::authorized;
use super::quote::Quote;
use super::scalars::{CreditsScalar, CurrencyCode, DateTime, IdempotencyKey};
use super::{pool, signed_in};
use crate::catalog::{self, NewQuote, QuoteDecision, QuotePrice, Quoted};
use crate::error::Error;

/// What a price is asked for.
#[derive(InputObject)]
pub struct RequestQuoteInput {
    /// For which pool.
    pool_id: ID,
    /// How many credits.
    credits: CreditsScalar,
    /// In which currency. Left out: the organization's. The first one that is asked for is the organization's from then
    /// on.
    currency: Option<CurrencyCode>,
    /// Why it is wanted.
    note: Option<String>,
    /// The name of this request: repeating it has no second effect.
    idempotency_key: IdempotencyKey,
    /// Whether to answer only what would happen.
    #[graphql(default = false)]
    dry_run: bool,
}

/// An answer to a quote request: exactly one of these.
#[derive(OneofObject)]
pub enum QuoteAnswer {
    /// The credits are sold at a price.
    Price(QuotePriceInput),
    /// The answer is no; must be true.
    Decline(bool),
}

/// What credits are sold for.
#[derive(InputObject)]
pub struct QuotePriceInput {
    /// All of them together, in the currency that was asked for.
    total: MoneyInput,
    /// For how many days they can be used once paid. Left out: for ever.
    lifetime_days: Option<i32>,
    /// Until when the price holds: in the future, and within 366 days. Left out: for 30 days.
    valid_until: Option<DateTime>,
}

/// An answer to a quote request.
#[derive(InputObject)]
pub struct AnswerQuoteInput {
    /// Which quote.
    quote_id: ID,
    /// What the answer is.
    answer: QuoteAnswer,
    /// What whoever asked is told with it.
    note: Option<String>,
    /// The name of this request: repeating it has no second effect.
    idempotency_key: IdempotencyKey,
    /// Whether to answer only what would happen.
    #[graphql(default = false)]
    dry_run: bool,
}

/// A price that was asked for.
#[derive(SimpleObject, Default)]
pub struct RequestQuotePayload {
    /// The quote.
    quote: Option<Quote>,
    /// Whether it had been asked for before, under the same key.
    replayed: bool,
    /// Why it was not asked for. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A quote request that was answered.
#[derive(SimpleObject, Default)]
pub struct AnswerQuotePayload {
    /// The quote.
    quote: Option<Quote>,
    /// Whether it had been answered so before, under the same key.
    replayed: bool,
    /// Why it was not answered. Empty when it was.
    user_errors: Vec<UserError>,
}

/// A quote to be withdrawn.
#[derive(InputObject)]
pub struct WithdrawQuoteInput {
    /// Which one.
    quote_id: ID,
}

/// A quote that was withdrawn.
#[derive(SimpleObject)]
pub struct WithdrawQuotePayload {
    /// The quote.
    quote: Option<Quote>,
    /// Why it was not withdrawn. Empty when it was.
    user_errors: Vec<UserError>,
}

/// The part of the root that asks for prices, and answers.
#[derive(Default)]
pub struct QuoteMutation;

#[Object]
impl QuoteMutation {
    /// Asks the vendor for a price of credits for a pool: for so many that they have no price in the catalog, say. The
    /// vendor's staff is told by mail. What nobody has answered runs out after 30 days.
    async fn request_quote(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to ask for.")] input: RequestQuoteInput,
    ) -> Option<Result<RequestQuotePayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let pool = pool::authorized(request, &input.pool_id, Action::ManagePurchases).await;
                let pool = pool.map_err(|error| error.at("poolId"))?;
                let new = NewQuote {
                    credits: input.credits.0,
                    currency: input.currency.map(|currency| currency.0),
                    note: input.note.clone(),
                    key: input.idempotency_key.0.clone(),
                    dry_run: input.dry_run,
                };
                request.snapshots.close().await;
                let alerts = request.services.selling.settings.alerts.as_deref();
                catalog::request_quote(&request.services.context, alerts, &pool, new).await
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(Quoted { quote, replayed }) => {
                Ok(RequestQuotePayload { quote: Some(Quote(quote)), replayed, user_errors: Vec::new() })
            }
            Err(error) => user_error(error)
                .map(|error| RequestQuotePayload { user_errors: vec![error], ..Default::default() }),
        })
    }

    /// Answers a quote request: with a price, which can then be bought, or no. Answered again, as long as nobody has bought
    /// or withdrawn it, only the last answer counts. Whoever asked is told by mail. A credit must not cost more than it costs
    /// whoever buys fewer: `PriceRisesError`. For the vendor's staff.
    async fn answer_quote(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one, and the answer.")] input: AnswerQuoteInput,
    ) -> Option<Result<AnswerQuotePayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let found = authorized(request, &input.quote_id, Action::SetPrices).await;
            let found = found.map_err(|error| error.at("quoteId"))?;
            let answer = catalog::QuoteAnswer {
                decision: decision(input.answer)?,
                note: input.note,
                key: input.idempotency_key.0,
                dry_run: input.dry_run,
            };
            request.snapshots.close().await;
            catalog::answer_quote(&request.services.context, &found, answer).await
        });
        Some(match outcome.await {
            Ok(Quoted { quote, replayed }) => {
                Ok(AnswerQuotePayload { quote: Some(Quote(quote)), replayed, user_errors: Vec::new() })
            }
            Err(error) => user_error(error)
                .map(|error| AnswerQuotePayload { user_errors: vec![error], ..Default::default() }),
        })
    }

    /// Withdraws a quote that has not been bought: nobody has to answer it, and its price cannot be bought any more.
    async fn withdraw_quote(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which one.")] input: WithdrawQuoteInput,
    ) -> Option<Result<WithdrawQuotePayload, ApiError>> {
        let outcome = Box::pin(async {
            let request = signed_in(ctx)?;
            let change = |_| async {
                let found = authorized(request, &input.quote_id, Action::ManagePurchases).await;
                let found = found.map_err(|error| error.at("quoteId"))?;
                request.snapshots.close().await;
                catalog::withdraw_quote(&request.services.context, &found).await
            };
            request.as_things_stand(change).await
        });
        Some(match outcome.await {
            Ok(row) => Ok(WithdrawQuotePayload { quote: Some(Quote(row)), user_errors: Vec::new() }),
            Err(error) => {
                user_error(error).map(|error| WithdrawQuotePayload { quote: None, user_errors: vec![error] })
            }
        })
    }
}

fn decision(answer: QuoteAnswer) -> Result<QuoteDecision, Error> {
    match answer {
        QuoteAnswer::Price(QuotePriceInput { total, lifetime_days, valid_until }) => {
            Ok(QuoteDecision::Price(QuotePrice {
                total: total.read("answer.price.total")?,
                lifetime_days: lifetime_days.map(i64::from),
                valid_until: valid_until.map(|until| until.0),
            }))
        }
        QuoteAnswer::Decline(true) => Ok(QuoteDecision::Decline),
        QuoteAnswer::Decline(false) => Err(Error::invalid("answer.decline", "must be true")),
    }
}
