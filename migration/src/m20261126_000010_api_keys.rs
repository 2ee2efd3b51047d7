//! API keys, and the sandboxes that test keys act in.
//!
//! A key is looked up by its digest before it is known whose it is: the setting `app.key_hash` shows that one
//! row, and the organization that it acts in. A change of what a key may do raises the revisions that permissions
//! are compared at: the organization's and its sandbox's, or the staff's for a key of the vendor's.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DatabaseBackend;

use crate::dialect::{after, drop_tables, forget, isolate, postgres, run, setting};

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: &str = r#"
CREATE TABLE api_key (
    -- 128 zeros: a key of the vendor's, which has no row in `organization`.
    organization_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    name text NOT NULL,
    -- SHA-256 of the whole key.
    hash {bytes} NOT NULL CHECK (length(hash) = 32),
    hint text NOT NULL CHECK (length(hint) <= 4),
    mode text NOT NULL CHECK (mode IN ('LIVE', 'TEST')),
    -- Names with commas between.
    scopes text NOT NULL,
    -- JSON lists of ids; null: all.
    pools text,
    departments text,
    created_by {uuid} NOT NULL REFERENCES "user" (id),
    created_at {int} NOT NULL,
    expires_at {int},
    last_used_at {int},
    revoked_at {int},
    replaces {uuid},
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, replaces) REFERENCES api_key (organization_id, id)
) {table};
CREATE UNIQUE INDEX api_key_hash ON api_key (organization_id, hash);
-- Finds whose a key is. The digest of 256 random bits is unique without being told to.
CREATE INDEX api_key_by_hash ON api_key (hash);
-- A key is rotated once.
CREATE UNIQUE INDEX api_key_replaces ON api_key (organization_id, replaces) WHERE replaces IS NOT NULL;

ALTER TABLE organization ADD COLUMN sandbox_of {uuid};
CREATE UNIQUE INDEX organization_sandbox ON organization (sandbox_of) WHERE sandbox_of IS NOT NULL;
"#;

/// What changes of a key that permissions depend on. When it was used last is none of it.
const EVENTS: [&str; 2] = ["UPDATE OF scopes, pools, departments, expires_at, revoked_at", "DELETE"];

/// The condition of the key that is being looked up.
const LOOKED_UP: &str = "hash = (SELECT decode(nullif(current_setting('app.key_hash', true), ''), 'hex'))";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, TABLES).await?;
        isolate(manager, "api_key", "organization_id", Some(LOOKED_UP)).await?;
        let own = format!("sandbox_of = {}", setting("organization_id"));
        let acts_in = format!("(SELECT k.organization_id FROM api_key k WHERE k.{LOOKED_UP})");
        // What an organization changes of its keys raises its sandbox's revision too.
        let policies = format!(
            "CREATE POLICY sandbox ON organization USING ({own}) WITH CHECK ({own});
             CREATE POLICY token ON organization FOR SELECT
                 USING (id IN {acts_in} OR sandbox_of IN {acts_in});"
        );
        postgres(manager, &policies).await?;
        let vendor = match manager.get_database_backend() {
            DatabaseBackend::Postgres => "'00000000-0000-0000-0000-000000000000'::uuid",
            _ => "zeroblob(16)",
        };
        let raise = format!(
            "UPDATE organization SET revision = revision + 1
                 WHERE id = {{row}}.organization_id OR sandbox_of = {{row}}.organization_id;
             UPDATE shared_revision SET staff = staff + 1 WHERE {{row}}.organization_id = {vendor}"
        );
        for event in EVENTS {
            after(manager, "api_key", event, &raise).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for event in EVENTS {
            forget(manager, "api_key", event).await?;
        }
        let policies = "DROP POLICY sandbox ON organization; DROP POLICY token ON organization;";
        postgres(manager, policies).await?;
        drop_tables(manager, &["api_key"]).await?;
        let column = "DROP INDEX organization_sandbox; ALTER TABLE organization DROP COLUMN sandbox_of;";
        run(manager, column).await
    }
}
