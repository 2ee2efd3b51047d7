//! Payments: attempts at paying a purchase.

use async_graphql::{Context, Enum, ID, Object};
use bursar_domain::Money;
use bursar_domain::id::PaymentId;
use bursar_domain::permission::Action;
use bursar_domain::purchase as states;
use bursar_entity::payment;
use sea_orm::ColumnTrait;

use super::errors::ApiError;
use super::node::{decode, found};
use super::purchase::Purchase;
use super::scalars::{DateTime, MoneyObject};
use super::{Request, request};
use crate::error::Error;
use crate::global_id;

/// Who takes the money.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "states::PaymentProvider")]
pub enum PaymentProvider {
    /// The embedded checkout page, which moves no real money.
    Sandbox,
    /// Stripe's hosted checkout.
    Stripe,
    /// The vendor, by an invoice.
    Invoice,
}

/// Where an attempt at paying stands.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "states::PaymentState")]
pub enum PaymentState {
    /// The checkout can be paid or cancelled, or the invoice is out.
    Open,
    /// The buyer has paid by a way that takes days; the money is not there yet.
    Pending,
    /// Money has come for it that is not as agreed on, or comes too late: the vendor decides what becomes of that, and nobody
    /// is to pay again.
    Parked,
    /// The money is there.
    Paid,
    /// The provider reported a final failure.
    Failed,
    /// Given up, or replaced by another attempt.
    Cancelled,
}

/// An attempt at paying a purchase.
pub struct Payment(pub payment::Model);

impl Payment {
    /// The payment with a global id, when the caller may see the purchase.
    pub async fn find(request: &Request, id: &str) -> Result<Payment, Error> {
        let (caller, id) = (request.caller()?, decode::<PaymentId>(id, "payment")?);
        let condition = payment::Column::Id.eq(id);
        let organization = |row: &payment::Model| row.organization_id;
        let found =
            caller.row::<payment::Entity>(&request.snapshots, condition, organization, "payment").await?;
        let (_, row) = found;
        let purchase = caller.purchase(&request.snapshots, row.purchase_id, Action::ReadPurchases).await;
        match purchase {
            Ok(_) => Ok(Payment(row)),
            Err(_) => Err(Error::not_found("payment")),
        }
    }
}

/// An attempt at paying a purchase.
#[Object]
impl Payment {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode(self.0.id))
    }

    /// The purchase.
    async fn purchase(&self, ctx: &Context<'_>) -> Option<Result<Purchase, ApiError>> {
        let find =
            async { found(Purchase::find(request(ctx)?, &global_id::encode(self.0.purchase_id)).await) };
        find.await.transpose()
    }

    /// Who takes the money.
    async fn provider(&self) -> PaymentProvider {
        self.0.provider.into()
    }

    /// Where it stands.
    async fn state(&self) -> PaymentState {
        self.0.state.into()
    }

    /// How much is asked for. Of an invoice less may have come, when a part was credited: see `Invoice.paid`.
    async fn amount(&self) -> MoneyObject {
        Money { minor: self.0.amount, currency: self.0.currency }.into()
    }

    /// When it was started.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When the money arrived.
    async fn paid_at(&self) -> Option<DateTime> {
        self.0.paid_at.map(DateTime)
    }

    /// Why it has failed, in the provider's word; `not_as_agreed` when the vendor has decided otherwise about its money. Null
    /// when neither is so.
    async fn failure(&self) -> Option<&str> {
        self.0.failure.as_deref()
    }
}
