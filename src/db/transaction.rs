//! One transaction, on either database, as a connection that SeaORM can use.
//!
//! On PostgreSQL the transaction is begun by one message that also sets isolation, access mode and
//! scope, which SeaORM's own `begin` cannot do: that is the reason for this type. It has one user at
//! a time; others queue for it.

use std::sync::Arc;

use sea_orm::prelude::async_trait::async_trait;
use sea_orm::sqlx::{self, Postgres};
use sea_orm::{
    ConnectionTrait, DatabaseBackend, DatabaseConnection, DatabaseTransaction, DbErr, ExecResult,
    QueryResult, RuntimeErr, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait, Values,
};
use sea_query_sqlx::SqlxValues;
use tokio::sync::Mutex;

use super::scope::{Scope, Tenant};
use super::unfiltered::{Filter, Reading};

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Reading one snapshot.
    Snapshot,
    /// Changing rows.
    Write,
}

/// An open transaction. Dropped without a commit it is rolled back.
pub struct Txn(Inner, Reading);

enum Inner {
    Sqlite(DatabaseTransaction),
    Postgres(Box<Mutex<sqlx::Transaction<'static, Postgres>>>),
}

impl Txn {
    /// Begins a transaction. Must not be cancelled: a BEGIN that is cut off leaves its connection
    /// inside a transaction. Callers run it in a task of its own.
    pub(super) async fn begin(
        db: &DatabaseConnection,
        access: Access,
        scope: &Scope,
        filter: &Filter,
    ) -> Result<Txn, DbErr> {
        let reading = filter.reading(scope);
        if db.get_database_backend() == DatabaseBackend::Postgres {
            let mode = match access {
                Access::Snapshot => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ",
                Access::Write => "BEGIN ISOLATION LEVEL READ COMMITTED; ",
            };
            let sql = sqlx::AssertSqlSafe(mode.to_owned() + &scope.settings());
            let transaction = db.get_postgres_connection_pool().begin_with(sql).await.map_err(failed)?;
            return Ok(Txn(Inner::Postgres(Box::new(Mutex::new(transaction))), reading));
        }
        let options = TransactionOptions {
            // A deferred transaction that turns into a writer fails under contention instead of waiting.
            sqlite_transaction_mode: (access == Access::Write).then_some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        Ok(Txn(Inner::Sqlite(db.begin_with_options(options).await?), reading))
    }

    /// Turns to the rows of an organization, or of the vendor: what follows sees and writes those, as if the
    /// transaction had begun with them. What a person does is recorded so in each of the person's organizations,
    /// with the change itself.
    pub async fn turn_to(&self, tenant: Tenant) -> Result<(), DbErr> {
        if self.get_database_backend() == DatabaseBackend::Postgres {
            self.execute_unprepared(&Scope::Tenant(tenant).settings()).await?;
        }
        Ok(())
    }

    /// Lets what follows count what must not be tried too often, beside what the transaction sees and writes already: so
    /// that what is undone is not counted.
    pub async fn turn_to_attempts(&self) -> Result<(), DbErr> {
        if self.get_database_backend() == DatabaseBackend::Postgres {
            self.execute_unprepared(&Scope::Attempts.settings()).await?;
        }
        Ok(())
    }

    /// Makes what was written last.
    pub(super) async fn commit(self) -> Result<(), DbErr> {
        match self.0 {
            Inner::Sqlite(transaction) => transaction.commit().await,
            Inner::Postgres(transaction) => transaction.into_inner().commit().await.map_err(failed),
        }
    }

    /// PostgreSQL's own transaction.
    pub(super) fn postgres(&self) -> Option<&Mutex<sqlx::Transaction<'static, Postgres>>> {
        match &self.0 {
            Inner::Sqlite(_) => None,
            Inner::Postgres(transaction) => Some(transaction),
        }
    }

    /// Undoes what was written, and waits until the database has.
    pub(super) async fn rollback(self) -> Result<(), DbErr> {
        match self.0 {
            Inner::Sqlite(transaction) => transaction.rollback().await,
            Inner::Postgres(transaction) => transaction.into_inner().rollback().await.map_err(failed),
        }
    }
}

pub(super) fn failed(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(Arc::new(error)))
}

fn query(statement: &Statement) -> sqlx::query::Query<'_, Postgres, SqlxValues> {
    let values = statement.values.clone().unwrap_or(Values(Vec::new()));
    sqlx::query_with(sqlx::AssertSqlSafe(statement.sql.as_str()), SqlxValues(values))
}

#[async_trait]
impl ConnectionTrait for Txn {
    fn get_database_backend(&self) -> DatabaseBackend {
        match &self.0 {
            Inner::Sqlite(_) => DatabaseBackend::Sqlite,
            Inner::Postgres(_) => DatabaseBackend::Postgres,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match &self.0 {
            Inner::Sqlite(transaction) => transaction.execute_raw(statement).await,
            Inner::Postgres(transaction) => {
                let mut transaction = transaction.lock().await;
                query(&statement).execute(&mut **transaction).await.map(Into::into).map_err(failed)
            }
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match &self.0 {
            Inner::Sqlite(transaction) => transaction.execute_unprepared(sql).await,
            Inner::Postgres(transaction) => {
                let mut transaction = transaction.lock().await;
                sqlx::Executor::execute(&mut **transaction, sqlx::AssertSqlSafe(sql.to_owned()))
                    .await
                    .map(Into::into)
                    .map_err(failed)
            }
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let (statement, witness) = self.1.statement(statement);
        let row: Option<QueryResult> = match &self.0 {
            Inner::Sqlite(transaction) => transaction.query_one_raw(statement).await?,
            Inner::Postgres(transaction) => {
                let mut transaction = transaction.lock().await;
                let row = query(&statement).fetch_optional(&mut **transaction).await.map_err(failed)?;
                row.map(Into::into)
            }
        };
        witness.saw(&row);
        Ok(row)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let (statement, witness) = self.1.statement(statement);
        let rows: Vec<QueryResult> = match &self.0 {
            Inner::Sqlite(transaction) => transaction.query_all_raw(statement).await?,
            Inner::Postgres(transaction) => {
                let mut transaction = transaction.lock().await;
                let rows = query(&statement).fetch_all(&mut **transaction).await.map_err(failed)?;
                rows.into_iter().map(Into::into).collect()
            }
        };
        witness.saw(&rows);
        Ok(rows)
    }
}
