//! What the end of things takes: people who have been forgotten, and mail that is kept for a while only.

use sea_orm_migration::prelude::*;

use crate::dialect::run;

#[derive(DeriveMigrationName)]
pub struct Migration;

const UP: &str = r#"
-- Since when nobody knows any more who this was. Address and name are made up from then on.
ALTER TABLE "user" ADD COLUMN erased_at {int};
-- Finds what is older than it may be kept, whoever's it is. What has been emptied is not in it.
CREATE INDEX delivery_kept ON delivery (created_at) WHERE recipient <> '';
"#;

const DOWN: &str = r#"
DROP INDEX delivery_kept;
ALTER TABLE "user" DROP COLUMN erased_at;
"#;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, DOWN).await
    }
}
