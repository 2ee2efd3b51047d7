//! Who sends an operation, and whether there are points left for it.
//!
//! # What it costs to bear what is no good
//! Whoever bears something that this node has not seen makes it look that up, and it may be made up: its address pays for
//! that before, and gets it back when somebody is there. So nobody tries keys, or names issuers, faster than an address
//! gets its points back; and then nothing is looked up at all. A text that is refused without a look costs its address
//! as little as reading a document. Whoever has proven who they are pays for themselves: a person whose session has
//! ended, say. Who is remembered, as whoever charges mostly is, pays for none of this.

use std::time::Duration;

use super::refusal::Refusal;
use super::server::{Reading, Session};
use super::throttle::{Draw, Principal, Status};
use super::{Server, Services};
use crate::auth::{Caller, PrincipalId};
use crate::error::Error;
use crate::organizations;

/// What it costs to have somebody looked up who is not there. As many at once as there are in a bucket.
const LOOKING_UP: u64 = 1_000;
/// What it costs to have something refused without a look.
const REFUSING: u64 = 5;

/// Who calls, and the points that the operation may use.
pub(super) struct Admitted {
    pub(super) caller: Option<Caller>,
    /// Whether the caller is recalled from memory.
    pub(super) recalled: bool,
    pub(super) draw: Draw,
}

/// Why it is not known who calls.
enum Unknown {
    Failed(Error),
    /// There are too few points left to find out.
    Throttled {
        wait: Duration,
        status: Status,
        price: u64,
    },
}

impl Unknown {
    fn refusal(self, session: &Session) -> Refusal {
        match self {
            Unknown::Failed(error) => Refusal::failed(&error, session.origin.as_deref()),
            Unknown::Throttled { wait, status, price } => Refusal::throttled(wait, status, price),
        }
    }

    fn error(self) -> Error {
        match self {
            Unknown::Failed(error) => error,
            Unknown::Throttled { wait, .. } => {
                Error::Throttled { seconds: wait.as_secs() + u64::from(wait.subsec_nanos() > 0) }
            }
        }
    }
}

impl Server {
    /// Finds out who calls, as things stand now.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`]; [`Error::Throttled`] when too much that is no good has come from there.
    pub async fn authenticate(&self, session: &Session) -> Result<Option<Caller>, Error> {
        let Some(bearer) = &session.bearer else { return Ok(None) };
        let caller = self.known(bearer, session).await.map_err(Unknown::error)?;
        Ok(Some(caller.at_address(session.address)))
    }

    /// Who opens a stream: a person whose token is good, or a key. What they may do is found out later.
    ///
    /// # Errors
    /// As those of [`Server::authenticate`].
    pub async fn welcome(&self, session: &Session) -> Result<Option<Caller>, Error> {
        let Some(bearer) = &session.bearer else { return Ok(None) };
        match self.recall(bearer, session).await.map_err(Unknown::error)? {
            Some(caller) => Ok(Some(caller.at_address(session.address))),
            None => self.authenticate(session).await,
        }
    }

    /// Finds out who calls, and takes what the operation may cost from that principal's points.
    pub(super) async fn admit(&self, reading: &Reading, session: &Session) -> Result<Admitted, Refusal> {
        let facts = reading.facts;
        let failed = |unknown: Unknown| unknown.refusal(session);
        let (mut caller, mut recalled, mut principal) = (None, false, Principal::anonymous(session.address));
        if let Some(bearer) = &session.bearer {
            let proven = match facts.impersonal {
                true => self.prove(bearer, session).map_err(failed)?,
                false => None,
            };
            if let Some(proven) = proven {
                principal = Principal::Caller(proven);
            } else {
                if facts.compared {
                    caller = self.recall(bearer, session).await.map_err(failed)?;
                    recalled = caller.is_some();
                }
                let known = match caller {
                    Some(caller) => caller,
                    // Boxed: it takes more room than all else, and whoever is remembered does without.
                    None => Box::pin(self.known(bearer, session)).await.map_err(failed)?,
                };
                principal = Principal::Caller(known.id());
                caller = Some(known.at_address(session.address));
            }
        }
        // Members draw on the points of their organizations too: which of them it is about is known only once it runs.
        let tenants = caller.iter().flat_map(|caller| caller.organizations());
        let draw = self.throttle().take(tenants, principal, reading.requested);
        let draw = draw.map_err(|(wait, status)| Refusal::throttled(wait, status, reading.requested))?;
        Ok(Admitted { caller, recalled, draw })
    }

    /// Which person or key is borne; none: nothing is known of that here.
    fn prove(&self, bearer: &str, session: &Session) -> Result<Option<PrincipalId>, Unknown> {
        let Services { context, keys, callers, .. } = self.services().as_ref();
        let proven = callers.prove(context, keys, bearer);
        proven.map_err(|error| self.turn_away(error, Principal::anonymous(session.address), REFUSING))
    }

    /// Who bears something, as things stood when they were read last.
    async fn recall(&self, bearer: &str, session: &Session) -> Result<Option<Caller>, Unknown> {
        let Services { context, keys, callers, .. } = self.services().as_ref();
        let recalled = callers.recall(context, keys, bearer, session.origin.clone()).await;
        match self.noted(bearer, session, recalled) {
            Ok(caller) => Ok(caller),
            Err(error) => {
                // What is refused by its shape is so here, too.
                let proven = self.prove(bearer, session)?;
                let principal =
                    proven.map_or_else(|| Principal::anonymous(session.address), Principal::Caller);
                Err(self.turn_away(error, principal, LOOKING_UP))
            }
        }
    }

    /// Who bears something, looked up: paid for as long as nobody is there.
    async fn known(&self, bearer: &str, session: &Session) -> Result<Caller, Unknown> {
        let (principal, price) = match self.prove(bearer, session)? {
            // That there is nobody any more is the exception: it is enough that there is something left.
            Some(proven) => (Principal::Caller(proven), 1),
            None => (Principal::anonymous(session.address), LOOKING_UP),
        };
        let draw = self.throttle().take(std::iter::empty(), principal, price);
        let draw = draw.map_err(|(wait, status)| Unknown::Throttled { wait, status, price })?;
        let found = self.look_up(bearer, session).await;
        let found = self.noted(bearer, session, found);
        // What fails otherwise is no fault of theirs.
        let nobody = matches!(found, Err(Error::Unauthenticated(_)));
        draw.settle(if nobody { LOOKING_UP } else { 0 });
        found.map_err(Unknown::Failed)
    }

    /// Looks up who bears something. Whoever comes with a token of an organization's provider for the first time is made
    /// known.
    async fn look_up(&self, bearer: &str, session: &Session) -> Result<Caller, Error> {
        let Session { origin, address, .. } = session;
        let Services { context, keys, callers, .. } = self.services().as_ref();
        for _ in 0..2 {
            // Boxed: few come with such a token for the first time.
            if let Some(vouched) = Box::pin(callers.introduce(context, keys, bearer)).await? {
                let arrival = organizations::arrive(context, &vouched, origin.clone(), *address);
                let user = Box::pin(arrival).await?;
                callers.acquaint(context, bearer, &vouched, user);
            }
            match callers.read(context, keys, bearer, origin.clone()).await {
                // What is set of the provider has changed since the token was checked.
                Err(Error::Stale) => {}
                outcome => return outcome,
            }
        }
        Err(Error::Stale)
    }

    /// What is said to whoever bears what is no good, when that has been paid for.
    fn turn_away(&self, error: Error, principal: Principal, price: u64) -> Unknown {
        if !matches!(error, Error::Unauthenticated(_)) {
            return Unknown::Failed(error);
        }
        match self.throttle().take(std::iter::empty(), principal, price) {
            Ok(draw) => {
                draw.settle(price);
                Unknown::Failed(error)
            }
            Err((wait, status)) => Unknown::Throttled { wait, status, price },
        }
    }
}
