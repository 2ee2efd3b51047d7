//! Invoices of before are to be paid by the end of the day that their documents say, too. Those were days of UTC.

use sea_orm_migration::prelude::*;

use crate::dialect::{free_owner, isolate_owner, run};

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: &[&str] = &["invoice"];

/// The last microsecond of the day. Their timed work finds by itself that it comes too early.
const UP: &str = r#"
UPDATE invoice SET due_at = (due_at / 86400000000 + 1) * 86400000000 - 1 WHERE state IN ('OPEN', 'PARTLY_PAID');
"#;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        free_owner(manager, TABLES).await?;
        run(manager, UP).await?;
        isolate_owner(manager, TABLES).await
    }

    /// What was promised stays so.
    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Ok(())
    }
}
