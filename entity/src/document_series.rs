//! How far the numbers of documents have come.

use bursar_domain::id::OrganizationId;
use bursar_domain::invoice::DocumentKind;
use sea_orm::entity::prelude::*;

/// One row of the table `document_series`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "document_series")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// Of which documents.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: DocumentKind,
    /// The last number.
    pub last: i64,
}

impl ActiveModelBehavior for ActiveModel {}
