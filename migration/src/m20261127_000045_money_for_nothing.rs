//! Reversals: how much of the money that has been booked no credits went with.

use sea_orm_migration::prelude::*;

use crate::dialect::{free_owner, isolate_owner, run};

#[derive(DeriveMigrationName)]
pub struct Migration;

/// Until now none went with all of it, or some with all of it. Timed work looks at the refunds of which a part waits.
const UP: &str = r#"
ALTER TABLE reversal ADD COLUMN for_nothing {int} NOT NULL DEFAULT 0 CHECK (for_nothing >= 0);
UPDATE reversal SET for_nothing = taken_value WHERE taken_credits = 0;
INSERT INTO timed_task (organization_id, kind, subject_id, due_at)
    SELECT organization_id, 'REVERSAL_DUE', id, created_at FROM reversal
    WHERE kind = 'REFUND' AND state = 'SUCCEEDED' AND booked_at IS NULL
    ON CONFLICT DO NOTHING;
"#;

const DOWN: &str = r#"
DELETE FROM timed_task WHERE kind = 'REVERSAL_DUE';
ALTER TABLE reversal DROP COLUMN for_nothing;
"#;

/// The tables whose rows the step reads or changes.
const READ: [&str; 2] = ["reversal", "timed_task"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        free_owner(manager, &READ).await?;
        run(manager, UP).await?;
        isolate_owner(manager, &READ).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        free_owner(manager, &READ).await?;
        run(manager, DOWN).await?;
        isolate_owner(manager, &READ).await
    }
}
