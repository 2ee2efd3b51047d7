//! What the ledger knows while it decides: as much of an organization as the commands name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::account::{AccountKind, AccountRef};
use super::caps::Cap;
use super::command::{CommandId, Key, RequestHash};
use super::holds::{Hold, HoldState};
use super::lots::{BurnKey, LotTerms};
use super::refunds::{Charged, Guarantee};
use super::refusal::ReferenceOwner;
use crate::id::{AccountId, ChargeId, DepartmentId, HoldId, LotId, PoolId, ServiceId, ServiceVersionId};
use crate::period::{Calendar, Period, PeriodKind};
use crate::{Credits, Timestamp};

/// Everything that a batch of commands needs to be decided.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Commands are decided as of this instant, if they are older: what is due by then has been booked, so
    /// nothing becomes due between them.
    pub now: Timestamp,
    /// Whether the organization may only read.
    pub suspended: bool,
    /// The pools that the commands name.
    pub pools: BTreeMap<PoolId, Pool>,
    /// The departments that the commands name.
    pub departments: BTreeMap<DepartmentId, Department>,
    /// Prices that hold now, by service code. Shared: they are the same for all organizations.
    pub services: Arc<BTreeMap<String, ServicePrice>>,
    /// Keys of the commands that have been used before.
    pub keys: BTreeMap<Key, Prior>,
    /// References of the commands that have been used before.
    pub references: BTreeMap<String, ReferenceOwner>,
    /// The charges that the commands refund.
    pub charges: BTreeMap<ChargeId, Charged>,
    /// The lots that refunds and extensions are about.
    pub lots: BTreeMap<LotId, LotTerms>,
    /// The guarantees of services, as far as refunds ask for them.
    pub guarantees: BTreeMap<ServiceId, Guarantee>,
    /// Where the organization's months begin.
    pub calendar: Arc<Calendar>,
}

/// What a used key stands for.
#[derive(Clone, Copy, Debug)]
pub struct Prior {
    /// The row that it left.
    pub id: CommandId,
    /// What was asked for.
    pub request: RequestHash,
}

/// What has to be known of a department.
#[derive(Clone, Copy, Debug)]
pub struct Department {
    /// Whether it has been archived.
    pub archived: bool,
}

/// The price of a service.
#[derive(Clone, Copy, Debug)]
pub struct ServicePrice {
    /// The service.
    pub service: ServiceId,
    /// The version of its price.
    pub version: ServiceVersionId,
    /// Credits per unit.
    pub credits: Credits,
}

/// The balances of a pool's contra accounts (credited less debited, so `issued` is never positive).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contra {
    /// Minus what was ever issued.
    pub issued: i64,
    /// What charges used.
    pub consumed: i64,
    /// What lapsed.
    pub expired: i64,
    /// What was taken back.
    pub revoked: i64,
    /// Minus what the pool owes.
    pub debt: i64,
    /// What is on its way out (positive) or came in (negative).
    pub clearing: i64,
}

impl Contra {
    pub(super) fn of(&mut self, kind: AccountKind) -> Option<&mut i64> {
        match kind {
            AccountKind::Unallocated | AccountKind::Allocation => None,
            AccountKind::Issued => Some(&mut self.issued),
            AccountKind::Consumed => Some(&mut self.consumed),
            AccountKind::Expired => Some(&mut self.expired),
            AccountKind::Revoked => Some(&mut self.revoked),
            AccountKind::Debt => Some(&mut self.debt),
            AccountKind::Clearing => Some(&mut self.clearing),
        }
    }

    /// The sum over all contra accounts: minus what the holders have together.
    pub fn sum(&self) -> i64 {
        self.issued + self.consumed + self.expired + self.revoked + self.debt + self.clearing
    }
}

/// The end of a pool's books.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The version of the last transfer; 0 before the first.
    pub version: i64,
    /// When the last transfer was created.
    pub clock: Timestamp,
    /// What all holders have together.
    pub posted: i64,
    /// What all holders have held together.
    pub held: i64,
    /// The contra accounts.
    pub contra: Contra,
    /// Money that went back to the buyer and for which credits are still to come back, in minor units.
    pub receivable: i64,
    /// By how much more the credits had cost that came back than the money that went back for them.
    pub adjusted: i64,
    /// How many held credits of all positions are to be taken back.
    pub revoking: i64,
    /// Nothing is due in the pool before this: no open hold expires, no credits lapse. None: never.
    pub due: Option<Timestamp>,
}

/// A pool with those of its accounts that the commands name, unallocated always among them.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Which pool.
    pub id: PoolId,
    /// Whether it is closed to writing.
    pub frozen: bool,
    /// Whether it has been archived.
    pub archived: bool,
    /// The services that it pays for. `None`: all.
    pub allowed_services: Option<BTreeSet<ServiceId>>,
    /// The end of its books.
    pub head: Head,
    /// The account of unallocated credits.
    pub unallocated: AccountId,
    /// Its accounts, as far as loaded.
    pub accounts: BTreeMap<AccountId, Account>,
    /// Its spending caps, all of them.
    pub caps: Vec<Cap>,
    /// Its holds, as far as loaded.
    pub holds: BTreeMap<HoldId, Hold>,
    /// The holds that have to be written.
    pub touched: BTreeSet<HoldId>,
    /// When the first of its open holds expires that are not loaded.
    pub next_hold: Option<Timestamp>,
    /// Whether its head has to be written.
    pub changed: bool,
    /// Whether what is due in it is due at another time than before.
    pub due_changed: bool,
}

/// An account that holds credits.
#[derive(Clone, Debug)]
pub struct Account {
    /// Whose credits: a department's, or nobody's yet when `None`.
    pub department: Option<DepartmentId>,
    /// What it has.
    pub posted: Credits,
    /// How much of that is held.
    pub held: Credits,
    /// Its lots, in burn order.
    pub positions: BTreeMap<BurnKey, Position>,
    /// Whether what it lacks is taken from unallocated.
    pub overflow: Overflow,
    /// How it is refilled, if it is.
    pub refill: Option<Refill>,
    /// Whether it has to be written.
    pub changed: bool,
    /// Whether its refill has to be written.
    pub refilled: bool,
    /// When it was opened, if that has to be written.
    pub opened_at: Option<Timestamp>,
}

string_enum! {
    /// What a department does that has not enough of its own.
    Overflow {
        /// It is refused.
        Deny = "DENY",
        /// It draws on the pool's unallocated credits.
        Unallocated = "UNALLOCATED",
    }
}

/// How an allocation is refilled when a period begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refill {
    /// It is topped up to this.
    pub amount: Credits,
    /// What is left beyond this goes back first.
    pub rollover: Credits,
    /// The kind of its periods.
    pub period: PeriodKind,
    /// The period that it has been refilled for, or that it began in.
    pub current: Period,
    /// How much it lacked when it was refilled last.
    pub shortfall: Credits,
}

/// What an account has of one lot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// How many credits.
    pub credits: Credits,
    /// How many of them are held.
    pub held: Credits,
    /// How many of the held ones are to be taken back, because their payment was reversed.
    pub revoking: Credits,
    /// How many of the held ones are held for a dispute, and by no hold.
    pub disputed: Credits,
    /// How many of those that holds hold are held for a dispute from when they are let go.
    pub contested: Credits,
    /// What they cost together, in minor units.
    pub cost: i64,
    /// Whether it has to be written.
    pub changed: bool,
}

impl Position {
    /// Credits that are not held.
    pub fn free(&self) -> Credits {
        self.credits.saturating_sub(self.held)
    }
}

impl Account {
    /// An account without credits.
    pub fn empty(department: Option<DepartmentId>) -> Account {
        Account {
            department,
            posted: Credits::ZERO,
            held: Credits::ZERO,
            positions: BTreeMap::new(),
            overflow: Overflow::Deny,
            refill: None,
            changed: false,
            refilled: false,
            opened_at: None,
        }
    }

    /// The kind of the account.
    pub fn kind(&self) -> AccountKind {
        if self.department.is_some() { AccountKind::Allocation } else { AccountKind::Unallocated }
    }

    /// What can be spent, once what has lapsed is booked.
    pub fn available(&self) -> Credits {
        self.posted.saturating_sub(self.held)
    }
}

impl Pool {
    /// The pool as it will be loaded once what has changed is written: nothing is to be written any more,
    /// and what is used up or has come to its end is gone.
    pub fn settle(&mut self) {
        (self.changed, self.due_changed) = (false, false);
        for account in self.accounts.values_mut() {
            (account.changed, account.refilled, account.opened_at) = (false, false, None);
            account.positions.retain(|_, position| !position.credits.is_zero());
            for position in account.positions.values_mut() {
                position.changed = false;
            }
        }
        for id in std::mem::take(&mut self.touched) {
            if self.holds.get(&id).is_some_and(|hold| hold.state != HoldState::Open) {
                self.holds.remove(&id);
            }
        }
        for window in self.caps.iter_mut().flat_map(|cap| &mut cap.windows) {
            window.changed = false;
        }
    }

    /// The account of a department, when it has one here.
    pub fn account_of(&self, department: DepartmentId) -> Option<AccountId> {
        self.accounts.iter().find(|(_, account)| account.department == Some(department)).map(|(id, _)| *id)
    }

    /// Something will be due at an instant.
    pub(super) fn will_be_due(&mut self, at: Timestamp) {
        if self.head.due.is_none_or(|due| at < due) {
            self.head.due = Some(at);
            self.due_changed = true;
        }
    }

    /// Finds out when something is due next. All accounts have to be loaded.
    pub(super) fn find_due(&mut self, now: Timestamp) {
        let positions = self.accounts.values().flat_map(|account| &account.positions);
        // What has lapsed and is held is due when its hold is.
        let open = |burn: &BurnKey, position: &Position| {
            !position.free().is_zero() || (!position.credits.is_zero() && !burn.has_lapsed(now))
        };
        let lapses = positions.filter(|(burn, position)| open(burn, position));
        let lapses = lapses.filter_map(|(burn, _)| burn.expires_at());
        let open = self.holds.values().filter(|hold| hold.state == HoldState::Open);
        let due = lapses.chain(open.map(|hold| hold.expires_at)).chain(self.next_hold).min();
        if self.head.due != due {
            self.head.due = due;
            (self.changed, self.due_changed) = (true, true);
        }
    }

    /// What it owes.
    pub fn debt(&self) -> Credits {
        Credits::new(-self.head.contra.debt).unwrap_or_default()
    }

    /// The time of a command: in a pool it never runs back.
    pub fn time(&self, now: Timestamp) -> Timestamp {
        now.max(self.head.clock)
    }

    /// A loaded account as the side of a transfer.
    pub(super) fn side(&self, id: AccountId) -> AccountRef {
        let kind = if id == self.unallocated { AccountKind::Unallocated } else { AccountKind::Allocation };
        AccountRef { kind, id: Some(id) }
    }
}
