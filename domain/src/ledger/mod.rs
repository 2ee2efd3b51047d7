//! The ledger as a state machine: [`State`] is what has been loaded, [`decide`] applies one
//! [`Command`] to it, [`Applied`] is what has to be written. Nothing here reads a clock or a
//! database, so all of it can be tested by the million.
//!
//! # Accounts
//! A pool has *holders* (unallocated, and one allocation for each department), whose balances are
//! never negative, and *contra* accounts that say where credits came from and where they went. A
//! transfer moves an amount from the account it debits to the account it credits; the balance of an
//! account is what was credited less what was debited, so the sum over all accounts of a pool is
//! always zero.
//!
//! # Time
//! Time in a pool never runs back: whatever the nodes' clocks say, a transfer is created at
//! `max(now, the pool's previous transfer)`.

mod account;
pub mod chain;
mod command;
mod decide;
mod effects;
mod lots;
mod refusal;
mod state;

pub use account::{AccountKind, AccountRef, TransferKind};
pub use command::{
    AllocateCredits, ChargeCredits, Command, CommandId, Instruction, IssueCredits, Key, LineRequest,
    LotClass, LotSource, RequestHash,
};
pub use decide::{Decision, book_lapses, decide, quote};
pub use effects::{Applied, CauseKind, NewLot, PricedLine, Transfer};
pub use lots::BurnKey;
pub use refusal::{Refusal, Scope};
pub use state::{Account, Contra, Department, Head, Pool, Position, Prior, ServicePrice, State};
