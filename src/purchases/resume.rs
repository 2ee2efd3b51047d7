//! Letting an organization act again: what was paid for while it was suspended comes in, and what was put off is done.

use bursar_entity::organization;

use super::book_waiting;
use super::timed::wake;
use super::waiting::{issue_waiting, lock_heads};
use crate::approvals::{APPROVAL_DUE, DELEGATION_BEGINS, PURCHASE_APPROVED};
use crate::auth::{Actor, Authorized};
use crate::db::{self, Tenant};
use crate::error::Result;
use crate::ledger::Ledger;
use crate::{audit, organizations, text};

/// Lets an organization and its sandbox act again and, in the same transaction, issues the lots of purchases that
/// were paid meanwhile, but for those of pools that are frozen. One that is not suspended stays as it is.
///
/// # Errors
/// [`Error::Invalid`](crate::error::Error::Invalid) at `reason`; what the database answers.
pub async fn resume(
    ledger: &Ledger,
    organization: &Authorized<organization::Model>,
    reason: &str,
) -> Result<organization::Model> {
    let reason = text::note("reason", reason)?;
    let after = resume_one(ledger, organization.tenant(), organization.actor(), &reason).await?;
    // What was left of it by an earlier try is done now.
    if let Some(sandbox) = organizations::sandbox_of(ledger.context(), organization).await? {
        resume_one(ledger, sandbox, organization.actor(), &reason).await?;
    }
    Ok(after)
}

async fn resume_one(
    ledger: &Ledger,
    tenant: Tenant,
    actor: &Actor,
    reason: &str,
) -> Result<organization::Model> {
    let (books, actor, reason) = (ledger.clone(), actor.clone(), reason.to_owned());
    let work = db::work(move |txn| {
        let (books, actor, reason) = (books.clone(), actor.clone(), reason.clone());
        Box::pin(async move {
            organizations::lock_for(txn, tenant, &actor).await?;
            let (row, resumed) = organizations::resume_in(txn, tenant, &reason).await?;
            let Some(resumed) = resumed else { return Ok((row, Vec::new())) };
            lock_heads(txn, tenant).await?;
            let mut committed = issue_waiting(txn, &books, (tenant, &actor), None).await?;
            // What was returned meanwhile goes after it has come in.
            committed.extend(book_waiting(txn, &books, (tenant, &actor), None).await?);
            // What was put off need not wait for the next try: people are asked again, and what they agreed to is paid.
            for kind in [APPROVAL_DUE, DELEGATION_BEGINS, PURCHASE_APPROVED] {
                wake(txn, tenant, kind, books.context().clock.now()).await?;
            }
            audit::record(txn, tenant, &books.context().clock, &actor, resumed).await?;
            Ok((row, committed))
        })
    });
    let (row, committed) = ledger.context().db.write(tenant, work).await?;
    ledger.context().changes.announce(&committed);
    Ok(row)
}
