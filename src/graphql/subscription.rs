//! Live balances, purchases and requests for approval: what an event looks like. When there is one is decided elsewhere: see `views`.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, SimpleObject, Subscription as SubscriptionDerive};
use bursar_domain::Timestamp;
use futures_util::{Stream, stream};

use super::approval_request::ApprovalRequest;
use super::balance::{Balance, BalanceOf};
use super::department::Department;
use super::errors::ApiError;
use super::organization::Organization;
use super::pool::Pool;
use super::purchase::Purchase;
use super::render::{Events, Happening};
use super::scalars::Version;
use super::transfer::Transfer;
use crate::error::Error;
use crate::live::{Body, EventKind};

/// The root of all streams.
pub struct Subscription;

/// What a live event is.
#[derive(Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "EventKind")]
pub enum LiveEventKind {
    /// The first event.
    Snapshot,
    /// What followed the previous event.
    Change,
    /// A fresh snapshot after a gap.
    Resync,
}

/// A state of a pool: balance, version, departments and transfers are of one instant.
#[derive(SimpleObject)]
pub struct PoolBalanceEvent {
    /// What it is.
    kind: LiveEventKind,
    /// The pool. Fields that lead to other things are read when the event is sent, and may be newer.
    pool: Pool,
    /// What the whole pool has.
    balance: Balance,
    /// The version that all of this belongs to. Give it as `after` to go on from here.
    version: Version,
    /// What departments have in the pool, as far as the caller sees them.
    departments: Vec<DepartmentBalance>,
    /// What happened since the previous event, or since `after`: by rising version, without a gap, at
    /// most 1,000. Empty for those who do not see the pool's movements.
    transfers: Vec<Transfer>,
}

/// What a department has in a pool.
#[derive(SimpleObject)]
pub struct DepartmentBalance {
    /// The department.
    department: Department,
    /// What it has.
    balance: Balance,
}

/// A state of an organization's pools, all of one instant.
#[derive(SimpleObject)]
pub struct OrganizationBalanceEvent {
    /// What it is.
    kind: LiveEventKind,
    /// The organization. Fields that lead to other things are read when the event is sent, and may be newer.
    organization: Organization,
    /// What the pools that the caller sees have together.
    balance: Balance,
    /// The sum of these pools' versions.
    version: Version,
    /// What each of them has.
    pools: Vec<PoolBalance>,
}

/// What a pool has.
#[derive(SimpleObject)]
pub struct PoolBalance {
    /// The pool.
    pool: Pool,
    /// What it has.
    balance: Balance,
}

/// The root of all streams.
#[SubscriptionDerive]
impl Subscription {
    /// The balance of a pool: its state at first, then every change as it is committed. An event may cover
    /// several commits.
    #[allow(unused_variables, reason = "arguments are read before the stream is opened: see `plan`")]
    async fn pool_balance(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which pool.")] pool_id: ID,
        #[graphql(desc = "The version that the client has: the first event brings what followed it.")]
        after: Option<Version>,
    ) -> Result<impl Stream<Item = Result<PoolBalanceEvent, ApiError>>, ApiError> {
        events(ctx, PoolBalanceEvent::of)
    }

    /// The balance of an organization and of each of its pools: the state at first, then every change.
    #[allow(unused_variables, reason = "as above")]
    async fn organization_balance(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which organization.")] organization_id: ID,
    ) -> Result<impl Stream<Item = Result<OrganizationBalanceEvent, ApiError>>, ApiError> {
        events(ctx, OrganizationBalanceEvent::of)
    }

    /// A purchase: as it is at first, then after every change of it.
    #[allow(unused_variables, reason = "as above")]
    async fn purchase(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which purchase.")] id: ID,
    ) -> Result<impl Stream<Item = Result<Purchase, ApiError>>, ApiError> {
        events(ctx, |happening| match &happening.state.body {
            Body::Purchase(row) => Ok(Purchase::stored(row.clone())),
            _ => Err(wrong()),
        })
    }

    /// Requests for approval: at first each that the caller may decide about, then each of those that changes, and each that
    /// they may decide about newly or no longer: `canDecide` says which. That one has come to its end is told to everybody who
    /// was asked about it or has decided, and to whoever has asked for it. Of the organization's newest 100 that wait for
    /// somebody. Whoever has to do with nothing hears nothing.
    #[allow(unused_variables, reason = "as above")]
    async fn approval_requests(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of which organization.")] organization_id: ID,
    ) -> Result<impl Stream<Item = Result<ApprovalRequest, ApiError>>, ApiError> {
        events(ctx, |happening| {
            let Body::Approvals(seen) = &happening.state.body else { return Err(wrong()) };
            let about = seen.requests.iter().find(|seen| Some(seen.request.id) == happening.about);
            about.map(|seen| ApprovalRequest(seen.request.clone(), None)).ok_or_else(wrong)
        })
    }
}

/// The events of a subscription, each as its field shows it.
fn events<T>(
    ctx: &Context<'_>,
    show: impl Fn(Happening) -> Result<T, ApiError>,
) -> Result<impl Stream<Item = Result<T, ApiError>>, ApiError> {
    let events = ctx.data::<Events>().map_err(|_| wrong())?.take()?;
    Ok(stream::unfold((events, show), |(mut events, show)| async move {
        let shown = show(events.recv().await?);
        Some((shown, (events, show)))
    }))
}

fn wrong() -> ApiError {
    Error::internal("an event of another subscription").into()
}

impl PoolBalanceEvent {
    fn of(happening: Happening) -> Result<PoolBalanceEvent, ApiError> {
        let Happening { kind, state, transfers, sight, .. } = happening;
        let Body::Pool(seen) = &state.body else { return Err(wrong()) };
        let (organization, pool) = (seen.pool.organization_id, seen.pool.id);
        let shown = seen.departments.iter().filter(|(department, ..)| sight.shows_department(department.id));
        let departments = shown.map(|(department, account, balance)| DepartmentBalance {
            department: Department(department.clone()),
            balance: Balance::new(*balance, BalanceOf::Account(organization, pool, account.id)),
        });
        let transfers = if sight.shows_ledger() { transfers } else { Vec::new() };
        Ok(PoolBalanceEvent {
            kind: kind.into(),
            pool: Pool(seen.pool.clone()),
            balance: Balance::new(seen.balance, BalanceOf::Pools(organization, vec![pool])),
            version: Version(state.version),
            departments: departments.collect(),
            transfers: transfers.into_iter().map(|row| Arc::unwrap_or_clone(row).into()).collect(),
        })
    }
}

impl OrganizationBalanceEvent {
    fn of(happening: Happening) -> Result<OrganizationBalanceEvent, ApiError> {
        let Happening { kind, state, sight, .. } = happening;
        let Body::Pools(seen) = &state.body else { return Err(wrong()) };
        let organization = seen.organization.id;
        let shown: Vec<_> = sight.pools(seen).collect();
        let balances = shown.iter().map(|(pool, balance)| (pool.id, *balance)).collect();
        let as_of: Timestamp = state.as_of;
        let pools = shown.into_iter().map(|(pool, balance)| PoolBalance {
            balance: Balance::new(*balance, BalanceOf::Pools(organization, vec![pool.id])),
            pool: Pool(pool.clone()),
        });
        let balance = Balance::sum(organization, as_of, balances)?;
        Ok(OrganizationBalanceEvent {
            kind: kind.into(),
            organization: Organization(seen.organization.clone()),
            version: Version(balance.amounts().version),
            balance,
            pools: pools.collect(),
        })
    }
}
