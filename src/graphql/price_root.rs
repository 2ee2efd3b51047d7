//! Asking what credits cost, and what the vendor has been asked for.

use async_graphql::{Context, ID, InputObject, Object};
use bursar_domain::permission::Action;
use bursar_domain::pricing::QuoteState as State;
use bursar_entity::{organization, quote};
use sea_orm::{ColumnTrait, Order, QueryFilter};

use super::connection::{NodeConnection, PageArgs, connection};
use super::errors::{ApiError, user_error};
use super::node::decode;
use super::price::PurchaseQuotePayload;
use super::quote::{Quote, QuoteState};
use super::scalars::{CreditsScalar, CurrencyCode};
use super::{Request, pool, signed_in};
use crate::catalog::{self, Buying, Offer};
use crate::db::Scope;
use crate::db::scope::find_across;
use crate::error::Error;

/// What a price is asked of: exactly one of a package, so many credits, and a quote.
#[derive(InputObject)]
pub struct QuotePurchaseInput {
    /// For which pool.
    pool_id: ID,
    /// The package's code.
    package: Option<String>,
    /// How many credits.
    credits: Option<CreditsScalar>,
    /// What the vendor has answered a quote request with.
    quote_id: Option<ID>,
    /// In which currency. Left out: the organization's.
    currency: Option<CurrencyCode>,
}

/// What is to be bought, of an input that has to say exactly one of a package, so many credits, and a quote.
pub fn buying(
    package: Option<String>,
    credits: Option<CreditsScalar>,
    quote: Option<&ID>,
) -> Result<Buying, Error> {
    match (package, credits, quote) {
        (Some(code), None, None) => Ok(Buying::Package(code)),
        (None, Some(CreditsScalar(credits)), None) => Ok(Buying::Credits(credits)),
        (None, None, Some(id)) => {
            let id = decode(id, "quote").map_err(|error| error.at("quoteId"))?;
            Ok(Buying::Quote(id))
        }
        _ => {
            Err(Error::invalid("package", "must be given, or else credits or quoteId, and only one of them"))
        }
    }
}

/// The part of the root that tells prices.
#[derive(Default)]
pub struct PriceQuery;

#[Object]
impl PriceQuery {
    /// What credits would cost now, and why. Writes nothing; whoever requests the purchase with the quote's `token` has the
    /// price until its `validUntil`. As long as the organization has no currency it can be asked in each; the first purchase
    /// or quote request fixes the currency, and nothing is bought in another one from then on.
    async fn quote_purchase(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What would be bought.")] input: QuotePurchaseInput,
    ) -> Option<Result<PurchaseQuotePayload, ApiError>> {
        let outcome = Box::pin(async { quoted(signed_in(ctx)?, input).await });
        Some(match outcome.await {
            Ok((offer, token)) => Ok(PurchaseQuotePayload::of(offer, token)),
            Err(error) => user_error(error).map(PurchaseQuotePayload::refused),
        })
    }

    /// Prices that all organizations have asked for, newest first. For the vendor's staff.
    async fn quote_requests(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Only those in this state. Null: all.",
            default_with = "Some(QuoteState::Requested)"
        )]
        state: Option<QuoteState>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<Quote>, ApiError>> {
        let list = Box::pin(async {
            let request = signed_in(ctx)?;
            request.caller()?.vendor(Action::SetPrices)?;
            let mut select = find_across::<quote::Entity>();
            if let Some(state) = state {
                select = select.filter(quote::Column::State.eq(State::from(state)));
            }
            let snapshot = request.snapshots.open(Scope::Operator).await?;
            let order = (quote::Column::Id, Order::Desc);
            let page = PageArgs { first, after, last, before };
            connection(ctx, &snapshot, select, order, page, |row| row.id, Quote).await
        });
        Some(list.await)
    }
}

async fn quoted(request: &Request, input: QuotePurchaseInput) -> Result<(Offer, Option<String>), Error> {
    let pool = pool::authorized(request, &input.pool_id, Action::ReadPurchases).await;
    let pool = pool.map_err(|error| error.at("poolId"))?;
    let buying = buying(input.package, input.credits, input.quote_id.as_ref())?;
    let (tenant, wanted) = (pool.tenant(), input.currency.map(|currency| currency.0));
    let snapshot = request.snapshots.open(tenant).await?;
    let organization = tenant.find::<organization::Entity>().one(&*snapshot).await?;
    let organization = organization.ok_or(Error::not_found("organization"))?;
    let now = request.now();
    let offer = catalog::preview(&snapshot, tenant, &organization, pool.id, &buying, wanted, now).await?;
    let token = offer.token(&request.services.keys, tenant)?;
    Ok((offer, token))
}
