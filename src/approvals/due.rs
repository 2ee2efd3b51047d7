//! What time alone brings to a request: whoever has not decided is reminded, the owners may decide as well, or it is over.
//! Nobody's consent is ever among it.
//!
//! Whoever may decide has a good link until the end: when there are no reminders any more, or only rarely, another one is sent
//! before the last is over.
//!
//! # Once
//! The request is locked, and says what was done: how often it was reminded, that it has ended; that owners may decide
//! stands in a row of its own. Whoever comes second finds that, and does nothing. When it is to be looked at again is
//! written in the same transaction, so that a round that is opened right afterwards is not forgotten.

use std::collections::BTreeSet;

use bursar_domain::Timestamp;
use bursar_domain::approval::{RequestState, Timing};
use bursar_domain::id::{ApprovalId, UserId};
use bursar_domain::organization::OrganizationState;
use bursar_entity::{approval_request, approval_round, organization};
use serde_json::json;

use super::links::{LASTS_SECONDS, out, replaced_at, sent, withdraw_links};
use super::mail::{MailCause, Told, ask, tell};
use super::reconsider::{Judged, ask_all, escalate_unreachable, informed, judged, write_escalation};
use super::submit::write_request;
use super::{APPROVAL_DUE, lock_request, policy_of_round};
use crate::audit::Change;
use crate::clock::Clock;
use crate::db::{Tenant, Txn, be_due, is_done};
use crate::error::{Error, Result};
use crate::global_id;

/// The most reminders in a stage.
const MOST_REMINDERS: i64 = 10;
/// After how many seconds an organization is looked at again that may only read: nobody can decide there, so nobody is
/// asked to.
const SUSPENDED_SECONDS: i64 = 3_600;

/// What has come of looking at a request.
// One is made for each look, and at once taken apart: no list of them is kept.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug)]
pub enum Due {
    /// It waits for nobody any more.
    Nothing,
    /// It waits, and is to be looked at again then.
    Again(Timestamp),
    /// Nobody has decided in time. The request as it is now, and what is to be recorded of that.
    Expired(Box<approval_request::Model>, Change),
}

/// Does what the time has come for of a request, and lets it be looked at again. The organization and the purchase are
/// locked. What it answers besides is to be recorded, in Bursar's own name.
///
/// # Errors
/// [`Error::NotFound`]; what the database answers.
pub async fn due_in(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    request: ApprovalId,
) -> Result<(Due, Vec<Change>)> {
    let (due, changes) = look(txn, tenant, clock, request).await?;
    is_done(txn, tenant, APPROVAL_DUE, request).await?;
    if let Due::Again(at) = due {
        be_due(txn, tenant, APPROVAL_DUE, request, at).await?;
    }
    Ok((due, changes))
}

async fn look(txn: &Txn, tenant: Tenant, clock: &Clock, request: ApprovalId) -> Result<(Due, Vec<Change>)> {
    let now = clock.now();
    let mut request = lock_request(txn, tenant, request).await?;
    if request.state != RequestState::Pending {
        return Ok((Due::Nothing, Vec::new()));
    }
    let mut judged = judged(txn, tenant, (request.id, request.round), now).await?;
    if now >= judged.row.expires_at {
        let (expired, change) = expire(txn, tenant, clock, request).await?;
        return Ok((Due::Expired(Box::new(expired), change), Vec::new()));
    }
    if is_suspended(txn, tenant).await? {
        let at = now.plus_seconds(SUSPENDED_SECONDS).min(judged.row.expires_at);
        return Ok((Due::Again(at), Vec::new()));
    }
    let timing = policy_of_round(txn, tenant, &judged.row).await?.timing;
    let before = sent(txn, tenant, &request).await?;
    let (mut changes, informed) =
        escalate(txn, tenant, clock, (&request, &before), &mut judged, timing).await?;
    let periods = periods(&request, timing, now);
    if periods > request.reminders {
        let was = request.reminders;
        request = approval_request::Model { reminders: periods, ..request };
        write_request(txn, &request).await?;
        // Whoever was asked just now is not reminded of it in the same breath.
        let asked = &sent(txn, tenant, &request).await? - &informed;
        let people = &judged.round.may_decide_now(&judged.situation()) - &asked;
        changes.extend(remind(txn, tenant, clock, (&request, was), &people).await?);
    }
    let (renewal, change) = renew(txn, tenant, clock, &request, (&judged, timing)).await?;
    changes.extend(change);
    let next = next_after(&request, &judged.row, timing, now);
    Ok((Due::Again(renewal.map_or(next, |at| at.min(next))), changes))
}

/// Ends a request that nobody has decided about in time.
async fn expire(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    before: approval_request::Model,
) -> Result<(approval_request::Model, Change)> {
    let now = clock.now();
    let after =
        approval_request::Model { state: RequestState::Expired, ended_at: Some(now), ..before.clone() };
    write_request(txn, &after).await?;
    withdraw_links(txn, tenant, after.id, None, now).await?;
    tell(txn, tenant, clock, &after, Told::Expired).await?;
    let facts = |state: RequestState| json!({ "state": state.as_str(), "round": after.round });
    let change = Change::updated("expireApproval", after.id, facts(before.state), facts(after.state));
    Ok((after, change))
}

/// Whether an organization may only read: nobody can decide there, so nobody is asked to.
///
/// # Errors
/// What the database answers.
pub(super) async fn is_suspended(txn: &Txn, tenant: Tenant) -> Result<bool> {
    let row = tenant.find::<organization::Entity>().one(txn).await?;
    let row = row.ok_or(Error::not_found("organization"))?;
    Ok(row.state == OrganizationState::Suspended)
}

/// Lets the owners decide where that is called for: in stages that can no longer be given what they need, and in the one
/// whose turn it is when it takes too long. Whoever may decide and has no mail yet that says so is asked; mails of those who
/// can no longer lead nowhere. Answers what is to be recorded, and who was not asked now since they have such a mail.
async fn escalate(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    (request, sent): (&approval_request::Model, &BTreeSet<UserId>),
    judged: &mut Judged,
    timing: Timing,
) -> Result<(Vec<Change>, BTreeSet<UserId>)> {
    let now = clock.now();
    let mut changes = escalate_unreachable(txn, tenant, request.id, judged).await?;
    let is_late = now >= request.stage_since.plus_seconds(timing.escalate_after);
    let overdue = if is_late { judged.round.overdue(&judged.situation()) } else { None };
    if let Some(overdue) = overdue {
        changes.push(write_escalation(txn, tenant, (request.id, &judged.round), &overdue).await?);
        judged.round.escalations.push(overdue);
    }
    let may = judged.round.may_decide_now(&judged.situation());
    withdraw_links(txn, tenant, request.id, Some(&(sent - &may)), now).await?;
    let informed = informed(judged, sent, changes.len());
    // That nobody can decide is told once.
    if !may.is_empty() || !changes.is_empty() {
        ask_all(txn, tenant, clock, request, (&*judged, &informed)).await?;
    }
    Ok((changes, informed))
}

/// Asks some people once more, each by a link of their own that replaces the one they had. Answers what is to be recorded;
/// none: there is nobody to be reminded.
async fn remind(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    (request, was): (&approval_request::Model, i64),
    people: &BTreeSet<UserId>,
) -> Result<Option<Change>> {
    if people.is_empty() {
        return Ok(None);
    }
    ask(txn, tenant, clock, request, people, MailCause::Reminder { number: request.reminders }).await?;
    let facts = json!({
        "round": request.round,
        "stage": request.stage,
        "number": request.reminders,
        "people": people.iter().map(|id| global_id::encode(*id)).collect::<Vec<_>>(),
    });
    let before = json!({ "round": request.round, "stage": request.stage, "number": was });
    Ok(Some(Change::updated("remindApproval", request.id, before, facts)))
}

/// Sends those another link whose last one is over or soon will be, and who may decide. Answers when that is to be done next, as
/// far as it is known by links that are out, and what is to be recorded.
async fn renew(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    request: &approval_request::Model,
    (judged, timing): (&Judged, Timing),
) -> Result<(Option<Timestamp>, Option<Change>)> {
    let (now, ends) = (clock.now(), judged.row.expires_at);
    let may = judged.round.may_decide_now(&judged.situation());
    let (mut people, mut next) = (BTreeSet::new(), None);
    for link in out(txn, tenant, request).await? {
        let Some(at) = replaced_at(&link, timing.remind_after, ends) else { continue };
        if !may.contains(&link.user_id) {
            continue;
        }
        if at <= now {
            people.insert(link.user_id);
        } else {
            next = Some(next.map_or(at, |known: Timestamp| known.min(at)));
        }
    }
    if people.is_empty() {
        return Ok((next, None));
    }
    ask(txn, tenant, clock, request, &people, MailCause::Renewed).await?;
    let facts = json!({
        "round": request.round,
        "stage": request.stage,
        "people": people.iter().map(|id| global_id::encode(*id)).collect::<Vec<_>>(),
    });
    Ok((next, Some(Change::created("renewApprovalLinks", request.id, facts))))
}

/// How many times whoever has not decided should have been reminded by an instant. After a time in which nobody looked,
/// one mail stands for all.
fn periods(request: &approval_request::Model, timing: Timing, now: Timestamp) -> i64 {
    let waited = now.micros().saturating_sub(request.stage_since.micros()).max(0);
    let period = timing.remind_after.max(1).saturating_mul(1_000_000);
    (waited / period).min(MOST_REMINDERS)
}

/// When a request is to be looked at that was opened, or whose stage is new. None: it waits for nobody.
pub fn next_due(
    request: &approval_request::Model,
    round: &approval_round::Model,
    timing: Timing,
) -> Option<Timestamp> {
    let pending = request.state == RequestState::Pending;
    pending.then(|| next_after(request, round, timing, request.stage_since))
}

/// When a request is to be looked at next that was looked at at an instant.
fn next_after(
    request: &approval_request::Model,
    round: &approval_round::Model,
    timing: Timing,
    looked: Timestamp,
) -> Timestamp {
    let since = request.stage_since;
    let remind = (request.reminders < MOST_REMINDERS).then(|| {
        let number = request.reminders.saturating_add(1);
        since.plus_seconds(timing.remind_after.saturating_mul(number))
    });
    let escalate = Some(since.plus_seconds(timing.escalate_after));
    // When another stage's turn comes meanwhile, its own times begin then: none of them is earlier than this. Nor is the
    // last of any link that is sent from now on.
    let anyway = timing.remind_after.min(timing.escalate_after).min(LASTS_SECONDS);
    let anyway = Some(looked.plus_seconds(anyway));
    let next = [remind, escalate, anyway].into_iter().flatten().filter(|at| *at > looked).min();
    next.map_or(round.expires_at, |at| at.min(round.expires_at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bursar_domain::approval::RoundCause;
    use bursar_domain::id::{Id, OrganizationId, PackageVersionId, PolicyId, PoolId, PurchaseId};
    use bursar_domain::{Credits, Currency};

    const HOUR: i64 = 3_600;

    fn at(hours: i64) -> Timestamp {
        Timestamp::EPOCH.plus_seconds(hours * HOUR)
    }

    fn request(since: i64, reminders: i64) -> approval_request::Model {
        approval_request::Model {
            organization_id: OrganizationId::from_u128(1),
            id: ApprovalId::from_u128(2),
            purchase_id: PurchaseId::from_u128(3),
            pool_id: PoolId::from_u128(4),
            requested_by: UserId::from_u128(5),
            state: RequestState::Pending,
            round: 1,
            stage: 0,
            stage_since: at(since),
            reminders,
            ended_at: None,
            used_at: None,
            created_at: at(0),
        }
    }

    fn round(expires: i64) -> approval_round::Model {
        approval_round::Model {
            organization_id: OrganizationId::from_u128(1),
            request_id: ApprovalId::from_u128(2),
            round: 1,
            cause: RoundCause::Requested,
            policy_id: PolicyId::from_u128(6),
            rule: 0,
            rule_name: "R".to_owned(),
            stages: "[]".to_owned(),
            pool_id: PoolId::from_u128(4),
            package_version_id: PackageVersionId::from_u128(7),
            credits: Credits::ZERO,
            total: 1,
            currency: Currency::parse("USD").unwrap(),
            lifetime_days: None,
            requester: UserId::from_u128(5),
            only_owner: None,
            by_itself: false,
            valid_until: at(expires),
            content_hash: vec![0; 32],
            title: "T".to_owned(),
            reason_hash: None,
            expires_at: at(expires),
            created_at: at(0),
        }
    }

    #[test]
    fn the_next_look_is_for_what_comes_first() {
        let timing = Timing::default();
        let next = |since, reminders, looked| {
            next_after(&request(since, reminders), &round(7 * 24), timing, at(looked))
        };
        assert_eq!(next_due(&request(0, 0), &round(7 * 24), timing), Some(at(24)));
        assert_eq!(next(0, 1, 24), at(48));
        assert_eq!(next(0, 2, 48), at(72));
        assert_eq!(next(0, 6, 6 * 24), at(7 * 24), "the end comes before another reminder");
        assert_eq!(next(0, 6, 6 * 24 + 1), at(7 * 24));
        assert_eq!(next(0, 1, 30), at(48), "who looks early looks again");
        let ended = approval_request::Model { state: RequestState::Withdrawn, ..request(0, 0) };
        assert_eq!(next_due(&ended, &round(7 * 24), timing), None);
    }

    #[test]
    fn no_time_of_a_later_stage_is_missed() {
        // The only thing left in this stage is its end, and the next stage may begin at once.
        let timing =
            Timing { remind_after: 20 * 24 * HOUR, escalate_after: 24 * HOUR, expire_after: 30 * 24 * HOUR };
        let looked = next_after(&request(0, 0), &round(30 * 24), timing, at(24));
        assert_eq!(looked, at(48));
        let begun = request(25, 0);
        assert!(looked <= next_due(&begun, &round(30 * 24), timing).unwrap());
        assert_eq!(next_after(&begun, &round(30 * 24), timing, looked), at(49));
    }

    #[test]
    fn missed_reminders_come_as_one() {
        let timing = Timing::default();
        let counted = [0, 23, 24, 47, 48, 5 * 24].map(|hours| periods(&request(0, 0), timing, at(hours)));
        assert_eq!(counted, [0, 0, 1, 1, 2, 5]);
        assert_eq!(periods(&request(10, 0), timing, at(5)), 0, "another node's clock is behind");
        let hourly = Timing { remind_after: HOUR, ..timing };
        assert_eq!(periods(&request(0, 0), hourly, at(100)), MOST_REMINDERS);
        assert_eq!(next_after(&request(0, MOST_REMINDERS), &round(7 * 24), hourly, at(11)), at(12));
    }
}
