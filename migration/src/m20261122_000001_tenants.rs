//! Organizations, people, memberships, departments and pools.

use sea_orm_migration::prelude::*;

use crate::dialect::{OPERATOR, drop_tables, isolate, postgres, run, setting};

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: &str = r#"
CREATE TABLE "user" (
    id {uuid} NOT NULL PRIMARY KEY,
    email text NOT NULL,
    name text NOT NULL,
    operator {bool} NOT NULL,
    created_at {int} NOT NULL
) {table};
CREATE UNIQUE INDEX user_email ON "user" (email);

CREATE TABLE organization (
    id {uuid} NOT NULL PRIMARY KEY,
    slug text NOT NULL,
    name text NOT NULL,
    time_zone text NOT NULL,
    currency text CHECK (length(currency) = 3),
    state text NOT NULL CHECK (state IN ('ACTIVE', 'SUSPENDED')),
    payment_terms text NOT NULL CHECK (payment_terms IN ('PREPAID', 'INVOICE')),
    credit_limit {int} CHECK (credit_limit >= 0),
    created_at {int} NOT NULL
) {table};
CREATE UNIQUE INDEX organization_slug ON organization (slug);

CREATE TABLE membership (
    organization_id {uuid} NOT NULL REFERENCES organization (id),
    id {uuid} NOT NULL,
    user_id {uuid} NOT NULL REFERENCES "user" (id),
    role text NOT NULL CHECK (role IN ('OWNER', 'ADMIN', 'AUDITOR', 'MEMBER')),
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, id)
) {table};
CREATE UNIQUE INDEX membership_user ON membership (organization_id, user_id);
-- The one key of a tenant table that a person leads: finds the organizations of whoever calls.
CREATE INDEX membership_by_user ON membership (user_id);

CREATE TABLE department (
    organization_id {uuid} NOT NULL REFERENCES organization (id),
    id {uuid} NOT NULL,
    code text NOT NULL,
    name text NOT NULL,
    cost_center text,
    archived_at {int},
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, id)
) {table};
CREATE UNIQUE INDEX department_code ON department (organization_id, code);

CREATE TABLE department_member (
    organization_id {uuid} NOT NULL,
    department_id {uuid} NOT NULL,
    user_id {uuid} NOT NULL,
    manager {bool} NOT NULL,
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, department_id, user_id),
    FOREIGN KEY (organization_id, department_id) REFERENCES department (organization_id, id),
    FOREIGN KEY (organization_id, user_id) REFERENCES membership (organization_id, user_id)
) {table};
CREATE INDEX department_member_user ON department_member (organization_id, user_id);

CREATE TABLE pool (
    organization_id {uuid} NOT NULL REFERENCES organization (id),
    id {uuid} NOT NULL,
    name text NOT NULL,
    -- JSON list of service ids; null allows all.
    allowed_services text,
    -- Rises with every change of what the ledger's decisions read.
    revision {int} NOT NULL,
    frozen_at {int},
    archived_at {int},
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, id)
) {table};
CREATE UNIQUE INDEX pool_name ON pool (organization_id, name);

CREATE TABLE pool_administrator (
    organization_id {uuid} NOT NULL,
    pool_id {uuid} NOT NULL,
    user_id {uuid} NOT NULL,
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, pool_id, user_id),
    FOREIGN KEY (organization_id, pool_id) REFERENCES pool (organization_id, id),
    FOREIGN KEY (organization_id, user_id) REFERENCES membership (organization_id, user_id)
) {table};
CREATE INDEX pool_administrator_user ON pool_administrator (organization_id, user_id);
"#;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, TABLES).await?;
        let me = format!("user_id = {}", setting("user_id"));
        for table in ["membership", "department_member", "pool_administrator"] {
            isolate(manager, table, "organization_id", Some(&me)).await?;
        }
        for table in ["department", "pool"] {
            isolate(manager, table, "organization_id", None).await?;
        }
        let mine = format!("id IN (SELECT m.organization_id FROM membership m WHERE m.{me})");
        isolate(manager, "organization", "id", Some(&mine)).await?;
        // A person is no tenant's row: seen by themselves, by who shares the organization at hand, by
        // the operator, and by who names the address. Anybody may be added, by any organization.
        let seen = format!(
            "id = {me_id} OR email = (SELECT nullif(current_setting('app.user_email', true), '')) OR {OPERATOR}
             OR EXISTS (SELECT FROM membership m WHERE m.user_id = \"user\".id AND m.organization_id = {org})",
            me_id = setting("user_id"),
            org = setting("organization_id"),
        );
        postgres(
            manager,
            &format!(
                "ALTER TABLE \"user\" ENABLE ROW LEVEL SECURITY;
                 ALTER TABLE \"user\" FORCE ROW LEVEL SECURITY;
                 CREATE POLICY seen ON \"user\" FOR SELECT USING ({seen});
                 CREATE POLICY added ON \"user\" FOR INSERT WITH CHECK (true);
                 CREATE POLICY own ON \"user\" FOR UPDATE USING (id = {me_id}) WITH CHECK (id = {me_id});",
                me_id = setting("user_id"),
            ),
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        postgres(manager, "DROP POLICY seen ON \"user\"; DROP POLICY person ON organization;").await?;
        drop_tables(
            manager,
            &[
                "pool_administrator",
                "pool",
                "department_member",
                "department",
                "membership",
                "organization",
                "user",
            ],
        )
        .await
    }
}
