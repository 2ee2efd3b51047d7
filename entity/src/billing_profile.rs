//! What documents say of an organization, and on which terms it buys on invoice.

use bursar_domain::Timestamp;
use bursar_domain::id::OrganizationId;
use sea_orm::entity::prelude::*;

/// One row of the table `billing_profile`.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "billing_profile")]
pub struct Model {
    /// The organization.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: OrganizationId,
    /// The name of the company.
    pub name: String,
    /// The postal address, in lines.
    pub address: String,
    /// The country, as ISO 3166-1 alpha-2 names it.
    pub country: Option<String>,
    /// The number that tax offices know it by.
    pub tax_id: Option<String>,
    /// What the buyer wants to see on each document: a cost centre, say.
    pub reference: Option<String>,
    /// What documents say of tax, as a JSON list of label and hundredths of a percent.
    pub tax_lines: String,
    /// In how many days invoices are to be paid.
    pub due_days: i64,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
