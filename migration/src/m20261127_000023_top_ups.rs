//! Automatic top-ups, and the ways of paying that somebody has agreed to.

use sea_orm_migration::prelude::*;

use crate::dialect::{drop_tables, isolate, run};

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: &str = r#"
CREATE TABLE payment_method (
    organization_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    pool_id {uuid} NOT NULL,
    provider text NOT NULL,
    customer text,
    method text,
    session text,
    label text,
    consent text NOT NULL,
    consented_by {uuid} NOT NULL,
    consented_at {int},
    removed_at {int},
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, pool_id) REFERENCES pool (organization_id, id),
    CHECK (consented_at IS NULL OR method IS NOT NULL)
) {table};
CREATE INDEX payment_method_pool ON payment_method (organization_id, pool_id, id);

CREATE TABLE auto_top_up (
    organization_id {uuid} NOT NULL,
    pool_id {uuid} NOT NULL,
    enabled {bool} NOT NULL,
    threshold {int} NOT NULL CHECK (threshold >= 0),
    package_id {uuid} NOT NULL REFERENCES package (id),
    monthly_maximum {int} CHECK (monthly_maximum >= 0),
    payment_method_id {uuid},
    set_by {uuid} NOT NULL,
    state text NOT NULL CHECK (state IN ('AWAITING_CONSENT', 'READY', 'CHARGING', 'BACKING_OFF',
        'AUTHENTICATION_REQUIRED', 'PAUSED')),
    purchase_id {uuid},
    declines {int} NOT NULL CHECK (declines >= 0),
    retry_at {int},
    last_error text,
    revision {int} NOT NULL,
    updated_at {int} NOT NULL,
    PRIMARY KEY (organization_id, pool_id),
    FOREIGN KEY (organization_id, pool_id) REFERENCES pool (organization_id, id),
    CHECK ((state IN ('CHARGING', 'AUTHENTICATION_REQUIRED')) = (purchase_id IS NOT NULL))
) {table};
-- A purchase is of one top-up.
CREATE UNIQUE INDEX auto_top_up_purchase ON auto_top_up (organization_id, purchase_id)
    WHERE purchase_id IS NOT NULL;
"#;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, TABLES).await?;
        for table in ["payment_method", "auto_top_up"] {
            isolate(manager, table, "organization_id", None).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["auto_top_up", "payment_method"]).await
    }
}
