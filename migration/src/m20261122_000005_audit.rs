//! The audit log.

use sea_orm_migration::prelude::*;

use crate::dialect::{append_only, drop_tables, isolate, run};

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: &str = r#"
CREATE TABLE audit_event (
    organization_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    actor_kind {small} NOT NULL,
    actor_id {uuid},
    origin text,
    action text NOT NULL,
    -- What it was done to, as its global id.
    subject text NOT NULL,
    -- JSON objects of the fields that changed; identifiers and plain facts only, never personal data.
    before text,
    after text,
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, id)
) {table};
"#;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, TABLES).await?;
        isolate(manager, "audit_event", "organization_id", None).await?;
        append_only(manager, "audit_event").await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["audit_event"]).await
    }
}
