//! Letting something be done at an instant, at once, or no more, as a row of the transaction that finds out (see `schedule`).

use bursar_domain::Timestamp;
use bursar_domain::id::Id;
use sea_orm::{ConnectionTrait, Statement, Value};
use uuid::Uuid;

use super::{Tenant, Txn};
use crate::error::Result;

/// Lets something be done at an instant; what is to be done earlier already stays so.
///
/// # Errors
/// What the database answers.
pub async fn be_due(txn: &Txn, tenant: Tenant, kind: &str, subject: impl Id, at: Timestamp) -> Result<()> {
    let sql = "INSERT INTO timed_task (organization_id, kind, subject_id, due_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (organization_id, kind, subject_id) DO UPDATE SET due_at = excluded.due_at
        WHERE excluded.due_at < timed_task.due_at";
    let subject = Uuid::from_u128(subject.as_u128());
    let values: [Value; 4] = [tenant.id().into(), kind.to_owned().into(), subject.into(), at.into()];
    txn.execute_raw(Statement::from_sql_and_values(txn.get_database_backend(), sql, values)).await?;
    Ok(())
}

/// What was put off, of a kind, is done now: what stood in its way does no more. What is done stays done.
///
/// # Errors
/// What the database answers.
pub async fn wake(txn: &Txn, tenant: Tenant, kind: &str, now: Timestamp) -> Result<()> {
    let sql = "UPDATE timed_task SET due_at = $1
        WHERE organization_id = $2 AND kind = $3 AND due_at > $1 AND due_at < $4";
    let never = Timestamp::from_micros(i64::MAX);
    let values: [Value; 4] = [now.into(), tenant.id().into(), kind.to_owned().into(), never.into()];
    txn.execute_raw(Statement::from_sql_and_values(txn.get_database_backend(), sql, values)).await?;
    Ok(())
}

/// Whether something is still to be done, now or later.
///
/// # Errors
/// What the database answers.
pub async fn is_due(txn: &Txn, tenant: Tenant, kind: &str, subject: impl Id) -> Result<bool> {
    let sql = "SELECT 1 AS n FROM timed_task
        WHERE organization_id = $1 AND kind = $2 AND subject_id = $3 AND due_at < $4";
    let subject = Uuid::from_u128(subject.as_u128());
    let never = Timestamp::from_micros(i64::MAX);
    let values: [Value; 4] = [tenant.id().into(), kind.to_owned().into(), subject.into(), never.into()];
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    Ok(txn.query_one_raw(statement).await?.is_some())
}

/// Nothing is to be done any more. Who is at it just now gives nothing back.
///
/// # Errors
/// What the database answers.
pub async fn is_done(txn: &Txn, tenant: Tenant, kind: &str, subject: impl Id) -> Result<()> {
    let sql = "DELETE FROM timed_task WHERE organization_id = $1 AND kind = $2 AND subject_id = $3";
    let subject = Uuid::from_u128(subject.as_u128());
    let values: [Value; 3] = [tenant.id().into(), kind.to_owned().into(), subject.into()];
    txn.execute_raw(Statement::from_sql_and_values(txn.get_database_backend(), sql, values)).await?;
    Ok(())
}
