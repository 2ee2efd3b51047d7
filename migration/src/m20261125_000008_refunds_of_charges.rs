//! The index that finds the refunds of charges: of the charge alone.
//!
//! While nothing has analyzed the table of entries, all indexes that begin with the organization promise PostgreSQL
//! about the same, and the plan that is made then stays. This one begins with something else; whoever looks refunds
//! up compares the organization in a form that no index serves (see `db/lookup.rs`).

use sea_orm_migration::prelude::*;

use crate::dialect::run;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let index = "DROP INDEX journal_entry_charge;
             CREATE INDEX journal_entry_charge ON journal_entry (charge_id) WHERE charge_id IS NOT NULL;";
        run(manager, index).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let index = "DROP INDEX journal_entry_charge;
             CREATE INDEX journal_entry_charge ON journal_entry (organization_id, charge_id)
                 WHERE charge_id IS NOT NULL;";
        run(manager, index).await
    }
}
