//! Prices for any quantity: volume tiers, contract prices, quotes, and services' prices of organizations.

use sea_orm_migration::prelude::*;

use crate::dialect::{after, append_only, drop_tables, forget, isolate, postgres, run};

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: &str = r#"
CREATE TABLE price_list (
    id {uuid} NOT NULL PRIMARY KEY,
    currency text NOT NULL CHECK (length(currency) = 3),
    effective_from {int} NOT NULL,
    created_at {int} NOT NULL
) {table};
CREATE UNIQUE INDEX price_list_effective ON price_list (currency, effective_from);

CREATE TABLE price_tier (
    price_list_id {uuid} NOT NULL REFERENCES price_list (id),
    from_credits {int} NOT NULL CHECK (from_credits > 0),
    -- Millionths of a minor unit for a credit.
    unit_price {int} NOT NULL CHECK (unit_price > 0),
    lifetime_days {int} CHECK (lifetime_days > 0),
    PRIMARY KEY (price_list_id, from_credits)
) {table};

CREATE TABLE organization_price (
    organization_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    service_id {uuid} NOT NULL REFERENCES service (id),
    -- Null: from then on it is what the catalog says.
    credits {int} CHECK (credits > 0),
    effective_from {int} NOT NULL,
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, id)
) {table};
CREATE UNIQUE INDEX organization_price_effective
    ON organization_price (organization_id, service_id, effective_from);

CREATE TABLE contract_price (
    organization_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    from_credits {int} NOT NULL CHECK (from_credits > 0),
    unit_price {int} NOT NULL CHECK (unit_price > 0),
    currency text NOT NULL CHECK (length(currency) = 3),
    lifetime_days {int} CHECK (lifetime_days > 0),
    effective_from {int} NOT NULL,
    ends_at {int},
    reason text,
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, id)
) {table};
CREATE INDEX contract_price_currency ON contract_price (organization_id, currency, from_credits);

CREATE TABLE quote (
    organization_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    pool_id {uuid} NOT NULL,
    requested_by {uuid} NOT NULL,
    state text NOT NULL CHECK (state IN ('REQUESTED', 'ANSWERED', 'DECLINED', 'USED')),
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
    CHECK (state IN ('REQUESTED', 'DECLINED')
        OR (unit_price IS NOT NULL AND total IS NOT NULL AND valid_until IS NOT NULL))
) {table};
CREATE UNIQUE INDEX quote_key ON quote (organization_id, idempotency_key);
CREATE UNIQUE INDEX quote_answer_key ON quote (organization_id, answer_key) WHERE answer_key IS NOT NULL;
CREATE INDEX quote_pool ON quote (organization_id, pool_id, id);
-- Lists what the vendor's staff has to answer, and finds it for them, who name no organization.
CREATE INDEX quote_by_id ON quote (id);

ALTER TABLE purchase ADD COLUMN unit_price {int} NOT NULL DEFAULT 1 CHECK (unit_price > 0);
ALTER TABLE purchase ADD COLUMN price_basis text NOT NULL DEFAULT 'PACKAGE'
    CHECK (price_basis IN ('QUOTE', 'CONTRACT', 'PACKAGE', 'VOLUME'));
ALTER TABLE purchase ADD COLUMN quote_id {uuid};
UPDATE purchase SET unit_price = total * 1000000 / credits;
CREATE UNIQUE INDEX purchase_quote ON purchase (organization_id, quote_id) WHERE quote_id IS NOT NULL;
"#;

/// The volume tiers that are shipped: what the shipped packages cost by the credit. From how many credits on, and
/// millionths of a US cent.
const TIERS: &[(i64, i64)] = &[(1, 199_000_000), (500, 179_800_000)];

/// Since when they hold, like everything that is shipped: 2025-01-01T00:00:00Z.
const SHIPPED_AT: i64 = 1_735_689_600_000_000;

/// The identifier of the shipped tiers, the same in every installation.
const SHIPPED: &str = "01941f297c007000a000000500000001";

const RAISE: &str = "UPDATE organization SET revision = revision + 1 WHERE id = {row}.organization_id";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, TABLES).await?;
        let id = match manager.get_database_backend() {
            sea_orm_migration::sea_orm::DatabaseBackend::Postgres => format!("'{SHIPPED}'::uuid"),
            _ => format!("X'{SHIPPED}'"),
        };
        let list = format!("INSERT INTO price_list VALUES ({id}, 'USD', {SHIPPED_AT}, {SHIPPED_AT});");
        run(manager, &list).await?;
        for (from, price) in TIERS {
            run(manager, &format!("INSERT INTO price_tier VALUES ({id}, {from}, {price}, NULL);")).await?;
        }
        for table in ["organization_price", "contract_price", "quote"] {
            isolate(manager, table, "organization_id", None).await?;
        }
        // Charges are priced by the ledger's batches.
        let list = "(SELECT nullif(current_setting('app.batch', true), '')::uuid[])::uuid[]";
        let own = format!("organization_id = ANY ({list})");
        let sql = format!("CREATE POLICY batch ON organization_price USING ({own}) WITH CHECK ({own})");
        postgres(manager, &sql).await?;
        for table in ["price_list", "price_tier", "organization_price"] {
            append_only(manager, table).await?;
        }
        after(manager, "organization_price", "INSERT", RAISE).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        forget(manager, "organization_price", "INSERT").await?;
        let columns = "DROP INDEX purchase_quote;
             ALTER TABLE purchase DROP COLUMN quote_id;
             ALTER TABLE purchase DROP COLUMN price_basis;
             ALTER TABLE purchase DROP COLUMN unit_price;";
        run(manager, columns).await?;
        let order = ["quote", "contract_price", "organization_price", "price_tier", "price_list"];
        drop_tables(manager, &order).await
    }
}
