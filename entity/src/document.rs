//! Numbered documents: what they say, as it was said. Append-only.

use bursar_domain::id::{DocumentId, OrganizationId, PurchaseId};
use bursar_domain::invoice::DocumentKind;
use bursar_domain::{Currency, Timestamp};
use sea_orm::entity::prelude::*;

/// One row of the table `document`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "document")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The document.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: DocumentId,
    /// What it is.
    pub kind: DocumentKind,
    /// Its number: 1, 2, 3, ... for each kind.
    pub number: i64,
    /// The number as it is written.
    pub written_number: String,
    /// The purchase that it is about.
    pub purchase_id: PurchaseId,
    /// The document that it takes back.
    pub corrects_id: Option<DocumentId>,
    /// What it is over, in minor units.
    pub total: i64,
    /// In which currency.
    pub currency: Currency,
    /// Everything that it says, as JSON.
    pub content: String,
    /// When it was issued.
    pub created_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
