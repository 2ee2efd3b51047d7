//! The schema of Bursar's database, step by step, for SQLite and PostgreSQL alike.
//!
//! Each migration is written once, in the SQL that both databases share; [`dialect`] fills in what
//! differs. Every tenant table has `organization_id` first in all of its keys, row-level security on
//! PostgreSQL, and CHECK constraints as the last guard of its amounts.

mod dialect;
mod m20261122_000001_tenants;
mod m20261122_000002_catalog;
mod m20261122_000003_ledger;
mod m20261122_000004_purchases;
mod m20261122_000005_audit;
mod m20261124_000006_revisions;
mod m20261125_000007_full_ledger;
mod m20261125_000008_refunds_of_charges;
mod m20261126_000009_deliveries;
mod m20261126_000010_api_keys;
mod m20261126_000011_sessions;
mod m20261126_000012_identity_providers;
mod m20261126_000013_invitations;
mod m20261126_000014_audit_chain;
mod m20261126_000015_organization_life;
mod m20261126_000016_audit_list;
mod m20261127_000017_departures;
mod m20261127_000018_sign_in_codes;
mod m20261127_000019_unstated_proof;
mod m20261127_000020_prices;
mod m20261127_000021_payments;
mod m20261127_000022_billing;
mod m20261127_000023_top_ups;
mod m20261127_000024_disputes;
mod m20261127_000025_quotes_given_back;
mod m20261127_000026_credited_invoices;
mod m20261127_000027_decision_keys;
mod m20261127_000028_recorded_answers;
mod m20261127_000029_purchases_due;
mod m20261127_000030_sandbox_prices;
mod m20261127_000031_reversals;
mod m20261127_000032_payment_titles;
mod m20261127_000035_whole_due_days;
mod m20261127_000040_staff;
mod m20261127_000041_quote_lives;
mod m20261127_000042_consent_codes;
mod m20261127_000045_money_for_nothing;
mod m20261127_000060_approvals;
mod m20261127_000063_returned_invoices;
mod m20261127_000065_agreed_top_ups;
mod m20261127_000068_lookups_of_money;
mod m20261127_000070_sessions_of_providers;
mod m20261127_000071_staff_is_the_vendors;
pub mod privileges;

use sea_orm_migration::{MigrationTrait, async_trait::async_trait};
pub use sea_orm_migration::{MigratorTrait, SchemaManager};

/// All migrations, in order.
pub struct Migrator;

#[async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261122_000001_tenants::Migration),
            Box::new(m20261122_000002_catalog::Migration),
            Box::new(m20261122_000003_ledger::Migration),
            Box::new(m20261122_000004_purchases::Migration),
            Box::new(m20261122_000005_audit::Migration),
            Box::new(m20261124_000006_revisions::Migration),
            Box::new(m20261125_000007_full_ledger::Migration),
            Box::new(m20261125_000008_refunds_of_charges::Migration),
            Box::new(m20261126_000009_deliveries::Migration),
            Box::new(m20261126_000010_api_keys::Migration),
            Box::new(m20261126_000011_sessions::Migration),
            Box::new(m20261126_000012_identity_providers::Migration),
            Box::new(m20261126_000013_invitations::Migration),
            Box::new(m20261126_000014_audit_chain::Migration),
            Box::new(m20261126_000015_organization_life::Migration),
            Box::new(m20261126_000016_audit_list::Migration),
            Box::new(m20261127_000017_departures::Migration),
            Box::new(m20261127_000018_sign_in_codes::Migration),
            Box::new(m20261127_000019_unstated_proof::Migration),
            Box::new(m20261127_000020_prices::Migration),
            Box::new(m20261127_000021_payments::Migration),
            Box::new(m20261127_000022_billing::Migration),
            Box::new(m20261127_000023_top_ups::Migration),
            Box::new(m20261127_000024_disputes::Migration),
            Box::new(m20261127_000025_quotes_given_back::Migration),
            Box::new(m20261127_000026_credited_invoices::Migration),
            Box::new(m20261127_000027_decision_keys::Migration),
            Box::new(m20261127_000028_recorded_answers::Migration),
            Box::new(m20261127_000029_purchases_due::Migration),
            Box::new(m20261127_000030_sandbox_prices::Migration),
            Box::new(m20261127_000031_reversals::Migration),
            Box::new(m20261127_000032_payment_titles::Migration),
            Box::new(m20261127_000035_whole_due_days::Migration),
            Box::new(m20261127_000040_staff::Migration),
            Box::new(m20261127_000041_quote_lives::Migration),
            Box::new(m20261127_000042_consent_codes::Migration),
            Box::new(m20261127_000045_money_for_nothing::Migration),
            Box::new(m20261127_000060_approvals::Migration),
            Box::new(m20261127_000063_returned_invoices::Migration),
            Box::new(m20261127_000065_agreed_top_ups::Migration),
            Box::new(m20261127_000068_lookups_of_money::Migration),
            Box::new(m20261127_000070_sessions_of_providers::Migration),
            Box::new(m20261127_000071_staff_is_the_vendors::Migration),
        ]
    }
}
