//! Commands that leave a journal entry: how they are put together, carried out, and rehearsed.

use bursar_domain::id::{EntryId, PoolId};
use bursar_domain::ledger::{Command, CommandId, Instruction, Key, Refusal, RequestHash};

use crate::auth::{Actor, Standing};
use crate::clock::Clock;
use crate::db::Tenant;
use crate::error::{Error, Result};
use crate::idempotency::Idempotency;
use crate::ledger::{Ledger, Receipt, Submission, Together};

/// A command that leaves a journal entry.
pub(super) fn command(
    clock: &Clock,
    pool: PoolId,
    idempotency: Idempotency,
    instruction: Instruction,
) -> Command {
    Command {
        id: CommandId::Entry(clock.new_id::<EntryId>()),
        pool,
        key: idempotency.key,
        request: idempotency.request,
        now: clock.now(),
        instruction,
    }
}

/// Carries a command out, or says what that would do.
pub(super) async fn carry_out(
    ledger: &Ledger,
    tenant: Tenant,
    submission: Submission,
    dry_run: bool,
) -> Result<Receipt> {
    match dry_run {
        true => ledger.rehearse(tenant, submission).await,
        false => ledger.submit(tenant, submission).await,
    }
}

/// Why several commands of one call were not carried out.
#[derive(Debug)]
pub struct Misfit {
    /// Which of them stood in the way, from 0.
    pub item: usize,
    /// Why.
    pub error: Error,
}

/// Carries several commands out in one commit, all of them or none, or says what that would do. Inside: which
/// of them was refused.
pub(super) async fn carry_out_all(
    ledger: &Ledger,
    tenant: Tenant,
    submissions: Vec<Submission>,
    dry_run: bool,
) -> Result<Result<Vec<Receipt>, Misfit>> {
    let outcomes = match dry_run {
        true => ledger.rehearse_all(tenant, submissions, Together::Atomic).await?,
        false => ledger.submit_all(tenant, submissions, Together::Atomic).await?,
    };
    let mut receipts = Vec::with_capacity(outcomes.len());
    let mut misfit = None;
    for (item, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(receipt) => receipts.push(receipt),
            // The others are refused because of one, which says why.
            Err(Error::Refused(Refusal::BatchAborted { .. })) => {}
            Err(error @ Error::Refused(_)) => misfit = misfit.or(Some(Misfit { item, error })),
            Err(error) => return Err(error),
        }
    }
    Ok(match misfit {
        Some(misfit) => Err(misfit),
        None => Ok(receipts),
    })
}

/// A command by Bursar itself that books what time has brought to a pool, and nothing else. It leaves no entry,
/// so its key is never looked up.
pub fn book_due(clock: &Clock, pool: PoolId) -> Result<Submission> {
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(|error| Error::internal(format!("there is no randomness: {error}")))?;
    let idempotency = Idempotency { key: Key(key), request: RequestHash([0; 16]) };
    Ok(Submission {
        command: command(clock, pool, idempotency, Instruction::BookDue),
        actor: Actor::system(None),
        standing: Standing::default(),
        subject: None,
        metadata: None,
        reason: None,
    })
}
