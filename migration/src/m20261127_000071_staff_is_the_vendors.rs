//! Who is of the vendor's staff is the vendor's to say: no transaction of a tenant's, whatever it is led to write, makes
//! somebody one of them.

use sea_orm_migration::prelude::*;

use crate::dialect::{postgres, setting};

#[derive(DeriveMigrationName)]
pub struct Migration;

/// Puts conditions on people who are added, and on what they are made. Only the own row is changed.
async fn policies(manager: &SchemaManager<'_>, added: &str, made: &str) -> Result<(), DbErr> {
    let own = format!("id = {}", setting("user_id"));
    let sql = format!(
        "DROP POLICY added ON \"user\";
         DROP POLICY own ON \"user\";
         CREATE POLICY added ON \"user\" FOR INSERT WITH CHECK ({added});
         CREATE POLICY own ON \"user\" FOR UPDATE USING ({own}) WITH CHECK ({own} AND ({made}));"
    );
    postgres(manager, &sql).await
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // The vendor's own rows are those of the nil id, which no organization has.
        let vendor = format!("{} = '00000000-0000-0000-0000-000000000000'::uuid", setting("organization_id"));
        policies(manager, &format!("NOT operator OR {vendor}"), "NOT operator").await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        policies(manager, "true", "true").await
    }
}
