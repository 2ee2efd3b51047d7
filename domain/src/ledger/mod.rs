//! The ledger as a state machine: [`State`] is what has been loaded, [`decide`] applies one
//! [`Command`] to it, [`Applied`] is what has to be written. Nothing here reads a clock or a
//! database, so all of it can be tested by the million.
//!
//! # Accounts
//! A pool has *holders* (unallocated, and one allocation for each department), whose balances are
//! never negative, and *contra* accounts that say where credits came from and where they went. A
//! transfer moves an amount from the account it debits to the account it credits; the balance of an
//! account is what was credited less what was debited, so the sum over all accounts of a pool is
//! always zero. Holds and releases are *pending* transfers, which change only what is held.
//!
//! # Time
//! Time in a pool never runs back: whatever the nodes' clocks say, a transfer is created at
//! `max(now, the pool's previous transfer)`. What time alone brings ([`book_due`]) is booked before
//! anything is decided.
//!
//! # Plans
//! A command is checked against the state first, which yields a plan of movements; booking a plan cannot
//! fail. One file for each family of commands: `charge`, `holds`, `refunds`, `moves`, `issues`, `disputes`.
//!
//! # Reversed payments
//! What is left of a lot is held for a dispute, or taken back; what has been used is owed. Held credits carry
//! marks that say what becomes of them when they are let go (`marks`), and the money that went back is
//! followed until credits have come back for it (`receivable`).

mod account;
mod assign;
mod caps;
pub mod chain;
mod charge;
mod command;
mod decide;
mod disputes;
mod effects;
mod holds;
mod instruction;
mod issues;
mod lots;
mod marks;
mod moves;
mod plan;
mod post;
mod receivable;
mod refunds;
mod refusal;
mod restores;
mod state;

pub use account::{AccountKind, AccountRef, TransferKind};
pub use caps::{Cap, CapScope, Limit, Raise, Window};
pub use charge::{Explanation, explain, quote};
pub use command::{Command, CommandId, Key, RequestHash};
pub use decide::{Decision, book_due, decide, decide_all};
pub use effects::{Applied, Cause, CauseKind, NewLot, PricedLine, Transfer};
pub use holds::{DEFAULT_HOLD_SECONDS, Hold, HoldState, MAX_HOLD_SECONDS};
pub use instruction::{
    AllocateCredits, AssignDebt, CaptureHold, ChargeCredits, DisputeLot, ExtendLot, HoldCredits, Instruction,
    IssueCredits, LineRequest, LotClass, LotSource, MoveCredits, RefillAllocation, RefundCharge, RestoreLot,
    RevokeLot, TakeBackCredits, VoidHold,
};
pub use lots::{BurnKey, LotTerms, Slice};
pub use refunds::{Charged, ChargedSlice, Guarantee, REPLACEMENT_DAYS};
pub use refusal::{ReferenceOwner, Refusal, Scope, Uncovered};
pub use state::{
    Account, Contra, Department, Head, Overflow, Pool, Position, Prior, Refill, ServicePrice, State,
};
