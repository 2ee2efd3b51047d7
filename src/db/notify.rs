//! PostgreSQL's LISTEN and NOTIFY, each on a connection of its own, outside of the pools and of every
//! transaction that changes rows: a commit with a NOTIFY in it would wait for all others.

use sea_orm::sqlx::postgres::{PgConnection, PgListener};
use sea_orm::sqlx::{self, Connection};

use super::Database;
use super::transaction::failed;
use crate::error::{Error, Result};

/// Sends messages.
pub struct Notifier(PgConnection);

/// Receives messages.
pub struct Listener(PgListener);

impl Database {
    /// Connects to send messages.
    pub async fn notifier(&self) -> Result<Notifier> {
        Ok(Notifier(PgConnection::connect(&self.url).await.map_err(failed)?))
    }

    /// Connects and listens to a channel.
    pub async fn listener(&self, channel: &str) -> Result<Listener> {
        let mut listener = PgListener::connect(&self.url).await.map_err(failed)?;
        listener.listen(channel).await.map_err(failed)?;
        Ok(Listener(listener))
    }
}

impl Notifier {
    /// Sends a message of less than 8,000 bytes.
    pub async fn notify(&mut self, channel: &str, payload: &str) -> Result<()> {
        let statement = sqlx::query("SELECT pg_notify($1, $2)").bind(channel).bind(payload);
        statement.execute(&mut self.0).await.map_err(failed)?;
        Ok(())
    }
}

impl Listener {
    /// Waits for the next message. An error when the connection is lost: messages may have been missed.
    pub async fn next(&mut self) -> Result<String> {
        match self.0.try_recv().await.map_err(failed)? {
            Some(notification) => Ok(notification.payload().to_owned()),
            None => Err(Error::internal("the connection that listens was lost")),
        }
    }
}
