//! The pure machine: what a decision costs, and that it does not grow with what it does not name.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::float_arithmetic, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::Instant;

use bursar_domain::id::{AccountId, ChargeId, Id, LotId, PoolId, ServiceId, ServiceVersionId};
use bursar_domain::ledger::*;
use bursar_domain::{Credits, Timestamp};
use sha2::{Digest, Sha256};

const DECISIONS: u128 = 20_000;
const RUNS: usize = 5;

/// A pool whose unallocated credits lie in a number of lots.
fn pool(lots: u128) -> State {
    let mut account = Account::empty(None);
    let each = Credits::new(1_000_000).unwrap();
    for lot in 0..lots {
        let burn = BurnKey::new(100, None, Timestamp::EPOCH, LotId::from_u128(lot));
        account.positions.insert(burn, Position { credits: each, cost: 100, ..Position::default() });
        account.posted = account.posted.checked_add(each).unwrap();
    }
    let unallocated = AccountId::from_u128(1);
    let contra = Contra { issued: -account.posted.get(), ..Contra::default() };
    let head = Head { posted: account.posted.get(), contra, ..Head::default() };
    let mut state = State::default();
    let id = PoolId::from_u128(1);
    let accounts = BTreeMap::from([(unallocated, account)]);
    let pool = Pool {
        id,
        frozen: false,
        archived: false,
        allowed_services: None,
        head,
        unallocated,
        accounts,
        caps: Vec::new(),
        holds: BTreeMap::new(),
        touched: BTreeSet::new(),
        next_hold: None,
        changed: false,
        due_changed: false,
    };
    state.pools.insert(id, pool);
    let price = ServicePrice {
        service: ServiceId::from_u128(1),
        version: ServiceVersionId::from_u128(1),
        credits: Credits::new(1).unwrap(),
    };
    state.services = std::sync::Arc::new(std::iter::once(("S".to_owned(), price)).collect());
    state
}

fn command(number: u128) -> Command {
    let lines = vec![LineRequest { service: "S".to_owned(), quantity: 1 }];
    Command {
        id: CommandId::Charge(ChargeId::from_u128(number)),
        pool: PoolId::from_u128(1),
        key: Key(number.to_be_bytes()),
        request: RequestHash([0; 16]),
        now: Timestamp::EPOCH,
        instruction: Instruction::Charge(ChargeCredits {
            department: None,
            on_behalf_of: None,
            spender: None,
            lines,
            reference: None,
        }),
    }
}

/// Nanoseconds for each decision on a pool of so many lots.
fn decide_nanos(lots: u128) -> f64 {
    let mut state = pool(lots);
    let commands: Vec<Command> = (0..DECISIONS).map(command).collect();
    let began = Instant::now();
    for command in &commands {
        assert!(decide(&mut state, command).is_ok());
    }
    began.elapsed().as_nanos() as f64 / DECISIONS as f64
}

/// The floor: nanoseconds for hashing what the chain hashes for one transfer.
fn hash_nanos() -> f64 {
    let bytes = [7u8; 300];
    let began = Instant::now();
    for _ in 0..DECISIONS {
        std::hint::black_box(Sha256::digest(std::hint::black_box(bytes)));
    }
    began.elapsed().as_nanos() as f64 / DECISIONS as f64
}

fn median(mut run: impl FnMut() -> f64) -> f64 {
    let mut runs: Vec<f64> = (0..RUNS).map(|_| run()).collect();
    runs.sort_by(f64::total_cmp);
    runs[RUNS / 2]
}

fn main() -> ExitCode {
    let (hash, one, many) = (median(hash_nanos), median(|| decide_nanos(1)), median(|| decide_nanos(1_000)));
    println!("nanoseconds of one SHA-256 of a transfer: {hash:.0} (no aim)");
    println!("nanoseconds of a decision, pool of 1 lot: {one:.0} (no aim)");
    println!("decision / hash: {:.2} (aim: at most 6)", one / hash);
    println!("decision with 1,000 lots / with 1: {:.2} (aim: at most 1.5)", many / one);
    if one / hash <= 6.0 && many / one <= 1.5 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
