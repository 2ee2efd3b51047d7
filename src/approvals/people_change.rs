//! What changes of people mean for requests that wait: in the same transaction each is looked at again. Nobody stands in
//! any more for somebody who has left, or instead of them; a stage that too few are left for is given to the owners; links
//! of those who can no longer decide lead nowhere, and those who can now are asked.

use bursar_domain::approval::{People, RequestState};
use bursar_domain::id::ApprovalId;
use bursar_entity::{approval_delegation, approval_request};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set, Unchanged};
use serde_json::json;

use super::due::is_suspended;
use super::links::{sent, withdraw_links};
use super::reconsider::{ask_all, escalate_unreachable, informed, judged, record};
use super::{APPROVAL_DUE, people};
use crate::audit::Change;
use crate::auth::Actor;
use crate::clock::Clock;
use crate::db::{Tenant, Txn, be_due};
use crate::error::Result;
use crate::global_id;

/// Of how many requests mail is written at once. Of more, and of those of an organization that may only read, the clock sees to
/// it.
const AT_ONCE: usize = 20;

/// What a change of people has touched.
#[derive(Clone, Debug, Default)]
pub struct Touched {
    /// What is to be recorded.
    pub changes: Vec<Change>,
    /// Requests to be announced.
    pub requests: Vec<ApprovalId>,
}

impl Touched {
    /// Records it, and answers the requests that are to be announced after the commit. The last thing that the transaction
    /// locks.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn record(
        self,
        txn: &Txn,
        tenant: Tenant,
        clock: &Clock,
        actor: &Actor,
    ) -> Result<Vec<ApprovalId>> {
        record(txn, tenant, clock, actor, self.changes).await?;
        Ok(self.requests)
    }
}

/// Looks again at all requests of an organization that wait, after its people or what they may do have changed. The
/// organization is locked, and the change is written. The caller records what it answers.
///
/// # Errors
/// What the database answers.
pub async fn people_changed(txn: &Txn, tenant: Tenant, clock: &Clock) -> Result<Touched> {
    let changes = revoke(txn, tenant, clock, &people(txn, tenant).await?).await?;
    let mut touched = Touched { changes, requests: Vec::new() };
    let waiting = tenant
        .find::<approval_request::Entity>()
        .filter(approval_request::Column::State.eq(RequestState::Pending))
        .order_by_asc(approval_request::Column::Id)
        .lock_exclusive();
    let waiting = waiting.all(txn).await?;
    let at_once = waiting.len() <= AT_ONCE && !is_suspended(txn, tenant).await?;
    for request in waiting {
        touched.changes.extend(look(txn, tenant, clock, (&request, at_once)).await?);
        touched.requests.push(request.id);
    }
    Ok(touched)
}

/// Ends the delegations of or to somebody who can decide nothing any more.
async fn revoke(txn: &Txn, tenant: Tenant, clock: &Clock, people: &People) -> Result<Vec<Change>> {
    let now = clock.now();
    let open = tenant
        .find::<approval_delegation::Entity>()
        .filter(approval_delegation::Column::RevokedAt.is_null())
        .filter(approval_delegation::Column::EndsAt.gt(now))
        .order_by_asc(approval_delegation::Column::Id)
        .lock_exclusive();
    let over = |row: &approval_delegation::Model| {
        !people.may_decide(row.delegator) || !people.may_decide(row.delegate)
    };
    let mut changes = Vec::new();
    for row in open.all(txn).await?.into_iter().filter(over) {
        let revoked = approval_delegation::ActiveModel {
            organization_id: Unchanged(row.organization_id),
            id: Unchanged(row.id),
            revoked_at: Set(Some(now)),
            ..Default::default()
        };
        approval_delegation::Entity::update(revoked).exec_without_returning(txn).await?;
        let facts = json!({
            "delegator": global_id::encode(row.delegator),
            "delegate": global_id::encode(row.delegate),
            "by": "change of people",
        });
        changes.push(Change::removed("revokeDelegation", row.id, facts));
    }
    Ok(changes)
}

/// Looks at one request that waits, and is locked.
async fn look(
    txn: &Txn,
    tenant: Tenant,
    clock: &Clock,
    (request, at_once): (&approval_request::Model, bool),
) -> Result<Vec<Change>> {
    let now = clock.now();
    let mut judged = judged(txn, tenant, (request.id, request.round), now).await?;
    let changes = escalate_unreachable(txn, tenant, request.id, &mut judged).await?;
    let may = judged.round.may_decide_now(&judged.situation());
    let sent = sent(txn, tenant, request).await?;
    let informed = informed(&judged, &sent, changes.len());
    // Whoever is to be told something new and is not told at once has no mail until the clock sees to it.
    let kept = if at_once { &may } else { &informed };
    withdraw_links(txn, tenant, request.id, Some(&(&sent - kept)), now).await?;
    if !at_once {
        be_due(txn, tenant, APPROVAL_DUE, request.id, now).await?;
    }
    // Owners are told once that nobody can decide: when it becomes so.
    if at_once && !may.is_empty() || may.is_empty() && !changes.is_empty() {
        ask_all(txn, tenant, clock, request, (&judged, &informed)).await?;
    }
    Ok(changes)
}
