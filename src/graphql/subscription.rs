//! Live balances.

use std::time::{Duration, Instant};

use async_graphql::{Context, Enum, ID, SimpleObject, Subscription as SubscriptionDerive};
use bursar_domain::permission::Action;
use futures_util::{Stream, stream};

use super::balance::{Balance, BalanceOf};
use super::department::Department;
use super::errors::ApiError;
use super::loaders::Key;
use super::pool::{self, Pool};
use super::scalars::Version;
use super::transfer::Transfer;
use super::{Request, signed_in};
use crate::auth::Caller;
use crate::db::Snapshots;
use crate::error::Error;
use crate::live::{EventKind, PoolEvent, PoolWatch};

/// How often a stream asks whether its reader may still see what it shows.
const RECHECK: Duration = Duration::from_secs(3);

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
    /// The pool. Its own fields are read when the event is sent, and may be newer than the event.
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

/// The root of all streams.
#[SubscriptionDerive]
impl Subscription {
    /// The balance of a pool: its state at first, then every change as it is committed.
    async fn pool_balance(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which pool.")] pool_id: ID,
        #[graphql(desc = "The version that the client has: the first event brings what followed it.")]
        after: Option<Version>,
    ) -> Result<impl Stream<Item = Result<PoolBalanceEvent, ApiError>>, ApiError> {
        let request = signed_in(ctx)?;
        let pool = pool::authorized(request, &pool_id, Action::ReadPool).await?;
        let services = &request.services;
        let (context, after) = (services.context.clone(), after.map(|version| version.0));
        let watch = PoolWatch::begin(context, &services.hub, pool.tenant(), pool.id, after);
        let (caller, checked) = (request.caller()?, Instant::now());
        let reader = Reader { watch, pool: Pool(pool.into_value()), caller, checked };
        Ok(stream::unfold(Some((reader, request)), move |state| async move {
            let (mut reader, request) = state?;
            // The previous event has been sent: its snapshot is done with.
            request.snapshots.close().await;
            match reader.next(request).await {
                Ok(event) => Some((Ok(event), Some((reader, request)))),
                // The last word of a stream that may not go on.
                Err(error) => Some((Err(error.into()), None)),
            }
        }))
    }
}

/// A subscription with what it is checked by.
struct Reader {
    watch: PoolWatch,
    pool: Pool,
    caller: Caller,
    /// When it was last asked whether the caller may still see the pool.
    checked: Instant,
}

impl Reader {
    /// Waits for the next event, and in between asks whether the caller may still see the pool.
    async fn next(&mut self, request: &Request) -> Result<PoolBalanceEvent, Error> {
        loop {
            if self.caller.expires_at <= request.now() {
                return Err(Error::Unauthenticated("The token has expired."));
            }
            // However busy the pool is.
            if self.checked.elapsed() >= RECHECK {
                self.check(request).await?;
            }
            if let Some(event) = self.watch.poll().await? {
                return self.show(event, request).await;
            }
            self.watch.changed().await;
        }
    }

    /// Reads the caller's rights anew, and with them the pool.
    async fn check(&mut self, request: &Request) -> Result<(), Error> {
        let services = &request.services;
        self.caller = self.caller.reload(&services.context.db).await?;
        let snapshots = Snapshots::new(services.context.db.clone());
        let directory = &services.directory;
        let pool = self.caller.pool(&snapshots, directory, self.pool.0.id, Action::ReadPool).await?;
        self.pool = Pool(pool.into_value());
        self.checked = Instant::now();
        Ok(())
    }

    async fn show(&self, event: PoolEvent, request: &Request) -> Result<PoolBalanceEvent, Error> {
        let (organization, pool) = (self.pool.0.organization_id, self.pool.0.id);
        let sees_all = self.caller.may_read_ledger(organization, pool);
        let member = self.caller.memberships.get(&organization);
        let mut departments = Vec::new();
        for (account, balance) in event.departments {
            let Some(id) = account.department_id else { continue };
            if !sees_all && !member.is_some_and(|member| member.departments.contains_key(&id)) {
                continue;
            }
            let row = request.rows.load_one(Key(organization, id)).await;
            let row = row.map_err(|error| Error::internal(error.to_string()))?;
            let row = row.ok_or_else(|| Error::internal("an allocation names no department"))?;
            let balance = Balance::new(balance, BalanceOf::Account(organization, pool, account.id));
            departments.push(DepartmentBalance { department: Department(row), balance });
        }
        let transfers = if sees_all { event.transfers } else { Vec::new() };
        Ok(PoolBalanceEvent {
            kind: event.kind.into(),
            pool: Pool(self.pool.0.clone()),
            balance: Balance::new(event.balance, BalanceOf::Pools(organization, vec![pool])),
            version: Version(event.balance.version),
            departments,
            transfers: transfers.into_iter().map(Transfer::from).collect(),
        })
    }
}
