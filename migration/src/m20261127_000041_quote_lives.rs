//! The lives of quotes: they run out, can be withdrawn, and can be answered anew; what was answered before is kept.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DatabaseBackend;

use crate::dialect::{append_only, drop_tables, free_owner, isolate, isolate_owner, run};

#[derive(DeriveMigrationName)]
pub struct Migration;

/// Whose rows are written here.
const TABLES: &[&str] = &["quote", "timed_task"];

const STATES: &str = "'REQUESTED', 'ANSWERED', 'DECLINED', 'USED'";
const MORE_STATES: &str = "'REQUESTED', 'ANSWERED', 'DECLINED', 'USED', 'WITHDRAWN', 'EXPIRED'";
/// States in which there may be no price.
const UNPRICED: &str = "'REQUESTED', 'DECLINED'";
const MORE_UNPRICED: &str = "'REQUESTED', 'DECLINED', 'WITHDRAWN', 'EXPIRED'";

/// SQLite changes no CHECK of a table: it is made anew.
const ANEW: &str = r#"
CREATE TABLE quote_new (
    organization_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    pool_id {uuid} NOT NULL,
    requested_by {uuid} NOT NULL,
    state text NOT NULL CHECK (state IN ({states})),
    credits {int} NOT NULL CHECK (credits > 0),
    currency text NOT NULL CHECK (length(currency) = 3),
    unit_price {int} CHECK (unit_price > 0),
    total {int} CHECK (total > 0),
    lifetime_days {int} CHECK (lifetime_days > 0),
    valid_until {int},
    note text,
    answer text,
    answered_at {int},
    idempotency_key {bytes} NOT NULL CHECK (length(idempotency_key) = 16),
    request_hash {bytes} NOT NULL CHECK (length(request_hash) = 16),
    answer_key {bytes} CHECK (length(answer_key) = 16),
    answer_hash {bytes} CHECK (length(answer_hash) = 16),
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, pool_id) REFERENCES pool (organization_id, id),
    CHECK (state IN ({unpriced})
        OR (unit_price IS NOT NULL AND total IS NOT NULL AND valid_until IS NOT NULL))
) {table};
INSERT INTO quote_new SELECT organization_id, id, pool_id, requested_by, state, credits, currency, unit_price, total,
    lifetime_days, valid_until, note, answer, answered_at, idempotency_key, request_hash, answer_key, answer_hash,
    created_at FROM quote;
DROP TABLE quote;
ALTER TABLE quote_new RENAME TO quote;
CREATE UNIQUE INDEX quote_key ON quote (organization_id, idempotency_key);
CREATE UNIQUE INDEX quote_answer_key ON quote (organization_id, answer_key) WHERE answer_key IS NOT NULL;
CREATE INDEX quote_pool ON quote (organization_id, pool_id, id);
CREATE INDEX quote_by_id ON quote (id);
"#;

const CONSTRAINTS: &str = r#"
ALTER TABLE quote DROP CONSTRAINT quote_state_check;
ALTER TABLE quote DROP CONSTRAINT quote_check;
ALTER TABLE quote ADD CONSTRAINT quote_state_check CHECK (state IN ({states}));
ALTER TABLE quote ADD CONSTRAINT quote_check CHECK (state IN ({unpriced})
    OR (unit_price IS NOT NULL AND total IS NOT NULL AND valid_until IS NOT NULL));
"#;

const UP: &str = r#"
-- Until when a request waits for an answer: 30 days.
ALTER TABLE quote ADD COLUMN expires_at {int};
UPDATE quote SET expires_at = created_at + 2592000000000;
INSERT INTO timed_task (organization_id, kind, subject_id, due_at)
    SELECT organization_id, 'QUOTE_DUE', id, CASE state WHEN 'ANSWERED' THEN valid_until ELSE expires_at END
    FROM quote WHERE state IN ('REQUESTED', 'ANSWERED');

-- What was answered before the answer that counts.
CREATE TABLE quote_answer (
    organization_id {uuid} NOT NULL,
    quote_id {uuid} NOT NULL,
    number {int} NOT NULL CHECK (number > 0),
    state text NOT NULL CHECK (state IN ('ANSWERED', 'DECLINED')),
    unit_price {int} CHECK (unit_price > 0),
    total {int} CHECK (total > 0),
    lifetime_days {int} CHECK (lifetime_days > 0),
    valid_until {int},
    answer text,
    answered_at {int} NOT NULL,
    answer_key {bytes} NOT NULL CHECK (length(answer_key) = 16),
    answer_hash {bytes} NOT NULL CHECK (length(answer_hash) = 16),
    PRIMARY KEY (organization_id, quote_id, number),
    FOREIGN KEY (organization_id, quote_id) REFERENCES quote (organization_id, id),
    CHECK (state = 'DECLINED'
        OR (unit_price IS NOT NULL AND total IS NOT NULL AND valid_until IS NOT NULL))
) {table};
CREATE UNIQUE INDEX quote_answer_repeated ON quote_answer (organization_id, answer_key);
"#;

const DOWN: &str = r#"
DELETE FROM timed_task WHERE kind = 'QUOTE_DUE';
ALTER TABLE quote DROP COLUMN expires_at;
UPDATE quote SET state = 'DECLINED' WHERE state IN ('WITHDRAWN', 'EXPIRED');
"#;

/// Lets quotes have these states, and no price in those.
async fn allow(manager: &SchemaManager<'_>, states: &str, unpriced: &str) -> Result<(), DbErr> {
    let sql = match manager.get_database_backend() {
        DatabaseBackend::Postgres => CONSTRAINTS,
        _ => ANEW,
    };
    run(manager, &sql.replace("{states}", states).replace("{unpriced}", unpriced)).await
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        allow(manager, MORE_STATES, MORE_UNPRICED).await?;
        free_owner(manager, TABLES).await?;
        run(manager, UP).await?;
        isolate_owner(manager, TABLES).await?;
        isolate(manager, "quote_answer", "organization_id", None).await?;
        append_only(manager, "quote_answer").await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["quote_answer"]).await?;
        free_owner(manager, TABLES).await?;
        run(manager, DOWN).await?;
        isolate_owner(manager, TABLES).await?;
        allow(manager, STATES, UNPRICED).await
    }
}
