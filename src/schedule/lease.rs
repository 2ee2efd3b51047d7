//! Leases: how a node takes work that nobody else is doing, and gives it back.
//!
//! A task is taken by writing a name and an end on its row. Rows that somebody else is writing at the moment are
//! passed over on PostgreSQL, and come with the next look; on SQLite there is one writer. When the work is done
//! its row is given back only by the name that it was taken under, and when it is due next is written only if
//! nobody has found that out meanwhile: the ledger writes it in the transaction of its commands.

use bursar_domain::Timestamp;
use bursar_domain::id::{Id, OrganizationId, TaskId};
use bursar_entity::timed_task;
use sea_orm::{ConnectionTrait, DatabaseBackend, FromQueryResult, Statement, Value};
use uuid::Uuid;

use super::tasks::Next;
use crate::approvals::{APPROVAL_DUE, DELEGATION_BEGINS, PURCHASE_APPROVED};
use crate::catalog::QUOTE_DUE;
use crate::context::Context;
use crate::db::{self, Scope, Txn};
use crate::error::{Error, Result};
use crate::ledger::{BOOK_DUE, DEBT_HOME, REFILL};
use crate::purchases::{CLOSE_CHECKOUT, INVOICE_DUE, PURCHASE_DUE, REFUND_DUE, REVERSAL_DUE, TOP_UP};

/// For how many seconds a task is leased. Longer than any takes, as a rule: should one take longer, it may be done
/// twice, which changes nothing.
const LEASE_SECONDS: i64 = 60;
/// How many seconds after its first failure a task is tried again; twice as many after each further one.
const FIRST_PAUSE: i64 = 1;
/// The most seconds between two tries.
const LONGEST_PAUSE: i64 = 600;
/// The most characters that are kept of how a task failed.
const ERROR_LENGTH: usize = 500;

/// A task that this node has taken.
#[derive(Clone, Debug)]
pub struct Leased {
    /// The organization.
    pub organization: OrganizationId,
    /// What is to be done.
    pub kind: String,
    /// What it is about.
    pub subject: Uuid,
    /// When it was due.
    pub due_at: Timestamp,
    /// How often it has failed since it last went well.
    pub attempts: i64,
    /// Until when nobody else does it.
    pub until: Timestamp,
    /// The name under which it was taken.
    lease: Uuid,
}

/// The kinds that this version knows.
const KINDS: [&str; 13] = [
    BOOK_DUE,
    REFILL,
    DEBT_HOME,
    QUOTE_DUE,
    PURCHASE_DUE,
    INVOICE_DUE,
    TOP_UP,
    REFUND_DUE,
    REVERSAL_DUE,
    CLOSE_CHECKOUT,
    APPROVAL_DUE,
    PURCHASE_APPROVED,
    DELEGATION_BEGINS,
];

/// What is due at `$1` and leased to nobody then, of the kinds that this version knows.
fn due() -> String {
    let kinds = KINDS.join("', '");
    format!("due_at <= $1 AND (leased_until IS NULL OR leased_until <= $1) AND kind IN ('{kinds}')")
}

/// Takes what is due, at most so many tasks, those first that have been due for longest.
pub async fn claim(context: &Context, most: usize) -> Result<Vec<Leased>> {
    let now = context.clock.now();
    if !is_something_due(context, now).await? {
        return Ok(Vec::new());
    }
    let lease = Uuid::from_u128(context.clock.new_id::<TaskId>().as_u128());
    let until = now.plus_seconds(LEASE_SECONDS);
    let work = db::work(move |txn| Box::pin(take(txn, now, (lease, until), most)));
    let rows = context.db.write(Scope::Scheduler, work).await?;
    let leased = |row: timed_task::Model| Leased {
        organization: row.organization_id,
        kind: row.kind,
        subject: row.subject_id,
        due_at: row.due_at,
        attempts: row.attempts,
        until,
        lease,
    };
    Ok(rows.into_iter().map(leased).collect())
}

/// Whether there is anything to take, without asking for the writer: most of the time there is not.
async fn is_something_due(context: &Context, now: Timestamp) -> Result<bool> {
    let snapshot = context.db.read(Scope::Scheduler).await?;
    let sql = format!("SELECT 1 AS n FROM timed_task WHERE {} LIMIT 1", due());
    let statement = Statement::from_sql_and_values(snapshot.get_database_backend(), sql, [now.into()]);
    Ok(snapshot.query_one_raw(statement).await?.is_some())
}

async fn take(
    txn: &Txn,
    now: Timestamp,
    (lease, until): (Uuid, Timestamp),
    most: usize,
) -> Result<Vec<timed_task::Model>> {
    let backend = txn.get_database_backend();
    let locked = if backend == DatabaseBackend::Postgres { "FOR UPDATE SKIP LOCKED" } else { "" };
    // The list is made once, before anything is written: a list inside a condition could be made anew for
    // each row, and then be longer than it may be.
    let sql = format!(
        "WITH taken (o, k, s) AS (SELECT organization_id, kind, subject_id FROM timed_task
             WHERE {} ORDER BY due_at LIMIT {most} {locked})
         UPDATE timed_task SET lease = $2, leased_until = $3 FROM taken
         WHERE organization_id = taken.o AND kind = taken.k AND subject_id = taken.s
         RETURNING organization_id, kind, subject_id, due_at, leased_until, lease, attempts, last_error",
        due()
    );
    let values: [Value; 3] = [now.into(), lease.into(), until.into()];
    let rows = txn.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    let mut rows = rows
        .iter()
        .map(|row| timed_task::Model::from_query_result(row, ""))
        .collect::<Result<Vec<_>, _>>()?;
    rows.sort_by_key(|row| row.due_at);
    Ok(rows)
}

/// Gives a task back that has been done, or has failed.
pub async fn give_back(context: &Context, task: &Leased, done: Result<Next>) -> Result<()> {
    let now = context.clock.now();
    let (next, attempts, last_error) = match done {
        Ok(Next::AsWritten) => (task.due_at, 0, None),
        Ok(Next::At(at)) => (at, 0, None),
        Err(error) => {
            let attempts = task.attempts.saturating_add(1);
            let text: String = error.to_string().chars().take(ERROR_LENGTH).collect();
            (now.plus_seconds(pause(attempts)), attempts, Some(text))
        }
    };
    let task = task.clone();
    let work = db::work(move |txn| {
        let (task, last_error) = (task.clone(), last_error.clone());
        Box::pin(async move {
            let sql =
                "UPDATE timed_task SET lease = NULL, leased_until = NULL, attempts = $1, last_error = $2,
                    due_at = CASE WHEN due_at = $3 THEN $4 ELSE due_at END
                WHERE organization_id = $5 AND kind = $6 AND subject_id = $7 AND lease = $8";
            let values: [Value; 8] = [
                attempts.into(),
                last_error.into(),
                task.due_at.into(),
                next.into(),
                task.organization.into(),
                task.kind.into(),
                task.subject.into(),
                task.lease.into(),
            ];
            let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
            txn.execute_raw(statement).await?;
            Ok::<_, Error>(())
        })
    });
    context.db.write(Scope::Scheduler, work).await
}

/// How many seconds a task waits that has failed so often.
fn pause(attempts: i64) -> i64 {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(20);
    FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_waits_longer_and_longer() {
        let pauses: Vec<i64> = (1..=11).map(pause).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600]);
        assert_eq!(pause(i64::MAX), 600);
    }
}
