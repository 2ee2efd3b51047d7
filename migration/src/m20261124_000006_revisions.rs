//! Revisions: numbers that rise with everything that the ledger's decisions read and that is kept in
//! memory. A batch compares them inside its transaction, so that a change takes effect with the next batch.
//!
//! The database raises them itself, by triggers, whatever has made the change.
//! - `pool_head.revision`: the pool's settings. On the head, because the head is what a batch locks: only
//!   what stands on the locked row is seen as it is after the wait for the lock.
//! - `organization.revision`: the organization's state, its people, their grants, its departments.
//! - `shared_revision`: the catalog's prices, and who belongs to the vendor's staff.

use sea_orm_migration::prelude::*;

use crate::dialect::{after, drop_tables, forget, postgres, run};

#[derive(DeriveMigrationName)]
pub struct Migration;

const RAISE_POOL: &str = "UPDATE pool_head SET revision = revision + 1
    WHERE organization_id = {row}.organization_id AND pool_id = {row}.id";
const RAISE_ORGANIZATION: &str =
    "UPDATE organization SET revision = revision + 1 WHERE id = {row}.organization_id";
const RAISE_ITSELF: &str = "UPDATE organization SET revision = revision + 1 WHERE id = {row}.id";
const RAISE_CATALOG: &str = "UPDATE shared_revision SET catalog = catalog + 1";
const RAISE_STAFF: &str = "UPDATE shared_revision SET staff = staff + 1";

/// Table, what happens to a row of it, and what is raised.
const RAISES: &[(&str, &str, &str)] = &[
    ("pool", "UPDATE OF allowed_services, frozen_at, archived_at", RAISE_POOL),
    ("organization", "UPDATE OF state", RAISE_ITSELF),
    ("membership", "INSERT", RAISE_ORGANIZATION),
    ("membership", "UPDATE", RAISE_ORGANIZATION),
    ("membership", "DELETE", RAISE_ORGANIZATION),
    ("pool_administrator", "INSERT", RAISE_ORGANIZATION),
    ("pool_administrator", "UPDATE", RAISE_ORGANIZATION),
    ("pool_administrator", "DELETE", RAISE_ORGANIZATION),
    ("department_member", "INSERT", RAISE_ORGANIZATION),
    ("department_member", "UPDATE", RAISE_ORGANIZATION),
    ("department_member", "DELETE", RAISE_ORGANIZATION),
    ("department", "UPDATE OF archived_at", RAISE_ORGANIZATION),
    ("service", "INSERT", RAISE_CATALOG),
    ("service", "UPDATE", RAISE_CATALOG),
    ("service_version", "INSERT", RAISE_CATALOG),
    ("user", "UPDATE OF operator", RAISE_STAFF),
    ("user", "DELETE", RAISE_STAFF),
];

/// The tables that the ledger's batches read and write, and the column that names the organization.
const BATCHED: &[(&str, &str)] = &[
    ("organization", "id"),
    ("department", "organization_id"),
    ("pool", "organization_id"),
    ("pool_head", "organization_id"),
    ("account", "organization_id"),
    ("lot", "organization_id"),
    ("lot_position", "organization_id"),
    ("transfer", "organization_id"),
    ("charge", "organization_id"),
    ("journal_entry", "organization_id"),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let tables = "ALTER TABLE pool_head ADD COLUMN revision {int} NOT NULL DEFAULT 1;
             ALTER TABLE organization ADD COLUMN revision {int} NOT NULL DEFAULT 1;
             ALTER TABLE pool DROP COLUMN revision;
             CREATE TABLE shared_revision (
                 -- There is one row.
                 id {small} NOT NULL PRIMARY KEY CHECK (id = 1),
                 catalog {int} NOT NULL,
                 staff {int} NOT NULL
             ) {table};
             INSERT INTO shared_revision (id, catalog, staff) VALUES (1, 1, 1);";
        run(manager, tables).await?;
        // Of indexes that promise the same, PostgreSQL takes the one that was made last, and while the table
        // is empty all of an organization's do. Keys are looked up before every charge.
        let key = "DROP INDEX charge_key;
             CREATE UNIQUE INDEX charge_key ON charge (organization_id, idempotency_key);";
        run(manager, key).await?;
        // Organizations whose commands share a transaction: named one by one, seen and written only there.
        for (table, organization) in BATCHED {
            // The list is read inside the SELECT, once; the cast around it makes it a value, not rows.
            let list = "(SELECT nullif(current_setting('app.batch', true), '')::uuid[])::uuid[]";
            let own = format!("{organization} = ANY ({list})");
            let sql = format!("CREATE POLICY batch ON {table} USING ({own}) WITH CHECK ({own})");
            postgres(manager, &sql).await?;
        }
        for (table, event, action) in RAISES {
            after(manager, table, event, action).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, event, _) in RAISES {
            forget(manager, table, event).await?;
        }
        for (table, _) in BATCHED {
            postgres(manager, &format!("DROP POLICY batch ON {table}")).await?;
        }
        drop_tables(manager, &["shared_revision"]).await?;
        let columns = "ALTER TABLE pool ADD COLUMN revision {int} NOT NULL DEFAULT 1;
             ALTER TABLE organization DROP COLUMN revision;
             ALTER TABLE pool_head DROP COLUMN revision;";
        run(manager, columns).await
    }
}
