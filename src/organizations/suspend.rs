//! Suspending an organization, and letting it act again.
//!
//! One that is suspended may only read: the ledger refuses its commands, but for those that bring to an end what was
//! agreed on before (captures, holds that are let go, what time brings), and the audit log refuses every other change
//! (see `audit::closed`). Its people sign in and see everything; what is paid for it is recorded, and comes in when it
//! may act again: that is a second part of resuming, which purchases know of (see `purchases::resume`).
//!
//! The sandbox of an organization goes with it, in a transaction of its own: it is an organization of its own. Should
//! that one fail, doing the same again does what is left.

use bursar_domain::organization::OrganizationState;
use bursar_entity::organization;
use sea_orm::{EntityTrait, Set, Unchanged};
use serde_json::json;

use super::{lock_for, lock_organization};
use crate::audit::{self, Change};
use crate::auth::{Actor, Authorized, sandbox_id};
use crate::context::Context;
use crate::db::{self, Tenant, Txn};
use crate::error::Result;
use crate::text;

/// Suspends an organization and its sandbox. One that is suspended already stays as it is.
///
/// # Errors
/// [`Error::Invalid`](crate::error::Error::Invalid) at `reason`; what the database answers.
pub async fn suspend(
    context: &Context,
    organization: &Authorized<organization::Model>,
    reason: &str,
) -> Result<organization::Model> {
    let reason = text::note("reason", reason)?;
    let tenant = organization.tenant();
    let after = suspend_one(context, tenant, organization.actor(), &reason).await?;
    if let Some(sandbox) = sandbox_of(context, organization).await? {
        suspend_one(context, sandbox, organization.actor(), &reason).await?;
    }
    Ok(after)
}

async fn suspend_one(
    context: &Context,
    tenant: Tenant,
    actor: &Actor,
    reason: &str,
) -> Result<organization::Model> {
    let (actor, clock, reason) = (actor.clone(), context.clock.clone(), reason.to_owned());
    let work = db::work(move |txn| {
        let (actor, clock, reason) = (actor.clone(), clock.clone(), reason.clone());
        Box::pin(async move {
            let before = lock_for(txn, tenant, &actor).await?;
            let Some((after, change)) =
                set(txn, tenant, &before, OrganizationState::Suspended, &reason).await?
            else {
                return Ok(before);
            };
            audit::record(txn, tenant, &clock, &actor, change).await?;
            Ok(after)
        })
    });
    context.db.write(tenant, work).await
}

/// Lets an organization act again inside the transaction of another room, and keeps its row locked. Answers, when it
/// was suspended, what is to be recorded of that once everything else has been locked. The reason is one that has
/// been checked.
pub async fn resume_in(
    txn: &Txn,
    tenant: Tenant,
    reason: &str,
) -> Result<(organization::Model, Option<Change>)> {
    let before = lock_organization(txn, tenant).await?;
    Ok(match set(txn, tenant, &before, OrganizationState::Active, reason).await? {
        Some((after, change)) => (after, Some(change)),
        None => (before, None),
    })
}

/// The sandbox of an organization, when it has one.
pub async fn sandbox_of(
    context: &Context,
    organization: &Authorized<organization::Model>,
) -> Result<Option<Tenant>> {
    // It belongs to the organization that the caller has been authorized for.
    let sandbox = Tenant::vouched(sandbox_id(organization.id));
    let snapshot = context.db.read(sandbox).await?;
    let row = sandbox.find::<organization::Entity>().one(&snapshot).await?;
    Ok(row.map(|_| sandbox))
}

/// Writes the state of an organization whose row is locked. None: it is in that state already.
async fn set(
    txn: &Txn,
    tenant: Tenant,
    before: &organization::Model,
    state: OrganizationState,
    reason: &str,
) -> Result<Option<(organization::Model, Change)>> {
    if before.state == state {
        return Ok(None);
    }
    let row =
        organization::ActiveModel { id: Unchanged(tenant.id()), state: Set(state), ..Default::default() };
    organization::Entity::update(row).exec_without_returning(txn).await?;
    let action = match state {
        OrganizationState::Suspended => "suspendOrganization",
        OrganizationState::Active => "resumeOrganization",
    };
    let was = json!({ "state": before.state.as_str() });
    let is = json!({ "state": state.as_str(), "reason": reason });
    // The database has raised the revision: what is answered need not say so.
    let after = organization::Model { state, ..before.clone() };
    Ok(Some((after, Change::updated(action, tenant.id(), was, is))))
}
