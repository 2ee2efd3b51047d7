//! The books of an organization with two pools: the machine's state, what its transfers cost, and what must hold of
//! both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bursar_domain::id::{
    AccountId, ChargeId, DepartmentId, EntryId, HoldId, Id, LotId, PoolId, ServiceId, ServiceVersionId,
};
use bursar_domain::ledger::{
    Account, AccountKind, Applied, BurnKey, ChargeCredits, Charged, ChargedSlice, Command, CommandId,
    Decision, Department, Head, Instruction, Key, LineRequest, LotTerms, Pool, Position, RequestHash,
    ServicePrice, State, Transfer, TransferKind, book_due, decide,
};
use bursar_domain::reconcile::Money;
use bursar_domain::reversal::Place;
use bursar_domain::{Credits, Timestamp};

use crate::Step;
use crate::purchases::Purchase;

/// A second, in microseconds.
pub const SECOND: i64 = 1_000_000;
/// A day, in seconds.
pub const DAY: i64 = 86_400;

pub struct Books {
    pub state: State,
    pub now: i64,
    pub number: u128,
    pub purchases: Vec<Purchase>,
    pub charges: Vec<(PoolId, ChargeId)>,
    pub holds: Vec<(PoolId, HoldId)>,
    /// What captures have left a pool to owe, with the lot.
    pub owed: Vec<(PoolId, LotId, Credits)>,
    /// The lots that a lot goes on in.
    heirs: BTreeMap<LotId, Vec<LotId>>,
    /// What credits cost that came to accounts, less what went from them.
    cost: BTreeMap<AccountKind, i64>,
    /// How many credits of each purchase were ever owed, less those that have come back for them, by its lot.
    pub owed_of: BTreeMap<LotId, i64>,
}

pub fn pool(index: usize) -> PoolId {
    PoolId::from_u128(100 + index as u128)
}

pub fn department() -> DepartmentId {
    DepartmentId::from_u128(1)
}

pub fn credits(n: i64) -> Credits {
    Credits::new(n).unwrap()
}

pub fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// One of some things, counted from the newest.
pub fn recent<T: Clone>(things: &[T], back: usize) -> Option<T> {
    things.iter().rev().nth(back).or(things.last()).cloned()
}

pub fn use_of(of_department: bool, n: i64) -> ChargeCredits {
    ChargeCredits {
        department: of_department.then(department),
        on_behalf_of: None,
        spender: None,
        lines: units(n),
        reference: None,
    }
}

pub fn units(n: i64) -> Vec<LineRequest> {
    vec![LineRequest { service: "ROOM".to_owned(), quantity: n }]
}

impl Books {
    pub fn new() -> Books {
        let empty = |index: usize| {
            let unallocated = AccountId::from_u128(200 + index as u128);
            let pool = Pool {
                id: pool(index),
                frozen: false,
                archived: false,
                allowed_services: None,
                head: Head::default(),
                unallocated,
                accounts: BTreeMap::from([(unallocated, Account::empty(None))]),
                caps: Vec::new(),
                holds: BTreeMap::new(),
                touched: BTreeSet::new(),
                next_hold: None,
                changed: false,
                due_changed: false,
            };
            (pool.id, pool)
        };
        let (service, version) = (ServiceId::from_u128(60), ServiceVersionId::from_u128(70));
        let price = ServicePrice { service, version, credits: credits(1) };
        let state = State {
            pools: (0..2).map(empty).collect(),
            departments: BTreeMap::from([(department(), Department { archived: false })]),
            services: Arc::new(BTreeMap::from([("ROOM".to_owned(), price)])),
            ..State::default()
        };
        Books {
            state,
            now: 1_000 * DAY * SECOND,
            number: 1_000_000,
            purchases: Vec::new(),
            charges: Vec::new(),
            holds: Vec::new(),
            owed: Vec::new(),
            heirs: BTreeMap::new(),
            cost: BTreeMap::new(),
            owed_of: BTreeMap::new(),
        }
    }

    fn enter(&mut self, transfers: &[Transfer]) {
        for transfer in transfers.iter().filter(|transfer| !transfer.kind.is_pending()) {
            *self.cost.entry(transfer.debit.kind).or_default() -= transfer.cost;
            *self.cost.entry(transfer.credit.kind).or_default() += transfer.cost;
            let Some(terms) = self.state.lots.get(&transfer.lot) else { continue };
            let owed = self.owed_of.entry(terms.origin).or_default();
            match (transfer.kind, transfer.credit.kind) {
                (TransferKind::Owe, _) => *owed += transfer.credits.get(),
                (TransferKind::Refund | TransferKind::Restore, AccountKind::Debt) => {
                    *owed -= transfer.credits.get();
                }
                _ => {}
            }
        }
    }

    /// Books what time has brought.
    pub fn catch_up(&mut self) {
        for index in 0..2 {
            let transfers = book_due(&mut self.state, pool(index), at(self.now));
            self.enter(&transfers);
        }
    }

    /// Carries a command out, unless it is refused.
    pub fn ask(&mut self, pool: PoolId, instruction: Instruction) -> Option<Applied> {
        self.catch_up();
        self.number += 1_000;
        let id = match instruction {
            Instruction::Charge(_) | Instruction::Capture(_) => {
                CommandId::Charge(ChargeId::from_u128(self.number))
            }
            Instruction::Hold(_) => CommandId::Hold(HoldId::from_u128(self.number)),
            _ => CommandId::Entry(EntryId::from_u128(self.number)),
        };
        let bytes = self.number.to_be_bytes();
        let (key, request, now) = (Key(bytes), RequestHash(bytes), at(self.now));
        let command = Command { id, pool, key, request, now, instruction };
        let applied = match decide(&mut self.state, &command).ok()? {
            Decision::Applied(applied) => *applied,
            Decision::Replayed(id) => panic!("{id:?} was not there before"),
        };
        self.enter(&applied.transfers);
        self.take(&applied);
        Some(applied)
    }

    /// Keeps what later commands are about.
    fn take(&mut self, applied: &Applied) {
        for lot in &applied.lots {
            let burn = BurnKey::new(lot.priority, lot.expires_at, lot.created_at, lot.id);
            let (source, class, currency) = (lot.source, lot.class, lot.currency);
            let before = lot.replaces.and_then(|before| self.state.lots.get(&before));
            let (origin, reversed) = before.map_or((lot.id, false), |terms| (terms.origin, terms.reversed));
            let terms = LotTerms { burn, source, class, currency, origin, reversed, successor: None };
            self.state.lots.insert(lot.id, terms);
            if let Some(before) = lot.replaces {
                self.heirs.entry(before).or_default().push(lot.id);
            }
        }
        let instruction = &applied.command.instruction;
        if let Instruction::Extend(extend) = instruction
            && let Some(terms) = self.state.lots.get_mut(&extend.lot)
        {
            terms.successor = Some(extend.new_lot);
        }
        let (id, pool) = (applied.command.id, applied.command.pool);
        match id {
            CommandId::Hold(id) => self.holds.push((pool, id)),
            CommandId::Charge(id) => {
                let owed = applied.transfers.iter().filter(|transfer| transfer.kind == TransferKind::Owe);
                self.owed.extend(owed.map(|transfer| (transfer.pool, transfer.lot, transfer.credits)));
                let used = [TransferKind::Charge, TransferKind::Capture];
                let used = applied.transfers.iter().filter(|transfer| used.contains(&transfer.kind));
                let slices = used.map(|transfer| {
                    let (account, lot) = (transfer.debit.id.unwrap(), transfer.lot);
                    ChargedSlice { account, lot, credits: transfer.credits, cost: transfer.cost }
                });
                let charged = Charged {
                    department: None,
                    spender: None,
                    lines: applied.lines.clone(),
                    credits: applied.credits,
                    slices: slices.collect(),
                    refunded: Credits::ZERO,
                    refunded_cost: 0,
                    created_at: applied.created_at,
                    counts_at: applied.created_at,
                };
                self.state.charges.insert(id, charged);
                self.charges.push((pool, id));
            }
            CommandId::Entry(_) => {}
        }
    }

    /// The pool of the purchase that a lot came with.
    pub fn home_of(&self, lot: LotId) -> PoolId {
        let origin = self.state.lots[&lot].origin;
        self.purchases.iter().find(|purchase| purchase.lot == Some(origin)).unwrap().pool
    }

    /// A lot and all that it goes on in.
    pub fn family(&self, lot: LotId) -> Vec<LotId> {
        let mut family = vec![lot];
        let mut next = 0;
        while let Some(lot) = family.get(next).copied() {
            family.extend(self.heirs.get(&lot).into_iter().flatten());
            next += 1;
        }
        family
    }

    /// Where credits of a purchase lie, with what `of` says of each position, added up.
    pub fn lying(&self, own: LotId, of: impl Fn(&Position) -> (i64, i64)) -> Vec<Place> {
        let mut places = Vec::new();
        for (pool, loaded) in &self.state.pools {
            for lot in self.family(own) {
                let positions = loaded.accounts.values().flat_map(|account| &account.positions);
                let own = positions.filter(|(burn, _)| burn.lot == lot).map(|(_, position)| of(position));
                let (free, held) = own.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
                if free + held > 0 {
                    places.push(Place { pool: *pool, lot, free: credits(free), held: credits(held) });
                }
            }
        }
        places
    }

    /// What must hold after each step.
    pub fn check(&self, step: &Step) {
        let cost = |kind| self.cost.get(&kind).copied().unwrap_or_default();
        let pools = self.state.pools.values();
        let positions = pools.clone().flat_map(|pool| pool.accounts.values());
        let positions = positions.flat_map(|account| account.positions.values());
        let reversals = || self.purchases.iter().flat_map(|purchase| &purchase.reversals);
        let bare: i64 = reversals().map(|one| one.nothing).sum();
        let money = Money {
            paid: self.purchases.iter().filter(|one| one.lot.is_some()).map(|one| one.total).sum(),
            consumed: cost(AccountKind::Consumed),
            expired: cost(AccountKind::Expired),
            deferred: positions.map(|position| position.cost).sum(),
            refunded: reversals().map(|one| one.value).sum(),
            debt: pools.clone().map(|pool| pool.head.receivable).sum(),
            adjustments: pools.clone().map(|pool| pool.head.adjusted).sum::<i64>() - bare,
            corrected: 0,
        };
        assert_eq!(money.difference(), 0, "{step:?}: {money:?}");
        assert_eq!(cost(AccountKind::Clearing), 0, "{step:?}");
        self.purchases.iter().for_each(|purchase| purchase.check(step));
        for pool in pools {
            let head = pool.head;
            assert_eq!(head.posted + head.contra.sum(), 0, "{step:?}");
            assert!(head.receivable >= 0, "{step:?}");
            let open = !pool.debt().is_zero() || head.revoking != 0;
            assert!(open || head.receivable == 0, "{step:?}: nothing is to come back for {head:?}");
            let all = pool.accounts.values().flat_map(|account| account.positions.values());
            for position in all {
                let marked = position.revoking.saturating_add(position.contested);
                assert!(marked <= position.by_holds() && position.held <= position.credits, "{position:?}");
            }
        }
    }
}
