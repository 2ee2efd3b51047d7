//! What the ledger knows while it decides: as much of an organization as the commands name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::account::{AccountKind, AccountRef, TransferKind};
use super::command::{CommandId, Key, RequestHash};
use super::effects::Transfer;
use super::lots::{BurnKey, Slice};
use crate::id::{AccountId, ChargeId, DepartmentId, PoolId, ServiceId, ServiceVersionId};
use crate::{Credits, Timestamp};

/// Everything that a batch of commands needs to be decided.
#[derive(Clone, Debug, Default)]
pub struct State {
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
    pub references: BTreeMap<String, ChargeId>,
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
    fn of(&mut self, kind: AccountKind) -> Option<&mut i64> {
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
    /// Whether its head has to be written.
    pub changed: bool,
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
    /// Whether it has to be written.
    pub changed: bool,
}

/// What an account has of one lot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// How many credits.
    pub credits: Credits,
    /// How many of them are held.
    pub held: Credits,
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
            changed: false,
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
    /// and lots that are used up are gone.
    pub fn settle(&mut self) {
        self.changed = false;
        for account in self.accounts.values_mut() {
            account.changed = false;
            account.positions.retain(|_, position| !position.credits.is_zero());
            for position in account.positions.values_mut() {
                position.changed = false;
            }
        }
    }

    /// The account of a department, when it has one here.
    pub fn account_of(&self, department: DepartmentId) -> Option<AccountId> {
        self.accounts.iter().find(|(_, account)| account.department == Some(department)).map(|(id, _)| *id)
    }

    /// A loaded account as the side of a transfer.
    pub(super) fn side(&self, id: AccountId) -> AccountRef {
        let kind = if id == self.unallocated { AccountKind::Unallocated } else { AccountKind::Allocation };
        AccountRef { kind, id: Some(id) }
    }

    /// Books one movement and answers it with the balances after it.
    ///
    /// The caller has made sure that the debited holder has the slice unheld and that no holder goes
    /// above [`Credits::MAX`]; the saturating arithmetic is never reached by a right caller, and the
    /// database's checks and the verification stand behind it.
    pub(super) fn post(
        &mut self,
        kind: TransferKind,
        (debit, credit): (AccountRef, AccountRef),
        slice: Slice,
        (created_at, effective_at): (Timestamp, Timestamp),
    ) -> Transfer {
        let amount = slice.credits.get();
        let debit_after = self.move_slice(debit, slice, -1);
        let credit_after = self.move_slice(credit, slice, 1);
        self.head.posted -= if debit.kind.is_holder() { amount } else { 0 };
        self.head.posted += if credit.kind.is_holder() { amount } else { 0 };
        self.head.version += 1;
        self.head.clock = created_at;
        self.changed = true;
        let holder = if debit.kind.is_holder() { debit.id } else { credit.id };
        let held_after = holder.and_then(|id| self.accounts.get(&id)).map_or(0, |account| account.held.get());
        Transfer {
            pool: self.id,
            version: self.head.version,
            kind,
            debit,
            credit,
            lot: slice.burn.lot,
            credits: slice.credits,
            cost: slice.cost,
            debit_after,
            credit_after,
            held_after,
            pool_posted_after: self.head.posted,
            pool_held_after: self.head.held,
            debt_after: -self.head.contra.debt,
            created_at,
            effective_at,
        }
    }

    /// Adds (`sign` 1) or takes (`sign` -1) a slice; answers the account's balance after it.
    fn move_slice(&mut self, side: AccountRef, slice: Slice, sign: i64) -> i64 {
        let change = |from: Credits| {
            if sign > 0 {
                from.checked_add(slice.credits).unwrap_or(Credits::MAX)
            } else {
                from.saturating_sub(slice.credits)
            }
        };
        if let Some(balance) = self.head.contra.of(side.kind) {
            *balance += sign * slice.credits.get();
            return *balance;
        }
        let Some(account) = side.id.and_then(|id| self.accounts.get_mut(&id)) else {
            return 0;
        };
        account.posted = change(account.posted);
        account.changed = true;
        let position = account.positions.entry(slice.burn).or_default();
        position.credits = change(position.credits);
        position.cost += sign * slice.cost;
        position.changed = true;
        account.posted.get()
    }
}
