//! What is bought, in words, as the provider is asked for it: kept with each payment, since packages can be renamed and a
//! provider refuses a key that comes with other words.

use sea_orm_migration::prelude::*;

use crate::dialect::run;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, "ALTER TABLE payment ADD COLUMN title text;").await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, "ALTER TABLE payment DROP COLUMN title;").await
    }
}
