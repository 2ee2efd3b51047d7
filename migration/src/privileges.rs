//! What the application's role may do with each table on PostgreSQL, where migrations run under
//! another role. The role that owns the tables is never the one that serves.

/// Tables and what the application's role may do with their rows.
const PRIVILEGES: &[(&str, &str)] = &[
    ("user", "SELECT, INSERT, UPDATE"),
    ("organization", "SELECT, INSERT, UPDATE"),
    ("membership", "SELECT, INSERT, UPDATE, DELETE"),
    ("departure", "SELECT, INSERT, DELETE"),
    ("department", "SELECT, INSERT, UPDATE"),
    ("department_member", "SELECT, INSERT, UPDATE, DELETE"),
    ("pool", "SELECT, INSERT, UPDATE"),
    ("pool_administrator", "SELECT, INSERT, DELETE"),
    ("service", "SELECT, INSERT, UPDATE"),
    ("service_version", "SELECT, INSERT"),
    ("package", "SELECT, INSERT, UPDATE"),
    ("package_version", "SELECT, INSERT"),
    ("package_price", "SELECT, INSERT"),
    ("pool_head", "SELECT, INSERT, UPDATE"),
    ("account", "SELECT, INSERT, UPDATE"),
    ("lot", "SELECT, INSERT"),
    ("lot_position", "SELECT, INSERT, UPDATE"),
    ("transfer", "SELECT, INSERT"),
    ("charge", "SELECT, INSERT"),
    ("journal_entry", "SELECT, INSERT"),
    ("hold", "SELECT, INSERT, UPDATE"),
    ("claimed_reference", "SELECT, INSERT"),
    ("spending_cap", "SELECT, INSERT, UPDATE"),
    ("spending_cap_raise", "SELECT, INSERT, UPDATE"),
    ("spending_cap_period", "SELECT, INSERT, UPDATE"),
    ("guarantee_use", "SELECT, INSERT, UPDATE"),
    ("credit_request", "SELECT, INSERT, UPDATE"),
    ("timed_task", "SELECT, INSERT, UPDATE, DELETE"),
    ("purchase", "SELECT, INSERT, UPDATE"),
    ("payment", "SELECT, INSERT, UPDATE"),
    ("price_list", "SELECT, INSERT"),
    ("price_tier", "SELECT, INSERT"),
    ("organization_price", "SELECT, INSERT"),
    ("contract_price", "SELECT, INSERT, UPDATE"),
    ("quote", "SELECT, INSERT, UPDATE"),
    ("quote_answer", "SELECT, INSERT"),
    ("parked_payment", "SELECT, INSERT, UPDATE"),
    ("reversal", "SELECT, INSERT, UPDATE"),
    ("billing_profile", "SELECT, INSERT, UPDATE"),
    ("document_series", "SELECT, INSERT, UPDATE"),
    ("document", "SELECT, INSERT"),
    ("invoice", "SELECT, INSERT, UPDATE"),
    ("invoice_payment", "SELECT, INSERT"),
    ("payment_method", "SELECT, INSERT, UPDATE"),
    ("auto_top_up", "SELECT, INSERT, UPDATE"),
    ("approval_policy", "SELECT, INSERT"),
    ("approval_request", "SELECT, INSERT, UPDATE"),
    ("approval_round", "SELECT, INSERT"),
    ("approval_decision", "SELECT, INSERT"),
    // A trigger lets it be emptied only.
    ("approval_reason", "SELECT, INSERT, UPDATE"),
    ("approval_escalation", "SELECT, INSERT"),
    ("approval_delegation", "SELECT, INSERT, UPDATE"),
    ("approval_link", "SELECT, INSERT, UPDATE"),
    ("brand", "SELECT, INSERT, UPDATE, DELETE"),
    ("invitation", "SELECT, INSERT, UPDATE"),
    ("attempt", "SELECT, INSERT, UPDATE, DELETE"),
    ("identity_provider", "SELECT, INSERT, UPDATE"),
    ("identity_provider_domain", "SELECT, INSERT, DELETE"),
    ("user_identity", "SELECT, INSERT, UPDATE"),
    ("audit_event", "SELECT, INSERT"),
    ("delivery", "SELECT, INSERT, UPDATE"),
    ("api_key", "SELECT, INSERT, UPDATE"),
    ("sign_in_link", "SELECT, INSERT, UPDATE, DELETE"),
    ("session", "SELECT, INSERT, UPDATE, DELETE"),
    ("audit_head", "SELECT, INSERT, UPDATE"),
    // A trigger lets it be emptied only.
    ("personal_value", "SELECT, INSERT, UPDATE"),
    ("shared_revision", "SELECT, UPDATE"),
    ("seaql_migrations", "SELECT"),
];

/// The names of all tables, without the one that records the migrations.
pub fn tables() -> impl Iterator<Item = &'static str> {
    PRIVILEGES.iter().map(|(table, _)| *table).filter(|table| *table != "seaql_migrations")
}

/// The tables that take no UPDATE and no DELETE.
pub fn append_only_tables() -> impl Iterator<Item = &'static str> {
    PRIVILEGES
        .iter()
        .filter(|(table, rights)| *rights == "SELECT, INSERT" && *table != "seaql_migrations")
        .map(|(table, _)| *table)
}

/// The statements that give `role` what it needs and nothing more. Safe to run again.
pub fn grants(role: &str) -> String {
    let role = format!("\"{}\"", role.replace('"', "\"\""));
    let mut sql = format!("GRANT USAGE ON SCHEMA public TO {role};");
    for (table, rights) in PRIVILEGES {
        sql += &format!("REVOKE ALL ON \"{table}\" FROM {role}; GRANT {rights} ON \"{table}\" TO {role};");
    }
    sql
}
