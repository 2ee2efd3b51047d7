//! Views: what subscribers share who ask for the same of the same thing and may see the same of it. The
//! selection is executed and written once for all of them, and the text is shared.
//!
//! A view is a task. It alone tells its members of events, and a member joins between two events, so each
//! member sees a state first and then everything that follows it. When people or grants change, the view ends:
//! its members find out what they may see now, and join another one where they left off.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bursar_domain::id::ApprovalId;
use tokio::sync::mpsc;

use super::inbox::{Event, Inbox, Item, Put, Slot};
use super::parameters::Digest;
use super::refusal::Refusal;
use super::render::{Happening, Renderer};
use super::sight::Sight;
use super::throttle::{Principal, Throttle};
use crate::auth::Standing;
use crate::live::{Body, EventKind, Feed, State, Topic, Transfers, Watch};

/// What makes two subscribers see the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ViewKey {
    /// The document.
    pub document: Digest,
    /// Which of its operations.
    pub operation: Option<String>,
    /// The variables that the selection depends on, as JSON.
    pub variables: String,
    /// What is watched.
    pub topic: Topic,
    /// What of it may be seen.
    pub sight: Sight,
    /// As of which revisions.
    pub standing: Standing,
}

/// From where on a member wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// From now on.
    Now,
    /// From after a version that the client says it has.
    After(i64),
    /// From after the version that the client was sent last.
    Sent(i64),
}

/// The views of a server.
#[derive(Clone, Default)]
pub struct Views(Arc<Registry>);

#[derive(Default)]
struct Registry {
    views: Mutex<HashMap<ViewKey, mpsc::UnboundedSender<Command>>>,
    numbers: AtomicU64,
}

/// A place in a view. Whoever drops it leaves.
pub struct Seat {
    number: u64,
    view: mpsc::UnboundedSender<Command>,
}

impl Seat {
    /// Asks for a fresh snapshot, after events were thrown away.
    pub fn refresh(&self) {
        // A view that has ended has told its members so.
        let _ = self.view.send(Command::Refresh(self.number));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // A view that has ended has no members any more.
        let _ = self.view.send(Command::Leave(self.number));
    }
}

enum Command {
    Join(u64, Member, Since),
    Refresh(u64),
    Leave(u64),
}

struct Member {
    inbox: Arc<Inbox>,
    slot: Slot,
    /// Whether events were thrown away and no fresh snapshot has been asked for yet.
    lagging: bool,
}

impl Views {
    /// Joins the view with a key, which begins, with a state that has been looked at, when there is none.
    pub fn join(
        &self,
        key: ViewKey,
        (watch, state): (Watch, Arc<State>),
        begin: impl FnOnce() -> (Renderer, Option<Payer>) + Send + 'static,
        (inbox, slot): (Arc<Inbox>, Slot),
        since: Since,
    ) -> Seat {
        let number = self.0.numbers.fetch_add(1, Ordering::Relaxed);
        let mut join = Command::Join(number, Member { inbox, slot, lagging: false }, since);
        let mut views = self.lock();
        if let Some(view) = views.get(&key) {
            match view.send(join) {
                Ok(()) => return Seat { number, view: view.clone() },
                Err(mpsc::error::SendError(command)) => join = command,
            }
        }
        let (view, commands) = mpsc::unbounded_channel();
        // The other end is right here.
        let _ = view.send(join);
        views.insert(key.clone(), view.clone());
        let views = self.clone();
        // What takes time is done without the lock.
        tokio::spawn(async move {
            let members = Members::new(Arc::clone(watch.feed()));
            let (renderer, payer) = begin();
            View { views, key, watch, renderer, payer, members, known: None }.run(state, commands).await;
        });
        Seat { number, view }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ViewKey, mpsc::UnboundedSender<Command>>> {
        self.0.views.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who pays for the events of a view that nobody shares.
pub struct Payer {
    /// The points.
    pub throttle: Throttle,
    /// The person.
    pub principal: Principal,
    /// What an event costs.
    pub points: u64,
}

/// Why a view ends for its members.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// It has to be found out what they may see now.
    Revised,
    /// Its events cost more than there was.
    Throttled,
    /// By a fault of ours.
    Failed,
}

/// The members of a view. However the view ends, they are told.
struct Members {
    feed: Arc<Feed>,
    seats: HashMap<u64, Member>,
    end: End,
}

impl Members {
    fn new(feed: Arc<Feed>) -> Members {
        Members { feed, seats: HashMap::new(), end: End::Failed }
    }

    fn join(&mut self, number: u64, member: Member) {
        self.feed.count(1);
        self.seats.insert(number, member);
    }

    fn leave(&mut self, number: u64) {
        if self.seats.remove(&number).is_some() {
            self.feed.count(-1);
        }
    }

    /// Puts events into the inboxes of those who are not behind.
    fn tell(&mut self, events: &[Event]) {
        let mut gone = Vec::new();
        for (number, member) in self.seats.iter_mut().filter(|(_, member)| !member.lagging) {
            match member.inbox.put_events(member.slot, events) {
                Put::Kept => {}
                Put::Lagging => member.lagging = true,
                Put::Gone => gone.push(*number),
            }
        }
        gone.into_iter().for_each(|number| self.leave(number));
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for (_, member) in self.seats.drain() {
            self.feed.count(-1);
            let failed = |refusal: Refusal| Item::Failed(member.slot, refusal.into_json());
            member.inbox.put(match self.end {
                End::Revised => Item::Revised(member.slot),
                End::Throttled => failed(Refusal::too_many("The events of this selection cost too much.")),
                End::Failed => {
                    failed(Refusal::new("INTERNAL_SERVER_ERROR", "Something went wrong on our side."))
                }
            });
        }
    }
}

/// A view at work.
struct View {
    views: Views,
    key: ViewKey,
    watch: Watch,
    renderer: Renderer,
    payer: Option<Payer>,
    members: Members,
    /// The last snapshot that was written, with what it is: many join at the same version.
    known: Option<(EventKind, Since, Event)>,
}

impl View {
    async fn run(mut self, mut state: Arc<State>, mut commands: mpsc::UnboundedReceiver<Command>) {
        while self.key.standing.holds(state.standing) && self.members.end != End::Throttled {
            tokio::select! {
                // What is new first: who joins begins at the newest state, and no number of them holds it up.
                biased;
                next = self.watch.changed() => {
                    let Some(next) = next else { break };
                    if self.key.sight.is_outdated(&state, &next) {
                        break;
                    }
                    self.tell(&state, &next).await;
                    state = next;
                }
                command = commands.recv() => {
                    let Some(command) = command else { break };
                    self.obey(command, &state).await;
                    if self.members.seats.is_empty() && self.leaves(&mut commands) {
                        return;
                    }
                }
            }
        }
        // Nobody joins any more; who has joined meanwhile is told as well.
        self.views.lock().remove(&self.key);
        commands.close();
        while let Ok(command) = commands.try_recv() {
            match command {
                Command::Join(number, member, _) => self.members.join(number, member),
                Command::Leave(number) => self.members.leave(number),
                Command::Refresh(_) => {}
            }
        }
        if self.members.end != End::Throttled {
            self.members.end = End::Revised;
        }
    }

    /// Ends the view when nobody has joined it meanwhile; answers whether it did.
    fn leaves(&self, commands: &mut mpsc::UnboundedReceiver<Command>) -> bool {
        let mut views = self.views.lock();
        if !commands.is_empty() {
            return false;
        }
        views.remove(&self.key);
        // Closed under the lock: nobody can have found it and not sent yet.
        commands.close();
        true
    }

    async fn obey(&mut self, command: Command, state: &Arc<State>) {
        match command {
            Command::Join(number, member, since) => {
                let events = self.first(since, state).await;
                if events.is_empty() || member.inbox.put_events(member.slot, &events) != Put::Gone {
                    self.members.join(number, member);
                }
            }
            Command::Refresh(number) => {
                let events = self.snapshot(EventKind::Resync, Since::Now, state, Vec::new()).await;
                if let Some(member) = self.members.seats.get_mut(&number) {
                    member.lagging = false;
                    // There is room: what waited has been thrown away.
                    let _ = member.inbox.put_events(member.slot, &events);
                }
            }
            Command::Leave(number) => self.members.leave(number),
        }
    }

    /// The first events for a new member; none when it has them already.
    async fn first(&mut self, since: Since, state: &Arc<State>) -> Vec<Event> {
        let feed = Arc::clone(self.watch.feed());
        let (kind, transfers) = match since {
            Since::Now => (EventKind::Snapshot, Some(Vec::new())),
            Since::Sent(version) if version == state.version && is_versioned(state) => return Vec::new(),
            Since::After(version) => (EventKind::Snapshot, between(&feed, version, state)),
            Since::Sent(version) => (EventKind::Change, between(&feed, version, state)),
        };
        let kind = if transfers.is_some() { kind } else { EventKind::Resync };
        self.snapshot(kind, since, state, transfers.unwrap_or_default()).await
    }

    /// The events about a state, as they were written last or anew: one, or one about each request for approval.
    async fn snapshot(
        &mut self,
        kind: EventKind,
        since: Since,
        state: &Arc<State>,
        transfers: Transfers,
    ) -> Vec<Event> {
        if let Body::Approvals(seen) = &state.body {
            let about = self.key.sight.requests(seen, kind == EventKind::Snapshot);
            return self.write_each(kind, state, about).await;
        }
        if let Some((known_kind, known_since, event)) = &self.known
            && (*known_kind, *known_since, event.version) == (kind, since, state.version)
        {
            return vec![event.clone()];
        }
        let event = self.write(kind, state, transfers, None).await;
        self.known = Some((kind, since, event.clone()));
        vec![event]
    }

    /// An event about each of some requests for approval, as long as there are points for it.
    async fn write_each(
        &mut self,
        kind: EventKind,
        state: &Arc<State>,
        about: Vec<ApprovalId>,
    ) -> Vec<Event> {
        let mut events = Vec::with_capacity(about.len());
        for id in about {
            if self.members.end == End::Throttled {
                break;
            }
            events.push(self.write(kind, state, Vec::new(), Some(id)).await);
        }
        events
    }

    async fn write(
        &mut self,
        kind: EventKind,
        state: &Arc<State>,
        transfers: Transfers,
        about: Option<ApprovalId>,
    ) -> Event {
        if let Some(Payer { throttle, principal, points }) = &self.payer
            && !throttle.charge(*principal, *points)
        {
            self.members.end = End::Throttled;
        }
        let (state, version) = (Arc::clone(state), state.version);
        let happening = Happening { kind, state, transfers, sight: self.key.sight.clone(), about };
        Event { version, payload: self.renderer.write(happening).await }
    }

    /// Tells the members what is new.
    async fn tell(&mut self, before: &State, state: &Arc<State>) {
        self.known = None;
        if !self.key.standing.holds(state.standing) {
            return;
        }
        if let (Body::Approvals(then), Body::Approvals(now)) = (&before.body, &state.body) {
            let events = self.write_each(EventKind::Change, state, self.key.sight.news(then, now)).await;
            return self.members.tell(&events);
        }
        if !self.key.sight.shows_change(before, state) {
            return;
        }
        let transfers = between(&Arc::clone(self.watch.feed()), before.version, state);
        let kind = if transfers.is_some() { EventKind::Change } else { EventKind::Resync };
        let event = self.write(kind, state, transfers.unwrap_or_default(), None).await;
        self.members.tell(&[event]);
    }
}

/// Whether versions tell apart what a state is about.
fn is_versioned(state: &State) -> bool {
    !matches!(state.body, Body::Purchase(_) | Body::Approvals(_))
}

/// The transfers from after a version up to a state, when they can be told; only pools have any.
fn between(feed: &Feed, version: i64, state: &State) -> Option<Transfers> {
    match state.body {
        Body::Pool(_) => feed.transfers(version, state.version),
        Body::Pools(_) | Body::Purchase(_) | Body::Approvals(_) => Some(Vec::new()),
    }
}
