//! What becomes of a hold: it is captured, in whole or in part, or let go.
//!
//! Whoever may charge the credits that are held may do both. A hold is known by its id alone, so it is looked
//! up first, and to those who may not see it it is not there.

use bursar_domain::id::{ChargeId, EntryId, HoldId};
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::ledger::{
    CaptureHold, Command, CommandId, HoldState, Instruction, LineRequest, Refusal, TransferKind, VoidHold,
};
use bursar_entity::hold;
use sea_orm::{ColumnTrait, QueryFilter};
use serde_json::Value;

use super::hold::{HeldLine, held_lines};
use super::request::{lines_into, metadata};
use crate::auth::{Authorized, Caller};
use crate::db::Snapshots;
use crate::error::{Error, Result};
use crate::idempotency::Idempotency;
use crate::ledger::{Ledger, Receipt, ReceiptRow, Submission, decode_lines};
use crate::text;

/// What is to be charged of a hold.
#[derive(Clone, Debug)]
pub struct CaptureRequest {
    /// Which hold.
    pub hold: HoldId,
    /// What was done; none: all that is left.
    pub lines: Option<Vec<LineRequest>>,
    /// Whether what is left after it is let go.
    pub last: bool,
    /// The property or listing; none: that of the hold.
    pub subject: Option<String>,
    /// What the caller attaches: a JSON object.
    pub metadata: Option<Value>,
}

/// A hold to be let go.
#[derive(Clone, Debug)]
pub struct VoidRequest {
    /// Which hold.
    pub hold: HoldId,
    /// Why, in the caller's words.
    pub reason: Option<String>,
}

/// What was done to a hold.
#[derive(Debug)]
pub struct Changed {
    /// What the ledger has answered.
    pub receipt: Receipt,
    /// The hold after it.
    pub hold: hold::Model,
}

/// Charges what is held, or a part of it; with `dry_run` it is only rehearsed.
pub async fn capture(
    ledger: &Ledger,
    snapshots: &Snapshots,
    caller: &Caller,
    request: CaptureRequest,
    (key, dry_run): (&str, bool),
) -> Result<Changed> {
    let CaptureRequest { hold, lines, last, subject, metadata: attached } = request;
    let hold = caller.hold(snapshots, hold).await.map_err(|error| error.at("holdId"))?;
    let subject = text::optional_name("subject", subject.as_deref())?;
    let metadata = metadata(attached.as_ref())?;
    let mut form = Canonical::of("capture");
    form.id(hold.id);
    form.option(lines.as_deref(), lines_into);
    form.number(i64::from(last));
    for text in [&subject, &metadata] {
        form.option(text.as_deref(), |form, text| _ = form.text(text));
    }
    let clock = &ledger.context().clock;
    let capture = CaptureHold { hold: hold.id, department: hold.department_id, lines, last };
    let id = CommandId::Charge(clock.new_id::<ChargeId>());
    let idempotency = Idempotency::new("captureHold", key, &form);
    let submission = Submission {
        subject: subject.or_else(|| hold.subject.clone()),
        metadata,
        ..submission(ledger, &hold, id, idempotency, Instruction::Capture(capture))
    };
    change(ledger, snapshots, hold, submission, dry_run).await
}

/// Lets go of what is held; with `dry_run` it is only rehearsed.
pub async fn void(
    ledger: &Ledger,
    snapshots: &Snapshots,
    caller: &Caller,
    request: VoidRequest,
    (key, dry_run): (&str, bool),
) -> Result<Changed> {
    let hold = caller.hold(snapshots, request.hold).await.map_err(|error| error.at("holdId"))?;
    let reason = text::optional_note("reason", request.reason.as_deref())?;
    let mut form = Canonical::of("void");
    form.id(hold.id);
    form.option(reason.as_deref(), |form, reason| _ = form.text(reason));
    let clock = &ledger.context().clock;
    let void = VoidHold { hold: hold.id, department: hold.department_id };
    let id = CommandId::Entry(clock.new_id::<EntryId>());
    let idempotency = Idempotency::new("voidHold", key, &form);
    let submission =
        Submission { reason, ..submission(ledger, &hold, id, idempotency, Instruction::Void(void)) };
    change(ledger, snapshots, hold, submission, dry_run).await
}

fn submission(
    ledger: &Ledger,
    hold: &Authorized<hold::Model>,
    id: CommandId,
    idempotency: Idempotency,
    instruction: Instruction,
) -> Submission {
    let command = Command {
        id,
        pool: hold.pool_id,
        key: idempotency.key,
        request: idempotency.request,
        now: ledger.context().clock.now(),
        instruction,
    };
    let (actor, standing) = (hold.actor().clone(), hold.standing());
    Submission { command, actor, standing, subject: None, metadata: None, reason: None }
}

/// Carries a command on a hold out, or rehearses it, and answers with the hold after it.
async fn change(
    ledger: &Ledger,
    snapshots: &Snapshots,
    hold: Authorized<hold::Model>,
    submission: Submission,
    dry_run: bool,
) -> Result<Changed> {
    let (tenant, id) = (hold.tenant(), hold.id);
    let last = match &submission.command.instruction {
        Instruction::Capture(capture) => capture.last,
        _ => true,
    };
    // As for a charge: nobody waits for the writer while holding a reader.
    snapshots.close().await;
    let outcome = match dry_run {
        true => ledger.rehearse(tenant, submission).await,
        false => ledger.submit(tenant, submission).await,
    };
    let gone = matches!(outcome, Err(Error::Refused(Refusal::HoldNotFound)));
    let receipt = if gone { None } else { Some(outcome?) };
    let snapshot = snapshots.open(tenant).await?;
    let row = tenant.find::<hold::Entity>().filter(hold::Column::Id.eq(id)).one(&*snapshot).await?;
    let mut hold = row.ok_or_else(|| Error::internal("a hold has gone"))?;
    drop(snapshot);
    let Some(receipt) = receipt else {
        // The ledger remembers only those that are open.
        return Err(match hold.state {
            HoldState::Open => Refusal::HoldNotFound.into(),
            state => Refusal::HoldClosed { state }.into(),
        });
    };
    if dry_run && !receipt.replayed {
        rehearsed(&mut hold, &receipt, last)?;
    }
    Ok(Changed { receipt, hold })
}

/// Does to a hold's row what a rehearsed command would do to it.
fn rehearsed(row: &mut hold::Model, receipt: &Receipt, last: bool) -> Result<()> {
    let (state, at) = match &receipt.row {
        ReceiptRow::Charge(charge) => {
            let mut held = held_lines(row)?;
            let mut rest = held.iter_mut();
            for line in decode_lines(charge)? {
                // The lines of a capture are in the order of its hold's.
                let open = |held: &&mut HeldLine| {
                    held.line.service == line.service && held.captured < held.line.quantity
                };
                if let Some(held) = rest.find(open) {
                    held.captured += line.quantity;
                }
            }
            let units: Vec<i64> = held.iter().map(|held| held.captured).collect();
            let written = |error| Error::internal(format!("units of a hold: {error}"));
            row.captured_units = serde_json::to_string(&units).map_err(written)?;
            row.captured = row.captured.saturating_add(charge.credits);
            let released = receipt.transfers.iter().any(|row| row.kind == TransferKind::Release);
            if !last && !released && row.captured < row.credits {
                return Ok(());
            }
            (HoldState::Captured, charge.created_at)
        }
        ReceiptRow::Entry(entry) => (HoldState::Voided, entry.created_at),
        ReceiptRow::Hold(_) | ReceiptRow::Nothing => {
            return Err(Error::internal("a change of a hold was answered by something else"));
        }
    };
    (row.state, row.closed_at) = (state, Some(at));
    Ok(())
}
