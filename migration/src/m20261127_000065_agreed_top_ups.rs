//! What somebody agreed to with a way of paying, as numbers: threshold, package and the most in a month.

use sea_orm_migration::prelude::*;

use crate::dialect::{free_owner, isolate_owner, run};

#[derive(DeriveMigrationName)]
pub struct Migration;

/// The tables whose rows the step reads or changes.
const READ: [&str; 2] = ["auto_top_up", "payment_method"];

/// What is set now is what was agreed to: more than that was asked for anew.
const UP: &str = r#"
ALTER TABLE payment_method ADD COLUMN threshold {int} CHECK (threshold >= 0);
ALTER TABLE payment_method ADD COLUMN package_id {uuid};
ALTER TABLE payment_method ADD COLUMN monthly_maximum {int} CHECK (monthly_maximum >= 0);
UPDATE payment_method SET threshold = top_up.threshold, package_id = top_up.package_id,
    monthly_maximum = top_up.monthly_maximum
    FROM auto_top_up AS top_up
    WHERE top_up.organization_id = payment_method.organization_id
    AND top_up.payment_method_id = payment_method.id;
"#;

const DOWN: &str = r#"
ALTER TABLE payment_method DROP COLUMN monthly_maximum;
ALTER TABLE payment_method DROP COLUMN package_id;
ALTER TABLE payment_method DROP COLUMN threshold;
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
