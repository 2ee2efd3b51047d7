//! Payments by providers: their sessions, money that could not be booked, payments that are returned.

use sea_orm_migration::prelude::*;

use crate::dialect::{drop_tables, isolate, run};

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: &str = r#"
ALTER TABLE purchase ADD COLUMN invoiced {bool} NOT NULL DEFAULT FALSE;
ALTER TABLE purchase ADD COLUMN returned {int} NOT NULL DEFAULT 0 CHECK (returned >= 0);

ALTER TABLE payment ADD COLUMN provider_session text;
ALTER TABLE payment ADD COLUMN provider_url text;
ALTER TABLE payment ADD COLUMN payment_method_id {uuid};
ALTER TABLE payment ADD COLUMN failure text;
CREATE UNIQUE INDEX payment_session ON payment (organization_id, provider, provider_session)
    WHERE provider_session IS NOT NULL;
-- Finds the payment of a refund or dispute, which names no organization.
CREATE INDEX payment_by_provider ON payment (provider, provider_payment) WHERE provider_payment IS NOT NULL;

-- A payment of a provider counts once, whichever organization it pays for.
CREATE UNIQUE INDEX payment_once ON payment (provider_payment) WHERE provider = 'STRIPE' AND state = 'PAID';

CREATE TABLE parked_payment (
    -- The nil id: it is nobody's until somebody has decided.
    organization_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    provider text NOT NULL,
    provider_reference text NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    amount {int} NOT NULL,
    currency text NOT NULL,
    claimed_organization text,
    claimed_payment text,
    state text NOT NULL CHECK (state IN ('OPEN', 'APPLIED', 'DISMISSED')),
    resolution text,
    resolved_by {uuid},
    resolved_at {int},
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, id),
    CHECK ((state = 'OPEN') = (resolved_at IS NULL))
) {table};
-- It is parked once, however often it is told of.
CREATE UNIQUE INDEX parked_payment_reference ON parked_payment (organization_id, provider, provider_reference);
CREATE INDEX parked_payment_state ON parked_payment (organization_id, state, id);

CREATE TABLE reversal (
    organization_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    purchase_id {uuid} NOT NULL,
    payment_id {uuid} NOT NULL,
    kind text NOT NULL CHECK (kind IN ('REFUND', 'DISPUTE')),
    state text NOT NULL CHECK (state IN ('PENDING', 'OPEN', 'SUCCEEDED', 'FAILED', 'WON', 'LOST')),
    provider_reference text,
    amount {int} NOT NULL CHECK (amount > 0),
    currency text NOT NULL CHECK (length(currency) = 3),
    credits {int} NOT NULL CHECK (credits >= 0),
    held_credits {int} NOT NULL CHECK (held_credits >= 0),
    held_at {int},
    booked_at {int},
    reason text,
    idempotency_key {bytes} CHECK (length(idempotency_key) = 16),
    request_hash {bytes} CHECK (length(request_hash) = 16),
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, purchase_id) REFERENCES purchase (organization_id, id),
    FOREIGN KEY (organization_id, payment_id) REFERENCES payment (organization_id, id)
) {table};
CREATE UNIQUE INDEX reversal_reference ON reversal (organization_id, payment_id, provider_reference)
    WHERE provider_reference IS NOT NULL;
CREATE UNIQUE INDEX reversal_key ON reversal (organization_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX reversal_purchase ON reversal (organization_id, purchase_id, id);
"#;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, TABLES).await?;
        for table in ["parked_payment", "reversal"] {
            isolate(manager, table, "organization_id", None).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["reversal", "parked_payment"]).await?;
        let columns = "DROP INDEX payment_once;
             DROP INDEX payment_by_provider;
             DROP INDEX payment_session;
             ALTER TABLE payment DROP COLUMN failure;
             ALTER TABLE payment DROP COLUMN payment_method_id;
             ALTER TABLE payment DROP COLUMN provider_url;
             ALTER TABLE payment DROP COLUMN provider_session;
             ALTER TABLE purchase DROP COLUMN returned;
             ALTER TABLE purchase DROP COLUMN invoiced;";
        run(manager, columns).await
    }
}
