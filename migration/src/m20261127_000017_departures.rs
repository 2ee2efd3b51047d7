//! Who was a member of an organization and was removed.

use sea_orm_migration::prelude::*;

use crate::dialect::{drop_tables, isolate, run};

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: &str = r#"
CREATE TABLE departure (
    organization_id {uuid} NOT NULL REFERENCES organization (id),
    user_id {uuid} NOT NULL REFERENCES "user" (id),
    left_at {int} NOT NULL,
    PRIMARY KEY (organization_id, user_id)
) {table};
"#;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, TABLES).await?;
        isolate(manager, "departure", "organization_id", None).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["departure"]).await
    }
}
