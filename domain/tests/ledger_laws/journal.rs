//! The books as they follow from the transfers alone: each transfer is checked when it is entered, and what
//! the machine says its balances are must be what the sums say.

use std::collections::BTreeMap;

use bursar_domain::Timestamp;
use bursar_domain::id::{AccountId, Id, LotId, OrganizationId, PoolId};
use bursar_domain::ledger::{AccountKind, AccountRef, Cause, NewLot, Transfer, TransferKind, chain};

/// What has been credited to something, less what has been debited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub posted: i64,
    pub held: i64,
    pub cost: i64,
}

impl Sum {
    fn add(&mut self, by: Sum) -> Sum {
        self.posted += by.posted;
        self.held += by.held;
        self.cost += by.cost;
        *self
    }
}

/// The transfers of one pool and their sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Book {
    organization: OrganizationId,
    pub history: Vec<Transfer>,
    pub accounts: BTreeMap<AccountId, Sum>,
    pub positions: BTreeMap<(AccountId, LotId), Sum>,
    pub contra: BTreeMap<AccountKind, Sum>,
    /// All holders together.
    pub holders: Sum,
    /// What was taken out to correct balances had cost.
    pub corrected: i64,
    /// The money that reversals gave back: what their commands say, not the transfers.
    pub returned: i64,
    /// The last link of the chain.
    pub link: [u8; 32],
}

/// The books of one organization.
#[derive(Clone, Debug)]
pub struct Journal {
    pub organization: OrganizationId,
    pub books: BTreeMap<PoolId, Book>,
    lots: BTreeMap<LotId, Option<Timestamp>>,
}

impl Journal {
    pub fn new(organization: OrganizationId, pools: impl Iterator<Item = PoolId>) -> Journal {
        let books = pools.map(|pool| (pool, Book::new(organization))).collect();
        Journal { organization, books, lots: BTreeMap::new() }
    }

    /// Enters transfers, and the lots that came in with them.
    pub fn enter(&mut self, transfers: &[Transfer], lots: &[NewLot]) {
        for lot in lots {
            self.lots.insert(lot.id, lot.expires_at);
            let came_in = transfers.iter().filter(|transfer| {
                transfer.lot == lot.id && !transfer.debit.kind.is_holder() && transfer.credit.kind.is_holder()
            });
            let came_in =
                came_in.fold((0, 0), |sum, transfer| (sum.0 + transfer.credits.get(), sum.1 + transfer.cost));
            assert_eq!(came_in, (lot.credits.get(), lot.cost), "a lot is what came in with it");
        }
        for transfer in transfers {
            let expiry = self.lots.get(&transfer.lot).unwrap();
            // What was held may be captured, let go and taken back later than that.
            let late = [TransferKind::Lapse, TransferKind::Capture, TransferKind::Release];
            let late = late.contains(&transfer.kind)
                || [TransferKind::Revoke, TransferKind::Owe, TransferKind::Refund].contains(&transfer.kind);
            // A reversal or a dispute of what is all held lets a part go and holds it again, and what is let go
            // is held for a dispute that waits for it.
            let last = self.books[&transfer.pool].history.last();
            let follows = last.is_some_and(|last| {
                let let_go = [TransferKind::Release, TransferKind::Revoke].contains(&last.kind);
                let_go && (last.lot, last.cause) == (transfer.lot, transfer.cause)
            });
            let late = late || (transfer.kind == TransferKind::Hold && follows);
            let over = expiry.is_some_and(|expiry| expiry <= transfer.created_at);
            assert!(late || !over, "credits that had lapsed were moved: {transfer:?}");
            assert!(transfer.kind != TransferKind::Lapse || over, "credits lapsed early: {transfer:?}");
            self.books.get_mut(&transfer.pool).unwrap().enter(transfer);
        }
    }
}

impl Book {
    fn new(organization: OrganizationId) -> Book {
        Book {
            organization,
            history: Vec::new(),
            accounts: BTreeMap::new(),
            positions: BTreeMap::new(),
            contra: BTreeMap::new(),
            holders: Sum::default(),
            corrected: 0,
            returned: 0,
            link: chain::ORIGIN,
        }
    }

    /// The same book, made again from its transfers.
    pub fn again(&self) -> Book {
        let mut again = Book { returned: self.returned, ..Book::new(self.organization) };
        self.history.iter().for_each(|transfer| again.enter(transfer));
        again
    }

    pub fn of(&self, kind: AccountKind) -> Sum {
        self.contra.get(&kind).copied().unwrap_or_default()
    }

    fn enter(&mut self, transfer: &Transfer) {
        let amount = transfer.credits.get();
        assert!(amount > 0 && transfer.cost >= 0, "{transfer:?}");
        assert_eq!(transfer.version, self.history.len() as i64 + 1, "versions run without a gap");
        let before = self.history.last().map_or(Timestamp::from_micros(i64::MIN), |last| last.created_at);
        assert!(before <= transfer.created_at, "time runs back: {transfer:?}");
        assert!(transfer.effective_at <= transfer.created_at, "{transfer:?}");
        assert_ne!(transfer.debit, transfer.credit);
        // Nothing that only holds changes a balance; all else takes from one side what it gives to the other.
        let (posted, cost) = if transfer.kind.is_pending() { (0, 0) } else { (amount, transfer.cost) };
        let held = match transfer.kind {
            TransferKind::Hold => amount,
            TransferKind::Release | TransferKind::Capture => -amount,
            _ => 0,
        };
        let debit = self.change(transfer.debit, transfer.lot, Sum { posted: -posted, held, cost: -cost });
        let credit = self.change(transfer.credit, transfer.lot, Sum { posted, held: 0, cost });
        assert_eq!(transfer.debit_after, debit.posted, "{transfer:?}");
        assert_eq!(transfer.credit_after, credit.posted, "{transfer:?}");
        let holder = if transfer.debit.kind.is_holder() { debit } else { credit };
        assert_eq!(transfer.held_after, holder.held, "{transfer:?}");
        assert_eq!(transfer.pool_posted_after, self.holders.posted, "{transfer:?}");
        assert_eq!(transfer.pool_held_after, self.holders.held, "{transfer:?}");
        assert_eq!(transfer.debt_after, -self.of(AccountKind::Debt).posted, "{transfer:?}");
        if transfer.kind == TransferKind::Correct && transfer.credit.kind == AccountKind::Revoked {
            self.corrected += transfer.cost;
        }
        let contra = self.contra.values().map(|sum| sum.posted).sum::<i64>();
        assert_eq!(self.holders.posted + contra, 0, "the books balance");
        self.link = follow(&self.link, self.organization, transfer);
        self.history.push(transfer.clone());
    }

    fn change(&mut self, side: AccountRef, lot: LotId, by: Sum) -> Sum {
        assert_eq!(side.kind.is_holder(), side.id.is_some());
        let Some(id) = side.id else { return self.contra.entry(side.kind).or_default().add(by) };
        let position = self.positions.entry((id, lot)).or_default().add(by);
        let account = self.accounts.entry(id).or_default().add(by);
        self.holders.add(by);
        for sum in [position, account] {
            assert!(sum.posted >= sum.held && sum.held >= 0 && sum.cost >= 0, "below zero: {sum:?}");
        }
        assert!(position.posted > 0 || position.cost == 0, "a cost is left without its credits");
        account
    }
}

/// The link of the chain that a transfer adds.
pub fn follow(previous: &[u8; 32], organization: OrganizationId, transfer: &Transfer) -> [u8; 32] {
    let mut cause = [0; 32];
    match transfer.cause {
        Cause::Command => cause[0] = 1,
        Cause::Clock => cause[0] = 2,
        Cause::Hold(hold) => cause[16..].copy_from_slice(&hold.as_u128().to_be_bytes()),
    }
    chain::link(previous, organization, transfer, &cause, fnv)
}

/// FNV-1a of 64 bits, spread over 32 bytes: cheap, and enough to tell an accident.
fn fnv(bytes: &[u8]) -> [u8; 32] {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    let mut spread = [0; 32];
    for (part, odd) in spread.chunks_exact_mut(8).zip([1_u64, 3, 5, 7]) {
        part.copy_from_slice(&hash.wrapping_mul(odd).to_be_bytes());
    }
    spread
}
