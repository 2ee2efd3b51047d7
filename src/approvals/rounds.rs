//! Policies, requests and rounds as the rules want to know them.

use std::collections::{BTreeMap, BTreeSet};

use bursar_domain::approval::{Decision, Escalation, Policy, Round, Timing};
use bursar_domain::id::{ApprovalId, CreditRequestId, PurchaseId, UserId};
use bursar_entity::{
    approval_decision, approval_escalation, approval_policy, approval_request, approval_round,
    credit_request, purchase,
};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder, QuerySelect};

use super::stored::{read_people, read_rules, read_seats};
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};

/// The policy that is in force. None: none was ever saved.
///
/// # Errors
/// What the database answers.
pub async fn current_policy(txn: &Txn, tenant: Tenant) -> Result<Option<approval_policy::Model>> {
    let newest = tenant.find::<approval_policy::Entity>().order_by_desc(approval_policy::Column::Version);
    Ok(newest.one(txn).await?)
}

/// What a version of a policy says.
///
/// # Errors
/// [`Error::Internal`] when its rules cannot be read.
pub fn policy_of(row: &approval_policy::Model) -> Result<Policy> {
    Ok(Policy {
        rules: read_rules(&row.rules)?,
        currency: row.currency,
        timing: Timing {
            remind_after: row.remind_after,
            escalate_after: row.escalate_after,
            expire_after: row.expire_after,
        },
        sign_in_above: row.sign_in_above,
        payer: row.payer,
        language: row.language,
    })
}

/// What the version of the policy says that a round was opened by.
///
/// # Errors
/// What the database answers.
pub async fn policy_of_round(txn: &Txn, tenant: Tenant, round: &approval_round::Model) -> Result<Policy> {
    let row = tenant
        .find::<approval_policy::Entity>()
        .filter(approval_policy::Column::Id.eq(round.policy_id))
        .one(txn)
        .await?;
    policy_of(&row.ok_or_else(|| Error::internal("a round without its policy"))?)
}

/// Locks a request. The organization is locked.
///
/// # Errors
/// [`Error::NotFound`]; what the database answers.
pub async fn lock_request(txn: &Txn, tenant: Tenant, id: ApprovalId) -> Result<approval_request::Model> {
    let row = tenant.find::<approval_request::Entity>().filter(approval_request::Column::Id.eq(id));
    row.lock_exclusive().one(txn).await?.ok_or(Error::not_found("approval request"))
}

/// The request about a purchase. None: nobody's consent was ever needed for it.
///
/// # Errors
/// What the database answers.
pub async fn find_of_purchase(
    txn: &Txn,
    tenant: Tenant,
    purchase: PurchaseId,
) -> Result<Option<approval_request::Model>> {
    let row =
        tenant.find::<approval_request::Entity>().filter(approval_request::Column::PurchaseId.eq(purchase));
    Ok(row.one(txn).await?)
}

/// One round of a request: its row, and all that has happened in it.
///
/// # Errors
/// [`Error::NotFound`] when there is no such round; what the database answers.
pub async fn load_round(
    txn: &Txn,
    tenant: Tenant,
    request: ApprovalId,
    number: i64,
) -> Result<(approval_round::Model, Round)> {
    let row = tenant
        .find::<approval_round::Entity>()
        .filter(approval_round::Column::RequestId.eq(request))
        .filter(approval_round::Column::Round.eq(number));
    let row = row.one(txn).await?.ok_or(Error::not_found("approval round"))?;
    let until_now = tenant
        .find::<approval_round::Entity>()
        .select_only()
        .column(approval_round::Column::Requester)
        .filter(approval_round::Column::RequestId.eq(request))
        .filter(approval_round::Column::Round.lte(number))
        .into_tuple::<UserId>();
    let mut askers: BTreeSet<UserId> = until_now.all(txn).await?.into_iter().collect();
    let first = tenant.find::<approval_request::Entity>().filter(approval_request::Column::Id.eq(request));
    if let Some(first) = first.one(txn).await? {
        askers.insert(first.requested_by);
        askers.extend(wanted_by(txn, tenant, [first.purchase_id]).await?.into_values());
    }
    let decisions = tenant
        .find::<approval_decision::Entity>()
        .filter(approval_decision::Column::RequestId.eq(request))
        .filter(approval_decision::Column::Round.eq(number))
        .order_by_asc(approval_decision::Column::Id);
    let decisions = decisions.all(txn).await?.into_iter().map(decision).collect::<Result<Vec<_>>>()?;
    let escalations = tenant
        .find::<approval_escalation::Entity>()
        .filter(approval_escalation::Column::RequestId.eq(request))
        .filter(approval_escalation::Column::Round.eq(number))
        .order_by_asc(approval_escalation::Column::Number);
    let escalations = escalations.all(txn).await?.iter().map(escalation).collect::<Result<Vec<_>>>()?;
    let round = Round {
        number,
        requester: row.requester,
        askers,
        only_owner: row.only_owner,
        pool: row.pool_id,
        opened_at: row.created_at,
        expires_at: row.expires_at,
        stages: read_seats(&row.stages)?,
        decisions,
        escalations,
    };
    Ok((row, round))
}

/// Whoever has asked in some round of a request: they see it, and hear what becomes of it. Whoever only wanted the credits has
/// asked for those, and sees what has become of that; the purchase need not be theirs to see.
///
/// # Errors
/// What the database answers.
pub async fn requesters(
    txn: &Txn,
    tenant: Tenant,
    request: &approval_request::Model,
) -> Result<BTreeSet<UserId>> {
    let rounds = tenant
        .find::<approval_round::Entity>()
        .select_only()
        .column(approval_round::Column::Requester)
        .filter(approval_round::Column::RequestId.eq(request.id))
        .into_tuple::<UserId>();
    Ok(rounds.all(txn).await?.into_iter().chain([request.requested_by]).collect())
}

/// Who has asked for the credits that some purchases are to bring, where that was not whoever buys: the credit request that a
/// purchase answers says so. They have asked for it as well, so they do not agree to it.
///
/// # Errors
/// What the database answers.
pub(super) async fn wanted_by(
    txn: &Txn,
    tenant: Tenant,
    purchases: impl IntoIterator<Item = PurchaseId>,
) -> Result<BTreeMap<PurchaseId, UserId>> {
    let rows = tenant.lookup::<purchase::Entity, _>(txn, purchase::Column::Id, purchases).await?;
    let answers: Vec<(PurchaseId, CreditRequestId)> =
        rows.into_iter().filter_map(|row| Some((row.id, row.credit_request_id?))).collect();
    let ids: Vec<CreditRequestId> = answers.iter().map(|(_, id)| *id).collect();
    let requests = tenant.lookup::<credit_request::Entity, _>(txn, credit_request::Column::Id, ids).await?;
    let by: BTreeMap<CreditRequestId, UserId> =
        requests.into_iter().map(|row| (row.id, row.requested_by)).collect();
    Ok(answers.into_iter().filter_map(|(purchase, id)| Some((purchase, *by.get(&id)?))).collect())
}

/// A decision as it is stored.
pub(super) fn decision(row: approval_decision::Model) -> Result<Decision> {
    Ok(Decision {
        stage: index(row.stage)?,
        by: row.decided_by,
        seat: row.seat,
        choice: row.choice,
        exception: row.exception,
        at: row.created_at,
    })
}

/// An escalation as it is stored.
pub(super) fn escalation(row: &approval_escalation::Model) -> Result<Escalation> {
    let owners: BTreeSet<_> = read_people(&row.owners)?;
    Ok(Escalation {
        stage: index(row.stage)?,
        reason: row.reason,
        owners,
        sole_owner: row.sole_owner,
        at: row.created_at,
    })
}

fn index(stage: i64) -> Result<usize> {
    usize::try_from(stage).map_err(|_| Error::internal("a stage before the first"))
}
