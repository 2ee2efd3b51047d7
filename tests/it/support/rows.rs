//! Everything that the database keeps of an organization, to see whether anything has changed.

use bursar::db::{Database, Tenant};
use bursar_domain::id::OrganizationId;
use bursar_entity::*;
use sea_orm::EntityTrait;

/// All rows of an organization, table by table.
pub async fn of(db: &Database, organization: OrganizationId) -> Vec<String> {
    let tenant = Tenant::vouched(organization);
    let txn = db.read(tenant).await.unwrap();
    let mut all = Vec::new();
    macro_rules! tables {
        ($($table:ident),+ $(,)?) => {
            $(
                let rows: Vec<<$table::Entity as EntityTrait>::Model> = tenant.find::<$table::Entity>().all(&txn).await.unwrap();
                all.extend(rows.iter().map(|row| format!("{} {row:?}", stringify!($table))));
            )+
        };
    }
    tables!(
        organization,
        membership,
        departure,
        identity_provider,
        identity_provider_domain,
        invitation,
        department,
        department_member,
        pool,
        pool_administrator,
        pool_head,
        account,
        lot,
        lot_position,
        transfer,
        charge,
        journal_entry,
        hold,
        claimed_reference,
        spending_cap,
        spending_cap_raise,
        spending_cap_period,
        guarantee_use,
        credit_request,
        purchase,
        payment,
        organization_price,
        contract_price,
        quote,
        quote_answer,
        reversal,
        billing_profile,
        brand,
        document_series,
        document,
        invoice,
        invoice_payment,
        payment_method,
        auto_top_up,
        approval_policy,
        approval_request,
        approval_round,
        approval_decision,
        approval_reason,
        approval_escalation,
        approval_delegation,
        approval_link,
        api_key,
        audit_event,
        delivery,
        audit_head,
        personal_value,
        user_identity,
    );
    all.sort();
    all
}
