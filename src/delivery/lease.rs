//! Leases: how a node takes deliveries that nobody else is trying, and writes what has become of them.
//!
//! A delivery is taken by writing a name and an end on its row, and counts as tried from then on, so that one that
//! kills whoever tries it is given up like others. Rows that somebody else is writing at the moment are passed over on
//! PostgreSQL, and come with the next look; on SQLite there is one writer, which is asked for only when something is
//! due. What has become of a delivery is written by the name that it was taken under, and by no other.

use bursar_domain::Timestamp;
use bursar_domain::delivery::{DeliveryState, MailTemplate};
use bursar_domain::id::{DeliveryId, Id};
use bursar_entity::delivery;
use sea_orm::{ConnectionTrait, DatabaseBackend, FromQueryResult, Statement, Value};
use uuid::Uuid;

use crate::context::Context;
use crate::db::{self, Scope, Tenant, Txn};
use crate::error::{Error, Result};

/// For how many seconds a delivery is leased: twice as long as one may take, so that none is tried twice at a time.
const LEASE_SECONDS: i64 = 60;
/// How many seconds after its first failure a delivery is tried again; twice as many after each further one.
const FIRST_PAUSE: i64 = 5;
/// The most seconds between two tries.
const LONGEST_PAUSE: i64 = 3_600;
/// How often a delivery is tried before it is given up: for about two and a half hours.
const TRIES: i64 = 12;
/// How many of those that are due for longest stand in line. More than a node takes in a minute, and so few that they
/// cost nothing to put in order.
const LINE: usize = 256;
/// The most characters that are kept of how a delivery failed.
const ERROR_LENGTH: usize = 500;

/// A delivery that this node has taken.
pub struct Leased {
    /// Its row, with this try counted.
    pub row: delivery::Model,
    /// Until when nobody else tries it.
    pub until: Timestamp,
    /// The name under which it was taken.
    lease: Uuid,
}

impl Leased {
    /// Whether it has been taken more often than it may be tried: no try has come to an end that could be written.
    pub fn is_spent(&self) -> bool {
        self.row.attempts > TRIES
    }
}

/// How a try has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was taken on.
    Delivered,
    /// It will never be.
    Dead(String),
    /// It may be another time.
    Again(String),
}

/// What is due at `$1` and leased to nobody then, of the kinds that this version knows.
fn due() -> String {
    let templates: Vec<String> = MailTemplate::ALL.iter().map(|template| format!("'{template}'")).collect();
    format!(
        "state = 'PENDING' AND due_at <= $1 AND (leased_until IS NULL OR leased_until <= $1)
         AND kind = 'MAIL' AND template IN ({})",
        templates.join(", ")
    )
}

/// Takes what is due, at most so many: by turns one of each organization, those first that have been due for longest.
pub async fn claim(context: &Context, most: usize) -> Result<Vec<Leased>> {
    let now = context.clock.now();
    if !is_something_due(context, now).await? {
        return Ok(Vec::new());
    }
    let lease = Uuid::from_u128(context.clock.new_id::<DeliveryId>().as_u128());
    let until = now.plus_seconds(LEASE_SECONDS);
    let work = db::work(move |txn| Box::pin(take(txn, now, (lease, until), most)));
    let rows = context.db.write(Scope::Courier, work).await?;
    Ok(rows.into_iter().map(|row| Leased { row, until, lease }).collect())
}

/// Whether there is anything to take, without asking for the writer: most of the time there is not.
async fn is_something_due(context: &Context, now: Timestamp) -> Result<bool> {
    let snapshot = context.db.read(Scope::Courier).await?;
    let sql = format!("SELECT 1 AS n FROM delivery WHERE {} LIMIT 1", due());
    let statement = Statement::from_sql_and_values(snapshot.get_database_backend(), sql, [now.into()]);
    Ok(snapshot.query_one_raw(statement).await?.is_some())
}

/// How many deliveries wait, for now or for later.
pub async fn waiting(context: &Context) -> Result<i64> {
    let snapshot = context.db.read(Scope::Courier).await?;
    let sql = "SELECT count(*) AS n FROM delivery WHERE state = 'PENDING'";
    let row = snapshot.query_one_raw(Statement::from_string(snapshot.get_database_backend(), sql)).await?;
    Ok(row.map(|row| row.try_get("", "n")).transpose()?.unwrap_or_default())
}

async fn take(
    txn: &Txn,
    now: Timestamp,
    (lease, until): (Uuid, Timestamp),
    most: usize,
) -> Result<Vec<delivery::Model>> {
    let backend = txn.get_database_backend();
    let (locked, organization) = match backend {
        DatabaseBackend::Postgres => ("FOR UPDATE OF delivery SKIP LOCKED", "organization_id"),
        // With the plus SQLite goes by what is due, not by all that there ever was of the vendor.
        _ => ("", "+organization_id"),
    };
    // The list is made once, before anything is written: a list inside a condition could be made anew for
    // each row, and then be longer than it may be.
    // Who stands in line is found by the index of what is due, and are few: of the vendor's own (links to sign in with,
    // for which people wait) and of all others those that have been due for longest. Turns are counted among those.
    let due = due();
    let first = |which: &str, most: usize| {
        format!(
            "SELECT * FROM (SELECT organization_id AS o, id AS i, due_at AS d FROM delivery
                 WHERE {due} AND {organization} {which} $4 ORDER BY due_at LIMIT {most}) AS few"
        )
    };
    let line = format!("{} UNION ALL {}", first("=", most), first("<>", LINE));
    let sql = format!(
        "WITH turns AS (SELECT o, i, d, row_number() OVER (PARTITION BY o ORDER BY d, i) AS turn FROM ({line}) AS line),
         taken (o, i) AS (SELECT delivery.organization_id, delivery.id FROM delivery, turns
             WHERE delivery.organization_id = turns.o AND delivery.id = turns.i AND {due}
             ORDER BY turns.turn, turns.d LIMIT {most} {locked})
         UPDATE delivery SET lease = $2, leased_until = $3, attempts = attempts + 1 FROM taken
         WHERE organization_id = taken.o AND id = taken.i
         RETURNING organization_id, id, kind, template, recipient, facts, link_about, link_path, state, attempts,
             due_at, leased_until, lease, last_error, created_at, delivered_at"
    );
    let values: [Value; 4] = [now.into(), lease.into(), until.into(), Tenant::vendor().id().into()];
    let rows = txn.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    let rows = rows.iter().map(|row| delivery::Model::from_query_result(row, ""));
    let mut rows = rows.collect::<Result<Vec<_>, _>>()?;
    rows.sort_by_key(|row| (row.due_at, row.id));
    Ok(rows)
}

/// Writes how a try has ended, and answers what has become of the delivery.
pub async fn finish(context: &Context, leased: &Leased, outcome: Outcome) -> Result<DeliveryState> {
    let (now, row) = (context.clock.now(), &leased.row);
    let (state, due_at, last_error) = match outcome {
        Outcome::Delivered => (DeliveryState::Delivered, row.due_at, None),
        Outcome::Dead(reason) => (DeliveryState::Dead, row.due_at, Some(shown(&reason))),
        Outcome::Again(reason) if row.attempts >= TRIES => {
            (DeliveryState::Dead, row.due_at, Some(shown(&reason)))
        }
        Outcome::Again(reason) => {
            let next = now.micros().saturating_add(jittered(pause(row.attempts)));
            (DeliveryState::Pending, Timestamp::from_micros(next), Some(shown(&reason)))
        }
    };
    let delivered_at = (state == DeliveryState::Delivered).then_some(now);
    let (organization, id, lease) = (row.organization_id, row.id, leased.lease);
    let work = db::work(move |txn| {
        let last_error = last_error.clone();
        Box::pin(async move {
            let sql = "UPDATE delivery SET lease = NULL, leased_until = NULL, state = $1, due_at = $2,
                    last_error = $3, delivered_at = $4
                WHERE organization_id = $5 AND id = $6 AND lease = $7 AND state = 'PENDING'";
            let values: [Value; 7] = [
                state.into(),
                due_at.into(),
                last_error.into(),
                delivered_at.into(),
                organization.into(),
                id.into(),
                lease.into(),
            ];
            let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
            txn.execute_raw(statement).await?;
            Ok::<_, Error>(())
        })
    });
    context.db.write(Scope::Courier, work).await?;
    Ok(state)
}

/// An error as it is kept: on one line, and not too long.
fn shown(reason: &str) -> String {
    reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(ERROR_LENGTH).collect()
}

/// How many seconds a delivery waits that has been tried so often.
fn pause(tries: i64) -> i64 {
    let doublings = u32::try_from(tries.saturating_sub(1)).unwrap_or(u32::MAX).min(20);
    FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE)
}

/// So many seconds in microseconds, less up to a quarter of them, so that what failed together is not tried together.
fn jittered(seconds: i64) -> i64 {
    let mut random = [0u8; 2];
    // Without randomness the tries are only less well spread.
    let _ = getrandom::fill(&mut random);
    let (micros, part) = (seconds.saturating_mul(1_000_000), i64::from(u16::from_le_bytes(random)));
    micros - micros / 4 * part / 65_536
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_waits_longer_and_longer() {
        let pauses: Vec<i64> = (1..=12).map(pause).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600]);
        assert_eq!(pause(i64::MAX), 3_600);
        for _ in 0..1_000 {
            let waited = jittered(3_600);
            assert!((2_700_000_000..=3_600_000_000).contains(&waited), "{waited}");
        }
    }

    #[test]
    fn errors_are_one_line() {
        assert_eq!(shown("550 no\r\nsuch"), "550 no  such");
        assert_eq!(shown(&"ä".repeat(600)).chars().count(), 500);
    }
}
