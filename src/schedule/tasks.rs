//! The kinds of timed work: commands of the ledger, and steps of purchases and approvals. Done a second time they have no effect.

use bursar_domain::Timestamp;
use bursar_domain::id::{
    AccountId, ApprovalId, ChargeId, DelegationId, EntryId, Id, InvoiceId, PaymentId, PoolId, PurchaseId,
    QuoteId, ReversalId,
};
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::ledger::{Command, CommandId, Instruction, RefillAllocation, Refusal};
use bursar_domain::period::{Period, PeriodKind};
use bursar_entity::{account, organization};
use sea_orm::{ColumnTrait, QueryFilter};

use super::lease::Leased;
use crate::approvals::{self, APPROVAL_DUE, DELEGATION_BEGINS, PURCHASE_APPROVED};
use crate::auth::{Actor, Standing};
use crate::catalog::{self, QUOTE_DUE};
use crate::db::Tenant;
use crate::error::{Error, Result};
use crate::global_id;
use crate::idempotency::Idempotency;
use crate::ledger::{self, BOOK_DUE, DEBT_HOME, Ledger, REFILL, Submission};
use crate::purchases::{
    self, CLOSE_CHECKOUT, INVOICE_DUE, PURCHASE_DUE, REFUND_DUE, REVERSAL_DUE, Selling, TOP_UP,
};
use crate::{periods, pools};

/// In how many seconds something is tried again that the state of a pool, department or organization does not
/// allow. No failure: people have to change that first.
const PUT_OFF_SECONDS: i64 = 3_600;
/// When nothing is to be done.
const NEVER: Timestamp = Timestamp::from_micros(i64::MAX);

/// When a task is due next that has been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// As its own transaction has written.
    AsWritten,
    /// Then, unless somebody has found out another time meanwhile.
    At(Timestamp),
}

/// Does a task.
pub async fn carry_out(selling: &Selling, task: &Leased) -> Result<Next> {
    let ledger = &selling.ledger;
    // No caller is involved: Bursar does for each organization what its own rows say is due.
    let tenant = Tenant::vouched(task.organization);
    let subject = task.subject.as_u128();
    match task.kind.as_str() {
        BOOK_DUE => book_due(ledger, tenant, PoolId::from_u128(subject)).await,
        REFILL => refill(ledger, tenant, AccountId::from_u128(subject)).await,
        DEBT_HOME => match purchases::bring_debt_home(ledger, tenant, ChargeId::from_u128(subject)).await {
            Ok(()) => Ok(Next::At(NEVER)),
            Err(Error::Refused(refusal)) if waits_for_people(&refusal) => Ok(put_off(ledger)),
            Err(error) => Err(error),
        },
        QUOTE_DUE => {
            let next = catalog::quote_due(ledger.context(), tenant, QuoteId::from_u128(subject)).await?;
            Ok(Next::At(next.unwrap_or(NEVER)))
        }
        PURCHASE_DUE => {
            let next = purchases::expire(selling, tenant, PurchaseId::from_u128(subject)).await?;
            Ok(Next::At(next.unwrap_or(NEVER)))
        }
        INVOICE_DUE => {
            let next = purchases::invoice_due(selling, tenant, InvoiceId::from_u128(subject)).await?;
            Ok(Next::At(next.unwrap_or(NEVER)))
        }
        TOP_UP => Ok(Next::At(purchases::top_up(selling, tenant, PoolId::from_u128(subject)).await?)),
        REFUND_DUE => {
            purchases::refund_due(selling, tenant, ReversalId::from_u128(subject)).await?;
            Ok(Next::At(NEVER))
        }
        REVERSAL_DUE => {
            let next = purchases::reversal_due(selling, tenant, ReversalId::from_u128(subject)).await?;
            Ok(Next::At(next.unwrap_or(NEVER)))
        }
        CLOSE_CHECKOUT => {
            let next = purchases::close_checkout(selling, tenant, PaymentId::from_u128(subject)).await?;
            Ok(Next::At(next.unwrap_or(NEVER)))
        }
        APPROVAL_DUE => {
            let next = purchases::approval_due(selling, tenant, ApprovalId::from_u128(subject)).await?;
            Ok(Next::At(next.unwrap_or(NEVER)))
        }
        PURCHASE_APPROVED => {
            let next = purchases::after_approval(selling, tenant, PurchaseId::from_u128(subject)).await?;
            Ok(Next::At(next.unwrap_or(NEVER)))
        }
        DELEGATION_BEGINS => {
            let id = DelegationId::from_u128(subject);
            let next = approvals::delegation_begins(ledger.context(), tenant, id).await?;
            Ok(Next::At(next.unwrap_or(NEVER)))
        }
        other => Err(Error::internal(format!("{other} is no kind of timed work"))),
    }
}

/// Books what is due in a pool: holds that have expired, credits that have lapsed.
async fn book_due(ledger: &Ledger, tenant: Tenant, pool: PoolId) -> Result<Next> {
    let context = ledger.context();
    let submission = pools::book_due(&context.clock, pool)?;
    match ledger.submit(tenant, submission).await {
        Ok(_) => {}
        Err(Error::Refused(refusal)) if waits_for_people(&refusal) => return Ok(put_off(ledger)),
        Err(Error::Refused(Refusal::PoolNotFound)) => return Ok(Next::At(NEVER)),
        Err(error) => return Err(error),
    }
    // The transaction has written when something is due next, if that is another time than before. If it is not,
    // the task came too early, and the pool knows better.
    let snapshot = context.db.read(tenant).await?;
    let head = ledger::head(&snapshot, tenant, pool).await?;
    Ok(Next::At(head.due_at.unwrap_or(NEVER)))
}

/// Refills an allocation whose period has ended.
async fn refill(ledger: &Ledger, tenant: Tenant, id: AccountId) -> Result<Next> {
    let context = ledger.context();
    let snapshot = context.db.read(tenant).await?;
    let row = tenant.find::<account::Entity>().filter(account::Column::Id.eq(id)).one(&snapshot).await?;
    let organization = tenant.find::<organization::Entity>().one(&snapshot).await?;
    drop(snapshot);
    let Some((row, current, kind)) = row.and_then(refilled) else { return Ok(Next::At(NEVER)) };
    let organization = organization.ok_or_else(|| Error::internal("an account of no organization"))?;
    let now = context.clock.now();
    let begun = match period_after(&organization.time_zone, kind, current, now)? {
        Begun::Now(period) => period,
        Begun::NotBefore(at) => return Ok(Next::At(at)),
    };
    let Some(department) = row.department_id else { return Ok(Next::At(NEVER)) };
    let submission = submission(ledger, &row, RefillAllocation { department, period: begun });
    match ledger.submit(tenant, submission).await {
        Ok(receipt) if !receipt.replayed => Ok(Next::AsWritten),
        // It was done before, and when it is due next was written with it. If that does not show, the allocation
        // has been set anew meanwhile, and an hour does no harm.
        Ok(_) => Ok(put_off(ledger)),
        // The same, by other means.
        Err(Error::Refused(Refusal::NothingToRefill)) => Ok(put_off(ledger)),
        Err(Error::Refused(refusal)) if waits_for_people(&refusal) => Ok(put_off(ledger)),
        Err(error) => Err(error),
    }
}

/// An account with its current period and the kind of its periods, if it is refilled.
fn refilled(row: account::Model) -> Option<(account::Model, Period, PeriodKind)> {
    let current = Period { start: row.refill_start?, end: row.refill_end? };
    let kind = row.refill_period?;
    Some((row, current, kind))
}

/// The refill of an allocation for a period. The account and the beginning of the period are its key: whoever does
/// it a second time finds it done.
fn submission(ledger: &Ledger, row: &account::Model, refill: RefillAllocation) -> Submission {
    let start = refill.period.start.micros();
    let mut form = Canonical::of("refill");
    form.id(row.id).number(start);
    let idempotency = Idempotency::new("refill", &format!("{} {start}", global_id::encode(row.id)), &form);
    let clock = &ledger.context().clock;
    Submission {
        command: Command {
            id: CommandId::Entry(clock.new_id::<EntryId>()),
            pool: row.pool_id,
            key: idempotency.key,
            request: idempotency.request,
            now: clock.now(),
            instruction: Instruction::Refill(refill),
        },
        actor: Actor::system(None),
        standing: Standing::default(),
        subject: None,
        metadata: None,
        reason: None,
    }
}

/// Whether a period has begun since the current one.
#[derive(Debug, PartialEq, Eq)]
enum Begun {
    /// This one has.
    Now(Period),
    /// None has; look again then.
    NotBefore(Timestamp),
}

/// The period that has begun since the current one ended.
///
/// The organization may have moved to another time zone, whose months begin some hours earlier or later: then the
/// period that contains `now` overlaps the current one. It is the same month, and has been refilled for, when its
/// middle lies before the current one's end.
fn period_after(time_zone: &str, kind: PeriodKind, current: Period, now: Timestamp) -> Result<Begun> {
    if now < current.end {
        return Ok(Begun::NotBefore(current.end));
    }
    let period = periods::calendar(time_zone, now)?.period(kind, now);
    let period = period.ok_or_else(|| Error::internal("a calendar does not cover the time it is for"))?;
    let (start, end) = (period.start.micros(), period.end.micros());
    let middle = Timestamp::from_micros(start + (end - start) / 2);
    Ok(if middle < current.end { Begun::NotBefore(period.end) } else { Begun::Now(period) })
}

/// Whether a refusal is about what people have to change first.
fn waits_for_people(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::Target(there) => waits_for_people(there),
        here => matches!(
            here,
            Refusal::PoolArchived
                | Refusal::PoolFrozen
                | Refusal::PoolInDebt { .. }
                | Refusal::OrganizationSuspended
                | Refusal::DepartmentArchived
        ),
    }
}

fn put_off(ledger: &Ledger) -> Next {
    Next::At(ledger.context().clock.now().plus_seconds(PUT_OFF_SECONDS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, Utc};

    fn at(text: &str) -> Timestamp {
        Timestamp::from_micros(text.parse::<DateTime<Utc>>().unwrap().timestamp_micros())
    }

    fn month(zone: &str, instant: &str) -> Period {
        periods::calendar(zone, at(instant)).unwrap().period(PeriodKind::Month, at(instant)).unwrap()
    }

    fn begun(zone: &str, current: Period, now: &str) -> Begun {
        period_after(zone, PeriodKind::Month, current, at(now)).unwrap()
    }

    #[test]
    fn a_period_follows_when_the_current_one_has_ended() {
        let march = month("America/New_York", "2026-03-15T00:00:00Z");
        let end = at("2026-04-01T04:00:00Z");
        assert_eq!(begun("America/New_York", march, "2026-04-01T03:59:59.999999Z"), Begun::NotBefore(end));
        let april = month("America/New_York", "2026-04-15T00:00:00Z");
        assert_eq!(begun("America/New_York", march, "2026-04-01T04:00:00Z"), Begun::Now(april));
        // However long nobody looked, only what has begun last is refilled for.
        let july = month("America/New_York", "2026-07-15T00:00:00Z");
        assert_eq!(begun("America/New_York", march, "2026-07-20T00:00:00Z"), Begun::Now(july));
    }

    #[test]
    fn a_move_to_another_zone_neither_skips_nor_repeats_a_month() {
        // West: at the old end it is still March there.
        let march = month("UTC", "2026-03-15T00:00:00Z");
        let later = at("2026-04-01T04:00:00Z");
        assert_eq!(begun("America/New_York", march, "2026-04-01T00:00:00Z"), Begun::NotBefore(later));
        let april = month("America/New_York", "2026-04-15T00:00:00Z");
        assert_eq!(begun("America/New_York", march, "2026-04-01T04:00:00Z"), Begun::Now(april));
        // East: at the old end it has been April there for hours.
        let april = month("Pacific/Kiritimati", "2026-04-15T00:00:00Z");
        assert_eq!(begun("Pacific/Kiritimati", march, "2026-04-01T00:00:00Z"), Begun::Now(april));
        let may = month("Pacific/Kiritimati", "2026-05-15T00:00:00Z");
        assert_eq!(begun("Pacific/Kiritimati", april, "2026-04-30T10:00:00Z"), Begun::Now(may));
    }
}
