//! The ledger: every movement of credits is a command that passes through here.
//!
//! # Flow
//! [`Ledger::submit`] takes a batch through three phases in one transaction:
//! 1. *load*: `SELECT ... FOR UPDATE` on the heads of the pools that the commands name, in the order of
//!    their ids; then everything else that decides, which the heads guard.
//! 2. *decide*: the pure machine in `bursar_domain::ledger`, one command after another.
//! 3. *write*: one statement for each table, and the hash chain.
//!
//! It answers after the commit, and tells the listener which pools moved to which version. Rooms that
//! must write rows of their own in the same transaction use [`Ledger::apply`].
//!
//! This room is the only one that writes ledger tables, and `write.rs` the only file.

mod balance;
mod digest;
mod load;
mod read;
mod submit;
mod write;

use std::sync::Arc;

use bursar_domain::id::PoolId;
use bursar_domain::ledger::Command;
use bursar_entity::{charge, journal_entry, lot, transfer};

use crate::auth::Actor;
use crate::context::Context;

pub use balance::{Balance, account_balance, department_balances, expiring, pool_balance, pool_balances};
pub use digest::Line;
pub use read::{Quote, charge_transfers, decode_lines, head, quote, transfers_after};
pub use submit::Outcome;
pub use write::open_pool;

/// A pool that has moved to a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The pool.
    pub pool: PoolId,
    /// Its version.
    pub version: i64,
}

/// Whoever wants to know of commits. Called after each commit; must not block.
pub type CommitListener = Arc<dyn Fn(&[Committed]) + Send + Sync>;

/// A command with what it carries but does not decide by.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The command.
    pub command: Command,
    /// Who submits it.
    pub actor: Actor,
    /// The property or listing that a charge is for.
    pub subject: Option<String>,
    /// What the caller attaches, as JSON.
    pub metadata: Option<String>,
    /// Why, in the caller's words.
    pub reason: Option<String>,
}

/// What an accepted command has left.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// Its own row.
    pub row: ReceiptRow,
    /// Its transfers, by rising version.
    pub transfers: Vec<transfer::Model>,
    /// The lot that came in with it.
    pub lot: Option<lot::Model>,
    /// Whether it had been carried out before, under the same key.
    pub replayed: bool,
}

/// The row of an accepted command.
#[derive(Clone, Debug)]
pub enum ReceiptRow {
    /// A charge.
    Charge(charge::Model),
    /// Another command.
    Entry(journal_entry::Model),
}

/// The ledger of all organizations.
#[derive(Clone)]
pub struct Ledger {
    context: Context,
    listener: CommitListener,
}

impl Ledger {
    /// A ledger on a database.
    pub fn new(context: Context, listener: CommitListener) -> Ledger {
        Ledger { context, listener }
    }

    /// The database and the clock that it works with.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Tells the listener what a transaction that used [`Ledger::apply`] has committed.
    pub fn announce(&self, committed: &[Committed]) {
        if !committed.is_empty() {
            (self.listener)(committed);
        }
    }
}
