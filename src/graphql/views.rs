//! Views: what subscribers share who ask for the same of the same thing and may see the same of it. The
//! selection is executed and written once for all of them, and the text is shared.
//!
//! A view is a task. It alone tells its members of events, and a member joins between two events, so each
//! member sees a state first and then everything that follows it. When people or grants change, the view ends:
//! its members find out what they may see now, and join another one where they left off.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::inbox::{Event, Inbox, Item, Put, Slot};
use super::parameters::Digest;
use super::render::{Happening, Renderer};
use super::sight::Sight;
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
pub enum From {
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
    Join(u64, Member, From),
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
    /// Joins the view with a key, which begins when there is none.
    pub fn join(
        &self,
        key: ViewKey,
        watch: Watch,
        renderer: impl FnOnce() -> Renderer,
        (inbox, slot): (Arc<Inbox>, Slot),
        from: From,
    ) -> Seat {
        let number = self.0.numbers.fetch_add(1, Ordering::Relaxed);
        let mut join = Command::Join(number, Member { inbox, slot, lagging: false }, from);
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
        let (members, renderer) = (HashMap::new(), renderer());
        let task = View { views: self.clone(), key, watch, renderer, members, known: None };
        tokio::spawn(task.run(commands));
        Seat { number, view }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ViewKey, mpsc::UnboundedSender<Command>>> {
        self.0.views.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A view at work.
struct View {
    views: Views,
    key: ViewKey,
    watch: Watch,
    renderer: Renderer,
    members: HashMap<u64, Member>,
    /// The last snapshot that was written, with what it is: many join at the same version.
    known: Option<(EventKind, From, Event)>,
}

impl View {
    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let Some(mut state) = self.watch.current().await else { return };
        loop {
            if !self.key.standing.holds(state.standing) {
                break;
            }
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(command) => {
                        self.obey(command, &state).await;
                        if self.members.is_empty() && self.leaves(&mut commands) {
                            return;
                        }
                    }
                    None => break,
                },
                next = self.watch.changed() => {
                    let Some(next) = next else { break };
                    if self.key.sight.is_outdated(&state, &next) {
                        break;
                    }
                    self.tell(&state, &next).await;
                    state = next;
                }
            }
        }
        // Nobody joins any more; who has joined meanwhile is told as well.
        self.views.lock().remove(&self.key);
        commands.close();
        while let Ok(command) = commands.try_recv() {
            match command {
                Command::Join(number, member, _) => _ = self.members.insert(number, member),
                Command::Leave(number) => self.leave(number),
                Command::Refresh(_) => {}
            }
        }
        for (_, member) in self.members.drain() {
            self.watch.feed().count(-1);
            member.inbox.put(Item::Revised(member.slot));
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
            Command::Join(number, member, from) => {
                self.watch.feed().count(1);
                let event = self.first(from, state).await;
                let gone = event.is_some_and(|event| member.inbox.put_event(member.slot, event) == Put::Gone);
                self.members.insert(number, member);
                if gone {
                    self.leave(number);
                }
            }
            Command::Refresh(number) => {
                let event = self.snapshot(EventKind::Resync, From::Now, state, Vec::new()).await;
                if let Some(member) = self.members.get_mut(&number) {
                    member.lagging = false;
                    // There is room: what waited has been thrown away.
                    let _ = member.inbox.put_event(member.slot, event);
                }
            }
            Command::Leave(number) => self.leave(number),
        }
    }

    fn leave(&mut self, number: u64) {
        if self.members.remove(&number).is_some() {
            self.watch.feed().count(-1);
        }
    }

    /// The first event for a new member; none when it has it already.
    async fn first(&mut self, from: From, state: &Arc<State>) -> Option<Event> {
        let feed = Arc::clone(self.watch.feed());
        let (kind, transfers) = match from {
            From::Now => (EventKind::Snapshot, Some(Vec::new())),
            From::Sent(version) if version == state.version && is_versioned(state) => return None,
            From::After(version) => (EventKind::Snapshot, between(&feed, version, state)),
            From::Sent(version) => (EventKind::Change, between(&feed, version, state)),
        };
        let kind = if transfers.is_some() { kind } else { EventKind::Resync };
        Some(self.snapshot(kind, from, state, transfers.unwrap_or_default()).await)
    }

    /// An event about a state, as it was written last or anew.
    async fn snapshot(
        &mut self,
        kind: EventKind,
        from: From,
        state: &Arc<State>,
        transfers: Transfers,
    ) -> Event {
        if let Some((known_kind, known_from, event)) = &self.known
            && (*known_kind, *known_from, event.version) == (kind, from, state.version)
        {
            return event.clone();
        }
        let event = self.write(kind, state, transfers).await;
        self.known = Some((kind, from, event.clone()));
        event
    }

    async fn write(&mut self, kind: EventKind, state: &Arc<State>, transfers: Transfers) -> Event {
        let (state, version) = (Arc::clone(state), state.version);
        let happening = Happening { kind, state, transfers, sight: self.key.sight.clone() };
        Event { version, payload: self.renderer.write(happening).await }
    }

    /// Tells the members what is new.
    async fn tell(&mut self, before: &State, state: &Arc<State>) {
        self.known = None;
        if !self.key.standing.holds(state.standing) || !self.key.sight.shows_change(before, state) {
            return;
        }
        let transfers = between(&Arc::clone(self.watch.feed()), before.version, state);
        let kind = if transfers.is_some() { EventKind::Change } else { EventKind::Resync };
        let event = self.write(kind, state, transfers.unwrap_or_default()).await;
        let mut gone = Vec::new();
        for (number, member) in &mut self.members {
            if member.lagging {
                continue;
            }
            match member.inbox.put_event(member.slot, event.clone()) {
                Put::Kept => {}
                Put::Lagging => member.lagging = true,
                Put::Gone => gone.push(*number),
            }
        }
        for number in gone {
            self.leave(number);
        }
    }
}

/// Whether versions tell apart what a state is about.
fn is_versioned(state: &State) -> bool {
    !matches!(state.body, Body::Purchase(_))
}

/// The transfers from after a version up to a state, when they can be told; only pools have any.
fn between(feed: &Feed, version: i64, state: &State) -> Option<Transfers> {
    match state.body {
        Body::Pool(_) => feed.transfers(version, state.version),
        Body::Pools(_) | Body::Purchase(_) => Some(Vec::new()),
    }
}
