//! What a decided command leaves to be written.

use super::account::{AccountRef, TransferKind};
use super::command::{Command, IssueCredits};
use crate::id::{PoolId, ServiceId, ServiceVersionId};
use crate::{Credits, Timestamp};

code_enum! {
    /// What kind of row caused a transfer.
    CauseKind {
        /// A charge.
        Charge = 1,
        /// A journal entry.
        Entry = 2,
        /// Time alone: credits lapsed.
        Clock = 3,
    }
}

/// A line of a charge with the price that holds for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PricedLine {
    /// The service.
    pub service: ServiceId,
    /// The version of its price.
    pub version: ServiceVersionId,
    /// The service's code.
    pub code: String,
    /// How many units.
    pub quantity: i64,
    /// Credits per unit.
    pub credits_each: Credits,
    /// Credits of the line.
    pub credits: Credits,
}

/// A lot that came in.
#[derive(Clone, Debug)]
pub struct NewLot {
    /// What was asked for.
    pub issue: IssueCredits,
    /// When it came in.
    pub created_at: Timestamp,
}

/// One movement of credits of one lot, with the balances after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The pool that it belongs to.
    pub pool: PoolId,
    /// The pool's version that it made: 1, 2, 3, ... without a gap.
    pub version: i64,
    /// Why.
    pub kind: TransferKind,
    /// The account that it takes from.
    pub debit: AccountRef,
    /// The account that it gives to.
    pub credit: AccountRef,
    /// The lot.
    pub lot: crate::id::LotId,
    /// How many credits.
    pub credits: Credits,
    /// What they cost, in minor units of the lot's currency.
    pub cost: i64,
    /// The balance of the debited account after it. Contra accounts go below zero.
    pub debit_after: i64,
    /// The balance of the credited account after it.
    pub credit_after: i64,
    /// What is held, after it, in the holder that it debits (or credits, when it debits a contra).
    pub held_after: i64,
    /// What all holders of the pool have together after it.
    pub pool_posted_after: i64,
    /// What all holders of the pool have held together after it.
    pub pool_held_after: i64,
    /// What the pool owes after it.
    pub debt_after: i64,
    /// When it was booked.
    pub created_at: Timestamp,
    /// When it took effect: earlier than `created_at` only for lapses.
    pub effective_at: Timestamp,
}

/// What one accepted command did.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The command.
    pub command: Command,
    /// The lines of a charge with their prices; empty for other commands.
    pub lines: Vec<PricedLine>,
    /// Credits moved.
    pub credits: Credits,
    /// The account that was charged, allocated to or reclaimed from, or received the lot.
    pub account: AccountRef,
    /// The lot that came in with it.
    pub lot: Option<NewLot>,
    /// The movements, by rising version. Never empty.
    pub transfers: Vec<Transfer>,
    /// When it was booked.
    pub created_at: Timestamp,
}
