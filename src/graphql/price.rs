//! What credits cost: an answer to somebody who asks, and all prices of an organization.

use async_graphql::{Context, Enum, ID, Object, SimpleObject};
use bursar_domain::id::ContractPriceId;
use bursar_domain::permission::Action;
use bursar_domain::pricing::{self, Candidate};
use bursar_domain::{Currency, Money};
use bursar_entity::{contract_price, organization, price_tier, quote};
use sea_orm::{ColumnTrait, Order};

use super::catalog::Package;
use super::connection::{NodeConnection, PageArgs, connection};
use super::errors::{ApiError, UserError};
use super::node::decode;
use super::organization::Organization;
use super::quote::Quote;
use super::scalars::{CreditsScalar, DateTime, MoneyObject, UnitPriceObject};
use super::{Request, signed_in};
use crate::catalog::{self, Offer};
use crate::db::Tenant;
use crate::error::Error;
use crate::global_id;

/// Where a price comes from.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "pricing::PriceBasis")]
pub enum PriceBasis {
    /// The vendor's answer to a quote request.
    Quote,
    /// Agreed on with the organization.
    Contract,
    /// A package, or its price per credit.
    Package,
    /// A volume tier.
    Volume,
}

/// A price that may count for a quantity.
#[derive(SimpleObject)]
pub struct PriceCandidate {
    /// Where it comes from.
    basis: PriceBasis,
    /// From how many credits on.
    from_credits: CreditsScalar,
    /// What a credit costs.
    unit_price: UnitPriceObject,
    /// What it is called: the package's code, say.
    label: String,
    /// Whether it is the one that counts.
    chosen: bool,
}

/// What credits would cost now.
#[derive(SimpleObject)]
pub struct PurchaseQuote {
    /// How many credits.
    credits: CreditsScalar,
    /// What a credit costs.
    unit_price: UnitPriceObject,
    /// What they cost together: the price per credit times the credits, rounded half to even to the minor unit, but at least
    /// one minor unit. A package costs what it says.
    total: MoneyObject,
    /// For how many days they can be used once paid. Null: for ever.
    lifetime_days: Option<i64>,
    /// Until when it can be bought at this price: with `token`, or by `requestPurchase` in the same words now.
    valid_until: DateTime,
    /// What `requestPurchase` takes as `quoteToken`: what is requested with it until `validUntil` costs this, whatever
    /// prices do meanwhile. Null for what the vendor has answered: that is bought by `quoteId`.
    token: Option<String>,
    /// Where the price comes from.
    basis: PriceBasis,
    /// The package, also when another price makes it cheaper: its credits last at least as long as the package says. Null
    /// when it is no whole package.
    package: Option<Package>,
    /// All prices that reach the quantity, the one that counts first.
    considered: Vec<PriceCandidate>,
    /// Why this price counts, as a sentence.
    explanation: String,
}

/// What credits would cost now, or why they have no price.
#[derive(SimpleObject, Default)]
pub struct PurchaseQuotePayload {
    /// What they would cost.
    quote: Option<PurchaseQuote>,
    /// Why they have no price. Empty when they have.
    user_errors: Vec<UserError>,
}

impl PurchaseQuotePayload {
    /// There is no price.
    pub fn refused(error: UserError) -> PurchaseQuotePayload {
        PurchaseQuotePayload { quote: None, user_errors: vec![error] }
    }
}

impl PurchaseQuotePayload {
    /// What an offer says, with the token to buy with at its price.
    pub fn of(offer: Offer, token: Option<String>) -> PurchaseQuotePayload {
        let (explanation, is_package) = (offer.explanation(), offer.is_package());
        let candidate = |(index, candidate): (usize, &Candidate)| PriceCandidate {
            basis: candidate.basis.into(),
            from_credits: CreditsScalar(candidate.from),
            unit_price: UnitPriceObject::from((candidate.unit, offer.currency)),
            label: candidate.label.clone(),
            chosen: index == 0,
        };
        let considered = offer.considered.iter().enumerate().map(candidate).collect();
        let quote = PurchaseQuote {
            credits: CreditsScalar(offer.credits),
            unit_price: UnitPriceObject::from((offer.unit_price, offer.currency)),
            total: Money { minor: offer.total, currency: offer.currency }.into(),
            lifetime_days: offer.lifetime_days,
            valid_until: DateTime(offer.valid_until),
            token,
            basis: offer.basis.into(),
            package: is_package.then_some(Package(offer.package)),
            considered,
            explanation,
        };
        PurchaseQuotePayload { quote: Some(quote), user_errors: Vec::new() }
    }
}

/// What a credit costs anybody from so many credits on.
#[derive(SimpleObject)]
pub struct VolumeTier {
    /// From how many credits on.
    from_credits: CreditsScalar,
    /// What a credit costs.
    unit_price: UnitPriceObject,
    /// For how many days the credits can be used once paid. Null: for ever.
    lifetime_days: Option<i64>,
}

impl VolumeTier {
    /// A tier of a list in a currency.
    pub fn of(row: price_tier::Model, currency: Currency) -> VolumeTier {
        VolumeTier {
            from_credits: CreditsScalar(row.from_credits),
            unit_price: UnitPriceObject::from((row.unit_price, currency)),
            lifetime_days: row.lifetime_days,
        }
    }
}

/// What a credit costs an organization, as agreed on with it.
pub struct ContractPrice(pub contract_price::Model);

impl ContractPrice {
    /// The price with a global id, when the caller sees all purchases of the organization.
    pub async fn find(request: &Request, id: &str) -> Result<ContractPrice, Error> {
        let (caller, id) = (request.caller()?, decode::<ContractPriceId>(id, "contract price")?);
        let condition = contract_price::Column::Id.eq(id);
        let organization = |row: &contract_price::Model| row.organization_id;
        let found = caller
            .row::<contract_price::Entity>(&request.snapshots, condition, organization, "contract price")
            .await?;
        let (organization, row) = found;
        match caller.may_in_organization(organization, Action::ReadPurchases) {
            true => Ok(ContractPrice(row)),
            false => Err(Error::not_found("contract price")),
        }
    }
}

/// What a credit costs an organization from so many credits on, as agreed on with it.
#[Object]
impl ContractPrice {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode(self.0.id))
    }

    /// From how many credits on.
    async fn from_credits(&self) -> CreditsScalar {
        CreditsScalar(self.0.from_credits)
    }

    /// What a credit costs.
    async fn unit_price(&self) -> UnitPriceObject {
        UnitPriceObject::from((self.0.unit_price, self.0.currency))
    }

    /// For how many days the credits can be used once paid. Null: for ever.
    async fn lifetime_days(&self) -> Option<i64> {
        self.0.lifetime_days
    }

    /// From when it holds.
    async fn effective_from(&self) -> DateTime {
        DateTime(self.0.effective_from)
    }

    /// From when it holds no more. Null: it goes on. As long as another one from the same quantity on holds that began
    /// later, that one counts.
    async fn ends_at(&self) -> Option<DateTime> {
        self.0.ends_at.map(DateTime)
    }

    /// Why, in the words of whoever agreed to it.
    async fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }
}

/// What credits cost an organization.
pub struct OrganizationPrices(organization::Model);

impl OrganizationPrices {
    /// Those of an organization, for whoever sees all of its purchases.
    pub fn of(request: &Request, organization: &Organization) -> Result<OrganizationPrices, Error> {
        organization.require(request, Action::ReadPurchases)?;
        Ok(OrganizationPrices(organization.0.clone()))
    }

    fn tenant(&self) -> Tenant {
        // Only made for those who may see it.
        Tenant::vouched(self.0.id)
    }
}

/// What credits cost an organization: what they cost anybody, and what was agreed on with it. What counts for a quantity
/// says `quotePurchase`.
#[Object]
impl OrganizationPrices {
    /// The volume tiers that hold now, in the organization's currency (as long as it has none, in US dollars), from the
    /// smallest quantity up.
    async fn volume_tiers(&self, ctx: &Context<'_>) -> Option<Result<Vec<VolumeTier>, ApiError>> {
        let list = Box::pin(async {
            let request = signed_in(ctx)?;
            let currency = catalog::currency(&self.0, None)?;
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let tiers = catalog::tiers(&snapshot, currency, request.now()).await?;
            Ok(tiers.into_iter().map(|row| VolumeTier::of(row, currency)).collect())
        });
        Some(list.await)
    }

    /// Prices that were agreed on with it, newest first: those to come and those that have ended as well. With a sandbox
    /// nothing is agreed on: those of its organization hold there, as `quotePurchase` says.
    async fn contract_prices(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<ContractPrice>, ApiError>> {
        let list = Box::pin(async {
            let select = self.tenant().find::<contract_price::Entity>();
            let snapshot = signed_in(ctx)?.snapshots.open(self.tenant()).await?;
            let order = (contract_price::Column::Id, Order::Desc);
            let page = PageArgs { first, after, last, before };
            connection(ctx, &snapshot, select, order, page, |row| row.id, ContractPrice).await
        });
        Some(list.await)
    }

    /// Prices that it has asked the vendor for, newest first.
    async fn quotes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, at most 100.")] first: Option<i32>,
        #[graphql(desc = "From after this cursor on.")] after: Option<String>,
        #[graphql(desc = "How many from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Up to before this cursor.")] before: Option<String>,
    ) -> Option<Result<NodeConnection<Quote>, ApiError>> {
        let list = Box::pin(async {
            let select = self.tenant().find::<quote::Entity>();
            let snapshot = signed_in(ctx)?.snapshots.open(self.tenant()).await?;
            let order = (quote::Column::Id, Order::Desc);
            let page = PageArgs { first, after, last, before };
            connection(ctx, &snapshot, select, order, page, |row| row.id, Quote).await
        });
        Some(list.await)
    }
}
