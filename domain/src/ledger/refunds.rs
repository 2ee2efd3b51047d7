//! Refunds: the newest consumed slices come back first, to their lot and holder.
//!
//! Where a lot has lapsed meanwhile, its credits cannot come back to it: they go on in the lot that it was
//! extended by; or, when the provider is at fault, in a replacement of the same class and cost for
//! [`REPLACEMENT_DAYS`] days; or straight to `EXPIRED`. Where the payment was reversed that the lot came with, or one that
//! it goes on for, a refund first settles what the pool owes.

use super::account::{AccountKind, TransferKind};
use super::caps::{self, Usage};
use super::effects::{NewLot, PricedLine};
use super::instruction::RefundCharge;
use super::lots::{BurnKey, LotTerms, Slice};
use super::plan::{Cost, Leg, Plan, Side};
use super::refusal::{Refusal, Uncovered};
use super::state::{Pool, State};
use crate::id::{AccountId, DepartmentId, Id, LotId, ServiceId, UserId};
use crate::money::cost_share;
use crate::period::Period;
use crate::{Credits, Timestamp};

/// How long the replacement of a lapsed lot lives.
pub const REPLACEMENT_DAYS: i64 = 30;

/// The most steps from a lot to the last one that it was extended by.
const MAX_EXTENSIONS: usize = 1_000;

/// A charge that is to be refunded.
#[derive(Clone, Debug)]
pub struct Charged {
    /// Whose credits were used.
    pub department: Option<DepartmentId>,
    /// Whose spending it counts as.
    pub spender: Option<UserId>,
    /// Its lines.
    pub lines: Vec<PricedLine>,
    /// What it cost.
    pub credits: Credits,
    /// What it took, in the order of use.
    pub slices: Vec<ChargedSlice>,
    /// What has been refunded.
    pub refunded: Credits,
    /// What that had cost.
    pub refunded_cost: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it counts for caps: when it was made, or the hold that it captures.
    pub counts_at: Timestamp,
}

/// A part of a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChargedSlice {
    /// The account that paid.
    pub account: AccountId,
    /// The lot.
    pub lot: LotId,
    /// How many credits.
    pub credits: Credits,
    /// What they had cost.
    pub cost: i64,
}

/// The guarantee of a service.
#[derive(Clone, Copy, Debug)]
pub struct Guarantee {
    /// For how many days after a charge it holds.
    pub days: i64,
    /// How many refunds it covers in a month; none: any number.
    pub quota: Option<i64>,
    /// The month.
    pub month: Period,
    /// How many refunds it has covered in the month.
    pub used: i64,
    /// Whether that has to be written.
    pub changed: bool,
}

pub(super) fn plan_refund(
    state: &State,
    pool: &Pool,
    request: &RefundCharge,
    at: Timestamp,
) -> Result<Plan, Refusal> {
    let charge = state.charges.get(&request.charge).ok_or(Refusal::ChargeNotFound)?;
    let refundable = charge.credits.saturating_sub(charge.refunded);
    let credits = request.credits.unwrap_or(refundable);
    if request.credits.is_some_and(Credits::is_zero) {
        return Err(Refusal::AmountNotPositive);
    }
    if credits.is_zero() || credits > refundable {
        return Err(Refusal::RefundExceedsCharge { refundable });
    }
    let parts = refunded_parts(charge, credits);
    if request.guaranteed {
        covered(state, charge, &parts, at)?;
    }
    let archived = charge.department.and_then(|id| state.departments.get(&id)).is_some_and(|d| d.archived);
    let mut drafts = Draft { state, request, at, legs: Vec::new(), lots: Vec::new(), debt: pool.debt() };
    for slice in charge.coming_back(credits) {
        let account = if archived { pool.unallocated } else { slice.account };
        // An account that is not there any more would be a fault of ours; unallocated always is.
        let account = if pool.accounts.contains_key(&account) { account } else { pool.unallocated };
        drafts.bring_back(Side::Holder(account), slice)?;
    }
    let usage = Usage { department: charge.department, spender: charge.spender, parts: &parts };
    let counts = caps::counts(pool, &state.calendar, &usage, charge.counts_at, (-1, 0));
    let own = charge.department.filter(|_| !archived).and_then(|department| pool.account_of(department));
    let account = Side::Holder(own.unwrap_or(pool.unallocated));
    let (legs, lots) = (drafts.legs, drafts.lots);
    Ok(Plan { legs, lots, counts, ..Plan::about(account, credits) })
}

impl Charged {
    /// The slices that a refund of so many credits brings back, newest first, each with its recorded cost.
    pub fn coming_back(&self, credits: Credits) -> Vec<ChargedSlice> {
        let (mut done, mut done_cost) = (self.refunded, self.refunded_cost);
        let mut left = credits;
        let mut back = Vec::new();
        for slice in self.slices.iter().rev() {
            if left.is_zero() {
                break;
            }
            // What has been refunded was taken from the same end.
            let gone = slice.credits.min(done);
            let gone_cost = if gone == slice.credits { slice.cost } else { done_cost.clamp(0, slice.cost) };
            if !gone.is_zero() {
                done = done.saturating_sub(gone);
                done_cost -= gone_cost;
            }
            let gone_cost = if gone.is_zero() { 0 } else { gone_cost };
            let rest = slice.credits.saturating_sub(gone);
            let part = rest.min(left);
            if part.is_zero() {
                continue;
            }
            left = left.saturating_sub(part);
            let cost = cost_share(slice.cost - gone_cost, part.get(), rest.get());
            back.push(ChargedSlice { credits: part, cost, ..*slice });
        }
        back
    }
}

/// Services and credits that a refund gives back: the last lines first.
fn refunded_parts(charge: &Charged, credits: Credits) -> Vec<(ServiceId, Credits)> {
    let (mut done, mut left) = (charge.refunded, credits);
    let mut parts = Vec::new();
    for line in charge.lines.iter().rev() {
        let gone = line.credits.min(done);
        done = done.saturating_sub(gone);
        let part = line.credits.saturating_sub(gone).min(left);
        left = left.saturating_sub(part);
        if !part.is_zero() {
            parts.push((line.service, part));
        }
    }
    parts
}

/// Whether the guarantees of all services cover a refund.
fn covered(
    state: &State,
    charge: &Charged,
    parts: &[(ServiceId, Credits)],
    at: Timestamp,
) -> Result<(), Refusal> {
    let no = |why| Err(Refusal::GuaranteeDoesNotCover(why));
    for (service, _) in parts {
        let Some(guarantee) = state.guarantees.get(service) else { return no(Uncovered::NotOffered) };
        if at > charge.created_at.plus_days(guarantee.days) {
            return no(Uncovered::TooLate);
        }
        if guarantee.quota.is_some_and(|quota| guarantee.used >= quota) {
            return no(Uncovered::QuotaReached);
        }
    }
    Ok(())
}

/// The legs of a refund as they come together.
struct Draft<'r> {
    state: &'r State,
    request: &'r RefundCharge,
    at: Timestamp,
    legs: Vec<Leg>,
    lots: Vec<NewLot>,
    /// What the pool still owes after the legs so far.
    debt: Credits,
}

impl Draft<'_> {
    fn bring_back(&mut self, holder: Side, slice: ChargedSlice) -> Result<(), Refusal> {
        let terms = self.state.lots.get(&slice.lot).ok_or(Refusal::LotNotFound)?;
        let (mut credits, mut cost) = (slice.credits, slice.cost);
        if terms.reversed && !self.debt.is_zero() {
            let part = self.debt.min(credits);
            let share = cost_share(cost, part.get(), credits.get());
            self.leg(terms.burn, (part, share), Side::Contra(AccountKind::Debt));
            self.debt = self.debt.saturating_sub(part);
            (credits, cost) = (credits.saturating_sub(part), cost - share);
        }
        if credits.is_zero() {
            return Ok(());
        }
        if !terms.burn.has_lapsed(self.at) {
            self.leg(terms.burn, (credits, cost), holder);
        } else if let Some(burn) = self.successor(terms) {
            self.through_clearing((terms.burn, burn), (credits, cost), holder);
        } else if self.request.provider_fault {
            let burn = self.replacement(terms, (credits, cost));
            self.through_clearing((terms.burn, burn), (credits, cost), holder);
        } else {
            self.leg(terms.burn, (credits, cost), Side::Contra(AccountKind::Expired));
        }
        Ok(())
    }

    /// The first lot that this one was extended by, however often, that has not lapsed.
    fn successor(&self, terms: &LotTerms) -> Option<BurnKey> {
        let mut next = terms.successor;
        for _ in 0..MAX_EXTENSIONS {
            let terms = next.and_then(|lot| self.state.lots.get(&lot))?;
            if !terms.burn.has_lapsed(self.at) {
                return Some(terms.burn);
            }
            next = terms.successor;
        }
        None
    }

    /// The lot that goes on for a lapsed one: one for each lot, however many slices come back to it.
    fn replacement(&mut self, terms: &LotTerms, (credits, cost): (Credits, i64)) -> BurnKey {
        let known = self.lots.iter_mut().find(|lot| lot.replaces == Some(terms.burn.lot));
        if let Some(lot) = known {
            lot.credits = lot.credits.saturating_add(credits);
            lot.cost += cost;
            return BurnKey::new(lot.priority, lot.expires_at, lot.created_at, lot.id);
        }
        let number = u128::try_from(self.lots.len()).unwrap_or_default();
        let lot = NewLot {
            id: LotId::from_u128(self.request.first_lot.as_u128().wrapping_add(number)),
            source: terms.source,
            class: terms.class,
            priority: terms.burn.priority,
            credits,
            cost,
            currency: terms.currency,
            expires_at: Some(self.at.plus_days(REPLACEMENT_DAYS)),
            purchase: None,
            replaces: Some(terms.burn.lot),
            created_at: self.at,
        };
        let burn = BurnKey::new(lot.priority, lot.expires_at, lot.created_at, lot.id);
        self.lots.push(lot);
        burn
    }

    fn leg(&mut self, burn: BurnKey, (credits, cost): (Credits, i64), to: Side) {
        let from = Side::Contra(AccountKind::Consumed);
        let leg = Leg::new(TransferKind::Refund, from, to, Slice { burn, credits });
        self.legs.push(Leg { cost: Cost::Given(cost), ..leg });
    }

    /// From one lot to another: both halves in the pool, naming each other.
    fn through_clearing(
        &mut self,
        (from, to): (BurnKey, BurnKey),
        (credits, cost): (Credits, i64),
        holder: Side,
    ) {
        let clearing = Side::Contra(AccountKind::Clearing);
        self.leg(from, (credits, cost), clearing);
        if let Some(first) = self.legs.last_mut() {
            first.paired = true;
        }
        let second = Leg::new(TransferKind::Refund, clearing, holder, Slice { burn: to, credits });
        self.legs.push(Leg { cost: Cost::Carried, ..second });
    }
}

impl State {
    /// Writes down what a refund has done to its charge and to guarantees.
    pub(super) fn refunded(&mut self, request: &RefundCharge, credits: Credits, cost: i64) {
        let Some(charge) = self.charges.get_mut(&request.charge) else { return };
        let parts = refunded_parts(charge, credits);
        charge.refunded = charge.refunded.saturating_add(credits);
        charge.refunded_cost += cost;
        if !request.guaranteed {
            return;
        }
        let mut services: Vec<ServiceId> = parts.into_iter().map(|(service, _)| service).collect();
        services.sort();
        services.dedup();
        for service in services {
            if let Some(guarantee) = self.guarantees.get_mut(&service) {
                guarantee.used += 1;
                guarantee.changed = true;
            }
        }
    }
}
