//! Purchases of packages and the attempts at paying them.

use sea_orm_migration::prelude::*;

use crate::dialect::{drop_tables, isolate, run};

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: &str = r#"
CREATE TABLE purchase (
    organization_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    pool_id {uuid} NOT NULL,
    package_version_id {uuid} NOT NULL REFERENCES package_version (id),
    requested_by {uuid} NOT NULL,
    state text NOT NULL,
    -- Why it counts as approved; null while it does not.
    approval_basis text,
    credits {int} NOT NULL CHECK (credits > 0),
    total {int} NOT NULL CHECK (total > 0),
    currency text NOT NULL CHECK (length(currency) = 3),
    lifetime_days {int},
    valid_until {int} NOT NULL,
    note text,
    idempotency_key {bytes} NOT NULL CHECK (length(idempotency_key) = 16),
    request_hash {bytes} NOT NULL CHECK (length(request_hash) = 16),
    created_at {int} NOT NULL,
    completed_at {int},
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, pool_id) REFERENCES pool (organization_id, id)
) {table};
CREATE UNIQUE INDEX purchase_key ON purchase (organization_id, idempotency_key);

CREATE TABLE payment (
    organization_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    purchase_id {uuid} NOT NULL,
    provider text NOT NULL,
    -- The provider's own name of the payment, once there is one.
    provider_payment text,
    state text NOT NULL,
    amount {int} NOT NULL CHECK (amount > 0),
    currency text NOT NULL CHECK (length(currency) = 3),
    idempotency_key {bytes} NOT NULL CHECK (length(idempotency_key) = 16),
    request_hash {bytes} NOT NULL CHECK (length(request_hash) = 16),
    created_at {int} NOT NULL,
    paid_at {int},
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, purchase_id) REFERENCES purchase (organization_id, id)
) {table};
CREATE UNIQUE INDEX payment_key ON payment (organization_id, idempotency_key);
-- A provider's payment counts once, and a purchase is paid once.
CREATE UNIQUE INDEX payment_provider ON payment (organization_id, provider, provider_payment)
    WHERE provider_payment IS NOT NULL;
CREATE UNIQUE INDEX payment_paid ON payment (organization_id, purchase_id) WHERE state = 'PAID';
CREATE INDEX payment_purchase ON payment (organization_id, purchase_id, id);
"#;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, TABLES).await?;
        for table in ["purchase", "payment"] {
            isolate(manager, table, "organization_id", None).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["payment", "purchase"]).await
    }
}
