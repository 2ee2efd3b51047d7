//! Who agrees to be charged shows that they got the mail about it, by its code: how often a wrong one was tried.

use sea_orm_migration::prelude::*;

use crate::dialect::run;

#[derive(DeriveMigrationName)]
pub struct Migration;

const UP: &str =
    "ALTER TABLE payment_method ADD COLUMN wrong_codes {int} NOT NULL DEFAULT 0 CHECK (wrong_codes >= 0)";
const DOWN: &str = "ALTER TABLE payment_method DROP COLUMN wrong_codes";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, DOWN).await
    }
}
