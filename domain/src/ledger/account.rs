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
        /// A lot came in: `ISSUED` to unallocated.
        Issue = 1,
        /// Unallocated to a department's allocation.
        Allocate = 2,
        /// A department's allocation back to unallocated.
        Reclaim = 3,
        /// A holder to `CONSUMED`.
        Charge = 4,
        /// A holder to `EXPIRED`.
        Lapse = 5,
    }
}
