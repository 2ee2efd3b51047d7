//! Billing details, numbered documents, invoices and what was paid of them.

use sea_orm_migration::prelude::*;

use crate::dialect::{append_only, drop_tables, isolate, run};

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: &str = r#"
CREATE TABLE billing_profile (
    organization_id {uuid} NOT NULL PRIMARY KEY,
    name text NOT NULL,
    address text NOT NULL,
    country text CHECK (length(country) = 2),
    tax_id text,
    reference text,
    -- JSON list: label, hundredths of a percent.
    tax_lines text NOT NULL,
    due_days {int} NOT NULL CHECK (due_days >= 0),
    updated_at {int} NOT NULL
) {table};

CREATE TABLE document_series (
    organization_id {uuid} NOT NULL,
    kind text NOT NULL CHECK (kind IN ('RECEIPT', 'INVOICE', 'CREDIT_NOTE')),
    last {int} NOT NULL CHECK (last >= 0),
    PRIMARY KEY (organization_id, kind)
) {table};

CREATE TABLE document (
    organization_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    kind text NOT NULL CHECK (kind IN ('RECEIPT', 'INVOICE', 'CREDIT_NOTE')),
    number {int} NOT NULL CHECK (number > 0),
    written_number text NOT NULL,
    purchase_id {uuid} NOT NULL,
    corrects_id {uuid},
    total {int} NOT NULL CHECK (total > 0),
    currency text NOT NULL CHECK (length(currency) = 3),
    -- JSON: everything that it says.
    content text NOT NULL,
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, purchase_id) REFERENCES purchase (organization_id, id)
) {table};
CREATE UNIQUE INDEX document_number ON document (organization_id, kind, number);
CREATE INDEX document_purchase ON document (organization_id, purchase_id, id);

CREATE TABLE invoice (
    organization_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    purchase_id {uuid} NOT NULL,
    payment_id {uuid} NOT NULL,
    document_id {uuid} NOT NULL,
    purchase_order text NOT NULL,
    state text NOT NULL CHECK (state IN ('OPEN', 'PARTLY_PAID', 'PAID', 'OVERDUE', 'CREDITED')),
    total {int} NOT NULL CHECK (total > 0),
    credited {int} NOT NULL CHECK (credited >= 0),
    paid {int} NOT NULL CHECK (paid >= 0),
    currency text NOT NULL CHECK (length(currency) = 3),
    due_at {int} NOT NULL,
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, purchase_id) REFERENCES purchase (organization_id, id),
    FOREIGN KEY (organization_id, payment_id) REFERENCES payment (organization_id, id),
    FOREIGN KEY (organization_id, document_id) REFERENCES document (organization_id, id),
    CHECK (credited <= total AND paid <= total)
) {table};
-- There is one for a purchase.
CREATE UNIQUE INDEX invoice_purchase ON invoice (organization_id, purchase_id);
CREATE INDEX invoice_state ON invoice (organization_id, state, id);
-- Finds the organization of an invoice for the vendor's staff, who name none.
CREATE INDEX invoice_by_id ON invoice (id);

CREATE TABLE invoice_payment (
    organization_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    invoice_id {uuid} NOT NULL,
    amount {int} NOT NULL CHECK (amount > 0),
    received_at {int} NOT NULL,
    reference text,
    recorded_by {uuid},
    idempotency_key {bytes} NOT NULL CHECK (length(idempotency_key) = 16),
    request_hash {bytes} NOT NULL CHECK (length(request_hash) = 16),
    created_at {int} NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, invoice_id) REFERENCES invoice (organization_id, id)
) {table};
CREATE UNIQUE INDEX invoice_payment_key ON invoice_payment (organization_id, idempotency_key);
CREATE INDEX invoice_payment_invoice ON invoice_payment (organization_id, invoice_id, id);
"#;

/// Tables of tenants, in the order in which they can be dropped.
const TENANTS: &[&str] = &["invoice_payment", "invoice", "document", "document_series", "billing_profile"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, TABLES).await?;
        for table in TENANTS {
            isolate(manager, table, "organization_id", None).await?;
        }
        for table in ["invoice_payment", "document"] {
            append_only(manager, table).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, TENANTS).await
    }
}
