//! The ledger. Rows are narrow and indexes few, because every charge writes them; charges and
//! transfers have no foreign keys for the same reason.

use sea_orm_migration::prelude::*;

use crate::dialect::{append_only, drop_tables, isolate, run};

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: &str = r#"
CREATE TABLE pool_head (
    organization_id {uuid} NOT NULL,
    pool_id {uuid} NOT NULL,
    version {int} NOT NULL CHECK (version >= 0),
    clock {int} NOT NULL,
    posted {int} NOT NULL,
    held {int} NOT NULL,
    -- Balances of the contra accounts.
    issued {int} NOT NULL CHECK (issued <= 0),
    consumed {int} NOT NULL CHECK (consumed >= 0),
    expired {int} NOT NULL CHECK (expired >= 0),
    revoked {int} NOT NULL CHECK (revoked >= 0),
    debt {int} NOT NULL CHECK (debt <= 0),
    clearing {int} NOT NULL,
    hash {bytes} NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (organization_id, pool_id),
    FOREIGN KEY (organization_id, pool_id) REFERENCES pool (organization_id, id),
    CHECK (posted >= 0 AND held >= 0 AND posted >= held),
    CHECK (posted + issued + consumed + expired + revoked + debt + clearing = 0)
) {table};

CREATE TABLE account (
    organization_id {uuid} NOT NULL,
    pool_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    -- Null for the credits that no department has.
    department_id {uuid},
    posted {int} NOT NULL,
    held {int} NOT NULL,
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, pool_id, id),
    FOREIGN KEY (organization_id, pool_id) REFERENCES pool (organization_id, id),
    FOREIGN KEY (organization_id, department_id) REFERENCES department (organization_id, id),
    CHECK (posted >= 0 AND held >= 0 AND posted >= held)
) {table};
-- Finds an allocation by its own id, and guards that ids are not used twice.
CREATE UNIQUE INDEX account_id ON account (organization_id, id);
-- One allocation for each department, and finds the allocations of a department.
CREATE UNIQUE INDEX account_department ON account (organization_id, department_id, pool_id)
    WHERE department_id IS NOT NULL;
CREATE UNIQUE INDEX account_unallocated ON account (organization_id, pool_id) WHERE department_id IS NULL;

CREATE TABLE lot (
    organization_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    pool_id {uuid} NOT NULL,
    source text NOT NULL CHECK (source IN ('PURCHASE', 'GRANT', 'CORRECTION')),
    class text NOT NULL CHECK (class IN ('PAID', 'PROMOTIONAL')),
    priority {small} NOT NULL,
    credits {int} NOT NULL CHECK (credits > 0),
    -- What the whole lot cost, in minor units.
    cost {int} NOT NULL CHECK (cost >= 0),
    currency text CHECK (length(currency) = 3),
    expires_at {int},
    purchase_id {uuid},
    entry_id {uuid} NOT NULL,
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, pool_id) REFERENCES pool (organization_id, id)
) {table};
-- Lists the lots of a pool.
CREATE INDEX lot_pool ON lot (organization_id, pool_id, id);
-- One lot for each purchase, whatever happens.
CREATE UNIQUE INDEX lot_purchase ON lot (organization_id, purchase_id) WHERE purchase_id IS NOT NULL;

CREATE TABLE lot_position (
    organization_id {uuid} NOT NULL,
    pool_id {uuid} NOT NULL,
    account_id {uuid} NOT NULL,
    lot_id {uuid} NOT NULL,
    credits {int} NOT NULL,
    held {int} NOT NULL,
    cost {int} NOT NULL CHECK (cost >= 0),
    -- Whether there are credits. Changes seldom, unlike their number, so that the index on it stays still.
    open {bool} NOT NULL,
    PRIMARY KEY (organization_id, pool_id, account_id, lot_id),
    FOREIGN KEY (organization_id, pool_id, account_id) REFERENCES account (organization_id, pool_id, id),
    FOREIGN KEY (organization_id, lot_id) REFERENCES lot (organization_id, id),
    CHECK (credits >= 0 AND held >= 0 AND credits >= held)
) {table};
-- Loads what can be spent, however many lots have been used up.
CREATE INDEX lot_position_open ON lot_position (organization_id, pool_id, account_id) WHERE open;

CREATE TABLE transfer (
    organization_id {uuid} NOT NULL,
    pool_id {uuid} NOT NULL,
    version {int} NOT NULL CHECK (version > 0),
    kind {small} NOT NULL,
    debit_kind {small} NOT NULL,
    credit_kind {small} NOT NULL,
    debit_id {uuid},
    credit_id {uuid},
    lot_id {uuid} NOT NULL,
    credits {int} NOT NULL CHECK (credits > 0),
    cost {int} NOT NULL CHECK (cost >= 0),
    debit_after {int} NOT NULL,
    credit_after {int} NOT NULL,
    held_after {int} NOT NULL,
    pool_posted_after {int} NOT NULL,
    pool_held_after {int} NOT NULL,
    debt_after {int} NOT NULL,
    cause_kind {small} NOT NULL,
    cause_id {uuid},
    created_at {int} NOT NULL,
    -- Null when it is created_at.
    effective_at {int},
    hash {bytes} NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (organization_id, pool_id, version)
) {table};

CREATE TABLE charge (
    organization_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    pool_id {uuid} NOT NULL,
    account_id {uuid} NOT NULL,
    department_id {uuid},
    on_behalf_of {uuid},
    actor_kind {small} NOT NULL,
    actor_id {uuid},
    origin text,
    -- JSON list of lines: service, price version, code, quantity, credits each.
    lines text NOT NULL,
    credits {int} NOT NULL CHECK (credits > 0),
    reference text,
    subject text,
    metadata text,
    idempotency_key {bytes} NOT NULL CHECK (length(idempotency_key) = 16),
    request_hash {bytes} NOT NULL CHECK (length(request_hash) = 16),
    -- Its slices are the transfers (version - slices, version].
    version {int} NOT NULL,
    slices {int} NOT NULL CHECK (slices > 0),
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, id)
) {table};
-- A key and a reference are used once, for ever.
CREATE UNIQUE INDEX charge_key ON charge (organization_id, idempotency_key);
CREATE UNIQUE INDEX charge_reference ON charge (organization_id, reference) WHERE reference IS NOT NULL;
-- Lists the charges of a pool.
CREATE INDEX charge_pool ON charge (organization_id, pool_id, id);

CREATE TABLE journal_entry (
    organization_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    pool_id {uuid} NOT NULL,
    kind {small} NOT NULL,
    account_id {uuid} NOT NULL,
    lot_id {uuid},
    purchase_id {uuid},
    actor_kind {small} NOT NULL,
    actor_id {uuid},
    origin text,
    credits {int} NOT NULL CHECK (credits > 0),
    reason text,
    reference text,
    metadata text,
    idempotency_key {bytes} NOT NULL CHECK (length(idempotency_key) = 16),
    request_hash {bytes} NOT NULL CHECK (length(request_hash) = 16),
    version {int} NOT NULL,
    slices {int} NOT NULL CHECK (slices > 0),
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, id)
) {table};
CREATE UNIQUE INDEX journal_entry_key ON journal_entry (organization_id, idempotency_key);
"#;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, TABLES).await?;
        for table in ["pool_head", "account", "lot", "lot_position", "transfer", "charge", "journal_entry"] {
            isolate(manager, table, "organization_id", None).await?;
        }
        for table in ["lot", "transfer", "charge", "journal_entry"] {
            append_only(manager, table).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(
            manager,
            &["journal_entry", "charge", "transfer", "lot_position", "lot", "account", "pool_head"],
        )
        .await
    }
}
