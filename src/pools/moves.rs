//! Moving credits between any two holders of an organization: departments and unallocated, in one pool or from
//! one pool to another. Lots, expiries and costs go along.

use bursar_domain::Credits;
use bursar_domain::id::DepartmentId;
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::ledger::{Instruction, MoveCredits};
use bursar_entity::pool;

use super::entry::{carry_out, command};
use crate::auth::Authorized;
use crate::error::{Error, Result};
use crate::idempotency::Idempotency;
use crate::ledger::{Ledger, Receipt, Submission};
use crate::text;

/// What is to be moved.
#[derive(Clone, Debug)]
pub struct Move {
    /// The department that gives; none: unallocated.
    pub from: Option<DepartmentId>,
    /// The department that receives; none: unallocated.
    pub to: Option<DepartmentId>,
    /// How many credits.
    pub credits: Credits,
    /// Why, in the caller's words.
    pub reason: Option<String>,
    /// The client's idempotency key.
    pub key: String,
    /// Whether everything is to be rolled back at the end.
    pub dry_run: bool,
}

/// Moves credits from a holder in one pool to a holder in the same pool or another.
///
/// # Errors
/// What stands in the way where the credits go is a refusal of its own kind, `Refusal::Target`.
pub async fn transfer(
    ledger: &Ledger,
    from: &Authorized<pool::Model>,
    to: &Authorized<pool::Model>,
    request: Move,
) -> Result<Receipt> {
    // Credits never leave their organization, whoever may see another one too.
    if from.tenant() != to.tenant() {
        return Err(Error::not_found("pool").at("to.poolId"));
    }
    let reason = text::optional_note("reason", request.reason.as_deref())?;
    let mut form = Canonical::of("move");
    for (pool, department) in [(from.id, request.from), (to.id, request.to)] {
        form.id(pool).option(department, |form, id| _ = form.id(id));
    }
    form.number(request.credits.get());
    form.option(reason.as_deref(), |form, reason| _ = form.text(reason));
    let idempotency = Idempotency::new("transferCredits", &request.key, &form);
    let clock = &ledger.context().clock;
    let movement = MoveCredits {
        from: request.from,
        to_pool: (to.id != from.id).then_some(to.id),
        to: request.to,
        new_account: clock.new_id(),
        credits: request.credits,
    };
    let command = command(clock, from.id, idempotency, Instruction::Move(movement));
    let (actor, standing) = (from.actor().clone(), from.standing());
    let submission = Submission { command, actor, standing, subject: None, metadata: None, reason };
    carry_out(ledger, from.tenant(), submission, request.dry_run).await
}
