//! Opening a frozen pool: what was paid for meanwhile comes in, and what time has brought is booked.

use bursar_entity::pool;

use super::book_waiting;
use super::timed::wake;
use super::waiting::{issue_waiting, lock_heads};
use crate::audit;
use crate::auth::Authorized;
use crate::db;
use crate::error::Result;
use crate::ledger::{DEBT_HOME, Ledger};
use crate::organizations::lock_for;
use crate::{pools, text};

/// Opens a pool again and, in the same transaction, issues the lots of purchases that were paid while it was
/// frozen. One that is open stays as it is. In a suspended organization they come in when it may act again.
pub async fn unfreeze(ledger: &Ledger, pool: &Authorized<pool::Model>, reason: &str) -> Result<pool::Model> {
    let reason = text::optional_note("reason", Some(reason))?;
    let (tenant, books, pool) = (pool.tenant(), ledger.clone(), pool.clone());
    let work = db::work(move |txn| {
        let (books, pool, reason) = (books.clone(), pool.clone(), reason.clone());
        Box::pin(async move {
            let clock = &books.context().clock;
            lock_for(txn, tenant, pool.actor()).await?;
            // All heads, in order: what was returned meanwhile may lie in any pool.
            lock_heads(txn, tenant).await?;
            let (row, thawed) = pools::thaw(txn, &pool, reason.as_deref()).await?;
            let mut committed = Vec::new();
            if let Some(thawed) = thawed {
                // The pool's head is locked: whoever completes a purchase for it now waits for this.
                committed.extend(issue_waiting(txn, &books, (tenant, pool.actor()), Some(row.id)).await?);
                // What was returned meanwhile goes after it has come in.
                let returned = book_waiting(txn, &books, (tenant, pool.actor()), Some(row.id)).await?;
                committed.extend(returned);
                let due = pools::book_due(clock, row.id)?;
                let (_, changes) = books.apply(txn, tenant, due).await?;
                committed.extend(changes);
                // Debts that could not go home, or leave this pool, need not wait for the next try.
                wake(txn, tenant, DEBT_HOME, clock.now()).await?;
                audit::record(txn, tenant, clock, pool.actor(), thawed).await?;
            }
            Ok((row, committed))
        })
    });
    let (row, committed) = ledger.context().db.write(tenant, work).await?;
    ledger.context().changes.announce(&committed);
    Ok(row)
}
