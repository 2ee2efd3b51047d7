//! Making a charge.

use bursar_domain::id::ChargeId;
use bursar_domain::ledger::{CommandId, Instruction};

use super::request::{Allowed, ChargeRequest, forget};
use crate::auth::{Caller, PoolDirectory, UsePlace};
use crate::clock::Clock;
use crate::db::Snapshots;
use crate::error::Result;
use crate::idempotency::Idempotency;
use crate::ledger::{Ledger, Receipt, ReceiptRow, Submission};

/// Makes a charge, or with `dry_run` rehearses it: the whole answer, and nothing stays.
pub async fn create(
    ledger: &Ledger,
    snapshots: &Snapshots,
    directory: &PoolDirectory,
    caller: &Caller,
    request: ChargeRequest,
    (key, dry_run): (&str, bool),
) -> Result<Receipt> {
    let allowed = Allowed::check(snapshots, directory, caller, request).await?;
    let (tenant, member) = (allowed.pool.tenant(), allowed.member);
    let submission = submission(&ledger.context().clock, allowed, key);
    // The snapshot is done with: nobody waits for the writer while holding a reader.
    snapshots.close().await;
    let outcome = match dry_run {
        true => ledger.rehearse(tenant, submission).await,
        false => ledger.submit(tenant, submission).await,
    };
    forget(directory, tenant, member, &outcome);
    if let (false, Ok(Receipt { row: ReceiptRow::Charge(row), .. })) = (dry_run, &outcome) {
        let (organization, pool, department) = (row.organization_id, row.pool_id, row.department_id);
        directory.remember_charge(row.id, UsePlace { organization, pool, department });
    }
    outcome
}

/// A charge as a command. Its key is of the same name space whether it comes alone or in a batch.
pub(super) fn submission(clock: &Clock, allowed: Allowed, key: &str) -> Submission {
    let idempotency = Idempotency::new("chargeCredits", key, &allowed.form("charge"));
    let id = CommandId::Charge(clock.new_id::<ChargeId>());
    allowed.submission(clock, id, idempotency, Instruction::Charge)
}
