//! Looking requests for approval up. Whoever may read those of the pool may, and so may whoever has asked and whoever is
//! asked: that is said by the request itself, not by a grant.

use std::collections::BTreeSet;

use bursar_domain::approval::delegation::LONGEST_CHAIN;
use bursar_domain::id::{ApprovalId, UserId};
use bursar_domain::permission::{Action, Grant, permits};
use bursar_entity::{
    approval_decision, approval_delegation, approval_escalation, approval_request, approval_round,
};
use sea_orm::{ColumnTrait, QueryFilter};

use super::rights::Target;
use super::{Authorized, Caller};
use crate::db::{Snapshots, Tenant, Txn};
use crate::error::{Error, Result};
use crate::global_id;

impl Caller {
    /// A request for approval, for an action on it: the grants on its pool count, and that one has asked or is asked.
    ///
    /// # Errors
    /// Not found for whoever may not see it; [`Error::Forbidden`] for what only those may do who are asked.
    pub async fn approval(
        &self,
        snapshots: &Snapshots,
        id: ApprovalId,
        action: Action,
    ) -> Result<Authorized<approval_request::Model>> {
        let condition = approval_request::Column::Id.eq(id);
        let row = self.find_row::<approval_request::Entity>(snapshots, None, condition).await?;
        let row = row.ok_or(Error::not_found("approval request"))?;
        let organization = row.organization_id;
        let target = Target::Pool(row.pool_id, &[]);
        if self.allowed(organization, action, target) {
            return Ok(self.authorized(organization, row));
        }
        let person = self.person().filter(|_| self.memberships.contains_key(&organization));
        let (asked, own) = match person {
            Some(person) => {
                let tenant = Tenant::vouched(organization); // the caller belongs to it
                let snapshot = snapshots.open(tenant).await?;
                let asked = is_asked(&snapshot, tenant, &row, person.id).await?;
                (asked, has_asked(&snapshot, tenant, &row, person.id).await?)
            }
            None => (false, false),
        };
        if asked && permits(Grant::Approver, action) {
            return Ok(self.authorized(organization, row));
        }
        if own && action == Action::ReadApprovals {
            return Ok(self.authorized(organization, row));
        }
        let seen = own || asked || self.allowed(organization, Action::ReadApprovals, target);
        Err(if seen { Error::Forbidden } else { Error::not_found("approval request") })
    }

    /// A request for approval, and the person who wants to decide about it: a member of the organization who may see it.
    /// Whether they may decide is looked at in the transaction of the decision, which says why not.
    ///
    /// # Errors
    /// Not found for whoever may not see it, and for the vendor's staff; [`Error::Forbidden`] for keys.
    pub async fn approval_to_decide(
        &self,
        snapshots: &Snapshots,
        id: ApprovalId,
    ) -> Result<(Authorized<approval_request::Model>, UserId)> {
        let request = self.approval(snapshots, id, Action::ReadApprovals).await?;
        let person = self.person().ok_or(Error::Forbidden)?.id;
        match self.memberships.contains_key(&request.organization_id) {
            true => Ok((request, person)),
            false => Err(Error::not_found("approval request")),
        }
    }
}

/// Whether a person has asked in some round of a request.
async fn has_asked(
    txn: &Txn,
    tenant: Tenant,
    request: &approval_request::Model,
    person: UserId,
) -> Result<bool> {
    let own = tenant
        .find::<approval_round::Entity>()
        .filter(approval_round::Column::RequestId.eq(request.id))
        .filter(approval_round::Column::Requester.eq(person));
    Ok(request.requested_by == person || own.one(txn).await?.is_some())
}

/// Whether a person is asked to decide in some round of a request, or was, or stands in for somebody who is; or has decided.
async fn is_asked(
    txn: &Txn,
    tenant: Tenant,
    request: &approval_request::Model,
    person: UserId,
) -> Result<bool> {
    let decided = tenant
        .find::<approval_decision::Entity>()
        .filter(approval_decision::Column::RequestId.eq(request.id))
        .filter(approval_decision::Column::DecidedBy.eq(person));
    if decided.one(txn).await?.is_some() {
        return Ok(true);
    }
    // Those who may decide are written as JSON arrays of global ids, which nothing else in there looks like.
    let names = in_whose_name(txn, tenant, request, person).await?;
    let names: Vec<String> = names.into_iter().map(|id| format!("\"{}\"", global_id::encode(id))).collect();
    let named = |text: &str| names.iter().any(|name| text.contains(name.as_str()));
    let rounds =
        tenant.find::<approval_round::Entity>().filter(approval_round::Column::RequestId.eq(request.id));
    if rounds.all(txn).await?.iter().any(|round| named(&round.stages)) {
        return Ok(true);
    }
    let escalations = tenant
        .find::<approval_escalation::Entity>()
        .filter(approval_escalation::Column::RequestId.eq(request.id));
    Ok(escalations.all(txn).await?.iter().any(|escalation| named(&escalation.owners)))
}

/// The person, and those for whom they stand in, or did since the request was made.
async fn in_whose_name(
    txn: &Txn,
    tenant: Tenant,
    request: &approval_request::Model,
    person: UserId,
) -> Result<BTreeSet<UserId>> {
    let since = request.created_at;
    let delegations =
        tenant.find::<approval_delegation::Entity>().filter(approval_delegation::Column::EndsAt.gt(since));
    let mut delegations = delegations.all(txn).await?;
    delegations.retain(|row| row.revoked_at.is_none_or(|at| at > since));
    let mut names = BTreeSet::from([person]);
    for _ in 0..LONGEST_CHAIN {
        let more = delegations.iter().filter(|row| names.contains(&row.delegate)).map(|row| row.delegator);
        let more: Vec<UserId> = more.collect();
        names.extend(more);
    }
    Ok(names)
}
