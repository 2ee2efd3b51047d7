//! Approval of purchases: policies, requests and their rounds, decisions, who stands in for whom, links of mails; and the
//! logos of organizations, which those mails show.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DatabaseBackend};

use crate::dialect::{append_only, drop_tables, isolate, postgres, run};

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: &str = r#"
CREATE TABLE approval_policy (
    organization_id {uuid} NOT NULL REFERENCES organization (id),
    id {uuid} NOT NULL,
    -- 1, 2, 3, ...; the highest is in force.
    version {int} NOT NULL CHECK (version >= 1),
    -- JSON array.
    rules text NOT NULL,
    currency text CHECK (length(currency) = 3),
    remind_after {int} NOT NULL CHECK (remind_after > 0),
    escalate_after {int} NOT NULL CHECK (escalate_after > 0),
    expire_after {int} NOT NULL CHECK (expire_after > 0),
    sign_in_above {int} CHECK (sign_in_above >= 0),
    payer text NOT NULL CHECK (payer IN ('REQUESTER', 'APPROVER')),
    language text NOT NULL,
    saved_by {uuid} NOT NULL,
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, id)
) {table};
CREATE UNIQUE INDEX approval_policy_version ON approval_policy (organization_id, version);

CREATE TABLE approval_request (
    organization_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    purchase_id {uuid} NOT NULL,
    pool_id {uuid} NOT NULL,
    requested_by {uuid} NOT NULL,
    state text NOT NULL CHECK (state IN ('PENDING', 'APPROVED', 'REJECTED', 'EXPIRED', 'WITHDRAWN')),
    -- The newest round. What follows is of that one.
    round {int} NOT NULL CHECK (round >= 1),
    stage {int} NOT NULL CHECK (stage >= 0),
    stage_since {int} NOT NULL,
    -- How often whoever has not decided was reminded in this stage.
    reminders {int} NOT NULL CHECK (reminders >= 0),
    ended_at {int},
    -- When the credits came in that were agreed to: an approval is used once.
    used_at {int},
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, purchase_id) REFERENCES purchase (organization_id, id),
    CHECK ((state = 'PENDING') = (ended_at IS NULL)),
    CHECK (used_at IS NULL OR state = 'APPROVED')
) {table};
CREATE UNIQUE INDEX approval_request_purchase ON approval_request (organization_id, purchase_id);
-- Finds those that somebody has to decide about.
CREATE INDEX approval_request_state ON approval_request (organization_id, state, id);
-- Finds one by its global id, for the vendor's staff.
CREATE INDEX approval_request_by_id ON approval_request (id);

CREATE TABLE approval_round (
    organization_id {uuid} NOT NULL,
    request_id {uuid} NOT NULL,
    round {int} NOT NULL CHECK (round >= 1),
    cause text NOT NULL CHECK (cause IN ('REQUESTED', 'EDITED', 'PRICE_EXPIRED')),
    -- The policy as it was then, and which of its rules has fitted, from 0.
    policy_id {uuid} NOT NULL,
    rule {int} NOT NULL CHECK (rule >= 0),
    rule_name text NOT NULL,
    -- JSON array: each stage with those who may decide in it.
    stages text NOT NULL,
    -- What is asked for, and the digest of it.
    pool_id {uuid} NOT NULL,
    package_version_id {uuid} NOT NULL,
    credits {int} NOT NULL CHECK (credits > 0),
    total {int} NOT NULL CHECK (total > 0),
    currency text NOT NULL CHECK (length(currency) = 3),
    lifetime_days {int} CHECK (lifetime_days > 0),
    requester {uuid} NOT NULL,
    -- The organization's only owner when it was opened; none: there were several.
    only_owner {uuid},
    -- Whether the pool buys by itself, as the requester has set it.
    by_itself {bool} NOT NULL,
    valid_until {int} NOT NULL,
    content_hash {bytes} NOT NULL CHECK (length(content_hash) = 32),
    -- The same in the vendor's words: how many credits, and the name of the package.
    title text NOT NULL,
    -- The salted digest of why it is wanted. In people's words that is in approval_reason.
    reason_hash {bytes} CHECK (length(reason_hash) = 32),
    expires_at {int} NOT NULL,
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, request_id, round),
    FOREIGN KEY (organization_id, request_id) REFERENCES approval_request (organization_id, id)
) {table};

CREATE TABLE approval_decision (
    organization_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    request_id {uuid} NOT NULL,
    round {int} NOT NULL,
    stage {int} NOT NULL CHECK (stage >= 0),
    choice text NOT NULL CHECK (choice IN ('APPROVE', 'REJECT')),
    decided_by {uuid} NOT NULL,
    -- In whose name: the same person, or one that this person stands in for.
    seat {uuid} NOT NULL,
    exception text CHECK (exception IN ('SOLE_OWNER', 'OWNER_ALONE')),
    way text NOT NULL CHECK (way IN ('API', 'LINK', 'SIGNED_IN_LINK')),
    link_id {uuid},
    -- The salted digest of why. In people's words that is in approval_reason.
    reason_hash {bytes} CHECK (length(reason_hash) = 32),
    -- Without the reason, which could be found out by trying.
    idempotency_key {bytes} NOT NULL CHECK (length(idempotency_key) = 16),
    request_hash {bytes} NOT NULL CHECK (length(request_hash) = 16),
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, request_id, round)
        REFERENCES approval_round (organization_id, request_id, round),
    CHECK ((way = 'API') = (link_id IS NULL)),
    CHECK (choice = 'APPROVE' OR reason_hash IS NOT NULL),
    CHECK (exception IS NULL OR exception = 'OWNER_ALONE' OR decided_by = seat)
) {table};
CREATE UNIQUE INDEX approval_decision_key ON approval_decision (organization_id, idempotency_key);
-- A person decides once, and once is decided in a person's name.
CREATE UNIQUE INDEX approval_decision_person
    ON approval_decision (organization_id, request_id, round, decided_by);
CREATE UNIQUE INDEX approval_decision_seat ON approval_decision (organization_id, request_id, round, seat);

-- Why something is wanted, and why people have decided as they have, in their own words. It is emptied when one of them is
-- to be forgotten: value and salt go, and with them whatever could be found out from the digests above.
CREATE TABLE approval_reason (
    organization_id {uuid} NOT NULL,
    request_id {uuid} NOT NULL,
    round {int} NOT NULL,
    name text NOT NULL CHECK (name IN ('ROUND', 'DECISION')),
    -- Whose words they are: who has asked in the round, or who has decided.
    written_by {uuid} NOT NULL,
    -- Whom they are about beside: of a decision, who has asked.
    about {uuid},
    salt {bytes} CHECK (length(salt) = 32),
    value text,
    erased_at {int},
    PRIMARY KEY (organization_id, request_id, round, name, written_by),
    FOREIGN KEY (organization_id, request_id, round)
        REFERENCES approval_round (organization_id, request_id, round),
    CHECK ((value IS NULL) = (salt IS NULL)),
    CHECK ((value IS NULL) = (erased_at IS NOT NULL))
) {table};
-- Find what is to be emptied.
CREATE INDEX approval_reason_written_by ON approval_reason (organization_id, written_by);
CREATE INDEX approval_reason_about ON approval_reason (organization_id, about) WHERE about IS NOT NULL;

CREATE TABLE approval_escalation (
    organization_id {uuid} NOT NULL,
    request_id {uuid} NOT NULL,
    round {int} NOT NULL,
    -- 1, 2, 3, ... in the round.
    number {int} NOT NULL CHECK (number >= 1),
    stage {int} NOT NULL CHECK (stage >= 0),
    reason text NOT NULL CHECK (reason IN ('OVERDUE', 'UNREACHABLE', 'BARRED')),
    -- JSON array of people.
    owners text NOT NULL,
    sole_owner {bool} NOT NULL,
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, request_id, round, number),
    FOREIGN KEY (organization_id, request_id, round)
        REFERENCES approval_round (organization_id, request_id, round)
) {table};

CREATE TABLE approval_delegation (
    organization_id {uuid} NOT NULL REFERENCES organization (id),
    id {uuid} NOT NULL,
    delegator {uuid} NOT NULL,
    delegate {uuid} NOT NULL,
    starts_at {int} NOT NULL,
    ends_at {int} NOT NULL,
    reason text,
    revoked_at {int},
    revoked_by {uuid},
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, id),
    CHECK (starts_at < ends_at),
    CHECK (delegator <> delegate)
) {table};
CREATE INDEX approval_delegation_delegator ON approval_delegation (organization_id, delegator, ends_at);
CREATE INDEX approval_delegation_delegate ON approval_delegation (organization_id, delegate, ends_at);

CREATE TABLE approval_link (
    organization_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    kind text NOT NULL CHECK (kind IN ('DECIDE', 'PAY')),
    request_id {uuid} NOT NULL,
    round {int} NOT NULL,
    user_id {uuid} NOT NULL,
    expires_at {int} NOT NULL,
    used_at {int},
    withdrawn_at {int},
    wrong_codes {int} NOT NULL CHECK (wrong_codes >= 0),
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, request_id, round)
        REFERENCES approval_round (organization_id, request_id, round)
) {table};
CREATE INDEX approval_link_request ON approval_link (organization_id, request_id, round, user_id);

-- What mails and pages show of an organization beside its name.
CREATE TABLE brand (
    organization_id {uuid} NOT NULL REFERENCES organization (id),
    -- A PNG image.
    logo {bytes} NOT NULL CHECK (length(logo) <= 65536),
    updated_at {int} NOT NULL,
    PRIMARY KEY (organization_id)
) {table};

ALTER TABLE purchase ADD COLUMN purchase_order text;
"#;

/// All of them, those first that others point at.
const ALL: [&str; 9] = [
    "brand",
    "approval_policy",
    "approval_request",
    "approval_round",
    "approval_decision",
    "approval_reason",
    "approval_escalation",
    "approval_delegation",
    "approval_link",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, TABLES).await?;
        for table in ["approval_policy", "approval_round", "approval_decision", "approval_escalation"] {
            append_only(manager, table).await?;
        }
        for table in ALL {
            isolate(manager, table, "organization_id", None).await?;
        }
        only_emptied(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let tables: Vec<&str> = ALL.iter().rev().copied().collect();
        drop_tables(manager, &tables).await?;
        postgres(manager, "DROP FUNCTION refuse_unless_reason_emptied()").await?;
        run(manager, "ALTER TABLE purchase DROP COLUMN purchase_order;").await
    }
}

/// Reasons can be emptied, and nothing else can be done with them, by whomever.
async fn only_emptied(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let sql = match manager.get_database_backend() {
        DatabaseBackend::Postgres => {
            "CREATE FUNCTION refuse_unless_reason_emptied() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 IF TG_OP = 'UPDATE' THEN
                     IF NEW.value IS NULL AND OLD.value IS NOT NULL
                         AND NEW.organization_id = OLD.organization_id AND NEW.request_id = OLD.request_id
                         AND NEW.round = OLD.round AND NEW.name = OLD.name
                         AND NEW.written_by = OLD.written_by
                         AND NEW.about IS NOT DISTINCT FROM OLD.about THEN
                         RETURN NEW;
                     END IF;
                 END IF;
                 RAISE EXCEPTION '% can only be emptied', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
             END $$;
             CREATE TRIGGER approval_reason_emptied BEFORE UPDATE OR DELETE ON approval_reason
                 FOR EACH ROW EXECUTE FUNCTION refuse_unless_reason_emptied();
             CREATE TRIGGER approval_reason_no_truncate BEFORE TRUNCATE ON approval_reason
                 FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();"
        }
        _ => {
            "CREATE TRIGGER approval_reason_no_UPDATE BEFORE UPDATE ON approval_reason
             WHEN NOT (NEW.value IS NULL AND OLD.value IS NOT NULL
                 AND NEW.organization_id = OLD.organization_id AND NEW.request_id = OLD.request_id
                 AND NEW.round = OLD.round AND NEW.name = OLD.name
                 AND NEW.written_by = OLD.written_by AND NEW.about IS OLD.about)
             BEGIN SELECT RAISE(ABORT, 'approval_reason can only be emptied'); END;
             CREATE TRIGGER approval_reason_no_DELETE BEFORE DELETE ON approval_reason
             BEGIN SELECT RAISE(ABORT, 'approval_reason can only be emptied'); END;"
        }
    };
    manager.get_connection().execute_unprepared(sql).await.map(drop)
}
