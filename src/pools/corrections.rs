//! Corrections of balances by the operator. Nothing that is booked is ever changed: what is missing comes in as
//! a lot, what is too much is taken out, and the entry names the transfer that was wrong.

use bursar_domain::Credits;
use bursar_domain::id::{DepartmentId, LotId, PoolId};
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::ledger::{Instruction, LotClass, LotSource, TakeBackCredits};
use bursar_entity::{lot, pool, transfer};
use sea_orm::{ColumnTrait, QueryFilter};
use serde_json::json;

use super::entry::{carry_out, command};
use super::grants::{NewCredits, usual_priority};
use crate::auth::Authorized;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::global_id;
use crate::idempotency::Idempotency;
use crate::ledger::{Ledger, Receipt, Submission};
use crate::text;

/// A correction.
#[derive(Clone, Debug)]
pub struct Correction {
    /// Whose balance; none: the unallocated one.
    pub department: Option<DepartmentId>,
    /// How many credits are missing, or, below zero, are too many.
    pub credits: i64,
    /// Of which lot credits are taken; none: those that would be used last.
    pub lot: Option<LotId>,
    /// Why.
    pub reason: String,
    /// The transfer that was wrong, by its pool and version.
    pub corrects: Option<(PoolId, i64)>,
    /// The client's idempotency key.
    pub key: String,
    /// Whether everything is to be rolled back at the end.
    pub dry_run: bool,
}

/// The transfer that was wrong, and its lot.
struct Wrong {
    transfer: transfer::Model,
    lot: lot::Model,
}

/// Corrects a balance.
///
/// What comes in is a lot of source `CORRECTION` without a cost that does not expire; it has class and priority
/// of the lot whose transfer was wrong, if one is named. What is taken out of that transfer's lot is at most
/// what the transfer moved.
pub async fn correct(
    ledger: &Ledger,
    pool: &Authorized<pool::Model>,
    request: Correction,
) -> Result<Receipt> {
    let reason = text::optional_note("reason", Some(&request.reason))?;
    let amount = request.credits.checked_abs().and_then(Credits::new).filter(|amount| !amount.is_zero());
    let amount = amount.ok_or_else(|| {
        let most = Credits::MAX;
        Error::invalid("credits", format!("must be from -{most} to {most}, and not 0"))
    })?;
    let wrong = match request.corrects {
        Some(place) => Some(wrong(ledger.context(), pool, place).await?),
        None => None,
    };
    let mut form = Canonical::of("correction");
    form.id(pool.id).option(request.department, |form, id| _ = form.id(id));
    form.number(request.credits).option(request.lot, |form, id| _ = form.id(id));
    form.option(request.corrects, |form, (pool, version)| _ = form.id(pool).number(version));
    form.option(reason.as_deref(), |form, reason| _ = form.text(reason));
    let idempotency = Idempotency::new("correctBalance", &request.key, &form);
    let clock = &ledger.context().clock;
    let instruction = if request.credits > 0 {
        let (new, priority) = missing(&request, amount, wrong.as_ref())?;
        Instruction::Issue(new.issue(clock, LotSource::Correction, priority))
    } else {
        Instruction::TakeBack(too_many(&request, amount, wrong.as_ref())?)
    };
    let corrects = request.corrects.map(|(pool, version)| global_id::encode_transfer(pool, version));
    let submission = Submission {
        command: command(clock, pool.id, idempotency, instruction),
        actor: pool.actor().clone(),
        standing: pool.standing(),
        subject: None,
        metadata: corrects.map(|transfer| json!({ "corrects": transfer }).to_string()),
        reason,
    };
    carry_out(ledger, pool.tenant(), submission, request.dry_run).await
}

/// Looks the transfer up that was wrong.
async fn wrong(
    context: &Context,
    pool: &Authorized<pool::Model>,
    (of, version): (PoolId, i64),
) -> Result<Wrong> {
    let not_found = || Error::not_found("transfer").at("correctsTransferId");
    if of != pool.id {
        return Err(not_found());
    }
    let tenant = pool.tenant();
    let snapshot = context.db.read(tenant).await?;
    let row = tenant
        .find::<transfer::Entity>()
        .filter(transfer::Column::PoolId.eq(of))
        .filter(transfer::Column::Version.eq(version));
    let transfer = row.one(&snapshot).await?.ok_or_else(not_found)?;
    let lot = tenant.find::<lot::Entity>().filter(lot::Column::Id.eq(transfer.lot_id));
    let lot = lot.one(&snapshot).await?.ok_or_else(|| Error::internal("a transfer of no lot"))?;
    Ok(Wrong { transfer, lot })
}

/// What is missing, as credits that come in.
fn missing(request: &Correction, credits: Credits, wrong: Option<&Wrong>) -> Result<(NewCredits, i16)> {
    if request.lot.is_some() {
        let reason = "names where credits are taken; those that are put in make a lot of their own";
        return Err(Error::invalid("lotId", reason));
    }
    let usual = (LotClass::Promotional, usual_priority(LotClass::Promotional));
    let (class, priority) = wrong.map_or(usual, |wrong| (wrong.lot.class, wrong.lot.priority));
    let department = request.department;
    let new = NewCredits { department, credits, class, priority: None, expires_at: None, cost: None };
    Ok((new, priority))
}

/// What is too much.
fn too_many(request: &Correction, credits: Credits, wrong: Option<&Wrong>) -> Result<TakeBackCredits> {
    let lot = match wrong {
        None => request.lot,
        Some(Wrong { transfer, .. }) => {
            if request.lot.is_some_and(|lot| lot != transfer.lot_id) {
                return Err(Error::invalid("lotId", "is not the lot of the transfer that is corrected"));
            }
            if credits > transfer.credits {
                let reason = format!("must be at least -{}, what the transfer moved", transfer.credits);
                return Err(Error::invalid("credits", reason));
            }
            Some(transfer.lot_id)
        }
    };
    Ok(TakeBackCredits { department: request.department, credits, lot })
}
