//! Invoices of which more was credited once they counted as paid: they had not been told of it.

use sea_orm_migration::prelude::*;

use crate::dialect::{free_owner, isolate_owner, run};

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: &[&str] = &["purchase", "invoice"];

/// What credit notes have taken back of a purchase on invoice, they have taken back of its invoice.
const UP: &str = r#"
UPDATE invoice SET credited = (
    SELECT p.returned FROM purchase p
    WHERE p.organization_id = invoice.organization_id AND p.id = invoice.purchase_id)
WHERE EXISTS (
    SELECT 1 FROM purchase p
    WHERE p.organization_id = invoice.organization_id AND p.id = invoice.purchase_id
        AND p.returned > invoice.credited AND p.returned <= invoice.total);
UPDATE invoice SET state = 'CREDITED' WHERE state = 'PAID' AND credited = total;
"#;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        free_owner(manager, TABLES).await?;
        run(manager, UP).await?;
        isolate_owner(manager, TABLES).await
    }

    /// What was put right stays so.
    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Ok(())
    }
}
