//! Random sequences of commands on the pure machine against an independent, simple model, and the
//! laws that must hold after every step.

#![allow(missing_docs, clippy::panic, clippy::print_stdout, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use bursar_domain::id::{
    AccountId, ChargeId, DepartmentId, EntryId, Id, LotId, PoolId, ServiceId, ServiceVersionId,
};
use bursar_domain::ledger::*;
use bursar_domain::{Credits, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

const POOL: u128 = 7;
const UNALLOCATED: u128 = 8;
const DEPARTMENTS: [u128; 3] = [1, 2, 3];

#[derive(Clone, Debug)]
enum Step {
    Issue { credits: i64, cost: i64, priority: i16, lifetime: Option<i64> },
    Allocate { department: usize, credits: i64 },
    Reclaim { department: usize, credits: i64 },
    Charge { department: Option<usize>, quantity: i64, reference: Option<u8> },
    Replay { back: usize },
    Clock { seconds: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0i64..200, 0i64..50_000, 0i16..3, proptest::option::of(0i64..2_000))
            .prop_map(|(credits, cost, priority, lifetime)| Step::Issue { credits, cost, priority, lifetime }),
        3 => (0usize..3, 0i64..80).prop_map(|(department, credits)| Step::Allocate { department, credits }),
        2 => (0usize..3, 0i64..80).prop_map(|(department, credits)| Step::Reclaim { department, credits }),
        6 => (proptest::option::of(0usize..3), -1i64..12, proptest::option::of(0u8..8))
            .prop_map(|(department, quantity, reference)| Step::Charge { department, quantity, reference }),
        1 => (0usize..20).prop_map(|back| Step::Replay { back }),
        2 => (-500i64..1_000).prop_map(|seconds| Step::Clock { seconds }),
    ]
}

/// The model: credits are single coins in boxes, each coin with the place of its lot in the order.
#[derive(Default)]
struct Model {
    boxes: BTreeMap<Option<usize>, Vec<(i16, i64, u128)>>,
    issued: i64,
    consumed: i64,
    expired: i64,
}

impl Model {
    fn count(&self, holder: Option<usize>) -> i64 {
        self.boxes.get(&holder).map_or(0, |coins| coins.len() as i64)
    }

    /// The sum of all boxes.
    fn total(&self) -> i64 {
        self.boxes.values().map(|coins| coins.len() as i64).sum()
    }

    fn lapse(&mut self, now: i64) {
        for coins in self.boxes.values_mut() {
            let before = coins.len();
            coins.retain(|(_, expiry, _)| *expiry > now);
            self.expired += (before - coins.len()) as i64;
        }
    }

    /// Takes coins in order (or against it); `None` when there are too few.
    fn take(&mut self, holder: Option<usize>, n: i64, against: bool) -> Option<Vec<(i16, i64, u128)>> {
        let coins = self.boxes.entry(holder).or_default();
        if (coins.len() as i64) < n {
            return None;
        }
        coins.sort();
        let rest = if against { coins.len() - n as usize } else { n as usize };
        let tail = coins.split_off(rest);
        let head = std::mem::take(coins);
        let (taken, kept) = if against { (tail, head) } else { (head, tail) };
        *coins = kept;
        Some(taken)
    }
}

fn fresh() -> State {
    let mut state = State::default();
    let mut accounts = BTreeMap::new();
    accounts.insert(AccountId::from_u128(UNALLOCATED), Account::empty(None));
    state.pools.insert(
        PoolId::from_u128(POOL),
        Pool {
            id: PoolId::from_u128(POOL),
            frozen: false,
            archived: false,
            allowed_services: None,
            head: Head::default(),
            unallocated: AccountId::from_u128(UNALLOCATED),
            accounts,
            changed: false,
        },
    );
    for department in DEPARTMENTS {
        state.departments.insert(DepartmentId::from_u128(department), Department { archived: false });
    }
    let price = ServicePrice {
        service: ServiceId::from_u128(1),
        version: ServiceVersionId::from_u128(1),
        credits: Credits::new(3).unwrap(),
    };
    state.services = std::sync::Arc::new(std::iter::once(("S".to_owned(), price)).collect());
    state
}

fn department(index: usize) -> DepartmentId {
    DepartmentId::from_u128(DEPARTMENTS[index])
}

fn laws(state: &State, model: &Model, history: &[Transfer]) {
    let pool = &state.pools[&PoolId::from_u128(POOL)];
    for (index, transfer) in history.iter().enumerate() {
        assert_eq!(transfer.version, index as i64 + 1, "versions run without a gap");
        assert!(transfer.credits > Credits::ZERO);
        assert!(transfer.effective_at <= transfer.created_at);
        if index > 0 {
            assert!(history[index - 1].created_at <= transfer.created_at, "time runs back");
        }
    }
    assert_eq!(pool.head.version, history.len() as i64);
    assert_eq!(pool.head.posted + pool.head.contra.sum(), 0, "the books balance");
    let mut sums: BTreeMap<(i16, u128), i64> = BTreeMap::new();
    let mut costs: BTreeMap<u128, i64> = BTreeMap::new();
    for transfer in history {
        let key = |side: AccountRef| (side.kind.code(), side.id.map_or(0, Id::as_u128));
        *sums.entry(key(transfer.debit)).or_default() -= transfer.credits.get();
        *sums.entry(key(transfer.credit)).or_default() += transfer.credits.get();
        *costs.entry(transfer.debit.id.map_or(0, Id::as_u128)).or_default() -= transfer.cost;
        *costs.entry(transfer.credit.id.map_or(0, Id::as_u128)).or_default() += transfer.cost;
    }
    let mut total = 0;
    for (id, account) in &pool.accounts {
        let posted = account.posted.get();
        let sum = sums.get(&(account.kind().code(), id.as_u128())).copied().unwrap_or(0);
        assert_eq!(posted, sum, "an account is the sum of its transfers");
        let lots: i64 = account.positions.values().map(|p| p.credits.get()).sum();
        assert_eq!(posted, lots, "lots add up to the balance");
        let cost: i64 = account.positions.values().map(|p| p.cost).sum();
        assert_eq!(cost, costs.get(&id.as_u128()).copied().unwrap_or(0), "costs add up");
        assert!(account.positions.values().all(|p| p.cost >= 0 && (!p.credits.is_zero() || p.cost == 0)));
        total += posted;
        let holder = account.department.map(|d| d.as_u128() as usize - 1);
        assert_eq!(posted, model.count(holder), "machine and model agree on {holder:?}");
        let mut ours: Vec<_> = account
            .positions
            .iter()
            .flat_map(|(burn, p)| std::iter::repeat_n(burn.lot.as_u128(), p.credits.get() as usize))
            .collect();
        let mut theirs: Vec<_> =
            model.boxes.get(&holder).into_iter().flatten().map(|(_, _, lot)| *lot).collect();
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs, "machine and model used the same lots");
    }
    assert_eq!(total, pool.head.posted);
    assert_eq!(total, model.total());
    assert_eq!(
        (pool.head.contra.issued, pool.head.contra.consumed, pool.head.contra.expired),
        (-model.issued, model.consumed, model.expired)
    );
    assert_eq!(model.issued, model.consumed + model.expired + model.total());
}

fn run(steps: Vec<Step>) {
    let (mut state, mut model, mut history) = (fresh(), Model::default(), Vec::new());
    let (mut now, mut next) = (1_000_000i64, 100u128);
    let mut accepted: Vec<Command> = Vec::new();
    let mut references: BTreeMap<u8, ()> = BTreeMap::new();
    for step in steps {
        next += 1;
        let before = state.clone();
        let time = |now: i64| Timestamp::EPOCH.plus_seconds(now);
        let (instruction, charge) = match &step {
            Step::Clock { seconds } => {
                now += seconds;
                continue;
            }
            Step::Replay { back } => {
                let Some(command) = accepted.iter().rev().nth(*back).cloned() else { continue };
                let head = state.pools[&command.pool].head;
                assert!(
                    matches!(decide(&mut state, &command), Ok(Decision::Replayed(id)) if id == command.id)
                );
                let mut other = command.clone();
                other.request = RequestHash([0xff; 16]);
                assert!(matches!(decide(&mut state, &other), Err(Refusal::IdempotencyConflict { .. })));
                assert_eq!(state.pools[&command.pool].head, head, "a replay changes nothing");
                continue;
            }
            Step::Issue { credits, cost, priority, lifetime } => {
                let issue = IssueCredits {
                    lot: LotId::from_u128(next),
                    source: LotSource::Purchase,
                    class: LotClass::Paid,
                    priority: *priority,
                    credits: Credits::new(*credits).unwrap(),
                    cost: *cost,
                    currency: None,
                    expires_at: lifetime.map(|seconds| time(now + seconds + 1)),
                    purchase: None,
                };
                (Instruction::Issue(issue), false)
            }
            Step::Allocate { department: d, credits } | Step::Reclaim { department: d, credits } => {
                let request = AllocateCredits {
                    department: department(*d),
                    new_account: AccountId::from_u128(next),
                    credits: Credits::new(*credits).unwrap(),
                };
                let instruction = match step {
                    Step::Allocate { .. } => Instruction::Allocate(request),
                    _ => Instruction::Reclaim(request),
                };
                (instruction, false)
            }
            Step::Charge { department: d, quantity, reference } => {
                let request = ChargeCredits {
                    department: d.map(department),
                    on_behalf_of: None,
                    lines: vec![LineRequest { service: "S".to_owned(), quantity: *quantity }],
                    reference: reference.map(|r| r.to_string()),
                };
                (Instruction::Charge(request), true)
            }
        };
        let mut key = [0; 16];
        key.copy_from_slice(&next.to_be_bytes());
        let id = if charge {
            CommandId::Charge(ChargeId::from_u128(next))
        } else {
            CommandId::Entry(EntryId::from_u128(next))
        };
        let pool = PoolId::from_u128(POOL);
        let command =
            Command { id, pool, key: Key(key), request: RequestHash(key), now: time(now), instruction };

        // A batch ends now and then: what is kept for the next one must decide the same.
        if next % 3 == 0
            && let Some(pool) = state.pools.get_mut(&pool)
        {
            pool.settle();
        }
        history.extend(book_lapses(&mut state, pool, command.now));
        let effective = now.max(state.pools[&pool].head.clock.micros() / 1_000_000);
        model.lapse(effective);
        let held_back = state.clone();
        let outcome = decide(&mut state, &command);
        let expected = match &step {
            Step::Issue { credits, priority, lifetime, .. } => (*credits > 0).then(|| {
                let expiry = lifetime.map_or(i64::MAX, |seconds| now + seconds + 1);
                let coins = std::iter::repeat_n((*priority, expiry, next), *credits as usize);
                model.boxes.entry(None).or_default().extend(coins);
                model.issued += credits;
            }),
            Step::Allocate { department: d, credits } => (*credits > 0)
                .then(|| model.take(None, *credits, false))
                .flatten()
                .map(|coins| model.boxes.entry(Some(*d)).or_default().extend(coins)),
            Step::Reclaim { department: d, credits } => (*credits > 0)
                .then(|| model.take(Some(*d), *credits, true))
                .flatten()
                .map(|coins| model.boxes.entry(None).or_default().extend(coins)),
            Step::Charge { department: d, quantity, reference } => {
                let free = reference.is_none_or(|r| !references.contains_key(&r));
                let taken = (*quantity > 0 && free).then(|| model.take(*d, quantity * 3, false)).flatten();
                taken.map(|coins| {
                    model.consumed += coins.len() as i64;
                    if let Some(reference) = reference {
                        references.insert(*reference, ());
                    }
                })
            }
            Step::Clock { .. } | Step::Replay { .. } => None,
        };
        match (outcome, expected) {
            (Ok(Decision::Applied(applied)), Some(())) => {
                let moved: i64 = applied.transfers.iter().map(|t| t.credits.get()).sum();
                assert_eq!(moved, applied.credits.get());
                history.extend(applied.transfers);
                accepted.push(command);
            }
            (Err(refusal), None) => {
                let (was, is) = (&held_back.pools[&pool], &state.pools[&pool]);
                assert_eq!(was.head, is.head, "a refusal changed something");
                assert_eq!(was.accounts.len(), is.accounts.len());
                if let Refusal::InsufficientCredits { available, short_by, .. } = refusal {
                    assert!(!short_by.is_zero() && available <= Credits::MAX);
                }
                assert!(!state.keys.contains_key(&command.key), "a refusal used up its key");
            }
            (outcome, expected) => panic!("{step:?}: {outcome:?}, the model says {expected:?}\n{before:?}"),
        }
        laws(&state, &model, &history);
    }
}

/// How many sequences are run when `PROPTEST_CASES` does not say otherwise.
const CASES: u32 = 400;

#[test]
fn the_machine_keeps_its_laws() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    let commands = AtomicUsize::new(0);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&proptest::collection::vec(step(), 1..120), |steps| {
        commands.fetch_add(steps.len(), Ordering::Relaxed);
        run(steps);
        Ok(())
    });
    outcome.unwrap();
    let (commands, aim) = (commands.into_inner(), cases as usize * 40);
    println!("commands without a breach: {commands} (aim: at least {aim})");
    assert!(commands >= aim);
}
