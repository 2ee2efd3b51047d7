//! The laws: what must hold of the machine's state, of what a command did, and of the whole history.

use std::collections::BTreeMap;

use bursar_domain::Timestamp;
use bursar_domain::id::{AccountId, Id, OrganizationId, PoolId};
use bursar_domain::ledger::{
    AccountKind, Applied, BurnKey, Charged, Explanation, HoldState, Instruction, Pool, Refusal, State,
    Transfer, TransferKind,
};
use bursar_domain::reconcile::Money;

use crate::journal::{Book, Journal, Sum, follow};
use crate::model::{Model, NEVER, Place, disputed};
use crate::world::credits;

/// The model's place of a lot.
fn place(burn: &BurnKey) -> Place {
    let expiry = burn.expires_at().map_or(NEVER, |at| at.micros());
    (burn.priority, expiry, burn.created_at.micros(), burn.lot.as_u128())
}

/// Machine, model and the sums of the transfers agree on a pool.
pub fn agree(state: &State, model: &Model, journal: &Journal, id: PoolId) {
    let (pool, book) = (&state.pools[&id], &journal.books[&id]);
    let contra = pool.head.contra;
    let purse = &model.pools[&id];
    assert_eq!(pool.head.posted + contra.sum(), 0, "the books balance");
    assert_eq!(pool.head.version, book.history.len() as i64);
    assert_eq!((pool.head.posted, pool.head.held), (book.holders.posted, book.holders.held));
    assert_eq!(pool.head.clock.micros(), purse.clock, "machine and model have another time");
    money(pool, book);
    assert_eq!(
        [contra.issued, contra.consumed, contra.expired, contra.revoked, contra.debt, contra.clearing],
        [-purse.issued, purse.consumed, purse.expired, purse.revoked, -purse.debt, purse.away],
        "where credits came from and went to"
    );
    positions(pool, model, book, id);
    holds(pool, model, id);
    for (cap, counts) in pool.caps.iter().zip(&purse.caps) {
        for window in &cap.windows {
            let theirs = counts.counts.get(&window.period.start.micros()).copied().unwrap_or_default();
            assert_eq!((window.used.get(), window.held.get()), theirs, "{cap:?}");
        }
        for start in counts.counts.iter().filter(|(_, counts)| **counts != (0, 0)).map(|(start, _)| start) {
            assert!(cap.windows.iter().any(|window| window.period.start.micros() == *start), "{cap:?}");
        }
    }
}

/// The money of a pool adds up, what is on its way from or to another pool included; and nothing is receivable
/// that no credits will come back for.
fn money(pool: &Pool, book: &Book) {
    let (head, cost) = (pool.head, |kind| book.of(kind).cost);
    let money = Money {
        paid: -cost(AccountKind::Issued) - cost(AccountKind::Clearing),
        consumed: cost(AccountKind::Consumed),
        expired: cost(AccountKind::Expired),
        deferred: book.holders.cost,
        refunded: book.returned,
        debt: head.receivable,
        adjustments: head.adjusted,
        corrected: book.corrected,
    };
    assert_eq!(money.difference(), 0, "{money:?}");
    let open = head.contra.debt != 0 || head.revoking != 0;
    assert!(head.receivable == 0 || head.receivable > 0 && open, "{head:?}");
}

fn positions(pool: &Pool, model: &Model, book: &Book, id: PoolId) {
    let purse = &model.pools[&id];
    let (mut all, mut piles_met, mut revoking) = (Sum::default(), 0, 0);
    for (account_id, account) in &pool.accounts {
        let (holder, piles) = (account.department, purse.boxes.get(&account.department));
        let mut whole = Sum::default();
        for (burn, position) in &account.positions {
            let ours = Sum { posted: position.credits.get(), held: position.held.get(), cost: position.cost };
            let entered = book.positions.get(&(*account_id, burn.lot)).copied().unwrap_or_default();
            assert_eq!(ours, entered, "what {holder:?} has of {burn:?}");
            let pile = piles.and_then(|piles| piles.get(&place(burn)));
            let coins = pile.map_or((0, 0), |pile| (pile.len(), pile.iter().flatten().count()));
            assert_eq!(
                (ours.posted, ours.held),
                (coins.0 as i64, coins.1 as i64),
                "{holder:?} in {id:?}: {burn:?}"
            );
            let doomed = purse.doomed.get(&(holder, place(burn))).copied().unwrap_or(0);
            assert_eq!(position.revoking.get(), doomed, "what is to be taken back of {burn:?}");
            let contested = purse.contested.get(&(holder, place(burn))).copied().unwrap_or(0);
            assert_eq!(position.contested.get(), contested, "what a dispute waits for of {burn:?}");
            let of_dispute = pile.map_or(0, |pile| pile.iter().filter(|coin| **coin == disputed()).count());
            assert_eq!(position.disputed.get(), of_dispute as i64, "what a dispute holds of {burn:?}");
            assert!(doomed + contested <= position.by_holds().get(), "{burn:?} is spoken for twice");
            revoking += doomed;
            piles_met += usize::from(coins.0 > 0);
            whole.posted += ours.posted;
            whole.held += ours.held;
            whole.cost += ours.cost;
        }
        assert_eq!((account.posted.get(), account.held.get()), (whole.posted, whole.held), "{holder:?}");
        let entered = book.accounts.get(account_id).copied().unwrap_or_default();
        assert_eq!(whole, entered, "an account is the sum of its transfers: {holder:?}");
        all.posted += whole.posted;
        all.held += whole.held;
        if let Some(refill) = account.refill {
            let topping = purse.toppings[&holder.unwrap()];
            let theirs = (topping.begun, topping.lacking);
            assert_eq!((refill.current.start.micros(), refill.shortfall.get()), theirs);
        }
    }
    let piles: usize = purse.boxes.values().map(BTreeMap::len).sum();
    let empty = purse.boxes.values().flat_map(BTreeMap::values).filter(|pile| pile.is_empty()).count();
    assert_eq!(piles_met, piles - empty, "the model has coins where the machine has none");
    assert_eq!((pool.head.posted, pool.head.held), (all.posted, all.held), "accounts make up the pool");
    assert_eq!(pool.head.revoking, revoking, "the head counts what is to be taken back");
}

fn holds(pool: &Pool, model: &Model, id: PoolId) {
    let purse = &model.pools[&id];
    for (hold_id, hold) in &pool.holds {
        let promise = &model.holds[hold_id];
        assert_eq!(hold.state, promise.end.unwrap_or(HoldState::Open), "{hold_id:?}");
        assert_eq!(hold.captured.get(), promise.used, "{hold_id:?}");
        let times = (hold.created_at.micros(), hold.expires_at.micros());
        assert_eq!(times, (promise.made_at, promise.expires_at), "{hold_id:?}");
        if promise.end.is_some() {
            assert!(hold.slices.is_empty(), "{hold_id:?} has ended and still holds");
            continue;
        }
        let mut left = 0;
        for (account, slice) in &hold.slices {
            let piles = &purse.boxes[&pool.accounts[account].department];
            let own = piles[&place(&slice.burn)].iter().filter(|coin| **coin == Some(*hold_id)).count();
            assert_eq!(slice.credits.get(), own as i64, "{hold_id:?} of {slice:?}");
            left += slice.credits.get();
        }
        let all = purse.boxes.values().flat_map(BTreeMap::values).flatten();
        let all = all.filter(|coin| **coin == Some(*hold_id)).count();
        assert_eq!((left, hold.remaining().get()), (all as i64, all as i64), "{hold_id:?}");
    }
    let open = model.holds.iter().filter(|(_, promise)| promise.pool == id && promise.end.is_none());
    for (hold_id, _) in open {
        assert!(pool.holds.contains_key(hold_id), "{hold_id:?} has gone without an end");
    }
}

/// Nothing comes due without the head saying so in time. `latest` is the latest time that the pool has seen.
pub fn due_is_known(pool: &Pool, latest: Timestamp) {
    let positions = pool.accounts.values().flat_map(|account| &account.positions);
    let lapses = positions.filter(|(_, position)| !position.credits.is_zero());
    let lapses = lapses.filter_map(|(burn, _)| burn.expires_at()).filter(|at| *at > latest);
    let open = pool.holds.values().filter(|hold| hold.state == HoldState::Open);
    if let Some(first) = lapses.chain(open.map(|hold| hold.expires_at)).min() {
        assert!(pool.head.due.is_some_and(|due| due <= first), "{first:?} is later than {:?}", pool.head.due);
    }
}

/// What was explained of a charge is what became of it.
pub fn explained(explanation: &Explanation, outcome: &Result<Applied, Refusal>) {
    assert_eq!(explanation.refusal.as_ref(), outcome.as_ref().err());
    let Ok(applied) = outcome else {
        assert!(explanation.slices.is_empty());
        return;
    };
    assert_eq!((&explanation.lines, explanation.credits), (&applied.lines, applied.credits));
    let said =
        explanation.slices.iter().map(|(account, slice)| (Some(*account), slice.burn.lot, slice.credits));
    let done = applied.transfers.iter().map(|transfer| (transfer.debit.id, transfer.lot, transfer.credits));
    assert!(said.eq(done), "{explanation:?} {applied:?}");
    assert!(explanation.limits.iter().all(|limit| limit.wanted <= limit.headroom));
}

/// What an accepted command says that it did.
pub fn applied(applied: &Applied) {
    let sum = |kinds: &[TransferKind]| {
        let of = applied.transfers.iter().filter(|transfer| kinds.contains(&transfer.kind));
        of.fold((0, 0), |sum, transfer| (sum.0 + transfer.credits.get(), sum.1 + transfer.cost))
    };
    let own = match &applied.command.instruction {
        Instruction::Charge(_) => sum(&[TransferKind::Charge]),
        Instruction::Hold(_) => sum(&[TransferKind::Hold]),
        Instruction::Capture(_) => sum(&[TransferKind::Capture]),
        Instruction::Void(_) => sum(&[TransferKind::Release]),
        Instruction::Allocate(_) => sum(&[TransferKind::Allocate]),
        Instruction::Reclaim(_) => sum(&[TransferKind::Reclaim]),
        _ => (applied.credits.get(), applied.cost),
    };
    assert_eq!(own, (applied.credits.get(), applied.cost), "{applied:?}");
    for transfer in &applied.transfers {
        assert_eq!((transfer.created_at, transfer.effective_at), (applied.created_at, applied.created_at));
    }
    if let Instruction::Charge(_) | Instruction::Hold(_) | Instruction::Capture(_) =
        &applied.command.instruction
    {
        let lines = applied.lines.iter().map(|line| line.credits_each.get() * line.quantity).sum::<i64>();
        assert_eq!(lines, applied.credits.get(), "the lines make up the charge");
    }
}

/// A charge or a hold, just made, uses the lots of each account in their order, and leaves nothing free of one
/// that comes earlier.
pub fn burned(state: &State, applied: &Applied) {
    let (Instruction::Charge(_) | Instruction::Hold(_)) = &applied.command.instruction else { return };
    let accounts = &state.pools[&applied.command.pool].accounts;
    let mut last: BTreeMap<AccountId, BurnKey> = BTreeMap::new();
    for transfer in &applied.transfers {
        let id = transfer.debit.id.unwrap();
        let burn = accounts[&id].positions.keys().find(|burn| burn.lot == transfer.lot).unwrap();
        let before = last.insert(id, *burn);
        assert!(before.is_none_or(|before| before < *burn), "out of order: {applied:?}");
    }
    for (id, burn) in last {
        let mut earlier = accounts[&id].positions.range(..burn);
        assert!(
            earlier.all(|(_, position)| position.free().is_zero()),
            "an earlier lot is left: {applied:?}"
        );
    }
}

/// No more comes back of a charge than it took, and when all has come back, exactly what it had cost.
pub fn refunded(charge: &Charged) {
    let cost: i64 = charge.slices.iter().map(|slice| slice.cost).sum();
    assert!(charge.refunded <= charge.credits && charge.refunded_cost <= cost, "{charge:?}");
    assert!(charge.refunded < charge.credits || charge.refunded_cost == cost, "{charge:?}");
}

/// The laws of the whole history of an organization.
pub fn history(journal: &Journal) {
    let (mut credits, mut cost) = (0, 0);
    for book in journal.books.values() {
        assert!(*book == book.again(), "the books, made again from the transfers, are others");
        tampering_shows(journal.organization, book);
        never_negative(book);
        let clearing = book.of(AccountKind::Clearing);
        (credits, cost) = (credits + clearing.posted, cost + clearing.cost);
        for transfer in &book.history {
            let clears = [transfer.debit.kind, transfer.credit.kind].contains(&AccountKind::Clearing);
            assert_eq!(clears, transfer.counterpart.is_some(), "{transfer:?}");
            let Some((pool, version)) = transfer.counterpart else { continue };
            let other = &journal.books[&pool].history[usize::try_from(version - 1).unwrap()];
            assert_eq!(other.counterpart, Some((transfer.pool, transfer.version)), "{transfer:?}");
            let half = |of: &Transfer| (of.kind, of.credits, of.cost, of.created_at);
            assert_eq!(half(transfer), half(other));
        }
    }
    assert_eq!((credits, cost), (0, 0), "something is lost between pools");
}

/// By the time at which transfers took effect, too, nobody ever had less than nothing.
fn never_negative(book: &Book) {
    let mut changes: BTreeMap<AccountId, Vec<(Timestamp, i64, i64)>> = BTreeMap::new();
    for transfer in book.history.iter().filter(|transfer| !transfer.kind.is_pending()) {
        for (side, sign) in [(transfer.debit, -1), (transfer.credit, 1)] {
            let change = (transfer.effective_at, transfer.version, sign * transfer.credits.get());
            side.id.into_iter().for_each(|id| changes.entry(id).or_default().push(change));
        }
    }
    for (id, mut changes) in changes {
        changes.sort();
        let mut balance = 0;
        for (at, version, change) in changes {
            balance += change;
            assert!(balance >= 0, "{id:?} had {balance} at {at:?}, version {version}");
        }
    }
}

/// Whatever is changed in a transfer changes the last link of the chain.
fn tampering_shows(organization: OrganizationId, book: &Book) {
    let Some(middle) = book.history.get(book.history.len() / 2) else { return };
    let mut changed = middle.clone();
    match book.history.len() % 13 {
        0 => changed.credits = credits(changed.credits.get() + 1),
        1 => changed.cost += 1,
        2 => changed.version += 1,
        3 => changed.debit_after += 1,
        4 => changed.credit_after -= 1,
        5 => changed.held_after += 1,
        6 => changed.pool_posted_after += 1,
        7 => changed.pool_held_after += 1,
        8 => changed.debt_after += 1,
        9 => changed.created_at = changed.created_at.plus_seconds(1),
        10 => changed.effective_at = changed.effective_at.plus_seconds(-1),
        11 => std::mem::swap(&mut changed.debit, &mut changed.credit),
        _ => changed.counterpart = Some((changed.pool, changed.version + 7)),
    }
    let mut link = bursar_domain::ledger::chain::ORIGIN;
    for transfer in &book.history {
        let same = transfer.version != middle.version;
        link = follow(&link, organization, if same { transfer } else { &changed });
    }
    assert_ne!(link, book.link, "{changed:?} instead of {middle:?}");
}
