//! The audit log: who changed what, on whose behalf, before and after, written in the transaction of the change.
//!
//! Charges, holds and journal entries are their own audit record and leave no event here, and so is what time has
//! booked; [`list`] shows them in one list with the events. The events of an organization are a chain (`chain`): [`verify`] finds the first one
//! that somebody has edited, taken away or slipped in.
//!
//! # Order of locks
//! [`record`] locks the head of the organization's chain, which is held until the commit. It is locked after
//! everything else: whoever has recorded something locks nothing any more in that transaction that is not
//! locked already. The ledger's lanes never lock it.
//!
//! # Suspended organizations
//! With the head locked, [`record`] refuses what an organization may not do that is suspended (see `closed`).
//!
//! # People
//! Events cannot be changed, so they hold identifiers and plain facts, and of a value about a person no more
//! than a salted digest. The value is in a table of its own that can be emptied (`personal`): the chain
//! verifies as before. What is of nobody whom Bursar knows is emptied when it is old.

mod chain;
mod closed;
mod lines;
mod list;
mod personal;
mod records;
mod timed;
mod verify;

pub use lines::{Format, header, line};
pub use list::page;
pub use personal::{empty_old, erase, erase_said, said, values};
pub use records::{Filter, Record, Source};
pub use timed::{expired_hold, lapse};
pub use verify::{Checked, Finding, Mark, Reached, Step, Stop, chains, step, verify};

use bursar_domain::id::{ApiKeyId, AuditEventId, Id, UserId};
use bursar_domain::ledger::chain::ORIGIN;
use bursar_entity::{audit_event, audit_head};
use sea_orm::{EntityTrait, IntoActiveModel, QuerySelect, Set, Unchanged};
use serde_json::Value;
use uuid::Uuid;

use crate::auth::Actor;
use crate::clock::Clock;
use crate::context::Context;
use crate::db::{self, Tenant, Txn};
use crate::error::{Error, Result};
use crate::global_id;
use personal::Personal;

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
    /// On whose behalf.
    pub on_behalf_of: Option<UserId>,
    takes_access: bool,
    personal: Vec<Personal>,
}

impl Change {
    /// Something was made.
    pub fn created(action: &'static str, subject: impl Id, after: Value) -> Change {
        Change::new(action, subject, None, Some(after))
    }

    /// Something was changed.
    pub fn updated(action: &'static str, subject: impl Id, before: Value, after: Value) -> Change {
        Change::new(action, subject, Some(before), Some(after))
    }

    /// Something was taken away.
    pub fn removed(action: &'static str, subject: impl Id, before: Value) -> Change {
        Change::new(action, subject, Some(before), None)
    }

    fn new(action: &'static str, subject: impl Id, before: Option<Value>, after: Option<Value>) -> Change {
        let subject = global_id::encode(subject);
        let (on_behalf_of, takes_access, personal) = (None, false, Vec::new());
        Change { action, subject, before, after, on_behalf_of, takes_access, personal }
    }

    /// The same change, made on somebody's behalf.
    pub fn on_behalf_of(self, user: Option<UserId>) -> Change {
        Change { on_behalf_of: user, ..self }
    }

    /// The same change, which does no more than to take access away from somebody: it is made in a suspended organization
    /// as well. What its name alone says of that is in `closed`.
    pub fn taking_access(self, takes_access: bool) -> Change {
        Change { takes_access, ..self }
    }

    /// The same change, with a value about a person (whose it is, when Bursar knows them) that can be erased
    /// later. A name stands for one value.
    pub fn about(mut self, user: Option<UserId>, name: &'static str, value: impl Into<String>) -> Change {
        self.personal.retain(|known| known.name != name);
        self.personal.push(Personal { user, name, value: value.into() });
        self
    }
}

/// The id by which the log knows an actor, from the global id of a person or an API key; none: it is neither.
pub fn actor_id(id: &str) -> Option<Uuid> {
    let user = global_id::decode::<UserId>(id).map(|user| user.as_u128());
    let key = || global_id::decode::<ApiKeyId>(id).map(|key| key.as_u128());
    user.or_else(key).map(Uuid::from_u128)
}

/// Writes a change to the log, in the transaction that makes it. The last thing that the transaction locks.
///
/// # Errors
/// [`Refusal::OrganizationSuspended`](bursar_domain::ledger::Refusal::OrganizationSuspended) for what an organization
/// may not do that is suspended; what the database answers.
pub async fn record(txn: &Txn, tenant: Tenant, clock: &Clock, actor: &Actor, change: Change) -> Result<()> {
    let head = lock_head(txn, tenant).await?;
    closed::require_open(txn, tenant, &change).await?;
    append(txn, (tenant, head), clock, actor, change).await
}

/// Writes a change to the log, whose head is locked.
async fn append(
    txn: &Txn,
    (tenant, head): (Tenant, audit_head::Model),
    clock: &Clock,
    actor: &Actor,
    change: Change,
) -> Result<()> {
    let Change { action, subject, before, after, on_behalf_of, personal, .. } = change;
    let (id, now) = (clock.new_id::<AuditEventId>(), clock.now());
    let on_behalf_of = on_behalf_of.or_else(|| actor.behind());
    // Of a key it is whoever has made it: the key is revoked when that person is forgotten.
    let address = actor.address.map(|address| Personal {
        user: actor.answerable(),
        name: "address",
        value: address.to_string(),
    });
    let personal: Vec<Personal> = personal.into_iter().chain(address).collect();
    let digests = personal::keep(txn, tenant, id, personal).await?;
    let mut row = audit_event::Model {
        organization_id: tenant.id(),
        id,
        actor_kind: actor.kind,
        actor_id: actor.id,
        origin: actor.origin.clone(),
        action: action.to_owned(),
        subject,
        before: before.map(|value| value.to_string()),
        after: after.map(|value| value.to_string()),
        created_at: now,
        position: head.position.saturating_add(1),
        on_behalf_of,
        personal: digests,
        link: None,
    };
    let link = chain::link(&head.link, &row);
    row.link = Some(link.to_vec());
    let end = audit_head::ActiveModel {
        organization_id: Unchanged(tenant.id()),
        position: Set(row.position),
        link: Set(link.to_vec()),
        ..Default::default()
    };
    audit_event::Entity::insert(row.into_active_model()).exec_without_returning(txn).await?;
    audit_head::Entity::update(end).exec_without_returning(txn).await?;
    Ok(())
}

/// Writes something to the log that has changed nothing: that somebody took the log out, or was refused. In a
/// suspended organization as well.
///
/// # Errors
/// What the database answers.
pub async fn note(context: &Context, tenant: Tenant, actor: &Actor, change: Change) -> Result<()> {
    let (clock, actor) = (context.clock.clone(), actor.clone());
    let work = db::work(move |txn| {
        let (clock, actor, change) = (clock.clone(), actor.clone(), change.clone());
        Box::pin(async move {
            let head = lock_head(txn, tenant).await?;
            append(txn, (tenant, head), &clock, &actor, change).await
        })
    });
    context.db.write(tenant, work).await
}

/// Locks the end of the organization's chain; the first time there is none yet.
async fn lock_head(txn: &Txn, tenant: Tenant) -> Result<audit_head::Model> {
    let locked = || tenant.find::<audit_head::Entity>().lock_exclusive().one(txn);
    if let Some(head) = locked().await? {
        return Ok(head);
    }
    let (organization_id, link) = (tenant.id(), ORIGIN.to_vec());
    let first = audit_head::Model { organization_id, position: 0, unchained: 0, link };
    // Somebody may write the first event at the same time; then theirs is the first.
    audit_head::Entity::insert(first.into_active_model())
        .on_conflict_do_nothing_on([audit_head::Column::OrganizationId])
        .exec_without_returning(txn)
        .await?;
    locked().await?.ok_or_else(|| Error::internal("the end of an audit log is not there"))
}
