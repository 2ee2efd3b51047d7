//! Standing in for somebody: a person lets another decide in their name for some time.
//!
//! When it begins, ends or is taken back, all requests that wait are looked at again in the same transaction: whoever stands
//! in for somebody who asks cannot decide any more, whoever stands in for somebody who may decide is asked, and the links of
//! those who no longer do lead nowhere.
//!
//! # Order of locks
//! The organization, so that people stay what they are and delegations come one after another.

use bursar_domain::Timestamp;
use bursar_domain::approval::delegation::{LONGEST_CHAIN, LONGEST_DAYS, check};
use bursar_domain::approval::{Delegation, DelegationFault, People};
use bursar_domain::id::{ApprovalId, DelegationId, MembershipId, UserId};
use bursar_domain::organization::OrganizationState;
use bursar_entity::{approval_delegation, membership, organization};
use sea_orm::{
    ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QuerySelect, Set, Unchanged,
};
use serde_json::{Value, json};

use super::reconsider::{announce, record};
use super::{DELEGATION_BEGINS, Touched, delegations, people, people_changed};
use crate::audit::{self, Change};
use crate::auth::{Actor, Authorized};
use crate::clock::Clock;
use crate::context::Context;
use crate::db::{self, Tenant, Txn, be_due, is_done};
use crate::error::{Conflict, Error, Result};
use crate::{global_id, text};

/// How many seconds the beginning may lie in the past: what was now when the request was written.
const LATE_SECONDS: i64 = 60;
/// The most that a person has at one time, those that have not begun among them.
const MOST: u64 = 50;
/// After how many seconds an organization is looked at again that may only read.
const SUSPENDED_SECONDS: i64 = 3_600;

/// Who is to stand in, and when.
#[derive(Clone, Debug)]
pub struct NewDelegation {
    /// Who is to stand in.
    pub delegate: MembershipId,
    /// From when on; none: from now on.
    pub from: Option<Timestamp>,
    /// Until before when.
    pub until: Timestamp,
    /// Why.
    pub reason: Option<String>,
}

/// Lets somebody decide in a person's name for some time.
///
/// # Errors
/// [`Error::Forbidden`] for whoever is no member, and for auditors, who could not decide either; what is wrong with
/// the wish, by its field; [`Conflict::Taken`] when somebody stands in for the person at that time already.
pub async fn delegate(
    context: &Context,
    organization: &Authorized<organization::Model>,
    by: UserId,
    wanted: NewDelegation,
) -> Result<approval_delegation::Model> {
    let reason = text::optional_note("reason", wanted.reason.as_deref())?;
    let wanted = NewDelegation { reason, ..wanted };
    let (tenant, actor, clock) = (organization.tenant(), organization.actor().clone(), context.clock.clone());
    let work = db::work(move |txn| {
        let (actor, clock, wanted) = (actor.clone(), clock.clone(), wanted.clone());
        Box::pin(async move { delegate_in(txn, tenant, &clock, (&actor, by), wanted).await })
    });
    let (row, requests) = context.db.write(tenant, work).await?;
    announce(context, tenant, &requests);
    Ok(row)
}

async fn delegate_in(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    (actor, by): (&Actor, UserId),
    wanted: NewDelegation,
) -> Result<(approval_delegation::Model, Vec<ApprovalId>)> {
    actor.require_standing(txn, &lock(txn, tenant).await?).await?;
    let now = clock.now();
    let people = people(txn, tenant).await?;
    let delegate = somebody(txn, tenant, (&people, by), wanted.delegate).await?;
    let new = Delegation {
        id: clock.new_id::<DelegationId>(),
        delegator: by,
        delegate,
        starts_at: beginning(wanted.from, now)?,
        ends_at: wanted.until,
        revoked_at: None,
    };
    check(&new, &delegations(txn, tenant, now).await?, now).map_err(refused)?;
    let own = tenant
        .find::<approval_delegation::Entity>()
        .filter(approval_delegation::Column::Delegator.eq(by))
        .filter(approval_delegation::Column::EndsAt.gt(now))
        .filter(approval_delegation::Column::RevokedAt.is_null());
    if own.count(txn).await? >= MOST {
        let reason = format!("A person has at most {MOST} of these at one time.");
        return Err(Error::conflict(Conflict::State, "organizationId", reason));
    }
    let row = approval_delegation::Model {
        organization_id: tenant.id(),
        id: new.id,
        delegator: new.delegator,
        delegate: new.delegate,
        starts_at: new.starts_at,
        ends_at: new.ends_at,
        reason: wanted.reason,
        revoked_at: None,
        revoked_by: None,
        created_at: now,
    };
    approval_delegation::Entity::insert(row.clone().into_active_model()).exec_without_returning(txn).await?;
    let begun = new.is_active(now);
    let next = if begun { row.ends_at } else { row.starts_at };
    be_due(txn, tenant, DELEGATION_BEGINS, row.id, next).await?;
    let touched = if begun { people_changed(txn, tenant, clock).await? } else { Touched::default() };
    audit::record(txn, tenant, clock, actor, Change::created("delegateApprovals", row.id, facts(&row)))
        .await?;
    Ok((row, touched.record(txn, tenant, clock, actor).await?))
}

/// Whom a member names to stand in for them. Both have to be people who decide.
async fn somebody(
    txn: &Txn,
    tenant: Tenant,
    (people, by): (&People, UserId),
    place: MembershipId,
) -> Result<UserId> {
    if !people.may_decide(by) {
        return Err(Error::Forbidden);
    }
    let member = tenant.find::<membership::Entity>().filter(membership::Column::Id.eq(place));
    let member = member.one(txn).await?.ok_or(Error::not_found("member").at("delegateId"))?;
    if !people.may_decide(member.user_id) {
        return Err(Error::invalid("delegateId", "is an auditor, who decides about nothing"));
    }
    Ok(member.user_id)
}

/// When it begins. What was now when the request was written is now.
fn beginning(from: Option<Timestamp>, now: Timestamp) -> Result<Timestamp> {
    match from {
        None => Ok(now),
        Some(from) if from.plus_seconds(LATE_SECONDS) < now => {
            Err(Error::invalid("from", "must not lie in the past"))
        }
        Some(from) => Ok(from.max(now)),
    }
}

/// Why somebody cannot stand in for somebody, as an error.
fn refused(fault: DelegationFault) -> Error {
    match fault {
        DelegationFault::Oneself => Error::invalid("delegateId", "must be somebody else"),
        DelegationFault::Window => Error::invalid("until", "must lie in the future, and after the beginning"),
        DelegationFault::TooLong => {
            Error::invalid("until", format!("must be within {LONGEST_DAYS} days of the beginning"))
        }
        DelegationFault::Overlaps => {
            let reason = "Somebody stands in for you at that time already. End that first.";
            Error::conflict(Conflict::Taken, "until", reason)
        }
        DelegationFault::Loop => {
            let reason =
                "has somebody stand in at that time who leads back to you: you would stand in for yourself";
            Error::invalid("delegateId", reason)
        }
        DelegationFault::ChainTooLong => {
            let reason =
                format!("would make a chain of more than {LONGEST_CHAIN} who stand in for one another");
            Error::invalid("delegateId", reason)
        }
    }
}

/// Ends early that somebody stands in for somebody: both of them may, and whoever says which purchases need whose consent.
/// Once more changes nothing.
///
/// # Errors
/// [`Error::Forbidden`]; not found; [`Conflict::State`] when its time is over.
pub async fn revoke(
    context: &Context,
    caller_may_manage: bool,
    by: UserId,
    tenant: Tenant,
    id: DelegationId,
    actor: &Actor,
) -> Result<approval_delegation::Model> {
    let (actor, clock) = (actor.clone(), context.clock.clone());
    let work = db::work(move |txn| {
        let (actor, clock) = (actor.clone(), clock.clone());
        Box::pin(async move { revoke_in(txn, tenant, &clock, (&actor, by, caller_may_manage), id).await })
    });
    let (row, requests) = context.db.write(tenant, work).await?;
    announce(context, tenant, &requests);
    Ok(row)
}

async fn revoke_in(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    (actor, by, may_manage): (&Actor, UserId, bool),
    id: DelegationId,
) -> Result<(approval_delegation::Model, Vec<ApprovalId>)> {
    actor.require_standing(txn, &lock(txn, tenant).await?).await?;
    let now = clock.now();
    let before = find(txn, tenant, id).await?.ok_or(Error::not_found("delegation").at("delegationId"))?;
    if !may_manage && by != before.delegator && by != before.delegate {
        return Err(Error::Forbidden);
    }
    if before.revoked_at.is_some() {
        return Ok((before, Vec::new()));
    }
    if before.ends_at <= now {
        let reason = "Nobody stands in for anybody by that any more: its time is over.";
        return Err(Error::conflict(Conflict::State, "delegationId", reason));
    }
    let after = approval_delegation::Model { revoked_at: Some(now), revoked_by: Some(by), ..before.clone() };
    let row = approval_delegation::ActiveModel {
        organization_id: Unchanged(after.organization_id),
        id: Unchanged(after.id),
        revoked_at: Set(after.revoked_at),
        revoked_by: Set(after.revoked_by),
        ..Default::default()
    };
    approval_delegation::Entity::update(row).exec_without_returning(txn).await?;
    is_done(txn, tenant, DELEGATION_BEGINS, id).await?;
    let begun = before.starts_at <= now;
    let touched = if begun { people_changed(txn, tenant, clock).await? } else { Touched::default() };
    audit::record(txn, tenant, clock, actor, Change::removed("revokeDelegation", id, facts(&before))).await?;
    Ok((after, touched.record(txn, tenant, clock, actor).await?))
}

/// Does what follows when a delegation begins, and when it ends. Answers when to look at it again; none: never.
///
/// # Errors
/// What the database answers.
pub async fn delegation_begins(
    context: &Context,
    tenant: Tenant,
    id: DelegationId,
) -> Result<Option<Timestamp>> {
    let clock = context.clock.clone();
    let work = db::work(move |txn| {
        let clock = clock.clone();
        Box::pin(async move { begin_in(txn, tenant, &clock, id).await })
    });
    let (next, requests) = context.db.write(tenant, work).await?;
    announce(context, tenant, &requests);
    Ok(next)
}

async fn begin_in(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    id: DelegationId,
) -> Result<(Option<Timestamp>, Vec<ApprovalId>)> {
    let organization = lock(txn, tenant).await?;
    let now = clock.now();
    is_done(txn, tenant, DELEGATION_BEGINS, id).await?;
    let known = find(txn, tenant, id).await?;
    let Some(row) = known.filter(|row| row.revoked_at.is_none()) else { return Ok((None, Vec::new())) };
    let is_suspended = organization.state == OrganizationState::Suspended;
    let next = if now < row.starts_at {
        Some(row.starts_at)
    } else if is_suspended {
        // Nobody can decide there, so nobody is asked to.
        Some(now.plus_seconds(SUSPENDED_SECONDS))
    } else {
        Some(row.ends_at).filter(|end| now < *end)
    };
    if let Some(at) = next {
        be_due(txn, tenant, DELEGATION_BEGINS, id, at).await?;
    }
    if now < row.starts_at || is_suspended {
        return Ok((next, Vec::new()));
    }
    let touched = people_changed(txn, tenant, clock).await?;
    record(txn, tenant, clock, &Actor::system(None), touched.changes).await?;
    Ok((next, touched.requests))
}

async fn lock(txn: &Txn, tenant: Tenant) -> Result<organization::Model> {
    let row = tenant.find::<organization::Entity>().lock_exclusive().one(txn).await?;
    row.ok_or(Error::not_found("organization"))
}

async fn find(txn: &Txn, tenant: Tenant, id: DelegationId) -> Result<Option<approval_delegation::Model>> {
    let row = tenant.find::<approval_delegation::Entity>().filter(approval_delegation::Column::Id.eq(id));
    Ok(row.lock_exclusive().one(txn).await?)
}

/// What the log says of a delegation. Not why: that may be about a person.
fn facts(row: &approval_delegation::Model) -> Value {
    json!({
        "delegator": global_id::encode(row.delegator),
        "delegate": global_id::encode(row.delegate),
        "fromMicros": row.starts_at.micros(),
        "untilMicros": row.ends_at.micros(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_now_when_it_was_written_is_now() {
        let now = Timestamp::EPOCH.plus_seconds(1_000);
        assert_eq!(beginning(None, now).unwrap(), now);
        assert_eq!(beginning(Some(now.plus_seconds(-60)), now).unwrap(), now);
        assert_eq!(beginning(Some(now.plus_seconds(5)), now).unwrap(), now.plus_seconds(5));
        let past = beginning(Some(now.plus_seconds(-61)), now);
        assert!(matches!(past, Err(Error::Invalid { field, .. }) if field == "from"));
    }
}
