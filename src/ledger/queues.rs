//! Who waits for the ledger: a queue for each organization, and whose turn it is.
//!
//! Pure bookkeeping behind one lock that is never held across an await. An organization is *ready* when
//! commands of it wait and no lane works on them; ready organizations take turns, so that a busy one
//! starves nobody. What a lane takes is bounded, and an organization with many commands goes alone.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use tokio::sync::oneshot;

use super::Settings;
use super::process::{Bundle, Outcomes};
use crate::db::Tenant;
use crate::error::{Error, Result};

/// The most commands of an organization that shares a transaction with others.
const SMALL: usize = 32;

/// Commands of one call that wait, and who waits for their answers.
pub(super) struct Waiting {
    pub bundle: Bundle,
    pub answer: oneshot::Sender<Outcomes>,
    pub since: Instant,
}

impl Waiting {
    /// How many commands.
    fn commands(&self) -> usize {
        self.bundle.submissions.len()
    }
}

/// All queues.
pub(super) struct Queues {
    settings: Settings,
    organizations: HashMap<Tenant, Queue>,
    ready: VecDeque<Tenant>,
    /// Commands that wait, of all organizations.
    depth: usize,
    /// Lanes that have nothing to do.
    idle: usize,
    closed: bool,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// How many commands those are.
    commands: usize,
    /// Whether a lane works on commands of it.
    busy: bool,
}

impl Queue {
    /// How many calls come next, and how many commands they have: at least one call, and more only as long
    /// as they fit a batch.
    fn next(&self, batch: usize) -> (usize, usize) {
        let (mut calls, mut commands) = (0, 0);
        for waiting in &self.waiting {
            if calls > 0 && commands + waiting.commands() > batch {
                break;
            }
            calls += 1;
            commands += waiting.commands();
        }
        (calls, commands)
    }
}

impl Queues {
    /// Nobody waits.
    pub fn new(settings: Settings) -> Queues {
        let (organizations, ready) = (HashMap::new(), VecDeque::new());
        Queues { settings, organizations, ready, depth: 0, idle: settings.lanes, closed: false }
    }

    /// Lets a command wait, or says why it cannot. Answers whether a lane has to be started.
    pub fn push(&mut self, tenant: Tenant, waiting: Waiting) -> Result<bool> {
        if self.closed {
            return Err(Error::Unavailable("The server is stopping."));
        }
        let queue = self.organizations.entry(tenant).or_default();
        let commands = waiting.commands();
        let full = queue.commands + commands > self.settings.waiting
            || self.depth + commands > self.settings.waiting_of_all;
        if full {
            if queue.waiting.is_empty() && !queue.busy {
                self.organizations.remove(&tenant);
            }
            return Err(Error::Overloaded);
        }
        if queue.waiting.is_empty() && !queue.busy {
            self.ready.push_back(tenant);
        }
        queue.waiting.push_back(waiting);
        queue.commands += commands;
        self.depth += commands;
        Ok(self.start())
    }

    /// Whether there is work for another lane; that lane counts as begun.
    pub fn start(&mut self) -> bool {
        if self.ready.is_empty() || self.idle == 0 {
            return false;
        }
        self.idle -= 1;
        true
    }

    /// What a lane does next: commands of one organization, or of several in the order of their ids.
    pub fn take(&mut self) -> Vec<(Tenant, Vec<Waiting>)> {
        let share = self.ready.len().div_ceil(self.settings.lanes).min(self.settings.organizations);
        let (mut batches, mut total) = (Vec::new(), 0);
        while batches.len() < share {
            let Some(tenant) = self.ready.pop_front() else { break };
            let Some(queue) = self.organizations.get_mut(&tenant) else { continue };
            let (calls, count) = queue.next(self.settings.batch);
            if total > 0 && (count > SMALL || total + count > self.settings.batch) {
                self.ready.push_front(tenant);
                break;
            }
            queue.busy = true;
            queue.commands -= count;
            total += count;
            batches.push((tenant, queue.waiting.drain(..calls).collect()));
            if count > SMALL {
                break;
            }
        }
        self.depth -= total;
        batches.sort_by_key(|(tenant, _)| tenant.id());
        batches
    }

    /// A lane is done with commands of these organizations.
    pub fn done(&mut self, tenants: &[Tenant]) {
        for tenant in tenants {
            let Some(queue) = self.organizations.get_mut(tenant) else { continue };
            queue.busy = false;
            if queue.waiting.is_empty() {
                self.organizations.remove(tenant);
            } else {
                self.ready.push_back(*tenant);
            }
        }
    }

    /// A lane has nothing more to do.
    pub fn rest(&mut self) {
        self.idle += 1;
    }

    /// Takes no more commands. Those that wait are still carried out.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// How many commands wait.
    pub fn depth(&self) -> usize {
        self.depth
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Submission, Together};
    use super::*;
    use crate::auth::{Actor, Standing};
    use bursar_domain::id::{ChargeId, Id, OrganizationId, PoolId};
    use bursar_domain::ledger::*;

    fn settings() -> Settings {
        Settings { lanes: 2, waiting: 100, waiting_of_all: 150, batch: 64, organizations: 8 }
    }

    fn tenant(number: u128) -> Tenant {
        Tenant::vouched(OrganizationId::from_u128(number))
    }

    fn waiting() -> Waiting {
        let lines = Vec::new();
        let charge =
            ChargeCredits { department: None, on_behalf_of: None, spender: None, lines, reference: None };
        let command = Command {
            id: CommandId::Charge(ChargeId::from_u128(1)),
            pool: PoolId::from_u128(1),
            key: Key([0; 16]),
            request: RequestHash([0; 16]),
            now: bursar_domain::Timestamp::EPOCH,
            instruction: Instruction::Charge(charge),
        };
        let (actor, standing) = (Actor::system(None), Standing::default());
        let submission = Submission { command, actor, standing, subject: None, metadata: None, reason: None };
        let bundle = Bundle { submissions: vec![submission], together: Together::Each };
        Waiting { bundle, answer: oneshot::channel().0, since: Instant::now() }
    }

    /// A call with several commands.
    fn call(commands: usize) -> Waiting {
        let mut call = waiting();
        let one = call.bundle.submissions.remove(0);
        call.bundle.submissions = vec![one; commands];
        call
    }

    #[test]
    fn calls_are_never_cut() {
        let mut queues = Queues::new(settings());
        for commands in [40, 20, 30] {
            queues.push(tenant(1), call(commands)).unwrap();
        }
        assert!(matches!(queues.push(tenant(1), call(11)), Err(Error::Overloaded)), "90 of 100 wait");
        let sizes = |batches: Vec<(Tenant, Vec<Waiting>)>| -> Vec<usize> {
            batches.iter().flat_map(|(_, calls)| calls).map(Waiting::commands).collect()
        };
        assert_eq!(sizes(queues.take()), [40, 20], "a batch takes 64");
        queues.done(&[tenant(1)]);
        assert_eq!((sizes(queues.take()), queues.depth()), (vec![30], 0));
    }

    fn taken(queues: &mut Queues) -> Vec<(u128, usize)> {
        queues.take().iter().map(|(tenant, batch)| (tenant.id().as_u128(), batch.len())).collect()
    }

    #[test]
    fn a_busy_organization_starves_nobody() {
        let mut queues = Queues::new(settings());
        for _ in 0..100 {
            queues.push(tenant(9), waiting()).unwrap();
        }
        queues.push(tenant(2), waiting()).unwrap();
        queues.push(tenant(1), waiting()).unwrap();
        // As much as one batch takes, and alone; nobody else gets the rest while that is under way.
        assert_eq!(taken(&mut queues), [(9, 64)]);
        assert_eq!(taken(&mut queues), [(2, 1)]);
        assert_eq!(taken(&mut queues), [(1, 1)]);
        assert_eq!(taken(&mut queues), []);
        queues.push(tenant(1), waiting()).unwrap();
        queues.done(&[tenant(9)]);
        queues.done(&[tenant(1), tenant(2)]);
        assert_eq!(taken(&mut queues), [(9, 36)]);
        assert_eq!(taken(&mut queues), [(1, 1)]);
        queues.done(&[tenant(1), tenant(9)]);
        assert_eq!((queues.depth(), queues.organizations.len()), (0, 0), "nothing is left behind");
    }

    #[test]
    fn small_ones_share_a_transaction_in_the_order_of_their_ids() {
        let mut queues = Queues::new(settings());
        for number in [7, 3, 5, 1] {
            queues.push(tenant(number), waiting()).unwrap();
        }
        assert_eq!(taken(&mut queues), [(3, 1), (7, 1)], "half of them for each of two lanes");
        assert_eq!(taken(&mut queues), [(5, 1)]);
        assert_eq!(taken(&mut queues), [(1, 1)]);
    }

    #[test]
    fn bounds_are_told_at_once() {
        let mut queues = Queues::new(settings());
        for _ in 0..100 {
            queues.push(tenant(1), waiting()).unwrap();
        }
        assert!(matches!(queues.push(tenant(1), waiting()), Err(Error::Overloaded)));
        for _ in 0..50 {
            queues.push(tenant(2), waiting()).unwrap();
        }
        assert!(matches!(queues.push(tenant(3), waiting()), Err(Error::Overloaded)));
        assert_eq!(queues.organizations.len(), 2, "who was turned away leaves nothing");
        queues.close();
        assert!(matches!(queues.push(tenant(2), waiting()), Err(Error::Unavailable(_))));
        assert_eq!(taken(&mut queues), [(1, 64)], "what waits is still carried out");
    }

    #[test]
    fn lanes_are_started_as_there_is_work() {
        let mut queues = Queues::new(settings());
        assert!(queues.push(tenant(1), waiting()).unwrap());
        assert!(queues.push(tenant(2), waiting()).unwrap());
        assert!(!queues.push(tenant(3), waiting()).unwrap(), "there are two lanes");
        queues.rest();
        assert!(queues.start());
    }
}
