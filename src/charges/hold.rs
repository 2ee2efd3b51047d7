//! Holding credits for charges to come, and what a hold's row says.

use bursar_domain::id::HoldId;
use bursar_domain::ledger::{CommandId, HoldCredits, HoldState, Instruction};
use bursar_domain::{Credits, Timestamp};
use bursar_entity::hold;

use super::request::{Allowed, ChargeRequest, forget};
use crate::auth::{Caller, PoolDirectory, UsePlace};
use crate::db::Snapshots;
use crate::error::{Error, Result};
use crate::idempotency::Idempotency;
use crate::ledger::{Ledger, Line, Receipt, ReceiptRow};

/// What is to be held.
#[derive(Clone, Debug)]
pub struct HoldRequest {
    /// What will be charged at most.
    pub charge: ChargeRequest,
    /// For how many seconds.
    pub seconds: i64,
}

/// Holds credits, or with `dry_run` rehearses it. Whoever may charge the credits may hold them.
pub async fn hold(
    ledger: &Ledger,
    snapshots: &Snapshots,
    directory: &PoolDirectory,
    caller: &Caller,
    request: HoldRequest,
    (key, dry_run): (&str, bool),
) -> Result<Receipt> {
    let HoldRequest { charge, seconds } = request;
    let allowed = Allowed::check(snapshots, directory, caller, charge).await?;
    let (tenant, member) = (allowed.pool.tenant(), allowed.member);
    let mut form = allowed.form("hold");
    form.number(seconds);
    let idempotency = Idempotency::new("holdCredits", key, &form);
    let clock = &ledger.context().clock;
    let id = CommandId::Hold(clock.new_id::<HoldId>());
    let instruction = |charge| Instruction::Hold(HoldCredits { charge, seconds });
    let submission = allowed.submission(clock, id, idempotency, instruction);
    // As for a charge: nobody waits for the writer while holding a reader.
    snapshots.close().await;
    let outcome = match dry_run {
        true => ledger.rehearse(tenant, submission).await,
        false => ledger.submit(tenant, submission).await,
    };
    forget(directory, tenant, member, &outcome);
    if let (false, Ok(Receipt { row: ReceiptRow::Hold(row), .. })) = (dry_run, &outcome) {
        let (organization, pool, department) = (row.organization_id, row.pool_id, row.department_id);
        directory.remember_hold(row.id, UsePlace { organization, pool, department });
    }
    outcome
}

/// A line of a hold.
#[derive(Clone, Debug)]
pub struct HeldLine {
    /// What may be charged at most, at the prices of the hold.
    pub line: Line,
    /// How many of its units have been charged.
    pub captured: i64,
}

/// The lines of a hold.
pub fn held_lines(row: &hold::Model) -> Result<Vec<HeldLine>> {
    let unreadable = |error| Error::internal(format!("lines of a hold: {error}"));
    let lines: Vec<Line> = serde_json::from_str(&row.lines).map_err(unreadable)?;
    let captured: Vec<i64> = serde_json::from_str(&row.captured_units).map_err(unreadable)?;
    if lines.len() != captured.len() {
        return Err(Error::internal("a hold does not count all of its lines"));
    }
    let held = |(line, captured)| HeldLine { line, captured };
    Ok(lines.into_iter().zip(captured).map(held).collect())
}

/// What has become of a hold by an instant: it expires at its very instant, whenever that is booked.
pub fn state_at(row: &hold::Model, now: Timestamp) -> HoldState {
    match row.state {
        HoldState::Open if row.expires_at <= now => HoldState::Expired,
        state => state,
    }
}

/// What a hold holds at an instant.
pub fn remaining(row: &hold::Model, now: Timestamp) -> Credits {
    match state_at(row, now) {
        HoldState::Open => row.credits.saturating_sub(row.captured),
        HoldState::Captured | HoldState::Voided | HoldState::Expired => Credits::ZERO,
    }
}
