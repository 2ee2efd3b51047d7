//! What the audit log is listed by that has no index yet, and what is looked for in it to be emptied. All of these are
//! partial, and of rows that are few: what a charge writes is in none of them.

use sea_orm_migration::prelude::*;

use crate::dialect::run;

#[derive(DeriveMigrationName)]
pub struct Migration;

const UP: &str = r#"
-- Holds that have run out, by when that was booked: all, and those of a pool. No open one is in them.
CREATE INDEX hold_expired ON hold (organization_id, closed_at) WHERE state = 'EXPIRED';
CREATE INDEX hold_expired_pool ON hold (organization_id, pool_id, closed_at) WHERE state = 'EXPIRED';
-- Credits that have lapsed, by when that was booked: all, and those of a pool.
CREATE INDEX transfer_lapse ON transfer (organization_id, created_at, version) WHERE kind = 5;
CREATE INDEX transfer_lapse_pool ON transfer (organization_id, pool_id, created_at, version) WHERE kind = 5;
-- Finds the entry that let a hold go.
CREATE INDEX journal_entry_hold ON journal_entry (organization_id, hold_id, id) WHERE hold_id IS NOT NULL;
-- Finds the values of nobody that are older than they may be kept. What has been emptied is not in it.
CREATE INDEX personal_value_nobody ON personal_value (event_id) WHERE user_id IS NULL AND value IS NOT NULL;
"#;

const DOWN: &str = r#"
DROP INDEX personal_value_nobody;
DROP INDEX journal_entry_hold;
DROP INDEX transfer_lapse_pool;
DROP INDEX transfer_lapse;
DROP INDEX hold_expired_pool;
DROP INDEX hold_expired;
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
