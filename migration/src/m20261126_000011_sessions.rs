//! Signing in: links that are sent by mail, and the sessions that they open.
//!
//! Both are about a person and belong to no tenant. Whoever signs a person in or out names the person and says so
//! (`app.sign_in`): the person's links and sessions can be read and written then, and nobody else's. A person sees
//! the own sessions; and whoever looks which of many sessions have ended sees all of them.

use sea_orm_migration::prelude::*;

use crate::dialect::{OPERATOR, drop_tables, postgres, run, setting};

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: &str = r#"
CREATE TABLE sign_in_link (
    user_id {uuid} NOT NULL REFERENCES "user" (id),
    id {uuid} NOT NULL,
    created_at {int} NOT NULL,
    expires_at {int} NOT NULL,
    used_at {int},
    PRIMARY KEY (user_id, id)
) {table};

CREATE TABLE session (
    user_id {uuid} NOT NULL REFERENCES "user" (id),
    id {uuid} NOT NULL,
    -- Which of the session's refresh tokens is the good one. No token is stored, nor a digest of one.
    generation {int} NOT NULL CHECK (generation >= 1),
    created_at {int} NOT NULL,
    -- When a refresh token was last taken.
    last_used_at {int} NOT NULL,
    expires_at {int} NOT NULL,
    revoked_at {int},
    PRIMARY KEY (user_id, id)
) {table};
-- Finds those that are in use, whoever's they are.
CREATE INDEX session_by_id ON session (id);
"#;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, TABLES).await?;
        let own = format!("user_id = {}", setting("user_id"));
        let signing_in = format!("{own} AND (SELECT current_setting('app.sign_in', true)) = 'on'");
        for table in ["sign_in_link", "session"] {
            let sql = format!(
                "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
                 ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
                 CREATE POLICY sign_in ON {table} USING ({signing_in}) WITH CHECK ({signing_in});"
            );
            postgres(manager, &sql).await?;
        }
        let seen = format!(
            "CREATE POLICY person ON session FOR SELECT USING ({own});
             CREATE POLICY operator ON session FOR SELECT USING ({OPERATOR});"
        );
        postgres(manager, &seen).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["session", "sign_in_link"]).await
    }
}
