//! A quote is bought by one purchase at a time: one that ends without having been paid gives it back. So do those that
//! ended so before.

use sea_orm_migration::prelude::*;

use crate::dialect::{free_owner, isolate_owner, run};

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: &[&str] = &["quote", "purchase"];

const UP: &str = r#"
DROP INDEX purchase_quote;
CREATE UNIQUE INDEX purchase_quote ON purchase (organization_id, quote_id)
    WHERE quote_id IS NOT NULL AND state NOT IN ('REJECTED', 'CANCELLED', 'EXPIRED');
UPDATE quote AS q SET state = 'ANSWERED' WHERE state = 'USED' AND NOT EXISTS (
    SELECT 1 FROM purchase p WHERE p.organization_id = q.organization_id AND p.quote_id = q.id
        AND p.state NOT IN ('REJECTED', 'CANCELLED', 'EXPIRED'));
"#;

/// Of the purchases that have had a quote, only the last keeps it: there could be no more than one.
const DOWN: &str = r#"
DROP INDEX purchase_quote;
UPDATE purchase AS p SET quote_id = NULL WHERE quote_id IS NOT NULL AND EXISTS (
    SELECT 1 FROM purchase o WHERE o.organization_id = p.organization_id AND o.quote_id = p.quote_id AND o.id > p.id);
UPDATE quote AS q SET state = 'USED' WHERE state = 'ANSWERED' AND EXISTS (
    SELECT 1 FROM purchase p WHERE p.organization_id = q.organization_id AND p.quote_id = q.id);
CREATE UNIQUE INDEX purchase_quote ON purchase (organization_id, quote_id) WHERE quote_id IS NOT NULL;
"#;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        free_owner(manager, TABLES).await?;
        run(manager, UP).await?;
        isolate_owner(manager, TABLES).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        free_owner(manager, TABLES).await?;
        run(manager, DOWN).await?;
        isolate_owner(manager, TABLES).await
    }
}
