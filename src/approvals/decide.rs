//! A decision: whether it can be taken, and what comes of it. The rules are `bursar_domain::approval`'s; here a row is
//! written, the next stage is asked, or the request comes to its end.
//!
//! # Order of checks
//! The key first, so that a repetition is told what it did. Of a link then: whether it leads anywhere still, whether one has
//! to be signed in, and the code; so whoever cannot know the code learns nothing of who may decide.

use std::collections::BTreeSet;
use std::sync::Arc;

use bursar_domain::approval::round::WRONG_CODES;
use bursar_domain::approval::{
    Choice, DecisionException, DecisionWay, LinkKind, LinkOver, NotApprovable, Outcome, Policy, RequestState,
    Verdict,
};
use bursar_domain::id::{ApprovalId, ApprovalLinkId, DecisionId, UserId};
use bursar_domain::ledger::chain::Canonical;
use bursar_entity::{approval_decision, approval_link, approval_request, approval_round, purchase};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};
use serde_json::json;

use super::links::{lock_link, replaced_at, sent, state_of, withdraw_links, write_link, wrong_code};
use super::mail::{Told, tell};
use super::reasons;
use super::reconsider::{Judged, ask_all, escalate_unreachable, judged, stored};
use super::seen::Tried;
use super::submit::{is_what_was_asked, write_request};
use super::{APPROVAL_DUE, lock_request, policy_of_round};
use crate::audit::Change;
use crate::auth::Keys;
use crate::clock::Clock;
use crate::db::{Tenant, Txn, be_due};
use crate::error::{Error, Result};
use crate::global_id;
use crate::idempotency::Idempotency;

/// What somebody decides.
#[derive(Clone, Debug)]
pub struct Decide {
    /// About which request.
    pub request: ApprovalId,
    /// About which round of it: what they have seen.
    pub round: i64,
    /// What.
    pub choice: Choice,
    /// Why. A no needs a reason.
    pub reason: Option<String>,
    /// Whether the only owner says that they know what they do.
    pub sole_owner: bool,
    /// How it comes in.
    pub by: By,
}

/// How a decision comes in.
#[derive(Clone)]
pub enum By {
    /// Through the API, by whoever has signed in.
    Api {
        /// The client's idempotency key.
        key: String,
        /// Whether the person has signed in by what the organization has for them: by its provider where that is believed about
        /// their address.
        vouched: bool,
    },
    /// By the page that a mail leads to.
    Link {
        /// Which link.
        link: ApprovalLinkId,
        /// The code that was entered.
        code: String,
        /// Whether the person has signed in.
        session: bool,
    },
}

/// Without the code.
impl std::fmt::Debug for By {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            By::Api { .. } => f.write_str("Api"),
            By::Link { link, .. } => write!(f, "Link({link:?})"),
        }
    }
}

/// What has become of a decision.
#[derive(Clone, Debug)]
pub enum Decided {
    /// It is taken.
    Taken(Box<Taken>),
    /// It was taken before, under the same key.
    Replayed(Box<Taken>),
    /// It cannot be taken.
    Refused(NotApprovable),
    /// The code was wrong.
    WrongCode {
        /// How often another one can be tried.
        left: i64,
    },
    /// The link is no longer good.
    LinkOver(LinkOver),
}

/// A decision that was taken.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The request, as it is now.
    pub request: approval_request::Model,
    /// The decision.
    pub decision: approval_decision::Model,
    /// What has come of it.
    pub outcome: Outcome,
    /// What is to be recorded.
    pub changes: Vec<Change>,
    /// All of it, when it was only tried.
    pub tried: Option<Arc<Tried>>,
}

/// Decides in a person's name. Organization and purchase are locked. Nothing is written when it is refused, but that a
/// wrong code was entered.
///
/// # Errors
/// [`Error::IdempotencyConflict`]; not found, when there is no such request, or the link is another person's or leads
/// elsewhere; what the database answers.
pub async fn decide_in(
    txn: &Txn,
    (tenant, person): (Tenant, UserId),
    clock: &Clock,
    keys: &Keys,
    purchase: &purchase::Model,
    decide: &Decide,
) -> Result<Decided> {
    let request = lock_request(txn, tenant, decide.request).await?;
    let idempotency = idempotency(person, decide);
    if let Some(known) = find_by_key(txn, tenant, idempotency).await? {
        return match &decide.by {
            By::Link { .. } => Ok(Decided::Refused(NotApprovable::DecidedByYou)),
            By::Api { .. } if known.request_hash != idempotency.request => Err(Error::IdempotencyConflict),
            By::Api { .. } => {
                if !reasons::is_said(txn, tenant, &known, decide.reason.as_deref()).await? {
                    return Err(Error::IdempotencyConflict);
                }
                let (outcome, changes) = (outcome_of(&request, &known), Vec::new());
                let taken = Taken { request, decision: known, outcome, changes, tried: None };
                Ok(Decided::Replayed(Box::new(taken)))
            }
        };
    }
    let now = clock.now();
    let link = match &decide.by {
        By::Api { .. } => None,
        By::Link { link, .. } => Some(own_link(txn, tenant, *link, (person, decide)).await?),
    };
    if decide.round != request.round {
        return Ok(Decided::Refused(NotApprovable::StaleRound));
    }
    if let Some(reason) = ended(request.state) {
        return Ok(Decided::Refused(reason));
    }
    let mut judged = judged(txn, tenant, (request.id, request.round), now).await?;
    if let (Some(link), By::Link { code, session, .. }) = (&link, &decide.by) {
        // However they have: by another link, say.
        if judged.round.decisions.iter().any(|known| known.by == person) {
            return Ok(Decided::Refused(NotApprovable::DecidedByYou));
        }
        if let Some(over) = state_of(link, now) {
            return Ok(Decided::LinkOver(over));
        }
        if !*session && needs_sign_in(&policy_of_round(txn, tenant, &judged.row).await?, &judged.row) {
            return Ok(Decided::Refused(NotApprovable::SignInRequired));
        }
        if let Some(left) = wrong_code(txn, keys, link, code).await? {
            if left == 0 {
                // Its person is not left without one.
                let timing = policy_of_round(txn, tenant, &judged.row).await?.timing;
                let ended = approval_link::Model { wrong_codes: WRONG_CODES, ..link.clone() };
                let at = replaced_at(&ended, timing.remind_after, judged.row.expires_at);
                be_due(txn, tenant, APPROVAL_DUE, request.id, at.unwrap_or(judged.row.expires_at)).await?;
            }
            return Ok(Decided::WrongCode { left });
        }
    }
    if !is_what_was_asked(&judged.row, purchase) {
        tracing::error!(request = %global_id::encode(request.id), "a purchase is not what its round is about");
        return Ok(Decided::Refused(NotApprovable::StaleRound));
    }
    let verdict = judged.round.decide(person, decide.choice, decide.sole_owner, &judged.situation());
    let verdict = match verdict {
        Ok(verdict) => verdict,
        Err(reason) => return Ok(Decided::Refused(reason)),
    };
    // As the page says it: who reads the person's mail does not decide about so much.
    if matches!(&decide.by, By::Api { vouched: false, .. })
        && needs_sign_in(&policy_of_round(txn, tenant, &judged.row).await?, &judged.row)
    {
        return Ok(Decided::Refused(NotApprovable::SignInRequired));
    }
    let Verdict { decision: taken, outcome } = verdict;
    let way = match &decide.by {
        By::Api { .. } => DecisionWay::Api,
        By::Link { session: true, .. } => DecisionWay::SignedInLink,
        By::Link { session: false, .. } => DecisionWay::Link,
    };
    let reason = reasons::of_decision(tenant, &judged.row, taken.by, decide.reason.as_deref())?;
    let decision = approval_decision::Model {
        organization_id: tenant.id(),
        id: clock.new_id::<DecisionId>(),
        request_id: request.id,
        round: request.round,
        stage: stored(taken.stage),
        choice: taken.choice,
        decided_by: taken.by,
        seat: taken.seat,
        exception: taken.exception,
        way,
        link_id: link.as_ref().map(|link| link.id),
        reason_hash: reason.as_ref().and_then(reasons::digest),
        idempotency_key: idempotency.key,
        request_hash: idempotency.request,
        created_at: taken.at,
    };
    approval_decision::Entity::insert(decision.clone().into_active_model())
        .exec_without_returning(txn)
        .await?;
    reasons::keep(txn, reason).await?;
    if let Some(link) = link {
        write_link(txn, &approval_link::Model { used_at: Some(now), ..link }).await?;
    }
    // What else was sent to the same person leads nowhere any more.
    withdraw_links(txn, tenant, request.id, Some(&BTreeSet::from([person])), now).await?;
    judged.round.decisions.push(taken);
    let mut changes = vec![told(&judged, &decision, decide.reason.as_deref())];
    let (request, more) = follow(txn, tenant, clock, request, (&mut judged, outcome)).await?;
    changes.extend(more);
    Ok(Decided::Taken(Box::new(Taken { request, decision, outcome, changes, tried: None })))
}

/// The key of a decision, and what it says: without the reason, which is compared by its salted digest. Everybody has keys
/// of their own: whoever uses one that somebody else has used repeats nothing.
fn idempotency(person: UserId, decide: &Decide) -> Idempotency {
    let mut form = Canonical::of("decision");
    form.id(decide.request).number(decide.round).text(decide.choice.as_str());
    form.number(i64::from(decide.sole_owner));
    match &decide.by {
        By::Api { key, .. } => {
            Idempotency::new("decideApproval", &format!("{} {key}", global_id::encode(person)), &form)
        }
        // Every link can be used once.
        By::Link { link, .. } => Idempotency::new("decideByLink", &global_id::encode(*link), &form),
    }
}

async fn find_by_key(
    txn: &Txn,
    tenant: Tenant,
    idempotency: Idempotency,
) -> Result<Option<approval_decision::Model>> {
    let known = approval_decision::Column::IdempotencyKey.eq(idempotency.key);
    Ok(tenant.find::<approval_decision::Entity>().filter(known).one(txn).await?)
}

/// What has come of a decision that was taken before, as far as that can be seen now.
fn outcome_of(request: &approval_request::Model, known: &approval_decision::Model) -> Outcome {
    let same = request.round == known.round;
    match (known.choice, request.state) {
        (Choice::Reject, _) => Outcome::Rejected,
        (Choice::Approve, RequestState::Approved) if same => {
            let sole_owner = known.exception == Some(DecisionException::SoleOwner);
            Outcome::Approved { sole_owner }
        }
        (Choice::Approve, _) => Outcome::Recorded,
    }
}

/// The link by which somebody decides, locked.
async fn own_link(
    txn: &Txn,
    tenant: Tenant,
    id: ApprovalLinkId,
    (person, decide): (UserId, &Decide),
) -> Result<approval_link::Model> {
    let row = lock_link(txn, tenant, id).await?;
    let own = row.kind == LinkKind::Decide
        && row.user_id == person
        && row.request_id == decide.request
        && row.round == decide.round;
    if own { Ok(row) } else { Err(Error::not_found("approval link")) }
}

/// Why a request that has come to its end cannot be decided about.
pub(super) const fn ended(state: RequestState) -> Option<NotApprovable> {
    match state {
        RequestState::Pending => None,
        RequestState::Approved => Some(NotApprovable::Approved),
        RequestState::Rejected => Some(NotApprovable::Rejected),
        RequestState::Expired => Some(NotApprovable::Expired),
        RequestState::Withdrawn => Some(NotApprovable::Withdrawn),
    }
}

/// Whether so much is asked for that one has to be signed in. The limit itself is not above it; an amount in another
/// currency than the policy's is above every limit.
pub fn needs_sign_in(policy: &Policy, round: &approval_round::Model) -> bool {
    policy.sign_in_above.is_some_and(|most| policy.currency != Some(round.currency) || round.total > most)
}

/// What the log says of a decision. The reason is a value that can be emptied.
fn told(judged: &Judged, decision: &approval_decision::Model, reason: Option<&str>) -> Change {
    let approved = judged
        .round
        .decisions
        .iter()
        .filter(|known| stored(known.stage) == decision.stage && known.choice == Choice::Approve);
    let approved = stored(approved.count());
    let left = match usize::try_from(decision.stage) {
        Ok(stage) if !judged.round.is_rejected() && !judged.round.is_satisfied(stage) => {
            let quorum = judged.round.stages.get(stage).map_or(0, |stage| stage.quorum);
            quorum.saturating_sub(approved).max(0)
        }
        Ok(_) | Err(_) => 0,
    };
    let action = match decision.choice {
        Choice::Approve => "approvePurchase",
        Choice::Reject => "rejectPurchase",
    };
    let facts = json!({
        "round": decision.round,
        "stage": decision.stage,
        "choice": decision.choice.as_str(),
        "seat": global_id::encode(decision.seat),
        "way": decision.way.as_str(),
        "exception": decision.exception.as_ref().map(DecisionException::as_str),
        "stillNeeded": left,
    });
    let in_name_of = (decision.seat != decision.decided_by).then_some(decision.seat);
    let change = Change::created(action, decision.request_id, facts).on_behalf_of(in_name_of);
    match reason {
        Some(reason) => change.about(Some(decision.decided_by), reasons::REASON, reason),
        None => change,
    }
}

/// Does what follows from a decision, which is in the round already. Answers the request as it is then.
async fn follow(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    request: approval_request::Model,
    (judged, outcome): (&mut Judged, Outcome),
) -> Result<(approval_request::Model, Vec<Change>)> {
    let now = clock.now();
    match outcome {
        Outcome::Recorded => {
            // Somebody has spent the one decision that they have.
            let changes = escalate_unreachable(txn, tenant, request.id, judged).await?;
            // That nobody is left who may is told, too.
            let nobody = judged.round.may_decide_now(&judged.situation()).is_empty();
            if nobody || !changes.is_empty() {
                let sent = sent(txn, tenant, &request).await?;
                ask_all(txn, tenant, clock, &request, (&*judged, &sent)).await?;
            }
            Ok((request, changes))
        }
        Outcome::StageDone { next } => {
            let after =
                approval_request::Model { stage: stored(next), stage_since: now, reminders: 0, ..request };
            write_request(txn, &after).await?;
            // What was sent for the stage that is done leads nowhere any more.
            withdraw_links(txn, tenant, after.id, None, now).await?;
            let changes = escalate_unreachable(txn, tenant, after.id, judged).await?;
            ask_all(txn, tenant, clock, &after, (&*judged, &BTreeSet::new())).await?;
            Ok((after, changes))
        }
        Outcome::Approved { .. } => {
            // Who has asked hears of it with what follows: by whom it is paid, or that the credits are in. A pool that buys
            // by itself pays without anybody.
            let told = judged.row.by_itself.then_some(Told::Approved);
            Ok((end(txn, tenant, clock, request, (RequestState::Approved, told)).await?, Vec::new()))
        }
        Outcome::Rejected => {
            let ended = (RequestState::Rejected, Some(Told::Rejected));
            Ok((end(txn, tenant, clock, request, ended).await?, Vec::new()))
        }
    }
}

/// Ends a request by a decision, and tells those who have asked, when there is something to be told.
async fn end(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    request: approval_request::Model,
    (state, told): (RequestState, Option<Told>),
) -> Result<approval_request::Model> {
    let now = clock.now();
    let after = approval_request::Model { state, ended_at: Some(now), ..request };
    write_request(txn, &after).await?;
    withdraw_links(txn, tenant, after.id, None, now).await?;
    if let Some(told) = told {
        tell(txn, tenant, clock, &after, told).await?;
    }
    Ok(after)
}
