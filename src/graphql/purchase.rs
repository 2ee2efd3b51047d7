//! Purchases.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object};
use bursar_domain::Money;
use bursar_domain::permission::Action;
use bursar_domain::purchase as states;
use bursar_entity::{lot, payment, purchase};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};

use super::approval_request::ApprovalRequest;
use super::catalog::Package;
use super::credit_request::CreditRequest;
use super::errors::ApiError;
use super::invoice::Invoice;
use super::lot::Lot;
use super::member::User;
use super::node::{authorized, found};
use super::numbered_document::Document;
use super::payment::Payment;
use super::pool::{Pool, pool_of};
use super::price::PriceBasis;
use super::quote::Quote;
use super::reversal::Reversal;
use super::scalars::{CreditsScalar, DateTime, MoneyObject, UnitPriceObject};
use super::{Request, request, signed_in};
use crate::approvals::Tried;
use crate::db::Tenant;
use crate::error::Error;
use crate::purchases::Rehearsed;
use crate::{approvals, catalog, global_id, purchases};

/// Where a purchase stands.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "states::PurchaseState")]
pub enum PurchaseState {
    /// Waits for the people whom the approval policy names.
    PendingApproval,
    /// May be paid.
    Approved,
    /// A checkout is open, or an invoice is out.
    AwaitingPayment,
    /// Paid, and the credits are in the pool, or come into it when it is opened again.
    Completed,
    /// An approver said no.
    Rejected,
    /// Withdrawn before it was paid.
    Cancelled,
    /// Not paid while its price was valid.
    Expired,
    /// The payment provider reported a final failure.
    PaymentFailed,
    /// The payment was returned.
    Refunded,
}

/// Why a purchase counts as approved.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "states::ApprovalBasis")]
pub enum ApprovalBasis {
    /// No rule of an approval policy asked for anybody's consent.
    Automatic,
    /// Everybody whom a rule names has agreed.
    People,
    /// The only owner has agreed to what they have asked for themselves, where nobody else could.
    SoleOwner,
}

/// A purchase of credits.
pub struct Purchase(pub purchase::Model, pub Option<Arc<Tried>>, pub Option<Arc<Rehearsed>>);

impl Purchase {
    /// One as it is stored, not as it was only tried.
    pub const fn stored(row: purchase::Model) -> Purchase {
        Purchase(row, None, None)
    }

    /// One as a rehearsal has left it, with what belongs to it; or as it is stored, when there was none.
    pub fn rehearsed(row: purchase::Model, rehearsed: Option<Arc<Rehearsed>>) -> Purchase {
        let tried = rehearsed.as_ref().and_then(|rehearsed| rehearsed.tried.clone());
        Purchase(row, tried, rehearsed)
    }

    /// The purchase with a global id, when the caller may see purchases of the pool.
    pub async fn find(request: &Request, id: &str) -> Result<Purchase, Error> {
        Ok(Purchase::stored(
            authorized::<purchase::Model>(request, id, Action::ReadPurchases).await?.into_value(),
        ))
    }

    fn money(&self, minor: i64) -> MoneyObject {
        Money { minor, currency: self.0.currency }.into()
    }

    fn tenant(&self) -> Tenant {
        // Only purchases that the caller may see become objects.
        Tenant::vouched(self.0.organization_id)
    }
}

/// A purchase of credits.
#[Object]
impl Purchase {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode(self.0.id))
    }

    /// The pool that the credits are for.
    async fn pool(&self, ctx: &Context<'_>) -> Option<Result<Pool, ApiError>> {
        pool_of(ctx, self.0.pool_id).await
    }

    /// The package that is bought, in the version that was requested. Null when so many credits are bought.
    async fn package(&self, ctx: &Context<'_>) -> Option<Result<Package, ApiError>> {
        let find = Box::pin(async {
            let snapshot = request(ctx)?.snapshots.open(self.tenant()).await?;
            let package = catalog::package_of_version(&snapshot, self.0.package_version_id).await?;
            Ok(package.filter(|package| purchases::is_package(&self.0, package)).map(Package))
        });
        find.await.transpose()
    }

    /// Where it stands.
    async fn state(&self) -> PurchaseState {
        self.0.state.into()
    }

    /// Why it counts as approved. Null while it does not.
    async fn approval_basis(&self) -> Option<ApprovalBasis> {
        self.0.approval_basis.map(ApprovalBasis::from)
    }

    /// How many credits, as requested.
    async fn credits(&self) -> CreditsScalar {
        CreditsScalar(self.0.credits)
    }

    /// The price, as requested, or lower when it had fallen at the checkout.
    async fn total(&self) -> MoneyObject {
        self.money(self.0.total)
    }

    /// What a credit costs.
    async fn unit_price(&self) -> UnitPriceObject {
        (self.0.unit_price, self.0.currency).into()
    }

    /// Where the price comes from.
    async fn price_basis(&self) -> PriceBasis {
        self.0.price_basis.into()
    }

    /// The vendor's answer that it is bought by. Null when it has another price, and for those who may not see it.
    async fn quote(&self, ctx: &Context<'_>) -> Option<Result<Quote, ApiError>> {
        let find = Box::pin(async {
            let Some(id) = self.0.quote_id else { return Ok(None) };
            found(Quote::find(request(ctx)?, &global_id::encode(id)).await)
        });
        find.await.transpose()
    }

    /// Who asked for it, as long as they belong to the organization.
    async fn requested_by(&self, ctx: &Context<'_>) -> Option<Result<User, ApiError>> {
        let load = Box::pin(async {
            let request = signed_in(ctx)?;
            super::member::person(request, self.0.organization_id, self.0.requested_by).await
        });
        load.await.transpose()
    }

    /// Why it is wanted.
    async fn note(&self) -> Option<&str> {
        self.0.note.as_deref()
    }

    /// The buyer's own number of the order, for its invoice.
    async fn purchase_order(&self) -> Option<&str> {
        self.0.purchase_order.as_deref()
    }

    /// What people are asked about it. Null when nobody's consent was ever needed, and for those who may not see it.
    async fn approval_request(&self, ctx: &Context<'_>) -> Option<Result<ApprovalRequest, ApiError>> {
        let find = Box::pin(async {
            let request = request(ctx)?;
            if let Some(tried) = &self.1 {
                return ApprovalRequest::of_tried(request, tried).map_err(ApiError::from);
            }
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let row = approvals::find_of_purchase(&snapshot, self.tenant(), self.0.id).await?;
            drop(snapshot);
            let Some(row) = row else { return Ok(None) };
            found(ApprovalRequest::find(request, &global_id::encode(row.id)).await)
        });
        find.await.transpose()
    }

    /// The credit request that it answers. Null for those who may not see it.
    async fn credit_request(&self, ctx: &Context<'_>) -> Option<Result<CreditRequest, ApiError>> {
        let find = Box::pin(async {
            let Some(id) = self.0.credit_request_id else { return Ok(None) };
            found(CreditRequest::find(request(ctx)?, &global_id::encode(id)).await)
        });
        find.await.transpose()
    }

    /// Until when the price holds.
    async fn valid_until(&self) -> DateTime {
        DateTime(self.0.valid_until)
    }

    /// When it was asked for.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it was paid and the credits came in.
    async fn completed_at(&self) -> Option<DateTime> {
        self.0.completed_at.map(DateTime)
    }

    /// The credits that came in with it.
    async fn lot(&self, ctx: &Context<'_>) -> Option<Result<Lot, ApiError>> {
        let find = Box::pin(async {
            let request = signed_in(ctx)?;
            if !request.caller()?.may_read_ledger(self.0.organization_id, self.0.pool_id) {
                return Ok(None);
            }
            let snapshot = request.snapshots.open(self.tenant()).await?;
            let row = self.tenant().find::<lot::Entity>().filter(lot::Column::PurchaseId.eq(self.0.id));
            Ok(row.one(&*snapshot).await.map_err(Error::from)?.map(Lot))
        });
        find.await.transpose()
    }

    /// How many of the credits settled what the pool owed when they came in: those could never be used. Null as long as
    /// none have come in.
    async fn settled_debt(&self, ctx: &Context<'_>) -> Option<Result<CreditsScalar, ApiError>> {
        let find = Box::pin(async {
            let snapshot = request(ctx)?.snapshots.open(self.tenant()).await?;
            let settled = purchases::settled_debt(&snapshot, self.tenant(), self.0.id).await?;
            Ok(settled.map(CreditsScalar))
        });
        find.await.transpose()
    }

    /// The attempts at paying it, newest first.
    async fn payments(&self, ctx: &Context<'_>) -> Option<Result<Vec<Payment>, ApiError>> {
        let list = Box::pin(async {
            if let Some(rehearsed) = &self.2 {
                return Ok(rehearsed.payments.iter().cloned().map(Payment).collect());
            }
            let snapshot = request(ctx)?.snapshots.open(self.tenant()).await?;
            let rows = self
                .tenant()
                .find::<payment::Entity>()
                .filter(payment::Column::PurchaseId.eq(self.0.id))
                .order_by_desc(payment::Column::Id);
            let rows = rows.all(&*snapshot).await.map_err(Error::from)?;
            Ok(rows.into_iter().map(Payment).collect())
        });
        Some(list.await)
    }

    /// The invoice by which it was bought. Null when it was not.
    async fn invoice(&self, ctx: &Context<'_>) -> Option<Result<Invoice, ApiError>> {
        let find = Box::pin(async {
            if let Some(rehearsed) = &self.2 {
                let invoice = rehearsed.invoice.clone();
                return Ok(invoice.map(|(row, paid)| Invoice::with_payments(row, paid)));
            }
            Ok(Invoice::of_purchase(request(ctx)?, self.tenant(), self.0.id).await?)
        });
        find.await.transpose()
    }

    /// What was returned of its payment, or is disputed, newest first.
    async fn reversals(&self, ctx: &Context<'_>) -> Option<Result<Vec<Reversal>, ApiError>> {
        let list = Box::pin(async {
            if let Some(rehearsed) = &self.2 {
                let rows = rehearsed.reversals.iter().cloned();
                return Ok(rows.map(|row| Reversal::new(row, false)).collect());
            }
            Ok(Reversal::of_purchase(request(ctx)?, self.tenant(), self.0.id).await?)
        });
        Some(list.await)
    }

    /// The receipt, the invoice and the credit notes, newest first.
    async fn documents(&self, ctx: &Context<'_>) -> Option<Result<Vec<Document>, ApiError>> {
        let list = Box::pin(async {
            if let Some(rehearsed) = &self.2 {
                return Ok(rehearsed.documents.iter().cloned().map(Document).collect());
            }
            Ok(Document::of_purchase(request(ctx)?, self.tenant(), self.0.id).await?)
        });
        Some(list.await)
    }

    /// How much of its total was taken back: what was returned of its payment, or credited of its invoice, whether or not
    /// that was paid. What the buyer gets back of an invoice is `Invoice.returned`.
    async fn returned(&self) -> MoneyObject {
        self.money(self.0.returned)
    }
}
