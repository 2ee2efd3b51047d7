//! Opening a round: what exactly is asked for, and who may decide about it, is fixed and does not change with the policy or
//! the people any more. And the ends of a request that nobody decides: it is withdrawn, or what it allows is used.

use std::collections::BTreeSet;

use bursar_domain::Timestamp;
use bursar_domain::approval::machine;
use bursar_domain::approval::policy::PRICE_OUTLIVES;
use bursar_domain::approval::{
    Asked, Content, LinkKind, NotUsable, RequestState, RoundCause, Rule, Seats, Use,
};
use bursar_domain::id::{ApprovalId, PurchaseId, UserId};
use bursar_entity::{approval_policy, approval_request, approval_round, purchase};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect, Set, Unchanged};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::due::next_due;
use super::links::{mailed, sent, withdraw_links};
use super::mail::{Told, tell, tell_also};
use super::reasons;
use super::reconsider::{ask_all, escalate_unreachable, judged, tell_replaced};
use super::rounds::wanted_by;
use super::unpaid::tell_lapsed;
use super::{current_policy, find_of_purchase, lock_request, people, policy_of, write_seats};
use crate::audit::Change;
use crate::clock::Clock;
use crate::db::{Tenant, Txn};
use crate::error::{Conflict, Error, Result};
use crate::global_id;

/// A purchase that somebody has to agree to: by which policy, and by which of its rules.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The policy that is in force.
    pub policy: approval_policy::Model,
    /// The first of its rules that fits.
    pub rule: Rule,
    /// Which one that is, from 0.
    pub index: i64,
}

impl Wanted {
    /// Until when a price holds that is asked about at an instant: as long as it would anyway, and as long as deciding may
    /// take with some time to pay.
    pub fn price_until(&self, offered: Timestamp, now: Timestamp) -> Timestamp {
        let decided = now.plus_seconds(self.policy.expire_after);
        offered.max(decided.plus_seconds(PRICE_OUTLIVES))
    }
}

/// What a round is opened for.
#[derive(Clone, Copy, Debug)]
pub struct Submission<'s> {
    /// The purchase, as it is to be agreed to.
    pub purchase: &'s purchase::Model,
    /// Who asks in this round.
    pub requester: UserId,
    /// Whether the pool buys by itself, as whoever asks has set it.
    pub by_itself: bool,
    /// What it is opened by.
    pub cause: RoundCause,
    /// What is bought, in words.
    pub title: &'s str,
}

/// A round that was opened.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The request, as it is now.
    pub request: approval_request::Model,
    /// Its newest round.
    pub round: approval_round::Model,
    /// What is to be recorded.
    pub changes: Vec<Change>,
    /// When it is to be looked at.
    pub due_at: Timestamp,
}

/// Whether somebody has to agree to a purchase, and by which rule. The organization is locked.
///
/// # Errors
/// What the database answers.
pub async fn wanted(txn: &Txn, tenant: Tenant, asked: &Asked) -> Result<Option<Wanted>> {
    let Some(row) = current_policy(txn, tenant).await? else { return Ok(None) };
    let policy = policy_of(&row)?;
    let Some(index) = policy.rule_for(asked) else { return Ok(None) };
    let rule = policy.rules.into_iter().nth(index);
    let rule = rule.ok_or_else(|| Error::internal("a rule that the policy does not have"))?;
    let index = i64::try_from(index).map_err(|_| Error::internal("a policy with too many rules"))?;
    Ok(Some(Wanted { policy: row, rule, index }))
}

/// Opens a round about a purchase: the first one, or another one when it has changed. Organization and purchase are locked,
/// and the purchase is written as it is to be agreed to. Whoever may decide in the first stage is asked.
///
/// # Errors
/// [`Conflict::State`] when somebody has said no, or what was agreed to has been used; what the database answers.
pub async fn open(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    wanted: Wanted,
    submission: Submission<'_>,
) -> Result<Opened> {
    let Submission { purchase, requester, by_itself, cause, title } = submission;
    let now = clock.now();
    let known = match find_of_purchase(txn, tenant, purchase.id).await? {
        Some(row) => Some(lock_request(txn, tenant, row.id).await?),
        None => None,
    };
    let askers = askers(txn, tenant, purchase, known.as_ref().map(|row| row.id), requester).await?;
    let people = people(txn, tenant).await?;
    let seats = machine::seats(&wanted.rule, purchase.pool_id, &askers, &people);
    let request = ask_again(txn, tenant, clock, (purchase, known), now).await?;
    let content_hash = content_hash(&content(purchase, requester));
    let reason = reasons::of_round(txn, tenant, purchase, (request.id, request.round, requester)).await?;
    let round = approval_round::Model {
        organization_id: tenant.id(),
        request_id: request.id,
        round: request.round,
        cause,
        policy_id: wanted.policy.id,
        rule: wanted.index,
        rule_name: wanted.rule.name,
        stages: write_seats(&seats)?,
        pool_id: purchase.pool_id,
        package_version_id: purchase.package_version_id,
        credits: purchase.credits,
        total: purchase.total,
        currency: purchase.currency,
        lifetime_days: purchase.lifetime_days,
        requester,
        only_owner: people.only_owner(),
        by_itself,
        valid_until: purchase.valid_until,
        content_hash,
        title: title.to_owned(),
        reason_hash: reason.as_ref().and_then(reasons::digest),
        expires_at: now.plus_seconds(wanted.policy.expire_after),
        created_at: now,
    };
    approval_round::Entity::insert(round.clone().into_active_model()).exec_without_returning(txn).await?;
    reasons::keep(txn, reason).await?;
    let mut changes = vec![Change::created("openApproval", request.id, facts(&round, &seats))];
    let mut judged = judged(txn, tenant, (request.id, request.round), now).await?;
    changes.extend(escalate_unreachable(txn, tenant, request.id, &mut judged).await?);
    ask_all(txn, tenant, clock, &request, (&judged, &BTreeSet::new())).await?;
    if request.round > 1 {
        tell_replaced(txn, tenant, clock, &request).await?;
    }
    let timing = policy_of(&wanted.policy)?.timing;
    let due_at = next_due(&request, &round, timing).unwrap_or(round.expires_at);
    Ok(Opened { request, round, changes, due_at })
}

/// The request with a new round of it: a row of its own the first time. What was sent for earlier rounds leads nowhere any
/// more.
async fn ask_again(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    (purchase, known): (&purchase::Model, Option<approval_request::Model>),
    now: Timestamp,
) -> Result<approval_request::Model> {
    let Some(known) = known else {
        let first = approval_request::Model {
            organization_id: tenant.id(),
            id: clock.new_id::<ApprovalId>(),
            purchase_id: purchase.id,
            pool_id: purchase.pool_id,
            requested_by: purchase.requested_by,
            state: RequestState::Pending,
            round: 1,
            stage: 0,
            stage_since: now,
            reminders: 0,
            ended_at: None,
            used_at: None,
            created_at: now,
        };
        approval_request::Entity::insert(first.clone().into_active_model())
            .exec_without_returning(txn)
            .await?;
        return Ok(first);
    };
    if !known.state.may_reopen(known.used_at.is_some()) {
        return Err(closed(known.state, known.used_at.is_some()));
    }
    withdraw_links(txn, tenant, known.id, None, now).await?;
    let again = approval_request::Model {
        state: RequestState::Pending,
        round: known.round.saturating_add(1),
        stage: 0,
        stage_since: now,
        reminders: 0,
        ended_at: None,
        ..known
    };
    write_request(txn, &again).await?;
    Ok(again)
}

/// Everybody who has had a hand in what is asked for, whoever wanted the credits among them: nobody of them agrees to it.
async fn askers(
    txn: &Txn,
    tenant: Tenant,
    purchase: &purchase::Model,
    request: Option<ApprovalId>,
    requester: UserId,
) -> Result<BTreeSet<UserId>> {
    let mut askers = BTreeSet::from([requester, purchase.requested_by]);
    askers.extend(wanted_by(txn, tenant, [purchase.id]).await?.into_values());
    if let Some(request) = request {
        let before = tenant
            .find::<approval_round::Entity>()
            .select_only()
            .column(approval_round::Column::Requester)
            .filter(approval_round::Column::RequestId.eq(request))
            .into_tuple::<UserId>();
        askers.extend(before.all(txn).await?);
    }
    Ok(askers)
}

/// Why a request is at its end, as an error.
fn closed(state: RequestState, used: bool) -> Error {
    let reason = match (state, used) {
        (RequestState::Rejected, _) => "Somebody who was asked has said no. Request the purchase anew.",
        (_, true) => "What was agreed to has been bought.",
        (_, false) => "Nobody can be asked about this any more.",
    };
    Error::conflict(Conflict::State, "purchaseId", reason)
}

/// What the log says of a round.
fn facts(round: &approval_round::Model, seats: &[Seats]) -> serde_json::Value {
    let stage = |stage: &Seats| {
        json!({
            "name": stage.name,
            "quorum": stage.quorum,
            "eligible": stage.eligible.iter().map(|id| global_id::encode(*id)).collect::<Vec<_>>(),
        })
    };
    json!({
        "round": round.round,
        "cause": round.cause.as_str(),
        "policy": global_id::encode(round.policy_id),
        "rule": round.rule_name,
        "requester": global_id::encode(round.requester),
        "credits": round.credits.get(),
        "totalMinor": round.total,
        "currency": round.currency.code(),
        "lifetimeDays": round.lifetime_days,
        "contentHash": data_encoding::HEXLOWER.encode(&round.content_hash),
        "stages": seats.iter().map(stage).collect::<Vec<_>>(),
    })
}

/// A purchase as what is asked for.
pub(super) fn content(purchase: &purchase::Model, requester: UserId) -> Content {
    Content {
        pool: purchase.pool_id,
        package_version: purchase.package_version_id,
        credits: purchase.credits,
        total: purchase.total,
        currency: purchase.currency,
        lifetime_days: purchase.lifetime_days,
        requester,
        valid_until: purchase.valid_until,
    }
}

/// The digest that stands for what is asked for.
pub(super) fn content_hash(content: &Content) -> Vec<u8> {
    Sha256::digest(content.canonical().as_bytes()).to_vec()
}

/// Whether people who agree to a round agree to a purchase as it is: it is what the round is about, or costs less.
pub(super) fn is_what_was_asked(round: &approval_round::Model, purchase: &purchase::Model) -> bool {
    let asked = Content {
        pool: round.pool_id,
        package_version: round.package_version_id,
        credits: round.credits,
        total: round.total,
        currency: round.currency,
        lifetime_days: round.lifetime_days,
        requester: round.requester,
        valid_until: round.valid_until,
    };
    content_hash(&asked) == round.content_hash && asked.covers(&content(purchase, round.requester))
}

/// Ends the request about a purchase that is not to be bought so: it is withdrawn, or has run out. Answers what is to be
/// recorded; none: there is no request, or it has come to its end otherwise. Organization and purchase are locked.
///
/// # Errors
/// What the database answers.
pub async fn withdraw(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    purchase: PurchaseId,
    to: RequestState,
) -> Result<Option<Change>> {
    let Some(known) = find_of_purchase(txn, tenant, purchase).await? else { return Ok(None) };
    let before = lock_request(txn, tenant, known.id).await?;
    let over = matches!(before.state, RequestState::Rejected | RequestState::Withdrawn);
    if over || !before.state.may_become(to, before.used_at.is_some()) {
        return Ok(None);
    }
    let now = clock.now();
    let asked = sent(txn, tenant, &before).await?;
    let after = approval_request::Model { state: to, ended_at: Some(now), ..before.clone() };
    write_request(txn, &after).await?;
    withdraw_links(txn, tenant, after.id, None, now).await?;
    let action = if to == RequestState::Expired { "expireApproval" } else { "withdrawApproval" };
    match (before.state, to) {
        (RequestState::Pending, RequestState::Expired) => {
            tell(txn, tenant, clock, &after, Told::Expired).await?;
        }
        // Whoever still has a mail that asks is told that it does not any more.
        (RequestState::Pending, _) => {
            tell_also(txn, tenant, clock, (&after, Told::Withdrawn), &asked).await?;
        }
        // Whoever was sent to the checkout has to know as well that its price is over.
        (RequestState::Approved, RequestState::Expired) => {
            tell_lapsed(txn, tenant, clock, &after).await?;
        }
        // Or that it is not wanted any more.
        (RequestState::Approved, _) => {
            let payers = mailed(txn, tenant, &[(after.id, after.round)], LinkKind::Pay).await?;
            let payers: BTreeSet<UserId> = payers.into_values().flatten().collect();
            tell_also(txn, tenant, clock, (&after, Told::Withdrawn), &payers).await?;
        }
        _ => {}
    }
    let facts = |state: RequestState| json!({ "state": state.as_str(), "round": after.round });
    Ok(Some(Change::updated(action, after.id, facts(before.state), facts(to))))
}

/// Writes that the credits came in that people have agreed to, or an invoice for them is out: once. Answers by which round;
/// none: nobody's consent was needed. The purchase is locked.
///
/// # Errors
/// [`Conflict::State`] when that was so before; what the database answers.
pub async fn mark_used(
    txn: &Txn,
    tenant: Tenant,
    purchase: PurchaseId,
    now: Timestamp,
) -> Result<Option<i64>> {
    let Some(known) = find_of_purchase(txn, tenant, purchase).await? else { return Ok(None) };
    let before = lock_request(txn, tenant, known.id).await?;
    let is_used = before.used_at.is_some();
    match before.state.buy(is_used) {
        Ok(Use::Once) => {}
        Ok(Use::Unneeded) => return Ok(None),
        Err(NotUsable::Used | NotUsable::NotAgreed) => return Err(closed(before.state, is_used)),
    }
    let used = approval_request::Model { used_at: Some(now), ..before };
    write_request(txn, &used).await?;
    Ok(Some(used.round))
}

/// Writes what can change of a request.
pub(super) async fn write_request(txn: &Txn, row: &approval_request::Model) -> Result<()> {
    let row = approval_request::ActiveModel {
        organization_id: Unchanged(row.organization_id),
        id: Unchanged(row.id),
        state: Set(row.state),
        round: Set(row.round),
        stage: Set(row.stage),
        stage_since: Set(row.stage_since),
        reminders: Set(row.reminders),
        ended_at: Set(row.ended_at),
        used_at: Set(row.used_at),
        ..Default::default()
    };
    approval_request::Entity::update(row).exec_without_returning(txn).await?;
    Ok(())
}
