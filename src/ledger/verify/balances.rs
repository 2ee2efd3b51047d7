//! The balances of a pool as its transfers make them: each transfer is booked again, and what it says of
//! amounts, costs and balances is compared with that.
//!
//! This is written apart from the machine that books (`bursar_domain::ledger`), so that a fault there does
//! not hide itself here. All errors are about the transfer that is booked.

use std::collections::{BTreeMap, HashMap, HashSet};

use bursar_domain::Timestamp;
use bursar_domain::id::{AccountId, DepartmentId, LotId};
use bursar_domain::ledger::{AccountKind, Contra, TransferKind};
use bursar_domain::money::cost_share;
use bursar_entity::transfer;

use super::causes::Because;
use super::marks::Owing;

/// What the transfers so far have made of a pool.
#[derive(Clone, Debug, Default)]
pub(super) struct Balances {
    pub posted: i64,
    pub held: i64,
    pub contra: Contra,
    pub accounts: BTreeMap<AccountId, Holder>,
    /// Whose the accounts are that charges and holds were about.
    pub departments: HashMap<AccountId, Option<DepartmentId>>,
    pub owing: Owing,
    pub unallocated: Option<AccountId>,
    /// What was captured of lots that were to be taken back, and has to be owed next.
    owed: Vec<(LotId, i64)>,
    /// The first half of a movement through clearing whose other half has to come next.
    half: Option<(i64, i64)>,
}

/// An account that holds credits.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    pub kind: AccountKind,
    pub posted: i64,
    pub held: i64,
    pub positions: BTreeMap<LotId, Part>,
    /// Lots that it has had and has nothing of any more.
    pub emptied: HashSet<LotId>,
    /// When it first had something.
    pub since: Timestamp,
}

/// What an account has of a lot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub credits: i64,
    pub held: i64,
    pub revoking: i64,
    pub disputed: i64,
    pub contested: i64,
    pub cost: i64,
    /// When the lot expires.
    pub expires_at: Option<Timestamp>,
}

impl Part {
    pub fn free(&self) -> i64 {
        self.credits.saturating_sub(self.held)
    }
}

impl Balances {
    /// Books a transfer of a lot.
    pub fn post(
        &mut self,
        row: &transfer::Model,
        expires_at: Option<Timestamp>,
        because: Because,
    ) -> Result<(), String> {
        shape(row)?;
        self.halves(row)?;
        self.debts(row, because)?;
        self.owing.pass(row, self.contra.debt.saturating_neg());
        let sign = if row.kind.is_pending() { 0 } else { 1 };
        let debit_after = match row.debit_id {
            Some(id) => self.take(id, row, because)?,
            None => self.change_contra(row.debit_kind, row.credits.get().saturating_mul(-sign)),
        };
        let credit_after = match row.credit_id {
            Some(id) => self.give(id, row, expires_at)?,
            None => self.change_contra(row.credit_kind, row.credits.get().saturating_mul(sign)),
        };
        let holder = row.debit_id.or(row.credit_id).and_then(|id| self.accounts.get(&id));
        let held_after = holder.map_or(0, |holder| holder.held);
        for (name, said, right) in [
            ("the debited account's balance", row.debit_after, debit_after),
            ("the credited account's balance", row.credit_after, credit_after),
            ("what the account has held", row.held_after, held_after),
            ("the pool's balance", row.pool_posted_after, self.posted),
            ("what the pool has held", row.pool_held_after, self.held),
            ("what the pool owes", row.debt_after, self.contra.debt.saturating_neg()),
        ] {
            if said != right {
                return Err(format!("{name} after it is {right}, and it says {said}"));
            }
        }
        Ok(())
    }

    /// Whether nothing is missing that has to follow.
    pub fn is_settled(&self) -> bool {
        self.owed.is_empty() && self.half.is_none()
    }

    /// Both halves of a movement through clearing within the pool follow each other.
    fn halves(&mut self, row: &transfer::Model) -> Result<(), String> {
        let through = [row.debit_kind, row.credit_kind].contains(&AccountKind::Clearing)
            || row.kind == TransferKind::Assign;
        let (pool, version) = (row.counterpart_pool_id, row.counterpart_version);
        if pool.is_some() != through || version.is_some() != through {
            return Err("it has another half, or none, against its accounts".to_owned());
        }
        let here = pool == Some(row.pool_id);
        let second = row.debit_kind == AccountKind::Clearing;
        let whole = match self.half.take() {
            Some(first) => {
                let same = first == (row.credits.get(), row.cost);
                second && here && version == Some(row.version.saturating_sub(1)) && same
            }
            None => !(second && here),
        };
        if !whole {
            return Err("it and the transfer before it are not two halves of a movement".to_owned());
        }
        if here && !second {
            if version != Some(row.version.saturating_add(1)) {
                return Err("its other half is not the next transfer".to_owned());
            }
            self.half = Some((row.credits.get(), row.cost));
        }
        Ok(())
    }

    /// What was captured although it was to be taken back is owed at once.
    fn debts(&mut self, row: &transfer::Model, because: Because) -> Result<(), String> {
        if row.kind == TransferKind::Owe && because == Because::HoldEnd {
            let owed = (row.lot_id, row.credits.get());
            if self.owed.first() != Some(&owed) {
                return Err("nothing of the kind is owed".to_owned());
            }
            self.owed.remove(0);
        } else if row.kind != TransferKind::Capture && !self.owed.is_empty() {
            return Err("what was captured before it of a reversed payment is not owed".to_owned());
        }
        if row.kind == TransferKind::Owe && row.cost != 0 {
            return Err(format!("it costs {} where nothing is paid", row.cost));
        }
        if [TransferKind::Assign, TransferKind::Restore].contains(&row.kind)
            && row.credit_kind == AccountKind::Debt
        {
            let debt = self.contra.debt.saturating_neg();
            let part = self.owing.part(row.credits.get(), debt);
            // No more of it is given up than there is money again.
            let fits = row.cost == part || row.kind == TransferKind::Restore && row.cost < part;
            if row.credits.get() > debt || !fits {
                return Err(format!("of the {debt} that are owed it takes too much, or not {part} along"));
            }
        }
        Ok(())
    }

    /// Takes a slice out of an account, or holds it, or lets it go; answers the account's balance.
    fn take(&mut self, id: AccountId, row: &transfer::Model, because: Because) -> Result<i64, String> {
        let amount = row.credits.get();
        let holder = self.accounts.get_mut(&id).filter(|holder| holder.kind == row.debit_kind);
        let holder = holder.ok_or("the debited account has nothing")?;
        let part = holder.positions.get_mut(&row.lot_id);
        let part = part.ok_or("the debited account has nothing of the lot")?;
        let held = match row.kind {
            TransferKind::Hold => amount,
            TransferKind::Release | TransferKind::Capture => -amount,
            _ => 0,
        };
        let (has, of) = match because {
            _ if held >= 0 => (part.free(), "free"),
            // What a dispute holds is counted with the marks, when the entry is complete.
            Because::Entry(TransferKind::Revoke | TransferKind::Dispute | TransferKind::Reinstate) => {
                (part.held, "held")
            }
            _ => (part.by_holds(), "held"),
        };
        if has < amount {
            return Err(format!("the account has {has} {of} credits of the lot, and it takes {amount}"));
        }
        let cost = cost_share(part.cost, amount, part.credits);
        if row.cost != cost {
            return Err(format!("the credits cost {cost}, and it says {}", row.cost));
        }
        part.held += held;
        holder.held += held;
        self.held += held;
        let change = part.follow(row.kind, amount, because)?;
        self.owing.revoking = self.owing.revoking.saturating_add(change);
        if row.kind == TransferKind::Capture && change != 0 {
            self.owed.push((row.lot_id, change.saturating_neg()));
        }
        if !row.kind.is_pending() {
            part.credits -= amount;
            part.cost -= cost;
            holder.posted -= amount;
            self.posted -= amount;
            if part.credits == 0 {
                holder.positions.remove(&row.lot_id);
                holder.emptied.insert(row.lot_id);
            }
        }
        Ok(holder.posted)
    }

    /// Gives a slice to an account, which may be new.
    fn give(
        &mut self,
        id: AccountId,
        row: &transfer::Model,
        expires_at: Option<Timestamp>,
    ) -> Result<i64, String> {
        if row.credit_kind == AccountKind::Unallocated && *self.unallocated.get_or_insert(id) != id {
            return Err("the pool has another account of unallocated credits".to_owned());
        }
        let new = || Holder {
            kind: row.credit_kind,
            posted: 0,
            held: 0,
            positions: BTreeMap::new(),
            emptied: HashSet::new(),
            since: row.created_at,
        };
        let holder = self.accounts.entry(id).or_insert_with(new);
        if holder.kind != row.credit_kind {
            return Err("the credited account is of another kind".to_owned());
        }
        let part = holder.positions.entry(row.lot_id).or_insert(Part { expires_at, ..Part::default() });
        holder.emptied.remove(&row.lot_id);
        let amount = row.credits.get();
        part.credits = part.credits.saturating_add(amount);
        part.cost = part.cost.saturating_add(row.cost);
        holder.posted = holder.posted.saturating_add(amount);
        self.posted = self.posted.saturating_add(amount);
        Ok(holder.posted)
    }

    fn change_contra(&mut self, kind: AccountKind, by: i64) -> i64 {
        let balance = match kind {
            // `shape` has seen that holders have ids.
            AccountKind::Unallocated | AccountKind::Allocation => return 0,
            AccountKind::Issued => &mut self.contra.issued,
            AccountKind::Consumed => &mut self.contra.consumed,
            AccountKind::Expired => &mut self.contra.expired,
            AccountKind::Revoked => &mut self.contra.revoked,
            AccountKind::Debt => &mut self.contra.debt,
            AccountKind::Clearing => &mut self.contra.clearing,
        };
        *balance = balance.saturating_add(by);
        *balance
    }

    /// Learns whose an account is; answers whether that is what was known.
    pub fn learn(&mut self, account: AccountId, department: Option<DepartmentId>) -> bool {
        let kind = self.accounts.get(&account).map(|holder| holder.kind);
        let fits = kind.is_none_or(|kind| (kind == AccountKind::Allocation) == department.is_some());
        fits && *self.departments.entry(account).or_insert(department) == department
    }

    /// When the first credits lapse that are not held.
    pub fn first_lapse(&self) -> Option<Timestamp> {
        let parts = self.accounts.values().flat_map(|holder| holder.positions.values());
        parts.filter(|part| part.free() > 0).filter_map(|part| part.expires_at).min()
    }

    /// How many rows are kept.
    pub fn weight(&self) -> usize {
        let rows = |holder: &Holder| 1 + holder.positions.len() + holder.emptied.len();
        self.accounts.values().map(rows).sum::<usize>() + self.departments.len()
    }
}

/// Whether the accounts of a transfer are such as its kind moves credits between.
fn shape(row: &transfer::Model) -> Result<(), String> {
    use AccountKind::{Allocation, Unallocated};
    use AccountKind::{Clearing, Consumed, Debt, Expired, Issued, Revoked};
    for (kind, id) in [(row.debit_kind, row.debit_id), (row.credit_kind, row.credit_id)] {
        if kind.is_holder() != id.is_some() {
            return Err("it names an account where there is none, or none where there is one".to_owned());
        }
    }
    if row.credits.is_zero() || row.cost < 0 {
        return Err("it moves nothing, or costs less than nothing".to_owned());
    }
    let holder = |kind: AccountKind| kind.is_holder();
    let (debit, credit) = (row.debit_kind, row.credit_kind);
    let fits = match row.kind {
        TransferKind::Issue => debit == Issued && holder(credit),
        TransferKind::Allocate => debit == Unallocated && credit == Allocation,
        TransferKind::Reclaim => debit == Allocation && credit == Unallocated,
        TransferKind::Charge | TransferKind::Capture | TransferKind::Hold | TransferKind::Release => {
            holder(debit) && credit == Consumed
        }
        TransferKind::Lapse => holder(debit) && credit == Expired,
        TransferKind::Refund => {
            let back = holder(credit) || [Debt, Expired, Clearing].contains(&credit);
            debit == Consumed && back || debit == Clearing && holder(credit)
        }
        TransferKind::Move => {
            holder(debit) && (holder(credit) || credit == Clearing) || debit == Clearing && holder(credit)
        }
        TransferKind::Refill => {
            debit == Unallocated && credit == Allocation || debit == Allocation && credit == Unallocated
        }
        TransferKind::Correct => debit == Issued && holder(credit) || holder(debit) && credit == Revoked,
        TransferKind::Extend => holder(debit) && credit == Clearing || debit == Clearing && holder(credit),
        TransferKind::Revoke => holder(debit) && credit == Revoked,
        TransferKind::Owe => debit == Debt && credit == Revoked,
        TransferKind::Settle => holder(debit) && credit == Debt,
        TransferKind::Restore => {
            let back = holder(credit) || [Debt, Clearing].contains(&credit);
            debit == Revoked && back || debit == Clearing && holder(credit)
        }
        TransferKind::Assign => debit == Revoked && credit == Debt || debit == Debt && credit == Revoked,
        // Entries are of these kinds, and no transfer is.
        TransferKind::Dispute | TransferKind::Reinstate => false,
    };
    if fits { Ok(()) } else { Err(format!("{:?} is not from {debit:?} to {credit:?}", row.kind)) }
}
