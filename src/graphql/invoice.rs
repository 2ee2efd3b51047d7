//! Invoices and what was paid of them.

use async_graphql::{Context, Enum, ID, Object};
use bursar_domain::Money;
use bursar_domain::id::PurchaseId;
use bursar_domain::invoice as states;
use bursar_domain::permission::Action;
use bursar_entity::{invoice, invoice_payment};
use sea_orm::{ColumnTrait, Order, QueryFilter};

use super::connection::{NodeConnection, PageArgs, connection};
use super::errors::ApiError;
use super::node::{decode, found};
use super::numbered_document::Document;
use super::purchase::Purchase;
use super::scalars::{DateTime, MoneyObject};
use super::{Request, request, signed_in};
use crate::auth::Authorized;
use crate::billing;
use crate::db::Tenant;
use crate::error::Error;
use crate::{global_id, purchases};

/// Where an invoice stands.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "states::InvoiceState")]
pub enum InvoiceState {
    /// It is to be paid.
    Open,
    /// A part of it has been paid.
    PartlyPaid,
    /// It has been paid, but for what was credited.
    Paid,
    /// The day is over by which it was to be paid.
    Overdue,
    /// It need not be paid any more: all of it was credited, also what had been paid of it.
    Credited,
}

/// An invoice.
pub struct Invoice {
    row: invoice::Model,
    /// What was paid of it, when that is known already: a rehearsed payment is nowhere else.
    payments: Option<Vec<invoice_payment::Model>>,
}

impl Invoice {
    /// An invoice that is there.
    pub fn new(row: invoice::Model) -> Invoice {
        Invoice { row, payments: None }
    }

    /// An invoice of which a payment has just been recorded, or rehearsed, with all that was paid of it by then.
    pub fn with_payments(row: invoice::Model, payments: Vec<invoice_payment::Model>) -> Invoice {
        Invoice { row, payments: Some(payments) }
    }

    /// The invoice with a global id, when the caller may see the purchase.
    pub async fn find(request: &Request, id: &str) -> Result<Invoice, Error> {
        Ok(Invoice::new(authorized(request, id, Action::ReadPurchases).await?.into_value()))
    }

    /// The invoice of a purchase that the caller sees, when there is one.
    pub async fn of_purchase(
        request: &Request,
        tenant: Tenant,
        purchase: PurchaseId,
    ) -> Result<Option<Invoice>, Error> {
        let snapshot = request.snapshots.open(tenant).await?;
        let row = tenant.find::<invoice::Entity>().filter(invoice::Column::PurchaseId.eq(purchase));
        Ok(row.one(&*snapshot).await?.map(Invoice::new))
    }

    fn tenant(&self) -> Tenant {
        // Only invoices that the caller may see become objects.
        Tenant::vouched(self.row.organization_id)
    }

    fn money(&self, minor: i64) -> MoneyObject {
        Money { minor, currency: self.row.currency }.into()
    }
}

/// An invoice by its global id, for an action on it.
pub async fn authorized(
    request: &Request,
    id: &str,
    action: Action,
) -> Result<Authorized<invoice::Model>, Error> {
    request.caller()?.invoice(&request.snapshots, decode(id, "invoice")?, action).await
}

/// The invoices of an organization, newest first, for those who see all its purchases.
pub async fn of_organization(
    ctx: &Context<'_>,
    tenant: Tenant,
    args: PageArgs,
) -> Result<NodeConnection<Invoice>, ApiError> {
    let snapshot = signed_in(ctx)?.snapshots.open(tenant).await?;
    let select = tenant.find::<invoice::Entity>();
    let order = (invoice::Column::Id, Order::Desc);
    connection(ctx, &snapshot, select, order, args, |row| row.id, Invoice::new).await
}

/// An invoice for a purchase whose credits came in at once.
#[Object]
impl Invoice {
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

    /// The numbered document.
    async fn document(&self, ctx: &Context<'_>) -> Option<Result<Document, ApiError>> {
        let find = Box::pin(async {
            found(Document::find(request(ctx)?, &global_id::encode(self.row.document_id)).await)
        });
        find.await.transpose()
    }

    /// The buyer's own number of the order.
    async fn purchase_order(&self) -> &str {
        &self.row.purchase_order
    }

    /// Where it stands.
    async fn state(&self) -> InvoiceState {
        self.row.state.into()
    }

    /// What it is over.
    async fn total(&self) -> MoneyObject {
        self.money(self.row.total)
    }

    /// How much has been paid of it, also what went back to the buyer afterwards.
    async fn paid(&self) -> MoneyObject {
        self.money(self.row.paid)
    }

    /// How much of it credit notes have taken back, before it was paid or after.
    async fn credited(&self) -> MoneyObject {
        self.money(self.row.credited)
    }

    /// How much of what was paid is the buyer's again, since credit notes have taken back more than was still to be paid.
    /// `paid` less this, `credited` and `outstanding` are the total.
    async fn returned(&self) -> MoneyObject {
        self.money(billing::returned(&self.row))
    }

    /// How much of it is still to be paid.
    async fn outstanding(&self) -> MoneyObject {
        self.money(billing::outstanding(&self.row))
    }

    /// Until when it is to be paid: the last instant of a day in the organization's time zone, as that was when it was issued.
    async fn due_at(&self) -> DateTime {
        DateTime(self.row.due_at)
    }

    /// When it was issued.
    async fn created_at(&self) -> DateTime {
        DateTime(self.row.created_at)
    }

    /// What was paid of it, as the vendor's staff has recorded it, oldest first.
    async fn payments(&self, ctx: &Context<'_>) -> Result<Vec<InvoicePayment>, ApiError> {
        let list = Box::pin(async {
            let rows = match &self.payments {
                Some(rows) => rows.clone(),
                None => {
                    let snapshot = request(ctx)?.snapshots.open(self.tenant()).await?;
                    purchases::payments_of_invoice(&snapshot, self.tenant(), self.row.id).await?
                }
            };
            let payment = |row| InvoicePayment { row, currency: self.row.currency };
            Ok(rows.into_iter().map(payment).collect())
        });
        list.await
    }
}

/// A payment of an invoice.
pub struct InvoicePayment {
    row: invoice_payment::Model,
    currency: bursar_domain::Currency,
}

/// A payment of an invoice, as the vendor's staff has recorded it.
#[Object]
impl InvoicePayment {
    /// How much.
    async fn amount(&self) -> MoneyObject {
        Money { minor: self.row.amount, currency: self.currency }.into()
    }

    /// When the money arrived.
    async fn received_at(&self) -> DateTime {
        DateTime(self.row.received_at)
    }

    /// The bank's own name of it.
    async fn reference(&self) -> Option<&str> {
        self.row.reference.as_deref()
    }

    /// When it was recorded.
    async fn created_at(&self) -> DateTime {
        DateTime(self.row.created_at)
    }
}
