//! Payments and purchases are found by their ids alone, by whoever does not know whose they are; and what was asked for or
//! charged in a month is found without reading what came before it.

use sea_orm_migration::prelude::*;

use crate::dialect::{run, sqlite};

#[derive(DeriveMigrationName)]
pub struct Migration;

const UP: &str = r#"
-- A provider's message names a payment of ours, and the vendor's staff a purchase: neither names the organization.
CREATE INDEX payment_by_id ON payment (id);
CREATE INDEX purchase_by_id ON purchase (id);
-- What an organization has asked for since an instant, and its newest purchases.
CREATE INDEX purchase_created ON purchase (organization_id, created_at, id);
-- What was charged without anybody there since an instant. Checkouts and invoices are not in it.
CREATE INDEX payment_charged ON payment (organization_id, created_at) WHERE payment_method_id IS NOT NULL;
"#;

/// SQLite takes no index that begins with the organization before the primary key, which does as well and holds the rows: so
/// what belongs to a purchase is found by indexes of that alone. PostgreSQL takes those that there are.
const UP_ON_SQLITE: &str = r#"
CREATE INDEX payment_of_purchase ON payment (purchase_id);
CREATE INDEX reversal_of_purchase ON reversal (purchase_id);
CREATE INDEX document_of_purchase ON document (purchase_id);
"#;

const DOWN_ON_SQLITE: &str = r#"
DROP INDEX document_of_purchase;
DROP INDEX reversal_of_purchase;
DROP INDEX payment_of_purchase;
"#;

const DOWN: &str = r#"
DROP INDEX payment_charged;
DROP INDEX purchase_created;
DROP INDEX purchase_by_id;
DROP INDEX payment_by_id;
"#;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, UP).await?;
        sqlite(manager, UP_ON_SQLITE).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        sqlite(manager, DOWN_ON_SQLITE).await?;
        run(manager, DOWN).await
    }
}
