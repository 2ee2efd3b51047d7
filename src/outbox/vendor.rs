//! Mail to the vendor, about what somebody of its staff has to decide.

use bursar_entity::user;
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};
use serde_json::Value;

use super::{Mail, Template, UserOrAddress, append};
use crate::clock::Clock;
use crate::db::scope::find_people;
use crate::db::{Tenant, Txn};
use crate::error::Result;

/// Puts a mail to the vendor into the outbox, once for each recipient: the address that is set for it, or else everybody of
/// the vendor's staff. The transaction is in the vendor's scope. Answers how many they are.
///
/// # Errors
/// What the database answers; facts that do not fit the template.
pub async fn append_to_vendor(
    txn: &Txn,
    clock: &Clock,
    alerts: Option<&str>,
    template: Template,
    facts: &Value,
) -> Result<usize> {
    let recipients = match alerts {
        Some(address) => vec![address.to_owned()],
        None => staff(txn).await?,
    };
    for address in &recipients {
        let to = UserOrAddress::Address(address.clone());
        let mail = Mail { to, template, facts: facts.clone(), link: None };
        append(txn, Tenant::vendor(), clock, mail).await?;
    }
    if recipients.is_empty() {
        tracing::warn!(
            template = template.as_str(),
            "nobody can be told: there is no staff, and no BURSAR_ALERT_EMAIL"
        );
    }
    Ok(recipients.len())
}

/// The addresses of the vendor's staff.
async fn staff(txn: &Txn) -> Result<Vec<String>> {
    let people = find_people()
        .filter(user::Column::Operator.eq(true))
        .filter(user::Column::ErasedAt.is_null())
        .order_by_asc(user::Column::Id);
    Ok(people.all(txn).await?.into_iter().map(|person| person.email).collect())
}
