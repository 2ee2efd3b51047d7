//! What a decided command leaves to be written.

use super::account::{AccountRef, TransferKind};
use super::command::Command;
use super::instruction::{LotClass, LotSource};
use crate::id::{HoldId, LotId, PoolId, PurchaseId, ServiceId, ServiceVersionId};
use crate::{Credits, Currency, Timestamp};

code_enum! {
    /// What kind of row caused a transfer.
    CauseKind {
        /// A charge.
        Charge = 1,
        /// A journal entry.
        Entry = 2,
        /// Time alone: credits lapsed.
        Clock = 3,
        /// A hold: it was made, or came to its end.
        Hold = 4,
    }
}

/// What caused a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The command that it belongs to.
    Command,
    /// A hold.
    Hold(HoldId),
    /// Time alone.
    Clock,
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
    /// Its id.
    pub id: LotId,
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
    /// The lot whose credits go on in it.
    pub replaces: Option<LotId>,
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
    pub lot: LotId,
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
    /// The transfer that is the other half of the movement: its pool and version.
    pub counterpart: Option<(PoolId, i64)>,
    /// What caused it.
    pub cause: Cause,
    /// When it was booked.
    pub created_at: Timestamp,
    /// When it took effect: earlier than `created_at` only for what time alone has brought.
    pub effective_at: Timestamp,
}

/// What one accepted command did.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The command.
    pub command: Command,
    /// The lines of a charge, a capture or a hold with their prices; empty for other commands.
    pub lines: Vec<PricedLine>,
    /// Credits moved.
    pub credits: Credits,
    /// What they cost together, in minor units; of a reversal, the money that went back for them.
    pub cost: i64,
    /// The account that the command is about: that was charged, allocated to, received the lot.
    pub account: AccountRef,
    /// What that account has after it, and has held.
    pub account_after: (Credits, Credits),
    /// The account in the other pool.
    pub other_account: Option<AccountRef>,
    /// The lots that came in with it.
    pub lots: Vec<NewLot>,
    /// The movements in the order in which they were booked. Those of the command's own pool have rising
    /// versions. Empty only for [`super::Instruction::BookDue`], and for a refill or a dispute that finds nothing.
    pub transfers: Vec<Transfer>,
    /// How many credits a refill lacked.
    pub shortfall: Credits,
    /// When it was booked.
    pub created_at: Timestamp,
}
