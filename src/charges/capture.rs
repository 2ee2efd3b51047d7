//! What becomes of a hold: it is captured, in whole or in part, or let go.
//!
//! Whoever may charge the credits that are held may do both. A hold is known by its id alone, so it is looked
//! up first, and to those who may not see it it is not there.

use bursar_domain::id::{ChargeId, EntryId, HoldId};
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::ledger::{
    CaptureHold, Command, CommandId, HoldState, Instruction, LineRequest, Refusal, VoidHold,
};
use bursar_entity::hold;
use sea_orm::{ColumnTrait, QueryFilter};
use serde_json::Value;

use super::request::{lines_into, metadata};
use crate::auth::{Authorized, Caller, PoolDirectory, UsePlace};
use crate::db::{Snapshots, Tenant};
use crate::error::{Error, Result};
use crate::idempotency::Idempotency;
use crate::ledger::{Ledger, Receipt, Submission};
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
    directory: &PoolDirectory,
    caller: &Caller,
    request: CaptureRequest,
    (key, dry_run): (&str, bool),
) -> Result<Changed> {
    let CaptureRequest { hold: id, lines, last, subject, metadata: attached } = request;
    let place = caller.hold(snapshots, directory, id).await.map_err(|error| error.at("holdId"))?;
    let subject = text::optional_reference("subject", subject.as_deref())?;
    let metadata = metadata(attached.as_ref())?;
    let mut form = Canonical::of("capture");
    form.id(id);
    form.option(lines.as_deref(), lines_into);
    form.number(i64::from(last));
    for text in [&subject, &metadata] {
        form.option(text.as_deref(), |form, text| _ = form.text(text));
    }
    let clock = &ledger.context().clock;
    let capture = CaptureHold { hold: id, department: place.department, lines, last };
    let charge = CommandId::Charge(clock.new_id::<ChargeId>());
    let idempotency = Idempotency::new("captureHold", key, &form);
    let submission = Submission {
        subject,
        metadata,
        ..submission(ledger, &place, charge, idempotency, Instruction::Capture(capture))
    };
    change(ledger, snapshots, (place.tenant(), id), submission, dry_run).await
}

/// Lets go of what is held; with `dry_run` it is only rehearsed.
pub async fn void(
    ledger: &Ledger,
    snapshots: &Snapshots,
    directory: &PoolDirectory,
    caller: &Caller,
    request: VoidRequest,
    (key, dry_run): (&str, bool),
) -> Result<Changed> {
    let id = request.hold;
    let place = caller.hold(snapshots, directory, id).await.map_err(|error| error.at("holdId"))?;
    let reason = text::optional_note("reason", request.reason.as_deref())?;
    let mut form = Canonical::of("void");
    form.id(id);
    form.option(reason.as_deref(), |form, reason| _ = form.text(reason));
    let clock = &ledger.context().clock;
    let void = VoidHold { hold: id, department: place.department };
    let entry = CommandId::Entry(clock.new_id::<EntryId>());
    let idempotency = Idempotency::new("voidHold", key, &form);
    let submission =
        Submission { reason, ..submission(ledger, &place, entry, idempotency, Instruction::Void(void)) };
    change(ledger, snapshots, (place.tenant(), id), submission, dry_run).await
}

fn submission(
    ledger: &Ledger,
    place: &Authorized<UsePlace>,
    id: CommandId,
    idempotency: Idempotency,
    instruction: Instruction,
) -> Submission {
    let command = Command {
        id,
        pool: place.pool,
        key: idempotency.key,
        request: idempotency.request,
        now: ledger.context().clock.now(),
        instruction,
    };
    let (actor, standing) = (place.actor().clone(), place.standing());
    Submission { command, actor, standing, subject: None, metadata: None, reason: None }
}

/// Carries a command on a hold out, or rehearses it, and answers with the hold after it.
async fn change(
    ledger: &Ledger,
    snapshots: &Snapshots,
    (tenant, id): (Tenant, HoldId),
    submission: Submission,
    dry_run: bool,
) -> Result<Changed> {
    // As for a charge: nobody waits for the writer while holding a reader.
    snapshots.close().await;
    let outcome = match dry_run {
        true => ledger.rehearse(tenant, submission).await,
        false => ledger.submit(tenant, submission).await,
    };
    let gone = matches!(outcome, Err(Error::Refused(Refusal::HoldNotFound)));
    let receipt = match outcome {
        Ok(mut receipt) => match receipt.hold.take() {
            Some(hold) => return Ok(Changed { receipt, hold }),
            None => Some(receipt),
        },
        Err(_) if gone => None,
        Err(error) => return Err(error),
    };
    // What repeats a command shows the hold as it is now.
    let snapshot = snapshots.open(tenant).await?;
    let row = tenant.find::<hold::Entity>().filter(hold::Column::Id.eq(id)).one(&*snapshot).await?;
    let hold = row.ok_or_else(|| Error::internal("a hold has gone"))?;
    drop(snapshot);
    let Some(receipt) = receipt else {
        // The ledger remembers only those that are open.
        return Err(match hold.state {
            HoldState::Open => Refusal::HoldNotFound.into(),
            state => Refusal::HoldClosed { state }.into(),
        });
    };
    Ok(Changed { receipt, hold })
}
