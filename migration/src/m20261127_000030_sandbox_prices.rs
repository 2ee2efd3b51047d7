//! Sandboxes have their organizations' prices: they may read them, read them again when there is a new one, and buy in the
//! same currency.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DatabaseBackend;

use crate::dialect::{after, forget, postgres, run, setting};

#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: [&str; 2] = ["organization_price", "contract_price"];

const RAISE: &str = "UPDATE organization SET revision = revision + 1 WHERE id = {row}.organization_id";

/// A sandbox that has bought already keeps the currency that it has bought in.
const FOLLOW: &str =
    "UPDATE organization SET currency = NEW.currency WHERE sandbox_of = NEW.id AND currency IS NULL";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Of the sandboxes that the transaction is for.
        let sandboxes = format!(
            "o.id = {} OR o.id = ANY ((SELECT nullif(current_setting('app.batch', true), '')::uuid[])::uuid[])",
            setting("organization_id")
        );
        for table in TABLES {
            let shown = format!("SELECT o.sandbox_of FROM organization o WHERE {sandboxes}");
            let policy =
                format!("CREATE POLICY sandbox ON {table} FOR SELECT USING (organization_id IN ({shown}))");
            postgres(manager, &policy).await?;
        }
        forget(manager, "organization_price", "INSERT").await?;
        let raise = format!("{RAISE} OR sandbox_of = {{row}}.organization_id");
        after(manager, "organization_price", "INSERT", &raise).await?;
        let follows = match manager.get_database_backend() {
            DatabaseBackend::Postgres => format!(
                "CREATE FUNCTION organization_currency_follows() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN {FOLLOW}; RETURN NULL; END $$;
                 CREATE TRIGGER organization_currency_follows AFTER UPDATE OF currency ON organization
                     FOR EACH ROW EXECUTE FUNCTION organization_currency_follows();"
            ),
            _ => format!(
                "CREATE TRIGGER organization_currency_follows AFTER UPDATE OF currency ON organization
                 BEGIN {FOLLOW}; END;"
            ),
        };
        run(manager, &follows).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let follows = match manager.get_database_backend() {
            DatabaseBackend::Postgres => {
                "DROP TRIGGER organization_currency_follows ON organization;
                 DROP FUNCTION organization_currency_follows();"
            }
            _ => "DROP TRIGGER organization_currency_follows;",
        };
        run(manager, follows).await?;
        forget(manager, "organization_price", "INSERT").await?;
        after(manager, "organization_price", "INSERT", RAISE).await?;
        for table in TABLES {
            postgres(manager, &format!("DROP POLICY sandbox ON {table}")).await?;
        }
        Ok(())
    }
}
