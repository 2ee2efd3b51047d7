//! The outbox: what has to leave Bursar, written in the transaction of its cause.

use sea_orm_migration::prelude::*;

use crate::dialect::{drop_tables, isolate, postgres, run};

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: &str = r#"
CREATE TABLE delivery (
    -- The nil id is the vendor's own, which has no row in `organization`.
    organization_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    kind text NOT NULL CHECK (kind IN ('MAIL')),
    -- What a mail says. Which ones there are is the application's affair.
    template text,
    recipient text NOT NULL,
    -- JSON object.
    facts text NOT NULL,
    -- What the link is about, and its path. The proof in it is made when the mail is written, and never stored.
    link_about text,
    link_path text,
    state text NOT NULL CHECK (state IN ('PENDING', 'DELIVERED', 'DEAD')),
    attempts {int} NOT NULL CHECK (attempts >= 0),
    due_at {int} NOT NULL,
    leased_until {int},
    lease {uuid},
    last_error text,
    created_at {int} NOT NULL,
    delivered_at {int},
    PRIMARY KEY (organization_id, id),
    CHECK (kind <> 'MAIL' OR template IS NOT NULL),
    CHECK ((link_about IS NULL) = (link_path IS NULL)),
    CHECK ((state = 'DELIVERED') = (delivered_at IS NOT NULL))
) {table};
-- Finds what is to be tried, whoever's it is.
CREATE INDEX delivery_due ON delivery (due_at) WHERE state = 'PENDING';
-- Lists an organization's by state.
CREATE INDEX delivery_state ON delivery (organization_id, state, id);
-- Lists and finds all of them, for the vendor's staff.
CREATE INDEX delivery_by_id ON delivery (id);
"#;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, TABLES).await?;
        isolate(manager, "delivery", "organization_id", None).await?;
        // Whoever delivers finds out for which organizations there is something, and says what became of it.
        let courier = "(SELECT current_setting('app.courier', true)) = 'on'";
        let sql = format!(
            "CREATE POLICY courier_reads ON delivery FOR SELECT USING ({courier});
             CREATE POLICY courier_writes ON delivery FOR UPDATE USING ({courier}) WITH CHECK ({courier});"
        );
        postgres(manager, &sql).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["delivery"]).await
    }
}
