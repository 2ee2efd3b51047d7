//! The audit log: who changed what, before and after, written in the transaction of the change.
//!
//! Charges and journal entries are their own audit record and leave no event here. Values are
//! identifiers and plain facts; names and addresses of people never get in, because rows here cannot
//! be changed when a person is to be forgotten.

use bursar_domain::id::Id;
use bursar_entity::audit_event;
use sea_orm::{EntityTrait, IntoActiveModel};
use serde_json::Value;

use crate::auth::Actor;
use crate::clock::Clock;
use crate::db::{Tenant, Txn};
use crate::error::Result;
use crate::global_id;

/// What was changed.
#[derive(Clone, Debug)]
pub struct Change {
    /// The name of the mutation or event.
    pub action: &'static str,
    /// What it was done to.
    pub subject: String,
    /// The fields as they were; none: there was nothing.
    pub before: Option<Value>,
    /// The fields as they are; none: there is nothing any more.
    pub after: Option<Value>,
}

impl Change {
    /// Something was made.
    pub fn created(action: &'static str, subject: impl Id, after: Value) -> Change {
        Change { action, subject: global_id::encode(subject), before: None, after: Some(after) }
    }

    /// Something was changed.
    pub fn updated(action: &'static str, subject: impl Id, before: Value, after: Value) -> Change {
        Change { action, subject: global_id::encode(subject), before: Some(before), after: Some(after) }
    }

    /// Something was taken away.
    pub fn removed(action: &'static str, subject: impl Id, before: Value) -> Change {
        Change { action, subject: global_id::encode(subject), before: Some(before), after: None }
    }
}

/// Writes a change to the log.
pub async fn record(txn: &Txn, tenant: Tenant, clock: &Clock, actor: &Actor, change: Change) -> Result<()> {
    let row = audit_event::Model {
        organization_id: tenant.id(),
        id: clock.new_id(),
        actor_kind: actor.kind,
        actor_id: actor.id,
        origin: actor.origin.clone(),
        action: change.action.to_owned(),
        subject: change.subject,
        before: change.before.map(|value| value.to_string()),
        after: change.after.map(|value| value.to_string()),
        created_at: clock.now(),
    };
    audit_event::Entity::insert(row.into_active_model()).exec_without_returning(txn).await?;
    Ok(())
}
