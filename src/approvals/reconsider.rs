//! A round looked at again as things stand now: a stage that lacks somebody is given to the owners, or they join it; and
//! whoever may decide and has not been asked is asked.

use std::collections::BTreeSet;

use bursar_domain::Timestamp;
use bursar_domain::approval::delegation::LONGEST_CHAIN;
use bursar_domain::approval::{Delegation, Escalation, EscalationReason, LinkKind, People, Round, Situation};
use bursar_domain::id::{ApprovalId, UserId};
use bursar_entity::{approval_escalation, approval_request, approval_round};
use sea_orm::{EntityTrait, IntoActiveModel};
use serde_json::json;

use super::links::{mailed, sent};
use super::mail::{MailCause, Told, ask, tell_also};
use super::{delegations, load_round, people, write_people};
use crate::audit::{self, Change};
use crate::auth::Actor;
use crate::changes::{self, Subject};
use crate::clock::Clock;
use crate::context::Context;
use crate::db::{Tenant, Txn};
use crate::error::Result;
use crate::global_id;

/// A round, and all that it is judged by, as of one instant.
pub(super) struct Judged {
    /// Its row.
    pub row: approval_round::Model,
    /// All that has happened in it.
    pub round: Round,
    people: People,
    delegations: Vec<Delegation>,
    now: Timestamp,
}

impl Judged {
    /// What the rules judge by.
    pub fn situation(&self) -> Situation<'_> {
        Situation { people: &self.people, delegations: &self.delegations, now: self.now }
    }
}

/// Reads a round of a request with all that it is judged by. The organization is locked.
///
/// # Errors
/// What the database answers.
pub(super) async fn judged(
    txn: &Txn,
    tenant: Tenant,
    (request, number): (ApprovalId, i64),
    now: Timestamp,
) -> Result<Judged> {
    let (row, round) = load_round(txn, tenant, request, number).await?;
    let people = people(txn, tenant).await?;
    let delegations = delegations(txn, tenant, round.opened_at).await?;
    Ok(Judged { row, round, people, delegations, now })
}

/// Lets the owners decide in the stage whose turn it is when those who may are too few: each for all, when so many there no
/// longer are, or with the others, when some stand in for whoever asks or have decided for somebody else. Answers what is to
/// be recorded of that. The request is locked.
///
/// # Errors
/// What the database answers.
pub(super) async fn escalate_unreachable(
    txn: &Txn,
    tenant: Tenant,
    request: ApprovalId,
    judged: &mut Judged,
) -> Result<Vec<Change>> {
    let Some(escalation) = judged.round.lacking(&judged.situation()) else { return Ok(Vec::new()) };
    let recorded = write_escalation(txn, tenant, (request, &judged.round), &escalation).await?;
    judged.round.escalations.push(escalation);
    Ok(vec![recorded])
}

/// Writes that owners may decide in a stage; answers what is to be recorded of it. `round` does not have it yet.
///
/// # Errors
/// What the database answers.
pub(super) async fn write_escalation(
    txn: &Txn,
    tenant: Tenant,
    (request, round): (ApprovalId, &Round),
    escalation: &Escalation,
) -> Result<Change> {
    let number = stored(round.escalations.len()).saturating_add(1);
    let row = approval_escalation::Model {
        organization_id: tenant.id(),
        request_id: request,
        round: round.number,
        number,
        stage: stored(escalation.stage),
        reason: escalation.reason,
        owners: write_people(&escalation.owners)?,
        sole_owner: escalation.sole_owner,
        created_at: escalation.at,
    };
    approval_escalation::Entity::insert(row.into_active_model()).exec_without_returning(txn).await?;
    let facts = json!({
        "round": round.number,
        "stage": escalation.stage,
        "reason": escalation.reason.as_str(),
        "owners": escalation.owners.iter().map(|id| global_id::encode(*id)).collect::<Vec<_>>(),
        "soleOwner": escalation.sole_owner,
    });
    Ok(Change::created("escalateApproval", request, facts))
}

/// A stage or a count as it is stored.
pub(super) fn stored(index: usize) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

/// Asks those who may decide in the stage whose turn it is, but for some: the holders of its seats, and whoever stands in
/// for one of them at the end of the chain. When nobody may decide, the owners are told.
///
/// # Errors
/// What the database answers.
pub(super) async fn ask_all(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    request: &approval_request::Model,
    (judged, but): (&Judged, &BTreeSet<UserId>),
) -> Result<()> {
    let (round, situation) = (&judged.round, judged.situation());
    let may = round.may_decide_now(&situation);
    if may.is_empty() {
        let owners = judged.people.owners();
        let owners: BTreeSet<UserId> = owners.difference(but).copied().collect();
        return ask(txn, tenant, clock, request, &owners, MailCause::Stuck).await;
    }
    let seated: BTreeSet<UserId> = round.seated(&situation).intersection(&may).copied().collect();
    let stand_ins: Vec<(UserId, UserId)> = round
        .seated(&situation)
        .into_iter()
        .filter_map(|holder| end_of_chain(holder, &judged.delegations, judged.now).map(|end| (holder, end)))
        .filter(|(_, end)| may.contains(end) && !seated.contains(end) && !but.contains(end))
        .collect();
    // The only owner, for what they have asked for themselves, has no seat.
    let holders = if seated.is_empty() && stand_ins.is_empty() { &may } else { &seated };
    let holders: BTreeSet<UserId> = holders.difference(but).copied().collect();
    let cause = match escalated(round, &situation) {
        Some(reason) => MailCause::Escalated(reason),
        None => MailCause::Asked,
    };
    if !holders.is_empty() {
        ask(txn, tenant, clock, request, &holders, cause).await?;
    }
    let mut asked = BTreeSet::new();
    for (for_whom, end) in stand_ins {
        // Whoever stands in for several gets one mail.
        if asked.insert(end) {
            ask(txn, tenant, clock, request, &BTreeSet::from([end]), MailCause::StandIn { for_whom }).await?;
        }
    }
    Ok(())
}

/// Tells of a round that replaces another one: those who have asked, and whoever had decided in that one or had a mail to
/// decide by, and has none now. Whoever is asked in the new one is, already.
///
/// # Errors
/// What the database answers.
pub(super) async fn tell_replaced(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    request: &approval_request::Model,
) -> Result<()> {
    let before = (request.id, request.round.saturating_sub(1));
    let (_, replaced) = load_round(txn, tenant, before.0, before.1).await?;
    let asked = mailed(txn, tenant, &[before], LinkKind::Decide).await?.into_values().flatten();
    let knew: BTreeSet<UserId> = asked.chain(replaced.decisions.iter().map(|decision| decision.by)).collect();
    let others = &knew - &sent(txn, tenant, request).await?;
    tell_also(txn, tenant, clock, (request, Told::NewRound), &others).await
}

/// Those of some people with a mail who need no other one: they may decide still, and how is as it says. Where the stage
/// whose turn it is was handed to owners by one of the last `new` escalations no owner's mail says that.
pub(super) fn informed(judged: &Judged, sent: &BTreeSet<UserId>, new: usize) -> BTreeSet<UserId> {
    let turn = judged.round.stage();
    let handed = |one: &Escalation| one.reason == EscalationReason::Unreachable && Some(one.stage) == turn;
    let is_new = judged.round.escalations.iter().rev().take(new).any(handed);
    let situation = judged.situation();
    let decides_for_all =
        |person: UserId| judged.round.seat_of(person, &situation).is_ok_and(|seat| seat.exception.is_some());
    let mut informed = sent & &judged.round.may_decide_now(&situation);
    informed.retain(|person| !is_new || !decides_for_all(*person));
    informed
}

/// Why owners may decide in the stage whose turn it is, if they may.
fn escalated(round: &Round, situation: &Situation<'_>) -> Option<EscalationReason> {
    let escalation = round.in_force(round.stage()?, situation)?;
    escalation.is_to_somebody().then_some(escalation.reason)
}

/// The last person of the chain of those who stand in for somebody now.
fn end_of_chain(holder: UserId, delegations: &[Delegation], now: Timestamp) -> Option<UserId> {
    let next = |of: UserId| {
        let active = delegations.iter().find(|known| known.delegator == of && known.is_active(now));
        active.map(|known| known.delegate)
    };
    let mut end = None;
    for _ in 0..LONGEST_CHAIN {
        match next(end.unwrap_or(holder)) {
            Some(person) if person != holder => end = Some(person),
            Some(_) | None => break,
        }
    }
    end
}

/// Writes changes to the log: what follows from rules by itself, in Bursar's own name, the rest in that of whoever acts.
/// The last thing that a transaction locks.
///
/// # Errors
/// [`crate::error::Error::Refused`] in an organization that may only read; what the database answers.
pub async fn record(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    actor: &Actor,
    recorded: Vec<Change>,
) -> Result<()> {
    let itself = Actor::system(actor.origin.clone());
    for change in recorded {
        let by_itself = matches!(change.action, "escalateApproval" | "revokeDelegation");
        audit::record(txn, tenant, clock, if by_itself { &itself } else { actor }, change).await?;
    }
    Ok(())
}

/// Tells of requests that have changed, and that there may be mail. After the commit.
pub fn announce(context: &Context, tenant: Tenant, requests: &[ApprovalId]) {
    if requests.is_empty() {
        return;
    }
    let change =
        |id: &ApprovalId| changes::Change { organization: tenant.id(), subject: Subject::Approval(*id) };
    context.changes.announce(&requests.iter().map(change).collect::<Vec<_>>());
    context.changes.announce_mail();
}
