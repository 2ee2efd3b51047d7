//! Values about people that events name: kept apart, so that they can be emptied.
//!
//! The event holds, by name, a digest of the value with a salt of 32 random bytes; the row here holds salt and
//! value. As long as both are there, verification compares them; once they are emptied the digest says nothing
//! any more, and the chain, which covers the digest only, is as it was.
//!
//! What is of a person is emptied when the person is forgotten. What is of nobody whom Bursar knows (the address that
//! somebody was refused at) nobody can ask for: it is emptied when it is old ([`empty_old`]).

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use bursar_domain::Timestamp;
use bursar_domain::id::{AuditEventId, OrganizationId, UserId};
use bursar_domain::ledger::chain::Canonical;
use bursar_entity::personal_value;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, UpdateMany};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::list::first_id;
use crate::context::Context;
use crate::db::scope::find_across;
use crate::db::{self, Scope, Tenant, Txn};
use crate::error::{Error, Result};

/// How many values of nobody are looked for at once.
const AT_ONCE: u64 = 500;

/// A value about a person, on its way to be kept.
#[derive(Clone, Debug)]
pub(super) struct Personal {
    pub user: Option<UserId>,
    pub name: &'static str,
    pub value: String,
}

/// Keeps the values of an event; answers what the event says of them.
pub(super) async fn keep(
    txn: &Txn,
    tenant: Tenant,
    event: AuditEventId,
    values: Vec<Personal>,
) -> Result<Option<String>> {
    if values.is_empty() {
        return Ok(None);
    }
    let mut digests = BTreeMap::new();
    for Personal { user, name, value } in values {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).map_err(|error| Error::internal(format!("no randomness: {error}")))?;
        let row = personal_value::Model {
            organization_id: tenant.id(),
            event_id: event,
            name: name.to_owned(),
            user_id: user,
            salt: Some(salt.to_vec()),
            value: Some(value),
            erased_at: None,
        };
        // The same name twice: the first counts.
        let Some(digest) = digest(&row).filter(|_| !digests.contains_key(name)) else { continue };
        digests.insert(name, digest);
        personal_value::Entity::insert(row.into_active_model()).exec_without_returning(txn).await?;
    }
    Ok(Some(serde_json::json!(digests).to_string()))
}

/// The digest of a value, in hexadecimal digits; none when it has been emptied.
pub(super) fn digest(row: &personal_value::Model) -> Option<String> {
    let (salt, value) = (row.salt.as_ref()?, row.value.as_ref()?);
    let mut form = Canonical::of("personal value");
    form.bytes(salt).text(&row.name).text(value);
    form.option(row.user_id, |form, id| _ = form.id(id));
    let mut digits = String::with_capacity(64);
    for byte in Sha256::digest(form.as_bytes()) {
        // A String takes all that is written to it.
        let _ = write!(digits, "{byte:02x}");
    }
    Some(digits)
}

/// What an event says of values about people: their digests by name. None: it cannot be read.
pub(super) fn digests(personal: Option<&str>) -> Option<BTreeMap<String, String>> {
    match personal {
        None => Some(BTreeMap::new()),
        Some(text) => serde_json::from_str(text).ok(),
    }
}

/// The values of events, those that have been emptied among them.
///
/// # Errors
/// What the database answers.
pub async fn values(
    txn: &Txn,
    tenant: Tenant,
    events: Vec<AuditEventId>,
) -> Result<HashMap<AuditEventId, Vec<personal_value::Model>>> {
    let rows =
        tenant.lookup::<personal_value::Entity, _>(txn, personal_value::Column::EventId, events).await?;
    let mut found: HashMap<AuditEventId, Vec<personal_value::Model>> = HashMap::new();
    for row in rows {
        found.entry(row.event_id).or_default().push(row);
    }
    for of_event in found.values_mut() {
        of_event.sort_by(|one, other| one.name.cmp(&other.name));
    }
    Ok(found)
}

/// Empties all values about a person in an organization's log; answers how many they were. Part of forgetting
/// the person, which is recorded by whoever asks for this.
///
/// # Errors
/// What the database answers.
pub async fn erase(txn: &Txn, tenant: Tenant, user: UserId, now: Timestamp) -> Result<u64> {
    let emptied = emptying(tenant, now).filter(personal_value::Column::UserId.eq(user)).exec(txn).await?;
    Ok(emptied.rows_affected)
}

/// What a person has said by a name, as the log knows it.
///
/// # Errors
/// What the database answers.
pub async fn said(txn: &Txn, tenant: Tenant, by: UserId, name: &str) -> Result<Vec<String>> {
    let words = tenant
        .find::<personal_value::Entity>()
        .select_only()
        .column(personal_value::Column::Value)
        .filter(personal_value::Column::UserId.eq(by))
        .filter(personal_value::Column::Name.eq(name))
        .filter(personal_value::Column::Value.is_not_null());
    Ok(words.into_tuple().all(txn).await?)
}

/// Empties what somebody has said that is about somebody else, who is to be forgotten: whatever the log knows of theirs
/// by the same name and in the same words.
///
/// # Errors
/// What the database answers.
pub async fn erase_said(
    txn: &Txn,
    tenant: Tenant,
    (by, name, words): (UserId, &str, &str),
    now: Timestamp,
) -> Result<()> {
    emptying(tenant, now)
        .filter(personal_value::Column::UserId.eq(by))
        .filter(personal_value::Column::Name.eq(name))
        .filter(personal_value::Column::Value.eq(words))
        .exec(txn)
        .await?;
    Ok(())
}

/// What empties values in an organization's log that have not been emptied, as far as they fit what is added to it.
fn emptying(tenant: Tenant, now: Timestamp) -> UpdateMany<personal_value::Entity> {
    personal_value::Entity::update_many()
        .col_expr(personal_value::Column::Value, Expr::value(None::<String>))
        .col_expr(personal_value::Column::Salt, Expr::value(None::<Vec<u8>>))
        .col_expr(personal_value::Column::ErasedAt, Expr::value(now))
        .filter(personal_value::Column::OrganizationId.eq(tenant.id()))
        .filter(personal_value::Column::Value.is_not_null())
}

/// Empties the values of nobody in all logs that are from before an instant, until there are none left or `end` says
/// so. Answers how many they were. Done twice, or by two nodes, it is as if it had been done once.
///
/// # Errors
/// What the database answers.
pub async fn empty_old(context: &Context, before: Timestamp, end: &CancellationToken) -> Result<u64> {
    let mut all = 0;
    while !end.is_cancelled() {
        let mut emptied = 0;
        for (organization, events) in old(context, before).await? {
            // The program does it for itself.
            let (tenant, now) = (Tenant::vouched(organization), context.clock.now());
            let work = db::work(move |txn| {
                let events = events.clone();
                Box::pin(async move {
                    let of_nobody = personal_value::Column::UserId.is_null();
                    let these = personal_value::Column::EventId.is_in(events);
                    let done = emptying(tenant, now).filter(of_nobody).filter(these).exec(txn).await?;
                    Ok(done.rows_affected)
                })
            });
            emptied += context.db.write(tenant, work).await?;
        }
        all += emptied;
        if emptied == 0 {
            break;
        }
    }
    Ok(all)
}

/// The first events with values of nobody that are from before an instant, by organization.
async fn old(context: &Context, before: Timestamp) -> Result<BTreeMap<OrganizationId, Vec<AuditEventId>>> {
    use personal_value::Column;
    let snapshot = context.db.read(Scope::Operator).await?;
    let rows: Vec<(OrganizationId, AuditEventId)> = find_across::<personal_value::Entity>()
        .select_only()
        .column(Column::OrganizationId)
        .column(Column::EventId)
        .filter(Column::UserId.is_null())
        .filter(Column::Value.is_not_null())
        // A value is as old as its event, whose id says when that was.
        .filter(Column::EventId.lt(first_id(before)))
        .order_by_asc(Column::EventId)
        .limit(AT_ONCE)
        .into_tuple()
        .all(&snapshot)
        .await?;
    let mut found: BTreeMap<OrganizationId, Vec<AuditEventId>> = BTreeMap::new();
    for (organization, event) in rows {
        found.entry(organization).or_default().push(event);
    }
    Ok(found)
}
