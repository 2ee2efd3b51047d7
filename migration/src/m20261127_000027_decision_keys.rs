//! The keys of decisions about parked money, so that one that comes again with something else is seen.

use sea_orm_migration::prelude::*;

use crate::dialect::run;

#[derive(DeriveMigrationName)]
pub struct Migration;

const UP: &str = r#"
ALTER TABLE parked_payment ADD COLUMN idempotency_key {bytes} CHECK (length(idempotency_key) = 16);
ALTER TABLE parked_payment ADD COLUMN request_hash {bytes} CHECK (length(request_hash) = 16);
CREATE UNIQUE INDEX parked_payment_key ON parked_payment (organization_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
"#;

const DOWN: &str = r#"
DROP INDEX parked_payment_key;
ALTER TABLE parked_payment DROP COLUMN request_hash;
ALTER TABLE parked_payment DROP COLUMN idempotency_key;
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
