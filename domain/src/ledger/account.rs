//! The accounts of a pool and the kinds of transfers between them.

use crate::id::AccountId;

code_enum! {
    /// What an account is for.
    AccountKind {
        /// Holder: credits of the pool that no department has.
        Unallocated = 1,
        /// Holder: credits reserved for one department.
        Allocation = 2,
        /// Contra: where credits come from. Its balance is minus what was ever issued.
        Issued = 10,
        /// Contra: credits used by charges.
        Consumed = 11,
        /// Contra: credits that lapsed.
        Expired = 12,
        /// Contra: credits taken back because their payment was reversed.
        Revoked = 13,
        /// Contra: credits that the pool owes.
        Debt = 14,
        /// Contra: credits on their way to or from another pool of the organization.
        Clearing = 15,
    }
}

impl AccountKind {
    /// Whether the account holds credits (and so has a balance row and is never negative).
    pub const fn is_holder(self) -> bool {
        matches!(self, AccountKind::Unallocated | AccountKind::Allocation)
    }
}

/// One side of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountRef {
    /// What the account is for.
    pub kind: AccountKind,
    /// Which one, for holders. A pool has one contra account of each kind.
    pub id: Option<AccountId>,
}

impl AccountRef {
    /// The contra account of a kind.
    pub const fn contra(kind: AccountKind) -> AccountRef {
        AccountRef { kind, id: None }
    }
}

code_enum! {
    /// Why credits moved.
    TransferKind {
        /// A lot came in: `ISSUED` to a holder.
        Issue = 1,
        /// Unallocated to a department's allocation.
        Allocate = 2,
        /// A department's allocation back to unallocated.
        Reclaim = 3,
        /// A holder to `CONSUMED`.
        Charge = 4,
        /// A holder to `EXPIRED`.
        Lapse = 5,
        /// A holder to `CONSUMED`, of credits that were held for it.
        Capture = 6,
        /// Pending: credits of a holder are held for charges to come. No balance but what is held changes.
        Hold = 7,
        /// Pending: held credits are free again. No balance but what is held changes.
        Release = 8,
        /// `CONSUMED` back to a holder, or to where it goes when the lot has lapsed or was reversed.
        Refund = 9,
        /// From one holder to another, in one pool or through `CLEARING` to another.
        Move = 10,
        /// Between unallocated and an allocation, when a period begins.
        Refill = 11,
        /// The operator corrects a balance: `ISSUED` to a holder, or a holder to `REVOKED`.
        Correct = 12,
        /// What is left of a lot goes on in another with a later expiry, through `CLEARING`.
        Extend = 13,
        /// A holder to `REVOKED`: the lot's payment was reversed.
        Revoke = 14,
        /// `DEBT` to `REVOKED`: what was to be taken back had been used.
        Owe = 15,
        /// Unallocated to `DEBT`: what the pool owes is settled.
        Settle = 16,
        /// Of entries alone: a lot's payment is disputed. What is free is held, by `HOLD`.
        Dispute = 17,
        /// Of entries alone: a dispute was won. What was held for it is let go, by `RELEASE`.
        Reinstate = 18,
        /// A debt becomes that of the pool of purchase: `REVOKED` to `DEBT` where it was owed, `DEBT` to `REVOKED` there. Its
        /// cost is the money that is receivable for it.
        Assign = 19,
        /// `REVOKED` to a holder, or to `DEBT`: the money that had gone back is the vendor's again.
        Restore = 20,
    }
}

impl TransferKind {
    /// Whether it changes only what is held.
    pub const fn is_pending(self) -> bool {
        matches!(self, TransferKind::Hold | TransferKind::Release)
    }
}
