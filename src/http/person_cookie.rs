//! The cookie that says who has signed in with this browser, for the pages where somebody decides about a purchase.
//!
//! It is sealed, so the browser can neither read nor change it, and sent to those pages alone. It proves nothing by itself:
//! its session has to be good still, and of the person whose link is opened. No other page, and no part of the API, reads
//! it.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bursar_domain::id::{SessionId, UserId};
use bursar_entity::session;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use super::State;
use crate::auth;
use crate::error::{Error, Result};
use crate::global_id;

/// What is sealed is about this.
const ABOUT: &str = "person";
/// Its name. Those with the prefix `__Host-` are sent to all pages.
const NAME: &str = "bursar-person";
/// For how long a browser keeps it, in seconds: whoever signs in to decide does so at once.
const SECONDS: u32 = 3_600;

/// What it holds.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// The person.
    user: String,
    /// The session.
    session: String,
}

/// The form that has a browser forget who has signed in.
pub struct LeaveForm {
    /// Where it is sent to.
    pub path: String,
    /// The page's nonce.
    pub nonce: String,
}

/// Has a browser keep who has signed in. Without it one is asked to sign in again, so that it fails is no reason for
/// more than a line in the log.
pub fn keep(state: &State, response: &mut Response, session: &session::Model) {
    match cookie(state, session) {
        Ok(cookie) => {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        Err(error) => tracing::error!(%error, "who has signed in cannot be kept"),
    }
}

/// Has a browser forget who has signed in. The session itself stays as good as it was.
pub fn forget(state: &State, response: &mut Response) {
    match set(state, "", 0) {
        Ok(cookie) => {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        Err(error) => tracing::error!(%error, "who has signed in cannot be forgotten"),
    }
}

fn cookie(state: &State, session: &session::Model) -> Result<HeaderValue> {
    let services = state.server.services();
    let kept = Kept { user: global_id::encode(session.user_id), session: global_id::encode(session.id) };
    let text = serde_json::to_string(&kept)
        .map_err(|error| Error::internal(format!("a session cannot be written: {error}")))?;
    set(state, &data_encoding::BASE64URL_NOPAD.encode(&services.keys.seal(ABOUT, &text)?), SECONDS)
}

/// The header that has a browser keep something for some seconds.
fn set(state: &State, value: &str, seconds: u32) -> Result<HeaderValue> {
    let https = state.server.services().config.public_url.scheme() == "https";
    let secure = if https { "; Secure" } else { "" };
    // It has to come along when a link in a mail is opened, so not Strict.
    let text = format!("{NAME}={value}; Path=/approval; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    let value = HeaderValue::from_str(&text).map(|mut value| {
        value.set_sensitive(true);
        value
    });
    value.map_err(|_| Error::internal("a cookie that is no header"))
}

/// The session that a browser has kept, when it is good now. None: nobody is known to have signed in.
///
/// # Errors
/// What the database answers.
pub async fn session(state: &State, headers: &HeaderMap) -> Result<Option<session::Model>> {
    let Some((user, session)) = read(state, headers) else { return Ok(None) };
    auth::person_of_session(&state.server.services().context, user, session).await
}

fn read(state: &State, headers: &HeaderMap) -> Option<(UserId, SessionId)> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = pairs.flat_map(|pairs| pairs.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == NAME)?;
    let sealed = data_encoding::BASE64URL_NOPAD.decode(value.as_bytes()).ok()?;
    let text = state.server.services().keys.unseal(ABOUT, &sealed)?;
    let kept: Kept = serde_json::from_str(text.expose_secret()).ok()?;
    Some((global_id::decode(&kept.user)?, global_id::decode(&kept.session)?))
}
