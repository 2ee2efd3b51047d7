//! Invitations, and the counts of what must not be tried too often.

use sea_orm_migration::prelude::*;

use crate::dialect::{drop_tables, isolate, postgres, run};

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: &str = r#"
CREATE TABLE invitation (
    organization_id {uuid} NOT NULL REFERENCES organization (id),
    id {uuid} NOT NULL,
    email text NOT NULL,
    role text NOT NULL CHECK (role IN ('OWNER', 'ADMIN', 'AUDITOR', 'MEMBER')),
    invited_by {uuid} NOT NULL REFERENCES "user" (id),
    -- Rises with each mail; links of earlier ones are no longer good.
    round {int} NOT NULL CHECK (round >= 1),
    created_at {int} NOT NULL,
    expires_at {int} NOT NULL,
    accepted_at {int},
    accepted_by {uuid} REFERENCES "user" (id),
    revoked_at {int},
    PRIMARY KEY (organization_id, id),
    CHECK ((accepted_at IS NULL) = (accepted_by IS NULL)),
    CHECK (accepted_at IS NULL OR revoked_at IS NULL)
) {table};
-- One that is open for each address.
CREATE UNIQUE INDEX invitation_open ON invitation (organization_id, email)
    WHERE accepted_at IS NULL AND revoked_at IS NULL;

CREATE TABLE attempt (
    -- A keyed digest of what was tried and by whom.
    bucket text NOT NULL PRIMARY KEY,
    tries {int} NOT NULL CHECK (tries >= 1),
    ends_at {int} NOT NULL
) {table};
-- Finds what can be forgotten.
CREATE INDEX attempt_end ON attempt (ends_at);
"#;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, TABLES).await?;
        isolate(manager, "invitation", "organization_id", None).await?;
        // The counts are of no tenant: seen and written only by whoever counts.
        let counting = "(SELECT current_setting('app.attempts', true)) = 'on'";
        postgres(
            manager,
            &format!(
                "ALTER TABLE attempt ENABLE ROW LEVEL SECURITY;
                 ALTER TABLE attempt FORCE ROW LEVEL SECURITY;
                 CREATE POLICY counting ON attempt USING ({counting}) WITH CHECK ({counting});"
            ),
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["attempt", "invitation"]).await
    }
}
