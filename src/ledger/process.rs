//! Load, decide, write: the three phases of a batch, inside a transaction that somebody else commits.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bursar_domain::Timestamp;
use bursar_domain::id::PoolId;
use bursar_domain::ledger::{Command, CommandId, Decision, Refusal, book_due, decide, decide_all};
use tracing::Instrument;

use super::books::{Books, Prices};
use super::check::check;
use super::load::{Loaded, Locking, load};
use super::repeats::{complete, earlier};
use super::rows::Booked;
use super::{Receipt, Submission, Together};
use crate::changes::{Change, Subject};
use crate::db::{Tenant, Txn};
use crate::error::{Error, Result};

/// Commands that belong together: of one call.
#[derive(Clone, Debug)]
pub(super) struct Bundle {
    pub submissions: Vec<Submission>,
    pub together: Together,
}

/// What has become of the commands of a bundle, in order.
pub(super) type Outcomes = Vec<Result<Receipt>>;

/// Commands of one organization.
pub(super) struct Part {
    pub tenant: Tenant,
    pub bundles: Arc<Vec<Bundle>>,
    /// What is kept of the organization; whoever has it is the only one to use it.
    pub books: Books,
}

/// What became of a part, if its transaction is committed.
pub(super) struct Processed {
    /// What became of each bundle, in order.
    pub outcomes: Vec<Outcomes>,
    /// The pools that have moved.
    pub committed: Vec<Change>,
    /// What is kept in memory for the next batch.
    pub books: Books,
}

/// How long the phases of a batch took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Phases {
    pub load: Duration,
    pub decide: Duration,
    pub write: Duration,
}

/// Takes commands of several organizations, in the order of their ids, through the phases. A refusal of one
/// command does not harm the others. Without an exclusive lock nothing is written: a rehearsal.
pub(super) async fn process(
    txn: &Txn,
    mut parts: Vec<Part>,
    locking: Locking,
    prices: &Prices,
) -> Result<(Vec<Processed>, Phases)> {
    let mut phases = Phases::default();
    let began = Instant::now();
    let bundles: Vec<_> = parts.iter().map(|part| Arc::clone(&part.bundles)).collect();
    let commands: Vec<(Tenant, Vec<&Command>)> = parts
        .iter()
        .zip(&bundles)
        .map(|(part, bundles)| {
            let submissions = bundles.iter().flat_map(|bundle| &bundle.submissions);
            (part.tenant, submissions.map(|submission| &submission.command).collect())
        })
        .collect();
    let load_all = async {
        let mut checked = check(txn, &commands, locking).await?;
        let mut loaded = Vec::with_capacity(parts.len());
        for (part, (tenant, commands)) in parts.iter_mut().zip(&commands) {
            let checked = checked.remove(&tenant.id()).unwrap_or_default();
            let memory = (&mut part.books, prices);
            loaded.push(load(txn, (*tenant, commands), locking, checked, memory).await?);
        }
        Ok::<_, Error>(loaded)
    };
    let mut loaded = load_all.instrument(tracing::info_span!("load")).await?;
    phases.load = began.elapsed();

    let began = Instant::now();
    let mut booked = Booked::default();
    let mut decided = Vec::with_capacity(parts.len());
    let span = tracing::info_span!("decide").entered();
    for ((part, (_, commands)), loaded) in parts.iter().zip(&commands).zip(&mut loaded) {
        book_what_is_due(part.tenant, commands, loaded, &mut booked);
        let mut decider = Decider::new(part.tenant, loaded, &mut booked, commands.len());
        for bundle in part.bundles.iter() {
            decider.bundle(bundle)?;
        }
        decided.push((decider.outcomes, decider.repeated));
    }
    drop(span);
    phases.decide = began.elapsed();

    let began = Instant::now();
    let write_all = async {
        for (part, (outcomes, repeated)) in parts.iter().zip(&mut decided) {
            if *repeated {
                complete(txn, part.tenant, outcomes).await?;
            }
        }
        if locking == Locking::Exclusive {
            let loaded = parts.iter().map(|part| part.tenant).zip(&mut loaded);
            booked.write(txn, loaded).await?;
        }
        Ok::<_, Error>(())
    };
    write_all.instrument(tracing::info_span!("write")).await?;
    phases.write = began.elapsed();
    let processed = parts.into_iter().zip(loaded).zip(decided).map(|((part, loaded), (outcomes, _))| {
        let changed = loaded.state.pools.values().filter(|pool| pool.changed);
        let committed = changed.map(|pool| Change {
            organization: part.tenant.id(),
            subject: Subject::Pool(pool.id, pool.head.version),
        });
        let committed = committed.collect();
        let mut books = part.books;
        loaded.keep(&mut books);
        Processed { outcomes, committed, books }
    });
    Ok((processed.collect(), phases))
}

/// Books what time has brought to the pools that commands name, by the latest time of the batch, as of which
/// all its commands are decided.
fn book_what_is_due(tenant: Tenant, commands: &[&Command], loaded: &mut Loaded, booked: &mut Booked) {
    let latest = commands.iter().map(|command| command.now).max().unwrap_or_default();
    loaded.state.now = latest;
    let mut pools: BTreeMap<PoolId, Timestamp> = BTreeMap::new();
    for command in commands {
        // A movement between pools happens in both at the same time, which runs back in neither.
        let named = std::iter::once(command.pool).chain(command.instruction.other_pool());
        let clocks = named.clone().filter_map(|id| Some(loaded.state.pools.get(&id)?.head.clock));
        let now = clocks.fold(latest, Timestamp::max);
        for pool in named {
            let at = pools.entry(pool).or_insert(now);
            *at = now.max(*at);
        }
    }
    for (pool, now) in pools {
        let transfers = book_due(&mut loaded.state, pool, now);
        booked.due(tenant, transfers, loaded);
    }
}

/// Decides the commands of an organization one after another.
struct Decider<'d> {
    tenant: Tenant,
    loaded: &'d mut Loaded,
    booked: &'d mut Booked,
    /// What has become of the bundles; the last of them may be under way.
    outcomes: Vec<Outcomes>,
    /// Where in the outcomes stands what the commands of this batch have left.
    done: HashMap<CommandId, (usize, usize)>,
    /// Whether commands of earlier batches are repeated.
    repeated: bool,
}

impl<'d> Decider<'d> {
    fn new(tenant: Tenant, loaded: &'d mut Loaded, booked: &'d mut Booked, commands: usize) -> Decider<'d> {
        let done = HashMap::with_capacity(commands);
        Decider { tenant, loaded, booked, outcomes: Vec::with_capacity(commands), done, repeated: false }
    }

    /// Decides the commands of a bundle. An error voids the whole batch.
    fn bundle(&mut self, bundle: &Bundle) -> Result<()> {
        self.outcomes.push(Vec::with_capacity(bundle.submissions.len()));
        match bundle.together {
            Together::Each => bundle.submissions.iter().try_for_each(|submission| self.one(submission)),
            Together::Atomic => self.all(&bundle.submissions),
        }
    }

    fn one(&mut self, submission: &Submission) -> Result<()> {
        if self.stale(submission) {
            self.answer(Err(Error::Stale));
            return Ok(());
        }
        match decide(&mut self.loaded.state, &submission.command) {
            Err(refusal) => self.answer(Err(Error::Refused(refusal))),
            Ok(decision) => self.book(submission, decision)?,
        }
        Ok(())
    }

    fn all(&mut self, submissions: &[Submission]) -> Result<()> {
        if submissions.iter().any(|submission| self.stale(submission)) {
            submissions.iter().for_each(|_| self.answer(Err(Error::Stale)));
            return Ok(());
        }
        let commands: Vec<&Command> = submissions.iter().map(|submission| &submission.command).collect();
        match decide_all(&mut self.loaded.state, &commands) {
            Ok(decisions) => {
                let mut decided = submissions.iter().zip(decisions);
                decided.try_for_each(|(submission, decision)| self.book(submission, decision))
            }
            Err((index, refusal)) => {
                for position in 0..submissions.len() {
                    let aborted = Refusal::BatchAborted { index };
                    let refusal = if position == index { refusal.clone() } else { aborted };
                    self.answer(Err(Error::Refused(refusal)));
                }
                Ok(())
            }
        }
    }

    /// What has become of the next command of the bundle.
    fn answer(&mut self, outcome: Result<Receipt>) {
        if let Some(bundle) = self.outcomes.last_mut() {
            bundle.push(outcome);
        }
    }

    /// Whether a caller's permission has to be read again. What an earlier try of this very batch has
    /// carried out, whose commit was cut off, was permitted.
    fn stale(&self, submission: &Submission) -> bool {
        let prior = self.loaded.state.keys.get(&submission.command.key);
        if prior.is_some_and(|prior| prior.id == submission.command.id) {
            return false;
        }
        self.loaded.standing.is_some_and(|now| !submission.standing.holds(now))
    }

    fn book(&mut self, submission: &Submission, decision: Decision) -> Result<()> {
        let outcome = match decision {
            Decision::Applied(applied) => {
                let bundle = self.outcomes.len().saturating_sub(1);
                let position = self.outcomes.last().map_or(0, Vec::len);
                self.done.insert(submission.command.id, (bundle, position));
                // The state has it already: without its rows the whole batch is void.
                Ok(self.booked.applied(self.tenant, submission, *applied, self.loaded)?)
            }
            Decision::Replayed(id) => {
                let done = self.done.get(&id).and_then(|(bundle, at)| self.outcomes.get(*bundle)?.get(*at));
                match done {
                    Some(Ok(receipt)) => Ok(Receipt { replayed: true, ..receipt.clone() }),
                    _ => {
                        self.repeated = true;
                        earlier(self.loaded, &submission.command, id)
                    }
                }
            }
        };
        self.answer(outcome);
        Ok(())
    }
}
