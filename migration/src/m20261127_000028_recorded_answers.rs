//! What was answered when a payment of an invoice was recorded, so that the same request is answered the same again.

use sea_orm_migration::prelude::*;

use crate::dialect::run;

#[derive(DeriveMigrationName)]
pub struct Migration;

const UP: &str = r#"
-- Where the invoice stood after it, and its purchase. Of payments that were recorded before, nobody knows.
ALTER TABLE invoice_payment ADD COLUMN state_after text
    CHECK (state_after IN ('OPEN', 'PARTLY_PAID', 'PAID', 'OVERDUE', 'CREDITED'));
ALTER TABLE invoice_payment ADD COLUMN paid_after {int} CHECK (paid_after > 0);
ALTER TABLE invoice_payment ADD COLUMN credited_after {int} CHECK (credited_after >= 0);
ALTER TABLE invoice_payment ADD COLUMN purchase_state_after text;
"#;

const DOWN: &str = r#"
ALTER TABLE invoice_payment DROP COLUMN purchase_state_after;
ALTER TABLE invoice_payment DROP COLUMN credited_after;
ALTER TABLE invoice_payment DROP COLUMN paid_after;
ALTER TABLE invoice_payment DROP COLUMN state_after;
"#;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, DOWN).await
    }
}
