//! Verification in the background: it goes round all pools and audit logs, with a bounded share of one core.
//!
//! Of each pool the replay at the end of its last verification is kept in memory, so that a round looks only
//! at what is new and at what is stored. Once a day a pool is replayed from its first transfer. After each
//! page there is a pause that is as many times longer than the work as the share says.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bursar_domain::Timestamp;
use bursar_domain::id::{OrganizationId, PoolId};
use metrics::{Counter, counter};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::freeze::{Again, look_again};
use super::logs::Logs;
use super::replay::Replay;
use super::walk::{Step, step};
use super::{Finding, Place, Selection, Stop, pools, uuid};
use crate::context::Context;
use crate::error::Result;

/// How many rows are kept in memory of all pools together; those that do not fit are verified once a day.
const KEPT: usize = 1_000_000;
/// How many steps of a replay from the first transfer are taken before other pools have their turn.
const STEPS: usize = 50;

/// How often and how hard the background verification works.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long it waits between two rounds.
    pub interval: Duration,
    /// Which part of the time it works within a round, in percent.
    pub share: u32,
    /// How often a pool is replayed from its first transfer.
    pub whole: Duration,
}

impl Pace {
    /// A twentieth of one core, and once a day from the first transfer.
    pub fn every(interval: Duration) -> Pace {
        Pace { interval, share: 5, whole: Duration::from_secs(24 * 3_600) }
    }

    /// How long to rest after working.
    pub(super) fn rest(&self, worked: Duration) -> Duration {
        let share = self.share.clamp(1, 100);
        worked.saturating_mul(100 - share) / share
    }
}

/// What the last verification of a pool on this node has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// When.
    pub at: Timestamp,
    /// Up to which version the books are right.
    pub version: i64,
    /// The first row that is wrong, and how; none: there is none.
    pub finding: Option<String>,
}

/// What the last verification of an organization's audit log on this node has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogVerification {
    /// When.
    pub at: Timestamp,
    /// Up to which position the log is right.
    pub position: i64,
    /// The first row that is wrong, and how; none: there is none.
    pub finding: Option<String>,
}

/// The last verifications of pools and audit logs on this node. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Verifications(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    pools: HashMap<PoolId, Verification>,
    logs: HashMap<OrganizationId, LogVerification>,
}

impl Verifications {
    /// The last verification of a pool, if there was one.
    pub fn of(&self, pool: PoolId) -> Option<Verification> {
        self.all().pools.get(&pool).cloned()
    }

    /// The last verification of an organization's audit log, if there was one.
    pub fn of_log(&self, organization: OrganizationId) -> Option<LogVerification> {
        self.all().logs.get(&organization).cloned()
    }

    fn put(&self, pool: PoolId, verification: Verification) {
        self.all().pools.insert(pool, verification);
    }

    pub(super) fn put_log(&self, organization: OrganizationId, verification: LogVerification) {
        self.all().logs.insert(organization, verification);
    }

    fn all(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The background verification of this node.
#[derive(Debug)]
pub struct Watching {
    end: CancellationToken,
    tasks: TaskTracker,
}

impl Watching {
    /// Begins to go round.
    pub fn start(context: Context, verifications: Verifications, pace: Pace) -> Watching {
        let watching = Watching { end: CancellationToken::new(), tasks: TaskTracker::new() };
        let watch = Watch {
            context,
            verifications,
            pace,
            end: watching.end.clone(),
            pools: HashMap::new(),
            logs: Logs::new(pace, watching.end.clone()),
            verified: counter!("bursar_ledger_verified_transfers_total"),
            differences: counter!("bursar_ledger_differences_total"),
        };
        watching.tasks.spawn(watch.run());
        watching
    }

    /// Ends it, and waits until the statement under way has ended.
    pub async fn stop(&self) {
        self.end.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// What is known of a pool.
#[derive(Default)]
struct Watched {
    /// The replay at the end of the last verification.
    tail: Option<Arc<Replay>>,
    /// A replay from the first transfer that is under way.
    whole: Option<Arc<Replay>>,
    /// When that began, or the last one did.
    began: Option<Instant>,
}

struct Watch {
    context: Context,
    verifications: Verifications,
    pace: Pace,
    end: CancellationToken,
    pools: HashMap<PoolId, Watched>,
    logs: Logs,
    verified: Counter,
    differences: Counter,
}

impl Watch {
    async fn run(mut self) {
        while !self.ends_within(self.pace.interval).await {
            if let Err(error) = self.round().await {
                tracing::warn!(%error, "pools cannot be verified now");
            }
            if let Err(error) = self.logs.round(&self.context, &self.verifications).await {
                tracing::warn!(%error, "audit logs cannot be verified now");
            }
        }
    }

    /// Waits for some time; answers whether the end has come.
    async fn ends_within(&self, time: Duration) -> bool {
        self.end.is_cancelled() || tokio::time::timeout(time, self.end.cancelled()).await.is_ok()
    }

    /// Visits each pool.
    async fn round(&mut self) -> Result<()> {
        let places: Vec<Place> = pools(&self.context, &Selection::default())
            .await?
            .into_iter()
            .map(|(place, _, _)| place)
            .collect();
        self.forget(&places);
        for place in places {
            if self.end.is_cancelled() {
                return Ok(());
            }
            let mut watched = self.pools.remove(&place.pool).unwrap_or_default();
            if let Err(error) = self.visit(place, &mut watched).await {
                tracing::warn!(%error, "a pool cannot be verified now");
            }
            self.pools.insert(place.pool, watched);
        }
        Ok(())
    }

    /// Forgets pools that are gone, and what is more than may be kept.
    fn forget(&mut self, places: &[Place]) {
        let there: HashSet<PoolId> = places.iter().map(|place| place.pool).collect();
        self.pools.retain(|pool, _| there.contains(pool));
        let mut room = KEPT;
        for watched in self.pools.values_mut() {
            let weight = watched.tail.as_ref().map_or(0, |replay| replay.weight());
            match room.checked_sub(weight) {
                Some(rest) => room = rest,
                None => watched.tail = None,
            }
        }
    }

    /// Goes on from the last verification, and with the replay from the first transfer when its day has come.
    async fn visit(&mut self, place: Place, watched: &mut Watched) -> Result<()> {
        if let Some(start) = watched.tail.clone() {
            let mut replay = Arc::clone(&start);
            match self.advance(&mut replay, usize::MAX, false).await {
                Ok(Step::Done) => watched.tail = Some(self.right(replay)),
                Ok(Step::More) => watched.tail = Some(replay),
                Err(Stop::Wrong(finding)) => {
                    return self.wrong(watched, (start, replay), *finding, false).await;
                }
                Err(Stop::Failed(error)) => return Err(error),
            }
        }
        let due = watched.began.is_none_or(|began| began.elapsed() >= self.pace.whole);
        if watched.whole.is_none() && due {
            watched.whole = Some(Arc::new(Replay::new(place)));
            watched.began = Some(Instant::now());
        }
        let Some(mut replay) = watched.whole.take() else { return Ok(()) };
        match self.advance(&mut replay, STEPS, true).await {
            Ok(Step::Done) => watched.tail = Some(self.right(replay)),
            Ok(Step::More) => watched.whole = Some(replay),
            Err(Stop::Wrong(finding)) => {
                let start = Arc::new(Replay::new(place));
                return self.wrong(watched, (start, replay), *finding, true).await;
            }
            Err(Stop::Failed(error)) => {
                watched.whole = Some(replay);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes steps until the end of the books, as many as are allowed, or until this process ends.
    async fn advance(&self, replay: &mut Arc<Replay>, steps: usize, thorough: bool) -> Result<Step, Stop> {
        for _ in 0..steps {
            let (began, before) = (Instant::now(), replay.version);
            let outcome = step(&self.context.db, replay, thorough).await;
            self.verified.increment(u64::try_from(replay.version - before).unwrap_or(0));
            let ends = self.ends_within(self.pace.rest(began.elapsed())).await;
            if outcome? == Step::Done {
                return Ok(Step::Done);
            }
            if ends {
                break;
            }
        }
        Ok(Step::More)
    }

    /// The books of a pool are right.
    fn right(&self, replay: Arc<Replay>) -> Arc<Replay> {
        let at = self.context.clock.now();
        let verification = Verification { at, version: replay.version, finding: None };
        self.verifications.put(replay.place.pool, verification);
        replay
    }

    /// A row is wrong: looks again under the pool's lock, and raises an alert when it still is. Later rounds
    /// begin with the first transfer, until it is right again.
    async fn wrong(
        &self,
        watched: &mut Watched,
        (start, reached): (Arc<Replay>, Arc<Replay>),
        finding: Finding,
        thorough: bool,
    ) -> Result<()> {
        let (pool, said) = (start.place.pool, finding.to_string());
        *watched = Watched::default();
        if self.verifications.of(pool).and_then(|known| known.finding).is_some_and(|known| known == said) {
            return Ok(());
        }
        let finding = match look_again(&self.context, start, thorough).await? {
            Again::Right(replay) => {
                tracing::warn!(pool = %uuid(pool), %said, "a difference was not found again");
                watched.tail = Some(self.right(replay));
                return Ok(());
            }
            Again::Frozen(finding) => finding,
        };
        self.differences.increment(1);
        tracing::error!(
            organization = %uuid(finding.organization),
            pool = %uuid(pool),
            table = finding.table,
            key = %finding.key,
            what = %finding.what,
            "the books of a pool are wrong; it is frozen"
        );
        let at = self.context.clock.now();
        let finding = Some(finding.to_string());
        self.verifications.put(pool, Verification { at, version: reached.version, finding });
        Ok(())
    }
}
