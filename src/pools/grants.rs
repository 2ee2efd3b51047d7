//! Credits that the operator gives.

use bursar_domain::id::{DepartmentId, PoolId};
use bursar_domain::ledger::chain::Canonical;
use bursar_domain::ledger::{Instruction, IssueCredits, LotClass, LotSource};
use bursar_domain::{Credits, Currency, Money, Timestamp};
use bursar_entity::{organization, pool};

use super::entry::{carry_out, command};
use crate::auth::{Actor, Authorized, Standing};
use crate::changes::Change;
use crate::clock::Clock;
use crate::context::Context;
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};
use crate::idempotency::Idempotency;
use crate::ledger::{Ledger, Receipt, Submission};
use crate::text;

/// The priority of paid credits in the burn order, unless it is said.
pub const PAID_PRIORITY: i16 = 100;
/// The priority of credits that were given away: they are used before paid ones, unless it is said.
pub const PROMOTIONAL_PRIORITY: i16 = 50;

/// Credits that come in as a lot.
#[derive(Clone, Debug)]
pub struct NewCredits {
    /// The department that gets them; none: unallocated.
    pub department: Option<DepartmentId>,
    /// How many.
    pub credits: Credits,
    /// Whether they were paid for.
    pub class: LotClass,
    /// Lots with a lower number are used first; none: what is usual for the class.
    pub priority: Option<i32>,
    /// From this instant on they cannot be used; none: never.
    pub expires_at: Option<Timestamp>,
    /// What they cost together; none: nothing.
    pub cost: Option<Money>,
}

/// Credits to be given.
#[derive(Clone, Debug)]
pub struct Grant {
    /// What comes in.
    pub new: NewCredits,
    /// Why.
    pub reason: String,
    /// The client's idempotency key.
    pub key: String,
    /// Whether everything is to be rolled back at the end.
    pub dry_run: bool,
}

/// Gives a pool, or a department in it, credits.
pub async fn grant(ledger: &Ledger, pool: &Authorized<pool::Model>, request: Grant) -> Result<Receipt> {
    let Grant { new, reason, key, dry_run } = request;
    let reason = text::optional_note("reason", Some(&reason))?;
    let priority = new.checked_priority()?;
    if new.cost.is_some() {
        new.check_cost(currency(ledger.context(), pool.tenant()).await?)?;
    }
    let mut form = Canonical::of("grant");
    form.id(pool.id);
    new.write(priority, &mut form);
    form.option(reason.as_deref(), |form, reason| _ = form.text(reason));
    let idempotency = Idempotency::new("grantCredits", &key, &form);
    let clock = &ledger.context().clock;
    let issue = new.issue(clock, LotSource::Grant, priority);
    let command = command(clock, pool.id, idempotency, Instruction::Issue(issue));
    let (actor, standing) = (pool.actor().clone(), pool.standing());
    let submission = Submission { command, actor, standing, subject: None, metadata: None, reason };
    carry_out(ledger, pool.tenant(), submission, dry_run).await
}

/// Gives a pool credits inside another room's transaction, which announces the second part of the answer once
/// it has committed.
pub async fn grant_in(
    ledger: &Ledger,
    txn: &Txn,
    (tenant, actor): (Tenant, &Actor),
    pool: PoolId,
    (new, key): (NewCredits, &str),
) -> Result<(Receipt, Vec<Change>)> {
    let priority = new.checked_priority()?;
    let mut form = Canonical::of("grant");
    form.id(pool);
    new.write(priority, &mut form);
    let idempotency = Idempotency::new("grantCredits", key, &form);
    let clock = &ledger.context().clock;
    let issue = new.issue(clock, LotSource::Grant, priority);
    let command = command(clock, pool, idempotency, Instruction::Issue(issue));
    let (actor, standing) = (actor.clone(), Standing::default());
    let submission = Submission { command, actor, standing, subject: None, metadata: None, reason: None };
    ledger.apply(txn, tenant, submission).await
}

/// What an organization pays in; none before its first quote.
async fn currency(context: &Context, tenant: Tenant) -> Result<Option<Currency>> {
    let snapshot = context.db.read(tenant).await?;
    let row = tenant.find::<organization::Entity>().one(&snapshot).await?;
    Ok(row.and_then(|row| row.currency))
}

impl NewCredits {
    /// The priority, or the usual one of the class.
    pub(super) fn checked_priority(&self) -> Result<i16> {
        let usual = usual_priority(self.class);
        let given = self.priority.map_or(Ok(usual), i16::try_from).ok().filter(|given| *given >= 0);
        given.ok_or_else(|| Error::invalid("priority", format!("must be from 0 to {}", i16::MAX)))
    }

    /// Whether the cost, if there is one, is in the organization's currency.
    pub(super) fn check_cost(&self, currency: Option<Currency>) -> Result<()> {
        match (self.cost, currency) {
            (None, _) => Ok(()),
            (Some(cost), Some(currency)) if cost.currency == currency => Ok(()),
            (Some(_), Some(currency)) => {
                Err(Error::invalid("cost.currency", format!("must be the organization's: {currency}")))
            }
            (Some(_), None) => {
                Err(Error::invalid("cost.currency", "cannot be said before the organization has one"))
            }
        }
    }

    /// Writes all of it in canonical form.
    pub(super) fn write(&self, priority: i16, form: &mut Canonical) {
        form.option(self.department, |form, id| _ = form.id(id));
        form.number(self.credits.get()).text(self.class.as_str()).number(i64::from(priority));
        form.option(self.expires_at, |form, at| _ = form.number(at.micros()));
        form.option(self.cost, |form, cost| _ = form.number(cost.minor).text(cost.currency.code()));
    }

    /// The lot.
    pub(super) fn issue(&self, clock: &Clock, source: LotSource, priority: i16) -> IssueCredits {
        IssueCredits {
            lot: clock.new_id(),
            source,
            class: self.class,
            priority,
            credits: self.credits,
            cost: self.cost.map_or(0, |cost| cost.minor),
            currency: self.cost.map(|cost| cost.currency),
            expires_at: self.expires_at,
            purchase: None,
            department: self.department,
            new_account: clock.new_id(),
        }
    }
}

/// The priority of lots of a class, unless it is said.
pub(super) const fn usual_priority(class: LotClass) -> i16 {
    match class {
        LotClass::Paid => PAID_PRIORITY,
        LotClass::Promotional => PROMOTIONAL_PRIORITY,
    }
}
