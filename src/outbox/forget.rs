//! Forgetting whom deliveries were for and whom they name. What was sent cannot be taken back; what is still to be sent
//! is not sent any more.

use std::collections::HashSet;

use bursar_domain::delivery::{DeliveryFault, DeliveryState};
use bursar_domain::id::DeliveryId;
use bursar_entity::delivery;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set, Unchanged};
use serde_json::Value;

use crate::db::{Tenant, Txn};
use crate::error::Result;

/// How many deliveries are looked through at a time.
const PAGE: u64 = 500;
/// What is kept of what a delivery said that names somebody who is nobody any more.
const NOTHING: &str = "{}";

/// Whom deliveries may be for, or may name.
#[derive(Clone, Debug)]
pub struct Named {
    /// The person's global id: by it some mails say whom they name.
    pub id: String,
    /// The address.
    pub email: String,
    /// What stands for the address from then on.
    pub pseudonym: String,
    /// What the person is called.
    pub name: String,
    /// The beginnings of what links are about whose mails name the person.
    pub links: HashSet<String>,
}

impl Named {
    /// Whether a delivery that is not for the person names the person: by its link, by the id, or, once it is done with
    /// and nothing depends on it, by the name alone, which others may have as well.
    fn is_named_in(&self, row: &delivery::Model) -> bool {
        let about = row.link_about.as_deref().and_then(|about| about.rsplit_once(' '));
        let by_link = about.is_some_and(|(beginning, _)| self.links.contains(beginning));
        let done = row.state == DeliveryState::Delivered;
        let said = |facts: Value| says(&facts, &self.id) || done && says(&facts, &self.name);
        by_link || serde_json::from_str::<Value>(&row.facts).is_ok_and(said)
    }
}

/// Whether a text is among the facts of a mail.
fn says(facts: &Value, text: &str) -> bool {
    match facts {
        Value::Object(fields) => fields.values().any(|value| says(value, text)),
        Value::Array(items) => items.iter().any(|value| says(value, text)),
        Value::String(value) => value == text,
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Empties the deliveries of an organization, or of the vendor, that are for a person or name the person; those that
/// wait are given up. Answers how many they were. Goes through all of the organization's, and locks those alone.
///
/// # Errors
/// What the database answers.
pub async fn forget(txn: &Txn, tenant: Tenant, named: &Named) -> Result<u64> {
    let (mut after, mut emptied): (Option<DeliveryId>, u64) = (None, 0);
    loop {
        let said = Condition::any()
            .add(delivery::Column::Facts.ne(NOTHING))
            .add(delivery::Column::Recipient.eq(named.email.as_str()));
        let mut select = tenant.find::<delivery::Entity>().filter(said);
        if let Some(id) = after {
            select = select.filter(delivery::Column::Id.gt(id));
        }
        let rows = select.order_by_asc(delivery::Column::Id).limit(PAGE).all(txn).await?;
        let Some(last) = rows.last() else { return Ok(emptied) };
        after = Some(last.id);
        for row in rows {
            let theirs = row.recipient == named.email;
            if theirs || named.is_named_in(&row) {
                empty(txn, &row, theirs.then_some(named.pseudonym.as_str())).await?;
                emptied += 1;
            }
        }
    }
}

/// Empties a delivery, and its address when another one is to stand for it.
async fn empty(txn: &Txn, row: &delivery::Model, recipient: Option<&str>) -> Result<()> {
    let mut emptied = delivery::ActiveModel {
        organization_id: Unchanged(row.organization_id),
        id: Unchanged(row.id),
        facts: Set(NOTHING.to_owned()),
        link_about: Set(None),
        link_path: Set(None),
        leased_until: Set(None),
        lease: Set(None),
        // A mail server may have answered with the address.
        last_error: Set(None),
        ..Default::default()
    };
    if let Some(recipient) = recipient {
        emptied.recipient = Set(recipient.to_owned());
    }
    if row.state == DeliveryState::Pending {
        // Whoever is trying it just now finds that it is no longer waiting.
        emptied.state = Set(DeliveryState::Dead);
        emptied.last_error = Set(Some(DeliveryFault::Forgotten.to_string()));
    }
    delivery::Entity::update(emptied).exec_without_returning(txn).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_found_wherever_they_stand() {
        let facts = json!({ "inviter": "Ada", "more": [{ "name": "Bob" }], "expiresAt": 7 });
        assert!(says(&facts, "Ada") && says(&facts, "Bob"));
        assert!(!says(&facts, "Ad") && !says(&facts, "inviter") && !says(&facts, "7"));
    }
}
