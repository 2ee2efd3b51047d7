//! What a database error means, for both databases.

use sea_orm::sqlx::postgres::PgDatabaseError;
use sea_orm::sqlx::sqlite::SqliteError;
use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr, sqlx};

/// The meaning of a database error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A unique index refused a row. PostgreSQL names the index, SQLite the columns.
    Unique(String),
    /// The transaction lost against another one and can be run again.
    Contention,
    /// The connection broke.
    Lost,
    /// No connection could be had in time: waiting again would only make the queue longer.
    Unavailable,
    /// Anything else.
    Other,
}

/// Finds out what an error means.
pub fn fault(error: &DbErr) -> Fault {
    let error = match error {
        DbErr::ConnectionAcquire(ConnAcquireErr::Timeout) => return Fault::Unavailable,
        DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed) => return Fault::Lost,
        DbErr::Conn(RuntimeErr::SqlxError(e))
        | DbErr::Exec(RuntimeErr::SqlxError(e))
        | DbErr::Query(RuntimeErr::SqlxError(e)) => e.as_ref(),
        _ => return Fault::Other,
    };
    match error {
        sqlx::Error::Database(error) => {
            if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
                postgres(error)
            } else if error.try_downcast_ref::<SqliteError>().is_some() {
                sqlite(error.code().and_then(|code| code.parse().ok()).unwrap_or(0), error.message())
            } else {
                Fault::Other
            }
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::PoolClosed
        | sqlx::Error::BeginFailed => Fault::Lost,
        sqlx::Error::PoolTimedOut => Fault::Unavailable,
        _ => Fault::Other,
    }
}

/// By SQLSTATE (PostgreSQL documentation, appendix A).
fn postgres(error: &PgDatabaseError) -> Fault {
    match error.code() {
        "23505" => Fault::Unique(error.constraint().unwrap_or_default().to_owned()),
        // serialization_failure, deadlock_detected, lock_not_available
        "40001" | "40P01" | "55P03" => Fault::Contention,
        // admin_shutdown, crash_shutdown, cannot_connect_now, idle_in_transaction_session_timeout
        "57P01" | "57P02" | "57P03" | "25P03" => Fault::Lost,
        code if code.starts_with("08") => Fault::Lost,
        _ => Fault::Other,
    }
}

/// By extended result code (SQLite documentation, "Result and Error Codes").
fn sqlite(code: i32, message: &str) -> Fault {
    match code {
        // CONSTRAINT_PRIMARYKEY, CONSTRAINT_UNIQUE, CONSTRAINT_ROWID
        1555 | 2067 | 2579 => Fault::Unique(message.to_owned()),
        // BUSY and LOCKED in all their forms
        code if matches!(code & 0xff, 5 | 6) => Fault::Contention,
        _ => Fault::Other,
    }
}
