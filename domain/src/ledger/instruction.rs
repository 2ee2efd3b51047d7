//! What commands do, and with what.

use crate::id::{AccountId, ChargeId, DepartmentId, HoldId, LotId, PoolId, PurchaseId, UserId};
use crate::period::Period;
use crate::{Credits, Currency, Timestamp};

/// What a command does.
#[derive(Clone, Debug)]
pub enum Instruction {
    /// Bring a new lot in.
    Issue(IssueCredits),
    /// Move credits from unallocated to a department.
    Allocate(AllocateCredits),
    /// Move unheld credits of a department back to unallocated.
    Reclaim(AllocateCredits),
    /// Move credits between any two holders, in one pool or two.
    Move(MoveCredits),
    /// Begin a new period of an allocation.
    Refill(RefillAllocation),
    /// Use credits for services.
    Charge(ChargeCredits),
    /// Hold credits for charges to come.
    Hold(HoldCredits),
    /// Charge what is held, or a part of it.
    Capture(CaptureHold),
    /// Let go of what is held.
    Void(VoidHold),
    /// Give a charge back, or a part of it.
    Refund(RefundCharge),
    /// Take credits out of a balance that is too high.
    TakeBack(TakeBackCredits),
    /// Let what is left of a lot go on with a later expiry.
    Extend(ExtendLot),
    /// Take back a lot whose payment was reversed; what has been used becomes debt.
    Revoke(RevokeLot),
    /// Hold what is left of a lot, because its payment is disputed.
    Dispute(DisputeLot),
    /// Let go of what is held for a dispute: it was won.
    Reinstate(DisputeLot),
    /// Give back what was taken back: the money did not reach the buyer after all.
    Restore(RestoreLot),
    /// Let the pool of purchase owe what this one owes of its lot.
    Assign(AssignDebt),
    /// Book what time has brought (expired holds, lapsed credits) and nothing else.
    BookDue,
}

impl Instruction {
    /// The departments whose allocations in the command's own pool it names.
    pub fn departments(&self) -> impl Iterator<Item = DepartmentId> {
        let (one, other) = match self {
            Instruction::Issue(issue) => (issue.department, None),
            Instruction::Allocate(a) | Instruction::Reclaim(a) => (Some(a.department), None),
            Instruction::Move(m) if m.to_pool.is_none() => (m.from, m.to),
            Instruction::Move(m) => (m.from, None),
            Instruction::Refill(refill) => (Some(refill.department), None),
            Instruction::Charge(c) => (c.department, None),
            Instruction::Hold(hold) => (hold.charge.department, None),
            Instruction::Capture(capture) => (capture.department, None),
            Instruction::Void(void) => (void.department, None),
            Instruction::Refund(refund) => (refund.department, None),
            Instruction::TakeBack(take) => (take.department, None),
            Instruction::Extend(_)
            | Instruction::Revoke(_)
            | Instruction::Dispute(_)
            | Instruction::Reinstate(_)
            | Instruction::Restore(_)
            | Instruction::Assign(_)
            | Instruction::BookDue => (None, None),
        };
        one.into_iter().chain(other)
    }

    /// The department that credits go to, here or in the other pool, or are held for: it must not be archived
    /// meanwhile.
    pub fn receiver(&self) -> Option<DepartmentId> {
        match self {
            Instruction::Issue(issue) => issue.department,
            Instruction::Allocate(a) => Some(a.department),
            Instruction::Move(m) => m.to,
            Instruction::Refill(refill) => Some(refill.department),
            Instruction::Refund(refund) => refund.department,
            Instruction::Hold(hold) => hold.charge.department,
            _ => None,
        }
    }

    /// The other pool that it changes.
    pub fn other_pool(&self) -> Option<PoolId> {
        match self {
            Instruction::Move(m) => m.to_pool,
            Instruction::Assign(assign) => Some(assign.to_pool),
            _ => None,
        }
    }

    /// The departments whose allocations in the other pool it names.
    pub fn other_departments(&self) -> impl Iterator<Item = DepartmentId> {
        let department = match self {
            Instruction::Move(m) if m.to_pool.is_some() => m.to,
            _ => None,
        };
        department.into_iter()
    }

    /// Whether it is about accounts that cannot be told from it: all of the pool's have to be known.
    pub fn all_accounts(&self) -> bool {
        matches!(
            self,
            Instruction::Extend(_)
                | Instruction::Revoke(_)
                | Instruction::Dispute(_)
                | Instruction::Reinstate(_)
                | Instruction::Restore(_)
                | Instruction::BookDue
        )
    }

    /// The caller's own name of what the command is for.
    pub fn reference(&self) -> Option<&String> {
        match self {
            Instruction::Charge(c) => c.reference.as_ref(),
            Instruction::Hold(hold) => hold.charge.reference.as_ref(),
            _ => None,
        }
    }

    /// The hold that it is about.
    pub fn hold(&self) -> Option<HoldId> {
        match self {
            Instruction::Capture(capture) => Some(capture.hold),
            Instruction::Void(void) => Some(void.hold),
            _ => None,
        }
    }
}

string_enum! {
    /// Where a lot came from.
    LotSource {
        /// Bought.
        Purchase = "PURCHASE",
        /// Given by the operator.
        Grant = "GRANT",
        /// Put in by the operator to correct a balance, or as an opening balance.
        Correction = "CORRECTION",
    }
}

string_enum! {
    /// Whether money was paid for a lot.
    LotClass {
        /// Paid for.
        Paid = "PAID",
        /// Given away.
        Promotional = "PROMOTIONAL",
    }
}

/// A new lot.
#[derive(Clone, Debug)]
pub struct IssueCredits {
    /// The lot's id.
    pub lot: LotId,
    /// Where it came from.
    pub source: LotSource,
    /// Whether it was paid for.
    pub class: LotClass,
    /// Lots with a lower number are used first.
    pub priority: i16,
    /// How many credits.
    pub credits: Credits,
    /// What the whole lot cost, in minor units of `currency`.
    pub cost: i64,
    /// The currency of `cost`.
    pub currency: Option<Currency>,
    /// From this instant on it cannot be used. `None`: never.
    pub expires_at: Option<Timestamp>,
    /// The purchase that it came with.
    pub purchase: Option<PurchaseId>,
    /// The department that gets it; none: unallocated.
    pub department: Option<DepartmentId>,
    /// The id for the department's account in the pool, used when it has none yet.
    pub new_account: AccountId,
}

/// Credits between unallocated and a department.
#[derive(Clone, Debug)]
pub struct AllocateCredits {
    /// The department.
    pub department: DepartmentId,
    /// The id for the department's account in the pool, used when it has none yet.
    pub new_account: AccountId,
    /// How many credits.
    pub credits: Credits,
}

/// Credits from one holder to another.
#[derive(Clone, Debug)]
pub struct MoveCredits {
    /// The department that gives; none: unallocated.
    pub from: Option<DepartmentId>,
    /// The pool that receives; none: the same.
    pub to_pool: Option<PoolId>,
    /// The department that receives; none: unallocated.
    pub to: Option<DepartmentId>,
    /// The id for the receiving department's account, used when it has none yet.
    pub new_account: AccountId,
    /// How many credits.
    pub credits: Credits,
}

/// A new period of an allocation: what exceeds the rollover goes back, then it is topped up.
#[derive(Clone, Debug)]
pub struct RefillAllocation {
    /// Whose allocation.
    pub department: DepartmentId,
    /// The period that begins.
    pub period: Period,
}

/// A charge.
#[derive(Clone, Debug)]
pub struct ChargeCredits {
    /// Whose credits: a department's allocation, or unallocated when `None`.
    pub department: Option<DepartmentId>,
    /// On whose behalf.
    pub on_behalf_of: Option<UserId>,
    /// The person whose spending it counts as: on whose behalf, or else whoever asks.
    pub spender: Option<UserId>,
    /// What was done, not yet priced.
    pub lines: Vec<LineRequest>,
    /// The job's id at the caller's, unique in the organization for ever.
    pub reference: Option<String>,
}

/// One line of a charge as the caller gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineRequest {
    /// The service's code.
    pub service: String,
    /// How many units.
    pub quantity: i64,
}

/// Credits to be held.
#[derive(Clone, Debug)]
pub struct HoldCredits {
    /// What would be charged at most.
    pub charge: ChargeCredits,
    /// For how many seconds.
    pub seconds: i64,
}

/// A capture of a hold.
#[derive(Clone, Debug)]
pub struct CaptureHold {
    /// Which hold.
    pub hold: HoldId,
    /// The hold's department.
    pub department: Option<DepartmentId>,
    /// What was done, at the prices of the hold; none: all that is left.
    pub lines: Option<Vec<LineRequest>>,
    /// Whether what is left after it is let go.
    pub last: bool,
}

/// The end of a hold.
#[derive(Clone, Debug)]
pub struct VoidHold {
    /// Which hold.
    pub hold: HoldId,
    /// The hold's department.
    pub department: Option<DepartmentId>,
}

/// A refund.
#[derive(Clone, Debug)]
pub struct RefundCharge {
    /// Which charge.
    pub charge: ChargeId,
    /// The charge's department.
    pub department: Option<DepartmentId>,
    /// How many credits; none: all that is left.
    pub credits: Option<Credits>,
    /// Whether the provider is at fault: then what would lapse is replaced.
    pub provider_fault: bool,
    /// Whether it must be covered by the services' guarantees.
    pub guaranteed: bool,
    /// The id of the first replacement lot; more follow it.
    pub first_lot: LotId,
}

/// Credits to be taken out of a balance.
#[derive(Clone, Debug)]
pub struct TakeBackCredits {
    /// Whose; none: unallocated.
    pub department: Option<DepartmentId>,
    /// How many.
    pub credits: Credits,
    /// Of which lot; none: those that would be used last.
    pub lot: Option<LotId>,
}

/// A later expiry.
#[derive(Clone, Debug)]
pub struct ExtendLot {
    /// Which lot.
    pub lot: LotId,
    /// The lot that its credits go on in.
    pub new_lot: LotId,
    /// The new expiry; none: never.
    pub expires_at: Option<Timestamp>,
}

/// A lot to be taken back.
#[derive(Clone, Debug)]
pub struct RevokeLot {
    /// Which lot.
    pub lot: LotId,
    /// How many of its credits.
    pub credits: Credits,
    /// How much money went back for them, in minor units.
    pub value: i64,
    /// Whether what is held for a dispute is taken first: the dispute was lost.
    pub disputed: bool,
}

/// A lot whose payment is disputed, or is so no more.
#[derive(Clone, Debug)]
pub struct DisputeLot {
    /// Which lot.
    pub lot: LotId,
    /// How many of its credits the dispute is about, at most: what is not there any more is left out.
    pub credits: Credits,
}

/// What was taken back of a lot, to be given back.
#[derive(Clone, Debug)]
pub struct RestoreLot {
    /// Which lot.
    pub lot: LotId,
    /// How many credits.
    pub credits: Credits,
    /// How much money came back to the vendor for them, in minor units.
    pub value: i64,
    /// Whether they are credits that holds keep: they are not to be taken back any more when they are let go. Else what the
    /// pool owes is lowered first, and the rest is free again.
    pub held: bool,
    /// The lot that goes on for one that has lapsed.
    pub new_lot: LotId,
}

/// A debt that becomes another pool's.
#[derive(Clone, Debug)]
pub struct AssignDebt {
    /// The lot that was to be taken back and had been used.
    pub lot: LotId,
    /// The pool of its purchase.
    pub to_pool: PoolId,
    /// How many credits, at most: what has been settled is left out.
    pub credits: Credits,
}
