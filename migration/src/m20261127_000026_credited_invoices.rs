//! Invoices of which a part was paid and all credited then: their payments had stayed open.

use sea_orm_migration::prelude::*;

use crate::dialect::{free_owner, isolate_owner, run};

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: &[&str] = &["payment", "invoice", "invoice_payment"];

const UP: &str = r#"
UPDATE payment AS p SET state = 'PAID', paid_at = (
    SELECT max(r.created_at) FROM invoice i
    JOIN invoice_payment r ON r.organization_id = i.organization_id AND r.invoice_id = i.id
    WHERE i.organization_id = p.organization_id AND i.payment_id = p.id)
WHERE state = 'OPEN' AND EXISTS (
    SELECT 1 FROM invoice i WHERE i.organization_id = p.organization_id AND i.payment_id = p.id
        AND i.state = 'PAID' AND i.credited = i.total);
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
