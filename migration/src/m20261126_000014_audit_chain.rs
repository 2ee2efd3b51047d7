//! The audit log as a chain: each event of an organization has a position and a link that covers it and the
//! link before it; the end of the chain stands in a row of its own. Values about people are apart, so that they
//! can be emptied.
//!
//! Events from before this have a position and no link; the head says how many they are. And the indexes by
//! which the log, the rows of the ledger among it, is listed by who, what and whom: each page costs what the
//! first one does.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DatabaseBackend};

use crate::dialect::{append_only, drop_tables, isolate, postgres, run};

#[derive(DeriveMigrationName)]
pub struct Migration;

const COLUMNS: &str = r#"
ALTER TABLE audit_event ADD COLUMN position {int} NOT NULL DEFAULT 0 CHECK (position >= 0);
ALTER TABLE audit_event ADD COLUMN on_behalf_of {uuid};
-- JSON object: for each value about a person, by name, the salted digest of the value.
ALTER TABLE audit_event ADD COLUMN personal text;
-- Null in events from before there was a chain.
ALTER TABLE audit_event ADD COLUMN link {bytes};
UPDATE audit_event AS e SET position = n.position
    FROM (SELECT organization_id, id, row_number() OVER (PARTITION BY organization_id ORDER BY id) AS position
          FROM audit_event) AS n
    WHERE e.organization_id = n.organization_id AND e.id = n.id;
"#;

const TABLES: &str = r#"
-- A position is taken once, and the chain is read in order.
CREATE UNIQUE INDEX audit_event_position ON audit_event (organization_id, position);
-- List what somebody did, what was done in one way, what was done to one thing.
CREATE INDEX audit_event_actor ON audit_event (organization_id, actor_id, id);
CREATE INDEX audit_event_action ON audit_event (organization_id, action, id);
CREATE INDEX audit_event_subject ON audit_event (organization_id, subject, id);

-- The end of each organization's chain. Whoever writes an event locks it, after everything else.
CREATE TABLE audit_head (
    organization_id {uuid} NOT NULL,
    position {int} NOT NULL CHECK (position >= 0),
    -- So many events, the first ones, are from before there was a chain.
    unchained {int} NOT NULL CHECK (unchained >= 0),
    link {bytes} NOT NULL CHECK (length(link) = 32),
    PRIMARY KEY (organization_id)
) {table};

-- What an event knows of a person. It is emptied when the person is to be forgotten: value and salt go, and with
-- them whatever could be found out from the digest in the event.
CREATE TABLE personal_value (
    organization_id {uuid} NOT NULL,
    event_id {uuid} NOT NULL,
    name text NOT NULL,
    -- Whose it is; null when it is of nobody whom Bursar knows.
    user_id {uuid},
    salt {bytes} CHECK (length(salt) = 32),
    value text,
    erased_at {int},
    PRIMARY KEY (organization_id, event_id, name),
    CHECK ((value IS NULL) = (salt IS NULL)),
    CHECK ((value IS NULL) = (erased_at IS NOT NULL))
) {table};
-- Finds what is to be emptied.
CREATE INDEX personal_value_user ON personal_value (organization_id, user_id) WHERE user_id IS NOT NULL;

-- The rows of the ledger that are their own audit record, by who made them.
CREATE INDEX charge_actor ON charge (organization_id, actor_id, id);
CREATE INDEX hold_actor ON hold (organization_id, actor_id, id);
CREATE INDEX journal_entry_actor ON journal_entry (organization_id, actor_id, id);
-- Captures among charges, entries of one kind, entries of a pool.
CREATE INDEX charge_capture ON charge (organization_id, id) WHERE hold_id IS NOT NULL;
CREATE INDEX journal_entry_kind ON journal_entry (organization_id, kind, id);
CREATE INDEX journal_entry_pool ON journal_entry (organization_id, pool_id, id);
"#;

/// Of indexes that promise the same, PostgreSQL takes the one that was made last, and while a table is empty all
/// of an organization's do. What is looked up before every command comes after what is only listed.
const LAST: &str = r#"
DROP INDEX charge_key;
CREATE UNIQUE INDEX charge_key ON charge (organization_id, idempotency_key);
DROP INDEX charge_hold;
CREATE INDEX charge_hold ON charge (organization_id, hold_id) WHERE hold_id IS NOT NULL;
DROP INDEX hold_key;
CREATE UNIQUE INDEX hold_key ON hold (organization_id, idempotency_key);
DROP INDEX journal_entry_revoked;
CREATE INDEX journal_entry_revoked ON journal_entry (organization_id, lot_id) WHERE kind IN (14, 15);
DROP INDEX journal_entry_key;
CREATE UNIQUE INDEX journal_entry_key ON journal_entry (organization_id, idempotency_key);
-- These begin with the id, and find one row by it.
DROP INDEX charge_by_id;
CREATE INDEX charge_by_id ON charge (id);
DROP INDEX hold_by_id;
CREATE INDEX hold_by_id ON hold (id);
"#;

const AWAY: &str = r#"
DROP INDEX journal_entry_pool;
DROP INDEX journal_entry_kind;
DROP INDEX charge_capture;
DROP INDEX journal_entry_actor;
DROP INDEX hold_actor;
DROP INDEX charge_actor;
DROP INDEX audit_event_subject;
DROP INDEX audit_event_action;
DROP INDEX audit_event_actor;
DROP INDEX audit_event_position;
ALTER TABLE audit_event DROP COLUMN link;
ALTER TABLE audit_event DROP COLUMN personal;
ALTER TABLE audit_event DROP COLUMN on_behalf_of;
ALTER TABLE audit_event DROP COLUMN position;
"#;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        number(manager).await?;
        run(manager, TABLES).await?;
        run(manager, LAST).await?;
        heads(manager).await?;
        // Only now: its owner, who runs this, sees rows of nobody from here on.
        postgres(manager, "ALTER TABLE audit_event FORCE ROW LEVEL SECURITY").await?;
        isolate(manager, "audit_head", "organization_id", None).await?;
        isolate(manager, "personal_value", "organization_id", None).await?;
        only_emptied(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["personal_value", "audit_head"]).await?;
        postgres(manager, "DROP FUNCTION refuse_unless_emptied()").await?;
        run(manager, AWAY).await
    }
}

/// Gives the events that there are their positions. They cannot be changed otherwise.
async fn number(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let open = match manager.get_database_backend() {
        DatabaseBackend::Postgres => {
            "DROP TRIGGER audit_event_append_only ON audit_event;
             DROP TRIGGER audit_event_no_truncate ON audit_event;
             ALTER TABLE audit_event NO FORCE ROW LEVEL SECURITY;"
        }
        _ => "DROP TRIGGER audit_event_no_UPDATE; DROP TRIGGER audit_event_no_DELETE;",
    };
    manager.get_connection().execute_unprepared(open).await?;
    run(manager, COLUMNS).await?;
    append_only(manager, "audit_event").await
}

/// The ends of the chains of organizations that have events.
async fn heads(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let origin = match manager.get_database_backend() {
        DatabaseBackend::Postgres => "decode(repeat('00', 32), 'hex')",
        _ => "zeroblob(32)",
    };
    let sql = format!(
        "INSERT INTO audit_head (organization_id, position, unchained, link)
         SELECT organization_id, count(*), count(*), {origin} FROM audit_event GROUP BY organization_id"
    );
    manager.get_connection().execute_unprepared(&sql).await.map(drop)
}

/// Values about people can be emptied, and nothing else can be done with them, by whomever.
async fn only_emptied(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let sql = match manager.get_database_backend() {
        DatabaseBackend::Postgres => {
            "CREATE FUNCTION refuse_unless_emptied() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 IF TG_OP = 'UPDATE' THEN
                     IF NEW.value IS NULL AND OLD.value IS NOT NULL
                         AND NEW.organization_id = OLD.organization_id AND NEW.event_id = OLD.event_id
                         AND NEW.name = OLD.name AND NEW.user_id IS NOT DISTINCT FROM OLD.user_id THEN
                         RETURN NEW;
                     END IF;
                 END IF;
                 RAISE EXCEPTION '% can only be emptied', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
             END $$;
             CREATE TRIGGER personal_value_emptied BEFORE UPDATE OR DELETE ON personal_value
                 FOR EACH ROW EXECUTE FUNCTION refuse_unless_emptied();
             CREATE TRIGGER personal_value_no_truncate BEFORE TRUNCATE ON personal_value
                 FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();"
        }
        _ => {
            "CREATE TRIGGER personal_value_no_UPDATE BEFORE UPDATE ON personal_value
             WHEN NOT (NEW.value IS NULL AND OLD.value IS NOT NULL
                 AND NEW.organization_id = OLD.organization_id AND NEW.event_id = OLD.event_id
                 AND NEW.name = OLD.name AND NEW.user_id IS OLD.user_id)
             BEGIN SELECT RAISE(ABORT, 'personal_value can only be emptied'); END;
             CREATE TRIGGER personal_value_no_DELETE BEFORE DELETE ON personal_value
             BEGIN SELECT RAISE(ABORT, 'personal_value can only be emptied'); END;"
        }
    };
    manager.get_connection().execute_unprepared(sql).await.map(drop)
}
