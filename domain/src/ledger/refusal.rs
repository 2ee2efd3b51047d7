//! Refusals: why a command was not carried out. A refusal changes nothing and is not stored.

use super::command::CommandId;
use crate::Credits;
use crate::id::ChargeId;

/// Whose credits did not suffice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Credits of the pool that no department has.
    Unallocated,
    /// The department's allocation.
    Department,
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
    /// Another charge has this reference.
    ReferenceTaken {
        /// That charge.
        charge: ChargeId,
    },
    /// The same key came with another request before.
    IdempotencyConflict {
        /// What the key stands for.
        prior: CommandId,
    },
}
