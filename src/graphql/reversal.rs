//! Payments that were returned or are disputed, and how an organization's money adds up.

use async_graphql::{Context, Enum, ID, Object, SimpleObject};
use bursar_domain::Money;
use bursar_domain::id::{PurchaseId, ReversalId};
use bursar_domain::invoice::DocumentKind;
use bursar_domain::permission::Action;
use bursar_domain::reversal as states;
use bursar_entity::{document, organization, payment, reversal};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};

use super::errors::ApiError;
use super::node::{decode, found};
use super::numbered_document::Document;
use super::payment::Payment;
use super::purchase::Purchase;
use super::scalars::{CreditsScalar, DateTime, MoneyObject};
use super::{Request, request};
use crate::db::Tenant;
use crate::error::Error;
use crate::{global_id, purchases};

/// Why a payment is reversed.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "states::ReversalKind")]
pub enum ReversalKind {
    /// The vendor gives money back.
    Refund,
    /// The buyer's bank asks for it.
    Dispute,
}

/// Where a reversal stands.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "states::ReversalState")]
pub enum ReversalState {
    /// The provider was asked for the refund, or has not carried it out yet.
    Pending,
    /// The dispute is open: what is left of the credits is held.
    Open,
    /// The money is back at the buyer's.
    Succeeded,
    /// The refund was not carried out.
    Failed,
    /// The dispute was won: the money stays.
    Won,
    /// The dispute was lost: the money is gone.
    Lost,
}

/// A payment that was returned, in whole or in part, or is disputed.
pub struct Reversal {
    row: reversal::Model,
    /// Whether it is one that is not there: a rehearsal made it.
    rehearsed: bool,
}

impl Reversal {
    /// A reversal; one of a rehearsal leads to nothing that only it has made.
    pub fn new(row: reversal::Model, rehearsed: bool) -> Reversal {
        Reversal { row, rehearsed }
    }

    /// The reversal with a global id, when the caller may see the purchase.
    pub async fn find(request: &Request, id: &str) -> Result<Reversal, Error> {
        let (caller, id) = (request.caller()?, decode::<ReversalId>(id, "reversal")?);
        let found = caller.reversal(&request.snapshots, id, Action::ReadPurchases).await?;
        Ok(Reversal::new(found.into_value(), false))
    }

    /// The reversals of a purchase that the caller may see, newest first.
    pub async fn of_purchase(
        request: &Request,
        tenant: Tenant,
        purchase: PurchaseId,
    ) -> Result<Vec<Reversal>, Error> {
        let snapshot = request.snapshots.open(tenant).await?;
        let rows = tenant
            .find::<reversal::Entity>()
            .filter(reversal::Column::PurchaseId.eq(purchase))
            .order_by_desc(reversal::Column::Id);
        let rows = rows.all(&*snapshot).await?;
        Ok(rows.into_iter().map(|row| Reversal::new(row, false)).collect())
    }

    fn tenant(&self) -> Tenant {
        // Only reversals of purchases that the caller may see become objects.
        Tenant::vouched(self.row.organization_id)
    }

    async fn note(&self, request: &Request) -> Result<Option<document::Model>, Error> {
        if self.rehearsed {
            return Ok(None);
        }
        let (tenant, id) = (self.tenant(), global_id::encode(self.row.id));
        let snapshot = request.snapshots.open(tenant).await?;
        let notes = tenant
            .find::<document::Entity>()
            .filter(document::Column::PurchaseId.eq(self.row.purchase_id))
            .filter(document::Column::Kind.eq(DocumentKind::CreditNote))
            .all(&*snapshot)
            .await?;
        // It says which reversal it is for.
        Ok(notes.into_iter().find(|row| row.content.contains(&id)))
    }
}

/// A payment that was returned, in whole or in part, or is disputed.
#[Object]
impl Reversal {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode(self.row.id))
    }

    /// The purchase.
    async fn purchase(&self, ctx: &Context<'_>) -> Option<Result<Purchase, ApiError>> {
        let find = Box::pin(async {
            found(Purchase::find(request(ctx)?, &global_id::encode(self.row.purchase_id)).await)
        });
        find.await.transpose()
    }

    /// The payment.
    async fn payment(&self, ctx: &Context<'_>) -> Option<Result<Payment, ApiError>> {
        let find = Box::pin(async {
            let snapshot = request(ctx)?.snapshots.open(self.tenant()).await?;
            let row = self.tenant().find::<payment::Entity>();
            let row = row.filter(payment::Column::Id.eq(self.row.payment_id)).one(&*snapshot).await;
            Ok(row.map_err(Error::from)?.map(Payment))
        });
        find.await.transpose()
    }

    /// Why the payment is reversed.
    async fn kind(&self) -> ReversalKind {
        self.row.kind.into()
    }

    /// Where it stands.
    async fn state(&self) -> ReversalState {
        self.row.state.into()
    }

    /// How much money.
    async fn amount(&self) -> MoneyObject {
        Money { minor: self.row.amount, currency: self.row.currency }.into()
    }

    /// How many credits it takes back, wherever they lie. What has been used of them is debt of the purchase's pool.
    async fn credits(&self) -> CreditsScalar {
        CreditsScalar(self.row.credits)
    }

    /// How many credits the open dispute has found and holds; of a refund, how many were held for charges to come when it was
    /// booked: they are taken back once they are let go, and owed once they are used.
    async fn held_credits(&self) -> CreditsScalar {
        CreditsScalar(self.row.held_credits)
    }

    /// Why, in the vendor's words.
    async fn reason(&self) -> Option<&str> {
        self.row.reason.as_deref()
    }

    /// When it was asked for, or told of.
    async fn created_at(&self) -> DateTime {
        DateTime(self.row.created_at)
    }

    /// When its end was booked in the ledger, all of it. Null while it has none, or something stands in the way of a part: a
    /// pool that is closed, say, or an open dispute that holds what a refund would take.
    async fn booked_at(&self) -> Option<DateTime> {
        self.row.booked_at.map(DateTime)
    }

    /// The credit note. Null until the money is back at the buyer's.
    async fn credit_note(&self, ctx: &Context<'_>) -> Option<Result<Document, ApiError>> {
        let find = Box::pin(async { Ok(self.note(request(ctx)?).await?.map(Document)) });
        find.await.transpose()
    }
}

/// The money of an organization's credits: `paid` is what became of it, `consumed + expired + deferred + refunded - debt +
/// adjustments + corrected`, to the smallest unit of the currency.
#[derive(SimpleObject)]
pub struct Reconciliation {
    /// What all credits cost that came in.
    paid: MoneyObject,
    /// What the credits cost that were used.
    consumed: MoneyObject,
    /// What the credits cost that lapsed.
    expired: MoneyObject,
    /// What the credits cost that are still there.
    deferred: MoneyObject,
    /// What was given back to the buyer.
    refunded: MoneyObject,
    /// What was given back for credits that are still owed.
    debt: MoneyObject,
    /// By how much the credits that were taken back or settled a debt cost more than was given back for them.
    adjustments: MoneyObject,
    /// What the credits cost that corrections took out.
    corrected: MoneyObject,
    /// What does not add up: nothing.
    difference: MoneyObject,
}

/// The money of an organization, when it has a currency. The caller may see it.
pub async fn reconciliation(request: &Request, tenant: Tenant) -> Result<Option<Reconciliation>, Error> {
    let snapshot = request.snapshots.open(tenant).await?;
    let organization = tenant.find::<organization::Entity>().one(&*snapshot).await?;
    let Some(currency) = organization.and_then(|row| row.currency) else { return Ok(None) };
    let sums = purchases::reconciliation(&snapshot, tenant).await?;
    let money = |minor: i64| MoneyObject::from(Money { minor, currency });
    Ok(Some(Reconciliation {
        paid: money(sums.paid),
        consumed: money(sums.consumed),
        expired: money(sums.expired),
        deferred: money(sums.deferred),
        refunded: money(sums.refunded),
        debt: money(sums.debt),
        adjustments: money(sums.adjustments),
        corrected: money(sums.corrected),
        difference: money(sums.difference()),
    }))
}
