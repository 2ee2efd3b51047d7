//! Receipts, invoices and credit notes as numbered documents.

use async_graphql::{Context, Enum, ID, Object};
use bursar_domain::Money;
use bursar_domain::id::{DocumentId, PurchaseId};
use bursar_domain::invoice as states;
use bursar_domain::permission::Action;
use bursar_entity::document;
use sea_orm::{ColumnTrait, Order, QueryFilter, QueryOrder};

use super::connection::{NodeConnection, PageArgs, connection};
use super::errors::ApiError;
use super::node::{decode, found};
use super::purchase::Purchase;
use super::scalars::{DateTime, MoneyObject};
use super::{Request, request, signed_in};
use crate::billing::DocumentLink;
use crate::db::Tenant;
use crate::error::Error;
use crate::global_id;

/// What a numbered document is.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "states::DocumentKind")]
pub enum DocumentKind {
    /// Says that something was paid.
    Receipt,
    /// Asks for a payment.
    Invoice,
    /// Takes back a receipt or an invoice, in whole or in part.
    CreditNote,
}

/// A numbered document.
pub struct Document(pub document::Model);

impl Document {
    /// The document with a global id, when the caller may see the purchase.
    pub async fn find(request: &Request, id: &str) -> Result<Document, Error> {
        let (caller, id) = (request.caller()?, decode::<DocumentId>(id, "document")?);
        let condition = document::Column::Id.eq(id);
        let organization = |row: &document::Model| row.organization_id;
        let found =
            caller.row::<document::Entity>(&request.snapshots, condition, organization, "document").await?;
        let (_, row) = found;
        let purchase = caller.purchase(&request.snapshots, row.purchase_id, Action::ReadPurchases).await;
        match purchase {
            Ok(_) => Ok(Document(row)),
            Err(_) => Err(Error::not_found("document")),
        }
    }

    /// The documents about a purchase that the caller sees, newest first.
    pub async fn of_purchase(
        request: &Request,
        tenant: Tenant,
        purchase: PurchaseId,
    ) -> Result<Vec<Document>, Error> {
        let snapshot = request.snapshots.open(tenant).await?;
        let rows = tenant
            .find::<document::Entity>()
            .filter(document::Column::PurchaseId.eq(purchase))
            .order_by_desc(document::Column::Id);
        Ok(rows.all(&*snapshot).await?.into_iter().map(Document).collect())
    }

    /// The address of its page.
    fn path(&self, request: &Request) -> String {
        DocumentLink::new(&request.services.keys, &self.0).path()
    }
}

/// The documents of an organization, newest first, for those who see all its purchases.
pub async fn of_organization(
    ctx: &Context<'_>,
    tenant: Tenant,
    args: PageArgs,
) -> Result<NodeConnection<Document>, ApiError> {
    let snapshot = signed_in(ctx)?.snapshots.open(tenant).await?;
    let select = tenant.find::<document::Entity>();
    let order = (document::Column::Id, Order::Desc);
    connection(ctx, &snapshot, select, order, args, |row| row.id, Document).await
}

/// A numbered document: a receipt, an invoice or a credit note. What it says never changes.
#[Object]
impl Document {
    /// The global id.
    pub(crate) async fn id(&self) -> ID {
        ID(global_id::encode(self.0.id))
    }

    /// What it is.
    async fn kind(&self) -> DocumentKind {
        self.0.kind.into()
    }

    /// Its number. The numbers of each kind of an organization's documents count up by one, without gaps.
    async fn number(&self) -> &str {
        &self.0.written_number
    }

    /// The purchase that it is about.
    async fn purchase(&self, ctx: &Context<'_>) -> Option<Result<Purchase, ApiError>> {
        let find = Box::pin(async {
            found(Purchase::find(request(ctx)?, &global_id::encode(self.0.purchase_id)).await)
        });
        find.await.transpose()
    }

    /// The document that it takes back. Null: none.
    async fn corrects(&self, ctx: &Context<'_>) -> Option<Result<Document, ApiError>> {
        let find = Box::pin(async {
            let Some(id) = self.0.corrects_id else { return Ok(None) };
            found(Document::find(request(ctx)?, &global_id::encode(id)).await)
        });
        find.await.transpose()
    }

    /// What it is over: of a credit note what is taken back.
    async fn total(&self) -> MoneyObject {
        Money { minor: self.0.total, currency: self.0.currency }.into()
    }

    /// When it was issued.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// Where it can be read. Whoever has this address may read it.
    async fn url(&self, ctx: &Context<'_>) -> Result<String, ApiError> {
        let request = request(ctx)?;
        Ok(request.services.config.link(&self.path(request)))
    }

    /// Where it can be fetched as a PDF. Whoever has this address may fetch it.
    async fn pdf_url(&self, ctx: &Context<'_>) -> Result<String, ApiError> {
        let request = request(ctx)?;
        Ok(request.services.config.link(&format!("{}/pdf", self.path(request))))
    }
}
