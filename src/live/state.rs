//! What is watched, as of one snapshot of the database.

use std::collections::BTreeSet;

use bursar_domain::Timestamp;
use bursar_domain::approval::{LinkKind, RequestState, Round};
use bursar_domain::id::{ApprovalId, DepartmentId, OrganizationId, PoolId, PurchaseId, UserId};
use bursar_entity::{
    account, approval_request, approval_round, department, organization, pool, purchase, shared_revision,
    transfer,
};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::history::MAX_TRANSFERS;
use super::{Of, Topic};
use crate::approvals;
use crate::auth::Standing;
use crate::context::Context;
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};
use crate::ledger::{self, Balance};

/// The most requests for approval that are watched of an organization: the newest.
const MOST_REQUESTS: u64 = 100;
/// For how many seconds a request is watched after its end, so that whoever may decide no longer is told.
const ENDED_SECONDS: i64 = 300;

/// Something that is watched, as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The revisions that permissions depend on.
    pub standing: Standing,
    /// A number that rises with every change: a pool's version, the sum of its pools' for an organization.
    /// A purchase has none, nor have requests for approval.
    pub version: i64,
    /// The instant that it is true for.
    pub as_of: Timestamp,
    /// What it is.
    pub body: Body,
}

/// What is watched.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// A pool.
    Pool(PoolState),
    /// The pools of an organization.
    Pools(OrganizationState),
    /// A purchase.
    Purchase(purchase::Model),
    /// The requests for approval of an organization.
    Approvals(ApprovalsState),
}

/// A pool with what departments have in it.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolState {
    /// The pool.
    pub pool: pool::Model,
    /// What the whole pool has.
    pub balance: Balance,
    /// The departments that have an account there, with what they have.
    pub departments: Vec<(department::Model, account::Model, Balance)>,
}

/// All pools of an organization.
#[derive(Clone, Debug, PartialEq)]
pub struct OrganizationState {
    /// The organization.
    pub organization: organization::Model,
    /// Its pools, with what each has.
    pub pools: Vec<(pool::Model, Balance)>,
    /// Which departments have an account in which pool.
    pub accounts: Vec<(PoolId, DepartmentId)>,
}

/// The requests for approval of an organization that wait for somebody, and those that have come to their end lately.
#[derive(Clone, Debug, PartialEq)]
pub struct ApprovalsState {
    /// The organization.
    pub organization: OrganizationId,
    /// The requests, oldest first.
    pub requests: Vec<ApprovalState>,
}

/// A request for approval.
#[derive(Clone, Debug, PartialEq)]
pub struct ApprovalState {
    /// The request.
    pub request: approval_request::Model,
    /// Its newest round.
    pub round: Round,
    /// Who may decide about it now.
    pub may_decide: BTreeSet<UserId>,
    /// Who was sent a mail to decide by in that round; also those who stand in for somebody, or did.
    pub asked: BTreeSet<UserId>,
    /// Who has asked for it, in whichever round.
    pub requesters: BTreeSet<UserId>,
}

impl ApprovalState {
    /// Whether somebody may decide about it, or was asked to, or has.
    pub fn concerns(&self, person: UserId) -> bool {
        let Round { stages, escalations, decisions, .. } = &self.round;
        self.may_decide.contains(&person)
            || self.asked.contains(&person)
            || stages.iter().any(|stage| stage.eligible.contains(&person))
            || escalations.iter().any(|escalation| escalation.owners.contains(&person))
            || decisions.iter().any(|decision| decision.by == person || decision.seat == person)
    }

    /// Whether it has come to its end, and somebody is to hear of that: whoever has to do with it, or has asked for it. Not
    /// whoever only wanted the credits: the request need not be theirs to see.
    pub fn ends_for(&self, person: UserId) -> bool {
        self.request.ended_at.is_some() && (self.concerns(person) || self.requesters.contains(&person))
    }
}

impl State {
    /// Whether somebody who has seen `before` has something new to see.
    pub fn differs_from(&self, before: &State) -> bool {
        let rows = match (&self.body, &before.body) {
            // What has lapsed meanwhile is no news by itself; it is told with the next change.
            (Body::Pool(now), Body::Pool(then)) => now.pool != then.pool,
            (Body::Pools(now), Body::Pools(then)) => {
                now.organization != then.organization || now.accounts != then.accounts
            }
            (now, then) => now != then,
        };
        rows || self.version != before.version || self.standing != before.standing
    }
}

/// Reads a topic, and the transfers that followed a version, when they are few enough to be told.
pub(super) async fn read(
    context: &Context,
    topic: Topic,
    seen: Option<i64>,
) -> Result<(State, Option<Vec<transfer::Model>>)> {
    let (tenant, now) = (topic.tenant, context.clock.now());
    let snapshot = context.db.read(tenant).await?;
    let organization = tenant.find::<organization::Entity>().one(&snapshot).await?;
    let organization = organization.ok_or(Error::not_found("organization"))?;
    let shared = shared_revision::Entity::find().one(&snapshot).await?;
    let shared = shared.ok_or_else(|| Error::internal("there are no shared revisions"))?;
    let standing = Standing { organization: Some(organization.revision), staff: Some(shared.staff) };
    let (version, body, transfers) = match topic.of {
        Of::Pool(id) => {
            let state = read_pool(&snapshot, tenant, id, now).await?;
            let version = state.balance.version;
            let transfers = match seen.map(|seen| (seen, version - seen)) {
                Some((_, 0)) => Some(Vec::new()),
                Some((seen, 1..=MAX_TRANSFERS)) => {
                    let limit = u64::try_from(MAX_TRANSFERS).unwrap_or(u64::MAX);
                    Some(ledger::transfers_after(&snapshot, tenant, id, seen, limit).await?)
                }
                _ => None,
            };
            (version, Body::Pool(state), transfers)
        }
        Of::Pools => {
            let state = read_pools(&snapshot, organization, now).await?;
            let version = state.pools.iter().map(|(_, balance)| balance.version).sum();
            (version, Body::Pools(state), None)
        }
        Of::Purchase(id) => (0, Body::Purchase(read_purchase(&snapshot, tenant, id).await?), None),
        Of::Approvals => (0, Body::Approvals(read_approvals(&snapshot, tenant, now).await?), None),
    };
    Ok((State { standing, version, as_of: now, body }, transfers))
}

async fn read_pool(snapshot: &Txn, tenant: Tenant, id: PoolId, now: Timestamp) -> Result<PoolState> {
    let pool = tenant.find::<pool::Entity>().filter(pool::Column::Id.eq(id)).one(snapshot).await?;
    let pool = pool.ok_or(Error::not_found("pool"))?;
    let balance = ledger::pool_balance(snapshot, tenant, id, now).await?;
    let accounts = ledger::department_balances(snapshot, tenant, id, now).await?;
    let mut departments = Vec::with_capacity(accounts.len());
    if !accounts.is_empty() {
        let ids = accounts.iter().filter_map(|(account, _)| account.department_id);
        let rows = tenant.find::<department::Entity>().filter(department::Column::Id.is_in(ids));
        let rows = rows.all(snapshot).await?;
        for (account, balance) in accounts {
            let row = rows.iter().find(|row| Some(row.id) == account.department_id);
            let row = row.ok_or_else(|| Error::internal("an allocation names no department"))?;
            departments.push((row.clone(), account, balance));
        }
    }
    Ok(PoolState { pool, balance, departments })
}

async fn read_pools(
    snapshot: &Txn,
    organization: organization::Model,
    now: Timestamp,
) -> Result<OrganizationState> {
    // The feed watches this organization.
    let tenant = Tenant::vouched(organization.id);
    let rows = tenant.find::<pool::Entity>().order_by_asc(pool::Column::Id).all(snapshot).await?;
    let balances = ledger::pool_balances(snapshot, tenant, None, now).await?;
    let pools = rows.into_iter().filter_map(|row| balances.get(&row.id).map(|balance| (row, *balance)));
    let pools = pools.collect();
    let accounts: Vec<(PoolId, Option<DepartmentId>)> = tenant
        .find::<account::Entity>()
        .select_only()
        .column(account::Column::PoolId)
        .column(account::Column::DepartmentId)
        .filter(account::Column::DepartmentId.is_not_null())
        .order_by_asc(account::Column::Id)
        .into_tuple()
        .all(snapshot)
        .await?;
    let accounts = accounts.into_iter().filter_map(|(pool, department)| Some((pool, department?))).collect();
    Ok(OrganizationState { organization, pools, accounts })
}

async fn read_purchase(snapshot: &Txn, tenant: Tenant, id: PurchaseId) -> Result<purchase::Model> {
    let row = tenant.find::<purchase::Entity>().filter(purchase::Column::Id.eq(id)).one(snapshot).await?;
    row.ok_or(Error::not_found("purchase"))
}

async fn read_approvals(snapshot: &Txn, tenant: Tenant, now: Timestamp) -> Result<ApprovalsState> {
    let lately = now.plus_seconds(-ENDED_SECONDS);
    let watched = Condition::any()
        .add(approval_request::Column::State.eq(RequestState::Pending))
        .add(approval_request::Column::EndedAt.gt(lately));
    let rows = tenant
        .find::<approval_request::Entity>()
        .filter(watched)
        .order_by_desc(approval_request::Column::Id)
        .limit(MOST_REQUESTS);
    let mut rows = rows.all(snapshot).await?;
    rows.reverse();
    let newest: Vec<_> = rows.iter().map(|row| (row.id, row.round)).collect();
    let seen = approvals::look_at(snapshot, tenant, &newest).await?;
    let asked = approvals::mailed(snapshot, tenant, &newest, LinkKind::Decide).await?;
    let rounds: Vec<(ApprovalId, UserId)> = tenant
        .find::<approval_round::Entity>()
        .select_only()
        .column(approval_round::Column::RequestId)
        .column(approval_round::Column::Requester)
        .filter(approval_round::Column::RequestId.is_in(rows.iter().map(|row| row.id)))
        .into_tuple()
        .all(snapshot)
        .await?;
    let state = |request: approval_request::Model| -> Result<ApprovalState> {
        let seen = seen.iter().find(|seen| seen.row.request_id == request.id);
        let seen = seen.ok_or_else(|| Error::internal("a request without its newest round"))?;
        let may_decide = match request.state {
            RequestState::Pending => seen.round.may_decide_now(&seen.situation(now)),
            _ => BTreeSet::new(),
        };
        let asked = asked.get(&request.id).cloned().unwrap_or_default();
        let rounds = rounds.iter().filter(|(id, _)| *id == request.id).map(|(_, person)| *person);
        let requesters = rounds.chain([request.requested_by]).collect();
        Ok(ApprovalState { request, round: seen.round.clone(), may_decide, asked, requesters })
    };
    let requests = rows.into_iter().map(state).collect::<Result<_>>()?;
    Ok(ApprovalsState { organization: tenant.id(), requests })
}
