//! Prices that the vendor is asked for.

use async_graphql::{Context, Enum, ID, Object};
use bursar_domain::Money;
use bursar_domain::permission::Action;
use bursar_domain::pricing::QuoteState as State;
use bursar_domain::purchase::PurchaseState;
use bursar_entity::{purchase, quote};
use sea_orm::{ColumnTrait, QueryFilter};

use super::errors::ApiError;
use super::member::{User, person};
use super::node::authorized;
use super::pool::{Pool, pool_of};
use super::purchase::Purchase;
use super::scalars::{CreditsScalar, DateTime, MoneyObject, UnitPriceObject};
use super::{Request, request, signed_in};
use crate::db::Tenant;
use crate::error::Error;
use crate::global_id;

/// Where a quote stands.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "State")]
pub enum QuoteState {
    /// Nobody has answered yet.
    Requested,
    /// There is a price; it can be bought as long as that holds.
    Answered,
    /// The vendor does not sell so many.
    Declined,
    /// It was bought, by a purchase that is paid or may still be.
    Used,
    /// The organization wants none any longer.
    Withdrawn,
    /// Nobody has answered in time, or the price holds no more. The vendor may still answer.
    Expired,
}

/// A price that the vendor was asked for.
pub struct Quote(pub quote::Model);

impl Quote {
    /// The quote with a global id, when the caller may see purchases of the pool.
    pub async fn find(request: &Request, id: &str) -> Result<Quote, Error> {
        Ok(Quote(authorized::<quote::Model>(request, id, Action::ReadPurchases).await?.into_value()))
    }

    fn tenant(&self) -> Tenant {
        // Only quotes that the caller may see become objects.
        Tenant::vouched(self.0.organization_id)
    }
}

/// A price of credits that the vendor was asked for, and the answer.
#[Object]
impl Quote {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode(self.0.id))
    }

    /// The pool that the credits are for.
    async fn pool(&self, ctx: &Context<'_>) -> Option<Result<Pool, ApiError>> {
        pool_of(ctx, self.0.pool_id).await
    }

    /// Who asked for it, as long as they belong to the organization.
    async fn requested_by(&self, ctx: &Context<'_>) -> Option<Result<User, ApiError>> {
        let load =
            Box::pin(async { person(signed_in(ctx)?, self.0.organization_id, self.0.requested_by).await });
        load.await.transpose()
    }

    /// Where it stands.
    async fn state(&self) -> QuoteState {
        self.0.state.into()
    }

    /// How many credits.
    async fn credits(&self) -> CreditsScalar {
        CreditsScalar(self.0.credits)
    }

    /// What a credit costs. Null as long as there is no price.
    async fn unit_price(&self) -> Option<UnitPriceObject> {
        self.0.unit_price.map(|unit| UnitPriceObject::from((unit, self.0.currency)))
    }

    /// What they cost together. Null as long as there is no price.
    async fn total(&self) -> Option<MoneyObject> {
        self.0.total.map(|minor| Money { minor, currency: self.0.currency }.into())
    }

    /// For how many days the credits can be used once paid. Null: for ever, or there is no price.
    async fn lifetime_days(&self) -> Option<i64> {
        self.0.lifetime_days
    }

    /// Until when the price holds. A purchase that is requested by then has it for some days more.
    async fn valid_until(&self) -> Option<DateTime> {
        self.0.valid_until.map(DateTime)
    }

    /// Why it is wanted.
    async fn note(&self) -> Option<&str> {
        self.0.note.as_deref()
    }

    /// What the vendor says with the answer.
    async fn answer(&self) -> Option<&str> {
        self.0.answer.as_deref()
    }

    /// When it was asked for.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// Until when it waits for an answer. Null: it was asked for before requests ran out.
    async fn expires_at(&self) -> Option<DateTime> {
        self.0.expires_at.map(DateTime)
    }

    /// When it was answered, last.
    async fn answered_at(&self) -> Option<DateTime> {
        self.0.answered_at.map(DateTime)
    }

    /// The purchase that it was bought with, unless that was cancelled or has expired: then it can be bought again.
    async fn purchase(&self, ctx: &Context<'_>) -> Option<Result<Purchase, ApiError>> {
        let find = Box::pin(async {
            let snapshot = request(ctx)?.snapshots.open(self.tenant()).await?;
            let row = self.tenant().find::<purchase::Entity>();
            let row = row
                .filter(purchase::Column::QuoteId.eq(self.0.id))
                .filter(purchase::Column::State.is_not_in(PurchaseState::UNPAID_ENDS))
                .one(&*snapshot)
                .await;
            Ok(row.map_err(Error::from)?.map(Purchase::stored))
        });
        find.await.transpose()
    }
}
