//! One tenant: the machine's state beside the model, the rows and the journal. A command is carried out on
//! machine and model, the two answers are compared, and the laws are asserted.

use std::collections::BTreeSet;
use std::iter::once;

use bursar_domain::id::{AccountId, DepartmentId, Id, OrganizationId, PoolId};
use bursar_domain::ledger::{
    Account, Applied, Command, Decision, Head, Instruction, Overflow, Pool, Raise, Refill, Refusal,
    RequestHash, State, book_due, decide, decide_all, explain,
};
use bursar_domain::period::PeriodKind;

use crate::journal::Journal;
use crate::laws;
use crate::model::{Model, No, Topping};
use crate::rows::Rows;
use crate::steps::Closing;
use crate::world::{self, CapRow, at, credits};

/// Every so many commands the dry run is compared with the real one.
const REHEARSED: usize = 3;

pub struct Tenant {
    pub state: State,
    pub model: Model,
    pub rows: Rows,
    pub journal: Journal,
    /// How many commands have been decided.
    pub commands: usize,
    /// The latest time that any pool has seen.
    latest: i64,
}

/// The pools that commands change.
fn named<'c>(commands: impl IntoIterator<Item = &'c Command>) -> BTreeSet<PoolId> {
    let pools = |command: &Command| once(command.pool).chain(command.instruction.other_pool());
    commands.into_iter().flat_map(pools).collect()
}

impl Tenant {
    pub fn new(organization: u128, caps: &[CapRow]) -> Tenant {
        let state = world::fresh(caps);
        let pools = state.pools.keys().copied();
        let journal = Journal::new(OrganizationId::from_u128(organization), pools);
        let (model, rows) = (Model::new(caps), Rows::default());
        Tenant { state, model, rows, journal, commands: 0, latest: i64::MIN }
    }

    /// The time of commands to some pools.
    fn time(&self, pools: &BTreeSet<PoolId>, now: i64) -> i64 {
        let clocks =
            pools.iter().filter_map(|id| self.state.pools.get(id)).map(|pool| pool.head.clock.micros());
        clocks.fold(now, i64::max)
    }

    /// The time at which commands are carried out together that are to begin at `now`.
    pub fn common_time(&self, commands: &[Command], now: i64) -> i64 {
        self.time(&named(commands), now)
    }

    /// Books what is due in pools, all at the same time, before anything is decided.
    fn book_what_is_due(&mut self, pools: &BTreeSet<PoolId>, now: i64) -> i64 {
        let time = self.time(pools, now);
        for pool in pools {
            let transfers = book_due(&mut self.state, *pool, at(time));
            assert!(transfers.iter().all(|transfer| transfer.created_at == at(time)));
            self.journal.enter(&transfers, &[]);
            self.model.time_passes(*pool, time);
            laws::agree(&self.state, &self.model, &self.journal, *pool);
        }
        self.latest = self.latest.max(time);
        time
    }

    fn heads(&self) -> Vec<Head> {
        self.state.pools.values().map(|pool| pool.head).collect()
    }

    /// Carries a command out, or is refused. Both answers must be the model's.
    pub fn carry_out(&mut self, command: &Command) -> Result<Applied, Refusal> {
        self.commands += 1;
        let pools = named(once(command));
        let time = self.book_what_is_due(&pools, command.now.micros());
        self.rows.load(&mut self.state, &[command], time);
        let heads = self.heads();
        let explanation = match command.instruction {
            Instruction::Charge(_) => Some(explain(&self.state, command)),
            _ => None,
        };
        let rehearsed = self.commands.is_multiple_of(REHEARSED).then(|| {
            let mut copy = self.state.clone();
            format!("{:?}", decide(&mut copy, command))
        });
        let decided = decide(&mut self.state, command);
        if let Some(rehearsed) = rehearsed {
            assert_eq!(rehearsed, format!("{decided:?}"), "the dry run was another");
        }
        let outcome = match decided {
            Ok(Decision::Applied(applied)) => Ok(*applied),
            Ok(Decision::Replayed(id)) => panic!("{id:?} was not there before"),
            Err(refusal) => Err(refusal),
        };
        match (&outcome, self.model.decide(command)) {
            (Ok(applied), Ok(time)) => {
                assert_eq!(applied.created_at.micros(), time);
                self.take(applied);
                laws::burned(&self.state, applied);
                if let Instruction::Refund(refund) = &command.instruction {
                    let (_, charge) = &self.rows.charges[&refund.charge];
                    assert_eq!(format!("{charge:?}"), format!("{:?}", self.state.charges[&refund.charge]));
                    laws::refunded(charge);
                }
            }
            (Err(refusal), Err(no)) => {
                same_reason(refusal, &no, &self.state.pools[&command.pool]);
                assert_eq!(heads, self.heads(), "a refusal changed something");
                assert!(!self.state.keys.contains_key(&command.key), "a refusal used up its key");
            }
            (outcome, no) => panic!("{command:?}: {outcome:?}, the model says {no:?}\n{:?}", self.state),
        }
        if let Some(explanation) = explanation {
            laws::explained(&explanation, &outcome);
        }
        for pool in &pools {
            laws::agree(&self.state, &self.model, &self.journal, *pool);
        }
        outcome
    }

    /// Carries several commands of one time out, or none of them: then it answers which was refused.
    pub fn together(&mut self, commands: &[Command]) -> Result<Vec<Applied>, usize> {
        let Some(first) = commands.first() else { return Ok(Vec::new()) };
        self.commands += commands.len();
        let pools = named(commands);
        let time = self.book_what_is_due(&pools, first.now.micros());
        let all: Vec<&Command> = commands.iter().collect();
        self.rows.load(&mut self.state, &all, time);
        let before = self.state.clone();
        let mut trial = self.model.clone();
        let answers: Result<Vec<i64>, usize> = commands
            .iter()
            .enumerate()
            .map(|(index, command)| trial.decide(command).map_err(|_| index))
            .collect();
        let outcome = match (decide_all(&mut self.state, &all), answers) {
            (Ok(decisions), Ok(_)) => {
                self.model = trial;
                let applied = |decision| match decision {
                    Decision::Applied(applied) => *applied,
                    Decision::Replayed(id) => panic!("{id:?} was not there before"),
                };
                let applied: Vec<Applied> = decisions.into_iter().map(applied).collect();
                applied.iter().for_each(|applied| self.take(applied));
                Ok(applied)
            }
            (Err((index, _)), Err(expected)) => {
                assert_eq!(index, expected, "another command was refused: {commands:?}");
                assert_eq!(
                    format!("{before:?}"),
                    format!("{:?}", self.state),
                    "something is left of a batch"
                );
                Err(index)
            }
            (outcome, answers) => panic!("{commands:?}: {outcome:?}, the model says {answers:?}\n{before:?}"),
        };
        for pool in &pools {
            laws::agree(&self.state, &self.model, &self.journal, *pool);
        }
        outcome
    }

    fn take(&mut self, applied: &Applied) {
        laws::applied(applied);
        if let Instruction::Revoke(revoke) = &applied.command.instruction {
            self.journal.books.get_mut(&applied.command.pool).unwrap().returned += revoke.value;
        }
        self.journal.enter(&applied.transfers, &applied.lots);
        self.rows.write(&self.state, applied);
    }

    /// The same command again, or its key with another request.
    pub fn replay(&mut self, command: &Command, changed: bool) {
        self.commands += 1;
        let mut again = command.clone();
        again.now = again.now.plus_days(1);
        self.rows.load(&mut self.state, &[&again], self.latest);
        let heads = self.heads();
        if changed {
            again.request = RequestHash([0xff; 16]);
            let conflict = decide(&mut self.state, &again);
            assert!(matches!(conflict, Err(Refusal::IdempotencyConflict { prior }) if prior == command.id));
        } else {
            let replayed = decide(&mut self.state, &again);
            assert!(matches!(replayed, Ok(Decision::Replayed(id)) if id == command.id));
        }
        assert_eq!(heads, self.heads(), "a replay changes nothing");
        laws::agree(&self.state, &self.model, &self.journal, command.pool);
    }

    /// What is kept is left as it would be loaded again.
    pub fn restart(&mut self) {
        self.state.pools.values_mut().for_each(|pool| pool.settle());
    }

    /// The laws of all pools.
    pub fn laws(&self) {
        for (id, pool) in &self.state.pools {
            laws::agree(&self.state, &self.model, &self.journal, *id);
            laws::due_is_known(pool, at(self.latest));
        }
        assert_eq!(self.rows.covered, self.model.covered, "guarantees count refunds");
        self.rows.charges.values().for_each(|(_, charge)| laws::refunded(charge));
    }

    pub fn close(&mut self, closing: Closing, closed: bool) {
        match closing {
            Closing::Frozen(index) => {
                self.state.pools.get_mut(&world::pool(index)).unwrap().frozen = closed;
                self.model.pools.get_mut(&world::pool(index)).unwrap().frozen = closed;
            }
            Closing::ArchivedPool(index) => {
                self.state.pools.get_mut(&world::pool(index)).unwrap().archived = closed;
                self.model.pools.get_mut(&world::pool(index)).unwrap().archived = closed;
            }
            Closing::ArchivedDepartment(index) => {
                let department = world::department(index);
                self.state.departments.get_mut(&department).unwrap().archived = closed;
                self.model.archived.retain(|other| *other != department);
                self.model.archived.extend(closed.then_some(department));
            }
            Closing::Suspended => (self.state.suspended, self.model.suspended) = (closed, closed),
        }
    }

    /// Raises a cap of a pool: by how much, and until when.
    pub fn raise(&mut self, pool: usize, cap: usize, by: i64, until: i64) {
        let pool = world::pool(pool);
        let cap_of = self.state.pools.get_mut(&pool).unwrap().caps.get_mut(cap);
        let counts_of = self.model.pools.get_mut(&pool).unwrap().caps.get_mut(cap);
        if let (Some(cap), Some(counts)) = (cap_of, counts_of) {
            cap.raises.push(Raise { credits: credits(by), until: at(until) });
            counts.raises.push((by, until));
        }
    }

    /// Changes the limit of a cap of a pool.
    pub fn limit(&mut self, pool: usize, cap: usize, limit: i64) {
        let pool = world::pool(pool);
        let cap_of = self.state.pools.get_mut(&pool).unwrap().caps.get_mut(cap);
        let counts_of = self.model.pools.get_mut(&pool).unwrap().caps.get_mut(cap);
        if let (Some(cap), Some(counts)) = (cap_of, counts_of) {
            cap.limit = credits(limit);
            counts.limit = limit;
        }
    }

    /// Says how a department's allocation in a pool is filled; it is opened with the account id when it is not
    /// there. Refills have an amount and a rollover, and begin with the month of `now`.
    pub fn set_allocation(
        &mut self,
        (pool, department): (usize, DepartmentId),
        account: AccountId,
        (overflow, refill): (bool, Option<(i64, i64)>),
        now: i64,
    ) {
        let current = world::month(now);
        let loaded = self.state.pools.get_mut(&world::pool(pool)).unwrap();
        let id = loaded.account_of(department).unwrap_or(account);
        let own = loaded.accounts.entry(id).or_insert_with(|| Account::empty(Some(department)));
        own.overflow = if overflow { Overflow::Unallocated } else { Overflow::Deny };
        own.refill = refill.map(|(amount, rollover)| Refill {
            amount: credits(amount),
            rollover: credits(rollover),
            period: PeriodKind::Month,
            current,
            shortfall: credits(0),
        });
        let purse = self.model.pools.get_mut(&world::pool(pool)).unwrap();
        purse.open(Some(department));
        purse.overflow.retain(|other| *other != department);
        purse.overflow.extend(overflow.then_some(department));
        purse.toppings.retain(|other, _| *other != department);
        let begun = current.start.micros();
        let topping = refill.map(|(amount, rollover)| Topping { amount, rollover, begun, lacking: 0 });
        purse.toppings.extend(topping.map(|topping| (department, topping)));
    }
}

/// Where the reason is a number, machine and model must find the same one.
fn same_reason(refusal: &Refusal, no: &No, pool: &Pool) {
    match (refusal, no) {
        (Refusal::InsufficientCredits { available, short_by, .. }, No::Short(free)) => {
            assert_eq!(available.get(), *free, "{refusal:?}");
            assert!(!short_by.is_zero(), "{refusal:?}");
        }
        (Refusal::CapExceeded { cap, headroom }, No::Cap(index, left)) => {
            assert_eq!((*cap, headroom.get()), (pool.caps[*index].id, *left));
        }
        (Refusal::InsufficientCredits { .. } | Refusal::CapExceeded { .. }, _) | (_, No::Cap(..)) => {
            panic!("{refusal:?}, the model says {no:?}");
        }
        _ => {}
    }
}
