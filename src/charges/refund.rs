//! Giving charges back, in whole or in part.
//!
//! The operator gives back whatever it finds right. Those who answer for the credits that were used give back
//! what a service's guarantee covers; whether it does, the ledger decides.

use bursar_domain::Credits;
use bursar_domain::id::{ChargeId, EntryId, LotId};
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::ledger::{Command, CommandId, Instruction, RefundCharge};
use bursar_domain::permission::Action;

use crate::auth::{Caller, PoolDirectory};
use crate::db::Snapshots;
use crate::error::Result;
use crate::idempotency::Idempotency;
use crate::ledger::{Ledger, Receipt, Submission};
use crate::text;

/// What is to be given back.
#[derive(Clone, Debug)]
pub struct RefundRequest {
    /// Which charge.
    pub charge: ChargeId,
    /// How many credits; none: all that is left of it.
    pub credits: Option<Credits>,
    /// Whether the provider is at fault: then what would lapse is replaced.
    pub provider_fault: bool,
    /// Whether it must be covered by the guarantees of the services.
    pub guaranteed: bool,
    /// Why, in the caller's words.
    pub reason: Option<String>,
}

/// Gives a charge back, or a part of it; with `dry_run` it is only rehearsed.
pub async fn refund(
    ledger: &Ledger,
    snapshots: &Snapshots,
    directory: &PoolDirectory,
    caller: &Caller,
    request: RefundRequest,
    (key, dry_run): (&str, bool),
) -> Result<Receipt> {
    let RefundRequest { charge: id, credits, provider_fault, guaranteed, reason } = request;
    // Who is at fault is for the operator to say.
    let actions: &[Action] = match guaranteed && !provider_fault {
        true => &[Action::RefundCharges, Action::RefundUnderGuarantee],
        false => &[Action::RefundCharges],
    };
    let place = caller.charge(snapshots, directory, id, actions).await;
    let place = place.map_err(|error| error.at("chargeId"))?;
    let reason = text::optional_note("reason", reason.as_deref())?;
    let mut form = Canonical::of("refund");
    form.id(id);
    form.option(credits, |form, credits| _ = form.number(credits.get()));
    form.number(i64::from(provider_fault)).number(i64::from(guaranteed));
    form.option(reason.as_deref(), |form, reason| _ = form.text(reason));
    let idempotency = Idempotency::new("refundCharge", key, &form);
    let clock = &ledger.context().clock;
    let refund = RefundCharge {
        charge: id,
        department: place.department,
        credits,
        provider_fault,
        guaranteed,
        first_lot: clock.new_id::<LotId>(),
    };
    let command = Command {
        id: CommandId::Entry(clock.new_id::<EntryId>()),
        pool: place.pool,
        key: idempotency.key,
        request: idempotency.request,
        now: clock.now(),
        instruction: Instruction::Refund(refund),
    };
    let (actor, standing) = (place.actor().clone(), place.standing());
    let submission = Submission { command, actor, standing, subject: None, metadata: None, reason };
    // As for a charge: nobody waits for the writer while holding a reader.
    snapshots.close().await;
    ledger.give_back(place.tenant(), submission, dry_run).await
}
