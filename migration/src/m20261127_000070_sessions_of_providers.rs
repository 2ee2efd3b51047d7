//! Sessions that a provider has opened end when another one is set, or when it is switched off.

use sea_orm_migration::prelude::*;

use crate::dialect::run;

#[derive(DeriveMigrationName)]
pub struct Migration;

const UP: &str = r#"
-- The revision of the provider that has opened the session. Of those that are open now nobody knows it: they end, and
-- their people sign in again.
ALTER TABLE session ADD COLUMN provider_revision {int};
"#;

const DOWN: &str = "ALTER TABLE session DROP COLUMN provider_revision";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, DOWN).await
    }
}
