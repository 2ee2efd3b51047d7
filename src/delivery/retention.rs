//! How long it is kept to whom something was delivered and what it said: for as long as somebody may ask what has
//! become of it. Afterwards the row stays, with its state and times, and says nothing of anybody.
//!
//! The worker looks once an hour, and empties some rows at a time, each time in a transaction of its own. What still
//! waits is not touched, however old it is. Done twice, or by two nodes, it is as if it had been done once.

use bursar_domain::Timestamp;
use sea_orm::{ConnectionTrait, DatabaseBackend, Statement, Value};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::db::{self, Scope, Txn};
use crate::error::Result;

/// For how many days deliveries are kept whole after they were made.
pub const KEPT_DAYS: i64 = 90;
/// How many are emptied by one transaction.
const AT_ONCE: u64 = 500;

/// What is older than `$1` and no longer waits, and has not been emptied.
const OLD: &str = "created_at < $1 AND recipient <> '' AND state <> 'PENDING'";

/// Empties the deliveries of all organizations that are older than [`KEPT_DAYS`] and no longer wait, until there are
/// none left or `end` says so. Answers how many they were.
///
/// # Errors
/// What the database answers.
pub async fn empty_old(context: &Context, end: &CancellationToken) -> Result<u64> {
    let before = context.clock.now().plus_days(-KEPT_DAYS);
    let mut all = 0;
    while !end.is_cancelled() && is_something_old(context, before).await? {
        let emptied =
            context.db.write(Scope::Courier, db::work(move |txn| Box::pin(empty(txn, before)))).await?;
        all += emptied;
        if emptied < AT_ONCE {
            // What there is yet is being written by somebody else, and comes with the next look.
            break;
        }
    }
    Ok(all)
}

/// Whether there is anything to empty, without asking for the writer: most of the time there is not.
async fn is_something_old(context: &Context, before: Timestamp) -> Result<bool> {
    let snapshot = context.db.read(Scope::Courier).await?;
    let sql = format!("SELECT 1 AS n FROM delivery WHERE {OLD} LIMIT 1");
    let statement = Statement::from_sql_and_values(snapshot.get_database_backend(), sql, [before.into()]);
    Ok(snapshot.query_one_raw(statement).await?.is_some())
}

async fn empty(txn: &Txn, before: Timestamp) -> Result<u64> {
    let backend = txn.get_database_backend();
    let locked = if backend == DatabaseBackend::Postgres { "FOR UPDATE SKIP LOCKED" } else { "" };
    let sql = format!(
        "WITH old (o, i) AS (SELECT organization_id, id FROM delivery
             WHERE {OLD} ORDER BY created_at LIMIT {AT_ONCE} {locked})
         UPDATE delivery SET recipient = '', facts = '{{}}', link_about = NULL, link_path = NULL, last_error = NULL
         FROM old WHERE organization_id = old.o AND id = old.i"
    );
    let values: [Value; 1] = [before.into()];
    let done = txn.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    Ok(done.rows_affected())
}
