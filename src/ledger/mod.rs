//! The ledger: every movement of credits is a command that passes through here.
//!
//! # Flow
//! [`Ledger::submit`] puts a command on its organization's queue. A lane takes what waits there as one
//! batch through three phases in one transaction:
//! 1. *load*: lock the heads of the pools that the commands name, in the order of their ids, and find out
//!    whether what is kept in memory still holds; read what does not.
//! 2. *decide*: the pure machine in `bursar_domain::ledger`, one command after another.
//! 3. *write*: all rows at once, and the hash chain.
//!
//! It answers after the commit, and announces which pools moved to which version. Rooms that
//! must write rows of their own in the same transaction use [`Ledger::apply`].
//!
//! `verify` replays what has been booked and names the first row that is wrong.
//!
//! This room is the only one that writes ledger tables, and `write.rs` the only file.

mod balance;
mod balance_at;
mod books;
mod caps;
mod check;
mod consumption;
mod digest;
mod give_back;
mod headroom;
mod lanes;
mod load;
mod load_holds;
mod load_pools;
mod load_refunds;
mod meters;
mod process;
mod queues;
mod read;
mod repeats;
mod rows;
mod submit;
pub mod verify;
mod write;

use std::sync::Arc;

use bursar_domain::Credits;
use bursar_domain::ledger::Command;
use bursar_entity::{charge, hold, journal_entry, lot, transfer};

use sea_orm::DatabaseBackend;

use crate::auth::{Actor, Standing};
use crate::context::Context;

pub use balance::{Balance, account_balance, department_balances, expiring, pool_balance, pool_balances};
pub use balance_at::{balance_at, expiring_after};
pub use caps::{CapCount, count_cap, open_cap};
pub use consumption::{Figures, figures};
pub use digest::{Line, of_pool};
pub use headroom::cap_limit;
pub use read::{charge_transfers, decode_lines, head, transfers_after};
pub use write::{BOOK_DUE, DEBT_HOME, REFILL, open_pool, set_allocation};

/// A command with what it carries but does not decide by.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The command.
    pub command: Command,
    /// Who submits it.
    pub actor: Actor,
    /// When the permission to do so was read, as revisions.
    pub standing: Standing,
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
    /// Its transfers in its own pool, by rising version, with those that followed from it: what a last
    /// capture lets go, say.
    pub transfers: Vec<transfer::Model>,
    /// Its transfers in the other pool, by rising version.
    pub there: Vec<transfer::Model>,
    /// The lots that came in with it.
    pub lots: Vec<lot::Model>,
    /// The hold that was captured or let go, after it; none for what repeats a command.
    pub hold: Option<hold::Model>,
    /// What the account that it was about had after it, and had held; none for what repeats a command.
    pub account_after: Option<(Credits, Credits)>,
    /// Whether it had been carried out before, under the same key.
    pub replayed: bool,
}

/// The row of an accepted command.
#[derive(Clone, Debug)]
pub enum ReceiptRow {
    /// A charge, or the capture of a hold.
    Charge(charge::Model),
    /// A hold.
    Hold(hold::Model),
    /// Another command.
    Entry(journal_entry::Model),
    /// None: nothing had to be moved.
    Nothing,
}

/// What becomes of several commands of one call when one of them is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Together {
    /// The others are carried out.
    Each,
    /// None is carried out.
    Atomic,
}

/// Bounds of the ledger's queues and batches.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many transactions run at the same time.
    pub lanes: usize,
    /// How many commands of one organization may wait.
    pub waiting: usize,
    /// How many commands of all organizations may wait.
    pub waiting_of_all: usize,
    /// How many commands one transaction carries out.
    pub batch: usize,
    /// How many organizations share one transaction.
    pub organizations: usize,
}

impl Settings {
    /// What fits a database: SQLite has one writer, so the organizations share its transactions.
    pub fn fitting(backend: DatabaseBackend) -> Settings {
        let (lanes, organizations) = match backend {
            DatabaseBackend::Postgres => (4, 32),
            _ => (1, 256),
        };
        Settings { lanes, waiting: 4_096, waiting_of_all: 65_536, batch: 512, organizations }
    }
}

/// The ledger of all organizations.
#[derive(Clone)]
pub struct Ledger {
    context: Context,
    lanes: Arc<lanes::Lanes>,
}
