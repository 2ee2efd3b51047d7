//! Rounds as they are looked at: many at a time, with what they are judged by; and who sees which of them because they
//! are asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bursar_domain::Timestamp;
use bursar_domain::approval::{
    Decision, Delegation, Escalation, NotApprovable, People, RequestState, Round, Situation, stand_ins,
};
use bursar_domain::id::{ApprovalId, PurchaseId, UserId};
use bursar_entity::{approval_decision, approval_escalation, approval_request, approval_round, purchase};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};

use super::reasons::{Reasons, reasons_of};
use super::rounds::{decision, escalation, find_of_purchase, wanted_by};
use super::{delegations, people, read_seats};
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};

/// A round, with what it is judged by.
#[derive(Clone, Debug)]
pub struct SeenRound {
    /// Its row.
    pub row: approval_round::Model,
    /// All that has happened in it.
    pub round: Round,
    /// Its decisions as they are stored, in the order of the round's.
    pub decisions: Vec<approval_decision::Model>,
    /// What people have said in it, where it was only tried: nobody can read that afterwards.
    pub reasons: Option<Reasons>,
    people: Arc<People>,
    delegations: Arc<Vec<Delegation>>,
}

impl SeenRound {
    /// What the rules judge it by at an instant.
    pub fn situation(&self, now: Timestamp) -> Situation<'_> {
        Situation { people: &self.people, delegations: &self.delegations, now }
    }

    /// Why somebody may not decide in it. None: they may.
    pub fn why_not(&self, person: UserId, now: Timestamp) -> Option<NotApprovable> {
        self.round.seat_of(person, &self.situation(now)).err()
    }

    /// Whoever is asked in a stage as things stand: those who are named, and the owners who have joined them or to whom it
    /// is given. Whether they have decided does not matter.
    pub fn asked_in(&self, stage: usize, now: Timestamp) -> BTreeSet<UserId> {
        let situation = self.situation(now);
        let mut asked = self.round.asked_in(stage, &situation);
        if self.round.handed(stage, &situation).is_some_and(|escalation| escalation.sole_owner) {
            // Who has asked for it.
            asked.extend(self.people.owners());
        }
        asked
    }

    /// Why owners may decide in a stage as things stand. None: they may only where they are named.
    pub fn escalated(&self, stage: usize, now: Timestamp) -> Option<&Escalation> {
        self.round.in_force(stage, &self.situation(now))
    }

    /// Whether somebody is asked in one of its stages, or stands in for somebody who is.
    fn concerns(&self, person: UserId, now: Timestamp) -> bool {
        let counts = |one: &Delegation| one.is_active(now) && self.people.may_decide(one.delegate);
        let in_name_of =
            |asked: UserId| asked == person || stand_ins(asked, &self.delegations, counts).contains(&person);
        let excluded = self.round.excluded(&self.situation(now));
        let mut asked = (0..self.round.stages.len()).flat_map(|stage| self.asked_in(stage, now));
        self.people.may_decide(person) && !excluded.contains(&person) && asked.any(in_name_of)
    }
}

/// What a purchase, and what people are asked about it, would be if what was only tried were done.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The purchase.
    pub purchase: purchase::Model,
    /// The request.
    pub request: approval_request::Model,
    /// Its rounds, oldest first.
    pub rounds: Vec<Arc<SeenRound>>,
}

impl Tried {
    /// The newest round.
    ///
    /// # Errors
    /// [`Error::Internal`]: there is always one.
    pub fn newest(&self) -> Result<Arc<SeenRound>> {
        self.rounds.last().cloned().ok_or_else(|| Error::internal("a request without its round"))
    }
}

/// Looks at a purchase, and what people are asked about it, in a transaction that is undone afterwards. None: nobody is
/// asked.
///
/// # Errors
/// What the database answers.
pub async fn tried(txn: &Txn, tenant: Tenant, purchase: PurchaseId) -> Result<Option<Arc<Tried>>> {
    let Some(request) = find_of_purchase(txn, tenant, purchase).await? else { return Ok(None) };
    let row = tenant.find::<purchase::Entity>().filter(purchase::Column::Id.eq(purchase)).one(txn).await?;
    let purchase = row.ok_or(Error::not_found("purchase"))?;
    let numbers: Vec<(ApprovalId, i64)> = (1..=request.round).map(|number| (request.id, number)).collect();
    let mut rounds = look_at(txn, tenant, &numbers).await?;
    rounds.sort_by_key(|seen| seen.row.round);
    let mut said = reasons_of(txn, tenant, [request.id]).await?;
    for seen in &mut rounds {
        seen.reasons = Some(said.remove(&(request.id, seen.row.round)).unwrap_or_default());
    }
    Ok(Some(Arc::new(Tried { purchase, request, rounds: rounds.into_iter().map(Arc::new).collect() })))
}

/// Some rounds of some requests, in no order. What is not there is left out.
///
/// # Errors
/// What the database answers.
pub async fn look_at(txn: &Txn, tenant: Tenant, wanted: &[(ApprovalId, i64)]) -> Result<Vec<SeenRound>> {
    let ids: BTreeSet<ApprovalId> = wanted.iter().map(|(request, _)| *request).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let requests =
        tenant.lookup::<approval_request::Entity, _>(txn, approval_request::Column::Id, ids.clone()).await?;
    let rounds = tenant
        .find::<approval_round::Entity>()
        .filter(approval_round::Column::RequestId.is_in(ids.clone()))
        .all(txn)
        .await?;
    let decisions = tenant
        .find::<approval_decision::Entity>()
        .filter(approval_decision::Column::RequestId.is_in(ids.clone()))
        .order_by_asc(approval_decision::Column::Id)
        .all(txn)
        .await?;
    let escalations = tenant
        .find::<approval_escalation::Entity>()
        .filter(approval_escalation::Column::RequestId.is_in(ids))
        .order_by_asc(approval_escalation::Column::Number)
        .all(txn)
        .await?;
    let wanted_by = wanted_by(txn, tenant, requests.iter().map(|row| row.purchase_id)).await?;
    let first: BTreeMap<ApprovalId, Vec<UserId>> = requests
        .into_iter()
        .map(|row| {
            let wanted = wanted_by.get(&row.purchase_id).copied();
            (row.id, wanted.into_iter().chain([row.requested_by]).collect())
        })
        .collect();
    let since = rounds.iter().map(|row| row.created_at).min().unwrap_or(Timestamp::from_micros(i64::MAX));
    let people = Arc::new(people(txn, tenant).await?);
    let delegations = Arc::new(delegations(txn, tenant, since).await?);
    let mut seen = Vec::with_capacity(wanted.len());
    for row in rounds.iter().filter(|row| wanted.contains(&(row.request_id, row.round))) {
        let of = (row.request_id, row.round);
        let asked = rounds.iter().filter(|other| other.request_id == of.0 && other.round <= of.1);
        let first = first.get(&of.0).into_iter().flatten().copied();
        let askers = asked.map(|other| other.requester).chain(first).collect();
        let own: Vec<_> = decisions.iter().filter(|one| (one.request_id, one.round) == of).cloned().collect();
        let escalated = escalations.iter().filter(|one| (one.request_id, one.round) == of);
        let round = Round {
            number: row.round,
            requester: row.requester,
            askers,
            only_owner: row.only_owner,
            pool: row.pool_id,
            opened_at: row.created_at,
            expires_at: row.expires_at,
            stages: read_seats(&row.stages)?,
            decisions: own.iter().cloned().map(decision).collect::<Result<Vec<Decision>>>()?,
            escalations: escalated.map(escalation).collect::<Result<Vec<Escalation>>>()?,
        };
        let (people, delegations) = (people.clone(), delegations.clone());
        seen.push(SeenRound { row: row.clone(), round, decisions: own, reasons: None, people, delegations });
    }
    Ok(seen)
}

/// The requests that somebody is asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AskedAbout {
    /// Those that they may decide about now.
    pub decidable: Vec<ApprovalId>,
    /// Those that wait for somebody, where they are asked in some stage, or stand in for somebody who is.
    pub concerning: Vec<ApprovalId>,
}

/// The requests that a person is asked about.
///
/// # Errors
/// What the database answers.
pub async fn asked_of(txn: &Txn, tenant: Tenant, person: UserId, now: Timestamp) -> Result<AskedAbout> {
    let pending = tenant
        .find::<approval_request::Entity>()
        .filter(approval_request::Column::State.eq(RequestState::Pending))
        .all(txn)
        .await?;
    let newest: Vec<_> = pending.into_iter().map(|row| (row.id, row.round)).collect();
    let mut found = AskedAbout::default();
    for seen in look_at(txn, tenant, &newest).await? {
        if seen.why_not(person, now).is_none() {
            found.decidable.push(seen.row.request_id);
        }
        if seen.concerns(person, now) {
            found.concerning.push(seen.row.request_id);
        }
    }
    Ok(found)
}
