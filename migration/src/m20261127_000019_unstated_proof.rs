//! Providers that do not say whether addresses are proven, and are believed all the same.

use sea_orm_migration::prelude::*;

use crate::dialect::run;

#[derive(DeriveMigrationName)]
pub struct Migration;

const UP: &str = r#"
-- Whether an address counts as proven when the provider does not say whether it is.
ALTER TABLE identity_provider ADD COLUMN trusts_missing_email_verified {bool} NOT NULL DEFAULT false;
"#;

const DOWN: &str = "ALTER TABLE identity_provider DROP COLUMN trusts_missing_email_verified";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, DOWN).await
    }
}
