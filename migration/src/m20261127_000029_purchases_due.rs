//! Purchases that were open before it was timed work to let them expire: nobody would ever look at them.

use sea_orm_migration::prelude::*;

use crate::dialect::{free_owner, isolate_owner, run};

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: &[&str] = &["purchase", "timed_task"];

const UP: &str = r#"
INSERT INTO timed_task (organization_id, kind, subject_id, due_at)
    SELECT organization_id, 'PURCHASE_DUE', id, valid_until FROM purchase
    WHERE state IN ('PENDING_APPROVAL', 'APPROVED', 'AWAITING_PAYMENT', 'PAYMENT_FAILED') AND NOT invoiced
    ON CONFLICT (organization_id, kind, subject_id) DO NOTHING;
"#;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        free_owner(manager, TABLES).await?;
        run(manager, UP).await?;
        isolate_owner(manager, TABLES).await
    }

    /// The tasks stay: which of them were added here, nobody knows, and they do no harm.
    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Ok(())
    }
}
