//! Moving credits between unallocated and departments.

use bursar_domain::Credits;
use bursar_domain::id::{DepartmentId, EntryId};
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::ledger::{AllocateCredits, Command, CommandId, Instruction};
use bursar_entity::pool;

use crate::auth::Authorized;
use crate::error::Result;
use crate::idempotency::Idempotency;
use crate::ledger::{Ledger, Receipt, Submission};
use crate::text;

/// Which way credits go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the department.
    Allocate,
    /// Back from the department.
    Reclaim,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Allocation {
    /// Which way.
    pub direction: Direction,
    /// The department.
    pub department: DepartmentId,
    /// How many credits.
    pub credits: Credits,
    /// Why, in the caller's words.
    pub reason: Option<String>,
    /// The client's idempotency key.
    pub key: String,
    /// Whether everything is to be rolled back at the end.
    pub dry_run: bool,
}

/// Moves credits.
pub async fn allocate(
    ledger: &Ledger,
    pool: &Authorized<pool::Model>,
    request: Allocation,
) -> Result<Receipt> {
    let reason = text::optional_note("reason", request.reason.as_deref())?;
    let mut form = Canonical::of("allocation");
    form.id(pool.id).id(request.department).number(request.credits.get());
    form.option(reason.as_deref(), |form, reason| _ = form.text(reason));
    let mutation = match request.direction {
        Direction::Allocate => "allocateCredits",
        Direction::Reclaim => "reclaimCredits",
    };
    let idempotency = Idempotency::new(mutation, &request.key, &form);
    let clock = &ledger.context().clock;
    let movement = AllocateCredits {
        department: request.department,
        new_account: clock.new_id(),
        credits: request.credits,
    };
    let command = Command {
        id: CommandId::Entry(clock.new_id::<EntryId>()),
        pool: pool.id,
        key: idempotency.key,
        request: idempotency.request,
        now: clock.now(),
        instruction: match request.direction {
            Direction::Allocate => Instruction::Allocate(movement),
            Direction::Reclaim => Instruction::Reclaim(movement),
        },
    };
    let actor = pool.actor().clone();
    let standing = pool.standing();
    let submission = Submission { command, actor, standing, subject: None, metadata: None, reason };
    match request.dry_run {
        true => ledger.rehearse(pool.tenant(), submission).await,
        false => ledger.submit(pool.tenant(), submission).await,
    }
}
