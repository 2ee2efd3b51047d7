//! Numbered documents: issued in the transaction of their cause, found by the address that proves itself.

use bursar_domain::id::{DocumentId, OrganizationId, PurchaseId};
use bursar_domain::invoice::{DocumentKind, written_number};
use bursar_domain::{Credits, Timestamp};
use bursar_entity::{document, document_series, invoice, organization, purchase, reversal};
use sea_orm::{
    ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, Set, Unchanged,
};

use super::content::{Content, Line, REFUND_FAILED, amount, day, party, reason, taxes, title, unit_price};
use super::owed::outstanding;
use super::profile::{decode_tax_lines, find};
use super::taken_back::taxes_back;
use crate::auth::Keys;
use crate::clock::Clock;
use crate::config::Seller;
use crate::context::Context;
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};
use crate::{global_id, periods};

/// What is to be issued.
#[derive(Clone, Copy, Debug)]
pub struct Issue<'a> {
    /// What it is.
    pub kind: DocumentKind,
    /// The purchase that it is about.
    pub purchase: &'a purchase::Model,
    /// What was bought.
    pub title: &'a str,
    /// What it is over, in minor units: of a credit note what is taken back.
    pub total: i64,
    /// What a credit note takes back, or a receipt of a credit note.
    pub corrects: Option<Correction<'a>>,
    /// The invoice that a receipt is about; none: what was bought has none.
    pub pays: Option<Instalment<'a>>,
    /// The buyer's own number of the order.
    pub purchase_order: Option<&'a str>,
    /// When it is issued.
    pub at: Timestamp,
    /// Until when it is to be paid.
    pub due_at: Option<Timestamp>,
}

/// What a credit note takes back, and why.
#[derive(Clone, Copy, Debug)]
pub struct Correction<'a> {
    /// The receipt or invoice; the credit note, when the refund has failed.
    pub document: Option<&'a document::Model>,
    /// The reversal of the payment.
    pub reversal: &'a reversal::Model,
    /// How many credits are taken back with the money.
    pub credits: Credits,
}

/// Money that came for an invoice: all of it, or a part.
#[derive(Clone, Copy, Debug)]
pub struct Instalment<'a> {
    /// The invoice, as it is with that money.
    pub invoice: &'a invoice::Model,
    /// Its document.
    pub document: &'a document::Model,
    /// When the money arrived.
    pub received_at: Timestamp,
}

/// Issues a document with the next number of its kind. Its days are those of the organization's time zone as it is now.
/// The number's row is locked until the commit, after everything but the end of the audit log.
///
/// # Errors
/// What the database answers.
pub async fn issue_document(
    txn: &Txn,
    (tenant, seller): (Tenant, &Seller),
    clock: &Clock,
    issue: Issue<'_>,
) -> Result<document::Model> {
    let organization = tenant.find::<organization::Entity>().one(txn).await?;
    let organization = organization.ok_or(Error::not_found("organization"))?;
    let zone = periods::zone(&organization.time_zone)?;
    let profile = find(txn, tenant).await?;
    let currency = issue.purchase.currency;
    let number = next_number(txn, tenant, issue.kind).await?;
    let written = written_number(issue.kind, &organization.slug, number);
    let (back, pays) = (issue.corrects, issue.pays);
    let (net, taxes) = match (back.and_then(|back| back.document), &profile) {
        // What is taken back has the taxes that it had.
        (Some(corrected), _) => taxes_back(txn, tenant, corrected, issue.total).await?,
        (None, Some(row)) if pays.is_none() => {
            taxes(issue.total, currency, &decode_tax_lines(&row.tax_lines)?)
        }
        // The invoice says the taxes. Whoever says them a second time may owe them a second time.
        (None, Some(_) | None) => taxes(issue.total, currency, &[]),
    };
    // A part that is taken back is so much money, not so many credits at a price.
    let whole = issue.total == issue.purchase.total;
    // Nor is what comes for an invoice: all credits came with that.
    let credits = match (back, pays) {
        (Some(back), _) => Some(back.credits),
        (None, Some(_)) => None,
        (None, None) => Some(issue.purchase.credits),
    };
    let line = Line {
        text: issue.title.to_owned(),
        credits: credits.map(|credits| credits.to_string()),
        unit_price: (whole && pays.is_none()).then(|| unit_price(issue.purchase.unit_price, currency)),
        amount: amount(issue.total, currency),
    };
    let buyer = match &profile {
        Some(row) => party(&row.name, &row.address, row.country.as_deref(), row.tax_id.as_deref()),
        None => party(&organization.name, "", None, None),
    };
    let content = Content {
        title: title(issue.kind).to_owned(),
        number: written.clone(),
        issued: day(issue.at, zone),
        zone: zone.name().to_owned(),
        seller: party(&seller.name, &seller.address, None, seller.tax_id.as_deref()),
        buyer,
        reference: profile.and_then(|row| row.reference),
        purchase_order: issue.purchase_order.map(str::to_owned),
        corrects: back.and_then(|back| back.document).map(named),
        pays: pays.map(|pays| named(pays.document)),
        received: pays.map(|pays| day(pays.received_at, zone)),
        reason: back.map(|back| match issue.kind {
            DocumentKind::CreditNote => reason(back.reversal.kind, back.reversal.reason.as_deref()),
            // It takes a credit note back.
            DocumentKind::Receipt | DocumentKind::Invoice => REFUND_FAILED.to_owned(),
        }),
        credits_back: back
            .filter(|_| issue.kind == DocumentKind::CreditNote)
            .map(|back| back.credits.to_string()),
        reversal: back.map(|back| global_id::encode(back.reversal.id)),
        due: issue.due_at.map(|at| day(at, zone)),
        lines: vec![line],
        net,
        taxes,
        total: amount(issue.total, currency),
        outstanding: pays.map(|pays| amount(outstanding(pays.invoice), currency)),
        currency: currency.code().to_owned(),
        note: None,
    };
    let row = document::Model {
        organization_id: tenant.id(),
        id: clock.new_id::<DocumentId>(),
        kind: issue.kind,
        number,
        written_number: written,
        purchase_id: issue.purchase.id,
        corrects_id: back.and_then(|back| back.document).map(|row| row.id),
        total: issue.total,
        currency,
        content: content.written()?,
        created_at: issue.at,
    };
    document::Entity::insert(row.clone().into_active_model()).exec_without_returning(txn).await?;
    Ok(row)
}

/// How other documents name a document.
fn named(row: &document::Model) -> String {
    format!("{} {}", title(row.kind), row.written_number)
}

/// Counts one up, with the row locked.
async fn next_number(txn: &Txn, tenant: Tenant, kind: DocumentKind) -> Result<i64> {
    let locked = || {
        let row = tenant.find::<document_series::Entity>().filter(document_series::Column::Kind.eq(kind));
        row.lock_exclusive().one(txn)
    };
    let known = match locked().await? {
        Some(row) => row,
        None => {
            let first = document_series::Model { organization_id: tenant.id(), kind, last: 0 };
            // Somebody may issue the first one at the same time; then this waits for theirs.
            document_series::Entity::insert(first.into_active_model())
                .on_conflict_do_nothing_on([
                    document_series::Column::OrganizationId,
                    document_series::Column::Kind,
                ])
                .exec_without_returning(txn)
                .await?;
            let row = locked().await?;
            row.ok_or_else(|| Error::internal("the numbers of documents are not there"))?
        }
    };
    let last = known.last.saturating_add(1);
    let row = document_series::ActiveModel {
        organization_id: Unchanged(tenant.id()),
        kind: Unchanged(kind),
        last: Set(last),
    };
    document_series::Entity::update(row).exec_without_returning(txn).await?;
    Ok(last)
}

/// The credit note of a reversal.
///
/// # Errors
/// What the database answers.
pub async fn credit_note_of(
    txn: &Txn,
    tenant: Tenant,
    reversal: &reversal::Model,
) -> Result<Option<document::Model>> {
    let notes = credit_notes(txn, tenant, reversal.purchase_id).await?;
    // It says which reversal it is for.
    let id = global_id::encode(reversal.id);
    Ok(notes.into_iter().rev().find(|row| row.content.contains(&id)))
}

/// The credit notes of a purchase, the oldest first.
///
/// # Errors
/// What the database answers.
pub async fn credit_notes(txn: &Txn, tenant: Tenant, purchase: PurchaseId) -> Result<Vec<document::Model>> {
    let notes = tenant
        .find::<document::Entity>()
        .filter(document::Column::PurchaseId.eq(purchase))
        .filter(document::Column::Kind.eq(DocumentKind::CreditNote))
        .order_by_asc(document::Column::Id);
    Ok(notes.all(txn).await?)
}

/// The newest document of a kind that is about a purchase and corrects no other.
///
/// # Errors
/// What the database answers.
pub async fn document_of(
    txn: &Txn,
    tenant: Tenant,
    purchase: PurchaseId,
    kind: DocumentKind,
) -> Result<Option<document::Model>> {
    let rows = tenant
        .find::<document::Entity>()
        .filter(document::Column::PurchaseId.eq(purchase))
        .filter(document::Column::Kind.eq(kind))
        .filter(document::Column::CorrectsId.is_null())
        .order_by_desc(document::Column::Id);
    Ok(rows.one(txn).await?)
}

/// The address of a document, below the server's own. It can be opened without a token: a browser sends none with a
/// download.
#[derive(Clone, PartialEq, Eq)]
pub struct DocumentLink {
    /// The organization.
    pub organization: String,
    /// The document.
    pub document: String,
    /// The proof that Bursar made the address: a MAC over the two.
    pub token: String,
}

/// Without the proof.
impl std::fmt::Debug for DocumentLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DocumentLink({})", about(&self.organization, &self.document))
    }
}

impl DocumentLink {
    /// The address of a document.
    pub fn new(keys: &Keys, document: &document::Model) -> DocumentLink {
        let organization = global_id::encode(document.organization_id);
        let id = global_id::encode(document.id);
        let token = keys.link_token(&about(&organization, &id));
        DocumentLink { organization, document: id, token }
    }

    /// The path of the page. The PDF is at the same path with `/pdf` after it.
    pub fn path(&self) -> String {
        format!("/document/{}/{}/{}", self.organization, self.document, self.token)
    }

    /// The organization and document of an address that Bursar made; of any other, nothing is found.
    fn resolve(&self, keys: &Keys) -> Result<(Tenant, DocumentId)> {
        let not_found = || Error::not_found("document");
        if !keys.is_link_token(&about(&self.organization, &self.document), &self.token) {
            return Err(not_found());
        }
        let organization: OrganizationId = global_id::decode(&self.organization).ok_or_else(not_found)?;
        let document = global_id::decode(&self.document).ok_or_else(not_found)?;
        // The address proves that Bursar gave it out for this organization's document.
        Ok((Tenant::vouched(organization), document))
    }
}

fn about(organization: &str, document: &str) -> String {
    format!("document {organization} {document}")
}

/// The document at an address.
///
/// # Errors
/// There is none; what the database answers.
pub async fn find_document(context: &Context, keys: &Keys, link: &DocumentLink) -> Result<document::Model> {
    let (tenant, id) = link.resolve(keys)?;
    let snapshot = context.db.read(tenant).await?;
    let row = tenant.find::<document::Entity>().filter(document::Column::Id.eq(id)).one(&snapshot).await?;
    row.ok_or(Error::not_found("document"))
}
