//! Holds: credits kept for charges to come. A hold pins the prices and the slices that it takes; it ends by
//! its last capture, by being voided, or at its instant of expiry, and in exactly one of these ways.

use super::account::{AccountKind, TransferKind};
use super::caps::{self, Usage};
use super::charge::{Draft, draft};
use super::command::{Command, CommandId};
use super::effects::PricedLine;
use super::instruction::{CaptureHold, HoldCredits, LineRequest, VoidHold};
use super::lots::{BurnKey, Slice};
use super::marks::{Mark, shifted};
use super::plan::{Cost, HoldChange, Leg, Plan, Side};
use super::refusal::Refusal;
use super::state::{Pool, State};
use crate::id::{AccountId, DepartmentId, HoldId, ServiceId, UserId};
use crate::pricing::{MAX_LINES, line_credits};
use crate::{Credits, Timestamp};

/// The longest lifetime of a hold: 72 hours.
pub const MAX_HOLD_SECONDS: i64 = 72 * 3_600;
/// The lifetime of a hold that says nothing about it: 24 hours.
pub const DEFAULT_HOLD_SECONDS: i64 = 24 * 3_600;

string_enum! {
    /// What has become of a hold.
    HoldState {
        /// It holds credits.
        Open = "OPEN",
        /// It has been captured; what was left was let go.
        Captured = "CAPTURED",
        /// It was let go by whoever made it.
        Voided = "VOIDED",
        /// Its time ran out.
        Expired = "EXPIRED",
    }
}

/// A hold.
#[derive(Clone, Debug)]
pub struct Hold {
    /// Whose credits; none: unallocated.
    pub department: Option<DepartmentId>,
    /// Whose spending it counts as.
    pub spender: Option<UserId>,
    /// What may be charged at most, at these prices.
    pub lines: Vec<PricedLine>,
    /// How many units of each line have been charged.
    pub captured_units: Vec<i64>,
    /// What has been charged.
    pub captured: Credits,
    /// What is still held, of which account and lot, in the order of use. Empty once it has ended.
    pub slices: Vec<(AccountId, Slice)>,
    /// What has become of it.
    pub state: HoldState,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when it holds no more.
    pub expires_at: Timestamp,
}

impl Hold {
    /// What is still held.
    pub fn remaining(&self) -> Credits {
        self.slices.iter().fold(Credits::ZERO, |sum, (_, slice)| sum.saturating_add(slice.credits))
    }

    /// Services and credits of what is still held.
    fn remaining_parts(&self) -> Vec<(ServiceId, Credits)> {
        let units = self.lines.iter().zip(&self.captured_units);
        units
            .filter_map(|(line, captured)| {
                Some((line.service, line_credits(line.credits_each, line.quantity - captured)?))
            })
            .collect()
    }
}

pub(super) fn plan_hold(
    state: &State,
    pool: &Pool,
    command: &Command,
    request: &HoldCredits,
    at: Timestamp,
) -> Result<Plan, Refusal> {
    if !(1..=MAX_HOLD_SECONDS).contains(&request.seconds) {
        return Err(Refusal::LifetimeOutOfRange);
    }
    // Only the shell could give a hold another id.
    let CommandId::Hold(id) = command.id else { return Err(Refusal::HoldNotFound) };
    let charge = &request.charge;
    let Draft { lines, credits, account, slices } = draft(state, pool, charge, at)?;
    let parts = caps::parts(&lines);
    let usage = Usage { department: charge.department, spender: charge.spender, parts: &parts };
    let counts = caps::counts(pool, &state.calendar, &usage, at, (0, 1));
    let consumed = Side::Contra(AccountKind::Consumed);
    let leg = |(account, slice): &(AccountId, Slice)| Leg {
        hold: Some(id),
        ..Leg::new(TransferKind::Hold, Side::Holder(*account), consumed, *slice)
    };
    let legs = slices.iter().map(leg).collect();
    let hold = Hold {
        department: charge.department,
        spender: charge.spender,
        captured_units: vec![0; lines.len()],
        lines: lines.clone(),
        captured: Credits::ZERO,
        slices,
        state: HoldState::Open,
        created_at: at,
        expires_at: at.plus_seconds(request.seconds),
    };
    let hold = HoldChange::Open(id, Box::new(hold));
    Ok(Plan { legs, lines, counts, hold, ..Plan::about(Side::Holder(account), credits) })
}

/// The hold that a command is about, if it is still open.
fn open_hold(pool: &Pool, id: HoldId) -> Result<&Hold, Refusal> {
    // One that is not loaded has come to its end and left the memory, or never was: the shell knows.
    let hold = pool.holds.get(&id).ok_or(Refusal::HoldNotFound)?;
    match hold.state {
        HoldState::Open => Ok(hold),
        state => Err(Refusal::HoldClosed { state }),
    }
}

pub(super) fn plan_capture(
    state: &State,
    pool: &Pool,
    request: &CaptureHold,
    at: Timestamp,
) -> Result<Plan, Refusal> {
    let hold = open_hold(pool, request.hold)?;
    let (units, lines) = match &request.lines {
        None => the_rest(hold),
        Some(lines) => matched(hold, lines)?,
    };
    let credits = lines.iter().fold(Credits::ZERO, |sum, line| sum.saturating_add(line.credits));
    if credits.is_zero() {
        return Err(Refusal::AmountNotPositive);
    }
    let consumed = Side::Contra(AccountKind::Consumed);
    let (mut legs, mut owed, mut marks, mut left) = (Vec::new(), Vec::new(), Vec::new(), credits);
    let mut rest = Vec::new();
    for (account, slice) in &hold.slices {
        let part = slice.credits.min(left);
        left = left.saturating_sub(part);
        let kept = slice.credits.saturating_sub(part);
        if !kept.is_zero() {
            rest.push((*account, Slice { burn: slice.burn, credits: kept }));
        }
        if part.is_zero() {
            continue;
        }
        let taken = Slice { burn: slice.burn, credits: part };
        legs.push(Leg::new(TransferKind::Capture, Side::Holder(*account), consumed, taken));
        // What a dispute waits for is used before what is to be taken back. The latter is then owed.
        let position = pool.accounts.get(account).and_then(|account| account.positions.get(&slice.burn));
        let (given_up, over) =
            position.map_or((Credits::ZERO, Credits::ZERO), |position| position.overtaken(part));
        if !over.is_zero() {
            owed.push(Slice { burn: slice.burn, credits: over });
        }
        if !over.is_zero() || !given_up.is_zero() {
            let (revoking, contested) = (-over.get(), -given_up.get());
            marks.push(Mark { revoking, contested, ..Mark::of(*account, slice.burn) });
        }
    }
    let owe = |slice| Leg {
        hold: Some(request.hold),
        cost: Cost::Given(0),
        ..Leg::new(
            TransferKind::Owe,
            Side::Contra(AccountKind::Debt),
            Side::Contra(AccountKind::Revoked),
            slice,
        )
    };
    legs.extend(owed.into_iter().map(owe));
    let usage = |parts| Usage { department: hold.department, spender: hold.spender, parts };
    let parts = caps::parts(&lines);
    let mut counts = caps::counts(pool, &state.calendar, &usage(&parts), hold.created_at, (1, -1));
    let account = hold.slices.first().map_or(pool.unallocated, |(account, _)| *account);
    let account = hold.department.and_then(|department| pool.account_of(department)).unwrap_or(account);
    let hold_change = if request.last || rest.is_empty() {
        let mut after = hold.clone();
        for (captured, units) in after.captured_units.iter_mut().zip(&units) {
            *captured += units;
        }
        let parts = after.remaining_parts();
        counts.extend(caps::counts(pool, &state.calendar, &usage(&parts), hold.created_at, (0, -1)));
        let marked = |account: AccountId, burn: &BurnKey| {
            let used = marks.iter().filter(|mark: &&Mark| mark.account == account && mark.burn == *burn);
            used.fold(pool.marked(account, burn), |(revoking, contested), mark| {
                (shifted(revoking, mark.revoking), shifted(contested, mark.contested))
            })
        };
        let (more, more_marks) = releases(request.hold, &rest, marked, at, at);
        legs.extend(more);
        marks.extend(more_marks);
        HoldChange::Finish(request.hold, units, credits)
    } else {
        HoldChange::Capture(request.hold, units, credits)
    };
    Ok(Plan { legs, lines, counts, marks, hold: hold_change, ..Plan::about(Side::Holder(account), credits) })
}

pub(super) fn plan_void(
    state: &State,
    pool: &Pool,
    request: &VoidHold,
    at: Timestamp,
) -> Result<Plan, Refusal> {
    let hold = open_hold(pool, request.hold)?;
    let mut plan = plan_end(state, pool, (request.hold, hold), HoldState::Voided, at, at);
    // A journal entry owns what voiding does.
    for leg in &mut plan.legs {
        leg.hold = None;
    }
    Ok(plan)
}

/// The end of a hold in time `at`, effective from `effective` on.
pub(super) fn plan_end(
    state: &State,
    pool: &Pool,
    (id, hold): (HoldId, &Hold),
    end: HoldState,
    at: Timestamp,
    effective: Timestamp,
) -> Plan {
    let marked = |account: AccountId, burn: &BurnKey| pool.marked(account, burn);
    let (legs, marks) = releases(id, &hold.slices, marked, at, effective);
    let parts = hold.remaining_parts();
    let usage = Usage { department: hold.department, spender: hold.spender, parts: &parts };
    let counts = caps::counts(pool, &state.calendar, &usage, hold.created_at, (0, -1));
    let account = hold.slices.first().map_or(pool.unallocated, |(account, _)| *account);
    let account = hold.department.and_then(|department| pool.account_of(department)).unwrap_or(account);
    let hold = HoldChange::Close(id, end);
    let credits = legs.iter().filter(|leg| leg.kind == TransferKind::Release).map(|leg| leg.credits);
    let credits = credits.fold(Credits::ZERO, Credits::saturating_add);
    Plan { legs, counts, marks, hold, ..Plan::about(Side::Holder(account), credits) }
}

/// Lets slices go: each is free again, and then taken back when its payment was reversed, or held when a
/// dispute waits for it, or booked as expired when its lot has lapsed. `marked` says how many credits of a
/// position are to be taken back, and how many a dispute waits for.
fn releases(
    hold: HoldId,
    slices: &[(AccountId, Slice)],
    marked: impl Fn(AccountId, &BurnKey) -> (Credits, Credits),
    at: Timestamp,
    effective: Timestamp,
) -> (Vec<Leg>, Vec<Mark>) {
    let (mut legs, mut marks) = (Vec::new(), Vec::new());
    for (account, slice) in slices {
        let holder = Side::Holder(*account);
        let leg = |kind, to, credits| Leg {
            hold: Some(hold),
            effective_at: (effective < at).then_some(effective),
            ..Leg::new(kind, holder, Side::Contra(to), Slice { burn: slice.burn, credits })
        };
        legs.push(leg(TransferKind::Release, AccountKind::Consumed, slice.credits));
        let (revoking, contested) = marked(*account, &slice.burn);
        let back = revoking.min(slice.credits);
        if !back.is_zero() {
            legs.push(leg(TransferKind::Revoke, AccountKind::Revoked, back));
        }
        let left = slice.credits.saturating_sub(back);
        let kept = contested.min(left);
        if !kept.is_zero() {
            legs.push(leg(TransferKind::Hold, AccountKind::Consumed, kept));
        }
        if !back.is_zero() || !kept.is_zero() {
            let (revoking, contested, disputed) = (-back.get(), -kept.get(), kept.get());
            marks.push(Mark { account: *account, burn: slice.burn, revoking, contested, disputed });
        }
        let free = left.saturating_sub(kept);
        if slice.burn.has_lapsed(at) && !free.is_zero() {
            // It lapsed at its expiry, but not before it was let go.
            let lapsed_at = slice.burn.expires_at().unwrap_or(at).max(effective);
            let lapse = leg(TransferKind::Lapse, AccountKind::Expired, free);
            legs.push(Leg { effective_at: (lapsed_at < at).then_some(lapsed_at), ..lapse });
        }
    }
    (legs, marks)
}

/// All units of a hold that have not been charged, and their lines.
fn the_rest(hold: &Hold) -> (Vec<i64>, Vec<PricedLine>) {
    let left = hold.lines.iter().zip(&hold.captured_units).map(|(line, captured)| line.quantity - captured);
    let units: Vec<i64> = left.collect();
    let lines = lines_of(hold, &units);
    (units, lines)
}

/// The units of a hold's lines that a capture names by service.
fn matched(hold: &Hold, lines: &[LineRequest]) -> Result<(Vec<i64>, Vec<PricedLine>), Refusal> {
    if lines.is_empty() {
        return Err(Refusal::NoLines);
    }
    if lines.len() > MAX_LINES {
        return Err(Refusal::TooManyLines);
    }
    // What is left of each line.
    let mut left: Vec<i64> = hold
        .lines
        .iter()
        .zip(&hold.captured_units)
        .map(|(line, captured)| line.quantity - captured)
        .collect();
    let before = left.clone();
    for (line, request) in lines.iter().enumerate() {
        if request.quantity < 1 {
            return Err(Refusal::QuantityOutOfRange { line });
        }
        let mut wanted = request.quantity;
        let mut known = false;
        for (_, free) in hold.lines.iter().zip(&mut left).filter(|(held, _)| held.code == request.service) {
            known = true;
            let part = wanted.min(*free);
            *free -= part;
            wanted -= part;
        }
        if !known {
            return Err(Refusal::CaptureExceedsHold { line, held: 0 });
        }
        if wanted > 0 {
            return Err(Refusal::CaptureExceedsHold { line, held: request.quantity - wanted });
        }
    }
    let units: Vec<i64> = before.iter().zip(&left).map(|(before, left)| before - left).collect();
    let lines = lines_of(hold, &units);
    Ok((units, lines))
}

fn lines_of(hold: &Hold, units: &[i64]) -> Vec<PricedLine> {
    let line = |(line, units): (&PricedLine, &i64)| {
        let credits = line_credits(line.credits_each, *units)?;
        Some(PricedLine { quantity: *units, credits, ..line.clone() })
    };
    hold.lines.iter().zip(units).filter_map(line).collect()
}

impl Pool {
    /// Writes down what becomes of a hold.
    pub(super) fn change_hold(&mut self, change: HoldChange) {
        let (id, captured, end) = match change {
            HoldChange::None => return,
            HoldChange::Open(id, hold) => {
                self.will_be_due(hold.expires_at);
                self.touched.insert(id);
                self.holds.insert(id, *hold);
                return;
            }
            HoldChange::Capture(id, units, credits) => (id, Some((units, credits)), None),
            HoldChange::Finish(id, units, credits) => (id, Some((units, credits)), Some(HoldState::Captured)),
            HoldChange::Close(id, state) => (id, None, Some(state)),
        };
        let Some(hold) = self.holds.get_mut(&id) else { return };
        self.touched.insert(id);
        if let Some((units, credits)) = captured {
            for (captured, units) in hold.captured_units.iter_mut().zip(units) {
                *captured += units;
            }
            hold.captured = hold.captured.saturating_add(credits);
            let mut left = credits;
            for (_, slice) in &mut hold.slices {
                let part = slice.credits.min(left);
                left = left.saturating_sub(part);
                slice.credits = slice.credits.saturating_sub(part);
            }
            hold.slices.retain(|(_, slice)| !slice.credits.is_zero());
        }
        if let Some(state) = end {
            hold.state = state;
            hold.slices.clear();
        }
    }
}
