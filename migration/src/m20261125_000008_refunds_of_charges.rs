//! The index that finds the refunds of charges, in an order that the planner cannot take from another one.
//!
//! While the table of entries is nearly empty, all of its indexes that begin with the organization promise
//! PostgreSQL the same cost, and the plan that is made then stays for as long as nothing analyzes the table.
//! A lookup that asks for the entries of a charge in the order of their versions has them from this index without
//! sorting, which no other offers.

use sea_orm_migration::prelude::*;

use crate::dialect::run;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let index = "DROP INDEX journal_entry_charge;
             CREATE INDEX journal_entry_charge ON journal_entry (organization_id, charge_id, version)
                 WHERE charge_id IS NOT NULL;";
        run(manager, index).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let index = "DROP INDEX journal_entry_charge;
             CREATE INDEX journal_entry_charge ON journal_entry (organization_id, charge_id)
                 WHERE charge_id IS NOT NULL;";
        run(manager, index).await
    }
}
