//! The catalog: services and packages, each with immutable versions, and what is shipped with Bursar.

use sea_orm_migration::prelude::*;

use crate::dialect::{append_only, drop_tables, postgres, run};

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: &str = r#"
CREATE TABLE service (
    id {uuid} NOT NULL PRIMARY KEY,
    code text NOT NULL,
    name text NOT NULL,
    created_at {int} NOT NULL
) {table};
CREATE UNIQUE INDEX service_code ON service (code);

CREATE TABLE service_version (
    id {uuid} NOT NULL PRIMARY KEY,
    service_id {uuid} NOT NULL REFERENCES service (id),
    credits {int} NOT NULL CHECK (credits > 0),
    effective_from {int} NOT NULL,
    created_at {int} NOT NULL
) {table};
CREATE UNIQUE INDEX service_version_effective ON service_version (service_id, effective_from);

CREATE TABLE package (
    id {uuid} NOT NULL PRIMARY KEY,
    code text NOT NULL,
    name text NOT NULL,
    created_at {int} NOT NULL
) {table};
CREATE UNIQUE INDEX package_code ON package (code);

CREATE TABLE package_version (
    id {uuid} NOT NULL PRIMARY KEY,
    package_id {uuid} NOT NULL REFERENCES package (id),
    credits {int} NOT NULL CHECK (credits > 0),
    -- Whether it is sold at a price agreed with each customer, from this many credits on.
    custom_price {bool} NOT NULL,
    lifetime_days {int} CHECK (lifetime_days > 0),
    effective_from {int} NOT NULL,
    created_at {int} NOT NULL
) {table};
CREATE UNIQUE INDEX package_version_effective ON package_version (package_id, effective_from);

CREATE TABLE package_price (
    package_version_id {uuid} NOT NULL REFERENCES package_version (id),
    currency text NOT NULL CHECK (length(currency) = 3),
    amount {int} NOT NULL CHECK (amount > 0),
    PRIMARY KEY (package_version_id, currency)
) {table};
"#;

/// Code, name, credits per unit.
const SERVICES: &[(&str, &str, i64)] = &[
    ("BASIC_ROOM_STAGING", "Basic Room Staging", 2),
    ("ADVANCED_STAGING", "Advanced Staging", 3),
    ("STYLE_CHANGE", "Style Change", 2),
    ("FURNITURE_REMOVAL", "Furniture Removal", 1),
    ("OUTDOOR_STAGING", "Outdoor Staging", 3),
];

/// Code, name, credits, price in US cents (none: custom).
const PACKAGES: &[(&str, &str, i64, Option<i64>)] = &[
    ("STARTER", "Starter", 100, Some(19_900)),
    ("PROFESSIONAL", "Professional", 500, Some(89_900)),
    ("ENTERPRISE", "Enterprise", 1_000, None),
];

/// What is shipped has fixed identifiers, the same in every installation (UUIDs of version 7 at
/// 2025-01-01T00:00:00Z, numbered), and holds from that instant.
const SHIPPED_AT: i64 = 1_735_689_600_000_000;

/// A fixed identifier as a literal of the database at hand.
fn shipped(manager: &SchemaManager<'_>, kind: u16, number: usize) -> String {
    let hex = format!("01941f297c007000a000{kind:04x}{number:08x}");
    match manager.get_database_backend() {
        sea_orm_migration::sea_orm::DatabaseBackend::Postgres => format!("'{hex}'::uuid"),
        _ => format!("X'{hex}'"),
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, TABLES).await?;
        let flag = |value: bool| match (manager.get_database_backend(), value) {
            (sea_orm_migration::sea_orm::DatabaseBackend::Postgres, value) => value.to_string(),
            (_, value) => u8::from(value).to_string(),
        };
        for (number, (code, name, credits)) in SERVICES.iter().enumerate() {
            let (id, version) = (shipped(manager, 1, number + 1), shipped(manager, 2, number + 1));
            run(
                manager,
                &format!(
                    "INSERT INTO service VALUES ({id}, '{code}', '{name}', {SHIPPED_AT});
                     INSERT INTO service_version VALUES ({version}, {id}, {credits}, {SHIPPED_AT}, {SHIPPED_AT});"
                ),
            )
            .await?;
        }
        for (number, (code, name, credits, price)) in PACKAGES.iter().enumerate() {
            let (id, version) = (shipped(manager, 3, number + 1), shipped(manager, 4, number + 1));
            let custom = flag(price.is_none());
            let mut sql = format!(
                "INSERT INTO package VALUES ({id}, '{code}', '{name}', {SHIPPED_AT});
                 INSERT INTO package_version
                     VALUES ({version}, {id}, {credits}, {custom}, NULL, {SHIPPED_AT}, {SHIPPED_AT});"
            );
            if let Some(cents) = price {
                sql += &format!("INSERT INTO package_price VALUES ({version}, 'USD', {cents});");
            }
            run(manager, &sql).await?;
        }
        for table in ["service_version", "package_version", "package_price"] {
            append_only(manager, table).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["package_price", "package_version", "package", "service_version", "service"])
            .await?;
        postgres(manager, "DROP FUNCTION refuse_change()").await
    }
}
