//! Refusals: why a command was not carried out. A refusal changes nothing and is not stored.

use super::command::CommandId;
use super::holds::HoldState;
use crate::Credits;
use crate::id::{CapId, ChargeId, HoldId};

/// Whose credits did not suffice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Credits of the pool that no department has.
    Unallocated,
    /// The department's allocation.
    Department,
}

/// What has a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReferenceOwner {
    /// A charge.
    Charge(ChargeId),
    /// A hold, whose captures show the reference.
    Hold(HoldId),
}

/// Why a refund is not covered by a guarantee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uncovered {
    /// There is no guarantee for the service.
    NotOffered,
    /// The charge is older than the guarantee lasts.
    TooLate,
    /// The month's number of refunds has been reached.
    QuotaReached,
}

/// Why a command was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The pool is not there.
    PoolNotFound,
    /// The pool has been archived.
    PoolArchived,
    /// The pool is closed to writing until its books have been looked at.
    PoolFrozen,
    /// The pool owes credits; until they are settled nothing else moves.
    PoolInDebt {
        /// What it owes.
        debt: Credits,
    },
    /// The organization may only read.
    OrganizationSuspended,
    /// The department is not there.
    DepartmentNotFound,
    /// The department has been archived.
    DepartmentArchived,
    /// A charge needs a line.
    NoLines,
    /// A charge has more than [`crate::pricing::MAX_LINES`] lines.
    TooManyLines,
    /// A line names no known service.
    ServiceUnknown {
        /// Which line, from 0.
        line: usize,
    },
    /// The pool does not pay for this service.
    ServiceNotAllowed {
        /// Which line, from 0.
        line: usize,
    },
    /// A quantity is not in `1..=`[`crate::pricing::MAX_QUANTITY`], or its price is out of range.
    QuantityOutOfRange {
        /// Which line, from 0.
        line: usize,
    },
    /// The amount is zero.
    AmountNotPositive,
    /// The result would be above [`Credits::MAX`].
    AmountTooLarge,
    /// There is not enough.
    InsufficientCredits {
        /// Whose credits did not suffice.
        scope: Scope,
        /// What is available there.
        available: Credits,
        /// How much more is needed.
        short_by: Credits,
    },
    /// Another charge or hold has this reference.
    ReferenceTaken {
        /// Which one.
        owner: ReferenceOwner,
    },
    /// A spending cap does not leave enough.
    CapExceeded {
        /// Which cap.
        cap: CapId,
        /// What it leaves for the rest of its period.
        headroom: Credits,
    },
    /// The lifetime of a hold is not in `1..=`[`super::MAX_HOLD_SECONDS`] seconds.
    LifetimeOutOfRange,
    /// The hold is not there.
    HoldNotFound,
    /// The hold has come to its end.
    HoldClosed {
        /// What became of it.
        state: HoldState,
    },
    /// More is to be captured than is held.
    CaptureExceedsHold {
        /// Which line of the capture, from 0.
        line: usize,
        /// How many units of the service are still held.
        held: i64,
    },
    /// The charge is not there.
    ChargeNotFound,
    /// More is to be refunded than is left of the charge.
    RefundExceedsCharge {
        /// What is left.
        refundable: Credits,
    },
    /// No guarantee covers this: the operator decides.
    GuaranteeDoesNotCover(Uncovered),
    /// The lot is not there, or the pool has nothing of it.
    LotNotFound,
    /// The new expiry is not later than the old one, or the lot does not expire.
    ExpiryNotLater,
    /// The expiry lies in the past.
    ExpiryPast,
    /// Credits cannot be moved to where they are.
    SamePlace,
    /// The pool that credits are to be moved to cannot take them.
    Target(Box<Refusal>),
    /// The allocation is not refilled, or has been for this period.
    NothingToRefill,
    /// Another command of the same atomic batch was refused, so none was carried out.
    BatchAborted {
        /// Which one, from 0.
        index: usize,
    },
    /// The same key came with another request before.
    IdempotencyConflict {
        /// What the key stands for.
        prior: CommandId,
    },
}
