//! Verification: the books of a pool are replayed from their first transfer, and the first row that is not
//! what it should be is named.
//!
//! # Flow
//! A `Replay` is fed with pages of transfers, in order, with the rows that they name (`page`). It
//! checks in this order, so that what is named is the row that was changed and not one that follows from it:
//! 1. the seals of the rows that caused the transfers, and of lots (`causes`);
//! 2. the link of the hash chain, which covers the transfer and its cause;
//! 3. the transfer's amounts, by booking it again (`balances`), and what it says of holds (`holds`);
//! 4. what is stored as of now: pool, head, accounts, positions, open holds (`stored`).
//!
//! Transfers and what caused them are never changed, so they may be read from many snapshots; the last page
//! and what is stored are read from one (`walk`). So a pool can be verified while it is written to, and
//! memory holds accounts, positions and open holds, however long the history is.
//!
//! [`verify`] does this for the command line; [`Watching`] does it all the time in the background, and
//! freezes a pool that is wrong (`freeze`). It goes round the audit logs too (`logs`, see `audit`).

mod balances;
mod causes;
mod freeze;
mod group;
mod holds;
mod logs;
mod marks;
mod page;
mod replay;
mod stored;
mod walk;
mod watch;

use std::fmt;
use std::sync::Arc;

use bursar_domain::id::{Id, OrganizationId, PoolId};
use bursar_entity::{organization, pool};
use sea_orm::{ColumnTrait, DbErr, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use crate::context::Context;
use crate::db::scope::find_across;
use crate::db::{Scope, Tenant, Txn};
use crate::error::{Error, Result};

pub use watch::{LogVerification, Pace, Verification, Verifications, Watching};

/// A row that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The organization.
    pub organization: OrganizationId,
    /// The pool that the row belongs to.
    pub pool: PoolId,
    /// The row's table.
    pub table: &'static str,
    /// What names the row in the pool: its id, a transfer's version, account and lot of a position.
    pub key: String,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.table, self.key, self.what)
    }
}

/// Which pools are to be verified.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Those of the organization with this short name; none: of all.
    pub organization: Option<String>,
    /// Only this one.
    pub pool: Option<PoolId>,
}

/// A pool that has been verified.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The short name of its organization.
    pub organization: String,
    /// The pool.
    pub pool: PoolId,
    /// Its name.
    pub name: String,
    /// The version up to which its books are right.
    pub version: i64,
    /// The first row that is wrong.
    pub finding: Option<Finding>,
}

/// What a verification has found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The pools, by organization.
    pub pools: Vec<Checked>,
}

impl Report {
    /// The first wrong row of each pool that is wrong.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.pools.iter().filter_map(|pool| pool.finding.as_ref())
    }
}

/// Verifies pools one after another, and tells of each when it is done. May run while they are written to.
///
/// # Errors
/// [`Error::NotFound`] when the selection names something that is not there, and what the database answers.
pub async fn verify(
    context: &Context,
    selection: &Selection,
    mut tell: impl FnMut(&Checked),
) -> Result<Report> {
    let mut report = Report::default();
    for (place, organization, name) in pools(context, selection).await? {
        let mut replay = Arc::new(replay::Replay::new(place));
        let finding = loop {
            match walk::step(&context.db, &mut replay, true).await {
                Ok(walk::Step::More) => {}
                Ok(walk::Step::Done) => break None,
                Err(Stop::Wrong(finding)) => break Some(*finding),
                Err(Stop::Failed(error)) => return Err(error),
            }
        };
        let checked = Checked { organization, pool: place.pool, name, version: replay.version, finding };
        tell(&checked);
        report.pools.push(checked);
    }
    Ok(report)
}

/// The selected pools, with the short names of their organizations and their own names.
async fn pools(context: &Context, selection: &Selection) -> Result<Vec<(Place, String, String)>> {
    // Whoever may start the program, or the program itself: nobody's permission is asked.
    let snapshot = context.db.read(Scope::Operator).await?;
    let mut organizations = find_across::<organization::Entity>()
        .select_only()
        .column(organization::Column::Id)
        .column(organization::Column::Slug)
        .order_by_asc(organization::Column::Slug);
    if let Some(slug) = &selection.organization {
        organizations = organizations.filter(organization::Column::Slug.eq(slug.as_str()));
    }
    let organizations: Vec<(OrganizationId, String)> = organizations.into_tuple().all(&snapshot).await?;
    if selection.organization.is_some() && organizations.is_empty() {
        return Err(Error::not_found("organization"));
    }
    let mut found = Vec::new();
    for (organization, slug) in organizations {
        let rows = pools_of(&snapshot, organization, selection.pool).await?;
        let place = |pool| Place { tenant: Tenant::vouched(organization), pool };
        found.extend(rows.into_iter().map(|(pool, name)| (place(pool), slug.clone(), name)));
    }
    if selection.pool.is_some() && found.is_empty() {
        return Err(Error::not_found("pool"));
    }
    Ok(found)
}

async fn pools_of(
    snapshot: &Txn,
    organization: OrganizationId,
    only: Option<PoolId>,
) -> Result<Vec<(PoolId, String)>> {
    let mut select = find_across::<pool::Entity>()
        .select_only()
        .column(pool::Column::Id)
        .column(pool::Column::Name)
        .filter(pool::Column::OrganizationId.eq(organization))
        .order_by_asc(pool::Column::Id);
    if let Some(only) = only {
        select = select.filter(pool::Column::Id.eq(only));
    }
    Ok(select.into_tuple().all(snapshot).await?)
}

/// A pool, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    tenant: Tenant,
    pool: PoolId,
}

impl Place {
    /// A row of the pool is wrong.
    fn wrong(self, table: &'static str, key: impl fmt::Display, what: impl Into<String>) -> Stop {
        let (organization, key, what) = (self.tenant.id(), key.to_string(), what.into());
        Stop::Wrong(Box::new(Finding { organization, pool: self.pool, table, key, what }))
    }
}

/// Why a replay does not go on.
#[derive(Debug)]
enum Stop {
    /// A row is wrong.
    Wrong(Box<Finding>),
    /// It could not be read.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

impl From<DbErr> for Stop {
    fn from(error: DbErr) -> Stop {
        Stop::Failed(error.into())
    }
}

/// An identifier as the database shows it.
fn uuid(id: impl Id) -> Uuid {
    Uuid::from_u128(id.as_u128())
}
