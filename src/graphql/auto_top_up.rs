//! Pools that buy by themselves, and the ways of paying that somebody has agreed to.

use async_graphql::{Context, Enum, ID, Object};
use bursar_domain::{Currency, Money, top_up as states};
use bursar_entity::{auto_top_up, organization, payment_method};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};

use super::catalog::Package;
use super::errors::ApiError;
use super::member::{User, person};
use super::node::found;
use super::pool::{Pool, pool_of};
use super::purchase::Purchase;
use super::scalars::{CreditsScalar, DateTime, MoneyObject};
use super::{Request, request, signed_in};
use crate::db::Tenant;
use crate::error::Error;
use crate::{catalog, global_id, purchases};

/// Where a pool's automatic top-up stands.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "states::TopUpState")]
pub enum TopUpState {
    /// It has no way of paying that somebody has agreed to.
    AwaitingConsent,
    /// It buys when the pool falls to the threshold.
    Ready,
    /// A purchase is under way.
    Charging,
    /// The last payment was declined, or somebody withdrew the purchase: it waits before it tries again.
    BackingOff,
    /// The bank wants the owner of the way of paying to be there: the purchase waits to be paid at a checkout.
    AuthenticationRequired,
    /// It is switched off, was declined too often, or somebody who was asked has said no. Setting it again lets it go on.
    Paused,
}

/// The automatic top-ups of an organization, for those who may see its purchases.
pub async fn all(request: &Request, tenant: Tenant) -> Result<Vec<AutoTopUp>, Error> {
    let snapshot = request.snapshots.open(tenant).await?;
    let rows = tenant.find::<auto_top_up::Entity>().order_by_asc(auto_top_up::Column::PoolId);
    let rows = rows.all(&*snapshot).await?;
    Ok(rows.into_iter().map(AutoTopUp).collect())
}

/// How a pool buys by itself.
pub struct AutoTopUp(pub auto_top_up::Model);

impl AutoTopUp {
    fn tenant(&self) -> Tenant {
        // Only rows of organizations whose purchases the caller may see become objects.
        Tenant::vouched(self.0.organization_id)
    }

    /// The organization, and what it buys in.
    async fn buyer(&self, request: &Request) -> Result<(organization::Model, Currency), Error> {
        let snapshot = request.snapshots.open(self.tenant()).await?;
        let row = self.tenant().find::<organization::Entity>().one(&*snapshot).await?;
        let row = row.ok_or(Error::not_found("organization"))?;
        let currency = catalog::currency(&row, None)?;
        Ok((row, currency))
    }
}

/// How a pool buys a package by itself when its credits run out.
#[Object]
impl AutoTopUp {
    /// The pool.
    async fn pool(&self, ctx: &Context<'_>) -> Option<Result<Pool, ApiError>> {
        pool_of(ctx, self.0.pool_id).await
    }

    /// Whether it is switched on. A refund or a dispute of one of its purchases switches it off.
    async fn enabled(&self) -> bool {
        self.0.enabled
    }

    /// It buys at so many available credits, and below.
    async fn threshold(&self) -> CreditsScalar {
        CreditsScalar(self.0.threshold)
    }

    /// What it buys, as it is now.
    async fn package(&self, ctx: &Context<'_>) -> Option<Result<Package, ApiError>> {
        let find = Box::pin(async {
            let request = signed_in(ctx)?;
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let all = catalog::packages(&snapshot, request.now()).await?;
            Ok(all.into_iter().find(|item| item.row.id == self.0.package_id).map(Package))
        });
        find.await.transpose()
    }

    /// The most that it spends in a calendar month of the organization. Null: no limit.
    async fn monthly_maximum(&self, ctx: &Context<'_>) -> Option<Result<MoneyObject, ApiError>> {
        let find = Box::pin(async {
            let Some(minor) = self.0.monthly_maximum else { return Ok(None) };
            let (_, currency) = self.buyer(signed_in(ctx)?).await?;
            Ok(Some(MoneyObject::from(Money { minor, currency })))
        });
        find.await.transpose()
    }

    /// What it has spent in this month. What is under way is among it, and so is a purchase that waits for somebody to pay
    /// it by hand (`AUTHENTICATION_REQUIRED`), since that may happen at any moment. Withdrawn or expired it counts no more.
    async fn spent_this_month(&self, ctx: &Context<'_>) -> Option<Result<MoneyObject, ApiError>> {
        let find = Box::pin(async {
            let request = signed_in(ctx)?;
            let (organization, currency) = self.buyer(request).await?;
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let (tenant, now) = (self.tenant(), request.now());
            let spent = purchases::spent_by_top_up(&snapshot, tenant, &organization, &self.0, now).await?;
            Ok(MoneyObject::from(Money { minor: spent, currency }))
        });
        Some(find.await)
    }

    /// Where it stands.
    async fn state(&self) -> TopUpState {
        self.0.state.into()
    }

    /// The purchase that is under way, or waits for somebody to pay it.
    async fn purchase(&self, ctx: &Context<'_>) -> Option<Result<Purchase, ApiError>> {
        let find = Box::pin(async {
            let Some(id) = self.0.purchase_id else { return Ok(None) };
            found(Purchase::find(request(ctx)?, &global_id::encode(id)).await)
        });
        find.await.transpose()
    }

    /// How often it was declined since it last went well.
    async fn declines(&self) -> i64 {
        self.0.declines
    }

    /// It is not tried again before this.
    async fn retry_at(&self) -> Option<DateTime> {
        self.0.retry_at.map(DateTime)
    }

    /// Why nothing was bought last: the payment provider's word for a decline, or a sentence.
    async fn last_error(&self) -> Option<&str> {
        self.0.last_error.as_deref()
    }

    /// How it pays, or is to pay once somebody has agreed.
    async fn payment_method(&self, ctx: &Context<'_>) -> Option<Result<StoredPaymentMethod, ApiError>> {
        let find = Box::pin(async {
            let Some(id) = self.0.payment_method_id else { return Ok(None) };
            let snapshot = signed_in(ctx)?.snapshots.open(self.tenant()).await?;
            let row =
                self.tenant().find::<payment_method::Entity>().filter(payment_method::Column::Id.eq(id));
            Ok(row.one(&*snapshot).await.map_err(Error::from)?.map(StoredPaymentMethod))
        });
        find.await.transpose()
    }

    /// Who has set it, and asks for its purchases, as long as they belong to the organization.
    async fn set_by(&self, ctx: &Context<'_>) -> Option<Result<User, ApiError>> {
        let load = Box::pin(async { person(signed_in(ctx)?, self.0.organization_id, self.0.set_by).await });
        load.await.transpose()
    }
}

/// A way of paying that is used without anybody being there.
pub struct StoredPaymentMethod(pub payment_method::Model);

/// A way of paying that is used without anybody being there, once somebody has agreed to it.
#[Object]
impl StoredPaymentMethod {
    /// The global id.
    async fn id(&self) -> ID {
        ID(global_id::encode(self.0.id))
    }

    /// What people know it by: the brand and the last digits of a card. Null until it is given.
    async fn label(&self) -> Option<&str> {
        self.0.label.as_deref()
    }

    /// What is agreed to, word for word.
    async fn consent(&self) -> &str {
        &self.0.consent
    }

    /// Who was asked to agree, as long as they belong to the organization. Once it is agreed to, it is they who have: it takes
    /// the code of the mail to them.
    async fn consented_by(&self, ctx: &Context<'_>) -> Option<Result<User, ApiError>> {
        let load =
            Box::pin(async { person(signed_in(ctx)?, self.0.organization_id, self.0.consented_by).await });
        load.await.transpose()
    }

    /// When that was agreed to. Null: not yet.
    async fn consented_at(&self) -> Option<DateTime> {
        self.0.consented_at.map(DateTime)
    }

    /// Since when it is not used any more. Null: it is.
    async fn removed_at(&self) -> Option<DateTime> {
        self.0.removed_at.map(DateTime)
    }
}
