//! What is known of one issuer: how it describes itself, and its keys.
//!
//! Both are read when they are first needed, read anew in the background when they are ten minutes old, and at once
//! when no key that is known has signed a token, but at most every 30 seconds, whatever comes of it. Several who need
//! it at the same time wait for one and the same reading, which is a task of its own: that one of them goes away
//! does not cut it off. So a provider that publishes a key 30 seconds before it signs with it is understood at
//! once, also when it gives its keys no names or all of them the same one; and a flood of tokens with made-up keys
//! costs the provider nothing. Of keys that cannot be told apart by their names a few are tried (see `key_set`).

use std::sync::{Arc, PoisonError, RwLock};

use bursar_domain::Timestamp;
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use super::fetch::{Fetcher, unavailable};
use super::key_set::{KeySet, Published};
use crate::clock::Clock;
use crate::error::Result;

/// How far two readings are apart at least, in seconds.
pub const APART_SECONDS: i64 = 30;
/// How old what is known may get before it is read anew, in seconds.
const FRESH_SECONDS: i64 = 600;
/// How long what is known counts when it cannot be read anew, in seconds.
const LASTING_SECONDS: i64 = 24 * 3_600;

/// An issuer's description of itself.
#[derive(Deserialize)]
struct Description {
    issuer: String,
    jwks_uri: String,
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    userinfo_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// What is known of an issuer.
pub(super) struct Known {
    pub(super) keys: KeySet,
    /// Where people sign in.
    pub(super) authorization: Option<Url>,
    /// Where codes are redeemed.
    pub(super) token: Option<Url>,
    /// Where more is told of a person.
    pub(super) userinfo: Option<Url>,
    /// Whether a client's secret has to be sent in the body.
    pub(super) secret_in_body: bool,
    /// Whether it says in each of its answers who it is.
    pub(super) names_itself: bool,
    read_at: Timestamp,
}

/// One issuer.
pub(super) struct Source {
    pub(super) issuer: String,
    fetcher: Arc<Fetcher>,
    state: RwLock<State>,
    /// Who reads.
    turn: Mutex<()>,
}

#[derive(Clone, Default)]
struct State {
    known: Option<Arc<Known>>,
    tried_at: Option<Timestamp>,
}

impl State {
    fn tried_lately(&self, now: Timestamp) -> bool {
        self.tried_at.is_some_and(|at| at <= now && now < at.plus_seconds(APART_SECONDS))
    }
}

impl Source {
    pub(super) fn new(issuer: String, fetcher: Arc<Fetcher>) -> Source {
        Source { issuer, fetcher, state: RwLock::default(), turn: Mutex::default() }
    }

    fn state(&self) -> State {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is known, read now if nothing is.
    pub(super) async fn known(self: &Arc<Self>, clock: &Clock) -> Result<Arc<Known>> {
        let (state, now) = (self.state(), clock.now());
        if let Some(known) = &state.known
            && now < known.read_at.plus_seconds(LASTING_SECONDS)
        {
            let old = now >= known.read_at.plus_seconds(FRESH_SECONDS);
            if old && !state.tried_lately(now) {
                // Whoever asks now is served with what there is.
                tokio::spawn(Arc::clone(self).read(clock.clone(), Some(known.read_at)));
            }
            return Ok(Arc::clone(known));
        }
        let read = self.once(clock, state.known.map(|known| known.read_at)).await;
        read.ok_or_else(|| unavailable(&self.issuer, "everything", &"see above, or 30 s have not passed"))
    }

    /// What is known that is newer than something; `None`: nothing is, and it is too early to ask again.
    pub(super) async fn newer(self: &Arc<Self>, clock: &Clock, than: &Known) -> Option<Arc<Known>> {
        self.once(clock, Some(than.read_at)).await
    }

    /// Reads, or waits for whoever does.
    async fn once(self: &Arc<Self>, clock: &Clock, seen: Option<Timestamp>) -> Option<Arc<Known>> {
        if self.state().tried_lately(clock.now())
            && let Ok(_nobody_reads) = self.turn.try_lock()
        {
            return self.state().known.filter(|known| is_newer(known, seen));
        }
        tokio::spawn(Arc::clone(self).read(clock.clone(), seen)).await.ok().flatten()
    }

    async fn read(self: Arc<Self>, clock: Clock, seen: Option<Timestamp>) -> Option<Arc<Known>> {
        let _turn = self.turn.lock().await;
        let now = clock.now();
        let state = self.state();
        // Somebody else has read while this one waited.
        if state.tried_lately(now) || state.known.as_ref().is_some_and(|known| is_newer(known, seen)) {
            return state.known.filter(|known| is_newer(known, seen));
        }
        self.state.write().unwrap_or_else(PoisonError::into_inner).tried_at = Some(now);
        match self.ask(now).await {
            Ok(known) => {
                let known = Arc::new(known);
                self.state.write().unwrap_or_else(PoisonError::into_inner).known = Some(Arc::clone(&known));
                Some(known)
            }
            Err(why) => {
                unavailable(&self.issuer, "its description and keys", &why);
                None
            }
        }
    }

    async fn ask(&self, now: Timestamp) -> Result<Known, String> {
        let reach = self.fetcher.reach;
        let address =
            |text: &str| reach.address(text).map_err(|why| format!("an address that it names {why}"));
        let optional = |text: &Option<String>| text.as_deref().map(address).transpose();
        let at = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let described: Description = self.fetcher.document(&address(&at)?).await?;
        if described.issuer != self.issuer {
            return Err("it describes another issuer".to_owned());
        }
        let published: Published = self.fetcher.document(&address(&described.jwks_uri)?).await?;
        let methods = described.token_endpoint_auth_methods_supported.unwrap_or_default();
        let takes = |method: &str| methods.iter().any(|name| name == method);
        Ok(Known {
            keys: KeySet::read(published),
            authorization: optional(&described.authorization_endpoint)?,
            token: optional(&described.token_endpoint)?,
            userinfo: optional(&described.userinfo_endpoint)?,
            secret_in_body: takes("client_secret_post") && !takes("client_secret_basic"),
            names_itself: described.authorization_response_iss_parameter_supported,
            read_at: now,
        })
    }
}

/// Whether it was read after something else was.
fn is_newer(known: &Arc<Known>, seen: Option<Timestamp>) -> bool {
    seen.is_none_or(|seen| known.read_at > seen)
}
