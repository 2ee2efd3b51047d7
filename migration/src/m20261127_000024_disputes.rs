//! Disputes: what is held for them, and the money of what is still to come back.

use sea_orm_migration::prelude::*;

use crate::dialect::run;

#[derive(DeriveMigrationName)]
pub struct Migration;

const UP: &str = r#"
-- How much of what is held a dispute holds, and how much of what holds hold it gets when that is let go.
ALTER TABLE lot_position ADD COLUMN disputed {int} NOT NULL DEFAULT 0 CHECK (disputed >= 0);
ALTER TABLE lot_position ADD COLUMN contested {int} NOT NULL DEFAULT 0 CHECK (contested >= 0);
-- Money that went back and whose credits have not, and what prices and rounding have made of it. No payment has
-- been reversed before, so all begin with nothing.
ALTER TABLE pool_head ADD COLUMN receivable {int} NOT NULL DEFAULT 0 CHECK (receivable >= 0);
ALTER TABLE pool_head ADD COLUMN adjusted {int} NOT NULL DEFAULT 0;
ALTER TABLE pool_head ADD COLUMN revoking {int} NOT NULL DEFAULT 0 CHECK (revoking >= 0);
"#;

const DOWN: &str = r#"
ALTER TABLE pool_head DROP COLUMN revoking;
ALTER TABLE pool_head DROP COLUMN adjusted;
ALTER TABLE pool_head DROP COLUMN receivable;
ALTER TABLE lot_position DROP COLUMN contested;
ALTER TABLE lot_position DROP COLUMN disputed;
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
