//! Reversals: how much has been booked of each, and timed work for refunds that no provider has answered.

use sea_orm_migration::prelude::*;

use crate::dialect::{free_owner, isolate_owner, run};

#[derive(DeriveMigrationName)]
pub struct Migration;

/// The tables whose rows the step reads or changes.
const READ: [&str; 3] = ["purchase", "reversal", "timed_task"];

/// What was booked before was booked in one go, the oldest first, disputes before refunds, and of a purchase never more
/// than was paid.
const UP: &str = r#"
ALTER TABLE reversal ADD COLUMN taken_credits {int} NOT NULL DEFAULT 0 CHECK (taken_credits >= 0);
ALTER TABLE reversal ADD COLUMN taken_value {int} NOT NULL DEFAULT 0 CHECK (taken_value >= 0);
UPDATE reversal SET taken_credits = credits, taken_value = booked.worth FROM (
    SELECT r.organization_id, r.id, CASE
        WHEN p.total <= r.earlier THEN 0
        WHEN p.total - r.earlier < r.amount THEN p.total - r.earlier
        ELSE r.amount END AS worth
    FROM (
        SELECT organization_id, id, purchase_id, amount, sum(amount) OVER (
            PARTITION BY organization_id, purchase_id ORDER BY booked_at, kind, id) - amount AS earlier
        FROM reversal WHERE booked_at IS NOT NULL AND state IN ('SUCCEEDED', 'LOST')
    ) AS r JOIN purchase AS p ON p.organization_id = r.organization_id AND p.id = r.purchase_id
) AS booked WHERE reversal.organization_id = booked.organization_id AND reversal.id = booked.id;
INSERT INTO timed_task (organization_id, kind, subject_id, due_at)
    SELECT organization_id, 'REFUND_DUE', id, created_at FROM reversal
    WHERE state = 'PENDING' AND provider_reference IS NULL
    ON CONFLICT DO NOTHING;
"#;

const DOWN: &str = r#"
ALTER TABLE reversal DROP COLUMN taken_value;
ALTER TABLE reversal DROP COLUMN taken_credits;
"#;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        free_owner(manager, &READ).await?;
        run(manager, UP).await?;
        isolate_owner(manager, &READ).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, DOWN).await
    }
}
