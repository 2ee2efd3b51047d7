//! Identity providers of organizations, the domains that they vouch for, and whom they mean.
//!
//! Before it is known who calls, three things are looked for: providers by the issuer that a token names
//! (`app.issuer`), the organization of an address's domain (`app.domain`), and the organization whose short name a
//! page's address has (`app.slug`). Each setting shows those rows and nothing else.
//!
//! A change of a provider raises the organization's revision: what its tokens may do is asked again.

use sea_orm_migration::prelude::*;

use crate::dialect::{after, drop_tables, forget, isolate, postgres, run};

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: &str = r#"
CREATE TABLE identity_provider (
    organization_id {uuid} NOT NULL PRIMARY KEY REFERENCES organization (id),
    issuer text NOT NULL,
    client_id text NOT NULL,
    -- Sealed; null: a client that proves nothing.
    client_secret {bytes},
    audience text NOT NULL,
    algorithm text NOT NULL CHECK (algorithm IN
        ('RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'EdDSA')),
    joins {bool} NOT NULL,
    -- Owners are made by owners.
    default_role text NOT NULL CHECK (default_role IN ('ADMIN', 'AUDITOR', 'MEMBER')),
    group_claim text,
    -- A JSON list of pairs.
    group_roles text NOT NULL,
    enabled {bool} NOT NULL,
    revision {int} NOT NULL CHECK (revision >= 1),
    created_at {int} NOT NULL,
    updated_at {int} NOT NULL
) {table};
-- Finds who may have made a token.
CREATE INDEX identity_provider_issuer ON identity_provider (issuer);

CREATE TABLE identity_provider_domain (
    organization_id {uuid} NOT NULL REFERENCES organization (id),
    domain text NOT NULL PRIMARY KEY,
    added_by {uuid} NOT NULL REFERENCES "user" (id),
    created_at {int} NOT NULL
) {table};
CREATE INDEX identity_provider_domain_of ON identity_provider_domain (organization_id);

CREATE TABLE user_identity (
    organization_id {uuid} NOT NULL REFERENCES organization (id),
    issuer text NOT NULL,
    subject text NOT NULL,
    user_id {uuid} NOT NULL REFERENCES "user" (id),
    created_at {int} NOT NULL,
    groups_as_of {int} NOT NULL,
    PRIMARY KEY (organization_id, issuer, subject)
) {table};
-- Finds whether a person has come before.
CREATE INDEX user_identity_user ON user_identity (organization_id, user_id);

-- The only organization that a session is good in; null: all of the person's.
ALTER TABLE session ADD COLUMN organization_id {uuid};
"#;

/// What raises the organization's revision.
const EVENTS: [&str; 2] = ["INSERT", "UPDATE"];

const RAISE: &str = "UPDATE organization SET revision = revision + 1 WHERE id = {row}.organization_id";

/// The text of a setting of the transaction; null when it is not set.
fn text_setting(name: &str) -> String {
    format!("(SELECT nullif(current_setting('app.{name}', true), ''))")
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, TABLES).await?;
        let named = format!("enabled AND issuer = {}", text_setting("issuer"));
        isolate(manager, "identity_provider", "organization_id", Some(&named)).await?;
        let asked = format!("domain = {}", text_setting("domain"));
        isolate(manager, "identity_provider_domain", "organization_id", Some(&asked)).await?;
        isolate(manager, "user_identity", "organization_id", None).await?;
        let slug = text_setting("slug");
        postgres(manager, &format!("CREATE POLICY slug ON organization FOR SELECT USING (slug = {slug});"))
            .await?;
        for event in EVENTS {
            after(manager, "identity_provider", event, RAISE).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for event in EVENTS {
            forget(manager, "identity_provider", event).await?;
        }
        postgres(manager, "DROP POLICY slug ON organization;").await?;
        drop_tables(manager, &["user_identity", "identity_provider_domain", "identity_provider"]).await?;
        run(manager, "ALTER TABLE session DROP COLUMN organization_id").await
    }
}
