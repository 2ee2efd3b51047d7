//! The worker that delivers.
//!
//! It takes only as many deliveries as it can try at once, so that no lease runs out in a queue. Each is tried in a
//! task of its own; when one is done the worker looks again. No transaction is open while a letter is handed over:
//! a server that stalls costs a place among those that are tried at once, and nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bursar_domain::delivery::{DeliveryFault, DeliveryState};
use bursar_domain::id::OrganizationId;
use bursar_entity::brand;
use futures_util::StreamExt;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::compose::{compose, is_branded};
use super::lease::{Leased, Outcome, claim, finish, waiting};
use super::mailbox::Mailbox;
use super::meters::Meters;
use super::retention::{KEPT_DAYS, empty_old};
use super::smtp::{Failure, Smtp};
use crate::audit;
use crate::auth::Keys;
use crate::config::Config;
use crate::context::Context;
use crate::db::Tenant;
use crate::error::{Error, Result};
use crate::global_id;

/// How often a node looks for what is due.
const INTERVAL: Duration = Duration::from_secs(1);
/// How many deliveries a node tries at the same time.
const AT_ONCE: usize = 8;
/// How often those that wait are counted.
const COUNTED: Duration = Duration::from_secs(10);
/// How often those are looked for that are older than they may be kept.
const EMPTIED: Duration = Duration::from_secs(3_600);
/// How long those that are under way may take once the node is told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// Delivers on this node. Cheap to clone.
#[derive(Clone)]
pub struct Courier(Arc<Inner>);

struct Inner {
    context: Context,
    keys: Keys,
    config: Config,
    post: Post,
    meters: Meters,
    /// Places for those that are tried at the same time.
    places: Arc<Semaphore>,
    /// One is done.
    done: Notify,
    /// No more are taken.
    end: CancellationToken,
    /// Those that are under way are left to others.
    cut: CancellationToken,
    running: TaskTracker,
}

/// Who takes letters.
enum Post {
    Server(Box<Smtp>),
    Memory(Mailbox),
}

impl Courier {
    /// One that does nothing yet.
    pub fn new(context: &Context, keys: &Keys, config: &Config) -> Result<Courier> {
        let post = match &config.mail.smtp {
            Some(address) => Post::Server(Box::new(Smtp::new(address.clone(), &config.public_url)?)),
            None => Post::Memory(Mailbox::default()),
        };
        Ok(Courier(Arc::new(Inner {
            context: context.clone(),
            keys: keys.clone(),
            config: config.clone(),
            post,
            meters: Meters::new(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            done: Notify::new(),
            end: CancellationToken::new(),
            cut: CancellationToken::new(),
            running: TaskTracker::new(),
        })))
    }

    /// The mailbox in memory, when no server takes the letters.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match &self.0.post {
            Post::Memory(mailbox) => Some(mailbox),
            Post::Server(_) => None,
        }
    }

    /// Begins to look for what is due, and to deliver it.
    pub fn start(&self) {
        let own = self.clone();
        self.0.running.spawn(async move { own.work().await });
    }

    /// Takes no more, and waits until what is under way is done, for a while. What takes longer is tried again by
    /// whoever comes next.
    pub async fn stop(&self) {
        self.0.end.cancel();
        self.0.running.close();
        if tokio::time::timeout(GRACE, self.0.running.wait()).await.is_err() {
            self.0.cut.cancel();
            self.0.running.wait().await;
        }
    }

    async fn work(&self) {
        let (mut counted, mut emptied): (Option<Instant>, Option<Instant>) = (None, None);
        while !self.0.end.is_cancelled() {
            if counted.is_none_or(|at| at.elapsed() >= COUNTED) {
                counted = Some(Instant::now());
                self.count().await;
            }
            if let Post::Server(server) = &self.0.post {
                server.let_go();
            }
            if emptied.is_none_or(|at| at.elapsed() >= EMPTIED) {
                emptied = Some(Instant::now());
                let own = self.clone();
                // After a long time there may be much of it, and letters do not wait for that.
                self.0.running.spawn(async move { own.empty().await });
            }
            if let Err(error) = self.look().await {
                // The next look finds all of it again.
                tracing::warn!(%error, "deliveries cannot be looked for");
            }
            tokio::select! {
                () = self.0.end.cancelled() => {}
                () = self.0.context.changes.mail_announced() => {}
                () = self.0.done.notified() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    /// Takes as many of what is due as there are places, and begins to try them.
    async fn look(&self) -> Result<()> {
        let free = self.0.places.available_permits();
        if free == 0 {
            return Ok(());
        }
        for leased in claim(&self.0.context, free).await? {
            // Nobody else takes places, so there is one; if there were none, the lease would run out.
            let Ok(place) = Arc::clone(&self.0.places).try_acquire_owned() else { break };
            let own = self.clone();
            self.0.running.spawn(async move {
                own.one(&leased).await;
                drop(place);
                own.0.done.notify_one();
            });
        }
        Ok(())
    }

    /// Tries one delivery, and writes how that has ended.
    async fn one(&self, leased: &Leased) {
        let Inner { context, meters, cut, .. } = &*self.0;
        if context.clock.now() >= leased.until {
            // Somebody else may have taken it already.
            return;
        }
        let began = Instant::now();
        let outcome = tokio::select! {
            outcome = self.send(leased) => outcome,
            () = cut.cancelled() => Outcome::Again(DeliveryFault::CutOff.to_string()),
        };
        let took = began.elapsed();
        // No address and no reason: what servers say of a letter may name people.
        let delivery = global_id::encode(leased.row.id);
        match finish(context, leased, outcome).await {
            Ok(state) => {
                meters.tried(took, state);
                if state != DeliveryState::Delivered {
                    tracing::warn!(%delivery, tries = leased.row.attempts, %state, "a delivery failed");
                }
            }
            // The lease runs out by itself, and then it is tried again.
            Err(error) => tracing::warn!(%error, %delivery, "what became of a delivery cannot be written"),
        }
    }

    async fn send(&self, leased: &Leased) -> Outcome {
        let Inner { context, keys, config, post, .. } = &*self.0;
        let because = |fault: DeliveryFault, reason: &str| format!("{fault}: {reason}");
        if leased.is_spent() {
            return Outcome::Dead(because(DeliveryFault::Spent, "no try came to its end"));
        }
        let logo = match leased.row.template {
            Some(template) if is_branded(template) => self.logo(leased.row.organization_id).await,
            _ => None,
        };
        let letter = match compose(&leased.row, keys, config, logo) {
            Ok(letter) => letter,
            Err(reason) => return Outcome::Dead(because(DeliveryFault::Unwritable, &reason)),
        };
        // It has waited for too long: whoever opened it would only find that it is over.
        if context.clock.now() >= letter.expires_at {
            return Outcome::Dead(DeliveryFault::Expired.to_string());
        }
        let server = match post {
            Post::Server(server) => server,
            Post::Memory(mailbox) => {
                mailbox.put(letter);
                return Outcome::Delivered;
            }
        };
        match server.send(&letter, config.mail.patience).await {
            Ok(()) => Outcome::Delivered,
            Err(Failure::Refused(reason)) => {
                Outcome::Dead(because(DeliveryFault::Refused, &letter.redact(&reason)))
            }
            Err(Failure::Again(reason)) => {
                Outcome::Again(because(DeliveryFault::NotTaken, &letter.redact(&reason)))
            }
        }
    }

    /// The logo of an organization, as far as it can be read: a letter does not wait for it.
    async fn logo(&self, organization: OrganizationId) -> Option<Vec<u8>> {
        // Nobody calls here: the letter is the organization's own.
        let tenant = Tenant::vouched(organization);
        let read = async {
            let snapshot = self.0.context.db.read(tenant).await?;
            Ok::<_, Error>(tenant.find::<brand::Entity>().one(&snapshot).await?)
        };
        match read.await {
            Ok(row) => row.map(|row| row.logo),
            Err(error) => {
                tracing::warn!(%error, "the logo of a letter cannot be read");
                None
            }
        }
    }

    /// Empties what has been kept for long enough: deliveries, and what the audit logs know of people whom nobody
    /// knows. On several nodes at once it does no harm.
    async fn empty(&self) {
        let Inner { context, end, .. } = &*self.0;
        match empty_old(context, end).await {
            Ok(0) => {}
            Ok(deliveries) => tracing::info!(deliveries, "old deliveries were emptied"),
            Err(error) => tracing::warn!(%error, "old deliveries cannot be emptied"),
        }
        let before = context.clock.now().plus_days(-KEPT_DAYS);
        match audit::empty_old(context, before, end).await {
            Ok(0) => {}
            Ok(values) => tracing::info!(values, "old values of nobody in audit logs were emptied"),
            Err(error) => tracing::warn!(%error, "old values in audit logs cannot be emptied"),
        }
    }

    async fn count(&self) {
        match waiting(&self.0.context).await {
            Ok(number) => self.0.meters.waiting(number),
            Err(error) => tracing::warn!(%error, "deliveries that wait cannot be counted"),
        }
    }
}

/// Tries all that is due now, once. Answers how many that were. For tests and tools; a server has a worker.
pub async fn run_once(courier: &Courier) -> Result<usize, Error> {
    let mut all = 0;
    loop {
        let taken = claim(&courier.0.context, AT_ONCE).await?;
        if taken.is_empty() {
            return Ok(all);
        }
        all += taken.len();
        let each = futures_util::stream::iter(taken);
        each.for_each_concurrent(AT_ONCE, |leased| async move { courier.one(&leased).await }).await;
    }
}
