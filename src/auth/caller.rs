//! A caller: a person or a key, with the request that it calls by.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use bursar_domain::Timestamp;
use bursar_domain::id::{OrganizationId, SessionId, UserId};
use bursar_domain::organization::Role;
use quick_cache::sync::Cache;

use super::issuers::{Issuers, Vouched};
use super::key::{KeyHash, KeyIdentity, RefusedKey};
use super::last_use::LastUses;
use super::visitors::{TokenHash, Visit, Visitors};
use super::{Actor, Identity, Keys, Principal, PrincipalId, sessions, token};
use crate::context::Context;
use crate::db::{Database, Tenant};
use crate::error::{Error, Result};

/// Somebody who calls: who it is, and with which request. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller {
    identity: Arc<Identity>,
    /// From when on the proof of who it is is no longer good.
    pub expires_at: Timestamp,
    /// The session that the proof belongs to; none: it belongs to none.
    pub session: Option<SessionId>,
    /// The id of the request.
    pub origin: Option<String>,
    /// The address that the request came from, as far as that is known.
    pub address: Option<IpAddr>,
}

/// A person, and how they have shown who they are: what has to be known to ask later whether it still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The person.
    pub user: UserId,
    /// The organization whose provider vouches for them, and in which alone that counts.
    pub within: Option<Tenant>,
    /// The session that they have signed in to; none: their proof belongs to none.
    pub session: Option<SessionId>,
}

/// People and keys as they were when they were last read. Only for what compares the revisions later (see
/// [`super::Standing`]); everybody else reads them anew.
#[derive(Clone)]
pub struct Callers(Arc<Known>);

struct Known {
    people: Cache<Who, Arc<Identity>>,
    keys: Cache<KeyHash, Arc<Identity>>,
    /// Tokens of organizations' providers.
    visitors: Visitors,
    issuers: Issuers,
    uses: LastUses,
    /// Keys that were refused just now, until somebody asks why.
    refused: Cache<KeyHash, RefusedKey>,
}

/// What was good once, and is refused to whoever bears it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A key.
    Key(RefusedKey),
    /// A token that is good, of a session that may have ended.
    Session {
        /// Whose it is.
        user: UserId,
        /// The session.
        session: SessionId,
    },
}

/// A person: everywhere, or within the one organization whose provider vouches for them.
type Who = (UserId, Option<Tenant>);

/// How many people are kept, and how many keys.
const CAPACITY: usize = 50_000;
/// How many refused keys are kept.
const REFUSED: usize = 1_000;

/// What is borne as a proof, looked at without the database.
enum Proof {
    /// A token that is good until an instant, as long as its session is.
    Person { who: Who, session: Option<SessionId>, expires_at: Timestamp },
    /// A token of an organization's provider that has been checked lately.
    Visitor(TokenHash, Visit),
    /// A text that names a provider by an address, of which nothing else is known yet.
    Unseen,
    /// A text that is a key by its shape.
    Key(KeyHash),
}

impl Callers {
    /// Knows nobody yet.
    pub fn new(issuers: Issuers) -> Callers {
        let (people, keys) = (Cache::new(CAPACITY), Cache::new(CAPACITY));
        let (visitors, uses) = (Visitors::default(), LastUses::default());
        let refused = Cache::new(REFUSED);
        Callers(Arc::new(Known { people, keys, visitors, issuers, uses, refused }))
    }

    /// Whom an organization's provider vouches for by a token that this node has not checked lately. None: it is
    /// no such token, or is known. The caller finds out whom that means and says so by [`Callers::acquaint`].
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when it is not good, [`Error::Unavailable`] when the provider cannot be asked.
    pub async fn introduce(&self, context: &Context, keys: &Keys, bearer: &str) -> Result<Option<Vouched>> {
        match self.proof(context, keys, bearer)? {
            Proof::Unseen => self.0.issuers.verify(context, bearer).await.map(Some),
            Proof::Person { .. } | Proof::Key(_) | Proof::Visitor(..) => Ok(None),
        }
    }

    /// Remembers whom a provider means by a token that has been checked.
    pub fn acquaint(&self, context: &Context, bearer: &str, vouched: &Vouched, user: UserId) {
        self.0.visitors.keep(TokenHash::of(bearer), vouched, user, context.clock.now());
    }

    /// The caller who bears a token or a key, as things stand now. A provider's token has to be introduced before.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`], and [`Error::Stale`] when the provider's settings have changed since its token was
    /// checked: introduced again it is checked by the new ones.
    pub async fn read(
        &self,
        context: &Context,
        keys: &Keys,
        bearer: &str,
        origin: Option<String>,
    ) -> Result<Caller> {
        match self.proof(context, keys, bearer)? {
            Proof::Person { who, session, expires_at } => {
                let identity = self.read_person(context, who, session).await?;
                Ok(Caller { identity, expires_at, session, origin, address: None })
            }
            Proof::Visitor(token, visit) => {
                let identity = self.read_person(context, (visit.user, Some(visit.tenant)), None).await?;
                if !visit.fits(&identity) {
                    self.0.visitors.forget(token);
                    return Err(Error::Stale);
                }
                let expires_at = visit.expires_at;
                Ok(Caller { identity, expires_at, session: None, origin, address: None })
            }
            Proof::Unseen => Err(invalid()),
            Proof::Key(hash) => {
                let identity = self.read_key(context, hash).await?;
                self.of_key(context, identity, origin)
            }
        }
    }

    /// The person who was given something to show later (a link, say), as things stand now.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when the person is gone, the session has ended that they had then, or the organization
    /// no longer believes the provider that vouched for them.
    pub async fn again(
        &self,
        context: &Context,
        proven: Proven,
        expires_at: Timestamp,
        origin: Option<String>,
    ) -> Result<Caller> {
        let Proven { user, within, session } = proven;
        let identity = self.read_person(context, (user, within), session).await?;
        Ok(Caller { identity, expires_at, session, origin, address: None })
    }

    async fn read_person(
        &self,
        context: &Context,
        who: Who,
        session: Option<SessionId>,
    ) -> Result<Arc<Identity>> {
        let session = session.map(|session| (session, context.clock.now()));
        let read = match who {
            (user, None) => Identity::of_person(&context.db, user, session).await,
            (user, Some(tenant)) => Identity::of_visitor(&context.db, tenant, user, session).await,
        };
        if read.is_err() {
            // Who is not let in any more is not remembered as if they were.
            self.0.people.remove(&who);
        }
        Ok(keep(&self.0.people, who, read?))
    }

    async fn read_key(&self, context: &Context, hash: KeyHash) -> Result<Arc<Identity>> {
        let error = match Identity::of_key(&context.db, hash, context.clock.now()).await {
            Ok(Ok(identity)) => return Ok(keep(&self.0.keys, hash, identity)),
            Ok(Err(refused)) => self.refuse(hash, refused),
            Err(error) => error,
        };
        // What is no longer good is not remembered as if it were.
        self.0.keys.remove(&hash);
        Err(error)
    }

    /// Keeps that a key was refused, and answers what its bearer is told.
    fn refuse(&self, hash: KeyHash, refused: RefusedKey) -> Error {
        let error = refused.error();
        self.0.refused.insert(hash, refused);
        error
    }

    /// What it is that was refused just now, if it was good once: to be recorded. Asks nobody.
    pub fn refused(&self, context: &Context, keys: &Keys, bearer: &str) -> Option<Refused> {
        match self.proof(context, keys, bearer).ok()? {
            Proof::Key(hash) => self.0.refused.remove(&hash).map(|(_, key)| Refused::Key(key)),
            Proof::Person { who: (user, _), session, .. } => {
                session.map(|session| Refused::Session { user, session })
            }
            Proof::Visitor(..) | Proof::Unseen => None,
        }
    }

    /// The same of a caller who was let in before.
    pub fn refused_again(&self, caller: &Caller) -> Option<Refused> {
        match &caller.principal {
            Principal::Key(key) => self.0.refused.remove(&key.hash).map(|(_, key)| Refused::Key(key)),
            Principal::Person(person) => {
                let user = person.id;
                caller.session.map(|session| Refused::Session { user, session })
            }
        }
    }

    /// A key that calls, as long as it has not expired; that it was used is written down in passing.
    fn of_key(&self, context: &Context, identity: Arc<Identity>, origin: Option<String>) -> Result<Caller> {
        let key = identity.key().ok_or_else(|| Error::internal("a person where a key was looked for"))?;
        if key.require_good(context.clock.now()).is_err() {
            return Err(self.refuse(key.hash, key.refused()));
        }
        self.0.uses.note(context, key);
        let expires_at = key.good_until();
        Ok(Caller { identity, expires_at, session: None, origin, address: None })
    }

    /// The caller who bears a token or a key, as things stood when they were last read, if they were. A session is
    /// never remembered: whether it is still good is asked each time.
    pub async fn recall(
        &self,
        context: &Context,
        keys: &Keys,
        bearer: &str,
        origin: Option<String>,
    ) -> Result<Option<Caller>> {
        match self.proof(context, keys, bearer)? {
            Proof::Person { who, session, expires_at } => {
                let Some(identity) = self.0.people.get(&who) else { return Ok(None) };
                if let Some(session) = session {
                    // Boxed: tokens of the command line and keys do without.
                    let row = Box::pin(sessions::require_live_now(context, who.0, session)).await?;
                    // What is set of the provider has changed between the two: read anew, one of them is refused.
                    if row.provider_revision != identity.through.map(|through| through.revision) {
                        return Ok(None);
                    }
                }
                Ok(Some(Caller { identity, expires_at, session, origin, address: None }))
            }
            Proof::Visitor(_, visit) => {
                let known = self.0.people.get(&(visit.user, Some(visit.tenant)));
                let known = known.filter(|identity| visit.fits(identity));
                let expires_at = visit.expires_at;
                Ok(known.map(|identity| Caller {
                    identity,
                    expires_at,
                    session: None,
                    origin,
                    address: None,
                }))
            }
            Proof::Unseen => Ok(None),
            Proof::Key(hash) => {
                let known = self.0.keys.get(&hash);
                known.map(|identity| self.of_key(context, identity, origin)).transpose()
            }
        }
    }

    /// Which person or key is borne, without a look at what it may do, or whether it is still there. None: a
    /// text that is a key by its shape, or a provider's token, but has not been looked up on this node.
    pub fn prove(&self, context: &Context, keys: &Keys, bearer: &str) -> Result<Option<PrincipalId>> {
        Ok(match self.proof(context, keys, bearer)? {
            Proof::Person { who: (user, _), .. } => Some(PrincipalId::Person(user)),
            Proof::Visitor(_, visit) => Some(PrincipalId::Person(visit.user)),
            Proof::Unseen => None,
            Proof::Key(hash) => self.0.keys.get(&hash).map(|known| known.id()),
        })
    }

    /// The same caller as things stood when it was last read.
    pub fn remembered(&self, caller: &Caller) -> Option<Caller> {
        let known = match &caller.principal {
            Principal::Person(person) => self.0.people.get(&(person.id, caller.within())),
            Principal::Key(key) => self.0.keys.get(&key.hash),
        };
        // Whoever was read with other settings of the provider's has not shown what this caller has.
        let known = known.filter(|identity| identity.through == caller.through);
        known.map(|identity| caller.now(identity))
    }

    /// The same caller as things stand now.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when the person is gone, the session has ended, what is set of the provider that
    /// vouches for the person has changed, or the key has been revoked or has expired.
    pub async fn reread(&self, context: &Context, caller: &Caller) -> Result<Caller> {
        let identity = match &caller.principal {
            Principal::Person(person) => {
                self.read_person(context, (person.id, caller.within()), caller.session).await?
            }
            Principal::Key(key) => self.read_key(context, key.hash).await?,
        };
        if identity.through != caller.through {
            return Err(invalid());
        }
        Ok(caller.now(identity))
    }
}

/// Keeps a person or key as just read; one that is as before is the same in memory as before.
fn keep<K: Eq + std::hash::Hash>(
    cache: &Cache<K, Arc<Identity>>,
    key: K,
    identity: Identity,
) -> Arc<Identity> {
    if let Some(known) = cache.get(&key)
        && *known == identity
    {
        return known;
    }
    let identity = Arc::new(identity);
    cache.insert(key, Arc::clone(&identity));
    identity
}

/// What whoever bears no good token is told, whatever is wrong with it.
fn invalid() -> Error {
    Error::Unauthenticated("The token is not valid.")
}

impl Callers {
    /// What is borne, and until when it is good.
    fn proof(&self, context: &Context, keys: &Keys, bearer: &str) -> Result<Proof> {
        if let Some(hash) = KeyHash::of_bearer(bearer)? {
            return Ok(Proof::Key(hash));
        }
        // Nothing is done with what is longer than anybody's token, not even a hash.
        if Issuers::is_too_long(bearer) {
            return Err(invalid());
        }
        let now = context.clock.now();
        // Bursar's own tokens come first: they are checked fastest, and come most often.
        let claims = match token::verify(keys, bearer, now) {
            Ok(claims) => claims,
            Err(error) => {
                let token = TokenHash::of(bearer);
                return match self.0.visitors.known(token, now) {
                    Some(visit) => Ok(Proof::Visitor(token, visit)),
                    None if Issuers::is_foreign(bearer) => Ok(Proof::Unseen),
                    None => Err(error),
                };
            }
        };
        // The token itself says that Bursar has bound it to that organization.
        let who = (claims.user().ok_or_else(invalid)?, claims.within().map(Tenant::vouched));
        Ok(Proof::Person { who, session: claims.session(), expires_at: claims.expires_at() })
    }
}

impl Visit {
    /// Whether a person was read with the settings of the provider that the token was checked by.
    fn fits(&self, identity: &Identity) -> bool {
        identity.through.is_some_and(|through| through.revision == self.revision)
    }
}

impl Deref for Caller {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.identity
    }
}

impl Caller {
    /// A person, without a proof that has been looked at here.
    pub async fn of_person(
        db: &Database,
        id: UserId,
        expires_at: Timestamp,
        origin: Option<String>,
    ) -> Result<Caller> {
        let identity = Arc::new(Identity::of_person(db, id, None).await?);
        Ok(Caller { identity, expires_at, session: None, origin, address: None })
    }

    /// The organization whose provider vouches for the person, and in which alone that counts.
    pub fn within(&self) -> Option<Tenant> {
        self.through.map(|through| through.tenant)
    }

    /// How the person has shown who they are. None: a key calls.
    pub fn proven(&self) -> Option<Proven> {
        let user = self.person()?.id;
        Some(Proven { user, within: self.within(), session: self.session })
    }

    /// The same caller, by a request from an address.
    pub fn at_address(self, address: IpAddr) -> Caller {
        Caller { address: Some(address), ..self }
    }

    /// The same caller as it was read another time. A key may have got another end meanwhile.
    fn now(&self, identity: Arc<Identity>) -> Caller {
        let expires_at = identity.key().map_or(self.expires_at, KeyIdentity::good_until);
        Caller { identity, expires_at, ..self.clone() }
    }

    /// The same caller with another role in an organization, or with none.
    pub fn with_role(&self, organization: OrganizationId, role: Option<Role>) -> Caller {
        let identity = Arc::new(self.identity.with_role(organization, role));
        Caller { identity, ..self.clone() }
    }

    /// The caller as the author of a change.
    pub fn actor(&self) -> Actor {
        let actor = match &self.principal {
            Principal::Person(person) => Actor::user(person.id, self.origin.clone()),
            Principal::Key(key) => Actor::key(key.id, key.created_by, self.origin.clone()),
        };
        actor.at_address(self.address).read_from(Arc::clone(&self.identity))
    }
}
