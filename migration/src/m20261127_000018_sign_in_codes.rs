//! How often a wrong code was entered for a link to sign in with. The code itself is stored nowhere.

use sea_orm_migration::prelude::*;

use crate::dialect::run;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, "ALTER TABLE sign_in_link ADD COLUMN wrong_codes {int} NOT NULL DEFAULT 0").await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, "ALTER TABLE sign_in_link DROP COLUMN wrong_codes").await
    }
}
