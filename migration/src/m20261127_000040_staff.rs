//! The vendor's staff, as seen by what acts for the vendor: they are told of what somebody has to decide.

use sea_orm_migration::prelude::*;

use crate::dialect::{postgres, setting};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // The vendor's own rows are those of the nil id, which no organization has.
        let vendor = format!("{} = '00000000-0000-0000-0000-000000000000'::uuid", setting("organization_id"));
        let sql = format!("CREATE POLICY staff ON \"user\" FOR SELECT USING (operator AND {vendor})");
        postgres(manager, &sql).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        postgres(manager, "DROP POLICY staff ON \"user\"").await
    }
}
