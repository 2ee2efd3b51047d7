//! The ledger at full strength: holds, refunds, moves between pools, refills, spending caps, credit
//! requests, debt, and timed work.

use sea_orm_migration::prelude::*;

use crate::dialect::{after, append_only, drop_tables, forget, isolate, postgres, run};

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: &str = r#"
ALTER TABLE pool ADD COLUMN frozen_reason text;
-- A digest of the row, to tell a row that was edited from the rows around it.
ALTER TABLE pool ADD COLUMN seal {bytes};

-- Nothing is due in the pool before this: no open hold expires, no credits lapse.
ALTER TABLE pool_head ADD COLUMN due_at {int};

ALTER TABLE account ADD COLUMN overflow text NOT NULL DEFAULT 'DENY'
    CHECK (overflow IN ('DENY', 'UNALLOCATED'));
-- How it is refilled; all null when it is not.
ALTER TABLE account ADD COLUMN refill_amount {int} CHECK (refill_amount >= 0);
ALTER TABLE account ADD COLUMN refill_rollover {int} CHECK (refill_rollover >= 0);
ALTER TABLE account ADD COLUMN refill_period text CHECK (refill_period IN ('MONTH', 'QUARTER', 'YEAR'));
-- The period that it has been refilled for.
ALTER TABLE account ADD COLUMN refill_start {int};
ALTER TABLE account ADD COLUMN refill_end {int};
ALTER TABLE account ADD COLUMN refill_shortfall {int} CHECK (refill_shortfall >= 0);
-- Digests of what never changes in the row, and of how it overflows and is refilled.
ALTER TABLE account ADD COLUMN seal {bytes};
ALTER TABLE account ADD COLUMN terms_seal {bytes};

-- The lot whose credits go on in it.
ALTER TABLE lot ADD COLUMN replaces {uuid};
ALTER TABLE lot ADD COLUMN seal {bytes};
CREATE INDEX lot_replaces ON lot (organization_id, replaces) WHERE replaces IS NOT NULL;

-- How many of the held credits are to be taken back, because their payment was reversed.
ALTER TABLE lot_position ADD COLUMN revoking {int} NOT NULL DEFAULT 0 CHECK (revoking >= 0);

-- The other half of a movement between pools or lots.
ALTER TABLE transfer ADD COLUMN counterpart_pool_id {uuid};
ALTER TABLE transfer ADD COLUMN counterpart_version {int};
-- Lists what was done with a lot.
CREATE INDEX transfer_lot ON transfer (organization_id, lot_id, pool_id, version);
-- Finds what took effect before it was booked.
CREATE INDEX transfer_effective ON transfer (organization_id, pool_id, effective_at)
    WHERE effective_at IS NOT NULL;

-- The hold that it captures.
ALTER TABLE charge ADD COLUMN hold_id {uuid};
ALTER TABLE charge ADD COLUMN seal {bytes};
CREATE INDEX charge_hold ON charge (organization_id, hold_id) WHERE hold_id IS NOT NULL;
-- Finds the organization of a charge for the vendor's staff and backend, who name none.
CREATE INDEX charge_by_id ON charge (id);

ALTER TABLE journal_entry ADD COLUMN department_id {uuid};
-- Where credits went in another pool (or, of a move within the pool, in this one).
ALTER TABLE journal_entry ADD COLUMN to_pool_id {uuid};
ALTER TABLE journal_entry ADD COLUMN to_account_id {uuid};
ALTER TABLE journal_entry ADD COLUMN to_department_id {uuid};
-- The charge that it refunds.
ALTER TABLE journal_entry ADD COLUMN charge_id {uuid};
-- Whether the provider was at fault, and whether a guarantee covered it.
ALTER TABLE journal_entry ADD COLUMN provider_fault {bool};
ALTER TABLE journal_entry ADD COLUMN guaranteed {bool};
-- The hold that it lets go.
ALTER TABLE journal_entry ADD COLUMN hold_id {uuid};
-- What the credits cost, in minor units.
ALTER TABLE journal_entry ADD COLUMN cost {int} NOT NULL DEFAULT 0;
ALTER TABLE journal_entry ADD COLUMN seal {bytes};
CREATE INDEX journal_entry_charge ON journal_entry (organization_id, charge_id) WHERE charge_id IS NOT NULL;
-- Finds whether a lot was taken back: kinds REVOKE and OWE.
CREATE INDEX journal_entry_revoked ON journal_entry (organization_id, lot_id) WHERE kind IN (14, 15);
-- Last, as for holds.
DROP INDEX journal_entry_key;
CREATE UNIQUE INDEX journal_entry_key ON journal_entry (organization_id, idempotency_key);

CREATE TABLE hold (
    organization_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    pool_id {uuid} NOT NULL,
    account_id {uuid} NOT NULL,
    department_id {uuid},
    on_behalf_of {uuid},
    -- Whose spending it counts as.
    spender {uuid},
    actor_kind {small} NOT NULL,
    actor_id {uuid},
    origin text,
    -- JSON list of lines: service, price version, code, quantity, credits each.
    lines text NOT NULL,
    credits {int} NOT NULL CHECK (credits > 0),
    reference text,
    subject text,
    metadata text,
    idempotency_key {bytes} NOT NULL CHECK (length(idempotency_key) = 16),
    request_hash {bytes} NOT NULL CHECK (length(request_hash) = 16),
    -- Its slices are the transfers (version - slices, version].
    version {int} NOT NULL,
    slices {int} NOT NULL CHECK (slices > 0),
    created_at {int} NOT NULL,
    expires_at {int} NOT NULL,
    seal {bytes},
    -- From here on it changes.
    state text NOT NULL CHECK (state IN ('OPEN', 'CAPTURED', 'VOIDED', 'EXPIRED')),
    captured {int} NOT NULL CHECK (captured >= 0),
    -- JSON list: units of each line that have been captured.
    captured_units text NOT NULL,
    -- JSON list of what is still held: account, lot, credits.
    held_slices text NOT NULL,
    closed_at {int},
    PRIMARY KEY (organization_id, id),
    CHECK (captured <= credits)
) {table};
-- Lists the holds of a pool.
CREATE INDEX hold_pool ON hold (organization_id, pool_id, id);
-- Finds what expires.
CREATE INDEX hold_open ON hold (organization_id, pool_id, expires_at) WHERE state = 'OPEN';
-- Last: of indexes that promise the same, PostgreSQL takes the one that was made last, and while the table is
-- empty all that begin with the organization do. Keys are looked up before every command.
CREATE UNIQUE INDEX hold_key ON hold (organization_id, idempotency_key);
-- After that one, so that a hold is found by this one. It also finds the organization of a hold for the vendor's
-- staff and backend, who name none.
CREATE INDEX hold_by_id ON hold (id);

-- A reference is used once, for ever, by a charge or a hold.
CREATE TABLE claimed_reference (
    organization_id {uuid} NOT NULL,
    reference text NOT NULL,
    charge_id {uuid},
    hold_id {uuid},
    PRIMARY KEY (organization_id, reference),
    CHECK ((charge_id IS NULL) <> (hold_id IS NULL))
) {table};
INSERT INTO claimed_reference (organization_id, reference, charge_id)
    SELECT organization_id, reference, id FROM charge WHERE reference IS NOT NULL;
DROP INDEX charge_reference;

CREATE TABLE spending_cap (
    organization_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    pool_id {uuid} NOT NULL,
    -- Exactly one of these says whose use it limits.
    department_id {uuid},
    user_id {uuid},
    service_id {uuid},
    credits {int} NOT NULL CHECK (credits >= 0),
    -- Null: one period that never ends.
    period text CHECK (period IN ('MONTH', 'QUARTER', 'YEAR')),
    removed_at {int},
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, pool_id) REFERENCES pool (organization_id, id),
    FOREIGN KEY (organization_id, department_id) REFERENCES department (organization_id, id),
    FOREIGN KEY (service_id) REFERENCES service (id),
    CHECK ((CASE WHEN department_id IS NULL THEN 0 ELSE 1 END) + (CASE WHEN user_id IS NULL THEN 0 ELSE 1 END)
        + (CASE WHEN service_id IS NULL THEN 0 ELSE 1 END) = 1)
) {table};
CREATE INDEX spending_cap_pool ON spending_cap (organization_id, pool_id, id);

CREATE TABLE spending_cap_raise (
    organization_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    pool_id {uuid} NOT NULL,
    cap_id {uuid} NOT NULL,
    credits {int} NOT NULL CHECK (credits > 0),
    until {int} NOT NULL,
    -- Who allowed it.
    actor_kind {small} NOT NULL,
    actor_id {uuid},
    reason text,
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, cap_id) REFERENCES spending_cap (organization_id, id)
) {table};
CREATE INDEX spending_cap_raise_cap ON spending_cap_raise (organization_id, cap_id, until);

-- What has been used and what is held of a cap in one of its periods.
CREATE TABLE spending_cap_period (
    organization_id {uuid} NOT NULL,
    pool_id {uuid} NOT NULL,
    cap_id {uuid} NOT NULL,
    period_start {int} NOT NULL,
    period_end {int} NOT NULL,
    used {int} NOT NULL CHECK (used >= 0),
    held {int} NOT NULL CHECK (held >= 0),
    PRIMARY KEY (organization_id, pool_id, cap_id, period_start),
    FOREIGN KEY (organization_id, cap_id) REFERENCES spending_cap (organization_id, id)
) {table};

ALTER TABLE service ADD COLUMN guarantee_days {int} CHECK (guarantee_days >= 0);
ALTER TABLE service ADD COLUMN guarantee_quota {int} CHECK (guarantee_quota >= 0);
-- What the shipped services begin with; the vendor may set others.
UPDATE service SET guarantee_days = 14, guarantee_quota = 5
    WHERE code IN ('BASIC_ROOM_STAGING', 'ADVANCED_STAGING', 'STYLE_CHANGE', 'FURNITURE_REMOVAL', 'OUTDOOR_STAGING');

-- How many refunds the guarantee of a service has covered in a month.
CREATE TABLE guarantee_use (
    organization_id {uuid} NOT NULL,
    service_id {uuid} NOT NULL,
    month_start {int} NOT NULL,
    used {int} NOT NULL CHECK (used >= 0),
    PRIMARY KEY (organization_id, service_id, month_start)
) {table};

CREATE TABLE credit_request (
    organization_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    pool_id {uuid} NOT NULL,
    department_id {uuid} NOT NULL,
    requested_by {uuid} NOT NULL,
    credits {int} NOT NULL CHECK (credits > 0),
    reason text,
    state text NOT NULL
        CHECK (state IN ('OPEN', 'ALLOCATED', 'CAP_RAISED', 'PURCHASE_REQUESTED', 'DECLINED', 'WITHDRAWN')),
    -- Who answered, when, and in which words.
    resolved_by {uuid},
    resolved_at {int},
    note text,
    -- What the answer was: one of these, or none when it was no.
    entry_id {uuid},
    raise_id {uuid},
    purchase_id {uuid},
    -- The key of the answer, and the digest of what was asked for with it.
    idempotency_key {bytes},
    request_hash {bytes},
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, pool_id) REFERENCES pool (organization_id, id),
    FOREIGN KEY (organization_id, department_id) REFERENCES department (organization_id, id)
) {table};
CREATE INDEX credit_request_pool ON credit_request (organization_id, pool_id, id);

ALTER TABLE purchase ADD COLUMN credit_request_id {uuid};

-- Work that time brings. A row is leased by whoever does it, so that it is done once.
CREATE TABLE timed_task (
    organization_id {uuid} NOT NULL,
    kind text NOT NULL,
    -- What it is about.
    subject_id {uuid} NOT NULL,
    due_at {int} NOT NULL,
    leased_until {int},
    lease {uuid},
    -- How often it has failed since it last went well, and how.
    attempts {int} NOT NULL DEFAULT 0,
    last_error text,
    PRIMARY KEY (organization_id, kind, subject_id)
) {table};
CREATE INDEX timed_task_due ON timed_task (due_at);
INSERT INTO timed_task (organization_id, kind, subject_id, due_at)
    SELECT organization_id, 'BOOK_DUE', pool_id, 0 FROM pool_head;
UPDATE pool_head SET due_at = 0;
"#;

const RAISE_POOL: &str = "UPDATE pool_head SET revision = revision + 1
    WHERE organization_id = {row}.organization_id AND pool_id = {row}.pool_id";
const RAISE_ITSELF: &str = "UPDATE organization SET revision = revision + 1 WHERE id = {row}.id";

/// The columns of an allocation that people set.
const ALLOCATION: &str = "UPDATE OF overflow, refill_amount, refill_rollover, refill_period, refill_start";

/// Table, what happens to a row of it, and what is raised.
const RAISES: &[(&str, &str, &str)] = &[
    ("account", ALLOCATION, RAISE_POOL),
    ("spending_cap", "INSERT", RAISE_POOL),
    ("spending_cap", "UPDATE", RAISE_POOL),
    ("spending_cap_raise", "INSERT", RAISE_POOL),
    ("spending_cap_raise", "UPDATE", RAISE_POOL),
];

/// Tables of tenants.
const TENANTS: &[&str] = &[
    "hold",
    "claimed_reference",
    "spending_cap",
    "spending_cap_raise",
    "spending_cap_period",
    "guarantee_use",
    "credit_request",
    "timed_task",
];

/// Those of them that the ledger's batches read or write.
const BATCHED: &[&str] = &[
    "hold",
    "claimed_reference",
    "spending_cap",
    "spending_cap_raise",
    "spending_cap_period",
    "guarantee_use",
    "timed_task",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, TABLES).await?;
        for table in TENANTS {
            isolate(manager, table, "organization_id", None).await?;
        }
        for table in BATCHED {
            let list = "(SELECT nullif(current_setting('app.batch', true), '')::uuid[])::uuid[]";
            let own = format!("organization_id = ANY ({list})");
            let sql = format!("CREATE POLICY batch ON {table} USING ({own}) WITH CHECK ({own})");
            postgres(manager, &sql).await?;
        }
        // Whoever does timed work finds out for which organizations there is some.
        let scheduler = "(SELECT current_setting('app.scheduler', true)) = 'on'";
        let sql =
            format!("CREATE POLICY scheduler ON timed_task USING ({scheduler}) WITH CHECK ({scheduler})");
        postgres(manager, &sql).await?;
        append_only(manager, "claimed_reference").await?;
        for (table, event, action) in RAISES {
            after(manager, table, event, action).await?;
        }
        // A change of the time zone moves where periods begin.
        forget(manager, "organization", "UPDATE OF state").await?;
        after(manager, "organization", "UPDATE OF state, time_zone", RAISE_ITSELF).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        forget(manager, "organization", "UPDATE OF state, time_zone").await?;
        after(manager, "organization", "UPDATE OF state", RAISE_ITSELF).await?;
        for (table, event, _) in RAISES {
            forget(manager, table, event).await?;
        }
        let order = [
            "timed_task",
            "credit_request",
            "guarantee_use",
            "spending_cap_period",
            "spending_cap_raise",
            "spending_cap",
            "claimed_reference",
            "hold",
        ];
        drop_tables(manager, &order).await?;
        run(manager, COLUMNS_AWAY).await
    }
}

const COLUMNS_AWAY: &str = r#"
ALTER TABLE purchase DROP COLUMN credit_request_id;
ALTER TABLE service DROP COLUMN guarantee_quota;
ALTER TABLE service DROP COLUMN guarantee_days;
CREATE UNIQUE INDEX charge_reference ON charge (organization_id, reference) WHERE reference IS NOT NULL;
DROP INDEX journal_entry_revoked;
DROP INDEX journal_entry_charge;
ALTER TABLE journal_entry DROP COLUMN seal;
ALTER TABLE journal_entry DROP COLUMN cost;
ALTER TABLE journal_entry DROP COLUMN hold_id;
ALTER TABLE journal_entry DROP COLUMN guaranteed;
ALTER TABLE journal_entry DROP COLUMN provider_fault;
ALTER TABLE journal_entry DROP COLUMN charge_id;
ALTER TABLE journal_entry DROP COLUMN to_department_id;
ALTER TABLE journal_entry DROP COLUMN to_account_id;
ALTER TABLE journal_entry DROP COLUMN to_pool_id;
ALTER TABLE journal_entry DROP COLUMN department_id;
DROP INDEX charge_by_id;
DROP INDEX charge_hold;
ALTER TABLE charge DROP COLUMN seal;
ALTER TABLE charge DROP COLUMN hold_id;
DROP INDEX transfer_effective;
DROP INDEX transfer_lot;
ALTER TABLE transfer DROP COLUMN counterpart_version;
ALTER TABLE transfer DROP COLUMN counterpart_pool_id;
ALTER TABLE lot_position DROP COLUMN revoking;
DROP INDEX lot_replaces;
ALTER TABLE lot DROP COLUMN seal;
ALTER TABLE lot DROP COLUMN replaces;
ALTER TABLE account DROP COLUMN terms_seal;
ALTER TABLE account DROP COLUMN seal;
ALTER TABLE account DROP COLUMN refill_shortfall;
ALTER TABLE account DROP COLUMN refill_end;
ALTER TABLE account DROP COLUMN refill_start;
ALTER TABLE account DROP COLUMN refill_period;
ALTER TABLE account DROP COLUMN refill_rollover;
ALTER TABLE account DROP COLUMN refill_amount;
ALTER TABLE account DROP COLUMN overflow;
ALTER TABLE pool_head DROP COLUMN due_at;
ALTER TABLE pool DROP COLUMN seal;
ALTER TABLE pool DROP COLUMN frozen_reason;
"#;
